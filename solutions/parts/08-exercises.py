# %% setup
# A scratch file: these cells go to their places in the chapter's source, and this one is its setup.
import math

import torch

from flatlab.checks import chapter08 as check

# %% [markdown]
# ### Exercise 1 · Random Fourier features   ●○○○ · 2 points · 5 min
#
# Belkin et al. (2019) let a model grow by one number at a time: a linear fit on N random waves (Rahimi and Recht, 2007).
# With frequencies $v_j$ and phases $b_j$ drawn once and then kept, feature j of a point x is
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

# %% [markdown]
# ### Exercise 2 · The shortest of all best fits   ●●○○ · 3 points · 8 min
#
# With features $\Phi$ of shape (n, N) and targets y, least squares asks for coefficients β with the smallest
# $\|\Phi\beta - y\|^2$. With fewer features than samples there is one such β. With more there are infinitely many, all
# with a training risk of 0, and the curve beyond the peak is that of **the one with the smallest norm** ‖β‖. Write
# `minimum_norm_fit(features, targets)`: of all β that minimize $\|\Phi\beta - y\|^2$ the shortest one.
# - `features`: float tensor of shape (n, N), n and N in any relation; features and samples may repeat. There is no intercept.
# - `targets`: float tensor of shape (n,), or (n, k) for k outputs, each of which is fitted on its own. Both stay as they are.
# - Returns a tensor of shape (N,), or (N, k). All of `torch.linalg` may be used.
#
# <details><summary>Hint</summary>
#
# Where does the shortest β lie: how much of it may point along a direction that Φ maps to 0? The singular value decomposition
# `torch.linalg.svd(features, full_matrices=False)` names these directions, by their singular values. Rounding leaves about
# $10^{-16}$ of what should be 0; its reciprocal is no coefficient.
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

# %% [markdown]
# ### Exercise 3 · The interpolation threshold   ●●○○ · 2 points · 6 min
#
# Where does interpolation begin? For random features one expects N = n; for a network nobody knows in advance, so it is read off the
# curve. Write `interpolation_threshold(counts, train_risks, tolerance)`: the smallest count so that **at it and at every larger
# count** the training risk is at most the tolerance.
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
                "A risk that is NaN passes for a fit: `risk > tolerance` is False for it. Ask whether "
                "`risk <= tolerance` is true."
            )
        return super().verdict(inputs, outputs)


@check.interpolation_threshold.hidden("a single count")
class One(Curve):
    risks = (0.004,)


check.interpolation_threshold.grade(interpolation_threshold)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 4 · Bias and variance   ●●○○ · 3 points · 7 min
#
# Fit the same model to s training sets, drawn anew each time, and look at its predictions $f_1, \dots, f_s$ at fixed test points with
# targets y. With $\bar f = \frac1s \sum_i f_i$ the mean squared error of one such fit has two parts:
#
# $$\frac1s \sum_i (f_i - y)^2 = \underbrace{(\bar f - y)^2}_{\text{squared bias}}
# + \underbrace{\frac1s \sum_i (f_i - \bar f)^2}_{\text{variance}}$$
#
# at every point. The classical U-shaped curve is a falling bias and a rising variance. Write `bias_variance(predictions, targets)`.
# - `predictions`: float tensor of shape (s, n), or (s, n, k) for k outputs: a row for each fit. `targets`: (n,), or (n, k). Both stay
#   as they are.
# - Returns two numbers, squared bias and variance, each averaged over all points and outputs. They add up to the mean squared error
#   **exactly**.
#
# <details><summary>Hint</summary>
#
# What is averaged first, over which dimension, and what is squared before the second mean? Test yourself with s = 1: the variance is 0 then.
# What does `torch.var` divide by?
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

# %% [markdown]
# ### Exercise 5 · Ridge   ●●●○ · 4 points · 9 min
#
# Ridge regression pays for large coefficients: it minimizes $\|\Phi\beta - y\|^2 + \lambda \|\beta\|^2$ (sums, no means). For λ > 0 the
# minimum is the solution of either of two linear systems, one of N equations and one of n:
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
# Why are the two the same? Multiply $\Phi^\top (\Phi \Phi^\top + \lambda I)$ out, and put the brackets elsewhere. `torch.linalg.solve(A, B)`
# solves A X = B for all columns of B. The singular value decomposition leads there too.
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

# %% [markdown]
# ### Exercise 6 · A penalty without a test set   ●●●● · 4 points · 12 min
#
# Which penalty is best? The training risk always says: the smallest. Generalized cross-validation (Golub, Heath and Wahba, 1979) estimates
# the test risk from the training set alone. The fitted values of ridge are $H_\lambda y$ with the (n, n) matrix $H_\lambda = \Phi (\Phi^\top
# \Phi + \lambda I)^{-1} \Phi^\top$, whose trace counts the degrees of freedom that the fit used up, and
#
# $$\mathrm{GCV}(\lambda) = \frac{\tfrac1n \|y - H_\lambda y\|^2}{\big(1 - \tfrac1n \operatorname{tr} H_\lambda\big)^2}.$$
#
# Write `optimal_ridge(features, targets, penalties)`.
# - `features`, `targets`: as in exercise 2; for k outputs the squares of all k are added up.
# - `penalties`: float tensor of shape (m,), in any order; λ as in exercise 5, all positive: for any other raise `ValueError`.
# - All three stay as they are. Returns the penalty with the smallest score, a number, and the scores, a tensor of shape (m,).
#
# <details><summary>Hint</summary>
#
# With $\Phi = U \operatorname{diag}(s) V^\top$ one decomposition serves all penalties: which diagonal matrix stands between $U$ and $U^\top$ in
# $H_\lambda$? When N < n, U has fewer columns than rows: what becomes of the part of y that no column of U reaches?
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
