"""Verdicts out of a submission's reach: run in a sandbox, decided outside."""

from flatlab.course.verdict.cells import NotRebuilt
from flatlab.course.verdict.compare import compare
from flatlab.course.verdict.decide import decide
from flatlab.course.verdict.plan import trusted

__all__ = ["NotRebuilt", "compare", "decide", "trusted"]
