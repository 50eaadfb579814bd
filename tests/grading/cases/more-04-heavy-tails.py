# %% [markdown]
# More wrong answers to the exercises of chapter 04, which tests/unit/checks/test_chapter04.py runs without nbgrader:
# grading takes as long as the exercise with the most cases.

# %% misconception="sample_stable" name="root-without-parentheses" message="cos(V)**1/alpha is (cos(V)**1)/alpha in Python"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = -torch.log(1 - torch.rand(size, generator=generator))
    first = torch.sin(alpha * v) / torch.cos(v) ** 1 / alpha
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="v-never-negative" message="All draws are positive"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi / 2 * torch.rand(size, generator=generator)
    w = -torch.log(1 - torch.rand(size, generator=generator))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="one-w-for-all" message="W is the same number for all draws"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = -math.log(torch.rand((), generator=generator).item())
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="normal-w" message="W is the absolute value of a normal number"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = torch.randn(size, generator=generator).abs()
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="seeds-inside" message="Is a seed set inside the function?"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    generator.manual_seed(generator.initial_seed())
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = -torch.log(1 - torch.rand(size, generator=generator))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="upside-down" message="the second factor is upside down"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = -torch.log(1 - torch.rand(size, generator=generator))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (w / torch.cos((1 - alpha) * v)) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="asserts" message="it stops with AssertionError"
def sample_stable(alpha, size, generator):
    assert 0 < alpha <= 2
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = -torch.log(1 - torch.rand(size, generator=generator))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="tail_index" name="k1-sums" message="it should be k2 sums of k1 entries each"
def tail_index(x, k1):
    x = x.flatten()
    if len(x) % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(k1, -1).sum(1)
    return math.log(k1) / (y.abs().log().mean() - x.abs().log().mean())


# %% misconception="tail_index" name="divides-the-last-term" message="divides the last term only: parentheses"
def tail_index(x, k1):
    x = x.flatten()
    if len(x) % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(-1, k1).sum(1)
    inverse = y.abs().log().mean() - x.abs().log().mean() / math.log(k1)
    return 1 / inverse


# %% misconception="tail_index" name="tiny-number-in-the-log" message="For a sample with entries around 1e-6"
def tail_index(x, k1):
    x = x.flatten()
    if len(x) % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(-1, k1).sum(1)
    eps = 1e-6
    return math.log(k1) / ((y.abs() + eps).log().mean() - (x.abs() + eps).log().mean())


