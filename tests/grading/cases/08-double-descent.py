# %% [markdown]
# Wrong and right answers to the exercises of chapter 08. Each cell stands in for the student's.

# %% misconception="random_fourier_features" name="no-factor" message="The factor sqrt(2/N) is missing"
def random_fourier_features(x, frequencies, phases):
    return torch.cos(x @ frequencies + phases)


# %% misconception="random_fourier_features" name="root-of-two-alone" message="N stands under the root too"
def random_fourier_features(x, frequencies, phases):
    n_features = frequencies.shape[1]
    return math.sqrt(2) / n_features * torch.cos(x @ frequencies + phases)


# %% misconception="random_fourier_features" name="power-first" message="2 / N ** 0.5 takes the power first"
def random_fourier_features(x, frequencies, phases):
    return 2 / len(phases) ** 0.5 * torch.cos(x @ frequencies + phases)


# %% misconception="random_fourier_features" name="number-of-points" message="Under the root stands the number of points"
def random_fourier_features(x, frequencies, phases):
    return math.sqrt(2 / len(x)) * torch.cos(x @ frequencies + phases)


# %% misconception="random_fourier_features" name="rows-of-frequencies" message="Under the root stands d"
def random_fourier_features(x, frequencies, phases):
    return math.sqrt(2 / len(frequencies)) * torch.cos(x @ frequencies + phases)


# %% misconception="random_fourier_features" name="phases-after-the-cosine" message="The phases are added after the cosine"
def random_fourier_features(x, frequencies, phases):
    scale = math.sqrt(2 / phases.numel())
    return scale * (torch.cos(x @ frequencies) + phases)


# %% misconception="random_fourier_features" name="phases-in-the-frequencies" message="added to the frequencies, and then multiplied by x"
def random_fourier_features(x, frequencies, phases):
    return math.sqrt(2 / phases.numel()) * torch.cos(x @ (frequencies + phases))


# %% misconception="random_fourier_features" name="no-phases" message="The phases are missing"
def random_fourier_features(x, frequencies, phases):
    return math.sqrt(2 / phases.numel()) * torch.cos(x @ frequencies)


# %% misconception="random_fourier_features" name="two-pi-again" message="they are angles already, between 0 and 2 pi"
def random_fourier_features(x, frequencies, phases):
    return math.sqrt(2 / phases.numel()) * torch.cos(x @ frequencies + 2 * math.pi * phases)


