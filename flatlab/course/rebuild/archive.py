"""Notebooks inside zip archives, read in memory: nothing is ever unpacked to disk.

An archive that tries to write outside its folder, to link, to hide its size or to be unreadable
is refused with a message that names the entry.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

SIGNATURE = b"PK\3\4"
_SKIPPED = ("__MACOSX", ".ipynb_checkpoints", "__pycache__")
_CHUNK = 2**20


class ArchiveRefused(ValueError):
    """An archive that is not read any further; the text says which entry, and why."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold, unpacked, archives inside it included; sizes in bytes."""

    entry: int = 64 * 2**20
    total: int = 4 * 2**30
    entries: int = 20_000
    ratio: int = 300  # unpacked over packed, for entries above a megabyte
    depth: int = 2  # an archive of students' archives


@dataclass
class _Spent:
    total: int = 0
    entries: int = 0


def notebooks(
    file: bytes | str, limits: Limits | None = None
) -> Iterator[tuple[str, bytes | ArchiveRefused]]:
    """(path, bytes) of each notebook in a zip archive, given as bytes or by its file's name.

    In the place of an archive inside the archive that had to be refused comes the refusal, so
    that one student's bomb does not stop a class. Raises ``ArchiveRefused`` for the outer one.
    """
    yield from _walk(file, limits or Limits(), _Spent(), "", 1)


def only_notebook(data: bytes, limits: Limits | None = None) -> bytes:
    """The one notebook of a zip archive; raises ``ArchiveRefused`` where there is none or more."""
    found = list(notebooks(data, limits))
    refused = [content for _, content in found if isinstance(content, ArchiveRefused)]
    if refused:
        raise refused[0]
    if len(found) != 1:
        names = ", ".join(path for path, _ in found[:5]) or "none"
        raise ArchiveRefused(f"The archive holds {len(found)} notebooks ({names}): one is needed.")
    return found[0][1]


def _walk(file, limits: Limits, spent: _Spent, above: str, depth: int) -> Iterator[tuple]:
    where = above or "the archive"
    try:
        archive = zipfile.ZipFile(io.BytesIO(file) if isinstance(file, bytes) else file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
        raise ArchiveRefused(f"{where} cannot be read as a zip archive: {error}.") from error
    with archive:
        infos = archive.infolist()
        spent.entries += len(infos)
        if spent.entries > limits.entries:
            raise ArchiveRefused(f"{where} has more than {limits.entries} entries: refused.")
        for info in infos:  # all of them before any is read
            _refuse_path(info, where)
        for info in infos:
            path = PurePosixPath(info.filename.replace("\\", "/"))
            name, kind = f"{above}/{path}" if above else str(path), path.suffix.lower()
            if info.is_dir() or kind not in (".ipynb", ".zip") or _skipped(path):
                continue
            data = _read(archive, info, limits, spent, name)
            if kind == ".ipynb" and not data.startswith(SIGNATURE):
                yield name, data
            elif depth >= limits.depth:
                yield name, ArchiveRefused(f"{name} is an archive too deep inside another one.")
            else:
                try:
                    yield from list(_walk(data, limits, spent, name, depth + 1))
                except ArchiveRefused as refused:
                    yield name, refused


def _skipped(path: PurePosixPath) -> bool:
    return any(part in _SKIPPED or part.startswith("._") for part in path.parts)


def _refuse_path(info: zipfile.ZipInfo, where: str) -> None:
    """Raise for a path that leaves the archive's folder, and for a link."""
    text = info.filename.replace("\\", "/")
    parts = text.split("/")
    if text.startswith("/") or ".." in parts or (len(parts[0]) == 2 and parts[0][1] == ":"):
        raise ArchiveRefused(
            f"{where} holds {info.filename!r}, a path outside its own folder (zip slip): refused."
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ArchiveRefused(f"{where} holds {info.filename!r}, a symbolic link: refused.")


def _read(archive, info: zipfile.ZipInfo, limits: Limits, spent: _Spent, name: str) -> bytes:
    """The entry's bytes, counted while they are unpacked: the header's size may lie."""
    if info.flag_bits & 1:
        raise ArchiveRefused(f"{name} is encrypted: ask for it without a password.")
    limit = min(limits.entry, limits.total - spent.total)
    packed = max(info.compress_size, 1)
    parts, size = [], 0
    try:
        with archive.open(info) as stream:
            while chunk := stream.read(_CHUNK):
                parts.append(chunk)
                size += len(chunk)
                bomb = size > _CHUNK and size > limits.ratio * packed
                if size > limit or bomb:
                    raise ArchiveRefused(
                        f"{name} unpacks to more than {size // _CHUNK} MiB from {packed} bytes "
                        "(a zip bomb, or too large): refused."
                    )
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveRefused(f"{name} cannot be unpacked: {error}.") from error
    spent.total += size
    return b"".join(parts)
