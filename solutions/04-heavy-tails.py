# %% [markdown]
# # 04 · Is the noise of SGD heavy-tailed?
#
# <!-- badges -->
#
# The last chapter treated the noise of SGD as Gaussian. The slides of this chapter say that it is not: its tails are
# so heavy that its variance is infinite, SGD does not creep over a barrier but jumps, and that is why it
# ends in wide minima. The chapter builds the estimator behind that claim, runs it on networks, and then does what
# the slides do not: it runs the same estimator on Gaussian noise.
#
# **After this chapter you can**
# - draw from stable laws, and say which sums they are the limit of,
# - estimate a tail index, and name two things besides tails that lower the estimate,
# - build controls for an estimate, say what each can show and what not, and what is left of a claim beside them,
# - predict from the height and the width of a well how long Brownian and Lévy noise stay in it.
#
# **Time** 130 minutes. **Prerequisites** [chapter 00](../00-start-here/00-start-here.ipynb), the central limit
# theorem, covariance; chapter 03 helps.
# **Slides** *A tail-index analysis of stochastic gradient noise in deep neural networks* (Şimşekli, with Sagun and
# Gürbüzbalaban, 2019).

# %% setup
# <!-- install -->
import functools
import math

import torch

import flatlab
from flatlab import models, plots, tails, widgets
from flatlab.checks import chapter04 as check
from flatlab.checks import ready
from flatlab.notebook import predict, progress, reveal, settings

device = "cuda" if torch.cuda.is_available() else "cpu"

# %% settings
# Each row is a setting, each column a scale. Choose with the environment variable FLATLAB_SCALE.
setting = settings(
    {
        #                  quick, laptop, paper
        "terms": ((1, 10, 100), (1, 3, 10, 30, 100, 300), (1, 3, 10, 30, 100, 300, 1000)),
        "sums": (20, 2000, 20_000),
        "sample_root": (10, 100, 1000),  # the root of the size of a sample
        "samples": (2, 20, 100),
        "train_images": (130, 20_000, 60_000),
        "color_images": (60, 2000, 50_000),
        "width": (8, 64, 512),
        "widths": ((4,), (16, 256), (16, 1024)),
        "depths": ((1,), (1, 4), (1, 10)),
        "batch_sizes": ((3,), (10, 250), (10, 500)),
        "batch_size": (10, 50, 100),
        "minibatches": (4, 40, 100),
        "train_steps": (2, 500, 10_000),
        "added": (
            (2, 10),
            (10, 30, 100, 300, 1000, 3000, 10_000),
            (10, 100, 1000, 10_000, 100_000),
        ),
        "averaged": ((1, 4), (1, 4, 16, 64), (1, 4, 16, 64, 256)),
        "averages": (9, 256, 256),
        "jump_rates": ((0.5,), (0.1, 0.5), (0.1, 0.5)),
        "jump_steps": (6, 300, 3000),
        "looks": (4, 45, 100),
        "exit_runs": (3, 200, 1000),
        "brownian_steps": (20, 8000, 40_000),
        "levy_steps": (20, 8000, 40_000),
        "well_steps": (20, 40_000, 400_000),
    }
)

# %% [markdown]
# ## 1 · Sums that stay heavy   (≈ 17 min)
#
# A minibatch gradient is a mean over samples, so the central limit theorem suggests that its noise is Gaussian.
# The theorem needs a finite variance. Without one the slides turn to the **generalized** central limit theorem: if
# sums of independent draws of one law, shifted and divided by the right power of their number, converge at all, the limit is
# a stable law. The symmetric ones, $S\alpha S(\sigma)$, have the characteristic function
# $\mathbb E\,e^{itX} = e^{-|\sigma t|^\alpha}$ with a **tail index** α in (0, 2]:
# - α = 2 is the normal law N(0, 2σ²), α = 1 the Cauchy law.
# - For α < 2 large values are not rare: $P(|X| > x) \approx C_\alpha\,(\sigma/x)^\alpha$ with
#   $C_\alpha = \tfrac2\pi\,\Gamma(\alpha) \sin\tfrac{\pi\alpha}{2}$. The variance is infinite, for α ≤ 1 there is no
#   mean either.
# - A sum of k independent draws has the law of $k^{1/\alpha}$ times one draw. That is what "stable" means.

# %% predict="100 Cauchy draws (α = 1) add up to something typically"
# 100 normal draws add up to about 10 times one draw.
predict(
    "100 Cauchy draws (α = 1) add up to something typically",
    options=["10 times one draw", "100 times one draw", "1000 times one draw and more"],
    answer=...,
)

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

# %% experiment="sums"
laws = (2.0, 1.5, 1.0)
growth = {}  # α -> median |sum of k draws| over median |draw|, for each k
if ready(sample_stable):
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.4)
    print(f"{'draws in a sum':24}" + "".join(f"{k:8d}" for k in setting.terms))
    for alpha, marker in zip(laws, "os^"):
        drawn = sample_stable(
            alpha, (setting.sums, setting.terms[-1]), torch.Generator().manual_seed(2)
        )
        drawn = torch.as_tensor(drawn).double()
        walk = drawn.flatten()[:3000].cumsum(0)
        left.plot(walk / walk.abs().max(), label=f"α = {alpha:g}")
        middle = drawn.abs().median()
        growth[alpha] = [float(drawn[:, :k].sum(1).abs().median() / middle) for k in setting.terms]
        right.plot(
            setting.terms, growth[alpha], marker=marker, linestyle="none", label=f"α = {alpha:g}"
        )
        print(
            f"α = {alpha:<3g}, size of the sum " + "".join(f"{size:8.2f}" for size in growth[alpha])
        )
        right.plot(
            setting.terms,
            [k ** (1 / alpha) for k in setting.terms],
            color=plots.COLORS["black"],
            linestyle=":",
            linewidth=1,
        )
    left.set(xlabel="number of draws added", ylabel="sum, over its largest")
    left.legend(fontsize=8)
    right.set(
        xlabel="number of draws added, k",
        ylabel="median size of the sum",
        xscale="log",
        yscale="log",
    )
    right.legend(fontsize=8, title=r"dotted: $k^{1/\alpha}$")
    told = "; ".join(
        f"α = {alpha:g}: "
        + ", ".join(f"{size:.3g} for {k}" for k, size in zip(setting.terms, growth[alpha]))
        for alpha in laws
    )
    plots.show(
        fig,
        alt="Left: sums of stable draws against their number, each over its largest value; with "
        "α = 2 a walk of small steps, with smaller α flat stretches between jumps. Right: median "
        "size of a sum of k draws in units of one draw, on both axes logarithmic, on the lines "
        f"k^(1/α). {told}.",
    )

# %% [markdown]
# (The size of a sum is the median of its absolute value, in units of that of one draw.) The sums lie on $k^{1/\alpha}$. For α = 1 a sum of 100 draws is 100 times as large as one, so their **mean** is as large as
# one draw: averaging does not help. A few jumps decide where the walk goes. (All three
# walks are made from the same V and W: what is a step for α = 2 is a jump for α = 1.) If the noise of a gradient had α < 2,
# batches of any size would leave it heavy, and the path of SGD would look like the walks with jumps on the left.

