"""What is installed: the wheel's contents, lazy imports, the command."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import flatlab


@pytest.fixture(scope="session")
def wheel(repository, tmp_path_factory) -> zipfile.ZipFile:
    """The wheel built from a copy of the repository, as pip builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    leave_out = shutil.ignore_patterns(".venv", ".git", "build", "*.egg-info", "__pycache__", ".*")
    shutil.copytree(repository, folder / "copy", ignore=leave_out)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    done = subprocess.run(
        [*command, folder / "copy"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel, repository):
    expected = {
        str(path.relative_to(repository))
        for path in (repository / "flatlab").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "flatlab/checks/__init__.py" in expected
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == expected


def test_the_wheel_names_command_and_licenses(wheel):
    about = {n.split(".dist-info/")[1]: n for n in wheel.namelist() if ".dist-info/" in n}
    assert {"licenses/LICENSE", "licenses/LICENSE-text"} <= set(about)
    entry_points = wheel.read(about["entry_points.txt"]).decode()
    assert "flatlab = flatlab.__main__:main" in entry_points
    metadata = wheel.read(about["METADATA"]).decode()
    assert "Requires-Python: >=3.10" in metadata
    assert "License-Expression: MIT" in metadata


def modules_after(code: str) -> set[str]:
    """Top-level modules loaded after ``code`` in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_import_flatlab_loads_none_of_its_dependencies():
    heavy = {"torch", "torchvision", "numpy", "matplotlib", "sklearn", "IPython", "ipywidgets"}
    assert not modules_after("import flatlab") & {*heavy, "click", "tqdm", "joblib"}


def test_the_ground_floor_loads_torch_and_numpy_alone():
    code = "import flatlab.data, flatlab.models, flatlab.training, flatlab.notebook"
    loaded = modules_after(code)
    assert "torch" in loaded
    assert not loaded & {"torchvision", "matplotlib", "sklearn", "IPython", "ipywidgets", "PIL"}


@pytest.mark.slow
@pytest.mark.beside
def test_no_public_name_loads_what_only_some_of_them_need():
    """What `import flatlab` costs is printed by bench/import_time.py; this is why it is little."""
    loaded = modules_after("from flatlab import *\nimport flatlab.plots, flatlab.widgets")
    assert {"torch", "flatlab"} <= loaded
    assert not (loaded - modules_after("import torch")) & {
        *("matplotlib", "ipywidgets", "IPython", "scipy", "sklearn", "torchvision", "PIL"),
        *("joblib", "dask", "distributed", "tqdm"),
    }


def test_every_public_name_is_there():
    for name in flatlab.__all__:
        assert getattr(flatlab, name) is not None
    assert set(flatlab.__all__) <= set(dir(flatlab))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        flatlab.nonsense  # noqa: B018


@pytest.mark.slow
@pytest.mark.beside
def test_doctor_finds_all_that_the_course_needs_here():
    """This environment is the one that `make test` installs: nothing may be missing."""
    command = Path(sys.executable).parent / "flatlab"
    environment = {k: v for k, v in os.environ.items() if k != "FLATLAB_SCALE"}
    done = subprocess.run(
        [command, "doctor"], capture_output=True, text=True, env=environment, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All that the course needs works." in done.stdout
    for line in ("torch", "nbgrader", "JupyterLab", "ipywidgets", "sandbox", "data"):
        assert f" {line} " in done.stdout
