"""How flatlab's costs grow: with samples n, parameters p, eigenvalues k; and the small VGG."""

import json
import statistics
from pathlib import Path

import torch
from torch import nn

from flatlab import models
from flatlab.curvature import Hessian, HessianVariance, top_eigenpairs

from .problem import Problem, machine

SAMPLES = [250, 1000, 4000, 15_000, 60_000]
WIDTHS = [10, 60, 300, 1000, 2600]  # of three hidden layers: 10^4 to 2 10^7 parameters
EIGENVALUES = [1, 2, 5, 10, 20]


def run(folder: Path, device: str) -> None:
    table = {"machine": machine(device), "n": [], "p": [], "k": [], "vgg": []}
    for n in SAMPLES:
        table["n"].append(costs("n", n, Problem(device, n)))
    for width in WIDTHS:
        problem = Problem(device, widths=(784, width, width, width, 10))
        p = sum(q.numel() for q in problem.parameters)
        table["p"].append(costs("p", p, problem))
    problem = Problem(device)
    for k in EIGENVALUES:
        op = Hessian(problem.model, problem.loss_fn, problem.data)
        ratios, pairs = problem.in_gradients(lambda op=op, k=k: top_eigenpairs(op, k), 3)
        line = {"k": k, "products": pairs.iterations, "top": statistics.median(ratios)}
        table["k"].append(show(line))
    table["vgg"].append(vgg(device))
    folder.mkdir(exist_ok=True)
    path = folder / f"curvature-growth-{device}.json"
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    plot(table, folder / f"curvature-growth-{device}.png")


def costs(name: str, value: int, problem) -> dict:
    """A gradient in seconds; a product, a Sigma product and lambda_max in gradients."""
    model, data, v = problem.model, problem.data, problem.vector()
    line = {name: value, "gradient_s": problem.gradient_seconds(3)}
    for key, operator in [("product", Hessian), ("variance", HessianVariance)]:
        op = operator(model, problem.loss_fn, data)
        line[key] = statistics.median(problem.in_gradients(lambda op=op: op @ v, 5)[0])
        op.release()
    ratios, pairs = problem.in_gradients(
        lambda: top_eigenpairs(Hessian(model, problem.loss_fn, data)), 3 if value < 10_000 else 1
    )
    line["top"] = statistics.median(ratios)
    return show(line | {"products": pairs.iterations, "sharpness": float(pairs.values[0])})


def show(line: dict) -> dict:
    print(", ".join(f"{key} {value:.4g}" for key, value in line.items()), flush=True)
    return line


def vgg(device: str) -> dict:
    """The small VGG on 1000 images of CIFAR-10's shape; random pixels, since only cost counts."""
    problem = object.__new__(Problem)
    generator = torch.Generator().manual_seed(0)
    problem.X = torch.rand(1000, 3, 32, 32, generator=generator).to(device)
    labels = torch.randint(0, 2, (1000,), generator=generator)
    problem.y = nn.functional.one_hot(labels, 2).float().to(device)
    problem.model, problem.loss_fn = models.small_vgg().eval().to(device), nn.MSELoss()
    problem.device, problem.parameters = torch.device(device), None
    problem.parameters = list(problem.model.parameters())
    return costs("vgg p", 71_410, problem)


def plot(table: dict, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    titles = {"n": "samples n", "p": "parameters p", "k": "eigenvalues k"}
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        lines = table[name]
        for key, label, marker in [
            ("product", "Hv", "o"),
            ("variance", "Σv", "s"),
            ("top", "top k to 1e-3" if name == "k" else "λ_max to 1e-3", "^"),
        ]:
            points = [(line[name], line[key]) for line in lines if key in line]
            if points:
                ax.loglog(*zip(*points, strict=True), marker=marker, label=label)
        ax.set_xlabel(title)
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
    axes[0].set_ylabel("time, in gradients")
    figure.savefig(path, dpi=120)
