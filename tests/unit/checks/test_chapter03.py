"""Chapter 03's checks: their ground truths and the mistakes they tell apart."""

import itertools
import math

import numpy as np
import pytest
import torch

from flatlab.checks.answers import close
from flatlab.checks.chapter03 import basins, covariance, cycles, gibbs, labels, langevin, rescaling
from flatlab.checks.core import run

ODD = "Of an odd period"  # these mistakes are none where the period is even
RNG = np.random.default_rng(0)


def test_the_count_over_batches_is_the_closed_form():
    grads = RNG.normal(size=(5, 2))
    c = np.cov(grads.T, bias=True)
    for b in (1, 2, 3):
        assert np.allclose(covariance.counted(grads, b, True), c / b)
        assert np.allclose(covariance.counted(grads, b, False), c / b * (5 - b) / 4)
    assert np.allclose(covariance.counted(grads, 5, False), 0)


def integrals(generator):
    drawn = basins.Integrals().draw(generator)
    return [
        drawn["losses"][0],
        drawn["a"].numpy(),
        drawn["losses"][1],
        drawn["b"].numpy(),
        drawn["n"],
        drawn["sigma"],
    ]


def densities(kind, generator):
    inputs = kind().draw(generator)
    grid = inputs["grid"].numpy()
    values = kind().losses(inputs, grid)
    weight = np.exp(-2 * values / (gibbs.NOISE * gibbs.SIGMA**2))
    mistakes = gibbs.density_mistakes(values, grid, gibbs.SIGMA, gibbs.NOISE)
    return weight / gibbs.trapezoid(weight, grid), mistakes, 1e-2


def test_known_mistakes_differ_from_the_truth_and_from_each_other():
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        grads = covariance.AllBatches().draw(generator)["grads"].numpy()
        basin = integrals(generator)
        masses = [basins.basin_mass(basin[k], basin[k + 1], basin[4], basin[5]) for k in (0, 2)]
        steps = np.arange(21)
        tables = [
            *(
                (
                    covariance.counted(grads, 2, replacement),
                    covariance.covariance_mistakes(grads, 2, replacement),
                    1e-3,
                )
                for replacement in (True, False)
            ),
            (masses[0] / masses[1], basins.ratio_mistakes(*basin), 1e-3),
            *(densities(kind, generator) for kind in (gibbs.Parabola, gibbs.TwoWells)),
            *(
                (
                    cycles.right_cycle(shape, steps, period, 0.1, 1.0),
                    [
                        m
                        for m in cycles.cycle_mistakes(shape, steps, period, 0.1, 1.0)
                        if (ODD in m[1]) == bool(period % 2)
                    ],
                    1e-3,
                )
                for shape, period in itertools.product(("discrete", "triangle"), (6, 7, 8))
            ),
        ]
        for right, mistakes, room in tables:
            for k, (value, message) in enumerate(mistakes):
                assert not close(value, right, room), message
                same = [m for v, m in mistakes[:k] if close(value, v, room) and m != message]
                assert not same, (message, same)


def test_sizes_of_the_noise_are_told_apart():
    setting = langevin.RATE, langevin.BATCH, langevin.SIGMA
    sizes = [setting[0] * setting[2] / math.sqrt(setting[1])]
    sizes += [of(*setting) for of, _ in langevin.SPREADS]
    sizes = sorted(sizes)
    assert all(b / a > 1.08 for a, b in itertools.pairwise(sizes))
    xi = RNG.normal(size=langevin.OneStep.count)
    assert langevin.noise_verdict(xi * 0.3 * 1.4 / math.sqrt(5), *setting) is None
    for of, message in langevin.SPREADS:
        assert langevin.noise_verdict(xi * of(*setting), *setting) == message
    signs = np.sign(xi) * 0.3 * 1.4 / math.sqrt(5)
    assert "not normal" in langevin.noise_verdict(signs, *setting)
    assert "no noise" in langevin.noise_verdict(0 * xi, *setting)


def test_the_mass_of_a_basin_is_the_gaussian_integral():
    a = np.array([[3.0, 0.5], [0.5, 1.0]])
    exact = math.exp(-2 * 0.4 / (0.3 * 4)) * math.pi * 0.3 * 4 / math.sqrt(np.linalg.det(a))
    assert basins.basin_mass(0.4, a, 0.3, 2.0) == pytest.approx(exact, rel=1e-6)


def test_counts_of_corrupted_labels_tell_their_cause():
    n, fractions = 400, (1.0, 0.3, 0.05)
    for counts, message in (
        ([400, 120, 20], None),
        ([400, 131, 17], "with that probability"),
        ([361, 108, 18], "among all 10 classes"),
        ([250, 104, 19], "a place may come twice"),
        ([228, 93, 18], "a place may come twice"),
        ([0, 280, 380], "not of those that stay"),
        ([0, 0, 0], "No label changed"),
        ([400, 200, 20], "it changed 200 of 400"),
    ):
        said = labels.counts_verdict(counts, n, fractions, 10)
        assert said is None if message is None else message in said


def test_a_table_of_moves_is_even_or_told():
    even = 1000 * (1 - np.eye(4, dtype=int))
    assert labels.table_verdict(even) is None
    assert "went 1 class on" in labels.table_verdict(1000 * np.roll(np.eye(4, dtype=int), 1, 1))
    uneven = even.copy()
    uneven[2, 0] = 1500
    assert "Changed labels 2 went" in labels.table_verdict(uneven)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [("discrete", [3, 3, 1, 1, 1, 3]), ("triangle", [1, 1.8, 2.6, 2.6, 1.8, 1])],
)
def test_cycles_of_an_odd_period(shape, expected):
    assert np.allclose(cycles.right_cycle(shape, np.arange(6), 5, 1, 3), expected)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "return statement"),
        ([1.0, 2.0, 3.0], "a list of 3; two lists"),
        (([1.0], iter([1])), "list"),
        (([1.0, 2.0], [1, 2]), "For 1 entries it returned 2"),
    ],
)
def test_what_is_no_pair_of_lists_is_told(result, message):
    with pytest.raises(rescaling.WrongAnswer, match=message):
        rescaling.pair(result, 1)


def test_the_ground_floor_lends_no_ready_answer():
    """flatlab.data is free to use, its relabel is not: an exercise asks for it."""
    from flatlab.data import relabel
    from flatlab.models import count_parameters

    def relabels(y, fraction, num_classes, generator):
        return relabel(y, fraction, num_classes, generator)[0]

    def counts(y, fraction, num_classes, generator):
        return y + count_parameters(torch.nn.Identity())

    check = labels.FromGenerator()
    assert "It calls flatlab.data.relabel" in run(check, relabels, 0)
    assert "the same labels" in run(check, counts, 0)
