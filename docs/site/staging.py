"""The site's source folder: pages lie in it as their originals lie in the checkout.

So relative links between them lead where they lead in the checkout. A link to a file that is no
page of the site keeps its text alone: nothing of ``solutions/`` or ``tests/`` can get in by a link.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import chapters

FRONT = "README.md"  # the checkout's first page is the site's
MORE = {
    chapters.LEAVE_OUT: ("CHANGELOG.md",),
    # How to write an exercise is shown on one of chapter 00, with its solution.
    chapters.FOLD: ("CONTRIBUTING.md", "CHANGELOG.md"),
}
# The widest tables get the room of the page's contents.
WIDE = ("docs/reproduction.md", "docs/performance.md")
_WITHOUT_CONTENTS = "---\nhtml_theme.sidebar_secondary.remove: true\n---\n\n"
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)((?:#[^)\s]*)?)\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


class DeadLinks(ValueError):
    """Links to what is not in the checkout; the text names each with its page."""


class Stage:
    """What goes into the source folder ``target``, from the checkout ``root``."""

    def __init__(self, root: Path, target: Path, solutions: str = chapters.LEAVE_OUT) -> None:
        self.root, self.target, self.solutions = root, target, solutions
        self.more = MORE[solutions]
        self.chapters = sorted(p.parent.name for p in root.glob("notebooks/[0-9][0-9]-*/*.ipynb"))
        self.documents = sorted(str(p.relative_to(root)) for p in root.glob("docs/*.md"))
        notebooks = [f"notebooks/{name}/{name}.ipynb" for name in self.chapters]
        self.pages = {FRONT, *self.more, *self.documents, *notebooks}
        self.dead: list[str] = []

    def write(self, reference: dict[str, str]) -> None:
        """Make the folder anew. ``reference``: the texts of more pages, by their paths.

        Raises ``DeadLinks`` where a page links to what is not there, and ``ValueError`` for a
        chapter that cannot be shown.
        """
        shutil.rmtree(self.target, ignore_errors=True)
        for name in self.chapters:
            self._chapter(name)
        for path in (*self.more, *self.documents):
            text = self.linked((self.root / path).read_text(encoding="utf-8"), path)
            self._put(path, _WITHOUT_CONTENTS + text if path in WIDE else text)
        front = self.linked((self.root / FRONT).read_text(encoding="utf-8"), FRONT)
        self._put("index.md", front + self.contents())
        for path, text in reference.items():
            self._put(path, text)
        if self.dead:
            raise DeadLinks("\n".join(self.dead))

    def contents(self) -> str:
        """The site's table of contents, as Sphinx reads it at the end of the first page."""
        parts = {
            "Chapters": [f"notebooks/{name}/{name}" for name in self.chapters],
            "Documents": [path.removesuffix(".md") for path in self.documents],
            "Reference": ["api/index"],
            "Changes": [path.removesuffix(".md") for path in self.more],
        }
        return "".join(
            "\n```{toctree}\n:hidden:\n:caption: " + part + "\n\n" + "\n".join(pages) + "\n```\n"
            for part, pages in parts.items()
        )

    def linked(self, text: str, path: str) -> str:
        """The Markdown of the page ``path``, its links fit for the site; pictures are brought in."""
        parts = _FENCE.split(text)
        parts[::2] = [_LINK.sub(lambda m: self._link(m, path), part) for part in parts[::2]]
        return "".join(parts)

    def _link(self, match: re.Match, page: str) -> str:
        picture, words, address, anchor = match.groups()
        if re.match(r"[a-z]+:", address):
            return match.group()
        target = os.path.normpath(os.path.join(os.path.dirname(page), address))
        if target == FRONT:
            back = os.path.relpath("index.md", os.path.dirname(page) or ".")
            return f"[{words}]({back}{anchor})"
        if target in self.pages:
            return match.group()
        if target.startswith("..") or not (self.root / target).exists():
            self.dead.append(f"{page}: there is no {address}")
        elif picture:
            self._bring(target)
            return match.group()
        return words

    def _chapter(self, name: str) -> None:
        path = f"notebooks/{name}/{name}.ipynb"
        release = json.loads((self.root / path).read_text(encoding="utf-8"))
        solved = (self.root / "solutions" / name / f"{name}.ipynb").read_text(encoding="utf-8")
        page = chapters.page(json.loads(solved), release, name, self.solutions)
        for cell in page["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = self.linked(cell["source"], path)
        self._put(path, json.dumps(page, ensure_ascii=False))
        self._bring(path, f"downloads/{name}.ipynb")

    def _put(self, path: str, text: str) -> None:
        (self.target / path).parent.mkdir(parents=True, exist_ok=True)
        (self.target / path).write_text(text, encoding="utf-8")

    def _bring(self, path: str, to: str | None = None) -> None:
        target = self.target / (to or path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.root / path, target)
