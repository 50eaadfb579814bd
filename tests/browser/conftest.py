"""Chromium, a JupyterLab and notebooks for the tests of the student's path."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import chromium
from lab import Notebook
from playwright.sync_api import Browser, expect
from server import Server, serve

PATIENCE_MS = 60_000  # for one click or one change of the page, on two busy cores
# JupyterLab's own noise: (piece of the message or its address, why it is none of ours).
NOISE: tuple[tuple[str, str], ...] = ()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium. Ends with the module: its event loop would be in other tests' way."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def server(
    browser: Browser, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """JupyterLab on a copy of the course; not started where there is no browser to look at it."""
    with serve(repository, tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def open_chapter(
    browser: Browser, server: Server, repository: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Notebook]]:
    """Open the untouched release of a chapter; afterwards the page must not have complained.

    The last sight of each page is kept under artifacts/browser, whether its test passed or failed.
    """
    expect.set_options(timeout=PATIENCE_MS)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    opened: list[Notebook] = []

    def open_chapter(chapter: str) -> Notebook:
        path = server.restore(chapter)
        notebook = Notebook(context.new_page(), path, repository / "artifacts" / "browser")
        opened.append(notebook)
        notebook.open(server.address, server.token)
        return notebook

    yield open_chapter
    for notebook in opened:
        notebook.picture(re.sub(r"\W+", "-", request.node.name).strip("-"))
    context.close()
    server.end_kernels()
    complaints = [
        line
        for notebook in opened
        for line in notebook.complaints
        if not any(piece in line for piece, _ in NOISE)
    ]
    assert complaints == []
