# %% setup
# A scratch file: these cells go to their places in the chapter's source, and this one is its setup.
import math

import torch

from flatlab.checks import chapter05 as check

# %% [markdown]
# ### Exercise 1 · The steepest step in a p-norm   ●●●○ · 4 points · 10 min
#
# Write `dual_norm_ascent(grads, rho, p)`: the step $\hat\epsilon$ with $\|\hat\epsilon\|_p \le \rho$ along which the
# linear function $\epsilon^\top g$ grows most,
#
# $$\hat\epsilon = \rho\, \operatorname{sign}(g)\, \frac{|g|^{q-1}}{\left(\|g\|_q^q\right)^{1/p}},
# \qquad \frac1p + \frac1q = 1.$$
#
# - `grads`: list of float tensors of any shapes, together the gradient g. They stay as they are. The norms run over all
#   entries of all tensors.
# - `rho` ρ ≥ 0, in the parameters' units; `p` from 1 to `math.inf`.
# - Returns a list of new tensors shaped like `grads`. At both ends the formula is to be read as a limit: for p = ∞ every
#   entry has the size ρ, for p = 1 all of ρ is on the largest $|g_i|$ (where several are largest, on one of them or shared
#   out). Where g = 0 the step is 0.
# - Gradients may be small: with p = 1.1 and $|g_i| = 10^{-5}$ the power $|g_i|^q = |g_i|^{11}$ is 0 in float32.
#
# <details><summary>Hint</summary>
#
# What becomes of $\hat\epsilon$ when g is multiplied by 1000? A gradient can be brought to a convenient size before any
# power is taken. To test a step, compute its p-norm, and $\hat\epsilon^\top g$, which is $\rho \|g\|_q$ for the best one.
#
# </details>


# %% exercise="dual_norm_ascent"
def dual_norm_ascent(grads, rho, p):
    """argmax of e.g over |e|_p <= rho, g all of grads together: a list of tensors like grads."""
    ### BEGIN SOLUTION
    peak = max(float(g.abs().max()) for g in grads)
    if peak == 0:
        return [torch.zeros_like(g) for g in grads]
    if p == math.inf:
        return [rho * g.sign() for g in grads]
    if p == 1:
        count = sum((g.abs() == peak).sum() for g in grads)
        return [rho * g.sign() * (g.abs() == peak) / count for g in grads]
    q = p / (p - 1)
    scaled = [g / peak for g in grads]
    total = sum((r.abs() ** q).sum() for r in scaled)
    return [rho * r.sign() * r.abs() ** (q - 1) / total ** (1 / p) for r in scaled]
    ### END SOLUTION


# %% check="dual_norm_ascent" points=4
check.dual_norm_ascent(dual_norm_ascent)

### BEGIN HIDDEN TESTS
import math

import numpy as np
import torch

from flatlab.checks.chapter05.ascent import HINTS, AlongGradient
from flatlab.checks.chapter05.truths import flat, listed


@check.dual_norm_ascent.hidden("a gradient of zero")
class ZeroGradient(AlongGradient):
    powers = (2.0, 3.0, 1.0, math.inf)

    def draw(self, generator):
        grads = [torch.zeros(2, 3).double(), torch.zeros(4).double()]
        return {**super().draw(generator), "grads": grads}

    def verdict(self, inputs, outputs):
        for p, step in zip(inputs["powers"], outputs["steps"]):
            if np.isnan(flat(step)).any():
                return f"For g = 0 and p = {p:g} the step is NaN, 0/0; it should be 0."
            if flat(step).any():
                return f"For g = 0 and p = {p:g} the step should be 0."
        return None


