"""The MACD against hand-computed values, exact fractions and TA-Lib."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.trend.promises import market

from promethean.indicators.trend.macd import macd


def exact_ema(values: list[Fraction], period: int) -> list[Fraction]:
    """From the first place at which there are enough values on."""
    averages = [sum(values[:period], Fraction(0)) / period] if len(values) >= period else []
    for value in values[period:]:
        averages.append((2 * value + (period - 1) * averages[-1]) / (period + 1))
    return averages


def test_a_price_that_rises_evenly_keeps_the_averages_at_their_distance() -> None:
    # An average lags (period - 1) / 2 candles behind a straight line: 12.5 - 5.5 = 7 candles of 0.5 between the two.
    line = macd(np.linspace(100.0, 139.5, 80))
    np.testing.assert_allclose(line.macd[25:], 3.5, rtol=1e-12)
    np.testing.assert_allclose(line.signal_line[33:], 3.5, rtol=1e-12)
    np.testing.assert_allclose(line.histogram[33:], 0.0, atol=1e-12)


@given(st.lists(st.integers(1, 1000), max_size=40), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
def test_it_is_the_definition_in_exact_fractions(ticks: list[int], fast: int, more: int, signal: int) -> None:
    slow = fast + more
    line = macd(np.array(ticks, float), fast, slow, signal)
    exact = [Fraction(tick) for tick in ticks]
    differences = [a - b for a, b in zip(exact_ema(exact, fast)[more:], exact_ema(exact, slow), strict=True)]
    averages = exact_ema(differences, signal)
    np.testing.assert_allclose(line.macd[slow - 1 :], [float(value) for value in differences], atol=1e-10)
    np.testing.assert_allclose(line.signal_line[slow + signal - 2 :], [float(value) for value in averages], atol=1e-10)
    gaps = [float(value - average) for value, average in zip(differences[signal - 1 :], averages, strict=True)]
    np.testing.assert_allclose(line.histogram[slow + signal - 2 :], gaps, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_it_comes_to_that_of_ta_lib_which_begins_the_fast_average_later(seed: int) -> None:
    close = market(seed, 2000, restless=True)["close"]
    for values, theirs in zip(macd(close), talib.MACD(close), strict=True):
        np.testing.assert_allclose(values[700:], theirs[700:], rtol=1e-9, atol=1e-9)


def test_a_price_that_stands_still_has_no_distance_at_all() -> None:
    line = macd(np.full(3000, 0.1))
    assert (line.macd[25:] == 0).all()
    assert (line.histogram[33:] == 0).all()


def test_wrong_periods_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 and below the slow one, unlike 26 and 26"):
        macd(np.arange(10.0), 26, 26)
    with pytest.raises(ValueError, match="at least 1 and below the slow one, unlike 0 and 26"):
        macd(np.arange(10.0), 0)
    with pytest.raises(ValueError, match="the signal period of a MACD is at least 1, not 0"):
        macd(np.arange(10.0), signal=0)
