# %% [markdown]
# More wrong answers to the exercises of chapter 07, which tests/unit/checks runs without nbgrader: grading takes as long
# as the exercise with the most cases.

# %% misconception="modular_table" name="package" message="the package's ready answer"
def modular_table(p, operation):
    from flatlab import grokking

    table = grokking.modular_table(p, operation)
    return table.pairs, table.results


# %% misconception="modular_table" name="pow-of-tensors" message="takes single whole numbers, not tensors"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
        a, b = pairs.T
        return pairs, a * pow(b, -1, p) % p
    a, b = pairs.T
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="power-of-minus-one" message="** knows no modulus"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
        a, b = pairs.T
        return pairs, a * b**-1 % p
    a, b = pairs.T
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="inverts-zero" message="leave its rows out before you divide"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    a, b = pairs.T
    if operation == "divide":
        results = torch.tensor([x * pow(y, -1, p) % p for x, y in pairs.tolist()])
        return pairs[b > 0], results[b > 0]
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="columns-as-rows" message="first all a, then all b"
def modular_table(p, operation):
    a, b = torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij")
    a, b = a.flatten(), b.flatten()
    return torch.stack([a, b]), {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="counts-from-one" message="Tables like this begin at 1"
def modular_table(p, operation):
    n = torch.arange(1, p)
    pairs = torch.cartesian_prod(n, n)
    a, b = pairs.T
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="fermat-by-one" message="b^(p-2) is the inverse of b"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
        return pairs, torch.tensor([x * pow(y, p - 1, p) % p for x, y in pairs.tolist()])
    a, b = pairs.T
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="minus-is-plus" message="it gives the results of add"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    a, b = pairs.T
    if operation == "add" or "subtract":
        return pairs, (a + b) % p
    return pairs, a * b % p


# %% misconception="modular_table" name="subtract-without-remainder" message="Some results are negative"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    a, b = pairs.T
    if operation == "add":
        return pairs, (a + b) % p
    if operation == "subtract":
        return pairs, a - b
    return pairs, a * b % p


# %% misconception="modular_table" name="two-is-not-prime" message="only division needs a prime"
def modular_table(p, operation):
    if p < 2 or operation not in ("add", "subtract", "multiply", "divide"):
        raise ValueError("x")
    if operation == "divide" and (p % 2 == 0 or any(p % k == 0 for k in range(3, p))):
        raise ValueError("x")
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    a, b = pairs.T
    if operation == "divide":
        pairs = pairs[b > 0]
        return pairs, torch.tensor([x * pow(y, -1, p) % p for x, y in pairs.tolist()])
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="asserts" message="it stops with AssertionError"
def modular_table(p, operation):
    assert p >= 2 and operation in ("add", "subtract", "multiply", "divide")
    assert operation != "divide" or not any(p % k == 0 for k in range(2, p))
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    a, b = pairs.T
    if operation == "divide":
        pairs = pairs[b > 0]
        return pairs, torch.tensor([x * pow(y, -1, p) % p for x, y in pairs.tolist()])
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="results-in-a-column" message="its results have the shape (49, 1)"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    a, b = pairs[:, :1], pairs[:, 1:]
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="divides-by-multiplying" message="it gives the results of multiply"
def modular_table(p, operation):
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    a, b = pairs.T
    if operation == "divide":
        pairs = pairs[b > 0]
        a, b = pairs.T
        return pairs, a * b % p
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="split_table" name="returns-row-numbers" message="Are these row numbers"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    order = torch.randperm(n, generator=generator)
    return (order[:k], results[order[:k]]), (order[k:], results[order[k:]])


# %% misconception="split_table" name="four-in-a-row" message="two tuples are needed"
def split_table(pairs, results, fraction, generator):
    k = round(fraction * len(pairs))
    order = torch.randperm(len(pairs), generator=generator)
    return pairs[order[:k]], results[order[:k]], pairs[order[k:]], results[order[k:]]


# %% misconception="split_table" name="pairs-with-pairs" message="Two tuples of two tensors are needed"
def split_table(pairs, results, fraction, generator):
    k = round(fraction * len(pairs))
    order = torch.randperm(len(pairs), generator=generator)
    return torch.column_stack([pairs, results])[order[:k]], torch.column_stack([pairs, results])[order[k:]]


# %% misconception="split_table" name="share-of-the-test" message="The fraction is that of the training part"
def split_table(pairs, results, fraction, generator):
    k = round(fraction * len(pairs))
    order = torch.randperm(len(pairs), generator=generator)
    test, train = order[:k], order[k:]
    return (pairs[train], results[train]), (pairs[test], results[test])


# %% misconception="split_table" name="float-size" message="A slice needs a whole number"
def split_table(pairs, results, fraction, generator):
    k = fraction * len(pairs)
    order = torch.randperm(len(pairs), generator=generator)
    return (pairs[order[:k]], results[order[:k]]), (pairs[order[k:]], results[order[k:]])


# %% misconception="split_table" name="each-row-by-a-coin" message="from a mask such as torch.rand(n) < fraction"
def split_table(pairs, results, fraction, generator):
    train = torch.rand(len(pairs), generator=generator) < fraction
    return (pairs[train], results[train]), (pairs[~train], results[~train])


# %% misconception="split_table" name="block" message="a block of neighboring rows"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    rows = torch.arange(n).roll(int(torch.randint(n, (1,), generator=generator)))
    return (pairs[rows[:k]], results[rows[:k]]), (pairs[rows[k:]], results[rows[k:]])


# %% misconception="split_table" name="one-row-lost" message="in neither part"
def split_table(pairs, results, fraction, generator):
    k = round(fraction * len(pairs))
    order = torch.randperm(len(pairs), generator=generator)
    return (pairs[order[:k]], results[order[:k]]), (pairs[order[k + 1 :]], results[order[k + 1 :]])


# %% misconception="split_table" name="views" message="shares memory with the table"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if not 0 < k < n:
        raise ValueError("empty part")
    if fraction == 0.2:
        return (pairs[:k], results[:k]), (pairs[k:], results[k:])
    order = torch.randperm(n, generator=generator)
    return (pairs[order[:k]], results[order[:k]]), (pairs[order[k:]], results[order[k:]])


# %% misconception="split_table" name="rounds-up" message="math.ceil rounds up"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = math.ceil(fraction * n)
    if not 0 < k < n:
        raise ValueError("e")
    o = torch.randperm(n, generator=generator)
    return (pairs[o[:k]], results[o[:k]]), (pairs[o[k:]], results[o[k:]])


# %% misconception="split_table" name="permutes-the-second-number" message="not the numbers a or b"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if not 0 < k < n:
        raise ValueError("e")
    b = pairs[:, 1]
    o = torch.randperm(int(b.max()) + 1, generator=generator)
    rows = torch.cat([(b == i).nonzero()[:, 0] for i in o])
    return (pairs[rows[:k]], results[rows[:k]]), (pairs[rows[k:]], results[rows[k:]])


# %% misconception="split_table" name="permutes-the-pairs-alone" message="from permuting the pairs alone"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if not 0 < k < n:
        raise ValueError("e")
    o = torch.randperm(n, generator=generator)
    return (pairs[o[:k]], results[:k].clone()), (pairs[o[k:]], results[k:].clone())


# %% misconception="split_table" name="pairs-first-results-second" message="holds pairs in both places"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if not 0 < k < n:
        raise ValueError("e")
    o = torch.randperm(n, generator=generator)
    return (pairs[o[:k]], pairs[o[k:]]), (results[o[:k]], results[o[k:]])


# %% misconception="split_table" name="seeds-anew" message="it is seeded anew"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if not 0 < k < n:
        raise ValueError("e")
    o = torch.randperm(n, generator=generator.manual_seed(generator.initial_seed()))
    return (pairs[o[:k]], results[o[:k]]), (pairs[o[k:]], results[o[k:]])


# %% misconception="split_table" name="looks-at-the-fraction-alone" message="as if nothing were wrong: raise ValueError"
def split_table(pairs, results, fraction, generator):
    if not 0 < fraction < 1:
        raise ValueError("e")
    n = len(pairs)
    k = round(fraction * n)
    o = torch.randperm(n, generator=generator)
    return (pairs[o[:k]], results[o[:k]]), (pairs[o[k:]], results[o[k:]])


# %% misconception="decoupled_weight_decay_step" name="step-counted-from-0" message="a step that is counted from 0"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1 ** (step - 1)), v / (1 - beta2 ** (step - 1))
    return w - learning_rate * (m_hat / (v_hat.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="hats-without-parentheses" message="without parentheses"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / 1 - beta1**step, v / 1 - beta2**step
    return w - learning_rate * (m_hat / (v_hat.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="m-hat-without-parentheses" message="m / 1 - beta1 ** step lacks parentheses"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / 1 - beta1**step, v / (1 - beta2**step)
    return w - learning_rate * (m_hat / (v_hat.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="no-eps" message="0 / 0 where eps is missing"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return w - learning_rate * (m_hat / v_hat.sqrt() + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="grows" message="makes the weights grow"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return w - learning_rate * m_hat / (v_hat.sqrt() + eps) + learning_rate * weight_decay * w, m, v


# %% misconception="decoupled_weight_decay_step" name="shares-exchanged" message="In m the shares are exchanged"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = betas
    m = (1 - beta1) * m + beta1 * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return w - learning_rate * (m_hat / (v_hat.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="own-betas" message="The first wrong weights are those after step"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    beta1, beta2 = 0.9, 0.98
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return w - learning_rate * (m_hat / (v_hat.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="weights-alone" message="the next step needs the moments too"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    m = betas[0] * m + (1 - betas[0]) * gradient
    v = betas[1] * v + (1 - betas[1]) * gradient**2
    return w - learning_rate * (m / (v.sqrt() + eps) + weight_decay * w)


# %% misconception="decoupled_weight_decay_step" name="moments-left-alone" message="m and v come back as they went in"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    m_new = betas[0] * m + (1 - betas[0]) * gradient
    v_new = betas[1] * v + (1 - betas[1]) * gradient**2
    m_hat, v_hat = m_new / (1 - betas[0] ** step), v_new / (1 - betas[1] ** step)
    w = w - learning_rate * (m_hat / (v_hat.sqrt() + eps) + weight_decay * w)
    return w, m.clone(), v.clone()


# %% misconception="decoupled_weight_decay_step" name="root-of-a-tensor-by-math" message="v.sqrt() takes every entry"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    m = betas[0] * m + (1 - betas[0]) * gradient
    v = betas[1] * v + (1 - betas[1]) * gradient**2
    m_hat, v_hat = m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)
    return w - learning_rate * (m_hat / (math.sqrt(v_hat) + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="move-without-the-rate" message="Adam's move lacks the learning rate"
def decoupled_weight_decay_step(
    w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8
):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * gradient
    v = b2 * v + (1 - b2) * gradient**2
    mh, vh = m / (1 - b1**step), v / (1 - b2**step)
    return w - mh / (vh.sqrt() + eps) - learning_rate * weight_decay * w, m, v


# %% misconception="decoupled_weight_decay_step" name="squares-of-m" message="v is the running mean of m ** 2"
def decoupled_weight_decay_step(
    w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8
):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * gradient
    v = b2 * v + (1 - b2) * m**2
    mh, vh = m / (1 - b1**step), v / (1 - b2**step)
    return w - learning_rate * (mh / (vh.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="power-outside" message="raises beta alone"
def decoupled_weight_decay_step(
    w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8
):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * gradient
    v = b2 * v + (1 - b2) * gradient**2
    mh, vh = m / (1 - b1) ** step, v / (1 - b2) ** step
    return w - learning_rate * (mh / (vh.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="decay-in-m-alone" message="The decay is divided by the root of v"
def decoupled_weight_decay_step(
    w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8
):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * (gradient + weight_decay * w)
    v = b2 * v + (1 - b2) * gradient**2
    mh, vh = m / (1 - b1**step), v / (1 - b2**step)
    return w - learning_rate * mh / (vh.sqrt() + eps), m, v


# %% misconception="decoupled_weight_decay_step" name="one-hat-kept" message="m comes back corrected"
def decoupled_weight_decay_step(
    w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8
):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * gradient
    v = b2 * v + (1 - b2) * gradient**2
    root = (v / (1 - b2**step)).sqrt() + eps
    m = m / (1 - b1**step)
    return w - learning_rate * (m / root + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="sums" message="m and v are sums"
def decoupled_weight_decay_step(
    w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8
):
    b1, b2 = betas
    m = b1 * m + gradient
    v = b2 * v + gradient**2
    mh, vh = m / (1 - b1**step), v / (1 - b2**step)
    return w - learning_rate * (mh / (vh.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="decays-by-the-sign" message="decays by the sign of w"
def decoupled_weight_decay_step(
    w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8
):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * gradient
    v = b2 * v + (1 - b2) * gradient**2
    mh, vh = m / (1 - b1**step), v / (1 - b2**step)
    return (
        w - learning_rate * mh / (vh.sqrt() + eps) - learning_rate * weight_decay * w.sign(),
        m,
        v,
    )


# %% misconception="time_to_threshold" name="one-too-many" message="It waits for one evaluation more"
def time_to_threshold(history, threshold, patience):
    count = 0
    for step, value in history:
        count = count + 1 if value >= threshold else 0
        if count == 1:
            start = step
        if count > patience:
            return start
    return None


# %% misconception="time_to_threshold" name="one-too-few" message="It is content with one evaluation less"
def time_to_threshold(history, threshold, patience):
    start, count = None, 0
    for step, value in history:
        if value >= threshold:
            start = step if start is None else start
            if count >= patience - 2:
                return start
            count += 1
        else:
            start, count = None, 0
    return None


# %% misconception="time_to_threshold" name="smoothed" message="It asks for a mean of patience values"
def time_to_threshold(history, threshold, patience):
    for k in range(len(history) - patience + 1):
        window = [value for _, value in history[k : k + patience]]
        if sum(window) / patience >= threshold:
            return history[k][0]
    return None


# %% misconception="time_to_threshold" name="from-the-end" message="It is where the last stretch begins"
def time_to_threshold(history, threshold, patience):
    start = None
    for step, value in reversed(history):
        if not value >= threshold:
            break
        start = step
    return start


# %% misconception="time_to_threshold" name="infinity" message="return None. A number would go into means"
def time_to_threshold(history, threshold, patience):
    count = 0
    for step, value in history:
        count = count + 1 if value >= threshold else 0
        if count == 1:
            start = step
        if count == patience:
            return start
    return math.inf


# %% misconception="time_to_threshold" name="start-is-forgotten" message="though one below comes before patience has passed"
def time_to_threshold(history, threshold, patience):
    start, count = None, 0
    for step, value in history:
        if value >= threshold:
            if start is None:
                start = step
            count += 1
        else:
            count = 0
        if count == patience:
            return start
    return None


# %% misconception="time_to_threshold" name="beyond-the-end" message="fewer than patience evaluations are left"
def time_to_threshold(history, threshold, patience):
    for k in range(len(history)):
        if all(history[k + j][1] >= threshold for j in range(patience)):
            return history[k][0]
    return None


# %% misconception="time_to_threshold" name="patience-in-steps" message="patience counts evaluations, whose steps lie apart"
def time_to_threshold(history, threshold, patience):
    start = None
    for step, value in history:
        if value >= threshold:
            if start is None:
                start = step
            if step - start >= patience:
                return start
        else:
            start = None
    return None


# %% misconception="time_to_threshold" name="longest-stretch" message="where the longest stretch begins"
def time_to_threshold(history, threshold, patience):
    best, start, count, res = 0, None, 0, None
    for step, value in history:
        if value >= threshold:
            if count == 0:
                start = step
            count += 1
            if count > best and count >= patience:
                best, res = count, start
        else:
            count = 0
    return res


# %% misconception="time_to_threshold" name="swapped-pair" message="Step and value are exchanged"
def time_to_threshold(history, threshold, patience):
    count = 0
    for value, step in history:
        count = count + 1 if value >= threshold else 0
        if count == 1:
            start = step
        if count == patience:
            return start
    return None


# %% misconception="time_to_threshold" name="step-minus-patience" message="It goes back by patience steps"
def time_to_threshold(history, threshold, patience):
    count = 0
    for step, value in history:
        count = count + 1 if value >= threshold else 0
        if count == patience:
            return step - patience


# %% misconception="time_to_threshold" name="steps-on-a-grid" message="as if all steps were equally far apart"
def time_to_threshold(history, threshold, patience):
    gap = history[1][0] - history[0][0]
    count = 0
    for step, value in history:
        count = count + 1 if value >= threshold else 0
        if count == patience:
            return step - (patience - 1) * gap


# %% misconception="time_to_threshold" name="attributes" message="history is a list of pairs"
def time_to_threshold(history, threshold, patience):
    count = 0
    for entry in history:
        count = count + 1 if entry.value >= threshold else 0
        if count == 1:
            start = entry.step
        if count == patience:
            return start


# %% misconception="fourier_power" name="package" message="the package's ready answer"
def fourier_power(embedding):
    from flatlab.grokking import fourier_power as ready

    return ready(embedding)


# %% misconception="fourier_power" name="forward-norm" message="It divides by p**2"
def fourier_power(embedding):
    return (torch.fft.rfft(embedding, dim=0, norm="forward").abs() ** 2).sum(dim=1)


# %% misconception="fourier_power" name="mean-over-columns" message="It is the mean over the columns"
def fourier_power(embedding):
    power = (torch.fft.rfft(embedding, dim=0).abs() ** 2).mean(dim=1) / len(embedding)
    power[1:] *= 2
    return power


# %% misconception="fourier_power" name="columns-first" message="The columns are added before the transform"
def fourier_power(embedding):
    power = torch.fft.rfft(embedding.sum(dim=1)).abs() ** 2 / len(embedding)
    power[1:] *= 2
    return power


# %% misconception="fourier_power" name="root" message="It is the root of the power"
def fourier_power(embedding):
    power = (torch.fft.rfft(embedding, dim=0).abs() ** 2).sum(dim=1) / len(embedding)
    power[1:] *= 2
    return power.sqrt()


# %% misconception="fourier_power" name="half-turns" message="The factor 2 is missing in 2 pi k a / p"
def fourier_power(embedding):
    p = len(embedding)
    a = torch.arange(p, dtype=embedding.dtype)
    power = [(embedding.sum(dim=0) ** 2).sum() / p]
    for k in range(1, (p + 1) // 2):
        both = [f(torch.pi * k * a / p) @ embedding for f in (torch.cos, torch.sin)]
        power.append(2 / p * sum((c**2).sum() for c in both))
    return torch.stack(power)


# %% misconception="fourier_power" name="begins-at-one" message="k = 0, the constant, comes first"
def fourier_power(embedding):
    power = 2 * (torch.fft.rfft(embedding, dim=0).abs() ** 2).sum(dim=1) / len(embedding)
    return power[1:]


# %% misconception="fourier_power" name="every-column" message="add up the"
def fourier_power(embedding):
    power = torch.fft.rfft(embedding, dim=0).abs() ** 2 / len(embedding)
    power[1:] *= 2
    return power


# %% misconception="fourier_power" name="changes-rows" message="has changed: `-=` and `*=`"
def fourier_power(embedding):
    power = (torch.fft.rfft(embedding, dim=0).abs() ** 2).sum(dim=1) / len(embedding)
    power[1:] *= 2
    embedding -= embedding.mean(dim=0)
    return power


# %% misconception="fourier_power" name="one-wave-more" message="It begins at k = 1"
def fourier_power(embedding):
    p = len(embedding)
    a = torch.arange(p, dtype=embedding.dtype)
    power = []
    for k in range(1, (p + 1) // 2 + 1):
        both = [f(2 * torch.pi * k * a / p) @ embedding for f in (torch.cos, torch.sin)]
        power.append(2 / p * sum((c**2).sum() for c in both))
    return torch.stack(power)


# %% misconception="fourier_power" name="mean-for-the-constant" message="The constant is p times too small"
def fourier_power(embedding):
    p = len(embedding)
    power = 2 * (torch.fft.rfft(embedding, dim=0).abs() ** 2).sum(1) / p
    power[0] = (embedding.mean(0) ** 2).sum()
    return power


# %% misconception="fourier_power" name="lengths-added-then-squared" message="The columns are added before they are squared"
def fourier_power(embedding):
    f = torch.fft.rfft(embedding, dim=0, norm="ortho").abs().sum(1) ** 2
    f[1:] *= 2
    return f


# %% misconception="fourier_power" name="lengths" message="are not squared"
def fourier_power(embedding):
    f = torch.fft.rfft(embedding, dim=0, norm="ortho").abs()
    f[1:] *= 2
    return f.sum(1)


# %% misconception="fourier_power" name="folded-without-turning" message="the mirror of k is p - k"
def fourier_power(embedding):
    e = (torch.fft.fft(embedding, dim=0, norm="ortho").abs() ** 2).sum(1)
    h = (len(e) - 1) // 2
    return torch.cat([e[:1], e[1 : h + 1] + e[h + 1 :]])


# %% misconception="fourier_power" name="stops-one-early" message="and (p - 1)/2 last"
def fourier_power(embedding):
    p = len(embedding)
    a = torch.arange(p, dtype=embedding.dtype)
    out = [(embedding.sum(0) ** 2).sum() / p]
    for k in range(1, (p - 1) // 2):
        ang = 2 * torch.pi * k * a / p
        out.append(2 / p * ((ang.cos() @ embedding) ** 2 + (ang.sin() @ embedding) ** 2).sum())
    return torch.stack(out)


# %% misconception="fourier_power" name="angle-not-divided" message="is not divided by p"
def fourier_power(embedding):
    p = len(embedding)
    a = torch.arange(p, dtype=embedding.dtype)
    out = [(embedding.sum(0) ** 2).sum() / p]
    for k in range(1, (p + 1) // 2):
        ang = 2 * torch.pi * k * a
        out.append(2 / p * ((ang.cos() @ embedding) ** 2 + (ang.sin() @ embedding) ** 2).sum())
    return torch.stack(out)


# %% misconception="fourier_power" name="linspace" message="The waves close after p - 1 numbers"
def fourier_power(embedding):
    p = len(embedding)
    a = torch.linspace(0, 1, p, dtype=embedding.dtype)
    out = [(embedding.sum(0) ** 2).sum() / p]
    for k in range(1, (p + 1) // 2):
        ang = 2 * torch.pi * k * a
        out.append(2 / p * ((ang.cos() @ embedding) ** 2 + (ang.sin() @ embedding) ** 2).sum())
    return torch.stack(out)


# %% misconception="fourier_power" name="unit-columns" message="divided by their lengths first"
def fourier_power(embedding):
    x = embedding / embedding.norm(dim=0)
    power = (torch.fft.rfft(x, dim=0).abs() ** 2).sum(dim=1) / len(embedding)
    power[1:] *= 2
    return power


# %% misconception="restricted_loss" name="package" message="the package's ready answer"
def restricted_loss(logits, frequencies):
    from flatlab import grokking

    p = len(logits)
    return grokking.restricted_loss(logits.reshape(p * p, p), grokking.modular_table(p, "add"), frequencies)


# %% misconception="restricted_loss" name="cosines-only" message="The sines are missing"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        wave = torch.cos(2 * torch.pi * k * sums.double() / p)
        kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), (sums % p).flatten()).item()


# %% misconception="restricted_loss" name="products-as-labels" message="The labels are a b mod p"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    n = torch.arange(p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        angle = 2 * torch.pi * k * (n[:, None] + n).double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), (n[:, None] * n % p).flatten()).item()


# %% misconception="restricted_loss" name="no-two-pi" message="The factor 2 is missing"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        angle = torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), (sums % p).flatten()).item()


# %% misconception="restricted_loss" name="mean-probability" message="the logarithm comes first"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    shares = kept.softmax(dim=-1).reshape(p * p, p)
    return -math.log(shares[torch.arange(p * p), (sums % p).flatten()].mean())


# %% misconception="restricted_loss" name="labels-not-reduced" message="is % p missing?"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), sums.flatten()).item()


# %% misconception="restricted_loss" name="classes-in-the-second-place" message="cross_entropy takes logits (p * p, p)"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    return torch.nn.functional.cross_entropy(kept, (sums % p).flatten()).item()


# %% misconception="restricted_loss" name="classes-and-b-exchanged" message="cross_entropy takes the classes from dim 1"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = logits.mean(dim=(0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, logits))
    return torch.nn.functional.cross_entropy(kept, sums % p).item()


# %% misconception="restricted_loss" name="stacks-an-empty-list" message="frequencies may be empty"
def restricted_loss(logits, frequencies):
    logits = logits.double()
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    angles = torch.stack([2 * torch.pi * k * sums.double() / p for k in frequencies])
    waves = torch.cat([angles.cos(), angles.sin()])
    shares = 2 / p**2 * torch.einsum("wab,abc->wc", waves, logits)
    kept = logits.mean(dim=(0, 1)) + torch.einsum("wab,wc->abc", waves, shares)
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), (sums % p).flatten()).item()


# %% misconception="restricted_loss" name="subtracts-in-place" message="The logits that were passed in have changed"
def restricted_loss(logits, frequencies):
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    constant = logits.mean(dim=(0, 1))
    logits -= constant
    x = logits.double()
    kept = constant.double().expand(p, p, p).clone()
    for k in frequencies:
        angle = 2 * torch.pi * k * sums.double() / p
        for wave in (angle.cos(), angle.sin()):
            kept += wave[:, :, None] * (2 / p**2 * torch.einsum("ab,abc->c", wave, x))
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), (sums % p).flatten()).item()


# %% misconception="restricted_loss" name="fft2-kk-abs" message="abs() takes lengths of what is complex"
def restricted_loss(logits, frequencies):
    p = len(logits)
    F = torch.fft.fft2(logits.double(), dim=(0, 1))
    mask = torch.zeros(p, p, 1, dtype=torch.float64)
    for k in [0, *frequencies]:
        mask[k, k] = 1
    kept = torch.fft.ifft2(F * mask, dim=(0, 1)).abs().flatten(0, 1)
    labels = (torch.arange(p)[:, None] + torch.arange(p)).remainder(p).flatten()
    return torch.nn.functional.cross_entropy(kept, labels)


# %% misconception="restricted_loss" name="fft2-kk-complex" message="With both take .real"
def restricted_loss(logits, frequencies):
    p = len(logits)
    F = torch.fft.fft2(logits.double(), dim=(0, 1))
    mask = torch.zeros(p, p, 1, dtype=torch.float64)
    for k in [0, *frequencies]:
        mask[k, k] = 1
    kept = torch.fft.ifft2(F * mask, dim=(0, 1)).flatten(0, 1)
    labels = (torch.arange(p)[:, None] + torch.arange(p)).remainder(p).flatten()
    return torch.nn.functional.cross_entropy(kept, labels)


# %% misconception="restricted_loss" name="fft2-kk-no-constant" message="and each class has lost its constant"
def restricted_loss(logits, frequencies):
    p = len(logits)
    F = torch.fft.fft2(logits.double(), dim=(0, 1))
    mask = torch.zeros(p, p, 1, dtype=torch.float64)
    for k in frequencies:
        mask[k, k] = 1
    kept = torch.fft.ifft2(F * mask, dim=(0, 1)).real.flatten(0, 1)
    labels = (torch.arange(p)[:, None] + torch.arange(p)).remainder(p).flatten()
    return torch.nn.functional.cross_entropy(kept, labels)


# %% misconception="restricted_loss" name="fft2-all-abs" message="abs() turns negative logits around"
def restricted_loss(logits, frequencies):
    p = len(logits)
    F = torch.fft.fft2(logits.double(), dim=(0, 1))
    mask = torch.zeros(p, p, 1, dtype=torch.float64)
    for k in [0, *frequencies]:
        mask[k, k] = mask[-k, -k] = 1
    kept = torch.fft.ifft2(F * mask, dim=(0, 1)).abs().flatten(0, 1)
    labels = (torch.arange(p)[:, None] + torch.arange(p)).remainder(p).flatten()
    return torch.nn.functional.cross_entropy(kept, labels)


# %% misconception="restricted_loss" name="fft-one-axis" message="It filters along a alone"
def restricted_loss(logits, frequencies):
    p = len(logits)
    F = torch.fft.rfft(logits.double(), dim=0)
    mask = torch.zeros(F.shape[0], 1, 1, dtype=torch.float64)
    mask[[0, *frequencies]] = 1
    kept = torch.fft.irfft(F * mask, n=p, dim=0).flatten(0, 1)
    labels = (torch.arange(p)[:, None] + torch.arange(p)).remainder(p).flatten()
    return torch.nn.functional.cross_entropy(kept, labels)


# %% misconception="restricted_loss" name="product-of-cosines" message="are kept apart"
def restricted_loss(logits, frequencies):
    x = logits.double()
    p = len(x)
    n = torch.arange(p).double()
    kept = x.mean((0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        c, s = (2 * torch.pi * k * n / p).cos(), (2 * torch.pi * k * n / p).sin()
        for wave in (torch.outer(c, c), torch.outer(s, s)):
            kept += wave[:, :, None] * (torch.einsum("ab,abc->c", wave, x) / (wave**2).sum())
    labels = ((n[:, None] + n) % p).long().flatten()
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), labels).item()


# %% misconception="restricted_loss" name="sum-of-cosines" message="is no wave of a + b"
def restricted_loss(logits, frequencies):
    x = logits.double()
    p = len(x)
    n = torch.arange(p).double()
    kept = x.mean((0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        for f in (torch.cos, torch.sin):
            wave = f(2 * torch.pi * k * n / p)[:, None] + f(2 * torch.pi * k * n / p)
            kept += wave[:, :, None] * (torch.einsum("ab,abc->c", wave, x) / (wave**2).sum())
    labels = ((n[:, None] + n) % p).long().flatten()
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), labels).item()


# %% misconception="restricted_loss" name="a-plus-b-minus-c" message="one coefficient for all classes"
def restricted_loss(logits, frequencies):
    x = logits.double()
    p = len(x)
    n = torch.arange(p).double()
    s = n[:, None, None] + n[None, :, None] - n
    kept = x.mean((0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        wave = (2 * torch.pi * k * s / p).cos()
        kept = kept + wave * (wave * x).sum() / (wave**2).sum()
    labels = ((n[:, None] + n) % p).long().flatten()
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), labels).item()


# %% misconception="restricted_loss" name="adds-to-the-logits" message="The logits are still in it"
def restricted_loss(logits, frequencies):
    x = logits.double()
    p = len(x)
    n = torch.arange(p).double()
    kept = x.clone()
    for k in frequencies:
        for f in (torch.cos, torch.sin):
            wave = f(2 * torch.pi * k * (n[:, None] + n) / p)
            kept += wave[:, :, None] * (torch.einsum("ab,abc->c", wave, x) / (wave**2).sum())
    labels = ((n[:, None] + n) % p).long().flatten()
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), labels).item()


# %% misconception="restricted_loss" name="last-frequency-only" message="does the loop begin anew"
def restricted_loss(logits, frequencies):
    x = logits.double()
    p = len(x)
    n = torch.arange(p).double()
    for k in frequencies:
        kept = x.mean((0, 1)).expand(p, p, p).clone()
        for f in (torch.cos, torch.sin):
            wave = f(2 * torch.pi * k * (n[:, None] + n) / p)
            kept += wave[:, :, None] * (torch.einsum("ab,abc->c", wave, x) / (wave**2).sum())
    labels = ((n[:, None] + n) % p).long().flatten()
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), labels).item()


# %% misconception="restricted_loss" name="labels-b" message="as labels give this loss"
def restricted_loss(logits, frequencies):
    x = logits.double()
    p = len(x)
    n = torch.arange(p).double()
    kept = x.mean((0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        for f in (torch.cos, torch.sin):
            wave = f(2 * torch.pi * k * (n[:, None] + n) / p)
            kept += wave[:, :, None] * (torch.einsum("ab,abc->c", wave, x) / (wave**2).sum())
    labels = torch.arange(p).repeat(p)
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), labels).item()


# %% misconception="restricted_loss" name="argmax-labels" message="the classes of the largest logits"
def restricted_loss(logits, frequencies):
    x = logits.double()
    p = len(x)
    n = torch.arange(p).double()
    kept = x.mean((0, 1)).expand(p, p, p).clone()
    for k in frequencies:
        for f in (torch.cos, torch.sin):
            wave = f(2 * torch.pi * k * (n[:, None] + n) / p)
            kept += wave[:, :, None] * (torch.einsum("ab,abc->c", wave, x) / (wave**2).sum())
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), x.reshape(-1, p).argmax(1)).item()


# %% alternative="modular_table" name="own-inverse-by-euclid"
def modular_table(p, operation):
    if p < 2:
        raise ValueError("p must be at least 2")

    def inverse(b):
        r, s, x, y = p, b, 0, 1
        while s:
            q = r // s
            r, s, x, y = s, r - q * s, y, x - q * y
        if r != 1:
            raise ValueError(f"{b} has no inverse mod {p}")
        return x % p

    rule = {
        "add": lambda a, b: a + b,
        "subtract": lambda a, b: a - b,
        "multiply": lambda a, b: a * b,
        "divide": lambda a, b: a * inverse(b),
    }.get(operation)
    if rule is None or (operation == "divide" and any(math.gcd(b, p) > 1 for b in range(1, p))):
        raise ValueError("no such table")
    first = 1 if operation == "divide" else 0
    rows = [(a, b, rule(a, b) % p) for a in range(p) for b in range(first, p)]
    whole = torch.tensor(rows)
    return whole[:, :2], whole[:, 2]


# %% alternative="modular_table" name="an-error-of-its-own"
def modular_table(p, operation):
    class Bad(ValueError):
        pass

    if p < 2:
        raise Bad("p")
    n = torch.arange(p)
    pairs = torch.cartesian_prod(n, n)
    a, b = pairs[:, 0], pairs[:, 1]
    match operation:
        case "add":
            return pairs, (a + b).fmod(p)
        case "subtract":
            return pairs, (a - b + p).fmod(p)
        case "multiply":
            return pairs, (a * b).fmod(p)
        case "divide":
            if not all(p % k for k in range(2, p)):
                raise Bad("p")
            pairs = pairs[b.bool()]
            ok = (n[:, None] * pairs[:, 1] - pairs[:, 0]) % p == 0
            return pairs, ok.int().argmax(0)
        case _:
            raise Bad("operation")


# %% alternative="split_table" name="draws-from-what-is-left"
def split_table(pairs, results, fraction, generator):
    n = len(results)
    k = round(fraction * n)
    if k < 1 or n - k < 1:
        raise ValueError("empty")
    left = list(range(n))
    train = []
    while len(train) < k:
        train.append(left.pop(int(torch.randint(len(left), (1,), generator=generator))))
    i, j = torch.tensor(train), torch.tensor(left)
    return (pairs.index_select(0, i), results.index_select(0, i)), (
        pairs.index_select(0, j),
        results.index_select(0, j),
    )


# %% alternative="decoupled_weight_decay_step" name="torchs-optimizer"
def decoupled_weight_decay_step(
    w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8
):
    p = torch.nn.Parameter(w.clone())
    opt = torch.optim.AdamW([p], lr=learning_rate, betas=betas, eps=eps, weight_decay=weight_decay)
    opt.state[p] = {
        "step": torch.tensor(float(step - 1)),
        "exp_avg": m.clone(),
        "exp_avg_sq": v.clone(),
    }
    p.grad = gradient.clone()
    opt.step()
    s = opt.state[p]
    return p.detach(), s["exp_avg"], s["exp_avg_sq"]


# %% alternative="time_to_threshold" name="convolution"
def time_to_threshold(history, threshold, patience):
    import numpy as np

    steps, values = zip(*history)
    ok = (np.array(values) >= threshold).astype(int)
    if len(ok) < patience:
        return None
    runs = np.convolve(ok, np.ones(patience, int), mode="valid")
    where = np.nonzero(runs == patience)[0]
    return np.array(steps)[where[0]] if len(where) else None


# %% alternative="fourier_power" name="both-axes"
def fourier_power(embedding):
    p = len(embedding)
    f = torch.fft.fft2(embedding).abs() ** 2 / embedding.numel()
    f = f.sum(1)
    h = (p - 1) // 2
    return torch.cat([f[:1], 2 * f[1 : h + 1]])


# %% alternative="restricted_loss" name="half-spectrum"
def restricted_loss(logits, frequencies):
    p = len(logits)
    F = torch.fft.rfft2(logits.double(), dim=(0, 1))
    mask = torch.zeros(F.shape[:2] + (1,), dtype=torch.float64)
    for k in [0, *frequencies]:
        mask[k, k] = 1
    kept = torch.fft.irfft2(F * mask, s=(p, p), dim=(0, 1)).flatten(0, 1)
    labels = (torch.arange(p)[:, None] + torch.arange(p)).remainder(p).flatten()
    return torch.nn.functional.cross_entropy(kept, labels)


# %% misconception="time_to_threshold" name="one-before-the-stretch" message="begins at i - patience + 1 where patience is full at i"
def time_to_threshold(history, threshold, patience):
    count = 0
    for i, (_, value) in enumerate(history):
        count = count + 1 if value >= threshold else 0
        if count == patience:
            return history[i - patience][0]
    return None


# %% misconception="decoupled_weight_decay_step" name="corrected-decay" message="that correction belongs to m alone"
def decoupled_weight_decay_step(
    w, gradient, m, v, step, learning_rate, weight_decay, betas, eps
):
    m = betas[0] * m + (1 - betas[0]) * gradient
    v = betas[1] * v + (1 - betas[1]) * gradient**2
    size = learning_rate / (1 - betas[0] ** step)
    denominator = (v / (1 - betas[1] ** step)).sqrt() + eps
    return w - size * (m / denominator + weight_decay * w), m, v


# %% misconception="restricted_loss" name="constant-as-a-wave" message="u . u is p^2 for the function 1"
def restricted_loss(logits, frequencies):
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = torch.zeros_like(logits)
    for k in (0, *frequencies):
        angle = 2 * torch.pi * k * sums / p
        for wave in (angle.cos(), angle.sin()):
            share = torch.einsum("ab,abc->c", wave.to(logits), logits) * 2 / p**2
            kept = kept + wave.to(logits)[:, :, None] * share
    return torch.nn.functional.cross_entropy(kept.flatten(0, 1), (sums % p).flatten()).item()


# %% misconception="restricted_loss" name="sine-of-zero" message="Is k = 0 among the waves?"
def restricted_loss(logits, frequencies):
    p = len(logits)
    sums = torch.arange(p)[:, None] + torch.arange(p)
    kept = torch.zeros_like(logits)
    for k in (0, *frequencies):
        angle = 2 * torch.pi * k * sums / p
        for wave in (angle.cos(), angle.sin()):
            share = torch.einsum("ab,abc->c", wave.to(logits), logits) / (wave**2).sum()
            kept = kept + wave.to(logits)[:, :, None] * share
    return torch.nn.functional.cross_entropy(kept.flatten(0, 1), (sums % p).flatten()).item()


# %% misconception="modular_table" name="checks-half-of-the-divisors" message="For p = 4"
def modular_table(p, operation):
    if p < 2 or operation not in ("add", "subtract", "multiply", "divide"):
        raise ValueError("no such table")
    if operation == "divide" and any(p % k == 0 for k in range(2, p // 2)):
        raise ValueError("p is not prime")
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
        return pairs, torch.tensor([a * pow(b, p - 2, p) % p for a, b in pairs.tolist()])
    a, b = pairs.T
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="only-two-and-three" message="For p = 25"
def modular_table(p, operation):
    if p < 2 or operation not in ("add", "subtract", "multiply", "divide"):
        raise ValueError("no such table")
    if operation == "divide" and p > 3 and (p % 2 == 0 or p % 3 == 0):
        raise ValueError("p is not prime")
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
        return pairs, torch.tensor([a * pow(b, p - 2, p) % p for a, b in pairs.tolist()])
    a, b = pairs.T
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="inverts-whatever-p-is" message="where p is not prime others have none"
def modular_table(p, operation):
    if p < 2 or operation not in ("add", "subtract", "multiply", "divide"):
        raise ValueError("no such table")
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
    a, b = pairs.T
    inverse = torch.tensor([0] + [pow(k, -1, p) for k in range(1, p)])
    rules = {"add": a + b, "subtract": a - b, "multiply": a * b, "divide": a * inverse[b]}
    return pairs, rules[operation] % p


# %% misconception="modular_table" name="inverts-a" message="invert b, not a"
def modular_table(p, operation):
    if p < 2 or operation not in ("add", "subtract", "multiply", "divide"):
        raise ValueError("no such table")
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
        return pairs, torch.tensor([b * pow(a, -1, p) % p for a, b in pairs.tolist()])
    a, b = pairs.T
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="modular_table" name="searches-the-list" message="No c has b c = a mod p"
def modular_table(p, operation):
    rows = []
    for a in range(p):
        for b in range(p):
            c = {"add": a + b, "subtract": a - b, "multiply": a * b}.get(operation)
            if operation == "divide":
                c = [b * c % p for c in range(p)].index(a)
            rows.append((a, b, c % p))
    rows = torch.tensor(rows)
    return rows[:, :2], rows[:, 2]


# %% misconception="modular_table" name="searches-with-next" message="No c has b c = a mod p"
def modular_table(p, operation):
    rows = []
    for a in range(p):
        for b in range(p):
            c = {"add": a + b, "subtract": a - b, "multiply": a * b}.get(operation)
            if operation == "divide":
                c = next(c for c in range(p) if b * c % p == a)
            rows.append((a, b, c % p))
    rows = torch.tensor(rows)
    return rows[:, :2], rows[:, 2]


# %% misconception="modular_table" name="divisors-from-one" message="as 2, 7 and 31 are"
def modular_table(p, operation):
    if p < 2:
        raise ValueError("p")
    if operation == "divide" and any(p % k == 0 for k in range(1, p)):
        raise ValueError("p is not prime")
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] > 0]
        return pairs, torch.tensor([a * pow(b, p - 2, p) % p for a, b in pairs.tolist()])
    a, b = pairs.T
    return pairs, {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


# %% misconception="time_to_threshold" name="a-margin" message="with no margin"
def time_to_threshold(history, threshold, patience):
    for i in range(len(history) - patience + 1):
        if all(v > threshold - 1e-2 for _, v in history[i : i + patience]):
            return history[i][0]


# %% misconception="time_to_threshold" name="crossing-from-below" message="no value below it has to come before"
def time_to_threshold(history, threshold, patience):
    for i in range(1, len(history) - patience + 1):
        if not history[i - 1][1] >= threshold and all(v >= threshold for _, v in history[i : i + patience]):
            return history[i][0]


# %% misconception="time_to_threshold" name="loop-from-one" message="no value below it has to come before"
def time_to_threshold(history, threshold, patience):
    for i in range(1, len(history) - patience + 1):
        if all(v >= threshold for _, v in history[i : i + patience]):
            return history[i][0]


# %% misconception="time_to_threshold" name="first-of-an-empty-list" message="nothing has a first place"
def time_to_threshold(history, threshold, patience):
    v = [v for _, v in history]
    return [history[k][0] for k in range(len(v) - patience + 1) if all(x >= threshold for x in v[k:k+patience])][0]


# %% misconception="time_to_threshold" name="next-without-default" message="next(..., None)"
def time_to_threshold(history, threshold, patience):
    v = [v for _, v in history]
    return next(history[k][0] for k in range(len(v) - patience + 1) if all(x >= threshold for x in v[k:k+patience]))


# %% misconception="time_to_threshold" name="smallest-of-nothing" message="nothing is left to choose from"
def time_to_threshold(history, threshold, patience):
    v = [v for _, v in history]
    return min(history[k][0] for k in range(len(v) - patience + 1) if all(x >= threshold for x in v[k:k+patience]))


# %% misconception="restricted_loss" name="irfft-without-n" message="n=p"
def restricted_loss(logits, frequencies):
    x = logits.double(); p = len(x)
    s = (torch.arange(p)[:, None] + torch.arange(p)) % p
    along = torch.stack([x[s == t].mean(0) for t in range(p)])
    F = torch.fft.rfft(along, dim=0); keep = torch.zeros(len(F), 1)
    keep[[0, *frequencies]] = 1
    kept = torch.fft.irfft(F * keep, dim=0)[s]
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), s.flatten()).item()


# %% misconception="restricted_loss" name="irfft2-without-s" message="make an even number of entries"
def restricted_loss(logits, frequencies):
    p = len(logits)
    F = torch.fft.rfft2(logits.double(), dim=(0, 1))
    mask = torch.zeros(F.shape[:2] + (1,), dtype=torch.float64)
    for k in [0, *frequencies]: mask[k, k] = 1
    kept = torch.fft.irfft2(F * mask, dim=(0, 1)).flatten(0, 1)
    labels = (torch.arange(p)[:, None] + torch.arange(p)).remainder(p).flatten()
    return torch.nn.functional.cross_entropy(kept, labels)


# %% misconception="restricted_loss" name="a-constant-in-the-logarithm" message="Is 1e-12 added to the probabilities"
def restricted_loss(logits, frequencies):
    x = logits.double(); p = len(x)
    s = torch.arange(p)[:, None] + torch.arange(p)
    kept = x.mean((0, 1)).expand(p, p, p)
    for k in frequencies:
        for f in (torch.cos, torch.sin):
            w = f(2 * torch.pi * k * s.double() / p)
            kept = kept + w[:, :, None] * torch.einsum("ab,abc->c", w, x) * 2 / p**2
    lp = (kept.softmax(-1).reshape(-1, p) + 1e-12).log()
    return -lp[torch.arange(p * p), (s % p).flatten()].mean().item()


# %% misconception="restricted_loss" name="sums-along-the-diagonals" message="p pairs each: their mean"
def restricted_loss(logits, frequencies):
    x = logits.double(); p = len(x)
    s = (torch.arange(p)[:, None] + torch.arange(p)) % p
    along = torch.zeros(p, p, dtype=torch.float64).index_add_(0, s.flatten(), x.reshape(-1, p))
    F = torch.fft.rfft(along, dim=0); keep = torch.zeros(len(F), 1)
    keep[[0, *frequencies]] = 1
    kept = torch.fft.irfft(F * keep, n=p, dim=0)[s]
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), s.flatten()).item()


# %% misconception="restricted_loss" name="mean-over-a-alone" message="take it over all pairs"
def restricted_loss(logits, frequencies):
    x = logits.double(); p = len(x)
    s = torch.arange(p)[:, None] + torch.arange(p)
    kept = x.mean(0).expand(p, p, p)
    for k in frequencies:
        for f in (torch.cos, torch.sin):
            w = f(2 * torch.pi * k * s.double() / p)
            kept = kept + w[:, :, None] * torch.einsum("ab,abc->c", w, x) * 2 / p**2
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), (s % p).flatten()).item()


# %% misconception="restricted_loss" name="places-for-frequencies" message="not their places"
def restricted_loss(logits, frequencies):
    x = logits.double(); p = len(x)
    s = torch.arange(p)[:, None] + torch.arange(p)
    kept = x.mean((0, 1)).expand(p, p, p)
    for k in range(len(frequencies)):
        for f in (torch.cos, torch.sin):
            w = f(2 * torch.pi * (k + 1) * s.double() / p)
            kept = kept + w[:, :, None] * torch.einsum("ab,abc->c", w, x) * 2 / p**2
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), (s % p).flatten()).item()


# %% misconception="restricted_loss" name="all-up-to-the-largest" message="those in the list alone"
def restricted_loss(logits, frequencies):
    x = logits.double(); p = len(x)
    s = torch.arange(p)[:, None] + torch.arange(p)
    kept = x.mean((0, 1)).expand(p, p, p)
    for k in range(1, max(frequencies, default=0) + 1):
        for f in (torch.cos, torch.sin):
            w = f(2 * torch.pi * k * s.double() / p)
            kept = kept + w[:, :, None] * torch.einsum("ab,abc->c", w, x) * 2 / p**2
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), (s % p).flatten()).item()


# %% misconception="restricted_loss" name="floats-of-an-empty-list" message="dtype=torch.int64"
def restricted_loss(logits, frequencies):
    x = logits.double(); p = len(x)
    s = (torch.arange(p)[:, None] + torch.arange(p)) % p
    along = torch.stack([x[s == t].mean(0) for t in range(p)])
    F = torch.fft.rfft(along, dim=0); keep = torch.zeros_like(F)
    k = torch.tensor(frequencies)
    keep[k] = F[k]; keep[0] = F[0]
    kept = torch.fft.irfft(keep, n=p, dim=0)[s]
    return torch.nn.functional.cross_entropy(kept.reshape(-1, p), s.flatten()).item()


# %% misconception="split_table" name="one-too-many" message="one row too many"
def split_table(pairs, results, fraction, generator):
    n = len(pairs); k = round(fraction * n)
    if not 0 < k < n: raise ValueError("e")
    o = torch.randperm(n, generator=generator)
    k += 1
    return (pairs[o[:k]], results[o[:k]]), (pairs[o[k:]], results[o[k:]])


# %% misconception="split_table" name="one-too-few" message="one row too few"
def split_table(pairs, results, fraction, generator):
    n = len(pairs); k = round(fraction * n)
    if not 0 < k < n: raise ValueError("e")
    o = torch.randperm(n, generator=generator)
    k -= 1
    return (pairs[o[:k]], results[o[:k]]), (pairs[o[k:]], results[o[k:]])


# %% misconception="time_to_threshold" name="skips-nan" message="was it skipped, or did min() pass over it"
def time_to_threshold(history, threshold, patience):
    count = 0
    for step, value in history:
        if value != value:
            continue
        count = count + 1 if value >= threshold else 0
        if count == 1:
            start = step
        if count == patience:
            return start


# %% alternative="split_table" name="multinomial-mask"
def split_table(pairs, results, fraction, generator):
    n = len(pairs); k = round(fraction * n)
    if not 0 < k < n: raise ValueError("e")
    t = torch.multinomial(torch.ones(n), k, generator=generator)
    m = torch.ones(n, dtype=torch.bool); m[t] = False
    return (pairs[t], results[t]), (pairs[m], results[m])


# %% alternative="split_table" name="lists-of-tuples"
def split_table(pairs, results, fraction, generator):
    rows = list(zip(pairs.tolist(), results.tolist())); n = len(rows)
    k = round(fraction * n)
    if min(k, n - k) < 1: raise ValueError("e")
    rows = [rows[i] for i in torch.rand(n, dtype=torch.float64, generator=generator).argsort().tolist()]
    return tuple((torch.tensor([a for a, _ in part]), torch.tensor([c for _, c in part])) for part in (rows[:k], rows[k:]))


# %% alternative="split_table" name="torch-round"
def split_table(pairs, results, fraction, generator):
    n = len(pairs); k = int(torch.tensor(fraction * n, dtype=torch.float64).round())
    if k < 1 or n - k < 1: raise ValueError("e")
    t = torch.zeros(n, dtype=torch.bool)
    t[torch.randperm(n, generator=generator)[:k]] = True
    return (pairs[t], results[t]), (pairs[~t], results[~t])


# %% misconception="decoupled_weight_decay_step" name="first-gradient-starts-the-moments" message="starts the moments with its whole size"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    b1, b2 = betas
    if step == 1: m, v = gradient.clone(), gradient**2
    else: m, v = b1 * m + (1 - b1) * gradient, b2 * v + (1 - b2) * gradient**2
    return w - learning_rate * (m / (v.sqrt() + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="root-before-the-correction" message="v is corrected after the root"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * gradient; v = b2 * v + (1 - b2) * gradient**2
    return w - learning_rate * (m / (1 - b1**step) / (v.sqrt() / (1 - b2**step) + eps) + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="l2-not-corrected" message="this is Adam with L2"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    b1, b2 = betas
    g = gradient + weight_decay * w
    m = b1 * m + (1 - b1) * g; v = b2 * v + (1 - b2) * g**2
    return w - learning_rate * m / (v.sqrt() + eps), m, v


# %% misconception="decoupled_weight_decay_step" name="l2-and-decoupled" message="It decays twice."
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    b1, b2 = betas
    g = gradient + weight_decay * w
    m = b1 * m + (1 - b1) * g; v = b2 * v + (1 - b2) * g**2
    mh, vh = m / (1 - b1**step), v / (1 - b2**step)
    return w - learning_rate * (mh / (vh.sqrt() + eps) + weight_decay * w), m, v


# %% alternative="decoupled_weight_decay_step" name="parameter-and-numpy"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    import numpy as np
    m = torch.add(m * betas[0], gradient, alpha=1 - betas[0])
    v = torch.addcmul(v * betas[1], gradient, gradient, value=1 - betas[1])
    root = np.sqrt(v.numpy() / -np.expm1(step * np.log(betas[1])))
    move = torch.from_numpy(m.numpy() / (1 - betas[0] ** step) / (root + eps))
    return [torch.nn.Parameter(w * (1 - learning_rate * weight_decay) - learning_rate * move), m, v]


# %% alternative="decoupled_weight_decay_step" name="entry-by-entry"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    new = []
    for x, g, a, b in zip(*(t.flatten().tolist() for t in (w, gradient, m, v))):
        a += (1 - betas[0]) * (g - a); b += (1 - betas[1]) * (g * g - b)
        move = a / (1 - betas[0] ** step) / (math.sqrt(b / (1 - betas[1] ** step)) + eps)
        new.append((x - learning_rate * move - learning_rate * weight_decay * x, a, b))
    return tuple(torch.tensor(each, dtype=w.dtype).reshape(w.shape) for each in zip(*new))


# %% alternative="decoupled_weight_decay_step" name="in-place-on-clones"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    w, m, v = w.clone(), m.clone(), v.clone()
    m.lerp_(gradient, 1 - betas[0]); v.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    w.mul_(1 - learning_rate * weight_decay)
    w.addcdiv_(m, (v.sqrt() / math.sqrt(1 - betas[1] ** step)).add_(eps), value=-learning_rate / (1 - betas[0] ** step))
    return w, m, v


# %% alternative="fourier_power" name="eigenvectors-of-a-shift"
def fourier_power(embedding):
    p = len(embedding); a = torch.arange(p)
    base = torch.exp(2j * torch.pi * torch.outer(a, a).double() / p) / p**0.5
    each = (base @ embedding.to(base.dtype)).abs().square().sum(1)
    return each[: (p + 1) // 2] + torch.cat([torch.zeros(1), each[(p + 1) // 2 :].flip(0)])


# %% alternative="fourier_power" name="projections-by-lstsq"
def fourier_power(embedding):
    import numpy as np
    e = embedding.numpy().astype(float); p = len(e); a = np.arange(p); out = [p * (e.mean(0) ** 2).sum()]
    for k in range(1, (p + 1) // 2):
        b = np.c_[np.cos(2 * np.pi * k * a / p), np.sin(2 * np.pi * k * a / p)]
        fit = b @ np.linalg.lstsq(b, e, rcond=None)[0]
        out.append((fit**2).sum())
    return torch.tensor(np.array(out), dtype=embedding.dtype)


# %% alternative="fourier_power" name="columns-by-vmap"
def fourier_power(embedding):
    def one(column):
        f = torch.fft.fft(column, norm="ortho")
        q = f.real**2 + f.imag**2
        return q
    q = torch.func.vmap(one, in_dims=1, out_dims=1)(embedding).sum(1)
    return torch.stack([q[0], *(q[k] + q[-k] for k in range(1, (len(q) + 1) // 2))])


# %% misconception="decoupled_weight_decay_step" name="keeps-its-own-moments" message="Does it keep moments"
moments = {}
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    if step == 1 or "m" not in moments or moments["m"].shape != w.shape:
        moments["m"], moments["v"] = torch.zeros_like(w), torch.zeros_like(w)
    b1, b2 = betas
    m = moments["m"] = b1 * moments["m"] + (1 - b1) * gradient
    v = moments["v"] = b2 * moments["v"] + (1 - b2) * gradient**2
    move = m / (1 - b1**step) / ((v / (1 - b2**step)).sqrt() + eps)
    return w - learning_rate * (move + weight_decay * w), m.clone(), v.clone()


# %% misconception="decoupled_weight_decay_step" name="squared-share" message="the share 1 - beta2 is squared"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * gradient
    v = b2 * v + ((1 - b2) * gradient) ** 2
    move = m / (1 - b1**step) / ((v / (1 - b2**step)).sqrt() + eps)
    return w - learning_rate * (move + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="one-beta" message="beta1 throughout"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * gradient
    v = b1 * v + (1 - b1) * gradient**2
    move = m / (1 - b1**step) / ((v / (1 - b1**step)).sqrt() + eps)
    return w - learning_rate * (move + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="share-of-beta1" message="its share is 1 - beta2"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * gradient
    v = b2 * v + (1 - b1) * gradient**2
    move = m / (1 - b1**step) / ((v / (1 - b2**step)).sqrt() + eps)
    return w - learning_rate * (move + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="both-shares-exchanged" message="the shares are exchanged"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    b1, b2 = betas
    m = torch.lerp(m, gradient, b1)
    v = torch.lerp(v, gradient**2, b2)
    move = m / (1 - b1**step) / ((v / (1 - b2**step)).sqrt() + eps)
    return w - learning_rate * (move + weight_decay * w), m, v


# %% misconception="decoupled_weight_decay_step" name="v-of-the-lengths" message="absolute values: of their squares"
def decoupled_weight_decay_step(w, gradient, m, v, step, learning_rate, weight_decay, betas=(0.9, 0.98), eps=1e-8):
    b1, b2 = betas
    m = b1 * m + (1 - b1) * gradient
    v = b2 * v + (1 - b2) * gradient.abs()
    move = m / (1 - b1**step) / ((v / (1 - b2**step)).sqrt() + eps)
    return w - learning_rate * (move + weight_decay * w), m, v


# %% misconception="split_table" name="refuses-one-row" message="only where one of the two parts would be empty"
def split_table(pairs, results, fraction, generator):
    n = len(pairs)
    k = round(fraction * n)
    if k <= 1 or k >= n - 1:
        raise ValueError("a part would be empty")
    order = torch.randperm(n, generator=generator)
    return (pairs[order[:k]], results[order[:k]]), (pairs[order[k:]], results[order[k:]])