@check.dual_norm_ascent.hidden("several largest entries at p = 1")
class SeveralLargest:
    hints = HINTS

    def draw(self, generator):
        grads = [torch.tensor([[3.0, -1.0], [-3.0, 0.0]]), torch.tensor([2.0, 3.0])]
        return {"grads": [g.double() for g in grads], "rho": 0.6}

    def call(self, student, inputs):
        grads = [torch.tensor(g) for g in inputs["grads"]]
        return {"step": listed(student(grads, inputs["rho"], 1.0), grads)}

    def verdict(self, inputs, outputs):
        step, g, rho = flat(outputs["step"]), flat(inputs["grads"]), inputs["rho"]
        size, gain = np.abs(step).sum(), step @ g
        if not abs(size - rho) < 1e-5:
            return f"Three entries are largest, and the step has 1-norm {size:.4g}; rho is {rho:g}."
        if not abs(gain - rho * 3) < 1e-4:
            return f"Three entries are largest, and e.g is {gain:.4g}; the largest is {3 * rho:g}."
        return None


@check.dual_norm_ascent.hidden("tiny gradients in float32")
class TinyGradients(AlongGradient):
    powers = (1.1, 2.0)

    def draw(self, generator):
        drawn = super().draw(generator)
        return {**drawn, "grads": [(1e-6 * g).float() for g in drawn["grads"]]}


@check.dual_norm_ascent.hidden("grads that are left as they were")
class LeavesGrads(AlongGradient):
    measured = ("after",)
    powers = (2.0, 1.5, math.inf, 1.0)

    def call(self, student, inputs):
        grads = [torch.tensor(g) for g in inputs["grads"]]
        for p in inputs["powers"]:
            student(list(grads), inputs["rho"], p)
        return {"after": grads}

    def verdict(self, inputs, outputs):
        if (flat(outputs["after"]) != flat(inputs["grads"])).any():
            return (
                "The caller's gradients have changed: an operation with _ at its end, or `*=`, writes "
                "into them."
            )
        return None


check.dual_norm_ascent.grade(dual_norm_ascent)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 2 · The gradient at w + ε̂   ●●○○ · 3 points · 7 min
#
# Write `sam_gradient(loss_fn, params, rho)`, what SAM takes instead of the gradient: $\nabla L(w + \hat\epsilon)$ with
# $\hat\epsilon = \rho\, g / \|g\|_2$, g = ∇L(w), a number that is taken as given. `dual_norm_ascent` may help.
# - `loss_fn`: takes a list of tensors like `params`, returns the loss, 0-d.
# - `params`: list of float tensors that require a gradient. They and their `.grad` stay as they were, **bit for bit**.
# - `rho` ρ ≥ 0, in the parameters' units.
# - Returns a list of tensors shaped like `params`; zeros for a parameter that does not enter the loss. Where g = 0, it is
#   0.
#
# <details><summary>Hint</summary>
#
# `loss_fn` takes any list of tensors, so nothing has to be moved: it can be called on a list of your own. By what must the
# second loss be differentiated? And is $\hat\epsilon$ still part of a graph there?
#
# </details>


# %% exercise="sam_gradient"
def sam_gradient(loss_fn, params, rho):
    """The gradient of loss_fn at w + rho g/|g|_2: a list of tensors like params."""
    ### BEGIN SOLUTION
    grads = torch.autograd.grad(loss_fn(params), params, materialize_grads=True)
    steps = dual_norm_ascent(grads, rho, 2.0)
    moved = [(w + e).detach().requires_grad_() for w, e in zip(params, steps)]
    return list(torch.autograd.grad(loss_fn(moved), moved, materialize_grads=True))
    ### END SOLUTION


# %% check="sam_gradient" points=3
check.sam_gradient(sam_gradient)

### BEGIN HIDDEN TESTS
import numpy as np
import torch

from flatlab.checks.chapter05.gradient import Kept, Network, Quadratic
from flatlab.checks.chapter05.truths import flat, loss_of


