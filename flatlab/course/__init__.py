"""The instructor's side: build, check, grade, and the command line ``flatlab``."""

import sys

# Importing jsonschema (nbformat's, nbgrader's) compiles a grammar for a check of addresses that
# notebooks have no use for: 2 s of every process. Without the package it leaves the check out.
sys.modules.setdefault("rfc3987_syntax", None)
