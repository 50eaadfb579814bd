"""docs/slides.md: the sections, exercises and ledger rows that it names are there; so are the links."""

import re
from pathlib import Path

import pytest

from flatlab.course.layout import Layout

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "slides.md").read_text(encoding="utf-8")
LAYOUT = Layout(ROOT)
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| slide"))
]


def test_there_is_a_table_for_each_of_the_five_decks():
    assert PAGE.count("| slide | chapter | ledger |") == 5
    assert len(ROWS) > 60 and all(len(row) == 3 and row[1] for row in ROWS)


@pytest.mark.parametrize("chapter", LAYOUT.chapters()[1:])
def test_sections_and_exercises_are_the_chapters(chapter):
    """An exercise stands in the section that is named with it."""
    source, place = LAYOUT.source(chapter).read_text(encoding="utf-8"), {}
    section = ""
    for mark, number in re.findall(r"^# (##|###) (?:Exercise )?(\d+) · ", source, re.MULTILINE):
        section = number if mark == "##" else section
        place[mark, number] = section
    named = re.findall(rf"{chapter[:2]} §(\d+)(?: E(\d+))?", PAGE)
    assert named
    for wanted, exercise in named:
        assert ("##", wanted) in place, f"{chapter[:2]} §{wanted}"
        assert not exercise or place["###", exercise] == wanted, f"{chapter[:2]} E{exercise}"


def test_every_chapter_that_is_named_is_there():
    assert {name for name in re.findall(r"\b(\d\d) §", PAGE)} == {
        name[:2] for name in LAYOUT.chapters()[1:]
    }


@pytest.mark.usefixtures("bench_is_importable")
def test_ledger_rows_are_the_ledgers():
    from ledger import page

    known = {claim.name for module in page.chapters().values() for claim in module.CLAIMS}
    named = {name for row in ROWS for name in re.findall(r"`([\w-]+)`", row[2])}
    assert len(named) > 60 and named <= known, sorted(named - known)


def test_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert targets and all((ROOT / "docs" / target).exists() for target in targets)
