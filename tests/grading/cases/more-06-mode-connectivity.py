# %% [markdown]
# More wrong answers to the exercises of chapter 06, which tests/unit/checks runs without nbgrader: grading takes as long
# as the exercise with the most cases.

# %% misconception="curve_gradient" name="other-sign-in-the-second-half" message="the direction is opposite to the right one"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    if curve == "chain":
        return 2 * (t if t < 0.5 else t - 1) * loss_grad(polychain(t, w1, theta, w2))
    return 2 * t * (1 - t) * loss_grad(bezier(t, w1, theta, w2))


# %% misconception="plane_basis" name="absolute-threshold" message="These three points are no line"
def plane_basis(w1, w2, w3):
    u, d = w2 - w1, w3 - w1
    if u.norm() < 1e-5:
        raise ValueError("w1 and w2 are the same point")
    u = u / u.norm()
    v = d - (d @ u) * u
    if v.norm() < 1e-5:
        raise ValueError("the three points lie on one line")
    return u, v / v.norm()


# %% misconception="reestimate_batch_norm" name="batches-with-labels" message="batches is a list of input tensors alone"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    if not layers:
        raise ValueError("no batch norm")
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    with torch.no_grad():
        for X, y in batches:
            model(X)


# %% misconception="reestimate_batch_norm" name="into-a-copy" message="Or did the new ones go into a copy of the model"
def reestimate_batch_norm(model, batches):
    import copy

    model = copy.deepcopy(model).eval()
    layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    if not layers:
        raise ValueError("no batch norm")
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    with torch.no_grad():
        for X in batches:
            model(X)


# %% misconception="reestimate_batch_norm" name="default-momentum" message="Note each layer's own before, and set it back"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    if not layers:
        raise ValueError("no batch norm")
    modes = {module: module.training for module in model.modules()}
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    with torch.no_grad():
        for X in batches:
            model(X)
    for layer in layers:
        layer.momentum = 0.1
    for module, mode in modes.items():
        module.training = mode


# %% misconception="plane_basis" name="abs-1e-12" message="The limit is 1e-05 times the length of w3 - w1"
def plane_basis(w1, w2, w3):
    e, d = w2 - w1, w3 - w1
    if e.norm() < 1e-12: raise ValueError("same")
    u = e / e.norm()
    v = d - (d @ u) * u
    if v.norm() < 1e-12: raise ValueError("line")
    return u, v / v.norm()

def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="relative-to-e" message="The limit is 1e-05 times the length of w3 - w1"
def plane_basis(w1, w2, w3):
    e, d = w2 - w1, w3 - w1
    if e.norm() == 0: raise ValueError("same")
    u = e / e.norm()
    v = d - (d @ u) * u
    if v.norm() <= 1e-5 * e.norm(): raise ValueError("line")
    return u, v / v.norm()

def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="squared" message="only up to 1e-05 times that length"
def plane_basis(w1, w2, w3):
    e, d = w2 - w1, w3 - w1
    if e.norm() == 0 or d.norm() == 0: raise ValueError("same")
    u = e / e.norm()
    v = d - (d @ u) * u
    if v @ v <= 1e-5 * (d @ d): raise ValueError("line")
    return u, v / v.norm()

def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="cosine" message="only up to 1e-05 times that length"
def plane_basis(w1, w2, w3):
    e, d = w2 - w1, w3 - w1
    if e.norm() == 0 or d.norm() == 0: raise ValueError("same")
    u = e / e.norm()
    v = d - (d @ u) * u
    if abs(d @ u) / d.norm() > 1 - 1e-5: raise ValueError("line")
    return u, v / v.norm()

def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="rel-1e-10" message="The limit is 1e-05 times the length of w3 - w1"
def plane_basis(w1, w2, w3):
    e, d = w2 - w1, w3 - w1
    if e.norm() == 0: raise ValueError("same")
    u = e / e.norm()
    v = d - (d @ u) * u
    if v.norm() <= 1e-10 * d.norm(): raise ValueError("line")
    return u, v / v.norm()

