"""Finished runs on disk, so that an interrupted sweep goes on where it stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from flatlab.history import COLUMNS, History
from flatlab.sweeps.runs import Outcome, Run
from flatlab.sweeps.told import digest_of, structure, told

_RECORD = "record"  # the history as JSON, beside the tensors


def key(run: Run, model: nn.Module, rest: str) -> str:
    """A name for the run: of its settings, its network before the first step, and ``rest``."""
    digest = hashlib.sha256(rest.encode())
    for field in fields(Run):
        digest.update(f"{field.name}={told(getattr(run, field.name))};".encode())
    digest.update(structure(model).encode())
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(f"{name}{digest_of(value)}".encode())
    return digest.hexdigest()[:24]


def write(folder: Path, name: str, outcome: Outcome) -> None:
    """FOLDER/NAME.npz, whole or not at all."""
    history = outcome.history
    record = {
        "columns": {k: getattr(history, k).tolist() for k in COLUMNS},
        "metrics": {k: v.tolist() for k, v in history.metrics.items()},
        "stopped": history.stopped,
        "last_finite_step": history.last_finite_step,
        "run": outcome.run.told(),
    }
    halves = [k for k, v in outcome.state.items() if v.dtype == torch.bfloat16]  # not in NumPy
    record["bfloat16"] = halves
    plain = {k: v.view(torch.int16) if k in halves else v for k, v in outcome.state.items()}
    arrays: Any = {f"state.{k}": v.cpu().numpy() for k, v in plain.items()}
    arrays[_RECORD] = np.frombuffer(json.dumps(record).encode(), dtype=np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    handle, made = tempfile.mkstemp(dir=folder, prefix=f".{name}-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(made, folder / f"{name}.npz")
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(made)
        raise


def read(folder: Path, name: str, run: Run) -> Outcome | None:
    """What ``write`` put there; None where there is nothing or it is damaged."""
    try:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as stored:
            record = json.loads(stored[_RECORD].tobytes())
            state = {
                k.removeprefix("state."): torch.from_numpy(stored[k].copy())
                for k in stored.files
                if k != _RECORD
            }
        for half in record.get("bfloat16", ()):
            state[half] = state[half].view(torch.bfloat16)
        columns = {k: np.array(v) for k, v in record["columns"].items()}
        metrics = {k: np.array(v) for k, v in record["metrics"].items()}
        stopped, last = record["stopped"], record["last_finite_step"]
        history = History(**columns, metrics=metrics, stopped=stopped, last_finite_step=last)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    return Outcome(run, history, state)
