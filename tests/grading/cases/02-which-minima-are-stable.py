# %% [markdown]
# Wrong and right answers to the exercises of chapter 02. Each cell stands in for the student's.

# %% misconception="escape_trajectory" name="mean-in-every-step" message="with batch size 1 it is one of the two"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    def slope(x, c):
        return 2 * x if x**2 < c * (x - 1) ** 2 else 2 * c * (x - 1)

    path = [x0]
    for _ in range(steps):
        x = path[-1]
        path.append(x - learning_rate * (slope(x, 0.1) + slope(x, 1.9)) / 2)
    return torch.tensor(path, dtype=torch.float64)


# %% misconception="escape_trajectory" name="draws-once" message="draw inside the loop"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    def slope(x, c):
        return 2 * x if x**2 < c * (x - 1) ** 2 else 2 * c * (x - 1)

    if stochastic:
        losses = [[0.1, 1.9][torch.randint(2, (1,), generator=generator)]]
    else:
        losses = [0.1, 1.9]
    path = [x0]
    for _ in range(steps):
        x = path[-1]
        path.append(x - learning_rate * sum(slope(x, c) for c in losses) / len(losses))
    return torch.tensor(path, dtype=torch.float64)


# %% misconception="escape_trajectory" name="global-generator" message="draw with generator=generator"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    def slope(x, c):
        return 2 * x if x**2 < c * (x - 1) ** 2 else 2 * c * (x - 1)

    path = [x0]
    for _ in range(steps):
        x = path[-1]
        if stochastic:
            g = slope(x, 0.1) if torch.rand(()) < 0.5 else slope(x, 1.9)
        else:
            g = (slope(x, 0.1) + slope(x, 1.9)) / 2
        path.append(x - learning_rate * g)
    return torch.tensor(path, dtype=torch.float64)


# %% misconception="escape_trajectory" name="without-the-start" message="x0 itself comes first"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    def slope(x, c):
        return 2 * x if x**2 < c * (x - 1) ** 2 else 2 * c * (x - 1)

    x, path = x0, []
    for _ in range(steps):
        if stochastic:
            g = slope(x, 0.1) if torch.rand((), generator=generator) < 0.5 else slope(x, 1.9)
        else:
            g = (slope(x, 0.1) + slope(x, 1.9)) / 2
        x = x - learning_rate * g
        path.append(x)
    return torch.tensor(path, dtype=torch.float64)


# %% misconception="escape_trajectory" name="float32" message="float32 keeps 7 digits"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    def loss(x, c):
        return torch.minimum(x**2, c * (x - 1) ** 2)

    x = torch.tensor(x0, requires_grad=True)
    path = [x.detach()]
    for _ in range(steps):
        if stochastic:
            value = loss(x, (0.1, 1.9)[torch.randint(2, (), generator=generator).item()])
        else:
            value = (loss(x, 0.1) + loss(x, 1.9)) / 2
        (g,) = torch.autograd.grad(value, x)
        x = (x - learning_rate * g).detach().requires_grad_()
        path.append(x.detach())
    return torch.stack(path)


# %% misconception="escape_trajectory" name="stays-in-the-right-valley" message="where x^2 is smaller, the slope is 2x"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    path = [x0]
    for _ in range(steps):
        x = path[-1]
        k = torch.randint(2, (), generator=generator).item() if stochastic else None
        c = 1.0 if k is None else (0.1, 1.9)[k]
        path.append(x - learning_rate * 2 * c * (x - 1))
    return torch.tensor(path, dtype=torch.float64)


# %% misconception="escape_trajectory" name="minimum-of-the-mean" message="which is the minimum of the mean"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    path = [x0]
    for _ in range(steps):
        x = path[-1]
        c = 1.0
        if stochastic:
            c = 0.1 if torch.rand((), generator=generator) < 0.5 else 1.9
        path.append(x - learning_rate * (2 * x if x**2 < (x - 1) ** 2 else 2 * c * (x - 1)))
    return torch.tensor(path, dtype=torch.float64)


# %% misconception="escape_trajectory" name="fixed-switch" message="compare the two values at x"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    def slope(x, c):
        switch = c**0.5 / (1 + c**0.5)
        return 2 * x if x < switch else 2 * c * (x - 1)

    path = [x0]
    for _ in range(steps):
        x = path[-1]
        if stochastic:
            g = slope(x, (0.1, 1.9)[torch.randint(2, (), generator=generator).item()])
        else:
            g = (slope(x, 0.1) + slope(x, 1.9)) / 2
        path.append(x - learning_rate * g)
    return torch.tensor(path, dtype=torch.float64)


# %% misconception="escape_trajectory" name="gradient-descent-on-the-sum" message="f is the mean"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    def slope(x, c):
        return 2 * x if x**2 < c * (x - 1) ** 2 else 2 * c * (x - 1)

    path = [x0]
    for _ in range(steps):
        x = path[-1]
        drawn = (0.1, 1.9)
        if stochastic:
            drawn = (drawn[torch.randint(2, (), generator=generator).item()],)
        path.append(x - learning_rate * sum(slope(x, c) for c in drawn))
    return torch.tensor(path, dtype=torch.float64)


