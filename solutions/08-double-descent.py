# %% [markdown]
# # 08 · The second descent
#
# <!-- badges -->
#
# A textbook draws the test risk as a U: a model that is too small cannot follow the data, one that is too large
# follows their noise, and the best lies between. Networks with far more weights than images contradict the right half
# of this picture. Belkin et al. (2019) put the two together: past the point at which a model fits its training set
# exactly, the test risk falls **again**, so that the curve has a peak there. You will measure that curve where
# everything can be computed exactly, take its peak apart, remove it, and then ask how much of it is left in trained
# networks.
#
# **After this chapter you can**
# - fit random features with fewer and with far more parameters than samples, by minimum norm and by ridge,
# - say where the peak of the test risk lies, what makes it and how high label noise makes it,
# - split a risk into bias and variance, and say which of the two the classical picture gets wrong,
# - choose a penalty without a test set, and say why there is no peak then,
# - say what norm, sharpness and the number of samples have to do with it, for random features and for networks.
#
# **Time** 138 minutes. **Prerequisites** [chapter 01](../01-sharp-and-flat/01-sharp-and-flat.ipynb) ($\lambda_{\max}$), [chapter 00](../00-start-here/00-start-here.ipynb); least
# squares and the singular value decomposition.
# **Slides** *Sharpness-Aware Minimization. Mode Connectivity. Grokking. Double Descent* (Optimization for ML, HSE University),
# the part on double descent, after Belkin, Hsu, Ma and Mandal (2019).

# %% setup
# <!-- install -->
import functools
import math

import torch
from torch import nn

import flatlab
from flatlab import descent, models, noise, plots, widgets
from flatlab.checks import chapter08 as check
from flatlab.checks import ready
from flatlab.curvature import sharpness
from flatlab.notebook import predict, progress, reveal, settings
from flatlab.sweeps import Run

# %% settings
# Each row is a setting, each column a scale. Choose with the environment variable FLATLAB_SCALE.
setting = settings(
    {
        #                  quick, laptop, paper
        "n": (40, 1000, 1000),  # training samples of the large curve
        "most": (120, 12_000, 20_000),  # features, at most
        "points": (4, 29, 60),  # feature counts of the large curve, besides 11 around n
        "test_images": (60, 1000, 10_000),
        "kind_seeds": (1, 3, 5),
        "set_size": (20, 200, 500),  # samples of a training set drawn anew
        "sets": (2, 10, 20),
        "noisy_n": (20, 500, 1000),  # samples of the curves with label noise and ridge
        "penalties": (3, 13, 25),
        "sample_counts": (
            (10, 20, 30),
            (50, 125, 250, 400, 500, 600, 750, 1000, 2000),
            (100, 300, 1000, 1500, 3000, 6000),
        ),
        "fixed_features": (20, 500, 1500),
        "side": (8, 8, 28),  # pixels on a side of the networks' images
        "net_images": (32, 256, 4000),
        "widths": (
            (2, 4),
            (8, 16, 32, 64, 128, 512),
            (4, 8, 16, 32, 48, 50, 52, 64, 128, 256, 1024),
        ),
        "clean_widths": ((2, 4), (16, 64, 512), (16, 52, 1024)),
        "net_steps": (6, 2000, 100_000),
        "net_seeds": (1, 3, 5),
        "looks": (3, 50, 200),  # evaluations of a training
    }
)

# %% [markdown]
# ## 1 · A model that grows by one number at a time   (≈ 22 min)
#
# How large is a model? For a network that is a question with many answers. Belkin et al. take a model for which it has
# one: a **linear** fit on N random features of the image, features that nobody trains. N can be anything from 1 to far
# beyond the number n of training samples, each fit is a formula, and no optimizer and no learning rate stand between
# the model and its risk. The slides do not say which risk they draw; here it is the mean squared error of 10 outputs
# against the one-hot label.


# %% folded
def one_hot(labels):
    return nn.functional.one_hot(labels, 10).double()


clothes = flatlab.load_dataset(
    "fashion_mnist",
    n_train=max(setting.n, setting.sets * setting.set_size, *setting.sample_counts),
    n_test=setting.test_images,
    dtype=torch.float64,
    fallback="digits",
)
images, labels = clothes.X_train.flatten(1), clothes.y_train
test_images, test_targets = clothes.X_test.flatten(1), one_hot(clothes.y_test)
n = setting.n
X, y = images[:n], one_hot(labels[:n])


def drawn(kind="fourier", seed=0, most=setting.most):
    """Random features, drawn once; fits of different sizes take the first few of them."""
    draw = {"fourier": descent.RandomFeatures.fourier, "relu": descent.RandomFeatures.relu}[kind]
    return draw(images.shape[1], most, generator=torch.Generator().manual_seed(seed))


waves = drawn()
SHARES = (0.02, 0.05, 0.1, 0.16, 0.3, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 4, 10)


def around(samples, shares=SHARES):
    """Numbers of features as multiples of the number of samples."""
    return sorted({max(1, round(share * samples)) for share in shares})


def risk(predictions, targets):
    """Mean squared error over samples and outputs."""
    return float((predictions - targets).square().mean())


def log_ticks(ax, which, ticks):
    """A logarithmic axis, "x" or "y", with these ticks alone."""
    ax.set(**{f"{which}scale": "log"})
    getattr(ax, f"set_{which}ticks")(
        ticks, [f"{tick:,g}" if tick >= 1 else f"{tick:g}" for tick in ticks]
    )
    ax.minorticks_off()


def mark(ax, place, text):
    """A vertical line at the interpolation threshold."""
    ax.axvline(place, color=plots.COLORS["black"], linewidth=0.8, linestyle=(0, (1, 1)))
    ax.text(place, 0.98, f" {text}", transform=ax.get_xaxis_transform(), va="top", fontsize=8)


# %% predict="test risk from 20 features to 900, for 1000 training images"
predict(
    "test risk from 20 features to 900, for 1000 training images",
    options=["it falls all the way", "it falls, then rises", "it rises all the way"],
    answer=...,
)

# %% [markdown]
# ### Exercise 1 · Random Fourier features   ●○○○ · 2 points · 5 min
#
# The features are N random waves (Rahimi and Recht, 2007). With frequencies $v_j$ (each entry normally distributed with standard
# deviation ⅕; pixels go from 0 to 1) and phases $b_j$ (uniform from 0 to 2π), drawn once and then kept, feature j of a point x is
#
# $$\phi_j(x) = \sqrt{\tfrac{2}{N}}\,\cos(x \cdot v_j + b_j), \qquad j = 1, \dots, N.$$
#
# Write `random_fourier_features(x, frequencies, phases)`.
# - `x`: float tensor of shape (n, d), a point in each row.
# - `frequencies`: shape (d, N), $v_j$ in column j; `phases`: shape (N,), angles. All three stay as they are.
# - Returns a tensor of shape (n, N): a row for each point, a column for each feature.
#
# <details><summary>Hint</summary>
#
# One matrix product gives all inner products $x_i \cdot v_j$. For a uniform phase $\cos^2$ is ½ in the mean: how large is
# $\sum_j \phi_j(x)^2$ then, with the factor, and does it depend on N?
#
# </details>


# %% exercise="random_fourier_features"
def random_fourier_features(x, frequencies, phases):
    """sqrt(2/N) cos(x frequencies + phases): (n, N), for x (n, d), frequencies (d, N), phases (N,)."""
    ### BEGIN SOLUTION
    return math.sqrt(2 / len(phases)) * torch.cos(x @ frequencies + phases)
    ### END SOLUTION


# %% check="random_fourier_features" points=2
check.random_fourier_features(random_fourier_features)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter08.features import Features, Kernel


@check.random_fourier_features.hidden("a single feature")
class OneFeature(Features):
    n, d, count = 3, 2, 1


@check.random_fourier_features.hidden("one point of one number")
class OnePoint(Features):
    n, d, count = 1, 1, 4


@check.random_fourier_features.hidden("the kernel of many features")
class ManyFeatures(Kernel):
    pass


check.random_fourier_features.grade(random_fourier_features)
### END HIDDEN TESTS


# %% folded
def features_of(x, count):
    """Your features of the images x, the first `count` of those that were drawn."""
    frequencies = waves.directions[:, :count].double()
    features = random_fourier_features(x, frequencies, waves.phases[:count].double())
    return features.double()  # yours may be of another dtype


