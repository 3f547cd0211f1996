"""Imbalances: large candles, nearly all body, that overlap little with the candles beside them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.smart_money.builders import Ticks, columns, drawn, ohlc, same, seeds, ticks

from promethean.indicators.smart_money.imbalances import Imbalance, imbalances, imbalances_in, list_imbalances

NAN = math.nan
Candle = tuple[float, float, float, float]

# The body from 100 to 104 is 4 of a range of 5; its neighbours reach 1 into it from each side.
BELOW: Candle = (99.5, 101, 99, 100)
RISE: Candle = (100, 104.5, 99.5, 104)
ABOVE: Candle = (104, 106, 103, 105)


def listed(*candles: Candle) -> tuple[Imbalance, ...]:
    return list_imbalances(*ohlc(drawn(*candles)))


def test_a_large_rise_that_its_neighbours_hardly_trade_is_a_bullish_imbalance() -> None:
    found = imbalances(*ohlc(drawn(BELOW, RISE, ABOVE)))
    assert same(found.side, [NAN, NAN, 1])
    assert same(found.top, [NAN, NAN, 104])
    assert same(found.bottom, [NAN, NAN, 100])
    assert listed(BELOW, RISE, ABOVE) == (Imbalance("bullish", 104.0, 100.0, 1, 2, -1),)
    assert listed(BELOW, RISE) == ()


def test_a_large_fall_is_a_bearish_imbalance() -> None:
    opened, high, low, closed = RISE
    found = imbalances(*ohlc(drawn(ABOVE, (closed, high, low, opened), BELOW)))
    assert same(found.side, [NAN, NAN, -1])
    assert listed(ABOVE, (closed, high, low, opened), BELOW) == (Imbalance("bearish", 104.0, 100.0, 1, 2, -1),)


@pytest.mark.parametrize(("low", "told"), [(98.8 - 1e-9, 0), (98.8, 1), (98.8 + 1e-9, 1)])
def test_the_body_takes_seventy_percent_of_the_range(low: float, told: int) -> None:
    # 4.2 of 6: from 98.8 to 104.8.
    assert len(listed((99.5, 100, 98, 99), (100.6, 104.8, low, 104.8), (104.8, 106, 104.5, 105))) == told


@pytest.mark.parametrize(("high", "told"), [(101 - 1e-9, 1), (101, 1), (101 + 1e-9, 0)])
def test_the_candle_before_covers_at_most_a_quarter_of_the_body(high: float, told: int) -> None:
    assert len(listed((99.5, high, 99, 100), RISE, ABOVE)) == told


@pytest.mark.parametrize(("low", "told"), [(103 - 1e-9, 0), (103, 1), (103 + 1e-9, 1)])
def test_the_candle_after_covers_at_most_a_quarter_of_the_body(low: float, told: int) -> None:
    assert len(listed(BELOW, RISE, (104, 106, low, 105))) == told


def test_a_neighbour_that_lies_within_the_body_covers_its_own_range() -> None:
    assert len(listed(BELOW, RISE, (102, 102.5, 101.5, 102))) == 1  # 1 of 4
    assert len(listed(BELOW, RISE, (102, 102.5, 101.4, 102))) == 0


@pytest.mark.parametrize(("opened", "told"), [(99.7 - 1e-9, 1), (99.7, 1), (99.7 + 1e-9, 0)])
def test_the_body_is_at_least_three_thousandths_of_its_close(opened: float, told: int) -> None:
    assert len(listed((99, 99.5, 98, 99), (opened, 100, opened, 100), (100, 101, 100, 101))) == told


def test_a_candle_without_a_body_is_no_imbalance_whatever_the_limits() -> None:
    flat = (100, 100, 100, 100)
    assert same(imbalances(*ohlc(drawn(flat, flat, flat)), 0.0, 1.0, 0.0).side, [NAN, NAN, 0])


@pytest.mark.parametrize(("low", "filled"), [(100 + 1e-9, False), (100, True), (99, True)])
def test_it_is_filled_when_a_later_price_reaches_its_far_edge(low: float, filled: bool) -> None:
    (first, *_) = listed(BELOW, RISE, ABOVE, (105, 105, 104, 104.5), (104, 105, low, 104.9))
    assert (first.filled, first.filled_at) == (filled, 4 if filled else -1)


def test_a_bearish_one_is_filled_from_below() -> None:
    opened, high, low, closed = RISE
    for reached, filled_at in ((104 - 1e-9, -1), (104, 3)):
        (found,) = listed(ABOVE, (closed, high, low, opened), BELOW, (101, reached, 101, 101))
        assert found.filled_at == filled_at


def reference(market: Ticks, body: Fraction, overlap: Fraction, size: Fraction) -> list[Imbalance]:
    """All imbalances, from the definition, in exact fractions of a tick of 0.1."""
    o, h, l, c = (market[name] for name in ("open", "high", "low", "close"))  # noqa: E741
    found = []
    for at in range(1, len(c) - 1):
        top, bottom = max(o[at], c[at]), min(o[at], c[at])
        covered = [max(0, min(h[k], top) - max(l[k], bottom)) for k in (at - 1, at + 1)]
        if top == bottom or top - bottom < body * (h[at] - l[at]) or top - bottom < size * c[at]:
            continue
        if max(covered) > overlap * (top - bottom):
            continue
        rose = c[at] > o[at]
        through = [k for k in range(at + 2, len(c)) if (l[k] <= bottom if rose else h[k] >= top)]
        filled_at = through[0] if through else -1
        found.append(Imbalance("bullish" if rose else "bearish", top / 10, bottom / 10, at, at + 1, filled_at))
    return found


shares = st.sampled_from(["0", "0.25", "0.5", "0.7", "1"])


@given(seeds, st.integers(0, 120), shares, shares, st.sampled_from(["0", "0.003", "0.005"]))
def test_it_is_the_definition(seed: int, length: int, body: str, overlap: str, size: str) -> None:
    market = ticks(seed, length)
    prices = columns(market)
    limits = float(body), float(overlap), float(size)
    expected = reference(market, Fraction(body), Fraction(overlap), Fraction(size))
    assert list(list_imbalances(*ohlc(prices), *limits)) == expected
    found = imbalances(*ohlc(prices), *limits)
    assert list(imbalances_in(found, prices["high"], prices["low"])) == expected
    sides = np.full(length, NAN)
    sides[2:] = 0
    for each in expected:
        sides[each.known_at] = 1 if each.side == "bullish" else -1
    assert same(found.side, sides.tolist())
