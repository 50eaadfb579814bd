"""Many submissions at once: graded beside each other, journalled, merged by one writer.

``grade`` is one submission as a Python call, without side effects; its record is plain data.
"""

from flatlab.course.batch.desk import Desk, make_desk
from flatlab.course.batch.journal import Busy, Journal
from flatlab.course.batch.many import Way, grade_all
from flatlab.course.batch.merge import Merged, merge
from flatlab.course.batch.one import grade

__all__ = [
    "Busy",
    "Desk",
    "Journal",
    "Merged",
    "Way",
    "grade",
    "grade_all",
    "make_desk",
    "merge",
]
