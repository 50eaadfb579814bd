"""What happens to submissions whose worker dies, and to those that cannot be graded."""

import pytest
from batch_books import CHAPTER, desk
from joblib.externals.loky.process_executor import BrokenProcessPool

from flatlab.course.batch import Journal, Way, grade_all, many
from flatlab.course.grading import GradingRefused, Limits
from flatlab.course.rebuild import Handed


@pytest.fixture
def tasks(tmp_path):
    chapter = desk(tmp_path)
    return {
        place: many.Task(chapter, Handed(name, b"x", name, chapter=CHAPTER), Limits(), True, 1)
        for place, name in enumerate("abcdef")
    }


class Workers:
    """Two at a time in the place of joblib's; those in ``killers`` end their worker so often."""

    def __init__(self, killers: dict[str, int]) -> None:
        self.killers, self.begun = dict(killers), []

    def spread(self, tasks, way, begun):
        waiting = list(tasks)
        while waiting:
            for place in waiting[:2]:
                begun.append(place)
                self.begun.append(tasks[place].handed.student)
            for place in waiting[:2]:
                name = tasks[place].handed.student
                if self.killers.get(name, 0) > 0:
                    self.killers[name] -= 1
                    raise BrokenProcessPool("a worker was ended")
                yield place, {"student": name, "status": "graded"}
            waiting = waiting[2:]


@pytest.mark.parametrize("deaths", [1, 2, 5])
def test_a_worker_that_dies_loses_nothing(tasks, monkeypatch, deaths):
    workers = Workers({"c": deaths})
    monkeypatch.setattr(many, "_spread", workers.spread)
    found = dict(many._results(tasks, Way(2)))
    assert sorted(found) == list(tasks)
    states = {record["student"]: record["status"] for record in found.values()}
    lost = "manual" if deaths >= many.MOST_DEATHS else "graded"
    assert states == {**dict.fromkeys("abcdef", "graded"), "c": lost}
    assert max(map(workers.begun.count, "abdef")) <= 2  # its neighbor at most once more
    assert workers.begun.count("c") == min(deaths + 1, many.MOST_DEATHS)


def test_one_that_ends_its_workers_is_left_to_a_person(tasks, monkeypatch):
    monkeypatch.setattr(many, "_spread", Workers({"a": 9, "b": 9}).spread)
    found = dict(many._results(tasks, Way(2)))
    record = found[0]
    assert record["digest"] == "" and "ended 2 times" in record["manual"][0]["text"]
    assert record["scores"]["check-f"] == {
        "score": None,
        "nbgrader": None,
        "decided": None,
        "needs_look": True,
        "max": 2.0,
    }
    assert [found[place]["status"] for place in (1, 2, 3)] == ["manual", "graded", "graded"]


def test_whatever_one_submission_raises_stays_with_it(tasks, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("in the grader")

    monkeypatch.setattr(many, "grade_at", fail)
    place, record = many.work(3, tasks[3])
    assert place == 3 and record["status"] == "manual" and record["digest"] == ""
    assert record["manual"][0]["text"] == "ZeroDivisionError: in the grader"

    def refuse(*_):
        raise GradingRefused("no sandbox on this machine")

    monkeypatch.setattr(many, "grade_at", refuse)
    with pytest.raises(GradingRefused):
        many.work(3, tasks[3])


def test_what_no_path_and_no_cell_places_is_kept_for_a_person(tmp_path, monkeypatch):
    monkeypatch.setattr(many, "available", lambda: None)
    handed = [Handed("x/y.ipynb", b"{}", problem="Which?"), Handed("b.zip", b"", problem="A bomb.")]
    with Journal(tmp_path).held() as journal:
        records = grade_all(handed, journal, layout=None)
    assert [record["manual"][0]["text"] for record in records] == ["Which?", "A bomb."]
    assert all(record["student"].startswith("unknown-") for record in records)
    assert len(list((tmp_path / "records").rglob("unknown-*.json"))) == 2


def test_a_run_without_a_sandbox_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(many, "available", lambda: "bubblewrap is missing")
    with Journal(tmp_path).held() as journal, pytest.raises(GradingRefused, match="bubblewrap"):
        grade_all([], journal, layout=None)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"jobs": 0}, "at least 1"),
        ({"backend": "ray"}, "loky or dask"),
        ({"backend": "dask"}, "go together"),
        ({"scheduler": "tcp://x"}, "go together"),
    ],
)
def test_a_way_that_makes_no_sense_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        Way(**given)
