# %% [markdown]
# # Parts of chapter 04: its exercises. The chapter's text goes around them.
#
# ruff: noqa: F821
# The setup needs `import math`, `import torch` and `from flatlab.checks import chapter04 as check`.

# %% [markdown]
# ### Exercise 1 · Drawing from a stable law   ●●●○ · 4 points · 10 min
#
# Write `sample_stable(alpha, size, generator)`: independent draws of $S\alpha S(1)$, the symmetric law with
# $\mathbb E\, e^{itX} = e^{-|t|^\alpha}$. Chambers, Mallows and Stuck (1976) make each draw from two random numbers,
# V uniform on $(-\tfrac{\pi}{2}, \tfrac{\pi}{2})$ and W exponential with mean 1:
#
# $$X = \frac{\sin(\alpha V)}{\cos(V)^{1/\alpha}}
# \left(\frac{\cos\big((1-\alpha) V\big)}{W}\right)^{(1-\alpha)/\alpha}.$$
#
# - `alpha`: a number, 0 < α ≤ 2; for any other raise `ValueError`. One formula serves all of them, α = 1
#   and α = 2 included.
# - `size`: a whole number or a tuple, as `torch.rand(size)` takes it. Returns a tensor of that shape, one V and one W
#   for each entry.
# - `generator`: a `torch.Generator`. Everything random comes from it.
#
# <details><summary>Hint</summary>
#
# If U is uniform on (0, 1), then −log U is exponential with mean 1. V and W are independent, so each takes a
# `torch.rand` of its own. In Python `x ** 1 / alpha` is `(x ** 1) / alpha`. Test yourself with α = 2: the draws must
# be normal with variance 2.
#
# </details>


# %% exercise="sample_stable"
def sample_stable(alpha, size, generator):
    """Draws of S-alpha-S(1), 0 < alpha <= 2: a tensor of shape size (int or tuple)."""
    ### BEGIN SOLUTION
    if not 0 < alpha <= 2:
        raise ValueError(f"alpha is {alpha}: a stable law has a tail index in (0, 2]")
    v = math.pi * (torch.rand(size, generator=generator, dtype=torch.float64) - 0.5)
    w = -torch.log(1 - torch.rand(size, generator=generator, dtype=torch.float64))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)
    ### END SOLUTION


# %% check="sample_stable" points=4
check.sample_stable(sample_stable)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter04.refusals import refusal, refusal_verdict
from flatlab.checks.chapter04.stable import TwoLaws


@check.sample_stable.hidden("alpha = 1 and alpha = 2")
class CauchyAndNormal(TwoLaws):
    alphas = (1.0, 2.0)


@check.sample_stable.hidden("a small alpha")
class SmallAlpha(TwoLaws):
    alphas = (0.4,)


@check.sample_stable.hidden("an alpha outside (0, 2]")
class NoStableLaw:
    def draw(self, generator):
        return {"alphas": [0.0, -1.0, 2.5]}

    def call(self, student, inputs):
        generator = torch.Generator().manual_seed(0)
        return {"raised": [refusal(student, float(a), 3, generator) for a in inputs["alphas"]]}

    def verdict(self, inputs, outputs):
        for alpha, raised in zip(inputs["alphas"], outputs["raised"]):
            if message := refusal_verdict(raised, f"alpha = {alpha:g}"):
                return message
        return None


check.sample_stable.grade(sample_stable)
### END HIDDEN TESTS


# %% [markdown]
# ### Exercise 2 · The noise of a gradient   ●○○○ · 2 points · 4 min
#
# Write `gradient_noise(per_batch_grads)`: the noise $U_k$ = (gradient of minibatch k) − (full gradient).
# - `per_batch_grads`: tensor of shape (k, p), one row for each minibatch, one column for each parameter. The minibatches
#   are equal parts of the data, so the full gradient is the mean of the rows.
# - Returns a tensor of shape (k, p). `per_batch_grads` stays as it is.
#
# <details><summary>Hint</summary>
#
# How many entries does the full gradient have, k or p? Unbiased noise adds up to 0 over the minibatches, in each
# column.
#
# </details>


