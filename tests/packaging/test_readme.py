"""The README shows what the executed notebooks show, and points to what is there."""

import json
import re
import runpy

import pytest


def test_links_and_pictures_lead_somewhere(repository):
    text = (repository / "README.md").read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in t]
    assert len(targets) > 3
    missing = [target for target in targets if not (repository / target).exists()]
    assert not missing


def test_pictures_are_those_of_the_executed_notebooks(repository):
    figures = runpy.run_path(str(repository / "docs" / "figures.py"))
    for chapter, cell_id in figures["COVERS"].items():
        shown = (repository / "docs" / "figures" / f"{chapter}.png").read_bytes()
        assert shown == figures["picture"](chapter, cell_id), "run `make build`"


def test_the_chapters_table_is_complete(repository):
    text = (repository / "README.md").read_text(encoding="utf-8")
    for source in (repository / "solutions").glob("[0-9][0-9]-*.py"):
        assert f"notebooks/{source.stem}/{source.stem}.ipynb" in text


def test_the_quickstart_prints_what_the_readme_shows(repository, capsys):
    text = (repository / "README.md").read_text(encoding="utf-8")
    code, shown = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL).groups()
    names = {}
    exec(code, names)  # noqa: S102 - our own README
    number = r"\d+\.?\d*"
    printed = capsys.readouterr().out
    assert re.split(number, printed) == re.split(number, shown)
    found, expected = (list(map(float, re.findall(number, t))) for t in (printed, shown))
    assert found == pytest.approx(expected, rel=0.05)  # thirty epochs of SGD, on any platform
    (marker,) = (line for line in names["ax"].lines if line.get_label() == "SGD")
    assert marker.get_xydata()[0] == pytest.approx((names["a"], names["s"]))


@pytest.mark.slow
@pytest.mark.beside
def test_the_larger_example_runs(repository, data_root, capsys):
    text = (repository / "README.md").read_text(encoding="utf-8")
    _, code = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(code.replace("epochs=5", "epochs=1"), {})  # noqa: S102 - our own README
    out = capsys.readouterr().out
    assert "True" in out  # converged
    assert "standard_error" in out


def test_the_table_of_cases_counts_what_is_there(repository):
    text = (repository / "README.md").read_text(encoding="utf-8")
    for source in (repository / "solutions").glob("[0-9][0-9]-*.py"):
        cases = (repository / "tests" / "grading" / "cases" / source.name).read_text("utf-8")
        numbers = [
            len(re.findall(pattern, file, flags=re.MULTILINE))
            for pattern, file in (
                ("^# %% exercise=", source.read_text("utf-8")),
                ("^# %% misconception=", cases),
                ("^# %% alternative=", cases),
            )
        ]
        assert f"| {source.stem} | {' | '.join(map(str, numbers))} |" in text


def test_the_speed_table_is_the_recorded_one(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "bench"))
    from peers import report

    text = (repository / "README.md").read_text(encoding="utf-8")
    recorded = json.loads((repository / "bench/results/curvature-cpu.json").read_text("utf-8"))
    shown = text.partition(report.MARK)[2].partition(report.END)[0].strip()
    assert shown == report.speed(recorded).strip(), "run `python bench/curvature.py --report`"
    page = (repository / "docs" / "performance.md").read_text(encoding="utf-8")
    for row in recorded["rows"].values():
        assert "failed" in row or report.short(row["gradients"]) in page
