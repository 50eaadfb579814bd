# %% [markdown]
# # 06 · Valleys that join minima
#
# <!-- badges -->
#
# The chapters so far spoke of *the* minimum in which a run ends, as if it lay in a hole of its own. The slides of this chapter
# say that it does not: between two independently trained networks the straight line climbs over a wall, but there is a
# curve along which the loss stays low all the way. You will find such curves, draw the slides' planes, and measure what
# the wall depends on, and what the valley is good for.
#
# **After this chapter you can**
# - measure the wall between two networks, and say what it depends on: width, the order of the units, batch norm,
# - train a polygonal chain and a Bézier curve between two networks, with the gradient in the bend by the chain rule,
# - draw the loss on the plane through three networks, and say what such a picture shows and what not,
# - turn one training run into an ensemble, and compare it fairly with independent networks.
#
# **Time** 139 minutes. **Prerequisites** [chapter 01](../01-sharp-and-flat/01-sharp-and-flat.ipynb) ($\lambda_{\max}$, rescaled
# networks), [chapter 00](../00-start-here/00-start-here.ipynb); gradients, batch normalization.
# **Slides** *Sharpness-Aware Minimization. Mode Connectivity. Grokking. Double Descent* (Optimization for ML, HSE University),
# the part on mode connectivity, after Garipov, Izmailov, Podoprikhin, Vetrov and Wilson (2018).

# %% setup
# <!-- install -->
import copy
import functools
import math

import torch
from torch import nn

import flatlab
from flatlab import averaging, curves, models, plots, widgets
from flatlab.checks import chapter06 as check
from flatlab.checks import ready
from flatlab.evaluation import evaluate
from flatlab.notebook import predict, progress, reveal, settings
from flatlab.sweeps import Run, sweep

device = "cuda" if torch.cuda.is_available() else "cpu"

# %% settings
# Each row is a setting, each column a scale. Choose with the environment variable FLATLAB_SCALE.
setting = settings(
    {
        #                  quick, laptop, paper
        "train_images": (64, 2048, 60_000),
        "test_images": (64, 10_000, 10_000),
        "width": (6, 64, 512),
        "batch_size": (32, 64, 128),
        "epochs": (1, 40, 40),
        "points": (5, 31, 61),  # on a curve
        "ring_steps": (20, 2000, 20_000),
        "curve_epochs": (1, 60, 80),
        "grid": (3, 21, 41),  # points on a side of a plane
        "plane_images": (64, 512, 10_000),
        "norm_epochs": (1, 40, 40),
        "norm_points": (3, 21, 61),
        "widths": ((4,), (8, 32, 128), (8, 32, 128, 512, 2048)),
        "width_seeds": (2, 3, 5),
        "width_points": (3, 15, 31),
        "small_batch": (16, 16, 16),
        "large_batch": (64, 2048, 10_000),
        "fitted_loss": (2.3, 0.05, 0.01),
        "fit_epochs": (1, 1000, 2000),  # at most, to reach that loss
        "sharp_points": (3, 9, 31),
        "sharp_images": (64, 512, 10_000),
        "budget": (2, 30, 100),  # epochs of one training
        "fge_start": (1, 22, 80),  # epochs before the first cycle
        "cycles": (1, 5, 6),
        "fge_seeds": (1, 3, 5),
    }
)

# %% [markdown]
# ## 1 · A wall between two networks   (≈ 14 min)
#
# Take a network, 784-64-64-10 with ReLU on the first 2048 images of Fashion-MNIST, and train it three times from three
# random starts. All three fit the images. Their weights $\hat w_1, \hat w_2, \hat w_3$ are points of a space with
# 55,050 dimensions, and the shortest way from one to another is the straight line $(1-t)\,\hat w_1 + t\,\hat w_2$,
# $0 \le t \le 1$. What happens to the loss on it?


# %% folded
cross_entropy = nn.functional.cross_entropy
clothes = flatlab.load_dataset(
    "fashion_mnist",
    n_train=setting.train_images,
    n_test=setting.test_images,
    device=device,
    fallback="digits",
)
few = tuple(part[: setting.plane_images] for part in clothes.train)
WAYS = {  # one look for each way between two networks
    "straight line": {"color": plots.COLORS["black"], "linestyle": ":"},
    "chain": {"color": plots.COLORS["blue"], "linestyle": "--"},
    "Bézier curve": {"color": plots.COLORS["orange"], "linestyle": "-"},
}
PAPER = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}


def builder(width=setting.width, batch_norm=False):
    """Generator -> an untrained ReLU network with two hidden layers of this width."""
    sizes = (clothes.X_train[0].numel(), width, width, 10)
    return lambda generator: models.mlp(sizes, batch_norm, generator=generator)


def steps_of(epochs):
    """Minibatches in so many passes over the training set."""
    return epochs * math.ceil(len(clothes.X_train) / setting.batch_size)


def trained(seeds, build, epochs):
    """A network for each seed: SGD with momentum 0.9, the learning rate from 0.05 to 0 along a cosine."""
    steps = steps_of(epochs)

    def cosine(step):
        return (1 + math.cos(math.pi * step / steps)) / 2

    runs = [
        Run(0.05, setting.batch_size, seed=seed, momentum=0.9, schedule=cosine) for seed in seeds
    ]
    outcomes = sweep(
        build,
        cross_entropy,
        clothes.train,
        runs,
        epochs=epochs,
        evaluate_every=10**6,
        engine="lockstep",
        description=f"{len(runs)} networks",
    )
    return [outcome.model(build).to(device) for outcome in outcomes]


def at_points(points, like, data, refresh=None):
    """Mean loss and error over the data with each of the weights: two tensors (m,)."""
    network, found = copy.deepcopy(like).eval(), []
    for point in points:
        place = torch.as_tensor(point).to(next(network.parameters()))
        nn.utils.vector_to_parameters(place, network.parameters())
        if refresh is not None:
            refresh(network)
        result = evaluate(network, cross_entropy, data)
        found.append((result.loss, 1 - result.accuracy))
    return torch.tensor(found, dtype=torch.float64).T


def log_axis(ax, label, ticks):
    """A logarithmic y-axis with these ticks alone."""
    ax.set(ylabel=label, yscale="log")
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


def straight(w1, w2, count=setting.points):
    """ts (count,) and the points of the straight line there."""
    ts = torch.linspace(0, 1, count, dtype=torch.float64)
    return ts, [torch.lerp(w1, w2, float(t)) for t in ts]


ends = trained(range(3), builder(), setting.epochs)
w1, w2, w3 = (curves.flatten(network) for network in ends)

# %% predict="training loss half-way between two trained networks"
# A network that gives every class the same probability has the loss ln 10 = 2.30.
predict(
    "training loss half-way between two trained networks",
    options=["below 0.5", "between 0.5 and 1.5", "above 1.5"],
    answer=...,
)

# %% [markdown]
# ### Exercise 1 · The barrier   ●●○○ · 3 points · 6 min
#
# How high is the wall between two networks? The measure of Entezari et al. (2022) takes the losses $L_0, \dots, L_{m-1}$ at m equally spaced points from one network to the other, and the highest rise above the
# straight line **between the losses at the two ends** (Frankle et al., 2020, subtract the mean of the two ends instead):
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
                "With a NaN among the losses it returns a number, as if nothing were wrong: "
                "Python's max passes over NaN, and so do np.nanmax and nan_to_num. It is NaN here."
            )
        return None


