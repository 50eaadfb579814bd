"""``flatlab submit``: what is in the zip, what is said of it, what is warned about and refused."""

import hashlib
import json
import os
import shutil
import sys
import types
import zipfile
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from pupils import FIRST, RELEASES, RIGHT, WRONG, answered, cell, fresh, ran, without

from flatlab import student
from flatlab.course.layout import Layout
from flatlab.course.rebuild import archive
from flatlab.student import submitting
from flatlab.student.cli import main
from flatlab.student.find import Unusable
from flatlab.student.zipped import zipped

FIRST_NAME = "00-start-here"
INSIDE = f"{FIRST_NAME}/{FIRST_NAME}.ipynb"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A folder with chapters 00 and 01, in which the commands run."""
    for name in (FIRST_NAME, "01-sharp-and-flat"):
        shutil.copytree(RELEASES / name, tmp_path / "notebooks" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    return tmp_path


@pytest.fixture
def path(course) -> Path:
    return course / "notebooks" / FIRST_NAME / f"{FIRST_NAME}.ipynb"


def flatlab(*words):
    return CliRunner().invoke(main, ["submit", *map(str, words)])


def inside(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return {info.filename: file.read(info) for info in file.infolist()}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_every_chapter_is_known_by_its_name():
    assert list(submitting.NAMES) == Layout.find(Path(__file__).parent).chapters()


def test_the_limits_are_the_graders():
    limits = archive.Limits()
    assert limits.entry == submitting.MOST
    assert limits.ratio > 2 * submitting.DENSE


def test_the_zip_holds_the_saved_bytes_under_the_chapters_name(course, path):
    nbformat.write(ran(answered(RIGHT, "Below 0.5.")), path)
    renamed = path.with_name("my work (3).ipynb")
    path.rename(renamed)
    for words in (["00"], ["0"], [renamed], [renamed.parent]):
        before = files(course)
        result = flatlab(*words)
        assert result.exit_code == 0, result.output
        made = course / f"{FIRST_NAME}.zip"
        assert set(files(course)) - set(before) <= {made}
        assert inside(made) == {INSIDE: renamed.read_bytes()}
        for data in (made.read_bytes(), renamed.read_bytes()):
            assert f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}" in result.output
        assert "2 of 2 done, 2 of 2 points in reach\n" in result.output
        assert "handed in as it is" not in result.output
        assert "Nothing was sent" in result.output


def _every(key):
    """No code cell has this key."""

    def change(notebook):
        for each in notebook["cells"]:
            if each["cell_type"] == "code":
                each.pop(key)

    return change


def _output(**given):
    """The check's printed lines with another output after them."""

    def change(notebook):
        (check,) = [c for c in notebook["cells"] if c["id"] == "check-gradient_step"]
        check["outputs"].append(given)

    return change


def _cell(identity, **given):
    def change(notebook):
        (found,) = [c for c in notebook["cells"] if c["id"] == identity]
        found.update(given)
        for key in [key for key, value in given.items() if value is ...]:
            del found[key]

    return change


INCOMPLETE = {
    "no numbers": (_every("execution_count"), "passed"),
    "a number in words": (_cell("gradient_step", execution_count="one"), "passed"),
    "no outputs": (_every("outputs"), "failed"),
    "no source": (_cell("settings", source=...), "passed"),
    "a source of nothing": (_cell("settings", source=None), "passed"),
    "no text": (_output(output_type="stream", name="stdout"), "passed"),
    "a text of nothing": (_output(output_type="stream", text=None), "passed"),
    "no type of output": (_output(text="-"), "passed"),
    "no message": (_output(output_type="error"), "passed"),
    "no type of answer": (_cell("gradient_step", cell_type=...), "failed"),
    "no type of check": (_cell("check-gradient_step", cell_type=...), "failed"),
}


@pytest.mark.parametrize("case", INCOMPLETE)
def test_what_an_editor_leaves_out_stops_nothing(course, path, case):
    change, state = INCOMPLETE[case]
    notebook = json.loads(nbformat.writes(ran(answered(RIGHT, "Below 0.5."))))
    change(notebook)
    path.write_text(json.dumps(notebook), encoding="utf-8")
    result = flatlab("00")
    assert result.exit_code == 0, result.output
    assert f"  {state:10} gradient_step" in result.output
    assert inside(course / f"{FIRST_NAME}.zip") == {INSIDE: path.read_bytes()}
    assert CliRunner().invoke(main, ["progress"]).exit_code == 0


@pytest.mark.skipif(os.name != "posix", reason="Windows makes up a home for every name")
def test_a_home_that_nobody_has_is_a_name_like_any_other(course):
    result = flatlab("~nobody_x/a.ipynb")
    assert result.exit_code == 2
    assert "~nobody_x/a.ipynb is not there" in result.output
    assert flatlab("00", "--out", "~nobody_x").exit_code == 0
    assert (course / "~nobody_x" / f"{FIRST_NAME}.zip").is_file()


