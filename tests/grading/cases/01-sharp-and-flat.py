# %% [markdown]
# Wrong and right answers to the exercises of chapter 01. Each cell stands in for the student's.

# %% misconception="second_derivative" name="no-create-graph" message="create_graph=True"
def second_derivative(f, x):
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(x).sum(), x)
    return torch.autograd.grad(slope.sum(), x)[0]


# %% misconception="second_derivative" name="first-derivative" message="first derivative: differentiate it once more"
def second_derivative(f, x):
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(f(x).sum(), x)[0]


# %% misconception="second_derivative" name="backward-accumulates" message=".backward() adds to x.grad"
def second_derivative(f, x):
    x = x.detach().clone().requires_grad_()
    f(x).sum().backward(create_graph=True)
    x.grad.sum().backward()
    return x.grad


# %% misconception="second_derivative" name="difference-quotient" message="difference quotient loses"
def second_derivative(f, x, h=1e-3):
    return (f(x + h) - 2 * f(x) + f(x - h)) / h**2


# %% misconception="second_derivative" name="changes-the-caller" message="now requires a gradient"
def second_derivative(f, x):
    x.requires_grad_()
    (slope,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
    return torch.autograd.grad(slope.sum(), x)[0]


# %% misconception="second_derivative" name="no-sum" message="derivative of the sum"
def second_derivative(f, x):
    x = x.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(x), x, create_graph=True)
    return torch.autograd.grad(slope, x)[0]


# %% misconception="second_derivative" name="straight-line-crashes" message="straight line"
def second_derivative(f, x):
    x = x.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
    return torch.autograd.grad(slope.sum(), x)[0]


# %% misconception="second_derivative" name="mean-for-sum" message="use .sum(), not .mean()"
def second_derivative(f, x):
    x = x.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(f(x).mean(), x, create_graph=True)
    return torch.autograd.grad(slope.mean(), x)[0]


# %% misconception="second_derivative" name="never-marked" message="never marked with requires_grad_()"
def second_derivative(f, x):
    (slope,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
    return torch.autograd.grad(slope.sum(), x)[0]


# %% alternative="second_derivative" name="functional"
def second_derivative(f, x):
    derivative = torch.func.grad(torch.func.grad(lambda t: f(t)))
    x = x.detach()
    return torch.stack([derivative(t) for t in x.reshape(-1)]).reshape(x.shape)


# %% alternative="second_derivative" name="vmap"
def second_derivative(f, x):
    flat = x.detach().reshape(-1)
    return torch.func.vmap(torch.func.grad(torch.func.grad(f)))(flat).reshape(x.shape)


# %% alternative="second_derivative" name="forward-mode"
def second_derivative(f, x):
    x = x.detach().clone()
    one = torch.ones_like(x)
    slope = lambda t: torch.func.jvp(f, (t,), (one,))[1]
    return torch.func.jvp(slope, (x,), (one,))[1]


# %% misconception="hessian_2d" name="diagonal-only" message="Only the diagonal"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(w), w, create_graph=True)
    diagonal = [torch.autograd.grad(g[i], w, retain_graph=True)[0][i] for i in range(2)]
    return torch.diag(torch.stack(diagonal))


# %% misconception="hessian_2d" name="outer-product" message="gradient times itself"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(w), w)
    return torch.outer(g, g)


# %% misconception="hessian_2d" name="sum-of-rows" message="Every row is the sum"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(w), w, create_graph=True)
    row = torch.autograd.grad(g.sum(), w)[0]
    return torch.stack([row, row])


# %% misconception="hessian_2d" name="no-create-graph" message="create_graph=True"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(w), w)
    return torch.stack([torch.autograd.grad(g[i], w)[0] for i in range(2)])


# %% misconception="hessian_2d" name="at-the-origin" message="Hessian at (0, 0)"
def hessian_2d(f, w):
    return torch.autograd.functional.hessian(f, torch.zeros_like(w))


# %% misconception="hessian_2d" name="freed-graph" message="retain_graph=True"
def hessian_2d(f, w):
    w = w.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(f(w), w, create_graph=True)
    return torch.stack([torch.autograd.grad(g[i], w)[0] for i in range(2)])


# %% misconception="hessian_2d" name="marks-the-caller" message="came back changed"
def hessian_2d(f, w):
    w.requires_grad_()
    (g,) = torch.autograd.grad(f(w), w, create_graph=True)
    rows = [torch.autograd.grad(g[i], w, retain_graph=True)[0] for i in range(2)]
    return torch.stack(rows)


# %% alternative="hessian_2d" name="functional"
def hessian_2d(f, w):
    return torch.autograd.functional.hessian(f, w.detach())


# %% alternative="hessian_2d" name="torch-func"
def hessian_2d(f, w):
    return torch.func.hessian(f)(w.detach())


# %% alternative="hessian_2d" name="forward-over-forward"
def hessian_2d(f, w):
    w, basis = w.detach(), torch.eye(2, dtype=w.dtype)
    along = lambda u: lambda t: torch.func.jvp(f, (t,), (u,))[1]
    entries = [torch.func.jvp(along(u), (w,), (v,))[1] for u in basis for v in basis]
    return torch.stack(entries).reshape(2, 2)


# %% misconception="hvp" name="no-create-graph" message="create_graph=True"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params)
    dot = sum((a * b).sum() for a, b in zip(g, v))
    return list(torch.autograd.grad(dot, params))


# %% misconception="hvp" name="gradient" message="This is the gradient"
def hvp(loss_fn, params, v):
    return list(torch.autograd.grad(loss_fn(params), params))


# %% misconception="hvp" name="gradient-times-v" message="gradient times v, entry by entry"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params)
    return [a * b for a, b in zip(g, v)]


# %% misconception="hvp" name="outer-product" message="outer product of the gradient"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params)
    dot = sum((a * b).sum() for a, b in zip(g, v))
    return [a * dot for a in g]


# %% misconception="hvp" name="block-by-block" message="Each tensor is treated on its own"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    return [
        torch.autograd.grad((a * b).sum(), p, retain_graph=True)[0] for a, b, p in zip(g, v, params)
    ]


