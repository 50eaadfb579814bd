# %% [markdown]
# What is not held off: outputs that say what happened in the process cannot be told from forged
# ones. Such checks are listed (`flatlab.course.verdict.trusted`), and such code is flagged.

# %% attack="forged-measurement" tries="works in place, and has the sandbox say that w is as it was" listed="w is left as it was"
import flatlab.checks.core as core
import torch

before = []
true_plain = core.plain


def plain(value):
    if before and isinstance(value, dict) and "w_after" in value:
        value = {**value, "w_after": before.pop()}
    return true_plain(value)


core.plain = plain


def gradient_step(w, gradient, learning_rate):
    before[:] = [w.clone()]
    w -= learning_rate * gradient
    return w