@check.sam_gradient.hidden("a minimum, where the gradient is 0")
class AtMinimum(Quadratic):
    def draw(self, generator):
        drawn = super().draw(generator)
        zeros = torch.zeros(5).double()
        return {**drawn, "b": zeros, "params": [zeros]}

    def verdict(self, inputs, outputs):
        got = flat(outputs["result"])
        if np.isnan(got).any():
            return "Where g = 0 the result is NaN: g/|g| is 0/0 there. The step is 0."
        if got.any():
            return f"Where g = 0 the step is 0, and the gradient stays 0; yours has length {np.linalg.norm(got):.3g}."
        return None


@check.sam_gradient.hidden("a parameter that does not enter the loss")
class Unused(Network):
    def draw(self, generator):
        drawn = super().draw(generator)
        return {**drawn, "params": [*drawn["params"], torch.ones(2).double()]}

    def loss(self, inputs):
        return lambda params: loss_of(inputs)(list(params)[:-1])


@check.sam_gradient.hidden("a .grad that held something before")
class GradBefore(Kept):
    grad = 3.0


check.sam_gradient.grade(sam_gradient)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 3 · A step of SAM   ●●●○ · 4 points · 12 min
#
# Write `sam_step(model, loss_fn, optimizer, rho)`, one step of the slides' algorithm 1 with any optimizer:
# 1. the gradient g at w,
# 2. the parameters to w + ρ g/‖g‖₂,
# 3. the gradient there,
# 4. the parameters back to w,
# 5. the optimizer's step with the gradient of 3.
#
# The arguments:
# - `model`: a module; g and its norm run over all parameters that get a gradient. The others stay where they are.
# - `loss_fn`: takes the model, returns the loss on the current batch, 0-d.
# - `optimizer`: a PyTorch optimizer over the model's parameters. It steps once. The `.grad` that earlier steps left are not
#   to count.
# - `rho` ρ ≥ 0, in the parameters' units. Where g = 0 the parameters do not move in 2.
# - Returns the loss at w, a number or a 0-d tensor.
#
# In 4 the parameters are back at w **bit for bit**, also when `loss_fn` raises an error at w + ε̂: the error then goes on
# to the caller, and no step is made.
#
# <details><summary>Hint</summary>
#
# Is (1e-8 + 1) − 1 = 1e-8 in float32? What does Python run on its way out of a block, error or not? `w.add_(e)` and
# `w.copy_(v)` write into a parameter where no graph is recorded.
#
# </details>


# %% exercise="sam_step"
def sam_step(model, loss_fn, optimizer, rho):
    """One step of the optimizer with the gradient at w + rho g/|g|_2; returns the loss at w."""
    ### BEGIN SOLUTION
    optimizer.zero_grad()
    loss = loss_fn(model)
    loss.backward()
    params = [w for w in model.parameters() if w.grad is not None]
    before = [w.detach().clone() for w in params]
    steps = dual_norm_ascent([w.grad for w in params], rho, 2.0)
    try:
        with torch.no_grad():
            for w, e in zip(params, steps):
                w.add_(e)
        optimizer.zero_grad()
        loss_fn(model).backward()
    finally:
        with torch.no_grad():
            for w, value in zip(params, before):
                w.copy_(value)
    optimizer.step()
    return loss.item()
    ### END SOLUTION


# %% check="sam_step" points=4
check.sam_step(sam_step)

### BEGIN HIDDEN TESTS
import numpy as np
import torch

from flatlab.checks.answers import compare
from flatlab.checks.chapter02.batches import lent
from flatlab.checks.chapter05 import truths
from flatlab.checks.chapter05.modules import Descent, built, module_loss
from flatlab.checks.chapter05.step import HINTS, OneStep, Restored, restored_verdict
from flatlab.checks.chapter05.truths import dual_norm_ascent as right_ascent


