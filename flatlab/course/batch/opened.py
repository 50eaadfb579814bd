"""What nbgrader's formgrader opens of a submission, and whether it is another attempt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flatlab.course.batch.desk import Desk
from flatlab.course.whole import write


@dataclass(frozen=True)
class Opened:
    """A submission's notebook as text, in the place where formgrader looks for it."""

    student: str
    chapter: str
    text: str  # executed; the release where nothing could be run, so that points can be given
    path: Path

    @classmethod
    def of(cls, record: Mapping, desks: Mapping[str, Desk], out: Path) -> Opened:
        """What ``record`` shows; ``desks``: by chapter, those that are known."""
        student, chapter = record["student"], record["chapter"]
        release = desks[chapter].release if chapter in desks else ""
        path = out / "autograded" / student / chapter / f"{chapter}.ipynb"
        return cls(student, chapter, record["notebook"] or release, path)

    def is_anew(self) -> bool:
        """Does an earlier attempt lie there, with other answers?"""
        if not self.path.is_file():
            return False
        return _written(self.path.read_text(encoding="utf-8")) != _written(self.text)

    def keep(self) -> None:
        """Put it there; nothing of an earlier attempt stays."""
        if not self.text:
            self.path.unlink(missing_ok=True)
        elif not (self.path.is_file() and self.path.read_text(encoding="utf-8") == self.text):
            write(self.path, self.text)


def _written(notebook: str) -> list[str]:
    """What a student may have written: not the release's texts, which name points and dates."""
    cells = json.loads(notebook or "{}").get("cells", ())
    return ["".join(cell["source"]) for cell in cells if _may_be_written(cell)]


def _may_be_written(cell: Mapping) -> bool:
    told = cell["metadata"].get("nbgrader", {})
    return bool(told.get("solution")) or (cell["cell_type"] == "code" and not told.get("locked"))