# %% misconception="escape_trajectory" name="takes-turns" message="take turns"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    def slope(x, c):
        return 2 * x if x**2 < c * (x - 1) ** 2 else 2 * c * (x - 1)

    path = [x0]
    for t in range(steps):
        x = path[-1]
        g = slope(x, (0.1, 1.9)[t % 2]) if stochastic else (slope(x, 0.1) + slope(x, 1.9)) / 2
        path.append(x - learning_rate * g)
    return torch.tensor(path, dtype=torch.float64)


# %% misconception="escape_trajectory" name="integer-entries" message="and so are the entries"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    dtype = torch.int64 if isinstance(x0, int) else torch.float64
    path = torch.full((steps + 1,), x0, dtype=dtype)
    c = torch.tensor([0.1, 1.9], dtype=torch.float64)
    for t in range(steps):
        x = path[t]
        g = torch.where(x**2 < c * (x - 1) ** 2, 2 * x, 2 * c * (x - 1))
        k = torch.randint(2, (), generator=generator) if stochastic else None
        path[t + 1] = x - learning_rate * (g.mean() if k is None else g[k])
    return path


# %% misconception="escape_trajectory" name="one-tensor-for-all" message="was one tensor changed in place"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    c = torch.tensor([0.1, 1.9], dtype=torch.float64)
    x = torch.tensor(x0, dtype=torch.float64)
    path = [x]
    for _ in range(steps):
        g = torch.where(x**2 < c * (x - 1) ** 2, 2 * x, 2 * c * (x - 1))
        x -= learning_rate * (
            g[torch.randint(2, (), generator=generator)] if stochastic else g.mean()
        )
        path.append(x)
    return torch.stack(path)


# %% misconception="escape_trajectory" name="one-tensor-behind-the-start" message="All entries behind x0"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    c = torch.tensor([0.1, 1.9], dtype=torch.float64)
    x = torch.tensor(x0, dtype=torch.float64)
    path = [x.item()]
    for _ in range(steps):
        g = torch.where(x**2 < c * (x - 1) ** 2, 2 * x, 2 * c * (x - 1))
        x -= learning_rate * (
            g[torch.randint(2, (), generator=generator)] if stochastic else g.mean()
        )
        path.append(x)
    return path


# %% alternative="escape_trajectory" name="autograd"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    c = torch.tensor([0.1, 1.9], dtype=torch.float64)
    x = torch.tensor(x0, dtype=torch.float64)
    path = [x]
    for _ in range(steps):
        x = x.detach().requires_grad_()
        losses = torch.minimum(x**2, c * (x - 1) ** 2)
        loss = losses[torch.randint(2, (), generator=generator)] if stochastic else losses.mean()
        x = x - learning_rate * torch.autograd.grad(loss, x)[0]
        path.append(x.detach())
    return torch.stack(path)


# %% alternative="escape_trajectory" name="all-draws-first"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    path = torch.empty(steps + 1, dtype=torch.float64)
    path[0] = x0
    use_second = torch.rand(steps, generator=generator) < 0.5 if stochastic else None
    for t in range(steps):
        x = path[t].item()
        first = 0.2 * (x - 1) if 0.1 * (x - 1) ** 2 <= x * x else 2 * x
        second = 3.8 * (x - 1) if 1.9 * (x - 1) ** 2 <= x * x else 2 * x
        if stochastic:
            path[t + 1] = x - learning_rate * (second if use_second[t] else first)
        else:
            path[t + 1] = x - learning_rate * 0.5 * (first + second)
    return path


# %% alternative="escape_trajectory" name="numpy-list"
def escape_trajectory(x0, learning_rate, steps, generator, stochastic=True):
    import numpy as np

    c = np.array([0.1, 1.9])
    path = np.full(steps + 1, float(x0))
    for t in range(steps):
        x = path[t]
        g = np.where(x**2 < c * (x - 1) ** 2, 2 * x, 2 * c * (x - 1))
        weights = np.array([0.5, 0.5])
        if stochastic:
            weights = np.eye(2)[torch.bernoulli(torch.tensor(0.5), generator=generator).int().item()]
        path[t + 1] = x - learning_rate * (weights @ g)
    return path


# %% misconception="mean_square_multiplier" name="s-not-squared" message="s enters as it is"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    noise = (n - batch_size) / (batch_size * (n - 1))
    return (1 - learning_rate * a) ** 2 + learning_rate**2 * noise * s


# %% misconception="mean_square_multiplier" name="with-replacement" message="as if a sample could be drawn twice"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    return (1 - learning_rate * a) ** 2 + learning_rate**2 * s**2 / batch_size


# %% misconception="mean_square_multiplier" name="upside-down" message="The fraction is upside down"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    ratio = batch_size * (n - 1) / (n - batch_size)
    return (1 - learning_rate * a) ** 2 + learning_rate**2 * ratio * s**2


# %% misconception="mean_square_multiplier" name="rate-not-squared" message="it must be eta squared"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    noise = (n - batch_size) / (batch_size * (n - 1))
    return (1 - learning_rate * a) ** 2 + learning_rate * noise * s**2


# %% misconception="mean_square_multiplier" name="first-term-not-squared" message="not its square"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    noise = (n - batch_size) / (batch_size * (n - 1))
    return abs(1 - learning_rate * a) + learning_rate**2 * noise * s**2


# %% misconception="mean_square_multiplier" name="root" message="the root of the multiplier"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    noise = (n - batch_size) / (batch_size * (n - 1))
    return ((1 - learning_rate * a) ** 2 + learning_rate**2 * noise * s**2) ** 0.5


