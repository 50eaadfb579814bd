"""Fourier measures against NumPy's FFT and logits whose frequencies are known."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy as plain_cross_entropy

from flatlab.grokking import (
    excluded_loss,
    fourier_basis,
    fourier_power,
    key_frequencies,
    modular_table,
    participation,
    restricted_loss,
)

G = torch.Generator().manual_seed(0)


def test_a_function_named_as_an_operation_is_no_such_table():
    def add(a, b):
        return a * b

    with pytest.raises(ValueError, match="turn by no waves"):
        restricted_loss(torch.zeros(25, 5), modular_table(5, add), [1])
    assert restricted_loss(torch.zeros(25, 5), modular_table(np.int64(5)), [1]) > 0


def rows_of(p, k, shift=0.0):
    return torch.cos(2 * math.pi * k * torch.arange(p, dtype=torch.float64) / p + shift)


@pytest.mark.parametrize("p", [1, 2, 3, 7, 8, 31])
def test_the_basis_is_orthonormal(p):
    basis = fourier_basis(p)
    torch.testing.assert_close(basis @ basis.T, torch.eye(p).double(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("p", [5, 8, 31])
def test_power_is_that_of_the_fast_fourier_transform(p):
    E = torch.randn(p, 4, generator=G)
    spectrum = np.abs(np.fft.rfft(E.double().numpy(), axis=0)) ** 2 / p
    twice = np.full(len(spectrum), 2.0)  # k and p - k
    twice[0] = 1
    if p % 2 == 0:
        twice[-1] = 1
    power = fourier_power(E)
    np.testing.assert_allclose(power.numpy(), twice * spectrum.sum(1), rtol=1e-12)
    assert power.sum().item() == pytest.approx(E.double().square().sum().item())


def test_participation_counts_the_frequencies_in_use():
    E = torch.stack([rows_of(31, k, s) for k, s in ((3, 0.1), (3, 2.0), (7, 1.0), (7, 0.0))], 1)
    power = fourier_power(E + 5.0)  # a constant does not count
    assert participation(power) == pytest.approx(2.0)
    assert sorted(key_frequencies(power)) == [3, 7]
    assert participation(fourier_power(torch.eye(31))) == pytest.approx(15.0)
    assert len(key_frequencies(fourier_power(torch.eye(30)), 1.0)) == 15
    assert participation(fourier_power(torch.ones(5, 2))) == 0.0
    zero = torch.zeros(4)
    assert participation(zero) == 0.0 and key_frequencies(zero) == []


def test_neurons_of_one_frequency_each_are_told_from_neurons_of_all():
    pure = torch.stack([rows_of(31, k) for k in range(1, 16)], 1)
    assert participation(fourier_power(pure)) == pytest.approx(15.0)
    assert participation(fourier_power(pure, by_column=True)) == pytest.approx(1.0)
    two = torch.stack([3 * rows_of(31, 1), rows_of(31, 2) + rows_of(31, 5), torch.ones(31)], 1)
    weighted = (9 * 1.0 + 2 * 2.0) / (9 + 2)
    assert participation(fourier_power(two, by_column=True)) == pytest.approx(weighted)
    torch.testing.assert_close(fourier_power(two, by_column=True).sum(1), fourier_power(two))


def test_key_frequencies_are_the_fewest_that_hold_the_share():
    power = torch.tensor([100.0, 1.0, 6.0, 3.0])
    assert key_frequencies(power, 0.5) == [2]
    assert key_frequencies(power, 0.6) == [2]
    assert key_frequencies(power, 0.61) == [2, 3]
    assert key_frequencies(power, 1.0) == [2, 3, 1]


@pytest.mark.parametrize("p", [7, 8])
@pytest.mark.parametrize("operation", ["add", "subtract"])
def test_restricted_and_excluded_logits_part_what_is_known(operation, p):
    """Logits made of frequency 2 of the result, a constant and frequency 1 of a alone."""
    table = modular_table(p, operation)
    c = torch.arange(p)
    angle = 2 * math.pi * 2 * (table.results[:, None] - c).double() / p
    wave = 4 * angle.cos()
    constant = torch.linspace(0, 1, p, dtype=torch.float64).expand(p * p, p)
    memory = 3 * rows_of(p, 1)[table.pairs[:, 0]][:, None] * torch.randn(p, generator=G).double()
    logits = wave + constant + memory
    y = table.results
    rows = torch.arange(0, p * p, 3)
    assert restricted_loss(logits, table, [2]) == pytest.approx(
        plain_cross_entropy(wave + constant, y).item(), abs=1e-12
    )
    assert excluded_loss(logits, table, [2], rows) == pytest.approx(
        plain_cross_entropy((constant + memory)[rows], y[rows]).item(), abs=1e-12
    )
    assert restricted_loss(logits, table, [3]) == pytest.approx(
        plain_cross_entropy(constant, y).item(), abs=1e-12
    )


def test_all_frequencies_keep_what_depends_on_the_result_alone():
    table = modular_table(6)
    of_result = torch.randn(6, 6, generator=G, dtype=torch.float64)
    logits = of_result[table.results]
    exact = plain_cross_entropy(logits, table.results).item()
    assert restricted_loss(logits, table, [1, 2, 3]) == pytest.approx(exact, abs=1e-12)


def test_the_loss_may_be_another():
    table = modular_table(5)
    logits = torch.randn(25, 5, generator=G)
    found = restricted_loss(logits, table, [1], None, lambda f, y: f.square().mean())
    assert 0 < found < logits.double().square().mean()


TABLE = modular_table(7)
LOGITS = torch.zeros(49, 7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fourier_basis(0), "p is 0: give"),
        (lambda: fourier_power(torch.ones(3)), r"shape \(3,\): give \(p, d\)"),
        (lambda: participation(torch.ones(1)), r"the power has shape \(1,\)"),
        (lambda: participation(torch.tensor([1.0, -1.0])), "at least 0"),
        (lambda: key_frequencies(torch.ones(4), 0.0), "share is 0.0"),
        (lambda: key_frequencies(torch.ones(4), 1.1), "share is 1.1"),
        (lambda: restricted_loss(LOGITS[:48], TABLE, [1]), r"\(48, 7\): give those of all pairs"),
        (lambda: excluded_loss(LOGITS, TABLE, []), "give at least one from 1 to 3"),
        (lambda: excluded_loss(LOGITS, TABLE, [0]), "from 1 to 3"),
        (lambda: excluded_loss(LOGITS, TABLE, [4]), "from 1 to 3"),
        (lambda: excluded_loss(LOGITS, TABLE, [2, 2]), "only once"),
        (lambda: excluded_loss(LOGITS, TABLE, [2], torch.arange(0)), "there are no rows"),
        (
            lambda: restricted_loss(LOGITS, modular_table(7, "multiply"), [1]),
            "the table is of 'multiply'.*Give modular_table.*'add'.* or 'subtract'",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
