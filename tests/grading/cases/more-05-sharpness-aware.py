# %% [markdown]
# More wrong answers to the exercises of chapter 05, which tests/unit/checks runs without nbgrader: grading takes as long
# as the exercise with the most cases.

# %% misconception="sam_step" name="calls-the-last-exercise" message="sam_gradient of exercise 2 calls it with a list of tensors"
def sam_step(model, loss_fn, optimizer, rho):
    params = list(model.parameters())
    loss = loss_fn(model)
    for w, g in zip(params, sam_gradient(loss_fn, params, rho)):
        w.grad = g
    optimizer.step()
    return loss.item()


# %% misconception="adaptive_ascent" name="norm-of-the-quotient" message="The denominator is the norm of g/|w|"
def adaptive_ascent(params, grads, rho):
    length = sum((g / w.detach()).square().sum() for w, g in zip(params, grads)).sqrt()
    if length == 0:
        return [torch.zeros_like(g) for g in grads]
    return [rho * w.detach() ** 2 * g / length for w, g in zip(params, grads)]


# %% misconception="adaptive_ascent" name="gradient-over-the-weights" message="with e = |w| d the gradient by d is |w| g"
def adaptive_ascent(params, grads, rho):
    along = [g / w.detach().abs() for w, g in zip(params, grads)]
    length = sum(d.square().sum() for d in along).sqrt()
    if length == 0:
        return [torch.zeros_like(g) for g in grads]
    return [rho * w.detach().abs() * d / length for w, d in zip(params, along)]


# %% misconception="swa_average" name="statistics-of-the-last-state" message="running_mean and running_var are the last state's"
def swa_average(states):
    average = {}
    for name, last in states[-1].items():
        if "running" in name or not last.is_floating_point():
            average[name] = last.clone()
        else:
            average[name] = torch.stack([state[name] for state in states]).mean(0)
    return average


# %% misconception="sam_step" name="zero-at-the-end-only" message="not only at the end"
def sam_step(model, loss_fn, optimizer, rho):
    loss = loss_fn(model)
    loss.backward()
    params = [w for w in model.parameters() if w.grad is not None]
    before = [w.detach().clone() for w in params]
    steps = dual_norm_ascent([w.grad for w in params], rho, 2.0)
    try:
        with torch.no_grad():
            for w, e in zip(params, steps):
                w.add_(e)
        optimizer.zero_grad()
        loss_fn(model).backward()
    finally:
        with torch.no_grad():
            for w, value in zip(params, before):
                w.copy_(value)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


# %% misconception="adaptive_ascent" name="divide-back" message="Is anything divided by |w|"
def adaptive_ascent(params, grads, rho):
    e = [w.detach() ** 2 * g for w, g in zip(params, grads)]
    if not any(x.any() for x in e):
        return e
    length = torch.sqrt(sum(((x / w.detach().abs()) ** 2).sum() for x, w in zip(e, params)))
    return [rho * x / length for x in e]


# %% misconception="sam_step" name="step-in-finally" message="is called after an error of loss_fn"
def sam_step(model, loss_fn, optimizer, rho):
    optimizer.zero_grad()
    loss = loss_fn(model)
    loss.backward()
    params = [w for w in model.parameters() if w.grad is not None]
    before = [w.detach().clone() for w in params]
    steps = dual_norm_ascent([w.grad for w in params], rho, 2.0)
    try:
        with torch.no_grad():
            for w, e in zip(params, steps):
                w.add_(e)
                w.grad.zero_()
        loss_fn(model).backward()
    finally:
        with torch.no_grad():
            for w, value in zip(params, before):
                w.copy_(value)
        optimizer.step()
    return loss.item()


# %% misconception="swa_average" name="by-name" message="tells them apart, not a name or one dtype"
def swa_average(states):
    average = {}
    for name in states[0]:
        if "num_batches_tracked" in name:
            average[name] = states[-1][name].clone()
        else:
            average[name] = sum(s[name] for s in states) / len(states)
    return average


