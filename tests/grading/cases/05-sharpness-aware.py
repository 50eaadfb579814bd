# %% [markdown]
# Wrong and right answers to the exercises of chapter 05. Each cell stands in for the student's.

# %% misconception="dual_norm_ascent" name="norm-of-each-tensor" message="Each tensor is treated by itself"
def dual_norm_ascent(grads, rho, p):
    if p == 2:
        return [rho * g / (g.norm() + 1e-12) for g in grads]
    if p == math.inf:
        return [rho * g.sign() for g in grads]
    if p == 1:
        return [rho * g.sign() * (g.abs() == g.abs().max()) for g in grads]
    q = p / (p - 1)
    return [rho * g.sign() * g.abs() ** (q - 1) / (g.abs() ** q).sum() ** (1 / p) for g in grads]


# %% misconception="dual_norm_ascent" name="always-the-2-norm" message="This is the step of p = 2"
def dual_norm_ascent(grads, rho, p):
    length = torch.cat([g.flatten() for g in grads]).norm()
    return [rho * g / length for g in grads]


# %% misconception="dual_norm_ascent" name="root-without-parentheses" message="takes the power 1 and divides by p"
def dual_norm_ascent(grads, rho, p):
    q = 1 / (1 - 1 / p)
    norm = sum((g.abs() ** q).sum() for g in grads)
    return [rho * g.sign() * g.abs() ** (q - 1) / norm**1 / p for g in grads]


# %% misconception="dual_norm_ascent" name="power-of-negative-numbers" message="a negative number has no fractional power"
def dual_norm_ascent(grads, rho, p):
    q = p / (p - 1)
    norm = sum((g.abs() ** q).sum() for g in grads) ** (1 / p)
    if p == 2:
        return [rho * g / norm for g in grads]
    return [rho * g.sign() * g ** (q - 1) / norm for g in grads]


# %% misconception="dual_norm_ascent" name="p-and-q-exchanged" message="p and q are exchanged"
def dual_norm_ascent(grads, rho, p):
    q = p / (p - 1)
    norm = sum((g.abs() ** p).sum() for g in grads) ** (1 / q)
    return [rho * g.sign() * g.abs() ** (p - 1) / norm for g in grads]


# %% misconception="dual_norm_ascent" name="q-of-infinity" message="inf / (inf - 1) is NaN"
def dual_norm_ascent(grads, rho, p):
    q = p / (p - 1) if p > 1 else math.inf
    norm = sum((g.abs() ** q).sum() for g in grads) ** (1 / p)
    return [rho * g.sign() * g.abs() ** (q - 1) / norm for g in grads]


# %% misconception="dual_norm_ascent" name="largest-without-its-sign" message="belongs on the largest |g_i|"
def dual_norm_ascent(grads, rho, p):
    if p == 1:
        flat = torch.cat([g.flatten() for g in grads])
        step = torch.zeros_like(flat)
        step[flat.argmax()] = rho
        return [s.view(g.shape) for s, g in zip(step.split([g.numel() for g in grads]), grads)]
    q = 1 / (1 - 1 / p)
    norm = sum((g.abs() ** q).sum() for g in grads) ** (1 / p)
    return [rho * g.sign() * g.abs() ** (q - 1) / norm for g in grads]


# %% misconception="dual_norm_ascent" name="infinity-for-one" message="that is the step of p = inf"
def dual_norm_ascent(grads, rho, p):
    if p in (1, math.inf):
        return [rho * g.sign() for g in grads]
    q = p / (p - 1)
    norm = sum((g.abs() ** q).sum() for g in grads) ** (1 / p)
    return [rho * g.sign() * g.abs() ** (q - 1) / norm for g in grads]


# %% misconception="dual_norm_ascent" name="in-place" message="an operation with _ at its end"
def dual_norm_ascent(grads, rho, p):
    peak = max(g.abs().max() for g in grads)
    if peak == 0:
        return [torch.zeros_like(g) for g in grads]
    if p == math.inf:
        return [rho * g.sign() for g in grads]
    for g in grads:
        g /= peak
    if p == 1:
        count = sum((g.abs() == 1).sum() for g in grads)
        return [rho * g * (g.abs() == 1) / count for g in grads]
    q = p / (p - 1)
    norm = sum((g.abs() ** q).sum() for g in grads) ** (1 / p)
    return [rho * g.sign() * g.abs() ** (q - 1) / norm for g in grads]


