"""The command line ``flatlab`` of a checkout: the students' commands and the instructor's.

Each command imports its module when it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from flatlab.student import cli as student

if TYPE_CHECKING:
    from flatlab.course.handout import Course


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flatlab", message="flatlab %(version)s")
def main() -> None:
    """flatlab: a course on sharp and flat minima."""


for command in student.main.commands.values():
    main.add_command(command)


@main.command()
@click.argument("chapters", nargs=-1, metavar="[CHAPTER]...")
@click.option("--check", is_flag=True, help="Write nothing: say what is out of date, exit 1.")
@click.option(
    "--no-execute", is_flag=True, help="Run no cell: keep outputs where code is the same."
)
def build(chapters: tuple[str, ...], check: bool, no_execute: bool) -> None:
    """Build CHAPTERs (all by default): solutions/NN-name.py to solved and released notebooks."""
    from flatlab.course import build
    from flatlab.course.layout import Refused

    if check and no_execute:
        raise click.UsageError("--check runs no cell anyway: leave --no-execute out.")
    try:
        if check:
            problems = build.check(list(chapters))
        else:
            problems = []
            for path in build.build(list(chapters), execute=not no_execute):
                click.echo(f"wrote {path}")
    except Refused as refused:
        problems = refused.problems
    _end(problems)


_COURSE = click.option(
    "--course",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What is handed out [the checkout's course.toml, where it has one].",
)


@main.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="For the students' notebooks: OUT/NN-name/NN-name.ipynb, with variants OUT/STUDENT/...",
)
@_COURSE
def release(out: Path, course: Path | None) -> None:
    """Write the notebooks that students get: what course.toml says, or all as they are."""
    from flatlab.course.handout import release

    _write(course, lambda chosen: release(chosen, out))


@main.command()
@click.option("--chapter", "chapters", multiple=True, metavar="NAME", help="Only this; repeatable.")
@click.option("-j", "--jobs", type=click.IntRange(1), help="At a time; as many as there are cores.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="New folder that keeps the class and its results [a temporary one].",
)
@click.option("--no-sandbox", is_flag=True, help="Run submissions as you, under limits alone.")
@_COURSE
def rehearse(jobs: int | None, **given) -> None:
    """Hand in for a made-up class, grade it, and say whether all came out as it should."""
    _need_linux()
    from flatlab.course.rehearse import rehearse

    problems = rehearse(echo=click.echo, jobs=jobs or _cores(), **given)
    _end(problems)


@main.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("dist"),
    show_default=True,
    help="Folder for the zip.",
)
@_COURSE
def bundle(out: Path, course: Path | None) -> None:
    """Write the zip that students get, with variants one for each: releases, package, how to start."""
    from flatlab.course.bundle import bundle

    _write(course, lambda chosen: bundle(chosen, out))


@main.command()
@click.argument("submitted", type=click.Path(exists=True, path_type=Path))
@click.option("-j", "--jobs", type=click.IntRange(1), help="At a time; as many as there are cores.")
@click.option("--chapter", "chapters", multiple=True, metavar="NAME", help="Only this; repeatable.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("graded"),
    show_default=True,
    help="Folder for records, gradebook, tables, pages and feedback; a run that was killed goes on.",
)
@click.option(
    "--gradebook", default="", metavar="ADDRESS", help="SQLAlchemy URL [OUT/gradebook.db]."
)
@click.option("--no-sandbox", is_flag=True, help="Run submissions as you, under limits alone.")
@click.option("--backend", type=click.Choice(["loky", "dask"]), default="loky", show_default=True)
@click.option("--scheduler", metavar="ADDRESS", help="Of the Dask cluster: tcp://host:8786.")
@click.option(
    "--platform-columns",
    "platform",
    type=click.Choice(["moodle", "canvas"]),
    default=None,
    help="Also a table that the learning platform imports.",
)
@click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE", help="Such as memory=2048.")
@_COURSE
def grade(submitted: Path, jobs: int | None, limits: tuple[str, ...], **given) -> None:
    """Grade what is in SUBMITTED: a folder, a learning platform's zip, or one notebook."""
    _need_linux()
    from flatlab.course.batch.many import Way
    from flatlab.course.batch.run import Options, run

    try:
        way = Way(jobs or _cores(), given["backend"], given["scheduler"])
        chosen = _limits(limits)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    options = Options(
        submitted,
        given["out"],
        given["chapters"],
        given["gradebook"],
        not given["no_sandbox"],
        given["platform"] or "",
        chosen,
        way,
        given["course"],
    )
    problems = run(options, click.echo)
    _end(problems)


def _write(course: Path | None, make: Callable[[Course], list[Path]]) -> None:
    """Have ``make`` write files of what course.toml hands out, and name them."""
    from flatlab.course.handout import handed_out
    from flatlab.course.layout import Layout, Refused

    try:
        with handed_out(Layout.find(), course) as chosen:
            paths = make(chosen)
            click.echo("\n".join([*filter(None, [chosen.text]), *(f"wrote {p}" for p in paths)]))
    except Refused as refused:
        _end(refused.problems)


def _need_linux() -> None:
    """End with a sentence elsewhere: what grades cannot even be imported there."""
    from flatlab.course.grading import LINUX, NEEDS_LINUX

    if not LINUX:
        _end([NEEDS_LINUX])


def _end(problems: list[str]) -> NoReturn:
    """Exit with what is wrong, a line each, and status 1; with 0 where nothing is."""
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(bool(problems))


def _cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _limits(given: tuple[str, ...]):
    """``NAME=VALUE`` texts as ``Limits``; raises ``ValueError`` for an unknown name or no number."""
    from flatlab.course.grading.limits import Limits

    known, found = Limits().as_dict(), {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in known:
            raise ValueError(f"No limit is called {name!r}; there are: {', '.join(known)}.")
        try:
            found[name] = type(known[name])(value)
        except ValueError as error:
            raise ValueError(f"The limit {name} is {value!r}: give a number.") from error
    return Limits(**found)
