# %% setup
# A scratch file: these cells go to their places in the chapter's source, and this one is its setup.
import math

import torch

from flatlab.checks import chapter03 as check

# %% [markdown]
# ### Exercise 1 · The noise of a batch   ●●○○ · 3 points · 8 min
#
# Write `noise_covariance(per_sample_grads, batch_size, replacement=True)`: how the mean gradient of a random batch
# scatters about the full gradient.
#
# $$\frac{1}{B}\, C, \qquad C = \frac1n \sum_i (g_i - g)(g_i - g)^\top, \qquad g = \frac1n \sum_i g_i,$$
#
# for a batch of B samples drawn with replacement, each independent of the others. A batch of B **different** samples
# (`replacement=False`) scatters less, by the factor $(n - B)/(n - 1)$.
# - `per_sample_grads`: float tensor of shape (n, p), row i the gradient $g_i$ of sample i, n ≥ 2. It stays as it is.
# - `batch_size` B: a whole number, 1 ≤ B, and B ≤ n without replacement.
# - Returns a tensor of shape (p, p), in the square of the gradient's unit. The n samples are all there are, so C
#   divides by n, not n − 1.
#
# <details><summary>Hint</summary>
#
# Two limits test the result: with B = 1 both kinds of batch are one random sample, and without replacement B = n
# leaves nothing to chance. For the sum of the outer products, think of the (n, p) array of deviations and which of its
# products with itself is p × p.
#
# </details>


# %% exercise="noise_covariance"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    """Covariance of the mean gradient of a random batch: (p, p), for per_sample_grads (n, p)."""
    ### BEGIN SOLUTION
    n = len(per_sample_grads)
    deviations = per_sample_grads - per_sample_grads.mean(0)
    factor = 1 if replacement else (n - batch_size) / (n - 1)
    return factor * (deviations.T @ deviations) / (n * batch_size)
    ### END SOLUTION


# %% check="noise_covariance" points=3
check.noise_covariance(noise_covariance)

### BEGIN HIDDEN TESTS
import numpy as np
import torch

from flatlab.checks.chapter03.covariance import AllBatches


@check.noise_covariance.hidden("a batch of all samples")
class WholeBatch(AllBatches):
    hints = (("ZeroDivisionError", "For B = n the noise is 0: n - B stands above the line."),)
    replacement = False

    def draw(self, generator):
        return {**super().draw(generator), "batch_size": 6}

    def verdict(self, inputs, outputs):
        largest = np.abs(outputs["covariance"]).max()
        if not largest < 1e-6:
            return (
                f"A batch of all n different samples has no noise; yours goes up to {largest:.3g}."
            )
        return None


@check.noise_covariance.hidden("a single weight")
class SingleWeight(AllBatches):
    def draw(self, generator):
        drawn = super().draw(generator)
        return {**drawn, "grads": drawn["grads"][:, :1], "batch_size": 3}


@check.noise_covariance.hidden("per_sample_grads that are left as they were")
class LeavesGrads(AllBatches):
    def call(self, student, inputs):
        grads = torch.tensor(inputs["grads"])
        student(grads, inputs["batch_size"], True)
        student(grads, inputs["batch_size"], False)
        return {"after": grads}

    def verdict(self, inputs, outputs):
        if (outputs["after"] != inputs["grads"]).any():
            return "The caller's gradients came back with new values: `-=` writes into them."
        return None