@check.sam_step.hidden("a loss that raises an error at w + e")
class RaisesAtSecondPoint(Restored):
    measured = ("after", "raised")
    rate, steps = 0.3, 1

    def call(self, student, inputs):
        model, loss, passes = built(inputs), module_loss(inputs), []

        def breaking(module):
            passes.append(1)
            if len(passes) == 2:
                raise FloatingPointError("this loss breaks at w + e")
            return loss(module)

        sgd, raised = Descent(model.parameters(), inputs["rate"]), "nothing"
        try:
            with lent(student, dual_norm_ascent=right_ascent):
                student(model, breaking, sgd, inputs["rho"])
        except FloatingPointError:
            raised = "it"
        return {"after": [p.detach() for p in model.parameters()], "raised": raised}

    def verdict(self, inputs, outputs):
        where = "After an error at w + e"
        if message := restored_verdict(inputs["params"], outputs["after"], where):
            return f"{message} `finally` runs with and without an error."
        if outputs["raised"] != "it":
            return "The error of loss_fn is kept from the caller: let it go on."
        return None


@check.sam_step.hidden("a gradient of zero")
class ZeroGradient(Restored):
    hints = HINTS
    rate, steps = 0.3, 1

    def call(self, student, inputs):
        model = built(inputs)
        sgd = Descent(model.parameters(), inputs["rate"])
        with lent(student, dual_norm_ascent=right_ascent):
            student(model, lambda m: 0.0 * module_loss(inputs)(m), sgd, inputs["rho"])
        return {"after": [p.detach() for p in model.parameters()]}

    def verdict(self, inputs, outputs):
        where = "Where the gradient is 0"
        return restored_verdict(inputs["params"], outputs["after"], where)


@check.sam_step.hidden("a frozen layer")
class FrozenLayer(OneStep):
    def call(self, student, inputs):
        model = built(inputs)
        model[0].requires_grad_(False)
        sgd = Descent(model.parameters(), inputs["rate"])
        with lent(student, dual_norm_ascent=right_ascent):
            student(model, module_loss(inputs), sgd, inputs["rho"])
        return {"after": [p.detach() for p in model.parameters()]}

    def verdict(self, inputs, outputs):
        params = inputs["params"]
        frozen = sum(np.size(p) for p in params[:2])
        loss, live = truths.loss_of(inputs), np.arange(truths.flat(params).size) >= frozen
        e = truths.ascent(live * truths.gradient(loss, params), inputs["rho"])
        v = live * truths.gradient(loss, params, e)
        right = truths.flat(params) - inputs["rate"] * v
        return compare(truths.flat(outputs["after"]), right, 1e-5)


check.sam_step.grade(sam_step)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 4 · The term that is dropped   ●●●● · 3 points · 12 min
#
# The step moves with w, so the gradient of the function $w \mapsto L(w + \hat\epsilon(w))$ is
#
# $$\nabla L(w + \hat\epsilon) + \left(\frac{d\hat\epsilon}{dw}\right)^{\!\top} \nabla L(w + \hat\epsilon),
# \qquad \hat\epsilon(w) = \rho\, \frac{\nabla L(w)}{\|\nabla L(w)\|_2},$$
#
# and SAM drops the second term. Write `sam_gradient_exact(loss_fn, params, rho)`: both together.
# - `loss_fn`, `params`, `rho` as in exercise 2. The gradient at w is not 0, and some parameters may enter the loss linearly
#   or not at all.
# - Returns a list of tensors shaped like `params`. These and their `.grad` stay as they were. A network's Hessian does not fit
#   into memory; its product with one vector is enough.
#
# <details><summary>Hint</summary>
#
# Two ways: let autograd differentiate through $\hat\epsilon$, or by hand. By hand, with $n = g/\|g\|$ and v the gradient at
# $w + \hat\epsilon$: how does $\hat\epsilon$ change when g changes along n, and when it changes across? What remains is a
# Hessian-vector product.
#
# </details>


# %% exercise="sam_gradient_exact"
def sam_gradient_exact(loss_fn, params, rho):
    """The gradient of w -> L(w + rho g/|g|_2), g = g(w): a list of tensors like params."""
    ### BEGIN SOLUTION
    loss = loss_fn(params)
    grads = torch.autograd.grad(loss, params, create_graph=True, materialize_grads=True)
    length = sum(g.square().sum() for g in grads).sqrt()
    moved = [w + rho * g / length for w, g in zip(params, grads)]
    return list(torch.autograd.grad(loss_fn(moved), params, materialize_grads=True))
    ### END SOLUTION


