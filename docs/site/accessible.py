"""What axe-core finds fault with in the theme's pages, and no setting changes."""

from __future__ import annotations

import re
from pathlib import Path

# An empty corner of a table is no header.
_CORNER = re.compile(r'<th class="head"><p></p></th>')
# The arrow that unfolds a page's part of the contents has no name.
_UNFOLD = re.compile(
    r'>([^<]*)</a>(<details(?: open="open")?>)<summary>(?=<span class="toctree-toggle")'
)


def mended(page: str) -> str:
    """The HTML of a page without these faults."""
    page = _CORNER.sub('<td class="head"></td>', page)
    return _UNFOLD.sub(r'>\1</a>\2<summary aria-label="Pages of: \1">', page)


def on_finished(app, error) -> None:
    """Sphinx's event: mend every page that was written."""
    if error is None:
        for path in Path(app.outdir).rglob("*.html"):
            page = path.read_text(encoding="utf-8")
            path.write_text(mended(page), encoding="utf-8")