check.noise_covariance.grade(noise_covariance)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 2 · A step of the diffusion   ●●○○ · 3 points · 7 min
#
# The slides' stochastic differential equation with $C = \sigma^2 I$. One step of SGD is one unit of time, so a step
# of Euler and Maruyama is
#
# $$\theta' = \theta - \eta\, g + \frac{\eta}{\sqrt S}\, \sigma\, \xi, \qquad \xi \sim \mathcal N(0, I).$$
#
# Write `langevin_step(theta, grad, learning_rate, batch_size, sigma, generator)`.
# - `theta`, `grad`: float tensors of one shape, whatever it is; `grad` is the full gradient g at `theta`. Both stay as
#   they are.
# - `learning_rate` η > 0, `batch_size` S ≥ 1; `sigma` σ ≥ 0 is a standard deviation, in units of the gradient.
# - `generator`: a `torch.Generator`; every entry of θ gets a number ξ of its own from it, in each call new ones.
# - Returns θ′, a **new** tensor of the shape of `theta`.
#
# <details><summary>Hint</summary>
#
# Which parts of the formula does σ = 0 leave, and which does g = 0 leave? Test the two apart. The mean of ξ can be
# seen from many entries at once, its size from their `std()`.
#
# </details>


# %% exercise="langevin_step"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    """theta - eta g + (eta / sqrt(S)) sigma xi with xi ~ N(0, I): a new tensor of theta's shape."""
    ### BEGIN SOLUTION
    xi = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    return theta - learning_rate * grad + learning_rate / math.sqrt(batch_size) * sigma * xi
    ### END SOLUTION


# %% check="langevin_step" points=3
check.langevin_step(langevin_step)

### BEGIN HIDDEN TESTS
import numpy as np
import torch

from flatlab.checks.answers import array
from flatlab.checks.chapter01.products import seeded
from flatlab.checks.chapter03.langevin import HINTS, noise_verdict
from flatlab.checks.toys import normal


@check.langevin_step.hidden("a theta with two axes")
class TwoAxes:
    hints = HINTS

    def draw(self, generator):
        return {"theta": normal(generator, 150, 200), "seed": 2}

    def call(self, student, inputs):
        theta = torch.tensor(inputs["theta"])
        moved = student(theta, torch.zeros_like(theta), 0.2, 9, 2.5, seeded(inputs["seed"]))
        return {"landed": array(moved, tuple(theta.shape))}

    def verdict(self, inputs, outputs):
        noise = outputs["landed"] - np.array(inputs["theta"])
        for axis, what in ((0, "rows"), (1, "columns")):
            if np.ptp(noise, axis=axis).max() < 1e-9 < np.abs(noise).max():
                return f"All {what} of theta get the same noise: every entry needs its own."
        return noise_verdict(noise.ravel(), 0.2, 9, 2.5)


@check.langevin_step.hidden("a theta without axes")
class NoAxes:
    hints = HINTS

    def draw(self, generator):
        return {"theta": 0.5, "seeds": list(range(400))}

    def call(self, student, inputs):
        theta = torch.tensor(inputs["theta"], dtype=torch.float64)
        steps = [student(theta, theta, 0.1, 4, 3.0, seeded(s)) for s in inputs["seeds"]]
        return {"landed": [array(step, ()) for step in steps]}

    def verdict(self, inputs, outputs):
        noise = np.array(outputs["landed"]) - 0.9 * inputs["theta"]
        size = float(np.sqrt((noise**2).mean()))
        if not abs(size / 0.15 - 1) < 0.25:
            return f"For a single weight the noise has the size {size:.3g}; 0.15 is right."
        return None


check.langevin_step.grade(langevin_step)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 3 · The Gibbs density   ●●○○ · 3 points · 8 min
#
# Write `gibbs_density(loss, sigma, n, grid)`: where the diffusion is found after a long time,
#
# $$P(x) = P_0 \exp\!\left(-\frac{2\,L(x)}{n\,\sigma^2}\right), \qquad n = \frac{\eta}{S},$$
#
# on a grid in one dimension, with $P_0$ such that $\int P\,dx = 1$.
# - `loss`: a function; `loss(x)` takes a tensor of shape (k,) and returns L at each of the k points, shape (k,).
# - `sigma` σ > 0 and `n` > 0: numbers. (n is the noise η/S here, not the number of samples.)
# - `grid`: float64 tensor of shape (k,), rising, in steps that need **not** be equal. The density is practically 0 at
#   both ends.
# - Returns P at the grid's points: shape (k,), per unit of x. Right also where the loss is about 2000 or −2000
#   everywhere, or rises by thousands towards the ends.
#
# <details><summary>Hint</summary>
#
# A constant added to L changes $P_0$ and nothing else. Which constant keeps exp from both 0 everywhere and infinity?
# An integral over uneven steps is a sum of trapezoids, `torch.trapezoid`.
#
# </details>


