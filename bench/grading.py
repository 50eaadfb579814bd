"""What `flatlab grade` costs beside plain nbgrader, on the same submissions.

    python bench/grading.py [--chapter 01] [--submissions 100] [--block 10] [--jobs 2] [--again]

A made-up class: of ten students six hand in right answers, three have one exercise wrong, one stops half
way. Block by block, in turns: plain `nbgrader autograde`, one after another, in a course of its own;
`flatlab grade -j JOBS`; and for two students of the block the parts of one grading, one at a time.
Kept in bench/results/grading.json after each block; a run that was stopped goes on. Wall times only
mean something beside each other: the two share the machine with whatever else runs.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE / "tests" / "grading"))
RESULTS = HERE / "bench" / "results" / "grading.json"
ONES = 2  # students of a block whose parts are timed one by one
TOOLS = Path(sys.executable).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chapter", default="01")
    parser.add_argument("--submissions", type=int, default=100)
    parser.add_argument("--block", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--blocks-now", type=int, default=10**6, help="stop after so many")
    parser.add_argument("--again", action="store_true", help="forget what is on file")
    options = parser.parse_args()
    if options.submissions % options.block:
        parser.error("--submissions must be a multiple of --block")

    from flatlab.course.batch.desk import make_desk, package_hash
    from flatlab.course.layout import Layout

    layout = Layout(HERE)
    (chapter,) = layout.select([options.chapter])
    setting = {"chapter": chapter, "block": options.block, "jobs": options.jobs}
    setting |= {"flatlab": package_hash(), "cores": len(os.sched_getaffinity(0))}
    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() and not options.again else {}
    blocks = kept.get("blocks", []) if kept.get("setting") == setting else []
    handed, desk = students(layout, chapter, options.submissions), make_desk(layout, chapter)
    names = list(handed)
    total = options.submissions // options.block
    for number in range(len(blocks), min(total, len(blocks) + options.blocks_now)):
        mine = names[number * options.block : (number + 1) * options.block]
        one = block(layout, desk, {name: handed[name] for name in mine}, options.jobs, number)
        print(f"block {number + 1} of {total}: {json.dumps(one)}", flush=True)
        blocks.append(one)
        summary = summarized(blocks, options)
        text = json.dumps({"setting": setting, "summary": summary, "blocks": blocks}, indent=1)
        RESULTS.write_text(text + "\n")
    table = written(setting, summarized(blocks, options))
    RESULTS.with_suffix(".md").write_text(table)
    print(table)


def students(layout, chapter: str, count: int) -> dict[str, str]:
    """Notebook texts of the class, the same every time."""
    import nbformat
    from harness import cases, exercises, transplant

    from flatlab.course.execute import dumps

    release = nbformat.read(layout.release(chapter), as_version=4)
    right = {cell.name: cell.text for cell in exercises(layout, chapter)}
    names = list(right)
    wrong = [case for case in cases(layout, chapter) if case.kind == "misconception"]
    other = [case for case in cases(layout, chapter) if case.kind == "alternative"]
    found = {}
    for number in range(count):
        answers, kind = dict(right), number % 10
        if kind in (3, 6, 9):
            case = wrong[(7 * number) % len(wrong)]
            answers[case.exercise] = case.text
        elif kind in (1, 4, 7):
            case = other[(7 * number) % len(other)]
            answers[case.exercise] = case.text
        elif kind == 5:
            answers = {name: right[name] for name in names[: len(names) // 2]}
        found[f"student-{number:03d}"] = dumps(transplant(release, answers))
    return found


def block(layout, desk, handed: dict[str, str], jobs: int, number: int) -> dict:
    """Seconds of one block, in both ways, and of single gradings' parts."""
    with tempfile.TemporaryDirectory(prefix="flatlab-bench-") as name:
        folder = Path(name)
        steps = [
            lambda: plain(layout, desk.chapter, handed, folder / "plain"),
            lambda: ours(layout, handed, desk.chapter, folder / "ours", jobs),
        ]
        seconds = [(0.0, 0.0)] * 2
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            seconds[which] = steps[which]()
        same, compared = compare(folder, desk)
    picked = list(handed.values())[number % 5 :: 5][:ONES]
    return {
        "students": len(handed),
        "plain_s": round(seconds[0][0], 2),
        "plain_cpu_s": round(seconds[0][1], 2),
        "flatlab_s": round(seconds[1][0], 2),
        "flatlab_cpu_s": round(seconds[1][1], 2),
        "scores_equal": same,
        "scores": compared,
        "parts": [parts(desk, text, number + place) for place, text in enumerate(picked)],
    }


