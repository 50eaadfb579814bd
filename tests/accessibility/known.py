"""Faults of figures that the chapters have today: how many, by chapter and cell.

Mending one changes code of the chapter, which must then be executed and stored again. A fault more or
less fails the test, so this list can only become shorter with the chapters.
"""

KNOWN: dict[str, dict[str, int]] = {}