# %% [markdown]
# ### Exercise 2 · The shortest of all best fits   ●●○○ · 3 points · 8 min
#
# With features $\Phi$ of shape (n, N) and targets y, least squares asks for coefficients β with the smallest
# $\|\Phi\beta - y\|^2$. With fewer features than samples there is one such β, unless some features depend linearly on
# others. With more there are infinitely many, all with the same training risk, which is 0 if the rows of Φ are linearly
# independent, and the curve beyond the peak is that of **the one with the smallest norm** ‖β‖. Write
# `minimum_norm_fit(features, targets)`: of all β that minimize $\|\Phi\beta - y\|^2$ the shortest one.
# - `features`: float tensor of shape (n, N), n and N in any relation; features and samples may repeat. There is no intercept.
# - `targets`: float tensor of shape (n,), or (n, k) for k outputs, each of which is fitted on its own. Both stay as they are.
# - Returns a tensor of shape (N,), or (N, k). All of `torch.linalg` may be used.
#
# <details><summary>Hint</summary>
#
# Where does the shortest β lie: how much of it may point along a direction that Φ maps to 0? The singular value
# decomposition `torch.linalg.svd(features, full_matrices=False)` names these directions, by their singular values.
# Rounding turns a singular value of 0 into $10^{-17}$ to $10^{-15}$ times the largest one (in float64). Draw the line well above
# that, at $10^{-12}$ of the largest, say: no reciprocal of a singular value below it may enter β.
#
# </details>


# %% exercise="minimum_norm_fit"
def minimum_norm_fit(features, targets):
    """The shortest least-squares coefficients: (N,) or (N, k), for features (n, N), targets (n,) or (n, k)."""
    ### BEGIN SOLUTION
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    kept = s > max(features.shape) * torch.finfo(s.dtype).eps * s.max()
    u, s, vh = u[:, kept], s[kept], vh[kept]
    return (vh.T / s) @ (u.T @ targets)
    ### END SOLUTION


# %% check="minimum_norm_fit" points=3
check.minimum_norm_fit(minimum_norm_fit)

### BEGIN HIDDEN TESTS
import torch

from flatlab.checks.chapter08.minimum_norm import MinimumNorm, SameSamples


@check.minimum_norm_fit.hidden("as many outputs as features")
class ManyOutputs(MinimumNorm):
    outputs = (4,)


@check.minimum_norm_fit.hidden("a feature that is 0 everywhere")
class ZeroFeature(MinimumNorm):
    def draw(self, generator):
        drawn = super().draw(generator)
        zero = torch.zeros(self.n, 1, dtype=torch.float64)
        return {**drawn, "features": torch.cat([drawn["features"], zero], dim=1)}


@check.minimum_norm_fit.hidden("samples that repeat")
class RepeatedSample(SameSamples):
    pass


@check.minimum_norm_fit.hidden("features around 1e-3")
class SmallFeatures(MinimumNorm):
    n, count, scale = 5, 9, 1e-3


check.minimum_norm_fit.grade(minimum_norm_fit)
### END HIDDEN TESTS

# %% experiment="u-curve"
if ready(random_fourier_features, minimum_norm_fit):
    small_counts = [count for count in around(n) if count <= 0.9 * n]
    small = []  # (training risk, test risk) for each count
    for count in progress(small_counts, "fits"):
        phi, phi_test = features_of(X, count), features_of(test_images, count)
        beta = minimum_norm_fit(phi, y).double()
        small.append((risk(phi @ beta, y), risk(phi_test @ beta, test_targets)))
    train_risks, test_risks = zip(*small)
    valley = small_counts[test_risks.index(min(test_risks))]
    fig, ax = plots.figure(width=6.4, height=3.4)
    ax.plot(small_counts, test_risks, marker="o", label="test")
    ax.plot(small_counts, train_risks, marker="s", label="training")
    log_ticks(ax, "x", (20, 50, 100, 200, 500, 900))
    ax.set(xlabel="number of features N", ylabel="risk", ylim=(0, None))
    ax.legend(fontsize=8)
    print(f"{'N':>6} training risk  test risk")
    for count, (train_risk, test_risk) in zip(small_counts, small):
        print(f"{count:6} {train_risk:13.4f} {test_risk:10.4f}")
    plots.show(
        fig,
        alt=f"Training and test risk of fits with {small_counts[0]} to {small_counts[-1]} random "
        f"features on {n} images. The training risk falls from {train_risks[0]:.3f} to "
        f"{train_risks[-1]:.4f}; the test risk falls to {min(test_risks):.3f} at {valley} "
        f"features and rises to {test_risks[-1]:.2f}: a U.",
    )

# %% [markdown]
# The slides' panel (a), measured. The training risk falls all the way. The test risk falls from 0.073 at 20 features
# to 0.052 at 160, and then rises, to 0.29 at 900: the sweet spot of the textbooks, and overfitting to its right. A
# predictor that always says ⅒ has a risk of 0.09, so with 900 features on 1000 images the fit is three times worse
# than knowing nothing. Whoever stops here has every reason to believe the U.

# %% [markdown]
# ## 2 · Beyond the threshold   (≈ 16 min)
#
# What happens with *more* features than samples? The training risk is 0 then, and one does not expect much of a model that
# knows its training set by heart.

# %% predict="number of features with the highest test risk, for 1000 training images"
predict(
    "number of features with the highest test risk, for 1000 training images",
    options=["about 500", "1000", "about 2000", "the most there are"],
    answer=...,
)

# %% predict="the lowest test risk of the whole curve"
predict(
    "the lowest test risk of the whole curve",
    options=["left of the peak", "right of the peak", "the same on both sides within 5 %"],
    answer=...,
)

# %% [markdown]
# ### Exercise 3 · The interpolation threshold   ●●○○ · 2 points · 6 min
#
# Where does interpolation, a training risk of 0, begin? For random features one expects N = n; for a network nobody knows in advance, so it
# is read off the curve. Write `interpolation_threshold(counts, train_risks, tolerance)`: the smallest count so that
# **at it and at every larger count** the training risk is at most the tolerance.
# - `counts`: tensor of m different whole numbers, in any order; `train_risks`: float tensor of shape (m,), the risk at each of them.
#   Both stay as they are.
# - `tolerance`: a number, at least 0. A risk that is NaN is not at most anything.
# - Returns the count, a number; `None` where there is none, that is where the largest count does not get there.
#
# <details><summary>Hint</summary>
#
# Turn it around: which counts do **not** fit, and what is the largest of them? `nan > 0.1` and `nan <= 0.1` are both False.
#
# </details>


# %% exercise="interpolation_threshold"
def interpolation_threshold(counts, train_risks, tolerance):
    """The smallest of counts (m,) from which on all train_risks (m,) are at most tolerance, or None."""
    ### BEGIN SOLUTION
    found = None
    for count, risk in sorted(zip(counts.tolist(), train_risks.tolist()), reverse=True):
        if not risk <= tolerance:
            return found
        found = count
    return found
    ### END SOLUTION


# %% check="interpolation_threshold" points=2
check.interpolation_threshold(interpolation_threshold)

### BEGIN HIDDEN TESTS
import math

from flatlab.checks.chapter08.threshold import Curve


@check.interpolation_threshold.hidden("a risk equal to the tolerance")
class Equal(Curve):
    tolerance = 0.25
    risks = (1.0, 0.5, 0.25, 0.125, 0.0625)


@check.interpolation_threshold.hidden("a risk that is NaN")
class Diverged(Curve):
    risks = (1.31, 0.62, 0.004, math.nan, 0.003, 0.001)

    def verdict(self, inputs, outputs):
        first = float(inputs["counts"][2])
        if outputs["found"] == first:
            return (
                "A risk that is NaN passes for a fit, or is left out: it is not at most anything, "
                "so its count does not fit. `risk > tolerance` is False for it; ask whether `risk "
                "<= tolerance` is true."
            )
        return super().verdict(inputs, outputs)


@check.interpolation_threshold.hidden("a single count")
class One(Curve):
    risks = (0.004,)


check.interpolation_threshold.grade(interpolation_threshold)
### END HIDDEN TESTS


# %% folded
def counts_to(most, points):
    """Numbers of features, equally spaced on a logarithmic axis, and more of them around n."""
    first = n / 100
    spread = [first * (most / first) ** (k / (points - 1)) for k in range(points)]
    near = [n * (0.9 + 0.02 * k) for k in range(11)]
    return sorted({max(1, round(count)) for count in spread + near})


