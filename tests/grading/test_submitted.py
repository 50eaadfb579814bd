"""``flatlab grade`` takes what ``flatlab submit`` writes, as it takes the plain notebook."""

import csv
import json
import re
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from flatlab import student
from flatlab.course.cli import main
from flatlab.course.layout import Layout

pytestmark = [pytest.mark.grading, pytest.mark.slow, pytest.mark.beside]

LAYOUT = Layout.find(Path(__file__).parent)
NAME = LAYOUT.chapters()[0]
STUB = re.compile(r"# YOUR CODE HERE\n +raise NotImplementedError\(\)")
RIGHT, WRONG = "return w - learning_rate * gradient", "return w + learning_rate * gradient"


def saved(path: Path, line: str, *, bare: bool = False) -> Path:
    """Chapter 00 with this answer; ``bare``: without the metadata that nbgrader goes by."""
    notebook = nbformat.read(LAYOUT.release(NAME), as_version=4)
    (cell,) = [cell for cell in notebook.cells if STUB.search(cell.source)]
    cell.source = STUB.sub(line, cell.source)
    if bare:
        notebook.metadata, notebook.nbformat_minor = {}, 4
        for cell in notebook.cells:
            cell.metadata = {}
            del cell["id"]
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def test_a_submitted_zip_gets_the_score_of_the_plain_notebook(tmp_path, monkeypatch, bubblewrap):
    """Renamed, without metadata, zipped: by Moodle, by Canvas, and by e-mail with --student."""
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    handed = tmp_path / "handed"
    saved(handed / "plain" / NAME / f"{NAME}.ipynb", RIGHT)
    ann = saved(tmp_path / "ann" / "homework (2).ipynb", RIGHT, bare=True)
    bo = saved(tmp_path / "bo" / "Untitled.ipynb", WRONG, bare=True)
    cy = saved(tmp_path / "cy" / f"Copy of {NAME}.ipynb", RIGHT)
    moodle = handed / "Ann Lee_1_assignsubmission_file_"
    assert student.submit(ann, out=moodle) is True
    assert student.submit(bo, out=handed, student="bo_ek") is True
    assert student.submit(cy, out=tmp_path) is True
    (tmp_path / f"{NAME}.zip").rename(handed / f"ohcy_93_1234_{NAME}.zip")

    monkeypatch.chdir(LAYOUT.root)
    out = tmp_path / "graded"
    result = CliRunner().invoke(main, ["grade", str(handed), "--out", str(out), "-j", "2"])
    assert result.exit_code == 0, result.output
    with (out / f"{NAME}.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"plain", "Ann-Lee", "bo_ek", "93"}
    scores = {who: row["gradient_step"] for who, row in rows.items()}
    assert scores == {"plain": "1", "Ann-Lee": "1", "93": "1", "bo_ek": "0"}
    assert not list(out.glob("unplaced.csv"))
