"""The reproduction ledger: verdicts follow from numbers."""

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("bench_is_importable")


@pytest.fixture
def rules():
    from ledger import rules

    return rules


def test_the_verdict_follows_from_the_points(rules):
    def points(*shares):
        return [rules.Point("", "", "", share) for share in shares]

    assert rules.verdict(points(1, 1)) == "reproduced"
    assert rules.verdict(points(1, 0)) == "partly"
    assert rules.verdict(points(2 / 3)) == "partly"
    assert rules.verdict(points(0.5, 0)) == "not"
    with pytest.raises(ValueError, match="without points"):
        rules.verdict([])


@pytest.mark.parametrize(
    ("values", "share"), [([1.0, 1.18], 1), ([1.09], 1), ([0.91], 1), ([0.89], 0), ([1.2, 1.1], 0)]
)
def test_near_compares_the_mean_in_percent(rules, values, share):
    assert rules.near("a", np.array(values), 1.0, percent=10).share == share


def test_within_sd_counts_published_deviations(rules):
    assert rules.within_sd("a", np.array([3.0, 5.0]), 2.0, 1.0).share == 1
    point = rules.within_sd("a", np.array([5.0]), 2.0, 1.0)
    assert (point.share, point.found) == (0, "5 (+3.0 sd)")


def test_rising_counts_the_seeds(rules):
    series = {"x": np.array([1.0, 1.0, 3.0]), "y": np.array([2.0, 2.0, 2.0])}
    assert rules.rising("a", series).share == pytest.approx(2 / 3)
    assert rules.rising("a", series).mark == "in 67 % of the seeds"


def test_gain_asks_for_two_standard_errors(rules):
    # sd 1, standard error 1/sqrt(3) = 0.577
    assert rules.gain("a", np.array([0.2, 1.2, 2.2]), "").share == 1
    assert rules.gain("a", np.array([0.1, 1.1, 2.1]), "").share == 0
    assert rules.gain("a", np.array([5.0]), "").share == 0  # one seed has no standard error


def test_mean_and_deviation_are_those_of_a_sample(rules):
    assert rules.mean_sd(np.array([1.0, 2.0, 3.0])) == "2 ± 1"
    assert rules.mean_sd(np.array([2.0])) == "2"