@pytest.mark.skipif(os.name != "posix", reason="no such modes")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_who_may_read_the_zip_is_as_for_any_new_file(course, umask, mode):
    before = os.umask(umask)
    try:
        flatlab("00")
    finally:
        os.umask(before)
    assert (course / f"{FIRST_NAME}.zip").stat().st_mode & 0o777 == mode


def test_what_is_not_done_is_said_and_handed_in(course, path):
    nbformat.write(ran(answered(WRONG, "Below 0.5.")), path)
    result = flatlab("00", "--out", "to/hand in")
    assert result.exit_code == 0
    assert "  failed     gradient_step         1 point\n" in result.output
    assert "three weights" in result.output
    assert "  answered   open: two-curvatures  1 point\n" in result.output
    assert "1 of 2 done, 1 of 2 points in reach; the rest is handed in as it is" in result.output
    assert "  by the outputs saved in it: flatlab check " in result.output
    made = course / "to" / "hand in" / f"{FIRST_NAME}.zip"
    assert inside(made) == {INSIDE: path.read_bytes()}


def test_a_student_can_be_named_and_several_chapters_go_at_once(course, path):
    result = flatlab("00", "01", "--student", "j.doe_7")
    assert result.exit_code == 0, result.output
    one, two = (course / f"{name}-j.doe_7.zip" for name in (FIRST_NAME, "01-sharp-and-flat"))
    assert list(inside(one)) == [f"j.doe_7/{INSIDE}"]
    assert list(inside(two)) == ["j.doe_7/01-sharp-and-flat/01-sharp-and-flat.ipynb"]


def test_the_same_notebook_gives_the_same_zip_and_another_replaces_it(course, path):
    made = course / f"{FIRST_NAME}.zip"
    assert "wrote 00-start-here.zip" in flatlab("00").output
    first = made.read_bytes()
    os.utime(path, (1, 1))
    assert "replaced 00-start-here.zip" in flatlab("00").output
    assert made.read_bytes() == first
    nbformat.write(answered(RIGHT), path)
    flatlab("00")
    assert inside(made) == {INSIDE: path.read_bytes()}
    assert [found.name for found in course.iterdir()].count(made.name) == 1


def _later(path: Path, notebook) -> None:
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)
    os.utime(path, (os.stat(path).st_atime + 60, os.stat(path).st_mtime + 60))


def _copied(notebook):
    at = notebook.cells.index(cell(notebook, "gradient_step"))
    notebook.cells.insert(at, nbformat.v4.new_code_cell(notebook.cells[at].source))
    return notebook


def _unmarked(notebook):
    found = cell(notebook, "gradient_step")
    found.metadata = {}
    found.source = found.source.replace("# exercise: gradient_step\n", "")
    return notebook


def _bare(notebook):
    """No heading, answer or check of the exercise."""
    for name in ("text-264cb5437de4", "gradient_step", "check-gradient_step"):
        without(notebook, name)
    return notebook


def _large(notebook):
    text = os.urandom(6 * 2**20).hex()
    cell(notebook, "settings").outputs = [nbformat.v4.new_output("stream", text=text)]
    return notebook


def _headless(notebook):
    return without(without(notebook, "setup"), "text-b017d8d5788b")


WARNED = {
    "a marker is gone": (_unmarked, "No cell begins with `# exercise: gradient_step`"),
    "the check is gone": (
        lambda n: without(n, "check-gradient_step"),
        "gradient_step lacks a cell",
    ),
    "the question is gone": (
        lambda n: without(n, "open-two-curvatures"),
        "Open question lacks a cell",
    ),
    "all of it is gone": (_bare, "Nothing is left of the exercise gradient_step"),
    "two answers": (_copied, "gradient_step has more than one cell"),
    "large": (_large, "It has 12 MiB, most of it outputs"),
    "no setup and no title": (_headless, "Its setup cell and title are gone"),
}


@pytest.mark.parametrize("case", WARNED)
def test_what_could_trip_up_the_grader_is_warned_about(course, path, case):
    change, said = WARNED[case]
    nbformat.write(change(answered(RIGHT, "Below 0.5.")), path)
    result = flatlab("00")
    assert result.exit_code == 1
    assert f"\n  ! {said}" in result.output
    assert inside(course / f"{FIRST_NAME}.zip") == {INSIDE: path.read_bytes()}


@pytest.mark.parametrize(
    "copy", [f".ipynb_checkpoints/{FIRST_NAME}-checkpoint.ipynb", "other.ipynb"]
)
def test_a_copy_that_was_saved_later_is_warned_about(path, copy):
    beside = path.parent / copy
    _later(beside, fresh())
    shutil.copyfile(beside, path)
    assert flatlab("00").exit_code == 0  # the same content
    _later(beside, answered(RIGHT))
    result = flatlab("00")
    assert result.exit_code == 1
    assert f"! {copy} beside it was saved later" in result.output
    os.utime(beside, (1, 1))
    assert flatlab("00").exit_code == 0


