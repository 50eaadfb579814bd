"""The student's side: check a notebook, read hints, see what is left, pack what is handed in.

All on this machine.
"""

import sys

# Importing jsonschema (nbformat's, nbgrader's) compiles a grammar for a check of addresses that
# notebooks have no use for: 2 s of every process. Without the package it leaves the check out.
sys.modules.setdefault("rfc3987_syntax", None)

from flatlab.student.checking import check
from flatlab.student.submitting import submit

__all__ = ["check", "submit"]
