"""An account at a venue through ccxt: what is certain, what is not, and what is found out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from decimal import Decimal

import pytest
from msgspec.structs import replace
from tests.engine.builders import BTC, MINUTE_NS, T0, candle, order
from tests.exchanges.local_binance import LocalBinance, Loop

from promethean.domain.errors import ConfigError, OrderOutcomeUnknownError
from promethean.domain.events import OrderAccepted, OrderCancelled, OrderExpired, OrderFilled, OrderRejected
from promethean.domain.market import Side
from promethean.domain.orders import VALIDITY_NS, Order, OrderStatus, OrderType, TimeInForce
from promethean.domain.secret import Secret
from promethean.exchanges.ccxt_account import CcxtAccount
from promethean.simulation.binance_wire import Fault
from promethean.simulation.matching import Request, Status

D = Decimal
AFTER = [Fault.REPLY_LOST, Fault.UNAVAILABLE, Fault.UNREADABLE, Fault.UNKNOWN]


class At:
    """An account with 10,000 USDT, at T0."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.now_ns = T0
        self.local = LocalBinance(BTC, D(10_000), lambda: self.now_ns, self.loop)
        self.local.trade_at(100.0)
        self.account = self.local.account
        self.loop.run(self.account.instruments())

    def sent(self, side: Side = Side.BUY, quantity: str = "1", type: OrderType = OrderType.MARKET, **how: str) -> Order:
        made = order(side, quantity, type, sent_at_ns=self.now_ns, **how)  # type: ignore[arg-type]  # prices are text
        return replace(made, valid_until_ns=self.now_ns + VALIDITY_NS, status=OrderStatus.SENDING)

    def close(self) -> None:
        self.local.close()
        self.loop.stop()


@pytest.fixture
def at() -> Iterator[At]:
    made = At()
    yield made
    made.close()


@pytest.mark.scenario("A2")
@pytest.mark.parametrize("fault", AFTER)
def test_an_answer_that_is_lost_leaves_the_order_unknown_until_a_lookup_finds_it(at: At, fault: Fault) -> None:
    sent = at.sent()
    at.local.wire.faults.append(fault)
    with pytest.raises(OrderOutcomeUnknownError):
        at.loop.run(at.account.submit(sent))
    assert len(at.local.venue.orders) == 1, "it was sent once, and nobody sends it again"
    story = at.loop.run(at.account.lookup(sent))
    assert [type(report) for report in story] == [OrderAccepted, OrderFilled]
    fill = story[1]
    assert isinstance(fill, OrderFilled)
    assert (fill.fill.order_id, fill.fill.quantity, fill.fill.price) == (sent.id, D(1), D(100))


def test_a_request_that_never_arrived_is_unknown_and_a_lookup_shows_nothing(at: At) -> None:
    sent = at.sent()
    at.local.wire.faults.append(Fault.LOST)
    with pytest.raises(OrderOutcomeUnknownError):
        at.loop.run(at.account.submit(sent))
    assert at.local.venue.orders == {}
    assert list(at.loop.run(at.account.lookup(sent))) == []


def test_an_order_that_lay_about_longer_than_its_validity_is_refused_by_the_venue(at: At) -> None:
    sent = at.sent()
    at.now_ns += VALIDITY_NS + 1_000_000_000
    answer = at.loop.run(at.account.submit(sent))
    assert isinstance(answer, OrderRejected)
    assert answer.code == "too_late"
    assert at.local.venue.orders == {}


def test_a_client_id_that_the_venue_knows_already_is_no_refusal(at: At) -> None:
    """It says that an order of this name is there: ours, from an answer that we never saw."""
    sent = at.sent(type=OrderType.LIMIT, price="90")
    assert isinstance(at.loop.run(at.account.submit(sent)), OrderAccepted)
    with pytest.raises(OrderOutcomeUnknownError):
        at.loop.run(at.account.submit(sent))
    assert [type(report) for report in at.loop.run(at.account.lookup(sent))] == [OrderAccepted]


@pytest.mark.parametrize(
    ("quantity", "price", "code"),
    [("1.00001", "90", "lot_size"), ("1", "90.001", "price_filter"), ("101", "100", "insufficient_balance"),
     ("0.0010", "90", "filter")],
)  # fmt: skip
def test_a_refusal_that_is_on_the_venues_list_is_one(at: At, quantity: str, price: str, code: str) -> None:
    sent = at.sent(quantity=quantity, type=OrderType.LIMIT, price=price)
    answer = at.loop.run(at.account.submit(sent))
    assert isinstance(answer, OrderRejected)
    assert (answer.code, bool(answer.message)) == (code, True)
    assert at.local.venue.orders == {}


