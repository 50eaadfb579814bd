# %% [markdown]
# Wrong and right answers to the exercises of chapter 03. Each cell stands in for the student's.

# %% misconception="noise_covariance" name="not-centered" message="The mean gradient is not subtracted"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = len(per_sample_grads)
    factor = 1 if replacement else (n - batch_size) / (n - 1)
    return factor * per_sample_grads.T @ per_sample_grads / n / batch_size


# %% misconception="noise_covariance" name="torch-cov" message="C is the mean over the n samples"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = len(per_sample_grads)
    C = torch.cov(per_sample_grads.T) / batch_size
    if not replacement:
        C = C * (n - batch_size) / (n - 1)
    return C


# %% misconception="noise_covariance" name="rows-as-variables" message="a row for each weight"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = len(per_sample_grads)
    factor = 1.0 if replacement else (n - batch_size) / (n - 1)
    return torch.cov(per_sample_grads, correction=0) * factor / batch_size


# %% misconception="noise_covariance" name="mean-of-each-row" message="Each row has its own mean subtracted"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = per_sample_grads.shape[0]
    centered = per_sample_grads - per_sample_grads.mean(1, keepdim=True)
    C = centered.T @ centered / n
    return C / batch_size * (1 if replacement else (n - batch_size) / (n - 1))


# %% misconception="noise_covariance" name="no-batch-size" message="B does not enter"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = len(per_sample_grads)
    d = per_sample_grads - per_sample_grads.mean(0)
    C = d.T @ d / n
    if not replacement:
        C *= (n - batch_size) / (n - 1)
    return C


# %% misconception="noise_covariance" name="precedence-of-the-divisor" message="put n * B in parentheses"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = len(per_sample_grads)
    d = per_sample_grads - per_sample_grads.mean(0)
    factor = 1 if replacement else (n - batch_size) / (n - 1)
    return factor * d.T @ d / n * batch_size


# %% misconception="noise_covariance" name="precedence-of-the-factor" message="subtracts 1 at the end"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = len(per_sample_grads)
    d = per_sample_grads - per_sample_grads.mean(0)
    factor = 1 if replacement else (n - batch_size) / n - 1
    return factor * (d.T @ d) / (n * batch_size)


# %% misconception="noise_covariance" name="flag-ignored" message="it says the same as with replacement"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    d = per_sample_grads - per_sample_grads.mean(0)
    return d.T @ d / len(d) / batch_size


# %% misconception="noise_covariance" name="flag-turned-round" message="With replacement=True the factor"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = len(per_sample_grads)
    d = per_sample_grads - per_sample_grads.mean(0)
    C = d.T @ d / (n * batch_size)
    return C * (n - batch_size) / (n - 1) if replacement else C


# %% misconception="noise_covariance" name="factor-over-n" message="it has n - 1 below the line"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = len(per_sample_grads)
    d = per_sample_grads - per_sample_grads.mean(0)
    C = d.T @ d / (n * batch_size)
    return C if replacement else C * (1 - batch_size / n)


# %% misconception="noise_covariance" name="variances-only" message="variances alone"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = len(per_sample_grads)
    factor = 1 if replacement else (n - batch_size) / (n - 1)
    return per_sample_grads.var(0, unbiased=False) * factor / batch_size


# %% misconception="noise_covariance" name="root" message="off the diagonal a covariance may be negative"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = len(per_sample_grads)
    d = per_sample_grads - per_sample_grads.mean(0)
    factor = 1 if replacement else (n - batch_size) / (n - 1)
    return torch.sqrt(factor * d.T @ d / (n * batch_size))


# %% misconception="noise_covariance" name="inner-products-of-rows" message="torch.outer(g, g)"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n, p = per_sample_grads.shape
    mean = per_sample_grads.mean(0)
    C = torch.zeros(p, p, dtype=per_sample_grads.dtype)
    for g in per_sample_grads:
        C += torch.dot(g - mean, (g - mean).unsqueeze(1))
    return C / n / batch_size


# %% misconception="noise_covariance" name="centers-in-place" message="The caller's gradients came back with new values"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = len(per_sample_grads)
    G = per_sample_grads
    G -= G.mean(0)
    factor = 1 if replacement else (n - batch_size) / (n - 1)
    return factor * G.T @ G / (n * batch_size)


# %% misconception="noise_covariance" name="cov-of-one-weight" message="It returned shape ()"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n = len(per_sample_grads)
    factor = 1 if replacement else (n - batch_size) / (n - 1)
    return torch.cov(per_sample_grads.T, correction=0) * factor / batch_size


# %% misconception="noise_covariance" name="package" message="the package's ready answer"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    from flatlab.noise import noise_covariance as covariance

    return covariance(per_sample_grads, batch_size, replacement)


