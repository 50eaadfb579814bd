"""Every chapter's solutions, misconceptions and alternatives, on more than one draw of the inputs.

nbgrader and the grader judge the same cases in tests/grading, once each; these take seconds.
"""

import pytest
from answered import NAMES, PASSED, Answered

from flatlab.checks import Exercise

CHAPTERS = {name: Answered(name) for name in NAMES}
SEEDS = (1,)  # beside that of the notebook itself


def parameters(kind: str) -> list:
    return [
        pytest.param(name, cell, id=f"{name[:2]}-{cell.name}-{cell.options['name']}")
        for name, chapter in CHAPTERS.items()
        for cell in chapter.of(kind)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_sources_have_no_problems(name):
    assert CHAPTERS[name].problems() == []


@pytest.mark.parametrize("name", NAMES)
def test_every_check_has_its_exercise(name):
    chapter = CHAPTERS[name]
    found = [one for one, value in vars(chapter.check).items() if isinstance(value, Exercise)]
    assert sorted(found) == sorted(one for asked in chapter.asked.values() for one in asked)


@pytest.mark.parametrize("name", NAMES)
def test_the_sandbox_gets_the_call_halves_alone(name):
    sent = CHAPTERS[name].sent()
    assert "call" in sent and not sent & {"verdict", "draw", "compare"}


@pytest.mark.parametrize(
    ("name", "exercise"), [(name, one) for name in NAMES for one in CHAPTERS[name].solutions]
)
def test_a_solution_passes_and_its_hidden_checks_are_those_promised(name, exercise):
    chapter = CHAPTERS[name]
    answer = chapter.solutions[exercise]
    assert chapter.graded(exercise, answer) == PASSED
    assert [chapter.redrawn(exercise, answer, seed) for seed in SEEDS] == [PASSED] * len(SEEDS)
    checks = getattr(chapter.check, exercise)
    assert set(checks.hidden_checks) == set(checks.remaining)


@pytest.mark.parametrize(("name", "cell"), parameters("misconception"))
def test_a_misconception_is_caught_and_named(name, cell):
    chapter, message = CHAPTERS[name], " ".join(cell.options["message"].split())
    assert message in chapter.graded(cell.name, cell.text)
    for seed in SEEDS:
        assert message in chapter.redrawn(cell.name, cell.text, seed)


@pytest.mark.parametrize(("name", "cell"), parameters("alternative"))
def test_an_alternative_is_accepted(name, cell):
    chapter = CHAPTERS[name]
    assert chapter.graded(cell.name, cell.text) == PASSED
    for seed in SEEDS:
        assert chapter.redrawn(cell.name, cell.text, seed) == PASSED
