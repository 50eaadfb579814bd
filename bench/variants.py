"""Do the chapters' results hold for other images? Stored outputs beside those of variants.

    python bench/variants.py [--chapter 05 ...] [--variants 1 2 3] [--table]

Executes each chapter that takes images at laptop scale with ``flatlab.use_variant(v)`` in its setup cell
and compares with the stored outputs (1) the cells that nbval compares: their text; (2) the
experiments: two numbers in one column of a table, or in one place of lines alike, that differ by more
than a fifth should come in the same order; (3) the summary: what was measured for each prediction.
Kept in bench/results/variants.json after each chapter; what is on file for the same notebook is not
run again. ``--table`` runs nothing and prints what is on file, with all that differs.
"""

import argparse
import difflib
import hashlib
import itertools
import json
import os
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
HERE = Path(__file__).resolve().parents[1]
CLEAR = 0.2  # of the larger one: numbers that differ by less have no order
SUMMARY = "experiment-summary"
_NUMBER = re.compile(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
RESULTS = HERE / "bench" / "results" / "variants.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chapter", action="append", metavar="NN", help="repeatable [all]")
    parser.add_argument("--variants", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--table", action="store_true", help="print what is on file")
    options = parser.parse_args()
    rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    if options.table:
        print(table(rows))
        return

    import nbformat

    from flatlab.course.layout import Layout
    from flatlab.course.variants import takes_images

    layout = Layout(HERE)
    for variant in options.variants:
        for chapter in layout.select(options.chapter):
            text = layout.solution(chapter).read_text(encoding="utf-8")
            notebook = nbformat.reads(text, as_version=4)
            if not takes_images(notebook):
                continue
            key = {"chapter": chapter, "variant": variant, "notebook": digest(notebook)}
            if any(key.items() <= row.items() for row in rows):
                continue
            row = {**key, **compared(text, chapter, variant)}
            rows = [r for r in rows if (r["chapter"], r["variant"]) != (chapter, variant)]
            rows = sorted([*rows, row], key=lambda r: (r["chapter"], r["variant"]))
            RESULTS.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
            print(f"{chapter}, variant {variant}: {len(row['differ'])} of {row['cells']} differ")


def digest(notebook) -> str:
    """Of what its code does and what it printed: not of its text, nor of where code lines break."""
    from flatlab.course.source import deeds

    code = [deeds(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps([code, said(notebook)]).encode()).hexdigest()[:16]


def compared(text: str, chapter: str, variant: int) -> dict:
    """What came of the chapter with this variant beside what is stored."""
    import nbformat

    from flatlab.course.assemble import COMPARE
    from flatlab.course.execute import execute
    from flatlab.course.layout import Refused
    from flatlab.course.variants import with_line

    notebook = nbformat.reads(text, as_version=4)
    marked = {c.id for c in notebook.cells if COMPARE in c.metadata.get("tags", [])}
    stored = said(notebook)
    notebook = nbformat.reads(with_line(text, variant), as_version=4)
    begin, error = time.monotonic(), ""
    with tempfile.TemporaryDirectory(prefix="flatlab-variant-") as folder:
        try:
            execute(notebook, Path(folder), chapter)
        except Refused as refused:
            error = refused.problems[0]
    got = said(notebook)
    experiments = [name for name in stored if name.startswith("experiment-") and name != SUMMARY]
    return {
        "cells": len(marked),
        "checks": sum(name.startswith("check-") for name in marked),
        "differ": {
            name: _changes(stored[name], got[name])
            for name in sorted(marked)
            if stored[name] != got[name]
        },
        "orders": {name: orders(stored[name], got[name]) for name in experiments if stored[name]},
        "summary": _changes(stored.get(SUMMARY, []), got.get(SUMMARY, [])),
        "error": error,
        "seconds": round(time.monotonic() - begin),
    }


def said(notebook) -> dict[str, list[str]]:
    """Code cell -> the lines it printed; an error is one of them."""
    found = {}
    for cell in notebook.cells:
        lines: list[str] = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                lines += output.text.splitlines()
            elif output.output_type == "error":
                lines.append(f"{output.ename}: {output.evalue}")
            elif not any(kind.startswith("image/") for kind in output.data):
                lines += output.data.get("text/plain", "").splitlines()
        found[cell.id] = lines
    return found


def orders(stored: list[str], got: list[str]) -> dict:
    """``of``: the pairs with a clear order in the stored lines; ``kept``: those in the same order now.

    ``columns``: where they stand. Lines of as many numbers, with the same words, are one table; a
    table of which a line is missing now has lost its orders.
    """
    before, after = _tables(stored), _tables(got)
    kept, every, lost = 0, 0, []
    for key, rows in before.items():
        others = after.get(key, [])
        for column, values in enumerate(zip(*rows, strict=True)):
            now = [row[column] for row in others] if len(others) == len(rows) else None
            for i, k in itertools.combinations(range(len(values)), 2):
                a, b = values[i], values[k]
                if abs(a - b) <= CLEAR * max(abs(a), abs(b)):
                    continue
                every += 1
                if now is not None and (a < b) == (now[i] < now[k]):
                    kept += 1
                else:
                    after_text = "gone" if now is None else f"{now[i]:g}, {now[k]:g}"
                    lost.append(f"column {column + 1}: {a:g}, {b:g} -> {after_text}")
    return {"of": every, "kept": kept, "lost": lost[:10]}


def _tables(lines: list[str]) -> dict[tuple, list[list[float]]]:
    """(how many numbers, the words but the first) -> the numbers of the lines alike."""
    found = defaultdict(list)
    for line in lines:
        numbers = [float(n.replace("−", "-").replace(",", "")) for n in _NUMBER.findall(line)]
        words = tuple(re.findall(r"[^\W\d_]{2,}", _NUMBER.sub(" ", line))[1:])
        if numbers:
            found[len(numbers), words].append(numbers)
    return found


def _changes(stored: list[str], got: list[str]) -> list[str]:
    return [line for line in difflib.ndiff(stored, got) if line[:1] in "-+"]


def table(rows: Iterable[dict]) -> str:
    """Chapter, variant, cells and orders that agree, in markdown; below, what does not."""
    lines = [
        "| chapter | variant | compared cells that agree | orders in experiments that are kept |",
        "|---|---|---|---|",
    ]
    rows = list(rows)
    for row in rows:
        kept = sum(found["kept"] for found in row["orders"].values())
        every = sum(found["of"] for found in row["orders"].values())
        cells = f"{row['cells'] - len(row['differ'])} of {row['cells']}"
        told = [cells, f"{kept} of {every}"] if not row["error"] else ["stopped by an error", ""]
        lines.append(f"| {row['chapter']} | {row['variant']} | {told[0]} | {told[1]} |")
    for row in rows:
        lines += [
            "",
            f"{row['chapter']}, variant {row['variant']}, {row['seconds']} s {row['error']}",
        ]
        for name, changed in row["differ"].items():
            lines += [f"{name}:", *changed]
        for name, found in row["orders"].items():
            if found["lost"]:
                lines += [f"{name}: {found['kept']} of {found['of']} orders", *found["lost"]]
        lines += row["summary"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