# %% misconception="swa_average" name="by-int64" message="tells them apart, not a name or one dtype"
def swa_average(states):
    average = {}
    for name in states[0]:
        if states[0][name].dtype == torch.int64:
            average[name] = states[-1][name].clone()
        else:
            average[name] = sum(s[name] for s in states) / len(states)
    return average


# %% misconception="swa_average" name="by-dim0" message="Whole numbers have no mean in torch"
def swa_average(states):
    return {n: torch.stack([s[n] for s in states]).mean(0) if v.dim() > 0 else v.clone() for n, v in states[-1].items()}


# %% misconception="dual_norm_ascent" name="peak-no-abs" message="where the largest |g_i| is meant"
def dual_norm_ascent(grads, rho, p):
    if not any(g.any() for g in grads):
        return [torch.zeros_like(g) for g in grads]
    if p == math.inf:
        return [rho * g.sign() for g in grads]
    flat = torch.cat([g.flatten() for g in grads])
    if p == 1:
        e = torch.zeros_like(flat)
        k = flat.abs().argmax()
        e[k] = rho * flat[k].sign()
    else:
        r = flat / flat.max()
        q = p / (p - 1)
        e = rho * r.sign() * r.abs() ** (q - 1) / (r.abs() ** q).sum() ** (1 / p)
    return [s.view(g.shape) for s, g in zip(e.split([g.numel() for g in grads]), grads)]


# %% misconception="dual_norm_ascent" name="unscaled" message="before any power is taken"
def dual_norm_ascent(grads, rho, p):
    if not any(g.any() for g in grads):
        return [torch.zeros_like(g) for g in grads]
    if p == math.inf:
        return [rho * g.sign() for g in grads]
    if p == 1:
        peak = max(float(g.abs().max()) for g in grads)
        count = sum((g.abs() == peak).sum() for g in grads)
        return [rho * g.sign() * (g.abs() == peak) / count for g in grads]
    q = p / (p - 1)
    total = sum((r.abs() ** q).sum() for r in grads)
    return [rho * r.sign() * r.abs() ** (q - 1) / total ** (1 / p) for r in grads]


# %% misconception="hessian_penalty" name="randint01" message="which draws only 0"
def hessian_penalty(loss_fn, params, probes, generator):
    keep = {"create_graph": True, "materialize_grads": True}
    grads = torch.autograd.grad(loss_fn(params), params, **keep)
    total = 0.0
    for _ in range(probes):
        z = [2 * torch.randint(0, 1, w.shape, generator=generator).to(w) - 1 for w in params]
        h = torch.autograd.grad(sum((g * a).sum() for g, a in zip(grads, z)), params, **keep)
        total = total + sum((a * b).sum() for a, b in zip(z, h))
    return total / probes


# %% misconception="hessian_penalty" name="two-draws" message="the same z stands on both sides"
def hessian_penalty(loss_fn, params, probes, generator):
    keep = {"create_graph": True, "materialize_grads": True}
    grads = torch.autograd.grad(loss_fn(params), params, **keep)
    def z(w): return 2 * torch.randint(0, 2, w.shape, generator=generator).to(w) - 1
    total = 0.0
    for _ in range(probes):
        h = torch.autograd.grad(sum((g * z(g)).sum() for g in grads), params, **keep)
        total = total + sum((z(b) * b).sum() for b in h)
    return total / probes


# %% misconception="swa_average" name="float32-only" message="not seen as floating-point numbers"
def swa_average(states):
    return {n: torch.stack([s[n] for s in states]).mean(0) if v.dtype == torch.float32 else v.clone() for n, v in states[-1].items()}


# %% alternative="sam_step" name="closure"
def sam_step(model, loss_fn, optimizer, rho):
    optimizer.zero_grad()
    loss = loss_fn(model); loss.backward()
    live = [w for w in model.parameters() if w.grad is not None]
    kept = [w.detach().clone() for w in live]
    steps = dual_norm_ascent([w.grad.clone() for w in live], rho, 2)
    def second():
        try:
            with torch.no_grad():
                for w, e in zip(live, steps): w.add_(e)
            optimizer.zero_grad()
            l = loss_fn(model); l.backward()
        finally:
            with torch.no_grad():
                for w, e in zip(live, kept): w.copy_(e)
        return l
    optimizer.step(second)
    return loss.item()