# %% check="sam_gradient_exact" points=3
check.sam_gradient_exact(sam_gradient_exact)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter05.exact import HINTS, WithExtra
from flatlab.checks.chapter05.gradient import Kept


@check.sam_gradient_exact.hidden("a parameter that enters linearly")
class Linear(WithExtra):
    def extra(self, c):
        return 0.7 * c.sum()


@check.sam_gradient_exact.hidden("a parameter that does not enter the loss")
class Unused(WithExtra):
    def extra(self, c):
        return 0.0


@check.sam_gradient_exact.hidden("params and their .grad left alone")
class LeftAlone(Kept):
    hints = HINTS
    grad = 3.0


check.sam_gradient_exact.grade(sam_gradient_exact)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 5 · Adaptive SAM   ●●○○ · 3 points · 8 min
#
# Multiply one layer of a ReLU network by α and divide the next by α: the function is the same, but a ball of radius ρ around
# the weights now reaches other functions. Adaptive SAM measures the step relative to the weights, in the ball
# $\|\epsilon / |w|\|_2 \le \rho$, entry by entry. In it the best step is
#
# $$\hat\epsilon_i = \rho\, \frac{w_i^2\, g_i}{\big\|\,|w|\, g\,\big\|_2}.$$
#
# Write `adaptive_ascent(params, grads, rho)`.
# - `params`, `grads`: lists of float tensors of the same shapes, w and g. They stay as they are. The norm runs over all entries
#   of all tensors.
# - `rho` ρ ≥ 0, without units.
# - Returns a list of new tensors like `grads`, the step alone. A weight of 0 does not move, and the step is 0 where all
#   $w_i g_i$ are 0. No constant is added to |w|, as some programs do: the step is to be **exactly** invariant. When w → cw and
#   g → g/c in one entry, $\hat\epsilon \to c\,\hat\epsilon$ there, and the other entries do not change.
#
# <details><summary>Hint</summary>
#
# With $\epsilon_i = |w_i|\, d_i$ the ball is $\|d\|_2 \le \rho$. What is the gradient by d, and where does exercise 1 lead from
# there?
#
# </details>


# %% exercise="adaptive_ascent"
def adaptive_ascent(params, grads, rho):
    """rho w^2 g / | |w| g |_2, one norm over all tensors: a list of tensors like grads."""
    ### BEGIN SOLUTION
    scaled = [w.detach().abs() * g for w, g in zip(params, grads)]
    length = sum(s.square().sum() for s in scaled).sqrt()
    if length == 0:
        return [torch.zeros_like(g) for g in grads]
    return [rho * w.detach().abs() * s / length for w, s in zip(params, scaled)]
    ### END SOLUTION


# %% check="adaptive_ascent" points=3
check.adaptive_ascent(adaptive_ascent)

### BEGIN HIDDEN TESTS
import numpy as np
import torch

from flatlab.checks.chapter05.adaptive import Formula, Invariance
from flatlab.checks.chapter05.truths import flat, listed
from flatlab.checks.toys import leaves


@check.adaptive_ascent.hidden("weights that are zero, and a gradient that is zero")
class Zeros(Formula):
    def call(self, student, inputs):
        steps = []
        for of_w, of_g in ((0, 1), (1, 0)):
            params = leaves([of_w * np.asarray(w) for w in inputs["params"]])
            grads = [of_g * torch.tensor(g) for g in inputs["grads"]]
            steps.append(listed(student(params, grads, inputs["rho"]), grads))
        return {"steps": steps}

    def verdict(self, inputs, outputs):
        for what, step in zip(("all weights are", "the gradient is"), outputs["steps"]):
            if np.isnan(flat(step)).any():
                return f"Where {what} 0 the step is NaN, 0/0; it should be 0."
            if flat(step).any():
                return f"Where {what} 0 the step should be 0."
        return None


