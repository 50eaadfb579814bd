"""Experiments, and the CSV files in bench/results/ledger that keep their runs.

A file is written whole beside the old one and then takes its place, so an interruption leaves
either the finished run or nothing of it.
"""

import contextlib
import csv
import importlib.metadata
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:
    fcntl = None

FOLDER = Path(__file__).resolve().parents[1] / "results" / "ledger"
STAMP = ("scale", "seconds", "device", "version", "torch")


class LedgerError(ValueError):
    """A file of the ledger is not what the code expects."""


@dataclass(frozen=True)
class Experiment:
    """Runs of one kind: `measure(**settings, seed=...)` gives a number for each of `columns`.

    A run is known by its settings and seed; what is on file is not run again. An entry of
    `columns` may be absent from a row (empty): it was not measured there.
    """

    name: str  # the file is bench/results/ledger/NAME.csv
    settings: tuple[str, ...]
    columns: tuple[str, ...]
    measure: Callable[..., Mapping[str, float]]
    scale: str = "paper"  # the column of the chapter's settings table that this is: laptop, paper
    folder: Path = FOLDER

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.csv"

    @property
    def header(self) -> tuple[str, ...]:
        return (*self.settings, "seed", *self.columns, *STAMP)

    def rows(self) -> list[dict[str, str]]:
        """What is on file, as text. Raises LedgerError for a line that is not whole."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
        if not lines or tuple(lines[0]) != self.header:
            raise LedgerError(
                f"{self.path} does not begin with the columns {', '.join(self.header)}: take it "
                "from git again, or move it away"
            )
        for number, line in enumerate(lines[1:], start=2):
            if len(line) != len(self.header):
                raise LedgerError(
                    f"{self.path}, line {number}: {len(line)} values for {len(self.header)} "
                    "columns. Delete the line; its run will be done again."
                )
        return [dict(zip(self.header, line, strict=True)) for line in lines[1:]]

    def find(self, settings: Mapping[str, float], seed: int) -> dict[str, str] | None:
        """The run of these settings and seed, or None."""
        return self.seeds(settings).get(seed)

    def seeds(self, settings: Mapping[str, float]) -> dict[int, dict[str, str]]:
        """The runs of these settings by their seed: all that are on file."""
        *wanted, _ = self.key(settings, 0)
        return {
            int(row["seed"]): row
            for row in self.rows()
            if [float(row[name]) for name in self.settings] == wanted
        }

    def key(self, settings: Mapping[str, float], seed: int | str) -> tuple[float, ...]:
        if set(settings) != set(self.settings):
            raise ValueError(
                f"{self.name} needs the settings {', '.join(self.settings)}; "
                f"given: {', '.join(settings)}"
            )
        return (*(float(settings[name]) for name in self.settings), float(seed))

    def run(self, settings: Mapping[str, float], seed: int) -> dict[str, str]:
        """Measure, and keep the row."""
        began = time.perf_counter()
        values = dict(self.measure(**settings, seed=seed))
        if not set(values) <= {*self.columns, "seconds"}:
            raise ValueError(f"{self.name} measures {set(values) - set(self.columns)} besides")
        values.setdefault("seconds", time.perf_counter() - began)
        row = {**settings, "seed": seed, **values, **stamp(self.scale)}
        return self.keep(row)

    def keep(self, row: Mapping[str, float | str]) -> dict[str, str]:
        """Add a row to the file; the file on disk is whole at every moment."""
        text = {name: as_text(row.get(name, "")) for name in self.header}
        self.folder.mkdir(parents=True, exist_ok=True)
        with alone(self.folder):
            rows = [*self.rows(), text]
            new = self.path.with_suffix(".new")
            with new.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self.header, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
            os.replace(new, self.path)
        return text


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time adds rows, where the system can lock a folder (not on Windows)."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def as_text(value: float | str) -> str:
    """A number with six significant digits; text as it is."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def stamp(scale: str) -> dict[str, str]:
    """Where and with what a run was made; its seconds are added by the run."""
    import torch

    device = "cpu" if not torch.cuda.is_available() else torch.cuda.get_device_name()
    if device == "cpu":
        threads = torch.get_num_threads()
        device = f"cpu, {threads} thread{'' if threads == 1 else 's'}"
    version = importlib.metadata.version("flatlab")
    return {"scale": scale, "device": device, "version": version, "torch": str(torch.__version__)}