# %% misconception="random_fourier_features" name="whole-division" message="2 // N is a whole number"
def random_fourier_features(x, frequencies, phases):
    return (2 // len(phases)) ** 0.5 * torch.cos(x @ frequencies + phases)


# %% misconception="random_fourier_features" name="phases-that-move" message="It writes into the caller's phases"
def random_fourier_features(x, frequencies, phases):
    rows = []
    for point in x:
        phases += point @ frequencies
        rows.append(math.sqrt(2 / len(phases)) * torch.cos(phases))
    return torch.stack(rows)


# %% misconception="random_fourier_features" name="one-row-n-times" message="is it one tensor, put into a list 4 times?"
def random_fourier_features(x, frequencies, phases):
    row, rows = torch.empty_like(phases), []
    for point in x:
        row.copy_(point @ frequencies + phases).cos_().mul_(math.sqrt(2 / len(phases)))
        rows.append(row)
    return torch.stack(rows)


# %% misconception="random_fourier_features" name="transposed" message="it is transposed"
def random_fourier_features(x, frequencies, phases):
    angles = frequencies.T @ x.T + phases[:, None]
    return math.sqrt(2 / len(phases)) * torch.cos(angles)


# %% misconception="random_fourier_features" name="list-of-rows" message="It returned a list: one tensor (n, N) is needed"
def random_fourier_features(x, frequencies, phases):
    return [math.sqrt(2 / len(phases)) * torch.cos(row @ frequencies + phases) for row in x]


# %% alternative="random_fourier_features" name="loop-over-features"
def random_fourier_features(x, frequencies, phases):
    columns = []
    for v, b in zip(frequencies.T, phases):
        columns.append((2 / len(phases)) ** 0.5 * torch.cos((x * v).sum(dim=1) + b))
    return torch.stack(columns, dim=1)


# %% alternative="random_fourier_features" name="float32-in-place"
def random_fourier_features(x, frequencies, phases):
    z = torch.addmm(phases.float(), x.float(), frequencies.float())
    z.cos_()
    z *= (2 / z.shape[1]) ** 0.5
    return z


# %% alternative="random_fourier_features" name="numpy-sine"
def random_fourier_features(x, frequencies, phases):
    import numpy as np

    x, v, b = (np.asarray(part) for part in (x, frequencies, phases))
    return torch.from_numpy(np.sqrt(2 / b.size) * np.sin(np.einsum("id,dj->ij", x, v) + b + np.pi / 2))


# %% misconception="minimum_norm_fit" name="normal-equations" message="features.T @ features has no inverse"
def minimum_norm_fit(features, targets):
    return torch.linalg.solve(features.T @ features, features.T @ targets)


# %% misconception="minimum_norm_fit" name="inverse-of-the-features" message="only a square matrix has an inverse"
def minimum_norm_fit(features, targets):
    return torch.linalg.inv(features) @ targets


# %% misconception="minimum_norm_fit" name="first-features-only" message="Spread over all features"
def minimum_norm_fit(features, targets):
    n, count = features.shape
    used = min(n, count)
    fit = torch.linalg.lstsq(features[:, :used], targets).solution
    return torch.cat([fit, torch.zeros(count - used, *targets.shape[1:], dtype=fit.dtype)])


# %% misconception="minimum_norm_fit" name="every-singular-value-inverted" message="was inverted: here features.T @ features has no inverse"
def minimum_norm_fit(features, targets):
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    return vh.T @ ((u.T @ targets).T / s).T


# %% misconception="minimum_norm_fit" name="a-little-ridge" message="This is the ridge fit of the penalty 0.01"
def minimum_norm_fit(features, targets):
    gram = features.T @ features
    gram = gram + 0.01 * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram, features.T @ targets)


# %% misconception="minimum_norm_fit" name="all-of-lstsq" message="the coefficients are its .solution"
def minimum_norm_fit(features, targets):
    return torch.linalg.lstsq(features, targets, driver="gelsd")


# %% misconception="minimum_norm_fit" name="fitted-values" message="are these the fitted values?"
def minimum_norm_fit(features, targets):
    return features @ torch.linalg.pinv(features) @ targets


# %% misconception="minimum_norm_fit" name="squares-in-the-denominator" message="It divides by the squares of the singular values"
def minimum_norm_fit(features, targets):
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    return vh.T @ torch.diag(1 / s**2) @ u.T @ targets


# %% misconception="minimum_norm_fit" name="transposed-twice" message="vh is transposed already"
def minimum_norm_fit(features, targets):
    U, s, V = torch.linalg.svd(features, full_matrices=False)
    return V @ torch.diag(1 / s) @ U.T @ targets


# %% misconception="minimum_norm_fit" name="smallest-dropped" message="It uses the 3 largest of 4 singular values"
def minimum_norm_fit(features, targets):
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    kept = s > s.min()
    return (vh[kept].T / s[kept]) @ (u[:, kept].T @ targets)


# %% misconception="minimum_norm_fit" name="centered-in-place" message="It writes into the caller's targets"
def minimum_norm_fit(features, targets):
    targets -= targets.mean(0)
    return torch.linalg.pinv(features) @ targets


# %% misconception="minimum_norm_fit" name="intercept" message="There is no intercept here"
def minimum_norm_fit(features, targets):
    return torch.linalg.pinv(features - features.mean(0)) @ (targets - targets.mean(0))


