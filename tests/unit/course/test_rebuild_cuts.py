"""What tells half a line or half a function from a whole one."""

import pytest

from flatlab.course.rebuild import cuts


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (" * gradient", True),
        (".sum()", True),
        (") / 2\n    return x", True),
        (" for x in w)", True),
        ("if x else y", True),
        ("    for x in w:\n        pass", False),
        ("if x:\n    y", False),
        ("-x", False),
        ("return x", False),
        ("x = 1", False),
    ],
)
def test_what_no_statement_begins_with_continues_a_line(text, cut):
    assert cuts.continues_a_line(text) is cut


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("def f(x):\n    return x", False),
        ("def f(x):\n    return lear", True),  # a name that nothing defines
        ("def f(x):\n    torch.zer", True),  # a bare name in a function
        ("def f(x):\n    return known", False),
    ],
)
def test_a_text_that_ends_in_mid_word(text, odd):
    assert cuts.ends_oddly(text, frozenset({"known", "torch"})) is odd


def test_the_way_it_was_written_is_the_least_odd():
    def odd(text):
        return cuts.oddness(text, frozenset({"torch"}))

    first, second = "def f(w):\n    return ", "torch.sum(w)"
    assert odd(first + second) < odd(f"{first}\n{second}")
    first, second = "def f(w):\n    raise ", "NotImplementedError()"
    assert odd(first + second) < odd(f"{first}\n{second}")
    first, second = "def f(w):\n    return w.su", "m()"
    assert odd(first + second) < odd(f"{first}\n{second}")
