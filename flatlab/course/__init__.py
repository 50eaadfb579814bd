"""The instructor's side: build, check, grade, and the command line ``flatlab``."""

import flatlab.student  # noqa: F401 - it spares every process 2 s of importing jsonschema
