"""What SAM is used with: state dicts, schedulers, batch norm, mixed precision, accumulation, compile."""

import copy
import io
import math
import shutil

import pytest
import torch
from small_training import batch, closure_of, network, same, train, weights
from torch.nn.functional import mse_loss

from flatlab import SAM

OPTIONS = {
    "SGD": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "AdamW": (torch.optim.AdamW, {"lr": 0.02, "amsgrad": True}),
}


# --- state ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", OPTIONS)
def test_a_state_dict_resumes_to_the_same_trajectory(name):
    kind, options = OPTIONS[name]
    model = network()
    optimizer = SAM(model.parameters(), kind, rho=0.2, p=3, adaptive=True, **options)
    train(model, optimizer, range(3))
    file = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict()], file)
    train(model, optimizer, range(3, 6))

    file.seek(0)
    resumed = network()
    other = SAM(resumed.parameters(), kind, lr=1.0)  # all settings come from the file
    states = torch.load(file)
    resumed.load_state_dict(states[0])
    other.load_state_dict(states[1])
    assert other.param_groups is other.base_optimizer.param_groups
    assert other.state is other.base_optimizer.state and len(other.state) == 4
    train(resumed, other, range(3, 6))
    assert same(weights(model), weights(resumed))


def test_a_state_dict_of_the_base_alone_is_taken_too():
    model = network()
    base = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    mse_loss(model(batch(0)[0]), batch(0)[1]).backward()
    base.step()
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.2, lr=0.1)
    optimizer.load_state_dict(base.state_dict())
    (group,) = optimizer.param_groups
    assert (group["lr"], group["rho"], group["p"]) == (0.3, 0.2, 2.0)
    assert len(optimizer.state) == 4
    train(model, optimizer, range(2))


@pytest.mark.parametrize("plain", [False, True])
def test_a_state_dict_loaded_into_the_base_itself_is_sams_too(plain):
    """Also one that SAM never had in hand, which lacks its settings."""
    model, reference = network(), network()
    base = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    states = copy.deepcopy(base.state_dict())
    optimizer = SAM(model.parameters(), base, rho=0.2)
    base.load_state_dict(states if plain else copy.deepcopy(base.state_dict()))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    assert optimizer.param_groups is base.param_groups and optimizer.state is base.state
    train(model, optimizer, range(3), scheduler)
    assert base.param_groups[0]["lr"] == 0.3 / 8 and base.param_groups[0]["rho"] == 0.2
    other = SAM(reference.parameters(), torch.optim.SGD, rho=0.2, lr=0.3, momentum=0.9)
    train(reference, other, range(3), torch.optim.lr_scheduler.StepLR(other, 1, 0.5))
    assert same(weights(model), weights(reference))
    optimizer.load_state_dict(states)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    assert [g["rho"] for g in base.param_groups] == [0.2, 0.2]


def test_state_and_groups_that_are_set_are_the_bases():
    optimizer = SAM(network().parameters(), torch.optim.SGD, lr=0.1)
    optimizer.state, optimizer.param_groups = {}, optimizer.param_groups[:]
    assert optimizer.state is optimizer.base_optimizer.state
    assert optimizer.param_groups is optimizer.base_optimizer.param_groups


def test_a_copy_of_model_and_optimizer_goes_on_alike_and_apart():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.2, lr=0.1, momentum=0.9, model=model)
    train(model, optimizer, range(2))
    twin, other = copy.deepcopy((model, optimizer))
    assert other.model is twin and other.state is other.base_optimizer.state
    assert other.param_groups is other.base_optimizer.param_groups
    assert other.param_groups[0]["params"] == list(twin.parameters())
    before = weights(model)
    train(twin, other, range(2, 4))
    assert same(before, weights(model))
    train(model, optimizer, range(2, 4))
    assert same(weights(model), weights(twin))


