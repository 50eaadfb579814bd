"""Chapter 02's checks: their ground truths, the mistakes they tell apart, what they lend and meter."""

import functools
import math

import numpy as np
import pytest
import torch

from flatlab.checks import CheckFailed, chapter02
from flatlab.checks.answers import close
from flatlab.checks.chapter02 import bounds, escape, multiplier, products, region, theorem, verdicts
from flatlab.checks.chapter02.batches import batch_mean, lent, second_moment
from flatlab.checks.core import WrongAnswer, run

RNG = np.random.default_rng(0)


def symmetric(n: int, d: int) -> np.ndarray:
    halves = RNG.normal(size=(n, d, d))
    return halves + halves.transpose(0, 2, 1)


def test_the_mean_over_all_batches_has_the_variance_of_sampling_without_replacement():
    values = RNG.normal(size=7)
    for b in range(1, 8):
        spread = batch_mean(values, b, lambda m: (m - values.mean()) ** 2)
        assert spread == pytest.approx(values.var() * (7 - b) / (b * 6), abs=1e-12)


@pytest.mark.parametrize("b", [1, 3, 5])
def test_the_count_over_all_batches_is_theorem_1(b):
    hessians, rate, n = symmetric(5, 3), 0.3, 5
    mean = hessians.mean(0)
    sigma = sum(h @ h for h in hessians) / n - mean @ mean
    step = np.eye(3) - rate * mean
    expected = step @ step + rate**2 * (n - b) / (b * (n - 1)) * sigma
    assert np.allclose(second_moment(hessians, rate, b), expected)


@pytest.mark.parametrize("x", [-3.0, -0.5, -0.4, 0.2, 0.3, 0.5, 0.6, 1.0, 1.4, 3.6, 3.7, 9.0])
@pytest.mark.parametrize("curvature", escape.CURVATURES)
def test_slopes_are_those_of_the_slides_losses(x, curvature):
    t = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    torch.minimum(t**2, curvature * (t - 1) ** 2).backward()
    assert float(escape.slope(np.array(x), curvature)) == pytest.approx(t.grad.item())


def walk(x0: float, rate: float, drawn: list[int], dtype=np.float64) -> np.ndarray:
    """The path whose t-th step is on loss drawn[t]."""
    path = [dtype(x0)]
    for k in drawn:
        x = path[-1]
        path.append(dtype(x - rate * escape.slope(np.array(x), escape.CURVATURES[k])))
    return np.array(path, dtype=float)


def verdict_of_draws(drawn: list[int]) -> str | None:
    inputs = {"learning_rate": 0.005, "steps": len(drawn)}
    outputs = {"path": walk(1.4, 0.005, drawn)}
    return escape.DrawsEachStep().verdict(inputs, outputs)


def test_draws_are_read_back_from_the_path():
    fair = RNG.integers(2, size=600)
    assert verdict_of_draws(list(fair)) is None
    assert "All 600 steps are on f_2" in verdict_of_draws([1] * 600)
    assert "take turns" in verdict_of_draws([0, 1] * 300)
    assert "changed only" in verdict_of_draws(([0] * 10 + [1] * 10) * 30)
    rare = list((RNG.random(600) < 0.3).astype(int))
    assert f"f_2 was drawn in {sum(rare)} of 600" in verdict_of_draws(rare)


def test_a_path_that_was_rounded_to_float32_is_told():
    path = walk(1.4, 0.005, [0, 1, 1, 0] * 5, np.float32)
    path[0] = np.float32(1.4)
    assert "float32" in escape.sgd_verdict([path], 0.005)


def test_a_wrong_step_is_shown_with_what_each_loss_would_do():
    path = walk(1.4, 0.1, [0, 1, 0])
    path[2:] += 0.01
    message = escape.sgd_verdict([path], 0.1)
    assert f"From x = {path[1]:.6g} it goes to {path[2]:.6g}" in message


