"""Finding a student's notebooks, and reading one whatever has happened to it."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from flatlab.notebook import message_lines

_CHAPTER = re.compile(r"^\d{1,2}$|^\d{2}-[\w-]+$")
_SAVED = (
    "JupyterLab keeps a copy in the folder .ipynb_checkpoints beside it; else take a fresh "
    "notebook and paste your answers."
)


class Unusable(ValueError):
    """What was asked for cannot be used; the text says why and what to do."""

    def _render_traceback_(self) -> list[str]:
        return message_lines(str(self))  # a notebook shows this and no traceback


@dataclass(frozen=True)
class Taken:
    """A notebook's bytes as they are now: a file's, or what Colab shows."""

    name: str  # as messages call it
    data: bytes
    path: Path | None = None  # None: Colab's

    @property
    def folder(self) -> Path:
        """Where the notebook's own paths begin."""
        return self.path.resolve().parent if self.path else Path.cwd()


def take(notebook: str | Path | None) -> Taken:
    """The notebook that is meant: a chapter or a path, and for None the one open in Colab.

    Raises ``Unusable`` where there is none.
    """
    if notebook is not None:
        here = Path.cwd()
        path = locate(str(notebook), here)
        name = path.relative_to(here) if path.is_relative_to(here) else path
        return Taken(str(name), _bytes(path), path)
    if "google.colab" not in sys.modules:
        raise Unusable('Say which notebook: a chapter, such as "01", or a path.')
    try:
        from google.colab import _message  # Colab's own way, which it does not promise to keep

        text = json.dumps(_message.blocking_request("get_ipynb", timeout_sec=30)["ipynb"])
    except Exception as error:
        what = "Colab did not hand out its notebook: download it, upload it and give its path."
        raise Unusable(what) from error
    return Taken("this notebook", text.encode())


def chapters(start: Path) -> dict[str, list[Path]]:
    """Chapter name -> the notebooks that it fits, of the course's folder at or above ``start``.

    That is the nearest folder with folders NN-name, or with notebooks/NN-name, that hold
    notebooks. One fits by the name NN-name.ipynb; without that those that begin with NN-name do,
    and without those all. Raises ``Unusable`` where there is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        for place in (folder / "notebooks", folder):
            found = {}
            for chapter in sorted(place.glob("[0-9][0-9]-*")):
                inside = sorted(chapter.glob("*.ipynb"))
                own = [path for path in inside if path.stem == chapter.name]
                own = own or [p for p in inside if p.stem.startswith(chapter.name)] or inside
                if own:
                    found[chapter.name] = own
            if found:
                return found
    raise Unusable(
        f"No chapter's notebook is at or above {start}: change to the course's folder, or give "
        "the path of a notebook."
    )


def only(chapter: str, paths: list[Path]) -> Path:
    """The one notebook of a chapter. Raises ``Unusable`` where several fit."""
    if len(paths) > 1:
        names = ", ".join(repr(path.name) for path in paths)
        raise Unusable(
            f"Chapter {chapter} fits {names}: name one {chapter}.ipynb, or give its path."
        )
    return paths[0]


def locate(wanted: str, start: Path) -> Path:
    """The notebook that ``wanted`` names: a path, a chapter's number (1, 01) or its name.

    Raises ``Unusable`` where there is none or more than one.
    """
    path = start / os.path.expanduser(wanted)  # Path's own raises where there is no such user
    if os.path.isfile(path):  # Path's own raises where a name is too long
        return path
    if not _CHAPTER.match(wanted):
        if os.path.isdir(path) and len(inside := sorted(path.glob("*.ipynb"))) == 1:
            return inside[0]
        what = "no notebook or several: give the file" if os.path.isdir(path) else "not there"
        raise Unusable(f"{wanted} is {what}. Give a chapter, such as 01, or a notebook's path.")
    number = wanted.zfill(2)
    beside = [p for p in sorted(start.glob("*.ipynb")) if p.stem.startswith(number[:2] + "-")]
    beside = [p for p in beside if p.stem == wanted] or beside
    if len(beside) == 1 and beside[0].stem.startswith(number):
        return beside[0]
    if len(beside) > 1:
        names = ", ".join(repr(p.name) for p in beside)
        raise Unusable(f"Chapter {wanted} fits {names}: give the file's name.")
    known = chapters(start)
    fits = [name for name in known if name == wanted or name.startswith(f"{number}-")]
    if len(fits) != 1:
        raise Unusable(f"There is no chapter {wanted}; there are: {', '.join(known)}.")
    return only(fits[0], known[fits[0]])


def read(path: Path):
    """The notebook at ``path`` in the current format.

    Raises ``Unusable`` for a file that is none, with the place where it breaks.
    """
    return parse(_bytes(path), str(path))


def parse(data: bytes, name: str):
    """The notebook in ``data``; see ``read``."""
    import nbformat

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable(f"{name} cannot be read ({error}). {_SAVED}") from error
    if not text.strip():
        raise Unusable(f"{name} is empty. {_SAVED}")
    try:
        whole = json.loads(text)
        if not isinstance(whole, dict) or not {"cells", "worksheets"} & set(whole):
            raise Unusable(f"{name} is JSON without cells, so no notebook. {_SAVED}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ids that are missing or stand twice get new ones
            notebook = nbformat.reads(text, as_version=4)
        _complete(notebook)
        return notebook
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        hint = "it holds a merge conflict" if "<<<<<<< " in text else f"it breaks at {where}"
        raise Unusable(f"{name} is no notebook: {hint}. {_SAVED}") from error
    except Unusable:
        raise
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise Unusable(f"{name} is no notebook that can be read: {said}. {_SAVED}") from error


def _complete(notebook) -> None:
    """Give cells what some editors leave out, texts where the format has texts."""
    texts = {"stream": ("text",), "error": ("ename", "evalue")}
    for cell in notebook.cells:
        cell.setdefault("cell_type", "raw")
        cell["source"] = str(cell.get("source") or "")
        if cell.cell_type == "code":
            count = cell.get("execution_count")
            cell["execution_count"] = count if isinstance(count, int) else None
        for output in cell.get("outputs", []):
            for key in texts.get(output.setdefault("output_type", ""), ()):
                output[key] = str(output.get(key) or "")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unusable(f"{path} cannot be read ({error}). {_SAVED}") from error