# %% exercise="gibbs_density"
def gibbs_density(loss, sigma, n, grid):
    """exp(-2 L / (n sigma^2)) on grid (k,), with integral 1: (k,)."""
    ### BEGIN SOLUTION
    exponent = -2 * loss(grid) / (n * sigma**2)
    weight = (exponent - exponent.max()).exp()
    return weight / torch.trapezoid(weight, grid)
    ### END SOLUTION


# %% check="gibbs_density" points=3
check.gibbs_density(gibbs_density)

### BEGIN HIDDEN TESTS
import torch

from flatlab.checks.chapter03.gibbs import Parabola


@check.gibbs_density.hidden("losses in the thousands")
class HighLoss(Parabola):
    """2000 at the minimum, and some 3000 more at both ends of a wide grid."""

    offset = 2000.0

    def draw(self, generator):
        t = torch.linspace(-1, 1, 401, dtype=torch.float64)
        return {"center": 0.3, "grid": 0.3 + 4 * t + 56 * t**9}


@check.gibbs_density.hidden("a loss far below 0")
class NegativeLoss(Parabola):
    offset = -2000.0


check.gibbs_density.grade(gibbs_density)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 4 · The odds of two basins   ●●●○ · 4 points · 11 min
#
# Near a minimum A the loss is about $L_A + \frac12 (\theta - \theta_A)^\top H_A (\theta - \theta_A)$. The integral of
# the Gibbs density over that parabola gives the odds of ending in basin A rather than B:
#
# $$\frac{p_A}{p_B} = \sqrt{\frac{\det H_B}{\det H_A}}\; \exp\!\left(\frac{2\,(L_B - L_A)}{n\,\sigma^2}\right).$$
#
# Write `basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma)`.
# - `loss_a`, `loss_b`: numbers. `hessian_a`, `hessian_b`: symmetric float tensors of shape (d, d), in float32 or
#   float64. `n` = η/S and `sigma`: positive numbers.
# - Returns p_A/p_B, a number.
# - With many weights each of the two factors may be 0 or infinite in floating point although their product is not:
#   60 curvatures of 10⁻⁸ have the determinant 10⁻⁴⁸⁰. The result must be right there too.
# - A minimum with a basin has positive curvature in **every** direction. For a Hessian with an eigenvalue ≤ 0 raise a
#   `ValueError` whose text names the trouble (an error of `torch.linalg.cholesky` counts as well).
#
# <details><summary>Hint</summary>
#
# What becomes of a root, of a quotient and of a product when you take the logarithm? The logarithm of a determinant is
# a sum over eigenvalues, and the eigenvalues also answer the last point; the sign of the determinant does not.
#
# </details>


# %% exercise="basin_ratio"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    """p_A / p_B = sqrt(det H_B / det H_A) exp(2 (L_B - L_A) / (n sigma^2)): a number."""
    ### BEGIN SOLUTION
    log_ratio = 2 * (loss_b - loss_a) / (n * sigma**2)
    for hessian, sign in ((hessian_b, 0.5), (hessian_a, -0.5)):
        eigenvalues = torch.linalg.eigvalsh(hessian)
        if not eigenvalues[0] > 0:
            raise ValueError(f"no minimum: a curvature is {eigenvalues[0]:.3g}")
        log_ratio = log_ratio + sign * float(eigenvalues.log().sum())
    return math.exp(log_ratio)
    ### END SOLUTION


# %% check="basin_ratio" points=4
check.basin_ratio(basin_ratio)

### BEGIN HIDDEN TESTS
import math

import torch

from flatlab.checks.answers import compare
from flatlab.checks.chapter03.basins import Integrals, ManyWeights, not_finite


