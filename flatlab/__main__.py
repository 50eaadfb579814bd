"""``python -m flatlab`` is the command ``flatlab``, also where that is not on the PATH."""

from flatlab.course.cli import main

if __name__ == "__main__":
    main()
