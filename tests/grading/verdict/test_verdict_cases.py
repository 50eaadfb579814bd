"""``decide`` gives every made-up student of every chapter what the case says, and nbgrader's score."""

import pytest
from every_case import CHAPTERS, EXERCISES, of
from harness import Case, one_line

from flatlab.course.verdict import compare

pytestmark = [pytest.mark.grading, pytest.mark.slow, pytest.mark.beside]


@of("misconception")
def test_misconception_earns_nothing_and_is_named(case: Case, decided):
    exercise = decided(case.chapter)[case.student]["exercises"][case.exercise]
    assert exercise["earned"] == 0
    messages = [one_line(failed["message"]) for failed in exercise["failed"]]
    assert any(one_line(case.message) in message for message in messages), messages


@of("alternative")
def test_alternative_earns_full_marks(case: Case, decided):
    exercise = decided(case.chapter)[case.student]["exercises"][case.exercise]
    assert exercise["earned"] == exercise["max"] > 0, exercise["failed"]


@pytest.mark.parametrize(("chapter", "exercise"), EXERCISES)
def test_solution_earns_full_marks_and_the_release_none(chapter, exercise, decided):
    solved = decided(chapter)["solution"]["exercises"][exercise]
    untouched = decided(chapter)["untouched"]["exercises"][exercise]
    assert solved["earned"] == solved["max"] > 0, solved["failed"]
    assert untouched["earned"] == 0 and "Not written yet" in untouched["message"]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_points_are_those_of_plain_nbgrader(chapter, decided, graded, record_property):
    inside, outside = graded(chapter), decided(chapter)
    assert set(outside) == set(inside.scores)
    flags = {name: compare(inside.scores[name], outside[name]) for name in outside}
    differing = sum(map(len, flags.values()))
    answers = sum(map(len, inside.scores.values()))
    seconds = [result["seconds"] for result in outside.values()]
    mean = sum(seconds) / len(seconds)
    record_property("verdict", (chapter, answers - differing, answers, mean))
    assert {name: found for name, found in flags.items() if found} == {}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_honest_submission_is_flagged(chapter, decided):
    honest = {k: v for k, v in decided(chapter).items() if not k.startswith("wrong-")}
    assert {name: result["flags"] for name, result in honest.items() if result["flags"]} == {}
