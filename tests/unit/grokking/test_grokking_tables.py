"""Modular tables and their splits against arithmetic with Python's integers."""

import pytest
import torch

from flatlab.grokking import modular_table, split_table
from flatlab.sweeps import Run

BY_HAND = {
    "add": lambda a, b, p: (a + b) % p,
    "subtract": lambda a, b, p: (a - b) % p,
    "multiply": lambda a, b, p: a * b % p,
    "divide": lambda a, b, p: next(c for c in range(p) if b * c % p == a),
}


@pytest.mark.parametrize("p", [2, 7, 13])
@pytest.mark.parametrize("operation", BY_HAND)
def test_every_equation_holds(operation, p):
    table = modular_table(p, operation)
    lowest = 1 if operation == "divide" else 0
    expected = [(a, b) for a in range(p) for b in range(lowest, p)]
    assert table.pairs.tolist() == [list(pair) for pair in expected]
    assert table.results.tolist() == [BY_HAND[operation](a, b, p) for a, b in expected]
    assert table.pairs.dtype == table.results.dtype == torch.int64


def test_an_operation_of_your_own_is_taken_mod_p():
    def cubic(a, b):
        return a**3 - 5 * a * b

    table = modular_table(6, cubic)
    assert table.operation == "cubic"
    assert table.results.tolist() == [(a**3 - 5 * a * b) % 6 for a in range(6) for b in range(6)]


def test_composite_moduli_are_fine_without_division():
    assert modular_table(6, "multiply").results[2 * 6 + 3] == 0
    with pytest.raises(ValueError, match="p is 6, which is not prime.*give a prime p"):
        modular_table(6, "divide")


@pytest.mark.parametrize("p", [1, 0, -3, 2.0, True, "7"])
def test_p_below_two_is_refused(p):
    with pytest.raises(ValueError, match="give a whole number of at least 2"):
        modular_table(p)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("plus", "there is no operation 'plus': choose from add, subtract, multiply, divide"),
        (lambda a, b: a / (b + 1), "must return whole numbers.*float32"),
        (lambda a, b: a[:3], r"shape \(25,\).*int64 of shape \(3,\)"),
        (lambda a, b: 4, "gave int"),
        (lambda a, b: a == b, "torch.bool"),
    ],
)
def test_bad_operations_are_refused(operation, message):
    with pytest.raises(ValueError, match=message):
        modular_table(5, operation)


def test_a_function_cannot_change_the_table():
    table = modular_table(3, lambda a, b: a.mul_(2).add_(b))
    assert table.pairs.tolist() == [[a, b] for a in range(3) for b in range(3)]


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.5, 0.99])
def test_a_split_parts_the_rows_without_a_leak(fraction):
    table = modular_table(11)
    train, test = split_table(table, fraction, torch.Generator().manual_seed(4))
    assert len(train) == round(fraction * 121)
    assert sorted(train.tolist() + test.tolist()) == list(range(121))
    again, _ = split_table(table, fraction, torch.Generator().manual_seed(4))
    other, _ = split_table(table, fraction, torch.Generator().manual_seed(5))
    assert torch.equal(train, again) and not torch.equal(train, other)
    run = Run(train_fraction=fraction, seed=4).split(121)
    assert torch.equal(run[0], train) and torch.equal(run[1], test)


def test_a_split_is_drawn_at_random_from_all_rows():
    table = modular_table(7)
    g = torch.Generator().manual_seed(0)
    often = torch.zeros(49)
    for _ in range(400):
        often[split_table(table, 0.5, g)[0]] += 1
    expected = 400 * 24 / 49  # standard deviation 10
    assert (often - expected).abs().max() < 50


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 1.5, 0.001, 0.999, float("nan")])
def test_an_empty_part_is_refused(fraction):
    with pytest.raises(ValueError, match="leaves nothing to train on or nothing to test on: give"):
        split_table(modular_table(7), fraction)


def test_the_global_seed_stays():
    before = torch.get_rng_state()
    split_table(modular_table(7), 0.5)
    assert torch.equal(before, torch.get_rng_state())
