"""Settings and fixtures of every test.

Being here puts this folder on pytest's import path: tests share ``tiny_chapter``.
"""

import os
import sys
import tarfile
from pathlib import Path

import pytest
from sharing import must_be_shared, share

# Here before torch is imported, and passed on to the kernels and commands that tests start.
os.environ.setdefault("FLATLAB_PROGRESS", "off")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in the Makefile
# Hundreds of kernels and commands start: the first compiles the package for the others.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
if "PYTEST_XDIST_WORKER" in os.environ:  # several at a time: their threads would fight for cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config, items):
    if config.getoption("loadgroup", default=False):  # a worker under --dist loadgroup
        share(items)


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's, in the main process
def pytest_xdist_node_collection_finished(node, ids):
    if node.config.getoption("dist") == "loadgroup":
        must_be_shared(ids)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def bubblewrap():
    """Asks for a sandbox: skips without one, or fails where FLATLAB_SANDBOX is `required`."""
    from flatlab.course.grading import available

    if reason := available():
        missing = pytest.fail if os.environ.get("FLATLAB_SANDBOX") == "required" else pytest.skip
        missing(f"no sandbox here: {reason}")


@pytest.fixture(scope="module")
def bench_is_importable():
    """The ledger's modules, which are no part of the package."""
    folder = str(REPOSITORY / "bench")
    sys.path.insert(0, folder)
    yield
    sys.path.remove(folder)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder $FLATLAB_DATA with real Fashion-MNIST; tests that need it are skipped without."""
    root = Path(os.environ.get("FLATLAB_DATA", ""))
    if not (root / "FashionMNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.skip("real Fashion-MNIST is not under $FLATLAB_DATA")
    return root


@pytest.fixture(scope="session")
def cifar_folder(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image folders train/ and test/ with the first 30 CIFAR-10 images of two classes."""
    archive = data_root / "cifar10" / "cifar10-jpg.tar.gz"
    if not archive.is_file():
        pytest.skip("CIFAR-10's image folders are not under $FLATLAB_DATA")
    folder = tmp_path_factory.mktemp("cifar10")
    wanted = {
        f"{part}/{name}/{i:04d}.jpg"
        for part in ("train", "test")
        for name in ("airplane", "automobile")
        for i in range(30)
    }
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name in wanted:
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(tar.extractfile(member).read())
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every attempt to open an address fail at once."""
    import urllib.error
    import urllib.request

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network in this test")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
