# %% [markdown]
# More wrong and right answers to the exercises of chapter 01, which tests/unit/checks runs without nbgrader: grading takes as
# long as the exercise with the most cases.

# %% misconception="hessian_2d" name="backward-one-tensor" message=".backward() adds to w.grad"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(w), w, create_graph=True)
    rows = []
    for entry in g:
        entry.backward(retain_graph=True)
        rows.append(w.grad)
    return torch.stack(rows)


# %% misconception="hessian_2d" name="backward-adds" message="The second row still holds the first"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(w), w, create_graph=True)
    rows = []
    for entry in g:
        entry.backward(retain_graph=True)
        rows.append(w.grad.clone())
    return torch.stack(rows)


# %% misconception="power_iteration" name="largest-entry" message="not only to a largest entry of 1"
def power_iteration(matvec, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    for _ in range(steps):
        h = matvec(v)
        v = h / h.abs().max()
    return (v @ matvec(v)).item(), v


# %% misconception="epsilon_sharpness" name="no-root" message="is a root of the summed squares missing"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    start = loss_fn(params).item()
    d = [1e-3 * epsilon * torch.ones_like(p) for p in params]
    best = start
    for _ in range(steps):
        point = [(p.detach() + a).requires_grad_() for p, a in zip(params, d)]
        loss = loss_fn(point)
        best = max(best, loss.item())
        g = torch.autograd.grad(loss, point)
        norm = torch.sqrt(sum(a.square().sum() for a in g)) + 1e-30
        d = [a + epsilon / 3 * b / norm for a, b in zip(d, g)]
        size = sum(a.square().sum() for a in d)
        if size > epsilon:
            d = [a * (epsilon / size) ** 0.5 for a in d]
    return (best - start) / (1 + start)


# %% misconception="epsilon_sharpness" name="goes-down" message="Does each step go up the gradient"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    start = loss_fn(params).item()
    d = [1e-3 * epsilon * torch.ones_like(p) for p in params]
    best = start
    for _ in range(steps):
        point = [(p.detach() + a).requires_grad_() for p, a in zip(params, d)]
        loss = loss_fn(point)
        best = max(best, loss.item())
        g = torch.autograd.grad(loss, point)
        norm = torch.sqrt(sum(a.square().sum() for a in g)) + 1e-30
        d = [a - epsilon / 20 * b / norm for a, b in zip(d, g)]
        norm = torch.sqrt(sum(a.square().sum() for a in d))
        if norm > epsilon:
            d = [a * epsilon / norm for a in d]
    return (best - start) / (1 + start)
