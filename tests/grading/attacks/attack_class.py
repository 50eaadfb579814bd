"""Two classes of attackers with honest neighbors: each handed in, graded and reported as one batch."""

from __future__ import annotations

import os
import re
import socket
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from attack_files import FILES
from harness import transplant
from target_chapter import NAME, answer, make_course, submission

from flatlab.course import reports
from flatlab.course.batch import Journal, Way, grade_all
from flatlab.course.batch.desk import releases
from flatlab.course.execute import dumps
from flatlab.course.grading import Limits
from flatlab.course.layout import Layout
from flatlab.course.rebuild import collect

CASES = Path(__file__).parent / "cases"
LIMITS = Limits(
    cell_seconds=20,
    total_seconds=150,
    start_seconds=60,
    cpu_seconds=100,
    memory=3072,
    total_memory=3584,
    processes=24,
    threads=256,
    restarts=3,
    folder_size=96,
    file_size=24,
    total_output=4.0,
)
SEED = 7
OPTIONS = ("tries", "listed", "chapter", "exercise")  # of a cell in CASES
EVERY = 12  # attacks between two honest neighbors
# Of `make test-all`: each of them has a relative in the class of `make test`.
OTHERS = [
    "checks-own-answer",
    "emptied-check",
    "patched-code",
    "patched-compare",
    "patched-failure",
    "patched-numpy",
    "silent-tracebacks",
    "input-transformer",
    "patched-run-cell",
    "tracing",
    "exit",
    "late-thread",
    "disk-flood",
    "endless",
    "links",
    "array-subclass",
    "number-subclass",
    "huge-answer",
    "frame-walk",
    "memory-scan",
    "written-results",
    "startup-file",
    "forged-lines",
    "neighbors",
    "environment",
    "settings-beside",
    "zip-link",
    "nested-zips",
    "huge-notebook",
]
SECRET = "environment-canary-5520"
NEIGHBOR = "neighbor-canary-8842"


@dataclass(frozen=True)
class Attack:
    """What is tried, and the text of the attacked answer's cell; none where the file attacks.

    ``listed``: the check that it forges, where that is known not to be held off. ``chapter``: one of
    the course's own, of which it answers ``exercise`` alone.
    """

    name: str
    tries: str
    text: str = ""
    listed: str = ""
    chapter: str = NAME
    exercise: str = "gradient_step"

    @property
    def part(self) -> str:
        """The class in which it is."""
        return "others" if self.name in OTHERS else "each-time"


def attacks() -> list[Attack]:
    """All of them, in a fixed order."""
    found = []
    for path in sorted(CASES.glob("*.py")):
        for cell in jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent").cells:
            if cell.cell_type == "code":
                told = {key: cell.metadata[key] for key in OPTIONS if key in cell.metadata}
                found.append(Attack(cell.metadata["attack"], text=cell.source, **told))
    return [*found, *(Attack(name, plant.__doc__ or "") for name, plant in FILES.items())]


@dataclass(frozen=True)
class Outcome:
    """What became of the class."""

    part: str
    records: dict[str, dict]
    feedback: dict[str, str]
    alone: dict  # the honest submission's record, graded by itself
    came: list  # who connected to the listener
    layout: Layout
    changed: list[str]  # files of the course that were changed


@contextmanager
def listener():
    """A server on loopback that counts who came."""
    came: list = []
    done = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.settimeout(0.2)

        def serve() -> None:
            while not done.is_set():
                try:
                    connection, address = server.accept()
                except TimeoutError:
                    continue
                connection.close()
                came.append(address)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], came
        finally:
            done.set()
            thread.join()


def hand_in(layout: Layout, folder: Path, port: int, part: str) -> None:
    """Everybody's files below ``folder``, the honest ones between the others."""
    target = [attack for attack in attacks() if (attack.chapter, attack.part) == (NAME, part)]
    for number, attack in enumerate(target):
        if number % EVERY == 0:
            _place(folder, f"honest-{number // EVERY}").write_text(_honest(layout))
        path = _place(folder, attack.name)
        wrong = answer("gradient_step", "+")
        if attack.name in FILES:
            FILES[attack.name](submission(layout, wrong), path.parent)
            continue
        text = attack.text.replace("LISTENER_PORT", str(port))
        own = re.search(r"^(def|class) gradient_step\b", text, re.MULTILINE)
        path.write_text(dumps(submission(layout, text if own else f"{wrong}\n\n\n{text}")))


def hand_in_chapters(layout: Layout, folder: Path, part: str) -> None:
    """The attacks on the course's own chapters."""
    folder.mkdir()
    for attack in attacks():
        if attack.chapter != NAME and attack.part == part:
            release = nbformat.read(layout.release(attack.chapter), as_version=4)
            made = transplant(release, {attack.exercise: attack.text})
            _place(folder, attack.name, attack.chapter).write_text(dumps(made))


def _honest(layout: Layout) -> str:
    return dumps(submission(layout, answer("gradient_step"), NEIGHBOR))


def _place(folder: Path, student: str, chapter: str = NAME) -> Path:
    path = folder / student / chapter / f"{chapter}.ipynb"
    path.parent.mkdir(parents=True)
    return path


def grade_class(root: Path, part: str) -> Outcome:
    """Grade this class below ``root``, two at a time, and one honest submission by itself before it."""
    layout = make_course(root / "course")
    known = releases(layout, [NAME])
    settings = {"layout": layout, "limits": LIMITS, "seed": SEED}
    lone, folder, out = root / "alone", root / "submitted", root / "out"
    _place(lone, "honest-0").write_text(_honest(layout))
    before = _files(layout.root)
    os.environ["FLATLAB_TEST_SECRET"] = SECRET
    try:
        with listener() as (port, came), Journal(root / "lone").held() as journal:
            hand_in(layout, folder, port, part)
            (alone,) = grade_all(collect(lone, known), journal, **settings)
            with Journal(out).held() as journal:
                two = Way(jobs=2)
                records = grade_all(collect(folder, known), journal, way=two, **settings)
            own = Layout.find(Path(__file__).parent)
            hand_in_chapters(own, root / "own", part)
            with Journal(root / "own-out").held() as journal:
                handed = collect(root / "own", releases(own, own.chapters()))
                settings["layout"] = own
                more = grade_all(handed, journal, way=two, **settings)
    finally:
        del os.environ["FLATLAB_TEST_SECRET"]
    reports.write(records, out, layout=layout)
    reports.write(more, out, layout=own)
    records += more
    pages = {
        record["student"]: out / f"feedback/{record['student']}/{chapter}/{chapter}.html"
        for record in records
        for chapter in [record["chapter"]]
    }
    feedback = {name: page.read_text() for name, page in pages.items() if page.is_file()}
    after = _files(layout.root)
    changed = [name for name in {*before, *after} if before.get(name) != after.get(name)]
    by_student = {record["student"]: record for record in records}
    return Outcome(part, by_student, feedback, alone, came, layout, changed)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
