"""Headings of the pages outside the chapters: one title, no level left out.

The chapters' are part of their contract (``flatlab.course.contract_text``), which the build and
``tests/notebooks`` keep.
"""

import subprocess
from pathlib import Path

import pytest

from flatlab.course.contract_text import heading_problems

ROOT = Path(__file__).resolve().parents[2]


def pages() -> list[str]:
    """The Markdown files that git knows; those in bench/results are pieces of pages."""
    told = subprocess.run(
        ["git", "ls-files", "*.md", ":!bench/results"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.split()


def test_there_are_pages():
    assert {"README.md", "CONTRIBUTING.md", "docs/instructors.md"} <= set(pages())


@pytest.mark.parametrize("page", pages())
def test_a_page_has_one_title_and_leaves_no_level_out(page):
    assert heading_problems(page, (ROOT / page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# A\n\n### B\n", "p.md, line 3: heading 'B' has level 3 under level 1; use ##."),
        ("# A\n\n## B\n\n# C\n", "p.md, line 5: a second title 'C'."),
        ("## A\n", "p.md, line 1: heading 'A' has level 2 under level 0; use #."),
        ("words\n", "p.md: no title."),
    ],
)
def test_wrong_headings_are_found(text, message):
    assert heading_problems("p.md", text) == [message]


def test_a_comment_in_a_code_block_is_no_heading():
    assert heading_problems("p.md", "# A\n\n```\n### no heading\n```\n\n## B\n\n## C\n") == []
