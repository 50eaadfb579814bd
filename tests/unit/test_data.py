"""``load_dataset`` against files written here byte by byte, and against torchvision."""

import gzip
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from flatlab.data import load_dataset
from flatlab.sources import CLASSES, default_root

N_TRAIN, N_TEST = 50, 20


@pytest.fixture
def pixels():
    """Images and labels of a small Fashion-MNIST, as they are written to the files."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", N_TRAIN), ("t10k", N_TEST)):
        arrays[part] = (
            rng.integers(0, 256, (n, 28, 28), dtype=np.uint8),
            rng.permutation(np.arange(n) % 10).astype(np.uint8),
        )
    return arrays


@pytest.fixture
def root(tmp_path, pixels):
    """A data folder with that Fashion-MNIST in it."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, (images, labels) in pixels.items():
        header = struct.pack(">4i", 2051, *images.shape)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = struct.pack(">2i", 2049, len(labels))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
    return tmp_path


def write_images(folder, colors, size=4, start=0):
    """One PNG a color in ``folder``."""
    folder.mkdir(parents=True)
    for i, color in enumerate(colors):
        Image.new("RGB", (size, size), color).save(folder / f"{start + i:04d}.png")


def test_images_are_those_of_the_file_in_its_order(root, pixels):
    data = load_dataset("fashion_mnist", n_train=7, n_test=5, root=root)
    images, labels = pixels["train"]
    expected = images[:7, None].astype(np.float32) / 255
    assert data.X_train.shape == (7, 1, 28, 28)
    np.testing.assert_array_equal(data.X_train.numpy(), expected)
    np.testing.assert_array_equal(data.y_train.numpy(), labels[:7])
    np.testing.assert_array_equal(data.y_test.numpy(), pixels["t10k"][1][:5])
    assert data.y_train.dtype == torch.int64
    assert data.train[0] is data.X_train
    assert data.test[1] is data.y_test
    assert data.name == data.requested == "fashion_mnist"
    assert data.classes == CLASSES["fashion_mnist"]


def test_all_images_by_default(root):
    data = load_dataset("fashion_mnist", root=root)
    assert (len(data.X_train), len(data.X_test)) == (N_TRAIN, N_TEST)
    assert repr(data) == (
        "Dataset(fashion_mnist: 50 training and 20 test images of 1x28x28, 10 classes)"
    )


def test_real_fashion_mnist_is_what_torchvision_reads(data_root):
    from torchvision.datasets import FashionMNIST

    data = load_dataset("fashion_mnist", 1000, 300, root=data_root)
    for X, y, train in ((*data.train, True), (*data.test, False)):
        theirs = FashionMNIST(str(data_root), train=train)
        assert torch.equal((X * 255).round().byte().squeeze(1), theirs.data[: len(X)])
        assert torch.equal(y, theirs.targets[: len(y)])
    assert list(data.classes) == FashionMNIST.classes
    assert data.X_train.min() == 0
    assert data.X_train.max() == 1


def test_classes_are_kept_in_order_and_relabeled(root, pixels):
    data = load_dataset("fashion_mnist", n_train=6, classes=["Coat", np.int64(1)], root=root)
    images, labels = pixels["train"]
    kept = np.flatnonzero((labels == 4) | (labels == 1))[:6]
    np.testing.assert_array_equal(data.y_train.numpy(), np.where(labels[kept] == 4, 0, 1))
    np.testing.assert_array_equal(data.X_train[:, 0].numpy() * 255, images[kept])
    assert data.classes == ("Coat", "Trouser")
    assert set(data.y_test.tolist()) == {0, 1}


def test_one_hot_targets(root, pixels):
    data = load_dataset("fashion_mnist", root=root, one_hot=True, dtype=torch.float64)
    assert data.y_train.dtype == data.X_train.dtype == torch.float64
    np.testing.assert_array_equal(data.y_train.numpy(), np.eye(10)[pixels["train"][1]])


@pytest.mark.parametrize("fraction", [0.0, 0.13, 0.5, 1.0])
def test_label_noise_changes_exactly_that_many_labels(root, pixels, fraction):
    generator = torch.Generator().manual_seed(5)
    data = load_dataset("fashion_mnist", root=root, label_noise=fraction, generator=generator)
    changed = np.flatnonzero(data.y_train.numpy() != pixels["train"][1])
    assert len(changed) == round(fraction * N_TRAIN)
    np.testing.assert_array_equal(data.relabeled.numpy(), changed)
    assert 0 <= data.y_train.min() <= data.y_train.max() <= 9
    np.testing.assert_array_equal(data.y_test.numpy(), pixels["t10k"][1])