def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="unpack" message="needs a pair on the right"
def plane_basis(w1, w2, w3):
    e, d = w2 - w1
    return e, d

def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="swapped-return" message="u and v are exchanged"
def plane_basis(w1, w2, w3):
    e, d = w2 - w1, w3 - w1
    u = e / e.norm()
    v = d - (d @ u) * u
    return v / v.norm(), u

def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% misconception="plane_basis" name="squeeze-all" message="(1, 2) is needed"
def plane_basis(w1, w2, w3):
    e, d = w2 - w1, w3 - w1
    if e.norm() == 0 or d.norm() == 0: raise ValueError("same")
    u = e / e.norm()
    v = d - (d @ u) * u
    if v.norm() <= 1e-5 * d.norm(): raise ValueError("line")
    return u, v / v.norm()

def plane_coordinates(points, w1, u, v):
    P = points - w1
    return torch.stack([P @ u, P @ v], dim=-1).squeeze()


# %% misconception="curve_gradient" name="two-in-second-half" message="loss_grad is called more than once"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    g = lambda: loss_grad(polychain(t, w1, theta, w2))
    if curve == "chain":
        return torch.where(torch.tensor(t <= 0.5), 2 * t * g(), 2 * (1 - t) * g())
    return 2 * t * (1 - t) * loss_grad(bezier(t, w1, theta, w2))


# %% misconception="curve_gradient" name="no-middle" message="t = 1/2, which one of the two halves must take"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    if curve == "chain":
        if t < 0.5: share = 2 * t
        elif t > 0.5: share = 2 * (1 - t)
        return share * loss_grad(polychain(t, w1, theta, w2))
    return 2 * t * (1 - t) * loss_grad(bezier(t, w1, theta, w2))


# %% misconception="curve_gradient" name="dot" message="The weights may have any shape"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    th = theta.clone().requires_grad_()
    p = polychain(t, w1, th, w2) if curve == "chain" else bezier(t, w1, th, w2)
    (loss_grad(p.detach()) @ p).backward()
    return th.grad


# %% misconception="fge_learning_rate" name="negative-even" message="For cycle = -4"
def fge_learning_rate(step, cycle, low, high):
    if cycle == 0 or cycle % 2 != 0: raise ValueError("c")
    t = (step % cycle + 1) / cycle
    return low + (high - low) * abs(1 - 2 * t)


# %% misconception="fge_learning_rate" name="low-below-high" message="low and high may be the same"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2 or not 0 < low < high: raise ValueError("c")
    t = (step % cycle + 1) / cycle
    return low + (high - low) * abs(1 - 2 * t)


# %% misconception="fge_learning_rate" name="divides-by-gap" message="nothing else is divided by"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2: raise ValueError("c")
    t = (step % cycle + 1) / cycle
    k = abs(1-2*t)
    return low + (high-low)**2/(high-low) * k


# %% misconception="fge_learning_rate" name="ahead" message="Is 1 added twice"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2: raise ValueError("c")
    t = ((step + 1) % cycle + 1) / cycle
    return low + (high - low) * abs(1 - 2 * t)


# %% misconception="polychain" name="w-order" message="theta and w2 are exchanged"
def polychain(t, w1, w2, theta):
    if not 0 <= t <= 1: raise ValueError("t")
    if t <= 0.5: return 2 * (t * theta + (0.5 - t) * w1)
    return 2 * ((t - 0.5) * w2 + (1 - t) * theta)


# %% misconception="reestimate_batch_norm" name="bn-modes-not-restored" message="modules left in training mode"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    if not layers: raise ValueError("none")
    modes = {m: m.training for m in model.modules() if m not in layers}
    momenta = [l.momentum for l in layers]
    model.eval()
    for layer in layers:
        layer.train(); layer.reset_running_stats(); layer.momentum = None
    with torch.no_grad():
        for X in batches: model(X)
    for layer, p in zip(layers, momenta): layer.momentum = p
    for m in modes: m.training = modes[m]


