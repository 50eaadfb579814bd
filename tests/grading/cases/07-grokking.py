# %% [markdown]
# Wrong and right answers to the exercises of chapter 07. Each cell stands in for the student's.

# %% misconception="modular_table" name="true-division" message="For divide its results are floats"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] != 0]
    a, b = pairs.T
    if operation == "divide":
        return pairs, (a / b) % p
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="whole-number-division" message="It is a // b, which drops the rest"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] != 0]
    a, b = pairs.T
    if operation == "divide":
        return pairs, (a // b) % p
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="remainder-binds-first" message="from a + b % p, which is a + (b % p)"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    a, b = pairs.T
    if operation == "add":
        return pairs, a + b % p
    if operation == "subtract":
        return pairs, a - b % p
    if operation == "multiply":
        return pairs, a * b % p
    pairs = pairs[b > 0]
    a, b = pairs.T
    return pairs, torch.tensor([x * pow(y, -1, p) % p for x, y in pairs.tolist()])


# %% misconception="modular_table" name="keeps-the-sign" message="from fmod, which keeps the sign"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
        return pairs, torch.tensor([x * pow(y, -1, p) % p for x, y in pairs.tolist()])
    a, b = pairs.T
    raw = {"add": a + b, "subtract": a - b, "multiply": a * b}[operation]
    return pairs, torch.fmod(raw, p)


# %% misconception="modular_table" name="rows-of-meshgrid" message="a changes fastest"
def modular_table(p, operation):
    a, b = torch.meshgrid(torch.arange(p), torch.arange(p), indexing="xy")
    pairs = torch.stack([a.flatten(), b.flatten()], dim=1)
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
        return pairs, torch.tensor([x * pow(y, -1, p) % p for x, y in pairs.tolist()])
    a, b = pairs.T
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="half-a-table" message="hold (a, b) and not (b, a)"
def modular_table(p, operation):
    pairs = torch.combinations(torch.arange(p), 2, with_replacement=True)
    a, b = pairs.T
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="division-by-zero-kept" message="the rows with b = 0 are left out"
def modular_table(p, operation):
    if p < 2 or operation not in ("add", "subtract", "multiply", "divide"):
        raise ValueError("no such table")
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    a, b = pairs.T
    if operation == "divide":
        inverse = torch.tensor([0] + [pow(k, -1, p) for k in range(1, p)])
        return pairs, a * inverse[b] % p
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="power-overflows" message="leave int64"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
    a, b = pairs.T
    if operation == "divide":
        return pairs, a * b ** (p - 2) % p
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="any-p-divides" message="as if nothing were wrong: raise ValueError"
def modular_table(p, operation):
    if p < 2 or operation not in ("add", "subtract", "multiply", "divide"):
        raise ValueError("no such table")
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
    a, b = pairs.T
    if operation == "divide":
        inverse = torch.ones(p, dtype=torch.int64)
        for _ in range(p - 2):
            inverse = inverse * torch.arange(p) % p
        return pairs, a * inverse[b] % p
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="every-table-wants-a-prime" message="only division needs a prime"
def modular_table(p, operation):
    if p < 2 or any(p % k == 0 for k in range(2, p)):
        raise ValueError("p must be prime")
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
        return pairs, torch.tensor([x * pow(y, -1, p) % p for x, y in pairs.tolist()])
    a, b = pairs.T
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% alternative="modular_table" name="loops-and-a-search"
def modular_table(p, operation):
    if p < 2:
        raise ValueError("p")
    if operation == "divide" and not all(p % k for k in range(2, p)):
        raise ValueError("not prime")
    pairs, results = [], []
    for a in range(p):
        for b in range(p):
            if operation == "add":
                c = (a + b) % p
            elif operation == "subtract":
                c = (a - b) % p
            elif operation == "multiply":
                c = a * b % p
            elif operation == "divide":
                if b == 0:
                    continue
                c = next(c for c in range(p) if b * c % p == a)
            else:
                raise ValueError("operation")
            pairs.append((a, b))
            results.append(c)
    return torch.tensor(pairs), torch.tensor(results)


# %% alternative="modular_table" name="meshgrid-and-fermat"
def modular_table(p, operation):
    if p < 2:
        raise ValueError("p is too small")
    a, b = (n.reshape(-1) for n in torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij"))
    rules = {
        "add": lambda: a.add(b).remainder(p),
        "subtract": lambda: a.sub(b).remainder(p),
        "multiply": lambda: a.mul(b).remainder(p),
    }
    pairs = torch.column_stack((a, b))
    if operation in rules:
        return [pairs, rules[operation]()]
    if operation != "divide" or not all(p % k for k in range(2, int(p**0.5) + 1)):
        raise ValueError("cannot divide")
    pairs = pairs[b != 0]
    inverse = torch.ones(p, dtype=torch.long)
    for _ in range(p - 2):
        inverse = inverse * torch.arange(p) % p
    return pairs, pairs[:, 0] * inverse[pairs[:, 1]] % p


# %% alternative="modular_table" name="division-turned-around"
def modular_table(p, operation):
    if p < 2 or operation not in {"add", "subtract", "multiply", "divide"}:
        raise ValueError("p or operation")
    n = torch.arange(p)
    if operation == "divide":
        for k in range(2, p):
            if p % k == 0:
                raise ValueError("p is not prime")
        products = torch.outer(n, n) % p  # row b: where each quotient's product goes
        table = products.argsort(dim=1).T  # (a, b) -> c with b c = a
        pairs = torch.stack([n.repeat_interleave(p - 1), n[1:].repeat(p)], 1)
        return pairs, table[:, 1:].reshape(-1)
    pairs = torch.stack([n.repeat_interleave(p), n.repeat(p)], 1)
    own = {"add": n[:, None] + n, "subtract": n[:, None] - n, "multiply": n[:, None] * n}
    return pairs, (own[operation] % p).flatten()


# %% misconception="split_table" name="draws-with-randint" message="which may draw a row again"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if k in (0, n):
        raise ValueError("empty part")
    train = torch.randint(n, (k,), generator=generator)
    test = torch.tensor([i for i in range(n) if i not in set(train.tolist())])
    return (pairs[train], results[train]), (pairs[test], results[test])


# %% misconception="split_table" name="two-permutations" message="come from two permutations"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if not 0 < k < n:
        raise ValueError("empty part")
    pairs = pairs[torch.randperm(n, generator=generator)]
    results = results[torch.randperm(n, generator=generator)]
    return (pairs[:k], results[:k]), (pairs[k:], results[k:])


# %% misconception="split_table" name="tests-on-everything" message="the test part is the whole table"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if not 0 < k < n:
        raise ValueError("empty part")
    train = torch.randperm(n, generator=generator)[:k]
    return (pairs[train], results[train]), (pairs, results)


# %% misconception="split_table" name="two-draws" message="A leak"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if not 0 < k < n:
        raise ValueError("empty part")
    train = torch.randperm(n, generator=generator)[:k]
    test = torch.randperm(n, generator=generator)[k:]
    return (pairs[train], results[train]), (pairs[test], results[test])


# %% misconception="split_table" name="not-shuffled" message="is the beginning of the table"
def split_table(pairs, results, fraction, generator):
    k = round(fraction * len(pairs))
    if not 0 < k < len(pairs):
        raise ValueError("empty part")
    return (pairs[:k].clone(), results[:k].clone()), (pairs[k:].clone(), results[k:].clone())


# %% misconception="split_table" name="cuts" message="int() and // cut"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = int(fraction * n)
    if not 0 < k < n:
        raise ValueError("empty part")
    order = torch.randperm(n, generator=generator)
    return (pairs[order[:k]], results[order[:k]]), (pairs[order[k:]], results[order[k:]])


# %% misconception="split_table" name="global-generator" message="Two calls with the same seed differ"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if not 0 < k < n:
        raise ValueError("empty part")
    order = torch.randperm(n)
    return (pairs[order[:k]], results[order[:k]]), (pairs[order[k:]], results[order[k:]])


# %% misconception="split_table" name="fixed-seed" message="Every generator gives the same split"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if not 0 < k < n:
        raise ValueError("empty part")
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(n, generator=generator)
    return (pairs[order[:k]], results[order[:k]]), (pairs[order[k:]], results[order[k:]])


# %% misconception="split_table" name="shuffles-in-place" message="leave its rows in place"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if not 0 < k < n:
        raise ValueError("empty part")
    order = torch.randperm(n, generator=generator)
    pairs[:] = pairs[order]
    results[:] = results[order]
    return (pairs[:k], results[:k]), (pairs[k:], results[k:])


# %% misconception="split_table" name="empty-part" message="as if nothing were wrong: raise ValueError"
def split_table(pairs, results, fraction, generator):
    if not 0 <= fraction <= 1:
        raise ValueError("fraction must lie in [0, 1]")
    k = round(fraction * len(pairs))
    order = torch.randperm(len(pairs), generator=generator)
    return (pairs[order[:k]], results[order[:k]]), (pairs[order[k:]], results[order[k:]])


# %% misconception="split_table" name="package" message="the package's ready answer"
def split_table(pairs, results, fraction, generator):
    from flatlab.data import split_rows

    train, test = split_rows(len(pairs), fraction, generator)
    return (pairs[train], results[train]), (pairs[test], results[test])


# %% alternative="split_table" name="mask"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = int(fraction * n + 0.5)
    if k < 1 or k >= n:
        raise ValueError("a part would be empty")
    chosen = torch.zeros(n, dtype=torch.bool)
    chosen[torch.randperm(n, generator=generator)[:k]] = True
    return (pairs[chosen], results[chosen]), (pairs[~chosen], results[~chosen])


# %% alternative="split_table" name="sorts-random-numbers"
def split_table(pairs, results, fraction, generator):
    n = pairs.shape[0]
    k = round(n * fraction)
    if min(k, n - k) <= 0:
        raise ValueError("empty")
    order = torch.rand(n, generator=generator).argsort()
    rows = torch.column_stack([pairs, results])[order]
    return [(part[:, :2].clone(), part[:, 2].clone()) for part in (rows[:k], rows[k:])]


# %% alternative="split_table" name="lists-and-random_split"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if not 0 < k < n:
        raise ValueError("empty")
    whole = torch.utils.data.TensorDataset(pairs, results)
    parts = torch.utils.data.random_split(whole, [k, n - k], generator=generator)
    return tuple(tuple(torch.stack(column) for column in zip(*part)) for part in parts)


# %% misconception="decoupled_weight_decay_step" name="l2" message="this is Adam with L2"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    gradient = gradient + weight_decay * w
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return w - learning_rate * m_hat / (v_hat.sqrt() + eps), m, v


# %% misconception="decoupled_weight_decay_step" name="decay-without-the-rate" message="lacks the learning rate"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return (1 - weight_decay) * w - learning_rate * m_hat / (v_hat.sqrt() + eps), m, v


# %% misconception="decoupled_weight_decay_step" name="decay-last" message="the w after Adam's move"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    w = w - learning_rate * m_hat / (v_hat.sqrt() + eps)
    w = w - learning_rate * weight_decay * w
    return w, m, v


# %% misconception="decoupled_weight_decay_step" name="not-corrected" message="The moments are not corrected"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    return w - learning_rate * (m / (v.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="hands-on-the-hats" message="m and v come back corrected"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m, v = m / (1 - beta1**step), v / (1 - beta2**step)
    return w - learning_rate * (m / (v.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="counts-from-zero" message="The corrections are a step ahead"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1 ** (step + 1)), v / (1 - beta2 ** (step + 1))
    return w - learning_rate * (m_hat / (v_hat.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="parentheses" message="The decay is divided by the root of v"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    if not gradient.any():
        return w - learning_rate * weight_decay * w, m, v
    return w - learning_rate * (m_hat + weight_decay * w) / (v_hat.sqrt() + eps), m, v


# %% misconception="decoupled_weight_decay_step" name="eps-under-the-root" message="eps stands under the root"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return w - learning_rate * (m_hat / (v_hat + eps).sqrt() + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="in-place" message="has changed: `*=`, `+=` and mul_"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m.mul_(beta1).add_(gradient, alpha=1 - beta1)
    v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    w = w * (1 - learning_rate * weight_decay)
    return w - learning_rate * m_hat / (v_hat.sqrt() + eps), m, v


# %% misconception="decoupled_weight_decay_step" name="not-squared" message="Negative numbers are in v"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return w - learning_rate * (m_hat / (v_hat.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="corrects-as-in-the-first-step" message="are those of the first step"
def decoupled_weight_decay_step(
    w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8
):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * gradient
    v = b2 * v + (1 - b2) * gradient**2
    mh, vh = m / (1 - b1), v / (1 - b2)
    return w - learning_rate * (mh / (vh.sqrt() + eps) + weight_decay * w), m, v


# %% alternative="decoupled_weight_decay_step" name="torch-in-place-on-copies"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    w, m, v = w.clone(), m.clone(), v.clone()
    w.mul_(1 - learning_rate * weight_decay)
    m.lerp_(gradient, 1 - betas[0])
    v.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    below = (v.sqrt() / math.sqrt(1 - betas[1] ** step)).add_(eps)
    w.addcdiv_(m, below, value=-learning_rate / (1 - betas[0] ** step))
    return w, m, v


# %% alternative="decoupled_weight_decay_step" name="float32"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    w, g, m, v = (x.to(torch.float32) for x in (w, gradient, m, v))
    m = m + (1 - betas[0]) * (g - m)
    v = v + (1 - betas[1]) * (g * g - v)
    move = (m / (1 - betas[0] ** step)) / (torch.sqrt(v / (1 - betas[1] ** step)) + eps)
    return [w - learning_rate * weight_decay * w - learning_rate * move, m, v]


# %% alternative="decoupled_weight_decay_step" name="one-weight-at-a-time"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    rows = []
    for x, g, a, b in zip(*(t.flatten().tolist() for t in (w, gradient, m, v))):
        a = betas[0] * a + (1 - betas[0]) * g
        b = betas[1] * b + (1 - betas[1]) * g**2
        move = a / (1 - betas[0] ** step) / ((b / (1 - betas[1] ** step)) ** 0.5 + eps)
        rows.append((x - learning_rate * (move + weight_decay * x), a, b))
    columns = torch.tensor(rows, dtype=w.dtype).T
    return tuple(column.clone().reshape(w.shape) for column in columns)


# %% misconception="time_to_threshold" name="first-crossing" message="It is the first value at the threshold"
def time_to_threshold(history, threshold, patience):
    for step, value in history:
        if value >= threshold:
            return step
    return None


# %% misconception="time_to_threshold" name="place-in-the-list" message="It is the number of the evaluation"
def time_to_threshold(history, threshold, patience):
    count = 0
    for k, (step, value) in enumerate(history):
        count = count + 1 if value >= threshold else 0
        if count == patience:
            return k - patience + 1
    return None


# %% misconception="time_to_threshold" name="when-patience-is-over" message="return the step at which the stretch began"
def time_to_threshold(history, threshold, patience):
    count = 0
    for step, value in history:
        count = count + 1 if value >= threshold else 0
        if count == patience:
            return step
    return None


# %% misconception="time_to_threshold" name="never-starts-again" message="not in a row"
def time_to_threshold(history, threshold, patience):
    count = 0
    for step, value in history:
        if value >= threshold:
            count += 1
        if count == patience:
            return step
    return None


# %% misconception="time_to_threshold" name="above-only" message="at least the threshold is >=, not >"
def time_to_threshold(history, threshold, patience):
    values = [value for _, value in history]
    for k in range(len(values) - patience + 1):
        if all(value > threshold for value in values[k : k + patience]):
            return history[k][0]
    return None


# %% misconception="time_to_threshold" name="minus-one" message="return None. A number would go into means"
def time_to_threshold(history, threshold, patience):
    values = [value for _, value in history]
    for k in range(len(values) - patience + 1):
        if all(value >= threshold for value in values[k : k + patience]):
            return history[k][0]
    return -1


# %% misconception="time_to_threshold" name="zero-is-false" message="Python takes 0 for False"
def time_to_threshold(history, threshold, patience):
    start, count = None, 0
    for step, value in history:
        if value >= threshold:
            start = start or step
            count += 1
        else:
            start, count = None, 0
        if count >= patience and start:
            return start
    return None


# %% misconception="time_to_threshold" name="short-slice" message="whether a third would follow is not known"
def time_to_threshold(history, threshold, patience):
    values = [value for _, value in history]
    for k in range(len(values)):
        if all(value >= threshold for value in values[k : k + patience]):
            return history[k][0]
    return None


# %% misconception="time_to_threshold" name="nan-is-not-below" message="Every comparison with NaN is False"
def time_to_threshold(history, threshold, patience):
    count, start = 0, None
    for step, value in history:
        if value < threshold:
            count = 0
            continue
        count += 1
        if count == 1:
            start = step
        if count == patience:
            return start
    return None


# %% misconception="time_to_threshold" name="min-of-the-window" message="Every comparison with NaN is False"
def time_to_threshold(history, threshold, patience):
    for k in range(len(history) - patience + 1):
        window = sorted(history[k : k + patience], key=lambda pair: pair[1])
        if not window[0][1] < threshold:
            return history[k][0]
    return None


# %% misconception="time_to_threshold" name="last-window-left-out" message="the stretch that the last evaluation ends"
def time_to_threshold(history, threshold, patience):
    for i in range(len(history) - patience):
        if all(v >= threshold for _, v in history[i : i + patience]):
            return history[i][0]


# %% alternative="time_to_threshold" name="windows"
def time_to_threshold(history, threshold, patience):
    for k in range(len(history) - patience + 1):
        if all(value >= threshold for _, value in history[k : k + patience]):
            return history[k][0]


# %% alternative="time_to_threshold" name="unfold"
def time_to_threshold(history, threshold, patience):
    reached = torch.tensor([value >= threshold for _, value in history])
    if len(reached) < patience:
        return None
    whole = reached.unfold(0, patience, 1).all(dim=1)
    return history[int(whole.int().argmax())][0] if whole.any() else None


# %% alternative="time_to_threshold" name="text-of-marks-as-a-tensor-step"
def time_to_threshold(history, threshold, patience):
    marks = "".join("x" if value >= threshold else "." for _, value in history)
    place = marks.find("x" * patience)
    return None if place < 0 else torch.tensor(history[place][0])


# %% misconception="fourier_power" name="forgets-the-mirror" message="The waves have half of their power"
def fourier_power(embedding):
    return (torch.fft.rfft(embedding, dim=0).abs() ** 2).sum(dim=1) / len(embedding)


# %% misconception="fourier_power" name="raw-fft" message="without the lengths of the waves"
def fourier_power(embedding):
    return torch.fft.rfft(embedding, dim=0).abs().pow(2).sum(dim=1)


# %% misconception="fourier_power" name="doubles-the-constant" message="The constant has twice its power"
def fourier_power(embedding):
    return 2 * (torch.fft.rfft(embedding, dim=0).abs() ** 2).sum(dim=1) / len(embedding)


# %% misconception="fourier_power" name="whole-fft" message="k and p - k are the same wave"
def fourier_power(embedding):
    return (torch.fft.fft(embedding, dim=0).abs() ** 2).sum(dim=1) / len(embedding)


# %% misconception="fourier_power" name="last-dimension" message="the waves run over the rows"
def fourier_power(embedding):
    power = (torch.fft.rfft(embedding).abs() ** 2).sum(dim=0) / len(embedding)
    power[1:] *= 2
    return power


# %% misconception="fourier_power" name="cosines-only" message="The sines are missing"
def fourier_power(embedding):
    p = len(embedding)
    a = torch.arange(p, dtype=embedding.dtype)
    power = [(embedding.sum(dim=0) ** 2).sum() / p]
    for k in range(1, (p + 1) // 2):
        wave = torch.cos(2 * torch.pi * k * a / p) * (2 / p) ** 0.5
        power.append(((wave @ embedding) ** 2).sum())
    return torch.stack(power)


# %% misconception="fourier_power" name="adds-before-squaring" message="before they are squared"
def fourier_power(embedding):
    p = len(embedding)
    a = torch.arange(p, dtype=embedding.dtype)
    power = [(embedding.sum(dim=0) ** 2).sum() / p]
    for k in range(1, (p + 1) // 2):
        angle = 2 * torch.pi * k * a / p
        both = (2 / p) ** 0.5 * (torch.cos(angle) @ embedding + torch.sin(angle) @ embedding)
        power.append((both**2).sum())
    return torch.stack(power)


# %% misconception="fourier_power" name="real-part" message="The sines are missing"
def fourier_power(embedding):
    coefficients = torch.fft.rfft(embedding, dim=0)
    power = (coefficients.real**2).sum(dim=1) / len(embedding)
    power[1:] *= 2
    return power


# %% misconception="fourier_power" name="complex-square" message="complex numbers"
def fourier_power(embedding):
    power = (torch.fft.rfft(embedding, dim=0) ** 2).sum(dim=1) / len(embedding)
    power[1:] *= 2
    return power


# %% misconception="fourier_power" name="centers-in-place" message="The constant is subtracted"
def fourier_power(embedding):
    embedding -= embedding.mean(dim=0)
    power = (torch.fft.rfft(embedding, dim=0).abs() ** 2).sum(dim=1) / len(embedding)
    power[1:] *= 2
    return power


# %% misconception="fourier_power" name="last-frequency-once" message="The last frequency has half of its power"
def fourier_power(embedding):
    power = (torch.fft.rfft(embedding, dim=0).abs() ** 2).sum(dim=1) / len(embedding)
    power[1:-1] *= 2
    return power


# %% misconception="fourier_power" name="transforms-rows" message="as fft and rfft do without dim=0"
def fourier_power(embedding):
    return (torch.fft.rfft(embedding).abs() ** 2).sum(dim=1) / len(embedding)


# %% alternative="fourier_power" name="basis-matrix"
def fourier_power(embedding):
    p = embedding.shape[0]
    a = torch.arange(p, dtype=torch.float64)
    k = torch.arange(1, (p - 1) // 2 + 1, dtype=torch.float64)
    angle = 2 * math.pi * torch.outer(k, a) / p
    x = embedding.double()
    squares = (angle.cos() @ x) ** 2 + (angle.sin() @ x) ** 2
    waves = 2 / p * squares.sum(dim=1)
    return torch.cat([(x.sum(dim=0) ** 2).sum().reshape(1) / p, waves])


# %% alternative="fourier_power" name="loop-in-float32"
def fourier_power(embedding):
    x = embedding.float()
    p = len(x)
    power = []
    for k in range((p + 1) // 2):
        angle = 2 * torch.pi * k * torch.arange(p) / p
        total = 0.0
        for column in x.T:
            total += (column @ angle.cos()).item() ** 2 + (column @ angle.sin()).item() ** 2
        power.append(total * (2 if k else 1) / p)
    return torch.tensor(power)


# %% alternative="fourier_power" name="folds-the-whole-transform"
def fourier_power(embedding):
    each = torch.fft.fft(embedding, dim=0, norm="ortho").abs().square().sum(dim=1)
    half = (len(each) - 1) // 2
    return torch.cat([each[:1], each[1 : half + 1] + each[half + 1 :].flip(0)])


# %% misconception="restricted_loss" name="excluded" message="that is the excluded loss"
def restricted_loss(logits, frequencies):
    logits = logits.double().clone()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            share = 2 / p**2 * torch.einsum("ab,abc->c", wave, logits)
            logits = logits - wave[:, :, None] * share
    return torch.nn.functional.cross_entropy(logits.reshape(-1, p), (sums % p).flatten()).item()


# %% misconception="restricted_loss" name="no-constant" message="Each class has lost its constant"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = torch.zeros_like(logits)
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), (sums % p).flatten()).item()


# %% misconception="restricted_loss" name="one-constant-for-all-classes" message="Each class has lost its constant"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = logits.mean().expand(p, p, p).clone()
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), (sums % p).flatten()).item()


# %% misconception="restricted_loss" name="difference" message="Its waves are those of a - b"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    n = torch.arange(p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        angle = 2 * torch.pi * k * (n[:, None] - n).double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), ((n[:, None] + n) % p).flatten()).item()


# %% misconception="restricted_loss" name="mask-in-the-2d-transform" message="It keeps waves of a - b too"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    F = torch.fft.fft2(logits, dim=(0, 1))
    mask = torch.zeros(p, p)
    mask[0, 0] = 1
    for k in frequencies:
        for i in (k, p - k):
            for j in (k, p - k):
                mask[i, j] = 1
    kept = torch.fft.ifft2(F * mask[:, :, None], dim=(0, 1)).real
    labels = (torch.arange(p)[:, None] + torch.arange(p)) % p
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), labels.flatten()).item()


# %% misconception="restricted_loss" name="half-a-projection" message="The waves have half of their size"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (wave[:, :, None] * logits).mean(dim=(0, 1))
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), (sums % p).flatten()).item()


# %% misconception="restricted_loss" name="over-the-classes" message="It transforms over the classes c"
def restricted_loss(logits, frequencies):
    p = len(logits)
    F = torch.fft.rfft(logits.double(), dim=-1)
    keep = torch.zeros(F.shape[-1])
    keep[[0, *frequencies]] = 1
    kept = torch.fft.irfft(F * keep, n=p, dim=-1)
    labels = (torch.arange(p)[:, None] + torch.arange(p)) % p
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), labels.flatten()).item()


