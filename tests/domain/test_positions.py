"""Positions and the money that fills move: exact in Decimal, and nothing appears or disappears."""

from __future__ import annotations

from decimal import Decimal
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from promethean.domain.ids import InstrumentId, OrderId, StrategyId
from promethean.domain.market import Side
from promethean.domain.money import Money
from promethean.domain.positions import Booking, Fill, Position

D = Decimal
BTC = InstrumentId("binance:BTCUSDT")
FLAT = Position(BTC, StrategyId("rsi-btc-1m"))
LEDGER_STEP = D("1e-18")  # NUMERIC(38,18)

prices = st.decimals("0.00000001", 1_000_000, places=8)
quantities = st.decimals("0.00000001", 1_000, places=8)
fees = st.decimals("-1", 100, places=12)
sides = st.sampled_from(Side)


Number: TypeAlias = str | int | Decimal


def fill(side: Side, quantity: Number, price: Number, fee: Number = 0, at_ns: int = 1) -> Fill:
    return Fill(OrderId("o"), f"t{at_ns}", BTC, side, D(price), D(quantity), Money(D(fee), "USDT"), False, at_ns)


def booked(fills: list[Fill], position: Position = FLAT) -> tuple[Position, list[Booking]]:
    bookings = []
    for each in fills:
        position, booking = position.apply(each)
        bookings.append(booking)
    return position, bookings


def trades() -> st.SearchStrategy[list[Fill]]:
    return st.lists(st.builds(fill, sides, quantities, prices, fees, st.integers(1, 10**18)), min_size=1, max_size=12)


# -- golden -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("opening", "direction"), [(Side.BUY, 1), (Side.SELL, -1)])
def test_the_golden_trade_earns_79_02_on_2002_87(opening: Side, direction: int) -> None:
    entry = D("42165.75")
    exits = [("0.0157", "42995.75"), ("0.0157", "43820.75"), ("0.0161", "44650.80")]
    fills = [fill(opening, "0.0475", entry)]
    # A short mirrors the prices at the entry.
    fills += [fill(opening.opposite, quantity, entry + direction * (D(price) - entry)) for quantity, price in exits]
    end, bookings = booked(fills)
    assert [round(booking.realised, 2) for booking in bookings] == [D(0), D("13.03"), D("25.98"), D("40.01")]
    assert end.realised == D("79.023805")
    assert round(end.realised, 2) == D("79.02")
    assert round(end.entry_notional, 2) == D("2002.87")
    assert round(end.realised / end.entry_notional * 100, 2) == D("3.95")
    assert not end.is_open
    assert (end.cost, end.exit_quantity, end.entry_price) == (D(0), D("0.0475"), entry)
    assert sum(booking.cash for booking in bookings) == end.realised


# -- unit -------------------------------------------------------------------------------------------------------------


def test_an_entry_in_two_fills_has_their_average_price() -> None:
    position, _ = booked([fill(Side.BUY, 1, 100, "0.1", 5), fill(Side.BUY, 3, 104, "0.4", 6)])
    assert (position.quantity, position.cost, position.entry_price) == (D(4), D(412), D(103))
    assert (position.original_quantity, position.fees, position.opened_at_ns) == (D(4), D("0.5"), 5)
    assert position.side is Side.BUY


def test_a_partial_close_keeps_the_entry_price_and_the_original_size() -> None:
    position, bookings = booked([fill(Side.BUY, 4, 100), fill(Side.SELL, 1, 110, "0.2")])
    assert (position.quantity, position.cost, position.realised) == (D(3), D(300), D(10))
    assert (position.entry_price, position.exit_price, position.original_quantity) == (D(100), D(110), D(4))
    assert bookings[-1] == Booking(cash=D("109.8"), margin=D(-100), realised=D(10), fee=D("0.2"))


def test_a_short_earns_when_the_price_falls() -> None:
    position, _ = booked([fill(Side.SELL, 2, 100)])
    assert (position.quantity, position.cost, position.side) == (D(-2), D(200), Side.SELL)
    assert (position.unrealised(D(90)), position.unrealised(D(110))) == (D(20), D(-20))
    end, bookings = booked([fill(Side.BUY, 2, 90)], position)
    assert (end.realised, bookings[-1].cash) == (D(20), D(220))


def test_a_flat_position_has_no_price_and_no_profit() -> None:
    assert not FLAT.is_open
    assert (FLAT.entry_price, FLAT.exit_price, FLAT.unrealised(D(100))) == (D(0), D(0), D(0))


def test_a_fill_beyond_flat_closes_the_whole_and_opens_the_rest_at_the_venues_price() -> None:
    held, _ = booked([fill(Side.BUY, 1, 100, "0.1", 5)])
    turned, booking = held.apply(fill(Side.SELL, 3, 110, "0.3", 9))
    assert (turned.quantity, turned.cost, turned.original_quantity) == (D(-2), D(220), D(2))
    assert (turned.entry_price, turned.opened_at_ns, turned.exit_quantity) == (D(110), 9, D(0))
    assert (turned.realised, turned.fees) == (D(10), D("0.4"))
    assert booking == Booking(cash=D("329.7") - D(440), margin=D(120), realised=D(10), fee=D("0.3"))