def test_label_noise_reaches_every_other_class_about_equally(data_root):
    data = load_dataset("fashion_mnist", root=data_root, label_noise=1.0)
    clean = load_dataset("fashion_mnist", root=data_root)
    shift = (data.y_train - clean.y_train) % 10
    counts = torch.bincount(shift, minlength=10)
    assert counts[0] == 0
    expected = len(shift) / 9  # binomial standard deviation below 77
    assert (counts[1:] - expected).abs().max() < 5 * 77


def test_label_noise_repeats_from_its_generator_and_leaves_the_global_state(root):
    before = torch.get_rng_state()

    def noisy(seed):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return load_dataset(
            "fashion_mnist", root=root, label_noise=0.5, generator=generator
        ).y_train.tolist()

    assert noisy(1) == noisy(1) != noisy(2)
    assert noisy(None) == noisy(0)
    assert torch.equal(torch.get_rng_state(), before)


def test_digits_are_native_by_name():
    bundle = load_digits()
    data = load_dataset("digits")
    assert data.X_train.shape == (1297, 1, 8, 8)
    np.testing.assert_allclose(data.X_train[:, 0].numpy(), bundle.images[:1297] / 16)
    np.testing.assert_array_equal(data.y_test.numpy(), bundle.target[1297:])


def test_image_size_is_bilinear():
    small = load_dataset("digits", n_train=3, n_test=1)
    large = load_dataset("digits", n_train=3, n_test=1, image_size=28)
    assert large.X_train.shape == (3, 1, 28, 28)
    # pixel centers: output i lies at (i + 1/2) 8/28 - 1/2 of the input, clamped at the border
    at = np.clip((np.arange(28) + 0.5) * 8 / 28 - 0.5, 0, 7)
    low = np.minimum(np.floor(at).astype(int), 6)
    weight = np.zeros((28, 8))
    weight[np.arange(28), low] = 1 - (at - low)
    weight[np.arange(28), low + 1] += at - low
    expected = weight @ small.X_train[:, 0].double().numpy() @ weight.T
    np.testing.assert_allclose(large.X_train[:, 0].numpy(), expected, atol=1e-6)