# %% misconception="mean_square_multiplier" name="no-batch-size" message="not divided by the batch size"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    noise = (n - batch_size) / (n - 1)
    return (1 - learning_rate * a) ** 2 + learning_rate**2 * noise * s**2


# %% misconception="mean_square_multiplier" name="python-numbers-only" message="tensors that broadcast"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    noise = (n - batch_size) / (batch_size * (n - 1))
    return math.pow(1 - learning_rate * a, 2) + math.pow(learning_rate * s, 2) * noise


# %% misconception="mean_square_multiplier" name="left-to-right" message="Python goes from left to right"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    noise = (n - batch_size) / batch_size * (n - 1)
    return (1 - learning_rate * a) ** 2 + learning_rate**2 * noise * s**2


# %% misconception="mean_square_multiplier" name="eta-missing" message="eta is missing before a"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    noise = (n - batch_size) / (batch_size * (n - 1))
    return (1 - a) ** 2 + learning_rate**2 * noise * s**2


# %% misconception="mean_square_multiplier" name="caret" message="A power is ** in Python"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    noise = (n - batch_size) / (batch_size * (n - 1))
    return (1 - learning_rate * a) ^ 2 + learning_rate ^ 2 * noise * s ^ 2


# %% alternative="mean_square_multiplier" name="two-terms"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    drift = 1 - 2 * learning_rate * a + learning_rate * learning_rate * a * a
    finite_population = 1 - (batch_size - 1) / (n - 1)
    return drift + (learning_rate * s) ** 2 * finite_population / batch_size


# %% alternative="mean_square_multiplier" name="tensors-float32"
def mean_square_multiplier(learning_rate, a, s, batch_size, n):
    a, s = torch.as_tensor(a, dtype=torch.float32), torch.as_tensor(s, dtype=torch.float32)
    noise = torch.tensor((n - batch_size) / batch_size / (n - 1))
    return (1 - learning_rate * a).square() + noise * (learning_rate * s).square()


# %% misconception="non_uniformity_bound" name="no-root" message="The root of B(n-1)/(n-B) is missing"
def sharpness_bound(learning_rate):
    return 2 / learning_rate


def non_uniformity_bound(learning_rate, batch_size, n):
    if batch_size == n:
        return math.inf
    return batch_size * (n - 1) / (n - batch_size) / learning_rate


# %% misconception="non_uniformity_bound" name="upside-down" message="smaller batches must allow less"
def sharpness_bound(learning_rate):
    return 2 / learning_rate


def non_uniformity_bound(learning_rate, batch_size, n):
    if batch_size == n:
        return math.inf
    return math.sqrt((n - batch_size) / (batch_size * (n - 1))) / learning_rate


# %% misconception="non_uniformity_bound" name="divides-by-zero" message="ask for it, return math.inf"
def sharpness_bound(learning_rate):
    return 2 / learning_rate


def non_uniformity_bound(learning_rate, batch_size, n):
    return math.sqrt(batch_size * (n - 1) / (n - batch_size)) / learning_rate


# %% misconception="non_uniformity_bound" name="warns" message="For B = n it warns"
def sharpness_bound(learning_rate):
    return 2 / learning_rate


def non_uniformity_bound(learning_rate, batch_size, n):
    import numpy as np

    return np.sqrt(np.float64(batch_size * (n - 1)) / (n - batch_size)) / learning_rate


# %% misconception="non_uniformity_bound" name="with-replacement" message="when a sample can be drawn twice"
def sharpness_bound(learning_rate):
    return 2 / learning_rate


def non_uniformity_bound(learning_rate, batch_size, n):
    return math.inf if batch_size == n else math.sqrt(batch_size) / learning_rate


# %% misconception="non_uniformity_bound" name="one-over-eta" message="a may be twice as large"
def sharpness_bound(learning_rate):
    return 1 / learning_rate


def non_uniformity_bound(learning_rate, batch_size, n):
    if batch_size == n:
        return math.inf
    return math.sqrt(batch_size * (n - 1) / (n - batch_size)) / learning_rate


# %% misconception="non_uniformity_bound" name="rate-under-the-root" message="1/eta stands under the root"
def sharpness_bound(learning_rate):
    return 2 / learning_rate


def non_uniformity_bound(learning_rate, batch_size, n):
    if batch_size == n:
        return math.inf
    return math.sqrt(batch_size * (n - 1) / ((n - batch_size) * learning_rate))


# %% misconception="non_uniformity_bound" name="zero-for-gradient-descent" message="no non-uniformity is too large"
def sharpness_bound(learning_rate):
    return 2 / learning_rate


def non_uniformity_bound(learning_rate, batch_size, n):
    if batch_size == n:
        return 0.0
    return math.sqrt(batch_size * (n - 1) / (n - batch_size)) / learning_rate


# %% misconception="non_uniformity_bound" name="left-to-right" message="below the line is (n - B), in parentheses"
def sharpness_bound(learning_rate):
    return 2 / learning_rate


def non_uniformity_bound(learning_rate, batch_size, n):
    if batch_size == n:
        return math.inf
    return math.sqrt(batch_size * (n - 1) / n - batch_size) / learning_rate


# %% alternative="non_uniformity_bound" name="catches-the-error"
def sharpness_bound(learning_rate):
    return 2.0 * learning_rate**-1


def non_uniformity_bound(learning_rate, batch_size, n):
    try:
        variance = batch_size * (n - 1) / (n - batch_size)
    except ZeroDivisionError:
        variance = float("inf")
    return variance**0.5 / learning_rate


