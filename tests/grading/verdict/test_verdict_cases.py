"""``decide`` gives every made-up student of every chapter what the case says, and nbgrader's score."""

import pytest
from every_case import EXERCISES, every_part, of, part
from harness import Case, one_line

from flatlab.course.verdict import compare

pytestmark = [pytest.mark.grading, pytest.mark.slow, pytest.mark.beside]


@of("misconception")
def test_misconception_earns_nothing_and_is_named(case: Case, decided):
    exercise = decided(case.chapter, part(case.student))[case.student]["exercises"][case.exercise]
    assert exercise["earned"] == 0
    messages = [one_line(failed["message"]) for failed in exercise["failed"]]
    assert any(one_line(case.message) in message for message in messages), messages


@of("alternative")
def test_alternative_earns_full_marks(case: Case, decided):
    exercise = decided(case.chapter, part(case.student))[case.student]["exercises"][case.exercise]
    assert exercise["earned"] == exercise["max"] > 0, exercise["failed"]


@pytest.mark.parametrize(("chapter", "exercise"), EXERCISES)
def test_solution_earns_full_marks_and_the_release_none(chapter, exercise, decided):
    made = decided(chapter, "each-time")
    solved = made["solution"]["exercises"][exercise]
    untouched = made["untouched"]["exercises"][exercise]
    assert solved["earned"] == solved["max"] > 0, solved["failed"]
    assert untouched["earned"] == 0 and "Not written yet" in untouched["message"]


@every_part
def test_points_are_those_of_plain_nbgrader(chapter, which, decided, graded, record_property):
    inside, outside = graded(chapter, which), decided(chapter, which)
    assert set(outside) == set(inside.scores)
    flags = {name: compare(inside.scores[name], outside[name]) for name in outside}
    differing = sum(map(len, flags.values()))
    answers = sum(map(len, inside.scores.values()))
    seconds = sum(result["seconds"] for result in outside.values())
    record_property("verdict", (chapter, answers - differing, answers, seconds, len(outside)))
    assert {name: found for name, found in flags.items() if found} == {}


@every_part
def test_no_honest_submission_is_flagged(chapter, which, decided):
    honest = {k: v for k, v in decided(chapter, which).items() if not k.startswith("wrong-")}
    assert {name: result["flags"] for name, result in honest.items() if result["flags"]} == {}
