"""The folder of a run: a record for each submission, each written whole or not at all.

A run that is killed goes on from here. One process at a time writes: a lock says so, which the
system takes away with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import secrets
from collections.abc import Iterator
from pathlib import Path

from flatlab.course.whole import HALF, write

UNKNOWN = "unknown-"  # the student of what nobody could be named for


class Busy(RuntimeError):
    """Another run has this folder."""


class Journal:
    """The records below ``folder``; which one is whose, by student and chapter."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.records = self.folder / "records"

    @contextlib.contextmanager
    def held(self) -> Iterator[Journal]:
        """Raises ``Busy`` where another process holds the folder."""
        self.records.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy(
                    f"Another run writes to {self.folder}: wait for it, or give another folder."
                ) from error
            except OSError as error:  # some network folders know no locks
                raise OSError(
                    f"{self.folder} cannot be locked ({error.strerror}): give --out on a local disk."
                ) from error
            for left in self.folder.rglob(f"{HALF}*"):  # of a run that was killed
                left.unlink()
            yield self

    def seed(self) -> int:
        """The seed of the drawn inputs: the same for all submissions and for a run that goes on."""
        path = self.folder / "seed"
        if not path.is_file():
            write(path, f"{secrets.randbits(62)}\n")
        return int(path.read_text())

    def path(self, student: str, chapter: str) -> Path:
        """Where the record of ``student`` for ``chapter`` is."""
        return self.records / student / f"{chapter}.json"

    def students(self, chapter: str) -> list[str]:
        """Whose submissions for ``chapter`` are here; files that nobody could be named for aside."""
        names = sorted(path.parent.name for path in self.records.glob(f"*/{chapter}.json"))
        return [name for name in names if not name.startswith(UNKNOWN)]

    def read(self, student: str, chapter: str) -> dict | None:
        """The record, or None where there is none that can be read."""
        try:
            record = json.loads(self.path(student, chapter).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def write(self, record: dict) -> None:
        """Keep ``record`` in the place of an older one."""
        text = json.dumps(record, ensure_ascii=False, indent=1)
        write(self.path(record["student"], record["chapter"]), text)
