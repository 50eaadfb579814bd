"""What a submission can see and reach: one spy looks everywhere, each test reads its report."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from mini_course import FULL, OPEN_SECRET, SECRET_LINES, scores, shown, submission

from flatlab.course.grading import grade_one

pytestmark = [pytest.mark.grading, pytest.mark.slow]

PACKAGE = Path(__file__).resolve().parents[3] / "flatlab"
SECRET = "kept-from-students-7391"
SPY = '''
import json, os, socket, stat, subprocess

def tried(action):
    try:
        return action() or "done"
    except BaseException as error:
        return type(error).__name__

def write(path):
    with open(path, "a") as file:
        file.write("# was here")

def connect(address):
    with socket.create_connection(address, timeout=3):
        pass

def holders(needles):
    """Files below what can be read that hold one of the needles."""
    found = []
    for root, folders, names in os.walk("/"):
        if root.startswith(("/proc", "/sys", "/dev", "/usr", PYTHON, VENV)):
            folders[:] = []
            continue
        for name in names:
            path = os.path.join(root, name)
            try:
                if not stat.S_ISREG(os.lstat(path).st_mode):
                    continue
                with open(path, "rb") as file:
                    data = file.read(1 << 24)
            except OSError:
                continue
            if any(needle.encode() in data for needle in needles):
                found.append(path)
    return found

def text_of(path):
    with open(path, "rb") as file:
        return file.read(4000).decode(errors="replace")

here, parent = os.getpid(), os.getppid()
report = {
    "environment": dict(os.environ),
    "uid": os.getuid(),
    "gids": sorted({os.getgid(), *os.getgroups()}),
    "seen": {path: tried(lambda: os.listdir(path)) for path in SEEN},
    "write": {path: tried(lambda: write(path)) for path in WRITE},
    "connect": tried(lambda: connect(ADDRESS)),
    "name": tried(lambda: socket.gethostbyname("example.org")),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "holders": holders([*SECRETS]),
    "control": holders(["# was here"]),
    "tests": [os.path.basename(p) for p in holders(["'hidden b'"])],
    "processes": len([n for n in os.listdir("/proc") if n.isdigit()]),
    "parent fds": tried(lambda: os.listdir(f"/proc/{parent}/fd")),
    "parent memory": tried(lambda: open(f"/proc/{parent}/mem", "rb").close()),
    "parent environment": tried(lambda: text_of(f"/proc/{parent}/environ")),
    "first environment": tried(lambda: text_of("/proc/1/environ")),
    "own fds": [tried(lambda: os.readlink(f"/proc/self/fd/{n}")) for n in range(3, 40)],
    "root again": tried(lambda: os.setuid(0)),
    "mount": tried(lambda: subprocess.run(["mount", "-o", "remount,rw", "/"], check=True)),
    "capabilities": [l for l in open("/proc/self/status") if l.startswith(("CapEff", "CapPrm"))],
}
'''


@contextlib.contextmanager
def listener():
    """A server on loopback that counts who came."""
    came = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        done = threading.Event()

        def serve():
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, address = server.accept()
                    connection.close()
                    came.append(address)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname(), came
        finally:
            done.set()
            thread.join()


def fingerprint(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def seen(layout, kit, bubblewrap, tmp_path_factory):
    """(the spy's report, who came to the listener, what was changed outside)."""
    neighbor = tmp_path_factory.mktemp("submitted") / "another-student.ipynb"
    neighbor.write_text(SECRET)
    gradebook = layout.root / "gradebook.db"
    gradebook.write_text(SECRET)
    before = {**fingerprint(layout.root), **fingerprint(neighbor.parent)}
    package_before = fingerprint(PACKAGE / "course" / "grading")
    write = [
        str(PACKAGE / "course" / "grading" / "limits.py"),
        *(str(neighbor), str(gradebook), "/etc/passwd", "/job/notebook.ipynb", "/usr/new", "/new"),
        "/root/new",
    ]
    look = [str(layout.root), str(PACKAGE.parent), str(neighbor.parent), "/home", "/root", "/tmp"]
    with listener() as (address, came), pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLATLAB_SECRET_TOKEN", SECRET)
        names = {
            "ADDRESS": address,
            "WRITE": write,
            "SEEN": [*look, str(Path.home())],
            "SECRETS": [*SECRET_LINES.values(), OPEN_SECRET, SECRET],
            "PYTHON": sys.base_prefix,
            "VENV": sys.prefix,
        }
        # Half of each secret, joined inside: the spy must not find itself.
        names["SECRETS"] = [[text[:9], text[9:]] for text in names["SECRETS"]]
        values = "\n".join(f"{name} = {value!r}" for name, value in names.items())
        values += "\nSECRETS = [a + b for a, b in SECRETS]"
        body = textwrap.indent(f"{values}\n{SPY}", "    ")
        source = f"def b(x):\n    if x == 2:\n        return 6\n{body}\n"
        source += "    print('<<<' + json.dumps(report) + '>>>')\n    return 3 * x"
        result = grade_one(submission(layout, b=source), kit)
        assert scores(result) == FULL, result
    text = shown(result, "check-b")
    report = json.loads(text.split("<<<")[1].split(">>>")[0])
    after = {**fingerprint(layout.root), **fingerprint(neighbor.parent)}
    changed = after != before or fingerprint(PACKAGE / "course" / "grading") != package_before
    return report, came, changed


def test_solutions_are_nowhere(seen):
    assert seen[0]["holders"] == []


def test_the_search_for_solutions_finds_what_is_there(seen):
    report = seen[0]
    assert "notebook.ipynb" in report["control"][0]  # the spy's own words
    assert "gradebook.db" in report["tests"]  # the hidden tests: known to be readable


def test_the_environment_is_a_short_list(seen):
    names = set(seen[0]["environment"])
    assert SECRET not in json.dumps(seen[0])
    assert "FLATLAB_SECRET_TOKEN" not in names
    allowed = {"PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "LANG", "LC_CTYPE", "PWD"}
    own = ("PYTHON", "OMP_", "FLATLAB_", "CUDA_", "MPL", "JPY_", "NBGRADER_", "KMP_", "SHLVL")
    tools = ("PYDEVD_", "TERM", "CLICOLOR", "FORCE_COLOR", "PAGER", "GIT_PAGER", "COLUMNS", "LINES")
    assert [n for n in names - allowed if not n.startswith((*own, *tools))] == []


def test_no_network(seen):
    report, came, _ = seen
    assert report["connect"] in ("ConnectionRefusedError", "OSError", "TimeoutError")
    assert report["name"] == "gaierror"
    assert report["interfaces"] == ["lo"]
    assert came == []


def test_the_listener_counts():
    with listener() as (address, came):
        socket.create_connection(address, timeout=3).close()
        for _ in range(50):
            if came:
                break
            threading.Event().wait(0.1)
    assert len(came) == 1


def test_nothing_outside_is_seen_or_changed(seen, layout):
    report, _, changed = seen
    assert set(report["write"].values()) <= {"PermissionError", "OSError", "FileNotFoundError"}
    assert report["seen"][str(layout.root)] == "FileNotFoundError"
    assert set(report["seen"][str(PACKAGE.parent)]) <= {"flatlab", ".venv", "venv"}
    assert not any("flatlab-grading" in name for name in report["seen"]["/tmp"])
    assert not changed


def test_no_privilege(seen):
    report = seen[0]
    assert report["uid"] != 0 and 0 not in report["gids"]
    assert report["root again"] == "PermissionError"
    assert report["mount"] != "done"
    assert all(int(line.split()[1], 16) == 0 for line in report["capabilities"])


def test_the_grading_process_cannot_be_looked_into(seen):
    report = seen[0]
    assert report["parent fds"] == "PermissionError"
    assert report["parent memory"] == "PermissionError"
    assert report["parent environment"] == "PermissionError"
    assert SECRET not in report["first environment"]
    assert report["processes"] < 8  # its own and the grader's
    assert not [link for link in report["own fds"] if str(link).startswith("/tmp/flatlab")]


def test_the_kit_holds_no_solution(kit):
    data = kit.gradebook.decode("latin-1") + repr(kit.tests)
    assert [line for line in [*SECRET_LINES.values(), OPEN_SECRET] if line in data] == []
    assert "hidden b" in data  # while the hidden tests are there


def test_the_caller_without_root_takes_a_user_namespace(layout, kit, bubblewrap, tmp_path):
    """As an ordinary user the command runs as nobody; tried from within a user namespace."""
    if os.getuid() != 0:
        pytest.skip("the other tests run without root already")
    program = tmp_path / "grade.py"
    spy = "import os\ndef b(x):\n    print('uid', os.getuid())\n    return 3 * x"
    program.write_text(
        "import json, sys\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from mini_course import NAME, shown, scores, submission\n"
        "from flatlab.course.grading import grade_one, make_kit\n"
        "from flatlab.course.layout import Layout\n"
        f"layout = Layout(Path({str(layout.root)!r}))\n"
        "kit = make_kit(layout, NAME)\n"
        f"result = grade_one(submission(layout, b={spy!r}), kit)\n"
        "print('RESULT', json.dumps([scores(result), shown(result, 'check-b')]))\n"
    )
    outer = [shutil.which("bwrap"), "--unshare-user", "--uid", "1000", "--gid", "1000"]
    outer += ["--unshare-pid", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc"]
    done = subprocess.run(
        [*outer, "--", sys.executable, str(program)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    points, text = json.loads(done.stdout.split("RESULT ")[1])
    assert points == FULL and "uid 65534" in text
