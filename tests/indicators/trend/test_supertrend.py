"""Supertrend against a hand-computed example and a plain loop over the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.trend.promises import Columns, market, prices, still

from promethean.indicators.trend.supertrend import supertrend, supertrend_resume

Candle = tuple[float, float, float]  # high, low, close


def expected(columns: Columns, period: int, multiple: float) -> tuple[list[float], list[float]]:
    """Bands by the sentences of the definition, on TA-Lib's average true range."""
    high, low, close = (columns[name].tolist() for name in ("high", "low", "close"))
    reach = talib.ATR(*prices(columns), period).tolist()
    lines, directions = [math.nan] * period, [math.nan] * period
    upper, lower, rising = math.inf, -math.inf, True
    for place in range(period, len(close)):
        middle = (high[place] + low[place]) / 2
        above, below = middle + multiple * reach[place], middle - multiple * reach[place]
        if place == period:
            rising = close[place] >= middle
        upper = above if close[place - 1] > upper else min(above, upper)
        lower = below if close[place - 1] < lower else max(below, lower)
        rising = close[place] >= lower if rising else close[place] > upper
        lines.append(lower if rising else upper)
        directions.append(1.0 if rising else -1.0)
    return lines[: len(close)], directions[: len(close)]


def test_a_hand_computed_example_comes_out() -> None:
    candles = [(10, 8, 9), (11, 9, 10), (13, 11, 12), (14, 12, 13), (13, 9, 9.5), (10, 8, 8.5), (16, 12, 15)]
    high, low, close = np.array(candles, float).T.copy()
    trend = supertrend(high, low, close, 1, 1)
    # True ranges 2, 3, 2, 4, 2, 7.5.  At the fifth candle the close before, 13, was above the upper band of 12, which
    # is set anew at 11 + 4; the close of 9.5 breaks the lower band of 11.
    assert np.array_equal(trend.line, [math.nan, 8, 9, 11, 15, 11, 7], equal_nan=True)
    assert np.array_equal(trend.direction, [math.nan, 1, 1, 1, -1, -1, 1], equal_nan=True)


@given(st.integers(0, 2**32 - 1), st.integers(0, 400), st.sampled_from([(10, 3.0), (1, 1.0), (4, 0.25)]))
def test_it_is_the_definition(seed: int, length: int, parameters: tuple[int, float]) -> None:
    columns = market(seed, length, restless=True)
    trend = supertrend(columns["high"], columns["low"], columns["close"], *parameters)
    lines, directions = expected(columns, *parameters)
    np.testing.assert_allclose(trend.line, lines, rtol=1e-12)
    assert np.array_equal(trend.direction, directions, equal_nan=True)


def test_the_line_only_tightens_until_the_trend_turns() -> None:
    columns = market(12, 5000, restless=True)
    line, direction = supertrend(columns["high"], columns["low"], columns["close"])
    steps = np.diff(line)[10:]
    kept = direction[10:-1] == direction[11:]
    assert (steps * direction[11:] >= 0)[kept].all()
    assert (~kept).sum() > 50


@pytest.mark.parametrize(("candle", "direction"), [((12.0, 8.0, 10.0), 1.0), ((12.0, 8.0, 9.9), -1.0)])
def test_the_first_trend_is_the_half_of_the_range_it_closes_in(candle: Candle, direction: float) -> None:
    high, low, close = (np.array([10.0, value]) for value in candle)
    assert supertrend(high, low, close, 1).direction[1] == direction


def test_wrong_parameters_and_states_are_refused() -> None:
    columns = prices(still(5))
    with pytest.raises(ValueError, match="the period of a Supertrend is at least 1, not 0"):
        supertrend(*columns, period=0)
    for multiple in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"the multiple of a Supertrend is above 0, not {multiple}"):
            supertrend(*columns, multiple=multiple)
    with pytest.raises(ValueError, match="holds 6 numbers, not"):
        supertrend_resume(*columns, np.zeros(5))
