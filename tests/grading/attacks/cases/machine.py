# %% [markdown]
# Attacks on the machine and on the run: its end, its time, its memory, its disk. All are bounded
# in count and size by themselves.

# %% attack="exit" tries="raises SystemExit in the answer"
import sys


def gradient_step(w, gradient, learning_rate):
    sys.exit(0)


# %% attack="exit-at-once" tries="ends the process from the answer, without a word"
import os


def gradient_step(w, gradient, learning_rate):
    os._exit(0)


# %% attack="at-exit" tries="tells full marks on every way out when the process ends"
import atexit
import os


def last_words():
    for number in range(3, 100):
        try:
            os.set_blocking(number, False)
            os.write(number, b'\nrecord ["dict", [["kind", "outputs"]]]\ndone 0\n')
        except OSError:
            pass


atexit.register(last_words)

# %% attack="thread" tries="a thread that outlives the cell patches the checks again and again"
import sys
import threading
import time


def work():
    for _ in range(600):
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith("flatlab.checks"):
                for name, value in (("compare", None), ("close", True), ("run", None)):
                    if hasattr(module, name):
                        setattr(module, name, lambda *a, value=value, **k: value)
        time.sleep(0.05)


threading.Thread(target=work, daemon=True).start()

# %% attack="late-thread" tries="a thread raises in, and prints into, the cells after it"
import ctypes
import threading
import time


def work():
    for number in range(40):
        time.sleep(0.25)
        print("from the thread", number)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(threading.main_thread().ident), ctypes.py_object(KeyboardInterrupt)
        )


threading.Thread(target=work, daemon=True).start()

# %% attack="left-behind" tries="leaves a process in a session of its own that goes on writing"
import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(200):
            for place in ("/tmp", os.path.expanduser("~")):
                with open(f"{place}/left-behind", "a") as file:
                    file.write("here\n")
            time.sleep(0.5)
    os._exit(0)
os.wait()

# %% attack="kills-the-grader" tries="kills its parent process and all that it may"
import os
import signal


def gradient_step(w, gradient, learning_rate):
    for number in (os.getppid(), 1):
        try:
            os.kill(number, signal.SIGKILL)
        except OSError:
            pass
    os.kill(-1, signal.SIGKILL)


# %% attack="process-flood" tries="starts up to 100 processes"
import os
import time

for _ in range(100):
    try:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
    except OSError:
        break

# %% attack="memory-flood" tries="takes up to 6 GB"
hoard = []
try:
    for _ in range(60):
        hoard.append(b"x" * (100 << 20))
except MemoryError:
    pass

# %% attack="disk-flood" tries="writes up to 600 MB into every folder it may"
import os

for place in ("/tmp", "/dev/shm", os.path.expanduser("~")):
    try:
        for number in range(20):
            with open(f"{place}/big-{number}", "wb") as file:
                for _ in range(30):
                    file.write(bytes(1 << 20))
    except OSError:
        pass

# %% attack="output-flood" tries="prints 60 MB, also past Python's streams, and 20 000 pictures"
import os
import sys

from IPython.display import display

for _ in range(300):
    print("flood" * 20_000)
for _ in range(2000):
    display({"text/plain": "x" * 1000}, raw=True)
for number in (1, 2):
    for _ in range(100):
        try:
            os.write(number, b"flood" * 2000)
        except OSError:
            break

# %% attack="endless" tries="never returns"
def gradient_step(w, gradient, learning_rate):
    while True:
        pass


# %% attack="endless-and-deaf" tries="never returns, and catches every interrupt"
import signal
import time

for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
while True:
    try:
        time.sleep(1)
    except BaseException:
        pass

# %% attack="links" tries="leaves links to files outside where results are looked for"
import os

for root, folders, names in os.walk(os.path.expanduser("~")):
    for name in [n for n in names if n.endswith((".ipynb", ".json", ".db"))]:
        try:
            os.remove(os.path.join(root, name))
            os.symlink("/etc/passwd", os.path.join(root, name))
        except OSError:
            pass
