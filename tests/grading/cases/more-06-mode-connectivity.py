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
