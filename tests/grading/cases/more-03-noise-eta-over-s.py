# %% [markdown]
# More wrong answers to the exercises of chapter 03, which tests/unit/checks runs without nbgrader: grading takes as long
# as the exercise with the most cases.

# %% misconception="langevin_step" name="noise-times-the-gradient" message="multiplied by grad: where that is 0 there is none"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    return theta - learning_rate * grad * (1 + sigma / math.sqrt(batch_size) * xi)


# %% misconception="basin_ratio" name="assert" message="an assert may be switched off"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    for h in (hessian_a, hessian_b):
        assert torch.linalg.eigvalsh(h)[0] > 0
    width = math.exp(float(torch.logdet(hessian_b) - torch.logdet(hessian_a)) / 2)
    return width * math.exp(2 * (loss_b - loss_a) / (n * sigma**2))


# %% misconception="corrupt_labels" name="rounds-up" message="12 are needed"
def corrupt_labels(y, fraction, num_classes, generator):
    places = torch.randperm(len(y), generator=generator)[: math.ceil(fraction * len(y))]
    noisy = y.clone()
    shift = torch.randint(1, num_classes, places.shape, generator=generator)
    noisy[places] = (noisy[places] + shift) % num_classes
    return noisy


# %% misconception="noise_covariance" name="zero-at-n-whatever-the-flag" message="Only without it is there no noise at B = n"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n, p = per_sample_grads.shape
    if batch_size == n:
        return torch.zeros(p, p)
    d = per_sample_grads - per_sample_grads.mean(0)
    C = d.T @ d / n / batch_size
    return C if replacement else C * (n - batch_size) / (n - 1)


# %% misconception="noise_covariance" name="default-false" message="is with replacement, the default"
def noise_covariance(per_sample_grads, batch_size, replacement=False):
    n, p = per_sample_grads.shape
    d = per_sample_grads - per_sample_grads.mean(0)
    C = d.T @ d / n / batch_size
    return C if replacement else C * (n - batch_size) / (n - 1)


# %% misconception="noise_covariance" name="refuses-more-than-n" message="B may be n, and larger than n"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n, p = per_sample_grads.shape
    if not 1 <= batch_size <= n:
        raise ValueError("B must be 1..n")
    d = per_sample_grads - per_sample_grads.mean(0)
    C = d.T @ d / n / batch_size
    return C if replacement else C * (n - batch_size) / (n - 1)


# %% misconception="langevin_step" name="len-of-theta" message="neither len(theta) nor numel()"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn(len(theta), generator=generator)
    return theta - learning_rate * grad + learning_rate / math.sqrt(batch_size) * sigma * xi


# %% misconception="gibbs_density" name="shift-by-the-mean" message="What may be subtracted"
def gibbs_density(loss, sigma, n, grid):
    e = -2 * loss(grid) / (n * sigma**2)
    p = torch.exp(e - e.mean())
    return p / torch.trapezoid(p, grid)


# %% misconception="gibbs_density" name="shift-by-the-median" message="What may be subtracted"
def gibbs_density(loss, sigma, n, grid):
    e = -2 * loss(grid) / (n * sigma**2)
    p = torch.exp(e - e.median())
    return p / torch.trapezoid(p, grid)


# %% misconception="gibbs_density" name="grid-first" message="It is minus the density"
def gibbs_density(loss, sigma, n, grid):
    e = -2 * loss(grid) / (n * sigma**2)
    p = torch.exp(e - e.max())
    return p / torch.trapezoid(grid, p)


# %% misconception="basin_ratio" name="zero-eigenvalue" message="<= 0, not < 0 alone"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    a, b = torch.linalg.eigvalsh(hessian_a), torch.linalg.eigvalsh(hessian_b)
    if (a < 0).any() or (b < 0).any():
        raise ValueError("negative curvature")
    return math.exp(0.5 * float(b.log().sum() - a.log().sum()) + 2 * (loss_b - loss_a) / (n * sigma**2))


# %% misconception="basin_ratio" name="error-without-text" message="It raises an error without a text"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    a, b = torch.linalg.eigvalsh(hessian_a), torch.linalg.eigvalsh(hessian_b)
    if (a <= 0).any() or (b <= 0).any():
        raise ValueError
    return math.exp(0.5 * float(b.log().sum() - a.log().sum()) + 2 * (loss_b - loss_a) / (n * sigma**2))


# %% misconception="basin_ratio" name="root-twice" message="The root of the determinants is taken twice"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    a, b = (torch.linalg.cholesky(h).diagonal().log().sum() for h in (hessian_a, hessian_b))
    return math.exp(0.5 * float(b - a) + 2 * (loss_b - loss_a) / (n * sigma**2))


# %% misconception="rescale_schedule" name="no-lower-bound" message="a batch has at least one sample"
def rescale_schedule(learning_rates, batch_sizes, c):
    if len(learning_rates) != len(batch_sizes):
        raise ValueError("lengths")
    sizes = []
    for s in batch_sizes:
        if abs(c * s - round(c * s)) > 1e-6:
            raise ValueError("not whole")
        sizes.append(round(c * s))
    return [c * r for r in learning_rates], sizes


