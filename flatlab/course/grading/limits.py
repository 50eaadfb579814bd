"""What one submission may use, and how the kernel of the operating system is told.

A process is held by ``setrlimit``, which needs no privilege and no cgroup. What is used by all
processes of a submission together has no such limit: ``watch`` counts it from outside.
"""

from __future__ import annotations

import math
import resource
from dataclasses import asdict, dataclass, fields

MB = 2**20


@dataclass(frozen=True)
class Limits:
    """Limits of one submission; sizes in MB, times in seconds.

    Raises ``ValueError`` for a limit that is not a positive number.
    """

    cell_seconds: float = 120.0  # one cell; then it is interrupted
    total_seconds: float = 1200.0  # all cells, the kernel's starts and cells run again included
    start_seconds: float = 120.0  # until a kernel answers
    cpu_seconds: int = 1200  # CPU time of one process
    memory: int = 4096  # private data of one process
    total_memory: int = 6144  # of all processes together, counted from outside
    processes: int = 32  # at a time; more, and all but the kernel are killed
    threads: int = 512  # at a time, in all processes together
    files: int = 1024  # open, in one process
    file_size: int = 64  # one file
    folder_size: int = 256  # each writable folder: work, /tmp, /dev/shm
    cell_output: float = 1.0  # one cell; more is cut
    total_output: float = 32.0  # the executed notebook as it comes out; larger is left out
    restarts: int = 12  # of the kernel, in one run

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 < value < math.inf:
                raise ValueError(f"The limit {field.name} is {value!r}: give a positive number.")

    def as_dict(self) -> dict[str, float]:
        """For JSON; ``Limits(**d)`` is its inverse."""
        return asdict(self)


def apply(limits: Limits, threads_elsewhere: int = 0) -> None:
    """Hold this process and all that it starts to ``limits``; it cannot be undone without root.

    ``threads_elsewhere``: how many the same user runs already, where the system counts them in.
    A limit below one that is in force is kept; one above it is lowered to it.
    """
    wanted = {
        # Private memory that can be written. Torch maps gigabytes of code that it never touches,
        # so a limit on the address space has to be generous where one on data need not be.
        resource.RLIMIT_DATA: int(limits.memory * MB),
        resource.RLIMIT_AS: int((4 * limits.memory + 16384) * MB),
        resource.RLIMIT_CPU: int(limits.cpu_seconds) + 1,
        resource.RLIMIT_NPROC: int(limits.threads) + threads_elsewhere,
        resource.RLIMIT_NOFILE: int(limits.files),
        resource.RLIMIT_FSIZE: int(limits.file_size * MB),
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: MB,
        resource.RLIMIT_MSGQUEUE: MB,
    }
    for which, value in wanted.items():
        _, hard = resource.getrlimit(which)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(which, (value, value))
