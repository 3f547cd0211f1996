"""Market structure: the trend of the swings, and the closes beyond them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.smart_money.builders import Columns, columns, drawn, hlc, points, same, seeds, ticks

from promethean.indicators.smart_money.market_structure import Break, market_structure, read_structure
from promethean.indicators.smart_money.swing_points import Swing, list_swings

NAN = math.nan

# With a strength of 1 the path turns at highs 12, 14, 16 and lows 11, 12, 13; the last low is known at candle 7.
RISING = (10, 12, 11, 14, 12, 16, 13, 15)


def mirrored(market: Columns) -> Columns:
    """The market upside down around 50: what was high is low."""
    turned = {name: 100 - column for name, column in market.items()}
    return {**turned, "high": turned["low"], "low": turned["high"]}


def test_three_rising_highs_and_lows_are_a_bullish_structure_and_fewer_are_not_known() -> None:
    found = market_structure(*hlc(points(*RISING)), 1)
    assert same(found.trend, [NAN] * 7 + [1])
    assert same(found.bos, [NAN] * 8)  # the last candle is judged by what was known before it
    assert same(found.last_high[-1:], [16])
    assert same(found.last_low[-1:], [13])
    assert same(found.last_low_index[-2:], [4, 6])


def test_upside_down_it_is_bearish() -> None:
    found = market_structure(*hlc(mirrored(points(*RISING, 17))), 1)
    assert same(found.trend[-2:], [-1, -1])
    assert same(found.bos[-1:], [-1])
    assert same(found.level[-1:], [84])


@pytest.mark.parametrize("last_low", [12.0, 11.5])
def test_two_higher_highs_without_two_higher_lows_are_no_trend(last_low: float) -> None:
    path = (10, 12, 11, 14, 12, 16, last_low, 15)  # the third low equals the second, or lies below it
    assert same(market_structure(*hlc(points(*path)), 1).trend, [NAN] * 7 + [0])


@pytest.mark.parametrize("last_high", [14.0, 13.5])
def test_two_higher_lows_without_two_higher_highs_are_no_trend(last_high: float) -> None:
    path = (10, 12, 11, 14, 12, last_high, 13, 13.2)
    assert same(market_structure(*hlc(points(*path)), 1).trend, [NAN] * 7 + [0])


@pytest.mark.parametrize(("close", "bos"), [(16 - 1e-9, 0), (16, 0), (16 + 1e-9, 1)])
def test_a_close_beyond_the_last_swing_with_the_trend_is_a_break_of_structure(close: float, bos: float) -> None:
    found = market_structure(*hlc(points(*RISING, close)), 1)
    assert same(found.bos[-1:], [bos])
    assert same(found.choch[-1:], [0])
    assert same(found.level[-1:], [16 if bos else NAN])


@pytest.mark.parametrize(("close", "choch"), [(13 + 1e-9, 0), (13, 0), (13 - 1e-9, -1)])
def test_a_close_beyond_the_last_swing_against_the_trend_is_a_change_of_character(close: float, choch: float) -> None:
    found = market_structure(*hlc(points(*RISING, close)), 1)
    assert same(found.choch[-1:], [choch])
    assert same(found.bos[-1:], [0])
    assert same(found.level[-1:], [13 if choch else NAN])
    assert same(found.trend[-1:], [0])  # it falls from 15: with this candle a lower high than 16 is known


def test_a_swing_is_broken_once() -> None:
    # 17 breaks the high of 16; 18 and, after a rest within the candle, 18.5 are beyond it already.
    found = market_structure(*hlc(points(*RISING, 17, 18, 18.5)), 1)
    assert same(found.bos[8:], [1, 0, 0])


def test_a_wick_beyond_the_swing_breaks_nothing() -> None:
    market = points(*RISING, 15.5)
    market["high"][-1] = 18
    market["low"][-1] = 12
    found = market_structure(*hlc(market), 1)
    assert same(found.bos[-1:], [0])
    assert same(found.choch[-1:], [0])


def test_a_candle_breaks_the_swing_known_before_it_even_when_it_completes_a_further_one() -> None:
    # Candle 8 has a wick to 20 but closes below 16.  Candle 9 closes at 17, beyond 16, and makes the 20 a swing.
    market = points(*RISING, 15.5, 17)
    market["high"][8] = 20
    found = market_structure(*hlc(market), 1)
    assert same(found.bos[8:], [0, 1])
    assert same(found.level[8:], [NAN, 16])
    assert same(found.last_high[8:], [16, 20])


def test_a_swing_that_was_broken_before_there_was_a_trend_is_not_broken_again() -> None:
    # The close at 17 breaks the 16 while two lows are known; with it the low of 13 is the third and the trend begins.
    found = market_structure(*hlc(points(*RISING[:7], 17, 18)), 1)
    assert same(found.trend[6:], [NAN, 1, 1])
    assert same(found.bos[6:], [NAN, NAN, 0])
    assert same(found.level, [NAN] * 9)


def test_without_a_trend_nothing_is_broken() -> None:
    # Lows 11, 12, 11.5 do not rise; 17 lies above the last high and 11 below the last low.
    path = (10, 12, 11, 14, 12, 16, 11.5, 13)
    for close in (17, 11):
        found = market_structure(*hlc(points(*path, close)), 1)
        assert same(found.trend[7:8], [0])
        assert same(np.array([found.bos[8], found.choch[8], found.level[8]]), [0, 0, NAN])


def test_the_value_says_the_trend_the_sequence_and_the_breaks() -> None:
    structure = read_structure(*hlc(points(*RISING, 17, 12.5, 12.7)), 1)
    assert structure.trend == "neutral"  # the low of 12.5 is the newest, below 13
    assert structure.sequence == ("HH", "HL", "HH", "HL", "HH", "LL")
    assert structure.bos == Break("bos", "bullish", 16.0, 8)
    assert structure.choch == Break("choch", "bearish", 13.0, 9)
    assert structure.breaks == (structure.bos, structure.choch)
    assert structure.last_high == Swing("high", 17.0, 8, 9)
    assert structure.last_low == Swing("low", 12.5, 9, 10)


def test_equal_swings_are_neither_higher_nor_lower() -> None:
    structure = read_structure(*hlc(points(10, 12, 11, 12, 11, 11.5)), 1)
    assert structure.sequence == ("EQH", "EQL")
    assert structure.trend is None


def test_without_candles_there_is_no_structure() -> None:
    structure = read_structure(*hlc(drawn()))
    assert (structure.trend, structure.sequence, structure.breaks) == (None, (), ())
    assert (structure.bos, structure.choch, structure.last_high, structure.last_low) == (None, None, None, None)


@given(seeds, st.integers(0, 120), st.integers(1, 3))
def test_it_is_the_definition(seed: int, length: int, strength: int) -> None:
    market = columns(ticks(seed, length))
    close = market["close"].tolist()
    swings = list_swings(market["high"], market["low"], strength)
    found = market_structure(*hlc(market), strength)

    def known(kind: str, i: int) -> list[Swing]:
        return [swing for swing in swings if swing.kind == kind and swing.known_at <= i]

    def trend(i: int) -> float:
        highs, lows = ([swing.price for swing in known(kind, i)[-3:]] for kind in ("high", "low"))
        if len(highs) < 3 or len(lows) < 3:
            return NAN
        steps = [after - before for prices in (highs, lows) for before, after in pairwise(prices)]
        return float(all(step > 0 for step in steps)) - float(all(step < 0 for step in steps))

    for i in range(length):
        before = trend(i - 1)
        bos = choch = 0.0 if not math.isnan(before) else NAN
        for side, kind in ((1, "high"), (-1, "low")):
            last = known(kind, i - 1)[-1:]
            for swing in last:
                earlier = close[swing.known_at + 1 : i]
                if side * (close[i] - swing.price) > 0 and not any(side * (c - swing.price) > 0 for c in earlier):
                    bos = float(side) if before == side else bos
                    choch = float(side) if before == -side else choch
        assert same(np.array([found.trend[i], found.bos[i], found.choch[i]]), [trend(i), bos, choch])


@given(seeds, st.integers(0, 120), st.integers(1, 3))
def test_upside_down_everything_changes_its_sign(seed: int, length: int, strength: int) -> None:
    market = {name: np.array(values, dtype=float) for name, values in ticks(seed, length).items()}
    turned = {**market, "high": -market["low"], "low": -market["high"], "close": -market["close"]}
    up, down = market_structure(*hlc(market), strength), market_structure(*hlc(turned), strength)
    for one, other in ((up.trend, down.trend), (up.bos, down.bos), (up.choch, down.choch), (up.level, down.level)):
        assert same(one, (-other).tolist())