# %% misconception="dual_norm_ascent" name="every-entry-at-infinity" message="whose gradient is 0 moves by rho"
def dual_norm_ascent(grads, rho, p):
    if p == math.inf:
        return [torch.where(g >= 0, rho, -rho) for g in grads]
    peak = max(g.abs().max() for g in grads).clamp_min(1e-300)
    r = [g / peak for g in grads]
    if p == 1:
        count = sum((a.abs() == 1).sum() for a in r).clamp_min(1)
        return [rho * a.sign() * (a.abs() == 1) / count for a in r]
    q = p / (p - 1)
    norm = sum((a.abs() ** q).sum() for a in r).clamp_min(1e-300) ** (1 / p)
    return [rho * a.sign() * a.abs() ** (q - 1) / norm for a in r]


# %% misconception="dual_norm_ascent" name="sign-by-division" message="A division by |g|"
def dual_norm_ascent(grads, rho, p):
    if p == math.inf:
        return [rho * g / g.abs() for g in grads]
    peak = max(g.abs().max() for g in grads).clamp_min(1e-300)
    r = [g / peak for g in grads]
    if p == 1:
        count = sum((a.abs() == 1).sum() for a in r).clamp_min(1)
        return [rho * a.sign() * (a.abs() == 1) / count for a in r]
    q = p / (p - 1)
    norm = sum((a.abs() ** q).sum() for a in r).clamp_min(1e-300) ** (1 / p)
    return [rho * a.sign() * a.abs() ** (q - 1) / norm for a in r]


# %% alternative="dual_norm_ascent" name="one-flat-vector"
def dual_norm_ascent(grads, rho, p):
    flat = torch.cat([g.reshape(-1) for g in grads])
    if not flat.any():
        return [torch.zeros_like(g) for g in grads]
    flat = flat / flat.norm(float("inf"))
    if p == 1:
        step = torch.zeros_like(flat)
        top = flat.abs().argmax()
        step[top] = rho * flat[top].sign()
    else:
        q = 1.0 / (1.0 - 1.0 / p)
        step = rho * torch.sign(flat) * flat.abs().pow(q - 1)
        step /= flat.abs().pow(q).sum().pow(1.0 / p)
    pieces = torch.split(step, [g.numel() for g in grads])
    return tuple(piece.view_as(g) for piece, g in zip(pieces, grads))


# %% alternative="dual_norm_ascent" name="a-helper-named-as-one-of-the-hidden-tests"
def flat(tensors):
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def dual_norm_ascent(grads, rho, p):
    g = flat(grads)
    size = g.abs() / g.abs().max().clamp(min=torch.finfo(g.dtype).tiny)
    if p == 1:
        share = (size == 1).to(g.dtype)
        share = share / share.sum().clamp(min=1)
    elif p == math.inf:
        share = torch.ones_like(g)
    else:
        q = p / (p - 1)
        length = (size**q).sum() ** (1 / p)
        share = size ** (q - 1) / length.clamp(min=torch.finfo(g.dtype).tiny)
    steps = (rho * g.sign() * share).split([one.numel() for one in grads])
    return [step.reshape(one.shape) for step, one in zip(steps, grads)]


# %% alternative="dual_norm_ascent" name="float64-logarithms-in-a-loop"
def dual_norm_ascent(grads, rho, p):
    top = max(g.abs().max().item() for g in grads)
    steps = [torch.zeros(g.shape, dtype=torch.float64) for g in grads]
    if top == 0:
        return steps
    ties = sum(int((g.abs() == top).sum()) for g in grads)
    total = 0.0
    for step, g in zip(steps, grads):
        ratio = g.double().abs() / top
        if p == 1:
            step += rho / ties * (g.abs() == top) * g.sign()
        elif p == math.inf:
            step += rho * g.sign()
        else:
            log = torch.log(ratio)
            step += g.sign() * torch.exp(log / (p - 1))
            total += torch.exp(p / (p - 1) * log).sum().item()
    if 1 < p < math.inf:
        for step in steps:
            step *= rho / total ** (1 / p)
    return steps


# %% misconception="sam_gradient" name="gradient-at-w" message="This is the gradient at w, before the step"
def sam_gradient(loss_fn, params, rho):
    loss = loss_fn(params)
    grads = torch.autograd.grad(loss, params, retain_graph=True)
    steps = dual_norm_ascent(grads, rho, 2)
    with torch.no_grad():
        moved = [w + e for w, e in zip(params, steps)]
    return list(torch.autograd.grad(loss, params))


