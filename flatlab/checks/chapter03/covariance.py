"""The covariance of a minibatch's gradient, against the mean over all batches, one by one."""

import itertools

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import normal

noise_covariance = Exercise(
    "noise_covariance",
    remaining=(
        "a batch of all samples",
        "a single weight",
        "per_sample_grads that are left as they were",
    ),
)


def counted(grads: np.ndarray, batch_size: int, replacement: bool) -> np.ndarray:
    """The covariance of the mean gradient over all batches, each as likely as any other."""
    n = len(grads)
    if replacement:
        batches = itertools.product(range(n), repeat=batch_size)
    else:
        batches = itertools.combinations(range(n), batch_size)
    means = np.array([grads[list(batch)].mean(0) for batch in batches])
    return (means - means.mean(0)).T @ (means - means.mean(0)) / len(means)


def covariance_mistakes(grads: np.ndarray, b: int, replacement: bool) -> list[tuple]:
    """What wrong covariances equal, and what each got wrong."""
    n = len(grads)
    apart = grads - grads.mean(0)
    c, factor = apart.T @ apart / n, (n - b) / (n - 1)
    own = grads - grads.mean(1, keepdims=True)
    share = 1.0 if replacement else factor
    right = c / b * share
    wrong = [
        (
            grads.T @ grads / n / b * share,
            (
                "The mean gradient is not subtracted: this is the mean of g_i g_i^T. What is left of a "
                "gradient that all samples share?"
            ),
        ),
        (
            own.T @ own / n / b * share,
            (
                "Each row has its own mean subtracted. The mean gradient is over the samples: "
                ".mean(0), one number for each weight."
            ),
        ),
        (c * share, "Batch size B does not enter: averaging B gradients makes the noise smaller."),
        (
            c / np.sqrt(b) * share,
            "It is divided by sqrt(B), as a standard deviation is. A covariance is divided by B.",
        ),
        (c / b**2 * share, "It is divided by B squared: once too often."),
        (
            c * b * share,
            (
                "It is multiplied by B, where more samples must mean less noise. In Python `x / n * B` "
                "is (x / n) * B: put n * B in parentheses."
            ),
        ),
        (
            n * c / b * share,
            "The products are summed over the samples: C is their mean, divide by n.",
        ),
        (n * c * share, "The sum over all n samples is there; divide by n and by B."),
        (
            np.diag(np.diag(right)),
            "Off the diagonal all is 0. Two weights' gradients vary together: g_i g_i^T is a matrix.",
        ),
        (-right, "The sign is turned: a covariance has no negative numbers on its diagonal."),
    ]
    if replacement:
        wrong += [
            (
                n / (n - 1) * right,
                (
                    "It is too large by n/(n - 1): C is the mean over the n samples, which are all there "
                    "are. Dividing by n - 1 (the default of torch.cov and var) is for estimating from a "
                    "few."
                ),
            ),
            (
                factor * right,
                (
                    "With replacement=True the factor (n - B)/(n - 1) is there. It belongs to batches "
                    "of different samples, replacement=False."
                ),
            ),
            (
                factor * n / (n - 1) * right,
                "Two factors too many for replacement=True: (n - B)/(n - 1), and n/(n - 1).",
            ),
        ]
    else:
        bare = c / b
        wrong += [
            (
                bare,
                (
                    "With replacement=False it says the same as with replacement. A batch of different "
                    "samples has less noise, and none for B = n: (n - B)/(n - 1)."
                ),
            ),
            (bare * (n - b) / n, "The factor is (n - B)/n; it has n - 1 below the line."),
            (
                bare * ((n - b) / n - 1),
                "(n - B) / n - 1 subtracts 1 at the end: (n - B) / (n - 1).",
            ),
            (bare * (n - b / (n - 1)), "n - B / (n - 1) divides B alone: (n - B) / (n - 1)."),
            (bare * (n - b) * (n - 1), "The factor is multiplied by n - 1 and not divided by it."),
            (
                bare * np.sqrt(factor),
                "The factor stands under a root; a covariance takes it whole.",
            ),
            (
                bare / factor if factor else np.nan * bare,
                "The factor is upside down: without replacement there is less noise.",
            ),
            (bare * (b / n), "The factor is B/n: it must be 0 for B = n and 1 for B = 1."),
            (bare * (b - 1) / (n - 1), "The factor must be 0 for B = n and 1 for B = 1."),
            (
                bare * factor * n / (n - 1),
                (
                    "It is too large by n/(n - 1): C divides by n. (By n - 1, as torch.cov does, "
                    "it would go with the factor 1 - B/n.)"
                ),
            ),
        ]
    return [(value, text) for value, text in wrong if np.isfinite(value).all()]


