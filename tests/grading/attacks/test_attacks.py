"""Each attack, handed in beside honest notebooks: nothing gained, nothing told, nobody else touched.

The attacked exercise is answered wrong (or by the attack itself), the two around it right: an
attack may cost points of its own and must not gain any.
"""

import json
from pathlib import Path

import pytest
from attack_class import LIMITS, NEIGHBOR, OTHERS, SECRET, Attack, Outcome, attacks
from every_case import marks
from target_chapter import CANARIES, HONEST, NAME

from flatlab.course.verdict import trusted

pytestmark = [pytest.mark.grading, pytest.mark.slow, pytest.mark.beside]

ATTACKS = [attack for attack in attacks() if not attack.listed]
LISTED = [attack for attack in attacks() if attack.listed]
# What is asked of one class alone.
of_each_time = pytest.mark.parametrize("outcome", ["each-time"], indirect=True)
SPOKEN = ("Traceback", "attack-ran", "<script>alert", "root:x:0", "/work-inside", "/job/")
TIMES = ("seconds", "digest", "student", "path")  # what two runs of one notebook differ in


def each(chosen: list[Attack]) -> pytest.MarkDecorator:
    """Parametrize by these attacks, each with the outcome of its class."""
    params = [pytest.param(a, a.part, marks=marks(a.part), id=a.name) for a in chosen]
    return pytest.mark.parametrize(("attack", "outcome"), params, indirect=["outcome"])


def same(record: dict) -> dict:
    """What of a record does not depend on whose it is and how long it took."""
    kept = {name: value for name, value in record.items() if name not in TIMES}
    kept["cells"] = [{**cell, "seconds": 0} for cell in record["cells"]]
    return kept


def points(record: dict) -> float:
    """All points; a file that was refused has no scores at all."""
    return sum(entry["score"] or 0.0 for entry in record["scores"].values())


def target(attack: Attack, outcome: Outcome) -> dict:
    """The scores of the attacked exercise; empty ones for a file that was refused."""
    scores = outcome.records[attack.name]["scores"]
    return scores.get(f"check-{attack.exercise}") or dict.fromkeys(("score", "nbgrader", "decided"))


def leaks(page: str) -> list[str]:
    return [word for word in (*CANARIES, NEIGHBOR, SECRET, *SPOKEN) if word in page]


def others(outcome: Outcome) -> list[str]:
    """Honest neighbors whose record is not that of the submission graded alone."""
    honest = {n: r for n, r in outcome.records.items() if n.startswith("honest-")}
    return [name for name, record in honest.items() if same(record) != same(outcome.alone)]


def note(attack: Attack, outcome: Outcome, record_property) -> tuple[dict, float, list[str]]:
    """The attack's record, the points it gained and what leaked; a row of the table too."""
    record, page = outcome.records[attack.name], outcome.feedback.get(attack.name, "")
    honest = HONEST if attack.chapter == NAME else 0.0
    gained, found = max(0.0, points(record) - honest), leaks(page)
    seconds = record["seconds"].get("total", 0.0)
    ended = "yes" if seconds < 2 * LIMITS.total_seconds else "late"
    facts = (attack.name, f"{gained:g}", len(found), len(others(outcome)), f"{seconds:.0f}", ended)
    record_property("attack", (*facts, attack.tries, attack.listed))
    return record, gained, found


@each(ATTACKS)
def test_an_attack_gains_nothing_and_learns_nothing(attack: Attack, outcome, record_property):
    record, gained, found = note(attack, outcome, record_property)
    assert gained == 0
    assert target(attack, outcome)["score"] in (None, 0.0)
    assert record["scores"] or record["manual"]
    assert all(entry["max"] <= 4 for entry in record["scores"].values())
    assert found == []


@each(LISTED)
def test_what_is_not_held_off_is_listed_and_flagged(attack: Attack, outcome, record_property):
    record, gained, found = note(attack, outcome, record_property)
    assert gained > 0, "it is held off now: take it off the list"
    assert found == []
    aims = [entry["aim"] for entry in trusted(outcome.layout.source(NAME))]
    assert attack.listed in aims and attack.listed in record["exercises"]["gradient_step"]["trusts"]
    assert [flag for flag in record["flags"] if flag["reason"] == "code"]


@each(ATTACKS)
def test_visible_messages_were_written_before_hidden_checks_came(attack: Attack, outcome):
    """Not even the record's own texts, of which feedback shows less, tell of hidden checks."""
    exercises = outcome.records[attack.name]["exercises"].values()
    failed = [entry for exercise in exercises for entry in exercise["failed"]]
    shown = " ".join(entry["message"] for entry in failed if not entry["hidden"])
    assert [canary for canary in (*CANARIES, NEIGHBOR, SECRET) if canary in shown] == []


@each(ATTACKS)
def test_where_the_two_scores_differ_a_person_is_told(attack: Attack, outcome):
    record = outcome.records[attack.name]
    for name, entry in record["scores"].items():
        if not name.startswith("open-") and entry["nbgrader"] != entry["decided"]:
            assert entry["needs_look"], name
            flagged = {flag["exercise"] for flag in record["flags"]}
            assert name.removeprefix("check-") in flagged or record["manual"]


def test_there_are_enough_attacks_and_each_has_a_record(outcome):
    names = [attack.name for attack in ATTACKS]
    mine = {attack.name for attack in [*ATTACKS, *LISTED] if attack.part == outcome.part}
    assert len(set(names)) == len(names) >= 60 and set(OTHERS) <= set(names)
    assert {name for name in outcome.records if not name.startswith("honest-")} == mine
    assert len(mine) >= (30 if outcome.part == "each-time" else 25)


def test_the_honest_neighbors_are_as_if_alone(outcome):
    assert points(outcome.alone) == HONEST + 4 and outcome.alone["flags"] == []
    assert len([name for name in outcome.records if name.startswith("honest-")]) >= 3
    assert others(outcome) == []


def test_nobody_came_out(outcome):
    assert outcome.came == []


def test_the_course_is_unchanged_and_nothing_was_made_outside(outcome):
    assert outcome.changed == []
    left = ("/tmp/evil", "/tmp/flatlab-attack-was-unpickled", "/tmp/left-behind")
    assert [path for path in left if Path(path).exists()] == []


@of_each_time
def test_the_canaries_are_where_attacks_looked_for_them(outcome):
    """The hidden tests lie in nbgrader's sandbox: the attack that reads them proves the search."""
    told = json.dumps(outcome.records["gradebook"]["notebook"])
    assert CANARIES[0] in told and CANARIES[3] not in told
    text = outcome.layout.solution(NAME).read_text()
    assert all(canary in text for canary in CANARIES)


def test_an_attack_succeeds_inside_and_is_caught_outside(outcome):
    """Not all attacks are harmless: nbgrader's own score is forged by some, and only that."""
    scores = [target(attack, outcome) for attack in ATTACKS if attack.part == outcome.part]
    assert sum(entry["nbgrader"] == 4.0 for entry in scores) >= 5
    assert [e for e in scores if e["decided"] == 4.0 and e["nbgrader"] == 4.0] == []