@check.barrier.hidden("the two ends alone")
class TwoEnds(Wall):
    def draw(self, generator):
        return {"losses": [0.7, 0.2]}


check.barrier.grade(barrier)
### END HIDDEN TESTS

# %% experiment="straight-line"
if ready(barrier):
    ts, line = straight(w1, w2)
    losses, errors = at_points(line, ends[0], clothes.train)
    test_losses, test_errors = at_points(line, ends[0], clothes.test)
    middle = float(losses[len(ts) // 2])
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.2)
    left.plot(ts, losses, label="training")
    left.plot(ts, test_losses, label="test")
    right.plot(ts, 100 * errors, label="training")
    right.plot(ts, 100 * test_errors, label="test")
    left.set(xlabel="t", ylabel="loss")
    right.set(xlabel="t", ylabel="error, %")
    for ax in (left, right):
        ax.legend(fontsize=8)
    for name, loss, error in (
        ("training", losses, errors),
        ("test", test_losses, test_errors),
    ):
        print(
            f"{name:9} loss {loss[0]:.3f} and {loss[-1]:.3f} at the ends, at most "
            f"{loss.max():.2f}, barrier {float(barrier(loss)):.2f};\n"
            f"{'':9} error {error[0]:.1%} and {error[-1]:.1%}, at most {error.max():.1%}"
        )
    lengths = [float(w.norm()) for w in (w1, w2, w2 - w1)]
    print(
        f"|w1| = {lengths[0]:.1f}, |w2| = {lengths[1]:.1f}, |w2 - w1| = {lengths[2]:.1f}, "
        f"cosine of the two {float(w1 @ w2) / (lengths[0] * lengths[1]):.2f}"
    )
    plots.show(
        fig,
        alt="Loss and error against t on the straight line between two trained networks: a hump "
        f"between two low ends. Training loss {losses[0]:.3f} and {losses[-1]:.3f} at the ends "
        f"and {losses.max():.2f} at its highest; training error up to {errors.max():.0%}, test "
        f"error up to {test_errors.max():.0%}.",
    )

# %% [markdown]
# Each network misclassifies 2 % of the training images and 18 % of the test images. Half-way between two of them a
# network misclassifies 35 % and 42 %: the training loss climbs from 0.08 to 1.04, a barrier of 0.96. The slides say of
# such lines that "a direct linear path between each mode would incur high loss", and so it is. (The test loss falls at
# first. A mixture has shorter weights and is less sure of itself, which helps networks that are too sure; the error
# does not fall.) Over five seeds (`docs/reproduction.md`) the highest loss on the line is 11.1 times that of the worse
# end, and less than ten times in one of them.
#
# The weights of the two have next to nothing in common: their cosine is −0.02, and the line is as long as for two
# random directions, 22 where each network is 15 away from 0. Section 6 asks whether they are as different as that.

# %% [markdown]
# ## 2 · A curve with one bend   (≈ 24 min)
#
# The slides go around the wall. A curve $\phi_\theta$ starts at $\phi_\theta(0) = \hat w_1$ and ends at $\phi_\theta(1)
# = \hat w_2$; both stay where they are. In between it depends on one more point of weight space, θ, and θ is trained so
# that the mean loss along the curve is small:
#
# $$\underset{\theta}{\text{minimize}} \quad \ell(\theta) = \int_0^1 L(\phi_\theta(t))\,dt = \mathbb E_{t \sim U(0,1)}\, L(\phi_\theta(t)).$$
#
# Two kinds of curve are enough for all that follows.

# %% [markdown]
# ### Exercise 2 · A chain with one bend   ●●○○ · 2 points · 6 min
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
# ### Exercise 3 · A Bézier curve   ●○○○ · 2 points · 4 min
#
# The other curve of the paper is smooth. Write `bezier(t, w1, theta, w2)`, with arguments, result and errors as in
# exercise 2:
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
# ### Exercise 4 · Which way to pull the bend   ●●●○ · 4 points · 9 min
#
# The curve is trained by moving θ so that the mean loss along it falls, $\ell(\theta) = \mathbb E_{t \sim U(0,1)}
# L(\phi_\theta(t))$. One t a step gives an unbiased estimate of its gradient. Write
# `curve_gradient(loss_grad, t, w1, theta, w2, curve)`: the gradient **in θ** of $L(\phi_\theta(t))$, for one t.
# - `loss_grad(w)`: returns ∇L(w), a tensor of the shape of w, without a graph. It is expensive: ask for it once.
# - `t`, `w1`, `theta`, `w2`: as in exercise 2. The tensors stay as they are, and none of them requires a gradient.
# - `curve`: `"chain"` or `"bezier"`. Call your `polychain` and `bezier` for the point.
# - Returns a tensor of the shape of θ.
#
# <details><summary>Hint</summary>
#
# For a fixed t the point is a straight-line function of θ. If θ moves by δ, by how much does the point move? Look at the
# formulas of exercises 2 and 3, at t = 0, t = ½ and t = 1 first. Where on the curve is the loss taken?
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
# First in two dimensions, where everything can be seen. The loss $L(w) = (|w|^2 - 1)^2$ has a valley that is a ring, and
# the two "networks" lie in it. The straight line between them cuts through the inside.

# %% predict="where θ of the Bézier curve ends, when the valley is a ring"
predict(
    "where θ of the Bézier curve ends, when the valley is a ring",
    options=["on the ring", "inside the ring", "outside the ring"],
    answer=...,
)


# %% folded
def train_bend(curve_gradient, kind, w1, w2, gradients, steps, rate):
    """θ after SGD with momentum 0.9 from the midpoint, the rate along a cosine.

    Each step takes one gradient of the loss, at one t.
    """
    theta, seeded = (w1 + w2) / 2, torch.Generator().manual_seed(0)
    speed = torch.zeros_like(theta)
    for k, gradient in enumerate(progress(gradients, kind, steps)):
        t = float(torch.rand((), generator=seeded))
        pull = torch.as_tensor(curve_gradient(gradient, t, w1, theta, w2, kind)).to(theta)
        speed = 0.9 * speed + pull
        theta = theta - rate * (1 + math.cos(math.pi * k / steps)) / 2 * speed
    return theta


def curve_kinds(polychain, bezier):
    """Name -> what curve_gradient calls it, and your function."""
    return {"chain": ("chain", polychain), "Bézier curve": ("bezier", bezier)}


def along(curve, w1, theta, w2, count=setting.points):
    """Points of your polychain or bezier at equally spaced t, from 0 to 1: (count, p)."""
    ts = torch.linspace(0, 1, count, dtype=torch.float64)
    return torch.stack([torch.as_tensor(curve(float(t), w1, theta, w2)) for t in ts])


def ring(w):
    return (w.square().sum(-1) - 1).square()


def ring_gradient(w):
    return 4 * (w.square().sum() - 1) * w


# %% experiment="ring"
bends = {}  # name -> θ
if ready(polychain, bezier, curve_gradient):
    angles = torch.deg2rad(torch.tensor([160.0, 20.0], dtype=torch.float64))
    start, end = torch.stack([angles.cos(), angles.sin()], dim=1)
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.6, width_ratios=(1, 1.2))
    grid = torch.linspace(-1.5, 1.8, 80, dtype=torch.float64)
    ys, xs = torch.meshgrid(grid, grid, indexing="ij")
    plots.contours(
        left,
        grid,
        grid,
        ring(torch.stack([xs, ys], dim=-1)),
        levels=[0.02, 0.2, 0.7, 2, 5],
        origin=False,
    )
    ways = {"straight line": torch.stack(straight(start, end, 101)[1])}
    steps = setting.ring_steps
    for name, (kind, curve) in curve_kinds(polychain, bezier).items():
        bends[name] = train_bend(
            curve_gradient, kind, start, end, [ring_gradient] * steps, steps, 0.01
        )
        ways[name] = along(curve, start, bends[name], end, 101)
    told = []
    for (name, points), marker in zip(ways.items(), " s^"):
        left.plot(*points.T, **WAYS[name])
        right.plot(torch.linspace(0, 1, 101), ring(points), label=name, **WAYS[name])
        told.append(
            f"{name}: mean loss {ring(points).mean():.3f}, highest {ring(points).max():.3f}"
        )
        if name in bends:
            left.plot(*bends[name], marker=marker, color=plots.COLORS["black"], linestyle="none")
            left.annotate(
                f"θ of the {name}",
                bends[name].tolist(),
                xytext=(8, 0),
                textcoords="offset points",
                fontsize=8,
                verticalalignment="center",
                bbox=PAPER,
                zorder=5,
            )
            told[-1] += f", |θ| = {bends[name].norm():.2f}"
    left.set(xlim=(-1.4, 1.4), ylim=(-1.2, 1.8), xlabel="first weight", ylabel="second weight")
    right.set(xlabel="t", ylabel="loss")
    right.legend(fontsize=8)
    print("\n".join(told))
    plots.show(
        fig,
        alt="Left: contour lines over the first and second weight of a loss whose valley is a "
        "ring, and three ways between two points of it; the straight line cuts through the "
        "inside, the chain and the Bézier curve follow the ring, with their bends above it. "
        "Right: the loss along each, against t. " + "; ".join(told) + ".",
    )

