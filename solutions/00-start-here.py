# %% [markdown]
# # 00 · Start here
#
# <!-- badges -->
#
# Every chapter of this course goes the same way: you **predict** what will happen, **implement** one
# small function, **check** it, and see the **experiment** run on your own code. This chapter does it
# once, on a function of one line.
#
# **After this chapter you can**
# - tell whether everything the course needs works on your machine,
# - fill in an exercise and read what its check says,
# - validate a notebook before you hand it in, and know what the grader will see.
#
# **Time** 15 minutes. **Prerequisites** Python and a first acquaintance with PyTorch tensors.
# **Slides** none; the later chapters name theirs.
#
# Run a cell with Shift+Enter, from here to the end.

# %% setup
# <!-- install -->
import sys

import torch

from flatlab import plots
from flatlab.checks import chapter00 as check
from flatlab.checks import ready
from flatlab.notebook import predict, reveal, settings

# %% settings
# Each row is a setting, each column a scale. Choose with the environment variable FLATLAB_SCALE.
s = settings(
    {
        #        quick, laptop, paper
        "steps": (5, 25, 25),
        "ask_the_doctor": (False, True, True),
    }
)

# %% [markdown]
# ## 1 · Does everything work?   (≈ 3 min)
#
# The table above came from the settings cell: each chapter has one,
# and the column in brackets is in force. `laptop` gives real results on two CPU cores; `quick` is
# what the grader uses; `paper` is the full setting of the slides, for a GPU.
#
# The next cell asks the doctor. Each line says what was found, and what to do where something is
# missing. In a terminal the same is `flatlab doctor`.

# %% folded
import subprocess

if s.ask_the_doctor:
    command = [sys.executable, "-m", "flatlab", "doctor"]
    print(subprocess.run(command, capture_output=True, text=True, check=False).stdout)

# %% [markdown]
# ## 2 · Predict, implement, check, experiment   (≈ 8 min)
#
# The loss is $L(w) = \tfrac12 a w^2$; its second derivative, which we call curvature, is a = 4. Its gradient is $4w$. Gradient descent
# with learning rate η goes from w to $w - \eta \cdot 4w$.
#
# Commit yourself before you run anything: put one of the options in place of the dots. Predictions
# are never graded. They are worth making because a wrong one is remembered.

# %% predict="learning rate 0.6 on curvature 4"
predict(
    "learning rate 0.6 on curvature 4",
    options=["it arrives faster than 0.1", "it arrives slower than 0.1", "it never arrives"],
    answer=...,
)

# %% [markdown]
# ### Exercise 1 · One step downhill   ●○○○ · 1 point · 3 min
#
# Write `gradient_step(w, gradient, learning_rate)`: the weights after one step of gradient descent.
# - `w`, `gradient`: float tensors of the same shape, any shape. `learning_rate`: a float, 0 or more.
# - Returns a new tensor of the same shape. `w` itself stays as it is.
#
# Replace the line `raise NotImplementedError()` by your code, run the cell, then run the check
# below it. A failed check says what it saw and which mistake would explain it.
#
# <details><summary>Hint</summary>
#
# `w -= ...` changes the tensor that was passed in; `w - ...` makes a new one.
#
# </details>


# %% exercise="gradient_step"
def gradient_step(w, gradient, learning_rate):
    """w after one step of gradient descent: a new tensor of w's shape."""
    ### BEGIN SOLUTION
    return w - learning_rate * gradient
    ### END SOLUTION


# %% check="gradient_step" points=1
check.gradient_step(gradient_step)
### BEGIN HIDDEN TESTS
from flatlab.checks.answers import array, compare
from flatlab.checks.chapter00 import ThreeWeights


@check.gradient_step.hidden("a tensor with several axes")
class SeveralAxes:
    def draw(self, generator):
        shape = (2, 3, 2)
        return {
            "w": torch.randn(shape, generator=generator),
            "g": torch.randn(shape, generator=generator),
        }

    def call(self, student, inputs):
        result = student(torch.tensor(inputs["w"]), torch.tensor(inputs["g"]), 0.25)
        return {"result": array(result, (2, 3, 2))}

    def verdict(self, inputs, outputs):
        return compare(outputs["result"], inputs["w"] - 0.25 * inputs["g"], 1e-5)


