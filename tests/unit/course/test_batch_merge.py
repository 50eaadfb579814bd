"""The writer into nbgrader's gradebook: what it writes, what it leaves alone, what it refuses."""

import os
import sqlite3
import sys
from pathlib import Path

import pytest
from batch_books import CHAPTER, desk, failed, record, rows
from nbgrader.api import Base, Gradebook, get_alembic_version
from sqlalchemy import create_engine

from flatlab.course.batch.merge import by_hand, merge, opened, told_to_student
from flatlab.course.layout import Refused


@pytest.fixture
def desks(tmp_path):
    return {CHAPTER: desk(tmp_path)}


@pytest.fixture
def address(tmp_path):
    return f"sqlite:///{tmp_path / 'gradebook.db'}"


def grades(address):
    return {row[1:3]: row[3:6] for row in rows(address)["grades"]}


CLASS = [
    record("ada", why=None),
    record("bob", f=0.0, why=0.0, checks=[failed("a step", False, "Uphill.")]),
    record("eve", f=0.0, look=["check-f"], why=0.0),
    record("zoë", f=None, g=None, why=None, look=["check-f", "check-g", "open-why"]),
]


def test_scores_and_what_waits_for_a_person(address, desks):
    merged = merge(CLASS, address, desks)
    assert (merged.new, merged.changed, merged.same, merged.left) == (4, 0, 0, [])
    found = grades(address)
    assert found["ada", "check-f"] == (2.0, None, False)
    assert found["ada", "open-why"] == (None, None, True)
    assert found["bob", "check-f"] == (0.0, None, False)
    assert found["bob", "open-why"] == (0.0, None, False)
    assert found["eve", "check-f"] == (0.0, None, True)
    assert found["zoë", "check-g"] == (None, None, True)
    flags = {row[1]: row[3] for row in rows(address)["submissions"] if row[2] == CHAPTER}
    assert flags == {"ada": False, "bob": False, "eve": True, "zoë": True}


@pytest.fixture
def tools(monkeypatch):
    """nbgrader calls alembic by name."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)


def test_it_reads_as_one_that_nbgrader_wrote(address, desks):
    """The same submissions, entered by nbgrader's own calls."""
    merge(CLASS, address, desks)
    other = f"{address}.own"
    path = other.removeprefix("sqlite:///")
    with open(path, "wb") as file:
        file.write(desks[CHAPTER].kit.gradebook)
    with Gradebook(other, "flatlab") as book:
        for given in CLASS:
            book.update_or_create_student(given["student"])
            submission = book.update_or_create_submission(CHAPTER, given["student"])
            look = any(entry["needs_look"] for entry in given["scores"].values())
            submission.notebooks[0].flagged = look
            for name, entry in given["scores"].items():
                grade = book.find_grade(name, CHAPTER, CHAPTER, given["student"])
                grade.auto_score = entry["score"]
                grade.needs_manual_grade = entry["score"] is None or entry["needs_look"]
            comment = book.find_comment("f", CHAPTER, CHAPTER, given["student"])
            comment.auto_comment = told_to_student(given, "f")
        book.db.commit()
    assert rows(address) == rows(other)


def test_twice_is_once_and_what_a_person_gave_stays(address, desks):
    merge(CLASS, address, desks)
    before = rows(address)
    again = merge(CLASS, address, desks)
    assert (again.new, again.changed, again.same) == (0, 0, 4) and rows(address) == before
    with Gradebook(address) as book:
        grade = book.find_grade("open-why", CHAPTER, CHAPTER, "ada")
        grade.manual_score, grade.needs_manual_grade = 3.5, False
        looked = book.find_grade("check-f", CHAPTER, CHAPTER, "eve")
        looked.needs_manual_grade = False  # looked at, and left as it was
        book.find_comment("f", CHAPTER, CHAPTER, "bob").manual_comment = "See me."
        book.db.commit()
    before = rows(address)
    assert merge(CLASS, address, desks).same == 4 and rows(address) == before