# %% alternative="non_uniformity_bound" name="tensors"
def sharpness_bound(learning_rate):
    return torch.tensor(2.0) / learning_rate


def non_uniformity_bound(learning_rate, batch_size, n):
    noise = torch.tensor((n - batch_size) / (batch_size * (n - 1)), dtype=torch.float64)
    return 1 / (learning_rate * noise.sqrt())


# %% misconception="stability_matrix" name="entrywise-variance" message="Sigma holds the variances of single entries"
def stability_matrix(hessians, learning_rate, batch_size):
    n, d, _ = hessians.shape
    mean = hessians.mean(0)
    sigma = (hessians**2).mean(0) - mean**2
    step = torch.eye(d, dtype=hessians.dtype) - learning_rate * mean
    return step @ step + learning_rate**2 * (n - batch_size) / (batch_size * (n - 1)) * sigma


# %% misconception="stability_matrix" name="everything-entrywise" message="Both squares are taken entry by entry"
def stability_matrix(hessians, learning_rate, batch_size):
    n, d, _ = hessians.shape
    sigma = hessians.var(0, unbiased=False)
    step = torch.eye(d, dtype=hessians.dtype) - learning_rate * hessians.mean(0)
    return step**2 + learning_rate**2 * (n - batch_size) / (batch_size * (n - 1)) * sigma


# %% misconception="stability_matrix" name="one-minus-matrix" message="the identity has them on its diagonal only"
def stability_matrix(hessians, learning_rate, batch_size):
    n = len(hessians)
    mean = hessians.mean(0)
    sigma = (hessians @ hessians).mean(0) - mean @ mean
    step = 1 - learning_rate * mean
    return step @ step + learning_rate**2 * (n - batch_size) / (batch_size * (n - 1)) * sigma


# %% misconception="stability_matrix" name="second-moment-for-variance" message="Sigma lacks its second part"
def stability_matrix(hessians, learning_rate, batch_size):
    n, d, _ = hessians.shape
    step = torch.eye(d, dtype=hessians.dtype) - learning_rate * hessians.mean(0)
    noise = learning_rate**2 * (n - batch_size) / (batch_size * (n - 1))
    return step @ step + noise * (hessians @ hessians).mean(0)


# %% misconception="stability_matrix" name="with-replacement" message="as if a sample could be drawn twice"
def stability_matrix(hessians, learning_rate, batch_size):
    mean = hessians.mean(0)
    sigma = (hessians @ hessians).mean(0) - mean @ mean
    step = torch.eye(len(mean), dtype=hessians.dtype) - learning_rate * mean
    return step @ step + learning_rate**2 / batch_size * sigma


# %% misconception="stability_matrix" name="single-precision-identity" message="dtype=hessians.dtype"
def stability_matrix(hessians, learning_rate, batch_size):
    n, d, _ = hessians.shape
    mean = hessians.mean(0)
    identity = torch.eye(d)
    square = identity - 2 * learning_rate * identity @ mean + learning_rate**2 * mean @ mean
    sigma = (hessians @ hessians).mean(0) - mean @ mean
    return square + learning_rate**2 * (n - batch_size) / (batch_size * (n - 1)) * sigma


# %% misconception="stability_matrix" name="centers-in-place" message="came back with new values"
def stability_matrix(hessians, learning_rate, batch_size):
    n, d, _ = hessians.shape
    mean = hessians.mean(0)
    hessians -= mean
    sigma = (hessians @ hessians).mean(0)
    step = torch.eye(d, dtype=hessians.dtype) - learning_rate * mean
    return step @ step + learning_rate**2 * (n - batch_size) / (batch_size * (n - 1)) * sigma


# %% misconception="stability_matrix" name="sample-variance" message="divided by n - 1 where the mean"
def stability_matrix(hessians, learning_rate, batch_size):
    n, d, _ = hessians.shape
    mean = hessians.mean(0)
    away = hessians - mean
    sigma = (away @ away).sum(0) / (n - 1)
    step = torch.eye(d, dtype=hessians.dtype) - learning_rate * mean
    return step @ step + learning_rate**2 * (n - batch_size) / (batch_size * (n - 1)) * sigma


# %% misconception="stability_matrix" name="squeezes-one-dimension" message="two samples in one dimension"
def stability_matrix(hessians, learning_rate, batch_size):
    n = len(hessians)
    hessians = hessians.squeeze()
    mean = hessians.mean(0)
    sigma = (hessians @ hessians).mean(0) - mean @ mean
    step = torch.eye(len(mean), dtype=hessians.dtype) - learning_rate * mean
    return step @ step + learning_rate**2 * (n - batch_size) / (batch_size * (n - 1)) * sigma


# %% misconception="stability_matrix" name="sum-for-mean" message="H is the mean of the H_i, not their sum"
def stability_matrix(hessians, learning_rate, batch_size):
    n, d, _ = hessians.shape
    total = hessians.sum(0)
    sigma = (hessians @ hessians).mean(0) - total @ total
    step = torch.eye(d, dtype=hessians.dtype) - learning_rate * total
    return step @ step + learning_rate**2 * (n - batch_size) / (batch_size * (n - 1)) * sigma