# %% alternative="noise_covariance" name="loop-of-outer-products-in-place"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    n, p = per_sample_grads.shape
    mean = sum(per_sample_grads) / n
    C = torch.zeros(p, p)
    for g in per_sample_grads:
        C += torch.outer(g - mean, g - mean)
    C /= n * batch_size
    if not replacement:
        C *= (n - batch_size) / (n - 1)
    return C


# %% alternative="noise_covariance" name="float32-second-moment"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    G = per_sample_grads.float()
    n = len(G)
    C = torch.einsum("ni,nj->ij", G, G) / n - torch.outer(G.mean(0), G.mean(0))
    pairs = 0.0 if replacement else (batch_size - 1) / (n - 1)
    return C / batch_size * (1 - pairs)


# %% alternative="noise_covariance" name="numpy-cov"
def noise_covariance(per_sample_grads, batch_size, replacement=True):
    import numpy as np

    n, p = per_sample_grads.shape
    if replacement:
        C = np.cov(per_sample_grads.numpy(), rowvar=False, bias=True)
    else:
        C = np.cov(per_sample_grads.numpy(), rowvar=False) * (1 - batch_size / n)
    return torch.from_numpy(np.reshape(C, (p, p)) / batch_size)


# %% misconception="langevin_step" name="uphill" message="It goes uphill"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn(theta.shape, generator=generator)
    return theta + learning_rate * grad + learning_rate / batch_size**0.5 * sigma * xi


# %% misconception="langevin_step" name="root-of-the-rate" message="The noise has sqrt(eta) where eta belongs"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn(theta.shape, generator=generator)
    return theta - learning_rate * grad + math.sqrt(learning_rate / batch_size) * sigma * xi


# %% misconception="langevin_step" name="divided-by-the-batch-size" message="it must be sqrt(S)"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn(theta.shape, generator=generator)
    return theta - learning_rate * grad + learning_rate / batch_size * sigma * xi


# %% misconception="langevin_step" name="drift-over-batch-size" message="S enters the noise only"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn(theta.shape, generator=generator)
    return theta - learning_rate * (grad + sigma * xi) / math.sqrt(batch_size)


# %% misconception="langevin_step" name="variance-for-deviation" message="The noise has sigma squared"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = sigma**2 * torch.randn(theta.shape, generator=generator)
    return theta - learning_rate * grad + learning_rate / math.sqrt(batch_size) * xi


# %% misconception="langevin_step" name="rand-for-randn" message="torch.rand is never negative"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.rand(theta.shape, generator=generator)
    return theta - learning_rate * grad + learning_rate / math.sqrt(batch_size) * sigma * xi


# %% misconception="langevin_step" name="one-number-for-all" message="Every entry of theta gets the same noise"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn(1, generator=generator)
    return theta - learning_rate * grad + learning_rate / math.sqrt(batch_size) * sigma * xi


# %% misconception="langevin_step" name="noise-without-rate" message="The noise lacks the learning rate"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn(theta.shape, generator=generator)
    return theta - learning_rate * grad + sigma / math.sqrt(batch_size) * xi


# %% misconception="langevin_step" name="in-place" message="a list of five steps holds one tensor"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    theta -= learning_rate * grad
    theta += learning_rate / math.sqrt(batch_size) * sigma * torch.randn(theta.shape, generator=generator)
    return theta


# %% misconception="langevin_step" name="scales-grad-in-place" message="The grad that was passed in has changed"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    step = grad.mul_(-learning_rate)
    noise = torch.randn(theta.shape, generator=generator)
    return theta + step + learning_rate / math.sqrt(batch_size) * sigma * noise


# %% misconception="langevin_step" name="global-generator" message="Two runs with the same seed differ"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn_like(theta)
    return theta - learning_rate * grad + learning_rate / math.sqrt(batch_size) * sigma * xi


# %% misconception="langevin_step" name="seeds-again" message="All five steps draw the same noise"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    generator.manual_seed(generator.initial_seed())
    xi = torch.randn(theta.shape, generator=generator)
    return theta - learning_rate * grad + learning_rate / math.sqrt(batch_size) * sigma * xi


# %% misconception="langevin_step" name="positional-generator" message="the shape comes first, everything else by name"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn(theta.shape, generator)
    return theta - learning_rate * grad + learning_rate / math.sqrt(batch_size) * sigma * xi


# %% misconception="langevin_step" name="as-many-as-rows" message="All columns of theta get the same noise"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn(theta.shape[0], generator=generator)
    xi = xi.reshape(-1, *[1] * (theta.ndim - 1))
    return theta - learning_rate * grad + learning_rate / math.sqrt(batch_size) * sigma * xi


# %% misconception="langevin_step" name="one-axis-only" message="theta may have any shape"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    xi = torch.randn(len(theta), *theta.shape[1:], generator=generator)
    return theta - learning_rate * grad + learning_rate / math.sqrt(batch_size) * sigma * xi


