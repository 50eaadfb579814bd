"""Inputs for every check of a chapter, drawn from one seed, and what right outputs look like.

The chapter's own answers run on the drawn inputs first. What they give tells the form of a right
record (names, lengths, shapes), to which a submission's is held; and inputs on which a right answer
fails by bad luck are drawn again.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flatlab.checks.core import observe, plain
from flatlab.course.verdict import chapter as source
from flatlab.course.verdict.chapter import Chapter, Planned
from flatlab.course.verdict.halves import modules

DRAWS = 5
MOST_TEXTS = 100  # in a list of texts, such as warnings, whose length is free


@dataclass(frozen=True)
class Drawn:
    """A check with its inputs and the form of right outputs."""

    planned: Planned
    inputs: dict
    form: Any
    measured: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All checks of a chapter with inputs drawn from ``seed``; check cell -> its checks."""

    chapter: Chapter
    seed: int
    drawn: dict[str, tuple[Drawn, ...]]
    # (check cell, hidden checks or visible ones) -> what the sandbox imports of flatlab.checks
    modules: dict[tuple[str, bool], dict[str, tuple[str, bool]]]


def make(path: Path, seed: int) -> Plan:
    """The plan for the chapter with the source at ``path``; the same seed gives the same plan.

    Raises ``ValueError`` where the chapter's own answer fails its check.
    """
    return _make(path.read_text(encoding="utf-8"), path.stem, seed)


@lru_cache(maxsize=4)
def _make(text: str, name: str, seed: int) -> Plan:
    chapter = source.read_text(text, name)
    drawn = {
        graded.name: tuple(_draw(chapter, graded.name, check, seed) for check in graded.checks)
        for graded in chapter.graded
    }
    halves = {(g.name, h): modules(chapter, g, h) for g in chapter.graded for h in (False, True)}
    return Plan(chapter, seed, drawn, halves)


def _draw(chapter: Chapter, cell: str, planned: Planned, seed: int) -> Drawn:
    check = planned.check
    answer = eval(planned.argument, chapter.namespace)
    for attempt in range(DRAWS):
        words = f"{seed}/{chapter.name}/{cell}/{planned.exercise}/{planned.aim}/{attempt}"
        number = int.from_bytes(hashlib.sha256(words.encode()).digest()[:7], "big")
        inputs = plain(check.draw(torch.Generator().manual_seed(number)))
        outputs = observe(check, answer, inputs)
        message = outputs.get("wrong") or judged(check, inputs, outputs)
        if message is None:
            return Drawn(planned, inputs, form(outputs), tuple(planned.measured(inputs, outputs)))
    raise ValueError(
        f"{chapter.name}, check {planned.exercise!r} ({planned.aim}): the chapter's own answer fails "
        f"it on {DRAWS} draws from seed {seed}: {message}"
    )


def trusted(path: Path) -> list[dict]:
    """The checks of the chapter at ``path`` that rest on what the sandbox says of itself.

    A submission that means to can forge the outputs named in ``on`` (calls counted, arguments left
    alone): no array tells them from true ones. One entry a check, in the chapter's order:
    ``exercise``, ``aim``, ``hidden``, ``on``, and ``others``, its outputs that are decided outside.
    """
    plan = make(path, 0)
    return [
        {
            "exercise": one.planned.exercise,
            "aim": one.planned.aim,
            "hidden": one.planned.hidden,
            "on": list(one.measured),
            "others": [name for name in one.form if name not in one.measured],
        }
        for drawn in plan.drawn.values()
        for one in drawn
        if one.measured
    ]


def judged(check: Any, inputs: dict, outputs: dict) -> str | None:
    """The check's verdict, without NumPy's warnings."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return check.verdict(inputs, outputs)


def form(value: Any) -> Any:
    """Names, lengths, shapes and kinds of plain data."""
    if isinstance(value, dict):
        return {key: form(item) for key, item in value.items()}
    if isinstance(value, list):
        return [form(item) for item in value]
    if isinstance(value, str):
        return "text"
    kind = np.asarray(value).dtype.kind
    return ("bool" if kind == "b" else "number" if kind in "iuf" else "nothing", np.shape(value))


def misfit(wanted: Any, got: Any, where: str = "outputs") -> str | None:
    """None where ``got`` has the form ``wanted``, else where it has not."""
    if isinstance(wanted, dict):
        if not isinstance(got, dict) or set(got) != set(wanted):
            return f"{where} has other names than {sorted(wanted)}"
        parts = [misfit(wanted[key], got[key], f"{where}[{key!r}]") for key in wanted]
        return next((part for part in parts if part), None)
    if isinstance(wanted, list):
        if not isinstance(got, list):
            return f"{where} is no list"
        if all(item == "text" for item in wanted) and all(isinstance(item, str) for item in got):
            return f"{where} holds too many texts" if len(got) > MOST_TEXTS else None
        if len(got) != len(wanted):
            return f"{where} holds {len(got)} values, not {len(wanted)}"
        parts = [misfit(w, g, f"{where}[{i}]") for i, (w, g) in enumerate(zip(wanted, got))]
        return next((part for part in parts if part), None)
    if isinstance(got, dict | list) or form(got) != wanted:
        return f"{where} is not a {wanted if wanted == 'text' else ' of shape '.join(map(str, wanted))}"
    return None