@check.adaptive_ascent.hidden("an alpha of 1/1000")
class SmallAlpha(Invariance):
    alpha = 1e-3


@check.adaptive_ascent.hidden("params and grads left as they were")
class LeavesBoth(Formula):
    def call(self, student, inputs):
        params = leaves(inputs["params"])
        grads = [torch.tensor(g) for g in inputs["grads"]]
        student(params, grads, inputs["rho"])
        return {"params": [p.detach() for p in params], "grads": grads}

    def verdict(self, inputs, outputs):
        for name in ("params", "grads"):
            if (flat(outputs[name]) != flat(inputs[name])).any():
                return f"The {name} that were passed in have changed: return new tensors."
        return None


check.adaptive_ascent.grade(adaptive_ascent)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 6 · The average of weights   ●●○○ · 2 points · 6 min
#
# Stochastic weight averaging takes the mean of the weights that a run visits. Write `swa_average(states)`.
# - `states`: list of at least one state dict of the same network, each a dictionary from names to tensors. The list, the
#   dictionaries and the tensors stay as they are.
# - Returns a new dictionary with the same names and new tensors, which share no memory with the states: the mean of every
#   floating-point entry, all states with the same weight (running statistics of batch norm too, which chapter 06 estimates
#   anew), and of entries that hold whole numbers, such as the count `num_batches_tracked`, those of the **last** state.
#
# <details><summary>Hint</summary>
#
# `tensor.is_floating_point()` tells the two kinds apart. Which names in your function stand for a tensor of the caller, and
# which operation on them makes a new one?
#
# </details>


# %% exercise="swa_average"
def swa_average(states):
    """The mean of state dicts: floating-point entries averaged, whole numbers from the last one."""
    ### BEGIN SOLUTION
    average = {}
    for name, last in states[-1].items():
        if last.is_floating_point():
            average[name] = sum(state[name] for state in states) / len(states)
        else:
            average[name] = last.clone()
    return average
    ### END SOLUTION


# %% check="swa_average" points=2
check.swa_average(swa_average)

### BEGIN HIDDEN TESTS
import numpy as np

from flatlab.checks.chapter05.average import FourStates, read, states_of
from flatlab.checks.chapter05.truths import flat


@check.swa_average.hidden("a single state")
class SingleState(FourStates):
    count = 1


@check.swa_average.hidden("a result with memory of its own")
class OwnMemory(FourStates):
    count = 2

    def call(self, student, inputs):
        pairs = []
        for states in (states_of(inputs), states_of(inputs)[:1]):
            result = student(states)
            before = read(result, states)
            for one in states:
                for entry in one.values():
                    entry.fill_(77)
            pairs.append([before, read(result, states)])
        return {"pairs": pairs}

    def verdict(self, inputs, outputs):
        for before, after in outputs["pairs"]:
            if (flat(before["floats"]) != flat(after["floats"])).any():
                return "When the states change later, the average changes with them: .clone() their tensors."
            if np.any(before["count"] != after["count"]):
                return "When the last state's count changes later, the average's does too: .clone() it."
        return None