# %% misconception="hvp" name="builds-the-hessian" message="that is the whole Hessian"
def hvp(loss_fn, params, v):
    sizes = [p.numel() for p in params]

    def of_vector(w):
        return loss_fn([part.view_as(p) for part, p in zip(w.split(sizes), params)])

    w = torch.cat([p.detach().reshape(-1) for p in params])
    h = torch.autograd.functional.hessian(of_vector, w)
    product = h @ torch.cat([part.reshape(-1) for part in v])
    return [part.view_as(p) for part, p in zip(product.split(sizes), params)]


# %% misconception="hvp" name="row-by-row" message="row by row"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    flat_v = torch.cat([part.reshape(-1) for part in v])
    entries = []
    for entry in torch.cat([a.reshape(-1) for a in g]):
        row = torch.autograd.grad(entry, params, retain_graph=True)
        entries.append(torch.cat([r.reshape(-1) for r in row]) @ flat_v)
    product = torch.stack(entries).split([p.numel() for p in params])
    return [part.view_as(p) for part, p in zip(product, params)]


# %% misconception="hvp" name="unused-parameter" message="a parameter that does not enter the loss"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    dot = sum((a * b).sum() for a, b in zip(g, v))
    return list(torch.autograd.grad(dot, params))


# %% misconception="hvp" name="none-for-unused" message="its derivative is a tensor of zeros"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params, create_graph=True, allow_unused=True)
    dot = sum((a * b).sum() for a, b in zip(g, v) if a is not None)
    return list(torch.autograd.grad(dot, params, allow_unused=True))


# %% misconception="hvp" name="backward-fills-grad" message=".grad changed"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params, create_graph=True, materialize_grads=True)
    dot = sum((a * b).sum() for a, b in zip(g, v))
    before = [0 if p.grad is None else p.grad.clone() for p in params]
    if dot.requires_grad:
        dot.backward(inputs=[p for p in params])
    zeros = [torch.zeros_like(p) for p in params]
    after = [z if p.grad is None else p.grad for p, z in zip(params, zeros)]
    return [a - b for a, b in zip(after, before)]


# %% misconception="hvp" name="asks-the-package" message="calls flatlab.curvature"
def hvp(loss_fn, params, v):
    from flatlab.curvature import Hessian

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.items = torch.nn.ParameterList([torch.nn.Parameter(p.detach()) for p in params])

        def forward(self, x):
            return loss_fn(list(self.items))

    h = Hessian(Module().double(), lambda out, y: out, (torch.zeros(1, 1).double(),) * 2)
    product = h @ torch.cat([part.reshape(-1) for part in v]).double()
    return [s.view_as(p) for s, p in zip(product.split([p.numel() for p in params]), params)]


