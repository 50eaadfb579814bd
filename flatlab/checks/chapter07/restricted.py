"""The loss of logits of which only waves of a + b at some frequencies are left."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter07.circuits import right_loss
from flatlab.checks.chapter07.losses import wrong_losses
from flatlab.checks.core import Exercise
from flatlab.checks.toys import normal

restricted_loss = Exercise(
    "restricted_loss",
    remaining=(
        "no frequency at all",
        "all frequencies, logits that depend on a + b alone",
        "logits left as they were",
    ),
)

HINTS = (
    (
        "Expected floating point type for target with class probabilities",
        "Labels of shape (p * p,) go with logits of shape (p * p, p): reshape both.",
    ),
    (
        "Expected target size",
        "cross_entropy takes logits (p * p, p) and labels (p * p,): reshape both.",
    ),
    (
        "batch_size (110) to match target batch_size (121)",
        (
            "It has p (p - 1) rows: irfft and irfft2 make an even number of entries where they are not told "
            "better, n=p or s=(p, p)."
        ),
    ),
    (
        "to match target batch_size",
        "cross_entropy takes logits (p * p, p) and labels (p * p,): reshape both.",
    ),
    (
        "expected scalar type Long",
        "Labels are whole numbers: torch.arange(p) makes them so.",
    ),
    (
        "Complex",
        "The logits are complex: was one half of a wave left out, (k, k) without (-k, -k)? With both take .real.",
    ),
    (
        "not implemented for",
        "Labels are whole numbers, logits are floats: is one of them the other?",
    ),
    (
        "index 10 is out of bounds for dimension 0 with size 10",
        "irfft makes an even number of entries where it is not told better: n=p.",
    ),
    ("out of bounds", "A label is (a + b) % p: is % p missing?"),
    (
        "used as indices must be",
        "An index is a whole number. Of an empty list torch.tensor makes floats: dtype=torch.int64.",
    ),
    ("must be Tensor, not", "torch.cos takes a tensor: math.cos takes a single number."),
    (
        "expected scalar type Double",
        "Whole numbers times a float are float32: torch.arange(p, dtype=torch.float64), or .double().",
    ),
    ("expected m1 and m2", "Products of tensors need one dtype: logits.double() first."),
    ("same dtype", "Products of tensors need one dtype: logits.double() first."),
    ("non-empty", "frequencies may be empty: then only the constants are left."),
    ("must match the size of tensor", "A wave has the shape (p, p): wave[:, :, None] * logits."),
)


def losses(student, inputs, tables) -> list[np.ndarray]:
    """The student's losses of these tables of logits, each of shape (p, p, p)."""
    frequencies = [int(k) for k in inputs["frequencies"]]
    return [array(student(logits, list(frequencies)), ()) for logits in tables]


@restricted_loss.check("a table of random logits")
class RandomLogits:
    hints = HINTS
    frequencies = (2, 5)

    def draw(self, generator):
        """Noise, a constant for each class, and waves of a + b: every part is seen in the loss."""
        p = 11
        a, b = torch.arange(p)[:, None, None], torch.arange(p)[None, :, None]
        turns = 2 * torch.pi * (a + b - torch.arange(p)) / p
        rule = sum(torch.cos(k * turns) for k in (2, 3, 5))
        constants = 0.7 * normal(generator, p)
        logits = 0.6 * rule + constants + 1.2 * normal(generator, p, p, p)
        return {"logits": logits, "frequencies": list(self.frequencies)}

    def call(self, student, inputs):
        (loss,) = losses(student, inputs, [torch.tensor(inputs["logits"])])
        return {"loss": loss}

    def verdict(self, inputs, outputs):
        logits, frequencies = np.asarray(inputs["logits"]), inputs["frequencies"]
        if not np.isfinite(outputs["loss"]):
            return (
                "The loss is NaN or inf. Is k = 0 among the waves? Its sine is 0 everywhere, and u . u "
                "too: the constant is the function 1 alone."
            )
        return compare(
            outputs["loss"],
            right_loss(logits, frequencies),
            1e-5,
            wrong_losses(logits, frequencies),
            "The restricted loss of a random table is {expected}; yours is {got}.",
        )


@restricted_loss.check("what else is in the logits does not count")
class NothingElse(RandomLogits):
    def draw(self, generator):
        drawn = super().draw(generator)
        p = len(drawn["logits"])
        a, b = torch.arange(p)[:, None], torch.arange(p)[None, :]
        sizes = 2 * normal(generator, 3, p)
        others = [torch.cos(2 * torch.pi * k * n / p) for k, n in ((4, a + b), (2, a - b), (5, a))]
        return {
            **drawn,
            "others": torch.stack(
                [
                    wave[:, :, None] * size
                    for wave, size in zip(torch.broadcast_tensors(*others), sizes)
                ]
            ),
        }

    def call(self, student, inputs):
        logits = torch.tensor(inputs["logits"])
        tables = [logits, *(logits + torch.tensor(other) for other in inputs["others"])]
        return {"losses": losses(student, inputs, tables)}

    def verdict(self, inputs, outputs):
        before, *after = (float(loss) for loss in outputs["losses"])
        names = (
            "a wave of a + b at a frequency that is not asked for",
            "a wave of a - b at a frequency that is asked for",
            "a wave of a alone",
        )
        for name, loss in zip(names, after, strict=True):
            if not abs(loss - before) <= 1e-5 * abs(before):
                return (
                    f"With {name} added to the logits the restricted loss goes from {before:.4g} to "
                    f"{loss:.4g}: it should not see it."
                )
        return None


@restricted_loss.check("a confident network in float32")
class Confident(RandomLogits):
    """All frequencies together make one class stand out by size p: a loss of about 1e-11."""

    def draw(self, generator):
        p, frequencies = 11, [1, 2, 3, 4, 5]
        a, b = torch.arange(p)[:, None, None], torch.arange(p)[None, :, None]
        turns = 2 * torch.pi * (a + b - torch.arange(p)) / p
        logits = 5 * sum(torch.cos(k * turns) for k in frequencies)
        logits = logits + 0.1 * normal(generator, p)
        return {"logits": logits.float(), "frequencies": frequencies}

    def verdict(self, inputs, outputs):
        got = float(outputs["loss"])
        right = right_loss(np.asarray(inputs["logits"]), inputs["frequencies"])
        if math.isfinite(got) and abs(got - right) <= 1e-2 * right:
            return None
        text = (
            f"For float32 logits of a confident network the loss is {got:.4g}; it is {right:.4g}."
        )
        for digits in range(6, 16):
            if abs(got + 10.0**-digits - right) <= 1e-2 * 10.0**-digits:
                return (
                    f"{text} Is 1e-{digits} added to the probabilities? Take log_softmax or cross_entropy, "
                    "which need no such constant."
                )
        if abs(got) < 1e-6:
            return (
                f"{text} In float32 1 + 1e-11 is 1, and its logarithm 0: take logits.double() before "
                "anything else."
            )
        return text