# %% misconception="stability_matrix" name="sum-in-the-step" message="stands the sum of the H_i"
def stability_matrix(hessians, learning_rate, batch_size):
    n, d, _ = hessians.shape
    away = hessians - hessians.mean(0)
    step = torch.eye(d, dtype=hessians.dtype) - learning_rate * hessians.sum(0)
    noise = (n - batch_size) / (batch_size * (n - 1))
    return step @ step + learning_rate**2 * noise * (away @ away).mean(0)


# %% alternative="stability_matrix" name="loop"
def stability_matrix(hessians, learning_rate, batch_size):
    n = len(hessians)
    mean = sum(hessians) / n
    sigma = torch.zeros_like(mean)
    for h in hessians:
        sigma += torch.mm(h - mean, h - mean) / n
    step = -learning_rate * mean
    step.diagonal().add_(1)
    return step.mm(step) + sigma * (
        learning_rate**2 * (1 / batch_size) * (n - batch_size) / (n - 1)
    )


# %% alternative="stability_matrix" name="einsum-powers"
def stability_matrix(hessians, learning_rate, batch_size):
    n, d = hessians.shape[:2]
    mean = torch.einsum("nij->ij", hessians) / n
    sigma = torch.einsum("nij,njk->ik", hessians, hessians) / n - torch.linalg.matrix_power(mean, 2)
    step = torch.eye(d) - learning_rate * mean
    first = torch.linalg.matrix_power(step, 2)
    return first + learning_rate**2 * (n - batch_size) / batch_size / (n - 1) * sigma


# %% alternative="stability_matrix" name="numpy"
def stability_matrix(hessians, learning_rate, batch_size):
    import numpy as np

    h = hessians.numpy()
    n, mean = len(h), h.mean(axis=0)
    sigma = np.mean([m @ m for m in h], axis=0) - mean @ mean
    drift = np.linalg.matrix_power(np.identity(len(mean)) - learning_rate * mean, 2)
    return drift + learning_rate**2 * (n - batch_size) / (batch_size * (n - 1)) * sigma


# %% misconception="is_linearly_stable" name="gradient-descent-only" message="as if H alone counted"
def is_linearly_stable(hessians, learning_rate, batch_size):
    factors = 1 - learning_rate * torch.linalg.eigvalsh(hessians.mean(0))
    return bool(factors.abs().max() <= 1 + 1e-5)


# %% misconception="is_linearly_stable" name="both-bounds" message="as if both bounds were enough"
def is_linearly_stable(hessians, learning_rate, batch_size):
    n, mean = len(hessians), hessians.mean(0)
    sigma = (hessians @ hessians).mean(0) - mean @ mean
    a = torch.linalg.eigvalsh(mean)[-1]
    s = torch.linalg.eigvalsh(sigma)[-1].clamp_min(0).sqrt()
    bound = math.inf
    if batch_size < n:
        bound = math.sqrt(batch_size * (n - 1) / (n - batch_size)) / learning_rate
    return bool(a <= 2 / learning_rate * (1 + 1e-5)) and bool(s <= bound * (1 + 1e-5))


# %% misconception="is_linearly_stable" name="no-room-for-rounding" message="1 plus or minus rounding"
def is_linearly_stable(hessians, learning_rate, batch_size):
    matrix = stability_matrix(hessians, learning_rate, batch_size)
    return (torch.linalg.eigvalsh(matrix).max() <= 1).item()


# %% misconception="is_linearly_stable" name="strict" message="Up to 1 + 1e-5 counts as stable"
def is_linearly_stable(hessians, learning_rate, batch_size):
    matrix = stability_matrix(hessians, learning_rate, batch_size)
    return (torch.linalg.eigvalsh(matrix).max() < 1).item()


# %% misconception="is_linearly_stable" name="complex-eigenvalues" message="eigvalsh is for symmetric matrices"
def is_linearly_stable(hessians, learning_rate, batch_size):
    matrix = stability_matrix(hessians, learning_rate, batch_size)
    return bool(torch.linalg.eigvals(matrix).max() <= 1 + 1e-5)


# %% misconception="is_linearly_stable" name="one-dimensional-formula" message="may belong to different directions"
def is_linearly_stable(hessians, learning_rate, batch_size):
    n, mean = len(hessians), hessians.mean(0)
    sigma = (hessians @ hessians).mean(0) - mean @ mean
    a = torch.linalg.eigvalsh(mean)[-1]
    variance = torch.linalg.eigvalsh(sigma)[-1]
    noise = (n - batch_size) / (batch_size * (n - 1)) * variance
    return bool((1 - learning_rate * a) ** 2 + learning_rate**2 * noise <= 1 + 1e-5)


# %% misconception="is_linearly_stable" name="smallest-eigenvalue" message="as if the smallest eigenvalue were compared"
def is_linearly_stable(hessians, learning_rate, batch_size):
    matrix = stability_matrix(hessians, learning_rate, batch_size)
    return bool(torch.linalg.eigvalsh(matrix)[0] <= 1 + 1e-5)


# %% misconception="is_linearly_stable" name="returns-the-eigenvalue" message="It returned a tensor (torch.float64, shape ()); True or False is needed"
def is_linearly_stable(hessians, learning_rate, batch_size):
    matrix = stability_matrix(hessians, learning_rate, batch_size)
    return torch.linalg.eigvalsh(matrix)[-1]


# %% misconception="is_linearly_stable" name="generous" message="a largest eigenvalue just above 1"
def is_linearly_stable(hessians, learning_rate, batch_size):
    matrix = stability_matrix(hessians, learning_rate, batch_size)
    return bool(torch.linalg.eigvalsh(matrix)[-1] <= 1.05)


