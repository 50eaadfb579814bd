# %% [markdown]
# More wrong and right answers to the exercises of chapter 08, which tests/unit/checks runs without nbgrader: grading takes as
# long as the exercise with the most cases.

# %% misconception="random_fourier_features" name="sin-cos-pairs" message="and no sine besides"
def random_fourier_features(x, frequencies, phases):
    a = x @ frequencies + phases
    return torch.cat([a.cos(), a.sin()], 1) / math.sqrt(len(phases))


# %% misconception="random_fourier_features" name="whole-turns" message="The angle is multiplied by 2 pi"
def random_fourier_features(x, frequencies, phases):
    return math.sqrt(2 / len(phases)) * torch.cos(2 * math.pi * (x @ frequencies + phases))


# %% misconception="random_fourier_features" name="degrees" message="from degrees to radians"
def random_fourier_features(x, frequencies, phases):
    return math.sqrt(2 / len(phases)) * torch.cos(torch.deg2rad(x @ frequencies + phases))


# %% misconception="random_fourier_features" name="elementwise" message="the matrix product, has the shape (n, N)"
def random_fourier_features(x, frequencies, phases):
    return math.sqrt(2 / len(phases)) * torch.cos(x * frequencies + phases)


# %% misconception="random_fourier_features" name="normalized-rows" message="divided by its own length"
def random_fourier_features(x, frequencies, phases):
    z = torch.cos(x @ frequencies + phases)
    return z / z.norm(dim=1, keepdim=True)


# %% misconception="random_fourier_features" name="entries-of-the-frequencies" message="all entries of frequencies"
def random_fourier_features(x, frequencies, phases):
    return math.sqrt(2 / frequencies.numel()) * torch.cos(x @ frequencies + phases)


# %% misconception="random_fourier_features" name="cos-squared" message="The features are squared"
def random_fourier_features(x, frequencies, phases):
    return 2 / len(phases) * torch.cos(x @ frequencies + phases) ** 2


# %% misconception="random_fourier_features" name="relu" message="These are ReLU features"
def random_fourier_features(x, frequencies, phases):
    return math.sqrt(2 / len(phases)) * torch.relu(x @ frequencies + phases)


# %% misconception="minimum_norm_fit" name="inverse-of-the-kernel" message="features @ features.T has no inverse where samples outnumber features"
def minimum_norm_fit(features, targets):
    return features.T @ torch.linalg.inv(features @ features.T) @ targets


# %% misconception="minimum_norm_fit" name="one-inverse-for-each-shape" message="features.T @ features has no inverse"
def minimum_norm_fit(features, targets):
    n, N = features.shape
    if N > n:
        return features.T @ torch.linalg.solve(features @ features.T, targets)
    return torch.linalg.solve(features.T @ features, features.T @ targets)


# %% misconception="minimum_norm_fit" name="normalized-columns" message="Each feature is divided by its length first"
def minimum_norm_fit(features, targets):
    s = features.norm(dim=0)
    return (torch.linalg.pinv(features / s).T / s).T @ targets


# %% misconception="minimum_norm_fit" name="descent-too-short" message="Was a descent stopped too early"
def minimum_norm_fit(features, targets):
    b = torch.zeros(features.shape[1], *targets.shape[1:], dtype=features.dtype)
    for _ in range(20):
        b -= 0.1 * features.T @ (features @ b - targets)
    return b


# %% misconception="minimum_norm_fit" name="only-exact-zeros-left-out" message="up to rounding was inverted"
def minimum_norm_fit(features, targets):
    U, S, Vh = torch.linalg.svd(features, full_matrices=False)
    k = S > 0
    return (Vh[k].T / S[k]) @ (U[:, k].T @ targets)


# %% misconception="minimum_norm_fit" name="column-of-ones" message="There is no intercept here"
def minimum_norm_fit(features, targets):
    A = torch.cat([features, torch.ones(len(features), 1)], 1)
    return (torch.linalg.pinv(A) @ targets)[:-1]


# %% misconception="interpolation_threshold" name="returns-the-risk" message="This is a training risk"
def interpolation_threshold(counts, train_risks, tolerance):
    o = counts.argsort()
    c, r = counts[o], train_risks[o]
    ok = r <= tolerance
    if not ok[-1]:
        return None
    bad = (~ok).nonzero()
    return r[int(bad[-1]) + 1].item() if len(bad) else r[0].item()


