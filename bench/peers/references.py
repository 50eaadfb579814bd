"""What the results are compared with: float64, by naive products that share no code with flatlab.

Only the non-uniformity's reference is flatlab's own Lanczos run in float64: 60,000 products of the
naive loop would take hours. Its operator is compared with that loop on one vector (row "one Σv").
"""

import copy
import hashlib

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from flatlab.curvature import non_uniformity

from .jobs import sample_loop, split
from .problem import CACHE, Problem


class References:
    def __init__(self, problem: Problem):
        exact = copy.copy(problem)
        exact.device = torch.device("cpu")
        exact.model = copy.deepcopy(problem.model).cpu().double()
        exact.parameters = list(exact.model.parameters())
        exact.X, exact.y = problem.X.cpu().double(), problem.y.cpu().double()
        self.problem = exact
        content = b"".join(p.detach().numpy().tobytes() for p in exact.parameters)
        key = hashlib.sha256(content + exact.X.numpy().tobytes()).hexdigest()[:16]
        self.path = CACHE / f"references-{key}.pt"
        self.known = torch.load(self.path, weights_only=False) if self.path.exists() else {}

    def error(self, name: str, result) -> float:
        """Relative error: |a - b| / |b| of vectors, the largest of several numbers."""
        if name == "density":  # total mass, and the largest node against lambda_max
            nodes, weights = result
            top = float(np.max(nodes)) / self._get("top")[0]
            return max(abs(float(np.sum(weights)) - 1), abs(top - 1))
        truth = self._get(name)
        if name == "top":
            result, truth = np.asarray(result, dtype=float), truth[: len(result)]
            return float(np.abs(result / truth - 1).max())
        if name == "s":
            return abs(result / truth - 1)
        result = result.detach().cpu().double()
        return float((result - truth).norm() / truth.norm())

    def _get(self, name: str):
        if name not in self.known:
            self.known[name] = getattr(self, f"_{name}")()
            CACHE.mkdir(parents=True, exist_ok=True)
            torch.save(self.known, self.path)
        return self.known[name]

    def _product(self, v: torch.Tensor) -> torch.Tensor:
        problem = self.problem
        loss = problem.loss_fn(problem.model(problem.X), problem.y)
        g = torch.autograd.grad(loss, problem.parameters, create_graph=True)
        product = torch.autograd.grad(g, problem.parameters, split(problem, v))
        return torch.cat([t.reshape(-1) for t in product])

    def _Hv(self):
        return self._product(self.problem.vector().double())

    def _Sv(self):
        return sample_loop(self.problem)()

    def _s(self):
        return non_uniformity(self.problem.model, self.problem.loss_fn, self.problem.data, 1e-5)

    def _top(self):
        p = sum(q.numel() for q in self.problem.parameters)
        op = LinearOperator(
            (p, p), lambda v: self._product(torch.from_numpy(v).reshape(-1)).numpy()
        )
        return eigsh(op, k=5, which="LA", tol=1e-10, return_eigenvectors=False)[::-1].copy()
