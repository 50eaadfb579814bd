"""Which slow tests run in one process, and in which order, where pytest-xdist runs several.

Tests of a file share what one of them has made (a graded class, a browser), of a file that goes
through the chapters what was made for one chapter. What takes longest begins first.
"""

import pytest

SLOW = {"slow", "notebooks", "grading", "browser", "peers"}
LONGEST_FIRST = (
    "test_chapters.py",
    "test_batch_killed.py",
    "test_attacks.py",
    "test_cases.py",
    "test_damage_graded.py",
    "test_verdict_cases.py",
)


def share(items: list[pytest.Item]) -> None:
    """Give every slow test of ``items`` its group, and sort them."""
    for item in items:
        if any(item.get_closest_marker(name) for name in SLOW):
            item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=_place)  # stable


def group(item: pytest.Item) -> str:
    """Its file, and its chapter where it has one."""
    given = getattr(item, "callspec", None)
    given = given.params if given else {}
    chapter = given.get("chapter") or getattr(given.get("case"), "chapter", "")
    return f"{item.path.name}-{chapter}" if chapter else item.path.name


def _place(item: pytest.Item) -> int:
    name = item.path.name
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)
