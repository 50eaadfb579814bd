"""Do the chapters' results hold for other images? Stored outputs beside those of variants.

    python bench/variants.py [--chapter 05 ...] [--variants 1 2 3] [--table]

Executes each chapter that takes images at laptop scale with ``flatlab.use_variant(v)`` in its setup cell
and compares the cells that nbval compares (signs, orders, verdicts) with the stored ones. Kept in
bench/results/variants.json after each chapter; what is on file for the same notebook is not run
again. ``--table`` runs nothing and prints what is on file, with the lines that differ.
"""

import argparse
import difflib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
HERE = Path(__file__).resolve().parents[1]
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
            key = {"chapter": chapter, "variant": variant, "notebook": digest(text)}
            if any(key.items() <= row.items() for row in rows):
                continue
            if not takes_images(nbformat.reads(text, as_version=4)):
                continue
            row = {**key, **compared(text, chapter, variant)}
            rows = [r for r in rows if (r["chapter"], r["variant"]) != (chapter, variant)]
            rows = sorted([*rows, row], key=lambda r: (r["chapter"], r["variant"]))
            RESULTS.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
            print(f"{chapter}, variant {variant}: {len(row['differ'])} of {row['cells']} differ")


def digest(text: str) -> str:
    """Of a notebook's cells, stored outputs included."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def compared(text: str, chapter: str, variant: int) -> dict:
    """What came of the chapter with this variant: cells compared, and those that differ."""
    import nbformat

    from flatlab.course.execute import execute
    from flatlab.course.layout import Refused
    from flatlab.course.variants import with_line

    stored = said(nbformat.reads(text, as_version=4))
    notebook = nbformat.reads(with_line(text, variant), as_version=4)
    begin, error = time.monotonic(), ""
    with tempfile.TemporaryDirectory(prefix="flatlab-variant-") as folder:
        try:
            execute(notebook, Path(folder), chapter)
        except Refused as refused:
            error = refused.problems[0]
    got = said(notebook)
    differ = {
        name: [line for line in difflib.ndiff(stored[name], got[name]) if line[:1] in "-+"]
        for name in stored
        if stored[name] != got[name]
    }
    return {
        "cells": len(stored),
        "checks": sum(name.startswith("check-") for name in stored),
        "differ": differ,
        "error": error,
        "seconds": round(time.monotonic() - begin),
    }


def said(notebook) -> dict[str, list[str]]:
    """Cell -> the lines it printed, for the cells whose output is compared."""
    from flatlab.course.assemble import COMPARE

    found = {}
    for cell in notebook.cells:
        if COMPARE not in cell.metadata.get("tags", []):
            continue
        lines: list[str] = []
        for output in cell.outputs:
            if output.output_type == "stream":
                lines += output.text.splitlines()
            elif output.output_type == "error":
                lines.append(f"{output.ename}: {output.evalue}")
            elif not any(kind.startswith("image/") for kind in output.data):
                lines += output.data.get("text/plain", "").splitlines()
        found[cell.id] = lines
    return found


def table(rows: Iterable[dict]) -> str:
    """Chapter x variant in markdown: of the compared cells how many agree; below, what differs."""
    rows = list(rows)
    variants = sorted({row["variant"] for row in rows})
    lines = [
        "| chapter | compared | " + " | ".join(f"variant {v}" for v in variants) + " |",
        "|---|---|" + "---|" * len(variants),
    ]
    for chapter in sorted({row["chapter"] for row in rows}):
        mine = {row["variant"]: row for row in rows if row["chapter"] == chapter}
        cells = next(iter(mine.values()))["cells"]
        told = []
        for variant in variants:
            row = mine.get(variant)
            missing = "stopped by an error" if row and row["error"] else "not run"
            fine = row and not row["error"]
            told.append(f"{cells - len(row['differ'])} agree" if fine else missing)
        lines.append(f"| {chapter} | {cells} | " + " | ".join(told) + " |")
    for row in rows:
        for name, changed in row["differ"].items():
            lines += ["", f"{row['chapter']}, variant {row['variant']}, {name}:", *changed]
        lines += [f"{row['chapter']}, variant {row['variant']}: {row['error']}"] * bool(
            row["error"]
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