# %% [markdown]
# ## 2 · The tail index of a gradient   (≈ 23 min)
#
# The slides' central object is the noise of minibatch gradients,
#
# $$U_k(w) = \nabla \tilde f_k(w) - \nabla f(w),$$
#
# which they propose to be $S\alpha S(\sigma(w))$ in every coordinate. Their evidence is one number, an estimate of α for
# each network.

# %% predict="the estimated tail index of a network's gradient noise"
predict(
    "the estimated tail index of a network's gradient noise",
    options=["about 2: Gaussian", "about 1.6", "about 1: as heavy as Cauchy's"],
    answer=...,
)


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
# How many entries does the full gradient have, k or p? The noise adds up to 0 over the minibatches, in each
# column, since their mean is subtracted.
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
# First on samples whose index is known: 20 samples of 10,000 draws for each α, with k₁ = 100.

# %% experiment="calibration"
known = (0.5, 1.0, 1.5, 2.0)
if ready(sample_stable, tail_index):
    print("tail index    mean and standard deviation of its estimates")
    for alpha in known:
        draws = torch.Generator().manual_seed(3)
        found = torch.tensor(
            [
                float(
                    tail_index(
                        sample_stable(alpha, setting.sample_root**2, draws), setting.sample_root
                    )
                )
                for _ in range(setting.samples)
            ]
        )
        print(f"{alpha:10.1f}    {found.mean():.2f} ± {found.std():.2f}")

# %% [markdown]
# On independent draws of one stable law the estimator is right. Now to a network: 784-64-64-10 with ReLU,
# cross-entropy, Fashion-MNIST (the slides use MNIST), trained for 500 steps with η = 0.1 and minibatches of 50. The noise is
# that of 40 minibatches at fixed weights, two million numbers; the mean of the 40 stands for the full gradient. As the authors do, we write them one after the
# other, minibatch by minibatch, and take k₁ close to the root of their number. (`tails.in_blocks` cuts the rows so that
# each sum stays within one minibatch, and leaves out coordinates without noise.)


# %% folded
cross_entropy = torch.nn.functional.cross_entropy
clothes = flatlab.load_dataset(
    "fashion_mnist", n_train=setting.train_images, n_test=10, device=device, fallback="digits"
).train


def network(data, width=setting.width, depth=2, seed=0):
    """A ReLU network with `depth` hidden layers, untrained."""
    sizes = (data[0][0].numel(), *[width] * depth, 10)
    return models.mlp(sizes, generator=torch.Generator().manual_seed(seed)).to(device)


def train(
    model, data, loss=cross_entropy, batch_size=setting.batch_size, rate=0.1, steps=None, looks=()
):
    """SGD, in place; the history."""
    return flatlab.fit(
        model,
        loss,
        data,
        learning_rate=rate,
        batch_size=batch_size,
        steps=steps or setting.train_steps,
        evaluate_every=steps or setting.train_steps,
        callbacks=looks,
        description="training",
    )


