"""The RSI against published and hand-computed values, and against the promises every indicator makes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.candles import FloatArray
from promethean.indicators.momentum.rsi import STILL_PERIODS, rsi, rsi_window

RANGE_TOLERANCE = 1e-12 * 100  # values lie in 0..100

# The daily closes and the values that ChartSchool's RSI page publishes for a period of 14.
PUBLISHED_CLOSES = [
    44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931,
    46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521,
    45.7137, 46.4515, 45.7835, 45.3548, 44.0288, 44.1783, 44.2181, 44.5672, 43.4205, 42.6628, 43.1314,
]  # fmt: skip
PUBLISHED_RSI = [
    70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38,
    54.71, 50.42, 39.99, 41.46, 41.87, 45.46, 37.30, 33.08, 37.77,
]  # fmt: skip


def exact_rsi(close: Sequence[float], period: int) -> list[float]:
    """Wilder's definition in exact fractions, without any of the shortcuts."""
    moves = [Fraction(after) - Fraction(before) for before, after in pairwise(close)]
    ups, downs = [max(move, Fraction(0)) for move in moves], [max(-move, Fraction(0)) for move in moves]
    values = [math.nan] * len(close)
    up, down = sum(ups[:period], Fraction(0)) / period, sum(downs[:period], Fraction(0)) / period
    for place in range(period, len(close)):
        if place > period:
            up = (up * (period - 1) + ups[place - 1]) / period
            down = (down * (period - 1) + downs[place - 1]) / period
        values[place] = float(100 * up / (up + down)) if up + down else math.nan
    return values


def walk(seed: int, period: int, length: int) -> FloatArray:
    """A random walk, with spikes of up to 100,000 times the price, still parts and ticks, as the seed has it."""
    random = np.random.default_rng(seed)
    close: FloatArray = 100 * np.exp(np.cumsum(random.normal(0, random.choice([1e-6, 1e-3, 1e-2]), length)))
    kinds = random.random(4) < 0.5
    if kinds[0]:
        close[random.integers(0, length, 3)] *= random.choice([1e-3, 10.0, 1e5], 3)
    if kinds[1]:
        start = int(random.integers(0, length))
        close[start : start + int(random.integers(1, 60 * period))] = close[start]
    if kinds[2]:
        start = max(0, length - int(random.integers(1, 90 * period)))
        close[start:] = close[start]
    return np.maximum(np.round(close, 2), 0.01) if kinds[3] else close


seeds = st.integers(0, 2**32 - 1)
periods = st.sampled_from([1, 2, 3, 5, 14, 21])


# -- golden -----------------------------------------------------------------------------------------------------------


def test_the_published_example_comes_out_to_the_last_digit() -> None:
    values = rsi(np.array(PUBLISHED_CLOSES))
    assert np.isnan(values[:14]).all()
    assert values[14:].round(2).tolist() == PUBLISHED_RSI


def test_a_hand_computed_example_comes_out() -> None:
    # Changes +1, -0.5, +1.5, -0.5: U = 1/2, 1, 1/2 and D = 1/4, 1/8, 5/16.
    values = rsi(np.array([10.0, 11.0, 10.5, 12.0, 11.5]), 2)
    assert values[2:] == pytest.approx([200 / 3, 800 / 9, 800 / 13], rel=1e-14)


def test_a_market_that_only_rises_is_100_and_one_that_only_falls_is_0() -> None:
    rising = np.arange(1.0, 60.0)
    assert rsi(rising)[14:].tolist() == [100.0] * 45
    assert rsi(rising[::-1].copy())[14:].tolist() == [0.0] * 45


def test_with_one_candle_in_the_average_the_last_change_decides() -> None:
    values = rsi(np.array([10.0, 11.0, 11.0, 10.5, 12.0]), 1)
    assert np.array_equal(values, [np.nan, 100.0, np.nan, 0.0, 100.0], equal_nan=True)


# -- what is not known ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [1, 2, 14])
@pytest.mark.parametrize("length", [0, 1, 2, 14, 15])
def test_the_first_values_are_not_known_yet(period: int, length: int) -> None:
    values = rsi(np.linspace(100.0, 90.0, length), period)
    assert values.shape == (length,)
    assert np.isnan(values[:period]).all()
    assert not np.isnan(values[period:]).any()


@pytest.mark.parametrize("period", [1, 2, 14])
def test_a_price_that_never_moved_has_no_strength_and_is_not_oversold(period: int) -> None:
    assert np.isnan(rsi(np.full(2000, 7.0), period)).all()
    moved_late = np.concatenate([np.full(200, 7.0), [7.1, 7.0, 7.2]])
    values = rsi(moved_late, period)
    assert np.isnan(values[:200]).all()
    assert values[200] == 100.0


def test_a_price_that_stood_still_for_more_than_ten_periods_has_no_strength_until_it_moves() -> None:
    period = 3
    close = np.concatenate([[10.0, 11.0, 10.5, 12.0, 11.5], np.full(40, 11.5), [11.6]])
    values = rsi(close, period)
    still = STILL_PERIODS * period
    last_change = 4
    assert not np.isnan(values[period : last_change + still + 1]).any()
    assert np.isnan(values[last_change + still + 1 : -1]).all()
    assert values[-1] > 99


def test_a_period_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="the period of an RSI is at least 1, not 0"):
        rsi(np.arange(10.0), 0)


# -- property ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 50), min_size=2, max_size=40), st.integers(1, 6))
def test_it_is_wilders_definition(ticks: list[int], period: int) -> None:
    close = [tick * 0.25 for tick in ticks]
    values = rsi(np.array(close), period)
    expected = exact_rsi(close, period)
    longest = STILL_PERIODS * period
    for place, (value, wanted) in enumerate(zip(values, expected, strict=True)):
        if len(set(close[max(0, place - longest) : place + 1])) > 1:
            assert value == pytest.approx(wanted, rel=1e-12, abs=RANGE_TOLERANCE, nan_ok=True)


@given(seeds, periods, st.integers(2, 300), st.integers(0, 299))
def test_no_value_sees_a_later_candle(seed: int, period: int, length: int, cut: int) -> None:
    close = walk(seed, period, length)
    cut = min(cut, length)
    assert np.array_equal(rsi(close[:cut], period), rsi(close, period)[:cut], equal_nan=True)


@given(seeds, periods)
def test_the_declared_window_decides_the_last_value(seed: int, period: int) -> None:
    window = rsi_window(period)
    close = walk(seed, period, window + int(np.random.default_rng(seed).integers(1, 2 * window)))
    whole, trailing = rsi(close, period)[-1], rsi(close[-window:], period)[-1]
    assert whole == pytest.approx(trailing, rel=1e-12, abs=RANGE_TOLERANCE, nan_ok=True)


@given(seeds, periods)
def test_values_lie_between_0_and_100(seed: int, period: int) -> None:
    values = rsi(walk(seed, period, 400), period)
    known = values[~np.isnan(values)]
    assert ((known >= 0) & (known <= 100)).all()


@given(seeds, periods, st.integers(-40, 40))
def test_the_unit_of_the_price_does_not_matter(seed: int, period: int, exponent: int) -> None:
    close = walk(seed, period, 300)
    assert np.array_equal(rsi(close, period), rsi(close * 2.0**exponent, period), equal_nan=True)