# %% misconception="hvp" name="backward-twice" message="This is g + Hv"
def hvp(loss_fn, params, v):
    loss_fn(params).backward(create_graph=True)
    dot = sum((p.grad * b).sum() for p, b in zip(params, v))
    dot.backward()
    return [p.grad.detach() for p in params]


# %% misconception="hvp" name="gradient-squared" message="the gradient of g . g"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params, create_graph=True)
    return list(torch.autograd.grad(sum((a * a).sum() for a in g), params))


# %% misconception="hvp" name="difference-quotient" message="is allowed"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params, materialize_grads=True)
    moved = [(p.detach() + 1e-4 * b).requires_grad_(True) for p, b in zip(params, v)]
    ahead = torch.autograd.grad(loss_fn(moved), moved, materialize_grads=True)
    return [(a - b) / 1e-4 for a, b in zip(ahead, g)]


# %% alternative="hvp" name="grad-outputs"
def hvp(loss_fn, params, v):
    g = torch.autograd.grad(loss_fn(params), params, create_graph=True, allow_unused=True)
    pairs = [(a, b) for a, b in zip(g, v) if a is not None and a.requires_grad]
    if not pairs:
        return tuple(torch.zeros_like(p) for p in params)
    h = torch.autograd.grad(
        [a for a, _ in pairs], params, grad_outputs=[b for _, b in pairs], allow_unused=True
    )
    return tuple(torch.zeros_like(p) if a is None else a for a, p in zip(h, params))


# %% alternative="hvp" name="forward-over-reverse"
def hvp(loss_fn, params, v):
    leaves = tuple(p.detach() for p in params)
    gradient = torch.func.grad(lambda *ps: loss_fn(list(ps)), argnums=tuple(range(len(leaves))))
    return list(torch.func.jvp(gradient, leaves, tuple(v))[1])


# %% alternative="hvp" name="reverse-over-forward"
def hvp(loss_fn, params, v):
    leaves = tuple(p.detach() for p in params)

    def slope_along_v(*ps):
        return torch.func.jvp(lambda *qs: loss_fn(list(qs)), ps, tuple(v))[1]

    return list(torch.func.grad(slope_along_v, argnums=tuple(range(len(leaves))))(*leaves))


# %% alternative="hvp" name="backward-on-copies"
def hvp(loss_fn, params, v):
    copies = [p.detach().clone().requires_grad_() for p in params]
    loss = loss_fn(copies)
    g = torch.autograd.grad(loss, copies, create_graph=True, materialize_grads=True)
    total = torch.zeros((), dtype=copies[0].dtype)
    for a, b in zip(g, v):
        total = total + torch.dot(a.flatten(), b.flatten())
    if total.requires_grad:
        total.backward()
    return [torch.zeros_like(c) if c.grad is None else c.grad for c in copies]


