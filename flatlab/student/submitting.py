"""``flatlab submit``: the zip to hand in, of a notebook as it is saved. Nothing is sent."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
import shlex
import time
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from flatlab.notebook import is_grading
from flatlab.student.chapter import Chapter, copies, outline
from flatlab.student.find import Taken, Unusable, parse, take
from flatlab.student.progress import row
from flatlab.student.states import DONE, FAILED, State, lines, states
from flatlab.student.zipped import zipped

# A notebook is handed in under its chapter's name, whatever its file is called by now.
NAMES = (
    "00-start-here",
    "01-sharp-and-flat",
    "02-which-minima-are-stable",
    "03-noise-eta-over-s",
    "04-heavy-tails",
    "05-sharpness-aware",
    "06-mode-connectivity",
    "07-grokking",
    "08-double-descent",
)
MOST = 64 * 2**20  # bytes; a grader reads no larger notebook
LARGE = 10 * 2**20  # bytes; some learning platforms take no larger file
DENSE = 100  # unpacked over packed; a grader takes three times that for a zip bomb
_IMPORT = re.compile(r"^\s*from flatlab\.checks import chapter(\d\d) as check\b", re.MULTILINE)
_TITLE = re.compile(r"^# (\d\d) · ", re.MULTILINE)
_STUDENT = re.compile(r"[^\W_](?:[\w.-]*[^\W_])?")
_NOT_READ = "If there is no time left, hand in the file itself: the grader reads what can be read."


@dataclass(frozen=True)
class Entry:
    """A notebook on its way into a zip."""

    taken: Taken
    chapter: str  # 01-sharp-and-flat
    outline: Chapter
    states: list[State]
    warnings: list[str]


def submit(
    *notebooks: str | Path,
    out: str | Path = ".",
    student: str = "",
    say: Callable[[str], object] = print,
) -> bool:
    """Write a zip to hand in for each notebook, and say what is in it.

    ``notebooks`` are chapters (``"01"``) or paths, taken as saved; in Colab they may be left out:
    the open notebook is taken as it stands on the screen. The zip ``out``/CHAPTER.zip holds
    CHAPTER/CHAPTER.ipynb, byte by byte what was saved. With ``student``, an identifier, it is
    CHAPTER-STUDENT.zip and holds STUDENT/CHAPTER/CHAPTER.ipynb, which says whose it is where no
    learning platform does. A zip of that name is replaced. Exercises that are not done are listed
    and handed in as they are. Returns True where nothing was found that could trip up the grader.
    Raises ``Unusable``, a ``ValueError``, before anything is written, for what is no notebook of
    the course, for two of one chapter, and for one of more than 64 MiB.
    """
    if is_grading():
        say("○ flatlab submit: this notebook is being checked; nothing is written.")
        return True
    if student and not _STUDENT.fullmatch(student):
        raise Unusable(
            f"{student!r} cannot name a folder: give letters, digits and, between them, . _ and -."
        )
    folder = Path(os.path.expanduser(out))  # Path's own raises where there is no such user
    file = os.path.exists(folder) or folder.suffix.lower() == ".zip"
    if file and not os.path.isdir(folder):  # Path's own raise where a name is too long
        raise Unusable(f"{folder} is not a folder: give one for the zip.")
    entries = [_entry(each) for each in notebooks or (None,)]
    _refuse_two_of_one(entries)
    for entry in entries:
        for line in _told(entry):
            say(line)
        _write(entry, folder, student, say)
    say("Nothing was sent: hand in the zip where your course collects them.")
    return not any(entry.warnings for entry in entries)


def _entry(wanted: str | Path | None) -> Entry:
    """The notebook that is wanted, looked at."""
    taken = take(wanted)
    if len(taken.data) > MOST:
        raise Unusable(
            f"{taken.name} has {len(taken.data) / 2**20:.0f} MiB, and the grader takes "
            f"{MOST // 2**20}: Edit, Clear Outputs of All Cells, save, and submit again."
        )
    try:
        notebook = parse(taken.data, taken.name)
    except Unusable as error:
        raise Unusable(f"{error} {_NOT_READ}") from error
    chapter = outline(notebook, taken.name)
    number, told = _number(notebook, taken)
    asked = re.fullmatch(r"(\d{1,2})(-[\w-]+)?", str(wanted))
    asked = asked[1].zfill(2) if asked else number
    if asked != number:
        raise Unusable(
            f"{taken.name} holds chapter {number}, not {asked}: give its path to hand it in as "
            f"chapter {number}, or the path of the notebook that holds {asked}."
        )
    name = next((name for name in NAMES if name.startswith(f"{number}-")), None)
    if name is None:
        raise Unusable(f"This flatlab knows no chapter {number}: install the course's newest one.")
    warnings = [*told, *_newer(taken, number), *_missing(notebook, chapter, number)]
    for task in copies(notebook):
        warnings.append(f"{task} has more than one cell for the answer: keep the one that counts.")
    if len(taken.data) > LARGE:
        warnings.append(
            f"It has {len(taken.data) / 2**20:.0f} MiB, most of it outputs, which nobody grades; "
            "if the learning platform refuses it: Edit, Clear Outputs of All Cells, save."
        )
    return Entry(taken, name, chapter, states(notebook, chapter), warnings)


def _number(notebook, taken: Taken) -> tuple[str, list[str]]:
    """The chapter's number by what the notebook holds, else by its name; and what is odd in it."""
    named = re.match(r"\d\d(?=-)", taken.path.name if taken.path else "")
    for pattern, kind in ((_IMPORT, "code"), (_TITLE, "markdown")):
        for cell in notebook.cells:
            if cell.cell_type == kind and (match := pattern.search(cell.source)):
                if named and named[0] != match[1]:
                    odd = (
                        f"Its name says chapter {named[0]}, its cells say {match[1]}, which counts."
                    )
                    return match[1], [odd]
                return match[1], []
    if named:
        odd = (
            "Its setup cell and title are gone, so that its name says the chapter: take both from "
            "a fresh notebook."
        )
        return named[0], [odd]
    raise Unusable(
        f"{taken.name} no longer says which chapter it is: take the cell `# setup` from a fresh "
        "notebook of the chapter."
    )


