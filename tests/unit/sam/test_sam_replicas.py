"""Data-parallel SAM in two gloo processes against one process that does both replicas' part."""

import os
from functools import partial

import pytest
import torch
from small_training import batch, network, weights
from torch import distributed as dist
from torch import multiprocessing
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel

from flatlab import SAM

pytestmark = [pytest.mark.slow, pytest.mark.beside]  # two processes
RHO, LR, STEPS = 0.5, 0.2, 3


def part(step, rank):
    """A replica's part of the batch."""
    return batch(10 * step + rank)


def trained(rank, norm):
    """DistributedDataParallel and the closure."""
    model = DistributedDataParallel(network())
    optimizer = SAM(model.parameters(), torch.optim.SGD, RHO, lr=LR, model=model, norm=norm)

    def closure(X, y):
        optimizer.zero_grad()
        loss = mse_loss(model(X), y)
        loss.backward()
        return loss

    for step in range(STEPS):
        optimizer.step(partial(closure, *part(step, rank)))
    return weights(model)


def moved_without_ddp(rank):
    """The mean gradient's step, one replica without a gradient of the first weight."""
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, RHO, norm="global")
    mse_loss(model(part(0, rank)[0]), part(0, rank)[1]).backward()
    if rank == 1:
        model[0].weight.grad = None
    else:
        model[0].bias.grad = model[0].bias.grad.to_sparse()
    optimizer.first_step()
    return weights(model)


def overflowed(rank):
    """What both scalers say after an overflow on the second replica alone."""
    model = DistributedDataParallel(network())
    optimizer = SAM(model.parameters(), torch.optim.SGD, RHO, lr=LR, model=model)
    scaler, X = torch.amp.GradScaler("cpu", init_scale=8.0), part(0, rank)[0]

    def closure():
        optimizer.zero_grad()
        scaler.scale(model(X).square().mean()).backward()
        if rank == 1:
            model.module[0].weight.grad[0, 0] = torch.inf

    optimizer.step(closure, grad_scaler=scaler)
    scaler.update()
    return weights(model), scaler.get_scale()


def replica(rank, folder):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    results = {norm: trained(rank, norm) for norm in ("replica", "global")}
    results["moved"] = moved_without_ddp(rank)
    results["overflow"] = overflowed(rank)
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    if not dist.is_available() or not dist.is_gloo_available():
        pytest.skip("this PyTorch has no gloo")
    folder = str(tmp_path_factory.mktemp("replicas"))
    multiprocessing.spawn(replica, (folder,), nprocs=2)
    return [torch.load(f"{folder}/{rank}.pt") for rank in range(2)]


def gradients(params, step):
    """Of each replica: at its own parameters, a list of tensors."""
    model, found = network(), []
    for rank in range(2):
        for w, value in zip(model.parameters(), params[rank]):
            w.data.copy_(value)
        X, y = part(step, rank)
        found.append(torch.autograd.grad(mse_loss(model(X), y), list(model.parameters())))
    return found


def mean(pair):
    return [(a + b) / 2 for a, b in zip(*pair)]


def ascended(w, g):
    size = torch.cat([t.flatten() for t in g]).norm()
    return [a + RHO * b / size for a, b in zip(w, g)]


@pytest.mark.parametrize("norm", ["replica", "global"])
def test_trajectory_in_two_processes(results, norm):
    w = weights(network())
    for step in range(STEPS):
        own = gradients([w, w], step)
        if norm == "global":
            own = [mean(own)] * 2
        second = mean(gradients([ascended(w, g) for g in own], step))
        w = [a - LR * b for a, b in zip(w, second)]
    for rank in range(2):
        torch.testing.assert_close(results[rank][norm], w)
    assert all(map(torch.equal, results[0][norm], results[1][norm]))
    assert not torch.allclose(results[0]["replica"][0], results[0]["global"][0], rtol=1e-3)


def test_replicas_without_ddp_and_with_missing_and_sparse_gradients(results):
    w = weights(network())
    first, second = gradients([w, w], 0)
    g = mean([first, (torch.zeros_like(w[0]), *second[1:])])
    for rank in range(2):
        torch.testing.assert_close(results[rank]["moved"], ascended(w, g))


def test_an_overflow_on_one_replica_is_every_replicas(results):
    for rank in range(2):
        kept, scale = results[rank]["overflow"]
        assert all(map(torch.equal, kept, weights(network()))) and scale == 4