# %% misconception="interpolation_threshold" name="zero-for-none" message="it returned 0, with which"
def interpolation_threshold(counts, train_risks, tolerance):
    found = 0
    for c, r in sorted(zip(counts.tolist(), train_risks.tolist()), reverse=True):
        if not r <= tolerance:
            break
        found = c
    return found


# %% misconception="interpolation_threshold" name="sorted-by-risk" message="it is above again"
def interpolation_threshold(counts, train_risks, tolerance):
    o = train_risks.argsort(descending=True)
    c, r = counts[o], train_risks[o]
    ok = r <= tolerance
    return c[int(ok.int().argmax())].item() if ok.any() else None


# %% misconception="interpolation_threshold" name="all-that-fit" message="one count is asked for"
def interpolation_threshold(counts, train_risks, tolerance):
    return counts[train_risks <= tolerance]


# %% misconception="interpolation_threshold" name="sorts-in-place" message="It writes into the caller's counts"
def interpolation_threshold(counts, train_risks, tolerance):
    o = counts.argsort()
    counts.copy_(counts[o].clone())
    train_risks.copy_(train_risks[o].clone())
    found = None
    for c, r in zip(counts.tolist()[::-1], train_risks.tolist()[::-1]):
        if not r <= tolerance:
            return found
        found = c
    return found


# %% misconception="bias_variance" name="norm-not-squared" message="This is a norm"
def bias_variance(predictions, targets):
    m = predictions.mean(0)
    return (m - targets).norm(), (predictions - m).norm()


# %% misconception="bias_variance" name="variance-of-errors-per-fit" message="how the errors of the fits differ"
def bias_variance(predictions, targets):
    e = ((predictions - targets) ** 2).reshape(len(predictions), -1).mean(1)
    return ((predictions.mean(0) - targets) ** 2).mean(), e.var(correction=0)


# %% misconception="bias_variance" name="variance-of-the-errors" message="the spread of all errors around their mean"
def bias_variance(predictions, targets):
    m = predictions.mean(0)
    return ((m - targets) ** 2).mean(), (predictions - targets).var(correction=0)


# %% misconception="bias_variance" name="variance-of-the-targets" message="how the targets vary"
def bias_variance(predictions, targets):
    m = predictions.mean(0)
    return ((m - targets) ** 2).mean(), targets.var(correction=0)


# %% misconception="bias_variance" name="sum-over-outputs" message="It adds up over the outputs"
def bias_variance(predictions, targets):
    m = predictions.mean(0)
    b, v = (m - targets) ** 2, ((predictions - m) ** 2).mean(0)
    if b.ndim == 2:
        b, v = b.sum(1), v.sum(1)
    return b.mean(), v.mean()


# %% misconception="bias_variance" name="squares-exchanged" message="Its sign is turned"
def bias_variance(predictions, targets):
    m = predictions.mean(0)
    return ((m - targets) ** 2).mean(), (m**2 - (predictions**2).mean(0)).mean()


# %% misconception="bias_variance" name="point-by-point" message="it has a value for each point"
def bias_variance(predictions, targets):
    m = predictions.mean(0)
    return (m - targets) ** 2, ((predictions - m) ** 2).mean(0)


# %% misconception="bias_variance" name="risk-as-well" message="It returned 3 things"
def bias_variance(predictions, targets):
    m = predictions.mean(0)
    b, v = ((m - targets) ** 2).mean(), ((predictions - m) ** 2).mean()
    return b, v, b + v


# %% misconception="ridge_fit" name="centered" message="There is no intercept here"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("p")
    features, targets = features - features.mean(0), targets - targets.mean(0)
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    n, N = features.shape
    if N <= n:
        return torch.linalg.solve(
            features.T @ features + penalty * torch.eye(N), features.T @ targets
        )
    return features.T @ torch.linalg.solve(features @ features.T + penalty * torch.eye(n), targets)


# %% misconception="ridge_fit" name="half-of-the-kernel-form" message="Or is features.T @ missing"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("p")
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    n, N = features.shape
    if N <= n:
        return torch.linalg.solve(
            features.T @ features + penalty * torch.eye(N), features.T @ targets
        )
    return torch.linalg.solve(features @ features.T + penalty * torch.eye(n), targets)