@check.basin_ratio.hidden("A and B exchanged")
class Exchanged(Integrals):
    def draw(self, generator):
        drawn = super().draw(generator)
        return {**drawn, "a": drawn["b"], "b": drawn["a"], "losses": drawn["losses"][::-1]}


@check.basin_ratio.hidden("two factors that leave float64 while their product does not")
class Balanced(Integrals):
    def draw(self, generator):
        """80 curvatures of 1 at A and 1e-10 at B: e^-921; the losses: e^+921 times about 1."""
        drawn = 1 + 0.5 * torch.rand(80, generator=generator, dtype=torch.float64)
        return {
            "a": torch.diag(drawn),
            "b": torch.diag(1e-10 * drawn.flip(0)),
            "losses": [0.1, 0.1 + 40 * math.log(1e10) / 2 + 0.3],
            "n": 0.5,
            "sigma": math.sqrt(2.0),
        }

    def verdict(self, inputs, outputs):
        return not_finite(float(outputs["ratio"])) or compare(
            outputs["ratio"],
            math.exp(0.6),
            1e-4,
            otherwise="Depth and width nearly balance: the ratio is {expected}; yours is {got}.",
        )


@check.basin_ratio.hidden("Hessians in float32")
class SinglePrecision(ManyWeights):
    dtype = torch.float32


check.basin_ratio.grade(basin_ratio)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 5 · The same noise with other numbers   ●●○○ · 2 points · 6 min
#
# If only η/S matters, then (η, S) and (cη, cS) train alike. Write `rescale_schedule(learning_rates, batch_sizes, c)`.
# - `learning_rates`: a list of numbers; `batch_sizes`: a list of as many whole numbers; entry t is for step t. Both
#   stay as they are.
# - `c` > 0: a number.
# - Returns two new lists: the learning rates times c, and the batch sizes times c, these as `int`.
# - Raises a `ValueError` where the lists differ in length, or where c times a batch size is no whole number of at
#   least 1. Floats miss some products by a hair: `0.29 * 100` is 28.999999999999996 and stands for 29, `1.1 * 10` is
#   11.000000000000002 and stands for 11. Count up to 10⁻⁶ beside a whole number as that number.
#
# <details><summary>Hint</summary>
#
# `int(x)` cuts, `round(x)` takes the nearest whole number, and how far off that is, is the test.
#
# </details>


# %% exercise="rescale_schedule"
def rescale_schedule(learning_rates, batch_sizes, c):
    """The lists of c eta and c S, the latter int; ValueError where a batch would not be whole."""
    ### BEGIN SOLUTION
    if len(learning_rates) != len(batch_sizes):
        raise ValueError(f"{len(learning_rates)} learning rates, {len(batch_sizes)} batch sizes")
    sizes = [round(c * size) for size in batch_sizes]
    for size, new in zip(batch_sizes, sizes):
        if new < 1 or abs(new - c * size) > 1e-6:
            raise ValueError(f"batch size {size} times {c} is no whole number of at least 1")
    return [c * rate for rate in learning_rates], sizes
    ### END SOLUTION


# %% check="rescale_schedule" points=2
check.rescale_schedule(rescale_schedule)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter03.rescaling import BothTimesC


@check.rescale_schedule.hidden("lists that are left as they were")
class LeavesLists(BothTimesC):
    measured = ("same",)

    def call(self, student, inputs):
        rates, sizes = list(inputs["rates"]), list(inputs["sizes"])
        new_rates, new_sizes = student(rates, sizes, 1.0)
        same = new_rates is rates or new_sizes is sizes
        student(rates, sizes, inputs["c"])
        return {"rates": rates, "sizes": sizes, "same": same}

    def verdict(self, inputs, outputs):
        if list(outputs["rates"]) != list(inputs["rates"]):
            return "The caller's learning rates came back with new values: make a new list."
        if list(outputs["sizes"]) != list(inputs["sizes"]):
            return "The caller's batch sizes came back with new values: make a new list."
        if outputs["same"]:
            return "With c = 1 it returns the caller's own lists: make new ones."
        return None


