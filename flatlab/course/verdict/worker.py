"""Runs in the sandbox, beside the submission: ``python -I worker.py FOLDER``.

The first process imports what is slow and forks one for each exercise, so that an answer finds
neither another exercise's checks nor what an earlier one changed. A forked process runs the cells
that come before the check, then each check's ``call`` on its inputs, and writes one record for
each. Nothing here is trusted: the grader reads the records as a stranger's.

This file and ``_flatlab_codec`` are copied into FOLDER; they import nothing of flatlab.course.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.abc
import importlib.util
import json
import os
import select
import signal
import sys
import time
import types
import warnings
from pathlib import Path

GRACE = 3.0  # seconds between asking a cell to stop and killing its process
MOST_STARTS = 6  # of one exercise: each cell or check that kills its process costs one
NOT_DUMPABLE, SUBREAPER = 4, 36  # prctl's numbers


class TimeUp(BaseException):
    """Raised by the alarm in whatever runs too long."""


class Topic(types.ModuleType):
    """Stands for a topic module of flatlab, which is not here."""

    called: list[str] = []

    def __getattr__(self, name: str) -> Ready:
        if name.startswith("__"):
            raise AttributeError(name)
        return Ready(f"{self.__name__}.{name}")


class Ready:
    """Stands for a ready answer in a topic module; a call is noted and stops the caller."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Ready:
        if name.startswith("__"):
            raise AttributeError(name)
        return Ready(f"{self._name}.{name}")

    def __mro_entries__(self, bases: tuple) -> tuple:
        return ()

    def __call__(self, *args: object, **kwargs: object) -> None:
        Topic.called.append(self._name)
        raise RuntimeError(f"{self._name} is not there while exercises are graded.")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the checks' halves in the job, and a ``Topic`` for every topic module."""

    def __init__(self, modules: dict[str, list], topics: list[str]) -> None:
        self.modules, self.topics = modules, set(topics)

    def find_spec(self, name: str, path: object = None, target: object = None):
        parts = name.split(".")
        if parts[0] != "flatlab" or len(parts) < 2:
            return None
        if parts[1] == "checks":
            if name not in self.modules:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return importlib.util.spec_from_loader(name, self, is_package=self.modules[name][1])
        if parts[1] in self.topics:
            return importlib.util.spec_from_loader(name, self, is_package=True)
        return None

    def create_module(self, spec):
        is_topic = spec.name not in self.modules
        return Topic(spec.name) if is_topic else None

    def exec_module(self, module: types.ModuleType) -> None:
        if module.__name__ in self.modules:
            code = compile(self.modules[module.__name__][0], f"<{module.__name__}>", "exec")
            exec(code, module.__dict__)  # noqa: S102


def main(folder: Path) -> None:
    os.environ |= {"NBGRADER_EXECUTION": "autograde", "FLATLAB_PROGRESS": "off"}
    os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "IPYTHONDIR": str(folder / "home")}
    os.environ |= {"MPLCONFIGDIR": str(folder / "home")}
    _forget_installed_flatlab(folder)
    common = json.loads((folder / "common.json").read_bytes())
    paths = sorted((folder / "jobs").iterdir())
    jobs = [bytearray(path.read_bytes()) for path in paths]
    for path in paths:
        path.unlink()
    _prctl(SUBREAPER, 1)
    _prepare(common, any(b"TorchDispatchMode" in job for job in jobs))
    for index in range(len(jobs)):
        Exercise(folder / "records", jobs, index, common).supervise()
        jobs[index][:] = bytes(len(jobs[index]))


def _forget_installed_flatlab(folder: Path) -> None:
    """Only the copy in ``folder`` is imported, whether flatlab is installed or not."""
    sys.meta_path[:] = [f for f in sys.meta_path if "__editable__" not in _module_of(f)]
    others = [path for path in sys.path if not (Path(path or ".") / "flatlab" / "course").is_dir()]
    sys.path[:] = [str(folder / "package"), *others]


def _module_of(finder: object) -> str:
    return str(getattr(finder, "__module__", ""))


