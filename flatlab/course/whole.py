"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

HALF = ".writing-"  # how a file's name begins until it is whole


def write(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Write a file, by default one that only its owner reads; a kill leaves the old one."""
    if isinstance(content, str):
        content = content.encode("utf-8", "replace")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, made = tempfile.mkstemp(prefix=HALF, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(handle, mode)
            file.flush()
            os.fsync(handle)
        os.replace(made, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise
