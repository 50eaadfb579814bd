"""The two curves as formulas, for arrays and tensors alike, and what wrong ones give."""

from __future__ import annotations

from typing import Any


def chain(t: float, w1: Any, theta: Any, w2: Any) -> Any:
    """Two straight segments, with the bend theta at t = 1/2 (Garipov et al., 2018, eq. 3)."""
    return (1 - 2 * t) * w1 + 2 * t * theta if t <= 0.5 else (2 - 2 * t) * theta + (2 * t - 1) * w2


def parabola(t: float, w1: Any, theta: Any, w2: Any) -> Any:
    """The quadratic Bezier curve (Garipov et al., 2018, eq. 4)."""
    return (1 - t) ** 2 * w1 + 2 * t * (1 - t) * theta + t**2 * w2


def line(t: float, w1: Any, theta: Any, w2: Any) -> Any:
    """The straight line; theta is not asked for."""
    return (1 - t) * w1 + t * w2


FIRST = "The first half has the factor 2 on one term only: 2 stands before the whole parenthesis."
SECOND = "The second half has the factor 2 on one term only: 2 stands before the whole parenthesis."

WRONG_CHAINS = (
    (line, "This is the straight line from w1 to w2: theta does not enter."),
    (
        parabola,
        "This is the Bézier curve. The chain has two straight segments, with a corner at theta.",
    ),
    (
        lambda t, w1, theta, w2: chain(1 - t, w1, theta, w2),
        "It runs from w2 to w1: t = 0 belongs to w1.",
    ),
    (
        lambda t, w1, theta, w2: chain(t, w1, w2, theta),
        "theta and w2 are exchanged: the order of the arguments is t, w1, theta, w2.",
    ),
    (
        lambda t, w1, theta, w2: (
            2 * (t * theta + (0.5 - t) * w1) if t > 0.5 else 2 * ((t - 0.5) * w2 + (1 - t) * theta)
        ),
        "Each half has the other's formula: is the comparison with 1/2 turned around?",
    ),
    (
        lambda t, w1, theta, w2: 2 * (t * theta + (0.5 - t) * w1),
        "The formula of the first half is used for all t: past 1/2 it runs on beyond theta.",
    ),
    (
        lambda t, w1, theta, w2: 2 * ((t - 0.5) * w2 + (1 - t) * theta),
        "The formula of the second half is used for all t.",
    ),
    (
        lambda t, w1, theta, w2: chain(t, w1, theta, w2) / 2,
        "It is half of the right point: the factor 2 is missing. A segment takes half the time.",
    ),
    (
        lambda t, w1, theta, w2: (
            2 * t * theta + (0.5 - t) * w1 if t <= 0.5 else chain(t, w1, theta, w2)
        ),
        FIRST,
    ),
    (
        lambda t, w1, theta, w2: (
            2 * t * theta + (0.5 - t) * w1 if t <= 0.5 else 2 * (t - 0.5) * w2 + (1 - t) * theta
        ),
        "Both halves have the factor 2 on one term only: 2 stands before the whole parenthesis.",
    ),
    (
        lambda t, w1, theta, w2: (
            chain(t, w1, theta, w2) if t <= 0.5 else 2 * (t - 0.5) * w2 + (1 - t) * theta
        ),
        SECOND,
    ),
    (
        lambda t, w1, theta, w2: (
            chain(t, w1, theta, w2) if t <= 0.5 else (1 - 2 * t) * theta + 2 * t * w2
        ),
        "In the second half the way from theta to w2 starts at t = 1/2, not at t = 0.",
    ),
    (
        lambda t, w1, theta, w2: chain(t, w1, theta, w2) if t <= 0.5 else (1 - t) * theta + t * w2,
        "In the second half the way from theta to w2 starts at t = 1/2, not at t = 0.",
    ),
    (
        lambda t, w1, theta, w2: (1 - t) * w1 + t * theta if t <= 0.5 else (1 - t) * theta + t * w2,
        "Each segment takes a whole unit of t: it must be gone through in half of one.",
    ),
    (
        lambda t, w1, theta, w2: (
            chain(t, w1, theta, w2) if t <= 0.5 else 2 * ((1 - t) * w2 + (t - 0.5) * theta)
        ),
        "In the second half w2 and theta have exchanged their shares: it runs from w2 back to theta.",
    ),
    (
        lambda t, w1, theta, w2: (
            2 * (t * w1 + (0.5 - t) * theta) if t <= 0.5 else chain(t, w1, theta, w2)
        ),
        "In the first half w1 and theta have exchanged their shares: it begins at theta.",
    ),
)

