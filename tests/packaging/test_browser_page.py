"""docs/browser.md says what the browser tests drove, and that the rest was not run."""

import re
import runpy


def test_the_page_tells_what_was_driven_and_what_not(repository):
    page = runpy.run_path(str(repository / "docs" / "browser.py"))["page"]
    one = {
        "test": "test_whole_path",
        "application": "Notebook",
        "chapter": "01-one",
        "exercises": 1,
        "controls": 4,
        "seconds": 7,
        "versions": {"Python": "3.99"},
    }
    other = {**one, "test": "test_by_hand", "seconds": 9}
    text = page([one, other], ["01-one", "02-two"])
    assert "| 01-one | not run | not run | not run | 1 exercise, 4 controls, 7 s |" in text
    assert "| 02-two | not run | not run | not run | not run |" in text
    assert "| by hand |" in text and text.count("3.99") == 1


def test_the_page_has_a_row_for_every_chapter(repository):
    text = (repository / "docs" / "browser.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d\d-[\w-]+) \|", text, re.MULTILINE)
    assert rows == sorted(path.stem for path in (repository / "solutions").glob("[0-9][0-9]-*.py"))
