"""Chromium, a JupyterLab and notebooks for the tests of the student's path."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from chromium import chromium
from driven import keep
from lab import Notebook
from playwright.sync_api import Browser, expect
from server import Server, serve

PATIENCE_MS = 60_000  # for one click or one change of the page, on two busy cores
# The applications' own noise: (pattern of the message and where it is from, why it is none of ours).
NOISE = (
    (
        r"reading 'schema'\)\s+at \S+/static/notebook/notebook_core",
        "Notebook 7.6 looks up a plugin's schema at its start before it has it; nothing is missing",
    ),
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    keep(item, report, item.config.rootpath / "artifacts" / "browser" / "driven")
    return report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium. Ends with the module: its event loop would be in other tests' way."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def servers(
    browser: Browser, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Server]]:
    """Application -> its server on a copy of the course, started when it is first asked for.

    One for each, because a server that serves both applications mixes up the files of their pages.
    """
    with ExitStack() as stack:

        @cache
        def server(application: str) -> Server:
            folder = tmp_path_factory.mktemp(application)
            return stack.enter_context(serve(repository, folder, application))

        yield server


@pytest.fixture
def open_chapter(
    browser: Browser,
    servers: Callable[[str], Server],
    repository: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., Notebook]]:
    """Open a chapter, by default its untouched release in JupyterLab; ``text``: what it holds.

    Afterwards the page must not have complained. The last sight of each page is kept under
    artifacts/browser, whether its test passed or failed.
    """
    expect.set_options(timeout=PATIENCE_MS)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    opened: dict[Notebook, Server] = {}

    def open_chapter(
        chapter: str, text: str | None = None, application: str = "JupyterLab"
    ) -> Notebook:
        server = servers(application)
        path = server.restore(chapter)
        if text is not None:
            path.write_text(text, encoding="utf-8")
        folder = repository / "artifacts" / "browser" / application.lower()
        notebook = Notebook(context.new_page(), path, folder)
        opened[notebook] = server
        notebook.open(server.page(chapter))
        return notebook

    yield open_chapter
    for notebook in opened:
        notebook.picture(re.sub(r"\W+", "-", request.node.name).strip("-"))
    context.close()
    for server in set(opened.values()):
        server.end_kernels()
    complaints = [
        line
        for notebook in opened
        for line in notebook.complaints
        if not any(re.search(pattern, line) for pattern, _ in NOISE)
    ]
    assert complaints == []
