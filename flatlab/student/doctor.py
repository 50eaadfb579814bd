"""``flatlab doctor``: what works on this machine, and what to do about what does not.

Every line is found by trying the thing (importing, opening the files, starting the sandbox), since
a package that is installed and broken is what people ask about.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

OK, MISSING, OPTIONAL = "ok", "missing", "optional"
INSTALL = 'python -m pip install "flatlab[course]"; in a checkout: make lab'


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    state: str  # OK, MISSING (the course needs it), OPTIONAL (it runs without)
    name: str
    detail: str  # what was found
    remedy: str = ""  # what to do about it


def examine() -> Iterator[Finding]:
    """The findings, each as soon as it is made.

    A check that breaks is itself a finding, so that the others are still shown.
    """
    checks: dict[str, Callable[[str], Finding]] = {
        "Python": _python,
        "torch": _torch,
        "device": _device,
        "torchvision": _torchvision,
        "data": _data,
        "scale": _scale,
        "JupyterLab": _jupyterlab,
        "kernel": _kernel,
        "ipywidgets": _ipywidgets,
        "nbgrader": _nbgrader,
        "sandbox": _sandbox,
    }
    for name, check in checks.items():
        try:
            yield check(name)
        except Exception as error:  # noqa: BLE001 - whatever a broken install raises is the finding
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            yield Finding(MISSING, name, said, INSTALL)


def main() -> int:
    """Print one screen; 0 if all that the course needs works, else 1."""
    version = importlib.metadata.version("flatlab")
    print(f"flatlab {version} on {platform.system()} {platform.machine()}\n")
    broken = []
    for finding in examine():
        print(f"  {finding.state:<9} {finding.name:<12} {finding.detail}", flush=True)
        if finding.remedy:
            print(f"{'':25}-> {finding.remedy}")
        if finding.state == MISSING:
            broken.append(finding.name)
    print(f"\nMissing: {', '.join(broken)}." if broken else "\nAll that the course needs works.")
    return int(bool(broken))


def _python(name: str) -> Finding:
    wanted = importlib.metadata.metadata("flatlab")["Requires-Python"]
    return _in_range(
        name, platform.python_version(), wanted, "install a newer Python and make a new environment"
    )


def _package(name: str, package: str) -> Finding:
    """A package that imports and has a version that flatlab accepts."""
    from packaging.requirements import Requirement

    importlib.import_module(package)
    version = importlib.metadata.version(package)
    for text in importlib.metadata.requires("flatlab") or []:
        requirement = Requirement(text)
        if requirement.name == package:
            return _in_range(name, version, str(requirement.specifier), INSTALL)
    return Finding(OK, name, version)


def _in_range(name: str, version: str, wanted: str, remedy: str) -> Finding:
    from packaging.specifiers import SpecifierSet

    if SpecifierSet(wanted).contains(version.split("+")[0], prereleases=True):
        return Finding(OK, name, version)
    return Finding(MISSING, name, f"{version}, and flatlab needs {wanted}", remedy)


def _torch(name: str) -> Finding:
    return _package(name, "torch")


def _device(name: str) -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding(OK, name, f"CUDA, {torch.cuda.get_device_name()}")
    if torch.backends.mps.is_available():
        return Finding(OK, name, "MPS (Apple graphics)")
    return Finding(OK, name, f"CPU, {torch.get_num_threads()} threads (enough for every chapter)")


def _torchvision(name: str) -> Finding:
    try:
        return _package(name, "torchvision")
    except RuntimeError as error:
        if "nms" not in str(error):
            raise
        return Finding(
            *(MISSING, name, "built for another torch (CPU and CUDA builds mixed)"),
            "install torch and torchvision together, from the same place",
        )


def _data(name: str) -> Finding:
    from flatlab.sources import DatasetNotFoundError, default_root, open_source

    root = default_root()
    open_source("digits", root)
    try:
        open_source("fashion_mnist", root)
    except DatasetNotFoundError:
        return Finding(
            *(OPTIONAL, name, f"no Fashion-MNIST in {root}"),
            "the notebooks download it (31 MB) or, without network, use scikit-learn's digits",
        )
    except ValueError as error:
        return Finding(MISSING, name, "a damaged file", str(error))
    return Finding(OK, name, f"Fashion-MNIST in {root}")


def _scale(name: str) -> Finding:
    from flatlab.notebook import scale

    try:
        return Finding(OK, name, f"{scale()} (FLATLAB_SCALE: quick, laptop or paper)")
    except ValueError as error:
        return Finding(MISSING, name, "not one of the three", str(error))


def _in_colab() -> bool:
    """Also in a process that a notebook of Colab's has started."""
    try:
        return "google.colab" in sys.modules or find_spec("google.colab") is not None
    except ModuleNotFoundError:  # no package google at all
        return False