# %% misconception="minimum_norm_fit" name="descent-from-elsewhere" message="a descent keeps a part of a start other than 0"
def minimum_norm_fit(features, targets):
    torch.manual_seed(0)
    fit = torch.randn(features.shape[1], *targets.shape[1:], dtype=features.dtype)
    for _ in range(1000):
        fit -= features.T @ (features @ fit - targets) / 8
    return fit


# %% misconception="minimum_norm_fit" name="divides-the-columns" message="divides along the last axis, column by column"
def minimum_norm_fit(features, targets):
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    kept = s > 1e-10 * s[0]
    return vh[kept].T @ ((u[:, kept].T @ targets) / s[kept])


# %% misconception="minimum_norm_fit" name="asks-the-package" message="calls flatlab.descent"
def minimum_norm_fit(features, targets):
    from flatlab.descent import minimum_norm_fit

    return minimum_norm_fit(features, targets).coefficients


# %% alternative="minimum_norm_fit" name="pinv"
def minimum_norm_fit(features, targets):
    return torch.linalg.pinv(features) @ targets


# %% alternative="minimum_norm_fit" name="lstsq-in-columns"
def minimum_norm_fit(features, targets):
    columns = targets.reshape(len(targets), -1)
    solution = torch.linalg.lstsq(features, columns, driver="gelsd").solution
    return solution.reshape(features.shape[1], *targets.shape[1:])


# %% alternative="minimum_norm_fit" name="float32-eigenvalues"
def minimum_norm_fit(features, targets):
    x, y = features.float(), targets.float()
    inverse = torch.linalg.pinv(x @ x.T, hermitian=True, rtol=1e-5)
    return x.T @ (inverse @ y)


# %% alternative="minimum_norm_fit" name="descent-from-zero"
def minimum_norm_fit(features, targets):
    fit = torch.zeros(features.shape[1], *targets.shape[1:], dtype=features.dtype)
    rate = 1 / torch.linalg.matrix_norm(features, 2) ** 2
    for _ in range(800):
        fit -= rate * (features.T @ (features @ fit - targets))
    return fit


# %% misconception="interpolation_threshold" name="first-crossing" message="it is above again. From the threshold on it stays below"
def interpolation_threshold(counts, train_risks, tolerance):
    for count, risk in zip(counts.tolist(), train_risks.tolist()):
        if risk <= tolerance:
            return count
    return None


# %% misconception="interpolation_threshold" name="argmax-of-none" message="as argmax does over a list without any True"
def interpolation_threshold(counts, train_risks, tolerance):
    counts, order = counts.sort()
    fits = train_risks[order] <= tolerance
    onward = fits.int().flip(0).cumprod(0).flip(0)
    return counts[onward.argmax()].item()


# %% misconception="interpolation_threshold" name="minus-one" message="it returned -1"
def interpolation_threshold(counts, train_risks, tolerance):
    found = -1
    for count, risk in sorted(zip(counts.tolist(), train_risks.tolist()), reverse=True):
        if not risk <= tolerance:
            break
        found = count
    return found


# %% misconception="interpolation_threshold" name="place" message="This is the place in the list"
def interpolation_threshold(counts, train_risks, tolerance):
    if train_risks[counts.argmax()] > tolerance:
        return None
    above = torch.nonzero(train_risks > tolerance)
    return int(above.max()) + 1 if len(above) else 0


# %% misconception="interpolation_threshold" name="lowest-risk" message="This is the count with the lowest training risk"
def interpolation_threshold(counts, train_risks, tolerance):
    best = train_risks.argmin()
    return counts[best].item() if train_risks[best] <= tolerance else None


# %% misconception="interpolation_threshold" name="last-that-fails" message="This is the largest count whose risk is still above the tolerance"
def interpolation_threshold(counts, train_risks, tolerance):
    above = counts[train_risks > tolerance]
    return None if counts.max() in above else above.max().item()


# %% misconception="interpolation_threshold" name="order-of-the-list" message="It takes the order in the list for that of the counts"
def interpolation_threshold(counts, train_risks, tolerance):
    found = None
    for count, risk in zip(reversed(counts.tolist()), reversed(train_risks.tolist())):
        if not risk <= tolerance:
            return found
        found = count
    return found