# %% misconception="sam_gradient" name="not-normalized" message="e is rho g here"
def sam_gradient(loss_fn, params, rho):
    grads = torch.autograd.grad(loss_fn(params), params)
    moved = [(w + rho * g).detach().requires_grad_() for w, g in zip(params, grads)]
    return list(torch.autograd.grad(loss_fn(moved), moved))


# %% misconception="sam_gradient" name="norm-of-each-tensor" message="Each tensor was moved by rho along its own gradient"
def sam_gradient(loss_fn, params, rho):
    grads = torch.autograd.grad(loss_fn(params), params)
    moved = [(w + rho * g / g.norm()).detach().requires_grad_() for w, g in zip(params, grads)]
    return list(torch.autograd.grad(loss_fn(moved), moved))


# %% misconception="sam_gradient" name="downhill" message="This is the gradient at w - e"
def sam_gradient(loss_fn, params, rho):
    grads = torch.autograd.grad(loss_fn(params), params)
    steps = dual_norm_ascent(grads, rho, 2)
    moved = [(w - e).detach().requires_grad_() for w, e in zip(params, steps)]
    return list(torch.autograd.grad(loss_fn(moved), moved))


# %% misconception="sam_gradient" name="graph-kept" message="e still depends on w through the graph"
def sam_gradient(loss_fn, params, rho):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    steps = dual_norm_ascent(grads, rho, 2)
    moved = [w + e for w, e in zip(params, steps)]
    return list(torch.autograd.grad(loss_fn(moved), params))


# %% misconception="sam_gradient" name="backward-twice" message="This is the sum of the gradients at w and at w + e"
def sam_gradient(loss_fn, params, rho):
    loss_fn(params).backward()
    length = torch.sqrt(sum((w.grad**2).sum() for w in params))
    loss_fn([w + rho * w.grad / length for w in params]).backward()
    return [w.grad for w in params]


# %% misconception="sam_gradient" name="moved-and-back" message="Adding e and subtracting it again rounds"
def sam_gradient(loss_fn, params, rho):
    grads = torch.autograd.grad(loss_fn(params), params)
    steps = dual_norm_ascent(grads, rho, 2)
    with torch.no_grad():
        for w, e in zip(params, steps):
            w += e
    result = torch.autograd.grad(loss_fn(params), params)
    with torch.no_grad():
        for w, e in zip(params, steps):
            w -= e
    return list(result)


# %% misconception="sam_gradient" name="writes-grad" message="have a .grad now"
def sam_gradient(loss_fn, params, rho):
    loss_fn(params).backward()
    steps = dual_norm_ascent([w.grad for w in params], rho, 2)
    moved = [(w + e).detach().requires_grad_() for w, e in zip(params, steps)]
    loss_fn(moved).backward()
    return [w.grad for w in moved]


# %% alternative="sam_gradient" name="copies-and-backward"
def sam_gradient(loss_fn, params, rho):
    copies = [w.detach().clone().requires_grad_() for w in params]
    loss_fn(copies).backward()
    squares = [torch.zeros(()) if w.grad is None else (w.grad**2).sum() for w in copies]
    length = math.sqrt(sum(s.item() for s in squares))
    with torch.no_grad():
        for w in copies:
            if w.grad is not None and length > 0:
                w += rho / length * w.grad
                w.grad.zero_()
    if length > 0:
        loss_fn(copies).backward()
    return [torch.zeros_like(w) if w.grad is None else w.grad for w in copies]


# %% alternative="sam_gradient" name="torch-func-float32"
def sam_gradient(loss_fn, params, rho):
    gradient = torch.func.grad(loss_fn)
    w = [p.detach().float() for p in params]
    g = gradient(w)
    length = torch.cat([part.flatten() for part in g]).norm().clamp_min(1e-30)
    return gradient([a + rho * b / length for a, b in zip(w, g)])


# %% alternative="sam_gradient" name="in-place-with-a-copy"
def sam_gradient(loss_fn, params, rho):
    before = [w.detach().clone() for w in params]
    grads = torch.autograd.grad(loss_fn(params), params, materialize_grads=True)
    with torch.no_grad():
        for w, e in zip(params, dual_norm_ascent(grads, rho, 2)):
            w.add_(e)
    result = torch.autograd.grad(loss_fn(params), params, materialize_grads=True)
    with torch.no_grad():
        for w, old in zip(params, before):
            w.copy_(old)
    return result


# %% misconception="sam_step" name="never-back" message="It stepped from w + e"
def sam_step(model, loss_fn, optimizer, rho):
    optimizer.zero_grad()
    loss = loss_fn(model)
    loss.backward()
    steps = dual_norm_ascent([w.grad for w in model.parameters()], rho, 2)
    with torch.no_grad():
        for w, e in zip(model.parameters(), steps):
            w.add_(e)
    optimizer.zero_grad()
    loss_fn(model).backward()
    optimizer.step()
    return loss.item()


