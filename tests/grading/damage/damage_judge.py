"""Is a damaged submission rebuilt? Each answer is right, or named where damage made it doubtful."""

import ast
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from damage_notebooks import OWN, Sheet, covered, meaning

from flatlab.course.rebuild import Handed, Release, collect, rebuild

COLUMNS = [
    *("recoverable", ("recovered", "recoverable"), ("named", "recoverable")),
    *("in doubt", ("recovered", "in doubt"), "destroyed", ("named", "destroyed")),
]


def meanings(sheet: Sheet) -> dict[str, object]:
    """What each answer of an undamaged sheet means."""
    notebook = nbformat.reads(sheet.text(), as_version=4)
    keys = [key for key in sheet.keys if not key.startswith(OWN)]
    return {key: meaning(notebook, key, sheet.stubs) for key in keys}


def handed_in(sheet: Sheet, releases: dict[str, Release]) -> Handed:
    """What ``collect`` finds of a sheet with a path, in a student's folder or a class's archive."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / sheet.path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(sheet.bytes())
        (found,) = collect(Path(folder) if "/" in sheet.path else path, releases)
    return found


def judge(
    sheet: Sheet, truth: dict, chapter: str, releases: dict[str, Release]
) -> tuple[list[str], list[int]]:
    """What is wrong with the rebuilt sheet, and counts in the order of the table's columns.

    What can be recovered must be; what is in doubt or destroyed must be right or named for a
    person, unless there was nothing, or what is left looks as if it had been handed in so.
    """
    wrong, data, release = [], sheet.bytes(), releases[chapter]
    if sheet.path:
        handed = handed_in(sheet, releases)
        data = handed.data
        if (handed.chapter, handed.student, handed.problem) != (chapter, sheet.student, ""):
            wrong.append(f"{sheet.path}: {handed.chapter} {handed.student} {handed.problem}")
    rebuilt = rebuild(data, release)
    named = {case["name"] for case in rebuilt.manual}
    counts = Counter()
    for key, meant in truth.items():
        name = key.removeprefix("open-")
        outcome = next(e["outcome"] for e in rebuilt.report if e["name"] == name)
        right = _same(meaning(rebuilt.notebook, key, sheet.stubs), meant, key, sheet)
        kind = "recoverable"
        if key in sheet.destroyed:
            kind = "destroyed"
            blank = meaning(release.notebook, key, sheet.stubs) == meant
            if not (right or blank or name in named or _plausible(sheet, key)):
                wrong.append(f"{key}: destroyed, and not named ({outcome})")
        elif key in sheet.unsure:
            kind = "in doubt"
            if not (right or name in named or _verbatim(rebuilt.notebook, key, sheet)):
                wrong.append(f"{key}: in doubt, wrong, and not named ({outcome})")
        elif not right or outcome in ("lost", "damaged"):
            wrong.append(f"{key}: {'right' if right else 'not what was handed in'} ({outcome})")
        counts[kind] += 1
        counts["recovered", kind] += right
        counts["named", kind] += name in named
    return wrong, [counts[column] for column in COLUMNS]


def _same(found: object, truth: object, key: str, sheet: Sheet) -> bool:
    """Is it what was handed in? An answer in words: all of it, other text beside it or not.

    Where nothing was handed in, other text may stand there: a person reads it.
    """
    if found == truth or not key.startswith("open-") or truth == "YOURANSWERHERE":
        return found == truth or key.startswith("open-")
    cells = [c.source for c in sheet.cells for name, *_ in c.holds if name == key]
    parts = ["".join(line.split()) for text in cells for line in text.split("\n")]
    return all(part in found for part in parts if part and part in truth)


def _verbatim(notebook, key: str, sheet: Sheet) -> bool:
    """Is the rebuilt cell, cut words and all, what stands in the one cell with the whole answer?"""
    text = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == key)
    body = text.source.split("\n", 1)[-1]
    held = [c for c in sheet.cells if any(name == key for name, *_ in c.holds)]
    return len(held) == 1 and covered(key, held[0].holds) and body in held[0].source


def _plausible(sheet: Sheet, key: str) -> bool:
    """May a student have handed in what is left: the untouched stub, whole Python, or words?"""
    stub = sheet.stubs[key].split("\n", 1)[1]
    parts = [cell.source for cell in sheet.cells for name, *_ in cell.holds if name == key]
    if not parts:
        return any(stub in cell.source for cell in sheet.cells)
    try:
        return key.startswith("open-") or all(map(ast.parse, parts))
    except SyntaxError:
        return False
