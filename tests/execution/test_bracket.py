"""Brackets: one stop for all of a position, and the take-profit tiers that are left, on the venue's grid."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from promethean.domain.ids import InstrumentId, OrderId, StrategyId
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.market import Side
from promethean.domain.money import Money
from promethean.domain.orders import OrderRole, Protection, Tier
from promethean.domain.positions import Fill, Position
from promethean.execution.bracket import Leg, protective_legs, stop_price, target_price, tier_quantities

D = Decimal
LOT = D("0.0001")
BTC = Instrument(
    InstrumentId("binance:BTCUSDT-PERP"), "binance", "BTC", "USDT", MarketType.FUTURES, D("0.01"), LOT, LOT, D(0)
)
THREE = Protection(
    D("0.01"), (Tier(D("0.02"), D("0.33")), Tier(D("0.04"), D("0.33")), Tier(D("0.06"), D("0.34")))
)  # fmt: skip
GOLDEN_ENTRY = D("42165.75")

sides = st.sampled_from(Side)
entries = st.integers(1_000, 10_000_000).map(lambda ticks: ticks * D("0.01"))
fractions = st.decimals("0.0001", "0.9", places=4)
lots = st.integers(1, 100_000)


def held(side: Side, quantity: Decimal, price: Decimal) -> Position:
    fill = Fill(OrderId("o"), "t", BTC.id, side, price, quantity, Money(D(0), "USDT"), False, 1)
    position, _ = Position(BTC.id, StrategyId("s")).apply(fill)
    return position


@st.composite
def protections(draw: st.DrawFn) -> Protection:
    """A stop and up to four rising tiers, whose shares may or may not close all of it."""
    targets = sorted(draw(st.sets(st.integers(1, 3_000), max_size=4)))
    cuts = sorted(draw(st.sets(st.integers(1, 99), min_size=len(targets), max_size=len(targets))))
    closes_all: bool = draw(st.booleans())
    if cuts and closes_all:
        cuts[-1] = 100
    shares = [D(after - before) / 100 for before, after in zip([0, *cuts], cuts, strict=False)]
    tiers = [Tier(D(target) / 1000, share) for target, share in zip(targets, shares, strict=True)]
    return Protection(draw(fractions), tuple(tiers))


# -- golden -----------------------------------------------------------------------------------------------------------


def test_the_golden_size_closes_in_three_tiers_and_the_last_takes_the_rest() -> None:
    assert tier_quantities(D("0.0475"), THREE, BTC) == [D("0.0157"), D("0.0157"), D("0.0161")]


def test_the_golden_entry_rests_its_tiers_and_its_stop_on_the_tick() -> None:
    legs = protective_legs(held(Side.BUY, D("0.0475"), GOLDEN_ENTRY), THREE, 0, BTC)
    assert legs == [
        Leg(OrderRole.STOP, 0, D("41744.10"), D("0.0475")),  # 41744.0925, up: towards the entry
        Leg(OrderRole.TARGET, 1, D("43009.07"), D("0.0157")),  # 43009.065, halfway: further from the entry
        Leg(OrderRole.TARGET, 2, D("43852.38"), D("0.0157")),
        Leg(OrderRole.TARGET, 3, D("44695.70"), D("0.0161")),
    ]


def test_the_golden_entry_as_a_short_is_its_mirror_image() -> None:
    legs = protective_legs(held(Side.SELL, D("0.0475"), GOLDEN_ENTRY), THREE, 0, BTC)
    mirrored = [GOLDEN_ENTRY * 2 - price for price in (D("41744.10"), D("43009.07"), D("43852.38"), D("44695.70"))]
    assert [leg.price for leg in legs] == mirrored
    assert [leg.quantity for leg in legs] == [D("0.0475"), D("0.0157"), D("0.0157"), D("0.0161")]


# -- prices -----------------------------------------------------------------------------------------------------------


@given(entries, fractions, fractions)
def test_long_and_short_mirror_exactly(entry: Decimal, stop: Decimal, target: Decimal) -> None:
    protection = Protection(stop)
    long, short = (stop_price(entry, side, protection, BTC) for side in Side)
    assert entry - long == short - entry
    long, short = (target_price(entry, side, target, BTC) for side in Side)
    assert long - entry == entry - short


@given(st.decimals("10", "100000", places=8), fractions, sides)
def test_a_stop_rests_on_the_tick_next_to_its_distance_and_never_further_from_the_entry(
    entry: Decimal, stop: Decimal, side: Side
) -> None:
    price = stop_price(entry, side, Protection(stop), BTC)
    assert price % BTC.price_increment == 0
    assert 0 <= entry * stop - (entry - price) * side.sign < BTC.price_increment


@given(st.decimals("10", "100000", places=8), fractions, sides)
def test_a_target_rests_on_the_nearest_tick(entry: Decimal, target: Decimal, side: Side) -> None:
    price = target_price(entry, side, target, BTC)
    assert price % BTC.price_increment == 0
    assert abs(price - entry * (1 + target * side.sign)) * 2 <= BTC.price_increment


# -- quantities -------------------------------------------------------------------------------------------------------


@given(lots, protections(), st.sampled_from([0, 1, 2, 5, 20]))
def test_tiers_close_whole_lots_and_never_more_than_there_is(
    number: int, protection: Protection, smallest: int
) -> None:
    market = replace(BTC, quantity_min=smallest * BTC.quantity_increment)
    original = number * BTC.quantity_increment
    quantities = tier_quantities(original, protection, market)
    assert len(quantities) == len(protection.tiers)
    assert all(quantity % BTC.quantity_increment == 0 for quantity in quantities)
    assert all(quantity == 0 or quantity >= max(market.quantity_min, BTC.quantity_increment) for quantity in quantities)
    rest = original - sum(quantities)
    assert rest >= 0
    if any(quantities):
        assert rest == 0 or rest >= market.quantity_min, "nobody could close what is left"
    if sum(tier.share for tier in protection.tiers) == 1 and original >= market.quantity_min and protection.tiers:
        assert rest == 0


@given(lots, protections())
def test_a_tier_closes_the_nearest_lot_of_its_share(number: int, protection: Protection) -> None:
    assume(sum(tier.share for tier in protection.tiers) < 1)
    quantities = tier_quantities(number * BTC.quantity_increment, protection, BTC)
    wanted = [
        (number * tier.share).to_integral_value(ROUND_HALF_UP) * BTC.quantity_increment for tier in protection.tiers
    ]
    left = number * BTC.quantity_increment
    for quantity, want in zip(quantities, wanted, strict=True):
        assert quantity == min(want, left)
        left -= quantity


@pytest.mark.parametrize(
    ("original", "smallest", "expected"),
    [
        ("0.0475", "0.0160", ["0", "0.0314", "0.0161"]),  # the first adds its share to the second ...
        ("0.0475", "0.0170", ["0", "0.0475", "0"]),  # ... which takes all, for the rest could not be closed alone
        ("0.0001", "0.0001", ["0", "0", "0.0001"]),
        ("0.0002", "0.0001", ["0.0001", "0.0001", "0"]),
        ("0.0001", "0.0002", ["0", "0", "0"]),
    ],
)  # fmt: skip
def test_a_tier_too_small_for_the_venue_adds_its_share_to_the_next(
    original: str, smallest: str, expected: list[str]
) -> None:
    quantities = tier_quantities(D(original), THREE, replace(BTC, quantity_min=D(smallest)))
    assert quantities == [D(each) for each in expected]


# -- legs -------------------------------------------------------------------------------------------------------------


@given(sides, lots, entries, protections(), st.integers(0, 4))
def test_the_stop_covers_all_of_it_and_the_targets_no_more(
    side: Side, number: int, entry: Decimal, protection: Protection, done: int
) -> None:
    position = held(side, number * BTC.quantity_increment, entry)
    stop, *targets = protective_legs(position, protection, done, BTC)
    assert (stop.role, stop.leg, stop.quantity) == (OrderRole.STOP, 0, abs(position.quantity))
    assert (entry - stop.price) * side.sign >= 0
    assert sum(leg.quantity for leg in targets) <= stop.quantity
    assert all(leg.leg > done and leg.quantity > 0 and leg.price > 0 for leg in targets)
    numbers = [leg.leg for leg in targets]
    assert numbers == sorted(set(numbers))


def test_tiers_that_are_done_are_not_placed_again() -> None:
    position = held(Side.BUY, D("0.0475"), GOLDEN_ENTRY)
    assert len(protective_legs(position, THREE, 0, BTC)) == 4
    for done, quantity in ((1, "0.0157"), (2, "0.0157")):
        out = Fill(OrderId("o"), "x", BTC.id, Side.SELL, D(43000), D(quantity), Money(D(0), "USDT"), False, 2)
        position, _ = position.apply(out)
        stop, *targets = protective_legs(position, THREE, done, BTC)
        assert stop.quantity == abs(position.quantity)
        assert [leg.leg for leg in targets] == list(range(done + 1, 4))
        assert sum(leg.quantity for leg in targets) == position.quantity
    assert [leg.role for leg in protective_legs(position, THREE, 3, BTC)] == [OrderRole.STOP]


def test_targets_shrink_with_what_is_left_when_something_else_closed_a_part() -> None:
    position = held(Side.BUY, D("0.0475"), GOLDEN_ENTRY)
    out = Fill(OrderId("o"), "x", BTC.id, Side.SELL, D(43000), D("0.0300"), Money(D(0), "USDT"), False, 2)
    position, _ = position.apply(out)
    stop, *targets = protective_legs(position, THREE, 0, BTC)
    assert stop.quantity == D("0.0175")
    assert [leg.quantity for leg in targets] == [D("0.0157"), D("0.0018")]


def test_a_tier_below_the_smallest_notional_adds_its_share_to_the_next() -> None:
    position = held(Side.BUY, D("0.0475"), GOLDEN_ENTRY)
    market = replace(BTC, notional_min=D(680))  # 0.0157 at 43009.07 is 675.24, at 43852.38 twice it is 1376.96
    _, *targets = protective_legs(position, THREE, 0, market)
    assert [(leg.leg, leg.quantity) for leg in targets] == [(2, D("0.0314")), (3, D("0.0161"))]
    assert protective_legs(position, THREE, 0, replace(BTC, notional_min=D(3000)))[1:] == []


def test_a_target_that_a_short_can_never_reach_is_not_placed() -> None:
    far = Protection(D("0.01"), (Tier(D("0.5"), D("0.5")), Tier(D(1), D("0.25")), Tier(D(2), D("0.25"))))
    short = protective_legs(held(Side.SELL, D("0.04"), D(100)), far, 0, BTC)
    assert [(leg.leg, leg.price, leg.quantity) for leg in short[1:]] == [(1, D(50), D("0.02"))]
    long = protective_legs(held(Side.BUY, D("0.04"), D(100)), far, 0, BTC)
    assert [leg.price for leg in long[1:]] == [D(150), D(200), D(300)]
