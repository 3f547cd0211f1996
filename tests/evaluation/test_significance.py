"""The probabilistic and the deflated Sharpe ratio against the published examples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from promethean.evaluation.significance import deflate, deflated_sharpe, expected_maximum, moments, probabilistic_sharpe

DAYS = 250  # a year, in the examples


def test_the_example_of_the_deflated_sharpe_ratio() -> None:
    """Bailey and Lopez de Prado (2014), A Numerical Example: 100 trials, the best has 2.5 a year over five years."""
    variance = 0.5 / DAYS
    assert expected_maximum(100, variance) == pytest.approx(0.1132, abs=5e-5)
    found = deflated_sharpe(2.5 / math.sqrt(DAYS), 1_250, -3.0, 10.0, 100, variance)
    assert found == pytest.approx(0.9004, abs=5e-5)


def test_the_same_sharpe_ratio_would_have_stood_after_fewer_trials() -> None:
    """The same example: after 46 trials it would have passed 95 %, and so for normal returns after 88."""
    variance, sharpe = 0.5 / DAYS, 2.5 / math.sqrt(DAYS)
    assert deflated_sharpe(sharpe, 1_250, -3.0, 10.0, 46, variance) == pytest.approx(0.9505, abs=5e-5)
    assert deflated_sharpe(sharpe, 1_250, 0.0, 3.0, 88, variance) == pytest.approx(0.9505, abs=5e-4)


def test_the_probability_by_hand() -> None:
    """SR = 0.1 over 101 normal returns: (0.1 - 0) * 10 / sqrt(1 + 0.1^2 / 2) = 0.99751, of which Phi is 0.84074."""
    assert probabilistic_sharpe(0.1, 0.0, 101, 0.0, 3.0) == pytest.approx(0.84074, abs=5e-6)
    assert probabilistic_sharpe(0.1, 0.1, 101, 0.0, 3.0) == 0.5


def test_one_trial_owes_nothing_to_luck() -> None:
    assert expected_maximum(1, 0.5) == 0.0
    assert deflated_sharpe(0.1, 101, 0.0, 3.0, 1, 0.5) == probabilistic_sharpe(0.1, 0.0, 101, 0.0, 3.0)


def test_more_trials_leave_less() -> None:
    left = [deflated_sharpe(0.1, 500, -1.0, 6.0, trials, 0.002) for trials in (1, 2, 10, 1_000, 10**9)]
    assert left == sorted(left, reverse=True)  # type: ignore[type-var]


def test_expected_maximum_is_that_of_drawn_ones() -> None:
    drawn = np.random.default_rng(0).normal(0, 2.0, (20_000, 50)).max(axis=1).mean()
    assert expected_maximum(50, 4.0) == pytest.approx(drawn, rel=0.02)  # the formula is asymptotic


def test_what_cannot_be_known_is_none() -> None:
    assert probabilistic_sharpe(0.1, 0.0, 1, 0.0, 3.0) is None
    assert probabilistic_sharpe(1.0, 0.0, 100, 5.0, 3.0) is None, "no spread: moments that no returns have"
    assert moments(np.array([0.01])) is None
    assert moments(np.array([0.01, 0.01, 0.01])) is None


def test_moments_by_hand() -> None:
    found = moments(np.array([0.0, 0.0, 0.0, 4.0]))
    assert found is not None
    sharpe, skewness, kurtosis = found
    assert sharpe == pytest.approx(0.5)  # mean 1, deviation sqrt(12 / 3) = 2
    assert skewness == pytest.approx(6 / 3**1.5)  # third moment (27 - 3) / 4 = 6, second 12 / 4 = 3
    assert kurtosis == pytest.approx(21 / 9)  # fourth moment (81 + 3) / 4 = 21


def test_returns_beside_the_best_of_what_was_tried() -> None:
    daily = np.array([0.01, -0.005, 0.02, 0.0])
    found = deflate(daily, 1, 0.0)
    assert found is not None
    assert found.sharpe == pytest.approx(daily.mean() / daily.std(ddof=1))
    assert (found.expected_maximum, found.is_recorded) == (0.0, True)
    assert found.probability == found.above_zero
    of_many = deflate(daily, 20, 0.04)
    assert of_many is not None
    assert of_many.expected_maximum == expected_maximum(20, 0.04)
    assert of_many.probability == deflated_sharpe(found.sharpe, 4, found.skewness, found.kurtosis, 20, 0.04)


def test_where_the_variance_of_the_trials_is_not_known_it_is_that_of_luck() -> None:
    found = deflate(np.array([0.01, -0.005, 0.02, 0.0]), 20, None)
    assert found is not None
    assert found.variance == pytest.approx(1 / 3)
    assert not found.is_recorded


@pytest.mark.parametrize("daily", [[], [0.01], [0.01, 0.01, 0.01]])
def test_returns_that_say_nothing_have_no_deflated_ratio(daily: list[float]) -> None:
    assert deflate(np.array(daily), 2, 0.1) is None
