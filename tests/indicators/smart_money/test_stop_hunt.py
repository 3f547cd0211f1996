"""Stop hunts: a wick beyond a known swing, a close back inside, and a reversal."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.smart_money.builders import Columns, Ticks, columns, drawn, ohlc, same, seeds, ticks

from promethean.indicators.smart_money.stop_hunt import StopHunt, StopHunts, list_hunts, stop_hunt
from promethean.indicators.smart_money.swing_points import list_swings

NAN = math.nan
Candle = tuple[float, float, float, float]

# With a strength of 1: candle 1 is a swing high of 100, known with candle 2.
BEFORE: tuple[Candle, ...] = ((98, 99, 97, 98), (98, 100, 97, 99), (99, 99.5, 97, 99))
WICK: Candle = (99, 101, 98.5, 99)  # a wick of 2 of a range of 2.5, and 2 / 101 back from its extreme
QUIET: Candle = (99, 99.2, 98.8, 99)


def hunted(*candles: Candle, lookback: int = 10) -> list[StopHunt]:
    return list(list_hunts(*ohlc(drawn(*BEFORE, *candles)), lookback, 1))


def arrays(market: Columns, lookback: int = 10, strength: int = 1) -> StopHunts:
    return stop_hunt(*ohlc(market), lookback, strength)


def upside_down(market: Columns) -> Columns:
    turned = {name: 200 - column for name, column in market.items()}
    return {**turned, "high": turned["low"], "low": turned["high"]}


def test_a_wick_above_a_known_swing_high_that_closes_back_below_is_a_bearish_hunt() -> None:
    assert hunted(WICK) == [StopHunt("bearish", 100.0, 2 / 2.5, 2 / 101, 3, 3)]
    found = arrays(drawn(*BEFORE, WICK, QUIET))
    assert same(found.side, [NAN, NAN, NAN, -1, 0])
    assert same(found.level, [NAN, NAN, NAN, 100, NAN])


def test_upside_down_it_is_bullish() -> None:
    market = upside_down(drawn(*BEFORE, WICK, QUIET))
    assert list(list_hunts(*ohlc(market), 10, 1)) == [StopHunt("bullish", 100.0, 2 / 2.5, 2 / 99, 3, 3)]
    assert same(arrays(market).side, [NAN, NAN, NAN, 1, 0])


def test_a_high_that_is_not_yet_known_to_be_a_swing_is_not_hunted() -> None:
    # At a strength of 2 the 100 of candle 2 is known with candle 4; a wick in that candle keeps it from being a swing.
    before = ((98, 98.5, 97, 98), *BEFORE)
    assert list_hunts(*ohlc(drawn(*before, WICK)), 10, 2) == ()
    assert [hunt.level for hunt in list_hunts(*ohlc(drawn(*before, QUIET, WICK)), 10, 2)] == [100]


@pytest.mark.parametrize(("high", "hunts"), [(100.1 - 1e-9, 0), (100.1, 1), (100.1 + 1e-9, 1)])
def test_the_wick_goes_a_thousandth_beyond_the_swing(high: float, hunts: int) -> None:
    assert len(hunted((99, high, 98.5, 99))) == hunts


@pytest.mark.parametrize(("close", "hunts"), [(100 + 1e-9, 0), (100, 1), (99.5, 1)])
def test_the_candle_closes_back_inside(close: float, hunts: int) -> None:
    assert len(hunted((99.9, 102, 99.5, close))) == hunts


@pytest.mark.parametrize(("low", "hunts"), [(97 - 1e-9, 0), (97, 1), (98, 1)])
def test_the_wick_takes_half_of_the_range(low: float, hunts: int) -> None:
    # The wick from 99 to 101 is half of a range that begins at 97.
    assert len(hunted((99, 101, low, 98.5))) == hunts


def test_the_wick_is_what_stands_above_the_body_whichever_way_the_candle_went() -> None:
    assert hunted((98.5, 101, 98, 99))[0].wick == 2 / 3
    assert hunted((99, 101, 98, 98.5))[0].wick == 2 / 3


@pytest.mark.parametrize(("close", "hunts"), [(199 + 1e-9, 0), (199, 1), (198.5, 1)])
def test_the_reversal_is_half_a_percent_of_the_extreme(close: float, hunts: int) -> None:
    # 200 - 199 is 0.5 % of 200; the swing at 199.5 lies 0.25 % below the extreme.
    market = drawn((198, 199, 197, 198), (198, 199.5, 197, 199), (199, 199.2, 197, 199), (199, 200, 198.5, close))
    found = list_hunts(*ohlc(market), 10, 1)
    assert len([hunt for hunt in found if hunt.known_at == 3]) == hunts


def test_the_next_close_may_bring_the_reversal_and_then_makes_the_hunt_known() -> None:
    small: Candle = (99.9, 100.25, 99.8, 99.9)  # 0.35 / 100.25 back: not yet half a percent
    assert hunted(small) == []
    (hunt,) = hunted(small, QUIET)
    assert (hunt.side, hunt.level, hunt.at, hunt.known_at) == ("bearish", 100, 3, 4)
    assert (hunt.wick, hunt.reversal) == pytest.approx((0.35 / 0.45, 1.25 / 100.25))
    assert hunted(small, (99.9, 100, 99.7, 99.9), QUIET) == []  # the one after comes too late
    found = arrays(drawn(*BEFORE, small, QUIET))
    assert same(found.side[3:], [0, -1])
    assert same(found.level[3:], [NAN, 100])


def test_when_two_become_known_at_once_the_array_shows_the_newer_and_the_list_both() -> None:
    small: Candle = (99.9, 100.25, 99.8, 99.9)
    market = drawn(
        (98, 98, 97, 98), (98, 100.15, 97, 99), (99, 99, 97, 99), (99, 100, 98, 98), (98, 99, 97, 98), small, WICK
    )
    assert [(hunt.at, hunt.known_at, hunt.level) for hunt in list_hunts(*ohlc(market), 10, 1)] == [
        (5, 6, 100),
        (6, 6, 100.15),
    ]
    assert same(arrays(market).level[5:], [NAN, 100.15])


def test_of_several_swings_the_outermost_one_counts() -> None:
    higher: tuple[Candle, ...] = (*BEFORE, (100, 100.5, 98, 100.3), (99, 99.5, 98, 99))
    market = drawn(*higher, WICK)
    assert [hunt.level for hunt in list_hunts(*ohlc(market), 10, 1)] == [100.5]
    # The close at 100.2 is inside of 100.5 alone; a wick to 100.55 is far enough beyond 100 alone.
    inside = drawn(*higher, (99.9, 102, 99.8, 100.2))
    assert [hunt.level for hunt in list_hunts(*ohlc(inside), 10, 1)] == [100.5]
    short = drawn(*higher, (99, 100.55, 98.5, 99))
    assert [hunt.level for hunt in list_hunts(*ohlc(short), 10, 1)] == [100]


@pytest.mark.parametrize(("lookback", "hunts"), [(3, 0), (4, 1), (5, 1)])
def test_the_swing_became_known_within_the_lookback(lookback: int, hunts: int) -> None:
    # It is known with candle 2; the wick is candle 6.
    assert len(hunted(QUIET, QUIET, QUIET, WICK, lookback=lookback)) == hunts


def test_a_candle_that_hunts_both_sides_speaks_for_neither() -> None:
    # Swings at 100 and 97.5; the cross with wicks of half the range each goes beyond both.
    market = drawn((98, 99, 97.8, 98), (98, 100, 97.5, 98), (98, 99, 97.8, 98), (98.5, 101, 96, 98.5), QUIET)
    assert list_hunts(*ohlc(market), 10, 1) == ()
    assert same(arrays(market).side[3:], [0, 0])


def reference(market: Ticks, prices: Columns, lookback: int, strength: int) -> list[StopHunt]:
    """All hunts, from the definition, in exact fractions of a tick of 0.1."""
    o, h, l, c = (market[name] for name in ("open", "high", "low", "close"))  # noqa: E741
    swings = list_swings(prices["high"], prices["low"], strength)
    hunts: list[StopHunt] = []
    for i in range(len(c)):
        found: list[tuple[Any, ...]] = []
        for side, kind, extremes, body in ((1, "high", h, max(o[i], c[i])), (-1, "low", l, min(o[i], c[i]))):
            extreme = extremes[i]
            if h[i] == l[i] or 2 * side * (extreme - body) < h[i] - l[i]:
                continue
            levels = [
                extremes[swing.at]
                for swing in swings
                if swing.kind == kind
                and i - lookback <= swing.known_at < i
                and side * (extreme - extremes[swing.at]) >= Fraction(1, 1000) * extremes[swing.at]
                and side * (c[i] - extremes[swing.at]) <= 0
            ]
            if levels:
                found.append((side, max(levels) if side > 0 else min(levels), extreme, body))
        for side, level, extreme, body in found if len(found) == 1 else []:
            for known_at in (i, i + 1):
                if known_at < len(c) and side * (extreme - c[known_at]) >= Fraction(5, 1000) * extreme:
                    wick = side * (extreme - body) / (h[i] - l[i])
                    reversal = side * (extreme - c[known_at]) / extreme
                    hunts.append(
                        StopHunt("bearish" if side > 0 else "bullish", level / 10, wick, reversal, i, known_at)
                    )
                    break
    return hunts


@given(seeds, st.integers(0, 120), st.integers(1, 15), st.integers(1, 3))
def test_it_is_the_definition(seed: int, length: int, lookback: int, strength: int) -> None:
    market = ticks(seed, length)
    prices = columns(market)
    expected = reference(market, prices, lookback, strength)
    hunts = list_hunts(*ohlc(prices), lookback, strength)
    assert [(hunt.side, hunt.level, hunt.at, hunt.known_at) for hunt in hunts] == [
        (hunt.side, hunt.level, hunt.at, hunt.known_at) for hunt in expected
    ]
    assert [hunt.wick for hunt in hunts] == pytest.approx([hunt.wick for hunt in expected])
    assert [hunt.reversal for hunt in hunts] == pytest.approx([hunt.reversal for hunt in expected])
    found = arrays(prices, lookback, strength)
    for i in range(length):
        known = [hunt for hunt in expected if hunt.known_at == i]
        side = {"bullish": 1.0, "bearish": -1.0}[known[-1].side] if known else 0.0 if i > 2 * strength else NAN
        assert same(np.array([found.side[i], found.level[i]]), [side, known[-1].level if known else NAN])


def test_random_markets_hold_hunts_of_both_sides_known_at_once_and_later() -> None:
    hunts = [hunt for seed in range(60) for hunt in list_hunts(*ohlc(columns(ticks(seed, 120))), 10, 1)]
    assert {(hunt.side, hunt.known_at - hunt.at) for hunt in hunts} == {
        (side, delay) for side in ("bullish", "bearish") for delay in (0, 1)
    }