# %% [markdown]
# The line rises to 0.78. The Bézier curve follows the ring and stays below 0.01, and its θ lies outside, at distance
# 1.72: the curve passes through its ends alone, and θ pulls it. The chain passes through its θ, and its two straight
# pieces cannot follow a ring: inside the ring on the way, outside at the bend, it has a loss of up to 0.12. (Its loss
# has a kink at the bend. That does no harm: the gradient is taken in θ, never in t.) So one bend is little in two dimensions.
# How much is it in 55,050?

# %% [markdown]
# ## 3 · Two networks, joined   (≈ 12 min)
#
# The same function with 55,050 weights. Each step takes a minibatch and one t, asks for the gradient of the minibatch's loss at the
# curve's point, and your `curve_gradient` makes of it a gradient in θ. So a step costs what a step of training costs, and θ has as
# many numbers as a network. The two ends stay fixed.

# %% predict="highest training loss on a trained curve, against the highest on the straight line"
predict(
    "highest training loss on a trained curve, against the highest on the straight line",
    options=["about half as high", "about a tenth", "less than a twentieth"],
    answer=...,
)


# %% folded
def minibatch_gradients(like, epochs, seed=0):
    """For each minibatch of so many epochs: a function w -> gradient of its loss at w."""
    network, seeded = copy.deepcopy(like).train(), torch.Generator().manual_seed(seed)
    parameters, (X, y) = list(network.parameters()), clothes.train
    for _ in range(epochs):
        for batch in torch.randperm(len(X), generator=seeded).split(setting.batch_size):

            def gradient(w, X=X[batch], y=y[batch]):
                nn.utils.vector_to_parameters(torch.as_tensor(w).to(parameters[0]), parameters)
                loss = cross_entropy(network(X), y)
                return nn.utils.parameters_to_vector(torch.autograd.grad(loss, parameters))

            yield gradient


def join(kind, first, second, epochs=setting.curve_epochs):
    """θ of your curve between two trained networks."""
    w1, w2 = curves.flatten(first), curves.flatten(second)
    gradients = minibatch_gradients(first, epochs)
    return train_bend(curve_gradient, kind, w1, w2, gradients, steps_of(epochs), 0.05)


def length(points):
    """Of the way from point to point (m, p)."""
    return float(points.diff(dim=0).norm(dim=1).sum())


# %% experiment="curves"
thetas, highest = {}, {}  # name -> θ; name -> highest training loss
if ready(polychain, bezier, curve_gradient, barrier):
    ts, line = straight(w1, w2)
    ways = {"straight line": torch.stack(line)}
    for name, (kind, curve) in curve_kinds(polychain, bezier).items():
        thetas[name] = join(kind, *ends[:2])
        ways[name] = along(curve, w1, thetas[name], w2)
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.4)
    told = []
    print(f"{'':14} training: highest    mean  barrier   test error: highest    mean   length")
    for name, points in ways.items():
        losses, errors = at_points(points, ends[0], clothes.train)
        _, test_errors = at_points(points, ends[0], clothes.test)
        highest[name] = float(losses.max())
        left.plot(ts, losses, label=name, **WAYS[name])
        right.plot(ts, 100 * test_errors, label=name, **WAYS[name])
        print(
            f"{name:14} {losses.max():17.3f} {losses.mean():7.3f} {float(barrier(losses)):8.3f} "
            f"{test_errors.max():21.1%} {test_errors.mean():7.1%} "
            f"{length(points) / length(ways['straight line']):8.2f}"
        )
        told.append(
            f"{name}: training loss up to {losses.max():.3f}, test error up to "
            f"{test_errors.max():.1%}"
        )
    print(
        f"{'the ends':14} {max(losses[0], losses[-1]):17.3f} "
        f"{(losses[0] + losses[-1]) / 2:7.3f} {'':8} {max(test_errors[0], test_errors[-1]):21.1%} "
        f"{(test_errors[0] + test_errors[-1]) / 2:7.1%}"
    )
    log_axis(left, "training loss", (0.1, 0.2, 0.5, 1))
    left.set(xlabel="t")
    right.set(xlabel="t", ylabel="test error, %")
    for ax in (left, right):
        ax.legend(fontsize=8)
    plots.show(
        fig,
        alt="Training loss, on a logarithmic axis, and test error against t along three ways "
        "between two trained networks: the straight line rises, the chain and the Bézier curve "
        "stay low. " + "; ".join(told) + ".",
    )

# %% [markdown]
# Enough. On the chain the training loss is at most 0.095, on the Bézier curve 0.094, on the line 1.04; the barriers are
# 0.019 and 0.016 in the place of 0.96. The test error along the curves is at most 18.7 %, where the worse end has 18.2
# %. The slides' "path of near-constant loss" is there, and it is hardly longer than the line: by 25 % and by 6 %. So
# the two networks do not lie in two holes. They are two places in one valley, along which the loss stays below 0.1.
#
# In the middle of the chain the loss is even lower than at the ends, 0.06. The bend is a trained network, too, and saw
# 60 epochs to the ends' 40. Over five seeds the barriers of the chain and the Bézier curve are 1.2 % and 1.6 % of the
# line's. What these curves do not show: that *every* two minima are joined. Each curve was searched for and found.

# %% [markdown]
# ## 4 · The slides' picture   (≈ 20 min)
#
# Figure 5 of the slides shows three planes through weight space with the loss as contour lines. A plane is fixed by
# three points: on the left by three trained networks, in the middle and on the right by two networks and the bend θ of
# a curve between them. Every point of a curve with one bend is a mixture of $\hat w_1$, θ and $\hat w_2$ with shares
# that add up to 1, so the whole curve lies in its plane.

