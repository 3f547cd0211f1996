"""On-balance volume against TA-Lib and hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.volume.markets import market

from promethean.indicators.volume.obv import obv

seeds = st.integers(0, 2**32 - 1)


def test_a_hand_computed_example_comes_out() -> None:
    values = obv(np.array([10.0, 11.0, 11.0, 10.0, 12.0]), np.array([5.0, 3.0, 7.0, 4.0, 2.0]), 3)
    assert values.obv.tolist() == [5.0, 8.0, 8.0, 4.0, 6.0]
    # Over three values the slope is half of what lies between the first and the last.
    assert np.array_equal(values.slope, [np.nan, np.nan, 1.5, -2.0, -1.0], equal_nan=True)


@given(seeds, st.integers(1, 300), st.sampled_from([2, 3, 10, 21]))
def test_sum_and_slope_are_those_of_talib(seed: int, length: int, slope: int) -> None:
    columns = market(seed, length)
    close, volume = columns["close"], columns["volume"]
    values = obv(close, volume, slope)
    scale = volume.sum()
    assert values.obv == pytest.approx(talib.OBV(close, volume), rel=1e-9, abs=1e-9 * scale)
    if length >= slope:
        expected = talib.LINEARREG_SLOPE(values.obv, slope)
        assert values.slope == pytest.approx(expected, rel=1e-9, abs=1e-9 * scale, nan_ok=True)


def test_the_slope_of_a_large_sum_keeps_its_digits() -> None:
    # A sum of 1e12 and steps of a thousandth: relative to zero, the squares would leave four digits.
    volume = np.concatenate([[2.0**40], np.full(30, 2.0**-10)])
    values = obv(np.arange(1.0, 32.0), volume)
    assert values.slope[10:].tolist() == [2.0**-10] * 21


@pytest.mark.parametrize("slope", [1, 0, -3])
def test_a_slope_over_less_than_two_candles_is_refused(slope: int) -> None:
    with pytest.raises(ValueError, match=f"needs at least 2 candles, not {slope}"):
        obv(np.arange(1.0, 5.0), np.ones(4), slope)