def plain(layout, chapter: str, handed: dict[str, str], root: Path) -> tuple:
    from harness import _make_course

    _make_course(layout, chapter, root, handed)
    run("-m", "nbgrader", "generate_assignment", chapter, folder=root)
    return run("-m", "nbgrader", "autograde", chapter, folder=root)


def ours(layout, handed: dict[str, str], chapter: str, root: Path, jobs: int) -> tuple:
    for student, text in handed.items():
        path = root / "submitted" / student / chapter / f"{chapter}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    words = [str(TOOLS / "flatlab"), "grade", str(root / "submitted"), "-j", str(jobs)]
    return run(*words, "--out", str(root / "graded"), folder=layout.root)


def run(*words: str, folder: Path) -> tuple[float, float]:
    """A command that must succeed; its wall time and the CPU time of all that it started."""
    environment = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, *words] if words[0] == "-m" else list(words)
    with account() as spent:
        begin = time.monotonic()
        enter = f'echo $$ > "{spent}/cgroup.procs"; exec "$@"'
        prefix = ["sh", "-c", enter, "sh"] if spent else []
        subprocess.run(
            [*prefix, *command], cwd=folder, env=environment, check=True, capture_output=True
        )
        wall = time.monotonic() - begin
        return wall, used(spent)


@contextlib.contextmanager
def account():
    """A group of processes whose CPU time Linux adds up (cgroup v1, as root); None elsewhere.

    A sandbox's processes are waited for by nobody outside, so that no other sum holds them.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="flatlab-bench-", dir="/sys/fs/cgroup/cpuacct"))
    except OSError:
        yield None
        return
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


def move(group: Path | None) -> None:
    """Have what this process does from now on counted in ``group``."""
    if group:
        (group / "cgroup.procs").write_text(str(os.getpid()))


def used(group: Path | None) -> float:
    """CPU seconds of all that has run in ``group``."""
    return int((group / "cpuacct.usage").read_text()) / 1e9 if group else float("nan")


def compare(folder: Path, desk) -> tuple[int, int]:
    """How many scores of check cells agree between the two gradebooks, and of how many."""
    from nbgrader.api import Gradebook

    found = []
    for path in (folder / "plain" / "gradebook.db", folder / "ours" / "graded" / "gradebook.db"):
        with Gradebook(f"sqlite:///{path}") as book:
            notebooks = book.notebook_submissions(desk.chapter, desk.chapter)
            found.append(
                {(n.student.id, g.name): g.auto_score for n in notebooks for g in n.grades}
            )
    keys = found[0].keys() | found[1].keys()
    return sum(found[0].get(key) == found[1].get(key) for key in keys), len(keys)


def parts(desk, text: str, number: int) -> dict[str, float]:
    """Seconds of one submission's steps, alone: in the sandbox and without, in turns."""
    from flatlab.course.batch.desk import read_release
    from flatlab.course.batch.one import _verdict
    from flatlab.course.grading import Limits, grade_one
    from flatlab.course.rebuild import rebuild

    limits, seconds = Limits(), {}

    def timed(name: str, action):
        with account() as spent:
            move(spent)
            begin = time.monotonic()
            result = action()
            seconds[name] = round(time.monotonic() - begin, 3)
            seconds[f"{name}_cpu"] = round(used(spent), 3)
            move(spent and spent.parent)
        return result

    release = read_release(desk.release)
    made = timed("rebuild", lambda: rebuild(text.encode(), release)).notebook
    for sandbox in (True, False) if number % 2 == 0 else (False, True):
        name = "run_sandboxed" if sandbox else "run_bare"
        timed(name, lambda s=sandbox: grade_one(made, desk.kit, limits=limits, sandbox=s))
    timed("verdict", lambda: _verdict(desk, made, limits, True, 1))
    return seconds


