"""Which slow tests run in one process, and in which order, where pytest-xdist runs several.

Those marked ``beside`` are slow, but mind no company. Tests of a file share what one of them has
made (a graded class), of a file that goes through the chapters what was made for one chapter.
What takes longest begins first.
"""

import pytest

LONGEST_FIRST = (
    *("test_chapters.py", "test_attacks.py", "test_batch_killed.py", "test_cases.py"),
    *("test_damage_graded.py", "test_outside.py", "test_site.py"),
)


def share(items: list[pytest.Item]) -> None:
    """Give every test of ``items`` that may run beside others its group, and sort them."""
    for item in items:
        if item.get_closest_marker("beside"):
            item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=_place)  # stable


def must_be_shared(ids: list[str]) -> None:
    """pytest-xdist writes groups into the tests' names; where it cannot, it says nothing."""
    if ids and not any("@" in name for name in ids):
        pytest.exit(
            f"pytest-xdist does not keep groups together with pytest {pytest.__version__} (its "
            "issue 1386): install a pytest older than 9.2, or a pytest-xdist that is repaired",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


def group(item: pytest.Item) -> str:
    """Its file, and its chapter where it has one."""
    given = getattr(item, "callspec", None)
    given = given.params if given else {}
    chapter = given.get("chapter") or getattr(given.get("case"), "chapter", "")
    return f"{item.path.name}-{chapter}" if chapter else item.path.name


def _place(item: pytest.Item) -> int:
    name = item.path.name
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)
