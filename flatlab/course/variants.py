"""Per-student variants: each student's own sample of the images, by one line in the setup cell.

    [variants]                  # in course.toml
    students = "students.csv"   # beside it; its column id has the students as the gradebook has them
    secret = "..."              # so that numbers can be neither guessed nor used again next term

The line goes into what is handed out and is taken out of what comes back, so all are graded by one
release and one set of checks.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import compute_checksum

from flatlab.course.execute import dumps
from flatlab.course.layout import Refused
from flatlab.course.rebuild.senders import folder_name
from flatlab.course.rebuild.variant import LINE
from flatlab.course.rebuild.words import cells as told_of_cells

KEYS = ("students", "secret")
SHORTEST = 16  # characters of a secret
_IMPORT = re.compile(r"(?:import|from)\s")
_BADGE = re.compile(r"(?m)^\[!\[Open in Colab\].*\n?")
_NEW = "python -c 'import secrets; print(secrets.token_hex(16))'"


@dataclass(frozen=True)
class Variants:
    """The number of each student, in the list's order, and a line for each collision."""

    numbers: Mapping[str, int]
    told: tuple[str, ...] = ()

    def of(self, student: str) -> int:
        """The student's number. Raises ``Refused`` for one who is not on the list."""
        if student not in self.numbers:
            raise Refused([f"There is no student {student!r} on the list of [variants]."])
        return self.numbers[student]

    def note(self, student: str, number: int) -> str:
        """What there is to say of ``student``, who handed in variant ``number``; mostly nothing."""
        if not number or self.numbers.get(student) == number:
            return ""
        owner = next((name for name, own in self.numbers.items() if own == number), "")
        if owner:
            return f"Its variant number {number} belongs to {owner}."
        return f"Its variant number {number} belongs to nobody on the list."


def numbered(students: Iterable[str], secret: str) -> Variants:
    """Each student's number: the first 31 bits of HMAC-SHA256(secret, student), and never 0.

    Where two share one, the later one on the list gets HMAC-SHA256(secret, student, line feed, 1) or
    the first free one after it: who is added to the end changes nobody's number before.
    """
    taken: dict[int, str] = {}
    told = []
    for student in students:
        tries, number = 0, _bits(secret, student)
        first = number
        while number == 0 or number in taken:
            tries += 1
            number = _bits(secret, f"{student}\n{tries}")
        if first in taken:
            told.append(f"variant {first} is {taken[first]}'s and would be {student}'s: {number}")
        taken[number] = student
    return Variants({student: number for number, student in taken.items()}, tuple(told))


def _bits(secret: str, text: str) -> int:
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def read_variants(
    entry: object, folder: Path, wrong: Callable[[tuple[str, ...], str], None]
) -> Variants | None:
    """The variants that course.toml's table ``[variants]`` asks for; None where it is wrong.

    ``folder``: where course.toml is. ``wrong`` is told each key and what is wrong with it.
    """
    here = ("variants",)
    if not isinstance(entry, dict):
        wrong(here, "write a table: [variants].")
        return None
    problems = [
        ((*here, key), f"unknown; allowed: {', '.join(KEYS)}.") for key in entry if key not in KEYS
    ]
    secret, name = entry.get("secret"), entry.get("students")
    if not isinstance(secret, str) or len(secret) < SHORTEST:
        text = f"give a text of {SHORTEST} characters or more, such as {_NEW} prints."
        problems.append(((*here, "secret"), text))
    students: list[str] = []
    if not isinstance(name, str) or not name:
        text = 'name the list of students: students = "students.csv".'
        problems.append(((*here, "students"), text))
    else:
        students, found = _students(folder / name)
        problems += [((*here, "students"), text) for text in found]
    for where, text in problems:
        wrong(where, text)
    return None if problems else numbered(students, secret)


def _students(path: Path) -> tuple[list[str], list[str]]:
    """The column id of a table, and what is wrong with it."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        return [], [f"{path} cannot be read: {error.strerror}."]
    except UnicodeDecodeError:
        return [], [f"{path.name} is not in UTF-8: save it as CSV UTF-8."]
    table = csv.DictReader(lines)
    columns = [column.strip() for column in table.fieldnames or ()]
    if "id" not in columns:
        there = f"its first line is {lines[0][:60]!r}" if lines else "it is empty"
        return [], [f"{path.name} has no column id ({there}): the first line names the columns."]
    table.fieldnames = columns
    found: dict[str, int] = {}
    problems = []
    for row in table:
        student, line = (row["id"] or "").strip(), table.line_num
        if not student:
            problems.append(f"{path.name}, line {line}: no id.")
        elif student in found:
            problems.append(f"{path.name}, line {line}: {student!r} is in line {found[student]}.")
        elif (folder := folder_name(student)) != student:
            text = f"{student!r} cannot be an id; the gradebook has it as {folder!r}."
            problems.append(f"{path.name}, line {line}: {text}")
        else:
            found[student] = line
    if not found and not problems:
        problems.append(f"{path.name} names no student.")
    return list(found), problems


# The line


def takes_images(notebook: NotebookNode) -> bool:
    """Does a cell of the release call ``load_dataset``?"""
    for cell in notebook.cells:
        if cell.cell_type != "code" or "load_dataset" not in cell.source:
            continue
        magics = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source)
        for node in ast.walk(ast.parse(magics)):
            if isinstance(node, ast.Call) and _last_name(node.func) == "load_dataset":
                return True
    return False


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def with_line(text: str, number: int) -> str:
    """The release ``text`` with the line for ``number`` behind its setup cell's imports.

    Nothing else changes but nbgrader's checksum of the cell. A chapter that takes no images comes
    back as it is. Raises ``Refused`` where its setup cell does not import flatlab.
    """
    found = _opened(text)
    if found is None:
        return text
    notebook, place, imports, rest = found
    setup = notebook.cells[place]
    setup.source = "\n".join([*imports, "", LINE.format(number), *rest])
    for cell in notebook.cells:  # the badge would open the repository's notebook, without the line
        cell.source = _BADGE.sub("", cell.source)
    if "checksum" in setup.metadata.get("nbgrader", {}):  # else Validate says it was changed
        setup.metadata.nbgrader["checksum"] = compute_checksum(setup)
    return dumps(notebook)


@lru_cache(maxsize=32)  # once a chapter, and not once a student
def _opened(text: str) -> tuple[NotebookNode, int, list[str], list[str]] | None:
    """The release, where its setup cell is, and that cell's lines before and behind the new one."""
    notebook = nbformat.reads(text, as_version=4)
    if not takes_images(notebook):
        return None
    starts = [cell.source.split("\n", 1)[0] for cell in notebook.cells]
    if starts.count("# setup") != 1:
        raise Refused(["A chapter takes images, and it has no cell `# setup`, or more than one."])
    place = starts.index("# setup")
    lines = notebook.cells[place].source.split("\n")
    if "import flatlab" not in lines:
        raise Refused(["A chapter takes images, and its setup cell has no line `import flatlab`."])
    end = 1 + max(number for number, line in enumerate(lines) if _IMPORT.match(line))
    while "\n".join(lines[:end]).count("(") > "\n".join(lines[:end]).count(")"):
        end += 1
    return notebook, place, lines[:end], lines[end:]


def noted(record: dict, variants: Variants | None) -> dict:
    """``record`` with a line in its ``rebuilt`` where it holds a variant that is not the student's."""
    number = record.get("variant", 0)
    text = variants.note(record["student"], number) if variants else ""
    if not text:
        return record
    return {**record, "rebuilt": [*record["rebuilt"], told_of_cells("variant", text)]}