# %% misconception="sam_step" name="third-pass-no-finally" message="`finally` runs with and without an error"
def sam_step(model, loss_fn, optimizer, rho):
    value = loss_fn(model).item()
    optimizer.zero_grad()
    loss_fn(model).backward()
    params = [w for w in model.parameters() if w.grad is not None]
    before = [w.detach().clone() for w in params]
    with torch.no_grad():
        for w, e in zip(params, dual_norm_ascent([w.grad for w in params], rho, 2.0)):
            w.add_(e)
    optimizer.zero_grad()
    loss_fn(model).backward()
    with torch.no_grad():
        for w, old in zip(params, before):
            w.copy_(old)
    optimizer.step()
    return value


# %% misconception="adaptive_ascent" name="eps-norm-1e-8" message="small norm taken for 0"
def adaptive_ascent(params, grads, rho):
    s = [w.detach().abs() * g for w, g in zip(params, grads)]
    n = torch.sqrt(sum((a ** 2).sum() for a in s)) + 1e-8
    return [rho * w.detach().abs() * a / n for w, a in zip(params, s)]


# %% misconception="adaptive_ascent" name="small-threshold" message="small norm taken for 0"
def adaptive_ascent(params, grads, rho):
    s = torch.cat([(w.detach() * g).flatten() for w, g in zip(params, grads)])
    length = s.norm()
    if length < 1e-3: return [torch.zeros_like(g) for g in grads]
    return [rho * w.detach() ** 2 * g / length for w, g in zip(params, grads)]


# %% misconception="adaptive_ascent" name="no-abs" message="The signs are those of w g"
def adaptive_ascent(params, grads, rho):
    s = [w.detach() * g for w, g in zip(params, grads)]
    return [w.detach().abs() * a for w, a in zip(params, dual_norm_ascent(s, rho, 2))]


# %% misconception="adaptive_ascent" name="rho-squared" message="w enters three times"
def adaptive_ascent(params, grads, rho):
    s = [w.detach().abs() * g for w, g in zip(params, grads)]
    e = dual_norm_ascent(s, rho, 2)
    return [w.detach() ** 2 * a for w, a in zip(params, e)]


# %% misconception="adaptive_ascent" name="p-inf" message="step of p = inf"
def adaptive_ascent(params, grads, rho):
    s = [w.detach().abs() * g for w, g in zip(params, grads)]
    return [w.detach().abs() * a for w, a in zip(params, dual_norm_ascent(s, rho, math.inf))]


# %% misconception="adaptive_ascent" name="w-once-dual-of-g" message="|w| times SAM's step"
def adaptive_ascent(params, grads, rho):
    return [w.detach().abs() * e for w, e in zip(params, dual_norm_ascent(grads, rho, 2))]


# %% misconception="swa_average" name="sorted-list" message=".pop() and del take them"
def swa_average(states):
    out = {}
    while len(states) > 0:
        s = states.pop()
        for n in s: out.setdefault(n, []).append(s[n])
    return {n: torch.stack(v).mean(0) if v[0].is_floating_point() else v[0].clone() for n, v in out.items()}


# %% misconception="swa_average" name="half-of-first-last" message="first and the last state"
def swa_average(states):
    return {n: (states[0][n] + states[-1][n]) / 2 if v.is_floating_point() else v.clone() for n, v in states[-1].items()}


# %% misconception="swa_average" name="range-1" message="last state counts twice"
def swa_average(states):
    out = {n: v.clone() for n, v in states[-1].items()}
    for i in range(1, len(states)):
        for n in out:
            if out[n].is_floating_point(): out[n] = out[n] + states[i][n]
    return {n: v / len(states) if v.is_floating_point() else v for n, v in out.items()}


# %% misconception="swa_average" name="geometric-norm" message="number of names"
def swa_average(states):
    return {n: torch.stack([s[n] for s in states]).sum(0) / len(states[0]) if v.is_floating_point() else v.clone() for n, v in states[-1].items()}