def test_too_many_requests_do_not_say_what_became_of_an_order(at: At) -> None:
    at.local.wire.faults.append(Fault.LIMITED)
    with pytest.raises(OrderOutcomeUnknownError):
        at.loop.run(at.account.submit(at.sent()))


def test_a_cancel_that_meets_a_fill_tells_nothing_and_the_lookup_tells_the_fill(at: At) -> None:
    sent = at.sent(type=OrderType.LIMIT, price="95")
    answer = at.loop.run(at.account.submit(sent))
    assert isinstance(answer, OrderAccepted)
    known = replace(sent, venue_order_id=answer.venue_order_id, cancel_requested_at_ns=at.now_ns)
    at.local.trade_at(94.0)
    assert at.loop.run(at.account.cancel(known)) is None
    assert [type(report) for report in at.loop.run(at.account.lookup(known))] == [OrderAccepted, OrderFilled]


@pytest.mark.parametrize("fault", AFTER)
def test_a_cancel_whose_answer_is_lost_is_found_out(at: At, fault: Fault) -> None:
    sent = at.sent(type=OrderType.LIMIT, price="90")
    at.loop.run(at.account.submit(sent))
    at.local.wire.faults.append(fault)
    assert at.loop.run(at.account.cancel(replace(sent, cancel_requested_at_ns=at.now_ns))) is None
    story = at.loop.run(at.account.lookup(sent))
    assert [type(report) for report in story] == [OrderAccepted, OrderCancelled]


@pytest.mark.parametrize("fault", [*AFTER, Fault.LOST])
def test_an_order_good_till_a_date_ends_even_where_the_answer_to_its_cancel_is_lost(at: At, fault: Fault) -> None:
    made = at.sent(type=OrderType.LIMIT, price="90")
    ends_ns = at.now_ns + MINUTE_NS
    sent = replace(made, intent=replace(made.intent, time_in_force=TimeInForce.GTD, expires_at_ns=ends_ns))
    at.loop.run(at.account.submit(sent))
    at.now_ns = ends_ns
    at.local.wire.faults.extend([None, fault])  # the fills are told, the answer to the cancel is lost
    told: list[object] = []
    for _ in range(3):
        at.loop.run(at.account.poll())
        told += at.account.advance(candle(0, 100.0))
    assert [type(report) for report in told] == [OrderExpired]
    assert at.loop.run(at.account.open_orders()) == ()


def test_fills_are_told_once_however_often_they_are_asked_for(at: At) -> None:
    for _ in range(2):
        at.loop.run(at.account.submit(at.sent()))
    told = []
    for _ in range(3):
        at.loop.run(at.account.poll())
        told += list(at.account.advance(candle(0, 100.0)))
        at.now_ns += MINUTE_NS
    assert len(told) == 2
    assert len({report.fill.trade_id for report in told if isinstance(report, OrderFilled)}) == 2


def test_another_process_knows_our_orders_by_their_names_and_leaves_those_of_others(at: At) -> None:
    sent = at.sent(type=OrderType.LIMIT, price="90")
    at.loop.run(at.account.submit(sent))
    at.local.venue.place("local-key", replace_name(at, "by-hand"))
    again = CcxtAccount("binance", Secret("local-key"), Secret("local-secret"), [BTC],
                        base_url=at.account._base_url, now_ns=lambda: at.now_ns)  # fmt: skip
    assert list(at.loop.run(again.open_orders())) == [sent.id]
    at.local.trade_at(89.0)
    assert [report.fill.order_id for report in at.loop.run(again.fills(0))] == [sent.id]
    at.loop.run(again.close())


def replace_name(at: At, name: str) -> Request:
    """What the account has asked for last, under another name."""
    (known,) = (o for o in at.local.venue.orders.values() if o.status is Status.NEW)
    return dataclasses.replace(known.request, client_id=name)


def test_a_venue_without_a_record_is_not_traded_at() -> None:
    with pytest.raises(ConfigError, match="unknown venue for trading 'binanse'; did you mean 'binance'"):
        CcxtAccount("binanse", Secret("k"), Secret("s"), [BTC])
