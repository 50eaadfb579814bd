"""Re-estimated batch-norm statistics: what they are, and what is left alone."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import compare
from flatlab.checks.chapter06.networks import (
    MOMENTUM,
    OTHER_MOMENTUM,
    SEEN,
    built,
    counts,
    drawn,
    norms,
    of_batches,
    statistics,
    unscaled,
)
from flatlab.checks.core import Exercise

reestimate_batch_norm = Exercise(
    "reestimate_batch_norm",
    remaining=(
        "a convolutional network",
        "a network in evaluation mode",
        "no batch norm to re-estimate",
    ),
)

HINTS = (
    (
        "ValueError: Expected more than 1",
        "Give the network whole batches: one sample has no variance.",
    ),
    (
        "values to unpack",
        "batches is a list of input tensors alone, without labels: for X in batches.",
    ),
    (
        "ValueError",
        (
            "This network has batch norm. nn.BatchNorm1d and nn.BatchNorm2d are different classes, "
            "and a layer may "
            "lie inside another: model.modules() goes through all."
        ),
    ),
    (
        "has no attribute 'reset_running_stats'",
        "Only batch-norm layers have statistics: pick them out of model.modules().",
    ),
    ("has no attribute 'running_mean'", "Only batch-norm layers have statistics: pick them out."),
    (
        "unsupported operand type(s) for",
        "With momentum None nothing can be computed: keep the old one.",
    ),
    ("must match the size of tensor", "Layers have different widths: each keeps its own sums."),
    ("can only concatenate", "batches is a list of tensors: go through it, one batch at a time."),
    ("must be Tensor, not list", "batches is a list of tensors: model(X) for each X of it."),
    (
        "running_mean should contain",
        "X goes through the whole network: each layer gets what the layers before it make of X.",
    ),
    ("in-place operation", "Work under torch.no_grad(): no gradient is needed."),
)


def wrong_statistics(inputs: dict) -> list[tuple]:
    """What wrong statistics equal, and what was done; each a list of mean, variance, mean, variance, ..."""
    each, old = of_batches(inputs), [np.asarray(part) for part in inputs["old"]]
    k = len(each)
    mean = [np.mean(parts, axis=0) for parts in zip(*each)]
    fresh = [np.zeros_like(a) if i % 2 == 0 else np.ones_like(a) for i, a in enumerate(old)]
    sizes = counts(inputs)

    def moving(start, momentum=MOMENTUM):
        for batch in each:
            start = [(1 - momentum) * a + momentum * b for a, b in zip(start, batch)]
        return start

    def variances(of):
        return [of(a, sizes[i // 2]) if i % 2 else a for i, a in enumerate(mean)]

    pooled = {**inputs, "batches": np.concatenate(np.asarray(inputs["batches"]))[None]}
    plain_layers = [np.mean(parts, axis=0) for parts in zip(*of_batches(unscaled(inputs)))]
    in_eval = [np.mean(parts, axis=0) for parts in zip(*of_batches(inputs, training=False))]
    exponential = (
        "They are exponential averages with momentum 0.1: early batches are nearly forgotten. All "
        "batches count alike; momentum = None lets torch average so."
    )
    return [
        (
            old,
            (
                "They are the old ones. Were the batch-norm layers in evaluation mode while the batches went "
                "through? There they gather nothing. Or did the new ones go into a copy of the model, or were "
                "the old ones put back at the end?"
            ),
        ),
        (
            moving(old),
            (
                "They still hold a part of the old ones, and are exponential averages with momentum 0.1. "
                "Reset them first; all batches count alike."
            ),
        ),
        (moving(fresh), exponential),
        (
            moving(fresh, 1 / k),
            (
                "They are exponential averages with momentum 1/k, k the number of batches: late batches count "
                "more, and a part of 0 and 1 is left. With momentum = None all batches count alike."
            ),
        ),
        (
            moving(old, 1 / k),
            (
                "They still hold a part of the old ones, and are exponential averages with momentum 1/k, k the "
                "number of batches. Reset them first; with momentum = None all batches count alike."
            ),
        ),
        (
            plain_layers,
            (
                "They belong to layers with weight 1 and bias 0: reset_parameters() resets these too; "
                "reset_running_stats() leaves them alone."
            ),
        ),
        (each[-1], "They are those of the last batch alone: all batches count alike."),
        (each[0], "They are those of the first batch alone: all batches count alike."),
        (
            [(SEEN * a + k * b) / (SEEN + k) for a, b in zip(old, mean)],
            (
                "The batches were averaged together with the old statistics, which counted as those of "
                f"{SEEN} batches: reset_running_stats() forgets them."
            ),
        ),
        (
            fresh,
            "They are those of a new layer, 0 and 1: reset, and then no batch went through in training mode.",
        ),
        (
            of_batches(pooled)[0],
            (
                "All batches went through as one: the statistics are the mean over batches of each batch's "
                "mean and variance."
            ),
        ),
        (
            variances(lambda a, n: a * (n - 1) / n),
            "The variances divide by n: torch keeps the one with n - 1.",
        ),
        (
            variances(lambda a, n: np.sqrt(a)),
            "running_var holds standard deviations: it keeps variances.",
        ),
        (
            in_eval,
            (
                "Those of the first layer are right. The later layers got input that was normalized "
                "by the first "
                "one's old statistics: all batch-norm layers must be in training mode together."
            ),
        ),
        ([k * a for a in mean], "They are sums over the batches: divide by their number."),
        (
            [b if i < 2 else a for i, (a, b) in enumerate(zip(old, mean))],
            "Only the first batch-norm layer has new statistics: go through all of model.modules().",
        ),
        (
            [a if i < 2 else b for i, (a, b) in enumerate(zip(old, mean))],
            "Only the last batch-norm layer has new statistics: go through all of model.modules().",
        ),
        (
            [a if i % 2 else b for i, (a, b) in enumerate(zip(old, mean))],
            "The means are new, the variances are the old ones.",
        ),
        (
            [np.zeros_like(a) if i % 2 == 0 else b for i, (a, b) in enumerate(zip(old, mean))],
            "The variances are new, the means are 0.",
        ),
    ]


class Gathered:
    """Not a check by itself: a subclass says which network, and in which mode it comes."""

    hints = HINTS
    kind = "dense"
    training = True

    def draw(self, generator):
        return drawn(generator, self.kind, batches=3)

    def call(self, student, inputs):
        model = built(inputs).train(self.training)
        student(model, [torch.tensor(X) for X in np.asarray(inputs["batches"])])
        modes = [int(module.training) for module in model.modules()]
        return {"statistics": statistics(model), "modes": modes}

    def verdict(self, inputs, outputs):
        each = of_batches(inputs)
        mean = [np.mean(parts, axis=0) for parts in zip(*each)]
        wrong = compare(
            list(outputs["statistics"]),
            mean,
            1e-5,
            wrong_statistics(inputs),
            "The first layer's running_mean begins {got}; the mean over batches begins {expected}."
            if not np.allclose(outputs["statistics"][0], mean[0], rtol=1e-4)
            else "The first layer's running_mean is right; another statistic of the network is not.",
        )
        if wrong is None and not self.training and any(outputs["modes"]):
            return (
                f"The network came in evaluation mode, and {sum(outputs['modes'])} of its {len(outputs['modes'])} "
                "modules left in training mode: note the batch-norm layers' `training` too, and set it back."
            )
        return wrong


@reestimate_batch_norm.check("the statistics of three batches")
class ThreeBatches(Gathered):
    pass


@reestimate_batch_norm.check("nothing else changes")
class Rest:
    hints = HINTS
    measured = ("acted", "modes", "momenta", "same", "graphs", "frozen", "hooks", "batches")

    def draw(self, generator):
        return drawn(generator, "dense", batches=2)

    def call(self, student, inputs):
        model = built(inputs).train()
        model[2].eval()
        model[5].momentum = OTHER_MOMENTUM
        modes = [module.training for module in model.modules()]
        batches = [torch.tensor(X) for X in np.asarray(inputs["batches"])]
        student(model, batches)
        later = [module.training for module in model.modules()]
        return {
            "acted": int(model[3].acted),
            "modes": [int(a == b) for a, b in zip(modes, later)],
            "momenta": [str(m.momentum) for m in norms(model)],
            "same": [
                int(torch.equal(p, torch.as_tensor(w)))
                for p, w in zip(model.parameters(), inputs["weights"])
            ],
            "graphs": sum(
                p.grad is not None or m.running_mean.requires_grad
                for m in norms(model)
                for p in model.parameters()
            ),
            "frozen": sum(not p.requires_grad for p in model.parameters()),
            "hooks": sum(
                len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()
            ),
            "batches": torch.stack(batches),
        }

    def verdict(self, inputs, outputs):
        if not all(outputs["same"]):
            return "Parameters of the network have changed: only running_mean and running_var may."
        if outputs["acted"]:
            return (
                "Dropout acted while the batches went through: the network came in training mode, or was put "
                "there by model.train(). That mode is for batch-norm layers alone, not for the others."
            )
        if not all(outputs["modes"]):
            if outputs["modes"].count(0) == 1 and outputs["modes"][3] == 0:
                return (
                    "A single module came in evaluation mode, in a network in training mode, and left in "
                    "training mode: note each module's `training` before, and set it back one by one."
                )
            return (
                f"{outputs['modes'].count(0)} of {len(outputs['modes'])} modules came back in another "
                "mode: note each module's `training` before, and set it back one by one."
            )
        for before, now in zip((MOMENTUM, OTHER_MOMENTUM), outputs["momenta"], strict=True):
            if now != str(before):
                return (
                    f"The layers' momentum was {before} and is {now} now: the next training would gather "
                    "differently. Note each layer's own before, and set it back."
                )
        if outputs["graphs"]:
            return (
                "A gradient was computed or a graph is left: run the batches under torch.no_grad()."
            )
        if outputs["frozen"]:
            return (
                f"{outputs['frozen']} parameters no longer require a gradient: the next training would leave them as "
                "they are. torch.no_grad() needs no requires_grad = False."
            )
        if outputs["hooks"]:
            return f"{outputs['hooks']} hooks are left on the model: remove each of them, handle.remove()."
        if not np.array_equal(outputs["batches"], inputs["batches"]):
            return "The batches that were passed in have changed."
        return None
