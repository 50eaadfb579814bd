# %% setup
# A scratch file: these cells go to their places in the chapter's source, and this one is its setup.
import torch
from torch import nn

from flatlab.checks import chapter06 as check

# %% [markdown]
# ### Exercise 1 · A chain with one bend   ●●○○ · 2 points · 6 min
#
# Write `polychain(t, w1, theta, w2)`: the point at t of the polygonal chain from one network to another (Garipov et
# al., 2018), with its bend θ at t = ½:
#
# $$\phi_\theta(t) = \begin{cases}
# 2\,\big(t\,\theta + (\tfrac12 - t)\,\hat w_1\big), & 0 \le t \le \tfrac12, \\
# 2\,\big((t - \tfrac12)\,\hat w_2 + (1 - t)\,\theta\big), & \tfrac12 \le t \le 1.
# \end{cases}$$
#
# - `t`: a number, 0 ≤ t ≤ 1; for any other raise `ValueError`.
# - `w1`, `theta`, `w2`: float tensors of one shape, whatever it is; all three stay as they are.
# - Returns a **new** tensor of that shape, at t = 0 and t = 1 too.
#
# <details><summary>Hint</summary>
#
# Test three values by hand: which of the three tensors must come out at t = 0, at t = ½ and at t = 1? And where is
# t = ¼?
#
# </details>


# %% exercise="polychain"
def polychain(t, w1, theta, w2):
    """The chain's point at t, 0 <= t <= 1: a new tensor of w1's shape."""
    ### BEGIN SOLUTION
    if not 0 <= t <= 1:
        raise ValueError(f"t is {t}: the chain is defined for t from 0 to 1")
    if t <= 0.5:
        return 2 * (t * theta + (0.5 - t) * w1)
    return 2 * ((t - 0.5) * w2 + (1 - t) * theta)
    ### END SOLUTION


# %% check="polychain" points=2
check.polychain(polychain)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter06.paths import AlongChain, Outside, drawn


@check.polychain.hidden("weights of any shape")
class AnyShape(AlongChain):
    def draw(self, generator):
        return {"ts": [0.2, 0.8], **drawn(generator, 3, 2, 2)}


@check.polychain.hidden("the bend itself, t = 1/2")
class Bend(AlongChain):
    ts = (0.5,)


@check.polychain.hidden("a t outside [0, 1]")
class OutsideChain(Outside):
    pass


check.polychain.grade(polychain)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 2 · A Bézier curve   ●○○○ · 2 points · 4 min
#
# The other curve of the paper is smooth. Write `bezier(t, w1, theta, w2)`, with arguments, result and errors as in
# exercise 1:
#
# $$\phi_\theta(t) = (1-t)^2\,\hat w_1 + 2\,t\,(1-t)\,\theta + t^2\,\hat w_2.$$
#
# <details><summary>Hint</summary>
#
# If all three points are the same one, the curve cannot leave it: what must the three shares add up to? Is `theta` on the curve?
#
# </details>


# %% exercise="bezier"
def bezier(t, w1, theta, w2):
    """The quadratic Bezier curve's point at t, 0 <= t <= 1: a new tensor of w1's shape."""
    ### BEGIN SOLUTION
    if not 0 <= t <= 1:
        raise ValueError(f"t is {t}: the curve is defined for t from 0 to 1")
    return (1 - t) ** 2 * w1 + 2 * t * (1 - t) * theta + t**2 * w2
    ### END SOLUTION


# %% check="bezier" points=2
check.bezier(bezier)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter06.paths import AlongBezier, Outside, drawn
from flatlab.checks.toys import normal


@check.bezier.hidden("weights of any shape")
class AnyShape(AlongBezier):
    def draw(self, generator):
        return {"ts": [0.2, 0.8], **drawn(generator, 3, 2, 2)}


@check.bezier.hidden("three points that coincide")
class Coinciding(AlongBezier):
    def draw(self, generator):
        point = normal(generator, 5)
        return {"ts": [0.1, 0.5, 0.7], "w1": point, "theta": point, "w2": point}


@check.bezier.hidden("a t outside [0, 1]")
class OutsideBezier(Outside):
    pass


