"""Natural slips in chapter 02's exercises: what a student who makes one is told."""

import math

import numpy as np
import pytest
import torch

from flatlab.checks import CheckFailed, chapter02
from flatlab.checks.chapter02 import escape, power, products, verdicts
from flatlab.checks.core import WrongAnswer, run


def told(check, student) -> str:
    """The message of a failing check, in one line."""
    with pytest.raises(CheckFailed) as failed:
        check(student)
    return " ".join(str(failed.value).split())


@pytest.mark.parametrize(("value", "kind"), [(1, "int"), (0.7, "float"), ("yes", "str")])
def test_what_is_not_true_or_false_is_named_by_its_type(value, kind):
    assert f"It returned a value of type {kind};" in told(
        chapter02.is_linearly_stable, lambda hessians, learning_rate, batch_size: value
    )


def test_a_rule_of_stability_is_told_as_a_guess_from_its_answers():
    factual = {"turned round", "always", "never"}
    for rule, message in verdicts.MESSAGES.items():
        assert rule in factual or message.startswith("It answers ")


def test_eigenvalues_in_no_order_are_told_apart_from_the_bounds():
    def first(hessians, learning_rate, batch_size):
        matrix = verdicts.exact_matrix(hessians, learning_rate, batch_size)
        return bool(torch.linalg.eigvals(matrix)[0].real <= 1 + 1e-5)

    message = told(chapter02.is_linearly_stable, first)
    assert "first eigenvalue of torch.linalg.eigvals" in message


def test_answers_of_no_known_rule_are_told_by_the_first_wrong_one():
    check = verdicts.ToyMinima()
    inputs = check.draw(torch.Generator())
    answers = [bool(verdicts.rules(*minimum)["right"]) for minimum in check.minima(inputs)]
    answers[2] = not answers[2]
    message = check.verdict(inputs, {"answers": answers})
    assert inputs["names"][2] in message and "0.16, and it says False" in message


def resting(entries: list[float], x0=1.4) -> str | None:
    return escape.still(np.array(entries), x0, 0.1)


def test_entries_that_are_one_number_are_told_by_what_number_it_is():
    assert resting([0.9] * 6).startswith("All entries are the same number")
    assert resting([1.4, *[0.9] * 5]).startswith("All entries behind x0 are the same number")
    assert "does x move" in resting([1.4] * 6)
    assert "does x move" in resting([float(np.float32(1.4))] * 6)
    # at 1.4 the slopes are 0.2 * 0.4 and 3.8 * 0.4: a step on the mean goes to 1.4 - 0.1 * 0.8
    assert "starts at x0 again" in resting([1.4, *[1.32] * 5])
    assert resting([1.4, 1.32, 1.256]) is None
    assert resting([1.4, 1.32]) is None
    assert resting([1.4, math.nan, math.nan]) is None


def in_place(per_sample_hvp, n, v):
    Hv = v
    Hv *= 0
    for i in range(n):
        Hv += per_sample_hvp(i, v) / n
    return sum(per_sample_hvp(i, per_sample_hvp(i, v) - Hv) for i in range(n)) / n


def right_but_writes_to_v(per_sample_hvp, n, v):
    first = [per_sample_hvp(i, v) for i in range(n)]
    mean = sum(first) / n
    v.copy_(sum(per_sample_hvp(i, u - mean) for i, u in enumerate(first)) / n)
    return v.clone()


def test_a_changed_v_is_named_where_it_made_the_answer_wrong():
    assert "second name for v, not a copy" in told(chapter02.variance_product, in_place)
    # a right answer passes here; the hidden check "a v that is left as it was" is for this one
    assert run(products.RandomHessians(), right_but_writes_to_v, 0) is None


def partial(per_sample_hvp, n, v, first: bool):
    """H (H v) from the part of H v that is there, before or after sample i is added."""
    Hv, twice = torch.zeros_like(v), torch.zeros_like(v)
    for i in range(n):
        product = per_sample_hvp(i, v)
        twice += per_sample_hvp(i, product) / n
        if first:
            Hv += product / n
        twice -= per_sample_hvp(i, Hv) / n
        if not first:
            Hv += product / n
    return twice


@pytest.mark.parametrize("first", [True, False])
def test_a_partial_mean_is_told(first):
    message = told(chapter02.variance_product, lambda hvp, n, v: partial(hvp, n, v, first))
    assert "while H v is still being added up" in message


def power_iteration(sigma_product, dim, steps, generator, products_a_step=1):
    v = torch.randn(dim, generator=generator, dtype=torch.float64)
    value = 0.0
    for _ in range(steps):
        for _ in range(products_a_step):
            w = sigma_product(v)
        value = float(v @ w)
        v = w / w.norm()
    return math.sqrt(max(value, 0.0))


def test_products_are_counted_by_step_and_by_dimension():
    check = power.LargestVariance()
    for count in (1, 2):
        assert run(check, lambda *a, c=count: power_iteration(*a, products_a_step=c), 0) is None
    message = run(check, lambda *a: power_iteration(*a, products_a_step=3), 0)
    assert "180 products for 60 steps" in message and "matrix" not in message

    def builds(sigma_product, dim, steps, generator):
        sigma = torch.stack([sigma_product(e) for e in torch.eye(dim)])
        return torch.linalg.eigvalsh(sigma)[-1].sqrt()

    assert "one for each of the 23 dimensions" in run(check, builds, 0)


def test_one_is_no_eigenvalue_that_a_message_could_mean():
    check = power.LargestVariance()
    values = np.linalg.eigvalsh(check.draw(torch.Generator().manual_seed(0))["sigma"].numpy())
    assert values[0] == pytest.approx(0.7) and values[-1] == pytest.approx(40)
    message = run(check, lambda product, *_: [product(torch.ones(23)) for _ in range(3)] and 1.0, 0)
    assert message.startswith("It is 1: the norm of v")


def test_nan_from_a_norm_of_zero_is_told_and_a_handled_one_is_accepted():
    zero = np.zeros((4, 4))
    assert power_iteration(lambda v: v * 0, 4, 1, None) == 0  # one step has no v of NaN yet
    with pytest.raises(WrongAnswer, match="v became NaN: Σv was 0"):
        power.counted(power_iteration, zero, 10)

    def handled(*arguments):
        return max(0.0, power_iteration(*arguments))  # max(0.0, nan) is 0.0

    assert power.counted(handled, zero, 10)["s"] == 0
    overflow = np.full((4, 4), math.inf)  # the NaN comes from no product of 0
    assert not np.isfinite(power.counted(power_iteration, overflow, 10)["s"])


def test_comparisons_without_parentheses_are_told_for_numbers_and_tensors():
    def bare(a, s, learning_rate, batch_size, n):
        return a <= 2 / learning_rate & s <= 4

    def bare_tensors(a, s, learning_rate, batch_size, n):
        a, s = torch.as_tensor(a), torch.as_tensor(s)
        return a <= torch.tensor(2 / learning_rate) & s <= 4

    for student in (bare, bare_tensors):
        assert "put each comparison in parentheses" in told(chapter02.region_contains, student)
