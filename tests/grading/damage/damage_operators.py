"""All damage, by name; what is in these modules is found, so that a new operator is tested."""

import inspect
import random

import damage_cells
import damage_contents
import damage_files
import damage_metadata
from damage_notebooks import Sheet


def _public(*modules) -> dict:
    """The modules' operators: their public functions of a sheet and a generator."""
    return {
        name: function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
        if list(inspect.signature(function).parameters) == ["sheet", "rng"]
    }


TO_CELLS = _public(damage_cells, damage_contents, damage_metadata)
TO_FILES = _public(damage_files)
OPERATORS = TO_CELLS | TO_FILES


def composed(names: list[str], sheet: Sheet, seed: int) -> Sheet:
    """``sheet`` after the operators ``names``, one after another."""
    rng = random.Random(seed)
    for name in names:
        sheet = OPERATORS[name](sheet, rng)
    return sheet
