"""The wheel and the source distribution outside the checkout, and the page that says where they ran."""

import json
import subprocess

import pytest
from outside import environment


@pytest.fixture
def versions(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "bench"))
    import versions

    return versions


@pytest.mark.extended
@pytest.mark.beside
def test_the_unit_tests_pass_outside_the_checkout(versions, tmp_path):
    """From the source distribution, which the wheel is built of; docs/versions.md has rows of both."""
    made = versions.built(tmp_path / "made")["sdist"]
    python = environment(tmp_path / "env")
    install = [python, "-m", "pip", "install", "-q", "--no-index", "--no-build-isolation", made]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    record = versions.tested(tmp_path, "sdist")
    log = (tmp_path / "log.txt").read_text()
    assert record["failures"] == record["errors"] == 0, log[-6000:]
    assert record["tests"] - record["skipped"] > 500


def test_the_page_of_versions_is_the_recorded_one(versions):
    recorded = json.loads(versions.RESULTS.read_text(encoding="utf-8"))
    assert set(recorded) == set(versions.ROWS)
    shown = versions.PAGE.read_text(encoding="utf-8")
    assert shown == versions.page(recorded), "run `python bench/versions.py --report`"


def test_a_row_with_a_failed_test_is_not_on_file(versions):
    """What fails is mended, or said in pyproject.toml, before it is recorded."""
    recorded = json.loads(versions.RESULTS.read_text(encoding="utf-8"))
    for row, record in recorded.items():
        if "failed" not in record:
            assert record["failures"] == record["errors"] == 0, row
            assert record["tests"] - record["skipped"] > 500, row