# %% misconception="interpolation_threshold" name="sorts-one-of-two" message="It takes the order in the list for that of the counts"
def interpolation_threshold(counts, train_risks, tolerance):
    found = None
    for count, risk in list(zip(sorted(counts.tolist()), train_risks.tolist()))[::-1]:
        if not risk <= tolerance:
            return found
        found = count
    return found


# %% misconception="interpolation_threshold" name="strictly-below" message="A risk equal to the tolerance is at most the tolerance"
def interpolation_threshold(counts, train_risks, tolerance):
    found = None
    for count, risk in sorted(zip(counts.tolist(), train_risks.tolist()), reverse=True):
        if not risk < tolerance:
            return found
        found = count
    return found


# %% misconception="interpolation_threshold" name="nan-passes" message="A risk that is NaN passes for a fit"
def interpolation_threshold(counts, train_risks, tolerance):
    found = None
    for count, risk in sorted(zip(counts.tolist(), train_risks.tolist()), reverse=True):
        if risk > tolerance:
            return found
        found = count
    return found


# %% misconception="interpolation_threshold" name="minimum-of-nothing" message="where the curve never gets there: ask for that first"
def interpolation_threshold(counts, train_risks, tolerance):
    above = counts[~(train_risks <= tolerance)]
    if len(above) == 0:
        return counts.min().item()
    return counts[counts > above.max()].min().item()


# %% misconception="interpolation_threshold" name="writes-into-the-risks" message="It writes into the caller's train_risks"
def interpolation_threshold(counts, train_risks, tolerance):
    train_risks[train_risks.isnan()] = math.inf
    train_risks[train_risks <= tolerance] = 0
    above = counts[train_risks > 0]
    fitting = counts[counts > above.max()] if len(above) else counts
    return fitting.min().item() if len(fitting) else None


# %% alternative="interpolation_threshold" name="comparison-of-counts"
def interpolation_threshold(counts, train_risks, tolerance):
    above = counts[~(train_risks <= tolerance)]
    fitting = counts[counts > above.max()] if above.numel() else counts
    return fitting.min() if fitting.numel() else None


# %% alternative="interpolation_threshold" name="running-maximum"
def interpolation_threshold(counts, train_risks, tolerance):
    counts, order = torch.sort(counts)
    risks = torch.nan_to_num(train_risks[order], nan=math.inf)
    onward = risks.flip(0).cummax(0).values.flip(0) <= tolerance
    return int(counts[onward][0]) if onward.any() else None


# %% alternative="interpolation_threshold" name="for-every-count"
def interpolation_threshold(counts, train_risks, tolerance):
    fitting = [c for c in counts if all(r <= tolerance for r in train_risks[counts >= c])]
    return min(fitting, default=None)


# %% misconception="bias_variance" name="torch-var" message="as torch.var does unless told otherwise"
def bias_variance(predictions, targets):
    mean = predictions.mean(0)
    return ((mean - targets) ** 2).mean(), predictions.var(0).mean()


# %% misconception="bias_variance" name="risk-for-bias" message="average over the fits first, and square what is left"
def bias_variance(predictions, targets):
    mean = predictions.mean(0)
    return ((predictions - targets) ** 2).mean(), ((predictions - mean) ** 2).mean()


# %% misconception="bias_variance" name="square-of-the-mean" message="averaged over the points before they are squared"
def bias_variance(predictions, targets):
    mean = predictions.mean(0)
    return (mean - targets).mean() ** 2, ((predictions - mean) ** 2).mean()


# %% misconception="bias_variance" name="bias-not-squared" message="The differences are not squared"
def bias_variance(predictions, targets):
    mean = predictions.mean(0)
    return (mean - targets).mean(), ((predictions - mean) ** 2).mean()


# %% misconception="bias_variance" name="one-spread" message="the spread of all predictions around one number"
def bias_variance(predictions, targets):
    bias = ((predictions.mean(0) - targets) ** 2).mean()
    return bias, predictions.var(correction=0)