def _prctl(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _prepare(common: dict, meters: bool) -> None:
    """Import once, before any fork, what the setup cell will import."""
    import IPython.core.interactiveshell  # noqa: F401
    import torch

    torch.set_num_threads(1)
    for name in common["prepare"]:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    if meters:  # the first dispatch mode imports torch's compiler
        from torch.utils._python_dispatch import TorchDispatchMode

        with TorchDispatchMode():
            pass


class Exercise:
    """One exercise: its processes, one after another until every check has its record."""

    def __init__(self, records: Path, jobs: list[bytearray], index: int, common: dict) -> None:
        self.records, self.jobs, self.index = records, jobs, index
        self.common = common
        counts = common["sizes"][index]
        self.cells, self.checks = counts

    def supervise(self) -> None:
        skipped: set[int] = set()
        first = 0
        for _ in range(MOST_STARTS):
            if first >= self.checks:
                return
            where, how = self._process(skipped, first)
            kind, number = where
            if how == "ended":
                return
            if kind == "cell":
                skipped.add(number)
            elif kind == "check":
                write(self.records, self.index, number, {"kind": how})
                first = number + 1
            else:
                return

    def _process(self, skipped: set[int], first: int) -> tuple[tuple[str, int], str]:
        """Fork, watch; where it was last, and whether it ended, died or hung (``timeout``)."""
        reading, writing = os.pipe()
        _prctl(NOT_DUMPABLE, 0)
        child = os.fork()
        if child == 0:
            os.close(reading)
            with contextlib.suppress(BaseException):
                self._run(writing, skipped, first)
            os._exit(0)
        os.close(writing)
        try:
            return self._watch(child, reading)
        finally:
            os.close(reading)
            _end(child)

    def _watch(self, child: int, reading: int) -> tuple[tuple[str, int], str]:
        where, steps = ("start", 0), 0
        deadline = time.monotonic() + self.common["seconds"] + GRACE
        while True:
            readable, _, _ = select.select([reading], [], [], 0.02)
            said = os.read(reading, 4096) if readable else b""
            if said:
                for line in said.decode("ascii", "ignore").splitlines():
                    kind, _, number = line.partition(" ")
                    steps += 1
                    if steps > self.cells + self.checks + 1 or not number.isdigit():
                        continue
                    if kind == "done":
                        return ("done", 0), "ended"
                    where = (kind, int(number[:6]))
                    deadline = time.monotonic() + self.common["seconds"] + GRACE
            elif os.waitpid(child, os.WNOHANG)[0]:
                return where, "died"
            if time.monotonic() > deadline:
                return where, "timeout"

    def _run(self, progress: int, skipped: set[int], first: int) -> None:
        """In the child: only this exercise's job is left in memory."""
        os.setsid()
        for number, other in enumerate(self.jobs):
            if number != self.index:
                other[:] = bytes(len(other))
        _prctl(NOT_DUMPABLE, 1)
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        job = json.loads(bytes(self.jobs[self.index]))
        sys.meta_path.insert(0, Finder(job["modules"], self.common["topics"]))
        signal.signal(signal.SIGALRM, _stop)
        seconds = self.common["seconds"]
        shell = _shell()
        for number, text in enumerate(job["cells"]):
            if number not in skipped:
                os.write(progress, f"cell {number}\n".encode())
                _timed(seconds, lambda text=text: shell.run_cell(text))
        for number, check in enumerate(job["checks"]):
            if number >= first:
                os.write(progress, f"check {number}\n".encode())
                record = observe(check, shell.user_ns, seconds)
                write(self.records, self.index, number, record)
        os.write(progress, b"done 0\n")


def _shell():
    """An IPython shell as in a notebook, which keeps no history."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    return InteractiveShell.instance(config=config)


def _stop(*_: object) -> None:
    raise TimeUp


def _timed(seconds: float, action) -> None:
    """Run a cell; whatever it raises stays with it, as in a notebook."""
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
        action()
    except BaseException:  # noqa: BLE001, S110 - the next cell runs
        pass
    finally:
        _no_alarm()


def _no_alarm() -> None:
    for _ in range(5):  # the alarm may ring once more while it is switched off
        with contextlib.suppress(TimeUp):
            signal.setitimer(signal.ITIMER_REAL, 0)
            return


def observe(check: dict, names: dict, seconds: float) -> dict:
    """What the ``call`` half of a check saw."""
    from _flatlab_codec import decode

    inputs = decode(json.dumps(check["inputs"]).encode())
    half = getattr(importlib.import_module(check["module"]), check["class"])()
    try:
        student = eval(check["argument"], names)
    except BaseException as error:  # noqa: BLE001
        return {"kind": "missing", "text": _said(error)}
    if not callable(student):
        return {"kind": "object", "text": type(student).__name__}
    Topic.called.clear()
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
        record, called = _called(half, student, inputs)
    except TimeUp:
        return {"kind": "timeout"}
    finally:
        _no_alarm()
    called = Topic.called[0] if Topic.called else called
    return {"kind": "topic", "text": called} if called else record


def _called(half, student, inputs: dict) -> tuple[dict, str | None]:
    """The record, as ``flatlab.checks.core.observe`` would make it, and the topic called."""
    import torch

    from flatlab.checks.core import WrongAnswer, plain
    from flatlab.checks.guard import TopicGuard

    global_state, guard = torch.get_rng_state(), TopicGuard()
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            with guard:
                outputs = plain(half.call(student, inputs))
        record = {"kind": "outputs", "outputs": outputs}
    except WrongAnswer as wrong:
        record = {"kind": "wrong", "text": str(wrong)}
    except TimeUp:
        raise
    except BaseException as error:  # noqa: BLE001
        unwritten = isinstance(error, NotImplementedError) and not str(error)
        record = {"kind": "unwritten"} if unwritten else {"kind": "error", "text": _said(error)}
    finally:
        torch.set_rng_state(global_state)
    return record, guard.called


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]
    except Exception:  # noqa: BLE001 - an error that cannot be shown
        return type(error).__name__[:300]


def write(records: Path, index: int, number: int, record: dict) -> None:
    """One record, all of it or nothing."""
    from _flatlab_codec import MOST_BYTES, encode

    data = encode(record)
    if len(data) > MOST_BYTES:
        data = encode({"kind": "huge"})
    partial = records / f"{index}-{number}.partial"
    partial.write_bytes(data)
    partial.rename(records / f"{index}-{number}")


def _end(child: int) -> None:
    """Kill the child, its session and whatever it left behind."""
    for kill, which in ((os.killpg, child), (os.kill, child)):
        with contextlib.suppress(OSError):
            kill(which, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    task = Path(f"/proc/self/task/{os.getpid()}/children")
    for _ in range(50):
        try:
            left = task.read_text().split()
        except OSError:
            return
        if not left:
            return
        for orphan in left:
            with contextlib.suppress(OSError):
                os.kill(int(orphan), signal.SIGKILL)
                os.waitpid(int(orphan), 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
