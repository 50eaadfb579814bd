"""Parameters that SAM takes as they are: tied by their memory, or in half precision."""

import pytest
import torch
from small_training import batch, closure_of, network, same, weights
from torch import nn
from torch.nn.functional import mse_loss

from flatlab import SAM
from flatlab.sam import dual_norm_ascent

HALVES = [torch.float16, torch.bfloat16]


def moved(values, grads, dtypes, **options):
    """What a first step adds to parameters full of `values`, in float64."""
    ws = [nn.Parameter(torch.full((2,), v, dtype=d)) for v, d in zip(values, dtypes)]
    before = [w.detach().double().clone() for w in ws]
    optimizer = SAM(ws, torch.optim.SGD, lr=0.1, **options)
    for w, g in zip(ws, grads):
        w.grad = torch.full_like(w, g)
    optimizer.first_step()
    return [w.detach().double() - b for w, b in zip(ws, before)]


def test_a_weight_tied_by_memory_to_one_outside_sees_the_change():
    model = network()
    twin = nn.Linear(6, 2).double().requires_grad_(False)
    twin.weight.data, twin.bias.data = model[2].weight.data, model[2].bias.data
    optimizer, before = SAM(model.parameters(), torch.optim.SGD, rho=1.0, lr=0.1), weights(model)
    closure_of(model, optimizer, *batch(1))()
    optimizer.first_step()
    assert same(twin.parameters(), model[2].parameters())
    assert not any(map(torch.equal, before, weights(model)))
    optimizer.restore()
    assert same(before, weights(model)) and same(twin.parameters(), model[2].parameters())


@pytest.mark.skipif(not hasattr(torch._C, "_storage_Use_Count"), reason="then all go in place")
def test_on_a_cpu_a_parameter_alone_points_elsewhere_for_the_second_pass():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, lr=0.1)
    addresses = [w.data_ptr() for w in model.parameters()]
    loss = closure_of(model, optimizer, *batch(1))()  # a loss at hand holds no weights
    optimizer.first_step()
    assert not {w.data_ptr() for w in model.parameters()} & set(addresses)
    optimizer.restore()
    assert addresses == [w.data_ptr() for w in model.parameters()] and loss.isfinite()


@pytest.mark.parametrize("p", [1.5, 2])
@pytest.mark.parametrize("adaptive", [False, True])
def test_float16_steps_where_products_and_quotients_do_not_fit(p, adaptive):
    for value, gradient in ((0.01, 1e-6), (300.0, 300.0)):
        half, full = (
            moved([value], [gradient], [dtype], rho=1.0, p=p, adaptive=adaptive)[0]
            for dtype in (torch.float16, torch.float64)
        )
        torch.testing.assert_close(half, full, rtol=2e-3, atol=0.13 if value > 1 else 1e-5)
        assert half.all()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("p", [1.5, 2])
@pytest.mark.parametrize("adaptive", [False, True])
def test_half_precision_beside_double(dtype, p, adaptive):
    options = {"rho": 1.0, "p": p, "adaptive": adaptive}
    mixed = moved([1.0, 2.0], [1.0, -1.0], [dtype, torch.float64], **options)
    double = moved([1.0, 2.0], [1.0, -1.0], 2 * [torch.float64], **options)
    torch.testing.assert_close(mixed, double, rtol=0, atol=torch.finfo(dtype).eps)


@pytest.mark.parametrize("p", [1.5, 2])
def test_sparse_gradients_in_half_precision(p):
    start = torch.full((5, 3), 2.0, dtype=torch.bfloat16)  # a small one would not move
    table = nn.Embedding.from_pretrained(start, freeze=False, sparse=True)
    optimizer = SAM(table.parameters(), torch.optim.SGD, rho=1.0, p=p, adaptive=True, lr=0.1)
    before = table.weight.detach().clone()
    mse_loss(table(torch.tensor([1, 2])).float(), torch.ones(2, 3)).backward()
    optimizer.first_step()
    changed = (table.weight != before).any(1)
    assert changed.tolist() == [False, True, True, False, False]


@pytest.mark.parametrize("sizes", [(300.0, 300.0), (0.01, 1e-6)])
def test_the_ascent_in_float16_has_its_products_in_float32(sizes):
    w, g = (torch.full((2,), size, dtype=torch.float16) for size in sizes)
    (step,) = dual_norm_ascent([g], 1.0, 2, [w])
    assert step.dtype == torch.float16
    torch.testing.assert_close(step.double(), w.double() / 2**0.5, rtol=2e-3, atol=0)
    (mixed,) = dual_norm_ascent([g.float()], 1.0, 2, [w])
    assert mixed.dtype == torch.float32


@pytest.mark.parametrize("p", [2, 3])
@pytest.mark.parametrize("adaptive", [False, True])
def test_two_parameters_of_the_optimizer_in_one_memory_are_refused(p, adaptive):
    one, two = (nn.Parameter(torch.ones(2)) for _ in range(2))
    two.data = one.data
    optimizer = SAM([one, two], torch.optim.SGD, p=p, adaptive=adaptive)
    one.grad, two.grad = torch.tensor([3.0, 1.0]), torch.tensor([0.5, -2.0])
    with pytest.raises(ValueError, match="share one memory"):
        optimizer.first_step()
    assert one.tolist() == [1, 1]
