"""Bytes to text: whatever a student's editor, mail program or disk made of a UTF-8 file."""

from __future__ import annotations

import codecs
import re

from flatlab.course.rebuild.words import Note

MOST_BYTES = 64 * 2**20
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SURROGATES = re.compile("[\ud800-\udfff]")


def decode(data: bytes) -> tuple[str, list[Note]]:
    """The text in ``data`` and what was odd about its bytes.

    UTF-8, -16 and -32 with or without a byte order mark; a byte that is no UTF-8 is read as
    Windows-1252, in which Latin-1's letters are the same. NUL bytes are dropped.
    """
    notes = [Note("bom")] if data.startswith(codecs.BOM_UTF8) else []
    encoding, body = _encoding(data)
    zeros = 0
    if encoding == "utf-8":
        zeros = body.count(b"\0")  # before decoding: one may stand inside a character
        body = body.replace(b"\0", b"")
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            text = body.decode("utf-8", "flatlab-windows")
            notes.append(Note("encoding", "not UTF-8; read as Windows-1252 where it is not"))
    else:
        notes.append(Note("encoding", encoding.upper()))
        text = body.decode(encoding, "replace").rstrip("\ufffd")
    if zeros := zeros + text.count("\0"):
        notes.append(Note("nul", str(zeros)))
    return text.replace("\0", ""), notes


def settle(text: str) -> str:
    """A cell's text with LF line ends, without byte order marks, NULs and half surrogates.

    Text that was UTF-8, read as Windows-1252 and saved again (``Â·`` for ``·``) is put right.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").replace("\ufeff", "")
    text = _SURROGATES.sub("\ufffd", text)
    if text.isascii():
        return text
    try:
        return text.encode("cp1252", "flatlab-latin").decode("utf-8")
    except ValueError:  # the rule: it was right as it was
        return text


def _encoding(data: bytes) -> tuple[str, bytes]:
    """The encoding by byte order mark, else by where the zeros are; ``data`` without the mark."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return encoding, data[len(mark) :]
    head = data[:4096]
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if half and odd > 0.6 * half and even < 0.2 * half:
        return "utf-16-le", data
    if half and even > 0.6 * half and odd < 0.2 * half:
        return "utf-16-be", data
    return "utf-8", data


def _latin(error: UnicodeError) -> tuple[bytes, int]:
    """An error handler for ``str.encode``: Latin-1's bytes where Windows-1252 has none."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return error.object[error.start : error.end].encode("latin-1"), error.end


def _windows(error: UnicodeError) -> tuple[str, int]:
    """An error handler for ``bytes.decode``: the bytes that are no UTF-8, as Windows-1252."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    try:
        return wrong.decode("cp1252"), error.end
    except UnicodeDecodeError:
        return wrong.decode("latin-1"), error.end


codecs.register_error("flatlab-latin", _latin)
codecs.register_error("flatlab-windows", _windows)