def _needed(name: str, package: str) -> Finding:
    """As ``_package``, for one that Colab does without."""
    if _in_colab() and find_spec(package) is None:
        instead = "flatlab.student.check() in a cell does what Validate does"
        return Finding(OPTIONAL, name, "not here, and not needed in Colab", instead)
    return _package(name, package)


def _jupyterlab(name: str) -> Finding:
    return _needed(name, "jupyterlab")


def _kernel(name: str) -> Finding:
    """Does the kernel that notebooks ask for run this Python?"""
    from jupyter_client.kernelspec import KernelSpecManager

    _package(name, "ipykernel")
    command = Path(KernelSpecManager().get_kernel_spec("python3").argv[0])
    bare = command.name == str(command)  # jupyter_client then takes the Python it runs in
    if bare or command.parent.resolve() == Path(sys.executable).parent.resolve():
        return Finding(OK, name, "python3, in this environment")
    return Finding(
        *(MISSING, name, f"python3 starts {command}, not this environment's Python"),
        "python -m ipykernel install --sys-prefix",
    )


def _ipywidgets(name: str) -> Finding:
    extension, package = "@jupyter-widgets/jupyterlab-manager", "jupyterlab_widgets"
    return _with_extension(_package(name, "ipywidgets"), extension, package)


def _nbgrader(name: str) -> Finding:
    return _with_extension(_needed(name, "nbgrader"), "@jupyter/nbgrader", "nbgrader")


def _with_extension(finding: Finding, extension: str, package: str) -> Finding:
    """``finding``, unless JupyterLab lacks or has disabled the front end that belongs to it."""
    from jupyter_core.paths import jupyter_path

    if finding.state != OK or _in_colab():
        return finding
    folders = [Path(folder) / extension for folder in jupyter_path("labextensions")]
    if not any((folder / "package.json").is_file() for folder in folders):
        return Finding(
            *(MISSING, finding.name, f"{finding.detail}, without its JupyterLab extension"),
            f"python -m pip install --force-reinstall --no-deps {package}",
        )
    if _is_disabled(extension):
        return Finding(
            *(MISSING, finding.name, f"{finding.detail}, its JupyterLab extension is disabled"),
            f"jupyter labextension enable {extension}",
        )
    return Finding(OK, finding.name, f"{finding.detail}, with its JupyterLab extension")


def _is_disabled(extension: str) -> bool:
    """Whether the first of Jupyter's folders that mentions the extension switches it off."""
    from jupyter_core.paths import jupyter_config_path

    for folder in jupyter_config_path():
        path = Path(folder) / "labconfig" / "page_config.json"
        settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        disabled = settings.get("disabledExtensions", {})
        if extension in disabled:
            return isinstance(disabled, list) or bool(disabled[extension])
    return False


def _sandbox(name: str) -> Finding:
    remedy = "only instructors need it, to grade: apt-get install bubblewrap (Linux)"
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return Finding(OPTIONAL, name, "no bubblewrap", remedy)
    # What the grader asks for first: version 0.5, and a /proc of its own.
    own = ["--perms", "0755", "--tmpfs", "/tmp", "--ro-bind", "/", "/", "--proc", "/proc"]
    command = [bwrap, "--unshare-all", "--die-with-parent", *own, "--dev", "/dev", "true"]
    try:
        subprocess.run(command, capture_output=True, check=True, timeout=20, text=True)
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[0]
        remedy = "only instructors need it, to grade: docs/instructors.md says what it needs"
        return Finding(OPTIONAL, name, f"bubblewrap does not start: {said}", remedy)
    return Finding(OK, name, "bubblewrap starts, without network")
