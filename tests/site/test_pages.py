"""The pages that Sphinx is given: what is on them, and what is not. Without Sphinx."""

import copy
import json

import accessible
import chapters
import docstrings
import pytest
import staging
from leaks import leaks, secret_and_visible


@pytest.fixture(scope="module", params=["00-start-here", "01-sharp-and-flat", "05-sharpness-aware"])
def built(request, repository) -> tuple[str, dict, dict]:
    """A chapter's name, its executed notebook and its release."""
    name = request.param
    return name, *(
        json.loads((repository / folder / name / f"{name}.ipynb").read_text(encoding="utf-8"))
        for folder in ("solutions", "notebooks")
    )


def figures(notebook: dict) -> list[str]:
    return [
        output["data"]["image/png"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


def test_a_page_has_the_figures_and_no_line_of_a_solution(built, repository, tmp_path):
    name, solution, release = built
    page = chapters.page(solution, release, name)
    (tmp_path / "page.ipynb").write_text(json.dumps(page), encoding="utf-8")
    found, looked_for = leaks(repository / "solutions" / f"{name}.py", tmp_path / "page.ipynb")
    assert looked_for > 5
    assert found == []
    assert figures(page) == figures(solution) != []
    assert figures(release) == []


def test_folded_solutions_are_all_there_and_each_under_its_fold(built, repository):
    name, solution, release = built
    page = chapters.page(solution, release, name, chapters.FOLD)
    secret, _ = secret_and_visible(
        (repository / "solutions" / f"{name}.py").read_text(encoding="utf-8")
    )
    text = "\n".join(cell["source"] for cell in page["cells"])
    assert [line for line in secret if line not in text] == []
    assert "### BEGIN" not in text
    for cell in page["cells"]:
        if cell["id"].endswith("-folded"):
            if cell["cell_type"] == "code":
                assert cell["metadata"]["tags"] == ["hide-input"]
                compile(cell["source"], cell["id"], "exec")
            else:
                assert cell["source"].startswith("<details><summary>")
    left_out = chapters.page(solution, release, name)["cells"]
    kept = [cell for cell in page["cells"] if not cell["id"].endswith("-folded")]
    assert [cell["id"] for cell in kept] == [cell["id"] for cell in left_out]
    assert len(page["cells"]) > len(kept)


def test_every_figure_has_the_text_that_the_chapter_gave_it(built):
    name, solution, release = built
    texts = [
        output["metadata"]["image/png"]["alt"]
        for cell in solution["cells"]
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    shown = [
        cell["metadata"]["mystnb"]["image"]["alt"]
        for cell in chapters.page(solution, release, name)["cells"]
        if "mystnb" in cell["metadata"]
    ]
    assert shown == texts


def test_notebooks_of_two_builds_make_no_page(built):
    name, solution, release = built
    other = copy.deepcopy(release)
    del other["cells"][3]
    with pytest.raises(ValueError, match="run `flatlab build"):
        chapters.page(solution, other, name)


def test_a_figure_without_text_makes_no_page(built):
    name, solution, release = built
    silent = copy.deepcopy(solution)
    for cell in silent["cells"]:
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("image/png", None)
    with pytest.raises(ValueError, match="without alternative text"):
        chapters.page(silent, release, name)


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one document, a picture and a source that must stay out."""
    for path, text in {
        "README.md": "# Front\n[how](docs/how.md#part) ![a curve](docs/a.png) [it](solutions/00.py)\n",
        "CONTRIBUTING.md": "# C\n[front](README.md) [web](https://example.org/a)\n",
        "CHANGELOG.md": "# C\n```\n[code](nowhere.md)\n```\n",
        "docs/how.md": "# How\n## Part\n[up](../CONTRIBUTING.md) [first](../README.md)\n",
        "docs/a.png": "picture",
        "solutions/00.py": "secret = 1",
    }.items():
        (tmp_path / "checkout" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkout" / path).write_text(text, encoding="utf-8")
    return tmp_path / "checkout"


def staged(checkout, solutions=chapters.FOLD) -> dict[str, str]:
    target = checkout.parent / "source"
    staging.Stage(checkout, target, solutions).write({"api/index.md": "# The package"})
    return {
        str(path.relative_to(target)): path.read_text(encoding="utf-8")
        for path in target.rglob("*.*")
    }


def test_links_lead_to_pages_and_to_nothing_else(checkout):
    pages = staged(checkout)
    assert pages["index.md"].startswith(
        "# Front\n[how](docs/how.md#part) ![a curve](docs/a.png) it\n"
    )
    assert pages["docs/a.png"] == "picture"
    assert not [path for path in pages if "solutions" in path]
    assert "secret" not in "".join(pages.values())
    assert "[front](index.md) [web](https://example.org/a)" in pages["CONTRIBUTING.md"]
    assert "[up](../CONTRIBUTING.md) [first](../index.md)" in pages["docs/how.md"]
    assert "[code](nowhere.md)" in pages["CHANGELOG.md"]
    assert "docs/how" in pages["index.md"].split("{toctree}", 1)[1]


def test_how_to_write_an_exercise_goes_with_the_solutions(checkout):
    pages = staged(checkout, chapters.LEAVE_OUT)
    assert "CONTRIBUTING.md" not in pages
    assert "\nup [first](../index.md)" in pages["docs/how.md"]


def test_dead_links_are_all_named_with_their_pages(checkout):
    (checkout / "docs" / "how.md").write_text("# How\n[a](gone.md) ![b](b.png)\n")
    (checkout / "CHANGELOG.md").write_text("# C\n[c](../../etc/passwd)\n")
    with pytest.raises(staging.DeadLinks) as caught:
        staged(checkout)
    assert str(caught.value).split("\n") == [
        "CHANGELOG.md: there is no ../../etc/passwd",
        "docs/how.md: there is no gone.md",
        "docs/how.md: there is no b.png",
    ]


def test_what_was_staged_before_is_gone(checkout):
    staged(checkout)
    (checkout / "docs" / "how.md").unlink()
    (checkout / "README.md").write_text("# Front\n")
    assert "docs/how.md" not in staged(checkout)


def rendered(docstring: str) -> str:
    """The docstring as HTML, by docutils; complaints fail the test."""
    core = pytest.importorskip("docutils.core")
    text = "\n".join(docstrings.as_rst(docstring.split("\n")))
    settings = {"halt_level": 2, "report_level": 5, "syntax_highlight": "none"}
    return core.publish_parts(text, writer="html", settings_overrides=settings)["body"]


def test_formulas_in_docstrings_come_out_as_they_stand():
    html = rendered(
        "max over |w' - w| <= epsilon of tol * |lambda|_p, ``a * b``, `x_`, phi_ and *args."
    )
    assert "max over |w' - w| &lt;= epsilon of tol * |lambda|_p," in html
    assert ">a * b</" in html
    assert ">x_</" in html
    assert "phi_ and *args." in html


def test_an_indented_paragraph_is_kept_line_by_line():
    html = rendered("The law\n\n    X = sin(a V)\n      / cos(V)\n\nand on.\n\n>>> 1 * 2\n2")
    assert "X = sin(a V)\n  / cos(V)\n</pre>" in html
    assert "<p>and on.</p>" in html
    assert "&gt;&gt;&gt; 1 * 2\n2" in html


def test_sections_of_a_docstring_are_left_to_napoleon():
    lines = [
        "Fit.",
        "",
        "Args:",
        "    n_train, n_test: take |n|.",
        "",
        "Raises:",
        "    ValueError: no.",
    ]
    assert docstrings.as_rst(lines) == [
        "Fit.", "", "Args:", "    n_train, n_test: take \\|n\\|.", "", "Raises:", "    ValueError: no.",
    ]  # fmt: skip


def test_the_theme_s_faults_are_mended():
    corner = '<tr><th class="head"><p></p></th><th class="head"><p>time</p></th></tr>'
    assert accessible.mended(corner) == (
        '<tr><td class="head"></td><th class="head"><p>time</p></th></tr>'
    )
    arrow = '<a href="api/">The package</a><details><summary><span class="toctree-toggle">'
    assert accessible.mended(arrow) == (
        '<a href="api/">The package</a><details><summary aria-label="Pages of: The package">'
        '<span class="toctree-toggle">'
    )
    own = "<details><summary>Hint</summary>"
    assert accessible.mended(own) == own
