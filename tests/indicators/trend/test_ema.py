"""The exponential moving average against hand-computed values, TA-Lib and exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.trend.promises import market

from promethean.indicators.trend.ema import ema


def test_a_hand_computed_example_comes_out() -> None:
    # Begins with (2 + 4 + 6) / 3 = 4; then half of the way to 8 and to 12.
    values = ema(np.array([2.0, 4.0, 6.0, 8.0, 12.0]), 3)
    assert np.array_equal(values, [math.nan, math.nan, 4.0, 6.0, 9.0], equal_nan=True)


@given(st.lists(st.integers(1, 10**6), max_size=40), st.integers(1, 8))
def test_it_is_the_definition_in_exact_fractions(ticks: list[int], period: int) -> None:
    values = ema(np.array(ticks, float), period)
    mean = Fraction(0)
    for place, tick in enumerate(ticks):
        if place == period - 1:
            mean = Fraction(sum(ticks[:period]), period)
        elif place >= period:
            mean = Fraction(2, period + 1) * tick + (1 - Fraction(2, period + 1)) * mean
        if place >= period - 1:
            assert values[place] == pytest.approx(float(mean), rel=1e-13)


@pytest.mark.parametrize("period", [2, 20, 200])
def test_it_is_that_of_ta_lib(period: int) -> None:
    close = market(5, 2000, restless=True)["close"]
    np.testing.assert_allclose(ema(close, period), talib.EMA(close, period), rtol=1e-9)


def test_with_one_candle_in_the_average_it_is_the_close() -> None:
    close = market(3, 50)["close"]
    np.testing.assert_allclose(ema(close, 1), close, rtol=1e-15)


@pytest.mark.parametrize("price", [0.1, 1 / 3, 61_234.56])
def test_a_price_that_stands_still_is_its_own_average_exactly(price: float) -> None:
    assert (ema(np.full(3000, price), 20)[19:] == price).all()


def test_unknown_values_at_the_beginning_are_passed_over() -> None:
    close = market(8, 300, restless=True)["close"]
    for unknown in (1, 25, 290, 300, 400):
        values = ema(np.concatenate([np.full(unknown, np.nan), close]), 20)
        assert np.isnan(values[:unknown]).all()
        assert np.array_equal(values[unknown:], ema(close, 20), equal_nan=True)
    assert np.isnan(ema(np.full(30, np.nan), 5)).all()


def test_a_period_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="the period of a moving average is at least 1, not -3"):
        ema(np.arange(10.0), -3)
