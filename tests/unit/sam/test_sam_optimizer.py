"""SAM against hand-written loops; what it must give back; what it refuses."""

import gc
import math
import weakref
from functools import partial

import pytest
import torch
from small_training import batch, closure_of, network, same, train, weights
from torch import nn
from torch.nn.functional import mse_loss

import flatlab
from flatlab import SAM

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01)


def by_hand(model, base, rho, p=2, adaptive=False, steps=4):
    """Foret's algorithm 1 with the perturbation in flat vectors, formula by formula."""
    params = list(model.parameters())
    rho = rho if isinstance(rho, list) else [rho] * len(params)
    for k in range(steps):
        X, y = batch(k)
        before = weights(model)
        g = torch.autograd.grad(mse_loss(model(X), y), params)
        s = [w.abs() * h for w, h in zip(before, g)] if adaptive else g
        flat = torch.cat([t.flatten() for t in s])
        if p == 1:
            unit = [t.sign() * (t.abs() == flat.abs().max()) for t in s]
        elif p == math.inf:
            unit = [t.sign() for t in s]
        else:
            q = p / (p - 1)
            size = (flat.abs() ** q).sum() ** (1 / p)
            unit = [t.sign() * t.abs() ** (q - 1) / size for t in s]
        with torch.no_grad():
            for w, u, b, r in zip(params, unit, before, rho):
                w += r * (b.abs() * u if adaptive else u)
        second = torch.autograd.grad(mse_loss(model(X), y), params)
        with torch.no_grad():
            for w, b, h in zip(params, before, second):
                w.copy_(b)
                w.grad = h
        base.step()
    return weights(model)


@pytest.mark.parametrize("p", [1, 1.5, 2, 4, math.inf])
@pytest.mark.parametrize("adaptive", [False, True])
def test_trajectory_is_that_of_the_algorithm_by_hand(p, adaptive):
    model, reference = network(), network()
    mine = train(model, SAM(model.parameters(), SGD, rho=0.2, p=p, adaptive=adaptive), range(4))
    theirs = by_hand(reference, SGD(reference.parameters()), 0.2, p, adaptive)
    torch.testing.assert_close(mine, theirs)
    without = network()
    plain = train(without, SAM(without.parameters(), SGD, rho=0), range(4))
    assert not torch.allclose(mine[0], plain[0], rtol=1e-3)


@pytest.mark.parametrize("adaptive", [False, True])
def test_each_group_has_its_own_rho_in_one_joint_ball(adaptive):
    model, reference = network(), network()
    groups = [
        {"params": model[0].parameters(), "rho": 0.5},
        {"params": model[2].parameters(), "lr": 0.03},
    ]
    mine = train(model, SAM(groups, SGD, rho=0.1, adaptive=adaptive), range(4))
    base = SGD(
        [{"params": reference[0].parameters()}, {"params": reference[2].parameters(), "lr": 0.03}]
    )
    theirs = by_hand(reference, base, [0.5, 0.5, 0.1, 0.1], adaptive=adaptive)
    torch.testing.assert_close(mine, theirs)


def test_adaptive_in_one_group_alone():
    model = network()
    groups = [
        {"params": model[0].parameters(), "adaptive": True},
        {"params": model[2].parameters()},
    ]
    optimizer, before = SAM(groups, SGD, rho=0.3), weights(model)
    closure_of(model, optimizer, *batch(1))()
    g = [w.grad.clone() for w in model.parameters()]
    optimizer.first_step()
    s = [before[0] * g[0], before[1] * g[1], g[2], g[3]]
    size = torch.cat([t.flatten() for t in s]).norm()
    expected = [before[k] + 0.3 * (before[k] if k < 2 else 1) * s[k] / size for k in range(4)]
    torch.testing.assert_close(weights(model), expected)


@pytest.mark.parametrize("p", [1, 1.5, 2, math.inf])
def test_radius_zero_is_the_base_optimizer_bit_for_bit(p):
    model, reference = network(dtype=torch.float32), network(dtype=torch.float32)
    optimizer, base = SAM(model.parameters(), SGD, rho=0, p=p), SGD(reference.parameters())
    for k in range(3):
        data = batch(k, dtype=torch.float32)
        optimizer.step(closure_of(model, optimizer, *data))
        closure_of(reference, base, *data)()
        base.step()
    assert same(weights(model), weights(reference))


