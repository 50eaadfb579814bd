"""Chapter 04's checks: their ground truths and the mistakes they tell apart."""

import contextlib
import math
import re

import numpy as np
import pytest
import torch
from answered import Answered, apart
from scipy import stats

from flatlab import tails
from flatlab.checks import CheckFailed, chapter04
from flatlab.checks.chapter04 import control, exits, laws, means, noise, stable, step, tail
from flatlab.checks.chapter04.refusals import refusal, refusal_verdict

HERE = Answered("04-heavy-tails")
SOLUTIONS, graded = HERE.solutions, HERE.graded


def test_a_mistake_in_exercise_1_costs_its_points_once():
    stub = "def sample_stable(alpha, size, generator):\n    raise NotImplementedError()\n\n\n"
    assert graded("levy_step", stub + SOLUTIONS["levy_step"]) == "passed"


def draws(alpha: float, seed: int, size: int = 20_000) -> np.ndarray:
    return stats.levy_stable.rvs(alpha, 0.0, size=size, random_state=seed)


@pytest.mark.parametrize("alpha", [0.4, 0.7, 1.0, 1.5, 2.0])
def test_samples_of_scipy_are_accepted_and_their_neighbors_refused(alpha):
    gaps = [laws.deviation(draws(alpha, seed), alpha) for seed in range(20)]
    assert max(gaps) < 4.5  # of 6; the largest of 160 statistics
    for other, scale in (
        (0.8 * alpha, 1.0),
        (alpha, 1.15 ** (1 / alpha)),
        (alpha, 0.85 ** (1 / alpha)),
    ):
        assert laws.deviation(scale * draws(other, 1), alpha) > laws.ERRORS


@pytest.mark.parametrize("alpha", [0.7, 1.5, 2.0])
def test_the_scale_of_a_sample_is_read_from_its_logarithms(alpha):
    gap, error = laws.log_size(3 * draws(alpha, 2), alpha)
    assert abs(gap - math.log(3)) < 4 * error
    assert error == pytest.approx(
        np.log(np.abs(draws(alpha, 3))).std() / math.sqrt(20_000), rel=0.1
    )


def test_every_wrong_formula_is_refused_and_told_from_the_others():
    alphas = list(stable.TwoLaws.alphas)
    for k, (formula, message) in enumerate(laws.WRONG_FORMULAS):
        rng = np.random.default_rng(100 + k)
        samples = []
        for alpha in alphas:
            v, u = np.pi * (rng.random(20_000) - 0.5), 1 - rng.random(20_000)
            with np.errstate(all="ignore"):
                samples.append(np.asarray(formula(alpha, v, -np.log(u), u)))
        said = stable.law_verdict(samples, alphas)
        assert message in said


def test_right_samples_fit_no_wrong_formula():
    alphas = list(stable.TwoLaws.alphas)
    samples = [draws(alpha, 4) for alpha in alphas]
    assert laws.wrong_formula(samples, alphas) is None
    assert stable.law_verdict(samples, alphas) is None
    said = stable.law_verdict([2 * x for x in samples], alphas)
    assert re.search(r"multiplied by (1\.9[5-9]|2|2\.0[0-5]), (1\.9[5-9]|2|2\.0[0-5]):", said)
    assert "look normal" in stable.law_verdict(
        [np.random.default_rng(k).normal(size=20_000) for k in range(2)], alphas
    )


def test_a_sample_of_one_exponential_number_is_told():
    rng, alphas = np.random.default_rng(9), list(stable.TwoLaws.alphas)
    samples = [laws._formula(a, np.pi * (rng.random(20_000) - 0.5), 0.3) for a in alphas]
    assert "W is the same number" in stable.law_verdict(samples, alphas)
    assert laws.one_exponential([draws(alpha, 4) for alpha in alphas], alphas) is None


def test_a_few_lost_draws_are_forgiven_and_many_are_not():
    x = draws(0.7, 5)
    x[:3] = np.nan, np.inf, -np.inf
    assert stable.law_verdict([x], [0.7]) is None
    x[:50] = np.nan
    assert "are NaN" in stable.law_verdict([x], [0.7])
    x[:50] = np.inf
    assert "infinite" in stable.law_verdict([x], [0.7])


@pytest.mark.parametrize("alpha", [0.8, 1.0, 1.5, 2.0])
def test_the_lent_sampler_is_that_law(alpha):
    x = step.sample_stable(alpha, (100, 200), torch.Generator().manual_seed(3))
    assert x.shape == (100, 200)
    assert laws.deviation(x.flatten().numpy(), alpha) < laws.ERRORS


