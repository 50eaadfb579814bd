"""Many submissions at once: graded beside each other, journalled, merged by one writer.

``grade`` is one submission as a Python call, without side effects; its record is plain data.
"""

from flatlab.course.batch.desk import Desk, make_desk
from flatlab.course.batch.one import grade

__all__ = ["Desk", "grade", "make_desk"]