def _newer(taken: Taken, number: str) -> Iterable[str]:
    """Copies of the same chapter that were saved after the notebook and hold something else."""
    if taken.path is None:
        return
    path = taken.path.resolve()
    copy = path.parent / ".ipynb_checkpoints" / f"{path.stem}-checkpoint.ipynb"
    saved = path.stat().st_mtime
    for other in (copy, *sorted(path.parent.glob("*.ipynb"))):
        with contextlib.suppress(OSError):  # a copy that cannot be read is none to hand in
            if other.stat().st_mtime <= saved + 1:
                continue
            data = other.read_bytes()
            if data != taken.data and f"import chapter{number} as check".encode() in data:
                yield (
                    f"{other.relative_to(path.parent)} beside it was saved later, {_clock(other)}: "
                    "is that the one to hand in? Then give its path."
                )


def _missing(notebook, chapter: Chapter, number: str) -> Iterable[str]:
    """Cells that the chapter has and the notebook does not."""
    from importlib import import_module

    from flatlab.checks import Exercise

    for task in chapter.tasks:
        if task.answer is None and task.name and not task.open:
            yield (
                f"No cell begins with `# exercise: {task.name}`: put that line above your answer, "
                "or take the cell from a fresh notebook."
            )
        elif task.answer is None or (task.check is None and not task.open):
            yield f"{task.name or task.heading} lacks a cell: take it from a fresh notebook."
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    called = set(re.findall(r"^\s*check\.(\w+)\(", code, re.MULTILINE))
    named = {task.name for task in chapter.tasks}
    for exercise in vars(import_module(f"flatlab.checks.chapter{number}")).values():
        if isinstance(exercise, Exercise) and exercise.name not in called | named:
            yield f"Nothing is left of the exercise {exercise.name}: take it from a fresh notebook."


def _refuse_two_of_one(entries: list[Entry]) -> None:
    seen: dict[str, Entry] = {}
    for entry in entries:
        if before := seen.get(entry.chapter):
            raise Unusable(
                f"{before.taken.name} and {entry.taken.name} are both {entry.chapter}: give one."
            )
        seen[entry.chapter] = entry


def _told(entry: Entry) -> Iterable[str]:
    """What the notebook holds, and what could trip up the grader."""
    path = entry.taken.path
    yield f"{entry.taken.name}, {f'saved {_clock(path)}' if path else 'as it stands here'}"
    for state, line in lines(entry.states):
        yield line
        if state.state == FAILED:
            yield f"{'':13}{state.message.splitlines()[0].strip()}"
    done = sum(state.state in DONE for state in entry.states)
    reach, points = row(entry.chapter, entry.outline, entry.states).points
    rest = "" if done == len(entry.states) else "; the rest is handed in as it is"
    yield f"  {done} of {len(entry.states)} done, {reach:g} of {points:g} points in reach{rest}"
    anew = f"flatlab check {shlex.quote(str(path))}" if path else "flatlab.student.check()"
    yield f"  by the outputs saved in it: {anew} runs the checks anew"
    yield from (f"  ! {warning}" for warning in entry.warnings)


def _write(entry: Entry, folder: Path, student: str, say: Callable[[str], object]) -> None:
    """The zip, whole or not at all; what is said of it is what was read back."""
    name = "/".join(filter(None, (student, entry.chapter, f"{entry.chapter}.ipynb")))
    path = folder / f"{'-'.join(filter(None, (entry.chapter, student)))}.zip"
    packed = zipped({name: entry.taken.data})
    if len(entry.taken.data) > DENSE * len(packed):
        packed = zipped({name: entry.taken.data}, zipfile.ZIP_STORED)
    made = folder / f".submit-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        what = "replaced" if path.exists() else "wrote"
        with made.open("xb") as file:  # tempfile's could be read by the owner alone
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
        there = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(there)) as archive:
            inside = archive.read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise Unusable(f"{path} cannot be written ({error}): give another --out.") from error
    if inside != entry.taken.data:
        raise Unusable(f"{path} does not hold what was written: give another --out.")
    say(f"{what} {path}: {len(there)} bytes, sha256 {hashlib.sha256(there).hexdigest()}")
    say(f"  in it {name}: {len(inside)} bytes, sha256 {hashlib.sha256(inside).hexdigest()}")


def _clock(path: Path) -> str:
    """When the file was last written, by this machine's clock."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
