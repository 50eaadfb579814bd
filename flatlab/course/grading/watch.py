"""The processes of one submission, seen from outside: what they use together, and their end.

Descent is followed through /proc. A process that was seen once stays known when its parent dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process; ``born`` (ticks since boot) tells it from a later one with the same number."""

    pid: int
    parent: int
    born: int
    state: str


def processes() -> dict[int, Process]:
    """All processes that /proc shows, zombies too."""
    found = {}
    for name in os.listdir(PROC):
        if name.isdigit() and (process := _read(int(name))):
            found[process.pid] = process
    return found


def threads_of_user(uid: int) -> int:
    """How many threads the user ``uid`` runs."""
    count = 0
    for pid in processes():
        with contextlib.suppress(OSError, KeyError, ValueError):
            status = _status(pid)
            if int(status["Uid"].split()[0]) == uid:
                count += int(status["Threads"])
    return count


class Tree:
    """A process and all that descend from it, also those that have left it."""

    def __init__(self, root: int) -> None:
        self.root = root
        first = _read(root)
        self._seen: dict[int, int] = {root: first.born} if first else {}

    def look(self) -> dict[int, Process]:
        """The living processes of the tree, by number."""
        everything = processes()
        below: dict[int, list[Process]] = {}
        for process in everything.values():
            below.setdefault(process.parent, []).append(process)
        self._seen = {
            pid: born
            for pid, born in self._seen.items()
            if pid in everything and everything[pid].born == born
        }
        queue = list(self._seen)
        while queue:
            for child in below.get(queue.pop(), ()):
                if child.pid not in self._seen:
                    self._seen[child.pid] = child.born
                    queue.append(child.pid)
        return {pid: everything[pid] for pid in self._seen if everything[pid].state not in "ZX"}

    def kill(self, spare: set[int] | None = None, seconds: float = 5.0) -> int:
        """Kill all but ``spare``, until none is left; returns how many were killed.

        All are stopped before the first is killed, so that none can start another in between.
        """
        spare, killed, end = spare or set(), set(), time.monotonic() + seconds
        while True:
            left = [pid for pid in self.look() if pid not in spare]
            if not left or time.monotonic() > end:
                return len(killed)
            for how in (signal.SIGSTOP, signal.SIGKILL):
                for pid in left:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, how)
            killed |= set(left)
            time.sleep(0.01)


def chain(tree: dict[int, Process], root: int, length: int) -> list[int]:
    """``root``, its oldest child, that one's oldest child, …: at most ``length`` of them."""
    found = [root] if root in tree else []
    while found and len(found) < length:
        children = [process for process in tree.values() if process.parent == found[-1]]
        if not children:
            break
        found.append(min(children, key=lambda process: (process.born, process.pid)).pid)
    return found


def memory(pids: list[int], enough: float = float("inf")) -> dict[int, int]:
    """Bytes that each process holds and that are no file's.

    Where the sum exceeds ``enough``, memory that several share is counted once (the kernel's
    proportional set size), which takes longer to find out.
    """
    held = {pid: _anonymous(pid) for pid in pids}
    if sum(held.values()) <= enough:
        return held
    return {pid: _proportional(pid, quick) for pid, quick in held.items()}


def folder_size(folder: Path) -> int:
    """Bytes on disk of the files below ``folder``; links are not followed."""
    total = 0
    for place, _, names in os.walk(folder, followlinks=False):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total


def _read(pid: int) -> Process | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    rest = text.rpartition(")")[2].split()  # the name before it may hold anything
    return Process(pid, int(rest[1]), int(rest[19]), rest[0])


def _status(pid: int) -> dict[str, str]:
    lines = (PROC / str(pid) / "status").read_text(errors="replace").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _anonymous(pid: int) -> int:
    try:
        status = _status(pid)
    except OSError:
        return 0
    kilobytes = [status.get(key, "0 kB").split()[0] for key in ("RssAnon", "RssShmem")]
    return sum(map(int, kilobytes)) * 1024


def _proportional(pid: int, otherwise: int) -> int:
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text(errors="replace")
    except OSError:
        return otherwise
    sizes = {line.split(":")[0]: line.split()[1] for line in text.splitlines() if " kB" in line}
    wanted = ("Pss_Anon", "Pss_Shmem")
    return sum(int(sizes[key]) for key in wanted if key in sizes) * 1024
