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


# %% misconception="epsilon_sharpness" name="ball-around-zero" message="Is that around w, not around 0"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    start = loss_fn(params).item()
    w = [p.detach() for p in params]
    point = [a + 1e-2 * epsilon * torch.ones_like(a) for a in w]
    best = start
    for _ in range(steps):
        point = [p.detach().requires_grad_() for p in point]
        loss = loss_fn(point)
        best = max(best, loss.item())
        g = torch.autograd.grad(loss, point, materialize_grads=True)
        size = torch.sqrt(sum(a.square().sum() for a in g)) + 1e-30
        point = [p.detach() + epsilon / 5 * a / size for p, a in zip(point, g)]
        norm = torch.sqrt(sum(p.square().sum() for p in point))
        if norm > epsilon:
            point = [p * epsilon / norm for p in point]
    return (best - start) / (1 + start)


# %% misconception="hvp" name="linear-loss-crashes" message="no graph is left there, and H v is 0"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params, create_graph=True, materialize_grads=True)
    dot = sum((a * b).sum() for a, b in zip(g, v))
    return list(torch.autograd.grad(dot, params, materialize_grads=True))


# %% misconception="hvp" name="mean-for-sum" message="use .sum(), not .mean()"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params, create_graph=True, materialize_grads=True)
    dot = sum((a * b).mean() for a, b in zip(g, v))
    return list(torch.autograd.grad(dot, params, materialize_grads=True))


# %% misconception="hvp" name="wipes-grad" message=".backward() writes to it"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params, create_graph=True, materialize_grads=True)
    for p in params:
        p.grad = None
    dot = sum((a * b).sum() for a, b in zip(g, v))
    if dot.requires_grad:
        dot.backward()
    out = [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
    for p in params:
        p.grad = None
    return out


# %% misconception="second_derivative" name="flattens" message="shape"
def second_derivative(f, x):
    x = x.detach().reshape(-1).clone().requires_grad_()
    (g,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
    if not g.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(g.sum(), x)[0]


# %% misconception="second_derivative" name="difference-quotient-in-float64" message="a difference quotient loses most of its digits"
def second_derivative(f, x):
    h = 1e-3
    x = x.detach().double()
    return (f(x + h) - 2 * f(x) + f(x - h)) / h**2


# %% misconception="hessian_2d" name="scalar-grad-of-a-vector" message="differentiate them one at a time"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(w), w, create_graph=True)
    return torch.autograd.grad(g, w)[0]


# %% misconception="hessian_2d" name="first-row-twice" message="Both rows are the first row"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(w), w, create_graph=True)
    return torch.stack([torch.autograd.grad(g[0], w, retain_graph=True)[0] for i in range(2)])


# %% misconception="hessian_2d" name="gradient-as-rows" message="Both rows are the gradient"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(w), w, create_graph=True)
    return torch.stack([g, g])


# %% misconception="hessian_2d" name="backward-for-all" message="The gradient itself is added"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    f(w).backward(create_graph=True)
    g = w.grad
    rows = []
    for i in range(2):
        g[i].backward(retain_graph=True)
        rows.append(w.grad.clone())
    return torch.stack(rows)


# %% misconception="hessian_2d" name="one-grad-twice" message="Both rows are the second row"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(w), w, create_graph=True)
    rows = []
    for e in g:
        if w.grad is not None: w.grad.zero_()
        if e.requires_grad: e.backward(retain_graph=True)
        rows.append(w.grad)
    return torch.stack(rows)


# %% misconception="hessian_2d" name="keeps-the-tuple" message="take its entry [0]"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(w), w, create_graph=True)
    return torch.stack([torch.autograd.grad(e, w, retain_graph=True) for e in g])


# %% misconception="hessian_2d" name="detaches-inside" message="Every entry is 0"
def hessian_2d(f, w):
    def grad(v):
        v = v.detach().requires_grad_()
        return torch.autograd.grad(f(v), v, create_graph=True)[0]
    return torch.autograd.functional.jacobian(grad, w)


# %% misconception="rescale_relu" name="multiplies-second-bias" message="b2 is multiplied too"
def rescale_relu(params, alpha):
    w1, b1, w2, b2, *rest = params
    return [alpha * w1, alpha*b1, w2 / alpha, b2 * alpha, *rest]


# %% misconception="rescale_relu" name="multiplies-all" message="Every tensor is multiplied"
def rescale_relu(params, alpha):
    return [alpha * p for p in params]


# %% misconception="rescale_relu" name="in-place-on-leaves" message="compute new ones"
def rescale_relu(params, alpha):
    params[0] *= alpha
    params[1] *= alpha
    params[2] /= alpha
    return params


# %% misconception="rescale_relu" name="only-w1" message="Only W1 is scaled"
def rescale_relu(params, alpha):
    w1, *rest = params
    return [alpha * w1, *rest]
