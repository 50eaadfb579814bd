"""Every misconception is caught and named, every alternative is accepted, by plain nbgrader."""

import pytest
from every_case import CHAPTERS, EXERCISES, every_part, of, part
from harness import Case, one_line

pytestmark = [pytest.mark.grading, pytest.mark.slow, pytest.mark.beside]


@of("misconception")
def test_misconception_is_caught_and_named(case: Case, graded, record_property):
    record_property("grading", (case.chapter, case.exercise, case.kind))
    result = graded(case.chapter, part(case.student))
    record_property("seconds", result.seconds)
    shown = result.outputs[case.student][case.exercise]
    assert result.scores[case.student][case.exercise] == 0, f"it passed; its check says: {shown}"
    assert one_line(case.message) in shown


@of("alternative")
def test_alternative_is_accepted(case: Case, graded, record_property):
    record_property("grading", (case.chapter, case.exercise, case.kind))
    result = graded(case.chapter, part(case.student))
    record_property("seconds", result.seconds)
    score, full = result.scores[case.student][case.exercise], result.maximum[case.exercise]
    assert score == full, result.outputs[case.student][case.exercise]


@pytest.mark.parametrize(("chapter", "exercise"), EXERCISES)
def test_solution_has_full_marks(chapter, exercise, graded):
    result = graded(chapter, "each-time")
    shown = result.outputs["solution"][exercise]
    assert result.maximum[exercise] > 0
    assert result.scores["solution"][exercise] == result.maximum[exercise], shown


@pytest.mark.parametrize(("chapter", "exercise"), EXERCISES)
def test_release_as_handed_out_has_no_marks(chapter, exercise, graded):
    result = graded(chapter, "each-time")
    assert result.scores["untouched"][exercise] == 0
    assert "Not written yet" in result.outputs["untouched"][exercise]


@every_part
def test_experiments_run_on_whatever_the_checks_accept(chapter, which, graded):
    stray = graded(chapter, which).stray
    # A wrong function may pass the visible checks and then fail.
    honest = {student: cells for student, cells in stray.items() if student[:6] != "wrong-"}
    assert {student: cells for student, cells in honest.items() if cells} == {}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_plain_nbgrader_makes_the_committed_release(chapter, graded):
    assert graded(chapter, "each-time").same_release