def test_every_wrong_slope_errs_somewhere_on_the_starts_of_gradient_descent():
    check = escape.GradientDescent()
    inputs = check.draw(torch.Generator())
    for of, message in escape.WRONG_SLOPES:
        paths = []
        for x in inputs["starts"]:
            path = [x]
            for _ in range(inputs["steps"]):
                here = np.array(path[-1])
                gradient = sum(of(here, c) for c in escape.CURVATURES) / 2
                path.append(float(here - inputs["learning_rate"] * gradient))
            paths.append(np.array(path))
        assert escape.descent_verdict(paths, inputs["learning_rate"]) == message


def test_known_mistakes_differ_from_the_truth_and_from_each_other():
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        hessians = symmetric(5, 3)
        curvatures = multiplier.AllBatches().draw(generator)["curvatures"].numpy()
        a, s = curvatures.mean(), curvatures.std()
        v = RNG.normal(size=6)
        samples = symmetric(4, 6)
        for right, mistakes in (
            (
                batch_mean(curvatures, 2, lambda x: (1 - 0.75 * x) ** 2),
                multiplier.multiplier_mistakes(0.75, a, s, 2, 6),
            ),
            (second_moment(hessians, 0.3, 2), theorem.matrix_mistakes(hessians, 0.3, 2)),
            (products.sigma_v(samples, v), products.product_mistakes(samples, v)),
        ):
            values = [value for value, _ in mistakes]
            assert not any(close(value, right, 3e-4) for value in values)
            for k, value in enumerate(values):
                assert not any(close(value, other, 1e-4) for other in values[:k]), mistakes[k]


def test_every_rule_of_stability_errs_on_the_toy_minima_in_its_own_way():
    check = verdicts.ToyMinima()
    minima = check.minima(check.draw(torch.Generator()))
    table = [verdicts.rules(*minimum) for minimum in minima]
    columns = {rule: tuple(bool(row[rule]) for row in table) for rule in table[0]}
    assert len(set(columns.values())) == len(columns)
    assert set(verdicts.MESSAGES) == set(columns) - {"right"}
    for hessians, rate, b in minima:  # none so close to 1 that rounding could decide
        assert abs(np.linalg.eigvalsh(second_moment(hessians, rate, b))[-1] - 1) > 0.03


def test_toy_minima_are_what_their_names_say():
    row = dict(zip(verdicts.MINIMA, verdicts.ToyMinima().minima(_toy_inputs()), strict=True))
    said = {name: verdicts.rules(*minimum) for name, minimum in row.items()}
    tight = said["within both bounds, and both nearly used up"]
    assert tight["bounds"] and not tight["right"]
    apart = said["sharp in one direction, non-uniform in another"]
    assert apart["right"] and not apart["one direction"]
    assert said["the slides' x = 1 under gradient descent"]["right"]
    assert not said["the slides' x = 1 under SGD"]["right"]


def _toy_inputs():
    return verdicts.ToyMinima().draw(torch.Generator())


def test_flat_directions_catch_an_exact_comparison_in_both_precisions():
    for dtype in (torch.float64, torch.float32):

        class Flat(verdicts.FlatDirections):
            pass

        Flat.dtype = dtype

        def exact(hessians, learning_rate, batch_size):
            matrix = verdicts.exact_matrix(hessians, learning_rate, batch_size)
            return bool(torch.linalg.eigvalsh(matrix)[-1] <= 1)

        def with_room(hessians, learning_rate, batch_size):
            matrix = verdicts.exact_matrix(hessians, learning_rate, batch_size)
            return bool(torch.linalg.eigvalsh(matrix)[-1] <= 1 + 1e-5)

        for seed in range(5):
            assert "1 plus or minus rounding" in run(Flat(), exact, seed)
            assert run(Flat(), with_room, seed) is None


@pytest.mark.parametrize("value", [True, np.bool_(True), torch.tensor(True), np.array([True])])
def test_true_is_read_in_whatever_type_it_comes(value):
    assert verdicts.boolean(value) is True


@pytest.mark.parametrize(
    "value", [1, 0.7, None, "yes", torch.tensor(0.7), torch.tensor([True] * 2)]
)
def test_what_is_not_true_or_false_is_told(value):
    with pytest.raises(WrongAnswer, match="True or False is needed|return statement"):
        verdicts.boolean(value)