# %% experiment="double-descent"
if ready(random_fourier_features, minimum_norm_fit, interpolation_threshold):
    counts = counts_to(setting.most, setting.points)
    curve = descent.feature_curve(waves, (X, y), (test_images, test_targets), counts)
    test_risk, train_risk = curve.test_risk[:, 0], curve.train_risk[:, 0]
    threshold = interpolation_threshold(torch.tensor(counts), train_risk, 1e-8)
    peak = curve.peak()
    below = [k for k, count in enumerate(counts) if count < n]
    best = min(below, key=lambda k: float(test_risk[k]))
    beyond, beyond_risks = around(n, (1.1, 1.5, 3)), []
    for count in beyond:  # your own fits
        beta = minimum_norm_fit(features_of(X, count), y).double()
        beyond_risks.append(risk(features_of(test_images, count) @ beta, test_targets))
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.6)
    left.plot(counts, test_risk, label="test")
    left.plot(counts, train_risk.clamp(min=1e-5), label="training")
    left.plot(
        small_counts + beyond,
        list(test_risks) + beyond_risks,
        marker="o",
        markersize=4,
        linestyle="none",
        color=plots.COLORS["black"],
        label="test, your fits",
    )
    right.plot(counts, curve.norm[:, 0], color=plots.COLORS["green"])
    for ax in (left, right):
        log_ticks(ax, "x", (10, 100, 1000, 10_000))
        ax.set(xlabel="number of features N")
        mark(ax, n, "N = n")
    log_ticks(left, "y", (0.001, 0.01, 0.1, 1, 10))
    log_ticks(right, "y", (1, 10, 100, 1000))
    left.set(ylabel="risk", ylim=(5e-4, 1.5 * float(test_risk.max())))
    right.set(ylabel="norm of the coefficients")
    left.legend(fontsize=8)
    print(f"interpolation from N = {threshold} on; highest test risk at N = {peak}")
    print(f"{'N':>6} training risk  test risk  test error    norm")
    for k in (0, best, counts.index(peak), *range(counts.index(peak) + 1, len(counts), 2)):
        print(
            f"{counts[k]:6} {train_risk[k]:13.2g} {test_risk[k]:10.4f} "
            f"{float(curve.test_error[k, 0]):11.1%} {curve.norm[k, 0]:7.1f}"
        )
    plots.show(
        fig,
        alt="Left: risk against the number of features, both axes logarithmic. The test risk "
        f"falls to {test_risk[best]:.3f} at {counts[best]} features, rises to "
        f"{test_risk.max():.3g} at {peak}, where the training risk reaches 0, and falls again, to "
        f"{test_risk[-1]:.3f} at {counts[-1]}; your own fits lie on the line. Right: the norm of "
        f"the coefficients has its peak at the same place ({curve.norm.max():.0f}), and falls to "
        f"{curve.norm[-1, 0]:.0f}.",
    )

# %% [markdown]
# The slides' panel (b). At N = n = 1000 the training risk reaches 0 (10⁻²⁸, which is rounding), and exactly there the
# test risk is highest: 13, which is 250 times the 0.053 of the valley. Then it falls, passes the old valley's risk
# between 1583 and 2626 features, and at 12,000 is 0.033 and still falling. The test error, which is the share of wrong
# classes, goes from 25 % in the valley to 19 %. "The predictors to the right of the interpolation threshold have zero
# training risk", say the slides: every one of them, the worst and the best.
#
# The right panel has a first explanation. All fits beyond the threshold have the same training risk, and what tells
# them apart is the norm of their coefficients. With N = n features there is one interpolating fit, and it must be
# taken however long it is. With each further feature there are more to choose from, and minimum norm chooses the
# shortest: 627 at the peak, 30 at the end, although $\sqrt{2/N}$ makes each feature smaller, so that
# the same function needs longer coefficients.
#
# The slides' curve ends lower on the right than the valley on the left. Is that a law? The same experiment with other
# features, $\max(x \cdot v_j, 0)$, and with three draws of each kind:

# %% experiment="kinds"
shares = (0.1, 0.13, 0.16, 0.21, 0.27, 0.95, 1, 1.05, 2, setting.most / n)
for kind in ("fourier", "relu"):
    found = [
        descent.feature_curve(
            drawn(kind, seed), (X, y), (test_images, test_targets), around(n, shares)
        )
        for seed in range(setting.kind_seeds)
    ]
    risks = torch.stack([curve.test_risk[:, 0] for curve in found])  # (seeds, counts)
    errors = torch.stack([curve.test_error[:, 0] for curve in found])
    under = sum(count < n for count in found[0].counts)
    print(
        f"{kind:8} peak{'s' * (len(found) != 1)} at N = "
        f"{', '.join(str(curve.peak()) for curve in found)}, at "
        f"{', '.join(f'{height:.0f}' for height in risks.amax(1))};\n    "
        f"lowest test risk below it {risks[:, :under].amin(1).mean():.4f}, at "
        f"N = {found[0].counts[-1]} {risks[:, -1].mean():.4f}; test error "
        f"{errors[:, :under].amin(1).mean():.1%} and {errors[:, -1].mean():.1%}"
    )

# %% [markdown]
# The peak is at N = n each time; how high it is there is chance, 13 to 68 with waves and 87 to 729 with ReLU features
# (over five other draws the medians are 55 and 66, `docs/reproduction.md`). That the second valley is the lower one is **no** law. With waves
# it is, 0.034 against 0.053; with ReLU features the right end has the higher risk, by a little, 0.049 against 0.048.
# All draws here have the same images. Where each of five has its own (`docs/reproduction.md`), waves go from 0.053 to
# 0.033, in each of them, and ReLU features from 0.049 to 0.046, lower in three of five. Counted in wrong classes the
# right end is better for both (19 % against 26 %, 22 % against 23 %). So the slides' drawing shows one of the possible
# outcomes.

# %% [markdown]
# ## 3 · What the peak is made of   (≈ 20 min)
#
# Take a different training set of the same size. How different is the fit? (Here ten sets of 200 images each, so n = 200,
# all with the same features.) The classical argument splits the risk into a bias, how far the mean of such fits lies from
# the targets, which a larger model lowers, and a variance, how far single fits lie from that mean, which a larger model
# raises.

# %% predict="far beyond the threshold, ten times more features than samples: the variance"
predict(
    "far beyond the threshold, ten times more features than samples: the variance",
    options=[
        "higher than at the threshold",
        "about as at the threshold",
        "far lower, below the bias",
    ],
    answer=...,
)

# %% [markdown]
# ### Exercise 4 · Bias and variance   ●●○○ · 3 points · 7 min
#
# Fit the same model to s training sets, drawn anew each time, and look at its predictions $f_1, \dots, f_s$ at fixed
# test points with targets y. With $\bar f = \frac1s \sum_i f_i$ the mean squared error of such fits, on average over them, has two parts:
#
# $$\frac1s \sum_i (f_i - y)^2 = \underbrace{(\bar f - y)^2}_{\text{squared bias}}
# + \underbrace{\frac1s \sum_i (f_i - \bar f)^2}_{\text{variance}}$$
#
# at every point. (What no predictor could know of y, the third term of many textbooks, is in the squared bias here.)
# The classical U-shaped curve is a falling bias and a rising variance. Write
# `bias_variance(predictions, targets)`.
# - `predictions`: float tensor of shape (s, n) for n test points, or (s, n, k) for k outputs: a row for each fit. `targets`: (n,), or (n, k). Both stay
#   as they are.
# - Returns two numbers, squared bias and variance, each averaged over all points and outputs. They add up to the mean squared error
#   **exactly**.
#
# <details><summary>Hint</summary>
#
# What is averaged first, over which dimension, and what is squared before the second mean? Test yourself with s = 1:
# the variance is 0 then. What does `torch.var` divide by?
#
# </details>


# %% exercise="bias_variance"
def bias_variance(predictions, targets):
    """Squared bias and variance, two numbers, of predictions (s, n) or (s, n, k) of targets (n,) or (n, k)."""
    ### BEGIN SOLUTION
    mean = predictions.mean(0)
    return ((mean - targets) ** 2).mean(), ((predictions - mean) ** 2).mean()
    ### END SOLUTION


# %% check="bias_variance" points=3
check.bias_variance(bias_variance)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter08.parts import Parts


@check.bias_variance.hidden("as many fits as points")
class Square(Parts):
    fits, shape = 6, (6,)


@check.bias_variance.hidden("a single fit")
class OneFit(Parts):
    fits = 1


@check.bias_variance.hidden("fits that agree")
class Agreeing(Parts):
    spread = 0.0


check.bias_variance.grade(bias_variance)
### END HIDDEN TESTS

