"""Runs in the sandbox, beside the submission: ``python -I JOB/worker.py WORK JOBS PIPE``.

The first process imports what is slow and forks one for each job, so that an answer finds neither
another exercise's checks nor what an earlier one changed. It never runs the student's code itself.
The jobs, from the open file JOBS, are nowhere that the student's code could read: a job is in the
memory of its own process alone, and the hidden checks' jobs come when every visible check is told.
Each check's record goes to the file descriptor PIPE as a line ``JOB CHECK JSON``, led by the key that
came on stdin. Nothing here is trusted: the grader reads these lines as a stranger's.

This file is copied beside ``common.json`` and the folder ``package``.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

GRACE = 3.0  # seconds between asking a cell to stop and killing its process
START = 60.0  # seconds until a process has begun its first cell
MOST_STARTS = 6  # of one job: each cell that kills its process costs one
AGAIN = 5.0  # seconds of a cell that was stopped before: what it defines first is needed
MOST_LINE = 4 * 2**20 + 100
DUMPABLE, SUBREAPER, NO_NEW_PRIVILEGES = 4, 36, 38  # prctl(2)


def main(job: Path, work: Path, given: int, out: int) -> None:
    os.set_inheritable(out, False)
    way = Way(out, bytearray(sys.stdin.readline().strip().encode()))
    sys.dont_write_bytecode = True
    common = json.loads((job / "common.json").read_bytes())
    secrets = _secrets(given, [one["bytes"] for one in common["jobs"]])
    _forget_installed_flatlab(job)
    _confine(common["confine"])
    for path in job.glob("fontlist-*.json"):  # matplotlib else makes its list of fonts anew
        shutil.copyfile(path, work / path.name)
    os.environ |= {"NBGRADER_EXECUTION": "autograde", "FLATLAB_PROGRESS": "off"}
    os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    os.environ |= {"IPYTHONDIR": str(work), "MPLCONFIGDIR": str(work)}
    _prctl(SUBREAPER, 1)
    _prepare(common["prepare"])
    way.tell("ready\n")  # before any code of the submission has run
    bad: set[int] = set()
    slow: set[int] = set()
    lost: set[int] = set()
    for index, about in enumerate(common["jobs"]):
        running = Running(index, about, secrets, common, way, bad, slow)
        if about["after"] in lost or not running.supervise():
            lost.add(index)
            running.skip()
        secrets[index][:] = bytes(len(secrets[index]))
    os._exit(0)  # all is told; taking torch down again takes 0.4 s


def _secrets(given: int, sizes: list[int]) -> list[bytearray]:
    """The jobs, read so that no second copy of them is left in memory; the file is closed."""
    found, at = [], 0
    for size in sizes:
        found.append(bytearray(size))
        if os.preadv(given, [found[-1]], at) != size:
            raise OSError("The file with the jobs is too short.")
        at += size
    os.close(given)
    return found


def _forget_installed_flatlab(job: Path) -> None:
    """Only the copy in ``job`` is imported, whether flatlab is installed or not."""
    finders = [f for f in sys.meta_path if "__editable__" not in str(getattr(f, "__module__", ""))]
    sys.meta_path[:] = finders
    sys.path[:] = [str(job / "package"), *(path for path in sys.path if path != str(job))]


def _confine(confine: dict | None) -> None:
    """Take this process's privileges and set its limits; None where none were asked for."""
    if confine is None:
        return
    from _flatlab_limits import Limits, apply

    os.umask(0o077)
    apply(Limits(**confine["limits"]), confine["threads_elsewhere"])
    if confine["drop_to"] is not None:
        os.setgroups([])
        os.setresgid(*[confine["drop_to"]] * 3)
        os.setresuid(*[confine["drop_to"]] * 3)
    _prctl(NO_NEW_PRIVILEGES, 1)


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _prepare(names: list[str]) -> None:
    """Import once, before any fork, what the setup cell will import."""
    gc.disable()
    import _flatlab_child
    import _flatlab_codec  # noqa: F401
    import torch

    _flatlab_child.shell()
    torch.set_num_threads(1)
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.freeze()  # the children leave it alone, and so its pages stay shared
    gc.enable()


class Way:
    """The way out: a pipe, and the key that leads every line on it."""

    def __init__(self, pipe: int, key: bytearray) -> None:
        self.pipe, self.key = pipe, key

    def tell(self, line: str) -> None:
        data = memoryview(bytes(self.key) + line.encode())
        while data:
            data = data[os.write(self.pipe, data) :]

    def close(self) -> None:
        """In a child: it has neither."""
        os.close(self.pipe)
        self.key[:] = bytes(len(self.key))