def test_a_notebook_in_the_wrong_place(course, path):
    other = course / "notebooks" / "01-sharp-and-flat" / "01-sharp-and-flat.ipynb"
    shutil.copyfile(path, other)
    result = flatlab("01")
    assert result.exit_code == 2
    assert "holds chapter 00, not 01: give its path" in result.output
    result = flatlab(other)
    assert result.exit_code == 1
    assert "Its name says chapter 01, its cells say 00" in result.output
    assert list(inside(course / f"{FIRST_NAME}.zip")) == [INSIDE]
    result = flatlab("00", other)
    assert result.exit_code == 2
    assert "are both 00-start-here: give one" in result.output


def _unnumbered(notebook):
    notebook = _headless(notebook)
    return nbformat.writes(notebook).encode()


BAD = {
    "empty": (b"", "is empty"),
    "cut": (FIRST.read_bytes()[:6000], "it breaks at line"),
    "bytes": (b'{"cells": "\xff"}', "cannot be read"),
    "other": (nbformat.writes(nbformat.v4.new_notebook()).encode(), "no exercise of this course"),
    "unnumbered": (_unnumbered(fresh()), "no longer says which chapter"),
    "unknown": (FIRST.read_bytes().replace(b"chapter00", b"chapter77"), "knows no chapter 77"),
    "huge": (FIRST.read_bytes() + b" " * 2**26, "has 64 MiB, and the grader takes 64"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_handed_in_is_refused_before_anything_is_written(course, case):
    data, said = BAD[case]
    (course / "it.ipynb").write_bytes(data)
    before = files(course)
    result = flatlab("00", "it.ipynb", "--out", "new")
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.splitlines()) == 1
    assert files(course) == before
    assert not (course / "new").exists()
    unreadable = case in ("empty", "cut", "bytes")
    assert ("hand in the file itself" in result.output) == unreadable


@pytest.mark.parametrize("name", ["../x", "a/b", "-x", "x-", "_x", "x y", ".."])
def test_a_students_name_is_a_folders(course, name):
    before = files(course)
    result = flatlab("00", f"--student={name}")
    assert result.exit_code == 2
    assert "cannot name a folder" in result.output
    assert files(course) == before


def test_a_place_that_cannot_be_written_is_said_and_the_old_zip_stays(course, path, monkeypatch):
    (course / "file").write_text("-")
    for out in ("file", "file/deeper", "01.zip", "x" * 5000):
        result = flatlab("00", "--out", out)
        assert result.exit_code == 2
        assert "folder" in result.output or "--out" in result.output
    flatlab("00")
    before = {found: found.read_bytes() for found in files(course)}
    nbformat.write(answered(RIGHT), path)
    before[path] = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(submitting.os, "fsync", full)
    result = flatlab("00")
    assert result.exit_code == 2
    assert "No space left on device" in result.output
    assert {found: found.read_bytes() for found in files(course)} == before


def test_what_reads_back_otherwise_is_not_called_written(path, monkeypatch):
    monkeypatch.setattr(submitting, "zipped", lambda files: zipped(dict.fromkeys(files, b"-")))
    result = flatlab("00")
    assert result.exit_code == 2
    assert "does not hold what was written" in result.output


def test_dense_outputs_are_no_zip_bomb_to_the_grader(course, path):
    notebook = answered(RIGHT)
    text = "0" * 5 * 2**20
    cell(notebook, "settings").outputs = [nbformat.v4.new_output("stream", text=text)]
    nbformat.write(notebook, path)
    assert flatlab("00").exit_code == 0
    assert archive.only_notebook((course / f"{FIRST_NAME}.zip").read_bytes()) == path.read_bytes()
    bomb = zipped({INSIDE: path.read_bytes()})
    with pytest.raises(archive.ArchiveRefused):
        archive.only_notebook(bomb)


def test_in_colab_the_open_notebook_is_taken(course, monkeypatch):
    with pytest.raises(Unusable, match="Say which notebook"):
        student.submit()
    shown = json.loads(nbformat.writes(ran(answered(RIGHT, "Below 0.5."))))
    colab = types.ModuleType("google.colab")
    colab._message = types.SimpleNamespace(
        blocking_request=lambda what, timeout_sec: {"ipynb": shown}
    )
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    said = []
    assert student.submit(out=course / "o", say=said.append) is True
    (data,) = inside(course / "o" / f"{FIRST_NAME}.zip").values()
    assert json.loads(data) == shown
    assert said[0] == "this notebook, as it stands here"
    assert "  2 of 2 done, 2 of 2 points in reach" in said
    assert "  by the outputs saved in it: flatlab.student.check() runs the checks anew" in said


def test_a_notebook_that_is_being_checked_writes_nothing(course, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    before, said = files(course), []
    assert student.submit("00", say=said.append) is True
    assert "nothing is written" in said[0]
    assert files(course) == before


def test_the_same_files_are_the_same_zip_on_windows(monkeypatch):
    here = zipped({"a": b"1"})
    monkeypatch.setattr("sys.platform", "win32")
    assert zipped({"a": b"1"}) == here