# %% experiment="bias-variance"
if ready(random_fourier_features, minimum_norm_fit, bias_variance):
    size = setting.set_size
    sets = [slice(k * size, (k + 1) * size) for k in range(setting.sets)]
    set_counts, parts, smallest = around(size), [], []
    targets = one_hot(labels[: size * setting.sets])
    for count in progress(set_counts, "counts"):
        phi = features_of(images[: size * setting.sets], count)
        phi_test = features_of(test_images, count)
        fits = [minimum_norm_fit(phi[part], targets[part]).double() for part in sets]
        predictions = torch.stack([phi_test @ beta for beta in fits])
        parts.append([float(part) for part in bias_variance(predictions, test_targets)])
        values = [torch.linalg.svdvals(phi[part])[-1] for part in sets]
        smallest.append(float(torch.stack(values).mean()))
    biases, variances = torch.tensor(parts).T
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.4)
    left.plot(
        set_counts,
        biases + variances,
        color=plots.COLORS["black"],
        linestyle=":",
        label="risk, their sum",
    )
    left.plot(set_counts, biases, marker="s", markersize=4, label="squared bias")
    left.plot(set_counts, variances, marker="o", markersize=4, label="variance")
    right.plot(set_counts, smallest, color=plots.COLORS["green"])
    for ax in (left, right):
        log_ticks(ax, "x", (4, 20, 100, 200, 500, 2000))
        ax.set(xlabel="number of features N")
        mark(ax, size, "N = n")
    log_ticks(left, "y", (0.001, 0.1, 10, 1000))
    log_ticks(right, "y", (0.001, 0.01, 0.1, 1))
    left.set(ylabel="mean square")
    right.set(ylabel="smallest singular value of Φ")
    left.legend(fontsize=8)
    print(f"{'N':>6} squared bias  variance  smallest singular value")
    for count, bias, variance, value in zip(set_counts, biases, variances, smallest):
        print(f"{count:6} {bias:12.4f} {variance:9.4f} {value:24.4f}")
    plots.show(
        fig,
        alt=f"Left: squared bias and variance over {setting.sets} training sets of {size} images, "
        "against the number of features, both axes logarithmic. The variance peaks at "
        f"{variances.max():.3g} where N = n and falls to {variances[-1]:.3f}; the squared bias is "
        f"{biases[0]:.3f} at the left end and {biases[-1]:.3f} at the right. Right: the smallest "
        f"singular value of the features, which is lowest ({min(smallest):.2g}) at N = n.",
    )

# %% [markdown]
# The peak is variance. At N = n it is 18,000 (other training sets, another height), and just beside, at 180 features, 0.36, with a squared bias of 0.08. To the right of the peak the variance
# *falls*, to 0.009 at ten times more features than samples, far below the squared bias of 0.034. So of the two halves
# of the classical argument one holds, the bias falls, and the other does not: the variance rises up to the threshold
# and falls beyond it. (The bump of the squared bias around the peak is not the bias's own: the mean of ten fits still
# carries a tenth of the variance of one. With that taken off it is 0.073, 0.053, 0.037 and 0.034 at N = 0.1, 0.4, 2
# and 10 n, over five seeds, `docs/reproduction.md`.)
#
# Why there? The right panel shows the smallest singular value of Φ. A fit divides by the singular values, so whatever
# part of the targets lies along the smallest one, noise above all, is multiplied by its reciprocal. A square random
# matrix nearly always has a singular value close to 0; a wide or a tall one has not. With that, the number of
# *samples* must matter as much as the number of features does:

# %% predict="500 features; training samples grow from 250 to 500: the test risk"
predict(
    "500 features; training samples grow from 250 to 500: the test risk",
    options=["falls", "stays about the same", "rises"],
    answer=...,
)

# %% experiment="samples"
if ready(random_fourier_features, minimum_norm_fit):
    width = setting.fixed_features
    phi, phi_test = features_of(images, width), features_of(test_images, width)
    sample_risks = []
    for samples in progress(setting.sample_counts, "sizes"):
        beta = minimum_norm_fit(phi[:samples], one_hot(labels[:samples])).double()
        sample_risks.append(risk(phi_test @ beta, test_targets))
    fig, ax = plots.figure(width=6.4, height=3.2)
    ax.plot(setting.sample_counts, sample_risks, marker="o")
    log_ticks(ax, "x", (50, 100, 200, 500, 1000, 2000))
    log_ticks(ax, "y", (0.05, 0.1, 1, 10))
    ax.set(xlabel="number of training samples n", ylabel="test risk", ylim=(0.03, 60))
    mark(ax, width, "n = N")
    for samples, value in zip(setting.sample_counts, sample_risks):
        print(f"{samples:6} samples: test risk {value:.4f}")
    plots.show(
        fig,
        alt=f"Test risk of fits with {width} features against the number of training samples, "
        f"both axes logarithmic: it is {sample_risks[0]:.3f} for {setting.sample_counts[0]} "
        f"samples, rises to {max(sample_risks):.3g} where samples and features are equal in "
        f"number, and falls to {sample_risks[-1]:.3f} for {setting.sample_counts[-1]}.",
    )

# %% [markdown]
# More data, worse model: from 0.074 with 250 samples to 13 with 500. The model is the same and the samples are good
# ones. What has changed is that the fit may no longer choose: 500 equations for 500 numbers. Even 50 samples (0.060) are
# better than 1000 (0.068), and with 2000 the risk is 0.045, lower than ever. Nakkiran et al. (2020) found the same for
# networks.

# %% [markdown]
# ## 4 · Noise makes the peak, a penalty takes it away   (≈ 20 min)
#
# Where the smallest singular value is near 0, noise in the targets is blown up. So let us put some there: a fraction
# of the training labels is replaced by a wrong class. (The test labels stay as they are. From here on n is 500.)

# %% predict="40 % wrong training labels in the place of none: the test risk just beside the peak, at N = 0.9 n"
predict(
    "40 % wrong training labels in the place of none: the test risk just beside the peak, at N = 0.9 n",
    options=["less than 1.5 times as high", "2 to 4 times", "more than 10 times"],
    answer=...,
)

# %% [markdown]
# ### Exercise 5 · Ridge   ●●●○ · 4 points · 9 min
#
# Ridge regression pays for large coefficients: it minimizes $\|\Phi\beta - y\|^2 + \lambda \|\beta\|^2$ (sums, no
# means). For λ > 0 the minimum is the solution of either of two linear systems, one of N equations and one of n:
#
# $$\beta = (\Phi^\top \Phi + \lambda I)^{-1}\, \Phi^\top y = \Phi^\top (\Phi \Phi^\top + \lambda I)^{-1}\, y.$$
#
# Write `ridge_fit(features, targets, penalty)`.
# - `features`, `targets`, result: as in exercise 2.
# - `penalty`: λ, a number, at least 0; for a negative one raise `ValueError`. For 0 return the limit of λ → 0, which is the fit of
#   exercise 2: call your `minimum_norm_fit`.
# - Solve the smaller system: with n = 1000 and N = 50,000 a matrix of shape (N, N) takes 20 GB, one of shape (n, n) 8 MB.
#
# <details><summary>Hint</summary>
#
# Why are the two the same? Multiply $\Phi^\top (\Phi \Phi^\top + \lambda I)$ out, and put the brackets elsewhere.
# `torch.linalg.solve(A, B)` solves A X = B for all columns of B. The singular value decomposition leads there too.
#
# </details>


# %% exercise="ridge_fit"
def ridge_fit(features, targets, penalty):
    """argmin |features b - targets|^2 + penalty |b|^2: (N,) or (N, k); for penalty 0 its limit."""
    ### BEGIN SOLUTION
    if penalty < 0:
        raise ValueError(f"penalty is {penalty}: give a number of at least 0")
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    n, count = features.shape
    identity = torch.eye(min(n, count), dtype=features.dtype, device=features.device)
    if count <= n:
        return torch.linalg.solve(features.T @ features + penalty * identity, features.T @ targets)
    return features.T @ torch.linalg.solve(features @ features.T + penalty * identity, targets)
    ### END SOLUTION


# %% check="ridge_fit" points=4
check.ridge_fit(ridge_fit)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter08.minimum_norm import repeated
from flatlab.checks.chapter08.ridge import Negative, NoPenalty, Ridge


@check.ridge_fit.hidden("targets in columns")
class Columns(Ridge):
    n, count, outputs = 5, 9, (3,)


@check.ridge_fit.hidden("a penalty of 0 where features repeat")
class RepeatedFeatures(NoPenalty):
    n, count = 8, 4

    def draw(self, generator):
        drawn = super().draw(generator)
        return {**drawn, "features": repeated(drawn["features"])}


@check.ridge_fit.hidden("a negative penalty")
class NegativePenalty(Negative):
    pass


check.ridge_fit.grade(ridge_fit)
### END HIDDEN TESTS


