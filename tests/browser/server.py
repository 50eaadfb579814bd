"""A course of its own, served by `make lab`, or by `jupyter notebook`.

The Makefile's own recipe runs, in a folder that holds a copy of the student notebooks, so that a
change to the recipe is tested and no generated file of the checkout is edited. Home and Jupyter's
folders are empty ones: the page looks as it does to a student who opens it for the first time.
"""

import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flatlab.course.assemble import assemble
from flatlab.course.layout import Layout
from flatlab.course.release import make_release
from flatlab.course.source import read_chapter

START_S = 120
# What students open notebooks in -> the address of a chapter's notebook, below the server's.
PAGES = {
    "JupyterLab": "/lab/tree/{0}/{0}.ipynb?reset&token={1}",  # reset: a fresh workspace
    "Notebook": "/notebooks/{0}/{0}.ipynb?token={1}",
}
# The question whether to show Jupyter news would lie over the notebook's last lines.
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}


@dataclass(frozen=True, eq=False)
class Server:
    """A running JupyterLab or Notebook."""

    application: str  # one of PAGES
    address: str  # http://localhost:PORT
    token: str
    notebooks: Path  # its root folder, with NN-name/NN-name.ipynb
    log: Path
    releases: dict[str, str]  # chapter -> the text of its release

    def restore(self, chapter: str) -> Path:
        """Put the untouched release of ``chapter`` in place, and nothing else; the notebook's path."""
        path = self.notebooks / chapter / f"{chapter}.ipynb"
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        path.write_text(self.releases[chapter], encoding="utf-8")
        return path

    def page(self, chapter: str) -> str:
        """The address at which a student opens the chapter."""
        return self.address + PAGES[self.application].format(chapter, self.token)

    def command(self, *words: str) -> subprocess.CompletedProcess:
        """`flatlab` in the course's folder, as a student has it: no solutions, no checkout."""
        return subprocess.run(
            [sys.executable, "-m", "flatlab", *words],
            cwd=self.notebooks.parent,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def end_kernels(self) -> None:
        """Shut down every kernel, so that the next test does not share its cores with them."""
        for session in json.loads(self.ask("GET", "/api/sessions")):
            self.ask("DELETE", f"/api/sessions/{session['id']}")

    def ask(self, method: str, path: str) -> bytes:
        """The answer of the server's own interface."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.address + path, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()


def release_text(layout: Layout, chapter: str) -> str:
    """The committed release, or, where there is none yet, what the source gives."""
    if layout.release(chapter).is_file():
        return layout.release(chapter).read_text(encoding="utf-8")
    notebook = assemble(read_chapter(layout.source(chapter)), layout.repository())
    return make_release(notebook, chapter, layout.root / "nbgrader_config.py")


@contextmanager
def serve(repository: Path, folder: Path, application: str = "JupyterLab") -> Iterator[Server]:
    """An application on a copy of the course in ``folder``, at quick scale, until the block ends."""
    layout = Layout(repository)
    course = folder / "course"
    (course / "notebooks").mkdir(parents=True)
    shutil.copy(repository / "nbgrader_config.py", course)
    address, port = _free_port()
    server = Server(
        application=application,
        address=address,
        token=secrets.token_hex(16),
        notebooks=course / "notebooks",
        log=folder / "jupyter.log",
        releases={name: release_text(layout, name) for name in layout.chapters()},
    )
    for chapter in server.releases:
        server.restore(chapter)
    with server.log.open("w") as log:
        process = subprocess.Popen(
            _start(repository, server, port),
            cwd=course,
            env=_first_time_environment(folder / "home"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(server, process)
        yield server
    finally:
        _end(process)


def _start(repository: Path, server: Server, port: int) -> list[str]:
    """`make lab` with this environment's packages, taken as installed; or `jupyter notebook`."""
    options = ["--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0"]
    options.append(f"--IdentityProvider.token={server.token}")
    if server.application == "Notebook":
        return [f"{sys.prefix}/bin/jupyter", "notebook", str(server.notebooks), *options]
    make = ["make", "--no-print-directory", "-f", str(repository / "Makefile")]
    installed = f"{sys.prefix}/.course"
    return [*make, "-o", installed, f"VENV={sys.prefix}", f"LAB_ARGS={shlex.join(options)}", "lab"]


def _first_time_environment(home: Path) -> dict[str, str]:
    """The environment of a student who has never opened Jupyter, at quick scale."""
    ours = ("JUPYTER", "NBGRADER", "PYTEST", "MAKE", "MFLAGS", "IPYTHON", "FLATLAB_PROGRESS")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    settings = home / "lab-settings"
    news = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text(json.dumps(NO_NEWS), encoding="utf-8")
    return environment | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_RUNTIME_DIR": str(home / ".run"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "FLATLAB_SCALE": "quick",
    }


def _free_port() -> tuple[str, int]:
    """A port of the loopback interface that nobody listens on, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://localhost:{port}", port


def _wait_until_ready(server: Server, process: subprocess.Popen) -> None:
    """Return when the server answers; raise with its log where it ends or stays silent."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.ask("GET", "/api/status")
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    why = "ended" if process.poll() is not None else f"did not answer in {START_S} s"
    raise RuntimeError(f"{server.application} {why}:\n{server.log.read_text()[-4000:]}")


def _end(process: subprocess.Popen) -> None:
    """End make, Jupyter and its kernels, all of them in a process group of their own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            continue
