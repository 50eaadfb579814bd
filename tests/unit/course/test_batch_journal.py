"""What is kept between runs, and when a submission counts as changed."""

import errno
import os

import pytest

from flatlab.course.batch import Desk
from flatlab.course.batch.journal import Busy, Journal
from flatlab.course.grading import Kit, Limits
from flatlab.course.whole import write

KIT = Kit("00-x", b"", {"check-f": 2.0}, (), {"check-f": "assert f()"}, "/")
DESK = Desk("00-x", KIT, "release", "source")


def digest(desk=DESK, data=b"notebook", limits=None, sandbox=True, seed=1):
    return desk.digest(data, limits or Limits(), sandbox, seed)


def test_a_digest_follows_everything_that_the_result_depends_on():
    others = [
        digest(data=b"another"),
        digest(Desk("00-x", KIT, "other release", "source")),
        digest(Desk("00-x", KIT, "release", "other source")),
        digest(Desk("00-x", Kit("00-x", b"", {"check-f": 3.0}, (), {}, "/"), "release", "source")),
        digest(limits=Limits(cell_seconds=7)),
        digest(sandbox=False),
        digest(seed=2),
    ]
    assert len({digest(), *others}) == 1 + len(others)
    new_gradebook = Kit("00-x", b"made anew", KIT.points, (), KIT.tests, "/elsewhere")
    assert digest(Desk("00-x", new_gradebook, "release", "source")) == digest()


def test_a_record_comes_back_and_an_unreadable_one_is_none(tmp_path):
    journal = Journal(tmp_path)
    assert journal.read("zoë", "00-x") is None
    record = {"student": "zoë", "chapter": "00-x", "scores": {"check-f": {"score": None}}}
    journal.write(record)
    assert journal.read("zoë", "00-x") == record
    assert os.stat(journal.path("zoë", "00-x")).st_mode & 0o077 == 0  # its owner's alone
    journal.path("zoë", "00-x").write_text('{"student": ')
    assert journal.read("zoë", "00-x") is None


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write(path, "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_one_run_at_a_time_holds_a_folder_and_clears_what_a_killed_one_left(tmp_path):
    left = tmp_path / "records" / "ada" / ".writing-x"
    left.parent.mkdir(parents=True)
    left.write_text("half a rec")
    with Journal(tmp_path).held():
        assert not left.exists()
        with pytest.raises(Busy, match="Another run"), Journal(tmp_path).held():
            pass
    with Journal(tmp_path).held():
        pass


def test_a_folder_without_locks_is_no_other_run(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(OSError, match="No locks available.*local disk"), Journal(tmp_path).held():
        pass


def test_the_seed_is_drawn_once_for_a_folder(tmp_path):
    first = Journal(tmp_path / "a").seed()
    assert Journal(tmp_path / "a").seed() == first != Journal(tmp_path / "b").seed()
