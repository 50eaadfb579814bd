"""The escape from x = 1: each step is read back, so that it does not matter how a loss is drawn."""

import math

import numpy as np

from flatlab.checks.answers import array
from flatlab.checks.chapter01.products import seeded
from flatlab.checks.core import Exercise, WrongAnswer

CURVATURES = (0.1, 1.9)
EXACT, SINGLE = 1e-10, 1e-4  # relative differences that float64 and float32 leave room for

escape_trajectory = Exercise(
    "escape_trajectory",
    remaining=(
        "SGD that starts between the two minima",
        "a start that is an integer",
        "no step at all",
    ),
)


def trajectory(student, inputs, x0, seed: int | None = None, stochastic=True) -> np.ndarray:
    """The student's trajectory from x0 as an array."""
    steps = inputs["steps"]
    x0 = x0 if isinstance(x0, int) else float(x0)
    generator = seeded(seed or 0) if stochastic or seed is not None else None
    path = student(x0, inputs["learning_rate"], steps, generator, bool(stochastic))
    if steps and np.shape(path) == (steps,):
        raise WrongAnswer(f"For {steps} steps it returned {steps} numbers: x0 itself comes first.")
    path = array(path, (steps + 1,))
    if isinstance(x0, float) and (wrong := still(path, x0, inputs["learning_rate"])):
        raise WrongAnswer(wrong)
    if abs(path[0] - x0) > SINGLE:
        raise WrongAnswer(f"The first entry is {path[0]:.4g}: it should be x0, {x0:.4g}.")
    if abs(path[0] - x0) > EXACT * max(abs(x0), 1):
        raise WrongAnswer(
            f"The first entry differs from x0 by {abs(path[0] - x0):.1g}: float32 keeps 7 digits. "
            "Use dtype=torch.float64."
        )
    return path


def slope(x: np.ndarray, curvature: float) -> np.ndarray:
    """The derivative of min{x^2, curvature (x - 1)^2}."""
    right = 2 * curvature * (x - 1)
    return np.where(x**2 < curvature * (x - 1) ** 2, 2 * x, right)


def still(path: np.ndarray, x0: float, learning_rate: float) -> str | None:
    """Why all entries behind the first are one number, where they are: no trajectory here rests."""
    later = path[1:]
    if len(later) < 2 or (later != later[0]).any():
        return None
    if abs(later[0] - x0) <= 1e-6 * abs(x0):
        return "Every entry is x0: does x move in the loop?"
    slopes = [float(slope(np.array(x0), c)) for c in CURVATURES]
    one_step = [x0 - learning_rate * g for g in (*slopes, sum(slopes) / 2)]
    if np.abs(later[0] - one_step).min() <= SINGLE * abs(learning_rate * max(slopes, key=abs)):
        return "Every step starts at x0 again: it must start where the last one ended."
    which = "All entries" if path[0] == later[0] else "All entries behind x0"
    return (
        f"{which} are the same number: was one tensor changed in place? Append a copy, x.clone() or "
        "float(x)."
    )


def larger_branch(x: np.ndarray, curvature: float) -> np.ndarray:
    right = 2 * curvature * (x - 1)
    return np.where(x**2 < curvature * (x - 1) ** 2, right, 2 * x)


def one_switch(x: np.ndarray, curvature: float) -> np.ndarray:
    """As if x = 1/2 parted the two valleys of both losses; its mean is that of min{x^2, (x-1)^2}."""
    return np.where(x < 0.5, 2 * x, 2 * curvature * (x - 1))


def own_switch(x: np.ndarray, curvature: float) -> np.ndarray:
    """As if each loss changed its valley once, between the two minima."""
    switch = math.sqrt(curvature) / (1 + math.sqrt(curvature))
    return np.where(x < switch, 2 * x, 2 * curvature * (x - 1))


def right_only(x: np.ndarray, curvature: float) -> np.ndarray:
    return 2 * curvature * (x - 1)


WRONG_SLOPES = (
    (
        lambda x, c: slope(x, c) / 2,
        (
            "Every step is half as long as it should be: is a factor 2 of the derivative missing, or is "
            "the gradient halved once too often?"
        ),
    ),
    (lambda x, c: 2 * slope(x, c), "Every step is twice as long as it should be: f is the mean."),
    (lambda x, c: -slope(x, c), "It goes uphill: the step is minus eta times the slope."),
    (larger_branch, "It follows the larger of the two parabolas; f_k is their minimum."),
    (
        one_switch,
        (
            "Both losses change valley at the same x = 1/2, which is the minimum of the mean. Each loss "
            "takes its own minimum first, f is the mean of the two."
        ),
    ),
    (
        own_switch,
        (
            "Each loss changes valley at one fixed x. But f_1 is 0.1(x-1)^2 again below x = -0.46, and "
            "f_2 is x^2 again above 3.64: compare the two values at x."
        ),
    ),
    (right_only, "It never leaves the valley of x = 1: where x^2 is smaller, the slope is 2x."),
)


def follows(path: np.ndarray, learning_rate: float, gradient: np.ndarray, tolerance=EXACT):
    """For each step of the path: is it -learning_rate times this gradient? (steps,)"""
    gap = np.abs(np.diff(path) + learning_rate * gradient)
    return gap <= tolerance * np.maximum(np.abs(path[:-1]), np.abs(learning_rate * gradient))


