"""Keltner channels against a hand-computed example and TA-Lib's averages."""

from __future__ import annotations

import math

import numpy as np
import pytest
import talib
from tests.indicators.trend.promises import market, prices, still

from promethean.indicators.volatility.keltner import keltner


def test_a_hand_computed_example_comes_out() -> None:
    # The average of 10 and 12 is 11; the true range reaches from the close of 10 to the high of 13.
    high, low, close = np.array([[11.0, 13.0], [9.0, 11.0], [10.0, 12.0]])
    channel = keltner(high, low, close, ema=2, atr=1, multiple=2)
    assert [float(values[1]) for values in channel] == pytest.approx([11, 17, 5, 7 / 12])


@pytest.mark.parametrize(("ema", "atr", "multiple"), [(20, 10, 2.0), (5, 30, 1.5)])
def test_it_is_an_average_and_average_true_ranges_around_it(ema: int, atr: int, multiple: float) -> None:
    columns = market(5, 800, restless=True)
    high, low, close = prices(columns)
    channel = keltner(high, low, close, ema, atr, multiple)
    middle, reach = talib.EMA(close, ema), multiple * talib.ATR(high, low, close, atr)
    np.testing.assert_allclose(channel.middle, middle, rtol=1e-9)
    np.testing.assert_allclose(channel.upper, middle + reach, rtol=1e-9)
    np.testing.assert_allclose(channel.lower, middle - reach, rtol=1e-9)
    np.testing.assert_allclose(channel.position, (close - middle + reach) / (2 * reach), rtol=1e-9, atol=1e-9)


def test_a_price_that_stands_still_has_no_place_in_a_channel_without_width() -> None:
    moving = market(6, 100, restless=True)
    last = moving["close"][-1]
    high, low, close = (np.concatenate([moving[name], np.full(1000, last)]) for name in ("high", "low", "close"))
    channel = keltner(high, low, close)
    assert not np.isnan(channel.position[20:200]).any()
    assert np.isnan(channel.position[400:]).all()
    assert not np.isnan(channel.upper[20:]).any()
    assert np.isnan(keltner(*prices(still(50, 0.1))).position).all()


def test_wrong_parameters_are_refused() -> None:
    columns = prices(still(5))
    with pytest.raises(ValueError, match="the period of a moving average is at least 1, not 0"):
        keltner(*columns, ema=0)
    with pytest.raises(ValueError, match="the period of an ATR is at least 1, not 0"):
        keltner(*columns, atr=0)
    for multiple in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"the multiple of Keltner channels is above 0, not {multiple}"):
            keltner(*columns, multiple=multiple)
