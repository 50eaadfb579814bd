"""The benchmark's network, trained as issue and tables say, and the clock."""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import flatlab
from flatlab import models

CACHE = Path(__file__).parents[2] / "build" / "bench-cache"


class Problem:
    """784-500-500-500-10 ReLU, first n Fashion-MNIST images, MSE on one-hot, 300 steps at 0.1."""

    def __init__(self, device: str = "cpu", n: int = 1000, network: str = "fnn", widths=None):
        data = flatlab.load_dataset("fashion_mnist", n_train=n, one_hot=True)
        self.X, self.y = data.train
        self.X = self.X.reshape(len(self.X), -1)
        self.loss_fn = nn.MSELoss()
        self.model = models.fnn() if widths is None else models.mlp(widths)
        if widths is None:
            self.model.load_state_dict(self._trained())
        self.model.eval().to(device)
        self.X, self.y = self.X.to(device), self.y.to(device)
        self.device = torch.device(device)
        self.parameters = list(self.model.parameters())

    @property
    def data(self):
        return self.X, self.y

    def _trained(self) -> dict:
        path = CACHE / "fnn-300.pt"
        if not path.exists():
            model, X, y = models.fnn(), self.X[:1000], self.y[:1000]
            flatlab.fit(model, self.loss_fn, (X, y), learning_rate=0.1, steps=300, progress=False)
            CACHE.mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), path)
        return torch.load(path)

    def gradient(self) -> None:
        loss = self.loss_fn(self.model(self.X), self.y)
        torch.autograd.grad(loss, self.parameters)

    def vector(self, seed: int = 0) -> torch.Tensor:
        p = sum(q.numel() for q in self.parameters)
        z = torch.randn(p, generator=torch.Generator().manual_seed(seed))
        return (z / z.norm()).to(self.device)

    def seconds(self, function: Callable) -> tuple[float, object]:
        self._wait()
        began = time.perf_counter()
        result = function()
        self._wait()
        return time.perf_counter() - began, result

    def gradient_seconds(self, times: int = 5) -> float:
        return statistics.median(self.seconds(self.gradient)[0] for _ in range(times))

    def in_gradients(self, function: Callable, repeats: int, inner: int = 1) -> tuple[list, object]:
        """Times of `function`, each divided by that of the gradients measured before and after."""
        ratios, result = [], None
        function()
        before = self.gradient_seconds()
        for _ in range(repeats):
            seconds, result = self.seconds(lambda: [function() for _ in range(inner)][-1])
            after = self.gradient_seconds()
            ratios.append(seconds / inner / ((before + after) / 2))
            before = after
        return ratios, result

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def machine(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    name = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown processor",
    )
    return f"{name}, {torch.get_num_threads()} threads of {os.cpu_count()} cores"
