"""Running a notebook in a kernel of its own."""

from __future__ import annotations

import logging
import os
from pathlib import Path

# Threads that spin while they wait make PyTorch several times slower on a busy machine.
_DEFAULTS = {"OMP_WAIT_POLICY": "passive"}


def run(
    notebook, folder: Path, environment: dict[str, str], timeout: int, go_on: bool = False
) -> None:
    """Run all cells of ``notebook`` in ``folder``; outputs replace those that are there.

    ``environment`` is added to this process's; a cell gets ``timeout`` seconds. With ``go_on`` a
    cell that fails or is interrupted at its timeout ends nothing; without, the first one raises
    nbclient's ``CellExecutionError`` or ``CellTimeoutError``. A kernel that dies raises
    ``DeadKernelError`` either way.
    """
    from nbclient import NotebookClient

    log = logging.Logger("flatlab.running", logging.CRITICAL)  # noqa: LOG001 (not shared)
    client = NotebookClient(
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
    client.execute(env={**_DEFAULTS, **os.environ, "FLATLAB_PROGRESS": "off", **environment})
