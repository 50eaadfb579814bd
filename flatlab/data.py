"""Images as tensors: ``load_dataset``.

The course's experiments use the first 1000 training images in their published order, so an order
is not shuffled here, unless by ``use_variant``. Where Fashion-MNIST cannot be had, digits stand in at
its size, so that the same networks run; the one line printed then says that the numbers will differ.
"""

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import one_hot as to_one_hot

from flatlab import notebook
from flatlab.arguments import checked_classes, checked_count, checked_generator, is_whole
from flatlab.folders import open_folder, resized
from flatlab.sources import (
    CLASSES,
    SHAPES,
    TITLES,
    DatasetNotFoundError,
    Source,
    Split,
    default_root,
    download_source,
    open_source,
    shuffled,
)

MOST_VARIANT = 2**31 - 1
_variant = 0  # what ``use_variant`` set last


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test images with their targets, on one device."""

    name: str  # what was loaded: "fashion_mnist", "cifar10", "digits" or the folder's path
    requested: str  # what was asked for; differs from name where digits stand in
    X_train: Tensor  # (n_train, channels, height, width) in [0, 1]
    y_train: Tensor  # (n_train,) int64, or (n_train, classes) one-hot
    X_test: Tensor  # (n_test, channels, height, width)
    y_test: Tensor  # as y_train
    classes: tuple[str, ...]  # name of each label
    relabeled: Tensor  # (round(label_noise * n_train),) indices of the noisy training labels
    variant: int = 0  # 0: the published order; see ``use_variant``

    @property
    def train(self) -> tuple[Tensor, Tensor]:
        """``(X_train, y_train)``."""
        return self.X_train, self.y_train

    @property
    def test(self) -> tuple[Tensor, Tensor]:
        """``(X_test, y_test)``."""
        return self.X_test, self.y_test

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.X_train.shape[1:]))
        variant = f", variant {self.variant}" if self.variant else ""
        return (
            f"Dataset({self.name}: {len(self.X_train)} training and {len(self.X_test)} test "
            f"images of {shape}, {len(self.classes)} classes{variant})"
        )


def use_variant(variant: int) -> None:
    """From now on ``load_dataset`` takes other images of the same data, chosen by this number.

    Each class is permuted in the training and in the test file, seeded by ``variant``: sizes, classes
    and labels stay. It holds for this process until the next call, like ``torch.manual_seed``; at
    the start it is 0, the published order.

    Raises ValueError for what is no whole number from 0 to 2^31 - 1; nothing is changed then.
    """
    global _variant
    _variant = _checked_variant(variant)


def load_dataset(
    name: str | os.PathLike,
    n_train: int | None = None,
    n_test: int | None = None,
    classes: Sequence[str | int] | None = None,
    root: str | os.PathLike | None = None,
    *,
    one_hot: bool = False,
    label_noise: float = 0.0,
    image_size: int | None = None,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    fallback: str | None = None,
    download: bool = True,
    variant: int | None = None,
) -> Dataset:
    """Load images in [0, 1] and their labels.

    Args:
        name: "fashion_mnist" (1x28x28), "cifar10" (3x32x32; torchvision's files, or a
            cifar10/cifar10-jpg.tar.gz under ``root``, where the classes take turns), "digits"
            (1x8x8, scikit-learn's 1797: the last 500 are the test set), or the path of a folder of
            images (3 channels; train/CLASS and test/CLASS, where the classes take turns, or CLASS
            alone, split by ``generator``).
        n_train, n_test: take the first so many, in the published order; None takes all.
        classes: keep these classes, by name or index, and label them 0, 1, ... in this order.
        root: where the files lie or are downloaded to; default ``$FLATLAB_DATA``, else the
            user's cache folder.
        one_hot: targets as rows of ``dtype`` with a single 1, for a mean squared error.
        label_noise: exactly round(label_noise * n_train) training labels, drawn from
            ``generator``, are each replaced by another class.
        image_size: resize to image_size x image_size, bilinearly.
        generator: CPU generator; None stands for one seeded 0.
        device, dtype: of the images.
        fallback: "digits" to use those, resized to the shape of the data asked for, where these
            are neither on disk nor to be downloaded. One printed line says so.
        download: allow a download. None is tried at quick scale.
        variant: as in ``use_variant``, for this call alone; None for the one in force.

    Raises:
        TypeError, ValueError: an unknown name or class, n larger than the data, a fraction
            outside [0, 1], a damaged file (the message names it).
        FileNotFoundError: no data there and no fallback; a folder without images.
    """
    for key, value in {"n_train": n_train, "n_test": n_test, "image_size": image_size}.items():
        if value is not None:
            checked_count(key, value)
    if not 0 <= label_noise <= 1:
        raise ValueError(f"label_noise is {label_noise}: give a fraction from 0 to 1")
    if fallback not in (None, "digits"):
        raise ValueError(f"fallback is {fallback!r}: give 'digits' or None")
    if isinstance(classes, str):
        raise TypeError(f"classes is the string {classes!r}: give a list, as in [{classes!r}]")
    if not dtype.is_floating_point:
        raise ValueError(f"dtype is {dtype}: give a floating type, images are in [0, 1]")
    variant = _checked_variant(_variant if variant is None else variant)
    generator = checked_generator(generator)
    requested = _checked_name(name)
    loaded = requested
    if requested in CLASSES:
        kept = checked_classes(classes, CLASSES[requested])
        source, notice = _open(requested, root, fallback, download)
        if notice is not None:
            loaded = fallback
            size = image_size or SHAPES[requested][1]
            n_train, n_test = _clip(source, kept, (n_train, n_test), notice, size)
    else:
        source = open_folder(Path(name), classes, n_test, image_size, generator)
        kept = checked_classes(classes, source.classes)
    source = shuffled(source, variant) if variant else source
    train, y_train = _select(source.train, kept, n_train, "training")
    test, y_test = _select(source.test, kept, n_test, "test")
    y_train, relabeled = relabel(y_train, label_noise, len(kept), generator)

    def images(split: Split, index: Tensor) -> Tensor:
        X = split.read(index)
        if loaded != requested:
            X = _in_shape_of(X, requested)
        return (X if image_size is None else resized(X, image_size)).to(device, dtype)

    def targets(y: Tensor) -> Tensor:
        return (to_one_hot(y, len(kept)).to(dtype) if one_hot else y).to(device)

    return Dataset(
        name=loaded,
        requested=requested,
        X_train=images(source.train, train),
        y_train=targets(y_train),
        X_test=images(source.test, test),
        y_test=targets(y_test),
        classes=tuple(source.classes[k] for k in kept),
        relabeled=relabeled,
        variant=variant,
    )


def _checked_variant(variant: int) -> int:
    if not is_whole(variant, 0) or variant > MOST_VARIANT:
        raise ValueError(f"variant is {variant!r}: give a whole number from 0 to {MOST_VARIANT}")
    return int(variant)


def _checked_name(name: str | os.PathLike) -> str:
    name = os.fspath(name)
    if name in CLASSES or Path(name).is_dir():
        return name
    close = difflib.get_close_matches(name.lower().replace("-", "_"), CLASSES, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(
        f"there is no data set {name!r}, nor a folder of that name: {hint}"
        f"Choose one of {', '.join(CLASSES)}, or give the path of a folder of images."
    )


def _open(
    name: str, root: str | os.PathLike | None, fallback: str | None, download: bool
) -> tuple[Source, str | None]:
    """The source, and where digits stand in, the sentence that says why."""
    folder = default_root() if root is None else Path(root).expanduser()
    try:
        return open_source(name, folder), None
    except DatasetNotFoundError:
        pass
    if not download or notebook.scale() == "quick":
        why = "download=False" if not download else "quick scale downloads nothing"
        problem = f"{TITLES[name]} is not on this machine ({why})"
    else:
        try:
            download_source(name, folder)
            return open_source(name, folder), None
        except OSError as error:
            problem = f"{TITLES[name]} could not be downloaded ({error})"
    if fallback is None:
        raise FileNotFoundError(
            f"{problem}. Looked in {folder}. Set FLATLAB_DATA or root to the folder that holds "
            "it, or pass fallback='digits'."
        )
    return open_source(fallback, folder), problem


def _clip(
    source: Source, kept: list[int], wanted: tuple[int | None, int | None], problem: str, size: int
) -> tuple[int, int]:
    """What digits can give of the numbers wanted, after printing the one line that says so."""
    have = [len(_select(split, kept)[0]) for split in (source.train, source.test)]
    given = [min(n or most, most) for n, most in zip(wanted, have, strict=True)]
    total = len(source.train.labels) + len(source.test.labels)
    short = [
        f" Only {n} {what} images instead of {want}."
        for n, want, what in zip(given, wanted, ("training", "test"), strict=True)
        if want is not None and n < want
    ]
    print(
        f"{problem}: using {TITLES['digits']}, {total} images, resized to {size}x{size}. "
        f"Numbers will differ from the text.{''.join(short)}"
    )
    return given[0], given[1]


def _select(
    split: Split, kept: list[int], n: int | None = None, what: str = ""
) -> tuple[Tensor, Tensor]:
    """Indices (n,) of the first ``n`` images of the kept classes, and their new labels (n,)."""
    new_label = torch.full((max(int(split.labels.max()), *kept) + 1,), -1)
    new_label[torch.tensor(kept)] = torch.arange(len(kept))
    labels = new_label[split.labels]
    index = (labels >= 0).nonzero().squeeze(1)
    if n is not None and n > len(index):
        raise ValueError(
            f"{n} {what} images were asked for and there are {len(index)}"
            f"{'' if len(index) == len(labels) else ' of these classes'}: ask for fewer"
        )
    return index[:n], labels[index[:n]]


def relabel(
    y: Tensor, fraction: float, classes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``y`` (n,) with exactly round(fraction n) labels each replaced by another class, and which."""
    noisy = torch.randperm(len(y), generator=generator)[: round(fraction * len(y))]
    if len(noisy) == 0:
        return y, noisy
    if classes < 2:
        raise ValueError("label_noise needs at least two classes to choose another label from")
    shift = torch.randint(1, classes, noisy.shape, generator=generator)
    y = y.clone()
    y[noisy] = ((y[noisy].long() + shift) % classes).to(y.dtype)
    return y, noisy.sort().values


def split_size(n: int, fraction: float) -> int:
    """round(fraction n), the size of the first part of a split. Raises ValueError if a part is empty."""
    size = round(fraction * n) if 0 < fraction < 1 else 0
    if not 0 < size < n:
        raise ValueError(
            f"a fraction of {fraction} of {n} samples leaves nothing to train on or nothing to test "
            f"on: give one from {1 / n:.3g} to {1 - 1 / n:.3g}"
        )
    return size


def split_rows(
    n: int, fraction: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """A random split of the rows 0 ... n - 1: round(fraction n) of them, and the others, both in order.

    Raises ValueError for a fraction that leaves a part empty.
    """
    size = split_size(n, fraction)
    order = torch.randperm(n, generator=checked_generator(generator))
    return order[:size].sort().values, order[size:].sort().values


def _in_shape_of(X: Tensor, name: str) -> Tensor:
    channels, size, _ = SHAPES[name]
    return resized(X, size).expand(-1, channels, -1, -1).contiguous()
