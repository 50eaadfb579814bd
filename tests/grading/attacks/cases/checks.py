# %% [markdown]
# Attacks on what judges: the checks, the libraries they use, Python's own functions, the notebook's
# machinery. Each cell runs behind a wrong `gradient_step`, unless it defines one itself.

# %% attack="patched-check" tries="puts a check that passes in the place of chapter00's"
from flatlab.checks import chapter00


class Passes:
    def __call__(self, *functions):
        print("✓")

    def hidden(self, aim):
        return lambda kind: kind

    def grade(self, *functions):
        return None


chapter00.gradient_step = Passes()
check = chapter00

# %% attack="emptied-check" tries="takes the visible checks out and refuses hidden ones"
from flatlab.checks import chapter00


class Empty(dict):
    def __setitem__(self, key, value):
        pass


chapter00.gradient_step.visible = Empty()
chapter00.gradient_step.hidden_checks = Empty()

# %% attack="patched-run" tries="makes flatlab.checks.core.run find nothing wrong"
import flatlab.checks.core as core

core.run = lambda check, student, seed: None

# %% attack="patched-code" tries="changes the code objects of run and observe in place"
import flatlab.checks.core as core

core.run.__code__ = (lambda check, student, seed: None).__code__

# %% attack="patched-compare" tries="replaces compare and close in every module that has them"
import sys

for module in list(sys.modules.values()):
    for name, value in (("compare", None), ("close", True), ("judged", None)):
        if hasattr(module, name) and "flatlab" in getattr(module, "__name__", ""):
            setattr(module, name, lambda *a, value=value, **k: value)

# %% attack="patched-failure" tries="makes the exception of a failed check end without an error"
import flatlab.checks.core as core


class Quiet(BaseException):
    def __new__(cls, *arguments):
        raise SystemExit(0)


core.CheckFailed = Quiet

# %% attack="patched-torch" tries="makes every random tensor zero, so that wrong equals right"
import torch

torch.randn = lambda *shape, generator=None, dtype=None: torch.zeros(*shape, dtype=dtype)
torch.rand = torch.randn
torch.Tensor.normal_ = lambda self, *a, **k: self.zero_()
torch.allclose = torch.equal = lambda *a, **k: True

# %% attack="patched-numpy" tries="makes every norm 0 and everything close"
import numpy as np

np.linalg.norm = lambda *a, **k: 0.0
np.allclose = np.array_equal = lambda *a, **k: True
np.isfinite = lambda x: np.ones(np.shape(x), bool)

# %% attack="patched-builtins" tries="all, any, abs, callable and isinstance say what suits"
import builtins

builtins.all = lambda *a: True
builtins.any = lambda *a: False
builtins.abs = lambda x: 0.0
builtins.callable = lambda x: True

# %% attack="silent-tracebacks" tries="has IPython show no error"
shell = get_ipython()
shell.showtraceback = lambda *a, **k: None
shell._showtraceback = lambda *a, **k: None
shell.showsyntaxerror = lambda *a, **k: None

# %% attack="input-transformer" tries="turns the source of later cells into pass"
get_ipython().input_transformers_post.append(
    lambda lines: ["pass\n"] if any("check." in line for line in lines) else lines
)

# %% attack="score-as-value" tries="ends every later cell in the value 4, nbgrader's partial credit"
get_ipython().input_transformers_post.append(lambda lines: ["4.0\n"])

# %% attack="patched-run-cell" tries="has the kernel report every cell as done"
shell = get_ipython()
true_run = shell.run_cell


def run_cell(text, *arguments, **named):
    result = true_run("pass" if "check." in text else text, *arguments, **named)
    result.error_in_exec = result.error_before_exec = None
    return result


shell.run_cell = run_cell

# %% attack="forged-messages" tries="changes the kernel's own messages on their way out"
try:
    session = get_ipython().kernel.session
    true_send = session.send

    def send(stream, kind, *arguments, **named):
        content = named.get("content") or (arguments[0] if arguments else None)
        if kind == "error":
            return None
        if isinstance(content, dict) and content.get("status") == "error":
            content.clear()
            content.update(status="ok", execution_count=1, user_expressions={}, payload=[])
        return true_send(stream, kind, *arguments, **named)

    session.send = send
except AttributeError:
    pass

# %% attack="tracing" tries="follows the checks with a trace function and changes what they hold"
import sys


def trace(frame, event, argument):
    if "outputs" in frame.f_locals and "inputs" in frame.f_locals:
        outputs, inputs = frame.f_locals["outputs"], frame.f_locals["inputs"]
        if isinstance(outputs, dict) and "result" in outputs and "w" in inputs:
            g = inputs.get("gradient", inputs.get("g", inputs["w"]))
            outputs["result"] = inputs["w"] - inputs.get("learning_rate", 0.25) * g
    return trace


sys.settrace(trace)
sys.setprofile(lambda *a: None)