# %% alternative="langevin_step" name="torch-normal"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    noise = torch.normal(0.0, 1.0, theta.shape, generator=generator)
    noisy_grad = grad + sigma * noise / batch_size**0.5
    return torch.add(theta, noisy_grad, alpha=-learning_rate)


# %% alternative="langevin_step" name="float32-in-place-on-a-copy"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    new = theta.clone().float()
    new -= learning_rate * grad.float()
    noise = torch.empty(theta.shape).normal_(generator=generator)
    new += learning_rate * sigma / math.sqrt(batch_size) * noise
    return new


# %% alternative="langevin_step" name="entry-by-entry"
def langevin_step(theta, grad, learning_rate, batch_size, sigma, generator):
    noise = torch.randn(theta.numel(), generator=generator, dtype=torch.float64)
    flat = [
        t - learning_rate * g + learning_rate * (sigma / math.sqrt(batch_size)) * x
        for t, g, x in zip(theta.reshape(-1).tolist(), grad.reshape(-1).tolist(), noise.tolist())
    ]
    return torch.tensor(flat, dtype=torch.float64).reshape(theta.shape)


# %% misconception="gibbs_density" name="not-normalized" message="It is not normalized"
def gibbs_density(loss, sigma, n, grid):
    return torch.exp(-2 * loss(grid) / (n * sigma**2))


# %% misconception="gibbs_density" name="sum-for-integral" message="Its values add up to 1"
def gibbs_density(loss, sigma, n, grid):
    return torch.softmax(-2 * loss(grid) / (n * sigma**2), dim=0)


# %% misconception="gibbs_density" name="first-spacing" message="as if all steps of the grid were equally long"
def gibbs_density(loss, sigma, n, grid):
    e = -2 * loss(grid) / (n * sigma**2)
    p = torch.exp(e - e.max())
    return p / (p.sum() * (grid[1] - grid[0]))


# %% misconception="gibbs_density" name="mean-spacing" message="as if all steps of the grid were equally long"
def gibbs_density(loss, sigma, n, grid):
    e = -2 * loss(grid) / (n * sigma**2)
    p = torch.softmax(e, 0)
    return p * (len(grid) - 1) / (grid[-1] - grid[0])


# %% misconception="gibbs_density" name="precedence" message="put n * sigma**2 in parentheses"
def gibbs_density(loss, sigma, n, grid):
    e = -2 * loss(grid) / n * sigma**2
    p = torch.exp(e - e.max())
    return p / torch.trapezoid(p, grid)


# %% misconception="gibbs_density" name="sigma-not-squared" message="sigma enters as it is"
def gibbs_density(loss, sigma, n, grid):
    e = -2 * loss(grid) / (n * sigma)
    p = torch.exp(e - e.max())
    return p / torch.trapezoid(p, grid)


# %% misconception="gibbs_density" name="two-below-the-line" message="The 2 stands below the line"
def gibbs_density(loss, sigma, n, grid):
    p = torch.exp(-loss(grid) / (2 * n * sigma**2))
    return p / torch.trapezoid(p, grid)


# %% misconception="gibbs_density" name="no-two" message="The 2 of the exponent is missing"
def gibbs_density(loss, sigma, n, grid):
    e = -loss(grid) / (n * sigma**2)
    e = e - e.max()
    return e.exp() / torch.trapezoid(e.exp(), grid)


# %% misconception="gibbs_density" name="sign" message="It is largest where the loss is large"
def gibbs_density(loss, sigma, n, grid):
    e = 2 * loss(grid) / (n * sigma**2)
    p = torch.exp(e - e.max())
    return p / torch.trapezoid(p, grid)


# %% misconception="gibbs_density" name="overflow" message="What may be subtracted from all exponents"
def gibbs_density(loss, sigma, n, grid):
    p = torch.exp(-2 * loss(grid) / (n * sigma**2))
    return p / torch.trapezoid(p, grid)


# %% misconception="gibbs_density" name="shifts-by-the-smallest" message="What may be subtracted from all exponents"
def gibbs_density(loss, sigma, n, grid):
    e = -2 * loss(grid) / (n * sigma**2)
    p = torch.exp(e - e.min())
    return p / torch.trapezoid(p, grid)


# %% misconception="gibbs_density" name="math-exp" message="math.exp takes one number"
def gibbs_density(loss, sigma, n, grid):
    p = math.exp(-2 * loss(grid) / (n * sigma**2))
    return p / torch.trapezoid(p, grid)