# %% misconception="sam_step" name="both-gradients-added" message="It stepped with the sum of both gradients"
def sam_step(model, loss_fn, optimizer, rho):
    optimizer.zero_grad()
    params = list(model.parameters())
    before = [w.detach().clone() for w in params]
    loss = loss_fn(model)
    loss.backward()
    with torch.no_grad():
        for w, e in zip(params, dual_norm_ascent([w.grad for w in params], rho, 2)):
            w.add_(e)
    loss_fn(model).backward()
    with torch.no_grad():
        for w, old in zip(params, before):
            w.copy_(old)
    optimizer.step()
    return loss.item()


# %% misconception="sam_step" name="subtracts-again" message="in floating point (w + e) - e is not w"
def sam_step(model, loss_fn, optimizer, rho):
    optimizer.zero_grad()
    params = list(model.parameters())
    loss = loss_fn(model)
    loss.backward()
    steps = dual_norm_ascent([w.grad for w in params], rho, 2)
    with torch.no_grad():
        for w, e in zip(params, steps):
            w.add_(e)
    optimizer.zero_grad()
    loss_fn(model).backward()
    with torch.no_grad():
        for w, e in zip(params, steps):
            w.sub_(e)
    optimizer.step()
    return loss.item()


# %% misconception="sam_step" name="copies-that-are-none" message="It stepped from w + e"
def sam_step(model, loss_fn, optimizer, rho):
    optimizer.zero_grad()
    before = [w.data for w in model.parameters()]
    loss = loss_fn(model)
    loss.backward()
    steps = dual_norm_ascent([w.grad for w in model.parameters()], rho, 2)
    for w, e in zip(model.parameters(), steps):
        w.data += e
    optimizer.zero_grad()
    loss_fn(model).backward()
    for w, old in zip(model.parameters(), before):
        w.data = old
    optimizer.step()
    return loss.item()


# %% misconception="sam_step" name="steps-twice" message="optimizer.step() is called after each backward pass"
def sam_step(model, loss_fn, optimizer, rho):
    optimizer.zero_grad()
    loss = loss_fn(model)
    loss.backward()
    grads = [w.grad.clone() for w in model.parameters()]
    optimizer.step()
    before = [w.detach().clone() for w in model.parameters()]
    with torch.no_grad():
        for w, e in zip(model.parameters(), dual_norm_ascent(grads, rho, 2)):
            w.add_(e)
    optimizer.zero_grad()
    loss_fn(model).backward()
    with torch.no_grad():
        for w, old in zip(model.parameters(), before):
            w.copy_(old)
    optimizer.step()
    return loss.item()


# %% misconception="sam_step" name="stale-gradients" message="adds to the gradient that the last step left behind"
def sam_step(model, loss_fn, optimizer, rho):
    params = list(model.parameters())
    before = [w.detach().clone() for w in params]
    loss = loss_fn(model)
    loss.backward()
    with torch.no_grad():
        for w, e in zip(params, dual_norm_ascent([w.grad for w in params], rho, 2)):
            w.add_(e)
    optimizer.zero_grad()
    loss_fn(model).backward()
    with torch.no_grad():
        for w, old in zip(params, before):
            w.copy_(old)
    optimizer.step()
    return loss.item()


# %% misconception="sam_step" name="loss-at-the-second-point" message="it returns the loss at w + e"
def sam_step(model, loss_fn, optimizer, rho):
    optimizer.zero_grad()
    params = list(model.parameters())
    before = [w.detach().clone() for w in params]
    loss = loss_fn(model)
    loss.backward()
    with torch.no_grad():
        for w, e in zip(params, dual_norm_ascent([w.grad for w in params], rho, 2)):
            w.add_(e)
    optimizer.zero_grad()
    loss = loss_fn(model)
    loss.backward()
    with torch.no_grad():
        for w, old in zip(params, before):
            w.copy_(old)
    optimizer.step()
    return loss


# %% misconception="sam_step" name="errors-leave-w-moved" message="`finally` runs with and without an error"
def sam_step(model, loss_fn, optimizer, rho):
    optimizer.zero_grad()
    loss = loss_fn(model)
    loss.backward()
    params = [w for w in model.parameters() if w.grad is not None]
    before = [w.detach().clone() for w in params]
    with torch.no_grad():
        for w, e in zip(params, dual_norm_ascent([w.grad for w in params], rho, 2)):
            w.add_(e)
    optimizer.zero_grad()
    loss_fn(model).backward()
    with torch.no_grad():
        for w, old in zip(params, before):
            w.copy_(old)
    optimizer.step()
    return loss.item()


