"""Where images come from: files on disk, downloads, scikit-learn's bundled digits.

Fashion-MNIST's files are read here rather than by torchvision, which loads all 60,000 images and
takes a truncated file for a whole one: the headers are checked against the files' sizes, and only
the images asked for are read. torchvision lays the files out, downloads them and reads CIFAR-10.
"""

import contextlib
import http.client
import io
import os
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flatlab.archives import open_archive

TITLES = {
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "digits": "scikit-learn's digits",
}
CLASSES = {
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "cifar10": (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
    "digits": tuple("0123456789"),
}
SHAPES = {"fashion_mnist": (1, 28, 28), "cifar10": (3, 32, 32), "digits": (1, 8, 8)}
_DOWNLOAD_SIZES = {"fashion_mnist": "31 MB", "cifar10": "170 MB"}
_NETWORK_SECONDS = 5.0
_DIGITS_TEST = 500  # the last 500 of the 1797: other writers than the first


class DatasetNotFoundError(FileNotFoundError):
    """The data set is not on this machine and was not downloaded."""


@dataclass(frozen=True)
class Split:
    """A training or test set whose images are read when chosen."""

    labels: Tensor  # (n,) int64
    read: Callable[[Tensor], Tensor]  # indices (m,) -> (m, channels, height, width) in [0, 1]


@dataclass(frozen=True)
class Source:
    """Both splits and the names of the classes that their labels count."""

    train: Split
    test: Split
    classes: tuple[str, ...]


def open_source(name: str, root: Path) -> Source:
    """The data set ``name`` as it lies under ``root``.

    Raises:
        DatasetNotFoundError: it is not there, or not all of it.
        ValueError: a file is damaged; the message names it.
    """
    if name == "digits":
        return _digits()
    return _fashion_mnist(root) if name == "fashion_mnist" else _cifar10(root)


def shuffled(source: Source, seed: int) -> Source:
    """``source`` with the images of each class in another order among their places."""

    def other(split: Split) -> Split:
        generator = torch.Generator().manual_seed(seed)
        order = torch.arange(len(split.labels))
        for label in split.labels.unique():
            places = (split.labels == label).nonzero().squeeze(1)
            order[places] = places[torch.randperm(len(places), generator=generator)]
        return Split(split.labels, lambda index: split.read(order[index]))

    return Source(other(source.train), other(source.test), source.classes)


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(
        f"{path} is damaged ({what}); a download or a copy may have stopped half way. "
        "Delete this file and load the data set again."
    )


def _fashion_mnist(root: Path) -> Source:
    folder = root / "FashionMNIST" / "raw"
    return Source(_idx_split(folder, "train"), _idx_split(folder, "t10k"), CLASSES["fashion_mnist"])


def _idx_split(folder: Path, prefix: str) -> Split:
    labels = _idx_array(folder / f"{prefix}-labels-idx1-ubyte", dimensions=1)
    images = _idx_array(folder / f"{prefix}-images-idx3-ubyte", dimensions=3)
    if len(labels) != len(images):
        raise _damaged(
            folder / f"{prefix}-labels-idx1-ubyte",
            f"it holds {len(labels)} labels for {len(images)} images",
        )
    if labels.max(initial=0) > 9:
        raise _damaged(folder / f"{prefix}-labels-idx1-ubyte", f"it holds label {labels.max()}")
    return Split(
        torch.from_numpy(labels.astype(np.int64)),
        lambda index: torch.from_numpy(images[index.numpy()]).unsqueeze(1).float() / 255,
    )


def _idx_array(path: Path, dimensions: int) -> np.ndarray:
    """The bytes of an IDX file (LeCun's format), mapped and not yet read."""
    if not path.exists():
        raise DatasetNotFoundError(f"there is no file {path}")
    size = path.stat().st_size
    header = np.fromfile(path, dtype=">i4", count=1 + dimensions)
    if len(header) < 1 + dimensions or header[0] != 0x0800 + dimensions or header.min() < 0:
        raise _damaged(path, f"{size} bytes without the header of an IDX file")
    shape = tuple(int(n) for n in header[1:])
    expected = header.nbytes + int(np.prod(shape, dtype=np.int64))
    if size != expected:
        raise _damaged(path, f"{size} bytes where its header announces {expected}")
    return np.memmap(path, dtype=np.uint8, mode="r", offset=header.nbytes, shape=shape)


def _cifar10(root: Path) -> Source:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    folder, archive = root / CIFAR10.base_folder, root / "cifar10" / "cifar10-jpg.tar.gz"
    if not folder.exists() and archive.exists():
        train, test = open_archive(archive, CLASSES["cifar10"])
        return Source(Split(*train), Split(*test), CLASSES["cifar10"])
    meta = [(CIFAR10.meta["filename"], CIFAR10.meta["md5"])]
    for filename, md5 in [*CIFAR10.train_list, *CIFAR10.test_list, *meta]:
        if not (folder / filename).exists():
            raise DatasetNotFoundError(f"there is no file {folder / filename}")
        if not check_integrity(str(folder / filename), md5):
            raise _damaged(folder / filename, "its checksum is wrong")
    train, test = (CIFAR10(str(root), train=train) for train in (True, False))
    return Source(_array_split(train), _array_split(test), CLASSES["cifar10"])


def _array_split(dataset) -> Split:
    images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2)
    return Split(torch.tensor(dataset.targets), lambda index: images[index].float() / 255)


def _digits() -> Source:
    from sklearn.datasets import load_digits

    bundle = load_digits()
    images = torch.from_numpy(bundle.images).float().unsqueeze(1) / 16
    labels = torch.from_numpy(bundle.target).long()
    cut = len(labels) - _DIGITS_TEST
    return Source(
        Split(labels[:cut], lambda index: images[:cut][index]),
        Split(labels[cut:], lambda index: images[cut:][index]),
        CLASSES["digits"],
    )


def download_source(name: str, root: Path) -> None:
    """Let torchvision download ``name`` to ``root``, with nothing on stderr.

    Raises:
        OSError: no connection within seconds, a broken download, a folder that cannot be written.
    """
    from torchvision import datasets

    cls = {"fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}[name]
    url = cls.url if name == "cifar10" else cls.mirrors[0] + cls.resources[0][0]
    _check_reachable(url)
    print(f"Downloading {TITLES[name]}, {_DOWNLOAD_SIZES[name]}, once.", flush=True)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(2 * _NETWORK_SECONDS)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            cls(str(root), download=True)
    except (RuntimeError, OSError, EOFError) as error:
        raise OSError(_reason(error)) from error
    finally:
        socket.setdefaulttimeout(before)


def _check_reachable(url: str) -> None:
    """Raise OSError unless the server answers in time; name look-up alone can hang far longer."""
    errors: list[Exception] = [TimeoutError(f"no connection in {_NETWORK_SECONDS:.0f} s")]

    def probe() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=_NETWORK_SECONDS).close()
            errors.clear()
        except urllib.error.HTTPError:
            errors.clear()  # it answered: the download itself will say what is wrong
        except (OSError, ValueError, http.client.HTTPException) as error:
            errors[:] = [error]

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(_NETWORK_SECONDS)
    if errors:
        raise OSError(_reason(errors[0]))


def _reason(error: BaseException) -> str:
    """The last line of an error's text, short enough to stand in a sentence."""
    error = getattr(error, "reason", error)
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.strip().splitlines()[-1][:100]


def default_root() -> Path:
    """``$FLATLAB_DATA``, else the user's cache folder."""
    if os.environ.get("FLATLAB_DATA"):
        return Path(os.environ["FLATLAB_DATA"]).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("flatlab"))