# %% alternative="gibbs_density" name="loop"
def gibbs_density(loss, sigma, n, grid):
    values = loss(grid).tolist()
    lowest = min(values)
    weights = [math.exp(-2 * (value - lowest) / n / sigma**2) for value in values]
    x = grid.tolist()
    area = 0.0
    for i in range(len(x) - 1):
        area += (x[i + 1] - x[i]) * (weights[i] + weights[i + 1]) / 2
    return [weight / area for weight in weights]


# %% alternative="gibbs_density" name="float32-logsumexp"
def gibbs_density(loss, sigma, n, grid):
    x = grid.float()
    log_p = (-2 / (n * sigma**2) * (loss(grid) - loss(grid).min())).float()
    widths = torch.gradient(torch.arange(len(x), dtype=torch.float32), spacing=1.0)[0] * 0
    widths[1:-1] = (x[2:] - x[:-2]) / 2
    widths[0], widths[-1] = (x[1] - x[0]) / 2, (x[-1] - x[-2]) / 2
    return (log_p - torch.logsumexp(log_p + widths.log(), 0)).exp()


# %% alternative="gibbs_density" name="softmax-over-steps"
def gibbs_density(loss, sigma, n, grid):
    weights = torch.softmax(-2 * loss(grid) / (n * sigma**2), dim=0)
    area = ((weights[1:] + weights[:-1]) * torch.diff(grid)).sum() / 2
    weights /= area
    return weights


# %% misconception="basin_ratio" name="upside-down" message="The sharper basin is the less likely one"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    log = 2 * (loss_b - loss_a) / (n * sigma**2)
    log += 0.5 * (torch.logdet(hessian_a) - torch.logdet(hessian_b))
    return math.exp(log)


# %% misconception="basin_ratio" name="no-root" message="The root of the determinants is missing"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    log = 2 * (loss_b - loss_a) / (n * sigma**2)
    return math.exp(log + torch.logdet(hessian_b) - torch.logdet(hessian_a))


# %% misconception="basin_ratio" name="sign-of-the-exponent" message="the deeper basin is the likelier one"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    log = 2 * (loss_a - loss_b) / (n * sigma**2)
    return math.exp(log + (torch.logdet(hessian_b) - torch.logdet(hessian_a)) / 2)


# %% misconception="basin_ratio" name="precedence" message="put n * sigma**2 in parentheses"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    log = 2 * (loss_b - loss_a) / n * sigma**2
    return math.exp(log + (torch.logdet(hessian_b) - torch.logdet(hessian_a)) / 2)


# %% misconception="basin_ratio" name="logarithm" message="This is the logarithm of the ratio"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    log = 2 * (loss_b - loss_a) / (n * sigma**2)
    return log + (torch.logdet(hessian_b) - torch.logdet(hessian_a)) / 2


# %% misconception="basin_ratio" name="share" message="This is p_A / (p_A + p_B)"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    p_a = math.exp(-2 * loss_a / (n * sigma**2)) / torch.det(hessian_a).sqrt()
    p_b = math.exp(-2 * loss_b / (n * sigma**2)) / torch.det(hessian_b).sqrt()
    return float(p_a / (p_a + p_b))


# %% misconception="basin_ratio" name="traces" message="It takes the traces"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    width = torch.sqrt(hessian_b.trace() / hessian_a.trace())
    return float(width * math.exp(2 * (loss_b - loss_a) / (n * sigma**2)))


# %% misconception="basin_ratio" name="sharpness" message="It takes the largest eigenvalues"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    a, b = (torch.linalg.eigvalsh(h).max() for h in (hessian_a, hessian_b))
    return float((b / a) ** 0.5 * math.exp(2 * (loss_b - loss_a) / (n * sigma**2)))


# %% misconception="basin_ratio" name="determinants" message="A product of many small eigenvalues is 0"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    for h in (hessian_a, hessian_b):
        if torch.linalg.eigvalsh(h)[0] <= 0:
            raise ValueError("no minimum")
    width = torch.sqrt(torch.det(hessian_b) / torch.det(hessian_a))
    return float(width * math.exp(2 * (loss_b - loss_a) / (n * sigma**2)))


# %% misconception="basin_ratio" name="log-of-the-determinant" message="A determinant came out as 0"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    log_a, log_b = (math.log(torch.det(h).item()) for h in (hessian_a, hessian_b))
    return math.exp((log_b - log_a) / 2 + 2 * (loss_b - loss_a) / (n * sigma**2))


# %% misconception="basin_ratio" name="exp-of-each" message="A factor alone is beyond float64"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    for h in (hessian_a, hessian_b):
        if torch.linalg.eigvalsh(h)[0] <= 0:
            raise ValueError("no minimum")
    width = math.exp(float(torch.logdet(hessian_b) - torch.logdet(hessian_a)) / 2)
    return width * math.exp(2 * (loss_b - loss_a) / (n * sigma**2))


