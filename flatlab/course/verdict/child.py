"""One exercise of a submission in a process of its own: runs cells and the checks' ``call`` halves.

Copied into the sandbox as ``_flatlab_child``; imports nothing of flatlab.course. What it tells its
parent, line by line: ``cell N`` and ``check N`` before it begins one, ``late N`` after a cell that was
stopped, ``record JSON`` after a check, ``done 0`` at the end unless a check took too long. The
student's code runs here and can tell anything.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import types
import warnings

CALLED: list[str] = []  # the topics' functions that were called
LATE: list[bool] = []  # not empty when the alarm has rung


class TimeUp(BaseException):
    """Raised by the alarm in whatever runs too long."""


class Topic(types.ModuleType):
    """Stands for a topic module of flatlab, which is not here."""

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
        CALLED.append(self._name)
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


def run(
    job: dict, cells: list[tuple[int, str, float]], topics: list[str], seconds: float, say
) -> None:
    """Run ``cells``, then the job's checks until one takes too long."""
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    sys.meta_path.insert(0, Finder(job["modules"], topics))
    signal.signal(signal.SIGALRM, _stop)
    own = shell()
    for number, text, most in cells:
        say(f"cell {number}")
        if _timed(most, lambda text=text: own.run_cell(text)):
            say(f"late {number}")
    for number, check in enumerate(job["checks"]):
        say(f"check {number}")
        record = observe(check, own.user_ns, seconds)
        say(f"record {_line(record)}")
        if record["kind"] == "timeout":
            return
    say("done 0")


def _line(record: dict) -> str:
    from _flatlab_codec import MOST_BYTES, encode

    data = encode(record)
    return (data if len(data) <= MOST_BYTES else encode({"kind": "huge"})).decode()


def shell():
    """The process's IPython shell, as in a notebook; it keeps no history."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    made = InteractiveShell.instance(config=config)
    made.enable_gui = lambda gui=None: None  # %matplotlib asks for it, and a kernel's has it
    return made


def _stop(*_: object) -> None:
    LATE.append(True)
    raise TimeUp


def _timed(seconds: float, action) -> bool:
    """Run a cell; whatever it raises stays with it, as in a notebook. Was it stopped?"""
    LATE.clear()
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
        action()
    except BaseException:  # noqa: BLE001, S110 - the next cell runs
        pass
    finally:
        _no_alarm()
    return bool(LATE)


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
    CALLED.clear()
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
        record, called = _called(half, student, inputs)
    except TimeUp:
        return {"kind": "timeout"}
    finally:
        _no_alarm()
    called = CALLED[0] if CALLED else called
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
