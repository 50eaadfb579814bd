"""The modules of ``flatlab.checks`` that one exercise finds in the sandbox."""

from __future__ import annotations

from flatlab.course.verdict.chapter import Chapter, Graded
from flatlab.course.verdict.cut import call_halves

# What the worker itself uses, and what a notebook's setup imports of the checks.
ALWAYS = [
    ("flatlab.checks.core", "plain"),
    ("flatlab.checks.core", "WrongAnswer"),
    ("flatlab.checks.guard", "TopicGuard"),
]
CHECKS = """
class CheckFailed(AssertionError):
    pass
def ready(*functions):
    return False
"""
CHAPTER = """
class _NotHere:
    def __call__(self, *functions):
        return None
    def grade(self, *functions):
        return None
def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _NotHere()
"""


def modules(chapter: Chapter, graded: Graded, hidden: bool) -> dict[str, tuple[str, bool]]:
    """``call`` halves of the visible or the hidden checks, and what stands for the other modules."""
    roots = [(check.module, check.kind) for check in graded.checks if check.hidden == hidden]
    modules = call_halves(ALWAYS + roots, graded.hidden_module)
    modules["flatlab.checks"] = (CHECKS, True)
    for name in [*modules, chapter.checks]:
        parts = name.split(".")
        for end in range(3, len(parts)):  # a chapter's parent packages
            modules.setdefault(".".join(parts[:end]), ("", True))
    text, is_package = modules.get(chapter.checks, ("", True))
    modules[chapter.checks] = (text + CHAPTER, is_package)
    return modules
