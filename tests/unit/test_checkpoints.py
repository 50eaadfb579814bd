"""Stored networks: what is loaded is what was stored, and damage is noticed."""

import hashlib
import json

import numpy as np
import pytest
import torch

from flatlab import checkpoints, models
from flatlab.checkpoints import CheckpointError, Recipe
from flatlab.training import evaluate

RECIPE = Recipe(learning_rate=0.1, batch_size=1000, stop_loss=1e-4, seed=3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of checkpoints."""
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def stored(folder):
    """A network with random parameters, stored as "some"."""
    model = models.fnn(generator=torch.Generator().manual_seed(8))
    checkpoints.save(
        "some", model, RECIPE, steps=12, measured={"sharpness": 2.5}, command="make it"
    )
    return model


def test_what_was_stored_comes_back_rounded_to_float16(stored, folder):
    loaded = checkpoints.load("some")
    assert checkpoints.names() == ("some",)
    for mine, theirs in zip(loaded.model.parameters(), stored.parameters(), strict=True):
        assert mine.dtype == torch.float32
        assert torch.equal(mine, theirs.half().float())
    assert (loaded.recipe, loaded.steps, loaded.command) == (RECIPE, 12, "make it")
    assert loaded.measured == {"sharpness": 2.5}
    assert (folder / "some.npy").stat().st_size < 2_000_000


def test_rounded_gives_the_network_that_will_be_loaded(stored):
    rounded = checkpoints.rounded(stored)
    for mine, theirs in zip(
        rounded.parameters(), checkpoints.load("some").model.parameters(), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_every_load_is_a_copy_of_its_own(stored):
    first = checkpoints.load("some").model
    with torch.no_grad():
        first[1].weight.zero_()
    assert checkpoints.load("some").model[1].weight.abs().sum() > 0


def test_loading_leaves_the_global_seed_alone(stored):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    checkpoints.load("some")
    assert torch.equal(torch.rand(1), expected)


def test_an_unknown_name_lists_those_that_there_are(stored):
    with pytest.raises(ValueError, match="no checkpoint 'other': choose one of some"):
        checkpoints.load("other")


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_damaged_file_is_noticed(stored, folder, damage):
    path = folder / "some.npy"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content if damage == "flipped" else content[:-1])
    with pytest.raises(CheckpointError, match=r"some\.npy is damaged.*retrain: make it"):
        checkpoints.load("some")


def test_a_missing_file_is_named(stored, folder):
    (folder / "some.npy").unlink()
    with pytest.raises(CheckpointError, match=r"some\.npy cannot be read"):
        checkpoints.load("some")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not readable"), ('{"steps": 1}', "lacks command, measured, recipe, sha256")],
)
def test_a_damaged_description_is_named(stored, folder, text, message):
    (folder / "some.json").write_text(text)
    with pytest.raises(CheckpointError, match=rf"some\.json.*{message}"):
        checkpoints.load("some")


def test_a_vector_of_another_length_is_refused(stored, folder):
    np.save(folder / "some.npy", np.zeros(10, dtype=np.float16))
    about = json.loads((folder / "some.json").read_text())
    about["sha256"] = hashlib.sha256((folder / "some.npy").read_bytes()).hexdigest()
    (folder / "some.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match=r"holds \(10,\) numbers .* 898510 parameters"):
        checkpoints.load("some")


def test_what_float16_cannot_hold_is_not_stored(folder):
    model = models.fnn()
    with torch.no_grad():
        model[1].bias[0] = 1e6
    with pytest.raises(ValueError, match="float16"):
        checkpoints.save("some", model, RECIPE, steps=1, measured={}, command="")
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.beside
@pytest.mark.parametrize("name", checkpoints.names())
def test_the_stored_networks_are_what_their_descriptions_say(name, data_root):
    """Loss and accuracies anew; sharpness by power iteration on products by double backward."""
    checkpoint = checkpoints.load(name)
    model, data = checkpoint.model, checkpoint.recipe.dataset(root=data_root)
    loss_fn, measured = torch.nn.functional.mse_loss, checkpoint.measured
    train = evaluate(model, loss_fn, data.train)
    assert train.loss == pytest.approx(measured["train_loss"], rel=1e-2)
    assert train.loss < 1.02 * checkpoint.recipe.stop_loss
    assert train.accuracy == pytest.approx(measured["train_accuracy"], abs=2e-3)
    test = evaluate(model, loss_fn, data.test)
    assert test.accuracy == pytest.approx(measured["test_accuracy"], abs=2e-3)
    assert top_curvature(model, *data.train) == pytest.approx(measured["sharpness"], rel=0.02)


def top_curvature(model, X, y, steps=100):
    """The largest eigenvalue of the Hessian, from below."""
    parameters = list(model.parameters())
    loss = ((model(X) - y) ** 2).mean()
    gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    flat = torch.cat([g.flatten() for g in gradient])
    v, value = flat.detach(), 0.0
    for _ in range(steps):
        v = v / v.norm()
        product = torch.autograd.grad(flat @ v, parameters, retain_graph=True)
        product = torch.cat([p.flatten() for p in product])
        before, value, v = value, float(v @ product), product
        if abs(value - before) < 1e-4 * value:
            break
    return value