# %% alternative="sam_step" name="state-dict-and-except"
def sam_step(model, loss_fn, optimizer, rho):
    import copy

    model.zero_grad()
    loss = loss_fn(model)
    loss.backward()
    saved = copy.deepcopy(model.state_dict())
    moving = [w for w in model.parameters() if w.grad is not None]
    length = math.sqrt(sum(w.grad.pow(2).sum().item() for w in moving))
    if length > 0:
        for w in moving:
            w.data = w.data + rho / length * w.grad
    model.zero_grad()
    try:
        loss_fn(model).backward()
    except BaseException:
        model.load_state_dict(saved)
        raise
    model.load_state_dict(saved)
    optimizer.step()
    return loss.detach()


# %% alternative="sam_step" name="autograd-grad-and-data"
def sam_step(model, loss_fn, optimizer, rho):
    params = [w for w in model.parameters() if w.requires_grad]
    loss = loss_fn(model)
    grads = torch.autograd.grad(loss, params, materialize_grads=True)
    old = [w.data for w in params]
    try:
        for w, e in zip(params, dual_norm_ascent(list(grads), rho, 2)):
            w.data = w.data + e.to(w.dtype)
        second = torch.autograd.grad(loss_fn(model), params, materialize_grads=True)
    finally:
        for w, value in zip(params, old):
            w.data = value
    for w, g in zip(params, second):
        w.grad = g
    optimizer.step()
    return float(loss)


# %% misconception="sam_gradient_exact" name="first-order" message="the second-order term is missing"
def sam_gradient_exact(loss_fn, params, rho):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    steps = dual_norm_ascent(grads, rho, 2)
    moved = [(w + e).detach().requires_grad_() for w, e in zip(params, steps)]
    return list(torch.autograd.grad(loss_fn(moved), moved))


# %% misconception="sam_gradient_exact" name="differentiated-by-the-moved" message="the second-order term is missing"
def sam_gradient_exact(loss_fn, params, rho):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    moved = [w + e for w, e in zip(params, dual_norm_ascent(grads, rho, 2))]
    return list(torch.autograd.grad(loss_fn(moved), moved))


# %% misconception="sam_gradient_exact" name="no-create-graph" message="the second-order term is missing"
def sam_gradient_exact(loss_fn, params, rho):
    grads = torch.autograd.grad(loss_fn(params), params)
    moved = [w + e for w, e in zip(params, dual_norm_ascent(grads, rho, 2))]
    return list(torch.autograd.grad(loss_fn(moved), params))


# %% misconception="sam_gradient_exact" name="norm-as-a-constant" message="The norm of g is taken as a constant"
def sam_gradient_exact(loss_fn, params, rho):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    length = math.sqrt(sum(g.pow(2).sum().item() for g in grads))
    moved = [w + rho * g / length for w, g in zip(params, grads)]
    return list(torch.autograd.grad(loss_fn(moved), params))


# %% misconception="sam_gradient_exact" name="projection-after-h" message="The projection comes after H"
def sam_gradient_exact(loss_fn, params, rho):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    length = torch.sqrt(sum(g.pow(2).sum() for g in grads)).detach()
    n = [(g / length).detach() for g in grads]
    moved = [(w + rho * a).detach().requires_grad_() for w, a in zip(params, n)]
    v = torch.autograd.grad(loss_fn(moved), moved)
    hv = torch.autograd.grad(sum((g * a).sum() for g, a in zip(grads, v)), params)
    along = sum((a * b).sum() for a, b in zip(n, hv))
    return [a + rho / length * (b - along * c) for a, b, c in zip(v, hv, n)]


# %% misconception="sam_gradient_exact" name="rho-missing" message="rho is missing in the second-order term"
def sam_gradient_exact(loss_fn, params, rho):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    length = torch.sqrt(sum(g.pow(2).sum() for g in grads)).detach()
    n = [(g / length).detach() for g in grads]
    moved = [(w + rho * a).detach().requires_grad_() for w, a in zip(params, n)]
    v = torch.autograd.grad(loss_fn(moved), moved)
    along = sum((a * b).sum() for a, b in zip(n, v))
    across = [(b - along * a) / length for a, b in zip(n, v)]
    hv = torch.autograd.grad(grads, params, across)
    return [a + b for a, b in zip(v, hv)]


