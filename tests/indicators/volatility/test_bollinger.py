"""Bollinger bands against hand-computed values, exact fractions and TA-Lib."""

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
from promethean.indicators.volatility.bollinger import bollinger


def test_a_hand_computed_example_comes_out() -> None:
    # Mean 5; the squares of the distances sum to 32, so that sigma is the root of 32 / 8, not of 32 / 7.
    bands = bollinger(np.array([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]), 8)
    assert [float(values[-1]) for values in bands[:5]] == [5, 9, 1, 1.6, 1]


@given(st.lists(st.integers(1, 10**6), max_size=40), st.integers(2, 8), st.sampled_from([0.5, 2.0, 3.0]))
def test_it_is_the_definition_in_exact_fractions(ticks: list[int], period: int, deviations: float) -> None:
    bands = bollinger(np.array(ticks, float), period, deviations)
    for place in range(period - 1, len(ticks)):
        last = ticks[place - period + 1 : place + 1]
        mean = Fraction(sum(last), period)
        reach = deviations * math.sqrt(sum((tick - mean) ** 2 for tick in last) / period)
        middle = float(mean)
        assert bands.middle[place] == pytest.approx(middle, rel=1e-12)
        assert bands.upper[place] == pytest.approx(middle + reach, rel=1e-12)
        assert bands.lower[place] == pytest.approx(middle - reach, rel=1e-12, abs=1e-12 * middle)
        assert bands.width[place] == pytest.approx(2 * reach / middle, rel=1e-9)
        inside = (float(last[-1] - mean) + reach) / (2 * reach) if reach else math.nan
        assert bands.percent_b[place] == pytest.approx(inside, rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(("period", "deviations"), [(20, 2.0), (5, 1.5), (300, 3.0)])
def test_it_is_that_of_ta_lib(period: int, deviations: float) -> None:
    close = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 1000)))
    bands = bollinger(close, period, deviations)
    theirs = talib.BBANDS(close, period, deviations, deviations)
    for values, expected in zip((bands.upper, bands.middle, bands.lower), theirs, strict=True):
        np.testing.assert_allclose(values, expected, rtol=1e-9)
    np.testing.assert_allclose(bands.percent_b, (close - theirs[2]) / (theirs[0] - theirs[2]), rtol=1e-9, atol=1e-9)


def test_the_middle_is_the_simple_average() -> None:
    close = market(3, 500)["close"]
    assert np.array_equal(bollinger(close).middle, sma(close, 20), equal_nan=True)


def test_small_moves_of_a_large_price_keep_their_deviation() -> None:
    moves = np.tile([0.0, 0.25, 0.5, 0.25], 50)
    near, far = bollinger(moves + 1.0, 4), bollinger(moves + 2.0**40, 4)
    np.testing.assert_allclose(far.upper - far.middle, near.upper - near.middle, atol=2.0**-12)
    np.testing.assert_allclose(far.percent_b, near.percent_b, rtol=1e-12)


def test_the_squeeze_is_where_no_width_of_120_was_lower() -> None:
    bands = bollinger(market(4, 2000, restless=True)["close"], 5)
    for place in range(4 + 119, 2000):
        assert bands.squeeze[place] == (bands.width[place] == bands.width[place - 119 : place + 1].min())
    assert np.isnan(bands.squeeze[: 4 + 119]).all()
    assert 0 < np.nansum(bands.squeeze) < 500


@pytest.mark.parametrize("price", [0.1, 1 / 3, 61_234.56])
def test_a_price_that_stands_still_has_bands_without_width_or_inside(price: float) -> None:
    bands = bollinger(np.full(200, price))
    for values in (bands.upper, bands.middle, bands.lower):
        assert (values[19:] == price).all()
    assert (bands.width[19:] == 0).all()
    assert np.isnan(bands.percent_b).all()
    assert (bands.squeeze[138:] == 1).all()


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="the period of Bollinger bands is at least 1, not 0"):
        bollinger(np.arange(10.0), 0)
    for deviations in (0.0, -2.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"the deviations of Bollinger bands are above 0, not {deviations}"):
            bollinger(np.arange(10.0), deviations=deviations)
