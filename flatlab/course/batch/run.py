"""``flatlab grade``: collect, grade, merge, report, and say what a person has to look at."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from tqdm import tqdm

from flatlab.course import reports
from flatlab.course.batch.desk import make_desk, releases
from flatlab.course.batch.journal import Busy, Journal
from flatlab.course.batch.late import timed
from flatlab.course.batch.many import Way, grade_all
from flatlab.course.batch.merge import Merged, by_hand, merge
from flatlab.course.batch.namesakes import recognized
from flatlab.course.batch.opened import Opened
from flatlab.course.grading import GradingRefused, Limits, available
from flatlab.course.handout import Course, handed_out
from flatlab.course.layout import Layout, Refused
from flatlab.course.rebuild import ArchiveRefused, Handed, collect
from flatlab.course.rebuild.collect import latest
from flatlab.course.variants import noted

MOST_LINES = 20  # of what a person has to look at; the class page holds all
Echo = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    submitted: Path
    out: Path
    chapters: tuple[str, ...] = ()  # all that are built
    gradebook: str = ""  # SQLAlchemy address; empty: gradebook.db in ``out``
    sandbox: bool = True
    platform: str = ""
    limits: Limits = field(default_factory=Limits)
    way: Way = field(default_factory=Way)
    course: Path | None = None  # course.toml; the checkout's own where it has one
    students: tuple[str, ...] = ()  # in place of those on the list of its [variants]


def run(options: Options, echo: Echo) -> list[str]:
    """Grade everything in ``options.submitted``; the problems, where it could not be done."""
    try:
        with handed_out(Layout.find(), options.course, options.students) as course:
            _run(options, course, echo)
    except Refused as refused:
        return refused.problems
    except (ArchiveRefused, Busy, GradingRefused, OSError) as error:
        return [str(error)]
    except (ArgumentError, ModuleNotFoundError, SQLAlchemyError) as error:
        address = re.sub(r"(?<=:)[^/].*(?=@)", "***", options.gradebook or "gradebook.db")
        return [f"The gradebook {address} cannot be used: {str(error).splitlines()[0]}"]
    return []


def _run(options: Options, course: Course, echo: Echo) -> None:
    out, layout = options.out, course.layout
    if options.sandbox and (reason := available()):
        raise GradingRefused(reason)
    if options.way.backend == "dask" and find_spec("distributed") is None:
        raise Refused(['Dask is not installed: pip install "flatlab[cluster]".'])
    isolated = "each submission in bubblewrap" if options.sandbox else "no sandbox: they run as you"
    echo(f"sandbox: {isolated}; limits: {_told(options.limits)}")
    if course.text:
        echo(course.text)
    collected = recognized(_collect(options, layout, echo), Journal(out))
    handed = [timed(item, options.submitted, course) for item in collected]
    chapters = sorted({item.chapter for item in handed if item.chapter})
    desks = {
        chapter: replace(make_desk(layout, chapter), due=course.due(chapter))
        for chapter in chapters
    }
    address = options.gradebook or f"sqlite:///{out.resolve() / 'gradebook.db'}"
    with Journal(out).held() as journal:
        merge([], address, desks)  # what is wrong with the gradebook is said before the work
        records = _grade(handed, journal, layout, options, echo)
        records = [noted(record, course.variants) for record in records]
        opened = [Opened.of(record, desks, out) for record in records]
        anew = {(one.student, one.chapter) for one in opened if one.is_anew()}
        merged = merge([r for r in records if r["chapter"] in desks], address, desks, anew)
        for one in opened:  # only now: a run that is killed before tells again what is anew
            one.keep()
        counts = f"{merged.new} new, {merged.changed} changed, {merged.same} as they were"
        told = make_url(address).render_as_string(hide_password=True)
        echo(f"gradebook: {counts}: {told}")
        hand = by_hand(address, desks)
        _say_left_out(records, chapters, journal, options, echo)
        _report(records, hand, layout, options, echo)
        _say_looks(records, hand, merged, echo)


def _grade(
    handed: list[Handed], journal: Journal, layout: Layout, options: Options, echo: Echo
) -> list[dict]:
    """The records, with a bar that shows how far it is."""
    begin, made = time.monotonic(), 0
    with tqdm(total=len(handed), desc="grading", unit="submission") as bar:

        def tell(record: dict, new: bool) -> None:
            nonlocal made
            made += new
            bar.update()

        records = grade_all(
            handed,
            journal,
            layout=layout,
            limits=options.limits,
            sandbox=options.sandbox,
            way=options.way,
            tell=tell,
        )
    seconds = time.monotonic() - begin
    echo(f"graded {made}, kept {len(records) - made} as they were, in {seconds:.0f} s")
    return records


def _report(
    records: list[dict], hand: Mapping, layout: Layout, options: Options, echo: Echo
) -> None:
    out = options.out
    try:
        paths = reports.write(records, out, layout=layout, platform=options.platform, by_hand=hand)
    except ValueError as error:
        raise Refused(
            [f"All is graded, but the tables and pages are not written: {error}"]
        ) from error
    pages = [path for path in paths if "feedback" not in path.relative_to(out).parts]
    for path in pages:
        echo(f"wrote {path}")
    if len(pages) < len(paths):
        count = _count(len(paths) - len(pages), "page")
        echo(f"wrote {out / 'feedback'}/: {count}, one a student and chapter")


def _collect(options: Options, layout: Layout, echo: Echo) -> list[Handed]:
    """What was handed in for the chapters asked for."""
    known = releases(layout, layout.chapters())
    if not known:
        raise Refused(["No chapter is built: run `flatlab build` first."])
    handed = collect(options.submitted, known)
    if not handed:
        raise Refused([f"{options.submitted} holds no notebook and no zip archive."])
    wanted = layout.select(list(options.chapters)) if options.chapters else list(known)
    if len(options.chapters) == len(wanted) == 1:
        handed = _taken_for(wanted[0], handed)
    chosen = [item for item in handed if not item.chapter or item.chapter in wanted]
    if len(chosen) < len(handed):
        echo(f"left out: {_count(len(handed) - len(chosen), 'notebook')} of other chapters")
    for chapter in sorted({item.chapter for item in chosen}):
        count = sum(item.chapter == chapter for item in chosen)
        echo(f"{chapter or 'of no known chapter'}: {_count(count, 'submission')}")
    return chosen


def _taken_for(chapter: str, handed: Sequence[Handed]) -> list[Handed]:
    """``handed``, where what tells nothing of its chapter is its student's submission for this one.

    A scratch notebook beside the submission stays one of no known chapter.
    """
    there = {item.student for item in handed if item.chapter == chapter} - {""}
    return latest(
        [
            replace(item, chapter=chapter)
            if item.data and not item.chapter and item.student not in there
            else item
            for item in handed
        ]
    )


def _say_left_out(
    records: Iterable[Mapping],
    chapters: Iterable[str],
    journal: Journal,
    options: Options,
    echo: Echo,
) -> None:
    """Tables and pages are of what is graded now; the gradebook is of all runs."""
    now = {(record["student"], record["chapter"]) for record in records}
    for chapter in chapters:
        left = [name for name in journal.students(chapter) if (name, chapter) not in now]
        if left:
            count = _count(len(left), "submission")
            where = f"left out of the tables, not in {options.submitted}"
            echo(f"{chapter}: {count} of earlier runs {where}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _told(limits: Limits) -> str:
    return (
        f"{limits.cell_seconds:g} s a cell, {limits.total_seconds:g} s and "
        f"{limits.total_memory:g} MB in all (change them with --limit)"
    )


def _say_looks(records: Iterable[Mapping], hand: Mapping, merged: Merged, echo: Echo) -> None:
    """A line for each submission that a person has to look at and has not graded."""
    lines = [
        f"{r['student']}, {r['chapter']}: {why}"
        for r in records
        if (why := look(r, hand.get((r["student"], r["chapter"]), {})))
    ]
    lines += merged.left
    echo(f"a person has to look at {_count(len(lines), 'submission')}" + (":" if lines else ""))
    for line in lines[:MOST_LINES]:
        echo(f"  {line}")
    if len(lines) > MOST_LINES:
        echo(f"  … and {len(lines) - MOST_LINES} more: the class pages name them all")


def look(record: Mapping, hand: Mapping[str, float | None] = MappingProxyType({})) -> str:
    """Why a person has to look at ``record``, open questions aside; empty where nobody has to.

    ``hand``: grade id -> the points that a person has given, as ``by_hand`` tells them.
    """
    settled = {name for name, points in hand.items() if points is not None}
    if record["scores"] and settled >= set(record["scores"]):
        return ""
    why = [f"{name}: points of an earlier attempt" for name in hand if name not in settled]
    if record["status"] == "manual":
        why.append("not graded")
    for name, entry in record["scores"].items():
        if entry["needs_look"] and record["status"] != "manual" and name not in settled:
            both = f"nbgrader {_points(entry['nbgrader'])}, decided {_points(entry['decided'])}"
            why.append(f"{name} ({both})" if entry["decided"] is not None else name)
    done = {name.partition("-")[2] for name in record["scores"] if name in settled}
    left = [case for case in record["manual"] if case["where"].split(" ", 1)[-1] not in done]
    why += [f"{case['where']}: {case['text']}" for case in left[:2]]
    return "; ".join(" ".join(part.split())[:160] for part in why)


def _points(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