# %% misconception="sam_gradient_exact" name="norm-of-each-tensor" message="Each tensor was moved by rho along its own gradient"
def sam_gradient_exact(loss_fn, params, rho):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    moved = [w + rho * g / g.norm() for w, g in zip(params, grads)]
    return list(torch.autograd.grad(loss_fn(moved), params))


# %% misconception="sam_gradient_exact" name="backward" message="The gradient at w is in it"
def sam_gradient_exact(loss_fn, params, rho):
    loss_fn(params).backward(create_graph=True)
    grads = [w.grad for w in params]
    length = torch.sqrt(sum(g.pow(2).sum() for g in grads))
    loss_fn([w + rho * g / length for w, g in zip(params, grads)]).backward()
    return [w.grad.detach() for w in params]


# %% alternative="sam_gradient_exact" name="by-hand"
def sam_gradient_exact(loss_fn, params, rho):
    w = [p.detach().requires_grad_() for p in params]
    grads = torch.autograd.grad(loss_fn(w), w, create_graph=True, materialize_grads=True)
    length = math.sqrt(sum((g * g).sum().item() for g in grads))
    n = [g.detach() / length for g in grads]
    moved = [(p + rho * a).detach().requires_grad_() for p, a in zip(w, n)]
    v = torch.autograd.grad(loss_fn(moved), moved, materialize_grads=True)
    along = sum((a * b).sum() for a, b in zip(n, v))
    slope = sum((g * rho / length * (b - along * a)).sum() for g, a, b in zip(grads, n, v))
    second = torch.autograd.grad(slope, w, materialize_grads=True)
    return [a + b for a, b in zip(v, second)]


# %% alternative="sam_gradient_exact" name="torch-func"
def sam_gradient_exact(loss_fn, params, rho):
    def sam_loss(w):
        g = torch.func.grad(loss_fn)(w)
        length = torch.cat([part.reshape(-1) for part in g]).norm()
        return loss_fn([a + rho * b / length for a, b in zip(w, g)])

    return torch.func.grad(sam_loss)([p.detach() for p in params])


# %% misconception="adaptive_ascent" name="w-once" message="w enters once above the line"
def adaptive_ascent(params, grads, rho):
    length = torch.sqrt(sum(((w * g) ** 2).sum() for w, g in zip(params, grads)))
    if length == 0:
        return [torch.zeros_like(g) for g in grads]
    return [rho * w.detach().abs() * g / length for w, g in zip(params, grads)]


# %% misconception="adaptive_ascent" name="norm-of-the-step" message="The denominator is the norm of w^2 g"
def adaptive_ascent(params, grads, rho):
    return dual_norm_ascent([w.detach() ** 2 * g for w, g in zip(params, grads)], rho, 2)


# %% misconception="adaptive_ascent" name="plain-sam" message="w does not enter"
def adaptive_ascent(params, grads, rho):
    return dual_norm_ascent(grads, rho, 2)


# %% misconception="adaptive_ascent" name="norm-of-g" message="The denominator is the norm of g"
def adaptive_ascent(params, grads, rho):
    length = torch.sqrt(sum((g**2).sum() for g in grads))
    return [rho * w.detach() ** 2 * g / length for w, g in zip(params, grads)]


# %% misconception="adaptive_ascent" name="norm-of-a-tensor-for-w" message="|w| is the norm of a whole tensor"
def adaptive_ascent(params, grads, rho):
    sizes = [w.detach().norm() for w in params]
    length = torch.sqrt(sum(((s * g) ** 2).sum() for s, g in zip(sizes, grads)))
    return [rho * s**2 * g / length for s, g in zip(sizes, grads)]


# %% misconception="adaptive_ascent" name="norm-of-each-tensor" message="Each tensor has a norm of its own"
def adaptive_ascent(params, grads, rho):
    return [rho * w.detach() ** 2 * g / (w.detach() * g).norm() for w, g in zip(params, grads)]


# %% misconception="adaptive_ascent" name="a-constant-for-safety" message="a constant that is added to |w|"
def adaptive_ascent(params, grads, rho):
    sizes = [w.detach().abs() + 0.01 for w in params]
    length = torch.sqrt(sum(((s * g) ** 2).sum() for s, g in zip(sizes, grads)))
    return [rho * s**2 * g / length for s, g in zip(sizes, grads)]


# %% misconception="adaptive_ascent" name="zero-over-zero" message="is NaN, 0/0; it should be 0"
def adaptive_ascent(params, grads, rho):
    length = torch.sqrt(sum(((w * g) ** 2).sum() for w, g in zip(params, grads)))
    return [rho * w.detach() ** 2 * g / length for w, g in zip(params, grads)]


