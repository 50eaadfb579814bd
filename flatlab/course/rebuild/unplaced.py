"""The last look: no answer in words is lost in silence."""

from __future__ import annotations

from nbformat import NotebookNode

from flatlab.course.rebuild import code, words
from flatlab.course.rebuild.answers import Answer
from flatlab.course.rebuild.pieces import Piece
from flatlab.course.rebuild.prose import WORD
from flatlab.course.rebuild.release import ANSWERS, Release


def unplaced(
    parts: list[Piece],
    answers: list[Answer],
    notebook: NotebookNode,
    cases: list[dict],
    release: Release,
) -> list[dict]:
    """A case for each answer's prose that is neither in ``notebook`` nor in ``cases``.

    It may belong to an open question: each one without an answer is named. Code has rules of its
    own: a draft or an earlier version does not count.
    """
    known = [cell.source for cell in notebook.cells]
    known += [text for case in cases for text in case["texts"]]
    everything = "".join("".join(known).split())
    blank = [a.slot for a in answers if a.slot.kind == "open" and not a.places]
    found = []
    for piece in parts:
        if piece.slot is None or piece.slot.kind not in ANSWERS or piece.exact:
            continue
        text = piece.text.strip()
        if not WORD.search(text) or release.is_stub(piece.slot, text) or release.resembles(text):
            continue
        if code.parses(text) or "".join(text.split()) in everything:
            continue
        for slot in blank or [piece.slot]:
            why = f"Text of cell {piece.cell} may belong to it and was put nowhere."
            found.append(words.case(slot.kind, slot.name, "stray", why, [text]))
    return found