# %% misconception="tail_index" name="blocks-of-a-row" message="The entries are to stand in rows of k1"
def tail_index(x, k1):
    if x.numel() % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(len(x) // k1, k1).sum(1)
    return math.log(k1) / (y.abs().log().mean() - x.abs().log().mean())


# %% misconception="matched_gaussian" name="signs-flipped" message="the tails are heavier than normal"
def matched_gaussian(noise, generator):
    signs = torch.randint(2, noise.shape, generator=generator) * 2 - 1
    return signs * noise


# %% misconception="matched_gaussian" name="one-number-a-row" message="all coordinates share one normal number"
def matched_gaussian(noise, generator):
    return noise.std(0) * torch.randn(len(noise), 1, generator=generator, dtype=noise.dtype)


# %% misconception="matched_gaussian" name="mean-absolute-value" message="The scales are means of |noise|"
def matched_gaussian(noise, generator):
    scale = noise.abs().mean(0)
    return scale * torch.randn(noise.shape, generator=generator, dtype=noise.dtype)


# %% misconception="matched_gaussian" name="standard-error" message="divided by the root of k once too often"
def matched_gaussian(noise, generator):
    scale = noise.std(0) / math.sqrt(len(noise))
    return scale * torch.randn(noise.shape, generator=generator, dtype=noise.dtype)


# %% misconception="levy_step" name="rate-once-for-both" message="The noise is eta sigma S"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = sigma * sample_stable(alpha, w.shape, generator)
    return w + learning_rate * (noise - grad)


# %% misconception="levy_step" name="gradient-in-place" message="The grad that was passed in has changed"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = sample_stable(alpha, w.shape, generator)
    step = grad.mul_(learning_rate)
    return w - step + learning_rate ** (1 / alpha) * sigma * noise


# %% misconception="levy_step" name="generator-of-its-own" message="Every generator gives the same step"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = sample_stable(alpha, w.shape, torch.Generator().manual_seed(0))
    return w - learning_rate * grad + learning_rate ** (1 / alpha) * sigma * noise


# %% misconception="levy_step" name="sigma-under-the-power" message="Here sigma is under the power 1/alpha too"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = sample_stable(alpha, w.shape, generator)
    return w - learning_rate * grad + (learning_rate * sigma) ** (1 / alpha) * noise


# %% misconception="levy_step" name="length-as-size" message="Each weight needs a draw of its own"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    noise = sample_stable(alpha, len(w), generator)
    return w - learning_rate * grad + learning_rate ** (1 / alpha) * sigma * noise


# %% misconception="first_exit_time" name="high-alone" message="It looks at high alone"
def first_exit_time(paths, low, high, dt):
    outside = paths > high
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return dt * torch.where(exited, outside.int().argmax(1), steps), exited


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="or-on-tensors" message="combine tensors with & and |"
def first_exit_time(paths, low, high, dt):
    outside = paths < low or paths > high
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return dt * torch.where(exited, outside.int().argmax(1), steps), exited


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="steps-for-time" message="These are numbers of steps: a step takes dt"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return torch.where(exited, outside.int().argmax(1), steps), exited


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="watched-one-step-too-long" message="Runs that never left get dt (steps + 1)"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    return dt * torch.where(exited, outside.int().argmax(1), paths.shape[1]), exited


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="last-exit" message="This is the last time outside"
def first_exit_time(paths, low, high, dt):
    steps = paths.shape[1] - 1
    times = torch.full((len(paths),), dt * steps, dtype=torch.float64)
    exited = torch.zeros(len(paths), dtype=torch.bool)
    for i in range(steps + 1):
        out = (paths[:, i] < low) | (paths[:, i] > high)
        times[out] = dt * i
        exited |= out
    return times, exited


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="counts-from-one" message="It is one step too late"
def first_exit_time(paths, low, high, dt):
    times, exited = [], []
    for path in paths.tolist():
        time, out = dt * len(path), False
        for i, x in enumerate(path, 1):
            if not low <= x <= high:
                time, out = dt * i, True
                break
        times.append(time)
        exited.append(out)
    return torch.tensor(times), torch.tensor(exited)


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="nan-through-max" message="every comparison with NaN is False"
def first_exit_time(paths, low, high, dt):
    steps = paths.shape[1] - 1
    times, exited = [], []
    for path in paths.tolist():
        first = steps
        left = max(path) > high or min(path) < low
        for i, x in reversed(list(enumerate(path))):
            if max(low - x, x - high) > 0:
                first = i
        times.append(dt * first)
        exited.append(left)
    return torch.tensor(times), torch.tensor(exited)


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="argmax-of-bool" message="outside.int().argmax(1)"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return dt * torch.where(exited, outside.argmax(1), steps), exited


def mean_exit_time(times, exited):
    return float(times.sum() / exited.sum()) if exited.any() else math.inf


# %% misconception="first_exit_time" name="sums-of-each-run" message="the sums are taken over all runs"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return dt * torch.where(exited, outside.int().argmax(1), steps), exited


def mean_exit_time(times, exited):
    return times / exited.sum() if exited.any() else math.inf


# %% misconception="sample_stable" name="sine-under-the-power" message="only cos(V) is, and the sine is often negative"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = -torch.log(1 - torch.rand(size, generator=generator))
    first = (torch.sin(alpha * v) / torch.cos(v)) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="sample_stable" name="w-alone-under-the-power" message="put the quotient cos((1 - alpha) V)/W in parentheses"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha must lie in (0, 2]")
    v = math.pi * (torch.rand(size, generator=generator) - 0.5)
    w = -torch.log(1 - torch.rand(size, generator=generator))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * torch.cos((1 - alpha) * v) / w ** ((1 - alpha) / alpha)


# %% misconception="tail_index" name="columns-of-the-blocks" message="sum the rows of reshape(-1, k1) over dim 1, not 0"
def tail_index(x, k1):
    x = x.reshape(-1)
    if not k1 > 1 or len(x) % k1:
        raise ValueError("k1 must divide the sample")
    y = x.reshape(-1, k1).sum(0)
    return math.log(k1) / float(y.abs().log().mean() - x.abs().log().mean())


# %% misconception="levy_step" name="in-place-noise" message="The w that was passed in has changed"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    w += learning_rate ** (1 / alpha) * sigma * sample_stable(alpha, w.shape, generator)
    return w - learning_rate * grad


# %% misconception="levy_step" name="reseeded" message="repeats the noise of the first"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    own = torch.Generator().manual_seed(generator.initial_seed())
    noise = sample_stable(alpha, w.shape, own)
    return w - learning_rate * grad + learning_rate ** (1 / alpha) * sigma * noise


# %% misconception="matched_gaussian" name="reseeded" message="repeats the first: it must go on"
def matched_gaussian(noise, generator):
    torch.manual_seed(generator.initial_seed())
    return noise.std(0) * torch.randn_like(noise)


# %% misconception="matched_gaussian" name="mixes-the-rows" message="correlated as those of the noise"
def matched_gaussian(noise, generator):
    k = len(noise)
    return torch.randn(k, k, generator=generator, dtype=noise.dtype) @ noise / math.sqrt(k)


# %% misconception="tail_index" name="cut-off-at-two" message="alpha is 4; yours is 2"
def tail_index(x, k1):
    if x.numel() % k1:
        raise ValueError("k1")
    y = x.reshape(-1, k1).sum(1)
    return min(2.0, math.log(k1) / (y.abs().log().mean() - x.abs().log().mean()).item())


# %% misconception="sample_stable" name="shared-waiting-times" message="one of each for each entry"
def sample_stable(alpha, size, generator):
    if not 0 < alpha <= 2:
        raise ValueError("alpha")
    if isinstance(size, int):
        size = (size,)
    v = math.pi * (torch.rand(size, generator=generator, dtype=torch.float64) - 0.5)
    w = -torch.log(1 - torch.rand(size[-1], generator=generator, dtype=torch.float64))
    first = torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha)
    return first * (torch.cos((1 - alpha) * v) / w) ** ((1 - alpha) / alpha)