# %% misconception="power_iteration" name="norm-loses-the-sign" message="Rayleigh quotient"
def power_iteration(matvec, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    v = v / v.norm()
    size = 0.0
    for _ in range(steps):
        v = matvec(v)
        size = v.norm()
        v = v / size
    return size.item(), v


# %% misconception="power_iteration" name="never-normalizes" message="normalize the vector in every step"
def power_iteration(matvec, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    for _ in range(steps):
        v = matvec(v)
    v = v / v.norm()
    return (v @ matvec(v)).item(), v


# %% misconception="power_iteration" name="own-randomness" message="generator=generator"
def power_iteration(matvec, dim, steps, generator):
    v = torch.randn(dim)
    v = v / v.norm()
    for _ in range(steps):
        h = matvec(v)
        value = v @ h
        v = h / (h.norm() + 1e-30)
    return value.item(), v


# %% misconception="power_iteration" name="fixed-start" message="same for every generator"
def power_iteration(matvec, dim, steps, generator):
    v = torch.ones(dim) / dim**0.5
    for _ in range(steps):
        h = matvec(v)
        value = v @ h
        v = h / h.norm().clamp_min(1e-30)
    return value.item(), v


# %% misconception="power_iteration" name="eigenvector-not-normalized" message="return it with norm 1"
def power_iteration(matvec, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    for _ in range(steps):
        v = v / v.norm().clamp_min(1e-30)
        v = matvec(v)
    u = v / v.norm().clamp_min(1e-30)
    return (u @ matvec(u)).item(), v


# %% misconception="power_iteration" name="builds-the-matrix" message="building the whole matrix"
def power_iteration(matvec, dim, steps, generator):
    h = torch.stack([matvec(e) for e in torch.eye(dim)])
    values, vectors = torch.linalg.eigh(h)
    top = values.abs().argmax()
    return values[top].item(), vectors[:, top]


# %% misconception="power_iteration" name="nan-for-zero" message="a matrix of zeros"
def power_iteration(matvec, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    v = v / v.norm()
    for _ in range(steps):
        h = matvec(v)
        v = h / h.norm()
    return (v @ matvec(v)).item(), v


# %% misconception="power_iteration" name="ignores-steps" message="does the loop run `steps` times"
def power_iteration(matvec, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    for _ in range(60):
        v = v / v.norm()
        h = matvec(v)
        value = v @ h
        v = h
    return value.item(), v / v.norm()


# %% misconception="power_iteration" name="zero-vector" message="does not have norm 1"
def power_iteration(matvec, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    value = 0.0
    for _ in range(steps):
        v = v / (v.norm() + 1e-20)
        h = matvec(v)
        value = (v @ h).item()
        v = h
    return value, v / (v.norm() + 1e-20)


# %% misconception="power_iteration" name="three-products-a-step" message="a step takes two at most"
def power_iteration(matvec, dim, steps, generator):
    v = torch.randn(dim, generator=generator)
    for _ in range(steps):
        v = matvec(v) / matvec(v).norm().clamp_min(1e-30)
        value = v @ matvec(v)
    return value.item(), v


# %% alternative="power_iteration" name="float64"
def power_iteration(matvec, dim, steps, generator):
    v = torch.randn(dim, generator=generator, dtype=torch.float64)
    for _ in range(steps):
        v = v / torch.linalg.vector_norm(v)
        h = matvec(v)
        value = torch.dot(v, h)
        if h.abs().max() == 0:
            return 0.0, v
        v = h
    return value, v / v.norm()


# %% alternative="power_iteration" name="quotient-at-the-end"
def power_iteration(matvec, dim, steps, generator):
    v = torch.nn.functional.normalize(torch.rand(dim, generator=generator) - 0.5, dim=0)
    for _ in range(steps):
        h = matvec(v)
        if h.norm() > 0:
            v = h / h.norm()
    return torch.sum(v * matvec(v)).item(), v


# %% alternative="power_iteration" name="in-place"
def power_iteration(matvec, dim, steps, generator):
    v = torch.empty(dim).normal_(generator=generator)
    v /= v.norm()
    value = torch.zeros(())
    while steps > 0:
        steps -= 1
        h = matvec(v)
        value = (v * h).sum()
        length = torch.sqrt((h * h).sum())
        if length == 0:
            length = torch.tensor(float("inf"))
            return [value, v]
        v = h.div(length)
    return [value, v]


# %% misconception="frobenius_norm" name="no-root" message="square of the norm"
def frobenius_norm(matvec, dim, probes, generator):
    total = 0.0
    for _ in range(probes):
        total += matvec(torch.randn(dim, generator=generator)).square().sum().item()
    return total / probes


# %% misconception="frobenius_norm" name="averages-norms" message="Average their squares"
def frobenius_norm(matvec, dim, probes, generator):
    norms = [matvec(torch.randn(dim, generator=generator)).norm() for _ in range(probes)]
    return torch.stack(norms).mean().item()


# %% misconception="frobenius_norm" name="sum-not-mean" message="divide by their number"
def frobenius_norm(matvec, dim, probes, generator):
    total = sum(matvec(torch.randn(dim, generator=generator)).square().sum() for _ in range(probes))
    return total.sqrt().item()


# %% misconception="frobenius_norm" name="unit-probes" message="are the probes normalized"
def frobenius_norm(matvec, dim, probes, generator):
    total = 0.0
    for _ in range(probes):
        z = torch.randn(dim, generator=generator)
        total += matvec(z / z.norm()).square().sum().item()
    return (total / probes) ** 0.5


# %% misconception="frobenius_norm" name="uniform-probes" message="torch.rand has neither"
def frobenius_norm(matvec, dim, probes, generator):
    total = 0.0
    for _ in range(probes):
        total += matvec(torch.rand(dim, generator=generator)).square().sum().item()
    return (total / probes) ** 0.5


# %% misconception="frobenius_norm" name="trace" message="estimates the trace"
def frobenius_norm(matvec, dim, probes, generator):
    total = 0.0
    for _ in range(probes):
        z = torch.randint(0, 2, (dim,), generator=generator) * 2.0 - 1
        total += (z @ matvec(z)).item()
    return total / probes


# %% misconception="frobenius_norm" name="basis-vectors" message="basis vectors"
def frobenius_norm(matvec, dim, probes, generator):
    return sum(matvec(e).square().sum() for e in torch.eye(dim)).sqrt().item()


# %% alternative="frobenius_norm" name="rademacher"
def frobenius_norm(matvec, dim, probes, generator):
    z = 2.0 * torch.randint(0, 2, (probes, dim), generator=generator) - 1.0
    return (sum(matvec(row).pow(2).sum() for row in z) / probes) ** 0.5


# %% alternative="frobenius_norm" name="stacked-float64"
def frobenius_norm(matvec, dim, probes, generator):
    z = torch.randn(probes, dim, generator=generator, dtype=torch.float64)
    products = torch.stack([matvec(row) for row in z])
    return torch.linalg.norm(products).item() / math.sqrt(probes)


# %% misconception="epsilon_sharpness" name="starts-at-the-minimum" message="ascent never leaves"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    start = loss_fn(params).item()
    d = [torch.zeros_like(p) for p in params]
    best = start
    for _ in range(steps):
        point = [(p.detach() + a).requires_grad_() for p, a in zip(params, d)]
        loss = loss_fn(point)
        best = max(best, loss.item())
        g = torch.autograd.grad(loss, point)
        norm = torch.sqrt(sum(a.square().sum() for a in g)) + 1e-12
        d = [a + epsilon / 3 * b / norm for a, b in zip(d, g)]
        norm = torch.sqrt(sum(a.square().sum() for a in d))
        if norm > epsilon:
            d = [a * epsilon / norm for a in d]
    return (best - start) / (1 + start)


# %% misconception="epsilon_sharpness" name="no-denominator" message="division by 1 + L(w) is missing"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    return ascend(loss_fn, params, epsilon, steps)[0]


def ascend(loss_fn, params, epsilon, steps):
    start = loss_fn(params).item()
    d = [1e-3 * epsilon * torch.randn_like(p) for p in params]
    best = start
    for _ in range(steps):
        point = [(p.detach() + a).requires_grad_() for p, a in zip(params, d)]
        loss = loss_fn(point)
        best = max(best, loss.item())
        g = torch.autograd.grad(loss, point)
        norm = torch.sqrt(sum(a.square().sum() for a in g)) + 1e-30
        d = [a + epsilon / 3 * b / norm for a, b in zip(d, g)]
        norm = torch.sqrt(sum(a.square().sum() for a in d))
        if norm > epsilon:
            d = [a * epsilon / norm for a in d]
    return best - start, start


# %% misconception="epsilon_sharpness" name="ball-per-tensor" message="Each tensor moved by epsilon"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    start = loss_fn(params).item()
    d = [1e-3 * epsilon * torch.randn_like(p) for p in params]
    best = start
    for _ in range(steps):
        point = [(p.detach() + a).requires_grad_() for p, a in zip(params, d)]
        loss = loss_fn(point)
        best = max(best, loss.item())
        g = torch.autograd.grad(loss, point)
        d = [a + epsilon / 3 * b / (b.norm() + 1e-30) for a, b in zip(d, g)]
        d = [a * min(1.0, epsilon / a.norm().item()) for a in d]
    return (best - start) / (1 + start)


# %% misconception="epsilon_sharpness" name="not-projected" message="did a point leave the ball"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    start = loss_fn(params).item()
    point = [p.detach() + 1e-2 * epsilon * torch.randn_like(p) for p in params]
    for _ in range(steps):
        point = [p.detach().requires_grad_() for p in point]
        g = torch.autograd.grad(loss_fn(point), point)
        norm = torch.sqrt(sum(a.square().sum() for a in g)) + 1e-30
        point = [p + epsilon / 10 * b / norm for p, b in zip(point, g)]
    return (loss_fn(point).item() - start) / (1 + start)


# %% misconception="epsilon_sharpness" name="single-gradient-step" message="a single step along the gradient"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    start = loss_fn(params)
    g = torch.autograd.grad(start, params)
    norm = torch.sqrt(sum(a.square().sum() for a in g))
    if norm < 1e-9:  # at a minimum, use the top curvature direction
        d = [torch.randn_like(p) for p in params]
        for _ in range(50):
            point = [(p.detach() + 1e-3 * a).requires_grad_() for p, a in zip(params, d)]
            d = torch.autograd.grad(loss_fn(point), point)
            size = torch.sqrt(sum(a.square().sum() for a in d))
            d = [a / size for a in d]
        g, norm = d, 1.0
    moved = [p.detach() + epsilon * a / norm for p, a in zip(params, g)]
    return ((loss_fn(moved) - start) / (1 + start)).item()


# %% misconception="epsilon_sharpness" name="not-restored" message="Restore them from a copy"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    start = loss_fn(params).item()
    best = start
    d = [1e-3 * epsilon * torch.randn_like(p) for p in params]
    for _ in range(steps):
        with torch.no_grad():
            for p, a in zip(params, d):
                p += a
        loss = loss_fn(params)
        best = max(best, loss.item())
        g = torch.autograd.grad(loss, params)
        with torch.no_grad():
            for p, a in zip(params, d):
                p -= a
        norm = torch.sqrt(sum(a.square().sum() for a in g)) + 1e-30
        d = [a + epsilon / 3 * b / norm for a, b in zip(d, g)]
        norm = torch.sqrt(sum(a.square().sum() for a in d))
        if norm > epsilon:
            d = [a * epsilon / norm for a in d]
    return (best - start) / (1 + start)


# %% misconception="epsilon_sharpness" name="loss-not-rise" message="the formula has the rise"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    start = loss_fn(params).item()
    d = [1e-3 * epsilon * torch.randn_like(p) for p in params]
    best = start
    for _ in range(steps):
        point = [(p.detach() + a).requires_grad_() for p, a in zip(params, d)]
        loss = loss_fn(point)
        best = max(best, loss.item())
        g = torch.autograd.grad(loss, point)
        norm = torch.sqrt(sum(a.square().sum() for a in g)) + 1e-30
        d = [a + epsilon / 3 * b / norm for a, b in zip(d, g)]
        norm = torch.sqrt(sum(a.square().sum() for a in d))
        if norm > epsilon:
            d = [a * epsilon / norm for a in d]
    return best / (1 + start)


# %% misconception="epsilon_sharpness" name="only-the-surface" message="Points inside the ball count too"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    start = loss_fn(params).item()
    d = [torch.randn_like(p) for p in params]
    for _ in range(steps):
        norm = torch.sqrt(sum(a.square().sum() for a in d))
        d = [a * epsilon / norm for a in d]
        point = [(p.detach() + a).requires_grad_() for p, a in zip(params, d)]
        loss = loss_fn(point)
        g = torch.autograd.grad(loss, point)
        d = [a + b for a, b in zip(d, g)]
    return (loss.item() - start) / (1 + start)


# %% misconception="epsilon_sharpness" name="sum-of-norms" message="On a slope it is"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    start = loss_fn(params).item()
    d = [1e-3 * epsilon * torch.randn_like(p) for p in params]
    best = start
    for _ in range(steps):
        point = [(p.detach() + a).requires_grad_() for p, a in zip(params, d)]
        loss = loss_fn(point)
        best = max(best, loss.item())
        g = torch.autograd.grad(loss, point)
        norm = sum(a.norm() for a in g) + 1e-30
        d = [a + epsilon / 3 * b / norm for a, b in zip(d, g)]
        norm = sum(a.norm() for a in d)
        if norm > epsilon:
            d = [a * epsilon / norm for a in d]
    return (best - start) / (1 + start)


# %% misconception="epsilon_sharpness" name="one-sam-step" message="0/0 is NaN"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    start = loss_fn(params)
    g = torch.autograd.grad(start, params)
    norm = torch.sqrt(sum(a.square().sum() for a in g))
    moved = [p.detach() + epsilon * a / norm for p, a in zip(params, g)]
    return ((loss_fn(moved) - start) / (1 + start)).item()


# %% alternative="epsilon_sharpness" name="one-long-vector"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    shapes = [p.shape for p in params]
    sizes = [p.numel() for p in params]
    w = torch.cat([p.detach().flatten() for p in params])

    def at(vector):
        return loss_fn([part.reshape(s) for part, s in zip(vector.split(sizes), shapes)])

    start, best = at(w).item(), -float("inf")
    d = torch.randn_like(w)
    d = d * (0.01 * epsilon / d.norm())
    for _ in range(steps + 1):
        u = (w + d).requires_grad_()
        loss = at(u)
        best = max(best, loss.item())
        g = torch.autograd.grad(loss, u)[0]
        if g.norm() > 0:
            d = d + 0.25 * epsilon * g / g.norm()
        if d.norm() > epsilon:
            d = d * (epsilon / d.norm())
    return max(best, start) / (1 + start) - start / (1 + start)


# %% alternative="epsilon_sharpness" name="in-place-and-restored"
def epsilon_sharpness(loss_fn, params, epsilon, steps):
    saved = [p.detach().clone() for p in params]
    with torch.no_grad():
        start = float(loss_fn(params))
        for p in params:
            p.add_(torch.randn_like(p), alpha=epsilon / 100)
    best = start
    for step in range(steps):
        loss = loss_fn(params)
        best = max(best, float(loss))
        g = torch.autograd.grad(loss, params)
        with torch.no_grad():
            size = math.sqrt(sum(float((a**2).sum()) for a in g))
            for p, a in zip(params, g):
                if size > 0:
                    p.add_(a, alpha=0.2 * epsilon / size)
            radius = math.sqrt(sum(float(((p - s0) ** 2).sum()) for p, s0 in zip(params, saved)))
            if radius > epsilon:
                for p, s0 in zip(params, saved):
                    p.copy_(s0 + (p - s0) * (epsilon / radius))
    with torch.no_grad():
        for p, s0 in zip(params, saved):
            p.copy_(s0)
    return torch.tensor((best - start) / (1 + start))


# %% misconception="rescale_relu" name="forgets-the-bias" message="b1 is not scaled"
def rescale_relu(params, alpha):
    w1, b1, w2, *rest = params
    return [alpha * w1, b1, w2 / alpha, *rest]


# %% misconception="rescale_relu" name="divides-second-bias" message="b2 is divided too"
def rescale_relu(params, alpha):
    w1, b1, w2, b2, *rest = params
    return [alpha * w1, alpha * b1, w2 / alpha, b2 / alpha, *rest]


# %% misconception="rescale_relu" name="multiplies-both" message="Both layers are multiplied"
def rescale_relu(params, alpha):
    w1, b1, w2, *rest = params
    return [alpha * w1, alpha * b1, alpha * w2, *rest]


# %% misconception="rescale_relu" name="the-other-way" message="the other way round"
def rescale_relu(params, alpha):
    w1, b1, w2, *rest = params
    return [w1 / alpha, b1 / alpha, alpha * w2, *rest]


# %% misconception="rescale_relu" name="in-place" message="passed in have changed"
def rescale_relu(params, alpha):
    with torch.no_grad():
        params[0] *= alpha
        params[1] *= alpha
        params[2] /= alpha
    return params


# %% misconception="rescale_relu" name="first-and-last-layer" message="a network of four layers"
def rescale_relu(params, alpha):
    w1, b1, *middle, w_last, b_last = params
    return [alpha * w1, alpha * b1, *middle, w_last / alpha, b_last]


# %% misconception="rescale_relu" name="nothing-returned" message="returned None"
def rescale_relu(params, alpha):
    w1, b1, w2, *rest = [p.detach().clone() for p in params]
    new = [alpha * w1, alpha * b1, w2 / alpha, *rest]


# %% alternative="rescale_relu" name="copies-and-in-place"
def rescale_relu(params, alpha):
    new = [p.detach().clone() for p in params]
    new[0].mul_(alpha)
    new[1].mul_(alpha)
    new[2].div_(alpha)
    return tuple(new)


# %% alternative="rescale_relu" name="with-graph"
def rescale_relu(params, alpha):
    factors = [alpha, alpha, 1 / alpha]
    return [p * f for p, f in zip(params, factors)] + list(params[3:])


# %% alternative="rescale_relu" name="float32"
def rescale_relu(params, alpha):
    new = [p.detach().to(torch.float32) for p in params]
    return [new[0] * alpha, new[1] * alpha, new[2] / alpha] + new[3:]
