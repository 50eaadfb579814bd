"""Running a notebook in a kernel of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

# Threads that spin while they wait make PyTorch several times slower on a busy machine.
_DEFAULTS = {"OMP_WAIT_POLICY": "passive"}


def run(
    notebook, folder: Path, environment: dict[str, str], timeout: int, go_on: bool = False
) -> None:
    """Run all cells of ``notebook`` in ``folder``; outputs replace those that are there.

    ``environment`` is added to this process's; a cell gets ``timeout`` seconds. With ``go_on`` a
    cell that fails or is interrupted at its timeout ends nothing; without, the first one raises
    nbclient's ``CellExecutionError`` or ``CellTimeoutError``. A kernel that dies, and a cell that
    goes on for as long again after its interrupt, raise ``DeadKernelError``, which names the cell,
    either way.
    """
    log = logging.Logger("flatlab.running", logging.CRITICAL)  # noqa: LOG001 (not shared)
    client = _Client(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        allow_errors=go_on,
        interrupt_on_timeout=go_on,
        record_timing=False,
        store_widget_state=True,  # nbclient's Output widget fails without; the build drops it
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
        log=log,
    )
    try:
        client.execute(env={**_DEFAULTS, **os.environ, "FLATLAB_PROGRESS": "off", **environment})
    finally:
        if client.stopped:
            raise KeyboardInterrupt from None


class _Client(NotebookClient):
    """Ends where nbclient does not: at Ctrl-C, and in a cell that catches its interrupt."""

    stopped = False  # by Ctrl-C
    late: object = False  # the cell that was interrupted last

    async def async_start_new_kernel(self, **given):
        # nbclient's handler of Ctrl-C lets go of the kernel while the cell still waits for it.
        with contextlib.suppress(RuntimeError):  # on Windows, and beside the main thread
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGINT, self._stop, asyncio.current_task()
            )
        await super().async_start_new_kernel(**given)

    def _stop(self, running: asyncio.Task) -> None:
        self.stopped, self.shutdown_kernel = True, "immediate"
        running.get_loop().remove_signal_handler(signal.SIGINT)  # a second one ends all at once
        running.cancel()

    async def async_execute_cell(self, cell, *given, **named):
        try:
            return await super().async_execute_cell(cell, *given, **named)
        except DeadKernelError as error:
            first = cell.source.split("\n", 1)[0]
            what = f"Python itself ended in the cell {first!r} (out of memory?)"
            if cell is self.late:
                what = f"The cell {first!r} did not end in time"
            raise DeadKernelError(what) from error

    async def _async_handle_timeout(self, timeout, cell=None):
        if cell is self.late:  # nbclient would interrupt it without end
            self.shutdown_kernel = "immediate"
            raise DeadKernelError
        self.late = cell
        return await super()._async_handle_timeout(timeout, cell)
