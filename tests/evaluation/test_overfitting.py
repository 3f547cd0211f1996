"""How far the best of many is luck: what noise and skill come to."""

from __future__ import annotations

import numpy as np
import pytest

from promethean.evaluation.overfitting import (
    BLOCKS,
    block_sums,
    importance,
    probability_of_overfitting,
)


def test_the_best_of_noise_is_overfitted_half_of_the_time() -> None:
    rng = np.random.default_rng(1)
    shares = [
        probability_of_overfitting(np.array([block_sums(rng.normal(0, 0.01, 320)) for _ in range(40)]))
        for _ in range(20)
    ]
    assert np.mean([share for share in shares if share is not None]) == pytest.approx(0.5, abs=0.08)


def test_a_set_with_skill_is_not_overfitted() -> None:
    rng = np.random.default_rng(2)
    noise = [rng.normal(0, 0.01, 320) for _ in range(20)]
    assert probability_of_overfitting(np.array([block_sums(each) for each in [*noise, noise[0] + 0.02]])) == 0.0


def test_sets_that_are_all_alike_are_in_the_middle() -> None:
    daily = np.random.default_rng(3).normal(0, 0.01, 320)
    assert probability_of_overfitting(np.array([block_sums(daily)] * 5)) == 0.5


def test_too_few_days_or_sets_say_nothing_about_overfitting() -> None:
    assert block_sums(np.zeros(2 * BLOCKS - 1)).shape == (0, 3)
    assert probability_of_overfitting(np.array([block_sums(np.zeros(31))] * 3)) is None
    assert probability_of_overfitting(np.array([block_sums(np.zeros(64))])) is None


def test_sums_of_blocks_are_those_of_all_days() -> None:
    daily = np.random.default_rng(4).normal(0, 0.01, 365)
    count, total, squares = block_sums(daily).sum(axis=0)
    assert (count, total, squares) == (365, pytest.approx(daily.sum()), pytest.approx((daily**2).sum()))


def test_what_decides_is_important_and_what_does_not_is_not() -> None:
    rng = np.random.default_rng(5)
    decides, idle = rng.integers(0, 20, 200), rng.integers(0, 20, 200)
    values = decides + rng.normal(0, 1, 200)
    assert importance(decides.tolist(), values) > 0.8
    assert importance(idle.tolist(), values) < 0.1
    assert importance([1, 2, 3], np.array([1.0, 1.0, 1.0])) == 0.0
    assert importance([1], np.array([1.0])) == 0.0
