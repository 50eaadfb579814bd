"""The command ``flatlab``: what it passes on, prints and returns."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from flatlab.course import build
from flatlab.course.cli import main
from flatlab.course.layout import Refused


@pytest.fixture
def calls(monkeypatch):
    """The calls of build.build and build.check, which do nothing here."""
    made = []

    def fake_build(chapters, execute=True):
        made.append(("build", chapters, execute))
        return [Path("notebooks/01-x/01-x.ipynb")]

    def fake_check(chapters):
        made.append(("check", chapters))
        return ["01-x: out of date"] if chapters == ["01"] else []

    monkeypatch.setattr(build, "build", fake_build)
    monkeypatch.setattr(build, "check", fake_check)
    return made


def test_help_lists_the_commands():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert "doctor" in result.output
    assert "build" in result.output


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        ([], ("build", [], True)),
        (["00", "01"], ("build", ["00", "01"], True)),
        (["01", "--no-execute"], ("build", ["01"], False)),
        (["--check"], ("check", [])),
    ],
)
def test_build_passes_its_arguments_on(calls, arguments, call):
    result = CliRunner().invoke(main, ["build", *arguments])
    assert result.exit_code == 0, result.output
    assert calls == [call]
    assert ("wrote notebooks/01-x/01-x.ipynb" in result.output) == (call[0] == "build")


@pytest.mark.usefixtures("calls")
def test_check_exits_1_where_a_chapter_is_out_of_date():
    result = CliRunner().invoke(main, ["build", "--check", "01"])
    assert result.exit_code == 1
    assert "01-x: out of date" in result.output


def test_a_refusal_is_printed_without_a_traceback(monkeypatch):
    def refuse(chapters, execute=True):
        raise Refused(["01-x: no test for hvp", "01-x: duplicate id"])

    monkeypatch.setattr(build, "build", refuse)
    result = CliRunner().invoke(main, ["build"])
    assert result.exit_code == 1
    assert "01-x: no test for hvp\n01-x: duplicate id\n" in result.output
    assert "Traceback" not in result.output


def test_check_and_no_execute_exclude_each_other(calls):
    result = CliRunner().invoke(main, ["build", "--check", "--no-execute"])
    assert result.exit_code == 2
    assert calls == []


def test_doctor_returns_its_status(monkeypatch):
    from flatlab.student import doctor

    for status in (0, 1):
        monkeypatch.setattr(doctor, "main", lambda status=status: status)
        assert CliRunner().invoke(main, ["doctor"]).exit_code == status


def test_doctor_prints_what_the_console_has_no_letters_for(monkeypatch):
    from flatlab.student import doctor

    monkeypatch.setattr(doctor, "main", lambda: print("data in /home/Ł"))
    result = CliRunner(charset="latin-1").invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert result.output == "data in /home/?\n"
