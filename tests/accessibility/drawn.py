"""Runs a chapter's cells in this process, by default at quick scale; prints what its figures are and say.

`python drawn.py solutions/NN-name.py` writes a list of figures as JSON, one object each: the cell's
id, the text, what is unclear, which axes the text does not name, and which of its numbers are
plotted. A process of its own, because the cells set what a session has.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

from unclear import unclear
from words_of_figures import is_among, numbers, plotted, unnamed_axes

from flatlab import plots
from flatlab.course.contract_graded import magic_free
from flatlab.course.source import TEXT_KINDS, read_chapter


def figures(source: Path) -> list[dict]:
    """The figures of a chapter's solution, in order."""
    found, here, bundle = [], "", plots.bundle

    def kept(fig, alt):
        values = plotted(fig)
        found.append(
            {
                "cell": here,
                "alt": alt,
                "unclear": unclear(fig),
                "unnamed": unnamed_axes(fig, alt),
                "plotted": [number for number in numbers(alt) if is_among(number, values)],
            }
        )
        return bundle(fig, alt)

    plots.bundle = kept
    names = {"__name__": "__main__"}
    for cell in read_chapter(source).cells:
        if cell.kind not in TEXT_KINDS:
            here = f"{cell.kind}-{cell.name}" if cell.name else f"{cell.kind}, line {cell.line}"
            exec(compile(magic_free(cell.text), here, "exec"), names)  # noqa: S102 - our own
    return found


if __name__ == "__main__":
    os.environ |= {"FLATLAB_FIGURES": "off", "FLATLAB_PROGRESS": "off"}
    os.environ.setdefault("FLATLAB_SCALE", "quick")
    with contextlib.redirect_stdout(io.StringIO()):
        told = figures(Path(sys.argv[1]))
    print(json.dumps(told))
