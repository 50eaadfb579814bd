"""``decide``: what each exercise of a submission earned, where its code cannot reach.

Code cannot be protected from code that runs beside it, so nbgrader's own score can be forged. Here
the submission runs in a sandbox on inputs drawn at grading time; only numbers, arrays and texts come
out; this process, which never loads the submission's code, decides on them.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from flatlab.checks.core import Check, explain_text
from flatlab.course.verdict import cells, job, records, suspicions
from flatlab.course.verdict import plan as planning
from flatlab.course.verdict.chapter import Graded
from flatlab.course.verdict.job import Job
from flatlab.course.verdict.plan import Drawn, Plan, judged, misfit
from flatlab.course.verdict.records import Record

Runner = Callable[[Path], Iterable[bytes]]
SECONDS = 120.0  # for one cell and for one check, as for a cell of the notebook
FLAGGED = {"malformed", "huge", "died", "timeout", "absent"}  # a person should see these
ENDED = "Not run: the process that runs the checks was ended."


def decide(
    notebook: NotebookNode | Path,
    chapter: Path,
    runner: Runner,
    seed: int | None = None,
    seconds: float = SECONDS,
) -> dict:
    """Points of every exercise of ``notebook``, decided outside the submission's reach.

    ``notebook``: a rebuilt notebook. ``chapter``: the chapter's source, solutions/NN-name.py.
    ``runner(job)`` runs ``job/worker.py`` apart from everything (see ``runners``) and returns the
    lines that it told. ``seed``: of the drawn inputs, by default a new secret one; the result holds it.
    ``seconds``: for one cell, and for one check.

    Returns plain data: ``chapter``, ``seed``, ``seconds`` (in the sandbox), ``exercises`` (name ->
    ``earned``, ``max``, ``message``, ``hidden``, ``failed``, ``trusts``), ``flags`` (what a person
    should look at: ``exercise``, ``check``, ``reason``, ``detail``).
    ``earned`` is None where checks were not run and none failed.
    ``message`` is what the notebook's check would say, "" where all is right; ``hidden`` says
    whether it is a hidden check's, so may tell of hidden inputs. ``failed``: each failed check's
    ``check``, ``aim``, ``hidden``, ``kind`` and ``message``. ``trusts``: aims of checks that rest on
    what the sandbox says of itself (calls counted, arguments left alone), and on which outputs.

    Raises ``NotRebuilt`` where the notebook holds no check cell of the chapter, ``ValueError`` where
    the chapter's source or its own answers are wrong. Nothing is left behind.
    """
    if not isinstance(notebook, NotebookNode):
        notebook = nbformat.read(notebook, as_version=4)
    seed = secrets.randbits(62) if seed is None else seed
    plan = planning.make(Path(chapter), seed)
    start = time.monotonic()
    wanted = job.jobs(notebook, plan)
    with tempfile.TemporaryDirectory(prefix="flatlab-verdict-", ignore_cleanup_errors=True) as name:
        folder = Path(name) / "job"  # the folder above keeps others out
        folder.mkdir()
        job.lay_out(folder, wanted, plan.chapter, seconds)
        found = records.read(runner(folder), [len(one.drawn) for one in wanted])
    lasted = time.monotonic() - start
    decided, flags = judge(plan, wanted, found, seconds)
    for reason in suspicions.find(cells.student_code(notebook, plan.chapter.release)):
        flags.append({"exercise": "", "check": "", "reason": "code", "detail": reason})
    return {
        "chapter": plan.chapter.name,
        "seed": seed,
        "seconds": lasted,
        "exercises": decided,
        "flags": flags,
    }


def judge(
    plan: Plan, wanted: Sequence[Job], found: Mapping[tuple[int, int], Record], seconds: float
) -> tuple[dict, list[dict]]:
    """Each exercise's result and the flags, from the records by job and check."""
    flags: list[dict] = []
    got: dict[tuple, Record] = {}
    for index, one in enumerate(wanted):
        for number, drawn in enumerate(one.drawn):
            key = one.graded.name, drawn.planned
            got[key] = found.get((index, number), Record("absent", ENDED))
    decided = {}
    for graded in plan.chapter.graded:
        drawn = plan.drawn[graded.name]
        seen = [(one, got.get((graded.name, one.planned), Record("absent"))) for one in drawn]
        decided[graded.name] = _exercise(graded, seen, seconds, flags)
    return decided, flags


def _exercise(
    graded: Graded, got: Sequence[tuple[Drawn, Record]], seconds: float, flags: list
) -> dict:
    """One exercise's result; what a person should see is added to ``flags``."""
    failed = []
    for one, record in got:
        kind, message = _decided(one, record, seconds)
        if message is None:
            continue
        planned = one.planned
        label = "hidden check: " if planned.hidden else ""
        head = f"✗ {planned.exercise}"
        if kind not in ("unwritten", "object"):
            head += f" ({label}{planned.aim})"
        failed.append(
            {
                "check": planned.exercise,
                "aim": planned.aim,
                "hidden": planned.hidden,
                "kind": kind,
                "message": f"{head}\n  {message}",
            }
        )
        if kind in FLAGGED:
            where = {"exercise": graded.name, "check": planned.aim}
            flags.append({**where, "reason": kind, "detail": record.text or message})
    trusts = {one.planned.aim: list(one.measured) for one, _ in got if one.measured}
    wrong = any(one["kind"] != "absent" for one in failed)
    return {
        "earned": 0.0 if wrong else None if failed else graded.points,
        "max": graded.points,
        "message": failed[0]["message"] if failed else "",
        "hidden": bool(failed) and failed[0]["hidden"],
        "failed": failed,
        "trusts": trusts,
    }


def _decided(one: Drawn, record: Record, seconds: float) -> tuple[str, str | None]:
    """How a check ended, and None where it passed, else its message."""
    check = one.planned.check
    if record.kind == "outputs":
        return _judged(check, one, record.outputs)
    messages = {
        "wrong": record.text,
        "error": explain_text(check, record.text),
        "missing": f"It stopped with {record.text}",
        "topic": f"It calls {record.text}, the package's ready answer. Write it yourself.",
        "object": f"This is a {record.text}, not a function.",
        "unwritten": "Not written yet.",
        "timeout": f"It was not done after {seconds:g} seconds.",
        "died": "Python itself stopped while it ran.",
        "skipped": "Not run: an earlier check did not come to its end.",
        "huge": "What it returned is too large to be read.",
        "malformed": "What it returned cannot be read.",
        "absent": record.text or "Its check cell is missing from the notebook.",
    }
    return record.kind, messages[record.kind]


def _judged(check: Check, one: Drawn, outputs: dict) -> tuple[str, str | None]:
    """The verdict on outputs that have the right form; any others fail."""
    wrong = misfit(one.form, outputs)
    if wrong:
        return "malformed", f"What it returned cannot be read: {wrong}."
    try:
        message = judged(check, one.inputs, outputs)
    except Exception as error:  # noqa: BLE001 - outputs that no check has foreseen
        return "malformed", f"What it returned cannot be judged: {type(error).__name__}."
    return "verdict", None if message is None else records.printable(str(message))