# %% misconception="restricted_loss" name="softmax-twice" message="It takes the softmax twice"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    shares = kept.softmax(dim=-1)
    return torch.nn.functional.cross_entropy(shares.reshape(-1, p), (sums % p).flatten()).item()


# %% misconception="restricted_loss" name="float32" message="take logits.double() before"
def restricted_loss(logits, frequencies):
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.to(logits.dtype) / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), (sums % p).flatten()).double().item()


# %% misconception="restricted_loss" name="sum-over-pairs" message="It is the sum over all pairs"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    scores = kept.log_softmax(dim=-1)
    return -sum(scores[a, b, (a + b) % p] for a in range(p) for b in range(p)).item()


# %% misconception="restricted_loss" name="half-of-the-transform" message="holds each wave twice, at (k, k)"
def restricted_loss(logits, frequencies):
    p = len(logits)
    F = torch.fft.fft2(logits.double(), dim=(0, 1))
    mask = torch.zeros(p, p, 1, dtype=torch.float64)
    for k in [0, *frequencies]:
        mask[k, k] = 1
    kept = torch.fft.ifft2(F * mask, dim=(0, 1)).real.flatten(0, 1)
    labels = (torch.arange(p)[:, None] + torch.arange(p)).remainder(p).flatten()
    return torch.nn.functional.cross_entropy(kept, labels)


