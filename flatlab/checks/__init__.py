"""Visible checks, one module a chapter; hidden ones live in the chapters' sources."""

from flatlab.checks.core import CheckFailed, Exercise, ready

__all__ = ["CheckFailed", "Exercise", "ready"]
