"""``fit`` against closed forms of gradient descent and loops written out by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from flatlab.evaluation import evaluate
from flatlab.models import mlp
from flatlab.sweeps import Run
from flatlab.training import fit

LOSS = nn.MSELoss()


@pytest.fixture
def regression():
    """float64 least squares: a linear model without bias, and its data."""
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(10, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(10, 1, generator=generator, dtype=torch.float64)
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.randn(1, 3, generator=generator))
    return model, X, y


@pytest.fixture
def classes():
    """Twelve points in three classes and a small ReLU net for them."""
    generator = torch.Generator().manual_seed(2)
    X = torch.randn(12, 4, generator=generator)
    return mlp((4, 8, 3)), X, torch.arange(12) % 3


def quadratic(X, y):
    """Hessian (3, 3), minimizer (3,) and loss as a function of w (3,) of the regression."""
    X, y = X.numpy(), y.numpy()[:, 0]
    hessian = 2 * X.T @ X / len(X)
    minimizer = np.linalg.lstsq(X, y, rcond=None)[0]
    return hessian, minimizer, lambda w: ((X @ w - y) ** 2).mean()


def weights(model):
    return model.weight.detach().numpy()[0].copy()


def snapshot(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_full_batch_follows_the_closed_form(regression):
    model, X, y = regression
    hessian, minimizer, loss = quadratic(X, y)
    start, rate = weights(model), 0.1
    history = fit(model, LOSS, (X, y), learning_rate=rate, steps=25, evaluate_every=1)
    values, vectors = np.linalg.eigh(hessian)

    def closed_form(t):
        return minimizer + vectors @ ((1 - rate * values) ** t * (vectors.T @ (start - minimizer)))

    np.testing.assert_allclose(weights(model), closed_form(25), rtol=1e-9)
    np.testing.assert_allclose(
        history.train_loss, [loss(closed_form(t)) for t in range(26)], rtol=1e-9
    )
    assert history.step.tolist() == list(range(26))
    assert history.stopped == "steps"
    assert history.last_finite_step == 25


def test_momentum_is_heavy_ball(regression):
    model, X, y = regression
    hessian, minimizer, _ = quadratic(X, y)
    w, velocity = weights(model), np.zeros(3)
    fit(model, LOSS, (X, y), learning_rate=0.05, momentum=0.9, steps=15)
    for _ in range(15):
        velocity = 0.9 * velocity + hessian @ (w - minimizer)
        w = w - 0.05 * velocity
    np.testing.assert_allclose(weights(model), w, rtol=1e-9)


def test_minibatches_take_their_own_mean_gradient(regression):
    model, X, y = regression
    w, seen = weights(model), []

    def loss_fn(prediction, target):
        if torch.is_grad_enabled():
            seen.append([y.flatten().tolist().index(v) for v in target.flatten().tolist()])
        return LOSS(prediction, target)

    fit(model, loss_fn, (X, y), learning_rate=0.1, batch_size=4, epochs=3)
    assert [len(batch) for batch in seen] == [4, 4, 2] * 3
    epochs = [[i for batch in seen[at : at + 3] for i in batch] for at in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    for batch in seen:
        A, b = X.numpy()[batch], y.numpy()[batch, 0]
        w = w - 0.1 * 2 * A.T @ (A @ w - b) / len(batch)
    np.testing.assert_allclose(weights(model), w, rtol=1e-9)


def test_a_run_repeats_from_its_generator(classes):
    _, X, y = classes

    def run(seed):
        model = nn.Sequential(*mlp((4, 8)), nn.Dropout(0.5), *mlp((8, 3)))
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        fit(
            model, nn.CrossEntropyLoss(), (X, y), learning_rate=0.1, batch_size=5, epochs=3,
            generator=generator,
        )  # fmt: skip
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(run(3), run(3))
    assert not torch.equal(run(3), run(4))
    assert torch.equal(run(None), run(0))


def test_dropout_alone_draws_from_the_generator(classes):
    _, X, y = classes

    def run(seed):
        model = nn.Sequential(*mlp((4, 8)), nn.Dropout(0.5), *mlp((8, 3)))
        generator = torch.Generator().manual_seed(seed)
        return fit(
            model, nn.CrossEntropyLoss(), (X, y), learning_rate=0.1, steps=5, generator=generator
        ).last()["train_loss"]

    assert run(1) == run(1) != run(2)


def test_full_batch_stops_at_the_first_step_at_or_below_the_loss(regression):
    model, X, y = regression
    hessian, minimizer, loss = quadratic(X, y)
    w, path = weights(model), []
    for _ in range(40):
        path.append(loss(w))
        w = w - 0.1 * hessian @ (w - minimizer)
    target = (path[17] + path[16]) / 2
    history = fit(model, LOSS, (X, y), learning_rate=0.1, steps=40, stop_loss=target)
    assert history.stopped == "stop_loss"
    assert history.step.tolist() == [0, 10, 17]
    assert history.last()["train_loss"] == pytest.approx(path[17], rel=1e-9)
    assert loss(weights(model)) == pytest.approx(path[17], rel=1e-9)


def test_minibatches_stop_by_the_loss_of_the_whole_set(regression):
    model, X, y = regression
    y = X @ torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    history = fit(model, LOSS, (X, y), learning_rate=0.1, batch_size=3, epochs=500, stop_loss=1e-6)
    assert history.stopped == "stop_loss"
    assert history.last()["train_loss"] == pytest.approx(LOSS(model(X), y).item())
    assert history.train_loss[-1] <= 1e-6 < history.train_loss[-2]
    assert history.step[-1] % 4 == 0
    assert history.epoch[-1] == history.step[-1] / 4


def test_a_start_below_the_loss_changes_nothing(regression):
    model, X, y = regression
    before = snapshot(model)
    history = fit(model, LOSS, (X, y), learning_rate=0.1, steps=5, stop_loss=1e9)
    assert history.step.tolist() == [0]
    assert torch.equal(model.weight, before["weight"])


@pytest.mark.parametrize("batch_size", [None, 3])
def test_divergence_is_named_and_said(regression, capsys, batch_size):
    model, X, y = regression
    history = fit(
        model, LOSS, (X, y), learning_rate=1e30, steps=100, batch_size=batch_size,
        description="hot",
    )  # fmt: skip
    out = capsys.readouterr()
    assert history.stopped == "diverged"
    assert not math.isfinite(history.train_loss[-1])
    assert history.last_finite_step == history.step[-1] - 1 >= 1
    assert f"hot: the loss was no longer finite at step {history.step[-1]}" in out.out
    assert out.err == ""


def test_divergence_is_found_where_it_happens(regression):
    model, X, y = regression
    hessian, minimizer, loss = quadratic(X, y)
    w, t = weights(model), 0
    with np.errstate(over="ignore", invalid="ignore"):
        while np.isfinite(loss(w)):
            w, t = w - 1e20 * hessian @ (w - minimizer), t + 1
    history = fit(model, LOSS, (X, y), learning_rate=1e20, steps=100, progress=False)
    assert history.step[-1] == t
    assert history.last_finite_step == t - 1


def test_evaluation_mode_and_caller_modes(classes):
    _, X, y = classes
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    model.train()
    model[1].eval()
    modes = []
    model[2].register_forward_hook(lambda module, *_: modes.append(module.training))
    history = fit(model, nn.CrossEntropyLoss(), (X, y), learning_rate=0.1, steps=3)
    assert [m.training for m in model] == [True, False, True, True]
    assert True in modes
    assert False in modes
    model.eval()
    assert history.last()["train_loss"] == pytest.approx(
        nn.functional.cross_entropy(model(X), y).item(), rel=1e-6
    )


def test_a_free_loss_equals_a_separate_pass(classes):
    class Own(nn.Module):  # not known to compute the same in both modes
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, X):
            return self.inner(X)

    _, X, y = classes
    known, own = (
        fit(m, nn.CrossEntropyLoss(), (X, y), learning_rate=0.3, steps=20, evaluate_every=4)
        for m in (mlp((4, 8, 3)), Own(mlp((4, 8, 3))))
    )
    for column in ("train_loss", "train_accuracy", "step"):
        np.testing.assert_allclose(getattr(known, column), getattr(own, column), rtol=1e-6)


def test_gradients_and_random_state_come_back_also_after_an_exception(classes):
    model, X, y = classes
    kept = torch.ones_like(model[1].weight)
    model[1].weight.grad = kept

    def fail(state):
        if state.step == 2:
            raise RuntimeError("stop here")

    for callbacks in ((), (fail,)):
        before = torch.get_rng_state()
        try:
            fit(
                model, nn.CrossEntropyLoss(), (X, y), learning_rate=0.1, steps=4, batch_size=5,
                callbacks=callbacks,
            )  # fmt: skip
        except RuntimeError as error:
            assert str(error) == "stop here"
        assert torch.equal(torch.get_rng_state(), before)
        assert model[1].weight.grad is kept
        assert torch.equal(kept, torch.ones_like(kept))
        assert model[1].bias.grad is None
        assert model.training


def test_what_a_forward_pass_draws_in_evaluation_mode_comes_back(classes):
    class Noisy(nn.Linear):
        def forward(self, X):
            return super().forward(X) + torch.randn(len(X), 3)

    _, X, y = classes
    model = Noisy(4, 3)
    before = torch.get_rng_state()
    fit(model, nn.CrossEntropyLoss(), (X, y), learning_rate=0.1, steps=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_any_optimizer_and_scheduler(classes):
    model, X, y = classes
    twin = mlp((4, 8, 3))
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.5)
    history = fit(
        model, loss_fn, (X, y), optimizer=optimizer, scheduler=scheduler, steps=7, evaluate_every=1
    )
    other = torch.optim.Adam(twin.parameters(), lr=0.02)
    for step in range(7):
        other.param_groups[0]["lr"] = 0.02 * 0.5 ** (step // 3)
        other.zero_grad()
        loss_fn(twin(X), y).backward()
        other.step()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    expected = [0.02 * 0.5 ** (step // 3) for step in range(8)]
    np.testing.assert_allclose(history.learning_rate, expected)


def test_a_scheduler_for_plain_sgd_is_a_function(classes):
    model, X, y = classes
    history = fit(
        model, nn.CrossEntropyLoss(), (X, y), learning_rate=0.4, steps=2, evaluate_every=1,
        scheduler=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
    )  # fmt: skip
    np.testing.assert_allclose(history.learning_rate, [0.4, 0.2, 0.1])


def test_reduce_on_plateau_sees_the_training_loss(classes):
    model, X, y = classes
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    history = fit(
        model, nn.CrossEntropyLoss(), (X, y), learning_rate=1e-12, steps=6, evaluate_every=2,
        scheduler=lambda optimizer: plateau(optimizer, factor=0.1, patience=0, eps=0),
    )  # fmt: skip
    np.testing.assert_allclose(history.learning_rate, [1e-12, 1e-12, 1e-13, 1e-14])


def test_lbfgs_gets_its_closure(regression):
    model, X, y = regression
    _, minimizer, _ = quadratic(X, y)
    optimizer = torch.optim.LBFGS(model.parameters(), tolerance_grad=1e-12, tolerance_change=0)
    fit(model, LOSS, (X, y), optimizer=optimizer, steps=3)
    np.testing.assert_allclose(weights(model), minimizer, rtol=1e-9)


def test_callbacks_see_loss_gradient_and_parameters_of_one_state(regression):
    model, X, y = regression
    hessian, minimizer, loss = quadratic(X, y)
    steps = []

    def look(state):
        steps.append(state.step)
        assert not state.model.training
        assert state.loss == pytest.approx(loss(weights(model)), rel=1e-9)
        gradient = hessian @ (weights(model) - minimizer)
        if state.step < 6:
            np.testing.assert_allclose(model.weight.grad[0].numpy(), gradient, rtol=1e-7)
        assert len(state.history) == 1 + state.step // 2
        assert state.history.stopped == "running" or state.step == 6

    fit(model, LOSS, (X, y), learning_rate=0.1, steps=6, evaluate_every=2, callbacks=[look])
    assert steps == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_callback_stops_the_run(regression, batch_size):
    model, X, y = regression
    history = fit(
        model, LOSS, (X, y), learning_rate=0.1, steps=50, batch_size=batch_size,
        callbacks=[lambda state: state.stop("enough") if state.step == 7 else None],
    )  # fmt: skip
    assert history.stopped == "enough"
    assert history.step[-1] == 7
    assert history.last()["train_loss"] == pytest.approx(LOSS(model(X), y).item(), rel=1e-9)


def test_metrics_are_columns(classes):
    model, X, y = classes
    history = fit(
        model, nn.CrossEntropyLoss(), (X, y), learning_rate=0.1, steps=4, evaluate_every=2,
        metrics={"norm": lambda m: m[1].weight.norm().item() if not m.training else math.nan},
    )  # fmt: skip
    assert history.metrics["norm"][-1] == pytest.approx(model[1].weight.norm().item())
    assert len(history.as_dict()["norm"]) == 3
    assert history.last()["norm"] == history.metrics["norm"][-1]


def test_a_metric_may_differentiate_and_sees_the_gradients(classes):
    _, X, y = classes
    loss_fn, seen = nn.CrossEntropyLoss(), []

    def slope(model):
        seen.append(model[1].weight.grad.norm().item())
        model.zero_grad(set_to_none=False)
        loss_fn(model(X), y).backward()
        return model[1].weight.grad.norm().item()

    measured, plain = mlp((4, 3)), mlp((4, 3))
    for model, metrics in ((measured, {"slope": slope}), (plain, None)):
        history = fit(
            model, loss_fn, (X, y), learning_rate=0.5, batch_size=5, steps=8, evaluate_every=1,
            metrics=metrics,
        )  # fmt: skip
        assert model[1].weight.grad is None
        assert metrics is None or history.metrics["slope"][-1] < history.metrics["slope"][0]
    assert torch.equal(measured[1].weight, plain[1].weight)
    assert len(set(seen)) == 8  # a minibatch's at every step, and its last one's at the end


def test_accuracy_of_integer_one_hot_and_real_targets(classes):
    model, X, y = classes
    expected = np.mean(model(X).detach().numpy().argmax(1) == y.numpy())
    hot = torch.eye(3)[y]
    assert evaluate(model, nn.CrossEntropyLoss(), (X, y)).accuracy == pytest.approx(expected)
    assert evaluate(model, LOSS, (X, hot)).accuracy == pytest.approx(expected)
    assert math.isnan(evaluate(model, LOSS, (X, hot + 0.5)).accuracy)


def test_test_data_are_evaluated(classes):
    model, X, y = classes
    history = fit(
        model, nn.CrossEntropyLoss(), (X[:8], y[:8]), learning_rate=0.1, steps=3,
        test_data=(X[8:], y[8:]),
    )  # fmt: skip
    model.eval()
    assert history.last()["test_loss"] == pytest.approx(
        nn.functional.cross_entropy(model(X[8:]), y[8:]).item(), rel=1e-6
    )
    assert 0 <= history.last()["test_accuracy"] <= 1


def test_batches_of_unequal_size_are_weighted_by_size(classes, monkeypatch):
    model, X, y = classes
    loss_fn = nn.CrossEntropyLoss()
    whole = loss_fn(model(X), y).item()
    batches = [(X[:7], y[:7]), (X[7:9], y[7:9]), (X[9:], y[9:])]
    assert evaluate(model, loss_fn, batches).loss == pytest.approx(whole, rel=1e-6)
    monkeypatch.setattr("flatlab.evaluation._CHUNK", 5)
    result = evaluate(model, loss_fn, (X, y))
    assert result.loss == pytest.approx(whole, rel=1e-6)
    assert result.accuracy == pytest.approx((model(X).argmax(1) == y).float().mean().item())


def test_progress_goes_to_stdout(classes, capfd, monkeypatch):
    model, X, y = classes
    monkeypatch.setenv("FLATLAB_PROGRESS", "on")
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    fit(model, nn.CrossEntropyLoss(), (X, y), learning_rate=0.1, steps=3, description="valley")
    out, err = capfd.readouterr()
    assert "valley" in out
    assert err == ""
    fit(model, nn.CrossEntropyLoss(), (X, y), learning_rate=0.1, steps=3, progress=False)
    assert capfd.readouterr() == ("", "")


def bad_arguments():
    X, y = torch.zeros(12, 4), torch.arange(12) % 3
    nan = X.clone()
    nan[3, 1] = math.nan
    stranger = torch.optim.SGD(mlp((4, 3)).parameters(), lr=0.1)
    foreign = torch.optim.lr_scheduler.StepLR(stranger, 2)
    rate = {"learning_rate": 0.1, "steps": 3}
    return [
        (X, rate, TypeError, "pair of tensors"),
        (3, rate, TypeError, "pair of tensors"),
        ([], rate, ValueError, "empty: there is no batch"),
        ([(X, y, y)], rate, TypeError, "no such pair"),
        ((X, y[:5]), rate, ValueError, "X has 12 samples and y has 5"),
        ((X[:0], y[:0]), rate, ValueError, "X has no samples"),
        ((X.double(), y), rate, ValueError, "X is torch.float64 and the model is torch.float32"),
        ((nan, y), rate, ValueError, "nan before the first step"),
        ((X, y), {"steps": 3}, ValueError, "exactly one of learning_rate"),
        ((X, y), {**rate, "optimizer": stranger}, ValueError, "exactly one of learning_rate"),
        ((X, y), {"steps": 3, "optimizer": stranger}, ValueError, "are not the model's"),
        ((X, y), {**rate, "scheduler": foreign}, ValueError, "steers another optimizer"),
        ((X, y), {**rate, "scheduler": 0.5}, TypeError, "must be a torch scheduler"),
        ((X, y), {"learning_rate": -1, "steps": 3}, ValueError, "learning_rate is -1"),
        ((X, y), {"learning_rate": math.nan, "steps": 3}, ValueError, "learning_rate is nan"),
        ((X, y), {**rate, "momentum": 1.0}, ValueError, "momentum is 1.0"),
        ((X, y), {"learning_rate": 0.1}, ValueError, "exactly one of steps and epochs"),
        ((X, y), {**rate, "epochs": 2}, ValueError, "exactly one of steps and epochs"),
        ((X, y), {"learning_rate": 0.1, "steps": 0}, ValueError, "steps is 0"),
        ((X, y), {"learning_rate": 0.1, "epochs": 1.5}, ValueError, "epochs is 1.5"),
        ((X, y), {**rate, "batch_size": 13}, ValueError, "batch_size is 13, .* only 12 samples"),
        ((X, y), {**rate, "batch_size": 0}, ValueError, "batch_size is 0"),
        ((X, y), {**rate, "evaluate_every": 0}, ValueError, "evaluate_every is 0"),
        ((X, y), {**rate, "stop_loss": -1}, ValueError, "stop_loss is -1"),
        ((X, y), {**rate, "stop_loss": math.nan}, ValueError, "stop_loss is nan"),
        ((X, y), {**rate, "test_data": (X, y[:2])}, ValueError, "X has 12 samples"),
        ((X, y), {**rate, "test_data": (X[:0], y[:0])}, ValueError, "no samples"),
    ]


@pytest.mark.parametrize(("data", "arguments", "error", "message"), bad_arguments())
def test_bad_arguments_change_nothing(classes, data, arguments, error, message):
    model = classes[0]
    before, rng = snapshot(model), torch.get_rng_state()
    with pytest.raises(error, match=message):
        fit(model, nn.CrossEntropyLoss(), data, **arguments)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), rng)
    assert model.training


@pytest.mark.parametrize(
    ("loss_fn", "got"),
    [
        (nn.CrossEntropyLoss(reduction="none"), r"shape \(2,\)"),
        (lambda prediction, y: prediction.mean(0), r"shape \(3,\)"),
        (lambda prediction, y: 0.5, "0.5"),
        (lambda prediction, y: None, "None"),
    ],
)
def test_a_loss_that_is_no_number_is_refused(classes, loss_fn, got):
    model, X, y = classes
    before = snapshot(model)
    with pytest.raises(TypeError, match=f"must return one number.*{got}"):
        fit(model, loss_fn, (X, y), learning_rate=0.1, steps=2)
    assert torch.equal(model[1].weight, before["1.weight"])


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("batch_size", [None, 5])
def test_training_goes_on_where_the_caller_needs_no_gradients(off, batch_size):
    def trained():
        X = torch.randn(12, 4, generator=torch.Generator().manual_seed(2))
        metrics = {"gradients": lambda model: float(torch.is_grad_enabled())}
        options = {"learning_rate": 0.1, "batch_size": batch_size, "steps": 3, "metrics": metrics}
        history = fit(model, nn.CrossEntropyLoss(), (X, torch.arange(12) % 3), **options)
        assert history.metrics["gradients"].all()
        return snapshot(model)

    model = mlp((4, 8, 3))
    start = snapshot(model)
    expected = trained()
    model.load_state_dict(start)
    with off():
        got = trained()
        assert not torch.is_grad_enabled()
    assert all(torch.equal(value, expected[name]) for name, value in got.items())


def test_whole_numbers_of_numpy_are_taken(classes):
    model, X, y = classes
    options = {"learning_rate": 0.1, "batch_size": np.int64(5), "evaluate_every": np.int32(1)}
    history = fit(model, nn.CrossEntropyLoss(), (X, y), steps=4, **options)
    again = fit(model, nn.CrossEntropyLoss(), (X, y), steps=history.step[-1], **options)
    assert again.step[-1] == 4 and again.stopped == "steps"
    for wrong in (np.bool_(True), np.float64(2), np.int64(0), np.uint8(5)):  # 200 + 200 overflows
        with pytest.raises(ValueError, match="batch_size is .*give a whole number of at least 1"):
            fit(model, nn.CrossEntropyLoss(), (X, y), **{**options, "batch_size": wrong}, steps=1)


def test_a_model_without_trainable_parameters_is_refused(classes):
    model, X, y = classes
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter of the model requires a gradient"):
        fit(model, nn.CrossEntropyLoss(), (X, y), learning_rate=0.1, steps=2)


def test_batch_norm_and_a_lone_last_sample_are_refused_before_anything_changes(classes):
    _, X, y = classes
    model, loss_fn = mlp((4, 8, 3), batch_norm=True), nn.CrossEntropyLoss()
    before = snapshot(model)
    with pytest.raises(ValueError, match="one sample alone.*batch norm"):
        fit(model, loss_fn, (X[:11], y[:11]), learning_rate=0.1, batch_size=5, epochs=1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training and all(m.training for m in model.modules())


def test_a_lone_last_sample_is_taken_where_batch_norm_can_take_it_or_never_meets_it(classes):
    model, X, y = classes
    loss_fn, rate = nn.CrossEntropyLoss(), {"learning_rate": 0.1, "batch_size": 5}
    norm = mlp((4, 8, 3), batch_norm=True)
    assert fit(norm, loss_fn, (X[:11], y[:11]), steps=2, **rate).stopped == "steps"
    assert norm[2].num_batches_tracked == 2
    images = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 3))
    X2 = X[:11].reshape(11, 1, 2, 2)
    assert fit(images, loss_fn, (X2, y[:11]), epochs=2, **rate).stopped == "epochs"
    assert images[1].num_batches_tracked == 6
    assert fit(model, loss_fn, (X[:11], y[:11]), epochs=2, **rate).stopped == "epochs"


WHOLE = torch.randn(8, 6, 3, 3, generator=torch.Generator().manual_seed(5))
PARTS = {
    "a slice": (lambda whole: whole[:, :3], False),
    "rows": (lambda whole: whole[2:4], True),
    "transposed": (lambda whole: whole.transpose(0, 1), True),
    "channels last": (lambda whole: whole.to(memory_format=torch.channels_last), True),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("optimizer", ["", "sgd", "adamw"])
def test_parameters_of_any_layout_are_trained_as_contiguous_ones(part, optimizer):
    """A fused optimizer would write over what lies between the pieces of one that is in pieces."""
    cut, fused = PARTS[part]

    class Cut(nn.Module):
        def __init__(self, weight):
            super().__init__()
            self.weight = nn.Parameter(weight)

        def forward(self, X):
            return (X @ self.weight.flatten(1)[:, :4].T).square()

    whole, rest = WHOLE.clone(), torch.ones_like(WHOLE, dtype=torch.bool)
    X = torch.randn(9, 4, generator=torch.Generator().manual_seed(6))
    models = Cut(cut(whole)), Cut(cut(WHOLE).contiguous())
    for model in models:
        chosen = {"learning_rate": 0.01}
        if optimizer:
            chosen = {"optimizer": Run(**chosen, optimizer=optimizer).optimizer_of(model)}
            assert chosen["optimizer"].defaults["fused"] == (fused or model is models[1])
        fit(model, LOSS, (X, torch.zeros(9, len(model.weight))), steps=5, **chosen)
    torch.testing.assert_close(models[0].weight, models[1].weight)
    cut(rest).zero_()
    assert torch.equal(whole[rest], WHOLE[rest])


def test_frozen_parameters_stay(classes):
    model, X, y = classes
    model[1].weight.requires_grad_(False)
    before = snapshot(model)
    fit(model, nn.CrossEntropyLoss(), (X, y), learning_rate=0.1, steps=2)
    assert torch.equal(model[1].weight, before["1.weight"])
    assert not torch.equal(model[3].weight, before["3.weight"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_takes_the_same_minibatches_as_the_cpu(classes):
    _, X, y = classes
    losses = [
        fit(
            mlp((4, 8, 3)).to(device), nn.CrossEntropyLoss(), (X, y), learning_rate=0.1,
            batch_size=5, epochs=4,
        ).train_loss
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


@pytest.mark.filterwarnings("error")
def test_what_one_sample_alone_would_break_is_trained():
    X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    y, rest = (X[:, 0] > 0).float(), {"learning_rate": 0.1, "batch_size": 8, "steps": 6}
    for loss in (nn.functional.binary_cross_entropy_with_logits, nn.functional.mse_loss):
        history = fit(nn.Linear(4, 1), lambda p, t, loss=loss: loss(p.squeeze(), t), (X, y), **rest)
        assert history.stopped == "steps"
    norm = nn.BatchNorm1d(8, track_running_stats=False)
    model = nn.Sequential(nn.Linear(4, 8), norm, nn.ReLU(), nn.Linear(8, 2))
    assert fit(model, nn.CrossEntropyLoss(), (X, y.long()), **rest).stopped == "steps"


def test_sparse_gradients_are_taken():
    model = nn.Sequential(nn.Embedding(5, 3, sparse=True))
    before = model[0].weight.detach().clone()
    data = torch.arange(20) % 5, torch.arange(20) % 3
    history = fit(model, nn.CrossEntropyLoss(), data, learning_rate=0.1, steps=3)
    assert history.stopped == "steps" and not torch.equal(model[0].weight, before)
