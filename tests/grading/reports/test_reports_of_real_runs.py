"""Reports of submissions that went the whole way: rebuilt, run in the sandbox, decided outside."""

import csv
import re
from pathlib import Path

import nbformat
import pytest
from harness import submissions

from flatlab.course.batch import grade
from flatlab.course.execute import dumps
from flatlab.course.grading import available
from flatlab.course.layout import Layout
from flatlab.course.reports import write
from flatlab.course.source import read_chapter, regions

pytestmark = [
    pytest.mark.grading,
    pytest.mark.slow,
    pytest.mark.beside,
    pytest.mark.skipif(bool(available()), reason=f"no sandbox: {available()}"),
]

CHAPTER = "00-start-here"
LAYOUT = Layout.find(Path(__file__).parent)
# Says in an exception, in its own name and on every stream whatever its process knows of checks.
SPY = """
def gradient_step(w, gradient, learning_rate):
    import gc, inspect, sys
    found = []
    for item in gc.get_objects():
        kind = type(item)
        if issubclass(kind, type) and "call" in vars(item):
            found.append(f"{item.__name__} {dict(vars(item))!r}")
        elif kind in (str, bytes) and "hidden" in str(item):
            found.append(str(item))
        elif kind is dict and any(type(key) is str and "hidden" in key for key in list(item)):
            found.append(str(list(item)))
    for frame in inspect.stack():
        found.append(repr(frame.frame.f_locals))
    for path in ("/job/jobs", "/job/common.json", "gradebook.db"):
        try:
            found.append(open(path, errors="replace").read())
        except OSError:
            pass
    text = " ".join(found)
    print(text)
    print(text, file=sys.stderr)
    raise type("Leak " + text[:200], (Exception,), {})(text)
"""


def secrets() -> set[str]:
    """The lines of the chapter's hidden tests that stand nowhere else."""
    public = LAYOUT.release(CHAPTER).read_text("utf-8")
    for path in (LAYOUT.root / "flatlab" / "checks").rglob("*.py"):
        public += path.read_text("utf-8")
    cells = read_chapter(LAYOUT.source(CHAPTER)).of("check")
    text = "\n".join(regions(cell.text, "HIDDEN TESTS").text for cell in cells)
    found = {line.strip() for line in text.split("\n")}
    found |= set(re.findall(r'"([^"\n{}]{12,})"', text)) | set(re.findall(r"^class (\w+)", text))
    return {piece for piece in found if len(piece) > 11 and piece not in public}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Right, wrong with all metadata lost, and a spy, graded and reported."""
    handed = submissions(LAYOUT, CHAPTER)
    bare = nbformat.reads(handed["wrong-1"], as_version=4)
    for cell in bare.cells:
        cell.metadata = nbformat.NotebookNode()
    spy = nbformat.reads(handed["untouched"], as_version=4)
    (answer,) = [c for c in spy.cells if c.metadata.get("nbgrader", {}).get("solution")][:1]
    answer.source = f"{answer.source.split(chr(10))[0]}\n{SPY}"
    texts = {"ada": handed["right-1"], "bob": dumps(bare), "eve": dumps(spy)}
    records = []
    for student, text in texts.items():
        record = grade(text.encode(), CHAPTER, layout=LAYOUT)
        records.append(record | {"student": student, "name": f"{student} <b>"})
    out = tmp_path_factory.mktemp("reports")
    write(records, out, layout=LAYOUT)
    return out


def feedback(folder: Path, student: str) -> str:
    path = folder / "feedback" / student / CHAPTER / f"{CHAPTER}.html"
    return path.read_text("utf-8")


def test_points_and_messages(folder):
    with (folder / f"{CHAPTER}.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert {name: row["gradient_step"] for name, row in rows.items()} == {
        "ada": "1",
        "bob": "0",
        "eve": "0",
    }
    assert "Right." in feedback(folder, "ada")
    assert "It goes uphill" in feedback(folder, "bob")


def test_what_was_rebuilt_is_told_kindly(folder):
    assert "We found your answer to gradient_step" in feedback(folder, "bob")
    assert "Your file" not in feedback(folder, "ada")


def test_a_spy_finds_nothing_of_the_hidden_checks_in_its_feedback(folder):
    told = feedback(folder, "eve")
    assert "It stopped with an error." in told
    assert len(secrets()) > 4
    assert [piece for piece in secrets() if piece in told] == []
    assert "Leak" not in told and "Traceback" not in told


def test_the_instructor_sees_the_spy(folder):
    page = (folder / f"{CHAPTER}.html").read_text("utf-8")
    assert "gc walks the objects of the process" in page
    assert "<b>" in page and "eve &lt;b&gt;" in page and "eve <b>" not in page
