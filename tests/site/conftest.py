"""Puts the site's modules on the import path, and the search for leaks."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path += [str(TESTS.parent / "docs" / "site"), str(TESTS / "notebooks")]
