"""The reproduction ledger: run what the slides claim, and write docs/reproduction.md.

    python bench/reproduce.py                  every run that is not on file yet, then the page
    python bench/reproduce.py gd-0.5 escape    only what these claims need
    python bench/reproduce.py --report         the page alone, from the runs on file
    python bench/reproduce.py --list           the claims and what is on file for each
    python bench/reproduce.py --checkpoint gd-0.1    train and store one of flatlab's checkpoints

Runs are kept in bench/results/ledger/ as they finish and never repeated; long full-batch runs are
also saved on the way, in build/reproduce/, so that an interrupted command goes on where it stood.
A chapter's claims are one module in bench/claims/. Needs Fashion-MNIST, and for one claim
CIFAR-10, under $FLATLAB_DATA.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads of other programs are not starved

from ledger import page
from ledger.rules import Claim


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help="names of claims; none is all")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, ... (default 5)")
    parser.add_argument("--report", action="store_true", help="write the page and run nothing")
    parser.add_argument("--list", action="store_true", help="print the claims and run nothing")
    parser.add_argument("--checkpoint", metavar="NAME", help="train and store a checkpoint")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds {options.seeds}: give at least 1")
    if options.checkpoint is not None:
        from ledger import networks

        if options.checkpoint not in networks.CHECKPOINTS:
            known = ", ".join(networks.CHECKPOINTS)
            parser.error(f"there is no checkpoint {options.checkpoint}; the recipes are {known}")
        return print(networks.make_checkpoint(options.checkpoint))
    known = {claim.name: claim for module in page.chapters().values() for claim in module.CLAIMS}
    unknown = [name for name in options.claims if name not in known]
    if unknown:
        parser.error(f"no claim {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [known[name] for name in options.claims or known]
    if options.list:
        return print_list(chosen)
    if not options.report:
        for seed in range(options.seeds):
            for claim in chosen:
                for _ in run_claim(claim, seed):
                    page.write()  # page and rows agree also after an interruption
    page.write()
    print_list(chosen)


def run_claim(claim: Claim, seed: int) -> Iterator[str]:
    """Make the runs of a claim that are not on file for this seed; the name of each, once kept."""
    for name, run in claim.runs.items():
        if run.experiment.find(run.settings, seed) is None:
            began = time.perf_counter()
            print(f"{claim.name}: {name}, seed {seed} ...", end=" ", flush=True)
            run.experiment.run(run.settings, seed)
            print(f"{time.perf_counter() - began:.0f} s", flush=True)
            yield name


def print_list(chosen: list[Claim]) -> None:
    for claim in chosen:
        result = page.outcome(claim)
        found = "; ".join(f"{point.what} {point.found}" for point in result.points)
        state = f"{result.verdict}, {page.count(result.seeds)}"
        print(f"{claim.name:22} {state:28} {found}")


if __name__ == "__main__":
    sys.exit(main())