# %% predict="how far the bend θ lies from the straight line, in lengths of that line"
predict(
    "how far the bend θ lies from the straight line, in lengths of that line",
    options=["less than a tenth", "between a tenth and a half", "more than a half"],
    answer=...,
)

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
# $10^{-16}$ of a vector that should be 0, and dividing by that makes a unit vector of noise. For many points at once a
# matrix times a vector takes all inner products.
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


@check.plane_basis.hidden("lengths around 1e-7")
class Short(ThreePoints):
    tolerance = 1e-4

    def draw(self, generator):
        return {name: 1e-7 * w for name, w in super().draw(generator).items()}


@check.plane_basis.hidden("three points on one line")
class OneLine(OnOneLine):
    pass


check.plane_basis.grade(plane_basis)
### END HIDDEN TESTS


# %% folded
def on_plane(plane_basis, plane_coordinates, corners, like):
    """The plane through three weight vectors, by your functions, and the training loss on a grid of it."""
    first, second, third = (w.detach().cpu().double() for w in corners)
    u, v = (torch.as_tensor(side) for side in plane_basis(first, second, third))
    places = torch.as_tensor(plane_coordinates(torch.stack([first, second, third]), first, u, v))
    plane = curves.Plane(first, u, v, places, like)
    return plane, curves.losses_on_plane(plane, cross_entropy, few, *sides(plane))


def sides(plane):
    """xs and ys of a grid around the line from the first to the second network, in all planes alike."""
    span = float(plane.networks[1, 0])
    return tuple(
        span * torch.linspace(low, high, setting.grid, dtype=torch.float64)
        for low, high in ((-0.2, 1.2), (-0.3, 1.1))
    )


def draw_plane(ax, plane, found, names):
    """Contour lines of the loss, and the three corners by name."""
    levels = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]
    values = found.losses.nan_to_num(posinf=1e3)
    plots.contours(ax, found.xs, found.ys, values, levels=levels, origin=False)
    for corner, name, aside in zip(plane.networks.tolist(), names, ((-14, -14), (5, -14), (5, 5))):
        ax.plot(*corner, marker="o", color=plots.COLORS["black"], linestyle="none")
        ax.annotate(name, corner, xytext=aside, textcoords="offset points", bbox=PAPER, zorder=5)


# %% experiment="three-planes"
offsets = {}  # name -> distance of θ from the line, in lengths of the line
if ready(polychain, bezier, curve_gradient, barrier, plane_basis, plane_coordinates):
    fig, axes = plots.figure(columns=3, width=10.4, height=3.9, sharey=True)
    panels = (
        ("three networks", w3, "ŵ₃", None),
        ("Bézier curve", thetas["Bézier curve"], "θ", bezier),
        ("chain", thetas["chain"], "θ", polychain),
    )
    told = []
    for ax, (title, third, name, curve) in zip(axes, panels):
        plane, found = on_plane(plane_basis, plane_coordinates, (w1, w2, third), ends[0])
        draw_plane(ax, plane, found, ("ŵ₁", "ŵ₂", name))
        x, y = plane.networks[2].tolist()
        span = float(plane.networks[1, 0])
        if curve is None:
            ax.plot(*plane.networks[[0, 1, 2, 0]].T, **WAYS["straight line"])
        else:
            points = along(curve, w1, third, w2).detach().cpu().double()
            places = torch.as_tensor(plane_coordinates(points, plane.origin, plane.u, plane.v))
            ax.plot(*plane.networks[:2].T, **WAYS["straight line"])
            ax.plot(*places.T, **WAYS[title])
            offsets[title] = y / span
        ax.set_title(title, fontsize=10)
        ax.set(xlabel="x")
        told.append(
            f"{title}: {name} at x = {x / span:.2f}, y = {y / span:.2f} lengths of the line"
        )
    axes[0].set(ylabel="y")
    print("\n".join(told))
    pairs = {"1 and 2": (w1, w2), "2 and 3": (w2, w3), "3 and 1": (w3, w1)}
    for name, (a, b) in pairs.items():
        losses, _ = at_points(straight(a, b)[1], ends[0], clothes.train)
        print(f"barrier between networks {name}: {float(barrier(losses)):.2f}")
    plots.show(
        fig,
        alt="Contour lines of the training loss on three planes, each through the same two "
        "trained networks. Left, with a third network: three separate basins with walls between. "
        "Middle and right, with the bend of a Bézier curve and of a chain: the curve runs through "
        "a valley of low loss that joins both networks, above the wall on the straight line. "
        + "; ".join(told)
        + ".",
    )

# %% [markdown]
# Left: three basins, and walls of 0.83 to 0.96 on the lines between them. Middle and right: the same two networks ŵ₁
# and ŵ₂, on the ground of one bent valley. All three pictures are right. They are planes through the same straight
# line, each turned about it in another direction, and only in some directions is there a way around. A basin in a
# picture may be the cut through a valley. That holds for every picture of a loss surface, those of chapter 01 included:
# it shows two dimensions out of 55,050, and what lies beside them is not in it.
#
# The way around is not far: θ lies a third of the line's length beside the line, and the Bézier curve, which goes half as far as its θ, a sixth.
# (The contours are drawn from the first 512 images and 21 × 21 points: so the curve runs along the contour of 0.1 and a little beyond, though its loss
# over all images stays below. The slides' figure is of a ResNet-164
# on CIFAR-100, and its loss has an l₂ penalty, which ours has not. The scale `paper` of this chapter has wider networks
# and all images, not that network.)
#
# The widget below walks along the package's curves between the same two networks: drag t, and see the point in the plane and its loss
# and test error, beside those of the straight line.


# %% folded
@functools.cache
def walked(way):
    """Losses along the package's curve and along the line, the plane, and the losses on it."""
    build = {"Bézier curve": curves.Bezier, "chain": curves.PolygonalChain}[way]
    curve = build(ends[0], ends[1]).to(device)
    flatlab.fit(
        curve,
        cross_entropy,
        clothes.train,
        learning_rate=0.05,
        momentum=0.9,
        scheduler=lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, steps_of(setting.curve_epochs)
        ),
        batch_size=setting.batch_size,
        epochs=setting.curve_epochs,
        evaluate_every=10**6,
        progress=False,
    )
    plane = curves.plane_through(ends[0], ends[1], curve.bend())
    ts = torch.linspace(0, 1, 21, dtype=torch.float64)
    line = curves.PolygonalChain(ends[0], ends[1], bends=0)
    tracks = {}
    for name, each in ((way, curve), ("straight line", line)):
        losses = curves.losses_along(each, cross_entropy, clothes.train, ts).losses
        tracks[name] = losses, curves.losses_along(each, cross_entropy, clothes.test, ts).errors
    points = torch.stack([curve.point(float(t)).detach() for t in ts])
    found = curves.losses_on_plane(plane, cross_entropy, few, *sides(plane))
    return ts, tracks, plane, found, plane.coordinates(points)


def draw_walk(curve, t):
    ts, tracks, plane, found, places = walked(curve)
    k = int((ts - t).abs().argmin())
    fig, (left, middle, right) = plots.figure(columns=3, width=10.4, height=3.6)
    draw_plane(left, plane, found, ("ŵ₁", "ŵ₂", "θ"))
    left.plot(*places.T, **WAYS[curve])
    left.plot(*places[k], marker="D", color=plots.COLORS["orange"], linestyle="none")
    left.set(xlabel="x", ylabel="y")
    for (name, (losses, errors)), marker in zip(tracks.items(), "Ds"):
        middle.plot(ts, losses, label=name, **WAYS[name])
        right.plot(ts, 100 * errors, label=name, **WAYS[name])
        point = {"marker": marker, "color": WAYS[name]["color"], "linestyle": "none"}
        middle.plot(ts[k], losses[k], **point)
        right.plot(ts[k], 100 * errors[k], **point)
    middle.set(xlabel="t")
    log_axis(middle, "training loss", (0.1, 0.2, 0.5, 1))
    right.set(xlabel="t", ylabel="test error, %")
    middle.legend(fontsize=8)
    return fig


