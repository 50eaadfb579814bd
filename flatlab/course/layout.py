"""Where a course keeps what: one place that knows the folders, so that tests can use their own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Refused(ValueError):
    """A chapter that cannot be built; ``problems`` holds one line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Layout:
    """The folders of a course checkout, below ``root``.

    ``checkout``: where ``root`` is a folder that was made from one (see ``handout``), that one.
    """

    root: Path
    checkout: Path | None = None

    @classmethod
    def find(cls, start: Path | None = None) -> Layout:
        """The checkout at or above ``start`` (default: the current folder).

        Raises ``Refused`` where no folder on the way up holds nbgrader_config.py.
        """
        start = Path.cwd() if start is None else Path(start)
        for folder in (start.resolve(), *start.resolve().parents):
            if (folder / "nbgrader_config.py").is_file():
                return cls(folder)
        raise Refused(
            [
                f"No nbgrader_config.py at or above {start}: run this inside a checkout of the course."
            ]
        )

    def chapters(self) -> list[str]:
        """The names of all chapters that have a source, in order."""
        return sorted(path.stem for path in (self.root / "solutions").glob("[0-9][0-9]-*.py"))

    def select(self, names: list[str] | None) -> list[str]:
        """Full chapter names for ``names`` (``"01"`` is enough); all chapters for None or [].

        Raises ``Refused`` for a name that fits no chapter or several.
        """
        known = self.chapters()
        if not names:
            return known
        chosen = []
        for name in names:
            fits = [chapter for chapter in known if chapter == name or chapter.startswith(name)]
            if name in known:
                fits = [name]
            if len(fits) != 1:
                raise Refused([f"No single chapter is called {name!r}; there are: {known}."])
            chosen.append(fits[0])
        return chosen

    def source(self, chapter: str) -> Path:
        """The percent source that people edit."""
        return self.root / "solutions" / f"{chapter}.py"

    def solution(self, chapter: str) -> Path:
        """The built and executed notebook: nbgrader's source."""
        return self.root / "solutions" / chapter / f"{chapter}.ipynb"

    def release(self, chapter: str) -> Path:
        """The notebook that students get."""
        return self.root / "notebooks" / chapter / f"{chapter}.ipynb"

    def cases(self, chapter: str) -> Path:
        """The misconceptions and alternatives of the chapter's exercises."""
        return (self.checkout or self.root) / "tests" / "grading" / "cases" / f"{chapter}.py"

    def repository(self) -> str:
        """The repository's address from pyproject's ``[tool.flatlab]``; empty where none is set.

        Raises ``Refused`` for an address that is no https address.
        """
        path = self.root / "pyproject.toml"
        table = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        address = table.get("tool", {}).get("flatlab", {}).get("repository", "").rstrip("/")
        if address and not address.startswith("https://"):
            raise Refused(
                [
                    f"[tool.flatlab] repository is {address!r}: give an https address, or leave it empty."
                ]
            )
        return address.removesuffix(".git")
