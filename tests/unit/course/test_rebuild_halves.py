"""Two rules of rebuild: one side of a conflict that is shorter, a word of the course cut in two."""

import pytest

from flatlab.course.rebuild import code, cuts, joining, pieces
from flatlab.course.rebuild.helpers import Own, _whole_of

LONG = "import math\n\n\ndef my_half(x):\n    y = x / 2\n    return y"
SHORT = LONG.rsplit("\n", 1)[0]


@pytest.mark.parametrize("texts", [(LONG, SHORT), (SHORT, LONG)])
def test_the_longer_side_of_a_conflict_is_kept(texts):
    first, second = (Own(3, "code", text, 7) for text in texts)
    assert _whole_of(first, second).text == LONG


def test_cells_that_only_look_alike_both_stay():
    short, long = Own(3, "code", SHORT, 7), Own(3, "code", LONG, 8)
    assert _whole_of(short, Own(4, "code", LONG, 8)) is None  # elsewhere in the notebook
    assert _whole_of(short, Own(3, "markdown", LONG, 8)) is None
    assert _whole_of(long, Own(3, "code", LONG + "\nz = my_half(3)", 8)) is None  # defines more
    counting = Own(3, "code", "count = 1", 7)  # what runs twice may differ
    assert _whole_of(counting, Own(3, "code", "count = 1\ncount = count + 1", 8)) is None


def test_only_defines():
    assert code.only_defines(LONG)
    assert (
        not code.only_defines("x = 1") and not code.only_defines("") and not code.only_defines("(")
    )


def test_a_word_of_the_course_that_was_cut():
    words = frozenset({"trapezoid", "id", "torch"})
    assert cuts.in_a_word("return w / torch.trapezo", "id(w, grid)", words)
    assert not cuts.in_a_word("return w / torch.trapezoid", "id(w, grid)", words)
    assert not cuts.in_a_word("return torch.", "id(w)", words)
    assert not cuts.in_a_word("trapez", "id(w)", words)


@pytest.mark.parametrize(
    ("line", "prose"),
    [
        ("Since 2/a = 4: each step is more than twice too long.", True),
        ("Because uphill is the other way.", True),
        ("w = a if b else c", False),  # five words, and Python
        ('note = f("each step is more than twice', False),  # cut off
        ("x = w - rate * (gradient", False),
    ],
)
def test_a_line_that_begins_in_words(line, prose):
    assert pieces._begins_in_words(line) is prose


def test_a_comment_does_not_swallow_the_lines_behind_it():
    first = "def f(p):\n    sums = p + p  # (p, p)"
    cut, rest = "    kept = sums.expand(p,", " p)"
    more = ["    x = 1", "    y = 2", "    return kept"]

    def joined(*texts):
        return code.meaning(joining._best([first, *texts], frozenset()))

    assert joining._best([first, cut], frozenset()) is None
    assert joined(cut, rest) == code.meaning(f"{first}\n{cut}{rest}")
    assert joined(cut, rest, *more) == code.meaning("\n".join([first, cut + rest, *more]))