class Running:
    """One job: its processes, one after another until every check has its record."""

    def __init__(
        self,
        index: int,
        about: dict,
        secrets: list[bytearray],
        common: dict,
        way: Way,
        bad: set[int],
        slow: set[int],
    ) -> None:
        self.index, self.cells, self.checks = index, about["cells"], about["checks"]
        self.secrets, self.common, self.way = secrets, common, way
        self.bad = bad  # cells that killed a process: no job runs them again
        self.slow = slow  # cells that were stopped: later jobs run them for AGAIN seconds
        self.recorded: set[int] = set()
        self.reaped = False

    def supervise(self) -> bool:
        """Run it; False where a check killed its process or hung."""
        for _ in range(MOST_STARTS):
            kind, number, how = self._process()
            if kind != "cell":
                break
            self.bad.add(number)
        if kind == "check":
            self._tell(number, _plain(how))
        return kind != "check"

    def skip(self) -> None:
        """Tell of the checks without a record that they were not run."""
        for number in range(self.checks):
            self._tell(number, _plain("skipped"))

    def _tell(self, number: int, record: str) -> None:
        if number not in self.recorded and number < self.checks:
            self.recorded.add(number)
            self.way.tell(f"{self.index} {number} {record}\n")

    def _process(self) -> tuple[str, int, str]:
        """Fork and watch: what it did last (cell, check, done), and whether it died or hung."""
        reading, writing = os.pipe()
        _prctl(DUMPABLE, 0)
        child = os.fork()
        if child == 0:
            words = os.fdopen(os.dup(2), "w")  # the child's own is silent
            try:
                os.close(reading)
                self._run(writing)
            except BaseException:  # noqa: BLE001 - said where a person may read it
                traceback.print_exc(file=words)
            finally:
                words.flush()
                os._exit(0)
        os.close(writing)
        self.reaped = False
        try:
            return self._watch(child, reading)
        finally:
            os.close(reading)
            _end(child, self.reaped)

    def _run(self, writing: int) -> None:
        """In the child: of all jobs its own is left in memory, and no way out but its pipe."""
        import _flatlab_child

        os.setsid()
        self.way.close()
        for number, other in enumerate(self.secrets):
            if number != self.index:
                other[:] = bytes(len(other))
        _prctl(DUMPABLE, 1)

        def say(line: str) -> None:
            data = memoryview(f"{line}\n".encode())
            while data:
                data = data[os.write(writing, data) :]

        job = json.loads(bytes(self.secrets[self.index]))
        texts, topics, seconds = (self.common[name] for name in ("cells", "topics", "seconds"))
        most = {number: min(seconds, AGAIN) for number in self.slow}
        left = [number for number in self.cells if number not in self.bad]
        cells = [(number, texts[number], most.get(number, seconds)) for number in left]
        _flatlab_child.run(job, cells, topics, seconds, say)

    def _watch(self, child: int, reading: int) -> tuple[str, int, str]:
        kind, at, steps, partial, ended = "start", 0, 0, b"", False
        deadline = time.monotonic() + START
        while time.monotonic() < deadline and len(partial) < MOST_LINE:
            readable, _, _ = select.select([reading], [], [], 0.0 if ended else 0.02)
            said = os.read(reading, 1 << 16) if readable else b""
            if not said:
                if ended:
                    return kind, at, "died"
                self.reaped = ended = os.waitpid(child, os.WNOHANG)[0] != 0  # what it said is read
                time.sleep(0.001)
                continue
            *lines, partial = (partial + said).split(b"\n")
            for line in lines:
                word, _, rest = line.decode("utf-8", "replace").partition(" ")
                if word == "record":
                    self._tell(at, rest) if kind == "check" else None
                elif word == "late":
                    self.slow |= {at} if kind == "cell" else set()
                elif word in ("cell", "check", "done") and rest[:6].isdecimal():
                    steps += 1
                    if steps > len(self.cells) + self.checks + 1:  # no endless story
                        return kind, at, "died"
                    kind, at = word, int(rest[:6])
                    self.way.tell(f"{word} {at}\n")  # no record: a sign of life
                    deadline = time.monotonic() + self.common["seconds"] + GRACE
                if kind == "done":
                    return kind, 0, ""
        return kind, at, "timeout"


def _plain(kind: str) -> str:
    return json.dumps(["dict", [["kind", kind]]])


def _end(child: int, reaped: bool) -> None:
    """Kill the child, its session and whatever it left behind."""
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    if not reaped:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    task = Path(f"/proc/self/task/{os.getpid()}/children")
    for _ in range(50):
        with contextlib.suppress(OSError):
            left = [int(pid) for pid in task.read_text().split()]
            if not left:
                return
            for orphan in left:
                os.kill(orphan, signal.SIGKILL)
                os.waitpid(orphan, 0)


if __name__ == "__main__":
    main(Path(__file__).resolve().parent, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
