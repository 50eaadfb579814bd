"""Running a submission where it can do no harm: limits, sandbox, nbgrader's autograde inside.

``grade_one`` is the whole of it. What the submission's own code decided is in its result; whether
that is believed is decided elsewhere, in a process that never loads the submission.
"""

import importlib
import sys

_HOME = {
    "GradingRefused": "run",
    "Kit": "kit",
    "Limits": "limits",
    "available": "sandbox",
    "grade_one": "run",
    "make_kit": "kit",
}

LINUX = sys.platform.startswith("linux")
NEEDS_LINUX = (
    "Grading needs Linux, with --no-sandbox too: use a Linux machine, a virtual one perhaps."
)

__all__ = ["LINUX", "NEEDS_LINUX", *_HOME]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str):
    """Imported when it is asked for: the worker in the sandbox has no use for most of it."""
    if name in _HOME:
        return getattr(importlib.import_module(f"flatlab.course.grading.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
