"""Divergence: the price goes further at its swings, the oscillator does not."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.smart_money.builders import columns, same, seeds, ticks

from promethean.domain.candles import FloatArray
from promethean.indicators.momentum.rsi import rsi
from promethean.indicators.smart_money.divergence import divergence
from promethean.indicators.smart_money.swing_points import list_swings

NAN = math.nan

# With a strength of 1: swing highs at candles 1 and 3, the second known with candle 4.
HIGHER_HIGHS = np.array([10.0, 12, 11, 13, 11])
LOWER_LOWS = np.array([10.0, 8, 9, 7, 9])
FLAT = np.zeros(5)


def at_swings(first: float, second: float) -> FloatArray:
    return np.array([50, first, 50, second, 50.0])


@pytest.mark.parametrize(("second", "told"), [(69.9, -1), (70.0, 0), (70.1, 0)])
def test_a_higher_high_with_a_lower_oscillator_is_bearish(second: float, told: float) -> None:
    assert same(divergence(HIGHER_HIGHS, FLAT, at_swings(70, second), 1), [NAN] * 4 + [told])


@pytest.mark.parametrize(("second", "told"), [(29.9, 0), (30.0, 0), (30.1, 1)])
def test_a_lower_low_with_a_higher_oscillator_is_bullish(second: float, told: float) -> None:
    assert same(divergence(FLAT, LOWER_LOWS, at_swings(30, second), 1), [NAN] * 4 + [told])


def test_a_lower_or_equal_high_diverges_from_nothing() -> None:
    for high in (12.0, 11.5):
        path = np.array([10.0, 12, 11, high, 11])
        for second in (60.0, 80.0):
            assert same(divergence(path, FLAT, at_swings(70, second), 1), [NAN] * 4 + [0])


def test_only_the_last_two_swings_are_compared() -> None:
    # Highs 14, 12, 13 with the oscillator at 50, 80, 70: against the 14 there is none, against the 12 there is.
    path = np.array([10.0, 14, 10, 12, 10, 13, 10, 11])
    oscillator = np.array([0.0, 50, 0, 80, 0, 70, 0, 0])
    assert same(divergence(path, np.zeros(8), oscillator, 1), [NAN, NAN, NAN, NAN, 0, 0, -1, 0])


def test_it_is_known_only_when_the_swing_is() -> None:
    assert same(divergence(HIGHER_HIGHS[:4], FLAT[:4], at_swings(70, 60)[:4], 1), [NAN] * 4)


def test_both_at_once_say_nothing() -> None:
    # Candle 5 is a higher high than candle 1, where the oscillator was higher, and a lower low than candle 3, where it
    # was lower, or as high in the second case.
    high = np.array([10.0, 12, 10, 10, 10, 13, 10])
    low = np.array([9.0, 9, 9, 8, 9, 7, 9])
    assert same(divergence(high, low, np.array([0.0, 70, 0, 40, 0, 60, 0]), 1), [NAN] * 6 + [0])
    assert same(divergence(high, low, np.array([0.0, 70, 0, 60, 0, 60, 0]), 1), [NAN] * 6 + [-1])


def test_where_the_oscillator_is_not_known_at_a_swing_the_divergence_is_not() -> None:
    path = np.array([10.0, 12, 11, 13, 11, 14, 11, 11])
    oscillator = np.array([NAN, NAN, 50, 70, 50, 60, NAN, NAN])
    assert same(divergence(path, np.zeros(8), oscillator, 1), [NAN, NAN, NAN, NAN, NAN, 0, -1, 0])


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="the strength of a swing is at least 1 candle on each side, not 0"):
        divergence(FLAT, FLAT, FLAT, 0)
    with pytest.raises(ValueError, match=r"the columns of candles are of one length, not of \[4, 5\]"):
        divergence(FLAT, FLAT, FLAT[1:], 1)


@given(seeds, st.integers(0, 200), st.integers(1, 3))
def test_it_is_the_definition_and_sees_no_later_candle(seed: int, length: int, strength: int) -> None:
    market = columns(ticks(seed, length))
    oscillator = rsi(market["close"], 5)
    found = divergence(market["high"], market["low"], oscillator, strength)
    pairs: dict[int, list[float]] = {}
    swings = list_swings(market["high"], market["low"], strength)
    for kind, side in (("high", -1), ("low", 1)):
        of_kind = [swing for swing in swings if swing.kind == kind]
        for before, now in pairwise(of_kind):
            values = oscillator[before.at], oscillator[now.at]
            further, weaker = side * (before.price - now.price) > 0, side * (values[1] - values[0]) > 0
            told = NAN if math.isnan(sum(values)) else side * float(further and weaker)
            pairs.setdefault(now.known_at, []).append(told)
    begins = min(pairs, default=length)
    assert same(found, [NAN] * begins + [sum(pairs.get(i, [])) for i in range(begins, length)])
    half = length // 2
    earlier = divergence(market["high"][:half], market["low"][:half], oscillator[:half], strength)
    assert same(earlier, found[:half].tolist())
