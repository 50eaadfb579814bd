"""What wrong steps of p-norm rho equal, and what was done."""

from __future__ import annotations

import math

import numpy as np

from flatlab.checks.chapter05.truths import Arrays, ascent, each, flat


def norm(e: np.ndarray, p: float) -> float:
    return float(np.linalg.norm(e, p))


def ascent_mistakes(grads: Arrays, rho: float, p: float) -> list[tuple[np.ndarray, str]]:
    """Wrong steps for one p, and what was done; the same list, in the same order, for every p."""
    g, right = flat(grads), ascent(flat(grads), rho, p)
    size, sign = np.abs(g), np.sign(g)
    with np.errstate(all="ignore"):
        q = 1.0 if p == math.inf else np.inf if p == 1 else p / (p - 1)
        total = np.sum(size**q)
        power = sign * size ** (q - 1)
        crossed = sign * size ** (p - 1) / np.sum(size**p) ** (1 / q)
        return [
            (
                each(g, grads, rho, p),
                (
                    "Each tensor is treated by itself: the norm is that of all tensors of grads "
                    "together, so that the whole step has p-norm rho."
                ),
            ),
            (-right, "The sign is turned round: the step goes downhill."),
            (np.abs(right), "The sign is lost: where the gradient is negative the step is too."),
            (right / rho, "The step has p-norm 1: where is rho?"),
            (rho * right, "rho enters twice."),
            (rho * g, "This is rho g: the step has p-norm rho only after dividing by a norm of g."),
            (
                rho * power / total ** (1 / q),
                (
                    "The denominator has the exponent 1/q, which makes it the q-norm of g; the formula's "
                    "exponent is 1/p."
                ),
            ),
            (
                rho * crossed,
                "p and q are exchanged: the exponents of |g| are q - 1 and q, the root's is 1/p.",
            ),
            (
                rho * power / total,
                "The root is missing: the denominator is the sum of |g|^q to the power 1/p.",
            ),
            (
                rho * power / (total / p),
                "`** 1 / p` takes the power 1 and divides by p: parentheses, ** (1 / p).",
            ),
            (
                rho * power / total / p,
                "`** 1 / p` takes the power 1 and divides by p: parentheses, ** (1 / p).",
            ),
            (
                rho * sign * size**q / total ** (1 / p),
                "|g| has the exponent q above the line; it is q - 1 there.",
            ),
            (
                rho * power / norm(power, 2),
                "The step has 2-norm rho; its p-norm should be rho.",
            ),
            *_slips_of_python(g, grads, rho, p),
            (ascent(g, rho, 2.0), "This is the step of p = 2: it should depend on p."),
            (ascent(g, rho, math.inf), "This is the step of p = inf: it should depend on p."),
            (
                rho * np.sign(g) * size / size.max(),
                "It is divided by the largest |g|, which gives p-norm rho for p = inf alone.",
            ),
        ]


def _slips_of_python(g: np.ndarray, grads: Arrays, rho: float, p: float) -> list[tuple]:
    """The formula with an operator that binds otherwise, or a sum in another place."""
    size, sign = np.abs(g), np.sign(g)
    q = 1.0 if p == math.inf else np.inf if p == 1 else p / (p - 1)
    root = np.sum(size**q) ** (1 / p)
    roots = sum(np.sum(np.abs(part) ** q) ** (1 / p) for part in grads)
    slips = [
        (
            rho * sign * size ** (q - 1) / roots,
            "The roots of single tensors are added: one sum over the entries of all, then the root.",
        )
    ]
    for step in (rho * sign * size**q - 1 / root, rho * sign * (size**q - 1) / root):
        slips.append((step, "`** q - 1` subtracts 1 from the power: parentheses, ** (q - 1)."))
    p = np.float64(p)  # divides by 0 without an error
    for other in (p - 1 / p, p / p - 1, 1 - 1 / p, 1 / p - 1, 1 / (p - 1)):
        step = rho * sign * size ** (other - 1) / np.sum(size**other) ** (1 / p)
        slips.append(
            (step, "q is another number: 1/p + 1/q = 1 gives q = p / (p - 1), with parentheses.")
        )
    return slips


def not_a_number(got: np.ndarray, grads: Arrays, p: float) -> str | None:
    """What to say of NaN and inf, None where there are none."""
    if np.isfinite(got).all():
        return None
    bad, negative = ~np.isfinite(got), flat(grads) < 0
    if np.array_equal(bad, negative):
        return (
            f"For p = {p:g} the step is NaN exactly where the gradient is negative: a negative number "
            "has no fractional power. Take |g|^(q - 1), and the sign of g outside."
        )
    if p in (1, math.inf) and np.array_equal(bad, flat(grads) == 0):
        return (
            f"For p = {p:g} the step is NaN or inf where the gradient is 0: sign(g) is 0 there, and so is the "
            "step. A division by |g|, or a negative power of it, is not defined there."
        )
    if p == math.inf:
        return (
            "For p = inf the step holds NaN or inf. In Python inf / (inf - 1) is NaN; q is 1 there, and "
            "|g|^(q - 1) is 1."
        )
    if p == 1:
        return (
            "For p = 1 the step holds NaN or inf: q is infinite there. Which entry gets all of rho in "
            "the limit? Treat p = 1 in a branch of its own."
        )
    if np.abs(flat(grads)).max() < 1e-3:
        return (
            f"For p = {p:g} and gradients of 1e-6 the step holds NaN or inf. Is |g|^q 0 in float32, and 0 "
            "divided by it? Divide g by its largest |g_i| before any power is taken."
        )
    return (
        f"For p = {p:g} the step holds NaN or inf. Answers like these come from a negative number that is "
        "taken to a fractional power: the sum below the line is one of |g|^q."
    )