# %% misconception="is_linearly_stable" name="trace" message="the sum of all eigenvalues"
def is_linearly_stable(hessians, learning_rate, batch_size):
    return bool(stability_matrix(hessians, learning_rate, batch_size).trace() <= 1 + 1e-5)


# %% misconception="is_linearly_stable" name="first-of-unsorted" message="the first eigenvalue of torch.linalg.eigvals"
def is_linearly_stable(hessians, learning_rate, batch_size):
    matrix = stability_matrix(hessians, learning_rate, batch_size)
    return bool(torch.linalg.eigvals(matrix)[0].real <= 1 + 1e-5)


# %% misconception="is_linearly_stable" name="every-sample" message="each sample's own largest curvature"
def is_linearly_stable(hessians, learning_rate, batch_size):
    return all(bool(torch.linalg.eigvalsh(h)[-1] <= 2 / learning_rate) for h in hessians)


# %% misconception="is_linearly_stable" name="largest-entry" message="the largest entry of the matrix"
def is_linearly_stable(hessians, learning_rate, batch_size):
    return bool(stability_matrix(hessians, learning_rate, batch_size).max() <= 1 + 1e-5)


# %% misconception="is_linearly_stable" name="one-for-true" message="It returned a value of type int"
def is_linearly_stable(hessians, learning_rate, batch_size):
    matrix = stability_matrix(hessians, learning_rate, batch_size)
    return int(torch.linalg.eigvalsh(matrix)[-1] <= 1 + 1e-5)


# %% alternative="is_linearly_stable" name="spectral-norm"
def is_linearly_stable(hessians, learning_rate, batch_size):
    matrix = stability_matrix(hessians, learning_rate, batch_size)
    return torch.linalg.matrix_norm(matrix, ord=2) < 1 + 1e-5


# %% alternative="is_linearly_stable" name="all-real-parts"
def is_linearly_stable(hessians, learning_rate, batch_size):
    values = torch.linalg.eigvals(stability_matrix(hessians, learning_rate, batch_size)).real
    return bool((values <= 1 + 1e-5).all())


# %% alternative="is_linearly_stable" name="own-matrix-numpy"
def is_linearly_stable(hessians, learning_rate, batch_size):
    import numpy as np

    h = hessians.double().numpy()
    n, mean = len(h), h.mean(axis=0)
    sigma = (h @ h).mean(axis=0) - mean @ mean
    step = np.eye(len(mean)) - learning_rate * mean
    matrix = step @ step + learning_rate**2 * (n - batch_size) / (batch_size * (n - 1)) * sigma
    return np.linalg.eigvalsh(matrix).max() - 1 <= 1e-5


# %% misconception="variance_product" name="entrywise-squares" message="squared one by one"
def variance_product(per_sample_hvp, n, v):
    products = torch.stack([per_sample_hvp(i, v) for i in range(n)])
    return (products**2).mean(0) - products.mean(0) ** 2


# %% misconception="variance_product" name="second-moment" message="H (H v) is not subtracted"
def variance_product(per_sample_hvp, n, v):
    return sum(per_sample_hvp(i, per_sample_hvp(i, v)) for i in range(n)) / n


# %% misconception="variance_product" name="builds-the-matrices" message="that builds every matrix"
def variance_product(per_sample_hvp, n, v):
    basis = torch.eye(len(v), dtype=v.dtype)
    h = torch.stack([torch.stack([per_sample_hvp(i, e) for e in basis]) for i in range(n)])
    mean = h.mean(0)
    return (h @ h).mean(0) @ v - mean @ (mean @ v)


# %% misconception="variance_product" name="mean-again-for-each-sample" message="computed again for each sample"
def variance_product(per_sample_hvp, n, v):
    def mean_product(u):
        return sum(per_sample_hvp(i, u) for i in range(n)) / n

    total = torch.zeros_like(v)
    for i in range(n):
        total += per_sample_hvp(i, per_sample_hvp(i, v)) - per_sample_hvp(i, mean_product(v))
    return total / n


# %% misconception="variance_product" name="one-sum-not-divided" message="H (H v) is too large by n"
def variance_product(per_sample_hvp, n, v):
    products = [per_sample_hvp(i, v) for i in range(n)]
    mean = sum(products) / n
    twice = sum(per_sample_hvp(i, u) for i, u in enumerate(products)) / n
    return twice - sum(per_sample_hvp(i, mean) for i in range(n))


# %% misconception="variance_product" name="h-once" message="H has to be applied twice"
def variance_product(per_sample_hvp, n, v):
    products = [per_sample_hvp(i, v) for i in range(n)]
    twice = sum(per_sample_hvp(i, u) for i, u in enumerate(products)) / n
    return twice - sum(products) / n


# %% misconception="variance_product" name="changes-v" message="a v that is left as it was"
def variance_product(per_sample_hvp, n, v):
    products = [per_sample_hvp(i, v) for i in range(n)]
    mean = sum(products) / n
    v.zero_()
    for i, u in enumerate(products):
        v += per_sample_hvp(i, u - mean) / n
    return v.clone()


# %% misconception="variance_product" name="counts-from-one" message="they are 0 to"
def variance_product(per_sample_hvp, n, v):
    products = [per_sample_hvp(i, v) for i in range(1, n + 1)]
    mean = sum(products) / n
    return sum(per_sample_hvp(i, u - mean) for i, u in enumerate(products, 1)) / n


