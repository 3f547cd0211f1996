"""The stochastic oscillator against hand-computed values, exact fractions and TA-Lib."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.trend.promises import market, prices, still

from promethean.indicators.momentum.stochastic import stochastic


def test_a_hand_computed_example_comes_out() -> None:
    # 10.5 in 8..12 and 12 in 9..13.
    high, low, close = np.array([[10.0, 12.0, 11.0, 13.0], [8.0, 9.0, 10.0, 10.0], [9.0, 11.0, 10.5, 12.0]])
    unknown = math.nan
    fast = stochastic(high, low, close, k=3, smooth=1, d=2)
    assert np.array_equal(fast.k, [unknown, unknown, 62.5, 75], equal_nan=True)
    assert np.array_equal(fast.d, [unknown, unknown, unknown, 68.75], equal_nan=True)
    slow = stochastic(high, low, close, k=3, smooth=2, d=1)
    assert np.array_equal(slow.k, [unknown, unknown, unknown, 68.75], equal_nan=True)
    assert np.array_equal(slow.d, slow.k, equal_nan=True)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_it_is_the_definition_in_exact_fractions(bars: list[tuple[int, int, int]], k: int, smooth: int, d: int) -> None:
    low, close, high = np.cumsum(np.array(bars, float), axis=1).T.copy()
    found = stochastic(high, low, close, k, smooth, d)
    raw: list[Fraction | None] = []  # None where it is not known, because too early or flat
    for place in range(len(bars)):
        rows = slice(max(0, place - k + 1), place + 1)
        bottom, span = Fraction(low[rows].min()), Fraction(high[rows].max() - low[rows].min())
        raw.append(100 * (Fraction(close[place]) - bottom) / span if span and place >= k - 1 else None)

    def averaged(values: list[Fraction | None], count: int) -> list[Fraction | None]:
        averages: list[Fraction | None] = []
        for place in range(len(values)):
            last = [value for value in values[max(0, place - count + 1) : place + 1] if value is not None]
            averages.append(sum(last, Fraction(0)) / count if len(last) == count else None)
        return averages

    smoothed = averaged(raw, smooth)
    for values, wanted in ((found.k, smoothed), (found.d, averaged(smoothed, d))):
        expected = [math.nan if value is None else float(value) for value in wanted]
        np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("k", "smooth", "d"), [(14, 3, 3), (5, 1, 3), (50, 10, 7)])
def test_it_is_that_of_ta_lib(k: int, smooth: int, d: int) -> None:
    high_low_close = prices(market(7, 1000, restless=True))
    found = stochastic(*high_low_close, k, smooth, d)
    theirs = talib.STOCH(*high_low_close, fastk_period=k, slowk_period=smooth, slowd_period=d)  # simple averages
    known = k + smooth + d - 3  # TA-Lib leaves out what %D does not know yet
    for values, expected in zip(found, theirs, strict=True):
        np.testing.assert_allclose(values[known:], expected[known:], rtol=1e-9, atol=1e-9)


def test_a_flat_range_is_no_place_and_is_forgotten_with_its_averages() -> None:
    columns = {name: np.array(values) for name, values in market(8, 60, restless=True).items()}
    for name in ("high", "low", "close"):
        columns[name][20:34] = 50.0
    found = stochastic(columns["high"], columns["low"], columns["close"])
    assert np.flatnonzero(np.isnan(found.k)).tolist() == [*range(15), 33, 34, 35]
    assert np.flatnonzero(np.isnan(found.d)).tolist() == [*range(17), 33, 34, 35, 36, 37]


@pytest.mark.parametrize("name", ["k", "smooth", "d"])
def test_a_parameter_below_one_is_refused(name: str) -> None:
    wrong: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"{name} of a stochastic oscillator is at least 1, not 0"):
        stochastic(*prices(still(10)), **wrong)
