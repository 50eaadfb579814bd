# %% [markdown]
# Wrong and right answers to the exercises of chapter 04. Each cell stands in for the student's.

# %% misconception="sample_stable" name="exponent-without-parentheses" message="takes the power first and divides then"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = -torch.log(1 - torch.rand(size, generator=generator))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** (1 - alpha) / alpha


# %% misconception="sample_stable" name="uniform-w" message="W is uniform"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = 1 - torch.rand(size, generator=generator)
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="one-uniform-for-both" message="made from the same random numbers"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    u = torch.rand(size, generator=generator)
    v, w = math.pi * (u - 0.5), -torch.log(u)
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="v-between-0-and-pi" message="V must lie between -pi/2 and pi/2"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi * torch.rand(size, generator=generator)
    w = -torch.log(1 - torch.rand(size, generator=generator))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="w-negative" message="W must be positive"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = torch.log(torch.rand(size, generator=generator))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="one-pair-for-all" message="All 20000 draws are the same number"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi * (torch.rand(1, generator=generator, dtype=torch.float64) - 0.5)
    w = -torch.log(1 - torch.rand(1, generator=generator, dtype=torch.float64))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return (first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)).expand(size)


# %% misconception="sample_stable" name="half-from-the-generator" message="draw V and W both with generator=generator"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi * (torch.rand(size, generator=generator, dtype=torch.float64) - 0.5)
    w = torch.distributions.Exponential(torch.ones(size, dtype=torch.float64)).sample()
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="variance-one" message="for alpha = 2 means the variance 2"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    if alpha == 2:
        return torch.randn(size, generator=generator)
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = -torch.log(1 - torch.rand(size, generator=generator))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="no-refusal" message="as if nothing were wrong: raise ValueError"
def sample_stable(alpha, size, generator):
    if alpha == 0:
        raise ValueError("alpha is 0")
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = -torch.log(1 - torch.rand(size, generator=generator))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="asks-the-package" message="calls flatlab.tails"
def sample_stable(alpha, size, generator):
    from flatlab.tails import sample_stable

    return sample_stable(alpha, size, generator)


# %% alternative="sample_stable" name="float32"
def sample_stable(alpha, size, generator):
    if alpha <= 0 or alpha > 2:
        raise ValueError(f"alpha={alpha}")
    u1, u2 = torch.rand(size, generator=generator), torch.rand(size, generator=generator)
    V = torch.pi * u1 - torch.pi / 2
    W = -(1 - u2).log()
    x = (alpha * V).sin() * V.cos().pow(-1 / alpha)
    return x * (W / ((1 - alpha) * V).cos()).pow((alpha - 1) / alpha)


# %% alternative="sample_stable" name="loop"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("no stable law")
    out = torch.empty(size, dtype=torch.float64)
    flat = out.view(-1)
    uniform = torch.rand(2, flat.numel(), generator=generator, dtype=torch.float64).tolist()
    for i, (a, b) in enumerate(zip(*uniform)):
        v, w = math.pi * (a - 0.5), -math.log(1 - b)
        factor = (math.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)
        flat[i] = math.sin(alpha * v) / math.cos(v) ** (1 / alpha) * factor
    return out


# %% alternative="sample_stable" name="in-place-exponential"
def sample_stable(alpha, size, generator):
    if not (alpha > 0 and alpha <= 2):
        raise ValueError("alpha")
    v = torch.empty(size, dtype=torch.float64).uniform_(
        -math.pi / 2, math.pi / 2, generator=generator
    )
    w = torch.empty(size, dtype=torch.float64).exponential_(generator=generator)
    if alpha == 1:
        return torch.tan(v)
    x = torch.sin(alpha * v)
    x /= torch.cos(v) ** (1 / alpha)
    x *= (torch.cos(v - alpha * v) / w) ** (1 / alpha - 1)
    return x


# %% misconception="gradient_noise" name="mean-over-parameters" message="The mean over the minibatches, g.mean(0), has one entry for each parameter"
def gradient_noise(per_batch_grads):
    return per_batch_grads - per_batch_grads.mean(1)


# %% misconception="gradient_noise" name="row-means" message="From each row its own mean over the parameters is subtracted"
def gradient_noise(per_batch_grads):
    return per_batch_grads - per_batch_grads.mean(dim=-1, keepdim=True)