@check.rescale_schedule.hidden("schedules of different lengths")
class DifferentLengths(BothTimesC):
    def draw(self, generator):
        return {"rates": [0.1, 0.2, 0.3], "sizes": [10, 20], "c": 2}

    def call(self, student, inputs):
        said = []
        for rates, sizes in (
            (list(inputs["rates"]), list(inputs["sizes"])),
            (list(inputs["rates"])[:1], list(inputs["sizes"])),
        ):
            try:
                student(rates, sizes, inputs["c"])
                said.append("accepted")
            except ValueError:
                said.append("refused")
        return {"said": said}

    def verdict(self, inputs, outputs):
        if "accepted" in [str(word) for word in outputs["said"]]:
            return (
                "Learning rates and batch sizes of different lengths were accepted. zip stops at the "
                "shorter one without a word: raise a ValueError."
            )
        return None


check.rescale_schedule.grade(rescale_schedule)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 6 · Random labels   ●●○○ · 3 points · 8 min
#
# Write `corrupt_labels(y, fraction, num_classes, generator)`: the labels y with a fraction of them made wrong.
# - `y`: int64 tensor of shape (n,) with classes 0 … `num_classes` − 1, at least two. It stays as it is.
# - Exactly round(fraction · n) labels change (Python's `round`), 0 ≤ `fraction` ≤ 1. Which ones is drawn at random, all
#   sets of places alike.
# - Each of them becomes a **different** class, every other class with the same probability.
# - Everything random comes from `generator`.
# - Returns a new tensor of integers, shape (n,).
#
# <details><summary>Hint</summary>
#
# `torch.randperm(n, generator=generator)` is all places in random order. For the new class: how many classes forward
# may a label move, modulo `num_classes`, without coming back to itself?
#
# </details>


# %% exercise="corrupt_labels"
def corrupt_labels(y, fraction, num_classes, generator):
    """A copy of y (n,) with exactly round(fraction n) labels replaced, each by a different class."""
    ### BEGIN SOLUTION
    places = torch.randperm(len(y), generator=generator)[: round(fraction * len(y))]
    shift = torch.randint(1, num_classes, places.shape, generator=generator)
    noisy = y.clone()
    noisy[places] = (y[places] + shift) % num_classes
    return noisy
    ### END SOLUTION


# %% check="corrupt_labels" points=3
check.corrupt_labels(corrupt_labels)

### BEGIN HIDDEN TESTS
import numpy as np
import torch

from flatlab.checks.answers import array
from flatlab.checks.chapter01.products import seeded
from flatlab.checks.chapter03.labels import ExactFraction, corrupted, how_many


@check.corrupt_labels.hidden("fractions whose product with n floats miss by a hair")
class Rounded(ExactFraction):
    def draw(self, generator):
        return {"y": torch.randint(10, (100,), generator=generator)}

    def call(self, student, inputs):
        y = torch.tensor(inputs["y"])
        return {"noisy": [corrupted(student, y.clone(), f, 10, seed=4) for f in (0.29, 0.57, 0.58)]}

    def verdict(self, inputs, outputs):
        y = np.array(inputs["y"])
        for noisy, fraction in zip(outputs["noisy"], (0.29, 0.57, 0.58)):
            message = how_many(int((noisy != y).sum()), len(y), fraction, 10)
            if message:
                return message
        return None


@check.corrupt_labels.hidden("a fraction of 0, and y left as it was")
class LeavesLabels(ExactFraction):
    def call(self, student, inputs):
        y, none = torch.tensor(inputs["y"]), torch.tensor(inputs["y"])
        student(y, 0.5, 10, seeded(1))
        same = student(none, 0.0, 10, seeded(1))
        labels = array(same, tuple(none.shape))
        if isinstance(same, torch.Tensor | np.ndarray):
            same[...] = 3
        return {"labels": labels, "after": y, "none": none}

    def verdict(self, inputs, outputs):
        if (outputs["after"] != inputs["y"]).any():
            return "The caller's y came back with new values: change a copy, y.clone()."
        if (outputs["labels"] != inputs["y"]).any():
            return "With fraction 0 labels changed all the same."
        if (outputs["none"] != inputs["y"]).any():
            return "With fraction 0 it returns the caller's own y; a copy is asked for."
        return None


