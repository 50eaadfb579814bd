"""What the operators refuse, and that they leave everything of the caller as it was."""

import copy

import pytest
import torch
from dense_references import KINDS, mlp, network
from torch import nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from flatlab.curvature import (
    GaussNewton,
    Hessian,
    HessianVariance,
    epsilon_sharpness,
    landscape_1d,
    random_direction,
    sharpness,
    spectral_density,
)

OPERATORS = [Hessian, GaussNewton]


def regression(n=4):
    return torch.ones(n, 5, dtype=torch.float64), torch.zeros(n, 3, dtype=torch.float64)


def ones(op):
    return torch.ones(op.shape[0], dtype=op.dtype)


# --- everything is left as it was ---------------------------------------------------------------
class Everything:
    """A copy of all that a caller could notice; `check` compares bit for bit."""

    def __init__(self, model):
        self.model = model
        self.state = copy.deepcopy(model.state_dict())
        self.modes = [m.training for m in model.modules()]
        self.flags = [p.requires_grad for p in model.parameters()]
        self.identity = [(id(p), p.data_ptr()) for p in model.parameters()]
        self.grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        self.rng = torch.get_rng_state()

    def check(self):
        for name, value in self.model.state_dict().items():
            assert torch.equal(value, self.state[name]), name
        assert self.modes == [m.training for m in self.model.modules()]
        assert self.flags == [p.requires_grad for p in self.model.parameters()]
        assert self.identity == [(id(p), p.data_ptr()) for p in self.model.parameters()]
        for p, grad in zip(self.model.parameters(), self.grads, strict=True):
            assert (p.grad is None) == (grad is None)
            assert grad is None or torch.equal(p.grad, grad)
        assert torch.equal(torch.get_rng_state(), self.rng)


def everything_once(model, loss_fn, data):
    for operator in OPERATORS:
        op = operator(model, loss_fn, data)
        op @ ones(op)
    sharpness(model, loss_fn, data)
    epsilon_sharpness(model, loss_fn, data, 0.1, steps=3)
    landscape_1d(model, loss_fn, data, random_direction(model), [0.0, 1.0])


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_caller_changes(kind, train):
    model, X, y = network(kind)
    model.train(train)
    first = next(model.parameters())
    first.grad = torch.full_like(first, 7.0)
    list(model.parameters())[-1].requires_grad_(False)
    before = Everything(model)
    everything_once(model, nn.CrossEntropyLoss(), (X, y))
    before.check()


def test_nothing_changes_with_a_shuffling_loader():
    model, X, y = network("mlp-tanh")
    loader = DataLoader(TensorDataset(X, y), batch_size=4, shuffle=True)
    before = Everything(model)
    everything_once(model, nn.CrossEntropyLoss(), loader)
    before.check()


@pytest.mark.parametrize("fail_at", [1, 2, 4])
def test_nothing_changes_when_loss_fn_raises(fail_at):
    model, X, y = network("batch-norm")
    model.train()
    calls = []

    def loss_fn(prediction, target):
        calls.append(1)
        if len(calls) >= fail_at:
            raise RuntimeError("the loss gave up")
        return nn.functional.cross_entropy(prediction, target)

    before = Everything(model)
    for function in (sharpness, lambda *a: epsilon_sharpness(*a, 0.1)):
        calls.clear()
        with pytest.raises(RuntimeError, match="gave up"):
            for _ in range(fail_at):
                function(model, loss_fn, (X, y))
        before.check()


def test_a_shuffling_loader_is_one_fixed_operator():
    model, X, y = network("mlp-tanh")
    loader = DataLoader(TensorDataset(X, y), batch_size=4, shuffle=True, drop_last=True)
    op = Hessian(model, nn.CrossEntropyLoss(), loader)
    assert torch.equal(op @ ones(op), op @ ones(op))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_network_is_measured_as_it_is_uncompiled(backend):
    model, X, y = network("mlp-tanh")
    loss_fn = nn.CrossEntropyLoss()
    compiled = torch.compile(model, backend=backend)
    compiled(X)
    before = Everything(model)
    for operator in (Hessian, GaussNewton, HessianVariance):
        plain, other = operator(model, loss_fn, (X, y)), operator(compiled, loss_fn, (X, y))
        assert torch.equal(plain @ ones(plain), other @ ones(other))
    everything_once(compiled, loss_fn, (X, y))
    before.check()
    compiled(X[:3])  # and compiles again afterwards: a new size


# --- bad models -----------------------------------------------------------------------------------
@pytest.mark.parametrize("operator", OPERATORS)
def test_no_parameters_requiring_grad(operator):
    model = mlp(5, 3).requires_grad_(False)
    with pytest.raises(ValueError, match="no parameters that require grad"):
        operator(model, nn.MSELoss(), regression())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_refused_with_the_reason(dtype):
    with pytest.raises(TypeError, match="half precision keeps? 2 to 3.*float"):
        Hessian(mlp(5, 3).to(dtype), nn.MSELoss(), regression())