# %% exercise="gradient_noise"
def gradient_noise(per_batch_grads):
    """Each minibatch's gradient minus the full one: (k, p), for per_batch_grads (k, p)."""
    ### BEGIN SOLUTION
    return per_batch_grads - per_batch_grads.mean(0)
    ### END SOLUTION


# %% check="gradient_noise" points=2
check.gradient_noise(gradient_noise)

### BEGIN HIDDEN TESTS
import numpy as np

from flatlab.checks.chapter04.noise import Regression
from flatlab.checks.toys import normal


@check.gradient_noise.hidden("as many minibatches as parameters")
class Square(Regression):
    def draw(self, generator):
        return {"gradients": 2 + normal(generator, 5, 5)}


@check.gradient_noise.hidden("minibatches that all agree")
class NoNoise(Regression):
    def draw(self, generator):
        return {"gradients": normal(generator, 1, 4).expand(8, 4)}

    def verdict(self, inputs, outputs):
        if not np.abs(outputs["noise"]).max() < 1e-5:  # NaN fails too
            return "Where all minibatches have the same gradient the noise is 0 everywhere."
        return None


check.gradient_noise.grade(gradient_noise)
### END HIDDEN TESTS


# %% [markdown]
# ### Exercise 3 · The tail index   ●●●○ · 4 points · 9 min
#
# Sums of stable draws grow by a known factor: k₁ draws of $S\alpha S(1)$ add up to something with the law of
# $k_1^{1/\alpha}$ times one draw. Its logarithm makes an estimate. Write `tail_index(x, k1)`: for $K = k_1 k_2$ entries
# $X_1, \dots, X_K$ and the k₂ sums $Y_j$ of k₁ **consecutive** entries,
#
# $$\frac1{\hat\alpha} = \frac1{\log k_1}
# \Big( \frac1{k_2} \sum_{j=1}^{k_2} \log|Y_j| - \frac1K \sum_{i=1}^{K} \log|X_i| \Big).$$
#
# - `x`: tensor of any shape, without zeros, taken in the order of `x.flatten()`. It stays as it is.
# - `k1`: a whole number, 2 ≤ k₁ ≤ K/2. Where it does not divide K, raise `ValueError`.
# - Returns $\hat\alpha$, a number.
#
# <details><summary>Hint</summary>
#
# `reshape(-1, k1)` puts k₁ consecutive entries into each row. Test yourself with entries 1, 1, 1, −1 over and
# over: with k₁ = 4 each sum is 2 = 4^½, so $\hat\alpha$ is 2.
#
# </details>


# %% exercise="tail_index"
def tail_index(x, k1):
    """Estimate of alpha from the sums of k1 consecutive entries of x: a number."""
    ### BEGIN SOLUTION
    x = x.flatten()
    if len(x) % k1:
        raise ValueError(f"k1 is {k1}, no divisor of the number of entries, {len(x)}")
    sums = x.reshape(-1, k1).sum(1)
    growth = sums.abs().log().mean() - x.abs().log().mean()
    return math.log(k1) / growth.item()
    ### END SOLUTION


# %% check="tail_index" points=4
check.tail_index(tail_index)

### BEGIN HIDDEN TESTS
import numpy as np

from flatlab.checks.chapter04.refusals import refusal, refusal_verdict
from flatlab.checks.chapter04.tail import HeavySample
from flatlab.checks.toys import normal


@check.tail_index.hidden("noise as a matrix, one row for each minibatch")
class Matrix(HeavySample):
    def draw(self, generator):
        return {"x": normal(generator, 6, 10) / normal(generator, 6, 10), "k1": 4}


@check.tail_index.hidden("another scale")
class AnotherScale(HeavySample):
    def draw(self, generator):
        drawn = super().draw(generator)
        return {**drawn, "x": 1e-6 * drawn["x"]}

    def verdict(self, inputs, outputs):
        if message := super().verdict(inputs, outputs):
            return f"For a sample with entries around 1e-6: {message}"
        return None