# %% folded
LABEL_NOISE = (0.0, 0.1, 0.2, 0.4)
few = setting.noisy_n
noisy_targets = [
    one_hot(noise.corrupt_labels(labels[:few], share, 10, torch.Generator().manual_seed(1)))
    for share in LABEL_NOISE
]
noisy_counts = around(few)


# %% experiment="noise-and-ridge"
if ready(random_fourier_features, minimum_norm_fit, ridge_fit):
    penalties = (0, 0.001, 0.01, 0.1, 1.0)
    all_targets = torch.cat(
        noisy_targets, dim=1
    )  # four problems at once: the outputs are fitted each on its own
    table = torch.zeros(len(noisy_counts), len(penalties), len(LABEL_NOISE), dtype=torch.float64)
    for row, count in enumerate(progress(noisy_counts, "counts")):
        phi, phi_test = features_of(images[:few], count), features_of(test_images, count)
        for column, penalty in enumerate(penalties):
            beta = ridge_fit(phi, all_targets, penalty).double()
            for place, part in enumerate((phi_test @ beta).split(10, dim=1)):
                table[row, column, place] = risk(part, test_targets)
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.6, sharey=True)
    for place, share in enumerate(LABEL_NOISE):
        left.plot(noisy_counts, table[:, 0, place], label=f"{share:.0%} wrong labels")
    for column, penalty in enumerate(penalties):
        right.plot(noisy_counts, table[:, column, 2], label=f"λ = {penalty:g}")
    for ax in (left, right):
        log_ticks(ax, "x", (10, 50, 200, 500, 1000, 5000))
        ax.set(xlabel="number of features N")
        mark(ax, few, "N = n")
        ax.legend(fontsize=8)
    log_ticks(left, "y", (0.05, 0.1, 1, 10))
    left.set(ylabel="test risk")
    beside, at_peak = noisy_counts.index(max(1, round(0.9 * few))), noisy_counts.index(few)
    print("wrong labels   lowest below n   at N = 0.9 n   at N = n   at the end   (λ = 0)")
    for place, share in enumerate(LABEL_NOISE):
        column = table[:, 0, place]
        print(
            f"{share:12.0%} {column[:at_peak].min():16.4f} {column[beside]:14.3f} "
            f"{column[at_peak]:10.2f} {column[-1]:12.4f}"
        )
    print(
        "20 % wrong labels, at N = n:\n    "
        + ", ".join(
            f"λ = {penalty:g}: {table[at_peak, column, 2]:.3f}"
            for column, penalty in enumerate(penalties)
        )
    )
    plots.show(
        fig,
        alt="Left: test risk without a penalty against the number of features, for four shares "
        "of wrong labels, both axes logarithmic; all peak at N = n, at "
        f"{', '.join(f'{value:.3g}' for value in table[at_peak, 0])}. Right: with 20 % wrong "
        "labels, for growing penalties; the peak shrinks and is gone for the largest. At N = n: "
        + ", ".join(f"λ = {p:g} {v:.3g}" for p, v in zip(penalties, table[at_peak, :, 2].tolist()))
        + ".",
    )

# %% [markdown]
# Beside the peak, at 450 features, the risk is 0.33 with clean labels and 0.43, 0.53 and 0.75 with 10, 20 and 40 %
# wrong ones (over five seeds, with images of their own, 0.37, 0.53, 0.68 and 0.89, rising in each,
# `docs/reproduction.md`). On the peak itself one singular value decides, and one draw says little: 13, 15, 21 and 24.
# And there *is* a peak without any wrong label. What the features cannot express of the labels acts as noise.
#
# The right panel says how fragile the peak is. A penalty of 0.001 (the squares of the labels sum up to 500) takes the
# risk at N = n from 21 to 0.53, one of 1 to 0.049, which is less than the valley of the unpenalized curve (0.067).
# With λ = 1 the risk falls all the way from 10 to 5000 features: no peak, and no U either. Which penalty, though,
# without looking at the test set?

# %% [markdown]
# ## 5 · Which penalty?   (≈ 20 min)
#
# Section 4 tried five penalties and looked at the test set, which is not there when a model is chosen. The training set
# has to say which penalty is best, for each number of features its own.

# %% predict="with the penalty chosen from the training set alone, the test risk from 10 features to 10 n"
predict(
    "with the penalty chosen from the training set alone, the test risk from 10 features to 10 n",
    options=["a peak at N = n, only lower", "a U without a peak", "it falls all the way"],
    answer=...,
)

# %% [markdown]
# ### Exercise 6 · A penalty without a test set   ●●●● · 4 points · 12 min
#
# Which penalty is best? The training risk always says: the smallest. Generalized cross-validation (Golub, Heath and
# Wahba, 1979) estimates, from the training set alone, the risk on new samples whose labels are as often wrong. The fitted values of ridge are $H_\lambda y$ with
# the (n, n) matrix $H_\lambda = \Phi (\Phi^\top \Phi + \lambda I)^{-1} \Phi^\top$, whose trace counts the degrees of
# freedom that the fit used up, and
#
# $$\mathrm{GCV}(\lambda) = \frac{\tfrac1n \|y - H_\lambda y\|^2}{\big(1 - \tfrac1n \operatorname{tr} H_\lambda\big)^2}.$$
#
# Write `optimal_ridge(features, targets, penalties)`.
# - `features`, `targets`: as in exercise 2; for k outputs the squares of all k are added up.
# - `penalties`: float tensor of shape (m,), in any order; λ as in exercise 5, all positive: for any other raise `ValueError`.
# - All three stay as they are. Returns the penalty with the smallest score, a number, and the scores, a tensor of shape (m,), in the order of `penalties`.
#
# <details><summary>Hint</summary>
#
# With $\Phi = U \operatorname{diag}(s) V^\top$ one decomposition serves all penalties: which diagonal matrix stands
# between $U$ and $U^\top$ in $H_\lambda$? When N < n, U has fewer columns than rows: what becomes of the part of y
# that no column of U reaches?
#
# </details>


# %% exercise="optimal_ridge"
def optimal_ridge(features, targets, penalties):
    """The penalty with the smallest GCV score, and the scores of all penalties: a number and (m,)."""
    ### BEGIN SOLUTION
    if not (penalties > 0).all():
        raise ValueError("a penalty is not positive: GCV may be 0/0 there")
    n = len(features)
    u, s, _ = torch.linalg.svd(features, full_matrices=False)
    y = targets.reshape(n, -1)
    along = u.T @ y
    outside = ((y - u @ along) ** 2).sum()
    left = penalties[:, None] / (s**2 + penalties[:, None])  # 1 - the eigenvalues of H: (m, r)
    residual = (left**2) @ (along**2).sum(1) + outside
    scores = residual / n / ((left.sum(1) + n - len(s)) / n) ** 2
    return penalties[scores.argmin()].item(), scores
    ### END SOLUTION


# %% check="optimal_ridge" points=4
check.optimal_ridge(optimal_ridge)

### BEGIN HIDDEN TESTS
from flatlab.checks.chapter08.validation import Choice, NotPositive


@check.optimal_ridge.hidden("targets in columns")
class Columns(Choice):
    n, count, outputs = 8, 14, (3,)


@check.optimal_ridge.hidden("penalties in any order")
class AnyOrder(Choice):
    penalties = (25.0, 0.4, 0.05, 3.0, 8.0, 0.15, 1.0)


@check.optimal_ridge.hidden("a penalty that is not positive")
class NotAllPositive(NotPositive):
    pass


check.optimal_ridge.grade(optimal_ridge)
### END HIDDEN TESTS