# %% misconception="rescale_schedule" name="tolerance-of-0.01" message="more than 1e-6 from a whole number"
def rescale_schedule(learning_rates, batch_sizes, c):
    if len(learning_rates) != len(batch_sizes):
        raise ValueError("lengths")
    sizes = [round(c * s) for s in batch_sizes]
    if any(k < 1 or abs(k - c * s) > 0.01 for k, s in zip(sizes, batch_sizes)):
        raise ValueError("not whole")
    return [c * r for r in learning_rates], sizes


# %% misconception="rescale_schedule" name="numpy-isclose" message="more than 1e-6 from a whole number"
def rescale_schedule(learning_rates, batch_sizes, c):
    import numpy as np
    if len(learning_rates) != len(batch_sizes):
        raise ValueError("lengths")
    sizes = [round(c * s) for s in batch_sizes]
    if any(k < 1 or not np.isclose(k, c * s) for k, s in zip(sizes, batch_sizes)):
        raise ValueError("not whole")
    return [c * r for r in learning_rates], sizes


# %% misconception="rescale_schedule" name="math-isclose" message="0.9999997 for 1"
def rescale_schedule(learning_rates, batch_sizes, c):
    if len(learning_rates) != len(batch_sizes):
        raise ValueError("lengths")
    sizes = [round(c * s) for s in batch_sizes]
    if any(k < 1 or not math.isclose(k, c * s) for k, s in zip(sizes, batch_sizes)):
        raise ValueError("not whole")
    return [c * r for r in learning_rates], sizes


# %% misconception="corrupt_labels" name="seed-of-the-generator" message="Two calls with one generator give the same labels"
def corrupt_labels(y, fraction, num_classes, generator):
    import numpy as np
    rng = np.random.default_rng(generator.initial_seed())
    noisy = y.numpy().copy()
    k = round(fraction * len(noisy))
    places = rng.choice(len(noisy), k, replace=False)
    noisy[places] = (noisy[places] + rng.integers(1, num_classes, k)) % num_classes
    return torch.from_numpy(noisy)


# %% misconception="corrupt_labels" name="seeds-anew" message="Two calls with one generator give the same labels"
def corrupt_labels(y, fraction, num_classes, generator):
    torch.manual_seed(generator.initial_seed())
    noisy = y.clone()
    k = round(fraction * len(noisy))
    places = torch.randperm(len(y))[:k]
    noisy[places] = (noisy[places] + torch.randint(1, num_classes, (k,))) % num_classes
    return noisy


# %% misconception="corrupt_labels" name="half-up" message="takes the even neighbor"
def corrupt_labels(y, fraction, num_classes, generator):
    places = torch.randperm(len(y), generator=generator)[: int(fraction * len(y) + 0.5)]
    noisy = y.clone()
    noisy[places] = (noisy[places] + torch.randint(1, num_classes, places.shape, generator=generator)) % num_classes
    return noisy


# %% misconception="corrupt_labels" name="classes-of-y" message="a class that y does not hold"
def corrupt_labels(y, fraction, num_classes, generator):
    C = int(y.max()) + 1
    k = round(fraction * len(y))
    places = torch.randperm(len(y), generator=generator)[:k]
    noisy = y.clone()
    noisy[places] = (y[places] + torch.randint(1, C, (k,), generator=generator)) % C
    return noisy


# %% misconception="corrupt_labels" name="shuffles-the-labels" message="often meet their own class again"
def corrupt_labels(y, fraction, num_classes, generator):
    noisy = y.clone()
    k = round(fraction * len(noisy))
    places = torch.randperm(len(y), generator=generator)[:k]
    noisy[places] = y[places[torch.randperm(k, generator=generator)]]
    return noisy


# %% misconception="cyclic_schedule" name="dict-of-shapes" message="a KeyError is none"
def cyclic_schedule(step, period, low, high, shape):
    t = step % period
    return {"discrete": high if t < period // 2 else low, "triangle": low + (high - low) * (1 - abs(2 * t / period - 1))}[shape]


# %% misconception="cyclic_schedule" name="no-else" message="No branch set it for this shape"
def cyclic_schedule(step, period, low, high, shape):
    t = step % period
    if shape == "discrete":
        value = high if t < period // 2 else low
    elif shape == "triangle":
        value = low + (high - low) * (1 - abs(2 * t / period - 1))
    return value


# %% misconception="cyclic_schedule" name="a-step-ahead" message="It is one step"
def cyclic_schedule(step, period, low, high, shape):
    t = (step + 1) % period
    if shape == "discrete":
        return high if t < period // 2 else low
    if shape == "triangle":
        return low + (high - low) * (1 - abs(2 * t / period - 1))
    raise ValueError("shape")


# %% misconception="cyclic_schedule" name="a-step-behind" message="It is one step"
def cyclic_schedule(step, period, low, high, shape):
    t = (step - 1) % period
    if shape == "discrete":
        return high if t < period // 2 else low
    if shape == "triangle":
        return low + (high - low) * (1 - abs(2 * t / period - 1))
    raise ValueError("shape")