# %% misconception="bias_variance" name="mean-over-the-points" message="The mean over the fits is over dimension 0"
def bias_variance(predictions, targets):
    mean = predictions.mean(1)
    return ((mean - targets) ** 2).mean(), ((predictions - mean[:, None]) ** 2).mean()


# %% misconception="bias_variance" name="exchanged" message="The two are exchanged"
def bias_variance(predictions, targets):
    mean = predictions.mean(0)
    return ((predictions - mean) ** 2).mean(), ((mean - targets) ** 2).mean()


# %% misconception="bias_variance" name="standard-deviation" message="These are standard deviations"
def bias_variance(predictions, targets):
    mean = predictions.mean(0)
    return ((mean - targets) ** 2).mean(), predictions.std(0, correction=0).mean()


# %% misconception="bias_variance" name="in-place" message="It writes into the caller's predictions"
def bias_variance(predictions, targets):
    mean = predictions.mean(0)
    variance = predictions.sub_(mean).square().mean()
    return ((mean - targets) ** 2).mean(), variance


# %% misconception="bias_variance" name="every-point-with-every-target" message="is compared with the targets of all points"
def bias_variance(predictions, targets):
    mean = predictions.mean(0)
    gap = mean.reshape(-1, 1) - targets.reshape(-1)
    return (gap**2).mean(), ((predictions - mean) ** 2).mean()


# %% misconception="bias_variance" name="from-the-targets" message="It measures from the targets"
def bias_variance(predictions, targets):
    bias = ((predictions.mean(0) - targets) ** 2).mean()
    return bias, ((predictions - targets) ** 2).mean()


# %% misconception="bias_variance" name="sums" message="It adds up over the points"
def bias_variance(predictions, targets):
    mean = predictions.mean(0)
    return ((mean - targets) ** 2).sum(), ((predictions - mean) ** 2).mean(0).sum()


# %% misconception="bias_variance" name="absolute-values" message="It takes absolute values"
def bias_variance(predictions, targets):
    mean = predictions.mean(0)
    return (mean - targets).abs().mean(), ((predictions - mean) ** 2).mean()


# %% misconception="bias_variance" name="variance-of-the-mean" message="how the mean varies from point to point"
def bias_variance(predictions, targets):
    mean = predictions.mean(0)
    return ((mean - targets) ** 2).mean(), mean.var()


# %% alternative="bias_variance" name="loop"
def bias_variance(predictions, targets):
    s = len(predictions)
    mean = sum(predictions) / s
    spread = sum(((fit - mean) ** 2).mean() for fit in predictions) / s
    return [float(((mean - targets) ** 2).mean()), float(spread)]


# %% alternative="bias_variance" name="float32-correction"
def bias_variance(predictions, targets):
    predictions, targets = predictions.float(), targets.float()
    bias = torch.nn.functional.mse_loss(predictions.mean(dim=0), targets)
    return torch.stack([bias, predictions.var(dim=0, correction=0).mean()])


# %% alternative="bias_variance" name="risk-less-variance"
def bias_variance(predictions, targets):
    import numpy as np

    p, y = predictions.numpy(), targets.numpy()
    variance = np.var(p, axis=0).mean()
    return np.mean((p - y) ** 2) - variance, variance


# %% misconception="ridge_fit" name="mean-convention" message="The penalty is multiplied by n"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("penalty")
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    n, count = features.shape
    gram = features.T @ features / n + penalty * torch.eye(count)
    return torch.linalg.solve(gram, features.T @ targets / n)


# %% misconception="ridge_fit" name="every-entry" message="The penalty is added to every entry of the matrix"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("penalty")
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    return torch.linalg.solve(features.T @ features + penalty, features.T @ targets)


# %% misconception="ridge_fit" name="limit-not-taken" message="With a penalty of 0 it should be the minimum-norm fit"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("penalty")
    count = features.shape[1]
    gram = features.T @ features + penalty * torch.eye(count, dtype=features.dtype)
    return torch.linalg.solve(gram, features.T @ targets)


