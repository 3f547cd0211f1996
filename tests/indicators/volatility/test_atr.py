"""The ATR against a hand-computed example, exact fractions and TA-Lib."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.trend.promises import market, prices, still

from promethean.indicators.volatility.atr import atr


def test_a_hand_computed_example_comes_out() -> None:
    # True ranges 2, 14 - 10 = 4 over the gap, and 1.
    high, low, close = np.array([[10.0, 11.0, 14.0, 13.0], [8.0, 9.0, 11.0, 12.0], [9.0, 10.0, 13.0, 12.5]])
    values = atr(high, low, close, 2)
    assert np.array_equal(values.atr, [np.nan, np.nan, 3.0, 2.0], equal_nan=True)
    assert np.array_equal(values.atr_pct, [np.nan, np.nan, 3 / 13, 0.16], equal_nan=True)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40),
    st.integers(1, 6),
)
def test_it_is_wilders_definition_in_exact_fractions(bars: list[tuple[int, int, int]], period: int) -> None:
    low, close, high = np.cumsum(np.array(bars, float), axis=1).T.copy()
    values = atr(high, low, close, period).atr
    ranges = [
        Fraction(max(high[place], close[place - 1]) - min(low[place], close[place - 1]))
        for place in range(1, len(bars))
    ]
    average = sum(ranges[:period], Fraction(0)) / period
    for place in range(period, len(bars)):
        if place > period:
            average = (average * (period - 1) + ranges[place - 1]) / period
        assert values[place] == pytest.approx(float(average), rel=1e-12)


def test_it_is_that_of_ta_lib_also_without_smoothing() -> None:
    high_low_close = prices(market(2, 500, restless=True))
    np.testing.assert_allclose(atr(*high_low_close).atr, talib.ATR(*high_low_close, 14), rtol=1e-9)
    np.testing.assert_allclose(atr(*high_low_close).atr_pct, talib.NATR(*high_low_close, 14) / 100, rtol=1e-9)
    np.testing.assert_allclose(atr(*high_low_close, 1).atr, talib.TRANGE(*high_low_close), rtol=1e-9)


def test_a_price_that_stands_still_has_no_range() -> None:
    values = atr(*prices(still(40, 0.1)))
    assert (values.atr[14:] == 0).all()
    assert (values.atr_pct[14:] == 0).all()


def test_a_period_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="the period of an ATR is at least 1, not 0"):
        atr(*prices(still(10)), 0)
