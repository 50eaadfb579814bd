"""The two commands, continuous integration, and what is committed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

MOST_BYTES = {".npy": 2_000_000, ".ipynb": 1_500_000, ".pt": 2_000_000}
MOST_BYTES_ELSE = 500_000


@pytest.fixture(scope="module")
def committed(repository) -> list[Path]:
    """The files that git tracks."""
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("this is no git checkout")
    return [repository / name for name in done.stdout.split("\0") if name]


def test_no_two_files_of_tests_have_one_name(committed, repository):
    """Their folders are no packages: pytest imports each by its bare name."""
    inside = [path for path in committed if path.is_relative_to(repository / "tests")]
    names = [p.name for p in inside if p.suffix == ".py" and p.stem != "conftest"]
    assert len(names) > 50 and [n for n in set(names) if names.count(n) > 1] == []


def make(folder, *arguments, path=None):
    environment = {**os.environ, **({} if path is None else {"PATH": str(path)})}
    environment = {k: v for k, v in environment.items() if "MAKE" not in k}
    return subprocess.run(
        [shutil.which("make"), "--no-print-directory", "-C", folder, *arguments], capture_output=True, text=True,
        env=environment, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def clone(repository, tmp_path) -> Path:
    """A folder with what make reads, and no .venv."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(repository / name, tmp_path)
    return tmp_path


def test_files_are_small(committed):
    too_large = [
        f"{path}: {path.stat().st_size}"
        for path in committed
        if path.is_file() and path.stat().st_size > MOST_BYTES.get(path.suffix, MOST_BYTES_ELSE)
    ]
    assert not too_large


def test_only_ci_knows_where_the_data_lie(committed, repository):
    for path in committed:
        if path in (repository / ".ci" / "run", Path(__file__)) or not path.is_file():
            continue
        assert b"shared/data" not in path.read_bytes(), path


@pytest.mark.parametrize(
    "target",
    [
        "lab",
        "test",
        "test-fast",
        "lint",
        "build",
        "bundle",
        "site",
        "bench",
        "reproduce",
        "clean",
        "help",
    ],
)
def test_make_has_the_target(clone, target):
    done = make(clone, "-n", target)
    assert done.returncode == 0, done.stderr


def test_both_commands_install_the_tested_versions(clone):
    for target, extras in (("lab", ".[course]"), ("test", ".[course,dev]")):
        text = make(clone, "-n", target).stdout
        assert f'install -q -c constraints.txt -e "{extras}"' in text
        assert "-m venv .venv" in text


def test_lab_opens_the_first_chapter_and_passes_arguments_on(clone):
    text = make(clone, "-n", "lab", "LAB_ARGS=--no-browser --port=8899").stdout
    assert f'--ServerApp.root_dir="{clone}/notebooks"' in text
    assert "/lab/tree/00-start-here/00-start-here.ipynb" in text
    assert text.rstrip().endswith("--no-browser --port=8899")


def test_a_missing_python_is_explained(clone):
    done = make(clone, "lab", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "There is no no-such-python: install Python 3.10 or newer" in done.stdout


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('[ "$1" = -c ] && exit 1; exit 0', "is too old: flatlab needs Python 3.10 or newer"),
        ('[ "$1" = -m ] && mkdir .venv && exit 1; exit 0', "apt-get install python3-venv"),
    ],
)
def test_an_old_python_and_one_without_venv_are_explained(clone, script, said):
    python = clone / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    done = make(clone, "lab", f"PYTHON={python}")
    assert done.returncode != 0
    assert said in done.stdout
    assert not (clone / ".venv").exists()


def test_ci_run_is_a_program_and_the_workflow_runs_it(repository):
    script = repository / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    jobs = {}
    for path in sorted((repository / ".github" / "workflows").glob("*.yml")):
        jobs |= yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    commands = {
        name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()
    }
    allow = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    assert commands == {"test": [allow, ".ci/run"], "test-all": [allow, ".ci/run test-all"]}
    assert jobs["test"]["strategy"]["matrix"]["python-version"] == ["3.10", "3.12"]


@pytest.mark.parametrize("target", [[], ["test-all"]])
def test_ci_run_calls_make_and_finds_the_data_beside_the_checkout(repository, tmp_path, target):
    checkout, data = tmp_path / "checkout", tmp_path / "shared" / "data"
    (checkout / ".ci").mkdir(parents=True)
    data.mkdir(parents=True)
    shutil.copy(repository / ".ci" / "run", checkout / ".ci")
    rule = "".join(
        f"{name}:\n\t@echo $@ data=$$FLATLAB_DATA; cat\n" for name in ("test", "test-all")
    )
    (checkout / "Makefile").write_text(rule)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bwrap", "chromium"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if "MAKE" not in k and k != "FLATLAB_DATA"}
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    done = subprocess.run(
        [checkout / ".ci" / "run", *target], capture_output=True, text=True, env=environment,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    wanted = f"{target[0] if target else 'test'} data={data.resolve()}"
    assert done.stdout.strip().splitlines()[-1] == wanted


@pytest.mark.parametrize("works", [True, False])
def test_ci_run_installs_what_the_system_lacks_or_goes_on_without(repository, tmp_path, works):
    (tmp_path / ".ci").mkdir()
    shutil.copy(repository / ".ci" / "run", tmp_path / ".ci")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "env"):
        (programs / name).symlink_to(shutil.which(name))
    fakes = {
        "id": "echo 0",
        "python3": "exit 0",
        "apt-get": f'echo "$@" >> "{tmp_path}/apt"; exit {0 if works else 1}',
        "make": 'echo "make $@"',
    }
    for name, body in fakes.items():
        (programs / name).write_text(f"#!{shutil.which('sh')}\n{body}\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [tmp_path / ".ci" / "run"], capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": str(programs), "FLATLAB_DATA": "somewhere"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "make test"
    asked = (tmp_path / "apt").read_text()
    if works:
        assert "install -y -qq bubblewrap chromium" in asked
    else:
        assert "not installed: bubblewrap chromium; going on without" in done.stdout
