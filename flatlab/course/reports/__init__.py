"""What a graded class is told: tables for the instructor, a page for the class, feedback for each.

``write`` is the whole of it. It reads records, as ``flatlab.course.batch`` makes them, and the
chapters' releases; it runs nothing and opens no gradebook.
"""

from flatlab.course.reports.write import write

__all__ = ["write"]
