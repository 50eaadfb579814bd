"""CIFAR-10 from a tar archive, against images written here and against the same files unpacked."""

import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from flatlab.archives import open_archive
from flatlab.data import load_dataset
from flatlab.sources import CLASSES

TWO = ("cat", "dog")


def gray(part, name, i):
    """The shade of image i of a class: different in every file."""
    return 20 * i + (5 if name == "dog" else 0) + (100 if part == "test" else 0)


def png(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, classes, each=4, damage=lambda data: data):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for part in ("test", "train"):
            for name in classes:
                for i in reversed(range(each)):  # an archive keeps no promise about order
                    data = damage(png(gray(part, name, i)))
                    info = tarfile.TarInfo(f"{part}/{name}/{i:04d}.png")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    return path


def test_the_classes_take_turns_and_pixels_are_those_written(tmp_path):
    (labels, read), (test_labels, read_test) = open_archive(write(tmp_path / "a.tar.gz", TWO), TWO)
    assert labels.tolist() == test_labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1]
    images = read(torch.tensor([0, 1, 5]))
    assert images.shape == (3, 3, 4, 4)
    shades = [gray("train", "cat", 0), gray("train", "dog", 0), gray("train", "dog", 2)]
    np.testing.assert_allclose(images[:, 1, 2, 2].numpy() * 255, shades, atol=1e-4)
    assert float(read_test(torch.tensor([0]))[0, 0, 0, 0]) == pytest.approx(100 / 255)


def test_load_dataset_finds_the_archive_and_keeps_the_classes(tmp_path):
    write(tmp_path / "cifar10" / "cifar10-jpg.tar.gz", CLASSES["cifar10"])
    data = load_dataset("cifar10", 3, 2, classes=("dog", "cat"), root=tmp_path)
    assert (data.name, data.classes, data.y_train.tolist()) == (
        "cifar10",
        ("dog", "cat"),
        [1, 0, 1],
    )
    shades = [gray("train", "cat", 0), gray("train", "dog", 0), gray("train", "cat", 1)]
    np.testing.assert_allclose(data.X_train[:, 0, 0, 0].numpy() * 255, shades, atol=1e-4)


def test_a_missing_class_is_named(tmp_path):
    with pytest.raises(ValueError, match="no image in train/ for the class dog"):
        open_archive(write(tmp_path / "a.tar.gz", ("cat",)), TWO)


def test_a_truncated_archive_is_named(tmp_path):
    path = write(tmp_path / "a.tar.gz", TWO, each=50)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(ValueError, match=r"a\.tar\.gz is damaged"):
        open_archive(path, TWO)


def test_a_truncated_image_is_named(tmp_path):
    path = write(tmp_path / "a.tar.gz", TWO, damage=lambda data: data[:30])
    (_, read), _ = open_archive(path, TWO)
    with pytest.raises(ValueError, match=r"0000\.png in .*a\.tar\.gz is no image"):
        read(torch.tensor([0]))
