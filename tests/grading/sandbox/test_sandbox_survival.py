"""An answer that hangs, dies or floods costs that answer and nothing else."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mini_course import FULL, cell, scores, shown, submission

from flatlab.course.grading import Limits, grade_one
from flatlab.course.grading.watch import processes

pytestmark = [pytest.mark.grading, pytest.mark.slow]

SHORT = Limits(cell_seconds=3, total_seconds=120, start_seconds=60)
ONLY_B_LOST = {**FULL, "check-b": 0.0}
DEADLY = {
    "ends-the-process": "import os\n    os._exit(0)",
    "crashes": "import ctypes\n    ctypes.string_at(0)",
    "kills-itself": "import os\n    os.kill(os.getpid(), 9)",
}
SLOW = {
    "loops": "while True: pass",
    "sleeps": "import time\n    time.sleep(1000)",
    "loops-and-catches-the-interrupt": "import time\n    while True:\n        try:\n"
    "            time.sleep(1)\n        except BaseException:\n            pass",
}


def with_b(layout, body: str):
    return submission(layout, b=f"def b(x):\n    {body}\n    return 3 * x")


@pytest.mark.parametrize("body", DEADLY.values(), ids=DEADLY)
def test_a_cell_that_kills_the_kernel_costs_its_answer(body, layout, kit, bubblewrap):
    result = grade_one(with_b(layout, body), kit, limits=SHORT)
    assert scores(result) == ONLY_B_LOST
    assert cell(result, "check-b")["status"] == "died"
    # setup, a, check-a and b ran again; the check that died did not
    assert cell(result, "check-b")["done"] == ["kernel died", "kernel restarted, 4 cells run again"]
    assert "Python died while this cell ran" in cell(result, "check-b")["message"]
    assert result["manual"] == [] and result["runs"] == 1


def test_cells_that_run_again_keep_what_they_showed_and_earned(layout, kit, bubblewrap):
    a = "def a(x):\n    if os.path.exists('/tmp/again'):\n        return 0\n"
    a += "    print('a was here')\n    return 2 * x"
    b = "def b(x):\n    open('/tmp/again', 'w').close()\n    os._exit(0)"
    result = grade_one(submission(layout, a=a, b=b), kit, limits=SHORT)
    assert scores(result) == ONLY_B_LOST and result["manual"] == []
    assert "a was here" in shown(result, "check-a")


@pytest.mark.parametrize("body", SLOW.values(), ids=SLOW)
def test_a_cell_past_its_time_costs_its_answer(body, layout, kit, bubblewrap):
    result = grade_one(with_b(layout, body), kit, limits=SHORT)
    assert scores(result) == ONLY_B_LOST
    found = cell(result, "check-b")
    assert found["status"] == "interrupted" and found["error"] == "interrupted"
    assert 3 <= found["seconds"] < 15
    stubborn = "except" in body
    assert found["done"][0] == ("did not stop, kernel killed" if stubborn else "interrupted")
    assert result["manual"] == []


def test_a_cell_that_hangs_by_itself_is_not_run_again(layout, kit, bubblewrap):
    answers = {"a": "while True: pass", "b": "import os\nos._exit(1)"}
    result = grade_one(submission(layout, **answers), kit, limits=SHORT)
    assert scores(result) == {"check-a": 0.0, "check-b": 0.0, "check-c": 2.0}
    assert cell(result, "b")["done"] == ["kernel died", "kernel restarted, 2 cells run again"]
    assert cell(result, "check-b")["error"] == "NameError"


def test_the_time_for_all_cells_ends_and_what_was_earned_stays(layout, kit, bubblewrap):
    limits = Limits(cell_seconds=60, total_seconds=12, start_seconds=60)
    result = grade_one(with_b(layout, "while True: pass"), kit, limits=limits)
    assert scores(result) == {"check-a": 2.0, "check-b": 0.0, "check-c": 0.0}
    assert cell(result, "check-c")["status"] == "not run"
    assert "time for the whole notebook" in cell(result, "check-c")["message"]


def test_memory_of_one_process_is_bounded(layout, kit, bubblewrap):
    body = "hoard = bytearray(2 << 30)"
    result = grade_one(with_b(layout, body), kit, limits=Limits(memory=1024))
    assert scores(result) == ONLY_B_LOST
    assert cell(result, "check-b")["error"] == "MemoryError"


def test_memory_of_many_processes_is_bounded(layout, kit, bubblewrap):
    body = (
        "import os, time\n    for _ in range(6):\n        if os.fork() == 0:\n"
        "            hoard = bytearray(os.urandom(1 << 20) * 200)\n            time.sleep(60)\n"
        "            os._exit(0)\n    time.sleep(8)\n    raise SystemError('nobody stopped them')"
    )
    limits = Limits(memory=1024, total_memory=700, cell_seconds=30)
    result = grade_one(with_b(layout, body), kit, limits=limits)
    assert scores(result) == ONLY_B_LOST
    assert any("more than 700 MB in all processes" in note for note in result["notes"])


def test_a_flood_of_processes_is_bounded(layout, kit, bubblewrap):
    body = (
        "import os, time\n    made = 0\n    try:\n        for _ in range(400):\n"
        "            if os.fork() == 0:\n                time.sleep(60)\n"
        "                os._exit(0)\n            made += 1\n    except OSError as error:\n"
        "        pass\n    print('made', made)\n    time.sleep(3)\n    return -1"
    )
    limits = Limits(threads=120, processes=16, cell_seconds=30)
    result = grade_one(with_b(layout, body), kit, limits=limits)
    assert scores(result) == ONLY_B_LOST
    made = int(shown(result, "check-b").split("made")[1].split()[0])
    assert made < 120
    assert any("more than 16 processes" in note for note in result["notes"])


def test_a_flood_of_output_is_cut_and_costs_nothing(layout, kit, bubblewrap):
    body = "for _ in range(20_000): print('flood' * 200)"
    result = grade_one(with_b(layout, body), kit, limits=Limits(cell_output=0.5))
    assert scores(result) == FULL
    assert "output cut" in cell(result, "check-b")["done"]
    text = shown(result, "check-b")
    assert 10_000 < len(text) < 600_000 and "the rest of this cell's output was cut" in text


def test_files_are_bounded(layout, kit, bubblewrap):
    body = (
        "import os\n    sizes = {}\n    for place in ('/tmp', '/dev/shm', os.getcwd()):\n"
        "        sizes[place] = 0\n        try:\n            for n in range(20):\n"
        "                with open(f'{place}/big{n}', 'wb') as f:\n"
        "                    for _ in range(20):\n"
        "                        sizes[place] += f.write(bytes(1 << 20))\n"
        "        except OSError:\n            pass\n"
        "        for n in range(20):\n            try: os.remove(f'{place}/big{n}')\n"
        "            except OSError: pass\n    import json\n    print('sizes', json.dumps(sizes))"
    )
    limits = Limits(file_size=16, folder_size=48, memory=1024)
    result = grade_one(with_b(layout, body), kit, limits=limits)
    sizes = json.loads(shown(result, "check-b").split("sizes ")[1].split("\n")[0])
    assert len(sizes) == 3 and max(sizes.values()) <= 16 << 20
    assert scores(result) == FULL


@pytest.mark.parametrize("isolate", [True, False], ids=["sandbox", "no-sandbox"])
def test_what_is_left_running_is_ended(isolate, layout, kit, bubblewrap):
    mark = f"sleep-{time.time_ns()}"
    code = "import time; time.sleep(300)"
    body = (
        "import os, subprocess, sys\n    if os.fork() == 0:\n        os.setsid()\n"
        f"        subprocess.Popen([sys.executable, '-c', {code!r}, {mark!r}],"
        " start_new_session=True)\n        os._exit(0)\n    os.wait()"
    )
    result = grade_one(with_b(layout, body), kit, limits=SHORT, sandbox=isolate)
    assert scores(result) == FULL
    assert mark not in " ".join(map(command_line, processes()))


def test_the_test_of_leftovers_would_see_one():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "a-mark"])
    try:
        assert any("a-mark" in command_line(pid) for pid in processes())
    finally:
        process.kill()
        process.wait()


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


ENDINGS = {
    "parent": "import os\n    os.kill(os.getppid(), 9)\n    time.sleep(20)",
    "everything": "import os\n    os.kill(-1, 9)\n    time.sleep(20)",
}


@pytest.mark.parametrize("body", ENDINGS.values(), ids=ENDINGS)
def test_ending_the_grading_process_costs_the_answer_and_is_told(body, layout, kit, bubblewrap):
    result = grade_one(with_b(layout, body), kit, limits=SHORT)
    assert scores(result) == ONLY_B_LOST
    assert cell(result, "check-b")["status"] == "skipped" and result["runs"] == 2
    assert "(check-b)" in result["manual"][0]


def test_stopping_the_grading_process_is_noticed(layout, kit, bubblewrap):
    body = "import os, signal\n    os.kill(os.getppid(), signal.SIGSTOP)\n    time.sleep(300)"
    limits = Limits(cell_seconds=3, start_seconds=15, total_seconds=200)
    result = grade_one(with_b(layout, body), kit, limits=limits)
    assert scores(result) == ONLY_B_LOST
    assert "silent for too long" in result["manual"][0]


@pytest.mark.parametrize(
    ("body", "status"),
    [("while True: pass", "interrupted"), ("import os\n    os._exit(0)", "died")],
)
def test_limits_hold_without_a_sandbox(body, status, layout, kit):
    result = grade_one(with_b(layout, body), kit, limits=SHORT, sandbox=False)
    assert scores(result) == ONLY_B_LOST
    assert cell(result, "check-b")["status"] == status
    assert result["sandbox"] is False


def test_too_many_files_end_a_run_without_a_sandbox(layout, kit):
    body = (
        "import time\n    for n in range(40):\n"
        "        with open(f'big{n}', 'wb') as f: f.write(bytes(1 << 20))\n    time.sleep(20)"
    )
    limits = Limits(folder_size=24, cell_seconds=60)
    result = grade_one(with_b(layout, body), kit, limits=limits, sandbox=False)
    assert scores(result) == ONLY_B_LOST
    assert "its files took more room" in result["manual"][0]