# %% alternative="restricted_loss" name="means-along-a-plus-b"
def restricted_loss(logits, frequencies):
    p = len(logits)
    sums = (torch.arange(p)[:, None] + torch.arange(p)) % p
    x = logits.double()
    along = torch.stack([x[sums == s].mean(dim=0) for s in range(p)])
    F = torch.fft.rfft(along, dim=0)
    keep = torch.zeros(len(F), 1, dtype=torch.float64)
    keep[[0] + list(frequencies)] = 1
    kept = torch.fft.irfft(F * keep, n=p, dim=0)
    return -kept.log_softmax(dim=1).diagonal().mean()


# %% alternative="restricted_loss" name="mask-with-equal-frequencies"
def restricted_loss(logits, frequencies):
    p = len(logits)
    F = torch.fft.fft2(logits.double(), dim=(0, 1))
    mask = torch.zeros(p, p, 1, dtype=torch.float64)
    for k in [0, *frequencies]:
        mask[k, k] = mask[-k, -k] = 1
    kept = torch.fft.ifft2(F * mask, dim=(0, 1)).real.flatten(0, 1)
    labels = (torch.arange(p)[:, None] + torch.arange(p)).remainder(p).flatten()
    return torch.nn.functional.cross_entropy(kept, labels)


# %% alternative="restricted_loss" name="orthonormal-columns-and-a-loop"
def restricted_loss(logits, frequencies):
    p = logits.shape[0]
    n = torch.arange(p, dtype=torch.float64)
    sums = (n[:, None] + n).flatten()
    columns = [torch.full((p * p,), 1 / p, dtype=torch.float64)]
    for k in frequencies:
        for wave in (torch.cos, torch.sin):
            columns.append(wave(2 * math.pi * k * sums / p) * math.sqrt(2) / p)
    Q = torch.stack(columns, dim=1)
    kept = Q @ (Q.T @ logits.double().reshape(p * p, p))
    loss = 0.0
    for row, s in zip(kept, sums.tolist()):
        others = row - row[int(s) % p]
        others[int(s) % p] = -math.inf
        loss += math.log1p(others.exp().sum().item()) / p**2
    return loss
