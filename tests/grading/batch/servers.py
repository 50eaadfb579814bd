"""A PostgreSQL server for one test: in a temporary folder, on a socket there."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_USER = "postgres"  # whom Debian's package makes; initdb refuses root


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The SQLAlchemy address of an empty database; skipped where no server can be had."""
    pytest.importorskip("psycopg2", reason="psycopg2 is missing: pip install psycopg2-binary")
    tools = _tools()
    with tempfile.TemporaryDirectory(prefix="flatlab-pg-") as name:
        folder, become = Path(name), _become()
        if become:
            shutil.chown(folder, _USER)
        data = folder / "data"

        def tool(*words: str) -> None:
            command = [*become, str(tools / words[0]), *words[1:]]
            done = subprocess.run(
                command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
            )
            if done.returncode:
                pytest.skip(f"PostgreSQL does not start here: {done.stderr.decode()[-500:]}")

        tool("initdb", "-D", str(data), "-U", "grader", "-A", "trust", "-E", "UTF8", "--no-sync")
        settings = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        log = str(folder / "log.txt")
        tool("pg_ctl", "-D", str(data), "-o", settings, "-l", log, "-w", "start")
        try:
            yield f"postgresql+psycopg2://grader@/postgres?host={folder}"
        finally:
            tool("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")


def _tools() -> Path:
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = Path(found).resolve() if found else (places[-1] if places else None)
    if path is None:
        pytest.skip("PostgreSQL is not installed (no initdb): apt-get install postgresql")
    return path.parent


def _become() -> list[str]:
    """The words before a command that must not run as root."""
    if os.getuid() != 0:
        return []
    try:
        pwd.getpwnam(_USER)
    except KeyError:
        pytest.skip(f"PostgreSQL refuses root, and there is no user {_USER} here")
    if shutil.which("runuser") is None:
        pytest.skip("PostgreSQL refuses root, and there is no runuser here")
    return ["runuser", "-u", _USER, "--"]