# %% experiment="chosen-penalty"
if ready(random_fourier_features, minimum_norm_fit, ridge_fit, optimal_ridge):
    choices = torch.logspace(-4, 2, setting.penalties, dtype=torch.float64)
    noisy = noisy_targets[2]
    chosen = []  # (penalty, its test risk, the best penalty on the test set, its test risk) for each count
    for count in progress(noisy_counts, "counts"):
        phi, phi_test = features_of(images[:few], count), features_of(test_images, count)
        picked, _ = optimal_ridge(phi, noisy, choices)
        risks = [
            risk(phi_test @ ridge_fit(phi, noisy, float(penalty)).double(), test_targets)
            for penalty in choices
        ]
        at = int((choices - float(picked)).abs().argmin())
        lowest = min(range(len(risks)), key=risks.__getitem__)
        chosen.append((float(choices[at]), risks[at], float(choices[lowest]), risks[lowest]))
    picked, picked_risks, wanted, wanted_risks = zip(*chosen)
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.4)
    left.plot(noisy_counts, table[:, 0, 2], label="λ = 0")
    left.plot(noisy_counts, picked_risks, label="λ chosen by GCV")
    left.plot(noisy_counts, wanted_risks, label="best λ on the test set")
    right.plot(
        noisy_counts,
        picked,
        color=plots.COLORS["orange"],
        linestyle="--",
        marker="o",
        markersize=4,
        label="chosen by GCV",
    )
    right.plot(
        noisy_counts,
        wanted,
        color=plots.COLORS["green"],
        linestyle="-.",
        marker="s",
        markersize=4,
        label="best on the test set",
    )
    for ax in (left, right):
        log_ticks(ax, "x", (10, 50, 200, 500, 1000, 5000))
        ax.set(xlabel="number of features N")
        mark(ax, few, "N = n")
        ax.legend(fontsize=8)
    log_ticks(left, "y", (0.05, 0.1, 1, 10))
    left.set(ylabel="test risk")
    log_ticks(right, "y", (0.1, 1, 10, 100))
    right.set(ylabel="penalty λ")
    print(f"{'N':>6}  λ by GCV  its test risk   best λ  its test risk   λ = 0")
    for count, row, plain in zip(noisy_counts, chosen, table[:, 0, 2]):
        print(f"{count:6} {row[0]:9.2g} {row[1]:14.4f} {row[2]:8.2g} {row[3]:14.4f} {plain:7.3f}")
    plots.show(
        fig,
        alt=f"Left: test risk against the number of features with {LABEL_NOISE[2]:.0%} wrong "
        "labels, both axes logarithmic. Without a penalty it peaks at "
        f"{table[at_peak, 0, 2]:.3g}; with the penalty that generalized cross-validation chooses "
        f"it falls from {picked_risks[0]:.3f} to {picked_risks[-1]:.3f}, next to the best that "
        "the test set could have told. Right: both penalties.",
    )

# %% [markdown]
# The penalty that the training set chooses is right within a step or two of the grid, and its risk is at most 3 %
# above the best one (over five seeds of `docs/reproduction.md` 5.5 % with 20 % wrong labels, 7.5 % with 40 %, at the
# worst N; the score estimates the risk on labels as wrong as the training's, and the test labels are clean). There is no
# peak: the risk falls from 0.083 at 10 features to 0.043 at 5000. Below the threshold, too, the
# rise of section 1 is gone: it was a fit without a penalty, not a model with many features, that overfitted. Nakkiran
# et al. (2021) prove it for a simpler case, normally distributed features of equal scale: with the best penalty the
# risk never rises, neither with the number of samples nor with that of features.
#
# So the second descent can be told without a paradox. Minimum norm with many features behaves like a ridge: the
# features beyond the first n act like a penalty on the coefficients of the first n. At N = n there are none beyond these yet, so no such penalty, and
# the fit must pass through every sample all the same: hence the peak.

# %% [markdown]
# ## 6 · One dimension   (≈ 6 min)
#
# The same in a picture: 12 samples of a curve, fitted with random waves. Go through the number of features slowly
# around 12; then raise the label noise, which is the standard deviation of normally distributed noise on y here; then
# add a ridge. (It runs on the package's `ridge_fit`.)


# %% folded
LINE = torch.linspace(-1, 1, 201, dtype=torch.float64)[:, None]
WAVES = descent.RandomFeatures.fourier(1, 60, 0.05, torch.Generator().manual_seed(3))


def true_curve(x):
    """The curve that the samples come from, at x (k, 1): (k,)."""
    return torch.sin(3 * x[:, 0]) + 0.3 * torch.cos(8 * x[:, 0])


@functools.lru_cache
def fit_line(features, label_noise, ridge):
    """Samples x, y, the fit on the line, and the norm of its coefficients."""
    x = torch.linspace(-0.95, 0.95, 12, dtype=torch.float64)[:, None]
    seeded = torch.Generator().manual_seed(5)
    targets = true_curve(x) + label_noise * torch.randn(12, generator=seeded, dtype=torch.float64)
    fit = descent.ridge_fit(WAVES(x, features), targets, ridge)
    return x[:, 0], targets, fit.predict(WAVES(LINE, features)), fit.norm


@functools.lru_cache
def line_risks(label_noise, ridge):
    """Numbers of features, and the test risk on the line for each."""
    sizes = list(range(1, 61))
    return sizes, [risk(fit_line(size, label_noise, ridge)[2], true_curve(LINE)) for size in sizes]


def draw_line(number_of_features, label_noise, ridge):
    x, targets, fitted, _ = fit_line(int(number_of_features), label_noise, ridge)
    sizes, risks = line_risks(label_noise, ridge)
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.4)
    left.plot(LINE, true_curve(LINE), color=plots.COLORS["black"], linestyle=":", label="truth")
    left.plot(LINE, fitted, color=plots.COLORS["orange"], linestyle="-", label="fit")
    left.plot(x, targets, "o", color=plots.COLORS["blue"], label="samples")
    left.set(xlabel="x", ylabel="y", ylim=(-3, 3), xticks=(-1, -0.5, 0, 0.5, 1))
    left.legend(fontsize=8, loc="upper left")
    right.plot(sizes, risks)
    place = int(number_of_features)
    right.plot(place, risks[place - 1], marker="o", color=plots.COLORS["orange"])
    mark(right, len(x), "N = n")
    log_ticks(right, "y", (0.01, 1, 100, 10_000))
    right.set(xlabel="number of features N", ylabel="test risk", ylim=(None, 5 * max(risks)))
    return fig


def say_line(number_of_features, label_noise, ridge):
    place = int(number_of_features)
    x, _, _, norm = fit_line(place, label_noise, ridge)
    sizes, risks = line_risks(label_noise, ridge)
    worst = max(sizes, key=lambda size: risks[size - 1])
    return (
        f"A fit of {place} random wave{'s' * (place != 1)} to {len(x)} samples of a curve y over "
        f"x with label noise {label_noise:g} and ridge {ridge:g}: test risk "
        f"{risks[place - 1]:.3g}, norm of the coefficients {norm:.3g}. The test risk over all "
        f"numbers of features is highest at {worst}, {risks[worst - 1]:.3g}; at {sizes[-1]} it is "
        f"{risks[-1]:.3g}."
    )


# %% widget="one-dimension"
widgets.explore(
    draw_line,
    say_line,
    {
        "number_of_features": (1, 60, 10, 1),
        "label_noise": (0.0, 1.0, 0.2, 0.1),
        "ridge": [0.0, 0.001, 0.01, 0.1, 1.0],
    },
)

# %% [markdown]
# ## 7 · Trained networks   (≈ 20 min)
#
# How much of this is left when the features are trained, the loss has many minima, and it is the optimizer that
# chooses one? The slides' claim is about such "high capacity function classes". After Belkin et al.'s figure
# 3: networks 64-w-10 with ReLU on 256 images of 8 × 8 pixels, 20 % wrong labels, mean squared error, 2000 steps of
# AdamW (learning rate 0.003, no weight decay) with the full batch, three seeds a width. (In the paper it is MNIST with its
# own labels and SGD, and below the threshold each network starts from a smaller one's trained weights; here each starts
# anew.) The training set asks for 256 · 10 numbers, and a network of width w
# has 75 w + 10 weights: as many from w = 34 on. (The paper column has their size, 4000 images of 28 × 28.)


# %% folded
mean_square = nn.functional.mse_loss


def small_images(label_noise):
    """The networks' images, with rows of one-hot labels."""
    return flatlab.load_dataset(
        "fashion_mnist",
        n_train=setting.net_images,
        n_test=setting.test_images,
        one_hot=True,
        label_noise=label_noise,
        image_size=setting.side,
        fallback="digits",
    )


def of_width(width):
    """Generator -> an untrained network with one hidden layer of this width."""
    sizes = (setting.side**2, width, 10)
    return lambda generator: models.mlp(sizes, generator=generator)