# %% misconception="gradient_noise" name="one-mean" message="One number is subtracted everywhere"
def gradient_noise(per_batch_grads):
    return per_batch_grads - per_batch_grads.mean()


# %% misconception="gradient_noise" name="sign" message="The sign is turned"
def gradient_noise(per_batch_grads):
    return per_batch_grads.mean(0) - per_batch_grads


# %% misconception="gradient_noise" name="standardized" message="the noise keeps its scale"
def gradient_noise(per_batch_grads):
    return (per_batch_grads - per_batch_grads.mean(0)) / per_batch_grads.std(0)


# %% misconception="gradient_noise" name="in-place" message="have changed: `-=` writes into the caller's tensor"
def gradient_noise(per_batch_grads):
    per_batch_grads -= per_batch_grads.mean(0)
    return per_batch_grads


# %% misconception="gradient_noise" name="mean-that-moves" message="computed again after rows have changed"
def gradient_noise(per_batch_grads):
    noise = per_batch_grads.clone()
    for k in range(len(noise)):
        noise[k] -= noise.mean(0)
    return noise


# %% misconception="gradient_noise" name="aliased-list" message="is it one tensor, put into the list k times?"
def gradient_noise(per_batch_grads):
    full = per_batch_grads.mean(0)
    row, rows = torch.empty_like(full), []
    for gradient in per_batch_grads:
        torch.sub(gradient, full, out=row)
        rows.append(row)
    return torch.stack(rows)


# %% misconception="gradient_noise" name="sum-for-mean" message="The sum over the minibatches is subtracted"
def gradient_noise(per_batch_grads):
    return per_batch_grads - sum(per_batch_grads)


# %% misconception="gradient_noise" name="mean-of-the-others" message="take all rows"
def gradient_noise(per_batch_grads):
    k = len(per_batch_grads)
    others = (per_batch_grads.sum(0) - per_batch_grads) / (k - 1)
    return per_batch_grads - others


# %% alternative="gradient_noise" name="loop-over-rows"
def gradient_noise(per_batch_grads):
    full = sum(per_batch_grads) / len(per_batch_grads)
    return torch.stack([gradient - full for gradient in per_batch_grads])


# %% alternative="gradient_noise" name="float32-copy-in-place"
def gradient_noise(per_batch_grads):
    noise = per_batch_grads.clone().float()
    noise -= noise.mean(dim=0, keepdim=True)
    return noise


# %% alternative="gradient_noise" name="projection"
def gradient_noise(per_batch_grads):
    k = per_batch_grads.shape[0]
    center = torch.eye(k, dtype=per_batch_grads.dtype) - 1 / k
    return center @ per_batch_grads


# %% misconception="tail_index" name="inverse" message="This is 1/alpha: turn it over"
def tail_index(x, k1):
    x = x.flatten()
    if len(x) % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(-1, k1).sum(1)
    return (y.abs().log().mean() - x.abs().log().mean()) / math.log(k1)


# %% misconception="tail_index" name="log-of-means" message="The logarithm comes first, then the mean"
def tail_index(x, k1):
    x = x.flatten()
    if len(x) % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(-1, k1).sum(1)
    return math.log(k1) / (y.abs().mean().log() - x.abs().mean().log())


# %% misconception="tail_index" name="strided-blocks" message="It adds entries that lie k2 apart"
def tail_index(x, k1):
    x = x.flatten()
    if len(x) % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(k1, -1).sum(0)
    return math.log(k1) / (y.abs().log().mean() - x.abs().log().mean())


# %% misconception="tail_index" name="no-absolute-values" message="take log|X| and log|Y|"
def tail_index(x, k1):
    x = x.flatten()
    if len(x) % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(-1, k1).sum(1)
    return math.log(k1) / (y.log().mean() - x.log().mean())


# %% misconception="tail_index" name="absolute-values-first" message="|X| is added up"
def tail_index(x, k1):
    x = x.abs().flatten()
    if len(x) % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(-1, k1).sum(1)
    return math.log(k1) / (y.log().mean() - x.log().mean())


# %% misconception="tail_index" name="block-means" message="It takes the means of the blocks"
def tail_index(x, k1):
    x = x.flatten()
    if len(x) % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(-1, k1).mean(1)
    return math.log(k1) / (y.abs().log().mean() - x.abs().log().mean())