def test_closure_and_two_steps_are_alike_and_the_loss_is_that_at_w():
    model, other = network(), network()
    one, two = (SAM(m.parameters(), SGD, rho=0.2) for m in (model, other))
    expected = mse_loss(model(batch(1)[0]), batch(1)[1])
    loss = one.step(closure_of(model, one, *batch(1)))
    assert torch.equal(loss, expected)
    mse_loss(other(batch(1)[0]), batch(1)[1]).backward()
    assert two.first_step(zero_grad=True)
    assert all(w.grad is None for w in other.parameters())
    mse_loss(other(batch(1)[0]), batch(1)[1]).backward()
    two.second_step(zero_grad=True)
    assert same(weights(model), weights(other))
    assert all(w.grad is None for w in other.parameters())


@pytest.mark.parametrize("p", [1, 1.5, 2, math.inf])
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parameters_come_back_bit_for_bit(p, adaptive, dtype):
    model = network().to(dtype)
    optimizer = SAM(model.parameters(), SGD, rho=3.0, p=p, adaptive=adaptive)
    before = weights(model)
    closure_of(model, optimizer, *batch(1, dtype=dtype))()
    optimizer.first_step()
    assert not any(map(torch.equal, before, weights(model))) or p == 1
    optimizer.restore()
    assert same(before, weights(model)) and not optimizer.state


def test_an_error_in_the_closure_leaves_the_parameters_at_w():
    model = network(dtype=torch.float32)
    optimizer = SAM(model.parameters(), SGD, rho=0.3)
    before, calls = weights(model), []
    closure = closure_of(model, optimizer, *batch(1, dtype=torch.float32))

    def stops():
        calls.append(1)
        if len(calls) == 2:
            assert not same(before, weights(model))
            raise KeyboardInterrupt
        return closure()

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(stops)
    assert same(before, weights(model)) and not optimizer.state
    optimizer.step(closure)  # and it goes on
    reference = network(dtype=torch.float32)
    again = SAM(reference.parameters(), SGD, rho=0.3)
    again.step(closure_of(reference, again, *batch(1, dtype=torch.float32)))
    assert same(weights(model), weights(reference))


@pytest.mark.parametrize("p", [1, 1.5, 2, math.inf])
@pytest.mark.parametrize("adaptive", [False, True])
def test_parameters_in_shared_memory_train_like_others(p, adaptive):
    """Views of one flat vector, as some libraries keep them: all who share it see the change."""
    model, reference = network(), network()
    flat = torch.cat([w.detach().flatten() for w in model.parameters()])
    parts = flat.split([w.numel() for w in model.parameters()])
    for w, part in zip(model.parameters(), parts):
        w.data = part.view(w.shape)
    optimizer = SAM(model.parameters(), SGD, rho=0.3, p=p, adaptive=adaptive)
    before = flat.clone()
    closure_of(model, optimizer, *batch(1))()
    optimizer.first_step()
    assert not torch.equal(flat, before)
    optimizer.restore()
    assert torch.equal(flat, before)
    mine = train(model, optimizer, range(2))
    theirs = train(
        reference, SAM(reference.parameters(), SGD, rho=0.3, p=p, adaptive=adaptive), range(2)
    )
    torch.testing.assert_close(mine, theirs)
    assert torch.equal(flat, torch.cat([w.flatten() for w in mine]))


def test_parameters_are_back_in_their_own_memory():
    model = network()
    optimizer, addresses = SAM(model.parameters(), SGD), [w.data_ptr() for w in model.parameters()]
    train(model, optimizer, range(2))
    assert addresses == [w.data_ptr() for w in model.parameters()]


@pytest.mark.parametrize("p", [1, 1.5, 2, math.inf])
@pytest.mark.parametrize("adaptive", [False, True])
def test_zero_gradient_gives_zero_perturbation(p, adaptive):
    model = network()
    optimizer, before = SAM(model.parameters(), SGD, p=p, adaptive=adaptive), weights(model)
    (0 * model(batch(1)[0])).sum().backward()
    optimizer.first_step()
    assert same(before, weights(model))


