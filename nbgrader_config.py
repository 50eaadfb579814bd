# nbgrader's settings for this course; `flatlab build` and plain `nbgrader` both read them.
from flatlab.course.release import preprocessors

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "flatlab"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "notebooks"

# Grading runs the quick scale, where no cell takes more than seconds; this is for slow machines.
c.ExecutePreprocessor.timeout = 120

c.GenerateAssignment.preprocessors = preprocessors()