# %% alternative="adaptive_ascent" name="through-exercise-1"
def adaptive_ascent(params, grads, rho):
    sizes = [w.detach().abs() for w in params]
    steps = dual_norm_ascent([s * g for s, g in zip(sizes, grads)], rho, 2.0)
    return [s * d for s, d in zip(sizes, steps)]


# %% alternative="adaptive_ascent" name="flat-float32"
def adaptive_ascent(params, grads, rho):
    w = torch.cat([p.detach().flatten() for p in params]).float()
    g = torch.cat([part.flatten() for part in grads]).float()
    length = (w * g).norm()
    step = rho * w * w * g / length if length > 0 else torch.zeros_like(g)
    pieces = step.split([part.numel() for part in grads])
    return [piece.reshape(part.shape) for piece, part in zip(pieces, grads)]


# %% misconception="swa_average" name="half-and-half" message="gives the last state half of the weight"
def swa_average(states):
    average = {name: value.clone() for name, value in states[0].items()}
    for state in states[1:]:
        for name, value in state.items():
            average[name] = (average[name] + value) / 2 if value.is_floating_point() else value
    return average


# %% misconception="swa_average" name="first-twice" message="The first state counts twice"
def swa_average(states):
    total = {name: value.clone() for name, value in states[0].items()}
    for state in states:
        for name, value in state.items():
            total[name] = total[name] + value if value.is_floating_point() else value
    return {n: v / len(states) if v.is_floating_point() else v for n, v in total.items()}


# %% misconception="swa_average" name="averages-the-counts" message="averaged: it is a count"
def swa_average(states):
    return {n: sum(s[n] for s in states) / len(states) for n in states[0]}


# %% misconception="swa_average" name="mean-of-whole-numbers" message="Whole numbers have no mean in torch"
def swa_average(states):
    return {name: torch.stack([s[name] for s in states]).mean(0) for name in states[0]}


# %% misconception="swa_average" name="adds-in-place" message="even where the dictionary is a copy"
def swa_average(states):
    average = dict(states[0])
    for state in states[1:]:
        for name in average:
            if average[name].is_floating_point():
                average[name] += state[name]
            else:
                average[name] = state[name]
    for name in average:
        if average[name].is_floating_point():
            average[name] = average[name] / len(states)
    return average


# %% misconception="swa_average" name="second-name" message="is a second name for it, not a copy"
def swa_average(states):
    average = states[0]
    for name in average:
        if average[name].is_floating_point():
            average[name] = torch.stack([s[name] for s in states]).mean(0)
        else:
            average[name] = states[-1][name].clone()
    return average


# %% misconception="swa_average" name="drops-the-counts" message="The entry of num_batches_tracked is missing"
def swa_average(states):
    return {
        name: torch.stack([s[name] for s in states]).mean(0)
        for name, value in states[0].items()
        if value.is_floating_point()
    }


# %% misconception="swa_average" name="sum-of-dictionaries" message="State dicts cannot be added"
def swa_average(states):
    return sum(states) / len(states)


# %% misconception="swa_average" name="begun-anew" message="is the sum begun anew"
def swa_average(states):
    for state in states:
        average = {}
        for name, value in state.items():
            average[name] = average.get(name, 0) + value
    return average


# %% alternative="swa_average" name="running-mean"
def swa_average(states):
    average = {}
    for k, state in enumerate(states):
        for name, value in state.items():
            if not value.is_floating_point():
                average[name] = value.clone()
            elif k == 0:
                average[name] = value.double()
                average[name] = average[name].clone()
            else:
                average[name] += (value - average[name]) / (k + 1)
    return average


# %% alternative="swa_average" name="stack-float32"
def swa_average(states):
    import copy

    average = copy.deepcopy(states[-1])
    for name in average:
        if average[name].dtype.is_floating_point:
            average[name] = torch.stack([s[name].float() for s in states]).mean(dim=0)
    return average


# %% misconception="hessian_penalty" name="normal-probes" message="Answers like these come from z that is normal"
def hessian_penalty(loss_fn, params, probes, generator):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    total = 0.0
    for _ in range(probes):
        z = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in params]
        hz = torch.autograd.grad(grads, params, z, create_graph=True)
        total = total + sum((a * b).sum() for a, b in zip(z, hz))
    return total / probes


