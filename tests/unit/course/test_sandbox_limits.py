"""Limits hold a process; a command in the sandbox sees what it is given."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flatlab.course.grading import sandbox
from flatlab.course.grading.limits import MB, Limits

LIMITED = """
import json, resource, sys
from flatlab.course.grading.limits import Limits, apply
apply(Limits(memory=300, files=64, file_size=1, threads=50, cpu_seconds=9))
names = ("RLIMIT_DATA", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_CPU")
held = {name: resource.getrlimit(getattr(resource, name)) for name in names}
try:
    hoard = bytearray(400 << 20)
except MemoryError:
    held["memory"] = "refused"
apply(Limits(memory=4000))
held["again"] = resource.getrlimit(resource.RLIMIT_DATA)[0]
print(json.dumps(held))
"""


def test_limits_hold_and_cannot_be_raised_again():
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True
    )
    held = json.loads(done.stdout)
    assert held["RLIMIT_DATA"] == [300 * MB, 300 * MB]
    assert held["RLIMIT_NOFILE"] == [64, 64] and held["RLIMIT_FSIZE"] == [MB, MB]
    assert held["RLIMIT_NPROC"] == [50, 50] and held["RLIMIT_CPU"] == [10, 10]
    assert held["memory"] == "refused"
    assert held["again"] == 300 * MB


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "much", True, None])
def test_a_limit_is_a_positive_number(value):
    with pytest.raises(ValueError, match="memory"):
        Limits(memory=value)


def test_limits_survive_json():
    limits = Limits(cell_seconds=1.5, memory=7)
    assert Limits(**json.loads(json.dumps(limits.as_dict()))) == limits


def mounts(*shown: str, hidden: str = "/course") -> sandbox.Mounts:
    return sandbox.Mounts(tuple(map(Path, shown)), (Path(hidden),))


def test_what_is_hidden_is_covered_and_what_lies_in_it_shows():
    order = sandbox._by_depth(mounts("/env", "/env/course/flatlab", hidden="/env/course"))
    assert order == [
        (Path("/env"), True),
        (Path("/env/course"), False),
        (Path("/env/course/flatlab"), True),
    ]


def test_a_course_among_the_systems_folders_is_covered():
    order = sandbox._by_depth(mounts("/env", "/usr/src/app/.venv", hidden="/usr/src/app"))
    shown = [
        (Path("/env"), True),
        (Path("/usr/src/app"), False),
        (Path("/usr/src/app/.venv"), True),
    ]
    assert order == shown


def test_what_shows_already_is_not_mounted_again():
    assert sandbox._by_depth(mounts("/env", "/env/lib", "/usr/lib/python3")) == [
        (Path("/env"), True)
    ]


def test_the_course_is_never_shown_as_a_whole(tmp_path):
    with pytest.raises(ValueError, match="as a whole"):
        sandbox.python_mounts(tmp_path / "flatlab", tmp_path, (tmp_path,))


def test_a_missing_bubblewrap_is_said(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    reason = sandbox.available.__wrapped__()
    assert "bubblewrap is not installed" in reason and "--no-sandbox" in reason


def test_another_system_is_not_told_to_go_without(monkeypatch):
    monkeypatch.setattr(sandbox, "LINUX", False)
    reason = sandbox.available.__wrapped__()
    assert "use a Linux machine" in reason and "give --no-sandbox" not in reason


def test_a_bubblewrap_that_fails_is_said(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: str(broken))
    assert "No permissions to create new namespace" in sandbox.available.__wrapped__()


@pytest.fixture
def inside(tmp_path, bubblewrap):
    """Runs a shell line in a sandbox that shows ``tmp_path/shown`` and hides a folder in it."""
    job, shown = tmp_path / "job", tmp_path / "shown"
    for folder in (job, shown / "secret" / "public"):
        folder.mkdir(parents=True)
    (job / "passwd").write_text(sandbox.passwd(None))
    (shown / "secret" / "key").write_text("kept")
    (shown / "secret" / "public" / "text").write_text("read me")
    given = sandbox.Mounts((shown, shown / "secret" / "public"), (shown / "secret",))

    def run(line: str, limits: Limits = Limits()) -> str:  # noqa: B008 - frozen
        words = sandbox.isolated(["/bin/sh", "-c", line], job, given, {"ONE": "1"}, limits)
        done = subprocess.run(words, env={}, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).replace(str(tmp_path), "")

    return run


def test_a_command_sees_its_mounts(inside, tmp_path):
    at = tmp_path / "shown"
    assert inside(f"cat {at}/secret/public/text") == "read me"
    assert "No such file" in inside(f"cat {at}/secret/key")
    assert "Read-only" in inside(f"echo x > {at}/new")
    assert inside("echo $ONE $HOME $USER; env | wc -l") == "1 /work-inside student\n6\n"
    assert inside("cd && pwd && echo kept > note && cat note") == "/work-inside\nkept\n"


def test_a_writable_folder_is_of_limited_size(inside):
    said = inside("dd if=/dev/zero of=big bs=1M count=9 2>&1; wc -c < big", Limits(folder_size=4))
    assert "No space left" in said and said.split()[-1] == str(4 * MB)


def test_processes_end_with_the_command(inside):
    mark = f"31{os.getpid()}"
    inside(f"setsid sleep {mark} & exit 0")
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(mark.encode() in line for line in lines)
