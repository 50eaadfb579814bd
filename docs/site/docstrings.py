"""Docstrings as reStructuredText: they are plain text in which formulas are full of its signs.

A paragraph that is indented and no part of a section such as ``Args:`` is a formula or code, and
comes out as it stands. What stands in backticks is code. All else is text.
"""

from __future__ import annotations

import re

_CODE = re.compile(r"(``[^`]+``|`[^`\n]+`)")
_SIGNS = re.compile(r"[\\*|]|_(?=\W|$)")


def as_rst(lines: list[str]) -> list[str]:
    """The lines of a docstring, without its common indentation, as reStructuredText."""
    result: list[str] = []
    verbatim = after_blank = False
    for line in lines:
        if not line.strip():
            after_blank = True
            result.append("")
            continue
        indented = line.startswith("    ")
        if not verbatim and indented and after_blank:
            result += ["::", ""]
        verbatim = indented and (verbatim or after_blank)
        plain = verbatim or line.startswith(">>>")
        result.append(line if plain else escape(line))
        after_blank = False
    return result


def escape(text: str) -> str:
    """One line of text, its code in double backticks and nothing else with a meaning."""
    parts = _CODE.split(text)
    for i, part in enumerate(parts):
        if i % 2:
            parts[i] = f"``{part.strip('`')}``"
        else:
            parts[i] = _SIGNS.sub(lambda sign: "\\" + sign.group(), part)
    return "".join(parts)


def on_docstring(app, what, name, obj, options, lines: list[str]) -> None:
    """Sphinx's event: change ``lines`` in place, before napoleon reads the sections."""
    lines[:] = as_rst(lines)
