"""Writes docs/browser.md from what the browser tests drove last (artifacts/browser/driven)."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DRIVEN = ROOT / "artifacts" / "browser" / "driven"
PAGE = ROOT / "docs" / "browser.md"
COLUMNS = (  # test, application, heading
    ("test_untouched_release_runs_to_its_end", "JupyterLab", "untouched, to its end"),
    ("test_validate_lists_what_is_not_written", "JupyterLab", "untouched, Validate"),
    ("test_whole_path", "JupyterLab", "whole path, JupyterLab"),
    ("test_whole_path", "Notebook", "whole path, Notebook 7"),
)
HEAD = """# In the browser

Written by `python docs/browser.py` from what the browser tests drove last; do not edit.

A real JupyterLab (`make lab`'s own recipe) or Notebook 7 (`jupyter notebook`) on a free loopback port, driven in headless
Chromium by Playwright as a student drives it, at quick scale. Any error in the browser's console fails a test. Pictures of
what was driven are kept under `artifacts/browser`, in continuous integration too: after `make test` of chapters 00, 01 and
06, after `make test-all` of all.

```
pytest -m "browser and not extended"    # in `make test`
pytest -m browser                       # all chapters in both applications: in `make test-all`
```

**The whole path** of a chapter: its release is opened with all exercises solved but one; that one is typed and its check
passes; an answer in words is typed; Run All; every control of the widget goes to both ends and to its middle, where
picture and words change; saved without an error in any output; Validate says "Success!"; `flatlab submit` writes the zip
that holds the file as saved. **Untouched**: the release as handed out, run to its end; Validate lists what is not written.

Cells say what was driven and the seconds it took, beside other work on 2 cores; "not run" is just that.
"""
TAIL = """
Validate is nbgrader's, and its button is in the toolbar of both applications. By the keyboard alone: Shift+Enter from cell to
cell, Enter to write, Shift+Tab to the toolbar, arrows along it, Enter on Validate; the page saw no event of a mouse.
A widget's sliders are reached by Tab and take the arrows, Home and End.
"""


def row(cells: list) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def table(heads: list[str], rows: list[list]) -> list[str]:
    return ["", row(heads), row(["---"] * len(heads)), *map(row, rows)]


def told(record: dict | None) -> str:
    """What was driven in a test, and how long it took."""
    if record is None:
        return "not run"
    counts = ((record.get("exercises"), "exercise"), (record.get("controls"), "control"))
    words = [f"{count} {what}{'s' * (count != 1)}" for count, what in counts if count]
    return ", ".join([*words, f"{record['seconds']} s"])


def page(records: list[dict], chapters: list[str]) -> str:
    versions = {json.dumps(record["versions"]): record["versions"] for record in records}
    heads = sorted({name for each in versions.values() for name in each}, key=str.lower)
    lines = table(heads, [[each.get(name, "") for name in heads] for each in versions.values()])
    driven = {(r["test"], r["application"], r.get("chapter")): r for r in records}
    lines += table(
        ["chapter", *(heading for *_, heading in COLUMNS)],
        [
            [name, *(told(driven.get((test, where, name))) for test, where, _ in COLUMNS)]
            for name in chapters
        ],
    )
    columns = {test for test, *_ in COLUMNS}
    others = sorted(
        [
            r["test"].removeprefix("test_").replace("_", " "),
            r.get("exercise", ""),
            r["application"],
            told(r),
        ]
        for r in records
        if r["test"] not in columns
    )
    lines += table(["other tests", "exercise", "application", "took"], others)
    return HEAD + "\n".join(lines) + "\n" + TAIL


if __name__ == "__main__":
    kept = [json.loads(path.read_text("utf-8")) for path in sorted(DRIVEN.glob("*.json"))]
    names = sorted(path.stem for path in (ROOT / "solutions").glob("[0-9][0-9]-*.py"))
    PAGE.write_text(page(kept, names), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(kept)} tests")
