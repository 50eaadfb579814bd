"""The sharpness callback against the sharpness of snapshots, and its share of the time."""

import copy

import pytest
import torch
from dense_references import mlp
from torch import nn

import flatlab
from flatlab.curvature import sharpness, track_sharpness
from flatlab.history import TrainingState


def problem():
    X = torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return mlp(5, 30, 3), nn.MSELoss(), (X, X[:, :3].sin())


def test_values_are_the_sharpness_of_the_model_at_those_steps():
    model, loss_fn, data = problem()
    track = track_sharpness(loss_fn, data, every=10, share=None, tol=1e-6)
    snapshots = {}

    def keep(state):
        snapshots[state.step] = copy.deepcopy(state.model)

    flatlab.fit(
        model, loss_fn, data, learning_rate=0.1, steps=35, callbacks=[track, keep], progress=False
    )
    assert track.steps == [0, 10, 20, 30] and all(track.converged)
    for step, value in zip(track.steps, track.sharpness, strict=True):
        assert value == pytest.approx(sharpness(snapshots[step], loss_fn, data, tol=1e-6), rel=2e-6)


def test_tracking_does_not_change_the_run():
    runs = []
    for callbacks in ([], [track_sharpness(nn.MSELoss(), problem()[2], every=3, share=None)]):
        model, loss_fn, data = problem()
        settings = {"learning_rate": 0.1, "momentum": 0.9, "batch_size": 8, "steps": 20}
        flatlab.fit(model, loss_fn, data, callbacks=callbacks, progress=False, **settings)
        runs.append(model.state_dict())
    for a, b in zip(runs[0].values(), runs[1].values(), strict=True):
        assert torch.equal(a, b)


def test_several_eigenvalues_and_warm_starts():
    model, loss_fn, data = problem()
    track = track_sharpness(loss_fn, data, k=3, share=None, tol=1e-4)
    state = TrainingState(model, optimizer=None)
    for state.step in range(2):
        track(state)
    assert [len(v) for v in track.values] == [3, 3]
    for first, second in zip(*track.values, strict=True):
        assert first == pytest.approx(second, rel=2e-4)


def test_the_share_of_the_time_is_kept(monkeypatch):
    # A clock on which a measurement takes 2 s and a training step 1 s.
    model, loss_fn, data = problem()
    track = track_sharpness(loss_fn, data, every=1, share=0.1)
    clock = [0.0]

    def measure(state):
        clock[0] += 2.0
        track.steps.append(state.step)

    monkeypatch.setattr(track, "_measure", measure)
    monkeypatch.setattr("flatlab.curvature.tracking.time.perf_counter", lambda: clock[0])
    state = TrainingState(model, optimizer=None)
    for state.step in range(400):
        state.seconds = clock[0]
        track(state)
        clock[0] += 1.0
    assert track.seconds == 2.0 * len(track.steps)
    assert 0.08 * clock[0] <= track.seconds <= 0.1 * clock[0] + 2.0


def test_bad_settings():
    _, loss_fn, data = problem()
    with pytest.raises(ValueError, match="every must be"):
        track_sharpness(loss_fn, data, every=0)
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="share is a fraction"):
            track_sharpness(loss_fn, data, share=share)