def say_walk(curve, t):
    ts, tracks, _, _, places = walked(curve)
    k = int((ts - t).abs().argmin())
    x, y = places[k].tolist()
    said = "; ".join(
        f"{name}: training loss {losses[k]:.3f}, test error {errors[k]:.1%}"
        for name, (losses, errors) in tracks.items()
    )
    return (
        f"A plane, x and y, through two networks and the bend of a {curve} between them. "
        f"At t = {ts[k]:.2f}, the point ({x:.1f}, {y:.1f}): {said}."
    )


# %% widget="along-the-curve"
widgets.explore(
    draw_walk, say_walk, {"curve": ["Bézier curve", "chain"], "t": (0.0, 1.0, 0.5, 0.05)}
)

# %% [markdown]
# ## 5 · Batch norm on the way   (≈ 17 min)
#
# The networks of the slides have batch norm. In evaluation mode a batch-norm layer subtracts a running mean and divides by the root
# of a running variance, both gathered while the network was trained. A point of a curve was never trained: which statistics belong
# to it? One can **mix** those of the two ends with shares 1 − t and t, as the straight line mixes their weights, or **re-estimate**
# them: send the training images through the network at that point, and gather anew.

# %% predict="batch-norm networks: re-estimating the statistics takes off the straight line's barrier"
predict(
    "batch-norm networks: re-estimating the statistics takes off the straight line's barrier",
    options=["hardly anything", "about half", "more than three quarters"],
    answer=...,
)

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
# - Nothing else changes: parameters, gradients, each layer's `momentum`, each module's mode (the modes may differ). Only the layers' count `num_batches_tracked` may change. Returns nothing.
#
# <details><summary>Hint</summary>
#
# In training mode a batch-norm layer updates its running statistics in every forward pass; what the documentation of
# `nn.BatchNorm1d` says of `momentum` tells how. `model.modules()` visits every module, layers inside layers too, and
# each has its own `training`. What has to be put back afterwards must have been noted before.
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


