"""The simple moving average against hand-computed values, TA-Lib and exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.trend.promises import market

from promethean.indicators.trend.sma import sma


def test_a_hand_computed_example_comes_out() -> None:
    assert np.array_equal(sma(np.array([1.0, 2.0, 6.0, 4.0]), 3), [math.nan, math.nan, 3.0, 4.0], equal_nan=True)


@given(st.lists(st.floats(1e-8, 1e8), max_size=40), st.integers(1, 8))
def test_it_is_the_mean_of_the_last_values(close: list[float], period: int) -> None:
    values = sma(np.array(close), period)
    for place in range(period - 1, len(close)):
        last = [Fraction(value) for value in close[place - period + 1 : place + 1]]
        assert values[place] == pytest.approx(float(sum(last) / period), rel=1e-13)


@pytest.mark.parametrize("period", [2, 20, 300, 1500])
def test_it_is_that_of_ta_lib(period: int) -> None:
    close = market(5, 2000, restless=True)["close"]
    np.testing.assert_allclose(sma(close, period), talib.SMA(close, period), rtol=1e-9)


@pytest.mark.parametrize("price", [0.1, 1 / 3, 61_234.56])
def test_a_price_that_stands_still_is_its_own_average_exactly(price: float) -> None:
    assert (sma(np.full(3000, price), 20)[19:] == price).all()


def test_a_spike_leaves_nothing_behind() -> None:
    close = np.full(3000, 0.1)
    close[100] = 1e12
    assert (sma(close, 20)[120:] == 0.1).all()


def test_an_unknown_value_makes_only_those_averages_unknown_that_hold_it() -> None:
    values = np.arange(2000.0)
    values[[0, 1, 700]] = np.nan
    unknown = np.isnan(sma(values, 5))
    assert np.flatnonzero(unknown).tolist() == [*range(6), *range(700, 705)]


def test_a_period_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="the period of a moving average is at least 1, not 0"):
        sma(np.arange(10.0), 0)
