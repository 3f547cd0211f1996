"""The ADX against hand-computed values, exact fractions and TA-Lib."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.trend.promises import market, prices, still

from promethean.domain.candles import FloatArray
from promethean.indicators.trend.adx import adx

Bars = list[tuple[int, int, int]]  # low, height of the close above it, height of the high above that


def arrays(bars: Bars) -> tuple[FloatArray, FloatArray, FloatArray]:
    low, close, high = (np.cumsum(np.array(bars, float).reshape(-1, 3), axis=1).T[row].copy() for row in range(3))
    return high, low, close


def test_a_market_that_only_rises_is_all_direction() -> None:
    # Each candle moves 1 up in a true range of 1.5, from the close before to the high.
    steps = np.arange(60.0)
    trend = adx(steps + 1, steps, steps + 0.5)
    np.testing.assert_allclose(trend.plus_di[14:], 100 / 1.5, rtol=1e-12)
    assert (trend.minus_di[14:] == 0).all()
    assert (trend.adx[27:] == 100).all()


def test_a_hand_computed_example_comes_out() -> None:
    # Period 2.  Movements +2, -1 (an up of 1 is less than a down of 2 -> -2), +3; ranges 3, 4, 5.
    high, low, close = np.array([10.0, 12.0, 13.0, 16.0]), np.array([8.0, 10.0, 8.0, 12.0]), np.array([9.0, 11, 11, 15])
    trend = adx(high, low, close, 2)
    # +DM 2, then 2/2 + 0 = 1, then 1/2 + 3 = 3.5; -DM 0, then 2, then 1; TR 3, then 1.5 + 5 = 6.5, then 8.25.
    assert trend.plus_di[2:] == pytest.approx([100 / 6.5, 350 / 8.25], rel=1e-14)
    assert trend.minus_di[2:] == pytest.approx([200 / 6.5, 100 / 8.25], rel=1e-14)
    assert trend.adx[3] == pytest.approx((100 / 3 + 250 / 4.5) / 2, rel=1e-14)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 5), st.integers(0, 5)), max_size=40), st.integers(1, 5))
def test_it_is_wilders_definition_in_exact_fractions(bars: Bars, period: int) -> None:
    high, low, close = arrays(bars)
    trend = adx(high, low, close, period)
    plus = minus = span = strength = Fraction(0)
    last_span = last_move = -100
    for place in range(1, len(bars)):
        up, down = Fraction(high[place] - high[place - 1]), Fraction(low[place - 1] - low[place])
        moved = [up if up > down and up > 0 else Fraction(0), down if down > up and down > 0 else Fraction(0)]
        ranged = Fraction(max(high[place], close[place - 1]) - min(low[place], close[place - 1]))
        last_span = place if ranged else last_span
        last_move = place if any(moved) else last_move
        kept = Fraction(period - 1, period) if place >= period else 1
        plus, minus, span = plus * kept + moved[0], minus * kept + moved[1], span * kept + ranged
        if place < period:
            continue
        directed = plus + minus > 0 and place - last_move <= 10 * period
        index = 100 * abs(plus - minus) / (plus + minus) if directed else Fraction(0)
        strength = strength + index / period if place < 2 * period else (strength * (period - 1) + index) / period
        if span == 0 or place - last_span > 10 * period:
            assert np.isnan([trend.plus_di[place], trend.minus_di[place], trend.adx[place]]).all()
            continue
        assert trend.plus_di[place] == pytest.approx(float(100 * plus / span), rel=1e-11, abs=1e-10)
        assert trend.minus_di[place] == pytest.approx(float(100 * minus / span), rel=1e-11, abs=1e-10)
        if place >= 2 * period - 1:
            assert trend.adx[place] == pytest.approx(float(strength), rel=1e-11, abs=1e-10)


@pytest.mark.parametrize("period", [2, 14, 50])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_that_of_ta_lib(seed: int, period: int) -> None:
    high_low_close = prices(market(seed, 1000, restless=True))
    trend = adx(*high_low_close, period)
    for values, theirs in zip(trend, (talib.ADX, talib.PLUS_DI, talib.MINUS_DI), strict=True):
        np.testing.assert_allclose(values, theirs(*high_low_close, period), rtol=1e-9, atol=1e-9)


def test_with_one_candle_in_the_average_the_last_movement_decides() -> None:
    high, low, close = np.array([[10.0, 12.0, 12.0, 11.0], [8.0, 9.0, 9.0, 6.0], [9.0, 11.0, 10.0, 8.0]])
    trend = adx(high, low, close, 1)
    assert trend.plus_di[1:].tolist() == pytest.approx([200 / 3, 0, 0])
    assert trend.minus_di[1:].tolist() == pytest.approx([0, 0, 60])
    assert trend.adx[1:].tolist() == [100, 0, 100]


def test_without_a_range_for_ten_periods_nothing_is_known_until_there_is_one() -> None:
    period, moving = 3, market(6, 100, restless=True)
    last = moving["close"][-1]
    high, low, close = (np.append(values, [last] * 50 + [last * 1.01]) for values in prices(moving))
    trend = adx(high, low, close, period)
    for values in trend:
        assert not np.isnan(values[6:130]).any()
        assert np.isnan(values[130:150]).all()
        assert not np.isnan(values[150])
    assert np.isnan(adx(*prices(still(200, 7.0)), period).adx).all()


def test_ranges_without_a_direction_let_the_strength_fade() -> None:
    period = 4
    steps = np.minimum(np.arange(200.0), 60.0)
    trend = adx(steps + 1, steps, steps + 0.5, period)
    assert trend.adx[60 + 10 * period] == 100
    fading = trend.adx[60 + 10 * period :]
    np.testing.assert_allclose(fading[1:], 0.75 * fading[:-1], rtol=1e-12)


def test_a_period_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="the period of an ADX is at least 1, not 0"):
        adx(*prices(still(10)), 0)
