# %% [markdown]
# More wrong and right answers to the exercises of chapter 02, which tests/unit/checks runs without nbgrader: grading takes as
# long as the exercise with the most cases.

# %% misconception="escape_trajectory" name="generator-decides" message="not whether there is a generator"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    def slope(x, c):
        return 2 * x if x**2 < c * (x - 1) ** 2 else 2 * c * (x - 1)

    path = [x0]
    for _ in range(steps):
        x = path[-1]
        if generator is not None:
            g = slope(x, (0.1, 1.9)[torch.randint(2, (), generator=generator)])
        else:
            g = (slope(x, 0.1) + slope(x, 1.9)) / 2
        path.append(x - learning_rate * g)
    return torch.tensor(path, dtype=torch.float64)


# %% alternative="escape_trajectory" name="distance-from-one"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    y = float(x0) - 1
    path = [y]
    for _ in range(steps):
        slopes = [2 * c * y if c * y * y <= (1 + y) ** 2 else 2 * (1 + y) for c in (0.1, 1.9)]
        if stochastic:
            slope = slopes[torch.multinomial(torch.ones(2), 1, generator=generator).item()]
        else:
            slope = sum(slopes) / 2
        y -= learning_rate * slope
        path.append(y)
    return [1 + p for p in path]


# %% alternative="is_linearly_stable" name="arrays"
def stability_matrix(hessians, learning_rate, batch_size):
    import numpy as np

    h = np.asarray(hessians)
    n, mean = len(h), h.mean(axis=0)
    sigma = np.mean([m @ m for m in h], axis=0) - mean @ mean
    step = np.identity(len(mean)) - learning_rate * mean
    return step @ step + learning_rate**2 * (n - batch_size) / (batch_size * (n - 1)) * sigma


def is_linearly_stable(hessians, learning_rate, batch_size):
    import numpy as np

    m = stability_matrix(hessians.double().numpy(), learning_rate, batch_size)
    return bool(np.linalg.eigvalsh(m).max() <= 1 + 1e-5)


# %% misconception="mean_square_multiplier" name="rate-number-only" message="use ** and *, not float()"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    noise = (n - batch_size) / (batch_size * (n - 1))
    return (1 - learning_rate * a) ** 2 + math.pow(learning_rate, 2) * noise * s**2


# %% misconception="mean_square_multiplier" name="rate-float" message="use ** and *, not float()"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    learning_rate = float(learning_rate)
    noise = (n - batch_size) / (batch_size * (n - 1))
    return (1 - learning_rate * a) ** 2 + learning_rate**2 * noise * s**2


# %% misconception="mean_square_multiplier" name="no-fraction" message="The noise is not multiplied by"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    return (1 - learning_rate * a) ** 2 + learning_rate**2 * s**2


# %% misconception="mean_square_multiplier" name="no-parentheses" message="put n - 1 in parentheses"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    return (1 - learning_rate * a) ** 2 + learning_rate**2 * (n - batch_size) / (batch_size * n - 1) * s**2


# %% misconception="is_linearly_stable" name="room-of-1e-3" message="just above 1, 1.00006"
def is_linearly_stable(hessians, learning_rate, batch_size):
    return bool(torch.linalg.eigvalsh(stability_matrix(hessians, learning_rate, batch_size))[-1] <= 1 + 1e-3)


# %% misconception="is_linearly_stable" name="room-of-1e-6" message="1 + 3e-6"
def is_linearly_stable(hessians, learning_rate, batch_size):
    return bool(torch.linalg.eigvalsh(stability_matrix(hessians, learning_rate, batch_size))[-1] <= 1 + 1e-6)


# %% misconception="is_linearly_stable" name="batch-of-one" message="as if the batch size were always 1"
def is_linearly_stable(hessians, learning_rate, batch_size):
    return bool(torch.linalg.eigvalsh(stability_matrix(hessians, learning_rate, 1))[-1] <= 1 + 1e-5)


# %% misconception="region_contains" name="own-bound-with-replacement" message="as if the bound on s were sqrt(B)/eta"
def region_contains(a, s, learning_rate, batch_size, n):
    flat_enough = (0 <= a) & (a <= 2 / learning_rate) & (s >= 0)
    if batch_size == n:
        return flat_enough
    return flat_enough & (s <= math.sqrt(batch_size) / learning_rate)


# %% misconception="region_contains" name="negative-for-the-full-batch" message="It accepts negative values"
def region_contains(a, s, learning_rate, batch_size, n):
    flat_enough = (0 <= a) & (a <= 2 / learning_rate)
    if batch_size == n:
        return flat_enough
    return flat_enough & (0 <= s) & (s <= math.sqrt(batch_size * (n - 1) / (n - batch_size)) / learning_rate)


# %% misconception="non_uniformity" name="start-not-normalized" message="does it start with a v of norm 1"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    value = 0.0
    for _ in range(steps):
        w = sigma_product(v)
        value = float(v @ w)
        if w.norm() == 0: break
        v = w / w.norm()
    return math.sqrt(max(value, 0.0))


# %% alternative="region_contains" name="keywords"
def region_contains(a, s, learning_rate, batch_size, n):
    a_max = sharpness_bound(learning_rate=learning_rate)
    s_max = non_uniformity_bound(learning_rate=learning_rate, batch_size=batch_size, n=n)
    return (a >= 0) & (a <= a_max) & (s >= 0) & (s <= s_max)


# %% alternative="is_linearly_stable" name="cholesky"
def is_linearly_stable(hessians, learning_rate, batch_size):
    m = stability_matrix(hessians, learning_rate, batch_size).double()
    return torch.linalg.cholesky_ex((1 + 1e-5) * torch.eye(len(m)).double() - m).info == 0


# %% alternative="is_linearly_stable" name="isclose"
def is_linearly_stable(hessians, learning_rate, batch_size):
    import numpy as np
    top = np.linalg.eigvalsh(stability_matrix(hessians, learning_rate, batch_size))[-1]
    return top <= 1 or math.isclose(top, 1, rel_tol=1e-5)


# %% alternative="non_uniformity" name="stops-early"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.randn(dim, generator=generator, dtype=torch.float64)
    v = v / v.norm(); value = 0.0
    for _ in range(steps):
        w = sigma_product(v); value = float(v @ w); norm = w.norm()
        if norm == 0: break
        new = w / norm
        if (new - v).norm() < 1e-9: break
        v = new
    return math.sqrt(max(value, 0.0))