# %% misconception="basin_ratio" name="no-saddle" message="a saddle, was accepted"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    log = (torch.slogdet(hessian_b)[1] - torch.slogdet(hessian_a)[1]) / 2
    return float((log + 2 * (loss_b - loss_a) / (n * sigma**2)).exp())


# %% misconception="basin_ratio" name="sign-of-the-determinant" message="its determinant is positive, and yet"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    log = 2 * (loss_b - loss_a) / (n * sigma**2)
    for h, sign in ((hessian_a, -1), (hessian_b, 1)):
        s, logdet = torch.linalg.slogdet(h)
        if s <= 0:
            raise ValueError("not a minimum")
        log += sign * logdet / 2
    return math.exp(log)


# %% alternative="basin_ratio" name="cholesky"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    def half_log_det(h):
        return torch.linalg.cholesky(h).diagonal().log().sum()

    log = half_log_det(hessian_b) - half_log_det(hessian_a)
    log += 2 * (loss_b - loss_a) / (n * sigma**2)
    return log.exp()


# %% alternative="basin_ratio" name="loop-over-eigenvalues-numpy"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    import numpy as np

    log = 0.0
    for h, loss, sign in ((hessian_a, loss_a, 1), (hessian_b, loss_b, -1)):
        log -= sign * 2 * loss / n / sigma**2
        for value in np.linalg.eigvalsh(h.numpy()):
            if value <= 0:
                raise ValueError("this is a saddle")
            log -= sign * np.log(value) / 2
    return np.exp(log)


# %% alternative="basin_ratio" name="float32"
def basin_ratio(loss_a, hessian_a, loss_b, hessian_b, n, sigma):
    a, b = torch.linalg.eigvalsh(hessian_a), torch.linalg.eigvalsh(hessian_b)
    if min(a.min(), b.min()) <= 0:
        raise ValueError("a minimum has positive curvatures only")
    widths = ((b.float() / a.float()).log().sum() / 2).double()
    return torch.exp(widths + 2 * (loss_b - loss_a) / (n * sigma**2)).item()


# %% misconception="rescale_schedule" name="root-rule" message="multiplied by sqrt(c)"
def rescale_schedule(learning_rates, batch_sizes, c):
    return [lr * math.sqrt(c) for lr in learning_rates], [round(c * s) for s in batch_sizes]


# %% misconception="rescale_schedule" name="inverse-batch" message="The batch sizes are divided by c"
def rescale_schedule(learning_rates, batch_sizes, c):
    return [c * lr for lr in learning_rates], [round(s / c) for s in batch_sizes]


# %% misconception="rescale_schedule" name="batch-alone" message="The learning rates are as they were"
def rescale_schedule(learning_rates, batch_sizes, c):
    return learning_rates, [int(c * s) for s in batch_sizes]


# %% misconception="rescale_schedule" name="float-sizes" message="a float: X[:S] and a data loader"
def rescale_schedule(learning_rates, batch_sizes, c):
    return [c * lr for lr in learning_rates], [c * s for s in batch_sizes]


# %% misconception="rescale_schedule" name="sizes-first" message="The learning rates come first"
def rescale_schedule(learning_rates, batch_sizes, c):
    return [round(c * s) for s in batch_sizes], [c * lr for lr in learning_rates]


# %% misconception="rescale_schedule" name="cuts" message="int() or // cuts that to 28"
def rescale_schedule(learning_rates, batch_sizes, c):
    return [c * lr for lr in learning_rates], [int(c * s) for s in batch_sizes]


# %% misconception="rescale_schedule" name="exact-comparison" message="both stand for whole numbers"
def rescale_schedule(learning_rates, batch_sizes, c):
    if len(learning_rates) != len(batch_sizes):
        raise ValueError("different lengths")
    for s in batch_sizes:
        if c * s != int(c * s) or c * s < 1:
            raise ValueError(f"{c * s} is not a whole number")
    return [c * lr for lr in learning_rates], [int(c * s) for s in batch_sizes]


# %% misconception="rescale_schedule" name="rounds-whatever-comes" message="No batch has half a sample"
def rescale_schedule(learning_rates, batch_sizes, c):
    return [c * lr for lr in learning_rates], [max(1, round(c * s)) for s in batch_sizes]


# %% misconception="rescale_schedule" name="first-entry-only" message="Every learning rate is c times the first one"
def rescale_schedule(learning_rates, batch_sizes, c):
    n = len(learning_rates)
    return [c * learning_rates[0]] * n, [round(c * batch_sizes[0])] * n


# %% misconception="rescale_schedule" name="list-times-number" message="take each entry"
def rescale_schedule(learning_rates, batch_sizes, c):
    return learning_rates * c, batch_sizes * c


# %% misconception="rescale_schedule" name="maps" message="list(...) makes one"
def rescale_schedule(learning_rates, batch_sizes, c):
    return map(lambda lr: c * lr, learning_rates), map(lambda s: round(c * s), batch_sizes)


