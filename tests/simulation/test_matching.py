"""The local venue keeps orders, coins and positions as an exchange does."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.builders import BTC, PERP

from promethean.domain.market import Side
from promethean.domain.orders import OrderType, TimeInForce
from promethean.simulation.matching import (
    Code,
    Matching,
    Request,
    Status,
    Trade,
    VenueAccount,
    VenueOrder,
    VenueRefusalError,
    VenueTerms,
)

D = Decimal
SPOT, SWAP = "BTCUSDT", "BTCUSDT_PERP"
KEY = "k"
MARKET, LIMIT, STOP = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_MARKET


class Floor:
    """One account, 10,000 USDT and 1 BTC, where 99.99 is bid and 100 asked, 5 BTC each."""

    def __init__(self, **terms: Any) -> None:
        self.ms = 1_000
        self.venue = Matching({SPOT: BTC, SWAP: PERP}, lambda: self.ms, VenueTerms(**terms))
        self.account = self.venue.open_account(VenueAccount(KEY, "s", {"USDT": D(10_000), "BTC": D(1)}))
        self.told: list[tuple[int, Status, int | None]] = []
        self.venue.listeners.append(self._hear)
        self._ids = iter(range(10_000))
        for symbol in (SPOT, SWAP):
            self.move("99.99", "100", symbol=symbol)

    def _hear(self, account: str, order: VenueOrder, trade: Trade | None) -> None:
        self.told.append((order.id, order.status, None if trade is None else trade.id))

    def move(self, bid: str, ask: str, size: str = "5", last: str | None = None, symbol: str = SPOT) -> None:
        self.venue.move(symbol, [(D(bid), D(size))], [(D(ask), D(size))], D(last or ask))

    def send(self, side: Side, quantity: str, type: OrderType = MARKET, symbol: str = SPOT, **how: Any) -> VenueOrder:
        limit, stop = (D(how.pop(name)) if name in how else None for name in ("limit_price", "stop_price"))
        client = how.pop("client_id", f"c{next(self._ids)}")
        asked = Request(symbol, side, type, D(quantity), client, limit_price=limit, stop_price=stop, **how)
        return self.venue.place(KEY, asked)

    def refused(self, *args: Any, **how: Any) -> Code:
        before = (dict(self.account.free), dict(self.account.locked), len(self.venue.orders))
        with pytest.raises(VenueRefusalError) as caught:
            self.send(*args, **how)
        assert (self.account.free, self.account.locked, len(self.venue.orders)) == before
        return caught.value.code


@pytest.fixture
def floor() -> Floor:
    return Floor()


def test_a_market_order_takes_what_is_offered_and_pays_its_fee_in_what_it_gets(floor: Floor) -> None:
    order = floor.send(Side.BUY, "2")
    assert (order.status, order.filled, order.quote) == (Status.FILLED, D(2), D(200))
    assert (floor.account.free["BTC"], floor.account.free["USDT"]) == (D("2.998"), D(9800))
    (trade,) = floor.venue.trades
    assert (trade.fee, trade.fee_coin, trade.maker) == (D("0.002"), "BTC", False)
    sold = floor.send(Side.SELL, "1")
    assert (sold.quote, floor.account.free["USDT"]) == (D("99.99"), D("9899.89001"))


def test_a_fee_may_be_taken_in_another_coin() -> None:
    floor = Floor(fee_coin="BNB")
    floor.account.free["BNB"] = D(1)
    floor.send(Side.BUY, "1")
    assert (floor.account.free["BTC"], floor.account.free["BNB"]) == (D(2), D("0.9"))


def test_what_the_book_does_not_hold_is_not_filled(floor: Floor) -> None:
    order = floor.send(Side.BUY, "7")
    assert (order.status, order.filled) == (Status.EXPIRED, D(5))
    assert floor.account.locked["USDT"] == 0
    floor.move("99.99", "100")
    rest = floor.send(Side.BUY, "7", LIMIT, limit_price="100")
    assert (rest.status, rest.filled) == (Status.PARTIALLY_FILLED, D(5))
    assert floor.account.locked["USDT"] == D(200)
    floor.move("99.98", "100", size="1")
    assert rest.filled == D(6)
    floor.move("99.98", "100", size="9")
    assert (rest.status, rest.quote) == (Status.FILLED, D(700))
    assert [trade.maker for trade in floor.venue.trades[1:]] == [False, True, True]


@pytest.mark.parametrize(
    ("how", "status", "filled"),
    [
        ({"time_in_force": TimeInForce.IOC}, Status.EXPIRED, "5"),
        ({"time_in_force": TimeInForce.FOK}, Status.EXPIRED, "0"),
        ({}, Status.PARTIALLY_FILLED, "5"),
    ],
)
def test_the_time_in_force_says_what_becomes_of_the_rest(
    floor: Floor, how: dict[str, Any], status: Status, filled: str
) -> None:
    order = floor.send(Side.BUY, "7", LIMIT, limit_price="100", **how)
    assert (order.status, order.filled) == (status, D(filled))
    assert (floor.account.locked["USDT"] > 0) == status.is_open


def test_a_stop_waits_for_the_last_price_and_then_takes(floor: Floor) -> None:
    stop = floor.send(Side.SELL, "1", STOP, stop_price="95")
    assert floor.account.locked["BTC"] == 1
    floor.move("95.1", "95.2", last="95.01")
    assert stop.status is Status.NEW
    floor.move("90", "90.1", last="95")
    assert (stop.status, stop.quote) == (Status.FILLED, D(90))
    limited = floor.send(Side.BUY, "1", OrderType.STOP_LIMIT, stop_price="96", limit_price="96.5")
    floor.move("97", "97.1", last="97")
    assert (limited.is_triggered, limited.status) == (True, Status.NEW)
    floor.move("96", "96.2", last="96.1")
    assert (limited.status, limited.quote) == (Status.FILLED, D("96.5"))


def test_the_rules_of_the_venue_are_refusals_that_change_nothing(floor: Floor) -> None:
    first = floor.send(Side.BUY, "1", LIMIT, limit_price="90", client_id="mine")
    cases: list[tuple[Code, tuple[Any, ...], dict[str, Any]]] = [
        (Code.DUPLICATE_ID, (Side.BUY, "1", LIMIT), {"limit_price": "90", "client_id": "mine"}),
        (Code.PRICE_FILTER, (Side.BUY, "1", LIMIT), {"limit_price": "90.001"}),
        (Code.LOT_SIZE, (Side.BUY, "0.00005"), {}),
        (Code.MIN_NOTIONAL, (Side.BUY, "0.0011", LIMIT), {"limit_price": "0.01"}),
        (Code.NO_BALANCE, (Side.SELL, "1.5"), {}),
        (Code.NO_BALANCE, (Side.BUY, "99.2"), {}),  # 90 USDT of it wait in the first order
        (Code.WOULD_TRIGGER, (Side.SELL, "1", STOP), {"stop_price": "101"}),
        (Code.WOULD_TAKE, (Side.BUY, "1", LIMIT), {"limit_price": "100", "post_only": True}),
        (Code.REDUCE_ONLY, (Side.SELL, "1", MARKET, SWAP), {"reduce_only": True}),
        (Code.BAD_SYMBOL, (Side.BUY, "1", MARKET, "ETHUSDT"), {}),
    ]
    for code, args, how in cases:
        assert floor.refused(*args, **how) is code
    floor.venue.halted.add(SPOT)
    assert floor.refused(Side.BUY, "1") is Code.HALTED
    floor.account.can_trade = False
    assert floor.refused(Side.BUY, "1") is Code.NOT_ALLOWED
    floor.venue.cancel(KEY, SPOT, client_id="mine")
    assert (first.status, floor.account.locked["USDT"]) == (Status.CANCELED, D(0))
    with pytest.raises(VenueRefusalError):
        floor.venue.cancel(KEY, SPOT, first.id)


@pytest.mark.parametrize("forever", [False, True])
def test_a_client_id_is_unique_among_open_orders_or_for_ever(forever: bool) -> None:
    floor = Floor(unique_forever=forever)
    floor.send(Side.BUY, "1", client_id="mine")
    if forever:
        assert floor.refused(Side.BUY, "1", client_id="mine") is Code.DUPLICATE_ID
    else:
        second = floor.send(Side.BUY, "2", client_id="mine")
        assert floor.venue.order(KEY, SPOT, client_id="mine") is second


def test_a_perpetual_ties_up_its_margin_and_pays_out_its_profit() -> None:
    floor = Floor(fee_taker=D(0), fee_maker=D(0))
    floor.venue.set_leverage(KEY, SWAP, 10)
    floor.send(Side.SELL, "5", symbol=SWAP)
    assert floor.account.free["USDT"] == D(10_000) - D("49.995")
    floor.move("89", "90", symbol=SWAP)
    closed = floor.send(Side.BUY, "9", symbol=SWAP, reduce_only=True)
    assert (closed.status, closed.filled) == (Status.EXPIRED, D(5))
    assert floor.account.free["USDT"] == D(10_000) + 5 * (D("99.99") - 90)
    assert floor.account.positions[SWAP].quantity == 0


moves = st.tuples(st.sampled_from(Side), st.integers(1, 60), st.sampled_from(("market", "limit", "stop", "cancel")),
                  st.integers(-8, 8))  # fmt: skip


@given(st.lists(moves, max_size=40), st.sampled_from([SPOT, SWAP]))
def test_nothing_is_made_or_lost(made: list[tuple[Side, int, str, int]], symbol: str) -> None:
    """Coins change by what was traded and paid, what is locked is what open orders hold, fills never exceed orders."""
    floor = Floor()
    floor.account.free["BTC"] = D(50)
    start = {"USDT": D(10_000), "BTC": D(50)}
    price = 100
    for side, size, what, drift in made:
        price = max(20, price + drift)
        floor.move(str(price), str(price + 1), size="2", symbol=symbol)
        quantity = str(D(size) / 10)
        try:
            if what == "cancel":
                for order in floor.venue.open_orders(KEY, symbol)[:1]:
                    floor.venue.cancel(KEY, symbol, order.id)
            elif what == "stop":
                floor.send(side, quantity, STOP, symbol, stop_price=str(price + 3 * side.sign + (side is Side.BUY)))
            elif what == "limit":
                floor.send(side, quantity, LIMIT, symbol, limit_price=str(price - side.sign))
            else:
                floor.send(side, quantity, MARKET, symbol)
        except VenueRefusalError as refusal:
            assert refusal.code is Code.NO_BALANCE, refusal
    for order in floor.venue.orders.values():
        own = [trade for trade in floor.venue.trades if trade.order_id == order.id]
        assert sum((trade.quantity for trade in own), D(0)) == order.filled <= order.request.quantity
        assert (order.status is Status.FILLED) == (order.remaining == 0)
        assert order.held >= 0
    held = Counter[str]()
    for order in floor.venue.open_orders(KEY):
        held[order.held_coin] += order.held  # type: ignore[assignment]  # a counter of decimals
    assert {coin: amount for coin, amount in floor.account.locked.items() if amount} == {
        coin: amount for coin, amount in held.items() if amount
    }
    expected = dict(start)
    for trade in floor.venue.trades:
        expected[trade.fee_coin] -= trade.fee
        if symbol == SPOT:
            expected["BTC"] += trade.quantity * trade.side.sign
            expected["USDT"] -= trade.price * trade.quantity * trade.side.sign
        else:
            expected["USDT"] += trade.realised
    position = floor.account.positions.get(SWAP)
    margin = abs(position.quantity) * position.entry if position is not None else D(0)
    assert floor.account.total("BTC") == expected["BTC"]
    assert floor.account.total("USDT") + margin == pytest.approx(expected["USDT"], abs=D("1e-6"))
