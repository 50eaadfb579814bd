"""VS Code's round trip: what it saves is rebuilt, checked and read as what JupyterLab saves."""

import random
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from damage_judge import judge, meanings
from damage_notebooks import students
from vscode import SHELL, saved

from flatlab import student
from flatlab.course.layout import Layout
from flatlab.course.rebuild import Release
from flatlab.student.chapter import outline
from flatlab.student.find import parse
from flatlab.student.running import run
from flatlab.student.states import lines, states

pytestmark = [pytest.mark.grading, pytest.mark.beside]

LAYOUT = Layout.find(Path(__file__).parent)
FIRST = LAYOUT.chapters()[0]


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["typed", "anew"])
@pytest.mark.parametrize("chapter", LAYOUT.chapters())
def test_the_grader_finds_every_answer_in_what_vs_code_saves(chapter, share):
    releases = {chapter: Release(LAYOUT.release(chapter))}
    for name, sheet in students(LAYOUT, chapter).items():
        notebook = nbformat.reads(sheet.text(), as_version=4)
        data = saved(notebook, random.Random(f"{chapter}, {name}"), share)
        assert nbformat.reads(data.decode(), as_version=4).nbformat_minor == 5
        wrong, _ = judge(replace(sheet, data=data), meanings(sheet), chapter, releases)
        assert wrong == [], name


def told(data: bytes) -> list[str]:
    """What ``flatlab progress`` and ``flatlab submit`` read off a saved notebook."""
    notebook = parse(data, "it")
    return [
        f"{line} {state.message}"
        for state, line in lines(states(notebook, outline(notebook, "it")))
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "share",
    [pytest.param(0.0, id="typed"), pytest.param(1.0, id="anew", marks=pytest.mark.extended)],
)
def test_progress_and_check_say_what_they_say_of_jupyterlabs(share, tmp_path, monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.chdir(tmp_path)
    sheet = students(LAYOUT, FIRST)["mixed" if share else "right"]
    notebook = nbformat.reads(sheet.text(), as_version=4)
    run(notebook, tmp_path, {"FLATLAB_SCALE": "quick"}, 120, go_on=True)
    plain = nbformat.writes(notebook).encode()
    data = saved(notebook, random.Random(1), share)
    assert str(SHELL["vscode"]["languageId"]).encode() in data
    assert told(data) == told(plain)
    assert ("passed" in told(data)[0]) == (not share)
    said = {}
    for name, content in (("plain", plain), ("vscode", data)):
        (tmp_path / "it.ipynb").write_bytes(content)
        said[name] = []
        assert student.check("it.ipynb", said[name].append) == (not share)
    assert said["vscode"] == said["plain"]
    assert student.submit("it.ipynb", say=said["vscode"].append)
