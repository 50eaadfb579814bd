"""The score rule, and what a record says to a person."""

from types import SimpleNamespace

import pytest

from flatlab.course.batch import one, told
from flatlab.course.grading import Kit, Limits

KIT = Kit("00-x", b"", {"check-f": 2.0, "open-why": 4.0}, ("open-why",), {"check-f": ""}, "/")


def exercise(earned, failed=()):
    return {"earned": earned, "max": 2.0, "message": "", "hidden": False, "failed": list(failed)}


def scored(inside, decided, differing=(), cases=(), open_score=None):
    run = {
        "scores": {"check-f": {"score": inside}, "open-why": {"score": open_score}},
        "cells": [{"status": "ok"}],
    }
    exercises = {} if decided is None else {"f": exercise(decided)}
    verdict = {"exercises": exercises, "flags": [{"exercise": "", "reason": "code"}]}
    return told.scored(run, verdict, list(differing), cases, KIT)


def case(subject, name, reason):
    return {
        "subject": subject,
        "name": name,
        "reason": reason,
        "instructor": "Look.",
        "texts": ["def f"],
    }


DIFFER = [{"exercise": "f", "reason": "higher inside"}]


@pytest.mark.parametrize(
    ("inside", "decided", "differing", "score", "look"),
    [
        (2.0, 2.0, [], 2.0, False),
        (0.0, 0.0, [], 0.0, False),
        (2.0, 0.0, DIFFER, 0.0, True),  # forged inside
        (0.0, 2.0, DIFFER, 0.0, True),  # or told the two apart
        (None, 2.0, DIFFER, None, True),
        (2.0, None, DIFFER, None, True),
    ],
)
def test_the_smaller_score_counts_and_a_missing_one_is_no_zero(
    inside, decided, differing, score, look
):
    entry = scored(inside, decided, differing)["scores"]["check-f"]
    expected = {"score": score, "max": 2.0, "nbgrader": inside, "decided": decided}
    assert entry == {**expected, "needs_look": look}


def test_a_lost_answer_has_no_score_and_a_doubtful_one_waits():
    lost = scored(0.0, 0.0, cases=[case("exercise", "f", "lost"), case("open", "why", "damaged")])
    assert lost["scores"]["check-f"]["score"] is None and lost["scores"]["check-f"]["needs_look"]
    assert lost["scores"]["open-why"]["needs_look"]
    doubt = scored(2.0, 2.0, cases=[case("exercise", "f", "ambiguous")])["scores"]["check-f"]
    assert (doubt["score"], doubt["needs_look"]) == (2.0, True)


def test_an_open_answer_waits_without_being_odd():
    entry = scored(2.0, 2.0)["scores"]["open-why"]
    assert entry["score"] is None and not entry["needs_look"]
    assert scored(2.0, 2.0, open_score=0.0)["scores"]["open-why"]["score"] == 0.0


def test_a_run_that_came_to_no_cell_is_for_a_person():
    run = {"scores": {"check-f": {"score": None}, "open-why": {"score": None}}, "cells": []}
    made = told.scored(run, {"exercises": {}, "flags": []}, DIFFER, [], KIT)
    assert made["status"] == "manual" and made["scores"]["check-f"]["score"] is None


def test_the_misconception_is_the_visible_checks_first_line():
    hidden = {"hidden": True, "kind": "verdict", "message": "✗ f (hidden check: x)\n  secret"}
    visible = {"hidden": False, "kind": "verdict", "message": "✗ f (a step)\n  Uphill.\n  Why?"}
    unwritten = {"hidden": False, "kind": "unwritten", "message": "✗ f\n  Not written yet."}
    assert told.misconception(exercise(0.0, [hidden, visible])) == "Uphill."
    assert told.misconception(exercise(0.0, [hidden])) == ""
    assert told.misconception(exercise(0.0, [unwritten])) == ""
    assert told.misconception(exercise(2.0)) == ""


def test_cases_of_all_rooms_have_one_form():
    found = told.cases([case("exercise", "f", "lost")], ["The kernel died."], "No verdict.")
    assert [(entry["where"], entry["reason"], entry["text"]) for entry in found] == [
        ("exercise f", "lost", "Look."),
        ("run", "run", "The kernel died."),
        ("verdict", "no verdict", "No verdict."),
    ]
    assert found[0]["found"] == ["def f"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_second_case_does_not_hide_the_first(order):
    cases = [case("open", "why", "lost"), case("open", "why", "stray")][::order]
    entry = scored(2.0, 2.0, cases=cases, open_score=0.0)["scores"]["open-why"]
    assert entry["score"] is None and entry["needs_look"]
    cases = [case("exercise", "f", "ambiguous"), case("exercise", "f", "stray")][::order]
    assert scored(2.0, 2.0, cases=cases)["scores"]["check-f"]["needs_look"]


@pytest.mark.parametrize("seconds", [7.0, 300.0])
def test_the_verdict_waits_as_long_for_a_cell_as_the_notebook_does(seconds, monkeypatch):
    given = []
    monkeypatch.setattr(one, "decide", lambda *words: given.append(words[-1]) or {})
    desk = SimpleNamespace(chapter="00-x", source="", kit=KIT)
    one._verdict(desk, None, Limits(cell_seconds=seconds), False, 1, 5.0)
    assert given == [seconds]


@pytest.mark.parametrize(("took", "total"), [(5.0, 1200.0), (130.0, 14 * 130.0), (1000.0, 2400.0)])
def test_the_verdict_has_time_for_the_cells_before_each_exercise(took, total, monkeypatch):
    given = []
    monkeypatch.setattr(one, "limited", given.append)
    monkeypatch.setattr(one, "decide", lambda *_: {})
    kit = SimpleNamespace(tests=dict.fromkeys("abcdefg", ""))
    desk = SimpleNamespace(chapter="00-x", source="", kit=kit)
    one._verdict(desk, None, Limits(total_seconds=1200), False, 1, took)
    assert given[0].total_seconds == total