# %% misconception="ridge_fit" name="always-the-larger-system" message="With n = 5 and N = 200 it makes a tensor of 40000 numbers"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("penalty")
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    gram = features.T @ features
    gram.diagonal().add_(penalty)
    return torch.linalg.solve(gram, features.T @ targets)


# %% misconception="ridge_fit" name="always-n-equations" message="With n = 200 and N = 5 it makes a tensor of 40000 numbers"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("penalty")
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    kernel = features @ features.T + penalty * torch.eye(len(features))
    return features.T @ torch.linalg.solve(kernel, targets)


# %% misconception="ridge_fit" name="singular-values-not-squared" message="they are s in the features, s^2 in features.T @ features"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("penalty")
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    return (vh.T * (s / (s + penalty))) @ (u.T @ targets)


# %% misconception="ridge_fit" name="shrunken-at-the-end" message="The fit without a penalty is divided by 1 + penalty"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("penalty")
    return minimum_norm_fit(features, targets) / (1 + penalty)


# %% misconception="ridge_fit" name="squared-penalty" message="The penalty is squared"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("penalty")
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    count = features.shape[1]
    rows = torch.cat([features, penalty * torch.eye(count, dtype=features.dtype)])
    zeros = torch.zeros(count, *targets.shape[1:], dtype=targets.dtype)
    return torch.linalg.lstsq(rows, torch.cat([targets, zeros])).solution


# %% misconception="ridge_fit" name="identity-of-the-wrong-size" message="The identity has the size of the matrix that it is added to"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("penalty")
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    gram = features.T @ features + penalty * torch.eye(len(features))
    return torch.linalg.solve(gram, features.T @ targets)


# %% misconception="ridge_fit" name="zero-refused" message="only a negative one is refused"
def ridge_fit(features, targets, penalty):
    if penalty <= 0:
        raise ValueError("penalty must be positive")
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    return (vh.T * (s / (s**2 + penalty))) @ (u.T @ targets)


# %% misconception="ridge_fit" name="negative-accepted" message="as if nothing were wrong: raise ValueError"
def ridge_fit(features, targets, penalty):
    if penalty == 0:
        return minimum_norm_fit(features, targets)
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    return (vh.T * (s / (s**2 + penalty))) @ (u.T @ targets)


# %% alternative="ridge_fit" name="singular-values"
def ridge_fit(features, targets, penalty):
    if not penalty >= 0:
        raise ValueError(f"{penalty} is negative")
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    kept = s > 1e-10 * s[0]
    u, s, vh = u[:, kept], s[kept], vh[kept]
    y = (u.T @ targets).reshape(len(s), -1)
    fit = vh.T @ (y * (s / (s**2 + penalty))[:, None])
    return fit.reshape(-1, *targets.shape[1:])


# %% alternative="ridge_fit" name="cholesky"
def ridge_fit(features, targets, penalty):
    if penalty < 0:
        raise ValueError("negative")
    if penalty == 0:
        return torch.linalg.pinv(features) @ targets
    wide = features.shape[1] > features.shape[0]
    gram = features @ features.T if wide else features.T @ features
    gram.diagonal().add_(penalty)
    y = targets[:, None] if targets.ndim == 1 else targets
    right = y if wide else features.T @ y
    solved = torch.cholesky_solve(right, torch.linalg.cholesky(gram))
    solved = features.T @ solved if wide else solved
    return solved[:, 0] if targets.ndim == 1 else solved


# %% alternative="ridge_fit" name="float32-numpy"
def ridge_fit(features, targets, penalty):
    import numpy as np

    if penalty < 0:
        raise ValueError("negative")
    x, y = features.numpy().astype(np.float32), targets.numpy().astype(np.float32)
    if penalty == 0:
        fit = np.linalg.pinv(x) @ y
    elif x.shape[1] <= x.shape[0]:
        fit = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    else:
        fit = x.T @ np.linalg.solve(x @ x.T + penalty * np.eye(x.shape[0]), y)
    return torch.from_numpy(fit)


