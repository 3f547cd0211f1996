"""The rate of change against hand-computed values and TA-Lib."""

from __future__ import annotations

import numpy as np
import pytest
import talib
from tests.indicators.trend.promises import market

from promethean.indicators.momentum.roc import roc


def test_a_hand_computed_example_comes_out() -> None:
    values = roc(np.array([100.0, 50.0, 125.0, 25.0]), 2)
    assert np.array_equal(values, [np.nan, np.nan, 0.25, -0.5], equal_nan=True)


def test_it_is_that_of_ta_lib() -> None:
    close = market(7, 1000, restless=True)["close"]
    for period in (1, 12, 300):
        np.testing.assert_allclose(roc(close, period), talib.ROCP(close, period), rtol=1e-9, atol=1e-15)


def test_a_price_that_stands_still_does_not_change() -> None:
    assert (roc(np.full(40, 0.1))[12:] == 0).all()


def test_a_period_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="the period of a rate of change is at least 1, not 0"):
        roc(np.arange(10.0), 0)