def descends(path: np.ndarray, learning_rate: float, of=slope, tolerance=EXACT) -> bool:
    """Is every step one on the mean of both losses?"""
    gradient = sum(of(path[:-1], c) for c in CURVATURES) / 2
    return bool(follows(path, learning_rate, gradient, tolerance).all())


def draws(path: np.ndarray, learning_rate: float, of=slope, tolerance=EXACT) -> bool:
    """Is every step one on either loss?"""
    steps = [follows(path, learning_rate, of(path[:-1], c), tolerance) for c in CURVATURES]
    return bool((steps[0] | steps[1]).all())


def step_verdict(paths: list, learning_rate: float, right, other, other_message: str):
    """None where every path is ``right``, else what was done instead."""
    if not all(np.isfinite(path).all() for path in paths):
        return "The trajectory holds NaN or inf."
    if all(right(path, learning_rate) for path in paths):
        return None
    if all(right(path, learning_rate, tolerance=SINGLE) for path in paths):
        return "The steps are right to 7 digits only: float32. Use dtype=torch.float64."
    if all(other(path, learning_rate) for path in paths):
        return other_message
    for of, message in WRONG_SLOPES:
        if all(right(path, learning_rate, of) for path in paths):
            return message
    path = next(path for path in paths if not right(path, learning_rate))
    wrong = [not right(path[t : t + 2], learning_rate) for t in range(len(path) - 1)].index(True)
    x = path[wrong]
    first, second = (float(x - learning_rate * slope(x, c)) for c in CURVATURES)
    return (
        f"From x = {x:.6g} it goes to {path[wrong + 1]:.6g}. A step on f_1 goes to {first:.6g}, "
        f"on f_2 to {second:.6g}, on their mean to {(first + second) / 2:.6g}."
    )


def descent_verdict(paths: list, learning_rate: float) -> str | None:
    """Is it gradient descent on (f_1 + f_2)/2?"""
    message = (
        "With stochastic=False it still steps on a single loss: gradient descent takes the mean."
    )
    return step_verdict(paths, learning_rate, descends, draws, message)


def sgd_verdict(paths: list, learning_rate: float) -> str | None:
    """Is every step one on f_1 or on f_2?"""
    message = "Every step is on the mean of both losses: with batch size 1 it is one of the two."
    return step_verdict(paths, learning_rate, draws, descends, message)


@escape_trajectory.check("gradient descent")
class GradientDescent:
    hints = (
        ("NoneType", "With stochastic=False nothing is drawn, and generator may be None."),
        ("Generator", "With stochastic=False nothing is drawn, and generator may be None."),
    )

    def draw(self, generator):
        return {"starts": [1.4, 0.3, -0.6, 5.0, 0.54], "learning_rate": 0.1, "steps": 5}

    def call(self, student, inputs):
        starts = inputs["starts"]
        paths = [trajectory(student, inputs, x0, stochastic=False) for x0 in starts]
        given = trajectory(student, inputs, starts[0], seed=0, stochastic=False)
        return {"paths": paths, "given": given}

    def verdict(self, inputs, outputs):
        rate = inputs["learning_rate"]
        if message := descent_verdict(outputs["paths"], rate):
            return message
        if draws(outputs["given"], rate):
            return (
                "With stochastic=False and a generator it still steps on a single loss: ask for "
                "stochastic, not whether there is a generator."
            )
        return descent_verdict([outputs["given"]], rate)


@escape_trajectory.check("SGD draws one loss a step")
class DrawsEachStep:
    def draw(self, generator):
        return {"x0": 1.4, "learning_rate": 0.005, "steps": 600}

    def call(self, student, inputs):
        return {"path": trajectory(student, inputs, inputs["x0"], seed=5)}

    def verdict(self, inputs, outputs):
        path, rate, steps = outputs["path"], inputs["learning_rate"], inputs["steps"]
        message = sgd_verdict([path], rate)
        if message:
            return message
        second = follows(path, rate, slope(path[:-1], CURVATURES[1]))
        count = int(second.sum())
        changes = int((second[1:] != second[:-1]).sum())
        if count in (0, steps):
            k = 2 if count else 1
            return (
                f"All {steps} steps are on f_{k}: draw inside the loop, a new loss in each step, and so that "
                "both can come up. torch.randint(0, 1, ()) is always 0: its upper end is excluded."
            )
        room = 5 * math.sqrt(steps) / 2  # five standard deviations
        if changes > steps / 2 + room:
            return "The two losses take turns; draw one in each step, each with probability 1/2."
        if abs(count - steps / 2) > room:
            return f"f_2 was drawn in {count} of {steps} steps: each has probability 1/2."
        if changes < steps / 2 - room:
            return (
                f"The drawn loss changed only {changes} times in {steps} steps: draw in each step."
            )
        return None


@escape_trajectory.check("draws from the generator")
class FromGenerator:
    def draw(self, generator):
        return {"x0": 1.2, "learning_rate": 0.01, "steps": 40}

    def call(self, student, inputs):
        seeds = (3, 3, 4)
        return {"paths": [trajectory(student, inputs, inputs["x0"], seed) for seed in seeds]}

    def verdict(self, inputs, outputs):
        first, again, other = outputs["paths"]
        if not np.array_equal(first, again):
            return "Two runs with the same seed differ: draw with generator=generator."
        if np.array_equal(first, other):
            return "Every generator gives the same trajectory: draw with generator=generator."
        return None