@check.tail_index.hidden("a k1 that does not divide the sample")
class NoDivisor:
    def draw(self, generator):
        return {"x": normal(generator, 12), "k1": 5}

    def call(self, student, inputs):
        return {"raised": refusal(student, torch.tensor(inputs["x"]), int(inputs["k1"]))}

    def verdict(self, inputs, outputs):
        return refusal_verdict(outputs["raised"], "12 entries and k1 = 5")


check.tail_index.grade(tail_index)
### END HIDDEN TESTS


# %% [markdown]
# ### Exercise 4 · The Gaussian control   ●●○○ · 3 points · 7 min
#
# Write `matched_gaussian(noise, generator)`: normal numbers with mean 0 and, in each coordinate, the mean square
# that the noise has there, $\frac1k \sum_k U_{kj}^2$ for coordinate j.
# - `noise`: tensor of shape (k, p), one row for each minibatch, each column adding up to 0. It stays as it is.
# - Returns a tensor of shape (k, p), all entries drawn independently with `generator`. Dividing by k − 1 instead of k is
#   accepted. Where a coordinate has no noise, the control is 0.
#
# <details><summary>Hint</summary>
#
# `torch.randn(noise.shape, generator=generator)` has the right shape and scale 1 everywhere. How many scales does
# the noise have, k or p? A (p,) tensor broadcasts along the rows.
#
# </details>


# %% exercise="matched_gaussian"
def matched_gaussian(noise, generator):
    """Normal numbers (k, p) with the mean square of each column of noise (k, p)."""
    ### BEGIN SOLUTION
    scale = noise.square().mean(0).sqrt()
    return scale * torch.randn(noise.shape, generator=generator, dtype=noise.dtype)
    ### END SOLUTION


# %% check="matched_gaussian" points=3
check.matched_gaussian(matched_gaussian)

### BEGIN HIDDEN TESTS
import numpy as np

from flatlab.checks.chapter04.control import OneScaleEach, control_verdict


@check.matched_gaussian.hidden("coordinates without noise")
class DeadCoordinates(OneScaleEach):
    def draw(self, generator):
        drawn = super().draw(generator)
        alive = torch.arange(self.shape[1]) % 4 > 0
        return {**drawn, "noise": drawn["noise"] * alive}

    def verdict(self, inputs, outputs):
        noise, control = np.asarray(inputs["noise"]), outputs["control"]
        dead = ~noise.any(axis=0)
        if np.isnan(control[:, dead]).any():
            return "Where a coordinate has no noise the control is NaN: is 0 divided by 0?"
        if np.abs(control[:, dead]).max() > 1e-6:
            return "Where a coordinate has no noise, its scale is 0 and so is the control."
        return control_verdict(noise, control)


@check.matched_gaussian.hidden("noise that is left as it was")
class LeavesNoise(OneScaleEach):
    shape = (6, 5)

    def verdict(self, inputs, outputs):
        if not np.array_equal(outputs["after"], inputs["noise"]):
            return "The noise that was passed in has changed. Return a new tensor."
        return None


check.matched_gaussian.grade(matched_gaussian)
### END HIDDEN TESTS


# %% [markdown]
# ### Exercise 5 · A step with stable noise   ●●○○ · 3 points · 6 min
#
# Write `levy_step(w, grad, learning_rate, alpha, sigma, generator)`: one step of descent in which the noise is stable,
#
# $$w \;\to\; w - \eta\, \nabla f + \eta^{1/\alpha} \sigma S, \qquad
# S \sim S\alpha S(1), \text{ independent for each weight.}$$
#
# - `w`, `grad`: tensors of the same shape, any number of axes. They stay as they are.
# - `learning_rate` η > 0, `alpha` in (0, 2], `sigma` ≥ 0: numbers. For σ = 0 it is gradient descent.
# - Returns a tensor of the shape of `w`.
# - You may call your `sample_stable`. The check lends it a right one: a mistake in exercise 1 costs its points once.
#
# <details><summary>Hint</summary>
#
# Two steps of noise must add up to one step of twice the length: by the growth of sums in exercise 3 that asks for
# $\eta^{1/\alpha}$, which is $\sqrt\eta$ for α = 2. Mind the parentheses in the exponent. `w.shape` serves as a size.
#
# </details>


