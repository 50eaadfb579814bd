"""One run of the worker, watched from outside: what it tells, what it uses, its end.

The worker's words are lines on a pipe, each led by a key that it alone was told: what another
process writes there is dropped. No more is read than a run can need.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from flatlab.course.grading.limits import MB, Limits
from flatlab.course.grading.watch import Tree, chain, folder_size, memory

_TICK = 0.25  # seconds between two looks at the processes
_MOST_LOG = 8000
_BURIAL = 10.0  # seconds that the end may take


@dataclass
class Outcome:
    """How a run went."""

    lines: list[bytes] = field(default_factory=list)  # what the worker told
    strange: int = 0  # lines without its key
    notes: list[str] = field(default_factory=list)  # what was done from outside, and why
    stopped: str = ""  # why the run was ended from outside; empty where it ended by itself
    log: str = ""  # the end of what the worker wrote to stdout and stderr


class _Run:
    """A running worker and what has been read from it."""

    def __init__(self, process: subprocess.Popen, pipe: int, key: bytes, limits: Limits) -> None:
        self.process, self.pipe, self.key, self.limits = process, pipe, key, limits
        self.outcome = Outcome()
        self.tree = Tree(process.pid)
        self.partial, self.log = b"", b""
        self.taken = 0
        self.heard = time.monotonic()

    def read(self, selector: selectors.BaseSelector) -> bool:
        """Take in what there is; False where both pipes have ended."""
        for key, _ in selector.select(_TICK):
            data = os.read(key.fd, 1 << 16)
            if not data:
                selector.unregister(key.fd)
            elif key.fd == self.pipe:
                self._line(data)
            else:
                self.log = (self.log + data)[-_MOST_LOG:]
        return self.pipe in selector.get_map()

    def _line(self, data: bytes) -> None:
        self.taken += len(data)
        *lines, self.partial = (self.partial + data).split(b"\n")
        told = [line[len(self.key) :] for line in lines if line.startswith(self.key)]
        self.outcome.strange += len(lines) - len(told)
        self.outcome.lines += told
        if told:
            self.heard = time.monotonic()

    def too_much(self, begin: float) -> str:
        """Why the run has to end, or an empty text."""
        now, limits = time.monotonic(), self.limits
        if self.taken > (limits.total_output + 8) * MB:
            return "it told more than a run can have to tell"
        if now - begin > limits.total_seconds + 2 * limits.start_seconds:
            return "the time for the whole notebook was used up"
        if now - self.heard > limits.cell_seconds + 2 * limits.start_seconds:
            return "the grading process was silent for too long"
        return ""


def supervise(
    words: list[str],
    environment: dict[str, str],
    folder: Path,
    limits: Limits,
    *,
    ancestors: int,
    on_disk: bool,
    passed: tuple[int, ...] = (),
) -> Outcome:
    """Run ``words`` and watch until the end.

    Their last word is made the number of the pipe to write to; the key is on their stdin.
    ``ancestors`` is how many processes stand between this one and the submission's kernel, which
    memory limits may end and process limits may not: bubblewrap's two, and the worker. ``on_disk``:
    the files below ``folder`` are counted, since no memory-backed folder bounds them. ``passed``:
    open files that they get besides.
    """
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            [*words, str(writer)],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(*passed, writer),
            start_new_session=True,
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    key = secrets.token_hex(16).encode()
    run = _Run(process, reader, key, limits)
    try:
        with contextlib.suppress(BrokenPipeError):  # it has ended already: its log says why
            process.stdin.write(key + b"\n")
            process.stdin.close()
        with selectors.DefaultSelector() as selector:
            selector.register(reader, selectors.EVENT_READ)
            selector.register(process.stdout, selectors.EVENT_READ)
            _watch(run, selector, ancestors, folder if on_disk else None)
    finally:
        _bury(run)
        os.close(reader)
        for end in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                end.close()
    run.outcome.log = run.log.decode(errors="replace")
    return run.outcome


def _watch(run: _Run, selector, ancestors: int, folder: Path | None) -> None:
    """Until the worker has closed its pipe or has to be ended."""
    begin = looked = time.monotonic()
    while run.read(selector):
        if reason := run.too_much(begin):
            run.outcome.stopped = reason
            return
        if time.monotonic() - looked < _TICK:
            continue
        _hold(run, ancestors)
        if folder is not None and folder_size(folder) > run.limits.folder_size * MB:
            run.outcome.stopped = "its files took more room than a submission may have"
            return
        looked = time.monotonic()


def _hold(run: _Run, ancestors: int) -> None:
    """End what is too much of the submission's processes, but not the worker."""
    living = run.tree.look()
    spared = chain(living, run.process.pid, ancestors + 1)
    own = [pid for pid in living if pid not in spared[:ancestors]]
    if len(own) > run.limits.processes:
        killed = run.tree.kill(spare=set(spared))
        run.outcome.notes.append(f"more than {run.limits.processes} processes: {killed} killed")
        return
    held = memory(own, run.limits.total_memory * MB)
    if sum(held.values()) > run.limits.total_memory * MB:
        largest = max(held, key=held.get)
        with contextlib.suppress(ProcessLookupError):
            os.kill(largest, 9)
        run.outcome.notes.append(
            f"more than {run.limits.total_memory:g} MB in all processes: the largest was killed"
        )


def _bury(run: _Run) -> None:
    """The end of all that the run has started."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        if not run.outcome.stopped:
            run.process.wait(1.0)
    run.tree.look()
    run.process.kill()
    run.tree.kill(seconds=_BURIAL)
    run.process.wait(_BURIAL)
