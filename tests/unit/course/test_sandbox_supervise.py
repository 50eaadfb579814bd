"""A run is watched: what is told, what is forged, what goes on too long."""

import os
import sys
import time

import pytest

from flatlab.course.grading.limits import Limits
from flatlab.course.grading.supervise import supervise
from flatlab.course.grading.watch import Tree, processes

START = """
import os, subprocess, sys, time
key, out = sys.stdin.readline().strip(), os.fdopen(int(sys.argv[-1]), "w")
def tell(text): out.write(key + text + "\\n"); out.flush()
"""


@pytest.fixture
def run(tmp_path):
    """Runs a worker of these lines, without a sandbox."""

    def go(lines: str, on_disk: bool = False, **limits):
        words = [sys.executable, "-c", START + lines]
        environment = {"PATH": os.defpath}
        held = Limits(**limits)
        return supervise(words, environment, tmp_path, held, ancestors=1, on_disk=on_disk)

    return go


def test_what_the_worker_tells_is_taken_and_no_forged_line(run):
    outcome = run("tell('one'); out.write('forged\\n'); tell('two'); print('a word')")
    assert outcome.lines == [b"one", b"two"] and outcome.strange == 1
    assert outcome.stopped == "" and outcome.log == "a word\n"


def test_a_log_is_kept_to_its_end(run):
    outcome = run("print('x' * 1_000_000); print('the end')")
    assert len(outcome.log) == 8000 and outcome.log.endswith("the end\n")


def test_a_worker_that_dies_is_seen(run):
    outcome = run("tell('one'); os.kill(os.getpid(), 9)")
    assert outcome.lines == [b"one"] and outcome.stopped == ""


def test_silence_ends_a_run_and_forged_lines_are_silence(run):
    begin = time.monotonic()
    lines = "tell('one')\nwhile True: out.write('forged\\n'); out.flush(); time.sleep(0.05)"
    outcome = run(lines, cell_seconds=0.5, start_seconds=0.5)
    assert "silent for too long" in outcome.stopped and outcome.lines == [b"one"]
    assert time.monotonic() - begin < 10


def test_time_ends_a_run(run):
    outcome = run("while True: tell('more'); time.sleep(0.05)", total_seconds=1, start_seconds=0.25)
    assert "time for the whole notebook" in outcome.stopped


def test_a_flood_of_words_ends_a_run(run):
    outcome = run("while True: tell('x' * 100_000)", total_output=1)
    assert "told more than a run can have to tell" in outcome.stopped
    assert sum(map(len, outcome.lines)) < 11 << 20


def test_files_on_disk_end_a_run(run):
    lines = "open('big', 'wb').write(bytes(3 << 20)); time.sleep(30)"
    assert "its files took more room" in run(lines, on_disk=True, folder_size=2).stopped


def test_too_many_processes_are_ended_and_the_first_child_stays(run):
    lines = (
        "family = [subprocess.Popen(['sleep', '20']) for _ in range(6)]\n"
        "time.sleep(2)\n"
        "tell(str([process.poll() for process in family]))"
    )
    outcome = run(lines, processes=4)
    assert outcome.lines == [b"[None, -9, -9, -9, -9, -9]"]
    assert outcome.notes == ["more than 4 processes: 5 killed"]


def test_the_largest_process_is_ended(run):
    hoard = "import time; x = b'x' * (%d << 20); time.sleep(20)"
    lines = (
        f"small, large = [subprocess.Popen([sys.executable, '-c', {hoard!r} % n]) for n in (5, 90)]"
        "\ntime.sleep(3)\ntell(f'{small.poll()} {large.poll()}')"
    )
    outcome = run(lines, total_memory=80)
    assert outcome.lines == [b"None -9"] and len(outcome.notes) == 1


def test_nothing_is_left_running(run):
    before = set(processes())
    run("subprocess.Popen(['sleep', '31'], start_new_session=True); tell('x'); time.sleep(1)")
    left = set(Tree(os.getpid()).look()) - before
    assert left == set()
    assert not [pid for pid in set(processes()) - before if words(pid) == b"sleep\x0031\x00"]


def words(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""