# %% misconception="ridge_fit" name="larger-system-each-time" message="One of the two systems has only 5 equations"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("p")
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    n, N = features.shape
    if N > n:
        return torch.linalg.solve(
            features.T @ features + penalty * torch.eye(N), features.T @ targets
        )
    return features.T @ torch.linalg.solve(features @ features.T + penalty * torch.eye(n), targets)


# %% misconception="ridge_fit" name="full-decomposition" message="With n = 200 and N = 5 it makes a tensor of 40000 numbers"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("p")
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    U, s, Vh = torch.linalg.svd(features)
    r = len(s)
    y = (U.T @ targets)[:r].reshape(r, -1) * (s / (s**2 + penalty))[:, None]
    return (Vh[:r].T @ y).reshape(-1, *targets.shape[1:])


# %% misconception="ridge_fit" name="absolute-value" message="as if nothing were wrong: raise ValueError"
def ridge_fit(features, targets, penalty):
    penalty = abs(penalty)
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    n, N = features.shape
    if N <= n:
        return torch.linalg.solve(
            features.T @ features + penalty * torch.eye(N), features.T @ targets
        )
    return features.T @ torch.linalg.solve(features @ features.T + penalty * torch.eye(n), targets)


# %% misconception="optimal_ridge" name="mean-over-outputs" message="averaged over the outputs too"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("p")
    n, N = features.shape
    sc = []
    for p in penalties:
        H = features @ torch.linalg.solve(features.T @ features + p * torch.eye(N), features.T)
        sc.append(((targets - H @ targets) ** 2).mean() / (1 - H.trace() / n) ** 2)
    sc = torch.stack(sc)
    return penalties[sc.argmin()].item(), sc


# %% misconception="optimal_ridge" name="whole-objective" message="The penalty's own term is in the numerator"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("p")
    n, N = features.shape
    sc = []
    for p in penalties:
        b = ridge_fit(features, targets, p.item())
        H = features @ torch.linalg.solve(features.T @ features + p * torch.eye(N), features.T)
        sc.append(
            (((targets - features @ b) ** 2).sum() + p * (b**2).sum())
            / n
            / (1 - H.trace() / n) ** 2
        )
    sc = torch.stack(sc)
    return penalties[sc.argmin()].item(), sc


# %% misconception="optimal_ridge" name="trace-of-the-inverse" message="the trace of the inverse alone"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("p")
    n, N = features.shape
    sc = []
    for p in penalties:
        b = ridge_fit(features, targets, p.item())
        A = torch.linalg.inv(features.T @ features + p * torch.eye(N))
        sc.append(((targets - features @ b) ** 2).sum() / n / (1 - A.trace() / n) ** 2)
    sc = torch.stack(sc)
    return penalties[sc.argmin()].item(), sc


# %% misconception="optimal_ridge" name="only-what-features-reach" message="above and below the line"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("p")
    n, N = features.shape
    u, s, _ = torch.linalg.svd(features, full_matrices=False)
    sc = []
    for p in penalties:
        left = p / (s**2 + p)
        e = left * (u.T @ targets)
        sc.append((e**2).sum() / n / left.mean() ** 2)
    sc = torch.stack(sc)
    return penalties[sc.argmin()].item(), sc


# %% misconception="optimal_ridge" name="denominator-without-the-rest" message="In the denominator the directions that no feature reaches"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("p")
    n, N = features.shape
    u, s, _ = torch.linalg.svd(features, full_matrices=False)
    y = targets.reshape(n, -1)
    al = u.T @ y
    out = ((y - u @ al) ** 2).sum()
    sc = []
    for p in penalties:
        left = p / (s**2 + p)
        sc.append((((left[:, None] * al) ** 2).sum() + out) / n / (left.sum() / n) ** 2)
    sc = torch.stack(sc)
    return penalties[sc.argmin()].item(), sc


# %% misconception="optimal_ridge" name="a-matrix-of-squares" message="Each score is one number"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("p")
    n, N = features.shape
    sc = []
    for p in penalties:
        H = features @ torch.linalg.solve(features.T @ features + p * torch.eye(N), features.T)
        r = targets - H @ targets
        sc.append((r.T @ r) / n / (1 - H.trace() / n) ** 2)
    sc = torch.stack(sc)
    return penalties[sc.argmin()].item(), sc