def trained(widths, data):
    """Networks of these widths, from several seeds, trained for as long."""
    return descent.width_curve(
        widths,
        of_width,
        mean_square,
        data.train,
        [Run(0.003, seed=seed, optimizer="adamw") for seed in range(setting.net_seeds)],
        steps=setting.net_steps,
        evaluate_every=max(1, setting.net_steps // setting.looks),
        test_data=data.test,
        engine="lockstep",
        description="networks",
    )


def at_the_end(found, column):
    """The mean over seeds for each width: (widths,)."""
    return torch.as_tensor(found.last(column)).double().mean(1)


def lengths(networks):
    """The Euclidean norm of each network's weights."""
    vectors = [nn.utils.parameters_to_vector(network.parameters()) for network in networks]
    return [float(vector.detach().norm()) for vector in vectors]


tiles, clean_tiles = small_images(0.2), small_images(0.0)


# %% predict="networks of growing width, 20 % wrong labels: the test risk at the end of training"
predict(
    "networks of growing width, 20 % wrong labels: the test risk at the end of training",
    options=["falls all the way", "falls, then rises", "falls, rises and falls again"],
    answer=...,
)

# %% predict="and along the training of the widest network"
predict(
    "and along the training of the widest network",
    options=[
        "the test risk falls all the way",
        "it falls, then rises",
        "it falls, rises and falls again",
    ],
    answer=...,
)

# %% experiment="width"
if ready(interpolation_threshold):
    by_width = trained(setting.widths, tiles)
    courses = []  # (epochs, mean test risk) along the training, for each width
    for outcomes in by_width.outcomes:
        epochs, values = descent.along_training(outcomes)
        courses.append((epochs, values.mean(0)))
    final_train, final_test = (at_the_end(by_width, name) for name in ("train_loss", "test_loss"))
    final_error = 1 - at_the_end(by_width, "test_accuracy")
    early = torch.tensor([values.min() for _, values in courses])
    fitted = interpolation_threshold(torch.tensor(by_width.widths), final_train, 0.01)
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.6)
    left.plot(by_width.widths, final_test, marker="o", label="test, at the end")
    left.plot(by_width.widths, early, marker="^", label="test, at its lowest in training")
    left.plot(by_width.widths, final_train, marker="s", label="training, at the end")
    log_ticks(left, "x", (8, 16, 32, 64, 128, 512))
    mark(left, len(tiles.X_train) * 10 / (setting.side**2 + 11), "as many weights as targets")
    left.set(xlabel="width", ylabel="risk", ylim=(0, 1.2 * float(final_test.max())))
    for place in sorted({1, len(courses) // 2, len(courses) - 1}):
        right.plot(*courses[place], label=f"width {by_width.widths[place]}")
    right.set(xlabel="steps (each an epoch)", ylabel="test risk", ylim=(0, None))
    for ax in (left, right):
        ax.legend(fontsize=8)
    print("width  weights  training risk  test risk  test error  lowest in training")
    for row in zip(
        by_width.widths, by_width.parameters, final_train, final_test, final_error, early
    ):
        print(
            "{:5} {:8} {:14.4f} {:10.4f} {:11.1%} {:19.4f}".format(*row[:2], *map(float, row[2:]))
        )
    print(f"training risk at most 0.01: from width {fitted} on")
    worst = int(final_test.argmax())
    plots.show(
        fig,
        alt="Left: risks of networks against their width. The test risk at the end of training "
        f"is highest, {final_test[worst]:.3f}, at width {by_width.widths[worst]} and "
        f"{final_test[-1]:.3f} at width {by_width.widths[-1]}; the lowest test risk along the "
        f"training falls from {early[0]:.3f} to {early[-1]:.3f}. Right: the test risk along the "
        "training of three widths falls within the first steps and rises after.",
    )

# %% [markdown]
# There it is, smaller and rounder: the test risk at the end is 0.075 at width 16, 0.120 at 128 and 0.091 at 512. The peak
# lies to the right of "as many weights as targets", since 2000 steps do not reach every minimum that exists: a training
# risk of 0.01 is reached from width 64 on. Two differences from section 2 matter more.
#
# First, the second valley is **not** the lower one here, and in wrong classes it hardly is, 37.9 % against 38.2 % at
# width 32. Second, the whole curve belongs to the end of training. Each width had a lower test risk earlier (the last
# column; in the right panel within the first few hundred steps). From width 32 on that is 0.05, which is below all that
# is there at the end, and had the training stopped there, the curve over the width would fall all the way. Early
# stopping does what the penalty did, but here the place to stop is read off the test set.
#
# Along the training the risk falls and rises, and at width 512 it levels off at 0.09. The second descent *in time* of
# Nakkiran et al. (2020), for large networks and many more epochs, is not to be seen in these 2000 steps. Five seeds
# with images of their own (`docs/reproduction.md`), and widths up to 2048, say the same of the peak: in the median 0.08 at width 8,
# 0.12 at 64 and at 128, 0.09 at 2048, and no second descent in time. In wrong classes the second valley is the higher one there, 40 % against 39 %.
#
# How much of that is the wrong labels' work? Three of the widths, with clean ones:

# %% experiment="clean-labels"
clean = trained(setting.clean_widths, clean_tiles)
clean_test, clean_error = at_the_end(clean, "test_loss"), 1 - at_the_end(clean, "test_accuracy")
for width, value, error in zip(clean.widths, clean_test, clean_error):
    print(f"width {width:4}, clean labels: test risk {value:.4f}, test error {error:.1%}")

# %% [markdown]
# Without wrong labels the peak is hardly one (0.064, 0.068 and 0.052), and the right end is the lowest; the same
# holds in `docs/reproduction.md`, 0.050 at width 2048 against 0.065 left of the peak. So most of the peak of
# these networks is the wrong labels' work (random features have one without any, in section 4), and whether the second
# valley is lower than the first depends on it.
#
# Last, this course's question. Is the peak a place of **sharp** minima?

# %% predict="λ_max of the random-feature fits, at the peak of the test risk"
predict(
    "λ_max of the random-feature fits, at the peak of the test risk",
    options=["a peak, too", "about as to its left and right", "a valley"],
    answer=...,
)

# %% experiment="sharpness"
if ready(random_fourier_features, minimum_norm_fit, interpolation_threshold):
    feature_sharpness, feature_norms, feature_risks = [], [], []
    for count in noisy_counts:
        phi = features_of(images[:few], count)
        values = torch.linalg.svdvals(phi)
        feature_sharpness.append(float(2 * values[0] ** 2 / (10 * few)))
        beta = minimum_norm_fit(phi, noisy_targets[2]).double()
        feature_norms.append(float(beta.norm()))
        feature_risks.append(risk(features_of(test_images, count) @ beta, test_targets))
    net_sharpness, net_norms = [], []
    for width, outcomes in zip(by_width.widths, by_width.outcomes):
        networks = [outcome.model(of_width(width)) for outcome in outcomes]
        found = [sharpness(network, mean_square, tiles.train, tol=1e-2) for network in networks]
        net_sharpness.append(sum(found) / len(found))
        net_norms.append(sum(lengths(networks)) / len(networks))
    fig, (left, right) = plots.figure(columns=2, width=9.6, height=3.4)
    for ax, places, sharp, norms, risks in (
        (left, noisy_counts, feature_sharpness, feature_norms, feature_risks),
        (right, by_width.widths, net_sharpness, net_norms, final_test.tolist()),
    ):
        for values, name, marker in (
            (sharp, r"$\lambda_{\max}$", "o"),
            (norms, "norm", "s"),
            (risks, "test risk", "^"),
        ):
            relative = [value / values[0] for value in values]
            ax.plot(places, relative, marker=marker, markersize=4, label=name)
        ax.legend(fontsize=8)
    log_ticks(left, "y", (0.5, 1, 10, 100, 500))
    right.set(ylim=(0, None))
    log_ticks(left, "x", (10, 50, 200, 500, 1000, 5000))
    log_ticks(right, "x", (8, 16, 32, 64, 128, 512))
    left.set(xlabel="number of features N", ylabel="relative to the smallest model")
    right.set(xlabel="width of the network", ylabel="relative to the smallest model")
    print(f"features {'N':>6}   λ_max      norm")
    for count, sharp, norm in zip(noisy_counts, feature_sharpness, feature_norms):
        print(f"{count:15} {sharp:7.3f} {norm:9.1f}")
    print("networks width   λ_max      norm")
    for width, sharp, norm in zip(by_width.widths, net_sharpness, net_norms):
        print(f"{width:14} {sharp:8.3f} {norm:9.1f}")
    plots.show(
        fig,
        alt="λ_max, norm and test risk, relative to the smallest model. Left, random features: "
        f"λ_max goes from {feature_sharpness[0]:.2f} to {feature_sharpness[-1]:.2f} without a "
        f"peak, the norm has one, of {max(feature_norms):.0f}. Right, networks: λ_max from "
        f"{net_sharpness[0]:.2f} to {net_sharpness[-1]:.2f}, highest {max(net_sharpness):.2f}; "
        f"the norm from {net_norms[0]:.1f} to {net_norms[-1]:.1f}.",
    )

# %% [markdown]
# For random features sharpness says nothing. The loss is a parabola, its Hessian $\tfrac{2}{nk}\Phi^\top\Phi$ does not
# depend on the coefficients at all, let alone on wrong labels, and $\lambda_{\max}$ is 0.033 at the peak and at 250
# features, and 0.031 at 1000. What the peak has is a huge *norm*, 504 where its neighbors have 75 and 88. Flatness
# cannot be what tells the good interpolating fit from the bad one here; length can. (Chapter 01 has the same warning
# in another form: rescaling a ReLU network changes $\lambda_{\max}$ and not the function.)
#
# For the networks it is the other way around. The norm grows with the width all the way, from 9 to 33, and falls
# nowhere (a part of it is the start, whose norm grows with the width, too; minimum norm has no such part). $\lambda_{\max}$ rises and falls: 8.5 at width 8, 18.7 and 18.6 at 32 and 64, 6.9 at 512, with its peak a
# little to the left of the risk's. So the widest networks end in the flattest places, as the lecture would have it.
# But each width is a different space with a different training risk, and width 8 has nearly as small a
# $\lambda_{\max}$ and the most wrong classes of all. Over the seven widths of `docs/reproduction.md` the rank
# correlation of $\lambda_{\max}$ and test risk is 0.38 ± 0.18. That is weak, and in none of the five seeds do the two
# peak at the same width. So from N = n on the norm goes with the test risk of random features (below it not: from 10 to 80
# features the norm rises from 1.2 to 5.7 and the risk falls), and in these networks neither number does.

# %% [markdown]
# ## 8 · What is left of the claims   (≈ 14 min)

# %% experiment="summary"
if ready(
    random_fourier_features,
    minimum_norm_fit,
    interpolation_threshold,
    bias_variance,
    ridge_fit,
    optimal_ridge,
):
    quarter = setting.sample_counts.index(
        min(setting.sample_counts, key=lambda s: abs(s - setting.fixed_features / 2))
    )
    reveal(
        {
            "test risk from 20 features to 900, for 1000 training images": (
                f"{test_risks[0]:.3f} at {small_counts[0]}, {min(test_risks):.3f} at {valley}, "
                f"{test_risks[-1]:.3f} at {small_counts[-1]}"
            ),
            "number of features with the highest test risk, for 1000 training images": f"{peak}",
            "the lowest test risk of the whole curve": (
                f"left of the peak {test_risk[best]:.3f}, right of it "
                f"{test_risk[counts.index(peak) :].min():.3f}"
            ),
            "far beyond the threshold, ten times more features than samples: the variance": (
                f"{variances[-1]:.4f}, the squared bias {biases[-1]:.4f}, the variance at the "
                f"threshold {variances.max():,.1f}"
            ),
            "500 features; training samples grow from 250 to 500: the test risk": (
                f"{sample_risks[quarter]:.3f} with {setting.sample_counts[quarter]}, "
                f"{sample_risks[setting.sample_counts.index(setting.fixed_features)]:.3g} with "
                f"{setting.fixed_features}"
            ),
            "40 % wrong training labels in the place of none: the test risk just beside the peak, at N = 0.9 n": (
                f"{table[beside, 0, -1] / table[beside, 0, 0]:.1f} times as high"
            ),
            "with the penalty chosen from the training set alone, the test risk from 10 features to 10 n": (
                f"{picked_risks[0]:.3f}, at N = n {picked_risks[at_peak]:.3f}, at the end "
                f"{picked_risks[-1]:.3f}"
            ),
            "networks of growing width, 20 % wrong labels: the test risk at the end of training": ", ".join(
                f"{value:.3f} at {width}" for width, value in zip(by_width.widths, final_test)
            ),
            "and along the training of the widest network": (
                f"{courses[-1][1][0]:.3f} at the start, {courses[-1][1].min():.3f} at its lowest, "
                f"{courses[-1][1][-1]:.3f} at the end"
            ),
            "λ_max of the random-feature fits, at the peak of the test risk": (
                f"{feature_sharpness[at_peak]:.3f}, at 0.9 n {feature_sharpness[beside]:.3f}, at "
                f"1.1 n {feature_sharpness[at_peak + 1]:.3f}"
            ),
        }
    )

# %% [markdown]
# | the slides | what we measured |
# |---|---|
# | (a) A "classical U-shaped risk curve arising from the bias-variance trade-off". | Yes, up to N = n: 0.053 at 162 features, 0.29 at 900. The bias falls; the variance rises only up to N = n. |
# | (b) Beyond the interpolation threshold the test risk falls again. | Yes: from more than 10 at N = n = 1000 to 0.033 at 12,000. |
# | The predictors to the right of the threshold have zero training risk. | Yes for Fourier features, up to rounding (about 10⁻²⁴). With ReLU features in three of five seeds (`docs/reproduction.md`): in the other two the first 1000 features have rank 999. For networks it depends on how long they are trained. |
# | The second valley is drawn lower than the first. | With Fourier features (0.033 and 0.053). With ReLU features the two are nearly equal (0.049 and 0.048). For our networks not with wrong labels; with clean ones it is. |
# | The modern regime comes with "high capacity". | And with minimum norm: it is the norm that falls with N. With a chosen penalty there is neither peak nor U. |
# | (The lecture's theme:) flat minima. | $\lambda_{\max}$ does not see the peak of random features, the norm does. For networks $\lambda_{\max}$ has a peak and the norm has none. |
#
# The peak was not new in 2019. Loog et al. (2020) trace it back to Vallet and coauthors, 1989, and to the statistical
# physics of learning after them (Krogh and Hertz, 1992, for a linear perceptron). Advani, Saxe and Sompolinsky (2020,
# a preprint since 2017) and Spigler et al. (2019) have it for networks. Belkin et al. (2019) drew both halves as one
# curve and gave it its name, and Nakkiran et al. (2020) found it over the width, the time and the number of samples of
# modern networks. Hastie et al. (2022) and Mei and Montanari (2022) compute such curves.
#
# ### Open question   ●●●○ · 4 points · 8 min
#
# A colleague fits 1200 random features to 1000 samples with some wrong labels, by minimum norm. The test risk is 0.2.
# Somebody offers 200 more labeled samples. What will they do to the test risk, and why? Name two other things that the
# colleague can do with her 1000 samples, each with what this chapter measured for it, and say which one you would
# choose. Would a search for a flatter minimum help?

# %% [markdown] open="more-samples" points=4
# ### BEGIN SOLUTION
# (1) With 1200 samples and 1200 features she stands on the peak: the smallest singular value of a square random matrix
# is nearly 0, and the noise along it is blown up. The risk rises by a factor of ten and more (here from 13 at N = n to
# 0.33 at 1.1 n, clean labels: the way back). (2) A ridge: λ by generalized cross-validation from the training set
# alone, with 500 samples and 20 % wrong labels 0.049 in the place of 21 at N = n, and then the 200 samples help. (3)
# More features: 0.033 at 12,000 for clean labels. (4) Fewer features: 0.053 at 162. The ridge is the best choice:
# cheap, no test set, and no place on the curve is bad with it. Flatness: the Hessian is ΦᵀΦ whatever the coefficients
# are, so all interpolating fits are equally flat; what differs is the norm. Full marks for the rise with its reason,
# two measures with numbers, a choice, and why flatness cannot matter here.
# ### END SOLUTION

# %% [markdown]
# **Further reading.** Belkin, Hsu, Ma and Mandal (2019), *Reconciling modern machine-learning practice and the
# classical bias–variance trade-off*. Nakkiran, Kaplun, Bansal, Yang, Barak and Sutskever (2020), *Deep double descent:
# where bigger models and more data hurt*. Nakkiran, Venkat, Kakade and Ma (2021), *Optimal regularization can mitigate
# double descent*. Hastie, Montanari, Rosset and Tibshirani (2022), *Surprises in high-dimensional ridgeless least
# squares interpolation*. Rahimi and Recht (2007), *Random features for large-scale kernel machines*. Golub, Heath and
# Wahba (1979), *Generalized cross-validation as a method for choosing a good ridge parameter*. Geman, Bienenstock and
# Doursat (1992), *Neural networks and the bias/variance dilemma*. Loog, Viering, Mey, Krijthe and Tax (2020), *A brief
# prehistory of double descent*. Krogh and Hertz (1992), *Generalization in a linear perceptron in the presence of
# noise*. Advani, Saxe and Sompolinsky (2020), *High-dimensional dynamics of generalization error in neural networks*.
# Spigler, Geiger, d'Ascoli, Sagun, Biroli and Wyart (2019), *A jamming transition from under- to over-parametrization
# affects generalization in deep learning*. Mei and Montanari (2022), *The generalization error of random features
# regression*.
