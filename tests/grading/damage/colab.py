"""A machine as Colab gives it, as far as a notebook can tell: ``Colab``.

No flatlab and no nbgrader; ``google.colab`` loaded before the first cell; no extension of Jupyter;
no data beside scikit-learn's; a home of its own. Saving drops what Colab drops.
"""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import nbformat
from damage_metadata import saved_by_colab
from damage_notebooks import Sheet
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode
from outside import environment

ADDRESS = "https://github.com/example/flatlab"  # git is sent to a local folder instead
PACKAGE = ("flatlab", "pyproject.toml", "README.md", "LICENSE", "LICENSE-text")
MESSAGE = """import json, os
def blocking_request(kind, timeout_sec):
    assert kind == "get_ipynb"
    with open(os.environ["OPEN_NOTEBOOK"]) as file:
        return {"ipynb": json.load(file)}
"""
LAUNCHER = """import google.colab
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""


class Colab:
    """One machine below ``folder``. What ``ADDRESS`` serves is the ``checkout`` as it is now."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.folder = folder / "machine"
        self.python = environment(self.folder, without=frozenset({"nbgrader", "jupyterlab"}))
        (own,) = self.folder.glob("lib/python*/site-packages")
        (own / "google" / "colab").mkdir(parents=True)
        (own / "google" / "colab" / "__init__.py").touch()
        (own / "google" / "colab" / "_message.py").write_text(MESSAGE, encoding="utf-8")
        (own / "colab_kernel_launcher.py").write_text(LAUNCHER, encoding="utf-8")
        command = [str(self.python), "-m", "colab_kernel_launcher", "-f", "{connection_file}"]
        kernel = {"argv": command, "display_name": "Colab", "language": "python"}
        (folder / "kernels" / "colab").mkdir(parents=True)
        (folder / "kernels" / "colab" / "kernel.json").write_text(json.dumps(kernel))
        self.kernels = KernelSpecManager(kernel_dirs=[str(folder / "kernels")])
        self.open = folder / "open.ipynb"
        self.content = folder / "content"
        self.content.mkdir()
        (folder / "home").mkdir()
        served = folder / "served"
        _commit(checkout, served)
        self.environment = {
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "FLATLAB_SCALE": "quick",
            "OPEN_NOTEBOOK": str(self.open),  # what google.colab hands out as open
            "OMP_NUM_THREADS": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{served.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": ADDRESS,
            "PIP_NO_INDEX": "1",  # a machine of Colab's has the other packages
            "PIP_NO_BUILD_ISOLATION": "0",  # to pip this means: no isolation
        }

    def run(self, notebook: NotebookNode) -> NotebookNode:
        """A copy of ``notebook`` with the outputs of Run All, which errors do not stop."""
        done = copy.deepcopy(notebook)
        client = NotebookClient(
            done,
            km=AsyncKernelManager(kernel_name="colab", kernel_spec_manager=self.kernels),
            timeout=300,
            allow_errors=True,
            record_timing=False,
            coalesce_streams=True,
            store_widget_state=True,
            resources={"metadata": {"path": str(self.content)}},
        )
        client.execute(env=self.environment)
        return done


def _commit(checkout: Path, served: Path) -> None:
    """The package's files of ``checkout`` as a repository at ``served``."""
    for name in PACKAGE:
        if (checkout / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(checkout / name, served / name, ignore=ignore)
        else:
            shutil.copy(checkout / name, served / name)
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "served"]):
        subprocess.run(["git", "-C", served, *command], check=True)


def saved(sheet: Sheet, executed: NotebookNode, seed: int = 0) -> Sheet:
    """``sheet`` as Colab saves it after the run that gave ``executed``, outputs included."""
    pairs = zip(sheet.cells, executed.cells, strict=True)
    cells = [
        replace(cell, source=ran.source, outputs=tuple(ran.get("outputs", ())))
        for cell, ran in pairs
    ]
    return saved_by_colab(replace(sheet, cells=tuple(cells)), random.Random(seed))


def opened(notebook: NotebookNode, setup: str) -> NotebookNode:
    """``notebook`` with the setup cell that a release has where an address is set."""
    changed = copy.deepcopy(notebook)
    (cell,) = [cell for cell in changed.cells if cell.get("id") == "setup"]
    cell.source = setup
    nbformat.validate(changed)
    return changed