def test_mixed_dtypes_are_named():
    model = mlp(5, 4, 3)
    model[2].float()
    with pytest.raises(ValueError, match="one dtype and device.*2.weight is torch.float32"):
        Hessian(model, nn.MSELoss(), regression())


def test_dropout_in_train_mode_is_named_and_fine_in_eval_mode():
    model = nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)).double()
    op = Hessian(model, nn.MSELoss(), regression())
    with pytest.raises(ValueError, match=r"Dropout '1' is in train mode.*model.eval\(\)"):
        op @ ones(op)
    model.eval()
    op @ ones(op)


def test_functional_dropout_is_found_too():
    class Noisy(nn.Linear):
        def forward(self, X):
            return nn.functional.dropout(super().forward(X), 0.5)

    op = Hessian(Noisy(5, 3).double(), nn.MSELoss(), regression())
    rng = torch.get_rng_state()
    with pytest.raises(ValueError, match="draws random numbers"):
        op @ ones(op)
    assert torch.equal(torch.get_rng_state(), rng)


@pytest.mark.parametrize("operator", OPERATORS)
def test_batch_statistics_over_several_batches(operator):
    model, X, y = network("batch-norm")
    model.train()
    op = operator(model, nn.CrossEntropyLoss(), [(X[:4], y[:4]), (X[4:], y[4:])])
    with pytest.raises(ValueError, match="BatchNorm1d '1' uses the statistics of each batch"):
        op @ ones(op)


def test_batch_norm_without_running_statistics_is_refused_in_eval_mode_too():
    model = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3, track_running_stats=False)).double()
    X, y = regression()
    op = Hessian(model.eval(), nn.MSELoss(), [(X, y), (X, y)])
    with pytest.raises(ValueError, match="statistics of each batch"):
        op @ ones(op)


# --- bad data -------------------------------------------------------------------------------------
def test_one_shot_iterators_and_other_non_data():
    batches = [regression(), regression()]
    with pytest.raises(TypeError, match="one-shot iterator"):
        Hessian(mlp(5, 3), nn.MSELoss(), iter(batches))
    with pytest.raises(TypeError, match="one-shot iterator"):
        Hessian(mlp(5, 3), nn.MSELoss(), (batch for batch in batches))
    for data in (regression()[0], 5):
        with pytest.raises(TypeError, match=r"must be \(X, y\)"):
            Hessian(mlp(5, 3), nn.MSELoss(), data)


def test_an_iterable_that_shrinks():
    class Shrinking:
        passes = 0

        def __iter__(self):
            self.passes += 1
            return iter([regression()] * (3 - self.passes))

    op = Hessian(mlp(5, 3), nn.MSELoss(), Shrinking(), memory=1)
    op @ ones(op)
    with pytest.raises(ValueError, match="8 samples on an earlier pass and 4 now"):
        op @ ones(op)


def test_empty_batches():
    X, y = regression()
    for data in [(X[:0], y[:0]), [(X, y), (X[:0], y[:0])]]:
        op = Hessian(mlp(5, 3), nn.MSELoss(), data)
        with pytest.raises(ValueError, match="is empty"):
            op @ ones(op)
    op = Hessian(mlp(5, 3), nn.MSELoss(), [])
    with pytest.raises(ValueError, match="no batches"):
        op @ ones(op)


def test_batches_that_do_not_fit():
    X, y = regression()
    for data, error, message in [
        ((X, y[:2]), ValueError, "4 samples in X but y of shape"),
        ((X.float(), y), TypeError, "X of torch.float32 but the parameters are torch.float64"),
        ([X, y, X], TypeError, "not a pair"),
        ([(X, y, y)], TypeError, "not a pair"),
    ]:
        op = Hessian(mlp(5, 3), nn.MSELoss(), data)
        with pytest.raises(error, match=message):
            op @ ones(op)


# --- bad losses -----------------------------------------------------------------------------------
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_loss_that_is_no_scalar(operator):
    for loss_fn, got in [
        (nn.MSELoss(reduction="none"), r"shape \(4, 3\)"),
        (lambda f, y: 1.0, "float"),
        (lambda f, y: f.mean().reshape(1), r"shape \(1,\)"),
    ]:
        op = operator(mlp(5, 3), loss_fn, regression())
        with pytest.raises(ValueError, match=f"scalar.*not {got}"):
            op @ ones(op)