# %% misconception="first_exit_time" name="size-of-numpy" message="A method is called with ()"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    steps = paths.size - 1
    return dt * torch.where(exited, outside.int().argmax(1), steps), exited


# %% misconception="first_exit_time" name="range-beyond" message="Row k is a run"
def first_exit_time(paths, low, high, dt):
    runs, steps = paths.shape
    times = torch.full((runs,), (steps - 1) * dt)
    exited = torch.zeros(runs, dtype=torch.bool)
    for k in range(runs):
        for i in range(steps + 1):
            if not low <= paths[k, i] <= high:
                times[k], exited[k] = i * dt, True
                break
    return times, exited


# %% misconception="first_exit_time" name="axes-swapped" message="Row k is a run"
def first_exit_time(paths, low, high, dt):
    steps, runs = paths.shape
    times = torch.full((runs,), (steps - 1) * dt)
    exited = torch.zeros(runs, dtype=torch.bool)
    for k in range(runs):
        for i in range(steps):
            if not low <= paths[k, i] <= high:
                times[k], exited[k] = i * dt, True
                break
    return times, exited


# %% misconception="first_exit_time" name="one-step-early" message="Runs that left are one step too early"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return dt * torch.where(exited, outside[:, 1:].int().argmax(1), steps), exited


# %% misconception="first_exit_time" name="one-step-late" message="Runs that left are one step too late"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    steps = paths.shape[1] - 1
    return dt * torch.where(exited, outside.int().argmax(1) + 1, steps), exited


# %% misconception="first_exit_time" name="whole-times" message="cut to whole numbers"
def first_exit_time(paths, low, high, dt):
    steps = paths.shape[1] - 1
    times = torch.zeros(len(paths), dtype=torch.long)
    exited = torch.zeros(len(paths), dtype=torch.bool)
    for k, path in enumerate(paths):
        times[k] = steps * dt
        for i, x in enumerate(path):
            if not low <= x <= high:
                times[k], exited[k] = i * dt, True
                break
    return times, exited


# %% misconception="first_exit_time" name="counts-the-runs" message="has one row for each run"
def first_exit_time(paths, low, high, dt):
    outside = ~((paths >= low) & (paths <= high))
    exited = outside.any(1)
    return dt * torch.where(exited, outside.int().argmax(1), len(paths) - 1), exited


# %% misconception="gradient_noise" name="unbiased-factor" message="multiplied by the root of k/(k - 1)"
def gradient_noise(g):
    k = len(g)
    return (g - g.mean(0)) * math.sqrt(k / (k - 1))


# %% misconception="gradient_noise" name="times-k" message="multiplied by k"
def gradient_noise(g):
    return g * len(g) - g.sum(0)


# %% misconception="gradient_noise" name="over-k" message="divided by k"
def gradient_noise(g):
    return (g - g.mean(0)) / len(g)


# %% alternative="levy_step" name="numpy-count"
def levy_step(w, grad, learning_rate, alpha, sigma, generator):
    import numpy as np

    noise = sample_stable(alpha, np.prod(w.shape), generator).reshape(w.shape)
    return w - learning_rate * grad + learning_rate ** (1 / alpha) * sigma * noise