# %% misconception="optimal_ridge" name="training-risk" message="without which the smallest penalty always wins"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("penalties")
    scores = []
    for penalty in penalties.tolist():
        residual = targets - features @ ridge_fit(features, targets, penalty)
        scores.append((residual**2).sum() / len(targets))
    scores = torch.stack(scores)
    return penalties[scores.argmin()].item(), scores


# %% misconception="optimal_ridge" name="denominator-not-squared" message="The denominator 1 - tr H / n is not squared"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("penalties")
    n, count = features.shape
    scores = []
    for penalty in penalties:
        gram = features.T @ features + penalty * torch.eye(count)
        hat = features @ torch.linalg.solve(gram, features.T)
        mean = ((targets - hat @ targets) ** 2).sum() / n
        scores.append(mean / (1 - hat.trace() / n))
    scores = torch.stack(scores)
    return penalties[scores.argmin()].item(), scores


# %% misconception="optimal_ridge" name="number-of-features" message="a penalty leaves fewer than N degrees of freedom"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("penalties")
    n, count = features.shape
    scores = torch.zeros(len(penalties))
    for i, penalty in enumerate(penalties.tolist()):
        residual = targets - features @ ridge_fit(features, targets, penalty)
        scores[i] = (residual**2).sum() / n / (1 - count / n) ** 2
    return penalties[scores.argmin()].item(), scores


# %% misconception="optimal_ridge" name="leave-one-out" message="This is leave-one-out"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("penalties")
    n, count = features.shape
    y, scores = targets.reshape(n, -1), []
    for penalty in penalties:
        gram = features.T @ features + penalty * torch.eye(count)
        hat = features @ torch.linalg.solve(gram, features.T)
        left = (y - hat @ y) / (1 - hat.diagonal())[:, None]
        scores.append((left**2).sum() / n)
    scores = torch.stack(scores)
    return penalties[scores.argmin()].item(), scores


# %% misconception="optimal_ridge" name="outside-forgotten" message="What no feature reaches is missing"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("penalties")
    n = len(features)
    u, s, _ = torch.linalg.svd(features, full_matrices=False)
    along = (u.T @ targets.reshape(n, -1)).square().sum(1)
    scores = []
    for penalty in penalties:
        left = penalty / (s**2 + penalty)
        scores.append((left**2 * along).sum() / n / (1 - (1 - left).sum() / n) ** 2)
    scores = torch.stack(scores)
    return penalties[scores.argmin()].item(), scores


# %% misconception="optimal_ridge" name="singular-values-not-squared" message="s belongs to features, s^2 to features.T @ features"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("penalties")
    n = len(features)
    u, s, _ = torch.linalg.svd(features, full_matrices=False)
    scores = []
    for penalty in penalties:
        hat = (u * (s / (s + penalty))) @ u.T
        mean = ((targets - hat @ targets) ** 2).sum() / n
        scores.append(mean / (1 - hat.trace() / n) ** 2)
    scores = torch.stack(scores)
    return penalties[scores.argmin()].item(), scores


# %% misconception="optimal_ridge" name="trace-of-roots" message="tr H is the sum of s^2 / (s^2 + penalty)"
def optimal_ridge(features, targets, penalties):
    if (penalties <= 0).any():
        raise ValueError("penalties must be positive")
    s = torch.linalg.svdvals(features)
    scores = []
    for penalty in penalties:
        residuals = targets - features @ ridge_fit(features, targets, penalty)
        freedom = (s / (s + penalty)).sum()
        scores.append((residuals**2).sum() / len(features) / (1 - freedom / len(features)) ** 2)
    scores = torch.stack(scores)
    return penalties[scores.argmin()].item(), scores