# %% misconception="tail_index" name="abs-in-place" message="The x that was passed in has changed"
def tail_index(x, k1):
    x = x.flatten()
    if len(x) % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(-1, k1).sum(1).abs_().log_()
    return math.log(k1) / (y.mean() - x.abs_().log_().mean())


# %% misconception="tail_index" name="torch-log-of-an-int" message="k1 is a plain number, so math.log(k1)"
def tail_index(x, k1):
    x = x.flatten()
    if len(x) % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(-1, k1).sum(1)
    return torch.log(k1) / (y.abs().log().mean() - x.abs().log().mean())


# %% misconception="tail_index" name="drops-the-rest" message="as if nothing were wrong: raise ValueError"
def tail_index(x, k1):
    x = x.flatten()
    x = x[: len(x) // k1 * k1]
    y = x.reshape(-1, k1).sum(1)
    return math.log(k1) / (y.abs().log().mean() - x.abs().log().mean())


# %% misconception="tail_index" name="leaves-it-to-reshape" message="it stops with RuntimeError"
def tail_index(x, k1):
    y = x.reshape(-1, k1).sum(1)
    return math.log(k1) / (y.abs().log().mean() - x.abs().log().mean())


# %% alternative="tail_index" name="loop"
def tail_index(x, k1):
    values = x.reshape(-1).tolist()
    if len(values) % k1 != 0:
        raise ValueError(f"{k1} does not divide {len(values)}")
    log_x = sum(math.log(abs(v)) for v in values) / len(values)
    sums = [sum(values[i : i + k1]) for i in range(0, len(values), k1)]
    log_y = sum(math.log(abs(s)) for s in sums) / len(sums)
    return 1 / ((log_y - log_x) / math.log(k1))


# %% alternative="tail_index" name="float32-tensors"
def tail_index(x, k1):
    x = torch.flatten(x).to(torch.float32)
    if x.numel() % k1 > 0:
        raise ValueError("no divisor")
    blocks = torch.stack(x.split(k1))
    inverse = blocks.sum(dim=1).abs().log().mean() - x.abs().log().mean()
    return torch.log(torch.tensor(float(k1))) / inverse


# %% alternative="tail_index" name="numpy-squares"
def tail_index(x, k1):
    import numpy as np

    x = x.detach().numpy().ravel()
    if x.size % k1:
        raise ValueError("no divisor")
    y = np.add.reduceat(x, np.arange(0, x.size, k1))
    return 2 * np.log(k1) / (np.mean(np.log(y**2)) - np.mean(np.log(x**2)))


# %% misconception="matched_gaussian" name="one-scale-for-all" message="Every coordinate has the same scale"
def matched_gaussian(noise, generator):
    return noise.std() * torch.randn(noise.shape, generator=generator, dtype=noise.dtype)


# %% misconception="matched_gaussian" name="variance-as-scale" message="The scales are squared"
def matched_gaussian(noise, generator):
    return noise.var(0) * torch.randn(noise.shape, generator=generator, dtype=noise.dtype)


# %% misconception="matched_gaussian" name="scale-of-the-rows" message="one for each coordinate, over the minibatches"
def matched_gaussian(noise, generator):
    return noise.std(1) * torch.randn(noise.shape, generator=generator, dtype=noise.dtype)


# %% misconception="matched_gaussian" name="scale-of-the-minibatch" message="Each row has a scale of its own"
def matched_gaussian(noise, generator):
    scale = noise.std(dim=1, keepdim=True)
    return scale * torch.randn(noise.shape, generator=generator, dtype=noise.dtype)


# %% misconception="matched_gaussian" name="uniform" message="randn, not rand"
def matched_gaussian(noise, generator):
    scale = noise.square().mean(0).sqrt() * 3**0.5
    return scale * torch.rand(noise.shape, generator=generator, dtype=noise.dtype)


# %% misconception="matched_gaussian" name="shuffled" message="entries in another order"
def matched_gaussian(noise, generator):
    columns = []
    for j in range(noise.shape[1]):
        columns.append(noise[torch.randperm(len(noise), generator=generator), j])
    return torch.stack(columns, dim=1)


# %% misconception="matched_gaussian" name="one-row-repeated" message="All rows are the same"
def matched_gaussian(noise, generator):
    row = noise.std(0) * torch.randn(noise.shape[1], generator=generator, dtype=noise.dtype)
    return row.expand(noise.shape)


# %% misconception="matched_gaussian" name="randn-like" message="draw with generator=generator"
def matched_gaussian(noise, generator):
    return noise.std(0) * torch.randn_like(noise)


# %% misconception="matched_gaussian" name="normalizes-the-draws" message="Where a coordinate has no noise the control is NaN"
def matched_gaussian(noise, generator):
    control = noise.std(0) * torch.randn(noise.shape, generator=generator, dtype=noise.dtype)
    return control / control.std(0) * noise.std(0)


# %% misconception="matched_gaussian" name="in-place" message="The noise that was passed in has changed"
def matched_gaussian(noise, generator):
    scale = noise.std(0)
    return noise.normal_(generator=generator).mul_(scale)


# %% alternative="matched_gaussian" name="loop-over-coordinates"
def matched_gaussian(noise, generator):
    control = torch.zeros_like(noise)
    for j in range(noise.shape[1]):
        scale = torch.sqrt((noise[:, j] ** 2).sum() / len(noise))
        control[:, j] = scale * torch.randn(len(noise), generator=generator, dtype=noise.dtype)
    return control


# %% alternative="matched_gaussian" name="float32-torch-normal"
def matched_gaussian(noise, generator):
    noise = noise.to(torch.float32)
    scale = noise.var(dim=0, unbiased=False).sqrt().expand(noise.shape)
    return torch.normal(torch.zeros(noise.shape), scale, generator=generator)


# %% alternative="matched_gaussian" name="unbiased-in-place"
def matched_gaussian(noise, generator):
    control = torch.empty_like(noise).normal_(generator=generator)
    control *= noise.std(0)
    return control


# %% misconception="levy_step" name="noise-in-the-gradient" message="as if it were part of the gradient"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    return w - learning_rate * (grad + sigma * sample_stable(alpha, w.shape, generator))


# %% misconception="levy_step" name="root-of-the-rate" message="which belongs to alpha = 2"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = sample_stable(alpha, w.shape, generator)
    return w - learning_rate * grad + learning_rate**0.5 * sigma * noise


# %% misconception="levy_step" name="exponent-without-parentheses" message="`eta ** 1 / alpha` divides after the power"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = sample_stable(alpha, w.shape, generator)
    return w - learning_rate * grad + learning_rate**1 / alpha * sigma * noise


# %% misconception="levy_step" name="normal-noise" message="The noise is normal"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = torch.randn(w.shape, generator=generator)
    return w - learning_rate * grad + learning_rate ** (1 / alpha) * sigma * noise


# %% misconception="levy_step" name="one-draw-for-all" message="Every weight gets the same noise"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = sample_stable(alpha, 1, generator)
    return w - learning_rate * grad + learning_rate ** (1 / alpha) * sigma * noise


# %% misconception="levy_step" name="uphill" message="Without noise it goes uphill"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = sample_stable(alpha, w.shape, generator)
    return w + learning_rate * grad + learning_rate ** (1 / alpha) * sigma * noise


# %% misconception="levy_step" name="in-place" message="`-=` and `+=` write into the caller's tensor"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    w -= learning_rate * grad
    w += learning_rate ** (1 / alpha) * sigma * sample_stable(alpha, w.shape, generator)
    return w


# %% misconception="levy_step" name="generator-forgotten" message="pass the generator on"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = sample_stable(alpha, w.shape)
    return w - learning_rate * grad + learning_rate ** (1 / alpha) * sigma * noise


# %% misconception="levy_step" name="vectors-only" message="Whole rows or columns of weights get the same noise"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = sample_stable(alpha, w.shape[-1], generator)
    return w - learning_rate * grad + learning_rate ** (1 / alpha) * sigma * noise


# %% misconception="levy_step" name="variance-one-for-alpha-2" message="S is N(0, 2) there, not N(0, 1)"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    if alpha == 2:
        noise = torch.randn(w.shape, generator=generator)
    else:
        noise = sample_stable(alpha, w.shape, generator)
    return w - learning_rate * grad + learning_rate ** (1 / alpha) * sigma * noise


# %% alternative="levy_step" name="without-sample-stable"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    v = torch.pi * (torch.rand(w.shape, generator=generator, dtype=torch.float64) - 0.5)
    e = torch.empty(w.shape, dtype=torch.float64).exponential_(generator=generator)
    s = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    s = s * (torch.cos((1 - alpha) * v) / e) ** ((1 - alpha) / alpha)
    return w - learning_rate * grad + math.exp(math.log(learning_rate) / alpha) * sigma * s


# %% alternative="levy_step" name="copy-in-place"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    out = w.clone()
    out -= learning_rate * grad
    out += sigma * pow(learning_rate, 1 / alpha) * sample_stable(alpha, tuple(w.shape), generator)
    return out


# %% alternative="levy_step" name="float32-one-flat-draw"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = sample_stable(alpha, w.numel(), generator).reshape(w.shape).float()
    return torch.add(w.float(), grad.float(), alpha=-learning_rate) + noise * (
        sigma * learning_rate ** (1.0 / alpha)
    )


# %% misconception="first_exit_time" name="argmax-of-nothing" message="argmax of a row without True is 0"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    return dt * outside.int().argmax(1), outside.any(1)


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="counts-entries-inside" message="also those after a run came back"
def first_exit_time(paths, low, high, dt):
    inside = (paths >= low) & (paths <= high)
    steps = paths.shape[1] - 1
    return dt * inside.sum(1).clamp(max=steps), ~inside.all(1)


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="precedence-of-or" message="parentheses around each comparison"
def first_exit_time(paths, low, high, dt):
    outside = paths < low | paths > high
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return dt * torch.where(exited, outside.int().argmax(1), steps), exited


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="infinite-for-censored" message="never left, and its time is inf"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    times = dt * outside.int().argmax(1)
    return torch.where(exited, times, math.inf), exited


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="left-means-before-the-end" message="does not tell whether a run left"
def first_exit_time(paths, low, high, dt):
    steps = paths.shape[1] - 1
    outside = ~((paths >= low) & (paths <= high))
    first = torch.where(outside.any(1), outside.int().argmax(1), steps)
    return dt * first, first < steps


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="nan-is-inside" message="every comparison with NaN is False"
def first_exit_time(paths, low, high, dt):
    outside = (paths < low) | (paths > high)
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return dt * torch.where(exited, outside.int().argmax(1), steps), exited


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="border-is-outside" message="low and high themselves are inside"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths > low) & (paths < high))
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return dt * torch.where(exited, outside.int().argmax(1), steps), exited


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="drops-censored" message="Runs that never left are dropped"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return dt * torch.where(exited, outside.int().argmax(1), steps), exited