def test_estimates_are_the_packages_and_known_sums_are_exact():
    x = torch.as_tensor(draws(1.3, 6, 60))
    assert tail.estimate(x.numpy(), 6) == pytest.approx(tails.tail_index(x, 6))
    for seed in range(3):
        drawn = tail.KnownSums().draw(torch.Generator().manual_seed(seed))
        for sample, k1, alpha in zip(drawn["samples"], drawn["k1"], drawn["alphas"], strict=True):
            assert tail.estimate(sample.numpy(), k1) == pytest.approx(alpha, rel=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_known_mistakes_differ_from_the_truth_and_from_each_other(seed):
    generator = torch.Generator().manual_seed(seed)
    gradients = noise.Regression().draw(generator)["gradients"].numpy()
    apart(gradients - gradients.mean(0), noise.noise_mistakes(gradients), 1e-5)
    drawn = exits.Runs().draw(generator)
    paths = drawn["paths"].numpy()
    right, _ = exits.first_exits(paths, *drawn["well"], drawn["dt"])
    assert right.tolist() == [0.75, 0.25, 3.0, 3.0, 0.5, 3.0]
    border_and_nan = ("A run on the border", "A run that became NaN")
    mistakes = exits.exit_mistakes(paths, *drawn["well"], drawn["dt"])
    apart(right, [pair for pair in mistakes if not pair[1].startswith(border_and_nan)], 1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_wrong_estimates_are_told_apart_on_the_inputs_that_notebooks_and_graders_use(seed):
    drawn = tail.HeavySample().draw(torch.Generator().manual_seed(seed))
    x, k1 = drawn["x"].numpy(), drawn["k1"]
    apart(tail.estimate(x, k1), tail.index_mistakes(x, k1), 1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_controls_pass_whatever_is_divided_by_and_each_wrong_scale_is_named(seed):
    drawn = control.OneScaleEach().draw(torch.Generator().manual_seed(seed))
    u = drawn["noise"].numpy()
    z = np.random.default_rng(seed).normal(size=u.shape)
    for scale in (u.std(0), u.std(0, ddof=1)):
        assert control.control_verdict(u, scale * z) is None
    assert control.control_verdict(u, u.std(0) * z / np.sqrt(np.mean(z**2, 0))) is None
    for scale, message in control._mistaken_scales(u):
        assert control.control_verdict(u, scale * z) == message
    assert "first half of the coordinates" in control.control_verdict(u, u.std(0) * z * 1.5)
    assert "plus a normal number" in control.control_verdict(u, u + u.std(0) * z)
    assert "lighter tails" in control.control_verdict(u, u.std(0) * np.sign(z))


def test_noise_is_the_packages():
    drawn = noise.Regression().draw(torch.Generator())["gradients"]
    expected = tails.gradient_noise(drawn)
    assert np.allclose(expected, drawn.numpy() - drawn.numpy().mean(0))
    chapter04.gradient_noise(lambda gradients: gradients - gradients.mean(0))


def test_steps_are_the_packages_and_wrong_factors_differ():
    rate, alpha, sigma = step.Noise.cases[0]
    w = torch.zeros(20_000, dtype=torch.float64)
    moved = tails.levy_step(w, w, rate, alpha, sigma, torch.Generator().manual_seed(8))
    assert step.noise_verdict(moved.numpy(), rate, alpha, sigma) is None
    right = rate ** (1 / alpha) * sigma
    factors = [right, *(factor for factor, _ in step._wrong_scales(rate, alpha, sigma))]
    assert np.diff(np.sort(np.log(factors))).min() > 0.1
    said = step.noise_verdict(1.3 * moved.numpy(), rate, alpha, sigma)
    assert re.search(r"The noise is 1\.(2[7-9]|3[0-3])\d* times as large", said)


def test_exits_of_the_package_are_read_from_its_own_paths():
    """The same steps, recorded: times and flags agree with ``tails.first_exits``."""
    runs, steps, rate = 40, 60, 0.05
    truth = tails.first_exits(
        lambda x: x, -1, 1.5, rate, 1.4, 0.6, steps, 1, generator=torch.Generator().manual_seed(0)
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(1, dtype=torch.float64)
    path = [x]
    for _ in range(steps):
        x = tails.levy_step(x, x, rate, 1.4, 0.6, generator)
        path.append(x)
    times, left = exits.first_exits(torch.stack(path, 1).numpy(), -1, 1.5, rate)
    assert times[0] == pytest.approx(float(truth.times[0]))
    assert bool(left[0]) == bool(truth.exited[0])
    assert runs > 0


@pytest.mark.parametrize("seed", range(8))
def test_the_censored_mean_is_near_the_mean_that_was_drawn(seed):
    times, left = means.watched(torch.Generator().manual_seed(seed))
    truth = tails.Exits(times, left)
    assert abs(truth.mean - 2) < 5 * truth.standard_error
    assert times[left].mean() < 0.5  # what is left when censored runs are dropped


def test_refusals():
    def raises(error):
        raise error

    assert refusal(raises, ValueError("no")) == "ValueError"
    assert refusal(len, [1]) == "nothing"
    assert refusal_verdict("ValueError", "k1 = 5") is None
    assert "returns a result" in refusal_verdict("nothing", "k1 = 5")
    assert "stops with KeyError" in refusal_verdict(refusal({}.__getitem__, 1), "k1 = 5")
    with pytest.raises(NotImplementedError):
        refusal(raises, NotImplementedError())


def test_two_values_are_asked_for():
    for answer in (torch.zeros(6), None, (torch.zeros(6),)):
        with contextlib.suppress(CheckFailed):
            chapter04.first_exit_time(lambda paths, low, high, dt, answer=answer: answer)
            pytest.fail("accepted")
