"""Groups of a sweep on a Dask cluster of two workers, one of which is killed in mid-run."""

import os
import signal
import threading
import time

import joblib
import pytest
import torch
from torch.nn.functional import cross_entropy

from flatlab import models
from flatlab.sweeps import grid, sweep

pytestmark = pytest.mark.slow
distributed = pytest.importorskip("distributed", reason="extra cluster: dask and distributed")

X = torch.randn(200, 20, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (200,), generator=torch.Generator().manual_seed(1))
RUNS = grid(batch_size=[5, 10, 20, 40], learning_rate=[0.05, 0.1])


def build(generator):
    return models.mlp((20, 16, 3), generator=generator)


def test_a_killed_worker_loses_nothing_and_nothing_runs_twice_in_the_result(tmp_path):
    rest = {"steps": 300, "evaluate_every": 150, "progress": False}
    expected = sweep(build, cross_entropy, (X, Y), RUNS, **rest)
    settings = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "processes": True,
        "dashboard_address": None,
    }
    with (
        distributed.LocalCluster(**settings) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask", scheduler_host=client.scheduler.address),
    ):
        victim = next(iter(client.run(os.getpid).values()))
        killer = threading.Thread(target=_kill_when_something_is_done, args=(tmp_path, victim))
        killer.start()
        outcomes = sweep(build, cross_entropy, (X, Y), RUNS, folder=tmp_path, **rest)
        killer.join()
    assert [outcome.run for outcome in outcomes] == RUNS
    for mine, theirs in zip(outcomes, expected, strict=True):
        for name, value in theirs.state.items():
            torch.testing.assert_close(mine.state[name], value, rtol=1e-3, atol=1e-5)
    assert len(list(tmp_path.glob("*.npz"))) == len(RUNS)


def _kill_when_something_is_done(folder, victim):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(folder.glob("*.npz")):
        time.sleep(0.02)
    os.kill(victim, signal.SIGKILL)