# %% exercise="levy_step"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    """w - eta grad + eta^(1/alpha) sigma S, S ~ S-alpha-S(1) in each entry: a new tensor like w."""
    ### BEGIN SOLUTION
    noise = sample_stable(alpha, w.shape, generator).to(w)
    return w - learning_rate * grad + learning_rate ** (1 / alpha) * sigma * noise
    ### END SOLUTION


# %% check="levy_step" points=3
check.levy_step(levy_step)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter04.step import Noise


@check.levy_step.hidden("a matrix of weights")
class MatrixOfWeights(Noise):
    cases = ((0.2, 1.7, 0.5),)
    shape = (100, 150)


@check.levy_step.hidden("Brownian noise, alpha = 2")
class Brownian(Noise):
    cases = ((0.1, 2.0, 0.4),)


@check.levy_step.hidden("an alpha below 1")
class BelowOne(Noise):
    cases = ((0.3, 0.8, 2.0),)


check.levy_step.grade(levy_step)
### END HIDDEN TESTS


# %% [markdown]
# ### Exercise 6 · First exits   ●●●○ · 4 points · 10 min
#
# Runs were recorded while they moved in a well from `low` to `high`; both ends belong to the well. Write two functions:
# - `first_exit_time(paths, low, high, dt)`
#     - `paths`: tensor of shape (runs, steps + 1). Entry i of a row is the run's position at time i·dt; entry 0 lies
#       inside. A run may come back after it left; the first exit counts. A run that became NaN has left.
#     - Returns `times, exited`, both of shape (runs,): the time of the first entry outside, and whether there is one. A
#       run that never left is **censored**: its time is dt · steps, as long as it was watched, and exited is `False`.
# - `mean_exit_time(times, exited)`
#     - The total time of all runs over the number of exits, a number: for exponential exit times the
#       maximum-likelihood estimate of their mean. `math.inf` where no run left, without a warning or an error.
#
# <details><summary>Hint</summary>
#
# `argmax(1)` of a tensor of zeros and ones is the index of the first one in each row. What is it for a row of zeros?
# And NaN: is it below `low`? Is it at least `low`?
#
# </details>


# %% exercise="first_exit_time"
def first_exit_time(paths, low, high, dt):
    """times (runs,), exited (runs,): the first entry of each row outside [low, high], or dt * steps, False."""
    ### BEGIN SOLUTION
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    first = torch.where(exited, outside.int().argmax(1), steps)
    return dt * first, exited
    ### END SOLUTION


def mean_exit_time(times, exited):
    """Total time over number of exits: a number, math.inf where no run left."""
    ### BEGIN SOLUTION
    exits = int(exited.sum())
    return float(times.sum()) / exits if exits else math.inf
    ### END SOLUTION


# %% check="first_exit_time" points=4
check.first_exit_time(first_exit_time)
check.mean_exit_time(mean_exit_time)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter04.exits import Runs


@check.first_exit_time.hidden("a run that ends in NaN")
class EndsInNaN(Runs):
    def draw(self, generator):
        drawn = super().draw(generator)
        paths = drawn["paths"].clone()
        paths[2, 6:] = torch.nan
        paths[5, 9], paths[5, 10:] = torch.inf, torch.nan
        return {**drawn, "paths": paths}


@check.first_exit_time.hidden("runs that touch the border")
class TouchesBorder(Runs):
    def draw(self, generator):
        drawn = super().draw(generator)
        paths = drawn["paths"].clone()
        paths[2, 4], paths[5, 7] = drawn["well"]
        return {**drawn, "paths": paths}


@check.first_exit_time.hidden("a single run")
class SingleRun(Runs):
    def draw(self, generator):
        drawn = super().draw(generator)
        return {**drawn, "paths": drawn["paths"][:1], "dt": 1e-3}


check.first_exit_time.grade(first_exit_time)
### END HIDDEN TESTS