class AllBatches:
    """Not a check by itself: a subclass says whether samples may come twice."""

    replacement = True

    def draw(self, generator):
        # the first and the last weight vary in opposite ways
        mixed = torch.tensor([[1.0, 0.0, -0.9], [0.0, 2.0, 0.0], [0.0, 0.0, 0.3]])
        grads = normal(generator, 6, 3) @ mixed.double()
        return {"grads": grads + normal(generator, 3), "batch_size": 2}

    def call(self, student, inputs):
        grads = torch.tensor(inputs["grads"])
        n, p = grads.shape
        covariance = student(grads, inputs["batch_size"], self.replacement)
        if p > 1 and np.shape(covariance) == (n, n):
            raise WrongAnswer(
                f"It returned shape ({n}, {n}), a row for each sample; a row for each weight, "
                f"({p}, {p}), is needed. Is the product turned round, or are rows taken for variables, "
                "as torch.cov does?"
            )
        if p > 1 and np.shape(covariance) == (p,):
            raise WrongAnswer(
                f"It returned {p} numbers, one for each weight: variances alone. The covariance says "
                f"for each pair of weights how they vary together: ({p}, {p})."
            )
        return {"covariance": array(covariance, (p, p))}

    def verdict(self, inputs, outputs):
        grads, b = np.array(inputs["grads"]), inputs["batch_size"]
        if not np.isfinite(outputs["covariance"]).all():
            return (
                "It holds NaN or inf. Two weights may vary in opposite ways: off the diagonal a "
                "covariance may be negative, and has no root."
            )
        how = "in which a sample may come twice" if self.replacement else "of different samples"
        return compare(
            outputs["covariance"],
            counted(grads, b, self.replacement),
            1e-4,
            covariance_mistakes(grads, b, self.replacement),
            f"For {len(grads)} samples, all batches of {b} {how}, taken one by one, give "
            "{expected}, row after row; yours is {got}.",
        )


@noise_covariance.check("a count over all batches, with replacement")
class WithReplacement(AllBatches):
    hints = (
        (
            "ValueError",
            "If it is yours: with replacement (the default) B may be n, and larger than n.",
        ),
        (
            "inconsistent tensor size",
            "The rows are samples: the outer product of one row is (p, p), torch.outer(g, g).",
        ),
        ("1D tensors expected", "g @ g of one row is a number: torch.outer(g, g) is (p, p)."),
        (
            "mat1 and mat2 shapes",
            "For G of shape (n, p), G.T @ G is (p, p).",
        ),
    )

    def call(self, student, inputs):
        seen = super().call(student, inputs)
        two = torch.tensor(inputs["grads"])[:2]
        shape = (two.shape[1],) * 2
        return {**seen, "large": [array(student(two, b), shape) for b in (2, 3)]}

    def verdict(self, inputs, outputs):
        message = super().verdict(inputs, outputs)
        two = np.array(inputs["grads"])[:2]
        for b, got in zip((2, 3), outputs["large"], strict=True):
            message = message or compare(
                got,
                counted(two, b, True),
                1e-4,
                otherwise=f"noise_covariance(grads, {b}) for 2 samples is with replacement, the default: "
                "{expected}; yours is {got}. Only without it is there no noise at B = n.",
            )
        return message


@noise_covariance.check("a count over all batches, without replacement")
class WithoutReplacement(AllBatches):
    replacement = False