# %% misconception="optimal_ridge" name="best-score" message="return its penalty"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("p")
    n, N = features.shape
    sc = []
    for p in penalties:
        H = features @ torch.linalg.solve(features.T @ features + p * torch.eye(N), features.T)
        sc.append(((targets - H @ targets) ** 2).sum() / n / (1 - H.trace() / n) ** 2)
    sc = torch.stack(sc)
    return sc.min(), sc


# %% alternative="random_fourier_features" name="real-part-of-a-turn"
def random_fourier_features(x, frequencies, phases):
    z = torch.exp(1j * (torch.einsum("nd,dk->nk", x, frequencies) + phases))
    return z.real * math.sqrt(2 / phases.shape[0])


# %% alternative="minimum_norm_fit" name="pseudo-inverse-of-the-kernel"
def minimum_norm_fit(features, targets):
    return features.T @ torch.linalg.pinv(features @ features.T) @ targets


# %% alternative="interpolation_threshold" name="numbers-that-fail"
def interpolation_threshold(counts, train_risks, tolerance):
    table = dict(zip(counts.tolist(), train_risks.tolist()))
    bad = [c for c in table if not table[c] <= tolerance]
    good = [c for c in table if c > max(bad, default=-1)]
    return min(good, default=None)


# %% alternative="bias_variance" name="torch-var-mean"
def bias_variance(predictions, targets):
    v, m = torch.var_mean(predictions, dim=0, correction=0)
    return ((m - targets).square()).mean(), v.mean()


# %% alternative="ridge_fit" name="rows-of-the-roots"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("p")
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    n, N = features.shape
    if N <= n:
        A = torch.cat([features, penalty**0.5 * torch.eye(N, dtype=features.dtype)])
        B = torch.cat([targets, torch.zeros(N, *targets.shape[1:], dtype=targets.dtype)])
        return torch.linalg.lstsq(A, B.reshape(len(B), -1)).solution.reshape(N, *targets.shape[1:])
    K = features @ features.T
    K += penalty * torch.eye(n)
    return features.T @ torch.linalg.inv(K) @ targets


# %% alternative="optimal_ridge" name="einsum"
def optimal_ridge(features, targets, penalties):
    if penalties.min() <= 0:
        raise ValueError("p")
    n = features.shape[0]
    U, s, _ = torch.linalg.svd(features, full_matrices=False)
    h = s**2 / (s**2 + penalties[:, None])
    y = targets if targets.ndim == 2 else targets[:, None]
    fit = torch.einsum("nr,mr,rk->mnk", U, h, U.T @ y)
    rss = (y - fit).square().sum((1, 2))
    sc = rss / n / (1 - h.sum(1) / n).square()
    return float(penalties[sc.argmin()]), sc


# %% misconception="interpolation_threshold" name="two-in-a-row" message="it is above again"
def interpolation_threshold(counts, train_risks, tolerance):
    counts, order = torch.sort(counts)
    risks = train_risks[order]
    for i in range(len(counts) - 1):
        if risks[i] <= tolerance and risks[i + 1] <= tolerance:
            return int(counts[i])
    return None


# %% misconception="interpolation_threshold" name="mean-of-the-rest" message="it is above again"
def interpolation_threshold(counts, train_risks, tolerance):
    counts, order = torch.sort(counts)
    risks = train_risks[order]
    for i in range(len(counts)):
        if risks[i] <= tolerance and risks[i:].mean() <= tolerance:
            return int(counts[i])
    return None


# %% misconception="ridge_fit" name="factors-of-the-hat-matrix" message="those of the fitted values"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("negative")
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    return (vh.T * (s**2 / (s**2 + penalty))) @ (u.T @ targets)


# %% misconception="optimal_ridge" name="norm-not-squared" message="it is their norm squared, over n"
def optimal_ridge(features, targets, penalties):
    if (penalties <= 0).any():
        raise ValueError("penalties must be positive")
    n, scores = len(features), []
    for penalty in penalties:
        inverse = torch.linalg.inv(features.T @ features + penalty * torch.eye(features.shape[1], dtype=features.dtype))
        hat = features @ inverse @ features.T
        scores.append((targets - hat @ targets).norm() / n / (1 - hat.trace() / n) ** 2)
    scores = torch.stack(scores)
    return float(penalties[scores.argmin()]), scores
