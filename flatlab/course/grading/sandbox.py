"""One command in bubblewrap, which sees Python, its packages, its own folders and nothing else.

Inside: no network (a loopback of its own), a read-only system, new process numbers, an empty
environment with a short list in it, memory-backed folders of limited size to write in. There is no
home folder, no checkout of the course, no gradebook and nothing of other students, because they are not
mounted. When the command ends, all it started is killed with it: the namespace goes.

A caller who is root takes no user namespace: ``drop`` in the command changes to a user number that
nobody else has, before any code of a student is read, so that limits by user count and files
outside are those of a stranger. Another caller becomes nobody in a user namespace of its own; seen
from outside the command then runs as the caller.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flatlab.course.grading import LINUX, NEEDS_LINUX
from flatlab.course.grading.limits import MB, Limits

WORK = "/work-inside"  # the command's own folder and home
JOB = "/job"  # what the command is given, read-only
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ("ld.so.cache", "ld.so.conf", "alternatives", "fonts", "localtime", "timezone", "ssl/certs")
_NOBODY = 65534
_STRANGERS = range(0x60000000, 0x70000000)  # user numbers that no system hands out


@dataclass(frozen=True)
class Mounts:
    """What the command can read besides the system, at the same places as outside.

    ``hidden`` is empty inside even where it lies in something that is shown; what is shown and
    lies in it stays visible.
    """

    shown: tuple[Path, ...]
    hidden: tuple[Path, ...] = ()


@cache
def available() -> str | None:
    """None where submissions can be isolated here, else the reason why not and what to do."""
    path = shutil.which("bwrap")
    if not LINUX:
        return NEEDS_LINUX
    if path is None:
        return (
            "bubblewrap is not installed (no `bwrap` on the path). Install your system's package "
            "`bubblewrap`, or give --no-sandbox: submissions then run as you, on your network."
        )
    probe = [
        path,
        *_namespaces(),
        "--perms",
        "0755",
        "--tmpfs",
        "/tmp",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
    ]
    try:
        done = subprocess.run(
            [*probe, "true"], capture_output=True, text=True, timeout=20, check=False
        )
        words = done.stderr.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        words = str(error)
    else:
        if done.returncode == 0:
            return None
    return (
        f"bubblewrap cannot make a sandbox here: {words[:300] or 'it says nothing'}. It must be 0.5 "
        "or newer, and needs user namespaces (kernel.unprivileged_userns_clone, AppArmor, seccomp) "
        "and, in a container, a /proc that is not masked. Allow them, or give --no-sandbox: "
        "submissions then run as you, on your network."
    )


def python_mounts(package: Path, data: Path | None, hidden: tuple[Path, ...]) -> Mounts:
    """The running interpreter, its packages, ``package`` and the data folder.

    Raises ``ValueError`` where that would show a hidden folder as a whole.
    """
    hidden = tuple(path.resolve() for path in hidden)
    found = {Path(sys.base_prefix), Path(sys.base_exec_prefix), Path(sys.prefix), package}
    found |= {Path(place) for place in sysconfig.get_paths().values()}
    found |= {data} if data is not None else set()
    shown = {path for path in found if path.exists()}
    shown |= {path.resolve() for path in shown} | {Path(os.path.realpath(sys.executable)).parent}
    for path in shown:
        if path == Path("/") or path in hidden:
            raise ValueError(
                f"{path} would be shown to submissions as a whole: keep Python's packages and "
                "the data in folders of their own, not in the course's."
            )
    return Mounts(tuple(sorted(shown)), hidden)


def isolated(
    words: list[str], job: Path, mounts: Mounts, environment: Mapping[str, str], limits: Limits
) -> list[str]:
    """``words`` as a command line that runs them in a sandbox; ``job`` is shown at ``JOB``.

    ``job`` holds a file ``passwd`` (see ``passwd``) and what the command needs; give the process
    that runs it an environment without secrets, because bubblewrap's own stays readable inside.
    Raises ``FileNotFoundError`` where there is no bubblewrap.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise FileNotFoundError(available())
    line = [bwrap, *_namespaces(), "--new-session", "--die-with-parent", "--clearenv"]
    line += ["--proc", "/proc", "--dev", "/dev", *_tmpfs("/dev/shm", limits)]
    for name in _SYSTEM:
        line += _system(Path(name))
    for name in _ETC:
        line += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    line += [*_tmpfs(WORK, limits), *_tmpfs("/tmp", limits)]
    masks: list[str] = []
    mounted = _by_depth(mounts)
    line += _ways_to([path for path, _ in mounted])
    for path, show in mounted:
        line += ["--ro-bind", str(path), str(path)] if show else ["--tmpfs", str(path)]
        masks += [] if show else ["--remount-ro", str(path)]
    line += ["--ro-bind", str(job), JOB, "--ro-bind", str(job / "passwd"), "/etc/passwd", *masks]
    line += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK]
    inside = {"HOME": WORK, "TMPDIR": "/tmp", "USER": "student", "LOGNAME": "student"}
    for name, value in {**environment, **inside}.items():
        line += ["--setenv", name, value]
    return [*line, "--", *words]