@check.gradient_step.hidden("a learning rate of zero")
class RateZero(ThreeWeights):
    def draw(self, generator):
        return {**super().draw(generator), "learning_rate": 0.0}

    def verdict(self, inputs, outputs):
        return compare(
            outputs["result"],
            inputs["w"],
            1e-6,
            otherwise="With learning rate 0 it moves from {expected} to {got}.",
        )


check.gradient_step.grade(gradient_step)
### END HIDDEN TESTS

# %% [markdown]
# A pass also says how many hidden checks remain and what they look at. The hidden ones run when the
# notebook is graded, so that a function is right for inputs you have not seen.
#
# ### Experiment · Two learning rates
#
# An experiment uses your function. If the function is missing or its check fails, the experiment
# says so and the rest of the notebook still runs.

# %% experiment="two-rates"
if ready(gradient_step):
    curvature = 4.0
    fig, ax = plots.figure(height=3.0)
    distance = {}
    for learning_rate in (0.1, 0.6):
        w = torch.tensor(1.0)
        path = [abs(w.item())]
        for _ in range(s.steps):
            w = torch.as_tensor(gradient_step(w, curvature * w, learning_rate))
            path.append(abs(w.item()))
        distance[learning_rate] = path[-1]
        ax.semilogy(path, label=f"learning rate {learning_rate}")
    ax.set_xlabel("step")
    ax.set_ylabel("distance from the minimum")
    ax.legend()
    plots.show(
        fig,
        alt=f"Distance from the minimum over {s.steps} steps on a log axis: it falls to "
        f"{distance[0.1]:.1g} for learning rate 0.1 and grows to {distance[0.6]:.1g} for 0.6.",
    )

# %% experiment="the-factor" compare=true
if ready(gradient_step):
    one = torch.tensor([1.0])
    for learning_rate in (0.1, 0.6):
        factor = torch.as_tensor(gradient_step(one, 4.0 * one, learning_rate)).item()
        print(f"learning rate {learning_rate}: a step multiplies the distance by {abs(factor):.1f}")

# %% [markdown]
# A step multiplies w by 1 − 4η. With η = 0.6 that is −1.4: it jumps to the other side and lands
# further away. In general |1 − aη| is above 1 exactly when η > 2/a. **Gradient descent cannot stay in a valley
# of curvature a when the learning rate is above 2/a.** Much of this course follows from that sentence.

# %% experiment="summary"
if ready(gradient_step):
    reveal({"learning rate 0.6 on curvature 4": "it never arrives"})

# %% [markdown]
# ## 3 · Hand in   (≈ 4 min)
#
# 1. Save, then press **Validate** in the toolbar of JupyterLab (nbgrader's extension). It runs
#    the whole notebook from the top in a fresh kernel, at `quick` scale, and lists the checks that
#    fail and the open questions without an answer.
#    Without the extension, `flatlab check 00` in a terminal does the same; in Colab,
#    `import flatlab; flatlab.student.check()` in a cell of your own at the end.
# 2. `flatlab submit 00` in a terminal says what is done and writes the zip to hand in; in Colab,
#    `flatlab.student.submit()`. Hand it in the way your course says; the `.ipynb` file itself
#    will do as well.
#
# **What the grader sees.** Your notebook runs again at `quick` scale. A check cell earns its points
# when its visible and its hidden checks pass, else none. Cells marked as locked are put back to
# their original text, so edit only exercises and answers. The first line of a graded cell is its
# name (`# exercise: gradient_step`): keep it, it finds your answer again if the file gets damaged.
# Answers in words are read by a person.
#
# ### Open question   ●○○○ · 1 point · 2 min
#
# For which learning rates does gradient descent arrive when the loss has **two** weights, one
# with curvature 4 and one with curvature 1? Answer in one or two sentences.

# %% [markdown] open="two-curvatures" points=1
# ### BEGIN SOLUTION
# Below 2/4 = 0.5: each weight is multiplied by 1 − η times its own curvature, and both factors must
# be below 1 in size. The larger curvature decides; the smaller one is then only slow.
# ### END SOLUTION

# %% [markdown]
# **Further reading.** The [nbgrader documentation](https://nbgrader.readthedocs.io) for students.
# Next: [chapter 01, Sharp and flat minima](../01-sharp-and-flat/01-sharp-and-flat.ipynb).