check.bezier.grade(bezier)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 3 · Which way to pull the bend   ●●●○ · 4 points · 9 min
#
# The curve is trained by moving θ so that the mean loss along it falls, $\ell(\theta) = \mathbb E_{t \sim U(0,1)}
# L(\phi_\theta(t))$. One t a step gives an unbiased estimate of its gradient. Write
# `curve_gradient(loss_grad, t, w1, theta, w2, curve)`: the gradient **in θ** of $L(\phi_\theta(t))$, for one t.
# - `loss_grad(w)`: returns ∇L(w), a tensor of the shape of w, without a graph. It is expensive: ask for it once.
# - `t`, `w1`, `theta`, `w2`: as in exercise 1. The tensors stay as they are, and none of them requires a gradient.
# - `curve`: `"chain"` or `"bezier"`. Call your `polychain` and `bezier` for the point.
# - Returns a tensor of the shape of θ.
#
# <details><summary>Hint</summary>
#
# For a fixed t the point is a straight-line function of θ. If θ moves by δ, by how much does the point move? Look at the
# formulas of exercises 1 and 2, at t = 0, t = ½ and t = 1 first. Where on the curve is the loss taken?
#
# </details>


# %% exercise="curve_gradient"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    """The gradient in theta of L at the curve's point t, curve "chain" or "bezier": theta's shape."""
    ### BEGIN SOLUTION
    if curve == "chain":
        return 2 * min(t, 1 - t) * loss_grad(polychain(t, w1, theta, w2))
    return 2 * t * (1 - t) * loss_grad(bezier(t, w1, theta, w2))
    ### END SOLUTION


# %% check="curve_gradient" points=4
check.curve_gradient(curve_gradient)

### BEGIN HIDDEN TESTS
import numpy as np

from flatlab.checks.chapter06.chain_rule import OnBezier, OnChain
from flatlab.checks.chapter06.paths import drawn
from flatlab.checks.toys import normal


@check.curve_gradient.hidden("the two ends")
class AtEnds(OnChain):
    ts = (0.0, 1.0)

    def verdict(self, inputs, outputs):
        largest = max(np.abs(found).max() for found in outputs["found"])
        if not largest < 1e-6:  # NaN fails too
            return "At t = 0 and t = 1 the curve is at w1 and w2: the gradient in theta is 0 there."
        return None


@check.curve_gradient.hidden("weights of any shape")
class AnyShape(OnBezier):
    def draw(self, generator):
        weights = drawn(generator, 2, 3)
        diagonal, start = 0.5 + normal(generator, 2, 3).abs(), normal(generator, 2, 3)
        return {"ts": [0.3, 0.9], "diagonal": diagonal, "start": start, **weights}


@check.curve_gradient.hidden("one gradient of the loss a call")
class AskedOnce(OnBezier):
    def verdict(self, inputs, outputs):
        if max(outputs["asked"]) > 1:
            return "loss_grad is called more than once: one call at the curve's point is enough."
        return None


check.curve_gradient.grade(curve_gradient)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 4 · The barrier   ●●○○ · 3 points · 6 min
#
# How high is the wall between two networks? The field's measure (Frankle et al., 2020; Entezari et al., 2022) takes the
# losses $L_0, \dots, L_{m-1}$ at m equally spaced points from one network to the other, and the highest rise above the
# straight line **between the losses at the two ends**:
#
# $$\max_i \; L_i - \big((1 - s_i)\,L_0 + s_i\,L_{m-1}\big), \qquad s_i = \frac{i}{m-1}.$$
#
# Write `barrier(losses)`.
# - `losses`: float tensor of shape (m,), m ≥ 2. It stays as it is.
# - Returns a number in the unit of the loss. At the ends the difference is 0, so the barrier is never negative, up to rounding. Where a
#   loss is NaN nothing is known of the wall: the barrier is NaN.
#
# <details><summary>Hint</summary>
#
# The highest loss need not be where the barrier is: think of ends at 0 and 10. Python's `max` asks `a > b` again and again:
# what is the answer when one of them is NaN?
#
# </details>


# %% exercise="barrier"
def barrier(losses):
    """The highest rise of losses (m,) above the line between the first and the last: a number."""
    ### BEGIN SOLUTION
    s = torch.linspace(0, 1, len(losses), dtype=losses.dtype)
    return (losses - ((1 - s) * losses[0] + s * losses[-1])).max().item()
    ### END SOLUTION


# %% check="barrier" points=3
check.barrier(barrier)

### BEGIN HIDDEN TESTS
import numpy as np
import torch

from flatlab.checks.chapter06.walls import Wall


@check.barrier.hidden("no barrier: a loss that sags")
class Sags(Wall):
    def draw(self, generator):
        return {"losses": [2.0, 1.1, 0.4, 0.1, 0.2, 0.8]}