# %% misconception="variance_product" name="vector-first" message="it takes (i, v)"
def variance_product(per_sample_hvp, n, v):
    products = [per_sample_hvp(v, i) for i in range(n)]
    mean = sum(products) / n
    return sum(per_sample_hvp(u - mean, i) for i, u in enumerate(products)) / n


# %% misconception="variance_product" name="second-name-for-v" message="is a second name for v, not a copy"
def variance_product(per_sample_hvp, n, v):
    Hv = v
    Hv *= 0
    twice = torch.zeros_like(v)
    for i in range(n):
        product = per_sample_hvp(i, v)
        Hv += product / n
        twice += per_sample_hvp(i, product) / n
    return twice - sum(per_sample_hvp(i, Hv) for i in range(n)) / n


# %% misconception="variance_product" name="squares-of-entries" message="and nothing is subtracted"
def variance_product(per_sample_hvp, n, v):
    return sum(a * a for a in (per_sample_hvp(i, v) for i in range(n))) / n


# %% misconception="variance_product" name="first-term-entrywise" message="The first term is the mean of (H_i v)**2"
def variance_product(per_sample_hvp, n, v):
    products = [per_sample_hvp(i, v) for i in range(n)]
    mean = sum(products) / n
    return sum(a**2 for a in products) / n - sum(per_sample_hvp(i, mean) for i in range(n)) / n


# %% misconception="variance_product" name="second-term-entrywise" message="as in Hv * Hv"
def variance_product(per_sample_hvp, n, v):
    Hv, twice = torch.zeros_like(v), torch.zeros_like(v)
    for i in range(n):
        product = per_sample_hvp(i, v)
        Hv += product / n
        twice += per_sample_hvp(i, product) / n
    return twice - Hv * Hv


# %% misconception="variance_product" name="one-loop" message="while H v is still being added up"
def variance_product(per_sample_hvp, n, v):
    Hv, twice, mean_twice = torch.zeros_like(v), torch.zeros_like(v), torch.zeros_like(v)
    for i in range(n):
        product = per_sample_hvp(i, v)
        Hv += product / n
        twice += per_sample_hvp(i, product) / n
        mean_twice += per_sample_hvp(i, Hv) / n
    return twice - mean_twice


# %% alternative="variance_product" name="centered-2n-products"
def variance_product(per_sample_hvp, n, v):
    products = torch.stack([per_sample_hvp(i, v) for i in range(n)])
    away = products - products.mean(0)
    return torch.stack([per_sample_hvp(i, u) for i, u in enumerate(away)]).mean(0)


# %% alternative="variance_product" name="three-sums"
def variance_product(per_sample_hvp, n, v):
    first = [per_sample_hvp(i, v) for i in range(n)]
    second = [per_sample_hvp(i, u) for i, u in enumerate(first)]
    mean = torch.stack(first).mean(dim=0)
    third = [per_sample_hvp(i, mean) for i in range(n)]
    return (torch.stack(second) - torch.stack(third)).mean(dim=0)


# %% alternative="variance_product" name="float32-tensor-index"
def variance_product(per_sample_hvp, n, v):
    w = v.to(torch.float32)
    mean = torch.zeros_like(w)
    for i in torch.arange(n):
        mean.add_(per_sample_hvp(i, w), alpha=1 / n)
    result = torch.zeros_like(w)
    for i in torch.arange(n):
        result += per_sample_hvp(i, per_sample_hvp(i, w) - mean)
    return result / n


# %% misconception="non_uniformity" name="no-root" message="s is its root"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    for _ in range(steps):
        v = v / v.norm().clamp_min(1e-30)
        h = sigma_product(v)
        value = v @ h
        v = h
    return value.item()


# %% misconception="non_uniformity" name="never-normalizes" message="normalize"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    for _ in range(steps):
        v = sigma_product(v)
    return ((v @ sigma_product(v)) / (v @ v)).sqrt().item()


# %% misconception="non_uniformity" name="own-randomness" message="draw the start with generator=generator"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.randn(dim)
    for _ in range(steps):
        v = v / v.norm().clamp_min(1e-30)
        h = sigma_product(v)
        value = (v @ h).clamp_min(0)
        v = h
    return value.sqrt().item()


# %% misconception="non_uniformity" name="fixed-start" message="same for every generator"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.ones(dim)
    for _ in range(steps):
        v = v / v.norm().clamp_min(1e-30)
        h = sigma_product(v)
        value = (v @ h).clamp_min(0)
        v = h
    return value.sqrt().item()


# %% misconception="non_uniformity" name="nan-for-zero" message="v became NaN: Σv was 0"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    for _ in range(steps):
        v = v / v.norm()
        v = sigma_product(v)
    return v.norm().sqrt().item()


# %% misconception="non_uniformity" name="root-of-a-negative" message="a Σ that rounding made slightly negative"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    v = v / v.norm()
    value = 0.0
    for _ in range(steps):
        h = sigma_product(v)
        value = (v @ h).item()
        if h.norm() == 0:
            break
        v = h / h.norm()
    return math.sqrt(value)


# %% misconception="non_uniformity" name="builds-the-matrix" message="building the whole matrix"
def non_uniformity(sigma_product, dim, steps, generator):
    sigma = torch.stack([sigma_product(e) for e in torch.eye(dim)])
    return torch.linalg.eigvalsh(sigma)[-1].clamp_min(0).sqrt().item()


