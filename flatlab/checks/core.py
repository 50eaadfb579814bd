"""What a check is: draw inputs, call the student's function, judge what came out.

The three steps are apart on purpose. ``draw`` and ``verdict`` never see the student's code and
``call`` returns plain data only, so a grader can run ``call`` in a sandbox on inputs of its own
and decide in a process where nothing of the submission is loaded.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from typing import Any, Protocol

import numpy as np
import torch

from flatlab.checks.guard import TopicGuard
from flatlab.notebook import is_grading, message_lines, wrapped

Record = dict[str, Any]  # name -> ndarray, number, string, or list of ndarrays
_passed: dict[int, Callable] = {}  # by identity; kept alive, so that no number comes twice


class CheckFailed(AssertionError):
    """A check that failed; a notebook shows its message and no traceback."""

    def _render_traceback_(self) -> list[str]:
        return message_lines(str(self))


class WrongAnswer(Exception):
    """Raised inside ``call`` when what came back cannot even be compared."""


class Check(Protocol):
    """One property of a right solution.

    A class may also hold ``hints``, pairs of a piece of an error's text and what to do about it.
    """

    def draw(self, generator: torch.Generator) -> Record:
        """Inputs as plain data; the same generator state gives the same inputs."""

    def call(self, student: Callable, inputs: Record) -> Record:
        """Run the student's function on the inputs; plain data out."""

    def verdict(self, inputs: Record, outputs: Record) -> str | None:
        """None when right, else what is wrong and the likely cause."""


def plain(value: Any) -> Any:
    """``value`` as plain data: tensors become arrays, lists are kept, anything else is refused."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        return value
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} is not plain data.")


def run(check: Check, student: Callable, seed: int) -> str | None:
    """The verdict of ``check`` on ``student``; ``NotImplementedError`` of a stub passes through."""
    inputs = plain(check.draw(torch.Generator().manual_seed(seed)))
    outputs = observe(check, student, inputs)
    return outputs.get("wrong") or check.verdict(inputs, outputs)


def observe(check: Check, student: Callable, inputs: Record) -> Record:
    """What ``check.call`` saw, or ``{"wrong": why}`` where the function did not get that far."""
    global_state = torch.get_rng_state()
    guard = TopicGuard()
    try:
        # nbgrader scores a cell that writes to stderr 0, so a right answer that warns must not.
        with warnings.catch_warnings(), redirect_stderr(sys.stdout), torch.enable_grad():
            warnings.simplefilter("ignore")
            with guard:
                outputs = plain(check.call(student, inputs))
    except NotImplementedError as error:
        if not str(error):  # a stub; torch raises it too, with a text
            raise
        outputs = {"wrong": explain_error(check, error)}
    except WrongAnswer as wrong:
        outputs = {"wrong": str(wrong)}
    except Exception as error:  # noqa: BLE001 - whatever the student's code raises is an answer
        outputs = {"wrong": explain_error(check, error)}
    finally:
        torch.set_rng_state(global_state)
    if guard.called:
        return {"wrong": f"It calls {guard.called}, the package's ready answer. Write it yourself."}
    return outputs


def explain_error(check: Check, error: Exception) -> str:
    """An exception of the student's code as one line, with the check's hint where it has one."""
    return explain_text(check, f"{type(error).__name__}: {error}".strip().splitlines()[0][:300])


def explain_text(check: Check, text: str) -> str:
    """What ``explain_error`` says of an exception that was written down as one line."""
    for pattern, hint in getattr(check, "hints", ()):
        if pattern in text:
            return f"It stopped with {text}\n  {hint}"
    return f"It stopped with {text}"


class Exercise:
    """The checks of one exercise, called in a notebook as ``check.NAME(function)``.

    ``remaining`` is what the hidden checks look at, one phrase each: the student reads it when
    the visible checks pass, and the chapter's source must hold exactly these hidden checks.
    """

    def __init__(self, name: str, remaining: tuple[str, ...]) -> None:
        self.name = name
        self.remaining = remaining
        self.visible: dict[str, Check] = {}
        self.hidden_checks: dict[str, Check] = {}

    def check(self, aim: str) -> Callable[[type], type]:
        """Decorator: add a visible check that looks at ``aim``."""
        return self._adder(self.visible, aim)

    def hidden(self, aim: str) -> Callable[[type], type]:
        """Decorator: add a hidden check; ``aim`` must be one that was promised in ``remaining``."""
        if aim not in self.remaining:
            raise ValueError(f"{self.name} does not promise a hidden check of {aim!r}.")
        return self._adder(self.hidden_checks, aim)

    @staticmethod
    def _adder(checks: dict[str, Check], aim: str) -> Callable[[type], type]:
        def add(kind: type) -> type:
            checks[aim] = kind()
            return kind

        return add

    def __call__(self, student: Callable) -> None:
        """Run the visible checks; print a pass, raise ``CheckFailed`` on the first failure."""
        _passed.pop(id(student), None)
        if not self._examine(student, self.visible, seed=0, label=""):
            return
        _passed[id(student)] = student
        count = len(self.visible)
        print(f"✓ {self.name}: {count} check{'s' if count > 1 else ''} passed")
        if self.remaining:
            several = len(self.remaining) > 1
            what = f"hidden check{'s remain' if several else ' remains'}"
            print(wrapped(f"  {len(self.remaining)} {what}: {'; '.join(self.remaining)}.", 4))

    def grade(self, student: Callable) -> None:
        """Run the hidden checks; raise ``CheckFailed`` on the first failure."""
        self._examine(student, self.hidden_checks, seed=1, label="hidden check: ")

    def _examine(self, student: Callable, checks: Mapping, seed: int, label: str) -> bool:
        if not callable(student):
            raise CheckFailed(
                f"✗ {self.name}\n  This is a {type(student).__name__}, not a function."
            )
        for aim, check in checks.items():
            try:
                message = run(check, student, seed)
            except NotImplementedError:
                if is_grading():
                    raise CheckFailed(f"✗ {self.name}\n  Not written yet.") from None
                print(f"○ {self.name}: not written yet.")
                return False
            if message is not None:
                raise CheckFailed(f"✗ {self.name} ({label}{aim})\n  {message}")
        return True


def ready(*functions: Callable) -> bool:
    """True when each function passed its check in this session; else says what is missing.

    An experiment begins with ``if ready(hvp):``, so that a notebook with unfinished exercises
    runs to its end and no experiment shows numbers from a function that is known to be wrong.
    """
    missing = [getattr(f, "__name__", type(f).__name__) for f in functions if id(f) not in _passed]
    if missing:
        names = " and ".join(f"`{name}`" for name in missing)
        what = "it, run its check" if len(missing) == 1 else "them, run their checks"
        text = f"○ This experiment waits for {names}: write {what}, then run this cell."
        print(wrapped(text, 2))
    return not missing
