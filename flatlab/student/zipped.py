"""A zip of files in memory: the same bytes for the same files, whoever makes it and when."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can tell


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The zip of ``files``, by their names in it, which anybody may read and the owner write."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, whose modes these are; Windows would write its own
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, method)
    return buffer.getvalue()