def noise_of(
    model, data, loss=cross_entropy, batch_size=setting.batch_size, count=setting.minibatches
):
    """Your gradient_noise of `count` minibatches: (count, p)."""
    count = min(count, len(data[0]) // batch_size)
    gradients = tails.batch_gradients(model, loss, data, batch_size, count)
    return torch.as_tensor(gradient_noise(gradients)).cpu()


# %% experiment="first-estimate"
first = {}  # when -> estimate
if ready(sample_stable, gradient_noise, tail_index):
    model = network(clothes)
    first["untrained"] = float(tail_index(*tails.in_blocks(noise_of(model, clothes))))
    train(model, clothes)
    noise, k1 = tails.in_blocks(noise_of(model, clothes))
    first["trained"] = float(tail_index(noise, k1))
    print(f"{len(noise)} minibatches, {noise.shape[1]} coordinates, k1 = {k1}")
    print(f"tail index: untrained {first['untrained']:.2f}, trained {first['trained']:.2f}")

    seeded = torch.Generator().manual_seed(4)
    size = min(200_000, noise.numel())
    picked = noise.flatten()[torch.randint(noise.numel(), (size,), generator=seeded)].abs()
    stable = torch.as_tensor(sample_stable(min(first["trained"], 2.0), size, seeded)).abs().double()
    normal = torch.randn(size, generator=seeded, dtype=torch.float64).abs()
    share = 1 - torch.arange(size) / size  # of entries at least as large as the sorted one
    fig, ax = plots.figure(width=6.4, height=3.4)
    for name, sample in (
        ("gradient noise", picked),
        ("normal", normal),
        (f"stable, α = {first['trained']:.2f}", stable),
    ):
        ax.plot((sample / sample.median()).sort().values, share, label=name)
    ax.set(
        xlabel="|U|, in units of its median",
        ylabel="share of entries as large",
        xscale="log",
        yscale="log",
        xlim=(0.1, 1e4),
        ylim=(0.5 / size, 1.5),
    )
    ax.legend(fontsize=8)
    beyond = float((picked > 10 * picked.median()).double().mean())
    plots.show(
        fig,
        alt="Share of noise entries at least as large as a multiple of their median, both axes "
        "logarithmic. The normal curve ends at about 7 medians, the stable one is a straight line "
        f"that goes on beyond 10,000; gradient noise lies between: {beyond:.1%} of its entries "
        "are larger than 10 medians, and it bends down.",
    )

# %% [markdown]
# An estimate of 0.96: heavier than the Cauchy law. The slides conclude from such numbers that "SGD noise is highly
# non-Gaussian", and a glance at the figure agrees: 1.9 % of the entries are larger than ten medians, of normal numbers none. The stable law
# with that index, though, lies far above the noise: its tail is a straight line, and the noise's bends down.

# %% [markdown]
# ## 3 · A control   (≈ 20 min)
#
# What would the estimator say of noise that **is** Gaussian? The weights of a network are not alike: between a
# pixel at the border of the image and one in its middle the scale of the gradient differs by orders of magnitude.
# The estimator takes all coordinates for draws of one law.

# %% predict="Gaussian noise with the scales of the network's coordinates: its estimate"
predict(
    "Gaussian noise with the scales of the network's coordinates: its estimate",
    options=["2, since it is Gaussian", "about 1.6", "about 1, as the network's"],
    answer=...,
)


# %% [markdown]
# ### Exercise 4 · The Gaussian control   ●●○○ · 3 points · 7 min
#
# Write `matched_gaussian(noise, generator)`: normal numbers with mean 0 and, in each coordinate, the mean square
# that the noise has there, $\frac1k \sum_{i=1}^k U_{ij}^2$ for coordinate j.
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
# Why the scales matter can be calculated. Take independent normal entries with scales $s_1, s_2, \dots$ A sum of
# k₁ of them is normal with the scale $\sqrt{k_1}$ times the root mean square of the $s_j$; the mean of $\log|X|$ follows
# their geometric mean. So
#
# $$\frac1{\hat\alpha} = \frac12 + \frac{\log(\text{rms}/\text{geometric mean})}{\log k_1},$$
#
# and $\hat\alpha$ is less than 2 as soon as two scales differ. And if all entries of a minibatch moved **together**, up or down by
# the same amount, a sum of k₁ would be k₁ times as large as one entry, and $\hat\alpha$ would be 1, with any
# distribution. Four toys, 40 minibatches and 2000 coordinates each, with your control and two more measurements:
# - **exchanged** (`tails.exchanged`): the minibatches of each coordinate are put into an order of its own. Every coordinate keeps
#   its numbers; what moves together is broken up.
# - **agreement** (`tails.scale_agreement`): the variance of each coordinate, once over the even minibatches and once over the odd
#   ones. The correlation of their logarithms is near 1 if coordinates have scales of their own, and near 0 if they differ
#   by chance.


# %% folded
def gaussian_control(matched_gaussian, noise, generator):
    """Your control. In float32 a normal number is now and then exactly 0: moved off it, for the log."""
    control = torch.as_tensor(matched_gaussian(noise, generator)).to(noise)
    return torch.where(control == 0, 1e-9 * noise, control)


# %% experiment="toys"
toys = {}  # name -> estimate, control, exchanged, agreement
if ready(sample_stable, gradient_noise, tail_index, matched_gaussian):
    seeded = torch.Generator().manual_seed(5)
    normal = torch.randn(40, 2000, generator=seeded, dtype=torch.float64)
    scales = torch.randn(2000, generator=seeded, dtype=torch.float64).exp()
    together = torch.randn(40, 1, generator=seeded, dtype=torch.float64) + 0.1 * normal
    for name, toy in (
        ("normal, one scale, independent", normal),
        ("normal, scales exp(z), z normal, independent", normal * scales),
        ("normal, one scale, moving together", together),
        ("stable, α = 1.5, one scale, independent", sample_stable(1.5, (40, 2000), seeded)),
    ):
        toy, k1 = tails.in_blocks(torch.as_tensor(gradient_noise(torch.as_tensor(toy))))
        toys[name] = (
            float(tail_index(toy, k1)),
            float(tail_index(gaussian_control(matched_gaussian, toy, seeded), k1)),
            float(tail_index(tails.exchanged(toy, seeded), k1)),
            tails.scale_agreement(toy),
        )
    apart = math.log(float(scales.square().mean().sqrt())) - float(scales.log().mean())
    print(f"{'':46} estimate   control   exchanged   agreement")
    for name, (estimate, control, mixed, agreement) in toys.items():
        print(f"{name:46} {estimate:8.2f} {control:9.2f} {mixed:11.2f} {agreement:11.2f}")
    print(f"the formula for the second: {1 / (0.5 + apart / math.log(k1)):.2f}")

# %% [markdown]
# Three of the four are Gaussian, and the estimator says about 2, 1.5 and 1: a low estimate is no proof of tails. The control answers
# for the second toy, as low without any tails. But it is as low for the fourth, which **is** stable: mean squares
# of 40 stable draws differ widely between coordinates by chance, and the control copies them. So a control as low as
# the estimate says that scales can explain it, not that they do. The agreement tells whether the scales are
# real: 0.97 in the second toy, 0 in the fourth. (It does not tell whether there are tails as well: stable noise can have real scales
# too.) And only what moves together changes when it is exchanged.
#
# The third toy needs a control of its own. `tails.correlated_gaussian` draws Gaussian noise with the covariance **between** the
# coordinates, $Z U/\sqrt k$ with the noise U, (k, p), and a k × k matrix Z of normal numbers. With it and with the exchange the network's noise
# makes a table of two by two: normal or with its own tails, independent or moving together.

# %% predict="from 2 down to the network's estimate: the part that only tails explain"
predict(
    "from 2 down to the network's estimate: the part that only tails explain",
    options=["more than half", "between a tenth and a half", "less than a tenth"],
    answer=...,
)


# %% folded
def index_of(tail_index, noise, k1):
    """The estimate from sums of k1 coordinates of a minibatch; the rest of each row is left out."""
    return float(tail_index(noise[:, : noise.shape[1] // k1 * k1].contiguous(), k1))


# %% experiment="two-by-two"
four = {}  # name -> estimate
if ready(sample_stable, gradient_noise, tail_index, matched_gaussian):
    seeded = torch.Generator().manual_seed(6)
    noise, k1 = tails.in_blocks(noise_of(model, clothes))
    kinds = {
        "normal, independent": gaussian_control(matched_gaussian, noise, seeded),
        "own tails, independent": tails.exchanged(noise, seeded),
        "normal, moving together": tails.correlated_gaussian(noise, seeded),
        "own tails, moving together": noise,
        f"stable, α = {first['trained']:.2f}": torch.as_tensor(
            sample_stable(min(first["trained"], 2.0), noise.shape, seeded)
        ),
    }
    added = [k for k in setting.added if k <= noise.shape[1]]
    fig, ax = plots.figure(width=7.2, height=3.6)
    print(f"{'entries in a sum':28}" + "".join(f"{k:7d}" for k in added))
    for (name, kind), marker in zip(kinds.items(), "osDv^"):
        four[name] = index_of(tail_index, kind, k1)
        by_k = [index_of(tail_index, kind, k) for k in added]
        ax.plot(added, by_k, marker=marker, label=name)
        print(f"{name:28}" + "".join(f"{value:7.2f}" for value in by_k))
    ax.set(
        xlabel="entries in a sum, k₁", ylabel="estimated tail index", xscale="log", ylim=(0.8, 2.05)
    )
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    plots.show(
        fig,
        alt="Estimated tail index against the number of entries in a sum. The two independent "
        "kinds rise with it and meet; the two kinds that move together lie near 1, close to each "
        "other; stable noise stays on its index. At "
        f"k₁ = {k1}: " + "; ".join(f"{name} {value:.2f}" for name, value in four.items()) + ".",
    )
    print(f"\nestimates at k1 = {k1}        independent   moving together")
    for tail in ("normal", "own tails"):
        print(
            f"{tail:26} {four[f'{tail}, independent']:12.2f} "
            f"{four[f'{tail}, moving together']:17.2f}"
        )
    print("own tails, moving together: the noise as it is")
    print(f"agreement of the scales {tails.scale_agreement(noise):.2f}")

# %% [markdown]
# The scales are real: they agree by 0.90. So is what moves together: exchanged, the estimate rises from 0.96 to 1.50, and that of
# independent noise, stable or not, would stay. Gaussian noise with these scales and this covariance has an estimate of 0.99.
# Of the way from 2 down to 0.96 the scales take 0.41, what moves together 0.60, and the tails 0.03. So **the estimate is low
# because a gradient is a structured vector, whether or not its noise is stable**. (What moves together? In a minibatch
# with many shirts, for instance, all weights that shirts use.)
#
# The tails are not nothing. With independent entries they lower the estimate from 1.59 to 1.50, most in sums of 10 entries (1.26, where
# normal noise has 1.46), hardly in sums of 10,000 (1.60 and 1.62). (That both rise is the work of the scales, as the formula says.)
# Whether they are stable tails this table cannot tell. What moves together has an estimate near 1 with any tails, and both
# independent rows are made from the same 40 minibatches: the normal one copies their chance, as for the fourth toy. Section 5
# asks within a coordinate.

# %% [markdown]
# ## 4 · Width, depth, batch size, loss, data   (≈ 7 min)
#
# The slides vary the data set, the architecture, the loss, the size of the network and the minibatch, "in this talk:
# fully connected + cross-entropy", and find small tail indices in all of them. Change one thing at a time, and put the
# controls beside each estimate. (Every network is trained with the batch size its noise is measured with. "Hinge" is
# the multi-class hinge loss.)

# %% predict="in these settings the estimate and the control with the covariance"
predict(
    "in these settings the estimate and the control with the covariance",
    options=[
        "lie within 0.1 everywhere",
        "differ by 0.1 to 0.3",
        "differ by more than 0.3 somewhere",
    ],
    answer=...,
)


# %% folded
colors = flatlab.load_dataset(
    "cifar10", n_train=setting.color_images, n_test=10, device=device, fallback="digits"
).train
hinge = torch.nn.functional.multi_margin_loss
variations = [("as before", {})]
variations += [(f"width {width}", {"width": width}) for width in setting.widths]
variations += [(f"depth {depth}", {"depth": depth}) for depth in setting.depths]
variations += [(f"batch size {size}", {"batch_size": size}) for size in setting.batch_sizes]
variations += [("hinge loss", {"loss": hinge}), ("CIFAR-10", {"data": colors})]


def varied(
    width=setting.width, depth=2, batch_size=setting.batch_size, loss=cross_entropy, data=clothes
):
    """Noise of a network trained so, ready for the estimator, its k1, and how well the network fits."""
    model = network(data, width, depth)
    history = train(model, data, loss, batch_size)
    noise, k1 = tails.in_blocks(noise_of(model, data, loss, batch_size))
    return noise, k1, history.train_accuracy[-1]


# %% experiment="settings-and-controls"
table = {}  # name -> estimate, control, control with the covariance, exchanged
agreements = []
if ready(gradient_noise, tail_index, matched_gaussian):
    print(f"{'':16} accuracy   estimate   control   with covariance   exchanged   agreement")
    for name, change in variations:
        noise, k1, fitted = varied(**change)
        seeded = torch.Generator().manual_seed(7)
        table[name] = tuple(
            float(tail_index(kind, k1))
            for kind in (
                noise,
                gaussian_control(matched_gaussian, noise, seeded),
                tails.correlated_gaussian(noise, seeded),
                tails.exchanged(noise, seeded),
            )
        )
        agreements.append(tails.scale_agreement(noise))
        estimate, control, correlated, mixed = table[name]
        print(
            f"{name:16} {100 * fitted:7.1f}% {estimate:10.2f} {control:9.2f} {correlated:17.2f} "
            f"{mixed:11.2f} {agreements[-1]:11.2f}"
        )
    fig, ax = plots.figure(width=8.2, height=3.4)
    for row, (name, marker) in enumerate(
        (("the noise", "o"), ("control", "s"), ("control with the covariance", "^"))
    ):
        ax.plot(
            range(len(table)),
            [values[row] for values in table.values()],
            marker=marker,
            linestyle="none",
            label=name,
        )
    ax.set(ylabel="estimated tail index", ylim=(0.8, 2.2))
    ax.set_xticks(range(len(table)), list(table), rotation=30, ha="right")
    ax.legend(fontsize=8, ncols=3, loc="upper left")
    plots.show(
        fig,
        alt="Estimated tail index of the noise and of its two controls, for each setting: the "
        "noise and the control with the covariance lie close together near 1, the control without "
        "it between 1.5 and 1.9. "
        + "; ".join(f"{name}: {a:.2f}, {b:.2f} and {c:.2f}" for name, (a, b, c, _) in table.items())
        + ".",
    )
    gaps = [c - a for a, _, c, _ in table.values()]
    print(f"control with the covariance minus estimate: from {min(gaps):.3f} to {max(gaps):.3f}")

# %% [markdown]
# Wherever the estimate goes, the control with the covariance goes with it, 0.02 to 0.07 above; exchanged, the estimates are
# 1.34 to 1.69, and the scales agree by 0.90 and more, but for minibatches of 10, whose tails are
# heavier (0.76). So the table tells how scales and covariances of
# gradients depend on the settings, and next to nothing of tails. Without controls both look like tails.
#
# One seed stands behind each row. Over five seeds, on 1000 images with minibatches of 10, the mean estimates for four widths, four
# depths, both losses and both data sets are 0.89 to 0.97, and 0.95 to 1.01 with the covariance (`docs/reproduction.md`).

# %% [markdown]
# ## 5 · Within one coordinate   (≈ 8 min)
#
# Tails are a question about **one** coordinate: over many minibatches, how often does it take a value far out? The slides say
# of larger minibatches that "the behavior doesn't become Gaussian". Take the trained network, and at the same
# weights minibatches of 1, 4, 16 and 64 images. A minibatch of 64 averages 64 samples. If one sample's noise has a
# finite variance, the central limit theorem works on it; if it is stable, averaging changes nothing but its scale.
#
# The **excess kurtosis** $\mathbb E U^4/(\mathbb E U^2)^2 - 3$ is 0 for normal noise, and a mean over b samples has 1/b of one
# sample's. (We take the median over the coordinates.) In the estimator we now add up minibatches instead of coordinates.

# %% predict="excess kurtosis of a coordinate, from minibatches of 1 to minibatches of 64"
predict(
    "excess kurtosis of a coordinate, from minibatches of 1 to minibatches of 64",
    options=[
        "falls to less than a twentieth",
        "falls to about an eighth",
        "stays: the noise does not become Gaussian",
    ],
    answer=...,
)


# %% folded
def excess_kurtosis(noise):
    """Of each coordinate over the minibatches: noise (k, p) to (p,)."""
    return noise.pow(4).mean(0) / noise.square().mean(0).square() - 3


def over_minibatches(tail_index, noise):
    """The estimate from sums of minibatches, coordinate by coordinate; noise (k, p) with a square k."""
    return float(tail_index(noise.T.contiguous(), math.isqrt(len(noise))))


# %% experiment="within-a-coordinate"
within = {}  # batch size -> kurtosis, over minibatches, its control, over coordinates, its control
if ready(sample_stable, gradient_noise, tail_index, matched_gaussian):
    seeded = torch.Generator().manual_seed(8)
    for size in setting.averaged:
        noise, k1 = tails.in_blocks(
            noise_of(model, clothes, batch_size=size, count=setting.averages)
        )
        some = noise[: math.isqrt(len(noise)) ** 2]
        some = some[:, torch.randperm(some.shape[1], generator=seeded)[:4000]]
        within[size] = (
            float(excess_kurtosis(some).median()),
            over_minibatches(tail_index, some),
            over_minibatches(tail_index, gaussian_control(matched_gaussian, some, seeded)),
            float(tail_index(noise, k1)),
            float(tail_index(gaussian_control(matched_gaussian, noise, seeded), k1)),
        )
    sizes = list(within)
    alpha = min(max(within[sizes[0]][1], 0.5), 2.0)
    drawn = torch.as_tensor(sample_stable(alpha, (setting.averages, sizes[-1], 100), seeded))
    stable = [over_minibatches(tail_index, drawn[:, :size].mean(1)) for size in sizes]
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.4, sharey=True)
    left.plot(sizes, [row[3] for row in within.values()], marker="o", label="gradient noise")
    left.plot(sizes, [row[4] for row in within.values()], marker="s", label="its control")
    left.set(ylabel="estimated tail index", ylim=(0.8, 2.2))
    left.set_title("sums of coordinates, as on the slides", fontsize=10)
    right.plot(sizes, [row[1] for row in within.values()], marker="o", label="gradient noise")
    right.plot(sizes, [row[2] for row in within.values()], marker="s", label="its control")
    right.plot(sizes, stable, marker="^", label=f"stable, α = {alpha:.2f}")
    right.set_title("sums of minibatches, coordinate by coordinate", fontsize=10)
    for ax in (left, right):
        ax.set(xlabel="minibatch size", xscale="log")
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        ax.legend(fontsize=8)
    plots.show(
        fig,
        alt="Estimated tail index against minibatch size. Left, over coordinates: flat, the noise "
        "near 1, its control near 1.6. Right, over minibatches: the noise rises with the "
        "minibatch size, its control stays at 2, stable noise stays where it was. "
        + "; ".join(
            f"size {size}: over coordinates {row[3]:.2f} (control {row[4]:.2f}), over minibatches "
            f"{row[1]:.2f} (control {row[2]:.2f})"
            for size, row in within.items()
        )
        + ".",
    )
    print("minibatch   kurtosis   over minibatches   its control   stable noise   over coordinates")
    for (size, row), kept in zip(within.items(), stable):
        print(f"{size:9d} {row[0]:10.1f} {row[1]:18.2f} {row[2]:13.2f} {kept:14.2f} {row[3]:18.2f}")

# %% [markdown]
# Two opposite answers from the same numbers. Over coordinates the estimate stays near 1 for every minibatch size: averaging
# 64 samples divides all variances and covariances by 64, and the estimator sees only their proportions. Within a coordinate it rises from 1.0 to
# 1.6, while that of stable noise stays, and the kurtosis falls by a factor of 37. (The rule 1/b says
# 64; in 256 minibatches an excess kurtosis above 250 cannot be seen, so the value of single images comes out too small.) So single samples have noise far from Gaussian: of most images most weights hear nothing, and of a few a lot.
# But it is no stable law. It averages out, slowly, as the central limit theorem says. (Over five
# seeds, with 60 minibatches from 1000 images, the mean kurtosis, without the 3 subtracted, is 24.9, 14.6, 5.7 and 2.8 for minibatches of
# 1, 10, 50 and 250. Of 60 values no kurtosis exceeds 60, which holds the first two down; the last is that of normal noise.)

# %% [markdown]
# ## 6 · Jumps of the estimate   (≈ 6 min)
#
# The slides show "curious jumps" of the estimate along a training run, and conclude: "supports: SGD crosses
# barriers in the initial phase". Two networks, with η = 0.1 and with η = 0.5, measured most often at the start.

# %% predict="where the estimate jumps during training, the Gaussian control"
predict(
    "where the estimate jumps during training, the Gaussian control",
    options=["jumps along", "stays: it has no tails that could change", "jumps the other way"],
    answer=...,
)


# %% folded
def estimates_along(rate):
    """A training run in rows: step, training loss, estimate, control, control with the covariance,
    coordinates, agreement.
    """
    few = tuple(part[: setting.minibatches * setting.batch_size] for part in clothes)
    model, rows, seeded = network(clothes), [], torch.Generator().manual_seed(9)
    steps = {round(setting.jump_steps ** (i / setting.looks)) for i in range(setting.looks + 1)}
    steps |= {0, *range(setting.looks // 4)}

    def look(state):
        if state.step not in steps:
            return
        noise, k1 = tails.in_blocks(noise_of(model, few))
        control = gaussian_control(matched_gaussian, noise, seeded)
        kinds = noise, control, tails.correlated_gaussian(noise, seeded)
        with torch.no_grad():
            loss = float(cross_entropy(model(few[0]), few[1]))
        found = [float(tail_index(kind, k1)) for kind in kinds]
        rows.append((state.step, loss, *found, noise.shape[1], tails.scale_agreement(noise)))

    train(model, clothes, rate=rate, steps=setting.jump_steps, looks=[look])
    return torch.tensor(rows, dtype=torch.float64)


# %% experiment="jumps"
if ready(gradient_noise, tail_index, matched_gaussian):
    along = {rate: estimates_along(rate) for rate in setting.jump_rates}
    fig, axes = plots.figure(
        columns=len(along), rows=2, width=9.6, height=4.6, sharex=True, squeeze=False
    )
    told, drops = [], {}
    for column, (rate, rows) in zip(axes.T, along.items()):
        for place, name in ((2, "the noise"), (3, "control"), (4, "control with the covariance")):
            column[0].plot(1 + rows[:, 0], rows[:, place], label=name)
        column[1].plot(1 + rows[:, 0], rows[:, 1], color=plots.COLORS["black"])
        column[0].set(ylim=(0.75, 1.85), ylabel="estimated tail index", title=f"η = {rate:g}")
        column[1].set(xlabel="iteration, plus 1", ylabel="training loss", xscale="log")
        changes = rows[1:] - rows[:-1]
        both = torch.corrcoef(changes[:, 2:4].T)[0, 1]
        drop = int(changes[:, 2].argmin())
        before, after = rows[drop].tolist(), rows[drop + 1].tolist()
        told.append(
            f"η = {rate:g}: the noise from {rows[0, 2]:.2f} to {rows[-1, 2]:.2f}, the control "
            f"from {rows[0, 3]:.2f} to {rows[-1, 3]:.2f}; the control with the covariance lies "
            f"{(rows[:, 4] - rows[:, 2]).min():.2f} to {(rows[:, 4] - rows[:, 2]).max():.2f} "
            f"above the noise; largest drop between iterations {before[0]:.0f} and "
            f"{after[0]:.0f}: noise {before[2]:.2f} to {after[2]:.2f}, control {before[3]:.2f} to "
            f"{after[3]:.2f}, with the covariance {before[4]:.2f} to {after[4]:.2f}; loss "
            f"{before[1]:.2f} to {after[1]:.2f}; changes of noise and control correlate by "
            f"{both:.2f}; coordinates with noise at first {rows[0, 5]:.0f}, at last "
            f"{rows[-1, 5]:.0f}; agreement of the scales at least {rows[:, 6].min():.2f}"
        )
        drops[rate] = (
            f"largest drop at η = {rate:g}: noise {before[2]:.2f} to {after[2]:.2f}, control "
            f"{before[3]:.2f} to {after[3]:.2f}"
        )
        lines = told[-1].replace(": ", ":\n    ", 1).replace("; ", "\n    ")
        print(lines.replace(": noise", ":\n        noise"))
    axes[0, 0].legend(fontsize=8, loc="center left", bbox_to_anchor=(0, 0.55))
    plots.show(
        fig,
        alt="Top: estimated tail index of the noise and of its two controls along training, "
        "iteration on a logarithmic axis; all three fall, and where one jumps the others do. "
        "Bottom: training loss. " + ". ".join(told) + ".",
    )

# %% [markdown]
# With η = 0.1 nothing jumps. With η = 0.5 the estimate falls, and drops most, from 0.85 to 0.80, where the loss comes down
# from a peak, 1.51 to 1.05. The Gaussian controls do the same, 1.32 to 1.21 and 0.89 to 0.84, and the scales agree by 0.84 and more
# all along: what jumps is how widely the scales of the coordinates are spread. (Rounding is enough to change this run: on another
# processor its largest drop came earlier, where the loss doubled.) (On the way almost half of the coordinates lose their noise, as units die.) A jump of the loss may well be a crossing
# of a barrier. The estimate is no evidence of it. (Over five
# seeds with η = 0.1 its largest change from one measurement to the next is 0.03 in the mean.)

# %% [markdown]
# ## 7 · Noise that jumps   (≈ 17 min)
#
# Leave the networks, and suppose that the noise **were** stable, $U = \sigma(w)\,S$ with $S \sim S\alpha S(1)$ in each coordinate. A step of SGD adds
# $-\eta U$, and $\eta\,\sigma(w) = \eta^{1/\alpha}\sigma$ with $\sigma = \eta^{1 - 1/\alpha}\sigma(w)$. With this σ the slides' framework is the equation
# $dw = -\nabla f\,dt + \sigma\,dL^\alpha$ with Lévy motion L in the place of Brownian motion, and it would answer the
# question of the slides, why SGD prefers wide minima. One step of it is your next exercise.

# %% predict="a narrow, deep well and a wide, shallow one: where does w stay?"
predict(
    "a narrow, deep well and a wide, shallow one: where does w stay?",
    options=[
        "in the deep one, with Brownian and with Lévy noise",
        "Brownian noise: in the deep one; Lévy noise: in the wide one",
        "in the wide one, with both",
    ],
    answer=...,
)

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


# %% folded
def moved(levy_step, w, gradient, learning_rate, alpha, sigma, steps, seed=0):
    """Positions after 0, 1, ... steps of your levy_step: (steps + 1, *w.shape), float32."""
    seeded = torch.Generator().manual_seed(seed)
    paths = torch.empty(steps + 1, *w.shape)
    paths[0] = w
    for step in progress(range(1, steps + 1), f"α = {alpha:g}"):
        w = torch.as_tensor(levy_step(w, gradient(w), learning_rate, alpha, sigma, seeded))
        paths[step] = w
    return paths


def two_wells(x):
    """Slope of the wells 8 (x + 1/2)² - 1 for x < 0 and (x - 2)²/4 for x > 0; they meet at 1."""
    return torch.where(x < 0, 16 * (x + 0.5), (x - 2) / 2)


# %% experiment="two-wells"
shares = {}  # α -> share of the time in the wide well
if ready(sample_stable, levy_step):
    start = torch.tensor([-0.5, 2.0], dtype=torch.float64).repeat_interleave(
        setting.exit_runs // 2 + 1
    )
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.4)
    x = torch.linspace(-1.2, 5, 400)
    left.plot(x, torch.where(x < 0, 8 * (x + 0.5) ** 2 - 1, (x - 2) ** 2 / 4))
    left.set(xlabel="w", ylabel="loss", ylim=(-1.2, 2))
    for alpha, sigma in ((2.0, 0.4**0.5), (1.5, 0.1), (1.0, 0.05)):
        paths = moved(levy_step, start, two_wells, 0.01, alpha, sigma, setting.well_steps)
        late = paths[len(paths) // 2 :]
        shares[alpha] = float((late > 0).double().mean())
        seen = late[:: max(1, len(late) // 2000), -1].clamp(-3, 8)
        right.plot(torch.linspace(0, 1, len(seen)), seen, linewidth=0.8, label=f"α = {alpha:g}")
    right.set(xlabel="time, second half of one run", ylabel="w, cut at -3 and 8", ylim=(-3.2, 8.2))
    right.legend(fontsize=8)
    gibbs = torch.exp(-torch.where(x < 0, 8 * (x + 0.5) ** 2 - 1, (x - 2) ** 2 / 4) / 0.4)
    theory = {2.0: float(gibbs[x > 0].sum() / gibbs.sum()), 1.5: 8 / 9, 1.0: 0.8}
    said = "; ".join(
        f"α = {alpha:g}: {share:.0%} of the time in the wide well (theory {theory[alpha]:.0%})"
        for alpha, share in shares.items()
    )
    plots.show(
        fig,
        alt="Left: a loss over w with a narrow, deep well around -0.5, with bottom -1, and a "
        "wide, shallow well around 2, with bottom 0; between them, at 0, the loss is 1. Right: "
        "one path for each tail index. " + said + ".",
    )
    print(said.replace("; ", "\n"))

# %% [markdown]
# Brownian noise with variance 2σ² a unit of time stays where $e^{-f/\sigma^2}$ has its mass: depth counts exponentially, so
# the narrow well wins. Stable noise with a small σ leaves a well by a single jump, and the jump has to reach from the bottom
# over the barrier: the rate is proportional to $(\text{half-width})^{-\alpha}$. The half-widths towards the barrier are 1/2 and 2,
# so the times in the wide and in the narrow well are as $2^\alpha$ to $2^{-\alpha}$, whatever the depths: 8 to 1 for α = 1.5. With such noise SGD would prefer wide minima, and depth
# would not matter. (The paths on the right are made from the same V and W: jumps for α = 1.5 and α = 1 come at the same times.)
#
# The picture below has a double well with the barrier between −1 and 1 and α on sliders. The Brownian path climbs,
# again and again; the Lévy path sits, and jumps. (It runs on the package's `levy_step`.)


# %% folded
def double_well(x, barrier):
    """Slope of barrier (x² - 1)² between -1 and 1, continued by parabolas of the same curvature."""
    return torch.where(x.abs() < 1, 4 * barrier * x * (x**2 - 1), 8 * barrier * (x - x.sign()))


@functools.lru_cache
def both_paths(alpha, barrier):
    """Name -> path of 4000 steps of size 0.02, from the well at -1."""
    paths = {}
    for name, index, sigma in (
        ("Brownian, α = 2", 2.0, 0.7),
        (f"Lévy, α = {alpha:g}", alpha, 0.15),
    ):
        seeded = torch.Generator().manual_seed(1)
        w, path = torch.tensor([-1.0], dtype=torch.float64), []
        for _ in range(4000):
            w = tails.levy_step(w, double_well(w, barrier), 0.02, index, sigma, seeded)
            path.append(float(w))
        paths[name] = torch.tensor(path)
    return paths


def crossings(path):
    """How often a path goes from one well to the other: from beyond -1/2 to beyond 1/2, and back."""
    side = path[path.abs() > 0.5].sign()
    return int((side[1:] != side[:-1]).sum())


def draw_double_well(alpha, barrier):
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.6, width_ratios=(1, 2.2))
    x = torch.linspace(-1.8, 1.8, 300)
    left.plot(
        x, torch.where(x.abs() < 1, barrier * (x**2 - 1) ** 2, 4 * barrier * (x.abs() - 1) ** 2)
    )
    left.set(xlabel="w", ylabel="loss", ylim=(0, 5))
    for name, path in both_paths(alpha, barrier).items():
        right.plot(0.02 * torch.arange(len(path)), path.clamp(-4, 4), linewidth=0.8, label=name)
    right.set(xlabel="time", ylabel="w, cut at ±4", ylim=(-4.2, 4.2))
    right.legend(fontsize=8, loc="upper right", ncols=2)
    return fig


def say_double_well(alpha, barrier):
    said = []
    for name, path in both_paths(alpha, barrier).items():
        step = path.diff().abs().max()
        said.append(f"{name}: {crossings(path)} crossings, largest step {step:.1f}")
    return (
        f"The loss over w, a double well with a barrier of {barrier:g} between -1 and 1, and two "
        "paths in it over 80 units of time. " + "; ".join(said) + "."
    )


# %% widget="double-well"
widgets.explore(
    draw_double_well,
    say_double_well,
    {"alpha": (0.8, 2.0, 1.3, 0.1), "barrier": (0.25, 3.0, 1.0, 0.25)},
)

# %% [markdown]
# ## 8 · Out of a well   (≈ 19 min)
#
# On the slides a Brownian path needs the time $\exp(H) \times \text{poly}(m)$ to leave a well of height H and width m, and
# a Lévy path a time that is polynomial in the width and does not know the height. That can be measured: let many
# runs start at the bottom of the parabola $h\,(x/r)^2$ and leave where |x| exceeds r.

# %% predict="the well becomes twice as high, from 2 to 4 (σ = 1 for Brownian noise): time to leave it"
predict(
    "the well becomes twice as high, from 2 to 4 (σ = 1 for Brownian noise): time to leave it",
    options=[
        "about twice as long with both",
        "Brownian: 3 times as long and more; Lévy: the same",
        "Brownian: the same; Lévy: 3 times as long and more",
    ],
    answer=...,
)

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
    """times (runs,), exited (runs,): dt * i, True for the first entry i outside; else dt * steps, False."""
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


# %% folded
def brownian_exit_time(height, radius, sigma, learning_rate):
    """Exact mean time from 0 to ±radius in height (x/radius)², noise of variance 2 sigma² a unit of time.

    T = (1/σ²) ∫ exp(f(y)/σ²) ∫ exp(-f(z)/σ²) dz dy over 0 < z < y < R. A path that is seen at its
    steps alone goes on average 0.58 sqrt(2 eta) sigma beyond the border before it is seen
    outside: R is the radius plus that.
    """
    y = torch.linspace(
        0, radius + 0.5826 * math.sqrt(2 * learning_rate) * sigma, 4001, dtype=torch.float64
    )
    f = height * (y / radius) ** 2 / sigma**2
    inner = torch.cumulative_trapezoid((-f).exp(), y)
    return float(torch.trapezoid(f.exp()[1:] * inner, y[1:]) / sigma**2)


def levy_exit_time(radius, alpha, sigma):
    """Mean time until a single jump is longer than radius: radius^alpha / (C_alpha sigma^alpha)."""
    c = 2 / math.pi * math.gamma(alpha) * math.sin(math.pi * alpha / 2)
    return radius**alpha / (c * sigma**alpha)


def exit_times(wells, alpha, sigma, learning_rate, steps):
    """By your functions, for each (height, radius) of a well: mean exit time, share of runs that left."""
    heights, radii = torch.tensor(wells, dtype=torch.float64).T
    bend = (2 * heights / radii**2)[:, None]
    start = torch.zeros(len(wells), setting.exit_runs, dtype=torch.float64)
    paths = moved(levy_step, start, lambda w: bend * w, learning_rate, alpha, sigma, steps)
    found = []
    for place, radius in enumerate(radii.tolist()):
        times, exited = first_exit_time(paths[:, place].T, -radius, radius, learning_rate)
        found.append((float(mean_exit_time(times, exited)), float(exited.double().mean())))
    return found


def slope_of(x, times):
    """Least-squares slope of log time against x."""
    x, y = torch.tensor(x).double(), torch.tensor(times).double().log()
    return float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())


noises = {  # name -> α, σ, η, steps
    "Brownian": (2.0, 1.0, 0.005, setting.brownian_steps),
    "Lévy, α = 1.5": (1.5, 0.1, 0.05, setting.levy_steps),
    "Lévy, α = 1": (1.0, 0.1, 0.05, setting.levy_steps),
}


# %% experiment="heights"
heights = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
by_height = {}  # name -> mean exit times
if ready(sample_stable, levy_step, first_exit_time):
    fig, ax = plots.figure(width=7.2, height=3.6)
    for (name, (alpha, sigma, rate, steps)), marker in zip(noises.items(), "os^"):
        found = exit_times([(h, 1.0) for h in heights], alpha, sigma, rate, steps)
        by_height[name] = [time for time, _ in found]
        if alpha == 2:
            theory = [brownian_exit_time(h, 1.0, sigma, rate) for h in heights]
        else:
            theory = [levy_exit_time(1.0, alpha, sigma)] * len(heights)
        ax.plot(heights, by_height[name], marker=marker, linestyle="none", label=name)
        ax.plot(heights, theory, color=plots.COLORS["black"], linestyle=":", linewidth=1)
        print(
            f"{name:14} height {heights[0]:g} to {heights[-1]:g}: mean time "
            + ", ".join(f"{time:.3g}" for time in by_height[name])
            + f"\n    (theory {theory[0]:.3g} to {theory[-1]:.3g}); left: at least "
            f"{min(left for _, left in found):.0%} of the runs"
        )
    ax.set(xlabel="height of the well h, at r = 1", ylabel="mean exit time", yscale="log")
    ax.legend(fontsize=8, title="dotted: theory")
    plots.show(
        fig,
        alt="Mean exit time, logarithmic, against the height of the well. Brownian: rises along "
        "the theory's curve, close to a straight line from height 2 on. Both Lévy noises: level. "
        + "; ".join(
            f"{name}: {times[0]:.3g} at height 0.5, {times[-1]:.3g} at height 4"
            for name, times in by_height.items()
        )
        + ".",
    )

# %% experiment="widths"
radii = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
by_width = {}  # name -> slope of log time against log r
if ready(sample_stable, levy_step, first_exit_time):
    fig, ax = plots.figure(width=7.2, height=3.6)
    said = []
    for (name, (alpha, sigma, rate, steps)), marker in zip(noises.items(), "os^"):
        found = exit_times([(1.0, r) for r in radii], alpha, sigma, rate, steps)
        times = [time for time, _ in found]
        if alpha == 2:
            theory = [brownian_exit_time(1.0, r, sigma, rate) for r in radii]
        else:
            theory = [levy_exit_time(r, alpha, sigma) for r in radii]
        by_width[name] = slope_of([math.log(r) for r in radii], times)
        ax.plot(radii, times, marker=marker, linestyle="none", label=name)
        ax.plot(radii, theory, color=plots.COLORS["black"], linestyle=":", linewidth=1)
        expected = slope_of([math.log(r) for r in radii], theory)
        said.append(
            f"{name}: mean time {times[0]:.3g} at r = 0.5, {times[-1]:.3g} at r = 4, slope "
            f"{by_width[name]:.2f} (theory {expected:.2f}); "
            f"at r = 4 {found[-1][1]:.0%} of the runs left"
        )
        print(said[-1].replace("; ", ";\n    "))
    ax.set(
        xlabel="half-width of the well r, at h = 1",
        ylabel="mean exit time",
        xscale="log",
        yscale="log",
    )
    ax.set_xticks(radii, [f"{r:g}" for r in radii])
    ax.minorticks_off()
    ax.legend(fontsize=8, title="dotted: theory")
    plots.show(
        fig,
        alt="Mean exit time against the half-width of the well, both axes logarithmic: three "
        "straight lines on those of the theory. " + "; ".join(said) + ".",
    )

# %% [markdown]
# Both statements hold. Brownian noise: from height 2 to 4 the time grows by a factor of 4.2, with a standard error of 0.4 (theory 3.7 with the steps as below, 3.0 for infinitely small ones); once h is
# well above σ² it multiplies by e with each further σ² of height, up to a power. It grows with the width too, as its square. (The slope is
# 1.89, and 1.87 in theory: a path that is looked at only at its steps goes a little beyond the border before it is seen outside, which counts most for narrow wells.)
# Lévy noise: the height does not matter, and the width counts with the power α, as for waiting for a single jump. Runs that did not leave in time
# are censored; `mean_exit_time` counts their time all the same, and without that the largest times would
# come out too small. Over five seeds (`docs/reproduction.md`, σ = 0.8 and 0.2) log time against log width has the slope 1.96
# for Brownian noise and 1.41 for α = 1.5 (less than 1.5: up to r = 8 at the same height the pull gets weak, and several jumps add up to an exit), and with Lévy noise the height changes nothing beyond the standard error.
#
# So the theory is right about stable noise. What it says about SGD depends on the noise of SGD being stable.

# %% [markdown]
# ## 9 · What is left of the claims   (≈ 13 min)

# %% experiment="summary"
if ready(
    sample_stable,
    gradient_noise,
    tail_index,
    matched_gaussian,
    levy_step,
    first_exit_time,
):
    gap = (four["normal, moving together"] - four["own tails, moving together"]) / (
        2 - four["own tails, moving together"]
    )
    sizes = list(within)
    reveal(
        {
            "100 Cauchy draws (α = 1) add up to something typically": (
                f"{growth[1.0][setting.terms.index(100)]:.0f} times one draw"
            ),
            "the estimated tail index of a network's gradient noise": (
                f"untrained {first['untrained']:.2f}, trained {first['trained']:.2f}"
            ),
            "Gaussian noise with the scales of the network's coordinates: its estimate": (
                f"{four['normal, independent']:.2f}"
            ),
            "from 2 down to the network's estimate: the part that only tails explain": f"{gap:.0%}",
            "in these settings the estimate and the control with the covariance": (
                f"differ by at most {max(map(abs, gaps)):.3f}"
            ),
            "excess kurtosis of a coordinate, from minibatches of 1 to minibatches of 64": (
                f"{within[sizes[0]][0]:.1f} with {sizes[0]}, {within[sizes[-1]][0]:.1f} with "
                f"{sizes[-1]}"
            ),
            "where the estimate jumps during training, the Gaussian control": drops[
                setting.jump_rates[-1]
            ],
            "a narrow, deep well and a wide, shallow one: where does w stay?": (
                f"in the wide one {shares[2.0]:.0%} (Brownian), {shares[1.5]:.0%} (Lévy, α = 1.5) "
                "of the time"
            ),
            "the well becomes twice as high, from 2 to 4 (σ = 1 for Brownian noise): time to leave it": "; ".join(
                f"{name}: {times[-1] / times[3]:.2f} times" for name, times in by_height.items()
            ),
        }
    )

# %% [markdown]
# | the slides | what we measured |
# |---|---|
# | "SGD noise is highly non-Gaussian": small tail indices for all networks. | The estimates are small, 0.91 to 1.01 in section 4. So are those of Gaussian noise with the same covariance, 0.95 to 1.04; and scales and covariance are real. |
# | "α-stable assumption seems more appropriate." | Within a coordinate the noise of single samples has heavy tails (excess kurtosis 37 and more), but averaging makes them lighter, which no stable law allows. |
# | "The behavior doesn't become Gaussian" with larger minibatches. | Over coordinates the estimate does not, and neither does its Gaussian control. Within a coordinate it moves towards 2. |
# | Curious jumps of α early in training. | None at η = 0.1. At η = 0.5 drops of up to 0.05, the largest after step 181 of 300; the Gaussian control makes them too. |
# | Brownian: exit time exponential in the height. Lévy: polynomial in the width. | Both hold. Brownian times grow with the width too, as its square. |
# | "More light on the wide minima phenomenon." | True for stable noise: 91 % of the time in the wide well at α = 1.5. Not shown for the noise of SGD. |
#
# The literature went the same way. Panigrahi et al. (2019) tested the noise itself:
# Gaussian for minibatches of 256 and more, at least early in training, and not Gaussian for small ones. Xie, Sato and
# Sugiyama (2021) answer that the tail index was estimated over parameters, and Xie et al. (2023) test both: over the
# parameters heavy tails, over minibatches mostly none. Two of the slides' authors moved on to another place for heavy tails:
# Gürbüzbalaban, Şimşekli and Zhu (2021), and besides them Hodgkinson and Mahoney (2021), prove that the **weights** can become heavy-tailed
# with light-tailed data, since minibatches multiply the weights by random factors; chapter 02 has seen such a multiplier. For language models
# Zhang et al. (2020) find heavy-tailed noise again, and explain by it why clipping and Adam help there.
#
# ### Open question   ●●●○ · 4 points · 8 min
#
# A colleague estimates α = 1.1 from the gradient noise of a new network, all coordinates in one sample, and concludes that
# its variance is infinite, so that the noise of a minibatch shrinks only as $b^{1/\alpha - 1}$ when the minibatch size b grows.
# Name two controls or measurements that you would ask for, and say for each which outcome would speak against
# the conclusion, with a number from this chapter. Which outcome would convince you that the noise is stable?

# %% [markdown] open="infinite-variance" points=4
# ### BEGIN SOLUTION
# The estimate takes all coordinates for independent draws of one law. (1) Exchange the minibatches within each coordinate: if the
# estimate rises, the coordinates moved together, and that lowered it (here 0.96 to 1.50). (2) The agreement of variances
# of two halves of the minibatches, beside the matched Gaussian: if they agree (here 0.90) and the Gaussian is low too (here
# 1.59), real scales lower the estimate; the Gaussian alone decides nothing, since it is low for stable noise as well.
# (3) The estimate within coordinates, over minibatches, for several b: if it rises towards 2 and the excess kurtosis falls
# about as 1/b, the noise averages out (here 1.0 to 1.6, and 37 to 1.0, from b = 1 to 64). (4) The dependence on k1 within
# coordinates: a stable law's estimate does not change with k1. (Over coordinates it proves nothing: scales alone raise the
# estimate of normal noise here, from 1.46 to 1.62.) Convincing would be: within coordinates an estimate well below 2, the same
# for all k1 and all b, and a spread of minibatch gradients that shrinks with b as b^(1/α - 1), not as b^(-1/2). (1) and (2)
# speak against the number 1.1 and so take the evidence away: noise that is stable in every coordinate can show both outcomes.
# (3) and (4) speak against the infinite variance. Full marks
# for two measurements with the outcome that speaks against the conclusion or its evidence, at least one number, and an outcome that would
# convince (the estimate does not change with b or k1).
# ### END SOLUTION

# %% [markdown]
# **Further reading.** Şimşekli, Sagun and Gürbüzbalaban (2019), *A tail-index analysis of stochastic gradient noise in deep
# neural networks*. Mohammadi, Mohammadpour and Ogata (2015), *On estimating the tail index and the spectral measure of
# multivariate α-stable distributions*, for the estimator. Imkeller and Pavlyukevich (2006), *First exit times of SDEs driven
# by stable Lévy processes*. Panigrahi, Somani, Goyal and Netrapalli (2019), *Non-Gaussianity of stochastic gradient noise*. Xie, Sato
# and Sugiyama (2021), *A diffusion theory for deep learning dynamics*. Xie, Tang, Sun and Li (2023), *On the overlooked
# structure of stochastic gradients*. Gürbüzbalaban, Şimşekli and Zhu (2021), *The heavy-tail phenomenon in SGD*. Hodgkinson and
# Mahoney (2021), *Multiplicative noise and heavy tails in stochastic optimization*. Zhang et al. (2020), *Why are adaptive
# methods good for attention models?*
