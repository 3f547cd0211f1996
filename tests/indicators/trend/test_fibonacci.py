"""Fibonacci levels against hand-computed ones and a plain search for the swings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.candles import FloatArray
from promethean.indicators.trend.fibonacci import fibonacci

UP, DOWN = np.arange(100.0, 200.0, 10.0), np.arange(200.0, 100.0, -10.0)


def leg(high: list[float], low: list[float], place: int, lookback: int) -> tuple[float, float, float]:
    """Swing high, swing low and direction at a place, by the sentences of the definition."""
    first = max(0, place - lookback + 1)

    def swings(values: list[float]) -> list[int]:
        return [
            middle
            for middle in range(first + 5, place - 4)
            if all(values[middle] > values[middle + step] for step in range(-5, 6) if step)
        ]

    highs, lows = swings(high), swings([-value for value in low])
    if not highs or not lows:
        return math.nan, math.nan, math.nan
    at_high = max(highs, key=lambda at: (high[at], at))
    at_low = min(lows, key=lambda at: (low[at], -at))
    if at_high == at_low or high[at_high] <= low[at_low]:
        return math.nan, math.nan, math.nan
    return high[at_high], low[at_low], 1.0 if at_low < at_high else -1.0


def turns(*parts: FloatArray) -> FloatArray:
    return np.concatenate(parts)


def test_hand_computed_levels_of_a_rising_leg_come_out() -> None:
    # From 200 to 100, up to 200 and down again: the high is confirmed five candles after it.
    prices = turns(DOWN, UP, DOWN)
    levels = fibonacci(prices, prices - 1)
    assert np.isnan(levels.swing_high[:25]).all()
    for place in range(25, 30):
        at = {name: float(values[place]) for name, values in levels._asdict().items()}
        assert (at["swing_high"], at["swing_low"], at["direction"]) == (200, 99, 1)
        assert at["retracement_236"] == pytest.approx(200 - 0.236 * 101, rel=1e-14)
        assert at["retracement_382"] == pytest.approx(161.418, rel=1e-14)
        assert at["retracement_500"] == pytest.approx(149.5, rel=1e-14)
        assert at["retracement_618"] == pytest.approx(137.582, rel=1e-14)
        assert at["retracement_786"] == pytest.approx(120.614, rel=1e-14)
        assert at["extension_1272"] == pytest.approx(227.472, rel=1e-14)
        assert at["extension_1618"] == pytest.approx(262.418, rel=1e-14)
        assert at["extension_2618"] == pytest.approx(363.418, rel=1e-14)


def test_a_falling_leg_is_the_mirror() -> None:
    prices = turns(UP, DOWN, UP)
    levels = fibonacci(prices + 1, prices)
    mirror = fibonacci(1000 - prices, 999 - prices)
    assert levels.direction[-1] == -1
    assert (levels.swing_high[-1], levels.swing_low[-1]) == (201, 100)
    for name in levels._fields[3:]:
        assert getattr(levels, name)[-1] == pytest.approx(1000 - getattr(mirror, name)[-1], rel=1e-12)


def test_the_highest_swing_of_the_lookback_counts_and_not_the_latest() -> None:
    small = np.concatenate([np.arange(130.0, 160.0, 5.0), np.arange(160.0, 130.0, -5.0)])
    prices = turns(DOWN, UP, DOWN[:7], small)
    levels = fibonacci(prices, prices - 1)
    assert levels.swing_high[-1] == 200
    assert fibonacci(prices, prices - 1, 22).swing_high[-1] == 160


def test_of_equal_swings_the_newer_counts() -> None:
    prices = turns(UP, DOWN, UP, DOWN)
    assert fibonacci(prices, prices - 1).direction[26] == -1
    assert fibonacci(prices, prices - 1).direction[-1] == 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=80), st.sampled_from([11, 13, 20, 40, 100]))
def test_it_is_the_definition(bars: list[tuple[int, int]], lookback: int) -> None:
    low = [float(bottom) for bottom, _ in bars]
    high = [float(bottom + height) for bottom, height in bars]
    levels = fibonacci(np.array(high), np.array(low), lookback)
    for place in range(len(bars)):
        found = [float(values[place]) for values in levels[:3]]
        assert found == pytest.approx(leg(high, low, place, lookback), nan_ok=True)


@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.sampled_from([11, 25, 100]))
def test_it_is_the_definition_on_a_walk(seed: int, length: int, lookback: int) -> None:
    random = np.random.default_rng(seed)
    middle = np.cumsum(random.normal(0, 2, length)).round().astype(np.float64)
    high, low = middle + random.integers(0, 3, length), middle - random.integers(0, 3, length)
    levels = fibonacci(high, low, lookback)
    for place in range(length):
        found = [float(values[place]) for values in levels[:3]]
        assert found == pytest.approx(leg(high.tolist(), low.tolist(), place, lookback), nan_ok=True)


def test_a_candle_that_is_both_swings_gives_no_leg() -> None:
    high, low = np.full(11, 10.0), np.full(11, 9.0)
    high[5], low[5] = 12.0, 7.0
    assert np.isnan(fibonacci(high, low).swing_high).all()


def test_a_lookback_without_room_for_a_swing_is_refused() -> None:
    with pytest.raises(ValueError, match="the lookback of Fibonacci levels is at least 11, not 10"):
        fibonacci(np.arange(20.0), np.arange(20.0), 10)
