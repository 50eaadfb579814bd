"""Processes are followed by descent, counted and ended."""

import os
import subprocess
import sys
import time

import pytest

from flatlab.course.grading import watch
from flatlab.course.grading.limits import MB

FAMILY = """
import os, subprocess, sys, time
hoard = bytearray(b"x") * (60 << 20)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
if os.fork() == 0:
    os.setsid()
    time.sleep(60)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def family():
    """A process that holds 60 MB, with a child and a fork in a session of its own."""
    process = subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE)
    process.stdout.readline()
    tree = watch.Tree(process.pid)
    yield process, tree
    tree.kill()
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_tree_holds_all_descendants(family):
    process, tree = family
    assert len(tree.look()) == 3 and process.pid in tree.look()
    assert os.getpid() not in tree.look()


def test_memory_is_counted_once_where_it_is_shared(family):
    process, tree = family
    pids = list(tree.look())
    quick, exact = watch.memory(pids), watch.memory(pids, enough=0)
    assert quick[process.pid] > 60 * MB
    assert sum(quick.values()) > 120 * MB  # the fork's copy is counted, though it is none
    assert 60 * MB < sum(exact.values()) < 110 * MB


def test_orphans_stay_known_and_are_killed(family):
    process, tree = family
    known = set(tree.look())
    process.kill()
    process.wait()
    assert set(tree.look()) == known - {process.pid}
    assert tree.kill() == 2
    assert tree.look() == {}


def test_the_spared_stay(family):
    process, tree = family
    assert tree.kill(spare={process.pid}) == 2
    assert set(tree.look()) == {process.pid}
    assert process.poll() is None


def test_the_chain_follows_the_oldest_child():
    def make(pid, parent, born):
        return watch.Process(pid, parent, born, "S")

    tree = {p.pid: p for p in [make(1, 0, 1), make(9, 1, 2), make(5, 1, 3), make(7, 9, 4)]}
    assert watch.chain(tree, 1, 2) == [1, 9]
    assert watch.chain(tree, 1, 5) == [1, 9, 7]
    assert watch.chain(tree, 4, 5) == []


def test_a_name_with_brackets_is_read(tmp_path, monkeypatch):
    folder = tmp_path / "77"
    folder.mkdir()
    fields = " ".join(str(n) for n in range(5, 23))
    (folder / "stat").write_text(f"77 (a) b) (c) S 12 {fields}")
    monkeypatch.setattr(watch, "PROC", tmp_path)
    assert watch.processes()[77] == watch.Process(77, 12, 22, "S")


def test_folders_are_measured_and_links_not_followed(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "file").write_bytes(bytes(3 * MB))
    (tmp_path / "all").symlink_to("/usr")
    assert 3 * MB <= watch.folder_size(tmp_path) < 4 * MB


def test_threads_of_a_user_are_counted():
    before = watch.threads_of_user(os.getuid())
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        time.sleep(0.1)
        assert watch.threads_of_user(os.getuid()) >= 1
        assert before >= 1 and watch.threads_of_user(4_000_000_000) == 0
    finally:
        process.kill()
        process.wait()
