"""docs/reproduction.md, from the claims and the runs on file."""

import importlib
import pkgutil
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ledger.rules import Claim, Point, verdict

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reproduction.md"
HEAD = """# What the slides claim, what we measured

Written by `make reproduce` (or `python bench/reproduce.py --report`, which runs nothing) from the runs in
`bench/results/ledger/`; do not edit. `make reproduce CLAIM=name` makes the runs that a row still lacks.

A claim is judged point by point, by the rule that stands in brackets, from the numbers alone.
**Reproduced**: every point holds. **Not**: no point holds, not even in more than half of the seeds.
**Partly**: anything between. Numbers are means ± standard deviations over all seeds on file. *sd* is the
published runs' standard deviation. *Runs*: seeds, scale, minutes, device.

In chapters 01 and 02 λ_max is the sharpness *a*, s the non-uniformity, both of the mean squared error over samples and outputs on
one-hot targets, certified by Lanczos residuals to 0.1 % and 1 %. *Authors' runs* are `wu2018-fashionmnist-*.csv`.
Scale *paper*: trained to the loss of the published runs, 1e-4; *laptop*: to the loss of the notebook, 1e-3; in
chapters 03 to 08 *laptop*: smaller networks and data than on the slides.
Minutes are those of the runs behind a row, on a shared machine: an upper bound. Rows share runs.
"""


@dataclass(frozen=True)
class Outcome:
    """A claim with what is on file for it."""

    claim: Claim
    seeds: tuple[int, ...]  # all in which every run of the claim is on file
    points: tuple[Point, ...]
    seconds: float
    scale: str
    devices: str

    @property
    def verdict(self) -> str:
        return verdict(list(self.points)) if self.points else "not run"


def chapters() -> dict[str, object]:
    """Every chapterNN of bench/claims: name -> module with TITLE, SETTING and CLAIMS."""
    import claims

    names = [info.name for info in pkgutil.iter_modules(claims.__path__)]
    names = sorted(name for name in names if re.fullmatch(r"chapter\d\d", name))
    return {name: importlib.import_module(f"claims.{name}") for name in names}


def outcome(claim: Claim) -> Outcome:
    """Judge a claim from the runs on file, in every seed that has all of them."""
    found = {name: run.experiment.seeds(run.settings) for name, run in claim.runs.items()}
    scale = ", ".join(sorted({run.experiment.scale for run in claim.runs.values()}))
    seeds = tuple(sorted(set.intersection(*(set(rows) for rows in found.values()))))
    if not seeds:
        return Outcome(claim, (), (), 0.0, scale, "")
    rows = {name: [found[name][seed] for seed in seeds] for name in found}
    columns = {
        name: {
            column: np.array([float(row[column] or "nan") for row in rows[name]])
            for column in (*claim.runs[name].experiment.columns, "seed")
        }
        for name in rows
    }
    everything = [row for group in rows.values() for row in group]
    return Outcome(
        claim,
        seeds,
        tuple(claim.judge(columns)),
        sum(float(row["seconds"] or 0) for row in everything),
        ", ".join(sorted({row["scale"] for row in everything})),
        "; ".join(sorted({row["device"] for row in everything})),
    )


def count(seeds: Sequence[int]) -> str:
    return f"{len(seeds)} seed{'' if len(seeds) == 1 else 's'}"


def table_row(result: Outcome) -> str:
    """One line of the page's table."""
    claim = result.claim
    ours = "; ".join(f"{p.what} {p.found} [{p.asks}: {p.mark}]" for p in result.points)
    judged = f"**{result.verdict}**"
    if result.points:
        runs = f"{count(result.seeds)}, {result.scale}, {result.seconds / 60:.1f} min, "
        runs += result.devices
    else:
        runs = "-"
    cells = (
        f"{claim.says} *{claim.slide}*", claim.published, ours or "-", judged, runs,
        f"`make reproduce CLAIM={claim.name}`",
    )  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def paper_scale(results: Sequence[Outcome]) -> str:
    """A chapter's line on the claims that were run at paper scale."""
    paper = [result for result in results if "paper" in result.scale.split(", ")]
    lacking = [f"`{result.claim.name}`" for result in paper if not result.points]
    if not paper:
        return "Paper scale: not run, no CUDA GPU was at hand. All rows are at laptop scale."
    line = f"Paper scale: {len(paper) - len(lacking)} of {len(results)} claims."
    if lacking:
        line += f" Not run: {', '.join(lacking)}."
    if len(paper) < len(results):
        line += " The others are at laptop scale; no CUDA GPU was at hand."
    return line


def text() -> str:
    """The whole page."""
    parts = [HEAD]
    totals: dict[str, int] = {}
    sections = []
    for module in chapters().values():
        results = [outcome(claim) for claim in module.CLAIMS]
        for result in results:
            totals[result.verdict] = totals.get(result.verdict, 0) + 1
        notes = [f"- `{r.claim.name}`: {r.claim.note}" for r in results if r.claim.note]
        sections += [
            f"## {module.TITLE}\n",
            f"{module.SETTING}\n",
            f"{paper_scale(results)}\n",
            "| claim | published | ours [rule: does it hold?] | verdict | runs | command |",
            "|---|---|---|---|---|---|",
            *map(table_row, results),
            *(["\nRemarks:\n", *notes] if notes else []),
            "",
        ]
    order = ("reproduced", "partly", "not", "not run")
    counted = ", ".join(f"{totals[name]} {name}" for name in order if name in totals)
    parts.append(f"{sum(totals.values())} claims: {counted}.\n")
    return "\n".join([*parts, *sections]).rstrip() + "\n"


def write() -> None:
    """Write docs/reproduction.md."""
    PAGE.write_text(text(), encoding="utf-8")
