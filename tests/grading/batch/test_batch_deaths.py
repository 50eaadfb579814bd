"""Workers that are killed in mid-run, here and in a Dask cluster: nothing is lost."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from handed_in import comparable

from flatlab.course.batch import Journal, Way, grade_all
from flatlab.course.grading.watch import processes

pytestmark = [pytest.mark.grading, pytest.mark.slow]


def busy() -> list[int]:
    """Descendants of this process that run a sandbox: a bubblewrap is their child."""
    everything = processes()
    own, found = {os.getpid()}, []
    for _ in everything:
        below = {p.pid for p in everything.values() if p.parent in own} | own
        if below == own:
            break
        own = below
    for process in everything.values():
        if process.parent in own and process.parent != os.getpid():
            try:
                name = Path(f"/proc/{process.pid}/comm").read_text().strip()
                above = Path(f"/proc/{process.parent}/comm").read_text().strip()
            except OSError:
                continue
            if name == "bwrap" and above != "bwrap":
                found.append(process.parent)
    return sorted(set(found))


class Killer(threading.Thread):
    """Kills a worker that runs a submission, ``times`` times, each another one."""

    def __init__(self, times: int) -> None:
        super().__init__(daemon=True)
        self.times, self.killed = times, []
        self.enough = threading.Event()

    def run(self) -> None:
        while len(self.killed) < self.times and not self.enough.wait(0.05):
            for pid in busy():
                if pid not in self.killed and len(self.killed) < self.times:
                    time.sleep(0.5)  # in mid-run
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(pid)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.enough.set()
        self.join()


def test_a_killed_worker_loses_nothing(layout, handed, parallel, tmp_path, table):
    with Killer(1) as killer, Journal(tmp_path).held() as journal:
        records = grade_all(handed.items, journal, layout=layout, seed=5, way=Way(2))
    assert len(killer.killed) == 1
    assert [comparable(r) for r in records] == [comparable(r) for r in parallel]
    table("workers killed", f"loky: 1 of 2 workers killed, {len(records)} records as undisturbed")


def test_one_that_ends_every_worker_is_left_to_a_person(layout, handed, tmp_path, table):
    with Killer(2) as killer, Journal(tmp_path).held() as journal:
        (record,) = grade_all(handed.of("right-1"), journal, layout=layout, seed=5, way=Way(2))
        assert len(killer.killed) == 2
        assert record["status"] == "manual" and "ended 2 times" in record["manual"][0]["text"]
        assert record["scores"]["check-gradient_step"]["score"] is None
        killer.enough.set()
        (again,) = grade_all(handed.of("right-1"), journal, layout=layout, seed=5, way=Way(2))
    assert again["status"] == "graded"  # the next run tries it again
    table("workers killed", "loky: a submission whose worker was killed twice waits for a person")


def test_a_cluster_whose_worker_is_killed_loses_nothing(layout, handed, parallel, tmp_path, table):
    distributed = pytest.importorskip("distributed", reason="pip install flatlab[cluster]")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(tmp_path / "dask"),
    ) as cluster:
        way = Way(backend="dask", scheduler=cluster.scheduler_address)
        with Killer(1) as killer, Journal(tmp_path / "out").held() as journal:
            records = grade_all(handed.items, journal, layout=layout, seed=5, way=way)
    assert len(killer.killed) == 1
    assert [comparable(r) for r in records] == [comparable(r) for r in parallel]
    table("workers killed", f"dask: 1 of 2 workers killed, {len(records)} records as undisturbed")