@check.barrier.hidden("a loss that is NaN")
class Diverged(Wall):
    def draw(self, generator):
        return {"places": [1, 3, 4]}

    def call(self, student, inputs):
        found = []
        for place in inputs["places"]:
            losses = torch.tensor([0.4, 0.9, 3.0, 2.0, 1.0, 0.3], dtype=torch.float64)
            losses[int(place)] = torch.nan
            found.append(super().call(student, {"losses": losses.tolist()})["barrier"])
        return {"barriers": found}

    def verdict(self, inputs, outputs):
        if not all(np.isnan(value) for value in outputs["barriers"]):
            return (
                "With a NaN among the losses it returns a number, as if nothing were wrong: Python's max "
                "passes over NaN, and so does torch.nanmax. The barrier is NaN."
            )
        return None


@check.barrier.hidden("the two ends alone")
class TwoEnds(Wall):
    def draw(self, generator):
        return {"losses": [0.7, 0.2]}


check.barrier.grade(barrier)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 5 · The plane through three networks   ●●●○ · 4 points · 10 min
#
# Three points of weight space span a plane, and its losses can be drawn. Two functions:
# - `plane_basis(w1, w2, w3)`
#     - `w1`, `w2`, `w3`: float tensors of shape (p,); they stay as they are.
#     - Returns `u, v`, two tensors of shape (p,) and of length 1: u along w₂ − w₁, v along what is left of w₃ − w₁ without its
#       projection on u. So $u \cdot v = 0$, and $v \cdot (w_3 - w_1) > 0$.
#     - Raises `ValueError` where the three lie on one line up to rounding: w₂ = w₁, or that rest is at most $10^{-5}$ times as long
#       as w₃ − w₁.
# - `plane_coordinates(points, w1, u, v)`
#     - `points`: tensor of shape (k, p), or (p,) for a single point; `w1`, `u`, `v`: shape (p,), u and v as above.
#     - Returns a tensor of shape (k, 2), or (2,): for each point x along u and y along v, so that w₁ + x u + y v
#       is the place in the plane next to it. w₁ itself lies at (0, 0).
#
# <details><summary>Hint</summary>
#
# Draw the three points on paper. Which two inner products tell you that u and v are right? Rounding leaves about
# $10^{-16}$ of a vector that should be 0, and dividing by that makes a unit vector of noise. For many points at once a matrix times a vector
# takes all inner products.
#
# </details>


# %% exercise="plane_basis"
def plane_basis(w1, w2, w3):
    """u, v: an orthonormal basis of the plane through three points (p,), u along w2 - w1."""
    ### BEGIN SOLUTION
    u, d = w2 - w1, w3 - w1
    width = torch.linalg.vector_norm(u)
    if width == 0:
        raise ValueError("w1 and w2 are the same point: they lie on no one plane")
    u = u / width
    v = d - (d @ u) * u
    height = torch.linalg.vector_norm(v)
    if height <= 1e-5 * torch.linalg.vector_norm(d):
        raise ValueError("the three points lie on one line: give a third one elsewhere")
    return u, v / height
    ### END SOLUTION


def plane_coordinates(points, w1, u, v):
    """(k, 2) for points (k, p), (2,) for a point (p,): coordinates along u and v, from w1."""
    ### BEGIN SOLUTION
    moved = points - w1
    return torch.stack([moved @ u, moved @ v], dim=-1)
    ### END SOLUTION


# %% check="plane_basis" points=4
check.plane_basis(plane_basis)
check.plane_coordinates(plane_coordinates)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter06.basis import OnOneLine, ThreePoints
from flatlab.checks.toys import normal


@check.plane_basis.hidden("a third point close to the line")
class CloseToLine(ThreePoints):
    tolerance = 1e-4

    def draw(self, generator):
        w1, w2, beside = (normal(generator, 6) for _ in range(3))
        return {"w1": w1, "w2": w2, "w3": w1 + 0.6 * (w2 - w1) + 0.01 * beside}


@check.plane_basis.hidden("lengths around 1e-3")
class Short(ThreePoints):
    tolerance = 1e-4

    def draw(self, generator):
        return {name: 1e-3 * w for name, w in super().draw(generator).items()}


@check.plane_basis.hidden("three points on one line")
class OneLine(OnOneLine):
    pass


check.plane_basis.grade(plane_basis)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 6 · Batch norm at a new point   ●●●○ · 4 points · 10 min
#
# A batch-norm layer in evaluation mode normalizes by a running mean and variance. They belong to the weights under which
# they were gathered; at another point of the curve they must be gathered anew. Write
# `reestimate_batch_norm(model, batches)`.
# - `model`: an `nn.Module`, batch-norm layers anywhere in it. For one without any raise `ValueError`.
# - `batches`: a list of input tensors X, all of one size.
# - Each layer's `running_mean` and `running_var` become the mean **over the batches** of the mean and variance (with n − 1, as torch
#   takes it) of what enters the layer. While the batches go through, the batch-norm layers are in training mode and all other modules
#   in evaluation mode, so that dropout does not act.
# - Nothing else changes: parameters, gradients, each layer's `momentum`, each module's mode (they may differ). Returns nothing.
#
# <details><summary>Hint</summary>
#
# In training mode a batch-norm layer updates its running statistics in every forward pass; what the documentation
# of `nn.BatchNorm1d` says of `momentum` tells how. `model.modules()` visits every module, layers inside layers too, and each has its own
# `training`. What has to be put back afterwards must have been noted before.
#
# </details>