# %% misconception="reestimate_batch_norm" name="hooks-left" message="handle.remove()"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    if not layers: raise ValueError("none")
    modes = {m: m.training for m in model.modules()}
    momenta = [l.momentum for l in layers]
    model.eval()
    for layer in layers:
        layer.train(); layer.momentum=1.0; layer.seen = []; layer.register_forward_hook(lambda m, x, y: m.seen.append((m.running_mean.clone(), m.running_var.clone())))
    with torch.no_grad():
        for X in batches: model(X)
    for layer, p in zip(layers, momenta): layer.momentum = p
    for m in modes: m.training = modes[m]
    for l in layers:
        l.running_mean.copy_(sum(s[0] for s in l.seen)/len(l.seen)); l.running_var.copy_(sum(s[1] for s in l.seen)/len(l.seen))


# %% misconception="reestimate_batch_norm" name="requires-grad-off" message="no longer require a gradient"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    if not layers: raise ValueError("none")
    modes = {m: m.training for m in model.modules()}
    momenta = [l.momentum for l in layers]
    model.eval()
    for p in model.parameters(): p.requires_grad = False
    for layer in layers:
        layer.train(); layer.reset_running_stats(); layer.momentum = None
    with torch.no_grad():
        for X in batches: model(X)
    for layer, p in zip(layers, momenta): layer.momentum = p
    for m in modes: m.training = modes[m]


# %% misconception="reestimate_batch_norm" name="reset-parameters" message="reset_parameters() resets these too"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    if not layers: raise ValueError("none")
    modes = {m: m.training for m in model.modules()}
    momenta = [l.momentum for l in layers]
    model.eval()
    for layer in layers:
        layer.train(); layer.reset_parameters(); layer.momentum = None
    with torch.no_grad():
        for X in batches: model(X)
    for layer, p in zip(layers, momenta): layer.momentum = p
    for m in modes: m.training = modes[m]


# %% misconception="reestimate_batch_norm" name="momentum-1-over-k" message="exponential averages with momentum 1/k"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    if not layers: raise ValueError("none")
    modes = {m: m.training for m in model.modules()}
    momenta = [l.momentum for l in layers]
    model.eval()
    for layer in layers:
        layer.train(); layer.reset_running_stats(); layer.momentum = 1 / len(batches)
    with torch.no_grad():
        for X in batches: model(X)
    for layer, p in zip(layers, momenta): layer.momentum = p
    for m in modes: m.training = modes[m]


# %% misconception="reestimate_batch_norm" name="momentum-1-over-k-noreset" message="number of batches. Reset them first"
def reestimate_batch_norm(model, batches):
    layers = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    if not layers: raise ValueError("none")
    modes = {m: m.training for m in model.modules()}
    momenta = [l.momentum for l in layers]
    model.eval()
    for layer in layers:
        layer.train(); layer.momentum = 1 / len(batches)
    with torch.no_grad():
        for X in batches: model(X)
    for layer, p in zip(layers, momenta): layer.momentum = p
    for m in modes: m.training = modes[m]


# %% alternative="curve_gradient" name="func-vjp"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    phi = {"chain": polychain, "bezier": bezier}[curve]
    p, pull = torch.func.vjp(lambda th: phi(t, w1, th, w2), theta)
    return pull(loss_grad(p))[0]


# %% alternative="curve_gradient" name="jvp"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    phi = polychain if curve == "chain" else bezier
    p, share = torch.func.jvp(lambda th: phi(t, w1, th, w2), (theta,), (torch.ones_like(theta),))
    g = loss_grad(p)
    g *= share
    return g


# %% alternative="curve_gradient" name="skip-ends"
def curve_gradient(loss_grad, t, w1, theta, w2, curve):
    if t in (0, 1): return torch.zeros_like(theta)
    phi = polychain if curve == "chain" else bezier
    return (2 * min(t, 1 - t) if curve == "chain" else 2*t*(1-t)) * loss_grad(phi(t, w1, theta, w2))


