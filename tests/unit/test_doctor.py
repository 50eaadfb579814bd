"""``flatlab doctor``: each line tells what is so, in environments that are really different."""

import importlib.util
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from flatlab.course.grading import sandbox
from flatlab.student import doctor
from flatlab.student.doctor import MISSING, OK, OPTIONAL, Finding


def test_the_report_names_what_is_missing(monkeypatch, capsys):
    findings = [
        Finding(OK, "torch", "2.9"),
        Finding(MISSING, "nbgrader", "not there", "pip install it"),
        Finding(OPTIONAL, "sandbox", "no bubblewrap", "only instructors"),
    ]
    monkeypatch.setattr(doctor, "examine", lambda: iter(findings))
    doctor.main()
    text = capsys.readouterr().out
    assert "  missing   nbgrader     not there\n" in text
    assert "-> pip install it\n" in text
    assert text.endswith("\nMissing: nbgrader.\n")
    findings[1:] = []
    doctor.main()
    assert capsys.readouterr().out.endswith("\nAll that the course needs works.\n")


def test_the_report_of_this_machine_fits_a_screen(capsys):
    doctor.main()
    assert len(capsys.readouterr().out.splitlines()) <= 30


@pytest.mark.parametrize(("state", "status"), [(OK, 0), (OPTIONAL, 0), (MISSING, 1)])
def test_exit_status(monkeypatch, capsys, state, status):
    monkeypatch.setattr(doctor, "examine", lambda: [Finding(state, "torch", "x")])
    assert doctor.main() == status
    assert "torch" in capsys.readouterr().out


def test_a_check_that_breaks_is_a_finding_and_the_others_are_shown(monkeypatch):
    monkeypatch.setitem(sys.modules, "nbgrader", None)
    findings = {finding.name: finding for finding in doctor.examine()}
    assert findings["nbgrader"].state == MISSING
    assert "flatlab[course]" in findings["nbgrader"].remedy
    assert findings["Python"].state == findings["torch"].state == OK


def test_colab_needs_no_jupyterlab_no_nbgrader_and_no_extension(monkeypatch):
    there = importlib.util.find_spec
    gone = ("jupyterlab", "nbgrader")
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in gone else there(name))
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *_: [])  # no extension either
    for name in gone:
        monkeypatch.setitem(sys.modules, name, None)
    names = ("JupyterLab", "nbgrader", "ipywidgets")
    elsewhere = {finding.name: finding for finding in doctor.examine()}
    assert [elsewhere[name].state for name in names] == [MISSING] * 3
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    here = {finding.name: finding for finding in doctor.examine()}
    assert [here[name].state for name in names] == [OPTIONAL, OPTIONAL, OK]
    for name in ("JupyterLab", "nbgrader"):
        assert here[name].detail == "not here, and not needed in Colab"
        assert "flatlab.student.check()" in here[name].remedy


def test_a_version_outside_the_range_is_missing(monkeypatch):
    original = doctor.importlib.metadata.version
    monkeypatch.setattr(
        doctor.importlib.metadata, "version", lambda p: "1.13.1" if p == "torch" else original(p)
    )
    finding = doctor._torch("torch")
    assert finding.state == MISSING
    assert finding.detail.startswith("1.13.1, and flatlab needs ")


def test_mixed_builds_of_torch_and_torchvision_are_named(monkeypatch):
    def fail(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib, "import_module", fail)
    finding = doctor._torchvision("torchvision")
    assert finding.state == MISSING
    assert "together, from the same place" in finding.remedy


def test_data_found_absent_and_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("FLATLAB_DATA", str(tmp_path))
    absent = doctor._data("data")
    assert absent.state == OPTIONAL
    assert "digits" in absent.remedy
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 3]))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(784)
        )
    assert doctor._data("data") == Finding(OK, "data", f"Fashion-MNIST in {tmp_path}")
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"")
    damaged = doctor._data("data")
    assert damaged.state == MISSING
    assert "t10k-labels-idx1-ubyte" in damaged.remedy
    assert "Delete this file" in damaged.remedy


def test_a_wrong_scale_is_missing(monkeypatch):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setenv("FLATLAB_SCALE", "huge")
    finding = doctor._scale("scale")
    assert finding.state == MISSING
    assert "quick, laptop, paper" in finding.remedy


@pytest.mark.parametrize("check", [doctor._nbgrader, doctor._ipywidgets])
def test_an_extension_that_is_absent_or_disabled(monkeypatch, tmp_path, check):
    for name in ("@jupyter/nbgrader", "@jupyter-widgets/jupyterlab-manager"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "package.json").write_text("{}")
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *parts: [str(tmp_path)])
    monkeypatch.setattr("jupyter_core.paths.jupyter_config_path", list)
    assert check("x").state == OK
    both = {"@jupyter/nbgrader": True, "@jupyter-widgets/jupyterlab-manager": True}
    config = tmp_path / "labconfig" / "page_config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"disabledExtensions": both}))
    monkeypatch.setattr("jupyter_core.paths.jupyter_config_path", lambda: [str(tmp_path)])
    assert "disabled" in check("x").detail
    assert "labextension enable" in check("x").remedy
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *parts: [str(tmp_path / "none")])
    finding = check("x")
    assert finding.state == MISSING
    assert "without its JupyterLab extension" in finding.detail


@pytest.mark.parametrize(
    ("command", "state"),
    [("python", OK), (sys.executable, OK), ("/some/other/bin/python3", MISSING)],
)
def test_the_kernel_must_be_of_this_environment(tmp_path, monkeypatch, command, state):
    spec = {
        "argv": [command, "-m", "ipykernel_launcher"],
        "display_name": "x",
        "language": "python",
    }
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setattr("jupyter_client.kernelspec.NATIVE_KERNEL_NAME", "none")
    finding = doctor._kernel("kernel")
    assert finding.state == state
    if state == MISSING:
        assert "/some/other/bin/python3" in finding.detail


@pytest.mark.parametrize(
    ("script", "state", "detail"),
    [
        (None, OPTIONAL, "no bubblewrap"),
        ("exit 0", OK, "bubblewrap starts"),
        ("echo 'setting up uid map: denied' >&2; exit 1", OPTIONAL, "setting up uid map: denied"),
    ],
)
def test_the_sandbox_is_started(tmp_path, monkeypatch, script, state, detail):
    if script is not None:
        program = tmp_path / "bwrap"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = doctor._sandbox("sandbox")
    assert finding.state == state
    assert detail in finding.detail
    if script is None:
        assert "apt-get install bubblewrap" in finding.remedy
    elif state == OPTIONAL:
        assert "says what it needs" in finding.remedy


def test_the_sandbox_is_asked_for_what_the_grader_asks(tmp_path, monkeypatch):
    program, asked = tmp_path / "bwrap", tmp_path / "asked"
    program.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    doctor._sandbox("sandbox")
    sandbox.available.__wrapped__()
    ours, graders = (line.split("--perms")[1].split() for line in asked.read_text().splitlines())
    assert ours == graders and "/proc" in ours


@pytest.mark.slow
@pytest.mark.beside
def test_the_command_exits_1_where_something_is_missing(tmp_path):
    """A damaged file breaks the course everywhere, whatever else this machine has."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-labels-idx1-ubyte").write_bytes(b"half")
    command = Path(sys.executable).parent / "flatlab"
    done = subprocess.run(
        [command, "doctor"], env={**os.environ, "FLATLAB_DATA": str(tmp_path)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "missing   data" in done.stdout
    assert "train-labels-idx1-ubyte is damaged" in done.stdout
    assert done.stderr == ""
