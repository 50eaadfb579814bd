"""Scale, settings, predictions and progress."""

import sys

import pytest

from flatlab import notebook


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("FLATLAB_SCALE", "NBGRADER_EXECUTION", "FLATLAB_PROGRESS"):
        monkeypatch.delenv(name, raising=False)


def test_laptop_is_the_default():
    assert notebook.scale() == "laptop"


def test_the_environment_chooses(monkeypatch):
    monkeypatch.setenv("FLATLAB_SCALE", "paper")
    assert notebook.scale() == "paper"
    assert notebook.settings({"n": (1, 2, 3)}).n == 3


@pytest.mark.parametrize("run", ["validate", "autograde"])
def test_quick_while_nbgrader_runs(monkeypatch, run):
    monkeypatch.setenv("FLATLAB_SCALE", "paper")
    monkeypatch.setenv("NBGRADER_EXECUTION", run)
    assert notebook.scale() == "quick"


def test_an_unknown_scale_is_told(monkeypatch):
    monkeypatch.setenv("FLATLAB_SCALE", "huge")
    with pytest.raises(ValueError, match="'huge': set it to one of quick, laptop, paper"):
        notebook.scale()


def test_settings_marks_the_column_in_force(capsys):
    chosen = notebook.settings({"steps": (1, 20, 300), "noise": (0.0, 0.1, 0.2)})
    assert (chosen.steps, chosen.noise) == (20, 0.1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["setting", "quick", "[laptop]", "paper"]
    assert lines[1].split() == ["steps", "1", "20", "300"]


@pytest.mark.parametrize("table", [{"a b": (1, 2, 3)}, {"a": (1, 2)}])
def test_a_broken_table_is_told(table):
    with pytest.raises(ValueError, match="The setting"):
        notebook.settings(table)


def test_a_prediction_is_kept_and_revealed(capsys):
    notebook.predict("best", ["left", "right"], answer="left")
    notebook.reveal({"best": "right"})
    out = capsys.readouterr().out
    assert "Noted: 'left'" in out
    assert "you predicted: left" in out
    assert "measured:      right" in out


def test_long_lines_break_between_words(capsys):
    """A page breaks them in the middle of one."""
    outcome = "triangle 12.5 ± 0.1; " * 12
    notebook.settings({"widths": (4, 8, tuple(range(60)))})
    notebook.reveal({"best": outcome})
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= notebook.WIDTH
    assert lines[1].split()[:3] == ["widths", "4", "8"]
    told = " ".join(" ".join(lines).split())
    assert " ".join(outcome.split()) in told
    assert str(tuple(range(60))) in told.replace("widths 4 8 ", "")


def test_no_answer_and_a_wrong_option_list_the_options(capsys):
    notebook.predict("best", ["left", "right"], answer="left")
    notebook.predict("best", ["left", "right"])
    assert '"right"' in capsys.readouterr().out
    notebook.predict("best", ["left", "right"], answer="up")
    assert "'up' is not one of the options" in capsys.readouterr().out
    notebook.reveal({"best": "right"})
    assert "you predicted: nothing" in capsys.readouterr().out


def test_progress_shows_on_stdout_and_never_on_stderr(capsys):
    assert list(notebook.progress(range(3), "counting")) == [0, 1, 2]
    captured = capsys.readouterr()
    assert "counting" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize(
    ("name", "value"), [("NBGRADER_EXECUTION", "autograde"), ("FLATLAB_PROGRESS", "off")]
)
def test_progress_is_off_for_the_grader_and_on_request(monkeypatch, capsys, name, value):
    monkeypatch.setenv(name, value)
    assert list(notebook.progress(range(3), "counting")) == [0, 1, 2]
    assert capsys.readouterr().out == ""


def test_the_module_imports_nothing_heavy():
    assert "torch" not in notebook.__dict__
    assert "IPython" not in sys.modules or "IPython" not in notebook.__dict__
