"""Damaged notebooks: a submission's answers, found again and put into a fresh release.

``rebuild`` is the whole of it; ``collect`` finds the notebooks in a folder or a learning
platform's zip. No student's code runs here, and nothing is unpickled.
"""

from flatlab.course.rebuild.archive import ArchiveRefused, Limits
from flatlab.course.rebuild.collect import collect
from flatlab.course.rebuild.release import Release
from flatlab.course.rebuild.senders import Handed
from flatlab.course.rebuild.transplant import Rebuilt, rebuild

__all__ = ["ArchiveRefused", "Handed", "Limits", "Rebuilt", "Release", "collect", "rebuild"]