# %% misconception="hessian_penalty" name="zeros-and-ones" message="z holds the numbers 0 and 1"
def hessian_penalty(loss_fn, params, probes, generator):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    total = 0.0
    for _ in range(probes):
        z = [torch.randint(0, 2, w.shape, generator=generator).to(w.dtype) for w in params]
        hz = torch.autograd.grad(grads, params, z, create_graph=True)
        total = total + sum((a * b).sum() for a, b in zip(z, hz))
    return total / probes


# %% misconception="hessian_penalty" name="frobenius" message="This is |Hz|^2"
def hessian_penalty(loss_fn, params, probes, generator):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    total = 0.0
    for _ in range(probes):
        z = [2.0 * torch.randint(0, 2, w.shape, generator=generator) - 1 for w in params]
        hz = torch.autograd.grad(
            sum((g * a).sum() for g, a in zip(grads, z)), params, create_graph=True
        )
        total = total + sum((b**2).sum() for b in hz)
    return total / probes


# %% misconception="hessian_penalty" name="one-z-for-all-probes" message="each probe needs a new z"
def hessian_penalty(loss_fn, params, probes, generator):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    z = [(2 * torch.randint(0, 2, w.shape, generator=generator) - 1).to(w.dtype) for w in params]
    total = 0.0
    for _ in range(probes):
        hz = torch.autograd.grad(grads, params, z, create_graph=True)
        total = total + sum((a * b).sum() for a, b in zip(z, hz))
    return total / probes


# %% misconception="hessian_penalty" name="one-sign-for-all-entries" message="all entries of z are the same"
def hessian_penalty(loss_fn, params, probes, generator):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    total = 0.0
    for _ in range(probes):
        sign = 2.0 * torch.randint(0, 2, (), generator=generator) - 1
        z = [sign * torch.ones_like(w) for w in params]
        hz = torch.autograd.grad(grads, params, z, create_graph=True)
        total = total + sum((a * b).sum() for a, b in zip(z, hz))
    return total / probes


# %% misconception="hessian_penalty" name="no-graph" message="the second gradient needs create_graph=True too"
def hessian_penalty(loss_fn, params, probes, generator):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    total = 0.0
    for _ in range(probes):
        z = [(2 * torch.randint(0, 2, w.shape, generator=generator) - 1).to(w) for w in params]
        hz = torch.autograd.grad(grads, params, z, retain_graph=True)
        total = total + sum((a * b).sum() for a, b in zip(z, hz))
    return total / probes


# %% misconception="hessian_penalty" name="a-float" message="which training cannot differentiate"
def hessian_penalty(loss_fn, params, probes, generator):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    total = 0.0
    for _ in range(probes):
        z = [(2 * torch.randint(0, 2, w.shape, generator=generator) - 1).to(w) for w in params]
        hz = torch.autograd.grad(grads, params, z, retain_graph=True)
        total += sum((a * b).sum().item() for a, b in zip(z, hz))
    return total / probes


# %% misconception="hessian_penalty" name="global-random-numbers" message="draw with generator=generator"
def hessian_penalty(loss_fn, params, probes, generator):
    grads = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    total = 0.0
    for _ in range(probes):
        z = [torch.randn_like(w).sign() for w in params]
        hz = torch.autograd.grad(grads, params, z, create_graph=True)
        total = total + sum((a * b).sum() for a, b in zip(z, hz))
    return total / probes


# %% alternative="hessian_penalty" name="signs-of-normal-numbers"
def hessian_penalty(loss_fn, params, probes, generator):
    numbers = []
    for _ in range(probes):
        grads = torch.autograd.grad(
            loss_fn(params), params, create_graph=True, materialize_grads=True
        )
        z = [torch.randn(w.shape, generator=generator, dtype=w.dtype).sign() for w in params]
        live = [k for k, g in enumerate(grads) if g.requires_grad]
        hz = torch.autograd.grad(
            [grads[k] for k in live],
            params,
            [z[k] for k in live],
            create_graph=True,
            materialize_grads=True,
        )
        numbers.append(sum(torch.sum(a * b) for a, b in zip(z, hz)))
    return torch.stack(numbers).mean()


# %% alternative="hessian_penalty" name="forward-over-reverse"
def hessian_penalty(loss_fn, params, probes, generator):
    gradient = torch.func.grad(loss_fn)
    total = 0.0
    for _ in range(probes):
        z = [
            1.0 - 2.0 * torch.bernoulli(torch.full(w.shape, 0.5), generator=generator).to(w)
            for w in params
        ]
        _, hz = torch.func.jvp(gradient, (list(params),), (z,))
        total = total + sum((a * b).sum() for a, b in zip(z, hz)) / probes
    return total
