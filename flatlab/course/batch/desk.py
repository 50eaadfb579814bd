"""One chapter made ready for grading: once a run, then used for each submission, on any machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path

import flatlab
from flatlab.course.grading import Kit, Limits, make_kit
from flatlab.course.layout import Layout, Refused
from flatlab.course.rebuild import Release

FORMAT = 1  # of a record; counted up when an older one must not be taken for a new one


@dataclass(frozen=True)
class Desk:
    """A chapter as grading needs it: plain data, so that it can be sent to other machines."""

    chapter: str
    kit: Kit
    release: str  # the student's notebook, as text
    source: str  # solutions/NN-name.py: stays with the grader, never in a sandbox
    due: datetime | None = None  # with its zone; for the gradebook alone

    def digest(self, data: bytes, limits: Limits, sandbox: bool, seed: int | None) -> str:
        """sha256 of all that the result for a submission of these bytes depends on."""
        parts = {
            "format": FORMAT,
            "data": _sha(data),
            "chapter": self.chapter,
            "release": _sha(self.release.encode()),
            "source": _sha(self.source.encode()),
            "tests": self.kit.tests,
            "points": self.kit.points,
            "limits": limits.as_dict(),
            "sandbox": sandbox,
            "seed": seed,
            "flatlab": package_hash(),
        }
        return _sha(json.dumps(parts, sort_keys=True).encode())


def make_desk(layout: Layout, chapter: str) -> Desk:
    """The desk for ``chapter``. Raises ``Refused`` where the chapter is not built."""
    paths = (layout.release(chapter), layout.source(chapter))
    for path in paths:
        if not path.is_file():
            raise Refused([f"{path} is missing: run `flatlab build {chapter[:2]}` first."])
    release, source = (path.read_text(encoding="utf-8") for path in paths)
    return _made(layout, chapter, release, source, layout.solution(chapter).stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _made(layout: Layout, chapter: str, release: str, source: str, built: int) -> Desk:
    return Desk(chapter, make_kit(layout, chapter), release, source)


def releases(layout: Layout, chapters: Iterable[str]) -> dict[str, Release]:
    """The releases of those of ``chapters`` that are built, by name."""
    paths = {chapter: layout.release(chapter) for chapter in chapters}
    return {
        chapter: read_release(path.read_text(encoding="utf-8"))
        for chapter, path in paths.items()
        if path.is_file()
    }


@lru_cache(maxsize=32)
def read_release(text: str) -> Release:
    """The release in ``text``, read once a process."""
    import nbformat

    return Release(nbformat.reads(text, as_version=4))


@cache
def package_hash() -> str:
    """flatlab's version and a hash of its files, so that an edited checkout counts as another."""
    folder = Path(flatlab.__file__).parent
    files = [path for path in sorted(folder.rglob("*.py")) if path.is_file()]
    told = [f"{path.relative_to(folder)} {_sha(path.read_bytes())}" for path in files]
    return f"{flatlab.__version__}+{_sha(chr(10).join(told).encode())[:16]}"


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
