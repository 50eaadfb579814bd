"""How ``decide`` runs its worker: in bubblewrap, or under limits alone."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import flatlab
from flatlab.course.grading import limits as limits_module
from flatlab.course.grading import sandbox
from flatlab.course.grading.limits import Limits
from flatlab.course.grading.run import clean_environment, font_lists
from flatlab.course.grading.supervise import Outcome, supervise
from flatlab.course.grading.watch import threads_of_user
from flatlab.course.verdict.decide import Runner

PACKAGE = Path(flatlab.__file__).resolve().parent


def sandboxed(limits: Limits | None = None) -> Runner:
    """In bubblewrap: no network, a read-only system without the course's checkout, under limits.

    Raises ``RuntimeError`` where there is no sandbox.
    """
    if reason := sandbox.available():
        raise RuntimeError(reason)
    return lambda job: _run(job, limits or Limits(), isolate=True)


def limited(limits: Limits | None = None) -> Runner:
    """Without a sandbox: as this user, on this network, with these files, under limits."""
    return lambda job: _run(job, limits or Limits(), isolate=False)


def _run(job: Path, limits: Limits, isolate: bool) -> list[bytes]:
    drop_to = sandbox.stranger() if isolate else None
    shutil.copyfile(limits_module.__file__, job / "package" / "_flatlab_limits.py")
    for path in font_lists():
        shutil.copyfile(path, job / path.name)
    common = json.loads((job / "common.json").read_text())
    elsewhere = 0 if isolate else threads_of_user(os.getuid())
    common["confine"] = {
        "limits": limits.as_dict(),
        "drop_to": drop_to,
        "threads_elsewhere": elsewhere,
    }
    (job / "common.json").write_text(json.dumps(common))
    (job / "passwd").write_text(sandbox.passwd(drop_to))
    _let_read(job)
    jobs = os.open(job / "jobs", os.O_RDONLY)
    (job / "jobs").unlink()
    try:
        with tempfile.TemporaryDirectory(
            prefix="flatlab-work-", ignore_cleanup_errors=True
        ) as made:
            return _supervised(job, Path(made), jobs, limits, isolate)
    finally:
        os.close(jobs)


def _supervised(job: Path, work: Path, jobs: int, limits: Limits, isolate: bool) -> list[bytes]:
    environment = clean_environment()
    environment.pop("PYTHONPATH")
    python = [sys.executable, "-I"]
    if not isolate:
        environment |= {"HOME": str(work), "TMPDIR": str(work), "USER": "student"}
        words = [*python, str(job / "worker.py"), str(work), str(jobs)]
        options = {"ancestors": 1, "on_disk": True, "passed": (jobs,)}
        return _told(supervise(words, environment, work, limits, **options))
    data = environment.get("FLATLAB_DATA")  # an absolute path: bwrap starts in another folder
    mounts = sandbox.python_mounts(Path(sys.prefix), Path(data) if data else None, _hidden())
    words = [*python, f"{sandbox.JOB}/worker.py", sandbox.WORK, str(jobs)]
    line = sandbox.isolated(words, job, mounts, environment, limits)
    options = {"ancestors": 3, "on_disk": False, "passed": (jobs,)}
    return _told(supervise(line, {"PATH": os.defpath}, work, limits, **options))


def _told(outcome: Outcome) -> list[bytes]:
    """Its lines; raises ``RuntimeError`` where it never was ready: no submission can cause that."""
    if b"ready" not in outcome.lines:
        why = outcome.stopped or outcome.log[-500:].strip() or "it says nothing"
        raise RuntimeError(f"The process that decides did not start: {why}")
    return outcome.lines


def _hidden() -> tuple[Path, ...]:
    """The installed package, of which the job has what it may use, and the checkout around it."""
    checkout = PACKAGE.parent
    return (PACKAGE, checkout) if (checkout / "nbgrader_config.py").is_file() else (PACKAGE,)


def _let_read(job: Path) -> None:
    """The submission, which runs as another user where it can, may read the job."""
    for path in [job, *job.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