def test_a_position_that_was_flat_starts_with_nothing_behind_it() -> None:
    flat, _ = booked([fill(Side.BUY, 1, 100, "0.1", 1), fill(Side.SELL, 1, 90, "0.1", 2)])
    again, _ = booked([fill(Side.SELL, 2, 80, "0.2", 3)], flat)
    fresh, _ = booked([fill(Side.SELL, 2, 80, "0.2", 3)])
    assert again == fresh


def test_closing_dust_never_takes_more_out_than_was_put_in() -> None:
    position, _ = booked([fill(Side.BUY, "0.00009", "0.00000001"), fill(Side.SELL, "0.000089", "0.00000001")])
    assert position.is_open
    assert position.cost >= 0


@pytest.mark.parametrize(("price", "quantity"), [(0, 1), (1, 0), (-1, 1), (1, -1)])
def test_a_fill_has_a_price_and_a_quantity_above_zero(price: int, quantity: int) -> None:
    with pytest.raises(ValueError, match="positive price and quantity"):
        fill(Side.BUY, D(quantity), D(price))


def test_a_fill_of_another_instrument_is_refused() -> None:
    other = replace(fill(Side.BUY, 1, 100), instrument=InstrumentId("binance:ETHUSDT"))
    with pytest.raises(ValueError, match="cannot change a position in binance:BTCUSDT"):
        FLAT.apply(other)


# -- property ---------------------------------------------------------------------------------------------------------


@given(trades())
def test_every_booking_sums_to_zero_also_in_the_columns_of_the_ledger(fills: list[Fill]) -> None:
    _, bookings = booked(fills)
    for booking in bookings:
        assert booking.cash + booking.margin - booking.realised + booking.fee == 0
        rows = [booking.cash, booking.margin, -booking.realised, booking.fee]
        assert [row.quantize(LEDGER_STEP) for row in rows] == rows


@given(trades())
def test_a_position_is_the_sum_of_its_fills_and_its_cost_is_what_was_put_in(fills: list[Fill]) -> None:
    end, bookings = booked(fills)
    assert end.quantity == sum(each.quantity * each.side.sign for each in fills)
    assert end.cost == sum(booking.margin for booking in bookings)
    assert end.cost >= 0
    if not end.is_open:
        assert end.cost == 0
    # Equity at the last price is what all fills paid and received, fees apart.
    mark = fills[-1].price
    paid = sum(-each.notional * each.side.sign - each.fee.amount for each in fills)
    assert sum(booking.cash for booking in bookings) + end.cost + end.unrealised(mark) == paid + end.quantity * mark


@given(trades(), prices)
def test_a_long_and_its_mirror_image_move_the_same_quantities_and_costs(fills: list[Fill], price: Decimal) -> None:
    flat_price = [replace(each, price=price) for each in fills]
    mirrored = [replace(each, side=each.side.opposite) for each in flat_price]
    (one, ours), (other, theirs) = booked(flat_price), booked(mirrored)
    assert one.quantity == -other.quantity
    assert (one.cost, one.entry_price, one.fees) == (other.cost, other.entry_price, other.fees)
    assert [booking.margin for booking in ours] == [booking.margin for booking in theirs]


@given(st.lists(st.tuples(quantities, fees), min_size=1, max_size=8), prices, sides)
def test_cash_after_round_trips_at_one_price_is_what_the_fees_took(
    parts: list[tuple[Decimal, Decimal]], price: Decimal, first: Side
) -> None:
    fills = [fill(side, quantity, price, fee) for quantity, fee in parts for side in (first, first.opposite)]
    end, bookings = booked(fills)
    assert not end.is_open
    assert sum(booking.cash for booking in bookings) == -sum(each.fee.amount for each in fills)
    assert sum(booking.realised for booking in bookings) == 0


@given(quantities, prices, st.lists(st.tuples(st.floats(0.01, 0.99), prices), max_size=8), prices)
def test_however_a_position_is_closed_its_profit_is_what_came_out_less_what_went_in(
    quantity: Decimal, entry: Decimal, parts: list[tuple[float, Decimal]], last: Decimal
) -> None:
    position, _ = booked([fill(Side.BUY, quantity, entry)])
    received = D(0)
    for share, price in parts:
        closing = (abs(position.quantity) * D(repr(share))).quantize(D("1e-8"))
        if 0 < closing < position.quantity:
            position, _ = position.apply(fill(Side.SELL, closing, price))
            received += closing * price
    rest = position.quantity
    end, _ = position.apply(fill(Side.SELL, rest, last))
    assert end.realised == received + rest * last - quantity * entry
    assert end.exit_quantity == quantity
    assert end.exit_notional == received + rest * last
