"""``use_variant``: other images of the same classes, chosen by a number."""

import struct

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import flatlab
from flatlab.checkpoints import Recipe
from flatlab.data import load_dataset, use_variant

N = {"train": 250, "t10k": 120}
LABELS = {part: np.random.default_rng(3).integers(0, 10, n) for part, n in N.items()}


@pytest.fixture(autouse=True)
def none_in_force():
    """Whatever a test does, the next one begins with the published order."""
    use_variant(0)
    yield
    use_variant(0)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A Fashion-MNIST whose k-th image shows k; the test images begin with a white row."""
    root = tmp_path_factory.mktemp("data")
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in N.items():
        images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None], (n, 28, 28)).copy()
        images[:, 0] = 255 * (part == "t10k")
        header = struct.pack(">4i", 2051, *images.shape)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = struct.pack(">2i", 2049, n)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            header + LABELS[part].astype("u1").tobytes()
        )
    return root


def shown(X) -> list[int]:
    """Which images of the file these are."""
    return (X[:, 0, -1, -1] * 255).round().int().tolist()


def test_no_variant_is_the_published_order(root):
    for data in (
        load_dataset("fashion_mnist", 60, 40, root=root),
        load_dataset("fashion_mnist", 60, 40, root=root, variant=0),
    ):
        assert shown(data.X_train) == list(range(60)) and shown(data.X_test) == list(range(40))
        assert data.variant == 0 and "variant" not in repr(data)


@pytest.mark.parametrize("classes", [None, [4, "Trouser"]])
def test_a_variant_takes_other_images_with_the_same_labels(root, classes):
    plain = load_dataset("fashion_mnist", 40, 20, classes, root)
    samples = {}
    for v in (1, 2, 48213, 2**31 - 1):
        data = load_dataset("fashion_mnist", 40, 20, classes, root, variant=v)
        assert torch.equal(data.y_train, plain.y_train) and torch.equal(data.y_test, plain.y_test)
        kept = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] if classes is None else [4, 1]
        for X, y, part, corner in ((*data.train, "train", 0), (*data.test, "t10k", 1)):
            assert [kept[k] for k in y.tolist()] == LABELS[part][shown(X)].tolist()
            assert len(set(shown(X))) == len(X) and bool((X[:, 0, 0] == corner).all())
        assert repr(data).endswith(f"classes, variant {v})") and data.variant == v
        samples[v] = shown(data.X_train)
        assert samples[v] != shown(plain.X_train)
        assert set(samples[v]) - set(range(40)) or classes
    assert len({tuple(sample) for sample in samples.values()}) == 4


def test_a_variant_repeats_and_smaller_samples_are_the_first_of_larger_ones(root):
    whole = load_dataset("fashion_mnist", root=root, variant=9)
    assert sorted(shown(whole.X_train)) == list(range(250))
    part = load_dataset("fashion_mnist", 50, 7, root=root, variant=9)
    assert torch.equal(part.X_train, whole.X_train[:50])
    assert torch.equal(part.X_test, whole.X_test[:7])
    two = load_dataset("fashion_mnist", classes=[3, 5], root=root, variant=9)
    both = (whole.y_train == 3) | (whole.y_train == 5)
    assert torch.equal(two.X_train, whole.X_train[both])


def test_every_image_of_a_class_gets_its_turn(root):
    """The first image of class 0 over 400 variants: all of that class, none of them often."""
    ours = np.flatnonzero(LABELS["train"] == 0)
    first = [
        shown(load_dataset("fashion_mnist", 1, 1, [0], root, variant=v).X_train)[0]
        for v in range(1, 401)
    ]
    counts = np.bincount(first, minlength=250)[ours]
    mean = 400 / len(ours)
    assert counts.sum() == 400 and counts.min() > 0
    assert abs(counts - mean).max() < 5 * mean**0.5  # binomial


def test_use_variant_holds_until_the_next_call_and_an_argument_overrides_it(root):
    state = torch.get_rng_state()
    flatlab.use_variant(7)
    mine = load_dataset("fashion_mnist", 30, root=root)
    assert mine.variant == 7
    assert shown(load_dataset("fashion_mnist", 30, root=root, variant=0).X_train) == list(range(30))
    assert load_dataset("fashion_mnist", 30, root=root).variant == 7
    flatlab.use_variant(0)
    assert shown(load_dataset("fashion_mnist", 30, root=root).X_train) == list(range(30))
    explicit = load_dataset("fashion_mnist", 30, root=root, variant=7)
    assert torch.equal(explicit.X_train, mine.X_train)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("wrong", [-1, 2**31, 1.5, "3", True, None, torch.tensor(3)])
def test_a_bad_variant_is_refused_and_changes_nothing(root, wrong):
    use_variant(5)
    with pytest.raises(ValueError, match=r"give a whole number from 0 to 2147483647"):
        use_variant(wrong)
    if wrong is not None:
        with pytest.raises(ValueError, match="variant is"):
            load_dataset("fashion_mnist", root=root, variant=wrong)
    assert load_dataset("fashion_mnist", 3, root=root).variant == 5


def test_label_noise_is_put_on_the_same_places(root):
    arguments = {"n_train": 100, "root": root, "label_noise": 0.3, "one_hot": True}
    plain = load_dataset("fashion_mnist", **arguments)
    data = load_dataset("fashion_mnist", **arguments, variant=3)
    assert torch.equal(data.relabeled, plain.relabeled) and len(data.relabeled) == 30
    wrong = data.y_train.argmax(1).numpy() != LABELS["train"][shown(data.X_train)]
    assert np.flatnonzero(wrong).tolist() == data.relabeled.tolist()


@pytest.mark.usefixtures("no_network")
def test_the_digits_that_stand_in_have_variants_too(tmp_path, capsys):
    data = load_dataset("fashion_mnist", 1000, 200, root=tmp_path, fallback="digits", variant=4)
    assert "using scikit-learn's digits" in capsys.readouterr().out
    assert data.variant == 4 and data.X_train.shape == (1000, 1, 28, 28)
    target = torch.from_numpy(load_digits().target)
    assert torch.equal(data.y_train, target[:1000]) and torch.equal(data.y_test, target[1297:1497])
    native = load_dataset("digits", 1000, variant=4)
    plain = load_dataset("digits")
    rows = {image.numpy().tobytes(): int(y) for image, y in zip(*plain.train, strict=True)}
    assert [rows[image.numpy().tobytes()] for image in native.X_train] == native.y_train.tolist()
    assert not torch.equal(native.X_train, plain.X_train[:1000])


@pytest.mark.parametrize("parted", [True, False])
def test_folders_of_images_have_variants_and_stay_balanced(tmp_path, parted):
    """With train/ and test/ the classes take turns, in a variant as without one."""
    for part in ("train", "test") if parted else ("",):
        for label, name in enumerate(("ant", "bee")):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for k in range(20):
                color = (k + 100 * label, 9 * (part == "test"), 0)
                Image.new("RGB", (4, 4), color).save(folder / f"{k:02}.png")
    plain = load_dataset(tmp_path, 10, 6)
    data = load_dataset(tmp_path, 10, 6, variant=12)
    assert torch.equal(data.y_train, plain.y_train) and torch.equal(data.y_test, plain.y_test)
    red = (data.X_train[:, 0, 0, 0] * 255).round().int()
    assert (red // 100).tolist() == data.y_train.tolist() and len(set(red.tolist())) == 10
    assert red.tolist() != (plain.X_train[:, 0, 0, 0] * 255).round().int().tolist()
    if parted:
        assert data.y_train.tolist() == [0, 1] * 5
        assert (data.X_test[:, 1] * 255).round().unique().tolist() == [9]
        assert data.X_train[:, 1].max() == 0
    else:  # what was drawn for the test set is not trained on
        both = torch.cat([data.X_train, data.X_test])[:, 0, 0, 0]
        assert len(set(both.tolist())) == 16


def test_a_checkpoint_keeps_the_images_it_was_trained_on(root):
    use_variant(3)
    recipe = Recipe(0.1, 50, 1e-4, seed=0, n_train=50)
    data = recipe.dataset(root=root)
    assert data.variant == 0 and shown(data.X_train) == list(range(50))
