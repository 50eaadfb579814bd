"""A small chapter to attack: one exercise of 4 points between two honest ones, and what is secret.

It borrows chapter 00's checks. Built like a chapter by ``assemble`` and nbgrader's own release;
no contract is asked of it.
"""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat

from flatlab.checks import chapter00
from flatlab.course.assemble import assemble
from flatlab.course.execute import dumps
from flatlab.course.layout import Layout
from flatlab.course.release import make_release
from flatlab.course.source import CODE_KINDS, TEXT_KINDS, parse

NAME = "00-target"
CONFIG = Path(__file__).resolve().parents[3] / "nbgrader_config.py"
HONEST = 3.0  # points of the two exercises that are not attacked
# In the hidden tests' text, in what they draw and expect, in the solution.
CANARIES = ("hidden_canary_7431", "13.37", "6.685", "solution_canary_2290")

_HIDDEN = '''
@check.gradient_step.hidden("{aim}")
class CanaryHidden{number}:
    """Secret: hidden_canary_7431."""

    def draw(self, generator):
        return {{"w": [13.37, {number}.0]}}

    def call(self, student, inputs):
        hidden_canary_7431 = torch.tensor(inputs["w"])
        return {{"result": array(student(hidden_canary_7431, hidden_canary_7431, 0.5), (2,))}}

    def verdict(self, inputs, outputs):
        expected = [6.685, {number} / 2]
        close = abs(outputs["result"] - expected).max() < 1e-5
        return None if close else f"hidden_canary_7431 {{expected}}"
'''
_REMAINING = enumerate(chapter00.gradient_step.remaining, 1)
_ALL_HIDDEN = "".join(_HIDDEN.format(aim=aim, number=number) for number, aim in _REMAINING)


def _exercise(name: str, points: int, hidden: str = "") -> str:
    tests = f"\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS" if hidden else ""
    return f'''
# %% exercise="{name}"
def {name}(w, gradient, learning_rate):
    """w after one step of gradient descent."""
    ### BEGIN SOLUTION
    solution_canary_2290 = learning_rate * gradient
    return w - solution_canary_2290
    ### END SOLUTION


# %% check="{name}" points={points}
check.gradient_step({name}){tests}
'''


SOURCE = f"""# %% [markdown]
# # A chapter to attack

# %% setup
import torch

from flatlab.checks import chapter00 as check, ready
from flatlab.notebook import settings

# %% settings
chosen = settings({{"steps": (1, 3, 9)}})
{_exercise("before", 1)}
{
    _exercise(
        "gradient_step",
        4,
        "from flatlab.checks.answers import array"
        + _ALL_HIDDEN
        + "check.gradient_step.grade(gradient_step)",
    )
}
{_exercise("after", 2)}
# %% [markdown] open="why" points=4
# **Why minus?**
#
# ### BEGIN SOLUTION
# solution_canary_2290
# ### END SOLUTION
"""


def make_course(root: Path) -> Layout:
    """A checkout of a course with this chapter below ``root``."""
    layout = Layout(root)
    notebook = assemble(parse(SOURCE, NAME, {**CODE_KINDS, **TEXT_KINDS}))
    files = {
        root / CONFIG.name: CONFIG.read_text(encoding="utf-8"),
        root / "pyproject.toml": '[tool.flatlab]\nrepository = ""\n',
        layout.source(NAME): SOURCE,
        layout.solution(NAME): dumps(notebook),
        layout.release(NAME): make_release(notebook, NAME, CONFIG),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return layout


def answer(name: str, sign: str = "-", comment: str = "") -> str:
    """A right answer, or with another ``sign`` a wrong one."""
    told = f"    # {comment}\n" if comment else ""
    head = f"def {name}(w, gradient, learning_rate):\n"
    return f"{head}{told}    return w {sign} learning_rate * gradient"


def submission(layout: Layout, target: str, comment: str = "") -> nbformat.NotebookNode:
    """The release with right answers around ``target``, the text of the attacked answer's cell."""
    notebook = copy.deepcopy(nbformat.read(layout.release(NAME), as_version=4))
    given = {"before": answer("before", comment=comment), "after": answer("after")}
    given["gradient_step"] = target
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in given:
            marker = cell.source.split("\n")[0]
            cell.source = f"{marker}\n{given[name]}"
    return notebook
