"""``python -m flatlab`` is the command ``flatlab``, also where that is not on the PATH.

Students' wheels come without the instructor's room; the command has then what students need.
"""

import importlib.util


def main() -> None:
    """Run the command line with all commands that are installed."""
    if importlib.util.find_spec("flatlab.course") is None:
        from flatlab.student.cli import main as commands
    else:
        from flatlab.course.cli import main as commands
    commands()


if __name__ == "__main__":
    main()