# %% misconception="non_uniformity" name="trace-from-probes" message="were several added up"
def non_uniformity(sigma_product, dim, steps, generator):
    total = 0.0
    for _ in range(steps):
        z = torch.randn(dim, generator=generator)
        total += (z @ sigma_product(z)).item() / steps
    return math.sqrt(max(total, 0.0))


# %% misconception="non_uniformity" name="norm-of-the-normalized" message="the norm of v after it was normalized"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    for _ in range(steps):
        w = sigma_product(v)
        v = w / w.norm().clamp_min(1e-30)
    return math.sqrt(v @ v)


# %% misconception="non_uniformity" name="three-products-a-step" message="a step takes two at most"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    for _ in range(steps):
        if sigma_product(v).norm() == 0:
            return 0.0
        v = sigma_product(v) / sigma_product(v).norm()
    return math.sqrt(max((v @ sigma_product(v)).item(), 0.0))


# %% misconception="non_uniformity" name="largest-of-nan" message="A NaN passes through the root and through max"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    for _ in range(steps):
        w = sigma_product(v)
        v = w / w.norm()
    return math.sqrt(max((v @ sigma_product(v)).item(), 0.0))


# %% alternative="non_uniformity" name="norm-of-the-product"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.randn(dim, generator=generator, dtype=torch.float64)
    length = v.norm()
    for _ in range(steps):
        v = sigma_product(v / length)
        length = torch.linalg.vector_norm(v)
        if length == 0:
            return 0.0
    return length.sqrt()


# %% alternative="non_uniformity" name="quotient-at-the-end"
def non_uniformity(sigma_product, dim, steps, generator):
    v = torch.nn.functional.normalize(torch.rand(dim, generator=generator) - 0.5, dim=0)
    while steps > 0:
        steps -= 1
        h = sigma_product(v)
        if not h.any():
            return torch.tensor(0.0)
        v = h / torch.linalg.norm(h)
    return torch.sqrt(torch.clamp(torch.sum(v * sigma_product(v)), min=0.0))


# %% misconception="region_contains" name="sharpness-only" message="s has a bound too"
def region_contains(a, s, learning_rate, batch_size, n):
    return (a >= 0) & (a <= 2 / learning_rate)


# %% misconception="region_contains" name="either-bound" message="both are necessary"
def region_contains(a, s, learning_rate, batch_size, n):
    in_a = a <= sharpness_bound(learning_rate)
    return in_a | (s <= non_uniformity_bound(learning_rate, batch_size, n))


# %% misconception="region_contains" name="theorem-1" message="The region is the box of the two necessary bounds"
def region_contains(a, s, learning_rate, batch_size, n):
    noise = (n - batch_size) / (batch_size * (n - 1))
    return (1 - learning_rate * a) ** 2 + learning_rate**2 * noise * s**2 <= 1


# %% misconception="region_contains" name="and-on-tensors" message="combine tensors with &"
def region_contains(a, s, learning_rate, batch_size, n):
    if a < 0 or s < 0:
        return False
    return a <= sharpness_bound(learning_rate) and s <= non_uniformity_bound(
        learning_rate, batch_size, n
    )


# %% misconception="region_contains" name="strict" message="which belongs to the region: <=, not <"
def region_contains(a, s, learning_rate, batch_size, n):
    in_a = (0 <= a) & (a < sharpness_bound(learning_rate))
    return in_a & (0 <= s) & (s < non_uniformity_bound(learning_rate, batch_size, n))


# %% misconception="region_contains" name="accepts-negative" message="the region begins at a = 0"
def region_contains(a, s, learning_rate, batch_size, n):
    in_a = a <= sharpness_bound(learning_rate)
    return in_a & (s <= non_uniformity_bound(learning_rate, batch_size, n))


# %% misconception="region_contains" name="divides-by-zero" message="For B = n the bound on s is infinite"
def region_contains(a, s, learning_rate, batch_size, n):
    bound = math.sqrt(batch_size * (n - 1) / (n - batch_size)) / learning_rate
    return (0 <= a) & (a <= 2 / learning_rate) & (0 <= s) & (s <= bound)


# %% misconception="region_contains" name="no-parentheses" message="put each comparison in parentheses"
def region_contains(a, s, learning_rate, batch_size, n):
    return (
        a
        <= sharpness_bound(learning_rate) & s
        <= non_uniformity_bound(learning_rate, batch_size, n)
    )


# %% alternative="region_contains" name="own-bounds-squared"
def region_contains(a, s, learning_rate, batch_size, n):
    a, s = torch.as_tensor(a), torch.as_tensor(s)
    noise = learning_rate**2 * (n - batch_size) / (batch_size * (n - 1)) * s**2
    return (a >= 0) & (learning_rate * a <= 2) & (s >= 0) & (noise <= 1)


# %% alternative="region_contains" name="logical-and"
def region_contains(a, s, learning_rate, batch_size, n):
    import numpy as np

    a, s = np.asarray(a), np.asarray(s)
    most_s = float(non_uniformity_bound(learning_rate, batch_size, n))
    in_a = np.logical_and(a >= 0, a <= float(sharpness_bound(learning_rate)))
    in_s = np.logical_and(s >= 0, s <= most_s)
    return np.logical_and(in_a, in_s)