def test_schedulers_steer_the_base():
    model, reference = network(), network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.1, lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=6)
    train(model, optimizer, range(4), scheduler)
    base = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    other = SAM(reference.parameters(), base, rho=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(base, max_lr=0.2, total_steps=6)
    train(reference, other, range(4), scheduler)
    assert same(weights(model), weights(reference))
    assert base.param_groups[0]["lr"] == optimizer.base_optimizer.param_groups[0]["lr"] != 0.1


@pytest.mark.filterwarnings("error:Detected call of")
def test_a_scheduler_sees_the_update_of_two_steps():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.1, lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    for step in (optimizer.first_step, optimizer.second_step):
        sum(w.square().sum() for w in model.parameters()).backward()
        step(zero_grad=True)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.05


def test_a_group_may_be_added():
    model = network()
    optimizer = SAM(model[0].parameters(), torch.optim.SGD, rho=0.1, lr=0.1)
    optimizer.add_param_group({"params": model[2].parameters(), "rho": 0.7})
    assert [g["rho"] for g in optimizer.param_groups] == [0.1, 0.7]
    assert optimizer.param_groups is optimizer.base_optimizer.param_groups
    before = weights(model)
    train(model, optimizer, range(1))
    assert not any(map(torch.equal, before, weights(model)))


# --- batch norm ----------------------------------------------------------------------------------
def test_running_statistics_are_those_of_the_pass_at_w():
    model, reference = network(norm=True), network(norm=True)
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=1.0, lr=0.1, model=model)
    train(model, optimizer, range(1))
    reference(batch(0)[0])
    assert same(model.buffers(), reference.buffers())
    assert model[1].num_batches_tracked == 1


def test_running_statistics_after_an_error_in_the_second_pass():
    model, reference = network(norm=True), network(norm=True)
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=1.0, lr=0.1, model=model)
    closure, calls = closure_of(model, optimizer, *batch(0)), []

    def stops():
        calls.append(closure())
        if len(calls) == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        optimizer.step(stops)
    reference(batch(0)[0])
    assert same(model.buffers(), reference.buffers())


# --- mixed precision -----------------------------------------------------------------------------
def scaled_closure(model, optimizer, scaler, X, y, spoil=()):
    calls = []

    def closure():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            prediction = model(X)
            assert prediction.dtype == torch.bfloat16
            loss = mse_loss(prediction.float(), y)
        scaler.scale(loss).backward()
        if len(calls) in spoil:
            model[0].weight.grad[0, 0] = math.inf
        calls.append(1)
        return loss

    return closure


@pytest.mark.parametrize("max_norm", [None, 0.05])
def test_the_loss_scale_does_not_matter(max_norm):
    """With scales that are powers of 2, bit for bit; a scale of 1 is no scaling at all."""
    results = []
    for scale in (1.0, 2.0**12):
        model = network(dtype=torch.float32)
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.2, lr=0.1, max_norm=max_norm)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=100)
        for k in range(3):
            closure = scaled_closure(model, optimizer, scaler, *batch(k, dtype=torch.float32))
            optimizer.step(closure, grad_scaler=scaler)
            scaler.update()
        assert scaler.get_scale() == scale
        results.append(weights(model))
    assert same(*results)
    disabled = network(dtype=torch.float32)
    optimizer = SAM(disabled.parameters(), torch.optim.SGD, rho=0.2, lr=0.1, max_norm=max_norm)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    for k in range(3):
        closure = scaled_closure(disabled, optimizer, scaler, *batch(k, dtype=torch.float32))
        optimizer.step(closure, grad_scaler=scaler)
        scaler.update()
    assert same(weights(disabled), results[0])


