"""A folder of images as a data set: one folder a class, as torchvision's ``ImageFolder`` has it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flatlab.arguments import checked_classes
from flatlab.notebook import progress
from flatlab.sources import Source, Split

_SHOW_PROGRESS_FROM = 2000  # images; fewer are read in about a second


def open_folder(
    path: Path,
    classes: Sequence[int | str] | None,
    n_test: int | None,
    size: int | None,
    generator: torch.Generator,
) -> Source:
    """The images in ``path``/train/CLASS and ``path``/test/CLASS, or in ``path``/CLASS.

    Folders have no order of their own. With train and test given, the classes take turns; else
    the images (of ``classes``) are shuffled by ``generator`` and the first ``n_test`` of them, or
    a fifth, are the test set. Images that are not all of one shape need a ``size``.

    Raises:
        FileNotFoundError: no images, a class without images, or train without test.
        ValueError: an unknown class, or no image left to train on.
    """
    parts = [path / part for part in ("train", "test") if (path / part).is_dir()]
    if len(parts) == 1:
        raise FileNotFoundError(
            f"{path} has {parts[0].name}/ alone: add the other of train/ and test/, or leave both "
            "out and let flatlab split the images"
        )
    if not parts:
        names, samples = _find_images(path, path)
        kept = set(checked_classes(classes, tuple(names)))
        samples = [sample for sample in samples if sample[1] in kept]
        order = torch.randperm(len(samples), generator=generator).tolist()
        cut = max(1, len(samples) // 5) if n_test is None else n_test
        if cut >= len(samples):
            raise ValueError(f"{cut} test images of {len(samples)} leave none to train on")
        train, test = ([samples[i] for i in part] for part in (order[cut:], order[:cut]))
    else:
        (names, train), (test_names, test) = (_find_images(part, path) for part in parts)
        if names != test_names:
            raise FileNotFoundError(
                f"{path}/train and {path}/test hold different classes: {', '.join(names)}; "
                f"{', '.join(test_names)}"
            )
        train, test = _take_turns(train), _take_turns(test)
    return Source(_split(train, size), _split(test, size), tuple(names))


def _find_images(folder: Path, top: Path) -> tuple[list[str], list[tuple[str, int]]]:
    from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

    names = sorted(d.name for d in folder.iterdir() if d.is_dir() and d.name[0] not in "._")
    index = {name: i for i, name in enumerate(names)}
    samples = make_dataset(str(folder), index, IMG_EXTENSIONS, allow_empty=True) if names else []
    if not samples:
        raise FileNotFoundError(
            f"there are no images in {folder}: expected {top}/train/CLASS/ and {top}/test/CLASS/, "
            f"or {top}/CLASS/, with files such as 0001.png"
        )
    empty = sorted(set(names) - {names[label] for _, label in samples})
    if empty:
        raise FileNotFoundError(
            f"no images for the class {', '.join(empty)} in {folder}: add some or remove the folder"
        )
    return names, samples


def _take_turns(samples: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The first image of every class, then the second of every class, and so on."""
    seen: dict[int, int] = {}
    turns = []
    for sample in samples:
        seen[sample[1]] = seen.get(sample[1], 0) + 1
        turns.append(seen[sample[1]])
    return [sample for _, sample in sorted(zip(turns, samples, strict=True), key=lambda t: t[0])]


def _split(samples: list[tuple[str, int]], size: int | None) -> Split:
    def read(index: Tensor) -> Tensor:
        paths = [samples[i][0] for i in index.tolist()]
        bar = progress(paths, "reading images") if len(paths) >= _SHOW_PROGRESS_FROM else paths
        images = [_read_image(path, size) for path in bar]
        shapes = {tuple(image.shape[1:]) for image in images}
        if len(shapes) > 1:
            found = ", ".join(f"{height}x{width}" for height, width in sorted(shapes)[:4])
            raise ValueError(f"the images differ in size ({found}): give image_size, as in 32")
        return torch.stack(images)

    return Split(torch.tensor([label for _, label in samples], dtype=torch.long), read)


def _read_image(path: str, size: int | None) -> Tensor:
    from PIL import Image
    from torchvision.transforms.functional import pil_to_tensor

    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":  # more than 8 bits, which convert("RGB") clips at 255
                tensor = torch.from_numpy(np.array(image, np.float32)).expand(3, -1, -1) / 65535
                if image.mode == "F" or not 0 <= tensor.min() <= tensor.max() <= 1:
                    raise ValueError(
                        f"{path} holds other gray values than whole numbers up to 65535: save it "
                        "with 8 or 16 bits a pixel"
                    )
            else:
                tensor = pil_to_tensor(image.convert("RGB")).float() / 255
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"{path} is no image that can be read ({error}); it may be truncated. Delete it or "
            "copy it again."
        ) from error
    return tensor if size is None else resized(tensor[None], size)[0]


def resized(images: Tensor, size: int) -> Tensor:
    """``images`` (n, channels, height, width) at ``size`` x ``size``, bilinear, smoothed if smaller."""
    if images.shape[-2:] == (size, size):
        return images
    return torch.nn.functional.interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