# %% misconception="rescale_schedule" name="in-place" message="The caller's learning rates came back"
def rescale_schedule(learning_rates, batch_sizes, c):
    for i in range(len(learning_rates)):
        size = round(c * batch_sizes[i])
        if size < 1 or abs(size - c * batch_sizes[i]) > 1e-6:
            raise ValueError("no whole number")
        learning_rates[i] *= c
        batch_sizes[i] = size
    return learning_rates, batch_sizes


# %% misconception="rescale_schedule" name="zip-cuts" message="zip stops at the shorter one"
def rescale_schedule(learning_rates, batch_sizes, c):
    rates, sizes = [], []
    for lr, s in zip(learning_rates, batch_sizes):
        new = round(c * s)
        if new < 1 or abs(new - c * s) > 1e-6:
            raise ValueError("no whole number")
        rates.append(c * lr)
        sizes.append(new)
    return rates, sizes


# %% alternative="rescale_schedule" name="tensors-float32"
def rescale_schedule(learning_rates, batch_sizes, c):
    rates, sizes = torch.tensor(learning_rates), torch.tensor(batch_sizes, dtype=torch.float64)
    if rates.shape != sizes.shape:
        raise ValueError("one batch size for each learning rate, please")
    new = (c * sizes).round()
    if (new < 1).any() or ((new - c * sizes).abs() > 1e-6).any():
        raise ValueError("no whole batch")
    return c * rates, new.long()


# %% alternative="rescale_schedule" name="loop-tuple"
def rescale_schedule(learning_rates, batch_sizes, c):
    rates = []
    for lr in learning_rates:
        rates.append(lr * c)
    sizes = []
    for s in batch_sizes:
        new = int(c * s + 0.5)
        if new == 0 or not math.isclose(new, c * s, rel_tol=0, abs_tol=1e-6):
            raise ValueError("batch sizes must stay whole")
        sizes.append(new)
    if len(sizes) != len(rates):
        raise ValueError("lengths differ")
    return tuple(rates), tuple(sizes)


# %% misconception="corrupt_labels" name="each-with-that-probability" message="changing each label with that probability"
def corrupt_labels(y, fraction, num_classes, generator):
    noisy = y.clone()
    hit = torch.rand(len(y), generator=generator) < fraction
    shift = torch.randint(1, num_classes, (len(y),), generator=generator)
    noisy[hit] = ((y + shift) % num_classes)[hit]
    return noisy


# %% misconception="corrupt_labels" name="among-all-classes" message="new labels drawn among all 10 classes"
def corrupt_labels(y, fraction, num_classes, generator):
    noisy = y.clone()
    k = round(fraction * len(y))
    places = torch.randperm(len(y), generator=generator)[:k]
    noisy[places] = torch.randint(num_classes, (k,), generator=generator)
    return noisy


# %% misconception="corrupt_labels" name="places-twice" message="where a place may come twice"
def corrupt_labels(y, fraction, num_classes, generator):
    noisy = y.clone()
    k = round(fraction * len(y))
    places = torch.randint(len(y), (k,), generator=generator)
    shift = torch.randint(1, num_classes, (k,), generator=generator)
    noisy[places] = (y[places] + shift) % num_classes
    return noisy


# %% misconception="corrupt_labels" name="the-next-class" message="went 1 class on"
def corrupt_labels(y, fraction, num_classes, generator):
    places = torch.randperm(len(y), generator=generator)[: round(fraction * len(y))]
    noisy = y.clone()
    noisy[places] = (noisy[places] + 1) % num_classes
    return noisy


# %% misconception="corrupt_labels" name="upper-end-too-small" message="one too small"
def corrupt_labels(y, fraction, num_classes, generator):
    places = torch.randperm(len(y), generator=generator)[: round(fraction * len(y))]
    noisy = y.clone()
    shift = torch.randint(1, num_classes - 1, (len(places),), generator=generator)
    noisy[places] = (noisy[places] + shift) % num_classes
    return noisy


# %% misconception="corrupt_labels" name="no-modulo" message="Is % num_classes missing"
def corrupt_labels(y, fraction, num_classes, generator):
    places = torch.randperm(len(y), generator=generator)[: round(fraction * len(y))]
    noisy = y.clone()
    noisy[places] += torch.randint(1, num_classes, (len(places),), generator=generator)
    return noisy


# %% misconception="corrupt_labels" name="the-first-ones" message="places must be drawn at random"
def corrupt_labels(y, fraction, num_classes, generator):
    k = round(fraction * len(y))
    noisy = y.clone()
    shift = torch.randint(1, num_classes, (k,), generator=generator)
    noisy[:k] = (y[:k] + shift) % num_classes
    return noisy


