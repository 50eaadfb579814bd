"""The students' commands: which notebook they take, what they say of bad input, their status."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import types

import nbformat
import pytest
from click.testing import CliRunner
from pupils import FIRST, RIGHT, WRONG, answered, cell, fresh

from flatlab import student
from flatlab.student import checking
from flatlab.student.cli import main
from flatlab.student.find import Unusable, locate


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A folder with chapters 00 and 01, in which the commands run."""
    for name in ("00-start-here", "01-next"):
        (tmp_path / "notebooks" / name).mkdir(parents=True)
        shutil.copy(FIRST, tmp_path / "notebooks" / name / f"{name}.ipynb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    return tmp_path


def flatlab(*words):
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize("where", ["", "notebooks", "notebooks/00-start-here"])
@pytest.mark.parametrize("wanted", ["1", "01", "01-next"])
def test_a_chapter_is_found_from_anywhere_in_the_course(course, where, wanted):
    assert locate(wanted, course / where) == (course / "notebooks/01-next/01-next.ipynb").resolve()


def test_a_path_and_a_folder_are_taken(course):
    path = course / "notebooks" / "01-next" / "01-next.ipynb"
    assert locate("notebooks/01-next/01-next.ipynb", course) == path
    assert locate("notebooks/01-next", course) == path
    assert locate(str(path), course / "notebooks") == path


def test_a_download_beside_is_taken_and_two_are_asked_about(tmp_path):
    shutil.copy(FIRST, tmp_path / "00-start-here (1).ipynb")
    assert locate("00", tmp_path).name == "00-start-here (1).ipynb"
    shutil.copy(FIRST, tmp_path / "00-start-here-Copy1.ipynb")
    with pytest.raises(Unusable, match="give the file's name"):
        locate("00", tmp_path)


def test_in_a_chapters_folder_the_name_that_begins_like_it_counts(course):
    folder = course / "notebooks" / "01-next"
    mine = (folder / "01-next.ipynb").rename(folder / "01-next-mine.ipynb")
    shutil.copy(FIRST, folder / "Untitled.ipynb")
    assert locate("01", course) == mine
    assert "\n01-next " in flatlab("progress").output


def test_a_chapter_that_fits_several_notebooks_is_told(course):
    folder = course / "notebooks" / "01-next"
    (folder / "01-next.ipynb").rename(folder / "old.ipynb")
    shutil.copy(FIRST, folder / "new.ipynb")
    said = "Chapter 01-next fits 'new.ipynb', 'old.ipynb': name one 01-next.ipynb, or give its path"
    for words, status in ((["hint", "01"], 2), (["progress"], 1)):
        result = flatlab(*words)
        assert result.exit_code == status
        assert said in result.output
    assert result.output.startswith("chapter ")
    assert "00-start-here" in result.output


BAD = {
    "no such chapter": (["7"], "There is no chapter 7; there are: 00-start-here, 01-next."),
    "no such file": (["x.ipynb"], "x.ipynb is not there"),
    "a folder of many": (["notebooks"], "notebooks is no notebook or several"),
    "a text": (["x" * 5000], "xx is not there"),
    "empty": (["empty.ipynb"], "empty.ipynb is empty"),
    "cut": (["cut.ipynb"], "is no notebook: it breaks at line"),
    "conflict": (["conflict.ipynb"], "is no notebook: it holds a merge conflict"),
    "bytes": (["bytes.ipynb"], "bytes.ipynb cannot be read"),
    "list": (["list.ipynb"], "list.ipynb is JSON without cells"),
    "odd": (["odd.ipynb"], "is no notebook that can be read"),
    "other": (["other.ipynb"], "other.ipynb holds no exercise of this course"),
}


@pytest.fixture
def damaged(course):
    text = FIRST.read_text(encoding="utf-8")
    half = len(text) // 2
    for name, data in {
        "empty": b"",
        "cut": text[:half].encode(),
        "conflict": (text[:half] + "\n<<<<<<< HEAD\n" + text[half:]).encode(),
        "bytes": b'{"cells": "\xff\xfe"}',
        "list": b"[1]",
        "odd": b'{"cells": 3, "nbformat": "x"}',
        "other": nbformat.writes(nbformat.v4.new_notebook()).encode(),
    }.items():
        (course / f"{name}.ipynb").write_bytes(data)


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize("command", ["check", "hint"])
@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_with_one_line_and_status_2(command, case):
    words, said = BAD[case]
    result = flatlab(command, *words)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output
    assert len(result.output.splitlines()) == 1


def test_outside_a_course_it_says_where_to_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (["check", "01"], ["progress"]):
        result = flatlab(*words)
        assert result.exit_code == 2
        assert "change to the course's folder" in result.output


@pytest.mark.usefixtures("course")
def test_hints_come_one_at_a_time():
    result = flatlab("hint", "00")
    assert result.exit_code == 0
    assert "gradient_step  1  Exercise 1 · One step downhill" in result.output
    assert "changes the tensor" not in result.output
    for exercise in ("gradient_step", "1"):
        result = flatlab("hint", "00", exercise)
        assert result.exit_code == 0
        assert "`w - ...` makes a new one." in result.output
        assert "The next one" not in result.output
    for words, said in (
        (["gradient_step", "2"], "gradient_step has one hint."),
        (["descend"], "There is no exercise descend; there are: gradient_step."),
    ):
        result = flatlab("hint", "00", *words)
        assert result.exit_code == 2
        assert said in result.output


def test_a_printed_command_quotes_a_path_that_needs_it(course):
    (course / "my work").mkdir()
    for name, said in (
        ("my work/00 (1).ipynb", '"my work/00 (1).ipynb"'),
        ("it.ipynb", "it.ipynb"),
    ):
        shutil.copy(FIRST, course / name)
        assert f"flatlab hint {said} NAME\n" in flatlab("hint", name).output


def test_progress_prints_its_table(course):
    result = flatlab("progress", str(course))
    assert result.exit_code == 0
    assert "all            0 of 2     0 of 4           30 of 30" in result.output
    (course / "notebooks" / "01-next" / "01-next.ipynb").write_text("{")
    result = flatlab("progress")
    assert result.exit_code == 1
    assert "00-start-here" in result.output
    assert "is no notebook" in result.output


def test_a_notebook_that_is_being_checked_checks_nothing(course, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    monkeypatch.setattr(checking, "_run", lambda *_: pytest.fail("it ran"))
    result = flatlab("check", "00")
    assert result.exit_code == 0
    assert "being checked already" in result.output


def test_what_is_missing_is_named(course, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbclient", None)
    monkeypatch.setitem(sys.modules, "nbclient.exceptions", None)
    result = flatlab("check", "00")
    assert result.exit_code == 2
    assert "There is no nbclient" in result.output
    assert 'pip install "flatlab[course]"' in result.output


def test_in_a_notebook_a_path_is_asked_for_and_colab_hands_out_its_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    with pytest.raises(Unusable, match="Say which notebook"):
        student.check()
    asked = []

    def blocking_request(what, timeout_sec):
        asked.append(what)
        return {"ipynb": json.loads(nbformat.writes(answered(RIGHT, words="Below 0.5.")))}

    message = types.SimpleNamespace(blocking_request=blocking_request)
    colab = types.ModuleType("google.colab")
    colab._message = message
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    seen = []
    monkeypatch.setattr(checking, "_run", lambda content, folder: seen.append(content) or "")
    assert student.check(say=seen.append) is False  # nothing ran, so nothing has passed
    assert asked == ["get_ipynb"]
    assert "learning_rate * gradient" in "".join(c.source for c in seen[1].cells)
    for broken in (lambda *_, **__: None, None):
        colab._message = types.SimpleNamespace(blocking_request=broken)
        with pytest.raises(Unusable, match="download it, upload it and give its path"):
            student.check()
    del colab._message
    with pytest.raises(Unusable, match="Colab did not hand out its notebook") as refused:
        student.check()
    shown = refused.value._render_traceback_()  # all that a notebook shows
    assert " ".join("\n".join(shown).split()) == str(refused.value)
    assert max(map(len, shown)) <= 88


LOOP = "while True:\n    pass"
CAUGHT = "import time\nwhile True:\n    try:\n        time.sleep(9)\n    except BaseException:\n        pass"


@pytest.mark.slow
@pytest.mark.beside
def test_check_runs_the_notebook_and_leaves_the_file(course, monkeypatch):
    """Real kernels: what passes, fails, loops, stops, and checks itself."""
    monkeypatch.setattr(checking, "TIMEOUT", 20)
    path = course / "notebooks" / "00-start-here" / "00-start-here.ipynb"
    new_cell = nbformat.v4.new_code_cell
    for body, words, status in ((WRONG, "", 1), (RIGHT, "Below 0.5.", 0)):
        notebook = answered(body, words)
        notebook.cells += [
            new_cell("import flatlab; print(flatlab.student.check())"),
            new_cell("!{sys.executable} -m flatlab check 00"),
            new_cell("import os; assert os.environ['FLATLAB_PROGRESS'] == 'off'"),
            new_cell("1 / 0"),
        ]
        nbformat.write(notebook, path)
        before, others = path.read_bytes(), sorted(course.rglob("*"))
        result = flatlab("check", "00")
        assert result.exit_code == status, result.output
        assert path.read_bytes() == before
        assert sorted(course.rglob("*")) == others
        assert f"cell {len(notebook.cells)} stopped with ZeroDivisionError" in result.output
        assert result.output.count("stopped with") == 1
        if status:
            assert "failed     gradient_step         1 point\n" in result.output
            assert "It goes uphill" in result.output
            assert "not begun  open: two-curvatures  1 point\n" in result.output
            assert "\n0 of 2 done." in result.output
        else:
            assert "passed     gradient_step         1 point\n" in result.output
            assert "answered   open: two-curvatures  1 point\n" in result.output
            assert "\n2 of 2 done." in result.output


@pytest.mark.slow
@pytest.mark.beside
@pytest.mark.parametrize(
    ("source", "said"),
    [
        (CAUGHT, "The cell 'import time' did not end in time; later cells did not run."),
        ("import os\nos._exit(1)", "Python itself ended in the cell 'import os' (out of memory?)"),
    ],
)
def test_a_run_that_ends_early_names_the_cell(course, monkeypatch, source, said):
    monkeypatch.setattr(checking, "TIMEOUT", 2)
    notebook = answered()
    cell(notebook, "setup").source = source
    nbformat.write(notebook, course / "notebooks" / "00-start-here" / "00-start-here.ipynb")
    result = flatlab("check", "00")
    assert result.exit_code == 1
    assert said in result.output


@pytest.mark.slow
@pytest.mark.beside
@pytest.mark.skipif(sys.platform == "win32", reason="no signal to send")
@pytest.mark.parametrize("source", [LOOP, CAUGHT])
def test_ctrl_c_ends_a_check_and_its_kernel_without_a_traceback(course, source):
    notebook = answered()
    lines = "import os\nopen('made', 'w').write(str(os.getpid()))\nos.rename('made', 'pid')\n"
    cell(notebook, "setup").source = lines + source
    nbformat.write(notebook, course / "it.ipynb")
    command = [sys.executable, "-m", "flatlab", "check", "it.ipynb"]
    check = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with check:
        while not (course / "pid").exists():
            assert check.poll() is None
            time.sleep(0.1)
        check.send_signal(signal.SIGINT)
        said = check.communicate(timeout=30)[0]
    assert said == "it.ipynb: running it at quick scale\nStopped.\n"
    assert check.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int((course / "pid").read_text()), 0)


@pytest.mark.extended
@pytest.mark.beside
def test_a_cell_without_end_and_a_dead_kernel_are_told(course, monkeypatch):
    monkeypatch.setattr(checking, "TIMEOUT", 20)
    path = course / "notebooks" / "00-start-here" / "00-start-here.ipynb"
    notebook = answered(RIGHT, "Below 0.5.")
    cell(notebook, "experiment-two-rates").source = LOOP
    cell(notebook, "experiment-summary").source = "import os\nos._exit(1)"
    nbformat.write(notebook, path)
    said = []
    assert student.check(path, said.append) is False
    text = "\n".join(said)
    assert "passed     gradient_step" in text
    assert "too long" in text
    assert "Python itself ended in the cell 'import os'" in text


@pytest.mark.extended
@pytest.mark.beside
@pytest.mark.parametrize("body", [RIGHT, WRONG, None])
def test_check_agrees_with_validate(course, body):
    """nbgrader's own Validate on the same notebook."""
    from nbgrader.validator import Validator

    path = course / "notebooks" / "00-start-here" / "00-start-here.ipynb"
    nbformat.write(fresh() if body is None else answered(body, "Below 0.5."), path)
    said: list[str] = []
    passed = student.check(path, said.append)
    os.environ.pop("NBGRADER_EXECUTION", None)
    results = Validator().validate(str(path))
    os.environ.pop("NBGRADER_EXECUTION", None)
    assert passed == (not results.get("failed"))
    assert passed == (body == RIGHT)
    failed = "".join(each["error"] for each in results.get("failed", []))
    assert ("It goes uphill" in failed) == ("It goes uphill" in "\n".join(said)) == (body == WRONG)