def stability_matrix(hessians, learning_rate, batch_size):  # a student's stub
    raise NotImplementedError()


def is_linearly_stable(hessians, learning_rate, batch_size):
    matrix = stability_matrix(hessians, learning_rate, batch_size)
    return bool(torch.linalg.eigvalsh(matrix)[-1] <= 1 + 1e-5)


def test_a_mistake_in_an_earlier_exercise_costs_its_points_once(capsys):
    own = stability_matrix
    chapter02.is_linearly_stable(is_linearly_stable)
    assert "✓ is_linearly_stable" in capsys.readouterr().out
    assert stability_matrix is own
    with pytest.raises(NotImplementedError):
        is_linearly_stable(torch.zeros(2, 1, 1), 0.1, 1)


def test_lent_functions_are_taken_back_after_an_error_and_add_no_names():
    own, before = stability_matrix, set(globals())
    with (
        pytest.raises(ValueError, match="stop"),
        lent(is_linearly_stable, stability_matrix=len, never_heard_of=len),
    ):
        assert stability_matrix is len
        assert set(globals()) == before
        raise ValueError("stop")
    assert stability_matrix is own
    with lent(functools.partial(is_linearly_stable, batch_size=1), stability_matrix=len):
        assert stability_matrix is own  # no notebook to be seen from a partial: nothing is lent


def test_sample_products_are_counted_and_misuse_is_told():
    hessians = symmetric(3, 4)
    product, v = products.SampleProducts(hessians), torch.ones(4, dtype=torch.float64)
    assert np.allclose(product(torch.tensor(2), v), hessians[2].sum(1))
    assert product(0, v.float()).dtype == torch.float32
    assert product.calls == 2
    for arguments, message in (
        ((3, v), "they are 0 to 2"),
        ((-1, v), "they are 0 to 2"),
        ((v, 0), "first the number of the sample"),
        ((0, torch.ones(3)), "one vector"),
    ):
        with pytest.raises(WrongAnswer, match=message):
            product(*arguments)


def test_products_are_metered():
    def wasteful(per_sample_hvp, n, v):
        for _ in range(n):
            per_sample_hvp(0, v)
        centered = [per_sample_hvp(i, v) for i in range(n)]
        mean = sum(centered) / n
        per_sample_hvp(0, v)
        return sum(per_sample_hvp(i, u - mean) for i, u in enumerate(centered)) / n

    with pytest.raises(CheckFailed, match="it used 16 products; 15 are enough"):
        chapter02.variance_product(wasteful)


def test_the_limit_of_non_uniformity_is_where_the_noise_term_is_one():
    for rate, b, n in ((0.5, 4, 1000), (0.1, 1, 2), (2.0, 9, 10)):
        s = bounds.uniformity_limit(rate, b, n)
        assert rate**2 * (n - b) / (b * (n - 1)) * s**2 == pytest.approx(1)
        assert region.multiplier(1 / rate, s, rate, b, n) == pytest.approx(1)
    assert bounds.uniformity_limit(0.5, 7, 7) == math.inf


def test_every_rule_of_the_region_errs_on_the_points_in_its_own_way():
    points = region.Points().draw(torch.Generator())["points"]
    columns = {r: tuple(bool(holds(*p)) for p in points) for r, holds in region.RULES.items()}
    assert len(set(columns.values())) == len(columns)
    assert set(region.MESSAGES) == set(columns) - {"right"}
    for rule, message in region.MESSAGES.items():
        assert region.region_verdict(points, list(columns[rule])) == message


def test_a_constant_answer_for_a_tensor_of_points_is_told():
    with pytest.raises(CheckFailed, match="one answer for each point|shape"):
        chapter02.region_contains(lambda a, s, rate, b, n: _scalar_rule(a, s, rate, b, n))


def _scalar_rule(a, s, rate, b, n):
    if isinstance(a, torch.Tensor):
        return True
    return region.RULES["right"](a, s, rate, b, n)