# %% folded
norm_ends = trained(range(2), builder(batch_norm=True), setting.norm_epochs)
norm_batches = list(clothes.X_train.split(len(clothes.X_train) // 2))[:2]


def mixed_statistics(first, second, t):
    """A function that gives a network two others' running statistics, mixed with shares 1 - t and t."""

    def refresh(network):
        for own, a, b in zip(network.buffers(), first.buffers(), second.buffers()):
            own.copy_(torch.lerp(a.double(), b.double(), t))

    return refresh


# %% experiment="batch-norm"
walls = {}  # (way, statistics) -> barrier
if ready(bezier, curve_gradient, barrier, reestimate_batch_norm):
    first, second = norm_ends
    ts, line = straight(curves.flatten(first), curves.flatten(second), setting.norm_points)
    theta = join("bezier", first, second, setting.norm_epochs)
    curve = along(bezier, curves.flatten(first), theta, curves.flatten(second), setting.norm_points)
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.4, sharey=True)
    told = []
    for way, points, ax in (("straight line", line, left), ("Bézier curve", curve, right)):
        for statistics in ("mixed", "re-estimated"):
            rows = []
            for t, point in zip(ts, points):
                refresh = {
                    "mixed": mixed_statistics(first, second, float(t)),
                    "re-estimated": lambda network: reestimate_batch_norm(network, norm_batches),
                }[statistics]
                train = at_points([point], first, clothes.train, refresh)
                test = at_points([point], first, clothes.test, refresh)
                rows.append((float(train[0, 0]), float(test[1, 0])))
            losses, errors = torch.tensor(rows, dtype=torch.float64).T
            walls[way, statistics] = float(barrier(losses))
            ax.plot(ts, losses, label=f"statistics {statistics}")
            told.append(
                f"{way}, statistics {statistics}:\n    training loss {losses[0]:.3f} and "
                f"{losses[-1]:.3f} at the ends, up to {losses.max():.3f}, barrier "
                f"{walls[way, statistics]:.3f};\n    test error up to {errors.max():.1%}"
            )
        ax.set_title(way, fontsize=10)
        ax.set(xlabel="t")
        log_axis(ax, "training loss", (0.003, 0.01, 0.03, 0.1, 0.3, 1))
        ax.legend(fontsize=8)
    print("\n".join(told))
    half = copy.deepcopy(first)
    nn.utils.vector_to_parameters(line[len(ts) // 2], half.parameters())
    layers = [layer for layer in half.modules() if isinstance(layer, nn.BatchNorm1d)]
    mixed_statistics(first, second, 0.5)(half)
    mixed = [layer.running_var.clone() for layer in layers]
    reestimate_batch_norm(half, norm_batches)
    shrunk = [float((layer.running_var / old).median()) for layer, old in zip(layers, mixed)]
    print(
        "half-way on the line, re-estimated variance over mixed, median of the units:\n    "
        + ", ".join(f"layer {k} {share:.2f}" for k, share in enumerate(shrunk, 1))
    )
    plots.show(
        fig,
        alt="Training loss against t along the straight line and along a Bézier curve between two "
        "batch-norm networks, once with the ends' running statistics mixed and once with "
        "re-estimated ones, which are lower on both. " + "; ".join(told) + ".",
    )

# %% [markdown]
# With mixed statistics the line has a barrier of 0.87, re-estimated 0.47: almost half of the wall was none of the
# weights' doing. Half-way between two nearly orthogonal weight vectors a unit's input is the mean of two nearly
# uncorrelated ones, and varies less than they do: its variance is 0.53 of the mixed one in the first layer and 0.35 in
# the second. Divided by the old standard deviation it comes out too small, layer by layer. On the Bézier curve the
# difference decides: a barrier of 0.44 with mixed statistics, 0.008 with those that belong to the point. Without
# exercise 6 you would have found no curve, although it is there. Garipov et al. re-estimate at every t, and so must
# everyone who averages weights of batch-norm networks, as in chapter 05. Over five seeds the test error on a Bézier
# curve goes up to 28.4 % with the statistics that training the curve left behind, and to 19.1 % with re-estimated ones.
# (For the straight line, Jordan et al., 2023, make the same correction the center of their paper.)

# %% [markdown]
# ## 6 · What the wall is made of   (≈ 14 min)
#
# Exchange two hidden units of a network, with all weights into and out of them: it computes the same function, at another point of
# weight space. Two layers of 64 units have $(64!)^2$ such twins. So perhaps the straight line climbs a wall only because unit 17 of
# the first network does what unit 42 of the second one does, and half-way between them are two halves of different units.
#
# `curves.align` puts the second network's units into an order that fits the first one's well (weight matching,
# Ainsworth, Hayase and Srinivasa, 2023): layer by layer an assignment that makes the inner product
# $\langle \hat w_1, P \hat w_2 \rangle$ as large as it can be, where $P \hat w_2$ are the second network's weights in the new order,
# until no layer gains. The function of the second network stays what it was. This is a step
# beyond the slides.

# %% predict="from the narrowest networks to the widest, the barrier after alignment"
predict(
    "from the narrowest networks to the widest, the barrier after alignment",
    options=["grows", "stays about the same", "shrinks"],
    answer=...,
)

# %% experiment="width-and-alignment"
by_width = {}  # width -> mean barrier as they are, aligned
if ready(barrier):
    print(
        "width   training loss   barrier as they are     aligned   aligned, test error   distance"
    )
    shown, named = [], ("as they are", "aligned")
    for width in setting.widths:
        networks = trained(range(setting.width_seeds), builder(width), setting.epochs)
        rows = []
        for k, first in enumerate(networks):
            for second in networks[:k]:
                matched = curves.align(first, second)
                row = []
                for other in (second, matched.network):
                    _, line = straight(
                        curves.flatten(first), curves.flatten(other), setting.width_points
                    )
                    losses, _ = at_points(line, first, clothes.train)
                    row.append(float(barrier(losses)))
                _, test_errors = at_points(line, first, clothes.test)
                nearer = matched.distance_after / matched.distance_before
                rows.append((*row, float(losses[0]), float(test_errors.max()), nearer))
        table = torch.tensor(rows, dtype=torch.float64)
        by_width[width] = tuple(table[:, :2].mean(0).tolist())
        shown.append(table[:, :2])
        means = table.mean(0).tolist()
        print(
            f"{width:5d} {means[2]:15.3f} {means[0]:21.2f} {means[1]:11.2f} {means[3]:21.1%} "
            f"{means[4]:10.2f}"
        )
    fig, ax = plots.figure(width=6.4, height=3.4)
    for column, (name, marker, color) in enumerate(zip(named, "os", ("blue", "orange"))):
        means = [row[column] for row in by_width.values()]
        ax.plot(list(by_width), means, marker=marker, color=plots.COLORS[color], label=name)
        for width, rows in zip(by_width, shown):
            hollow = {"marker": marker, "markerfacecolor": "none", "linestyle": "none"}
            ax.plot([width] * len(rows), rows[:, column], color=plots.COLORS[color], **hollow)
    ax.set(xlabel="width of both hidden layers", ylabel="barrier, training loss", xscale="log")
    ax.set_xticks(list(by_width), [str(width) for width in by_width])
    ax.minorticks_off()
    ax.legend(fontsize=8, title="hollow: single pairs")
    plots.show(
        fig,
        alt="Barrier of the straight line between two networks against their width, as they are "
        "and with the second one's units aligned with the first one's. Mean barriers: "
        + "; ".join(
            f"width {width}: {before:.2f} as they are, {after:.2f} aligned"
            for width, (before, after) in by_width.items()
        )
        + ".",
    )

# %% [markdown]
# Alignment works at every width. As they are, the networks have barriers of 2.40, 1.05 and 0.72 at widths 8, 32 and
# 128; aligned, 0.82, 0.18 and 0.05. At width 128 the order of the units was 93 % of the wall, and the highest test error on
# the line between the aligned networks is 18.8 % in the mean over the three pairs. They have not become equal: the distance is still 0.73 of what it
# was. What the width does by itself is less clear. Narrow networks fit less well, 0.21 where wide ones have 0.06, which
# may be a part of their wall; and over five seeds the barriers at widths 16, 64 and 256 are 1.43, 0.84 and 0.70 in the
# mean, but only in two of the five do they fall from width to width. Aligned, they are 0.26, 0.09 and 0.05. Entezari et al. (2022) conjecture that for wide
# enough networks no wall is left at all once the units are in the right order. Weight matching finds a good order, not
# surely the best one, so another order might leave less than the 0.82 at width 8.

# %% [markdown]
# ## 7 · From a flat minimum to a sharp one   (≈ 9 min)
#
# Chapter 01 found a flat minimum with small minibatches and a sharp one with large ones. Are these two kinds of hole?
# Train one network with minibatches of 16 and another one, from another start, with all of its images at once, both
# until the training loss is 0.05. Then join them, and measure $\lambda_{\max}$ on the way.

# %% predict="λ_max on the way from the flat minimum to the sharp one"
predict(
    "λ_max on the way from the flat minimum to the sharp one",
    options=[
        "rises from the one to the other",
        "rises above both in between",
        "falls far below both in between",
    ],
    answer=...,
)


# %% folded
def fitted(batch_size, rate, momentum, seed):
    """A network trained with this batch size until its training loss is setting.fitted_loss."""
    network = builder()(torch.Generator().manual_seed(seed)).to(device)
    some = tuple(part[: setting.large_batch] for part in clothes.train)
    history = flatlab.fit(
        network,
        cross_entropy,
        some,
        learning_rate=rate,
        momentum=momentum,
        batch_size=min(batch_size, len(some[0])),
        epochs=setting.fit_epochs,
        evaluate_every=max(1, len(some[0]) // batch_size),
        stop_loss=setting.fitted_loss,
        generator=torch.Generator().manual_seed(seed),
        description=f"minibatches of {batch_size}",
    )
    return network.eval(), history.last()


def curvature_at(points, like):
    """λ_max at each of the points, over a part of the training set."""
    network, found = copy.deepcopy(like), []
    some = tuple(part[: setting.sharp_images] for part in clothes.train)
    for point in progress(points, "λ_max"):
        nn.utils.vector_to_parameters(
            torch.as_tensor(point).to(next(network.parameters())), network.parameters()
        )
        found.append(flatlab.sharpness(network, cross_entropy, some, tol=0.01))
    return torch.tensor(found, dtype=torch.float64)


# %% experiment="flat-to-sharp"
way_sharpness = None  # λ_max along the curve
if ready(bezier, curve_gradient, barrier):
    flat, flat_end = fitted(setting.small_batch, 0.05, 0.0, seed=1)
    sharp, sharp_end = fitted(setting.large_batch, 0.05, 0.9, seed=2)
    start, end = curves.flatten(flat), curves.flatten(sharp)
    theta = join("bezier", flat, sharp)
    points = along(bezier, start, theta, end)
    ts, line = straight(start, end)
    _, on_line = at_points(line, flat, clothes.test)
    losses, errors = at_points(points, flat, clothes.train)
    _, test_errors = at_points(points, flat, clothes.test)
    line_losses, _ = at_points(line, flat, clothes.train)
    sparse = along(bezier, start, theta, end, setting.sharp_points)
    way_sharpness = curvature_at(sparse, flat)
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.4)
    for name, values in (("straight line", line_losses), ("Bézier curve", losses)):
        left.plot(ts, values, label=name, **WAYS[name])
    for ax in (left, right):
        ax.set(xlabel="t: from the small-batch to the large-batch network")
    log_axis(left, "training loss", (0.02, 0.05, 0.1, 0.2, 0.5, 1))
    left.legend(fontsize=8)
    right.plot(torch.linspace(0, 1, setting.sharp_points), way_sharpness, marker="o")
    log_axis(right, r"$\lambda_{\max}$ on the curve", (10, 20, 40))
    for name, last in (("small minibatches", flat_end), ("large minibatches", sharp_end)):
        print(
            f"{name}: training loss {last['train_loss']:.3f} after {last['epoch']:.0f} "
            f"epoch{'s' * (round(last['epoch']) != 1)}"
        )
    told = (
        f"barrier of the line {float(barrier(line_losses)):.2f}, of the curve "
        f"{float(barrier(losses)):.3f}; test error at the ends {test_errors[0]:.1%} and "
        f"{test_errors[-1]:.1%}, on the curve at most {test_errors.max():.1%}, on the line "
        f"{on_line.max():.1%}; λ_max along "
        "the curve " + ", ".join(f"{value:.1f}" for value in way_sharpness)
    )
    print(told.replace("; ", "\n"))
    plots.show(
        fig,
        alt="Left: training loss from a small-batch to a large-batch minimum, high on the "
        "straight line and low on the Bézier curve. Right: λ_max along that curve. In "
        f"numbers: {told}.",
    )

# %% [markdown]
# The same loss, and $\lambda_{\max}$ 11.7 at the one end, 63.1 at the other. The line between them has a barrier of 0.73, the curve
# one of 0.024: $\lambda_{\max}$ rises along it (but for the second of its nine points, 10.6, a little beside the flat end, where the loss is
# lower, too), and the loss stays below 0.08. So flat and sharp minima need not be two kinds of
# hole: these two are the flat and the sharp part of one valley. For the slides of chapters 03 and 04, in which noise
# carries SGD over a barrier out of a narrow well, this pair of networks offers hardly a well to leave: there is a way from
# the sharp one to the flat one on which the loss goes from 0.05 to less than 0.08 and down again, where the line has a wall of 0.73. Whether SGD's noise takes it is another question; the curve was found
# by an optimizer that knew both ends. The test error rises along the curve, from 18.5 to 19.3 %, with at most 19.5 % on the way. (η = 0.05 for both, but momentum 0.9
# for the large batch alone, and by chapter 02 momentum makes room for sharpness: 2(1 + β)/η is 76 with it and 40 without, and the
# sharp end's 63.1 lies between. So the factor between the ends need not be the batch size's alone. $\lambda_{\max}$ is that of the loss
# over 512 of the images.) Over five seeds, with minibatches of 64 and 512 and momentum 0.9 for both, $\lambda_{\max}$ differs by a factor of 4.2, and the
# Bézier curve's barrier is 2.3 % of the line's.

# %% [markdown]
# ## 8 · An ensemble from one run   (≈ 16 min)
#
# If good networks lie close together along valleys, one run can collect several of them. **Fast geometric ensembling**
# (FGE), from the same paper as the curves, goes on training a network with a learning rate that goes up and down, keeps
# a copy at each low, and averages the copies' predicted probabilities. An ensemble of independent networks costs one
# training a member. What is better for the same number of epochs? One training is 30 epochs here. A run of FGE spends 22 of them
# on ordinary training and the last 8 on five cycles, which gives five members; for three trainings it is three such runs from three
# starts, with their 15 members in one ensemble.

# %% predict="for the epochs of three trainings: FGE and three independent networks, test error"
predict(
    "for the epochs of three trainings: FGE and three independent networks, test error",
    options=[
        "FGE is lower by more than 0.2 points",
        "the same within 0.2 points",
        "the independent networks are lower by more than 0.2 points",
    ],
    answer=...,
)

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


# %% folded
def snapshots(fge_learning_rate, network, steps, seed, low=0.0005, high=0.05):
    """So many steps more, at most, under your learning rate; a copy from the middle of each cycle."""
    cycle = 2 * max(1, steps // (2 * setting.cycles - 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=high, momentum=0.9)
    members = []

    def look(state):
        if state.step % cycle == cycle // 2:
            members.append(copy.deepcopy(state.model))

    flatlab.fit(
        network,
        cross_entropy,
        clothes.train,
        optimizer=optimizer,
        scheduler=lambda optimizer: torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: float(fge_learning_rate(step, cycle, low, high)) / high
        ),
        batch_size=setting.batch_size,
        steps=setting.cycles * cycle - cycle // 2,
        evaluate_every=10**6,
        callbacks=[look],
        generator=torch.Generator().manual_seed(seed),
        description="cycles",
    )
    return members


def together(networks):
    """Test error and test loss of the mean prediction of some networks."""
    result = evaluate(averaging.Ensemble(networks).eval(), cross_entropy, clothes.test)
    return 1 - result.accuracy, result.loss


def disagreement(networks):
    """Share of test images on which two of the networks differ, over all pairs."""
    with torch.no_grad():
        votes = [network(clothes.X_test).argmax(1) for network in networks]
    pairs = [float((a != b).double().mean()) for k, a in enumerate(votes) for b in votes[:k]]
    return sum(pairs) / max(1, len(pairs))


# %% experiment="ensembles"
scores = {}  # (kind, trainings) -> mean test error and test loss over seeds
if ready(fge_learning_rate):
    count = 3  # trainings, at most
    many = count * setting.fge_seeds
    networks = trained(range(many), builder(), setting.budget)
    starts = trained(range(many), builder(), setting.fge_start)
    left_over = steps_of(setting.budget) - steps_of(setting.fge_start)
    runs = [
        snapshots(fge_learning_rate, start, left_over, seed) for seed, start in enumerate(starts)
    ]
    rows, apart = {}, {"one run of FGE": [], "independent networks": []}
    firsts = range(0, many, count)  # of each seed's own networks
    longer = trained(firsts, builder(), count * setting.budget)
    rows["one network, 3 times as long", count] = [together([network]) for network in longer]
    for place in firsts:
        for k in range(1, count + 1):
            members = [member for run in runs[place : place + k] for member in run]
            rows.setdefault(("FGE", k), []).append(together(members))
            rows.setdefault(("independent", k), []).append(together(networks[place : place + k]))
    for place in firsts:
        apart["one run of FGE"].append(disagreement(runs[place]))
        apart["independent networks"].append(disagreement(networks[place : place + count]))
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.4)
    for kind, color, style in (
        ("independent", "blue", {"marker": "o", "linestyle": "--"}),
        ("FGE", "orange", {"marker": "s", "linestyle": "-"}),
        ("one network, 3 times as long", "black", {"marker": "^", "linestyle": "none"}),
    ):
        budgets = [k for other, k in rows if other == kind]
        table = torch.tensor([rows[kind, k] for k in budgets], dtype=torch.float64)
        for k, mean in zip(budgets, table.mean(1).tolist()):
            scores[kind, k] = tuple(mean)
        for ax, column, unit in ((left, 0, 100), (right, 1, 1)):
            means = unit * table[:, :, column].mean(1)
            ax.plot(budgets, means, color=plots.COLORS[color], label=kind, **style)
        print(
            f"{kind:29} test error "
            + ", ".join(f"{100 * value:.2f} %" for value in table[:, :, 0].mean(1))
            + "; test loss "
            + ", ".join(f"{value:.3f}" for value in table[:, :, 1].mean(1))
        )
    print(f"members of one run of FGE: {len(runs[0])}")
    gaps = [100 * (a[0] - b[0]) for a, b in zip(rows["FGE", count], rows["independent", count])]
    print(
        f"FGE minus independent at {count} trainings, for each seed: "
        + ", ".join(f"{gap:+.2f} %" for gap in gaps)
    )
    alone = torch.tensor([together([run[-1]]) for run in runs]).mean(0).tolist()
    print(f"the last member of a run alone: test error {alone[0]:.2%}, test loss {alone[1]:.3f}")
    for kind, shares in apart.items():
        print(f"two of {kind}: disagree on {sum(shares) / len(shares):.1%} of the test images")
    left.set(xlabel="epochs spent, in trainings", ylabel="test error, %")
    right.set(xlabel="epochs spent, in trainings", ylabel="test loss")
    for ax in (left, right):
        ax.set_xticks(range(1, count + 1))
        ax.legend(fontsize=8)
    plots.show(
        fig,
        alt="Test error and test loss against the epochs spent, for an ensemble of independent "
        "networks, for FGE and for one network that is trained longer. "
        + "; ".join(
            f"{kind}, {trainings} training{'s' * (trainings > 1)}: {100 * error:.2f} % and {loss:.3f}"
            for (kind, trainings), (error, loss) in scores.items()
        )
        + ".",
    )

# %% [markdown]
# FGE's error is a little lower than that of the independent networks: 17.88 % against 17.94 % for the epochs of one
# training, 17.51 % against 17.77 % for three. On 10,000 images and three seeds such differences say little: in each
# seed they have the same sign here, but the five of `docs/reproduction.md` have 17.65 % against 17.73 % with a
# standard error of 0.06. The test loss tells more, 0.514 against 0.570 (there 0.514 against 0.573): FGE's probabilities
# are better. (For the epochs of one training, five networks with a fifth of them each are no rival: 21.6 % there, where FGE has 18.0 %.) Of the three ways to spend three
# trainings, one network trained three times as long is the worst, 18.8 % and 1.11: it has long fitted its images and only gets surer of itself.
#
# Are FGE's members much alike, since they lie close together? Two of them disagree on 8.0 % of the test images, two
# independent networks on 6.2 %. But a single member is also a worse network (the last one of a run has 18.7 % alone),
# since its learning rate was high a moment ago; part of the disagreement is plain noise that the mean removes. Garipov
# et al. find FGE ahead on CIFAR with large networks. What holds here and in `docs/reproduction.md`: with the epochs of one training it
# gives the better probabilities, test loss 0.543 against 0.604 (there 0.538 against 0.607), at about the same error (there 18.04 %
# against 18.00 %).

# %% [markdown]
# ## 9 · What is left of the claims   (≈ 13 min)

# %% experiment="summary"
if ready(
    polychain,
    bezier,
    curve_gradient,
    barrier,
    plane_basis,
    plane_coordinates,
    reestimate_batch_norm,
    fge_learning_rate,
):
    fallen = 1 - walls["straight line", "re-estimated"] / walls["straight line", "mixed"]
    narrow, wide = min(by_width), max(by_width)
    reveal(
        {
            "training loss half-way between two trained networks": f"{middle:.2f}",
            "where θ of the Bézier curve ends, when the valley is a ring": (
                f"at the distance {bends['Bézier curve'].norm():.2f} from the center of a ring of "
                "radius 1"
            ),
            "highest training loss on a trained curve, against the highest on the straight line": ", ".join(
                f"{name} {highest[name] / highest['straight line']:.3f} times as high"
                for name in thetas
            ),
            "how far the bend θ lies from the straight line, in lengths of that line": ", ".join(
                f"{name} {offset:.2f}" for name, offset in offsets.items()
            ),
            "batch-norm networks: re-estimating the statistics takes off the straight line's barrier": (
                f"{fallen:.0%}"
            ),
            "from the narrowest networks to the widest, the barrier after alignment": (
                f"{by_width[narrow][1]:.2f} at width {narrow}, {by_width[wide][1]:.2f} at "
                f"width {wide}"
            ),
            "λ_max on the way from the flat minimum to the sharp one": (
                ", ".join(f"{value:.1f}" for value in way_sharpness)
            ),
            "for the epochs of three trainings: FGE and three independent networks, test error": (
                f"FGE {100 * scores['FGE', 3][0]:.2f} %, independent "
                f"{100 * scores['independent', 3][0]:.2f} %"
            ),
        }
    )

# %% [markdown]
# | the slides | what we measured |
# |---|---|
# | "A direct linear path between each mode would incur high loss." | Yes: training loss 1.04 between ends of 0.08. But most of that wall is the order of the units: over five seeds 0.84 at this width, 64, and 0.09 aligned. |
# | A Bézier curve and a chain with one bend join two optima "along a path of near-constant loss". | Yes: at most 0.094 and 0.095; test error at most half a point above that of the worse end; 6 % and 25 % longer than the line. |
# | Three optima in one plane: separate basins. | Yes, in that plane. In two other planes through the same line two of them share a valley. |
# | The curve is found by minimizing the mean loss over t, one t a step. | Yes, for the cost of a training or two. With batch norm only if the statistics are gathered anew at each t: else 0.44 is seen where 0.008 is. |
# | Flat minimum, sharp minimum: two kinds. | A curve joins them; $\lambda_{\max}$ goes from 11.7 to 63.1 along it, and the loss stays below 0.08. |
#
# Freeman and Bruna (2017) found such paths first, for small networks; Draxler et al. (2018) found them at the same time
# as Garipov et al., by bending a chain of many points. Frankle et al. (2020) ask when the *straight* line is low: when
# two runs share their first epochs, and in small networks already when they share the start. So do the pairs of chapter 03. Entezari et al. (2022) and Ainsworth et
# al. (2023) take out the order of the units, as you did. So the picture that is left of "the minimum": basins, many
# times over, one for each order of the units, valleys that join them, and in these flat and sharp regions. Which region a run ends in, the other
# chapters ask.
#
# ### Open question   ●●●○ · 4 points · 8 min
#
# A colleague trains two networks with batch norm from two seeds. Each has 19 % test error. She averages their weights
# and their running statistics, finds 39 %, and concludes that the two lie in separate minima, with a barrier between.
# Name two other explanations of her 39 %, say for each how you would test it, and which outcome would speak against
# her, with a number from this chapter. Is there a measurement that could prove her right?

# %% [markdown] open="separate-minima" points=4
# ### BEGIN SOLUTION
# (1) The running statistics: those of the ends do not belong to the average. Gather them anew over the training images; if the error falls, part of the
# barrier was theirs (here 46 %: 0.87 to 0.47). (2) The order of the units: align the second network with the first one, then average; if the
# error falls towards 19 %, the wall is mostly the order of the units (here the barrier goes from 0.72 to 0.05 at width 128); strictly, that
# line ends at a twin of the second network, so it says what the wall is made of, not that these two points share a valley. (3) The straight line is
# one way of many: train a chain or a Bézier curve; if the loss along it stays at that of the ends, the two lie in one valley (here 0.09 in the place of
# 1.04, with batch norm 0.01 in the place of 0.47). No measurement of this kind proves a barrier: a search that finds no curve, with more bends and more steps,
# makes one likelier; only an argument about all paths could prove it. Full marks for two explanations with test and outcome, at least one number, and
# the answer that a failed search is no proof.
# ### END SOLUTION

# %% [markdown]
# **Further reading.** Garipov, Izmailov, Podoprikhin, Vetrov and Wilson (2018), *Loss surfaces, mode connectivity, and
# fast ensembling of DNNs*. Draxler, Veschgini, Salmhofer and Hamprecht (2018), *Essentially no barriers in neural
# network energy landscape*. Freeman and Bruna (2017), *Topology and geometry of half-rectified network optimization*.
# Frankle, Dziugaite, Roy and Carbin (2020), *Linear mode connectivity and the lottery ticket hypothesis*. Entezari,
# Sedghi, Saukh and Neyshabur (2022), *The role of permutation invariance in linear mode connectivity of neural
# networks*. Ainsworth, Hayase and Srinivasa (2023), *Git Re-Basin: merging models modulo permutation symmetries*.
# Jordan, Sedghi, Saukh, Entezari and Neyshabur (2023), *REPAIR: renormalizing permuted activations for interpolation
# repair*.