def test_a_changed_submission_is_written_and_a_given_score_is_to_be_looked_at(address, desks):
    merge(CLASS, address, desks)
    with Gradebook(address) as book:
        grade = book.find_grade("check-f", CHAPTER, CHAPTER, "bob")
        grade.manual_score = 1.0
        book.db.commit()
    better = [*CLASS[:1], record("bob", f=2.0, why=0.0), *CLASS[2:]]
    merged = merge(better, address, desks)
    assert (merged.new, merged.changed, merged.same) == (0, 1, 3)
    assert grades(address)["bob", "check-f"] == (2.0, 1.0, True)  # as nbgrader does
    comments = {row[1:3]: row[3] for row in rows(address)["comments"]}
    assert comments["bob", "f"] is None


@pytest.mark.parametrize("why", [None, 0.0], ids=["another answer", "none any more"])
def test_points_for_an_earlier_attempt_are_to_be_looked_at_again(address, desks, why):
    merge(CLASS, address, desks)
    with Gradebook(address) as book:
        grade = book.find_grade("open-why", CHAPTER, CHAPTER, "ada")
        grade.manual_score, grade.needs_manual_grade = 3.5, False
        book.db.commit()
    merge(CLASS, address, desks)
    assert by_hand(address, [CHAPTER])["ada", CHAPTER] == {"open-why": 3.5}
    merge([record("ada", why=why), *CLASS[1:]], address, desks, {("ada", CHAPTER)})
    assert grades(address)["ada", "open-why"] == (why, 3.5, True)
    assert by_hand(address, [CHAPTER]) == {("ada", CHAPTER): {"open-why": None}}


def test_extra_credit_alone_grades_no_open_question(address, desks):
    merge(CLASS, address, desks)
    with Gradebook(address) as book:
        book.find_grade("open-why", CHAPTER, CHAPTER, "ada").extra_credit = 1.0
        book.db.commit()
    assert by_hand(address, [CHAPTER]) == {}


def test_comments_say_what_the_student_may_know():
    own = "It returned None: is the return statement missing?"
    visible = record("a", f=0.0, checks=[failed("a step", False, own)])
    assert told_to_student(visible, "f") == f"```text\na step: {own}\n```"
    visible = record("a", f=0.0, checks=[failed("a step", False, "Uphill.\n```\n<b>")])
    assert "<b>" not in told_to_student(visible, "f")  # no sentence of the checks
    hidden = record("a", f=0.0, checks=[failed("rate zero", True, "expected 41.5, got 3\0")])
    text = told_to_student(hidden, "f")
    assert "41.5" not in text and "It looks at rate zero." in text
    assert told_to_student(record("a", blank=["f", "why"]), "f") == "No response."
    assert told_to_student(record("a", blank=["why"]), "open-why") == "No response."
    assert told_to_student(record("a"), "f") is None


def test_one_bad_record_does_not_stop_the_others(address, desks):
    stranger = {**record("mallory"), "chapter": "unknown-1234"}
    merged = merge([stranger, *CLASS], address, desks)
    assert merged.new == 4
    assert merged.left == ["mallory, mallory/00-x/00-x.ipynb: it is of no chapter that is graded."]
    wrong = record("odd")
    wrong["scores"]["check-f"]["score"] = object()
    merged = merge([wrong, record("last")], address, desks)
    assert merged.new == 1 and "odd" in merged.left[0]
    assert {row[0] for row in rows(address)["students"]} == {"ada", "bob", "eve", "last", "zoë"}


def test_a_gradebook_of_another_version_of_the_chapter_is_refused(address, desks, tmp_path):
    merge(CLASS, address, desks)
    before = rows(address)
    path = tmp_path / "other.db"
    path.write_bytes(desks[CHAPTER].kit.gradebook)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE base_cell SET name = 'check-h' WHERE name = 'check-f'")
    connection.close()
    kit = desks[CHAPTER].kit
    changed = type(kit)(kit.chapter, path.read_bytes(), kit.points, kit.by_hand, kit.tests, "/")
    other = type(desks[CHAPTER])(CHAPTER, changed, "release", "source")
    with pytest.raises(Refused, match=r"check-f.*check-h"):
        merge(CLASS, address, {CHAPTER: other})
    assert rows(address) == before


def test_a_gradebook_whose_making_was_cut_short_is_finished(address, desks, tools):
    engine = create_engine(address)
    Base.metadata.create_all(bind=engine, tables=list(Base.metadata.tables.values())[:3])
    engine.dispose()
    with opened(address):
        pass
    with sqlite3.connect(address.removeprefix("sqlite:///")) as connection:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    connection.close()
    assert found == [(get_alembic_version(),)]
    assert merge(CLASS, address, desks).new == 4