def mean_exit_time(times, exited):
    return float(times[exited].mean()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="censored-as-exits" message="Their time counts, their exit does not"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return dt * torch.where(exited, outside.int().argmax(1), steps), exited


def mean_exit_time(times, exited):
    return float(times.mean()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="divides-by-no-exits" message="return math.inf"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return dt * torch.where(exited, outside.int().argmax(1), steps), exited


def mean_exit_time(times, exited):
    return times.sum().item() / exited.sum().item()


# %% alternative="first_exit_time" name="loop-with-break"
def first_exit_time(paths, low, high, dt):
    times, exited = [], []
    for path in paths.tolist():
        time, out = dt * (len(path) - 1), False
        for i, x in enumerate(path):
            if not low <= x <= high:
                time, out = dt * i, True
                break
        times.append(time)
        exited.append(out)
    return torch.tensor(times), torch.tensor(exited)


def mean_exit_time(times, exited):
    total, exits = 0.0, 0
    for time, left in zip(times, exited):
        total += time.item()
        exits += bool(left)
    return total / exits if exits > 0 else float("inf")


# %% alternative="first_exit_time" name="still-inside"
def first_exit_time(paths, low, high, dt):
    inside = torch.logical_and(paths >= low, paths <= high)
    still = inside.long().cumprod(dim=1)
    return still[:, 1:].sum(1) * dt + dt * (still.sum(1) < paths.shape[1]), still[:, -1] == 0


def mean_exit_time(times, exited):
    return torch.sum(times) / torch.count_nonzero(exited)


# %% alternative="first_exit_time" name="float32-in-place-backwards"
def first_exit_time(paths, low, high, dt):
    runs, entries = paths.shape
    times = torch.full((runs,), (entries - 1) * dt, dtype=torch.float32)
    exited = torch.zeros(runs)
    for i in reversed(range(entries)):
        out = ~(paths[:, i].clamp(low, high) == paths[:, i])
        times[out] = i * dt
        exited[out] = 1
    return [times, exited]


def mean_exit_time(times, exited):
    exits = exited.double().mean()
    return (times.double().mean() / exits).item()
