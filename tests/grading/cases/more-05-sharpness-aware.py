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
