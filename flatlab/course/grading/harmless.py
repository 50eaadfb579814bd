"""What students wrote and what their code showed, so that a page that shows it runs none of it.

nbgrader's formgrader puts the HTML of text cells and outputs, as it is, into the page that gives
grades. Here one space parts what would be a tag or a link: formulas and code read as before.
"""

from __future__ import annotations

import re
from collections.abc import Container

# No parser decides what is code or formula and stays: another's view of it may differ
_TAG = re.compile(r"<(?!/?(details|summary)>|!-- open: [^<>]* -->)(?=[A-Za-z/!?])")
_SAFE = r"(?P<safe>https?://|mailto:|#|\.\.?/|data:image/(png|jpeg|gif);)"
_LINK = re.compile(rf"(?ai)\]\(\s*({_SAFE}|attachment:(?P<name>[\w.%~-]+)(?=[\s)]))?")
_NAMED = re.compile(rf"(?aims)^([^a-z\[\n]*\[(?:[^\\\[\]]|\\.){{0,1000}}\]):(?!\s*{_SAFE})")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_PICTURES = ("image/png", "image/jpeg")


def words(text: str, attached: Container[str] = ()) -> str:
    """A text cell's ``text`` without HTML and without links that are not to a page or picture.

    ``attached``: the names of the cell's pictures; nbconvert refuses a cell that uses another.
    """

    def parted(link: re.Match) -> str:
        kept = link["safe"] or link["name"] in attached
        return link[0] if kept else link[0].replace("(", " (", 1)

    return _NAMED.sub(r"\1 :", _LINK.sub(parted, _TAG.sub("< ", text)))


def shown(data: dict[str, str]) -> dict[str, str]:
    """Of an output's ``data`` by media type its text and pictures, or a line on what is left out."""
    kept = {mime: data[mime] for mime in _PICTURES if _BASE64.fullmatch(data.get(mime, "-"))}
    if "text/plain" in data:
        kept["text/plain"] = data["text/plain"]
    return kept or {"text/plain": f"[not shown: {', '.join(data)[:200]}]"}
