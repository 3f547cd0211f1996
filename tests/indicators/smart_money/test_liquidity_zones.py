"""Liquidity zones: swings that ended at nearly one price, until the price goes beyond."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.smart_money.builders import Columns, columns, hlc, points, same, seeds, ticks

from promethean.indicators.smart_money.liquidity_zones import (
    LiquidityZone,
    liquidity_zones,
    liquidity_zones_resume,
    list_zones,
    zones_in,
)
from promethean.indicators.smart_money.swing_points import list_swings

NAN = math.nan


def tops(*highs: float, last: float = 90) -> Columns:
    """A path with swing highs at these prices and lows far below, each 1.5 times as deep as the one before."""
    path: list[float] = [80]
    for number, high in enumerate(highs):
        path += [high, 80 / 1.5**number]
    return points(*path[:-1], last)


def buy_side(market: Columns, **parameters: Any) -> list[LiquidityZone]:
    return [zone for zone in list_zones(*hlc(market), strength=1, **parameters) if zone.side == "buy_side"]


def test_two_swing_highs_within_half_a_percent_are_a_zone() -> None:
    market = tops(100, 100.25)  # candles 1 and 3; the second is known at candle 4
    assert buy_side(market) == [
        LiquidityZone("buy_side", 100.125, 100.25, 100, 2, "weak", 100.125 / 90 - 1, False, 1, 3, 4, -1)
    ]
    found = liquidity_zones(*hlc(market), strength=1)
    assert same(found.above_price, [NAN, NAN, NAN, NAN, 100.125])
    assert same(found.above_touches, [NAN, NAN, NAN, NAN, 2])
    assert buy_side(tops(100)) == []


def test_two_swing_lows_are_a_zone_below() -> None:
    market = points(110, 100, 120, 99.75, 105)
    (zone,) = list_zones(*hlc(market), strength=1)
    assert zone == LiquidityZone("sell_side", 99.875, 100, 99.75, 2, "weak", 99.875 / 105 - 1, False, 1, 3, 4, -1)
    found = liquidity_zones(*hlc(market), strength=1)
    assert same(found.below_price[3:], [NAN, 99.875])
    assert same(found.below_touches[3:], [NAN, 2])
    assert np.isnan(found.above_price).all()


@pytest.mark.parametrize(("other", "together"), [(100.5 - 1e-9, True), (100.5, True), (100.5 + 1e-9, False)])
def test_the_tolerance_is_a_share_of_the_lowest_high(other: float, together: bool) -> None:
    assert len(buy_side(tops(100, other))) == together
    assert len(buy_side(tops(other, 100))) == together


@pytest.mark.parametrize(("other", "together"), [(99.5 - 1e-9, False), (99.5, True), (99.5 + 1e-9, True)])
def test_the_tolerance_is_a_share_of_the_highest_low(other: float, together: bool) -> None:
    for lows in ((100, other), (other, 100)):
        market = points(110, lows[0], 120, lows[1], 105)
        assert len(list_zones(*hlc(market), strength=1)) == together


def test_all_swings_of_a_zone_lie_within_the_tolerance_of_each_other() -> None:
    # 100.4 fits beside 100 and 100.7 beside 100.4, but the three do not fit together.
    assert [(zone.bottom, zone.top) for zone in buy_side(tops(100.4, 100, 99.7))] == [(100, 100.4)]


def test_a_swing_joins_the_nearest_zone_that_it_fits() -> None:
    # 100.9 and 100 are too far apart for one zone; 100.47 and 100.43 fit either.
    assert [(zone.bottom, zone.top) for zone in buy_side(tops(100.9, 100, 100.47))] == [(100.47, 100.9)]
    assert [(zone.bottom, zone.top) for zone in buy_side(tops(100.9, 100, 100.43))] == [(100, 100.43)]
    # 100.5 is as far from 101 as from 100, which was touched last.
    assert [(zone.bottom, zone.top) for zone in buy_side(tops(101, 100, 100.5))] == [(100, 100.5)]


@pytest.mark.parametrize(
    ("touches", "strength"), [(2, "weak"), (3, "medium"), (4, "medium"), (5, "strong"), (6, "strong")]
)
def test_three_touches_are_medium_and_five_strong(touches: int, strength: str) -> None:
    (zone,) = buy_side(tops(*[100.0] * touches))
    assert (zone.touches, zone.strength, zone.price) == (touches, strength, 100)
    assert (zone.at, zone.last_at, zone.known_at) == (1, 2 * touches - 1, 4)


def test_the_smallest_number_of_touches_is_a_parameter() -> None:
    assert len(buy_side(tops(100), touches=1)) == 1
    assert buy_side(tops(100, 100), touches=3) == []
    assert [zone.known_at for zone in buy_side(tops(100, 100, 100), touches=3)] == [6]


@pytest.mark.parametrize(
    ("close", "near"), [(98 - 1e-9, False), (100 / 1.02 + 1e-9, True), (99, True), (100 / 1.02 - 1e-9, False)]
)
def test_a_zone_within_two_percent_of_the_close_is_near(close: float, near: bool) -> None:
    (zone,) = buy_side(tops(100, 100, last=close))
    assert zone.near == near
    assert zone.distance == pytest.approx(100 / close - 1)


@pytest.mark.parametrize(("high", "swept"), [(100.5, False), (100.5 + 1e-9, True), (110, True)])
def test_a_price_too_far_beyond_to_be_one_more_touch_sweeps_the_zone(high: float, swept: bool) -> None:
    market = points(80, 100, 70, 100.25, 60, high, 90)
    (zone,) = [zone for zone in buy_side(market) if zone.bottom == 100]
    assert (zone.swept, zone.swept_at) == (swept, 5 if swept else -1)
    assert zone.touches == (2 if swept else 3)
    found = liquidity_zones(*hlc(market), strength=1).above_price
    assert same(np.isnan(found[4:]), [False, swept or high > 100.25, swept])


def test_a_swept_zone_gets_no_more_touches() -> None:
    market = points(80, 100, 70, 100, 60, 110, 50, 100, 40, 100, 45)
    zones = [(zone.at, zone.touches, zone.swept_at) for zone in buy_side(market)]
    assert zones == [(1, 2, 5), (7, 2, -1)]


def test_a_sell_side_zone_is_swept_from_above() -> None:
    market = points(110, 100, 120, 99.75, 105, 99.4, 105)
    (zone,) = [zone for zone in list_zones(*hlc(market), strength=1) if zone.side == "sell_side"]
    assert zone.swept_at == 5


def test_the_nearest_zones_lie_beyond_the_close_on_their_side() -> None:
    # Zones of highs at 110 and 100.  The close of 100.2 is above the mean of the lower one, though it does not sweep
    # it: only the upper one lies above the close.  With the next candle the 100.2 is one more touch.
    market = points(80, 110, 70, 110, 60, 100, 50, 100, 45, 99, 100.2, 90)
    found = liquidity_zones(*hlc(market), strength=1)
    assert same(found.above_price[4:], [110, 110, 110, 110, 100, 100, 110, 300.2 / 3])
    assert same(found.above_touches[4:], [2, 2, 2, 2, 2, 2, 2, 3])


def test_of_each_side_64_zones_are_remembered_and_the_one_not_touched_for_longest_goes() -> None:
    # 66 falling highs 2 % apart, the first one touched twice: beginnings, of which the oldest but it are replaced.
    highs = [1000.0, 1000.0, *(1000 * 0.98**n for n in range(1, 66))]
    path = [1.0]
    for number, high in enumerate(highs):
        path += [high, 0.9**number]
    market = points(*path)
    zones = [zone for zone in list_zones(*hlc(market), touches=1, strength=1) if zone.side == "buy_side"]
    assert len(zones) == 64
    assert [zone.at for zone in zones] == list(range(7, 134, 2))  # the first three prices are gone


def test_a_state_remembers_what_the_list_shows() -> None:
    market = columns(ticks(11, 300))
    first, second = ({name: column[rows] for name, column in market.items()} for rows in (slice(99), slice(99, None)))
    _, state = liquidity_zones_resume(*hlc(first), None, strength=2)
    _, state = liquidity_zones_resume(*hlc(second), state, strength=2)
    assert zones_in(state) == list_zones(*hlc(market), strength=2)
    assert len(zones_in(state)) > 3


@given(
    seeds, st.integers(0, 150), st.sampled_from(["0", "0.001", "0.005", "0.02"]), st.integers(1, 3), st.integers(1, 2)
)
def test_it_is_the_definition(seed: int, length: int, tolerance: str, touches: int, strength: int) -> None:
    drawn_ticks = ticks(seed, length)
    market = columns(drawn_ticks)
    high, low, close = (drawn_ticks[name] for name in ("high", "low", "close"))
    swings = list_swings(market["high"], market["low"], strength)
    found = liquidity_zones(*hlc(market), float(tolerance), touches, strength)
    every: dict[str, list[dict[str, Any]]] = {"high": [], "low": []}

    def together(kind: str, prices: list[int]) -> bool:
        reference = min(prices) if kind == "high" else max(prices)
        return max(prices) - min(prices) <= Fraction(tolerance) * reference

    def mean(zone: dict[str, Any]) -> float:
        return float(sum(price / 10 for price in zone["prices"]) / len(zone["prices"]))

    for i in range(length):
        for kind, zones in every.items():
            edge, reached = (min, high[i]) if kind == "high" else (max, low[i])
            for zone in zones:
                near = edge(zone["prices"])
                beyond = reached > near if kind == "high" else reached < near
                if zone["swept"] < 0 and beyond and not together(kind, [near, reached]):
                    zone["swept"] = i
            for swing in swings:
                if swing.kind != kind or swing.known_at != i:
                    continue
                price = (high if kind == "high" else low)[swing.at]
                open_to = [z for z in zones if z["swept"] < 0 and together(kind, [*z["prices"], price])]
                joined = min(open_to, key=lambda z: (abs(price / 10 - mean(z)), -z["last"]), default=None)
                if joined is None:
                    joined = {"prices": [], "at": swing.at, "known": -1, "swept": -1}
                    zones.append(joined)
                joined["prices"].append(price)
                joined["last"] = swing.at
                if len(joined["prices"]) == touches:
                    joined["known"] = i
            side = 1 if kind == "high" else -1
            beyond_close = [
                zone
                for zone in zones
                if len(zone["prices"]) >= touches
                and zone["swept"] < 0
                and side * (Fraction(sum(zone["prices"]), len(zone["prices"])) - close[i]) > 0
            ]
            nearest = min(beyond_close, key=lambda zone: abs(mean(zone) - close[i] / 10), default=None)
            price_at, touches_at = found[:2] if kind == "high" else found[2:]
            assert price_at[i] == pytest.approx(mean(nearest) if nearest else NAN, rel=1e-12, nan_ok=True)
            if nearest and len({round(mean(zone), 6) for zone in beyond_close}) == len(beyond_close):
                assert touches_at[i] == len(nearest["prices"])
    expected = [
        (
            "buy_side" if kind == "high" else "sell_side",
            len(zone["prices"]),
            zone["at"],
            zone["last"],
            zone["known"],
            zone["swept"],
        )
        for kind, zones in every.items()
        for zone in zones
        if zone["known"] >= 0
    ]
    listed = list_zones(*hlc(market), float(tolerance), touches, strength)
    assert [(z.side, z.touches, z.at, z.last_at, z.known_at, z.swept_at) for z in listed] == sorted(
        expected, key=lambda zone: (zone[4], zone[0])
    )
