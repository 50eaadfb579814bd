"""Faults of figures that the chapters have today: how many, by chapter and cell.

Mending one changes code of the chapter, which must then be executed and stored again. A fault more or
less fails the test, so this list can only become shorter with the chapters.
"""

KNOWN: dict[str, dict[str, int]] = {
    "01-sharp-and-flat": {
        "widget-quadratic": 2,
        "experiment-landscape": 1,
    },
    "02-which-minima-are-stable": {
        "experiment-escape": 1,
        "experiment-ellipse": 1,
        "experiment-progressive-sharpening": 1,
        "experiment-diagram": 1,
        "widget-region": 1,
    },
    "03-noise-eta-over-s": {
        "experiment-batch-noise": 1,
        "experiment-long-runs": 1,
        "widget-wells": 2,
        "experiment-one-twin": 7,
        "experiment-width": 1,
        "experiment-twenty-layers": 1,
        "experiment-rescaling": 2,
    },
    "04-heavy-tails": {
        "experiment-two-wells": 1,
        "widget-double-well": 3,
    },
    "05-sharpness-aware": {
        "widget-schematic": 16,
    },
    "06-mode-connectivity": {
        "experiment-straight-line": 1,
        "experiment-ring": 3,
        "experiment-curves": 1,
        "widget-along-the-curve": 4,
        "experiment-batch-norm": 1,
        "experiment-width-and-alignment": 1,
    },
    "07-grokking": {
        "widget-scrub": 4,
    },
    "08-double-descent": {
        "widget-one-dimension": 2,
    },
}
