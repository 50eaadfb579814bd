"""Independent references for the curvature tests: dense matrices in float64.

They go through `torch.autograd.functional` on one flat vector, or through closed forms: neither
shares code with the operators.
"""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel


def mlp(*widths, activation=nn.Tanh, seed=0):
    """A float64 MLP with its weights drawn from a fork of the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), activation()]
        return nn.Sequential(*layers[:-1]).double()


def network(kind, seed=0):
    """(model, X, y for 3 classes) of a small float64 network."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "mlp-tanh":
            model, X = mlp(5, 6, 3), torch.randn(9, 5)
        elif kind == "mlp-relu":
            model, X = mlp(5, 8, 6, 3, activation=nn.ReLU), torch.randn(9, 5)
        elif kind == "conv":
            model = nn.Sequential(
                nn.Conv2d(1, 3, 3, padding=1),
                nn.GELU(),
                nn.MaxPool2d(2),
                nn.Conv2d(3, 2, 2),
                nn.Flatten(),
                nn.Linear(2, 3),
            )
            X = torch.randn(7, 1, 4, 4)
        elif kind == "batch-norm":
            model = nn.Sequential(
                nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Softplus(), nn.Linear(5, 3)
            )
            X = torch.randn(8, 4)
            model(X + 1)  # running statistics that differ from the batch's
            model.eval()
        elif kind == "layer-norm":
            model = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.SiLU(), nn.Linear(5, 3))
            X = torch.randn(8, 4)
        y = torch.randint(0, 3, (len(X),))
        return model.double(), X.double(), y


KINDS = ["mlp-tanh", "mlp-relu", "conv", "batch-norm", "layer-norm"]


def one_hot(y):
    return nn.functional.one_hot(y, 3).double()


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def flat_function(model, inner):
    """w (p,) -> inner(w -> model), all parameters, buffers as they are (copied)."""
    named = [(name, p.shape, p.numel()) for name, p in model.named_parameters()]

    def call(w, X):
        parts = w.split([size for _, _, size in named])
        state = OrderedDict(
            (name, part.view(shape)) for (name, shape, _), part in zip(named, parts, strict=True)
        )
        state.update({name: b.clone() for name, b in model.named_buffers()})
        return functional_call(model, state, (X,))

    return lambda w: inner(lambda X: call(w, X))


def dense_hessian(model, loss_fn, X, y):
    loss = flat_function(model, lambda predict: loss_fn(predict(X), y))
    with sdpa_kernel(SDPBackend.MATH):
        return torch.autograd.functional.hessian(loss, flat(model))


def dense_gauss_newton(model, loss_fn, X, y):
    """(1/n) sum_i J_i' (d2 l_i) J_i from explicit per-sample Jacobians."""
    jacobian = torch.autograd.functional.jacobian(
        flat_function(model, lambda predict: predict(X)), flat(model)
    )  # (n, c, p)
    total = 0
    with torch.no_grad():
        outputs = model(X)
    for i in range(len(X)):
        inner = torch.autograd.functional.hessian(
            lambda f, i=i: loss_fn(f[None], y[i : i + 1]), outputs[i]
        )
        total = total + jacobian[i].T @ inner @ jacobian[i]
    return total / len(X)


def dense(op):
    """The operator's matrix, by its products with the identity."""
    return op @ torch.eye(op.shape[0], dtype=op.dtype, device=op.device)


def assert_products(op, matrix, rtol=1e-9, scale=1e-12):
    """op @ V against matrix @ V for four random vectors: what a large matrix is compared by."""
    V = torch.randn(len(matrix), 4, generator=torch.Generator().manual_seed(0)).to(matrix)
    expected = matrix @ V
    atol = scale * float(expected.abs().max())
    torch.testing.assert_close(op @ V, expected, rtol=rtol, atol=atol)


def symmetric(values, seed=0):
    """(matrix, orthogonal eigenvectors) with these eigenvalues, float64."""
    generator = torch.Generator().manual_seed(seed)
    p = len(values)
    Q, _ = torch.linalg.qr(torch.randn(p, p, dtype=torch.float64, generator=generator))
    matrix = (Q * torch.as_tensor(values, dtype=torch.float64)) @ Q.T
    return (matrix + matrix.T) / 2, Q


class Quadratic(nn.Module):
    """The loss c + g'w + w'Hw/2 of one parameter w, as a model's prediction for every sample."""

    def __init__(self, H, g, c=1.0):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(len(g), dtype=torch.float64))
        self.H, self.g, self.c = H, g, c

    def forward(self, X):
        value = self.c + self.g @ self.w + self.w @ self.H @ self.w / 2
        return value.expand(len(X), 1)


def mean_prediction(prediction, y):
    return prediction.mean()


def one_sample():
    return torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1)