def stranger() -> int | None:
    """A user number that nobody has, to change to inside; None for a caller who is not root."""
    return _STRANGERS[secrets.randbelow(len(_STRANGERS))] if os.getuid() == 0 else None


def passwd(uid: int | None) -> str:
    """An /etc/passwd with the one user that the command runs as."""
    uid = _NOBODY if uid is None else uid
    return f"student:x:{uid}:{uid}:student:{WORK}:/bin/sh\n"


def _namespaces() -> list[str]:
    everything = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    everything += ["--unshare-cgroup-try", "--hostname", "sandbox"]
    if os.getuid() == 0:
        capabilities = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        return [*everything, *capabilities]
    return [*everything, "--unshare-user", "--uid", str(_NOBODY), "--gid", str(_NOBODY)]


@cache
def _sizes_known() -> bool:
    words = [shutil.which("bwrap") or "bwrap", "--help"]
    help_text = subprocess.run(words, capture_output=True, text=True, check=False)
    return "--size" in help_text.stdout + help_text.stderr


def _tmpfs(folder: str, limits: Limits) -> list[str]:
    """A memory-backed folder that any user may write to, of limited size where bwrap knows how."""
    size = ["--size", str(int(limits.folder_size * MB))] if _sizes_known() else []
    return ["--perms", "1777", *size, "--tmpfs", folder]


def _system(path: Path) -> list[str]:
    """A top folder of the system, as the link or the folder that it is."""
    if path.is_symlink():
        return ["--symlink", os.readlink(path), str(path)]
    return ["--ro-bind", str(path), str(path)] if path.is_dir() else []


def _ways_to(paths: list[Path]) -> list[str]:
    """The folders above ``paths``, which bubblewrap would make for their owner alone."""
    made = dict.fromkeys(outer for path in paths for outer in reversed(path.parents))
    return [word for path in list(made)[1:] for word in ("--perms", "0755", "--dir", str(path))]


def _lies_in(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(folder in path.parents for folder in folders)


def _by_depth(mounts: Mounts) -> list[tuple[Path, bool]]:
    """What is shown and hidden, outer folders first; what shows already is left out."""
    seen = (*mounts.shown, *map(Path, _SYSTEM))
    hidden = [path for path in mounts.hidden if _lies_in(path, seen)]
    order = sorted([(p, True) for p in mounts.shown] + [(p, False) for p in hidden])
    order.sort(key=lambda pair: len(pair[0].parts))
    kept: list[tuple[Path, bool]] = []
    for path, show in order:
        around = [(outer, shown) for outer, shown in kept if outer in path.parents]
        nearest = max(around, key=lambda pair: len(pair[0].parts), default=(None, False))
        in_system = show and not around and any(Path(s) in path.parents for s in _SYSTEM)
        if not (show and nearest[1]) and not in_system:
            kept.append((path, show))
    return kept
