"""Agreement with the maintained peers, on the benchmark's network.

They are not installed with the project. `python bench/curvature.py --rows nothing` makes an
environment that has them: build/bench-curvature/bin/python -m pytest -m peers tests/unit/curvature
"""

import numpy as np
import pytest
import torch
from torch import nn

import flatlab
from flatlab import models
from flatlab.curvature import GaussNewton, Hessian, top_eigenpairs

eigenthings = pytest.importorskip("hessian_eigenthings")
curvlinops = pytest.importorskip("curvlinops")
pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def problem(data_root):
    data = flatlab.load_dataset("fashion_mnist", n_train=1000, one_hot=True, root=data_root)
    model, loss_fn = models.fnn(), nn.MSELoss()
    flatlab.fit(model, loss_fn, data.train, learning_rate=0.1, steps=300, progress=False)
    return model, loss_fn, data.train


def vector(p):
    v = torch.randn(p, generator=torch.Generator().manual_seed(0))
    return v / v.norm()


def close(ours, theirs):
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_hessian_eigenthings_agrees(problem):
    model, loss_fn, data = problem
    criterion = eigenthings.supervised_loss(loss_fn)
    theirs = eigenthings.HessianOperator(model, [data], criterion)
    ours = Hessian(model, loss_fn, data)
    close(ours @ vector(ours.shape[0]), theirs.matvec(vector(ours.shape[0])))
    outputs = eigenthings.supervised_loss_of_output(loss_fn)
    ggn = eigenthings.GGNOperator(model, [data], eigenthings.supervised_forward, outputs)
    v = vector(ours.shape[0])
    close(GaussNewton(model, loss_fn, data) @ v, ggn.matvec(v))
    values = eigenthings.lanczos(theirs, k=5, max_iter=40, which="LA", seed=0).eigenvalues
    pairs = top_eigenpairs(ours, 5, tol=1e-3)
    np.testing.assert_allclose(pairs.values.numpy(), values.numpy(), rtol=1e-3)


def test_curvlinops_agrees(problem):
    model, loss_fn, data = problem
    args = (model, loss_fn, list(model.parameters()), [data])
    v = vector(sum(p.numel() for p in model.parameters()))
    theirs = curvlinops.HessianLinearOperator(*args, check_deterministic=False)
    close(Hessian(model, loss_fn, data) @ v, theirs @ v)
    ggn = curvlinops.GGNLinearOperator(*args, check_deterministic=False)
    close(GaussNewton(model, loss_fn, data) @ v, ggn @ v)
