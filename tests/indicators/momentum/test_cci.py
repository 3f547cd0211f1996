"""The CCI against hand-computed values, exact fractions and TA-Lib."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.trend.promises import market, prices, still

from promethean.indicators.momentum.cci import cci


def test_a_hand_computed_example_comes_out() -> None:
    # Of 1, 2, 6 the mean is 3 and the mean deviation 2; of 2, 6, 4 the last is the mean.
    typical = np.array([1.0, 2.0, 6.0, 4.0])
    values = cci(typical + 1, typical - 1, typical, 3)
    assert np.isnan(values[:2]).all()
    assert values[2:] == pytest.approx([100, 0])


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30),
    st.integers(2, 6),
)
def test_it_is_the_definition_in_exact_fractions(bars: list[tuple[int, int, int]], period: int) -> None:
    low, close, high = np.cumsum(np.array(bars, float), axis=1).T.copy()
    values = cci(high, low, close, period)
    typical = [Fraction(a + b + c) / 3 for a, b, c in zip(high, low, close, strict=True)]
    for place in range(period - 1, len(bars)):
        last = typical[place - period + 1 : place + 1]
        mean = sum(last, Fraction(0)) / period
        deviation = sum((abs(value - mean) for value in last), Fraction(0)) / period
        if deviation:
            wanted = float((last[-1] - mean) / (Fraction(15, 1000) * deviation))
            assert values[place] == pytest.approx(wanted, rel=1e-11, abs=1e-10)
        else:
            assert np.isnan(values[place])


@pytest.mark.parametrize("period", [2, 20, 300])
def test_it_is_that_of_ta_lib(period: int) -> None:
    high_low_close = prices(market(7, 1000, restless=True))
    np.testing.assert_allclose(cci(*high_low_close, period), talib.CCI(*high_low_close, period), rtol=1e-9, atol=1e-9)


def test_rounding_of_a_flat_typical_price_is_no_deviation() -> None:
    # 0.4 + 0.1 + 0.1 and 0.2 + 0.2 + 0.2 differ in the last digit.
    high, low, close = (np.tile(pair, 10) for pair in ([0.4, 0.2], [0.1, 0.2], [0.1, 0.2]))
    typical = (high + low + close) / 3
    assert 0 < np.ptp(typical) < 1e-15
    assert np.isnan(cci(high, low, close, 4)).all()
    assert np.isnan(cci(*prices(still(100, 0.1)))).all()


def test_a_period_below_two_is_refused() -> None:
    with pytest.raises(ValueError, match="the period of a CCI is at least 2, not 1"):
        cci(*prices(still(10)), 1)
