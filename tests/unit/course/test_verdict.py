"""What each exercise earned is decided from records alone, whatever these say."""

import copy
import subprocess

import nbformat
import numpy as np
import pytest
from tiny_chapter import CONFIG, NAME, SOURCE

from flatlab.course.assemble import assemble
from flatlab.course.grading import sandbox
from flatlab.course.grading.limits import Limits
from flatlab.course.grading.supervise import Outcome
from flatlab.course.release import make_release
from flatlab.course.source import CODE_KINDS, TEXT_KINDS, parse
from flatlab.course.verdict import compare, decide, runners, suspicions, trusted
from flatlab.course.verdict import plan as planning
from flatlab.course.verdict.codec import encode
from flatlab.course.verdict.runners import limited

HEAD = "# exercise: gradient_step\ndef gradient_step(w, gradient, learning_rate):\n    "
RIGHT = f"{HEAD}return w - learning_rate * gradient"
SECRET = "hidden secret"
AIMS = ["one step on three weights", "w is left as it was"]
HIDDEN_AIMS = ["a tensor with several axes", "a learning rate of zero"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("course") / f"{NAME}.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def release():
    solved = assemble(parse(SOURCE, NAME, {**CODE_KINDS, **TEXT_KINDS}))
    return nbformat.reads(make_release(solved, NAME, CONFIG), as_version=4)


@pytest.fixture
def handed(release):
    """A function from an answer (and own cells before it) to a notebook."""

    def make(answer: str = RIGHT, *own: str) -> nbformat.NotebookNode:
        notebook = copy.deepcopy(release)
        ids = [c.metadata.get("nbgrader", {}).get("grade_id") for c in notebook.cells]
        place = ids.index("gradient_step")
        notebook.cells[place].source = answer
        for text in reversed(own):
            notebook.cells.insert(place, nbformat.v4.new_code_cell(text))
        return notebook

    return make


def right_outputs(source, seed: int) -> dict[str, list[dict]]:
    """What right answers give: job -> a record for each check."""
    drawn = planning.make(source, seed).drawn["gradient_step"]
    outputs = []
    for one in drawn:
        w = np.asarray(one.inputs["w"])
        if one.planned.aim == AIMS[0]:
            outputs.append({"result": w - 0.3 * one.inputs["gradient"].astype(np.float64)})
        elif one.planned.aim == AIMS[1]:
            outputs.append({"w_after": w, "gradient_after": one.inputs["gradient"]})
        else:
            outputs.append({"result": (0.5 * w).astype(np.float32)})
    records = [{"kind": "outputs", "outputs": output} for output in outputs]
    return {"0": records[:2], "1": records[2:]}


def told(records: dict[str, list[dict]]) -> list[bytes]:
    return [
        f"{job} {number} ".encode() + encode(record)
        for job, found in records.items()
        for number, record in enumerate(found)
    ]


def decided(source, notebook, records: dict, seed: int = 3) -> tuple[dict, list]:
    result = decide(notebook, source, lambda job: told(records), seed)
    return result["exercises"]["gradient_step"], result["flags"]


def test_right_outputs_earn_all_points(source, handed):
    exercise, flags = decided(source, handed(), right_outputs(source, 3))
    assert exercise["earned"] == exercise["max"] == 2.0
    assert exercise["message"] == "" and exercise["failed"] == [] and flags == []


def test_outputs_for_another_seed_earn_nothing(source, handed):
    exercise, _ = decided(source, handed(), right_outputs(source, 4))
    assert exercise["earned"] == 0.0 and exercise["failed"][0]["aim"] == AIMS[0]


def test_a_secret_seed_is_drawn_and_told(source, handed):
    seeds = {decide(handed(), source, lambda job: [])["seed"] for _ in range(3)}
    assert len(seeds) == 3 and max(seeds) > 2**40


def test_no_record_is_no_verdict_and_a_flag(source, handed):
    exercise, flags = decided(source, handed(), {})
    assert exercise["earned"] is None and {flag["reason"] for flag in flags} == {"absent"}
    assert [one["aim"] for one in exercise["failed"]] == AIMS + HIDDEN_AIMS


def test_a_failed_check_decides_where_others_were_not_run(source, handed):
    records = right_outputs(source, 3)
    del records["1"]
    assert decided(source, handed(), records)[0]["earned"] is None
    records["0"][0]["outputs"] = {"result": np.zeros(3)}
    assert decided(source, handed(), records)[0]["earned"] == 0.0


FORGED = {
    "outputs under other names": {"passed": True},
    "more outputs": {"result": np.zeros(3), "earned": 2.0},
    "text": {"result": "right"},
    "another shape": {"result": np.zeros((3, 1))},
    "no shape": {"result": 0.0},
    "truth values": {"result": np.ones(3, bool)},
    "a list": {"result": [0.0, 0.0, 0.0]},
    "nothing": {"result": None},
    "not a number": {"result": np.full(3, np.nan)},
    "infinity": {"result": np.full(3, np.inf)},
    "nearly infinite": {"result": np.full(3, 1e308)},
}


@pytest.mark.parametrize("outputs", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize(("job", "check"), [("0", 0), ("1", 1)])
def test_forged_outputs_earn_nothing_and_raise_nothing(outputs, job, check, source, handed):
    records = right_outputs(source, 3)
    records[job][check] = {"kind": "outputs", "outputs": outputs}
    exercise, _ = decided(source, handed(), records)
    assert exercise["earned"] == 0.0
    assert [one["aim"] for one in exercise["failed"]] == [
        (AIMS + HIDDEN_AIMS)[2 * int(job) + check]
    ]


@pytest.mark.parametrize("kind", sorted({"died", "timeout", "huge", "unwritten", "skipped"}))
def test_every_other_end_of_a_check_fails_it(kind, source, handed):
    records = right_outputs(source, 3)
    records["1"][0] = {"kind": kind}
    exercise, flags = decided(source, handed(), records)
    assert exercise["earned"] == 0.0 and exercise["hidden"] is True
    assert bool(flags) is (kind in ("died", "timeout", "huge"))


def test_a_check_that_is_told_twice_fails_and_is_flagged(source, handed):
    lines = told(right_outputs(source, 3))
    result = decide(handed(), source, lambda job: [*lines, lines[0]], 3)
    assert result["exercises"]["gradient_step"]["earned"] == 0.0
    assert result["flags"][0]["reason"] == "malformed"


def test_messages_say_whether_they_may_tell_of_hidden_checks(source, handed):
    records = right_outputs(source, 3)
    records["1"][1]["outputs"] = {"result": np.zeros(2, np.float32)}
    exercise, _ = decided(source, handed(), records)
    assert exercise["hidden"] is True and SECRET in exercise["message"]
    records["0"][0] = {"kind": "error", "text": "TypeError: mine"}
    exercise, _ = decided(source, handed(), records)
    assert exercise["hidden"] is False and "TypeError: mine" in exercise["message"]


def test_a_notebook_without_a_check_cell_says_so(source, release, handed):
    two = SOURCE.replace("# %% experiment", TWICE + "\n\n# %% experiment", 1)
    other = source.with_name("00-two.py")
    other.write_text(two, encoding="utf-8")
    result = decide(handed(), other, lambda job: told(right_outputs(source, 3)), 3)
    assert {flag["reason"] for flag in result["flags"]} >= {"absent"}
    assert result["exercises"]["again"]["earned"] is None


TWICE = (
    '# %% exercise="again"\ndef again(w, gradient, learning_rate):\n    ### BEGIN SOLUTION\n'
    "    return w - learning_rate * gradient\n    ### END SOLUTION\n\n\n"
    '# %% check="again" points=1\ncheck.gradient_step(again)'
)


def test_a_chapter_whose_own_answer_is_wrong_is_refused(source, handed):
    wrong = source.with_name("00-wrong.py")
    wrong.write_text(SOURCE.replace("-learning_rate * gradient", "learning_rate * gradient"))
    with pytest.raises(ValueError, match="own answer fails"):
        decide(handed(), wrong, lambda job: [], 3)


def test_checks_that_rest_on_the_sandboxs_word_are_listed(source):
    (found,) = trusted(source)
    assert found["aim"] == AIMS[1] and found["on"] == ["w_after", "gradient_after"]
    assert found["others"] == [] and found["hidden"] is False


@pytest.mark.parametrize(
    ("answer", "earned", "word"),
    [
        (RIGHT, 2.0, ""),
        (f"{HEAD}return w + learning_rate * gradient", 0.0, "uphill"),
        (f"{HEAD}return w - 0.5 * gradient", 0.0, "it goes to ["),
        (f"{HEAD}raise NotImplementedError()", 0.0, "Not written yet"),
        (f"{HEAD}import os; os._exit(0)", 0.0, "Python itself stopped"),
    ],
)
def test_submissions_run_and_are_decided(answer, earned, word, source, handed):
    limits = Limits(total_seconds=100)
    result = decide(handed(answer), source, limited(limits), seed=1, seconds=2.0)
    exercise = result["exercises"]["gradient_step"]
    assert exercise["earned"] == earned and word in exercise["message"]
    assert exercise["hidden"] is False


def test_an_answer_that_hangs_is_waited_for_once(source, handed):
    answer = f"{HEAD}while True: pass"
    result = decide(handed(answer), source, limited(), seed=1, seconds=2.0)
    failed = result["exercises"]["gradient_step"]["failed"]
    assert [one["kind"] for one in failed] == ["timeout", "skipped", "skipped", "skipped"]
    assert "not done after 2 seconds" in failed[0]["message"]


def test_cells_that_end_the_process_or_hang_are_left_out_once(source, handed):
    own = ["import os; os._exit(0)", "while True: pass", "factor = 1.0"]
    answer = f"{HEAD}return w - factor * learning_rate * gradient"
    result = decide(handed(answer, *own), source, limited(), seed=1, seconds=2.0)
    assert result["exercises"]["gradient_step"]["earned"] == 2.0


def test_a_line_of_matplotlib_costs_nothing(source, handed):
    answer = f"%matplotlib inline\n{RIGHT}"
    result = decide(handed(answer, "%matplotlib inline"), source, limited(), seed=1)
    assert result["exercises"]["gradient_step"]["earned"] == 2.0


def test_an_answer_with_a_slow_trial_below_it_keeps_its_points(source, handed):
    answer = f"{RIGHT}\n\n\nwhile True: pass"
    result = decide(handed(answer), source, limited(), seed=1, seconds=2.0)
    assert result["exercises"]["gradient_step"]["earned"] == 2.0


def test_too_much_code_is_refused_before_it_is_read(source, handed, monkeypatch):
    monkeypatch.setattr("flatlab.course.verdict.cells.loaded", lambda text: pytest.fail("read"))
    with pytest.raises(ValueError, match="more than 2,000,000"):
        decide(handed(RIGHT, "x = 1\n" * 400_000), source, lambda job: [], 3)


def test_nothing_is_left_behind(source, handed, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)', 'stays-7'])"
    decide(handed(RIGHT, code), source, limited(), seed=1)
    assert list(tmp_path.iterdir()) == []
    shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True)
    assert "stays-7" not in shown.stdout


def test_a_relative_data_folder_is_found_from_the_sandbox(source, handed, tmp_path, monkeypatch):
    if reason := sandbox.available():
        pytest.skip(reason)
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLATLAB_DATA", "data")
    result = decide(handed(), source, runners.sandboxed(), seed=1)
    assert result["exercises"]["gradient_step"]["earned"] == 2.0


def test_a_worker_that_does_not_start_is_said(source, handed, monkeypatch):
    monkeypatch.setattr(runners, "supervise", lambda *_, **__: Outcome(log="bwrap: no such folder"))
    with pytest.raises(RuntimeError, match="did not start: bwrap: no such folder"):
        decide(handed(), source, limited(), seed=1)


def test_a_submission_that_tells_nothing_is_no_worker_that_did_not_start(
    source, handed, monkeypatch
):
    monkeypatch.setattr(runners, "supervise", lambda *_, **__: Outcome(lines=[b"ready"]))
    result = decide(handed(), source, limited(), seed=1)
    assert result["exercises"]["gradient_step"]["earned"] is None


def test_other_users_of_the_machine_cannot_read_a_job(source, handed):
    above = []
    decide(handed(), source, lambda job: above.append(job.parent.stat().st_mode & 0o077) or [], 3)
    assert above == [0]


def test_compare_flags_every_difference_with_both_numbers():
    exercise = {"earned": 2.0, "max": 2.0, "message": ""}
    wrong = {"earned": 0.0, "max": 2.0, "message": "uphill"}
    ended = {"earned": None, "max": 2.0, "message": "Not run"}
    verdicts = {"exercises": {"a": exercise, "b": wrong, "c": exercise, "d": exercise, "e": ended}}
    scores = {"check-a": 2.0, "check-b": 2.0, "check-c": 0.0, "d": None, "e": 0.0, "open-why": 1.0}
    found = {flag["exercise"]: flag for flag in compare(scores, verdicts)}
    assert set(found) == {"b", "c", "d", "e", "open-why"}
    assert (found["b"]["nbgrader"], found["b"]["decided"]) == (2.0, 0.0)
    assert [found[n]["reason"] for n in found] == [
        *("higher inside", "lower inside", "unscored", "undecided", "undecided")
    ]
    assert "uphill" in found["b"]["detail"]


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("import gc", "gc"),
        ("from os import environ", "environ"),
        ("import sys\nsys._getframe(1)", "_getframe"),
        ("torch.allclose = lambda *a: True", "is replaced"),
        ("import sys\nsys.modules['torch'] = None", "sys.modules"),
        ("for m in x:\n    setattr(m, 'compare', None)", "setattr"),
        ("def f(:\n\nx = open('a')", "open"),
        ("class T:\n    def __torch_function__(self): ...", "__torch_function__"),
    ],
)
def test_suspicious_code_is_named(code, word):
    assert any(word in line for line in suspicions.find(code))


@pytest.mark.parametrize(
    "code",
    [
        RIGHT,
        "total = sum(1 for m in model.modules())",
        "%matplotlib inline\nimport torch\nw = torch.ones(3)\nw.grad = None",
        "def f(:",
        "\0",
        "x" + ".a" * 900 + " = 1",
        "(" + "1+" * 900 + "x).data = 1",
    ],
)
def test_ordinary_code_is_not(code):
    assert suspicions.find(code) == []
