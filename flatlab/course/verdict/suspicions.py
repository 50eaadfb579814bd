"""Code that no exercise asks for: named to a person, never scored."""

from __future__ import annotations

import ast

from flatlab.course.verdict.cells import plain

# module or name -> what it is for
MODULES = {
    "gc": "walks the objects of the process",
    "ctypes": "reads and writes memory",
    "atexit": "runs code when the process ends",
    "signal": "changes the time limits",
    "threading": "runs on after the cell",
    "multiprocessing": "starts processes",
    "subprocess": "starts processes",
    "socket": "opens connections",
    "builtins": "changes Python's own functions",
    "unittest": "replaces objects of other modules",
    "pickle": "runs code when it is read",
}
NAMES = {
    "_getframe": "walks the frames of its callers",
    "currentframe": "walks the frames of its callers",
    "setprofile": "switches off the hook that sees calls into the package",
    "settrace": "watches the code that runs it",
    "_exit": "ends the process",
    "environ": "reads the environment, which tells that it is graded",
    "getenv": "reads the environment, which tells that it is graded",
    "argv": "reads how the process was started",
    "get_ipython": "changes how the notebook runs",
    "__torch_function__": "makes tensors that answer for themselves",
    "__array__": "makes objects that change when read",
    "__subclasses__": "walks the classes of the process",
    "__globals__": "reaches into another function's module",
    "meta_path": "changes what an import gives",
    "sys.modules": "changes what an import gives",
    "f_locals": "reads the variables of its callers",
    "f_back": "walks the frames of its callers",
    "fork": "starts processes",
    "kill": "ends processes",
}
CALLS = {
    "exec": "runs text as code",
    "eval": "runs text as code",
    "open": "opens a file",
    "exit": "ends the process",
    "__import__": "imports by a computed name",
    "globals": "changes names by text",
    "setattr": "changes names by text",
}


def find(code: str) -> list[str]:
    """One line for each thing in ``code`` that a person should look at."""
    try:
        tree = ast.parse(plain(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = _parseable(code)
    found = {}
    for node in ast.walk(tree):
        for name, why in _at(node):
            found.setdefault(name, f"line {getattr(node, 'lineno', 0)}: {name} {why}.")
    return list(found.values())


def _parseable(code: str) -> ast.Module:
    """The statements of a text that is no Python as a whole, top-level block by block."""
    blocks: list[list[str]] = [[]]
    for line in plain(code).split("\n"):
        if line[:1].strip() and not line.startswith((")", "]", "}", "else", "elif", "except")):
            blocks.append([])
        blocks[-1].append(line)
    body: list[ast.stmt] = []
    for block in blocks:
        try:
            body += ast.parse("\n".join(block)).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return ast.Module(body, [])


def _at(node: ast.AST) -> list[tuple[str, str]]:
    if isinstance(node, ast.Import):
        return [_module(alias.name) for alias in node.names if _module(alias.name)[1]]
    if isinstance(node, ast.ImportFrom):
        names = [(a.name, NAMES[a.name]) for a in node.names if a.name in NAMES]
        whole = _module(node.module or "")
        return names + ([whole] if whole[1] else [])
    if isinstance(node, ast.Attribute):
        names = (node.attr, f"{getattr(node.value, 'id', '')}.{node.attr}")
        return [(name, NAMES[name]) for name in names if name in NAMES]
    if isinstance(node, ast.Name) and node.id in NAMES:
        return [(node.id, NAMES[node.id])]
    if isinstance(node, ast.FunctionDef) and node.name in NAMES:
        return [(node.name, NAMES[node.name])]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
        return [(node.func.id, CALLS[node.func.id])]
    if isinstance(node, ast.Assign):
        return [w for target in node.targets if (w := _patch(target))]
    return []


def _module(name: str) -> tuple[str, str]:
    parts = name.split(".")
    if parts[:2] == ["flatlab", "checks"]:
        return name, "takes the checks' own helpers"
    return parts[0], MODULES.get(parts[0], "")


def _patch(target: ast.expr) -> tuple[str, str] | None:
    """``module.name = ...`` for a module that answers only use."""
    if not isinstance(target, ast.Attribute):
        return None
    names: list[str] = []
    owner: ast.expr = target
    while isinstance(owner, ast.Attribute):  # ast.unparse would end a deep one with RecursionError
        names.append(owner.attr)
        owner = owner.value
    first = owner.id if isinstance(owner, ast.Name) else ""
    if first in ("torch", "np", "numpy", "math", "check", "flatlab", "sys", "os"):
        return ".".join([first, *reversed(names)]), "is replaced"
    return None