@pytest.mark.parametrize("scale", [1e-25, 1e25])
@pytest.mark.parametrize("adaptive", [False, True])
def test_gradients_whose_squares_do_not_fit_float32(scale, adaptive):
    generator = torch.Generator().manual_seed(0)
    w = nn.Parameter(torch.randn(5, generator=generator))
    g, before = torch.randn(5, generator=generator), w.detach().clone()
    optimizer = SAM([w], SGD, rho=0.5, adaptive=adaptive)
    w.grad = g * scale
    optimizer.first_step()
    s = before * g if adaptive else g
    step = 0.5 * s / s.norm() * (before if adaptive else 1)
    torch.testing.assert_close(w.detach(), before + step)


def test_a_group_that_maximizes_goes_downhill_first():
    w = nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = SAM([w], torch.optim.SGD, rho=1.0, lr=0.1, maximize=True)
    w.grad = torch.tensor([3.0, 4.0])
    optimizer.first_step()
    torch.testing.assert_close(w.detach(), torch.tensor([2.4, 3.2]))


def test_parameters_without_gradients_stay_where_they_are():
    model = network()
    model[0].bias.requires_grad_(False)
    optimizer, before = SAM(model.parameters(), torch.optim.SGD, lr=0.1), weights(model)
    model[2].weight.grad = torch.ones(2, 6).double()
    optimizer.first_step()
    after = weights(model)
    assert same(before[:2] + before[3:], after[:2] + after[3:])
    torch.testing.assert_close(after[2], before[2] + 0.05 / math.sqrt(12))


@pytest.mark.parametrize("p", [1.5, 2])
@pytest.mark.parametrize("adaptive", [False, True])
def test_sparse_gradients_are_moved_where_they_have_entries(p, adaptive):
    results = []
    for sparse in (True, False):
        generator = torch.Generator().manual_seed(0)
        table = nn.Embedding(6, 3, sparse=sparse).double()
        head = nn.Linear(3, 1).double()
        for w in (*table.parameters(), *head.parameters()):
            nn.init.normal_(w, generator=generator)
        params = [*table.parameters(), *head.parameters()]
        optimizer = SAM(params, torch.optim.SGD, rho=0.3, p=p, adaptive=adaptive, lr=0.1)
        picked = torch.tensor([1, 4, 1])
        head(table(picked)).square().mean().backward()
        optimizer.first_step(zero_grad=True)
        moved = [w.detach().clone() for w in params]
        head(table(picked)).square().mean().backward()
        optimizer.second_step()
        results.append(moved + [w.detach().clone() for w in params])
    torch.testing.assert_close(*results)


def test_extra_memory_is_one_copy():
    """Between the steps nothing else is held, and the first pass's gradients are given up."""
    model = network()
    optimizer = SAM(model.parameters(), SGD)
    closure_of(model, optimizer, *batch(1))()
    grads = [weakref.ref(w.grad) for w in model.parameters()]
    optimizer.first_step(zero_grad=True)
    gc.collect()
    assert all(g() is None for g in grads)
    room = optimizer._perturbation._room.values()
    assert sum(t.nbytes for t in room) == sum(w.nbytes for w in model.parameters())


def test_clipping_is_of_the_base_step_alone():
    model, reference = network(), network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.3, lr=1.0, max_norm=0.01)
    start = weights(model)
    optimizer.step(closure_of(model, optimizer, *batch(0)))
    by_hand(reference, torch.optim.SGD(reference.parameters(), lr=1.0), 0.3, steps=1)
    whole = [a - b for a, b in zip(start, weights(reference))]  # the unclipped SAM gradient
    size = torch.cat([t.flatten() for t in whole]).norm()
    expected = [a - 0.01 * g / size for a, g in zip(start, whole)]
    torch.testing.assert_close(weights(model), expected, rtol=1e-5, atol=1e-7)


def test_fit_takes_it():
    X, y = batch(1, n=20)
    model, reference = network(), network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.1, lr=0.05)
    history = flatlab.fit(model, nn.MSELoss(), (X, y), optimizer=optimizer, steps=5, progress=False)
    again = SAM(reference.parameters(), torch.optim.SGD, rho=0.1, lr=0.05)
    for _ in range(5):
        again.step(closure_of(reference, again, X, y))
    torch.testing.assert_close(weights(model), weights(reference))
    assert history.stopped == "steps"
