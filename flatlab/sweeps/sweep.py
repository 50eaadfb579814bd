"""``sweep``: many runs of one architecture, in lockstep where that is faster."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from flatlab import __version__
from flatlab.arguments import checked_count
from flatlab.batches import Batches
from flatlab.evaluation import (
    Batch,
    LossFn,
    as_tensors,
    class_labels,
    evaluate,
    trained_parameters,
)
from flatlab.history import TrainingState, checked_metrics
from flatlab.notebook import progress_of
from flatlab.sweeps import lockstep, store
from flatlab.sweeps.job import Job
from flatlab.sweeps.runs import Outcome, Run
from flatlab.sweeps.told import digest_of, structure, told
from flatlab.sweeps.trial import copied, is_faster
from flatlab.training import check_lone_sample, fit

Build = Callable[[torch.Generator], nn.Module]


class AllDiverged(RuntimeError):
    """Every run of the sweep diverged; ``outcomes`` holds them."""

    def __init__(self, message: str, outcomes: list[Outcome]) -> None:
        super().__init__(message)
        self.outcomes = outcomes

    def __reduce__(self):  # from one process to another
        return type(self), (str(self), self.outcomes)


@torch.inference_mode(False)
def sweep(
    build: Build,
    loss_fn: LossFn,
    data: Batch | Iterable[Batch],
    runs: Sequence[Run],
    *,
    steps: int | None = None,
    epochs: int | None = None,
    stop_loss: float | None = None,
    stop_when: lockstep.StopWhen | None = None,
    evaluate_every: int | None = None,
    test_data: Batch | Iterable[Batch] | None = None,
    metrics: Mapping[str, Callable[[nn.Module], float]] | None = None,
    folder: Path | str | None = None,
    engine: str = "auto",
    most_together: int = 64,
    progress: bool = True,
    description: str = "sweep",
) -> list[Outcome]:
    """Train one network for each of ``runs``; the outcomes, in their order.

    Each run ends as ``fit`` on ``run.start(build)`` with the run's settings would, up to rounding,
    whatever the other runs do. Runs with the same batch size, optimizer and number of samples are
    trained in lockstep, their parameters stacked, where a short trial on this machine says that this
    is faster, else one after another. Groups of runs are joblib tasks: inside ``joblib.parallel_config(...)`` they go to
    processes or to a Dask cluster.

    Args:
        build: makes the network from a CPU generator, such as ``models.fnn``.
        loss_fn, data, steps, epochs, stop_loss, evaluate_every, test_data: as for ``fit``.
        stop_when: called after each evaluation with the run's rows so far, mappings of
            ``History``'s columns and the metrics; where it returns True the run ends, "stop_when".
        metrics: name -> function of the model (in evaluation mode), recorded at each evaluation.
        runs: see ``Run`` and ``grid``.
        folder: keeps each finished run as a file; a sweep that is called again with the same
            arguments, by the same flatlab and torch, takes from there what is finished: another loss, network, schedule or metric is told
            by its code, its options and what it captures. None keeps nothing.
        engine: "auto", or "lockstep" or "sequential" to choose.
        most_together: runs in one stack. Where a layer's outputs for a whole stack take many megabytes,
            fewer are faster: the memory stays in the cache and with the process.
        progress: show a bar over all updates with the time left.

    Raises:
        ValueError: no runs; whatever ``fit`` refuses; label noise on targets that are no classes; a
            ``train_fraction`` that leaves nothing to train or to test on;
            ``engine="lockstep"`` for a network with dropout or recurrent layers, and for networks that
            differ in more than parameters and buffers.
        AllDiverged: every run diverged; its ``outcomes`` holds what was recorded.
    """
    runs = list(runs)
    if not runs:
        raise ValueError("there are no runs: the grid is empty")
    checked_count("most_together", most_together)
    if engine not in ("auto", "lockstep", "sequential"):
        raise ValueError(f"engine is {engine!r}: choose auto, lockstep or sequential")
    model, _ = runs[0].start(build)
    trained_parameters(model)
    X, y = as_tensors(data, model)
    test = None if test_data is None else as_tensors(test_data, model)
    evaluate(model, loss_fn, (X[:2], y[:2]))  # refuses a loss_fn that returns no number
    if stop_loss is not None and not stop_loss >= 0:
        raise ValueError(f"stop_loss is {stop_loss}: give a loss of 0 or more, or None")
    if any(run.label_noise for run in runs) and class_labels(y) is None:
        raise ValueError("label_noise needs targets that are classes: integers or one-hot rows")
    if engine == "lockstep" and not lockstep.can_run(model, X):
        raise ValueError(
            "this network draws at random in its layers, trains only a part of itself or puts new "
            "tensors in its buffers' or attributes' place (change them in place), which lockstep "
            "cannot repeat run by run: leave engine at 'auto'"
        )
    job = Job(
        build, loss_fn, (X, y), test, [], steps, epochs,
        -math.inf if stop_loss is None else stop_loss, evaluate_every, checked_metrics(metrics, ["stopped", *(f.name for f in fields(Run))]), engine,
        stop_when,
    )  # fmt: skip
    for run in runs:
        rules = job.rules(run)  # refuses what fits no run before any is trained
        batches = Batches(job.size(run), run.batch_size, [])
        check_lone_sample(model, X[:1], batches, rules.steps)
    names = [None] * len(runs) if folder is None else _names(job, runs)
    done: dict[int, Outcome] = {}
    for place, name in enumerate(names):
        outcome = name and store.read(Path(folder), name, runs[place])
        if outcome:
            done[place] = outcome
    left = [place for place in range(len(runs)) if place not in done]
    from joblib import Parallel, delayed, effective_n_jobs  # here: `import flatlab` stays quick

    jobs = effective_n_jobs(None)
    groups = _groups(job, runs, left, jobs, most_together)
    total = sum(job.rules(runs[place]).steps for place in left)
    with progress_of(total, description, shown=progress and bool(left)) as tick:
        alone = jobs == 1
        tasks = (
            delayed(_train)(
                replace(job, runs=[runs[place] for place in group]), group, tick if alone else None
            )
            for group in groups
        )
        for group, outcomes in Parallel(
            n_jobs=1 if alone else None, return_as="generator_unordered"
        )(tasks):
            for place, outcome in zip(group, outcomes, strict=True):
                done[place] = outcome
                if folder is not None:
                    store.write(Path(folder), names[place], outcome)
            if not alone:
                tick(sum(job.rules(runs[place]).steps for place in group))
    outcomes = [done[place] for place in range(len(runs))]
    if all(outcome.diverged for outcome in outcomes):
        raise AllDiverged(
            f"all {len(outcomes)} runs diverged, the first at step "
            f"{min(int(o.history.step[-1]) for o in outcomes)}: try smaller learning rates. Their "
            "records are in this error's .outcomes.",
            outcomes,
        )
    return outcomes


def _names(job: Job, runs: Sequence[Run]) -> list[str]:
    test = job.test or (None, None)
    parts = (
        digest_of(*job.train, *test), told(job.loss_fn), job.steps, job.epochs,
        job.stop_loss, told(job.stop_when), job.evaluate_every, told(job.metrics),
        __version__, torch.__version__,
    )  # fmt: skip
    return [store.key(run, run.start(job.build)[0], repr(parts)) for run in runs]


def _groups(
    job: Job, runs: Sequence[Run], left: Sequence[int], jobs: int, most: int
) -> list[list[int]]:
    """Runs that can go in lockstep, in stacks of at most ``most``, spread over ``jobs``."""
    alike: list[tuple[object, list[int]]] = []
    for place in left:
        kind = job.kind(runs[place])
        for other, group in alike:
            if other == kind:
                group.append(place)
                break
        else:
            alike.append((kind, [place]))
    groups = []
    for _, group in alike:
        parts = max(math.ceil(len(group) / most), min(jobs, len(group)))
        size = math.ceil(len(group) / parts)
        groups += [group[i : i + size] for i in range(0, len(group), size)]
    return groups


def _train(
    job: Job, group: list[int], tick: Callable[[int], None] | None
) -> tuple[list[int], list[Outcome]]:
    """One group, in this process or another."""
    tick = tick or (lambda updates: None)
    begun = [run.start(job.build) for run in job.runs]
    device = job.train[0].device
    models = [model.to(device) for model, _ in begun]
    generators = [generator for _, generator in begun]
    alike = job.engine == "sequential" or len(set(map(structure, models))) == 1
    if job.engine == "lockstep" and not alike:
        raise ValueError(
            "the runs' networks differ in more than parameters and buffers, and lockstep would take the "
            "rest from the first of them: keep what differs by register_buffer, or leave engine at 'auto'"
        )
    data = [job.data_of(run) for run in job.runs]
    outcomes: dict[int, Outcome] = {}
    for i, run in enumerate(job.runs):  # `fit` would refuse these; a sweep records them
        start = evaluate(models[i], job.loss_fn, data[i][0])
        if not math.isfinite(start.loss):
            state = TrainingState(None, None)
            state.step, state.last_finite_step = 0, -1
            nan = math.nan
            state.add_row((start.loss, nan, nan, nan, run.rate(0)), dict.fromkeys(job.metrics, nan))
            state.stop("diverged")
            outcomes[i] = _outcome(run, state.history, models[i].state_dict())
    fine = [i for i in range(len(group)) if i not in outcomes]
    if fine:
        rules = job.rules(job.runs[0])
        given = [(job.runs[i], models[i], data[i], generators[i]) for i in fine]
        runs, networks, sets, draws = map(list, zip(*given, strict=True))
        together = job.engine == "lockstep" or (
            job.engine == "auto"
            and len(fine) > 1
            and alike
            and lockstep.can_run(models[0], data[0][0][0])
            and is_faster(
                lambda: _stack(job, runs, networks, sets, [copied(g) for g in draws]), rules.steps
            )
        )
        go = _together if together else _one_by_one
        ends = go(job, rules, runs, networks, sets, draws, tick)
        outcomes.update(zip(fine, ends, strict=True))
    return group, [outcomes[i] for i in range(len(group))]


def _outcome(run: Run, history, state: Mapping[str, Tensor]) -> Outcome:
    return Outcome(run, history, {k: v.detach().cpu().clone() for k, v in state.items()})


def _stack(job: Job, runs, models, data, generators) -> lockstep.Lockstep:
    train, test = zip(*data, strict=True)
    test = None if test[0] is None else test
    return lockstep.Lockstep(models, runs, job.loss_fn, train, test, generators)


def _together(job: Job, rules, runs, models, data, generators, tick) -> list[Outcome]:
    ends = lockstep.go(_stack(job, runs, models, data, generators), rules, tick)
    return [_outcome(run, s.history, end) for run, (s, end) in zip(runs, ends, strict=True)]


def _one_by_one(job: Job, rules, runs, models, data, generators, tick) -> list[Outcome]:
    outcomes = []
    for run, model, (train, test), generator in zip(runs, models, data, generators, strict=True):
        optimizer = run.optimizer_of(model)
        scheduler = None if run.schedule is None else LambdaLR(optimizer, run.schedule)
        history = fit(
            model, job.loss_fn, train, optimizer=optimizer, scheduler=scheduler, test_data=test,
            generator=generator, **job.fit_arguments(run),
        )  # fmt: skip
        outcomes.append(_outcome(run, history, model.state_dict()))
        tick(rules.steps)
    return outcomes
