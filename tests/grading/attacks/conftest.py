"""Each class of attacks is graded once; the run ends with a table."""

import functools

import pytest
from attack_class import Outcome, grade_class
from every_case import PARTS, marks


@pytest.fixture(scope="session")
def become(tmp_path_factory, bubblewrap):
    """A function from part to what became of its class."""
    return functools.cache(lambda part: grade_class(tmp_path_factory.mktemp("attacks"), part))


@pytest.fixture(params=[pytest.param(which, marks=marks(which)) for which in PARTS])
def outcome(request, become) -> Outcome:
    """What became of a class."""
    return become(request.param)


def pytest_terminal_summary(terminalreporter):
    """For each attack: what it tried, points gained, leaks, others affected, whether it ended."""
    rows = []
    for state in ("passed", "failed"):
        for report in terminalreporter.getreports(state):
            facts = dict(getattr(report, "user_properties", []))
            if "attack" in facts and report.when == "call":
                rows.append(facts["attack"])
    if not rows:
        return
    terminalreporter.section("attacks")
    row = "{:<24}{:>8}{:>8}{:>8}{:>10}{:>8}  {}"
    heads = ("attack", "gained", "leaked", "others", "seconds", "ended", "what it tried")
    terminalreporter.write_line(row.format(*heads))
    for facts in rows:
        terminalreporter.write_line(row.format(*facts))
    for held, what in ((True, "attacks"), (False, "listed as not held off")):
        chosen = [facts for facts in rows if held is not bool(facts[7])]
        gained, leaked = sum(float(f[1]) for f in chosen), sum(int(f[2]) for f in chosen)
        told = f"{len(chosen)} {what}: {gained:g} points gained, {leaked} leaks"
        terminalreporter.write_line(told)
