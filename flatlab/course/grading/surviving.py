"""nbgrader's execution of a notebook, for notebooks that hang, die or flood.

It stands in the place of nbgrader's ``Execute`` and is one. A cell past its time is interrupted,
and where that does not help its kernel is replaced; when a kernel dies, another one runs the cells
before again, without those that killed or blocked one, and what they showed the first time stays.
"""

from __future__ import annotations

import copy
import math
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable

import zmq.asyncio
from nbclient.client import NotebookClient
from nbclient.exceptions import CellExecutionComplete, CellExecutionError, DeadKernelError
from nbclient.util import ensure_async, run_sync
from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.preprocessors import Execute

from flatlab.course.grading.limits import MB, Limits
from flatlab.course.grading.outputs import Gate, error_output, plain_error, settle, shorten

_MOST_MESSAGE = 64 * MB  # a single message of the kernel; a larger one is not received
# Looking for garbage every 700 objects takes a tenth of the time that torch and its graphs take.
_GARBAGE = "--IPKernelApp.exec_lines=import gc; gc.set_threshold(50_000, 20, 50); del gc"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
WHY = {
    "interrupted": "It ran for more than {seconds:.0f} seconds and was stopped.",
    "died": "Python died while this cell ran: it ended the process, crashed, or took too much "
    "memory or processor time.",
    "skipped": "It ended the grading process itself when it ran, so it is left out.",
    "not run": "It was not run: the time for the whole notebook was used up, or Python died too "
    "often.",
}