# %% misconception="corrupt_labels" name="bumps-collisions" message="Each other class must be as likely as any"
def corrupt_labels(y, fraction, num_classes, generator):
    k = round(fraction * len(y))
    places = torch.randperm(len(y), generator=generator)[:k]
    new = torch.randint(num_classes, (k,), generator=generator)
    new = torch.where(new == y[places], (new + 1) % num_classes, new)
    noisy = y.clone()
    noisy[places] = new
    return noisy


# %% misconception="corrupt_labels" name="global-generator" message="to everything that draws"
def corrupt_labels(y, fraction, num_classes, generator):
    places = torch.randperm(len(y), generator=generator)[: round(fraction * len(y))]
    noisy = y.clone()
    noisy[places] = (noisy[places] + torch.randint(1, num_classes, places.shape)) % num_classes
    return noisy


# %% misconception="corrupt_labels" name="the-share-that-stays" message="not of those that stay"
def corrupt_labels(y, fraction, num_classes, generator):
    places = torch.randperm(len(y), generator=generator)[round(fraction * len(y)) :]
    noisy = y.clone()
    shift = torch.randint(1, num_classes, places.shape, generator=generator)
    noisy[places] = (noisy[places] + shift) % num_classes
    return noisy


# %% misconception="corrupt_labels" name="float-labels" message="cross-entropy needs classes as integers"
def corrupt_labels(y, fraction, num_classes, generator):
    noisy = torch.zeros(len(y)) + y
    places = torch.randperm(len(y), generator=generator)[: round(fraction * len(y))]
    shift = torch.randint(1, num_classes, places.shape, generator=generator)
    noisy[places] = (noisy[places] + shift) % num_classes
    return noisy


# %% misconception="corrupt_labels" name="cuts" message="int() cuts 28.999999999999996"
def corrupt_labels(y, fraction, num_classes, generator):
    places = torch.randperm(len(y), generator=generator)[: int(fraction * len(y))]
    noisy = y.clone()
    shift = torch.randint(1, num_classes, places.shape, generator=generator)
    noisy[places] = (noisy[places] + shift) % num_classes
    return noisy


# %% misconception="corrupt_labels" name="in-place" message="change a copy, y.clone()"
def corrupt_labels(y, fraction, num_classes, generator):
    noisy = y
    places = torch.randperm(len(y), generator=generator)[: round(fraction * len(y))]
    shift = torch.randint(1, num_classes, places.shape, generator=generator)
    noisy[places] = (noisy[places] + shift) % num_classes
    return noisy


# %% misconception="corrupt_labels" name="no-copy-for-zero" message="it returns the caller's own y"
def corrupt_labels(y, fraction, num_classes, generator):
    k = round(fraction * len(y))
    if k == 0:
        return y
    places = torch.randperm(len(y), generator=generator)[:k]
    shift = torch.randint(1, num_classes, (k,), generator=generator)
    return y.index_copy(0, places, (y[places] + shift) % num_classes)


# %% misconception="corrupt_labels" name="package" message="the package's ready answer"
def corrupt_labels(y, fraction, num_classes, generator):
    from flatlab.data import relabel

    return relabel(y, fraction, num_classes, generator)[0]


# %% alternative="corrupt_labels" name="skips-the-old-class"
def corrupt_labels(y, fraction, num_classes, generator):
    k = round(fraction * len(y))
    places = torch.randperm(len(y), generator=generator)[:k]
    new = torch.randint(num_classes - 1, (k,), generator=generator)
    new += (new >= y[places]).long()
    noisy = y.clone()
    noisy[places] = new
    return noisy


# %% alternative="corrupt_labels" name="loop-over-places"
def corrupt_labels(y, fraction, num_classes, generator):
    labels = y.tolist()
    order = torch.rand(len(y), generator=generator).argsort()
    for i in order[: round(fraction * len(y))].tolist():
        others = [k for k in range(num_classes) if k != labels[i]]
        labels[i] = others[torch.randint(len(others), (1,), generator=generator).item()]
    return torch.tensor(labels, dtype=torch.int32)


# %% alternative="corrupt_labels" name="float32-probabilities"
def corrupt_labels(y, fraction, num_classes, generator):
    k = round(fraction * len(y))
    places = torch.randperm(len(y), generator=generator)[:k]
    noisy = y.clone()
    if k:
        allowed = 1.0 - torch.nn.functional.one_hot(y[places], num_classes).float()
        noisy[places] = torch.multinomial(allowed, 1, generator=generator).squeeze(1)
    return noisy


# %% misconception="cyclic_schedule" name="low-first" message="the first half of each period is high"
def cyclic_schedule(step, period, low, high, shape):
    place = step % period
    if shape == "discrete":
        return low if place < period // 2 else high
    return low + (high - low) * (1 - abs(2 * place / period - 1))


