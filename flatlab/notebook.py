"""What a notebook needs around its experiments: scale, settings, predictions, progress.

Scale is one word for the whole course. ``quick`` runs shapes only and is chosen by itself
while nbgrader validates or autogrades, because a grader's cell has 30 seconds and needs no
result; ``laptop`` gives real results on two CPU cores; ``paper`` is the slides' full setting.
"""

import contextlib
import os
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from types import SimpleNamespace
from typing import Any, TypeVar

SCALES = ("quick", "laptop", "paper")
WIDTH = 88  # columns of printed text: pages break longer lines in the middle of a word
Item = TypeVar("Item")
_predictions: dict[str, str] = {}


def is_grading() -> bool:
    """True while nbgrader validates or autogrades the notebook."""
    return os.environ.get("NBGRADER_EXECUTION") in ("validate", "autograde")


def scale() -> str:
    """The scale in force: ``quick`` while nbgrader runs, else ``$FLATLAB_SCALE``, else ``laptop``.

    Raises ``ValueError`` when ``$FLATLAB_SCALE`` is none of the three.
    """
    if is_grading():
        return "quick"
    chosen = os.environ.get("FLATLAB_SCALE", "laptop")
    if chosen not in SCALES:
        raise ValueError(f"FLATLAB_SCALE is {chosen!r}: set it to one of {', '.join(SCALES)}.")
    return chosen


def wrapped(text: str, indent: int = 0) -> str:
    """``text`` in lines of at most ``WIDTH`` columns, of which all but the first are indented."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def message_lines(text: str) -> list[str]:
    """The lines in which a notebook shows an error's message in place of its traceback."""
    return [part for line in text.splitlines() for part in wrapped(line, 2).split("\n")]


def settings(table: Mapping[str, Sequence]) -> SimpleNamespace:
    """The column of a chapter's settings table that the scale selects.

    ``table`` maps a name to its three values (quick, laptop, paper). The table is printed with
    the chosen column marked, and the chosen values come back as attributes.
    Raises ``ValueError`` for a name that is no identifier or a row without three values.
    """
    for name, row in table.items():
        if not name.isidentifier():
            raise ValueError(f"The setting {name!r} is not a Python name.")
        if len(row) != len(SCALES):
            raise ValueError(f"The setting {name!r} has {len(row)} values; give {len(SCALES)}.")
    chosen = SCALES.index(scale())
    heads = [f"[{s}]" if i == chosen else s for i, s in enumerate(SCALES)]
    rows = [["setting", *heads], *([name, *map(str, row)] for name, row in table.items())]
    names = max(len(row[0]) for row in rows)
    most = max(12, (WIDTH - names) // len(SCALES) - 2)  # columns of a value's text
    cells = [[[name], *(textwrap.wrap(text, most) for text in row)] for name, *row in rows]
    widths = [max(len(line) for row in cells for line in row[i]) for i in range(len(cells[0]))]
    for row in cells:
        for parts in zip_longest(*row, fillvalue=""):
            print("  ".join(map(str.ljust, parts, widths)).rstrip())
    return SimpleNamespace(**{name: row[chosen] for name, row in table.items()})


def predict(key: str, options: Sequence[str], answer: object = ...) -> None:
    """Keep the student's prediction ``answer`` under ``key``; never graded.

    The prediction is written in the cell itself, so it is saved with the notebook in every
    front end. ``...`` means not answered yet; an answer that is no option is pointed out.
    """
    if answer is ...:
        _predictions.pop(key, None)
        print("○ No prediction yet: put one of these in place of the dots, then run the cell.")
    elif answer not in options:
        _predictions.pop(key, None)
        print(f"○ {answer!r} is not one of the options. Choose from:")
    else:
        _predictions[key] = str(answer)
        print(f"Noted: {answer!r}. The summary will set it beside the outcome.")
        return
    for option in options:
        print(f'    "{option}"')


def reveal(outcomes: Mapping[str, str]) -> None:
    """Print each prediction beside its outcome; ``outcomes`` maps a prediction's key to a text."""
    for key, outcome in outcomes.items():
        print(key)
        print(f"    you predicted: {_predictions.get(key, 'nothing')}")
        print(wrapped(f"    measured:      {outcome}", 19))


def progress(
    items: Iterable[Item], description: str, total: int | None = None
) -> Iterator[Item] | Iterable[Item]:
    """``items`` with a progress bar that shows the time left.

    The bar goes to stdout, since nbgrader gives no points to a cell that writes to stderr. It is
    off while nbgrader runs and where ``FLATLAB_PROGRESS=off``.
    """
    if not _shows_progress():
        return items
    return _watched(items, _bar(items, description, total))


@contextlib.contextmanager
def progress_of(
    total: int, description: str, shown: bool = True
) -> Iterator[Callable[[int], object]]:
    """A progress bar as ``progress`` shows, moved on by calling what it gives: ``tick(updates)``."""
    if not (shown and _shows_progress()):
        yield lambda updates: None
        return
    bar = _bar(None, description, total)
    try:
        yield bar.update
    finally:
        bar.total = bar.n
        bar.close()


def _shows_progress() -> bool:
    return not is_grading() and os.environ.get("FLATLAB_PROGRESS") != "off"


def _bar(items: Iterable | None, description: str, total: int | None) -> Any:
    import sys

    from tqdm.auto import tqdm

    return tqdm(items, desc=description, total=total, file=sys.stdout, leave=False)


def _watched(items: Iterable[Item], bar: Any) -> Iterator[Item]:
    """``items`` under ``bar``, which goes away also when the loop around them ends early.

    Told to close before its total, tqdm leaves a red bar in a notebook: a failure, to its reader.
    """
    try:
        for item in items:
            yield item
            bar.update()
    finally:
        bar.total = bar.n
        bar.close()
