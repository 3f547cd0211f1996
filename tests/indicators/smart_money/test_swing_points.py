"""Swing points: strict extremes, known only when the candles after them are there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.smart_money.builders import columns, points, same, seeds, ticks

from promethean.indicators.smart_money.swing_points import Swing, list_swings, swing_points, swing_points_resume

NAN = math.nan


def test_a_swing_high_is_known_when_the_candles_after_it_have_closed() -> None:
    # The 5 at candle 2 stands out against two candles on each side; the second of those after it is candle 4.
    high, low = np.array([1.0, 2.0, 5.0, 2.0, 1.0, 1.5]), np.zeros(6)
    found = swing_points(high, low, 2)
    assert same(found.high, [NAN, NAN, NAN, NAN, 5, NAN])
    assert same(found.last_high, [NAN, NAN, NAN, NAN, 5, 5])
    assert same(found.last_high_index, [NAN, NAN, NAN, NAN, 2, 2])
    assert np.isnan(found.low).all()  # all equal: none is an extreme


def test_a_swing_low_is_its_mirror_image() -> None:
    high, low = np.full(6, 9.0), np.array([5.0, 4.0, 1.0, 4.0, 5.0, 4.5])
    found = swing_points(high, low, 2)
    assert same(found.low, [NAN, NAN, NAN, NAN, 1, NAN])
    assert same(found.last_low, [NAN, NAN, NAN, NAN, 1, 1])
    assert same(found.last_low_index, [NAN, NAN, NAN, NAN, 2, 2])
    assert np.isnan(found.high).all()


@pytest.mark.parametrize(("other", "stands_out"), [(5.0 - 1e-9, True), (5.0, False), (5.0 + 1e-9, False)])
@pytest.mark.parametrize("place", [0, 1, 3, 4])
def test_an_equal_high_within_reach_is_enough_to_be_no_swing(place: int, other: float, stands_out: bool) -> None:
    high = np.array([1.0, 2.0, 5.0, 2.0, 1.0])
    high[place] = other
    assert (swing_points(high, np.zeros(5), 2).high[4] == 5) == stands_out


def test_equal_highs_out_of_each_others_reach_are_two_swings() -> None:
    high = np.array([1.0, 5.0, 2.0, 5.0, 1.0])
    assert same(swing_points(high, np.zeros(5), 1).high, [NAN, NAN, 5, NAN, 5])
    assert np.isnan(swing_points(high, np.zeros(5), 2).high).all()


def test_the_default_strength_is_five_candles() -> None:
    high = np.array([1, 2, 3, 4, 5, 9, 5, 4, 3, 2, 1.0])
    assert same(swing_points(high, np.zeros(11)).high, [NAN] * 10 + [9])
    assert np.isnan(swing_points(high[:10], np.zeros(10)).high).all()


def test_one_candle_can_be_both_a_swing_high_and_a_swing_low() -> None:
    high, low = np.array([5.0, 9.0, 5.0]), np.array([4.0, 1.0, 4.0])
    assert list_swings(high, low, 1) == (Swing("high", 9.0, 1, 2), Swing("low", 1.0, 1, 2))


def test_swings_are_listed_in_the_order_in_which_they_became_known() -> None:
    path = points(10, 12, 11, 14, 12, 13)
    assert list_swings(path["high"], path["low"], 1) == (
        Swing("high", 12.0, 1, 2),
        Swing("low", 11.0, 2, 3),
        Swing("high", 14.0, 3, 4),
        Swing("low", 12.0, 4, 5),
    )


def test_numbers_of_candles_go_on_where_a_state_continues() -> None:
    path = points(10, 12, 11, 14, 12, 13)
    _, state = swing_points_resume(path["high"][:4], path["low"][:4], None, 1)
    later, _ = swing_points_resume(path["high"][4:], path["low"][4:], state, 1)
    assert same(later.last_high_index, [3, 3])
    assert same(later.last_low_index, [2, 4])


@given(seeds, st.integers(0, 80), st.integers(1, 6))
def test_it_is_the_definition(seed: int, length: int, strength: int) -> None:
    market = columns(ticks(seed, length))
    high, low = market["high"].tolist(), market["low"].tolist()
    expected = []
    for known_at in range(2 * strength, length):
        at = known_at - strength
        others = [place for place in range(at - strength, known_at + 1) if place != at]
        if all(high[at] > high[place] for place in others):
            expected.append(Swing("high", high[at], at, known_at))
        if all(low[at] < low[place] for place in others):
            expected.append(Swing("low", low[at], at, known_at))
    assert list(list_swings(market["high"], market["low"], strength)) == expected
    found = swing_points(market["high"], market["low"], strength)
    for i in range(length):
        highs = [swing for swing in expected if swing.kind == "high" and swing.known_at <= i]
        lows = [swing for swing in expected if swing.kind == "low" and swing.known_at <= i]
        for swings, now, last, at_index in (
            (highs, found.high, found.last_high, found.last_high_index),
            (lows, found.low, found.last_low, found.last_low_index),
        ):
            assert last[i] == pytest.approx(swings[-1].price if swings else NAN, nan_ok=True)
            assert at_index[i] == pytest.approx(swings[-1].at if swings else NAN, nan_ok=True)
            assert math.isnan(now[i]) == (not swings or swings[-1].known_at != i)
            assert math.isnan(now[i]) or now[i] == last[i]
