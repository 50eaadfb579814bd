"""What is said of what was found: a line for the instructor, and a kind one for the student."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """Something odd about the file as a whole; ``code`` is one of ``FILE``."""

    code: str
    detail: str = ""

    def as_dict(self) -> dict:
        """An entry of the report."""
        instructor, student = FILE[self.code]
        return entry("file", self.code, "noted", "", instructor.format(self.detail), student)


# code -> (for the instructor, for the student); nothing to say to the student: ""
FILE = {
    "encoding": (
        "The file's bytes: {}.",
        "Your file was saved in another encoding; we could read it.",
    ),
    "bom": ("The file begins with a byte order mark.", ""),
    "nul": (
        "{} NUL characters were dropped.",
        (
            "Your file held empty bytes, as after a crash or a full disk. Please look whether your "
            "answers are all there."
        ),
    ),
    "conflict": (
        "The file itself holds git's conflict markers; both sides were read.",
        (
            "Your file held a merge conflict. We read both sides; next time, resolve it before you "
            "hand in."
        ),
    ),
    "truncated": (
        "The JSON ends too early; {} cells could be read.",
        (
            "Your file ends in the middle. We read as much as is there; if you have a complete copy, "
            "please send it."
        ),
    ),
    "broken": (
        "The file is not valid JSON; {} cells could be read.",
        (
            "Your file is damaged in places. We read what can be read; if you have a good copy, "
            "please send it."
        ),
    ),
    "many": (
        "Its first {} cells were read, and none of those behind them.",
        "Your notebook has more cells than we read. Please hand it in without those of your own.",
    ),
    "old-format": ("The notebook is in nbformat {}; nbformat upgraded it.", ""),
    "script": (
        "The file is no notebook but text; it was read as one long code cell.",
        "You handed in a text file. We read it; please hand in the .ipynb file next time.",
    ),
    "empty": (
        "The file is empty.",
        "The file that reached us is empty. Please send it again.",
    ),
    "unreadable": (
        "No cell could be read from the file: {}.",
        "We could not read your file. Please send it again; a person will look at it.",
    ),
}

# outcome of an exercise or question -> (for the instructor, for the student)
ANSWER = {
    "intact": ("Found in its place.", ""),
    "recovered": ("Recovered {how}.", "We found your answer to {name} {how} and graded it."),
    "blank": ("Not answered.", ""),
    "ambiguous": (
        "{count} different answers; the one in cell {cell} is graded: {rule}.",
        (
            "We found more than one answer to {name} and graded one of them. A person will look at "
            "it."
        ),
    ),
    "damaged": (
        "{reason}; what is there was put in place.",
        (
            "Your answer to {name} is damaged in the file. A person will look at it; if you have a "
            "complete copy, please send it."
        ),
    ),
    "lost": (
        "No answer found, not even the empty cell: {reason}.",
        (
            "We could not find your answer to {name} in the file. A person will look at it; if you "
            "have another copy, please send it."
        ),
    ),
}
# what became of other cells -> (for the instructor, for the student)
CELLS = {
    "missing": (
        "Cells of the release that were missing, put back: {}.",
        "Cells of the chapter were missing from your notebook; we put them back.",
    ),
    "edited": (
        "Cells of the release that were changed, put back as handed out: {}.",
        "Cells that are not yours to change were changed ({}); we put them back.",
    ),
    "kept": ("The student's own cells, kept: {}.", ""),
    "moved": (
        "{} needs what stood too late or elsewhere, in cell {}: put before it.",
        "Your {} uses code from another cell of yours; we put that code before it.",
    ),
    "dropped": ("The student's own cells that were left out: {}.", ""),
    "variant": ("{}", ""),
}
RULE = {
    "before": "a run from the top uses the last one before the check",
    "after": "none stands before the check, so it is the last one",
    "file": "it is the last one",
    "whole": "it holds all the functions, the others some",
}
HOW = {
    "id": "by the cell's id",
    "marker": "by the cell's first line",
    "name": "by the function's name",
    "place": "by its place between other cells",
    "joined": "in pieces that were put together",
    "conflict": "on one side of a merge conflict",
}


def entry(subject: str, name: str, outcome: str, how: str, instructor: str, student: str) -> dict:
    """One line of the report, as plain data."""
    return {
        "subject": subject,
        "name": name,
        "outcome": outcome,
        "how": how,
        "instructor": instructor,
        "student": student,
    }


def answer(subject: str, name: str, outcome: str, how: tuple[str, ...] = (), **facts) -> dict:
    """The report's line on one exercise or open question."""
    instructor, student = ANSWER[outcome]
    told = " and ".join(HOW[step] for step in how) or "in its place"
    facts = {"name": name, "how": told, "reason": "", **facts}
    return entry(
        subject,
        name,
        outcome,
        "+".join(how),
        instructor.format(**facts),
        student.format(**facts),
    )


def cells(what: str, *facts: str) -> dict:
    """The report's line on cells that hold no answer."""
    instructor, student = CELLS[what]
    return entry("cells", what, what, "", instructor.format(*facts), student.format(*facts))


def case(subject: str, name: str, reason: str, instructor: str, texts: list[str]) -> dict:
    """A case that a person must look at; ``texts`` is what was found of the answer."""
    return {
        "subject": subject,
        "name": name,
        "reason": reason,
        "instructor": instructor,
        "texts": list(texts),
    }
