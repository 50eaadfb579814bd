"""``grade_all``: many submissions beside each other, through joblib, to a journal of records.

Workers send plain data back; this process alone writes. A worker that dies loses nothing: the
submissions that were with it are run again, one at a time, and one that ends its worker twice is left
to a person.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import BrokenProcessPool

from flatlab.course.batch.desk import Desk, make_desk
from flatlab.course.batch.journal import UNKNOWN, Journal
from flatlab.course.batch.one import base, grade_at, ungraded
from flatlab.course.grading import LINUX, GradingRefused, Limits, available
from flatlab.course.layout import Layout
from flatlab.course.rebuild import Handed

MOST_DEATHS = 2  # of workers that one submission may end
_PARENT_DEATH_SIGNAL = 1  # prctl(2)
Tell = Callable[[dict, bool], None]


@dataclass(frozen=True)
class Way:
    """How the work is spread: ``jobs`` processes here, or a Dask scheduler's workers."""

    jobs: int = 1
    backend: str = "loky"
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"{self.jobs} jobs: give at least 1.")
        if self.backend not in ("loky", "dask"):
            raise ValueError(f"No backend is called {self.backend!r}: give loky or dask.")
        if (self.backend == "dask") != (self.scheduler is not None):
            raise ValueError("The backend dask and the address of its scheduler go together.")


@dataclass(frozen=True)
class Task:
    """One submission to run."""

    desk: Desk
    handed: Handed
    limits: Limits
    sandbox: bool
    seed: int


def grade_all(
    handed: Iterable[Handed],
    journal: Journal,
    *,
    layout: Layout,
    limits: Limits | None = None,
    sandbox: bool = True,
    seed: int | None = None,
    way: Way | None = None,
    tell: Tell | None = None,
) -> list[dict]:
    """The records of ``handed``, in its order; each is in ``journal`` as soon as it is made.

    A submission whose record is there and of which nothing has changed is not run again. ``seed``:
    by default the journal's. ``tell(record, new)`` is called for each. Hold the journal meanwhile.
    Raises ``Refused`` for a chapter that is not built, ``GradingRefused`` where a sandbox is asked for
    and not there. No submission raises: what went wrong is in its record.
    """
    if (sandbox or not LINUX) and (reason := available()):
        raise GradingRefused(reason)
    limits, way = limits or Limits(), way or Way()
    seed = journal.seed() if seed is None else seed
    everyone = [_named(item) for item in handed]
    wanted = {item.chapter for item in everyone if item.chapter}
    desks = {chapter: make_desk(layout, chapter) for chapter in sorted(wanted)}
    records: dict[int, dict] = {}
    tasks: dict[int, Task] = {}
    for place, item in enumerate(everyone):
        old = _kept(journal, item, desks, limits, sandbox, seed)
        if old is not None:
            records[place] = old
            if tell:
                tell(old, False)
        else:
            tasks[place] = Task(desks.get(item.chapter), item, limits, sandbox, seed)
    for place, record in _results(tasks, way):
        journal.write(record)
        records[place] = record
        if tell:
            tell(record, True)
    return [records[place] for place in range(len(everyone))]


def _runs(item: Handed) -> bool:
    """Can anything of it be run? Not what an archive refused, nor what is of no chapter."""
    return bool(item.chapter) and (bool(item.data) or not item.problem)


def _named(item: Handed) -> Handed:
    """``item`` with a student, and a chapter that is a file's name, whatever its path says."""
    mark = hashlib.sha256(item.path.encode("utf-8", "replace") + item.data).hexdigest()[:8]
    return replace(item, student=item.student or f"{UNKNOWN}{mark}")


def _kept(
    journal: Journal,
    item: Handed,
    desks: Mapping[str, Desk],
    limits: Limits,
    sandbox: bool,
    seed: int,
) -> dict | None:
    """The record of an earlier run, where nothing has changed since."""
    if not _runs(item):
        return None
    old = journal.read(item.student, item.chapter)
    digest = desks[item.chapter].digest(item.data, limits, sandbox, seed)
    if old is None or old.get("digest") != digest:
        return None
    facts = base(item)
    if {name: old.get(name) for name in facts} != facts:  # handed in under another name
        old = {**old, **facts}
        journal.write(old)
    return old


def _results(tasks: dict[int, Task], way: Way) -> Iterator[tuple[int, dict]]:
    """Place and record of each task, as they come."""
    left, deaths = dict(tasks), Counter()
    while left:
        suspects = [place for place in left if deaths[place]]
        chosen = suspects[:1] or list(left)
        begun: list[int] = []
        try:
            for place, record in _spread({place: left[place] for place in chosen}, way, begun):
                del left[place]
                yield place, record
        except _deaths() as error:
            for place in [place for place in begun if place in left]:
                deaths[place] += 1
                if deaths[place] >= MOST_DEATHS:
                    why = f"The process that graded it was ended {MOST_DEATHS} times: {error}"
                    yield place, _failed(left.pop(place), why)


def _spread(tasks: dict[int, Task], way: Way, begun: list[int]) -> Iterator[tuple[int, dict]]:
    """As ``_results``; ``begun`` is told which have been given to a worker."""

    def feed() -> Iterator:
        for place, task in tasks.items():
            begun.append(place)
            yield delayed(work)(place, task)

    if way.backend == "dask":
        settings = {"backend": "dask", "scheduler_host": way.scheduler, "n_jobs": -1}
    elif way.jobs == 1:
        settings = {"backend": "sequential", "n_jobs": 1}
    else:
        follow = {"initializer": _follow, "initargs": (os.getpid(),)}
        settings = {"backend": "loky", "n_jobs": way.jobs, **follow}
    with parallel_config(**settings):
        yield from Parallel(
            return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs", max_nbytes=None
        )(feed())


def _deaths() -> tuple[type[BaseException], ...]:
    """What is raised when a worker has died."""
    killed = sys.modules.get("distributed.scheduler")
    return (BrokenProcessPool, killed.KilledWorker) if killed else (BrokenProcessPool,)


def work(place: int, task: Task) -> tuple[int, dict]:
    """In a worker: the record of ``task``, whatever happens. Only a missing sandbox is raised."""
    item = task.handed
    if task.desk is None or not _runs(item):
        why = item.problem or "Nothing says which chapter it is."
        return place, _failed(task, why)
    try:
        record = grade_at(task.desk, item, task.limits, task.sandbox, task.seed)
    except GradingRefused:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the other submissions go on
        return place, _failed(task, f"{type(error).__name__}: {error}")
    if item.problem:
        record["manual"].append({"where": "file", "reason": "whose", "text": item.problem})
    return place, record


def _failed(task: Task, why: str) -> dict:
    """The record of a submission that was not graded; without a digest, so that it is run again."""
    item, kit = task.handed, task.desk and task.desk.kit
    mark = hashlib.sha256(item.path.encode("utf-8", "replace") + item.data).hexdigest()[:8]
    return ungraded(replace(item, chapter=item.chapter or f"unknown-{mark}"), why, kit)


def _follow(parent: int) -> None:
    """Have this process end with ``parent``, which has started it (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)