@check.corrupt_labels.hidden("two classes")
class TwoClasses(ExactFraction):
    def draw(self, generator):
        return {"y": torch.randint(2, (300,), generator=generator)}

    def call(self, student, inputs):
        y = torch.tensor(inputs["y"])
        return {"noisy": corrupted(student, y.clone(), 0.4, 2, seed=9)}

    def verdict(self, inputs, outputs):
        changed = int((outputs["noisy"] != np.array(inputs["y"])).sum())
        if changed != 120:
            return f"With two classes and fraction 0.4 it changed {changed} of 300 labels, not 120."
        return None


check.corrupt_labels.grade(corrupt_labels)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 7 · Cycles   ●○○○ · 2 points · 6 min
#
# Write `cyclic_schedule(step, period, low, high, shape)`: the learning rate (or batch size) at a step of a schedule
# that repeats itself every `period` steps.
# - `step` counts from 0; `period` ≥ 2; both are whole numbers. `low` ≤ `high` are numbers.
# - `shape="discrete"`: high for the first half of each period, `period // 2` steps, low for the rest.
# - `shape="triangle"`: low at the period's first step, from there up in a straight line to high at `period / 2`, and
#   down again, so that the next period starts at low. For an odd period the top lies between two steps.
# - Any other `shape`: a `ValueError`.
# - Returns a number.
#
# <details><summary>Hint</summary>
#
# Everything depends on the place in the cycle. For the triangle, measure the distance of that place from the nearer
# end of its period.
#
# </details>


# %% exercise="cyclic_schedule"
def cyclic_schedule(step, period, low, high, shape):
    """The value at `step` of a cycle between low and high, "discrete" or "triangle": a number."""
    ### BEGIN SOLUTION
    place = step % period
    if shape == "discrete":
        return high if place < period // 2 else low
    if shape == "triangle":
        return low + (high - low) * min(place, period - place) / (period / 2)
    raise ValueError(f"shape is {shape!r}: choose discrete or triangle")
    ### END SOLUTION


# %% check="cyclic_schedule" points=2
check.cyclic_schedule(cyclic_schedule)

### BEGIN HIDDEN TESTS
from flatlab.checks.answers import array
from flatlab.checks.chapter03.cycles import OneShape


@check.cyclic_schedule.hidden("an odd period")
class OddPeriod(OneShape):
    period = 7
    first = 7

    def call(self, student, inputs):
        low, high = inputs["low"], inputs["high"]
        values = {}
        for shape in ("discrete", "triangle"):
            steps = inputs["steps"]
            values[shape] = [
                array(student(int(t), self.period, low, high, shape), ()) for t in steps
            ]
        return values

    def verdict(self, inputs, outputs):
        for shape in ("discrete", "triangle"):
            one = OneShape()
            one.shape, one.period = shape, self.period
            message = one.verdict(inputs, {"values": outputs[shape]})
            if message:
                return message
        return None


@check.cyclic_schedule.hidden("a step far into training")
class FarOn(OddPeriod):
    period = 30
    first = 999_990


@check.cyclic_schedule.hidden("a shape that is neither")
class OtherShape(OneShape):
    def call(self, student, inputs):
        try:
            got = student(3, 8, 0.1, 1.0, "cosine")
        except ValueError:
            return {"said": "refused"}
        return {"said": f"{got}"}

    def verdict(self, inputs, outputs):
        if str(outputs["said"]) != "refused":
            return (
                f"For shape='cosine' it returns {outputs['said']}: a misspelt shape would train on "
                "without a word. Raise a ValueError."
            )
        return None


check.cyclic_schedule.grade(cyclic_schedule)
### END HIDDEN TESTS