WRONG_PARABOLAS = (
    (line, "This is the straight line from w1 to w2: theta does not enter."),
    (chain, "This is the chain of two segments. The Bézier curve has no corner."),
    (
        lambda t, w1, theta, w2: parabola(1 - t, w1, theta, w2),
        "It runs from w2 to w1: t = 0 belongs to w1.",
    ),
    (
        lambda t, w1, theta, w2: (1 - t) ** 2 * w1 + t * (1 - t) * theta + t**2 * w2,
        "The middle term lacks its 2: the three shares must add up to 1.",
    ),
    (
        lambda t, w1, theta, w2: (1 - t) * w1 + 2 * t * (1 - t) * theta + t * w2,
        "The shares of w1 and w2 are not squared: the three shares must add up to 1.",
    ),
    (
        lambda t, w1, theta, w2: (1 - t**2) * w1 + 2 * t * (1 - t) * theta + t**2 * w2,
        "The share of w1 is 1 - t^2 instead of (1 - t)^2: the power binds first. Parentheses.",
    ),
    (
        lambda t, w1, theta, w2: (1 - t) ** 2 * w1 + 2 * t - t * theta + t**2 * w2,
        "In the middle term 1 - t has no parentheses: 2 * t * 1 - t * theta subtracts.",
    ),
    (
        lambda t, w1, theta, w2: (1 - t) ** 2 * w1 + t * theta + t**2 * w2,
        "The share of theta is t, as in 2 * t * 1 - t: it is the product of 2t and (1 - t).",
    ),
    (
        lambda t, w1, theta, w2: (1 - t) ** 2 * w1 + 2 * (1 - t) * theta + t**2 * w2,
        "The share of theta lacks its t: at t = 0 it must be 0.",
    ),
    (
        lambda t, w1, theta, w2: (1 - t) ** 2 * w1 + 2 * t * theta + t**2 * w2,
        "The share of theta lacks its 1 - t: at t = 1 it must be 0.",
    ),
    (
        lambda t, w1, theta, w2: (1 - t) * 2 * w1 + 2 * t * (1 - t) * theta + t * 2 * w2,
        "The shares of w1 and w2 are doubled where they should be squared: ** 2, not * 2.",
    ),
    (
        lambda t, w1, theta, w2: (1 - t) * 2 * w1 + 2 * t * (1 - t) * theta + t**2 * w2,
        "The share of w1 is doubled where it should be squared: ** 2, not * 2.",
    ),
    (
        lambda t, w1, theta, w2: (1 - t) ** 2 * w1 + 2 * t * (1 - t) * theta + t * 2 * w2,
        "The share of w2 is doubled where it should be squared: ** 2, not * 2.",
    ),
    (
        lambda t, w1, theta, w2: ((1 - t) * w1) ** 2 + 2 * t * (1 - t) * theta + (t * w2) ** 2,
        "The weights are squared together with their shares: only 1 - t and t are.",
    ),
    (
        lambda t, w1, theta, w2: (
            (1 - t) * (1 - 2 * t) * w1 + 4 * t * (1 - t) * theta + t * (2 * t - 1) * w2
        ),
        "It goes through theta at t = 1/2. A Bézier curve only bends towards theta.",
    ),
    (
        lambda t, w1, theta, w2: t**2 * w1 + 2 * t * (1 - t) * w2 + (1 - t) ** 2 * theta,
        "theta stands at an end: the order of the arguments is t, w1, theta, w2.",
    ),
    (
        lambda t, w1, theta, w2: (1 - t) ** 2 * w1 + 2 * t * (1 - t) * w2 + t**2 * theta,
        "theta and w2 are exchanged: the order of the arguments is t, w1, theta, w2.",
    ),
)