check.swa_average.grade(swa_average)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 7 · A penalty on the Hessian   ●●●○ · 4 points · 12 min
#
# The slides name "using the Hessian for regularization": add λ tr H to the loss. The trace comes from Hessian-vector products, by
# Hutchinson's estimate
#
# $$\operatorname{tr} H = \mathbb E\, z^\top H z, \qquad z_i = \pm 1 \text{ independently, each with probability } \tfrac12.$$
#
# Write `hessian_penalty(loss_fn, params, probes, generator)`: the mean of $z^\top H z$ over `probes` vectors z.
# - `loss_fn`: takes a list of tensors like `params`, returns the loss, 0-d. H is the matrix of its second derivatives by all
#   parameters at once; some parameters may enter the loss linearly or not at all.
# - `params`: list of float tensors that require a gradient. They and their `.grad` stay as they were.
# - `probes`: how many vectors z, at least 1; `generator`: a `torch.Generator`, which all signs are drawn with.
# - Returns a 0-d tensor, in the loss's unit over the squared unit of the parameters, **with its graph**: training
#   differentiates it by `params` once more.
#
# <details><summary>Hint</summary>
#
# Which of your two derivatives will be differentiated again, by you or by training? For a loss without mixed derivatives, such as
# $\sum_i a_i w_i^2$, every single z gives the trace exactly: test with it.
#
# </details>


# %% exercise="hessian_penalty"
def hessian_penalty(loss_fn, params, probes, generator):
    """The mean of z.Hz over random signs z, an estimate of tr H: a 0-d tensor with its graph."""
    ### BEGIN SOLUTION
    keep = {"create_graph": True, "materialize_grads": True}
    grads = torch.autograd.grad(loss_fn(params), params, **keep)
    total = 0.0
    for _ in range(probes):
        signs = [2 * torch.randint(0, 2, w.shape, generator=generator).to(w) - 1 for w in params]
        slope = sum((g * z).sum() for g, z in zip(grads, signs))
        products = torch.autograd.grad(slope, params, **keep)
        total = total + sum((z * h).sum() for z, h in zip(signs, products))
    return total / probes
    ### END SOLUTION


# %% check="hessian_penalty" points=4
check.hessian_penalty(hessian_penalty)

### BEGIN HIDDEN TESTS
import numpy as np
import torch

from flatlab.checks.answers import compare
from flatlab.checks.chapter01.products import seeded
from flatlab.checks.chapter05.penalty import HINTS, Differentiable, Mixed, number
from flatlab.checks.chapter05.truths import kept_verdict, state, with_grads
from flatlab.checks.toys import leaves


@check.hessian_penalty.hidden("parameters that enter linearly or not at all")
class LinearAndUnused(Differentiable):
    def call(self, student, inputs):
        known = self.loss(inputs)
        params = leaves([*inputs["params"], np.ones(2), np.ones(3)])

        def loss(ws):
            return known(list(ws)[:2]) + 0.7 * ws[2].sum()

        return {"penalty": number(student(loss, params, 2, seeded(1)))}

    def verdict(self, inputs, outputs):
        w = np.concatenate([np.ravel(p) for p in inputs["params"]])
        return compare(outputs["penalty"], np.sum(np.asarray(inputs["c"]) * w**2), 1e-4)


@check.hessian_penalty.hidden("signs of their own for every tensor")
class SignsOfTheirOwn(Mixed):
    def draw(self, generator):
        """The only mixed derivatives are those between equal places of the two tensors."""
        drawn = super().draw(generator)
        h = torch.eye(6).double()
        h[:3, 3:] = h[3:, :3] = 2 * torch.eye(3).double()
        return {**drawn, "H": h}

    def verdict(self, inputs, outputs):
        values = np.array([float(one) for one in [outputs["mean"], *outputs["others"]]])
        if np.allclose(values, np.asarray(inputs["H"]).sum(), rtol=1e-4):
            return "Two tensors of one shape got the same signs: draw new ones for each."
        return super().verdict(inputs, outputs)


@check.hessian_penalty.hidden("params and their .grad left alone")
class Kept(Differentiable):
    measured = ("after", "flags", "has_grad", "grads")
    hints = HINTS

    def call(self, student, inputs):
        params = leaves(inputs["params"])
        with_grads(params, 3.0)
        student(self.loss(inputs), params, 2, seeded(1))
        return state(params)

    def verdict(self, inputs, outputs):
        return kept_verdict(inputs["params"], outputs, 3.0)


check.hessian_penalty.grade(hessian_penalty)
### END HIDDEN TESTS
