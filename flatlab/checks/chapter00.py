"""Visible checks of chapter 00."""

import numpy as np

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise
from flatlab.checks.toys import leaves, normal

gradient_step = Exercise(
    "gradient_step", remaining=("a tensor with several axes", "a learning rate of zero")
)


@gradient_step.check("one step on three weights")
class ThreeWeights:
    def draw(self, generator):
        return {"w": normal(generator, 3), "gradient": normal(generator, 3), "learning_rate": 0.3}

    def call(self, student, inputs):
        w, gradient = leaves([inputs["w"], inputs["gradient"]])
        result = student(w.detach(), gradient.detach(), inputs["learning_rate"])
        return {"result": array(result, (3,))}

    def verdict(self, inputs, outputs):
        w, g, rate = inputs["w"], inputs["gradient"], inputs["learning_rate"]
        return compare(
            outputs["result"],
            w - rate * g,
            1e-5,
            mistakes=[
                (w + rate * g, "It goes uphill: the gradient points to where the loss grows."),
                (
                    w - g,
                    "The step does not depend on learning_rate: it moves by the whole gradient.",
                ),
                (-rate * g, "It returns the step alone. Where do the weights stand after it?"),
                (rate * g, "It returns the step alone. Where do the weights stand after it?"),
                (
                    w - rate * 4 * w,
                    (
                        "It uses 4w: that is the gradient of this section's example. Use the gradient "
                        "that is passed in."
                    ),
                ),
                (w - rate * w, "It steps along w instead of along the gradient."),
            ],
            otherwise="From w it goes to {got}; w - learning_rate * gradient is {expected}.",
        )


@gradient_step.check("w is left as it was")
class LeavesWeights:
    def draw(self, generator):
        return {"w": normal(generator, 4), "gradient": normal(generator, 4)}

    def call(self, student, inputs):
        w, gradient = (t.detach() for t in leaves([inputs["w"], inputs["gradient"]]))
        student(w, gradient, 0.5)
        return {"w_after": w, "gradient_after": gradient}

    def verdict(self, inputs, outputs):
        if not np.array_equal(outputs["w_after"], inputs["w"]):
            return (
                "The w that was passed in has changed: `w -= ...` writes into the caller's tensor. "
                "Return a new one."
            )
        if not np.array_equal(outputs["gradient_after"], inputs["gradient"]):
            return "The gradient that was passed in has changed. Return a new tensor."
        return None