def summarized(blocks: list[dict], options) -> dict:
    done = sum(one["students"] for one in blocks)
    ratios = [one["flatlab_s"] / one["plain_s"] for one in blocks]
    each = [part for one in blocks for part in one["parts"]]
    middle = {name: statistics.median(part[name] for part in each) for name in each[0]}
    single = statistics.median(one["plain_s"] / one["students"] for one in blocks)
    sandbox = [part["run_sandboxed_cpu"] / part["run_bare_cpu"] - 1 for part in each]
    single_cpu = sum(one["plain_cpu_s"] for one in blocks) / done
    return {
        "submissions": done,
        "of": options.submissions,
        "plain_s": round(sum(one["plain_s"] for one in blocks), 1),
        "flatlab_s": round(sum(one["flatlab_s"] for one in blocks), 1),
        "ratio": round(
            sum(one["flatlab_s"] for one in blocks) / sum(one["plain_s"] for one in blocks), 3
        ),
        "plain_cpu_s": round(sum(one["plain_cpu_s"] for one in blocks), 1),
        "flatlab_cpu_s": round(sum(one["flatlab_cpu_s"] for one in blocks), 1),
        "ratio_low": round(min(ratios), 3),
        "ratio_high": round(max(ratios), 3),
        "plain_each_s": round(single, 2),
        **{f"{name}_s": round(value, 2) for name, value in middle.items()},
        "plain_each_cpu_s": round(single_cpu, 2),
        "overhead": round(
            (middle["rebuild_cpu"] + middle["run_sandboxed_cpu"]) / single_cpu - 1, 3
        ),
        "overhead_sandbox": round(statistics.median(sandbox), 3),
        "scores_equal": sum(one["scores_equal"] for one in blocks),
        "scores": sum(one["scores"] for one in blocks),
    }


def written(setting: dict, s: dict) -> str:
    """The table, as docs and the run's end show it."""
    rows = [
        ("submissions graded both ways", f"{s['submissions']} of {s['of']}"),
        ("plain `nbgrader autograde`, one after another", f"{s['plain_s']:.0f} s"),
        (f"`flatlab grade -j {setting['jobs']}`", f"{s['flatlab_s']:.0f} s"),
        (
            "ratio of wall times (goal: at most 0.6)",
            f"**{s['ratio']:.2f}** (blocks {s['ratio_low']:.2f} to {s['ratio_high']:.2f})",
        ),
        (
            "CPU time of the two, all their processes",
            f"{s['plain_cpu_s']:.0f} s and {s['flatlab_cpu_s']:.0f} s",
        ),
        *[
            (name, f"{s[f'{key}_cpu_s']:.2f} s of CPU, {s[f'{key}_s']:.1f} s")
            for name, key in (
                ("plain nbgrader, a submission", "plain_each"),
                ("rebuild", "rebuild"),
                ("nbgrader's autograde in the sandbox", "run_sandboxed"),
                ("the same without the sandbox", "run_bare"),
                ("verdict, in its own sandbox", "verdict"),
            )
        ],
        (
            "CPU of rebuild and sandboxed run over plain (goal: at most 15 %)",
            f"**{100 * s['overhead']:+.0f} %**",
        ),
        ("of the sandboxed run over the bare one", f"{100 * s['overhead_sandbox']:+.0f} %"),
        ("scores of both gradebooks that agree", f"{s['scores_equal']} of {s['scores']}"),
    ]
    head = f"Chapter {setting['chapter']}, {setting['cores']} cores; medians of single gradings."
    lines = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join([head, "", "| | |", "|---|---|", *lines]) + "\n"


if __name__ == "__main__":
    main()