def test_a_penalty_on_the_parameters_is_not_silently_missed():
    model = mlp(5, 3)

    def penalized(f, y):
        return nn.functional.mse_loss(f, y) + sum((p**2).sum() for p in model.parameters())

    op = Hessian(model, penalized, regression())
    with pytest.raises(ValueError, match="penalty"):
        op @ ones(op)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_losses_are_named(bad):
    X, y = regression()
    X[0, 0] = bad
    for operator, name in [(Hessian, "the loss"), (GaussNewton, "the prediction")]:
        op = operator(mlp(5, 3), nn.MSELoss(), (X, y))
        with pytest.raises(FloatingPointError, match=f"{name} is not finite"):
            op @ ones(op)
    with pytest.raises(FloatingPointError, match="the loss is not finite"):
        sharpness(mlp(5, 3), nn.MSELoss(), (X, y))


def test_non_finite_gradients_and_products_are_named():
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    data = (torch.ones(2, 1).double(), torch.zeros(2, 1).double())
    # At w = 0: sqrt|w| has loss 0 and an infinite gradient, |w|^1.5 an infinite second derivative.
    for power, name in [(0.5, "the gradient"), (1.5, "the curvature-vector product")]:
        op = Hessian(model, lambda f, y, power=power: ((f - y) ** power).mean(), data)
        with pytest.raises(FloatingPointError, match=f"{name} is not finite"):
            op @ ones(op)


# --- bad vectors ----------------------------------------------------------------------------------
@pytest.mark.parametrize("operator", OPERATORS)
def test_vectors_that_do_not_fit(operator):
    op = operator(mlp(5, 3), nn.MSELoss(), regression())
    v = ones(op)
    for bad, error, message in [
        (v[:-1], ValueError, "the model's 18 parameters"),
        (torch.ones(2, 18).double(), ValueError, "shape"),
        (torch.ones(18, 1, 1).double(), ValueError, "shape"),
        (v.float(), TypeError, "the vector is torch.float32"),
        (v.to("meta"), ValueError, "the vector is on meta"),
        (v.numpy(), TypeError, "ndarray"),
        (v * float("nan"), FloatingPointError, "the vector is not finite"),
    ]:
        with pytest.raises(error, match=message):
            op @ bad


# --- bad settings ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parameters": "2"}, "'2' names no parameter.*there are: 0.weight, 0.bias"),
        ({"parameters": "0.weight[3]"}, "0.weight has rows 0 to 2"),
        ({"parameters": "0.weight[2:1]"}, "0.weight has rows 0 to 2"),
        ({"parameters": []}, "parameters is empty"),
        ({"memory": 0}, "memory is a number of bytes"),
        ({"blocks": "fast"}, "blocks must be"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Hessian(mlp(5, 3), nn.MSELoss(), regression(), **settings)


@pytest.mark.parametrize("own_sampler", [False, True])
def test_a_loaders_own_generator_is_put_back(own_sampler):
    model, X, y = network("mlp-tanh")
    generator = torch.Generator().manual_seed(5)
    samples = TensorDataset(X, y)
    if own_sampler:
        order = RandomSampler(samples, generator=generator)
        loader = DataLoader(samples, batch_sampler=BatchSampler(order, 4, drop_last=True))
    else:
        loader = DataLoader(samples, 4, shuffle=True, drop_last=True, generator=generator)
    op, before = Hessian(model, nn.CrossEntropyLoss(), loader, memory=1), generator.get_state()
    assert torch.equal(op @ ones(op), op @ ones(op))
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize(
    "call",
    [
        lambda *a: sharpness(*a),
        lambda *a: epsilon_sharpness(*a, 0.1, steps=2).value,
        lambda *a: spectral_density(Hessian(*a), 5).width,
        lambda *a: float(landscape_1d(*a, random_direction(a[0]), [1.0]).losses[0]),
    ],
    ids=["sharpness", "epsilon", "density", "landscape"],
)
def test_measures_work_in_inference_mode(call):
    X = torch.randn(12, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    problem = mlp(6, 20, 3), nn.MSELoss(), (X, X[:, :3].sin())  # p > 128: Lanczos
    expected = call(*problem)
    with torch.inference_mode():
        assert call(*problem) == expected


def test_a_pruned_model_stays_as_it_was():
    model, X, y = network("mlp-tanh")
    prune.l1_unstructured(model[0], "weight", 0.5)
    with torch.no_grad():
        model(X)
    weight = model[0].weight.clone()
    landscape_1d(model, nn.CrossEntropyLoss(), (X, y), random_direction(model), [0.0, 5.0])
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y))
    op @ ones(op)
    assert torch.equal(model[0].weight, weight)
    copy.deepcopy(model)


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = mlp(5, 6, 6), mlp(6, 3)

    def forward(self, x):
        return self.b(checkpoint(self.a, x, use_reentrant=False))


def test_checkpointing_is_refused_where_weights_are_moved():
    with pytest.raises(ValueError, match="checkpoint"):
        epsilon_sharpness(Checkpointed(), nn.MSELoss(), regression(), 0.1)
