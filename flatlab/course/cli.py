"""The command line ``flatlab``. Each command imports its module when it runs."""

from __future__ import annotations

import sys

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flatlab", message="flatlab %(version)s")
def main() -> None:
    """flatlab: a course on sharp and flat minima."""


@main.command()
def doctor() -> None:
    """Say what works here and what to do about what does not."""
    from flatlab.course import doctor

    sys.exit(doctor.main())


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
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(bool(problems))
