"""What a figure's words say of it: its numbers among the data, its axes by their names."""

import re
import unicodedata

import numpy as np

NUMBER = re.compile(r"(?<![\w.^])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")
# A word of three letters or more, by its first four; or a symbol of one letter.
WORD = re.compile(r"[a-z]{3,}|[^\W\d_a-z]+|\b[a-z]\d?\b")


def numbers(alt: str) -> list[str]:
    """The numbers in a text that were measured rather than counted: of two digits or more."""
    return [
        found
        for found in NUMBER.findall(alt)
        if len(re.sub(r"\D", "", found.split("e")[0]).lstrip("0")) >= 2
    ]


def plotted(fig) -> np.ndarray:
    """Every finite coordinate, height and value that a figure draws."""
    values = []
    for ax in fig.axes:
        for line in ax.lines:
            values += [line.get_xdata(), line.get_ydata()]
        for drawn in (*ax.collections, *ax.images):
            values += [drawn.get_array()] if drawn.get_array() is not None else []
        values += [group.get_offsets() for group in ax.collections]
        values += [[patch.get_height()] for patch in ax.patches if hasattr(patch, "get_height")]
        values += [[float(n) for n in NUMBER.findall(text.get_text())] for text in ax.texts]
    flat = np.concatenate([np.ravel(np.asarray(v, dtype=float)) for v in values] or [[]])
    return flat[np.isfinite(flat)]


def is_among(number: str, values: np.ndarray) -> bool:
    """Whether a number is one of ``values``, to the digits written, as it is or in percent."""
    digits, _, exponent = number.lower().partition("e")
    last = -len(digits.partition(".")[2]) + int(exponent or 0)
    near = 0.5 * 10.0**last * (1 + 1e-6)
    return any((np.abs(values * scale - float(number)) <= near).any() for scale in (1, 100))


def words(text: str) -> set[str]:
    """Words by their beginnings and symbols, subscripts and TeX on the line."""
    plain = unicodedata.normalize("NFKC", re.sub(r"[$_{}]", "", text)).lower()
    return {word[:4] for word in WORD.findall(plain)} - {"the", "and", "with", "from"}


def unnamed_axes(fig, alt: str) -> list[str]:
    """The axis labels of which no word stands in the text."""
    labels = [label for ax in fig.axes for label in (ax.get_xlabel(), ax.get_ylabel()) if label]
    return [label for label in dict.fromkeys(labels) if not words(label) & words(alt)]