def test_the_root_is_the_argument_then_the_variable_then_the_cache(root, tmp_path, monkeypatch):
    monkeypatch.setenv("FLATLAB_DATA", str(root))
    assert len(load_dataset("fashion_mnist").X_train) == N_TRAIN
    monkeypatch.setenv("FLATLAB_DATA", str(tmp_path / "elsewhere"))
    assert len(load_dataset("fashion_mnist", root=root).X_train) == N_TRAIN
    monkeypatch.delenv("FLATLAB_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_root().name == "flatlab"


# --- where the data cannot be had


@pytest.mark.usefixtures("no_network")
def test_digits_stand_in_and_say_so_in_one_line(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("FLATLAB_SCALE", "laptop")
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    data = load_dataset("fashion_mnist", 1000, 10000, root=tmp_path / "new", fallback="digits")
    out, err = capfd.readouterr()
    assert out == (
        "Fashion-MNIST could not be downloaded (no network in this test): using scikit-learn's "
        "digits, 1797 images, resized to 28x28. Numbers will differ from the text. Only 500 test "
        "images instead of 10000.\n"
    )
    assert err == ""
    assert (data.name, data.requested) == ("digits", "fashion_mnist")
    assert data.X_train.shape == (1000, 1, 28, 28)
    assert data.X_test.shape == (500, 1, 28, 28)
    assert data.classes == CLASSES["digits"]


@pytest.mark.usefixtures("no_network")
def test_digits_take_the_shape_and_the_classes_of_cifar10(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FLATLAB_SCALE", "laptop")
    data = load_dataset(
        "cifar10", 1000, classes=("airplane", "automobile"), root=tmp_path, fallback="digits"
    )
    target = load_digits().target
    assert data.X_train.shape == ((target[:1297] < 2).sum(), 3, 32, 32)
    assert torch.equal(data.X_train[:, 0], data.X_train[:, 2])
    assert data.classes == ("0", "1")
    assert "Only 259 training images instead of 1000." in capsys.readouterr().out


@pytest.mark.usefixtures("no_network")
def test_without_fallback_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("FLATLAB_SCALE", "laptop")
    with pytest.raises(FileNotFoundError, match=r"no network.*FLATLAB_DATA.*fallback='digits'"):
        load_dataset("fashion_mnist", root=tmp_path)


@pytest.mark.parametrize("how", ["quick", "nbgrader", "argument"])
def test_no_download_is_tried(tmp_path, capsys, monkeypatch, how):
    def fail(*args):
        raise AssertionError("a download was tried")

    monkeypatch.setattr("flatlab.data.download_source", fail)
    monkeypatch.setenv("FLATLAB_SCALE", "quick" if how == "quick" else "laptop")
    if how == "nbgrader":
        monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    data = load_dataset(
        "fashion_mnist", 10, 10, root=tmp_path, fallback="digits", download=how != "argument"
    )
    assert data.name == "digits"
    assert "Fashion-MNIST is not on this machine" in capsys.readouterr().out


def test_quick_scale_uses_data_on_disk(root, monkeypatch):
    monkeypatch.setenv("FLATLAB_SCALE", "quick")
    assert load_dataset("fashion_mnist", root=root, fallback="digits").name == "fashion_mnist"


def test_a_server_that_never_answers_is_given_up(tmp_path, monkeypatch):
    import threading
    import urllib.request

    asked, answered, release = threading.Event(), threading.Event(), threading.Event()

    def hang(*args, **kwargs):
        asked.set()
        release.wait(60)
        answered.set()
        raise OSError

    monkeypatch.setattr(urllib.request, "urlopen", hang)
    monkeypatch.setattr("flatlab.sources._NETWORK_SECONDS", 0.2)
    monkeypatch.setenv("FLATLAB_SCALE", "laptop")
    with pytest.raises(FileNotFoundError, match="no connection in 0 s"):
        load_dataset("fashion_mnist", root=tmp_path)
    assert asked.is_set()
    assert not answered.is_set()
    release.set()


def test_a_download_is_torchvisions_and_silent_on_stderr(root, tmp_path, capfd, monkeypatch):
    import hashlib
    import io
    import sys
    import urllib.request

    from torchvision.datasets import FashionMNIST

    packed = {
        f"{path.name}.gz": gzip.compress(path.read_bytes())
        for path in (root / "FashionMNIST" / "raw").iterdir()
    }
    resources = [(name, hashlib.md5(blob).hexdigest()) for name, blob in packed.items()]
    monkeypatch.setattr(FashionMNIST, "resources", resources)

    class Response(io.BytesIO):
        length = None

        def __init__(self, request):
            url = request.full_url
            super().__init__(packed[url.rsplit("/", 1)[1]])
            self.url = url

        def geturl(self):
            return self.url

    def serve(request, *args, **kwargs):
        print("noise", file=sys.stderr)
        return Response(request)

    monkeypatch.setattr(urllib.request, "urlopen", serve)
    monkeypatch.setattr("flatlab.sources._check_reachable", lambda url: None)
    monkeypatch.setenv("FLATLAB_SCALE", "laptop")
    data = load_dataset("fashion_mnist", root=tmp_path / "fresh")
    out, err = capfd.readouterr()
    assert len(data.X_train) == N_TRAIN
    assert err == ""
    assert out == "Downloading Fashion-MNIST, 31 MB, once.\n"


# --- damaged files


@pytest.mark.parametrize("part", ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3"])
@pytest.mark.parametrize("keep", [0, 3, 10, 100, -1])
def test_a_truncated_file_is_named(root, part, keep):
    path = root / "FashionMNIST" / "raw" / f"{part}-ubyte"
    blob = path.read_bytes()
    path.write_bytes(blob[:keep] if len(blob) > keep else blob[:-2])
    with pytest.raises(ValueError, match=f"{part}-ubyte is damaged.*Delete this file"):
        load_dataset("fashion_mnist", n_train=2, n_test=2, root=root, fallback="digits")


def test_a_longer_file_and_a_foreign_file_are_damaged(root):
    path = root / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte"
    blob = path.read_bytes()
    path.write_bytes(blob + b"0")
    with pytest.raises(ValueError, match=r"where its header announces"):
        load_dataset("fashion_mnist", root=root)
    path.write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(ValueError, match="without the header of an IDX file"):
        load_dataset("fashion_mnist", root=root)


def test_labels_that_do_not_fit_are_damaged(root, pixels):
    path = root / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte"
    labels = pixels["train"][1]
    path.write_bytes(struct.pack(">2i", 2049, 49) + labels[:49].tobytes())
    with pytest.raises(ValueError, match="holds 49 labels for 50 images"):
        load_dataset("fashion_mnist", root=root)
    path.write_bytes(struct.pack(">2i", 2049, 50) + (labels + 1).astype(np.uint8).tobytes())
    with pytest.raises(ValueError, match="holds label 10"):
        load_dataset("fashion_mnist", root=root)


def test_a_missing_file_counts_as_not_there(root):
    (root / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"not on this machine"):
        load_dataset("fashion_mnist", root=root, download=False)


@pytest.fixture
def cifar_root(tmp_path, monkeypatch):
    """A CIFAR-10 of ten images a file, with torchvision's checksums set to these files'."""
    import hashlib
    import pickle

    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    rng = np.random.default_rng(1)

    def write(name, content):
        blob = pickle.dumps(content)
        (folder / name).write_bytes(blob)
        return hashlib.md5(blob).hexdigest()

    def batch(name):
        images = rng.integers(0, 256, (10, 3072), dtype=np.uint8)
        return [name, write(name, {"data": images, "labels": list(range(10))})]

    monkeypatch.setattr(CIFAR10, "train_list", [batch(f"data_batch_{i}") for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [batch("test_batch")])
    meta = {"label_names": list(CLASSES["cifar10"])}
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": write("batches.meta", meta)})
    return tmp_path


def test_cifar10_comes_through_torchvision(cifar_root):
    from torchvision.datasets import CIFAR10

    data = load_dataset("cifar10", 8, classes=("automobile", "airplane"), root=cifar_root)
    theirs = CIFAR10(str(cifar_root))
    first = [i for i, label in enumerate(theirs.targets) if label < 2][:8]
    assert data.y_train.tolist() == [1 - theirs.targets[i] for i in first]
    expected = theirs.data[first].transpose(0, 3, 1, 2) / np.float32(255)
    np.testing.assert_allclose(data.X_train.numpy(), expected, rtol=1e-6)
    assert data.X_test.shape == (2, 3, 32, 32)


def test_a_half_written_cifar_file_is_named(cifar_root):
    path = cifar_root / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"data_batch_3 is damaged \(its checksum is wrong\)"):
        load_dataset("cifar10", root=cifar_root)


# --- folders of images


def test_a_folder_with_train_and_test_takes_turns(tmp_path):
    write_images(tmp_path / "train" / "blue", ["#0000ff"] * 3)
    write_images(tmp_path / "train" / "red", ["#ff0000"] * 2)
    write_images(tmp_path / "test" / "blue", ["#0000ff"])
    write_images(tmp_path / "test" / "red", ["#ff0000"])
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    data = load_dataset(tmp_path)
    assert data.classes == ("blue", "red")
    assert data.y_train.tolist() == [0, 1, 0, 1, 0]
    assert data.X_train.shape == (5, 3, 4, 4)
    assert data.X_train[1, :, 0, 0].tolist() == [1, 0, 0]
    assert data.X_test[0, :, 0, 0].tolist() == [0, 0, 1]
    assert data.name == str(tmp_path)
    assert load_dataset(tmp_path, classes=["red"], n_train=1).y_train.tolist() == [0]


def test_a_folder_of_classes_is_split_by_the_generator(tmp_path):
    grays = [f"#{i:02x}{i:02x}{i:02x}" for i in range(20)]
    write_images(tmp_path / "a", grays[:10])
    write_images(tmp_path / "b", grays[10:])

    def split(seed, **arguments):
        generator = torch.Generator().manual_seed(seed)
        data = load_dataset(tmp_path, generator=generator, **arguments)
        return [(X[:, 0, 0, 0] * 255).round().int().tolist() for X, _ in (data.train, data.test)]

    train, test = split(1)
    assert (len(train), len(test)) == (16, 4)
    assert sorted(train + test) == list(range(20))
    assert split(1) == [train, test] != split(2)
    train, test = split(1, n_test=7, n_train=5)
    assert (len(train), len(test)) == (5, 7)
    assert not set(train) & set(test)
    train, test = split(1, classes=["b"])
    assert sorted(train + test) == list(range(10, 20))


@pytest.mark.parametrize(("name", "mode"), [("1.png", "I;16"), ("1.tif", "I;16"), ("1.pgm", "I")])
def test_images_of_16_bits_keep_their_grays(tmp_path, name, mode):
    grays = np.array([[0, 300], [32768, 65535]], dtype=np.uint16)
    (tmp_path / "gray").mkdir()
    for number in ("0", ""):
        path = tmp_path / "gray" / (number + name)
        Image.fromarray(grays.astype(np.int32) if mode == "I" else grays).save(path)
    data = load_dataset(tmp_path)
    expected = np.broadcast_to(grays / 65535, (1, 3, 2, 2))
    np.testing.assert_allclose(data.X_train.numpy(), expected, rtol=1e-6)
    assert data.X_train.dtype == torch.float32


@pytest.mark.parametrize("grays", [np.ones((2, 2), np.float32), np.full((2, 2), 65536, np.int32)])
def test_images_of_unknown_range_are_refused(tmp_path, grays):
    (tmp_path / "gray").mkdir()
    for name in ("0.tif", "1.tif"):
        Image.fromarray(grays).save(tmp_path / "gray" / name)
    with pytest.raises(ValueError, match="tif holds other gray values.*8 or 16 bits"):
        load_dataset(tmp_path)


def test_real_cifar_folders(cifar_folder):
    data = load_dataset(cifar_folder, n_train=40, n_test=20)
    assert data.classes == ("airplane", "automobile")
    assert data.X_train.shape == (40, 3, 32, 32)
    assert data.y_train.float().mean() == 0.5
    with Image.open(cifar_folder / "train" / "automobile" / "0000.jpg") as image:
        expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_allclose(data.X_train[1].numpy(), expected, rtol=1e-6)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no images in .*expected .*train/CLASS/"):
        load_dataset(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("no image")
    with pytest.raises(FileNotFoundError, match="no images in"):
        load_dataset(tmp_path)
    write_images(tmp_path / "b", ["red"] * 3)
    with pytest.raises(FileNotFoundError, match="no images for the class a"):
        load_dataset(tmp_path)


def test_train_alone_and_different_classes_are_refused(tmp_path):
    write_images(tmp_path / "train" / "a", ["red"])
    with pytest.raises(FileNotFoundError, match=r"has train/ alone"):
        load_dataset(tmp_path)
    write_images(tmp_path / "test" / "b", ["red"])
    with pytest.raises(FileNotFoundError, match="different classes"):
        load_dataset(tmp_path)


def test_a_truncated_image_is_named(tmp_path):
    write_images(tmp_path / "a", ["red"] * 5, size=40)
    path = tmp_path / "a" / "0002.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"0002\.png is no image that can be read"):
        load_dataset(tmp_path)


def test_images_of_different_sizes_need_image_size(tmp_path):
    write_images(tmp_path / "a", ["red"] * 5, size=4)
    write_images(tmp_path / "b", ["blue"] * 5, size=6)
    with pytest.raises(ValueError, match=r"differ in size \(4x4, 6x6\): give image_size"):
        load_dataset(tmp_path)
    assert load_dataset(tmp_path, image_size=5).X_train.shape == (8, 3, 5, 5)


def test_a_split_that_leaves_nothing_is_refused(tmp_path):
    write_images(tmp_path / "a", ["red"] * 3)
    with pytest.raises(ValueError, match="leave none to train on"):
        load_dataset(tmp_path, n_test=3)


# --- arguments


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "fashionmnist"}, ValueError, "did you mean 'fashion_mnist'"),
        ({"name": "no/such/folder"}, ValueError, "nor a folder of that name"),
        ({"n_train": 51}, ValueError, "51 training images were asked for and there are 50"),
        ({"n_test": 21}, ValueError, "21 test images were asked for and there are 20"),
        ({"n_train": 6, "classes": [3]}, ValueError, "there are 5 of these classes"),
        ({"n_train": 0}, ValueError, "n_train is 0"),
        ({"n_train": -3}, ValueError, "n_train is -3"),
        ({"n_test": 2.5}, ValueError, "n_test is 2.5"),
        ({"classes": ["Sock"]}, ValueError, "there is no class 'Sock'.*Ankle boot"),
        ({"classes": [10]}, ValueError, "there is no class 10.*0 to 9"),
        ({"classes": [-1]}, ValueError, "there is no class -1"),
        ({"classes": [1, "Trouser"]}, ValueError, "each only once"),
        ({"classes": []}, ValueError, "at least one"),
        ({"classes": "Coat"}, TypeError, "give a list"),
        ({"label_noise": 1.1}, ValueError, "label_noise is 1.1: give a fraction from 0 to 1"),
        ({"label_noise": -0.1}, ValueError, "label_noise is -0.1"),
        ({"label_noise": float("nan")}, ValueError, "label_noise is nan"),
        ({"label_noise": 0.5, "classes": [1]}, ValueError, "at least two classes"),
        ({"fallback": "mnist"}, ValueError, "fallback is 'mnist'"),
        ({"image_size": 0}, ValueError, "image_size is 0"),
        ({"dtype": torch.uint8}, ValueError, "dtype is torch.uint8"),
    ],
)
def test_bad_arguments(root, arguments, error, message):
    with pytest.raises(error, match=message):
        load_dataset(**{"name": "fashion_mnist", "root": root, **arguments})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tensors_are_on_the_device_asked_for(root):
    data = load_dataset("fashion_mnist", root=root, device="cuda")
    assert {t.device.type for t in (*data.train, *data.test)} == {"cuda"}
