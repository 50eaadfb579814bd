"""One step of AdamW on NumPy arrays, done right and in known wrong ways."""

from __future__ import annotations

import numpy as np

L2 = (
    "The decay goes through the moments: this is Adam with L2, where lambda w is part of the gradient "
    "and the root of v divides it again. In AdamW w shrinks by itself."
)
# What is done instead, and what to say of it
SLIPS = {
    "l2": L2,
    "scaled": (
        "The decay is divided by the root of v, as if it belonged to m: parentheses. It stands outside "
        "the fraction."
    ),
    "none": "The weights do not decay: where does weight_decay enter?",
    "no-rate": "The decay lacks the learning rate: w shrinks by eta lambda w in a step.",
    "grows": "The decay has the wrong sign: it makes the weights grow.",
    "after": (
        "The decay is taken of the w after Adam's move. The formula has the w from before in both terms."
    ),
    "decay-only": "The weights decay and do nothing else: where is Adam's move?",
    "uphill": "Adam's move goes uphill: it is subtracted.",
    "change": "It returns the change of w: where does w stand after the step?",
    "gradient": "The gradient itself stands over the root: m, its running mean, belongs there.",
    "full move": "Adam's move lacks the learning rate: eta stands before the fraction, too.",
    "plain": "The move is eta times m: it is not divided by the root of v.",
    "sgd": "The move is eta times the gradient, as in SGD: the moments do not enter.",
    "raw": "The moments are not corrected: m / (1 - beta1 ** step), v / (1 - beta2 ** step).",
    "raw m": "m is not corrected: m / (1 - beta1 ** step).",
    "raw v": "v is not corrected: v / (1 - beta2 ** step).",
    "late": "The corrections are a step ahead: step counts from 1, so that beta1 ** step is right.",
    "product": "The correction is 1 - beta * step: in Python a power is **.",
    "power outside": "The correction is (1 - beta) ** step: 1 - beta ** step raises beta alone.",
    "once": "The corrections are those of the first step, 1 - beta: beta ** step shrinks step by step.",
    "same beta": "Both corrections use beta1: v has beta2.",
    "first": (
        "The first gradient starts the moments with its whole size: m and v are 0 before the first step, and "
        "the corrections make up for that."
    ),
    "late root": "v is corrected after the root: correct v, take the root, then add eps.",
    "times": "The moments are multiplied by their corrections: divide.",
    "turned m": "In m the shares are exchanged: beta1 belongs to the old m, 1 - beta1 to the gradient.",
    "turned v": "In v the shares are exchanged: beta2 belongs to the old v, 1 - beta2 to the square.",
    "betas": "beta1 and beta2 are exchanged: betas is (beta1, beta2), and m has beta1.",
    "turned": "In m and v the shares are exchanged: beta belongs to the old one, 1 - beta to what is new.",
    "same share": "v has the share 1 - beta1 of the new square: its share is 1 - beta2.",
    "one beta": "v has beta1 throughout, in the mean and in its correction: it has beta2.",
    "squared share": "In v the share 1 - beta2 is squared, too: the square is that of the gradient alone.",
    "lengths": "v is the running mean of the gradient's absolute values: of their squares.",
    "summed": "In v the squares are added up, or their norm is taken: each entry has its own v.",
    "sum": "m is the sum beta1 m + gradient: the gradient has the share 1 - beta1.",
    "sum v": "v is the sum beta2 v + gradient ** 2: the square has the share 1 - beta2.",
    "sums": "m and v are sums, beta m + gradient: gradient and square have the share 1 - beta.",
    "v of m": "v is the running mean of m ** 2: the squares are those of the gradient.",
    "old": "Adam's move uses m and v from before the step: update them first.",
    "no root": "The root is missing: the square root of v stands below the line.",
    "inside": "eps stands under the root: it is added to the root.",
    "early": "eps is added before v is corrected: correct v, take the root, then add eps.",
    "no eps": "eps does not enter: it is added to the root of v.",
    "hats kept": (
        "m and v come back corrected, and are corrected again in the next step: keep the uncorrected "
        "ones under names of their own."
    ),
    "m hat kept": (
        "m comes back corrected, and is corrected again in the next step: keep the uncorrected one under a "
        "name of its own."
    ),
    "v hat kept": (
        "v comes back corrected, and is corrected again in the next step: keep the uncorrected one under a "
        "name of its own."
    ),
    "forgets": "m and v come back as they went in: the updated ones are needed.",
    "adam scale": "The decay is lambda w eta ** 2: eta stands in it twice.",
}


