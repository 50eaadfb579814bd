"""Copies the README's pictures out of the executed notebooks, and draws its quickstart's: run by `make build`."""

import base64
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COVERS = {  # chapter -> the cell whose figure it shows
    "01-sharp-and-flat": "experiment-spectra",
    "02-which-minima-are-stable": "experiment-progressive-sharpening",
    "03-noise-eta-over-s": "experiment-width",
    "04-heavy-tails": "experiment-settings-and-controls",
    "05-sharpness-aware": "experiment-five-ways",
    "06-mode-connectivity": "experiment-three-planes",
    "07-grokking": "experiment-circuits",
    "08-double-descent": "experiment-double-descent",
}


def picture(chapter: str, cell_id: str) -> bytes:
    """The first stored PNG of a cell of the chapter's executed notebook."""
    notebook = json.loads((ROOT / "solutions" / chapter / f"{chapter}.ipynb").read_text("utf-8"))
    outputs = next(cell["outputs"] for cell in notebook["cells"] if cell["id"] == cell_id)
    return base64.b64decode(next(o["data"]["image/png"] for o in outputs if "data" in o))


def quickstart() -> bytes:
    """The diagram that the README's first lines of code draw."""
    from flatlab import plots

    text = (ROOT / "README.md").read_text("utf-8")
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)  # noqa: S102 - our own
    return plots.png(names["ax"].figure)


if __name__ == "__main__":
    for chapter, cell_id in COVERS.items():
        (ROOT / "docs" / "figures" / f"{chapter}.png").write_bytes(picture(chapter, cell_id))
    (ROOT / "docs" / "figures" / "quickstart.png").write_bytes(quickstart())
