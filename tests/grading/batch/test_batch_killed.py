"""A run killed at random moments, and resumed: the gradebook of an undisturbed one."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from handed_in import comparable, rows
from tiny_chapter import NAME

from flatlab.course.batch import Journal
from flatlab.course.whole import write

pytestmark = [pytest.mark.grading, pytest.mark.slow, pytest.mark.beside]
EVERY_TIME, KILLS = 1, 20  # in `make test`, in `make test-all`
SEED = 20
EARLIEST, LATEST = 0.1, 0.8  # of an undisturbed run's time: when a run is killed


def start(layout, submitted: Path, out: Path) -> subprocess.Popen:
    """``flatlab grade -j 2``, as from a shell."""
    words = [str(Path(sys.executable).parent / "flatlab"), "grade", str(submitted), "-j", "2"]
    log = (out.parent / f"{out.name}.txt").open("a")
    with log:
        return subprocess.Popen(
            [*words, "--out", str(out)],
            cwd=layout.root,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def finish(layout, submitted: Path, out: Path) -> list[tuple]:
    """Let a run end; its gradebook's rows."""
    assert start(layout, submitted, out).wait() == 0, (out.parent / f"{out.name}.txt").read_text()
    return rows(f"sqlite:///{out / 'gradebook.db'}")


def fresh(folder: Path) -> Path:
    """An empty folder for a run, with the inputs of all the others."""
    shutil.rmtree(folder, ignore_errors=True)
    write(folder / "seed", "5\n")
    return folder


def records(out: Path) -> dict[str, dict]:
    found = [path.parent.name for path in out.glob("records/*/*.json")]
    return {student: comparable(Journal(out).read(student, NAME)) for student in found}


@pytest.mark.parametrize(
    "wanted", [EVERY_TIME, pytest.param(KILLS, marks=pytest.mark.extended)], ids=str
)
def test_a_run_killed_at_random_moments_ends_as_an_undisturbed_one(
    layout, submitted, tmp_path, table, wanted
):
    title = f"flatlab grade killed {wanted} times"
    row = "{:>4}{:>12}{:>16}{:>15}  {}"
    table(title, row.format("kill", "after (s)", "records before", "records after", "gradebook"))
    generator = random.Random(SEED)
    undisturbed = fresh(tmp_path / "undisturbed")
    begin = time.monotonic()
    expected, told = finish(layout, submitted, undisturbed), records(undisturbed)
    whole = time.monotonic() - begin
    assert len(told) == 5
    out, kills, ends, sessions, spent = fresh(tmp_path / "killed"), 0, 0, set(), 0.0
    while kills < wanted:
        before, seconds = len(records(out)), whole * generator.uniform(EARLIEST, LATEST)
        begin = time.monotonic()
        process = start(layout, submitted, out)
        sessions.add(process.pid)
        try:
            assert process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            spent += seconds
            os.kill(process.pid, signal.SIGKILL)  # itself alone: its workers end by themselves
            process.wait()
            kills += 1
            after, book = len(records(out)), (out / "gradebook.db").is_file()
            assert after >= before  # nothing is lost
            state = "begun" if book else "not begun"
            table(title, row.format(kills, f"{seconds:.1f}", before, after, state))
            continue
        ends += 1  # it came to its end before its time: once more from the beginning
        # A machine that was busy and no longer is: else most runs would end before they are killed.
        whole, spent = min(whole, spent + time.monotonic() - begin), 0.0
        assert rows(f"sqlite:///{out / 'gradebook.db'}") == expected
        assert records(out) == told
        fresh(out)
    assert finish(layout, submitted, out) == expected and records(out) == told
    table(
        title,
        f"rows of the gradebook as undisturbed: {len(expected)}, {ends + 1} times of {ends + 1}",
    )
    deadline = time.monotonic() + 60  # those that were only starting end when they have started
    while left := strays(sessions):
        assert time.monotonic() < deadline, left
        time.sleep(0.5)


def strays(sessions: set[int]) -> list[int]:
    """The processes of these sessions that are still there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) in sessions and state != "Z":
            found.append(int(path.parent.name))
    return found
