"""Finds solution and hidden-test lines in a release, from the source's own text.

Nothing here uses the build: what is visible, and what must not be, is read off the source's
markers, and the release is searched as a file, metadata included.
"""

import json
import re
from pathlib import Path

_TRIVIAL = re.compile(r"^[\W_]*(?:\w{1,2}|else|try|return|pass|break|continue)?[\W_]*$")


def secret_and_visible(source: str) -> tuple[list[str], str]:
    """The lines between BEGIN and END markers of a percent source, and all other text."""
    secret, visible, inside = [], [], False
    for line in source.splitlines():
        if re.search(r"### BEGIN (SOLUTION|HIDDEN TESTS)", line):
            inside = True
        elif re.search(r"### END (SOLUTION|HIDDEN TESTS)", line):
            inside = False
        else:
            (secret if inside else visible).append(line.strip().removeprefix("# "))
    return [line for line in secret if not _TRIVIAL.match(line)], "\n".join(visible)


def strings(value) -> list[str]:
    """All strings in a JSON value, keys included; a list of strings also as one text."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *strings(item))]
    if isinstance(value, list):
        joined = ["".join(value)] if all(isinstance(item, str) for item in value) else []
        return joined + [text for item in value for text in strings(item)]
    return []


def leaks(source: Path, release: Path) -> tuple[list[str], int]:
    """The secret lines that the release holds, and how many secret lines were looked for.

    A line that the visible part of the source holds too, such as a common import, is no secret.
    """
    secret, visible = secret_and_visible(source.read_text(encoding="utf-8"))
    looked_for = [line for line in secret if line not in visible]
    released = "\n".join(strings(json.loads(release.read_text(encoding="utf-8"))))
    return [line for line in looked_for if line in released], len(looked_for)
