"""The built site: opened from its files in a browser that has no network."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from chromium import chromium
from leaks import secret_and_visible

pytestmark = [pytest.mark.extended, pytest.mark.beside]
TEXTS = {".js", ".txt", ".ipynb", ".json", ".md", ".py", ".inv"}
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Page(HTMLParser):
    """The targets that a page can be asked for, what it loads, where it leads, and its words."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.names, self.loads, self.leads, self.images, self.words = set(), [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.names |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag in LOADED and given.get(LOADED[tag]):
            self.loads.append(given[LOADED[tag]])
        if tag == "a" and given.get("href"):
            self.leads.append(given["href"])
        if tag == "img":
            self.images.append(given)

    def handle_data(self, data):
        self.words.append(data)


def make_site(repository: Path, out: Path, *options: str) -> Path:
    """The site as `make site` builds it, at ``out``. Sphinx's warnings fail the test."""
    for module in ("sphinx", "myst_nb"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install -e '.[site]'")
    done = subprocess.run(
        [sys.executable, repository / "docs" / "site" / "make_site.py", "--out", out, *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr == ""
    return out


@pytest.fixture(scope="module")
def site(repository, tmp_path_factory) -> Path:
    """The site that leaves solutions out."""
    return make_site(repository, tmp_path_factory.mktemp("site") / "html")


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    found = [p for p in sorted(site.rglob("*.html")) if "_static" not in p.parts]
    return {path.resolve(): Page(path) for path in found}


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def tab(browser):
    """A tab of a browser without network, which keeps what it asked for and complained of."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    tab = context.new_page()
    tab.asked, tab.complaints = [], []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    yield tab
    context.close()


def open_page(tab, path: Path) -> None:
    """Open a page and wait until its formulas are set."""
    tab.goto(path.as_uri())
    tab.evaluate("window.MathJax ? MathJax.startup.promise.then(() => true) : true")


def chapters(repository) -> list[str]:
    return [path.stem for path in sorted(repository.glob("notebooks/*/[0-9][0-9]-*.ipynb"))]


def written(repository) -> list[Path]:
    """The sources of the chapters that the site shows."""
    return [repository / "solutions" / f"{name}.py" for name in chapters(repository)]


def test_every_chapter_document_and_module_has_its_page(site, repository):
    import flatlab

    for name in chapters(repository):
        assert (site / "notebooks" / name / f"{name}.html").is_file()
    for path in repository.glob("docs/*.md"):
        assert (site / "docs" / f"{path.stem}.html").is_file()
    reference = "".join(p.read_text(encoding="utf-8") for p in (site / "api").glob("*.html"))
    for name in set(flatlab.__all__) - {"__version__"}:
        assert re.search(rf'id="flatlab\.\w+\.{name}"', reference), name


def test_no_link_is_dead(pages):
    assert len(pages) > 20
    dead = []
    for path, page in pages.items():
        for address in (*page.leads, *page.loads):
            parts = urlsplit(address)
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = target.is_file()
            if there and parts.fragment:
                there = unquote(parts.fragment) in pages[target].names
            if not there:
                dead.append(f"{path.name}: {address}")
    assert dead == []


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for path, page in pages.items():
        away = [
            a for a in page.loads if urlsplit(a).scheme not in ("", "data") or a.startswith("//")
        ]
        assert away == [], path
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(@import|url\()\s*(url\()?[\"']?(https?:)?//", text), style


def test_every_picture_has_a_text(pages):
    silent = [
        (path.name, image.get("src"))
        for path, page in pages.items()
        for image in page.images
        if not (image.get("alt") or "").strip() and "logo" not in image.get("class", "")
    ]
    assert silent == []


def test_no_line_of_a_solution_or_hidden_test_is_on_the_site(site, pages, repository):
    """Searched in the pages' words and in every other text file, the search index included."""
    texts = ["".join(page.words) for page in pages.values()]
    texts += [
        path.read_text(encoding="utf-8", errors="replace")
        for path in site.rglob("*")
        if path.suffix in TEXTS and "mathjax" not in path.parts
    ]
    everything = "\n".join(texts)
    sources = [secret_and_visible(path.read_text(encoding="utf-8")) for path in written(repository)]
    visible = "\n".join(text for _, text in sources)
    # A short line, such as `return x`, may stand in a docstring of the package too.
    wanted = {line for secret, _ in sources for line in secret if len(line) > 30}
    wanted = {line for line in wanted if line not in visible}
    looked_for, found = len(wanted), {line for line in wanted if line in everything}
    assert looked_for > 300
    assert found == set()


def test_a_chapter_opens_offline_with_its_formulas_and_figures(site, repository, tab):
    for name in chapters(repository):
        open_page(tab, site / "notebooks" / name / f"{name}.html")
        formulas = tab.locator(".math").count()
        assert formulas > 0
        assert tab.locator(".math:has(mjx-container)").count() == formulas
        assert tab.locator("mjx-merror").count() == 0
        broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        assert tab.evaluate(broken) == []
    assert [url for url in tab.asked if not url.startswith(("file:", "data:"))] == []
    assert tab.complaints == []


def test_the_search_finds_a_chapter_from_files(site, tab):
    tab.goto((site / "search.html").as_uri() + "?q=Lanczos")
    found = tab.locator("#search-results li a")
    found.first.wait_for()
    assert any("sharp-and-flat" in link.get_attribute("href") for link in found.all())
    assert tab.complaints == []


def test_solutions_unfold(repository, tmp_path, tab):
    folded = make_site(repository, tmp_path / "html", "--solutions", "fold")
    open_page(tab, folded / "notebooks" / "00-start-here" / "00-start-here.html")
    solution = tab.get_by_text("return w - learning_rate * gradient")
    assert not solution.is_visible()
    tab.get_by_text("Show the solution").click()
    assert solution.is_visible()


SEEN = (
    "index.html",
    *(f"notebooks/{name}/{name}.html" for name in chapters(Path(__file__).resolve().parents[2])),
    "docs/reproduction.html",
    "docs/performance.html",
    "docs/instructors.html",
    "api/index.html",
    "api/sam.html",
    "search.html",
)


@pytest.mark.parametrize("path", SEEN)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(site, tab, repository, path, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    open_page(tab, site / path)
    pictures = repository / "artifacts" / "site"
    pictures.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=pictures / f"{Path(path).stem}-{scheme}.png")
    response = axe.run(tab).response
    run = {rule["id"] for rule in (*response["passes"], *response["violations"])}
    assert {"color-contrast", "heading-order", "document-title"} <= run
    assert "image-alt" in run or not path.startswith("notebooks/")
    told = [
        (violation["id"], violation["help"], node["html"][:200])
        for violation in response["violations"]
        for node in violation["nodes"]
        if not (
            violation["id"] == "empty-table-header"
            and tab.locator(node["target"][0]).locator("mjx-assistive-mml").count()
        )  # a formula: drawn from a font's shapes, and read from MathJax's MathML beside them
    ]
    assert told == []
