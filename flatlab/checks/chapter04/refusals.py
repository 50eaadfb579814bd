"""What a function does with arguments that it should refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def refusal(student: Callable, *arguments: Any) -> str:
    """The name of the exception that it raised, or "nothing"; a kind of ValueError is one."""
    try:
        student(*arguments)
    except NotImplementedError:  # a stub
        raise
    except ValueError:
        return "ValueError"
    except Exception as error:  # noqa: BLE001 - whatever it raises is the answer
        return type(error).__name__
    return "nothing"


def refusal_verdict(raised: str, arguments: str) -> str | None:
    """None for a ValueError, else what came instead."""
    if raised == "ValueError":
        return None
    if raised == "nothing":
        return f"For {arguments} it returns a result as if nothing were wrong: raise ValueError."
    return (
        f"For {arguments} it stops with {raised}: look at the arguments first and raise ValueError "
        "with a text that says what is wrong."
    )
