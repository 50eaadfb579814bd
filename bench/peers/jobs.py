"""Each row of the table: the same work by flatlab and by each peer in its best honest setting."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from flatlab.curvature import Hessian, HessianVariance, spectral_density, top_eigenpairs

from .problem import Problem


@dataclass
class Job:
    """One cell of the table; `run` does all the work anew, but for what `prepare` may keep."""

    row: str
    tool: str
    prepare: Callable[[Problem], Callable[[], object]]
    error: str | None  # which reference the result is compared with
    repeats: int = 5
    inner: int = 1
    per: int = 1  # vectors in one call
    times: float = 1.0  # a whole is this many of what is run (estimated)


def hessian_product(problem: Problem):
    op, v = Hessian(problem.model, problem.loss_fn, problem.data), problem.vector()
    return lambda: op @ v


def pyhessian(problem: Problem):
    from pyhessian import hessian

    with contextlib.redirect_stdout(io.StringIO()):
        op = hessian(
            problem.model, problem.loss_fn, problem.data, cuda=problem.device.type == "cuda"
        )
    for p in problem.parameters:
        p.grad = None
    return op


def pyhessian_product(problem: Problem):
    from pyhessian.utils import hessian_vector_product

    op, v = pyhessian(problem), split(problem, problem.vector())
    product = lambda: hessian_vector_product(op.gradsH, op.params, v)
    return lambda: torch.cat([t.reshape(-1) for t in product()])


def eigenthings(problem: Problem):
    from hessian_eigenthings import HessianOperator, supervised_loss

    return HessianOperator(problem.model, [problem.data], supervised_loss(problem.loss_fn))


def curvlinops(problem: Problem):
    from curvlinops import HessianLinearOperator

    args = (problem.model, problem.loss_fn, problem.parameters, [problem.data])
    return HessianLinearOperator(*args, check_deterministic=False)


def eigenthings_product(problem: Problem):
    op, v = eigenthings(problem), problem.vector()
    return lambda: op.matvec(v)


def curvlinops_product(columns: int):
    def prepare(problem: Problem):
        op = curvlinops(problem)
        V = torch.stack([problem.vector(i) for i in range(columns)], 1)
        V = V[:, 0] if columns == 1 else V
        return lambda: op @ V

    return prepare


def split(problem: Problem, v: torch.Tensor) -> list[torch.Tensor]:
    pieces = v.split([p.numel() for p in problem.parameters])
    return [t.view(p.shape) for t, p in zip(pieces, problem.parameters, strict=True)]


def ours_top(k: int):
    def prepare(problem: Problem):
        def run():
            op = Hessian(problem.model, problem.loss_fn, problem.data)
            pairs = top_eigenpairs(op, k, tol=1e-3)
            assert pairs.converged
            return pairs.values.numpy()

        return run

    return prepare


def pyhessian_top(k: int):
    return lambda problem: lambda: np.array(pyhessian(problem).eigenvalues(top_n=k)[0])


def eigenthings_top(k: int, max_iter: int | None):
    def prepare(problem: Problem):
        from hessian_eigenthings import lanczos

        def run():
            result = lanczos(eigenthings(problem), k=k, max_iter=max_iter, which="LA", seed=0)
            return result.eigenvalues.double().cpu().numpy()

        return run

    return prepare


def curvlinops_top(k: int):
    def prepare(problem: Problem):
        def run():
            op = curvlinops(problem).to_scipy(dtype=np.float32)
            return eigsh(op, k=k, which="LA", tol=1e-3, return_eigenvectors=False)[::-1]

        return run

    return prepare


def scipy_top(k: int):
    """SciPy's eigsh on flatlab's product: the algorithm alone."""

    def prepare(problem: Problem):
        def run():
            op = Hessian(problem.model, problem.loss_fn, problem.data)
            product = lambda v: (op @ torch.from_numpy(v).to(op.device)).cpu().numpy()
            linear = LinearOperator(op.shape, matvec=product, dtype=np.float32)
            return eigsh(linear, k=k, which="LA", tol=1e-3, return_eigenvectors=False)[::-1]

        return run

    return prepare


def ours_density(problem: Problem):
    def run():
        op = Hessian(problem.model, problem.loss_fn, problem.data)
        d = spectral_density(op, steps=100, probes=1)
        return d.nodes.flatten().numpy(), d.weights.flatten().numpy()

    return run


def eigenthings_density(problem: Problem):
    from hessian_eigenthings import spectral_density as theirs

    def run():
        d = theirs(eigenthings(problem), num_runs=1, lanczos_steps=100, seed=0)
        return d.raw_eigenvalues.flatten().numpy(), d.raw_weights.flatten().numpy()

    return run


def pyhessian_density(problem: Problem):
    def run():
        nodes, weights = pyhessian(problem).density(iter=100, n_v=1)
        return np.array(nodes[0]), np.array(weights[0])

    return run


def ours_variance(method: str, chunk_size: int = 16):
    def prepare(problem: Problem):
        settings = {"method": method, "chunk_size": chunk_size}
        op = HessianVariance(problem.model, problem.loss_fn, problem.data, **settings)
        v = problem.vector()
        return lambda: op @ v

    return prepare


def sample_loop(problem: Problem):
    """The loop of Wu et al.: two Hessian products a sample, then H twice."""
    v = split(problem, problem.vector().to(problem.parameters[0].dtype))

    def product(X, y, v):
        loss = problem.loss_fn(problem.model(X), y)
        g = torch.autograd.grad(loss, problem.parameters, create_graph=True)
        return torch.autograd.grad(g, problem.parameters, v)

    def run():
        total = [torch.zeros_like(p) for p in problem.parameters]
        for i in range(len(problem.X)):
            X, y = problem.X[i : i + 1], problem.y[i : i + 1]
            for t, u in zip(total, product(X, y, product(X, y, v)), strict=True):
                t += u / len(problem.X)
        square = product(*problem.data, product(*problem.data, v))
        return torch.cat([(a - b).reshape(-1) for a, b in zip(total, square, strict=True)])

    return run


def ours_non_uniformity(problem: Problem):
    from flatlab.curvature import non_uniformity

    return lambda: non_uniformity(problem.model, problem.loss_fn, problem.data, tol=1e-2)


PRODUCT, TOP1, TOP5 = "product, amortized", "λ_max certified to 1e-3", "top 5 certified to 1e-3"
DENSITY, SIGMA, NONUNIFORMITY = (
    "spectral density, 100 steps, 1 probe",
    "one Σv",
    "non-uniformity to 1 %",
)
LIMITS = {PRODUCT: 1.6, TOP1: 20, TOP5: 50, DENSITY: 250, SIGMA: 5, NONUNIFORMITY: 90}

JOBS = [
    Job(PRODUCT, "flatlab", hessian_product, "Hv", 31, 10),
    Job(PRODUCT, "PyHessian", pyhessian_product, "Hv", 9, 5),
    Job(PRODUCT, "hessian-eigenthings", eigenthings_product, "Hv", 9, 5),
    Job(PRODUCT, "curvlinops", curvlinops_product(1), "Hv", 9, 5),
    Job(PRODUCT, "curvlinops, blocks of 10", curvlinops_product(10), None, 5, 1, per=10),
    Job(TOP1, "flatlab", ours_top(1), "top"),
    Job(TOP1, "PyHessian (stops on change)", pyhessian_top(1), "top"),
    Job(TOP1, "hessian-eigenthings, default 2k steps", eigenthings_top(1, None), "top"),
    Job(TOP1, "hessian-eigenthings, max_iter=20", eigenthings_top(1, 20), "top"),
    Job(TOP1, "curvlinops + SciPy eigsh", curvlinops_top(1), "top", 3),
    Job(TOP1, "flatlab's product + SciPy eigsh", scipy_top(1), "top", 3),
    Job(TOP5, "flatlab", ours_top(5), "top"),
    Job(TOP5, "PyHessian (stops on change)", pyhessian_top(5), "top", 3),
    Job(TOP5, "hessian-eigenthings, max_iter=20", eigenthings_top(5, 20), "top"),
    Job(TOP5, "curvlinops + SciPy eigsh", curvlinops_top(5), "top", 3),
    Job(TOP5, "flatlab's product + SciPy eigsh", scipy_top(5), "top", 3),
    Job(DENSITY, "flatlab", ours_density, "density", 3),
    Job(DENSITY, "PyHessian", pyhessian_density, "density", 3),
    Job(DENSITY, "hessian-eigenthings", eigenthings_density, "density", 3),
    Job(SIGMA, "flatlab", ours_variance("layers"), "Sv", 9, 3),
    Job(SIGMA, "the authors' loop over samples", sample_loop, "Sv", 1),
    Job(SIGMA, "flatlab's vmap fallback, 16 samples", ours_variance("vmap"), "Sv", 1),
    Job(NONUNIFORMITY, "flatlab", ours_non_uniformity, "s"),
    Job(NONUNIFORMITY, "the authors' loop, 20 times", sample_loop, None, 1, times=20),
]
