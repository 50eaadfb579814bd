"""Running a submission where it can do no harm: limits, sandbox, nbgrader's autograde inside.

``grade_one`` is the whole of it. What the submission's own code decided is in its result; whether
that is believed is decided elsewhere, in a process that never loads the submission.
"""

from flatlab.course.grading.kit import Kit, make_kit
from flatlab.course.grading.limits import Limits
from flatlab.course.grading.run import GradingRefused, grade_one
from flatlab.course.grading.sandbox import available

__all__ = ["GradingRefused", "Kit", "Limits", "available", "grade_one", "make_kit"]
