"""Build the site: a static book from the executed chapters, the documents and the docstrings.

python docs/site/make_site.py [--solutions leave-out|fold] [--out build/site]

Nothing is executed and nothing is fetched. The site opens from its files, without a server or
a network.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import chapters
import reference
import staging
from sphinx.cmd.build import build_main

ROOT = Path(__file__).resolve().parents[2]


def build(out: Path, solutions: str = chapters.LEAVE_OUT) -> int:
    """Build into ``out``; Sphinx's exit status, not 0 where it warns of anything."""
    work = out.with_name(f"{out.name}-work")
    staging.Stage(ROOT, work / "source", solutions).write(reference.pages())
    shutil.rmtree(out, ignore_errors=True)
    settings = ["-q", "-W", "--keep-going", "-c", str(Path(__file__).parent)]
    return build_main([*settings, "-d", str(work / "doctrees"), str(work / "source"), str(out)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--solutions", choices=(chapters.LEAVE_OUT, chapters.FOLD), default=chapters.LEAVE_OUT,
        help="what becomes of solutions and hidden tests (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    arguments = parser.parse_args()
    status = build(arguments.out, arguments.solutions)
    if status == 0:
        print(f"Open {arguments.out / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
