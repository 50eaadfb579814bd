"""A made-up chapter, small enough to build in a test, and a course folder to build it in.

It borrows chapter 00's exercise, so that its checks are the real ones.
"""

from pathlib import Path

from flatlab.checks import chapter00

NAME = "00-tiny"
CONFIG = Path(__file__).parents[1] / "nbgrader_config.py"

_HIDDEN = """
@check.gradient_step.hidden("{aim}")
class Hidden{number}:
    def draw(self, generator):
        return {{"w": [1.0, {number}.0]}}

    def call(self, student, inputs):
        w = torch.tensor(inputs["w"])
        return {{"result": student(w, w, 0.5)}}

    def verdict(self, inputs, outputs):
        expected = [0.5 * x for x in inputs["w"]]
        return None if outputs["result"].tolist() == expected else "hidden secret {number}"
"""
HIDDEN = "".join(
    _HIDDEN.format(aim=aim, number=i) for i, aim in enumerate(chapter00.gradient_step.remaining, 1)
)

SOURCE = f'''# %% [markdown]
# # A tiny chapter
#
# <!-- badges -->
#
# **Time:** ≈ 15 min
#
# After this chapter you can
# - take one step,
# - and know it.
#
# **Prerequisites:** none. **Slides:** the first.

# %% setup
# <!-- install -->
import torch

from flatlab.checks import chapter00 as check, ready
from flatlab.notebook import predict, reveal, settings

# %% settings
chosen = settings({{"steps": (1, 3, 9)}})

# %% [markdown]
# ## 1 · Downhill (≈ 15 min)
#
# Which way?

# %% predict="way"
predict("way", ["up", "down"], ...)

# %% [markdown]
# ### Exercise 1 · One step   ●○○○ · 2 points · 4 min
#
# Write `gradient_step(w, gradient, learning_rate)`.
#
# <details><summary>Hint</summary>Minus.</details>

# %% exercise="gradient_step"
def gradient_step(w, gradient, learning_rate):
    """w after one step of gradient descent; same shape as w."""
    ### BEGIN SOLUTION
    downhill = -learning_rate * gradient
    return w + downhill
    ### END SOLUTION


# %% check="gradient_step" points=2
check.gradient_step(gradient_step)
### BEGIN HIDDEN TESTS
{HIDDEN}

check.gradient_step.grade(gradient_step)
### END HIDDEN TESTS

# %% experiment="walk" compare=true
if ready(gradient_step):
    w = torch.tensor([1.0])
    for _ in range(chosen.steps):
        w = gradient_step(w, w, 0.5)
    print(w.tolist())

# %% folded
def helper():
    return 1


# %% [markdown] open="why" points=4
# **Why minus?** Two sentences.
#
# ### BEGIN SOLUTION
# The gradient points uphill, where the loss grows.
# ### END SOLUTION

# %% [markdown]
# ## Summary

# %%
reveal({{"way": "down"}})

# %% [markdown]
# ## Further reading
#
# None.
'''

CASES = """# %% misconception="gradient_step" name="uphill" message="uphill"
def gradient_step(w, gradient, learning_rate):
    return w + learning_rate * gradient

# %% misconception="gradient_step" name="whole-gradient" message="whole gradient"
def gradient_step(w, gradient, learning_rate):
    return w - gradient

# %% misconception="gradient_step" name="step-alone" message="step alone"
def gradient_step(w, gradient, learning_rate):
    return -learning_rate * gradient

# %% misconception="gradient_step" name="along-w" message="along w"
def gradient_step(w, gradient, learning_rate):
    return w - learning_rate * w

# %% alternative="gradient_step" name="torch-sub"
def gradient_step(w, gradient, learning_rate):
    return torch.sub(w, gradient, alpha=learning_rate)

# %% alternative="gradient_step" name="lambda"
gradient_step = lambda w, gradient, learning_rate: w - learning_rate * gradient
"""


def course(root: Path, source: str = SOURCE, cases: str = CASES, repository: str = "") -> Path:
    """Write a course with the one chapter NAME below ``root``; returns ``root``."""
    (root / "solutions").mkdir(parents=True)
    (root / "solutions" / f"{NAME}.py").write_text(source, encoding="utf-8")
    (root / "tests" / "grading" / "cases").mkdir(parents=True)
    (root / "tests" / "grading" / "cases" / f"{NAME}.py").write_text(cases, encoding="utf-8")
    (root / "nbgrader_config.py").write_text(CONFIG.read_text(encoding="utf-8"), encoding="utf-8")
    (root / "pyproject.toml").write_text(f'[tool.flatlab]\nrepository = "{repository}"\n')
    return root