# %% misconception="optimal_ridge" name="division-of-the-one" message="(1 - tr H) / n divides the 1 too"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("penalties")
    n, count = features.shape
    scores = []
    for penalty in penalties:
        gram = features.T @ features + penalty * torch.eye(count)
        hat = features @ torch.linalg.solve(gram, features.T)
        mean = ((targets - hat @ targets) ** 2).sum() / n
        scores.append(mean / ((1 - hat.trace()) / n) ** 2)
    scores = torch.stack(scores)
    return penalties[scores.argmin()].item(), scores


# %% misconception="optimal_ridge" name="place" message="It returned the place of the smallest score"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("penalties")
    n, count = features.shape
    scores = []
    for penalty in penalties:
        gram = features.T @ features + penalty * torch.eye(count)
        hat = features @ torch.linalg.solve(gram, features.T)
        mean = ((targets - hat @ targets) ** 2).sum() / n
        scores.append(mean / (1 - hat.trace() / n) ** 2)
    scores = torch.stack(scores)
    return scores.argmin().item(), scores


# %% misconception="optimal_ridge" name="exchanged" message="the penalty comes first, then the scores"
def optimal_ridge(features, targets, penalties):
    if not (penalties > 0).all():
        raise ValueError("penalties")
    n, count = features.shape
    scores = []
    for penalty in penalties:
        gram = features.T @ features + penalty * torch.eye(count)
        hat = features @ torch.linalg.solve(gram, features.T)
        mean = ((targets - hat @ targets) ** 2).sum() / n
        scores.append(mean / (1 - hat.trace() / n) ** 2)
    scores = torch.stack(scores)
    return scores, penalties[scores.argmin()].item()


# %% misconception="optimal_ridge" name="zero-accepted" message="as if nothing were wrong: raise ValueError"
def optimal_ridge(features, targets, penalties):
    if penalties.min() < 0:
        raise ValueError("negative penalty")
    n = len(features)
    u, s, _ = torch.linalg.svd(features, full_matrices=False)
    scores = []
    for penalty in penalties:
        hat = (u * (s**2 / (s**2 + penalty))) @ u.T
        mean = ((targets - hat @ targets) ** 2).sum() / n
        scores.append(mean / (1 - hat.trace() / n) ** 2)
    scores = torch.stack(scores)
    return penalties[scores.argmin()].item(), scores


# %% alternative="optimal_ridge" name="ridge-fits"
def optimal_ridge(features, targets, penalties):
    if (penalties <= 0).any():
        raise ValueError("penalties must be positive")
    n = len(features)
    identity = torch.eye(n, dtype=features.dtype)
    scores = []
    for penalty in penalties.tolist():
        trace = (features @ ridge_fit(features, identity, penalty)).trace()
        residual = targets - features @ ridge_fit(features, targets, penalty)
        scores.append(residual.square().sum() / n / (1 - trace / n) ** 2)
    best = min(range(len(scores)), key=scores.__getitem__)
    return penalties[best], torch.stack(scores)


# %% alternative="optimal_ridge" name="eigenvalues-of-the-kernel"
def optimal_ridge(features, targets, penalties):
    if penalties.min() <= 0:
        raise ValueError("penalties must be positive")
    n = len(targets)
    values, q = torch.linalg.eigh(features @ features.T)
    power = (q.T @ targets.reshape(n, -1)).square().sum(1)
    left = penalties / (values[:, None] + penalties)
    scores = n * (left.square() * power[:, None]).sum(0) / left.sum(0) ** 2
    return float(penalties[scores.argmin()]), scores


# %% alternative="optimal_ridge" name="numpy-float32"
def optimal_ridge(features, targets, penalties):
    import numpy as np

    x, y = features.numpy().astype(np.float32), targets.numpy().astype(np.float32)
    n, scores = len(x), []
    for penalty in penalties.tolist():
        if not penalty > 0:
            raise ValueError("not positive")
        rest = np.eye(n) - x @ np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T)
        scores.append(((rest @ y) ** 2).sum() / n / (np.trace(rest) / n) ** 2)
    return penalties.tolist()[int(np.argmin(scores))], scores
