"""Inside the sandbox: nbgrader's autograde of one submission, told line by line as JSON.

Nothing here is believed by the process outside, which reads the lines: the submission's code runs
as the same user. What makes forging harder costs little and is done: this process cannot be traced
or looked into by it, its way out is a pipe that the submission does not inherit, and what it tells
is led by a key that comes on its stdin.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import json
import logging
import os
import shutil
import signal
import sys
from pathlib import Path

from flatlab.course.grading.limits import MB, Limits, apply
from flatlab.course.grading.watch import Tree, processes

STUDENT = "student"  # whoever it is: names stay outside
_NOT_DUMPABLE, _NO_NEW_PRIVILEGES, _SUBREAPER = (4, 0), (38, 1), (36, 1)  # prctl(2)


def main(job: Path, work: Path, pipe: int) -> None:
    """Grade ``job``'s notebook in ``work``; the record goes to the file descriptor ``pipe``."""
    os.set_inheritable(pipe, False)
    key = sys.stdin.readline().strip()
    # The submission may write to the folder this runs in: nothing is imported from there.
    sys.path[:] = [place for place in sys.path if place not in ("", str(work))]
    settings = json.loads((job / "settings.json").read_text())
    limits = Limits(**settings["limits"])
    confine(limits, settings["drop_to"], settings["threads_elsewhere"])
    gc.disable()  # it ends soon; a sixth of what the imports take
    out = os.fdopen(pipe, "w", encoding="utf-8", errors="replace")

    def tell(record: dict) -> None:
        out.write(f"{key}{json.dumps(record)}\n")
        out.flush()

    words = io.StringIO()
    try:
        autograde(job, work, settings, limits, tell, words)
        tell({"event": "end"})
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever ends it is told
        text = f"{type(error).__name__}: {error}\n{words.getvalue()[-4000:]}"
        tell({"event": "failed", "message": text})
        code = 1
    os._exit(code)  # there is nothing left to tidy


def confine(limits: Limits, drop_to: int | None, threads_elsewhere: int) -> None:
    """Take this process's privileges and set its limits, before anything of a student is read."""
    os.umask(0o077)
    apply(limits, threads_elsewhere)
    if drop_to is not None:
        os.setgroups([])
        os.setresgid(drop_to, drop_to, drop_to)
        os.setresuid(drop_to, drop_to, drop_to)
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in (_NO_NEW_PRIVILEGES, _NOT_DUMPABLE, _SUBREAPER):
        if libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def autograde(
    job: Path, work: Path, settings: dict, limits: Limits, tell, words: io.StringIO
) -> None:
    """nbgrader's autograde in a course of its own below ``work``."""
    from nbgrader.api import Gradebook
    from nbgrader.converters import Autograde
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    from flatlab.course.grading.surviving import Execute, Surviving

    chapter, root = settings["chapter"], work / "course"
    handed_in = root / "submitted" / STUDENT / chapter / f"{chapter}.ipynb"
    handed_in.parent.mkdir(parents=True)
    shutil.copyfile(job / "notebook.ipynb", handed_in)
    shutil.copyfile(job / "gradebook.db", root / "gradebook.db")
    fonts = work / ".config" / "matplotlib"
    for font_list in job.glob("fontlist*.json"):  # matplotlib else looks for fonts for a second
        fonts.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(font_list, fonts / font_list.name)
    os.environ["MPLCONFIGDIR"] = str(fonts)

    log = logging.Logger("flatlab.grading", logging.WARNING)  # noqa: LOG001 (not shared)
    log.addHandler(logging.StreamHandler(words))
    config = Config()
    config.CourseDirectory.root = str(root)
    coursedir = CourseDirectory(config=config, log=log)
    coursedir.assignment_id, coursedir.student_id = chapter, STUDENT
    surviving = Surviving(limits, tell, settings["skip"])
    surviving.clean_up = end_strays
    converter = Autograde(coursedir=coursedir, config=config, log=log)
    steps = converter.autograde_preprocessors
    converter.autograde_preprocessors = [surviving if s is Execute else s for s in steps]
    converter.start()
    end_strays()

    with Gradebook(coursedir.db_url) as gradebook:
        submission = gradebook.find_submission(chapter, STUDENT)
        for grade in submission.notebooks[0].grades:
            tell({"event": "score", "id": grade.name, "score": grade.auto_score})
    made = root / "autograded" / STUDENT / chapter / f"{chapter}.ipynb"
    if made.stat().st_size <= limits.total_output * MB / 2:  # as JSON in JSON it grows
        tell({"event": "notebook", "text": made.read_text(encoding="utf-8")})
    else:
        tell({"event": "too large", "bytes": made.stat().st_size})


def end_strays() -> None:
    """End and bury all that a kernel has left: whoever outlives it becomes this process's child."""
    Tree(os.getpid()).kill(spare={os.getpid()})
    for process in processes().values():
        if process.parent == os.getpid() and process.state == "Z":
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