def step(w, g, m, v, t: int, rate: float, decay: float, betas, eps: float, slip: str = "") -> tuple:
    """w, m, v after step t = 1, 2, ... (Loshchilov and Hutter, 2019, algorithm 2); ``slip``: a known one.

    m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, and w - rate m^ / (sqrt(v^) + eps) - rate decay w
    with m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t).
    """
    b1, b2 = betas[::-1] if slip == "betas" else betas
    g = g + decay * w if slip == "l2" else g
    m, v = (g, g**2) if slip == "first" and t == 1 else (m, v)
    summed_m, summed_v = b1 * m + g, b2 * v + g**2
    turned_m, turned_v = (1 - b1) * m + b1 * g, (1 - b2) * v + b2 * g**2
    new_m = {"turned m": turned_m, "turned": turned_m, "sum": summed_m, "sums": summed_m}.get(
        slip, b1 * m + (1 - b1) * g
    )
    new_v = {
        "turned v": turned_v,
        "turned": turned_v,
        "same share": b2 * v + (1 - b1) * g**2,
        "one beta": b1 * v + (1 - b1) * g**2,
        "squared share": b2 * v + ((1 - b2) * g) ** 2,
        "lengths": b2 * v + (1 - b2) * np.abs(g),
        "summed": b2 * v + (1 - b2) * (g**2).sum(),
        "sum v": summed_v,
        "sums": summed_v,
        "v of m": b2 * v + (1 - b2) * new_m**2,
    }.get(slip, b2 * v + (1 - b2) * g**2)
    c1, c2 = 1 - b1**t, 1 - b2**t
    c1, c2 = {
        "raw": (1, 1),
        "first": (1, 1),
        "raw m": (1, c2),
        "raw v": (c1, 1),
        "late": (1 - b1 ** (t + 1), 1 - b2 ** (t + 1)),
        "power outside": ((1 - b1) ** t, (1 - b2) ** t),
        "once": (1 - b1, 1 - b2),
        "product": (1 - b1 * t, 1 - b2 * t),
        "same beta": (c1, c1),
        "one beta": (c1, c1),
        "times": (1 / c1, 1 / c2),
    }.get(slip, (c1, c2))
    m_hat, v_hat = (m / c1, v / c2) if slip == "old" else (new_m / c1, new_v / c2)
    root = np.sqrt(v_hat)
    below = {
        "no root": v_hat + eps,
        "inside": np.sqrt(v_hat + eps),
        "early": (np.sqrt(new_v) + eps) / np.sqrt(c2),
        "no eps": root,
        "late root": np.sqrt(new_v) / c2 + eps,
        "plain": 1.0,
        "sgd": 1.0,
    }.get(slip, root + eps)
    above = {"gradient": g, "sgd": g, "scaled": m_hat + decay * w}.get(slip, m_hat)
    move, shrunk = rate * above / below, (1 - rate * decay) * w
    new_w = {
        "l2": w - move,
        "scaled": w - move,
        "none": w - move,
        "no-rate": (1 - decay) * w - move,
        "grows": (1 + rate * decay) * w - move,
        "after": (1 - rate * decay) * (w - move),
        "decay-only": shrunk,
        "uphill": shrunk + move,
        "full move": shrunk - above / below,
        "change": shrunk - move - w,
        "adam scale": (1 - rate**2 * decay) * w - move,
    }.get(slip, shrunk - move)
    kept = {
        "hats kept": (m_hat, v_hat),
        "m hat kept": (m_hat, new_v),
        "v hat kept": (new_m, v_hat),
        "forgets": (m, v),
    }.get(slip, (new_m, new_v))
    return new_w, *kept


def steps(inputs, slip: str = "") -> list[np.ndarray]:
    """w after each of the steps, then the last m and v."""
    w, gradients = np.asarray(inputs["w"]), np.asarray(inputs["gradients"])
    m, v, seen = np.zeros_like(w), np.zeros_like(w), []
    call = (inputs["rate"], inputs["decay"], tuple(inputs["betas"]), inputs["eps"])
    with np.errstate(all="ignore"):  # some slips divide by 0
        for t, gradient in enumerate(gradients, start=1):
            w, m, v = step(w, gradient, m, v, t, *call, slip=slip)
            seen.append(w)
    return [*seen, m, v]
