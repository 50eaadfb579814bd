"""``flatlab check``: the visible checks of a notebook, as Validate runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from flatlab.notebook import is_grading
from flatlab.student.chapter import Chapter, outline
from flatlab.student.find import Unusable, parse, take
from flatlab.student.states import DONE, State, lines, states, stopped

TIMEOUT = 120  # seconds a cell, as nbgrader_config.py gives the grader
_INSTALL = 'install what runs notebooks: python -m pip install "flatlab[course]"'


def check(notebook: str | Path | None = None, say: Callable[[str], object] = print) -> bool:
    """Run a notebook anew at quick scale and say of each exercise how far it is.

    ``notebook`` is a chapter (``"01"``) or a path, as saved; it is read and never written. In
    Colab it may be left out: the open notebook is taken as it stands on the screen. Returns True
    when every exercise passes its visible checks and every open question has an answer. In a
    notebook that is itself being run by a checker it says so and returns True. Raises
    ``Unusable``, a ``ValueError``, for what is no notebook of the course.
    """
    if is_grading():  # the notebook that is checked calls this: without end
        say("○ flatlab check: this notebook is being checked already.")
        return True
    try:
        taken = take(notebook)
        content = parse(taken.data, taken.name)
        chapter = outline(content, taken.name)
        say(f"{taken.name}: running it at quick scale")
        ended = _run(content, taken.folder)
    except ModuleNotFoundError as error:
        raise Unusable(f"There is no {error.name} here: {_INSTALL}.") from error
    found = states(content, chapter)
    for line in report(chapter, found, stopped(content, chapter), ended):
        say(line)
    return not ended and all(state.state in DONE for state in found)


def report(
    chapter: Chapter, found: list[State], errors: list[tuple[str, str]], ended: str
) -> Iterable[str]:
    """The lines that say what came out."""
    for state, line in lines(found):
        yield line
        yield from (f"{'':13}{part.strip()}" for part in state.message.splitlines())
    for cell, error in errors:
        yield f"  {cell} stopped with {error}"
    if ended:
        yield f"  {ended}"
    done = sum(state.state in DONE for state in found)
    yield f"{done} of {len(chapter.tasks)} done. Hidden checks run when the notebook is graded."


def _run(content, folder: Path) -> str:
    """Run the cells; why the run ended early, or nothing."""
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import DeadKernelError

    from flatlab.student.running import run

    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    try:
        run(content, folder, {"NBGRADER_EXECUTION": "validate"}, TIMEOUT, go_on=True)
    except NoSuchKernel as error:
        raise Unusable(f"There is no kernel to run notebooks in: {_INSTALL}.") from error
    except DeadKernelError as error:
        return f"{error}; later cells did not run."
    return ""
