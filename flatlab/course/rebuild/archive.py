"""Notebooks inside zip archives, read in memory: nothing is ever unpacked to disk.

An archive that tries to write outside its folder, to link, to hide its size or to be unreadable
is refused with a message that names the entry.
"""

from __future__ import annotations

import contextlib
import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

SIGNATURE = b"PK\3\4"
# Some browsers and mail programs add an ending to a file that they take for text.
NOTEBOOK = (".ipynb", ".ipynb.txt", ".ipynb.json")
_SKIPPED = ("__MACOSX", ".ipynb_checkpoints", "__pycache__")
_CHUNK = 2**20
_UTF8 = 0x800  # the flag that names are UTF-8
# What zipfile and the decompressors behind it raise for bytes that are no archive's
_TORN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
    *(NotImplementedError, OverflowError, RuntimeError, ValueError),
)


class ArchiveRefused(ValueError):
    """An archive that is not read any further; the text says which entry, and why."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold, unpacked, archives inside it included; sizes in bytes."""

    entry: int = 64 * 2**20
    total: int = 4 * 2**30
    inner: int = 512 * 2**20  # of ``total``, what one archive inside it may take: one student's
    entries: int = 20_000  # of each archive
    ratio: int = 300  # unpacked over packed, for entries above a megabyte
    depth: int = 2  # an archive of students' archives


@dataclass
class _Spent:
    """Bytes unpacked so far, those of what was refused too."""

    bytes: int = 0


class NoNotebook(ArchiveRefused):
    """A file of another kind; not read."""


def notebooks(
    file: bytes | str, limits: Limits | None = None
) -> Iterator[tuple[str, bytes | ArchiveRefused]]:
    """(path, bytes) of each notebook in a zip archive, given as bytes or by its file's name.

    In the place of a notebook, or an archive inside the archive, that had to be refused comes the
    refusal, so that one student's bomb does not stop a class; of a file of another kind
    ``NoNotebook``. Raises ``ArchiveRefused`` where the outer one cannot be read, has too many
    entries, a link or a path outside its folder.
    """
    yield from _walk(file, limits or Limits(), _Spent(), "", 1)


def names(file: str) -> list[str]:
    """The paths of the files in a zip archive; none where it cannot be read."""
    try:
        with zipfile.ZipFile(file) as archive:
            return [str(path) for _, path in _entries(archive.infolist())]
    except _TORN:
        return []


def is_notebook(name: str) -> bool:
    """Going by its name."""
    return name.lower().endswith(NOTEBOOK)


def is_handed_in(name: str) -> bool:
    """A notebook or an archive, going by its name."""
    return is_notebook(name) or PurePosixPath(name).suffix.lower() == ".zip"


def only_notebook(data: bytes, limits: Limits | None = None) -> bytes:
    """The one notebook of a zip archive; raises ``ArchiveRefused`` where there is none or more."""
    found = [one for one in notebooks(data, limits) if not isinstance(one[1], NoNotebook)]
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
    except _TORN as error:
        raise ArchiveRefused(f"{where} cannot be read as a zip archive: {error}.") from error
    with archive:
        infos = archive.infolist()
        if len(infos) > limits.entries:
            raise ArchiveRefused(f"{where} has more than {limits.entries} entries: refused.")
        for info in infos:  # all of them before any is read
            _refuse_path(info, where)
        for info, path in _entries(infos):
            name = f"{above}/{path}" if above else str(path)
            if not is_handed_in(path.name):
                yield name, NoNotebook(f"{name} is no notebook.")
                continue
            try:
                yield from _found(archive, info, limits, spent, name, depth)
            except ArchiveRefused as refused:
                yield name, refused


def _found(archive, info, limits: Limits, spent: _Spent, name: str, depth: int) -> list[tuple]:
    """One entry's notebooks: itself, or those of the archive that it is."""
    data = _read(archive, info, limits, spent, name)
    if is_notebook(info.filename) and not data.startswith(SIGNATURE):
        return [(name, data)]
    if depth >= limits.depth:
        raise ArchiveRefused(f"{name} is an archive too deep inside another one.")
    own = _Spent()
    within = replace(limits, total=min(limits.total - spent.bytes, limits.inner))
    try:
        found = list(_walk(data, within, own, name, depth + 1))
        return found or [(name, NoNotebook(f"{name} is empty."))]
    finally:
        spent.bytes += own.bytes


def _entries(
    infos: list[zipfile.ZipInfo],
) -> Iterator[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The files with their paths: no folders, nothing that a system put there."""
    for info in infos:
        path = _path(info)
        folder = info.filename.endswith("/")  # is_dir fails for an empty name in Python 3.11
        if not (folder or _skipped(path)):
            yield info, path


def _path(info: zipfile.ZipInfo) -> PurePosixPath:
    """The entry's path. A Mac writes UTF-8 and does not say so; zipfile then takes it for cp437."""
    name = info.filename
    if not info.flag_bits & _UTF8:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return PurePosixPath(name.replace("\\", "/"))


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
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArchiveRefused(f"{name} is not packed by deflate: ask for an ordinary zip.")
    packed = max(info.compress_size, 1)
    parts, size = [], 0
    try:
        with archive.open(info) as stream:
            while chunk := stream.read(_CHUNK):
                parts.append(chunk)
                size += len(chunk)
                spent.bytes += len(chunk)
                bomb = size > _CHUNK and size > limits.ratio * packed
                if bomb or size > limits.entry or spent.bytes > limits.total:
                    raise ArchiveRefused(
                        f"{name} unpacks to more than {size // _CHUNK} MiB from {packed} bytes "
                        "(a zip bomb, or too large): refused."
                    )
    except ArchiveRefused:
        raise
    except _TORN as error:
        raise ArchiveRefused(f"{name} cannot be unpacked: {error}.") from error
    return b"".join(parts)