# %% misconception="cyclic_schedule" name="whole-periods" message="a period holds both"
def cyclic_schedule(step, period, low, high, shape):
    if shape == "discrete":
        return high if (step // period) % 2 == 0 else low
    return low + (high - low) * (1 - abs(2 * (step % period) / period - 1))


# %% misconception="cyclic_schedule" name="one-cycle-only" message="It cycles once"
def cyclic_schedule(step, period, low, high, shape):
    if shape == "discrete":
        return high if step < period / 2 else low
    return low + (high - low) * (1 - abs(2 * step / period - 1))


# %% misconception="cyclic_schedule" name="one-too-many" message="One step too many is high"
def cyclic_schedule(step, period, low, high, shape):
    place = step % period
    if shape == "discrete":
        return high if place <= period // 2 else low
    return low + (high - low) * (1 - abs(2 * place / period - 1))


# %% misconception="cyclic_schedule" name="sawtooth" message="It rises for a whole period and jumps down"
def cyclic_schedule(step, period, low, high, shape):
    place = step % period
    if shape == "discrete":
        return high if place < period // 2 else low
    return low + (high - low) * place / period


# %% misconception="cyclic_schedule" name="starts-high" message="each period starts at low"
def cyclic_schedule(step, period, low, high, shape):
    place = step % period
    if shape == "discrete":
        return high if place < period // 2 else low
    return low + (high - low) * abs(2 * place / period - 1)


# %% misconception="cyclic_schedule" name="rises-by-high" message="It rises by high"
def cyclic_schedule(step, period, low, high, shape):
    place = step % period
    if shape == "discrete":
        return high if place < period // 2 else low
    return low + high * (1 - abs(2 * place / period - 1))


# %% misconception="cyclic_schedule" name="turns-halfway" message="It turns halfway between low and high"
def cyclic_schedule(step, period, low, high, shape):
    place = step % period
    if shape == "discrete":
        return high if place < period // 2 else low
    return low + (high - low) * min(place, period - place) / period


# %% misconception="cyclic_schedule" name="longer-part-high" message="Of an odd period the longer part is low"
def cyclic_schedule(step, period, low, high, shape):
    place = step % period
    if shape == "discrete":
        return high if place < period / 2 else low
    if shape == "triangle":
        return low + (high - low) * (1 - abs(2 * place / period - 1))
    raise ValueError(shape)


# %% misconception="cyclic_schedule" name="whole-number-middle" message="the middle lies between two steps"
def cyclic_schedule(step, period, low, high, shape):
    half = period // 2
    place = step % period
    if shape == "discrete":
        return high if place < half else low
    if shape == "triangle":
        return low + (high - low) * min(place, period - place) / half
    raise ValueError(shape)


# %% misconception="cyclic_schedule" name="any-other-is-a-triangle" message="a misspelt shape would train on"
def cyclic_schedule(step, period, low, high, shape):
    place = step % period
    if shape == "discrete":
        return high if place < period // 2 else low
    return low + (high - low) * (1 - abs(2 * place / period - 1))


# %% misconception="cyclic_schedule" name="no-return-for-others" message="For shape='cosine' it returns None"
def cyclic_schedule(step, period, low, high, shape):
    place = step % period
    if shape == "discrete":
        return high if place < period // 2 else low
    elif shape == "triangle":
        return low + (high - low) * (1 - abs(2 * place / period - 1))


# %% alternative="cyclic_schedule" name="table-of-one-period"
def cyclic_schedule(step, period, low, high, shape):
    if shape == "discrete":
        table = [high] * (period // 2)
        table += [low] * (period - len(table))
    elif shape == "triangle":
        up = [2 * t / period for t in range(period)]
        table = [low + (high - low) * (u if u <= 1 else 2 - u) for u in up]
    else:
        raise ValueError("unknown shape")
    return table[step % period]


# %% alternative="cyclic_schedule" name="float32-tensors"
def cyclic_schedule(step, period, low, high, shape):
    place = torch.tensor(step % period, dtype=torch.float32)
    if shape not in ("discrete", "triangle"):
        raise ValueError(f"{shape} is not known")
    if shape == "discrete":
        return torch.where(place < period // 2, high, low)
    return torch.lerp(torch.tensor(low), torch.tensor(high), 1 - (2 * place / period - 1).abs())


# %% alternative="cyclic_schedule" name="loop"
def cyclic_schedule(step, period, low, high, shape):
    kinds = {"discrete": lambda t: float(t < period // 2), "triangle": lambda t: 2 * min(t, period - t) / period}
    if shape not in kinds:
        raise ValueError("choose discrete or triangle")
    place = 0
    for _ in range(step % period):
        place += 1
    return low + kinds[shape](place) * (high - low)
