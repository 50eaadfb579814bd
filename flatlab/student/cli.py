"""The commands that students have. Each imports its module when it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flatlab", message="flatlab %(version)s")
def main() -> None:
    """flatlab: a course on sharp and flat minima."""


def told(command: Callable) -> Callable:
    """``command``, which ends with one line where it is asked for what is not there, or stopped.

    The status is 2, and 130 at Ctrl-C.
    """

    @wraps(command)
    def run(*args, **given) -> None:
        from flatlab.student.find import Unusable

        for stream in (sys.stdout, sys.stderr):  # a Windows console has no ✓ and no η
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        try:
            command(*args, **given)
        except Unusable as error:
            click.echo(str(error), err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            sys.exit(130)

    return run


@main.command()
@told
def doctor() -> None:
    """Say what works here and what to do about what does not."""
    from flatlab.student import doctor

    sys.exit(doctor.main())


@main.command()
@click.argument("chapter", metavar="CHAPTER|NOTEBOOK")
@told
def check(chapter: str) -> None:
    """Run the visible checks of a notebook, as saved: 01, or a path to an .ipynb.

    The whole notebook runs at quick scale in a fresh kernel, as Validate does; the file is not
    changed. Exit status: 0 all passed, 1 not yet, 2 no such notebook, 130 at
    Ctrl-C.
    """
    from flatlab.student.checking import check

    sys.exit(not check(chapter, click.echo))


@main.command()
@click.argument("chapter", metavar="CHAPTER|NOTEBOOK")
@click.argument("exercise", required=False)
@click.argument("number", type=click.IntRange(1), default=1)
@told
def hint(chapter: str, exercise: str | None, number: int) -> None:
    """Show one hint of an EXERCISE (its name or number): the first, or the one of this NUMBER.

    Without EXERCISE: which exercises have hints.
    """
    from flatlab.student.hints import hint

    for line in hint(chapter, exercise, number, Path.cwd()):
        click.echo(line)


@main.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path), default=Path())
@told
def progress(folder: Path) -> None:
    """What is done in each chapter, points in reach, minutes left, by what the notebooks hold.

    FOLDER is the course's (default: the one at or above this). Runs nothing: save a notebook
    after its checks have run.
    """
    from flatlab.student.progress import progress, table

    rows, problems = progress(folder)
    for line in table(rows) if rows else ():
        click.echo(line)
    if rows:
        click.echo(
            "In reach: visible checks passed, or answered in words. Hidden checks and answers in "
            "words are graded later."
        )
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(bool(problems))


@main.command()
@click.argument("chapters", nargs=-1, required=True, metavar="CHAPTER|NOTEBOOK...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="FOLDER",
    help="Folder for the zip [the current one].",
)
@click.option(
    "--student",
    default="",
    metavar="ID",
    help="Say in the zip whose it is; learning platforms do that by themselves.",
)
@told
def submit(chapters: tuple[str, ...], out: Path, student: str) -> None:
    """Write a zip to hand in for each notebook, as saved, and say what is in it.

    Takes chapters (01) or paths, whatever the files are called by now. What is not done is listed
    and handed in as it is; nothing is run or sent. Exit status: 0 written, 1 written with a
    warning (!), 2 nothing written.
    """
    from flatlab.student.submitting import submit

    sys.exit(not submit(*chapters, out=out, student=student, say=click.echo))