@pytest.mark.parametrize("max_norm", [None, 1.0])
@pytest.mark.parametrize("spoiled", [0, 1])
def test_an_overflow_in_either_pass_skips_the_step_and_halves_the_scale(spoiled, max_norm):
    model = network(dtype=torch.float32)
    optimizer = SAM(
        model.parameters(), torch.optim.SGD, rho=0.2, lr=0.1, momentum=0.9, max_norm=max_norm
    )
    scaler, before = torch.amp.GradScaler("cpu", init_scale=1024.0), weights(model)
    closure = scaled_closure(
        model, optimizer, scaler, *batch(0, dtype=torch.float32), spoil=(spoiled,)
    )
    optimizer.step(closure, grad_scaler=scaler)
    scaler.update()
    assert same(before, weights(model)) and not optimizer.state
    assert scaler.get_scale() == 512
    optimizer.step(
        scaled_closure(model, optimizer, scaler, *batch(0, dtype=torch.float32)), grad_scaler=scaler
    )
    scaler.update()
    assert not same(before, weights(model)) and scaler.get_scale() == 512


def test_two_steps_with_a_scaler():
    model, other = network(dtype=torch.float32), network(dtype=torch.float32)
    one, two = (SAM(m.parameters(), torch.optim.SGD, rho=0.2, lr=0.1) for m in (model, other))
    scalers = [torch.amp.GradScaler("cpu", init_scale=64.0) for _ in range(2)]
    one.step(
        scaled_closure(model, one, scalers[0], *batch(0, dtype=torch.float32)),
        grad_scaler=scalers[0],
    )
    closure = scaled_closure(other, two, scalers[1], *batch(0, dtype=torch.float32), spoil=(2,))
    closure()
    assert two.first_step(grad_scaler=scalers[1])
    closure()
    two.second_step(grad_scaler=scalers[1])
    assert same(weights(model), weights(other))
    scalers[1].update()
    closure()
    assert not two.first_step(grad_scaler=scalers[1])
    scalers[1].update()
    assert same(weights(model), weights(other)) and scalers[1].get_scale() == 32


def test_one_autocast_context_around_both_passes():
    """Autocast keeps half-precision copies of the parameters, which must not outlive the move."""
    results = []
    for around in (True, False):
        model = network(dtype=torch.float32)
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=1.0, lr=0.1)
        closure = closure_of(model, optimizer, *batch(0, dtype=torch.float32))
        if around:
            with torch.autocast("cpu", torch.bfloat16):
                optimizer.step(closure)
        else:
            optimizer.step(torch.autocast("cpu", torch.bfloat16)(closure))
        results.append(weights(model))
    assert same(*results)


# --- accumulation, compile -----------------------------------------------------------------------
def test_accumulated_gradients_are_those_of_the_whole_batch():
    X, y = batch(0)
    model, two, reference = network(), network(), network()
    options = {"base_optimizer": torch.optim.SGD, "rho": 0.3, "lr": 0.1}
    optimizer = SAM(model.parameters(), **options)

    def accumulate(m):
        for part in (slice(0, 2), slice(2, 8)):
            (mse_loss(m(X[part]), y[part]) * len(X[part]) / 8).backward()

    def closure():
        optimizer.zero_grad()
        accumulate(model)

    optimizer.step(closure)
    other = SAM(two.parameters(), **options)
    accumulate(two)
    other.first_step(zero_grad=True)
    accumulate(two)
    other.second_step(zero_grad=True)
    whole = SAM(reference.parameters(), **options)
    whole.step(closure_of(reference, whole, X, y))
    assert same(weights(model), weights(two))
    torch.testing.assert_close(weights(model), weights(reference))


def compiled_trajectories(backend, norm):
    results = []
    for compiled in (False, True):
        model = network(norm)
        run = torch.compile(model, backend=backend) if compiled else model
        optimizer = SAM(run.parameters(), torch.optim.SGD, rho=0.3, lr=0.1, model=run)
        train(run, optimizer, range(3))
        results.append(weights(model) + [b.double() for b in model.buffers()])
    return results


def test_compiled_models_train_alike():
    torch.testing.assert_close(*compiled_trajectories("aot_eager", norm=True))


@pytest.mark.slow
@pytest.mark.beside
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a compiler of C++")
def test_models_compiled_to_machine_code_train_alike():
    torch.testing.assert_close(*compiled_trajectories("inductor", norm=False), rtol=1e-4, atol=1e-5)
