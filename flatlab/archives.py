"""CIFAR-10 from a tar.gz archive of image files, as it is passed on where the original is too large.

The archive holds train/CLASS/NNNN.jpg and test/CLASS/NNNN.jpg. It is unpacked once, into memory
(93 MB for 60,000 images), and stays there with its JPEGs; only the images asked for are decoded.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

Part = tuple[Tensor, Callable[[Tensor], Tensor]]  # labels (n,), indices -> images in [0, 1]


def open_archive(path: Path, classes: tuple[str, ...]) -> tuple[Part, Part]:
    """Training and test part of an archive; labels count ``classes``, which take turns.

    A part is its labels (n,) int64, and a function from indices (m,) to images
    (m, 3, height, width). Raises ValueError where the archive is damaged or a class has no image.
    """
    found: dict[str, list[tuple[str, int, memoryview]]] = {"train": [], "test": []}
    try:
        # In one piece, images by their offset: to extract 60,000 members takes 1.7 times as long.
        raw = gzip.decompress(path.read_bytes())
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            for member in archive:
                part, folder, name = ("", "", *member.name.split("/"))[-3:]
                if member.isfile() and part in found and folder in classes:
                    data = memoryview(raw)[member.offset_data :][: member.size]
                    found[part].append((name, classes.index(folder), data))
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); a download or a copy may have stopped half way. "
            "Copy it again."
        ) from error
    for part, entries in found.items():
        if empty := set(range(len(classes))) - {label for _, label, _ in entries}:
            names = ", ".join(classes[label] for label in sorted(empty))
            raise ValueError(
                f"{path} holds no image in {part}/ for the class {names}: copy it again"
            )
        entries.sort(key=lambda entry: entry[:2])
    return _part(path, found["train"]), _part(path, found["test"])


def _part(path: Path, entries: list[tuple[str, int, memoryview]]) -> Part:
    def read(index: Tensor) -> Tensor:
        return torch.stack([_decoded(path, *entries[i]) for i in index.tolist()])

    return torch.tensor([label for _, label, _ in entries]), read


def _decoded(path: Path, name: str, label: int, data: memoryview) -> Tensor:
    from PIL import Image
    from torchvision.transforms.functional import pil_to_tensor

    try:
        with Image.open(io.BytesIO(data)) as image:
            return pil_to_tensor(image.convert("RGB")).float() / 255
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"{name} in {path} is no image that can be read ({error}): copy the archive again"
        ) from error