class Surviving(Execute):
    """Runs every cell under ``limits`` and tells of each as plain data.

    ``tell`` gets ``{"event": "start", "cell": index}`` before a code cell and after it a record
    with its status (ok, error, interrupted, died, skipped, not run), error, seconds, score and
    what was done; ``again`` for each cell that a new kernel runs again. ``skip`` are the indices of cells that must not run.
    """

    def __init__(self, limits: Limits, tell: Callable[[dict], None], skip: Iterable[int]) -> None:
        super().__init__()
        self.limits, self.tell = limits, tell
        self.left_out = set(skip)  # not run again after a restart: killers, blockers
        self.skip = set(skip)
        self.starts = 0
        self.clean_up: Callable[[], None] = lambda: None  # ends what a dead kernel left running

    def preprocess(self, nb: NotebookNode, resources: dict, km: None = None) -> tuple:
        """Run ``nb`` in place."""
        NotebookClient.__init__(self, nb, km)
        self.reset_execution_trackers()
        self._check_assign_resources(resources)
        self.shutdown_kernel = "immediate"
        self.store_widget_state = False
        self.extra_arguments = [_GARBAGE]
        self.record_timing = False
        self.raise_on_iopub_timeout = False
        self.startup_timeout = math.ceil(self.limits.start_seconds)
        self.gate = Gate(0)
        self.timeout_func = lambda cell: self._allowed()
        self.deadline = time.monotonic() + self.limits.total_seconds
        self.gone = not self._start()
        try:
            for index, cell in enumerate(nb.cells):
                if cell.cell_type == "code" and cell.source.strip():
                    self._one(index, cell)
        finally:
            self._stop()
        return nb, resources

    def _one(self, index: int, cell: NotebookNode) -> None:
        """Run one cell, see to its kernel, and tell."""
        begin, allowed = time.monotonic(), self._allowed()
        self.tell({"event": "start", "cell": index})
        status, done, seconds = "", [], 0.0
        if index in self.skip:
            status = "skipped"
        elif self.gone or self._left() < 1:
            status = "not run"
        if status:
            cell.outputs = []
            self.left_out.add(index)
        else:
            status = self._attempt(index, cell)
            seconds = time.monotonic() - begin
            done = self.gate.notes() + self._recover(index, status)
        if status in WHY:
            cell.outputs = [out for out in cell.outputs if out.output_type != "error"]
            cell.outputs.append(error_output(status, WHY[status].format(seconds=allowed)))
        settle(cell, graded=utils.is_grade(cell))
        self.tell(self._record(index, cell, status, done, seconds))

    def _attempt(self, index: int, cell: NotebookNode, again: bool = False) -> str:
        """The status of a run of ``cell``."""
        self.gate = Gate(int(self.limits.cell_output * MB), silent=again)
        self.idle = self.late = False
        try:
            self.execute_cell(cell, index, store_history=True)
        except DeadKernelError:
            return "died"
        except CellExecutionError:
            pass
        except Exception as error:  # noqa: BLE001 - a reply that nbclient cannot read is the cell's
            cell.outputs.append(error_output("UnreadableReply", f"{type(error).__name__}: {error}"))
        if self.late:
            return "interrupted"
        return "error" if any(out.output_type == "error" for out in cell.outputs) else "ok"

    def _recover(self, index: int, status: str) -> list[str]:
        """Have a kernel that answers after a cell that hung or died; what was done."""
        if status == "interrupted":
            self.left_out.add(index)
            if self.idle and self._alive():
                return ["interrupted"]
        elif status != "died":
            return []
        self.left_out.add(index)
        again = self._replace(index)
        what = "kernel died" if status == "died" else "did not stop, kernel killed"
        return [what, again]

    def _replace(self, index: int) -> str:
        """A new kernel in which the cells before ``index`` have run; what was done."""
        while not self.gone:
            self._stop()
            self.clean_up()
            if self.starts > self.limits.restarts or self._left() < 1 or not self._start():
                self.gone = True
                break
            count, status = 0, "ok"
            for earlier, cell in enumerate(self.nb.cells[:index]):
                if cell.cell_type != "code" or not cell.source.strip() or earlier in self.left_out:
                    continue
                if self._left() < 1:
                    break
                self.tell({"event": "again", "cell": earlier})
                # The cell itself keeps what it showed and earned the first time.
                status = self._attempt(earlier, copy.deepcopy(cell), again=True)
                self.nb.cells[earlier] = cell  # nbclient has put the copy in its place
                if status in ("died", "interrupted"):
                    self.left_out.add(earlier)
                    break
                count += 1
            if status != "died" and (status != "interrupted" or self.idle):
                return f"kernel restarted, {count} cells run again"
        return "no kernel left"

    def _record(
        self, index: int, cell: NotebookNode, status: str, done: list[str], seconds: float
    ) -> dict:
        name, message = plain_error(cell)
        graded = utils.is_grade(cell) and not utils.is_solution(cell)
        score = utils.determine_grade(cell)[0] if graded else None
        return {
            "event": "cell",
            "cell": index,
            "status": status,
            "error": name,
            "message": _ANSI.sub("", message),
            "seconds": round(seconds, 3),
            "done": done,
            "score": score,
        }

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def _allowed(self) -> float:
        return max(1.0, min(self.limits.cell_seconds, self._left()))

    def _start(self) -> bool:
        """Start a kernel; one that fails to start is tried once more."""
        for _ in range(2):
            self.starts += 1
            self.km = self.create_kernel_manager()
            self.km.context = zmq.asyncio.Context()
            self.km.context.maxmsgsize = _MOST_MESSAGE
            try:
                # What the process itself writes to its stdout and stderr is nobody's output.
                nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                self.start_new_kernel(env=os.environ.copy(), **nowhere)
                self.start_new_kernel_client()
            except (RuntimeError, OSError) as error:
                self.log.error("The kernel did not start: %s", error)
                self._stop()
                self.clean_up()
            else:
                self.log.info("Kernel %s started", self.starts)
                return True
        return False

    def _stop(self) -> None:
        if self.km is not None:
            context = self.km.context
            self._cleanup_kernel()
            context.destroy(linger=0)
        self.km = self.kc = None

    def _alive(self) -> bool:
        return self.km is not None and bool(run_sync(ensure_async)(self.km.is_alive()))

    # nbclient's own steps, guarded

    async def _async_handle_timeout(self, timeout: float, cell: NotebookNode | None = None) -> dict:
        self.late = True
        return await super()._async_handle_timeout(timeout, cell)

    def on_cell_executed(self, **kwargs: object) -> None:
        shorten(kwargs["execute_reply"]["content"])
        super().on_cell_executed(**kwargs)

    def process_message(
        self, msg: dict, cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Take in one message of the kernel, as far as the gate lets it in."""
        if not self.gate.admits(msg):
            return None
        try:
            return super().process_message(msg, cell, cell_index)
        except CellExecutionComplete:
            self.idle = True
            raise
        except Exception as error:  # noqa: BLE001 - a message that nobody can read shows nothing
            self.log.warning("Unreadable message: %r", error)
            return None

    def output(
        self, outs: list, msg: dict, display_id: str | None, cell_index: int
    ) -> NotebookNode | None:
        """Add an output; text that goes on is joined, so that floods stay few."""
        content = msg["content"]
        last = outs[-1] if outs and not self.clear_before_next_output else None
        joins = (
            msg["msg_type"] == "stream"
            and last is not None
            and last.output_type == "stream"
            and last.name == content["name"]
        )
        if joins:
            last.text += str(content["text"])
            return last
        return super().output(outs, msg, display_id, cell_index)