# %% exercise="reestimate_batch_norm"
def reestimate_batch_norm(model, batches):
    """Gather running_mean and running_var of all batch-norm layers anew, over equal batches; in place."""
    ### BEGIN SOLUTION
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    layers = [module for module in model.modules() if isinstance(module, kinds)]
    if not layers:
        raise ValueError("the model has no batch-norm layer: there is nothing to re-estimate")
    modes = {module: module.training for module in model.modules()}
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.train()
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
    with torch.no_grad():
        for X in batches:
            model(X)
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
    ### END SOLUTION


# %% check="reestimate_batch_norm" points=4
check.reestimate_batch_norm(reestimate_batch_norm)

### BEGIN HIDDEN TESTS
from torch import nn

from flatlab.checks.chapter04.refusals import refusal, refusal_verdict
from flatlab.checks.chapter06.batch_norm import Gathered
from flatlab.checks.toys import normal


@check.reestimate_batch_norm.hidden("a convolutional network")
class Convolutional(Gathered):
    kind = "convolutional"


@check.reestimate_batch_norm.hidden("a network in evaluation mode")
class Evaluating(Gathered):
    training = False


@check.reestimate_batch_norm.hidden("no batch norm to re-estimate")
class NoBatchNorm:
    def draw(self, generator):
        return {"X": normal(generator, 4, 3)}

    def call(self, student, inputs):
        model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(3, 2)).double()
        return {"raised": refusal(student, model, [torch.tensor(inputs["X"])])}

    def verdict(self, inputs, outputs):
        return refusal_verdict(outputs["raised"], "a network of Linear and LayerNorm layers")


check.reestimate_batch_norm.grade(reestimate_batch_norm)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 7 · A learning rate that comes and goes   ●●○○ · 2 points · 5 min
#
# Fast geometric ensembling (Garipov et al., 2018) keeps training a network with a learning rate that comes down from `high`, so that
# the weights settle, and goes back up, so that they move on; a copy is kept at each low. Write
# `fge_learning_rate(step, cycle, low, high)`, the rate of one step. Within each cycle
#
# $$t = \frac{(\text{step mod cycle}) + 1}{\text{cycle}}, \qquad
# \eta = \begin{cases} (1 - 2t)\,\text{high} + 2t\,\text{low}, & t \le \tfrac12, \\
# \text{straight from low back to high}, & t > \tfrac12, \end{cases}$$
#
# so that the rate is `low` at t = ½ and `high` at t = 1.
# - `step`: a whole number, counted from 0.
# - `cycle`: a whole number of steps, even and at least 2; for any other raise `ValueError`, since it has no middle.
# - `low`, `high`: numbers, 0 < low ≤ high, learning rates. Returns a number.
#
# <details><summary>Hint</summary>
#
# Make a table of one cycle of 4 steps by hand: t is ¼, ½, ¾, 1. The second half mirrors the first one: which t of the
# first half has the rate of t = ¾?
#
# </details>


# %% exercise="fge_learning_rate"
def fge_learning_rate(step, cycle, low, high):
    """The rate of a step, counted from 0: from high down to low and back in each cycle."""
    ### BEGIN SOLUTION
    if cycle < 2 or cycle % 2:
        raise ValueError(f"cycle is {cycle}: give an even number of steps, so that it has a middle")
    t = (step % cycle + 1) / cycle
    return low + (high - low) * abs(1 - 2 * t)
    ### END SOLUTION


# %% check="fge_learning_rate" points=2
check.fge_learning_rate(fge_learning_rate)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter06.cycles import Cycles, NoMiddle


@check.fge_learning_rate.hidden("a cycle of two steps")
class TwoSteps(Cycles):
    cycle = 2


@check.fge_learning_rate.hidden("a step far into training")
class FarOn(Cycles):
    first = 6_000_001


@check.fge_learning_rate.hidden("a cycle without a middle")
class OddCycle(NoMiddle):
    pass


check.fge_learning_rate.grade(fge_learning_rate)
### END HIDDEN TESTS