# %% alternative="fge_learning_rate" name="while"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2: raise ValueError("c")
    while step >= cycle: step -= cycle
    t = (step + 1) / cycle
    return max(1-2*t, 2*t-1) * (high-low) + low


# %% alternative="fge_learning_rate" name="interp"
def fge_learning_rate(step, cycle, low, high):
    if cycle < 2 or cycle % 2: raise ValueError("c")
    import numpy as np
    return np.interp(step % cycle + 1, [0, cycle / 2, cycle], [high, low, high])


# %% alternative="plane_basis" name="einsum"
def plane_basis(w1, w2, w3):
    e, d = w2 - w1, w3 - w1
    if e.norm() == 0 or d.norm() == 0: raise ValueError("same")
    u = e / e.norm()
    v = d - (d @ u) * u
    if v.norm() <= 1e-5 * d.norm(): raise ValueError("line")
    return u, v / v.norm()

def plane_coordinates(points, w1, u, v):
    return torch.einsum('...p,cp->...c', points - w1, torch.stack([u, v]))


# %% alternative="plane_basis" name="svd"
def plane_basis(w1, w2, w3):
    import numpy as np
    a, b, c = (w.double().numpy() for w in (w1, w2, w3))
    e, d = b - a, c - a
    if not e.any(): raise ValueError("same")
    u = e / np.linalg.norm(e)
    P = np.eye(len(u)) - np.outer(u, u)
    r = P @ d
    if np.linalg.norm(r) <= 1e-5 * np.linalg.norm(d): raise ValueError("line")
    return torch.tensor(u), torch.tensor(r / np.linalg.norm(r))

def plane_coordinates(points, w1, u, v):
    return torch.stack([(points - w1) @ u, (points - w1) @ v], dim=-1)


# %% alternative="plane_basis" name="numpy"
def plane_basis(w1, w2, w3):
    e, d = w2 - w1, w3 - w1
    if e.norm() == 0 or d.norm() == 0: raise ValueError("same")
    u = e / e.norm()
    v = d - (d @ u) * u
    if v.norm() <= 1e-5 * d.norm(): raise ValueError("line")
    return u, v / v.norm()

def plane_coordinates(points, w1, u, v):
    return ((points - w1).numpy() @ torch.stack([u, v]).numpy().T)


# %% alternative="reestimate_batch_norm" name="prehooks"
def reestimate_batch_norm(model, batches):
    modes = [(m, m.training) for m in model.modules()]
    norms = [m for m, _ in modes if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))]
    if not norms: raise ValueError("no")
    seen = {m: [] for m in norms}
    hooks = [m.register_forward_pre_hook(lambda m, a: seen[m].append(a[0].transpose(0, 1).flatten(1))) for m in norms]
    old = [m.momentum for m in norms]
    try:
        for m, _ in modes: m.training = m in seen
        with torch.no_grad():
            for X in batches: model(X)
            for m in norms:
                m.running_mean.copy_(torch.stack([x.mean(1) for x in seen[m]]).mean(0))
                m.running_var.copy_(torch.stack([x.var(1, unbiased=True) for x in seen[m]]).mean(0))
    finally:
        for h in hooks: h.remove()
        for m, k in modes: m.train(k) if not list(m.children()) else setattr(m, "training", k)


# %% alternative="reestimate_batch_norm" name="copy-and-load"
def reestimate_batch_norm(model, batches):
    import copy
    twin = copy.deepcopy(model).eval()
    norms = lambda net: [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms(model): raise ValueError("no")
    for m in norms(twin): m.train(); m.reset_running_stats(); m.momentum = None
    with torch.inference_mode():
        for X in batches: twin(X)
    for a, b in zip(norms(model), norms(twin)):
        a.load_state_dict(b.state_dict())
