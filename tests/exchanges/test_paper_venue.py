"""The paper venue: what market events do to the orders that rest there."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from msgspec.structs import replace
from tests.engine.builders import (
    BTC,
    BUY,
    CLOSE,
    MINUTE_NS,
    PERP,
    SCRIPTED,
    SELL,
    T0,
    Trader,
    World,
    assert_sound,
    candle,
    desk,
    drive,
    instrument,
    order,
    quote,
    rebuild,
    restarted,
    worlds,
)

from promethean.domain.events import (
    MarketEvent,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderPlanned,
    OrderRejected,
    VenueReport,
)
from promethean.domain.ids import InstrumentId
from promethean.domain.instants import NS_PER_MS, NS_PER_S
from promethean.domain.market import Side
from promethean.domain.money import plain
from promethean.domain.orders import Order, OrderRole, OrderType
from promethean.domain.positions import Position
from promethean.engine.state import State
from promethean.exchanges.paper.venue import PaperTerms, PaperVenue

D = Decimal
FREE = PaperTerms(fee_maker=D(0), fee_taker=D(0), slippage_bps=D(0), latency_ms=0)
MARKET, LIMIT, STOP = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_MARKET


class Floor:
    """A paper venue and a short way to trade there."""

    def __init__(self, terms: PaperTerms = FREE, cash: str = "1000000") -> None:
        self.venue = PaperVenue({each.id: each for each in (BTC, PERP)}, terms, D(cash))

    def send(self, *orders: Order) -> list[OrderAccepted | OrderRejected]:
        return [drive(self.venue.submit(each)) for each in orders]

    def see(self, event: MarketEvent) -> list[VenueReport]:
        return list(self.venue.advance(event))

    def fills(self, event: MarketEvent) -> list[tuple[str, str]]:
        """Price and quantity of each fill that the event brings."""
        return [(plain(r.fill.price), plain(r.fill.quantity)) for r in self.see(event) if isinstance(r, OrderFilled)]

    def hold(self, quantity: str, side: Side = Side.BUY, price: float = 100.0, number: int = 0, **how: Any) -> Floor:
        """A position bought (or sold) at the open of a minute."""
        of = how.get("of", BTC)
        (answer,) = self.send(order(side, quantity, price=str(price), sent_at_ns=T0 + (number - 1) * MINUTE_NS, **how))
        assert isinstance(answer, OrderAccepted)
        assert self.see(candle(number, price, of=of))
        return self


def exit(side: Side, quantity: str, type: OrderType, price: str = "100", **how: Any) -> Order:
    role = OrderRole.STOP if type is STOP else OrderRole.TARGET
    return order(side, quantity, type, price=price, role=role, reduce_only=True, **{"sent_at_ns": T0, **how})


def cancel(floor: Floor, sent: Order) -> OrderCancelled | None:
    return drive(floor.venue.cancel(replace(sent, cancel_requested_at_ns=T0)))


# ---------------------------------------------------------------- market orders


def test_a_market_order_fills_at_the_open_of_the_next_candle() -> None:
    floor = Floor()
    floor.send(order(Side.BUY, "2"))
    (report,) = floor.see(candle(0, 101, 110, 90, 95))
    assert isinstance(report, OrderFilled)
    fill = report.fill
    assert (fill.price, fill.quantity, fill.side, fill.maker) == (D(101), D(2), Side.BUY, False)
    assert fill.executed_at_ns == T0
    assert drive(floor.venue.positions()) == {BTC.id: D(2)}


def test_an_order_is_not_filled_before_it_arrives() -> None:
    floor = Floor(PaperTerms(D(0), D(0), D(0), latency_ms=150))
    (accepted,) = floor.send(order(Side.BUY, "1", sent_at_ns=T0 + MINUTE_NS - NS_PER_MS))
    assert accepted.at_ns > T0 + MINUTE_NS
    assert floor.see(candle(0, 100)) == []
    (report,) = floor.see(candle(1, 102))
    assert report.at_ns == accepted.at_ns


def test_an_order_that_arrives_within_a_candle_fills_when_it_arrives() -> None:
    floor = Floor(PaperTerms(D(0), D(0), D(0), latency_ms=150))
    (accepted,) = floor.send(order(Side.BUY, "1", sent_at_ns=T0))
    (report,) = floor.see(candle(0, 100))
    assert report.at_ns == accepted.at_ns > T0


def test_orders_that_arrive_in_one_candle_fill_in_the_order_of_their_arrival() -> None:
    floor = Floor()
    later, sooner = order(Side.BUY, "1", sent_at_ns=T0 + 2), order(Side.BUY, "2", sent_at_ns=T0 + 1)
    floor.send(later, sooner)
    assert floor.fills(candle(0, 100)) == [("100", "2"), ("100", "1")]


def test_latency_is_drawn_from_the_seed_between_half_and_one_and_a_half() -> None:
    def drawn(seed: int, latency_ms: int = 100) -> list[int]:
        floor = Floor(PaperTerms(D(0), D(0), latency_ms=latency_ms, seed=seed))
        sent = [order(Side.BUY, "1", sent_at_ns=T0 + number) for number in range(50)]
        return [(a.at_ns - T0 - n) // NS_PER_MS for n, a in enumerate(floor.send(*sent))]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert 50 <= min(drawn(1)) < 70
    assert 130 < max(drawn(1)) <= 150
    assert set(drawn(1, latency_ms=0)) == {0}


# ---------------------------------------------------------------- slippage, fees, volume


@pytest.mark.parametrize(
    ("side", "price"),
    [(Side.BUY, "100.05"), (Side.SELL, "99.95")],
)
def test_slippage_grows_with_the_square_root_of_the_share_of_the_volume(side: Side, price: str) -> None:
    floor = Floor(PaperTerms(D(0), D(0), slippage_bps=D(20), latency_ms=0))
    floor.send(order(side, "100", of=PERP))
    assert floor.fills(candle(0, 100, volume=1600.0, of=PERP)) == [(price, "100")]  # 20 bp x sqrt(1/16) = 5 bp


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, "100.02"), (Side.SELL, "99.98")])
def test_slippage_is_rounded_against_us(side: Side, price: str) -> None:
    floor = Floor(PaperTerms(D(0), D(0), slippage_bps=D(6), latency_ms=0))
    floor.send(order(side, "100", of=PERP))
    assert floor.fills(candle(0, 100, volume=1600.0, of=PERP)) == [(price, "100")]  # 1.5 bp is a tick and a half


def test_limit_orders_do_not_slip() -> None:
    floor = Floor(PaperTerms(D(0), D(0), slippage_bps=D(100), latency_ms=0))
    floor.send(order(Side.BUY, "1", LIMIT, price="99"))
    assert floor.fills(candle(0, 100, 100, 98, volume=10.0)) == [("99", "1")]


def test_a_stop_slips_beyond_its_trigger() -> None:
    floor = Floor(PaperTerms(D(0), D(0), slippage_bps=D(100), latency_ms=0)).hold("1")
    floor.send(exit(Side.SELL, "1", STOP, "99"))
    assert floor.fills(candle(1, 100, 100, 98, volume=100.0)) == [("98.9", "1")]  # 100 bp x sqrt(1/100)


def test_takers_and_makers_pay_their_own_fee() -> None:
    floor = Floor(PaperTerms(fee_maker=D("0.0002"), fee_taker=D("0.0005"), slippage_bps=D(0), latency_ms=0))
    floor.send(order(Side.BUY, "3"), order(Side.BUY, "3", LIMIT, price="98"))
    taker, maker = (r.fill for r in floor.see(candle(0, 100, 100, 97)) if isinstance(r, OrderFilled))
    assert (taker.maker, taker.fee.amount, taker.fee.currency) == (False, D("0.15"), "USDT")
    assert (maker.maker, maker.fee.amount) == (True, D("0.0588"))


def test_fees_are_cut_to_eight_places() -> None:
    floor = Floor(PaperTerms(D(0), fee_taker=D("0.00033333"), slippage_bps=D(0), latency_ms=0))
    floor.send(order(Side.BUY, "0.0777"))
    (report,) = floor.see(candle(0, 100.03))
    assert isinstance(report, OrderFilled)
    assert report.fill.fee.amount == D("0.00259075")  # 0.0025907511...


def test_a_large_order_fills_over_candles_and_takes_its_share_of_each_once() -> None:
    floor = Floor()
    floor.send(order(Side.BUY, "25"))
    assert floor.fills(candle(0, 100, volume=100.0)) == [("100", "10")]
    assert floor.fills(candle(1, 101, volume=120.0)) == [("101", "12")]
    assert floor.fills(candle(2, 102, volume=100.0)) == [("102", "3")]
    assert floor.see(candle(3, 103)) == []


def test_the_share_of_a_candle_is_rounded_down_to_a_lot() -> None:
    floor = Floor()
    floor.send(order(Side.BUY, "1"))
    assert floor.fills(candle(0, 100, volume=0.0057)) == [("100", "0.0005")]


@pytest.mark.parametrize("volume", [0.0, 0.0009])
def test_nothing_fills_where_less_than_a_lot_was_traded(volume: float) -> None:
    floor = Floor()
    floor.send(order(Side.BUY, "1"), order(Side.BUY, "1", LIMIT, price="99"))
    assert floor.see(candle(0, 100, 100, 90, volume=volume)) == []


# ---------------------------------------------------------------- limits and stops in a candle


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("optimistic", [False, True])
def test_a_touch_fills_a_limit_only_where_that_is_asked_for(side: Side, optimistic: bool) -> None:
    floor = Floor(PaperTerms(D(0), D(0), D(0), 0, optimistic=optimistic))
    price = "99" if side is Side.BUY else "101"
    floor.send(order(side, "1", LIMIT, price=price, of=PERP))
    touched = floor.fills(candle(0, 100, 101, 99, of=PERP))
    assert touched == ([(price, "1")] if optimistic else [])
    through = floor.fills(candle(1, 100, 101.01, 98.99, of=PERP))
    assert through == ([] if optimistic else [(price, "1")])


@pytest.mark.parametrize("optimistic", [False, True])
def test_an_open_at_the_limit_is_a_touch_and_no_more(optimistic: bool) -> None:
    floor = Floor(PaperTerms(D(0), D(0), D(0), 0, optimistic=optimistic))
    floor.send(order(Side.BUY, "1", LIMIT, price="99"))
    assert floor.fills(candle(0, 99, 100, 99)) == ([("99", "1")] if optimistic else [])


@pytest.mark.parametrize(("side", "limit", "open"), [(Side.BUY, "99", 98.5), (Side.SELL, "101", 101.5)])
def test_a_limit_that_the_price_jumped_over_fills_at_the_open(side: Side, limit: str, open: float) -> None:
    floor = Floor()
    floor.send(order(side, "1", LIMIT, price=limit, of=PERP))
    (report,) = floor.see(candle(0, open, of=PERP))
    assert isinstance(report, OrderFilled)
    assert (report.fill.price, report.fill.maker, report.at_ns) == (D(str(open)), True, T0)


def test_a_limit_that_is_marketable_on_arrival_takes_at_the_open() -> None:
    floor = Floor(PaperTerms(D("0.0002"), D("0.001"), D(0), latency_ms=100))
    floor.send(order(Side.BUY, "1", LIMIT, price="101", sent_at_ns=T0))
    (report,) = floor.see(candle(0, 100, 105, 99))
    assert isinstance(report, OrderFilled)
    assert (report.fill.price, report.fill.maker, report.fill.fee.amount) == (D(100), False, D("0.1"))


@pytest.mark.parametrize(
    ("side", "trigger", "event", "price"),
    [
        (Side.SELL, "99", candle(1, 100, 101, 99, of=PERP), "99"),
        (Side.SELL, "99", candle(1, 98, 100, 97, of=PERP), "98"),
        (Side.SELL, "99", candle(1, 99, 100, 97, of=PERP), "99"),
        (Side.BUY, "101", candle(1, 100, 101, 99, of=PERP), "101"),
        (Side.BUY, "101", candle(1, 102, 103, 101, of=PERP), "102"),
    ],
    ids=["reached", "jumped over", "opened at", "short reached", "short jumped over"],
)
def test_a_stop_fills_at_its_trigger_or_at_the_open_that_jumped_over_it(
    side: Side, trigger: str, event: MarketEvent, price: str
) -> None:
    floor = Floor().hold("1", side.opposite, of=PERP)
    floor.send(exit(side, "1", STOP, trigger, of=PERP))
    (report,) = floor.see(event)
    assert isinstance(report, OrderFilled)
    assert (plain(report.fill.price), report.fill.maker) == (price, False)


def test_a_stop_beyond_the_range_waits() -> None:
    floor = Floor().hold("1")
    floor.send(exit(Side.SELL, "1", STOP, "99"))
    assert floor.see(candle(1, 100, 101, 99.01)) == []
    assert len(drive(floor.venue.open_orders())) == 1


def test_the_stop_wins_when_a_candle_touches_stop_and_target() -> None:
    floor = Floor().hold("1")
    target, stop = exit(Side.SELL, "1", LIMIT, "102"), exit(Side.SELL, "1", STOP, "99")
    floor.send(target, stop)
    (report,) = floor.see(candle(1, 100, 103, 98))
    assert isinstance(report, OrderFilled)
    assert report.fill.order_id == stop.id
    assert report.at_ns == T0 + 2 * MINUTE_NS - 1


def test_a_target_that_the_open_jumped_over_comes_before_a_stop_in_the_range() -> None:
    floor = Floor().hold("1")
    floor.send(exit(Side.SELL, "1", STOP, "99"), exit(Side.SELL, "1", LIMIT, "102"))
    assert floor.fills(candle(1, 103, 104, 98)) == [("103", "1")]


def test_exits_of_a_limit_entry_do_not_fill_in_the_range_that_filled_the_entry() -> None:
    """Nobody knows what the candle touched after the entry: neither exit may use the same range."""
    trader = Trader(desk({0: (BUY,)}, order_type=LIMIT, tolerance="-0.001", tiers=(("0.02", "1"),)), FREE)
    trader.market(candle(0, 100))
    trader.market(candle(1, 100, 110, 90))
    (entry,) = trader.told(OrderFilled)
    assert entry.fill.price == D("99.90")
    trader.market(candle(2, 98, 99, 98))
    assert [report.fill.price for report in trader.told(OrderFilled)] == [D("99.90"), D(98)]


def test_an_order_sent_in_answer_to_the_open_takes_part_in_the_range() -> None:
    trader = Trader(desk({0: (BUY,)}), PaperTerms(D(0), D(0), D(0), latency_ms=100))
    trader.run((candle(0, 100), candle(1, 100, 101, 95, 96)))
    assert [report.fill.price for report in trader.told(OrderFilled)] == [D(100), D(99)]


# ---------------------------------------------------------------- reduce-only


def test_a_reduce_only_order_takes_no_more_than_what_is_held() -> None:
    floor = Floor().hold("1")
    floor.send(exit(Side.SELL, "5", MARKET))
    assert floor.fills(candle(1, 100)) == [("100", "1")]
    assert drive(floor.venue.positions()) == {}


def test_a_reduce_only_order_on_nothing_is_refused() -> None:
    floor = Floor()
    (answer,) = floor.send(exit(Side.SELL, "1", STOP, "99"))
    assert isinstance(answer, OrderRejected)
    assert answer.code == "reduce_only"


def test_a_reduce_only_order_never_adds_to_a_position() -> None:
    floor = Floor().hold("1")
    (answer,) = floor.send(exit(Side.BUY, "1", MARKET))
    assert isinstance(answer, OrderRejected)


def test_a_target_left_over_from_a_stopped_position_does_not_fill() -> None:
    floor = Floor().hold("1")
    floor.send(exit(Side.SELL, "1", LIMIT, "102"), exit(Side.SELL, "1", STOP, "99"))
    assert len(floor.see(candle(1, 100, 100, 98))) == 1
    assert floor.see(candle(2, 100, 110, 90)) == []
    assert floor.see(quote(3, 1, 110, 111)) == []


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (order(Side.BUY, "1", LIMIT, price="100.001"), "price_filter"),
        (order(Side.BUY, "0.00015"), "lot_size"),
        (order(Side.BUY, "0.00001"), "lot_size"),
        (order(Side.BUY, "0.0499"), "min_notional"),
        (order(Side.SELL, "1"), "insufficient_balance"),
        (order(Side.BUY, "10.0001"), "insufficient_balance"),
        (order(Side.BUY, "1", OrderType.STOP_LIMIT, price="101"), "unsupported_type"),
        (order(Side.BUY, "1", of=instrument(base="ETH")), "unknown_instrument"),
    ],
)
def test_what_a_venue_would_refuse_is_refused_with_a_code(sent: Order, code: str) -> None:
    floor = Floor(cash="1000")
    (answer,) = floor.send(sent)
    assert isinstance(answer, OrderRejected)
    assert answer.code == code
    assert answer.message
    assert drive(floor.venue.open_orders()) == ()


def test_the_smallest_order_and_the_last_coin_are_accepted() -> None:
    floor = Floor(cash="1000")
    small, rest = floor.send(order(Side.BUY, "0.05"), order(Side.BUY, "9.95"))
    assert isinstance(small, OrderAccepted)
    assert isinstance(rest, OrderAccepted)


def test_the_fee_has_to_be_paid_from_the_balance_too() -> None:
    floor = Floor(PaperTerms(D(0), D("0.001"), latency_ms=0), cash="1000")
    (answer,) = floor.send(order(Side.BUY, "10"))
    assert isinstance(answer, OrderRejected)
    assert answer.message == "1001 USDT needed"


def test_resting_entries_hold_their_cash_until_they_end() -> None:
    floor = Floor(cash="1000")
    first = order(Side.BUY, "6", LIMIT, price="100")
    second = order(Side.BUY, "6", LIMIT, price="100")
    accepted, refused = floor.send(first, second)
    assert isinstance(accepted, OrderAccepted)
    assert isinstance(refused, OrderRejected)
    cancel(floor, first)
    (again,) = floor.send(order(Side.BUY, "6", LIMIT, price="100"))
    assert isinstance(again, OrderAccepted)


def test_an_order_that_arrives_after_its_validity_is_refused() -> None:
    floor = Floor(PaperTerms(D(0), D(0), latency_ms=20_000))
    (answer,) = floor.send(order(Side.BUY, "1"))
    assert isinstance(answer, OrderRejected)
    assert answer.code == "too_late"


# ---------------------------------------------------------------- good till date


def test_an_order_ends_at_its_date_and_not_before() -> None:
    floor = Floor()
    sent = order(Side.BUY, "1", LIMIT, price="90", expires_at_ns=T0 + 2 * MINUTE_NS)
    floor.send(sent)
    assert floor.see(candle(0, 100)) == []
    (report,) = floor.see(candle(1, 100))
    assert isinstance(report, OrderExpired)
    assert (report.order_id, report.at_ns) == (sent.id, T0 + 2 * MINUTE_NS)
    assert drive(floor.venue.open_orders()) == ()


def test_an_order_may_fill_in_the_last_candle_before_its_date() -> None:
    floor = Floor()
    floor.send(order(Side.BUY, "1", LIMIT, price="99", expires_at_ns=T0 + MINUTE_NS))
    assert floor.fills(candle(0, 100, 100, 98)) == [("99", "1")]


def test_an_order_whose_date_passed_while_no_candle_came_is_not_filled_after_it() -> None:
    floor = Floor()
    floor.send(order(Side.BUY, "1", LIMIT, price="99", expires_at_ns=T0 + MINUTE_NS))
    (report,) = floor.see(candle(7, 95, 96, 94))
    assert isinstance(report, OrderExpired)
    floor.send(order(Side.BUY, "1", LIMIT, price="99", expires_at_ns=T0 + 8 * MINUTE_NS))
    (report,) = floor.see(quote(8, 0, 94, 95))
    assert isinstance(report, OrderExpired)


# ---------------------------------------------------------------- quotes


def test_quotes_fill_at_the_ask_and_the_bid() -> None:
    floor = Floor()
    floor.send(order(Side.BUY, "1"))
    assert floor.fills(quote(0, 1, 99.9, 100.1)) == [("100.1", "1")]
    floor.send(exit(Side.SELL, "1", MARKET))
    assert floor.fills(quote(0, 2, 99.8, 100.1)) == [("99.8", "1")]


def test_a_quote_does_not_fill_an_order_that_has_not_arrived() -> None:
    floor = Floor(PaperTerms(D(0), D(0), D(0), latency_ms=2_000))
    (accepted,) = floor.send(order(Side.BUY, "1", sent_at_ns=T0))
    assert floor.see(quote(0, 0.5, 99, 100)) == []
    assert accepted.at_ns <= T0 + 3 * NS_PER_S
    assert floor.fills(quote(0, 3, 99, 100)) == [("100", "1")]


def test_the_candle_of_quotes_that_were_seen_does_nothing_again() -> None:
    floor = Floor()
    floor.see(quote(0, 30, 99.9, 100))
    floor.send(order(Side.BUY, "1", LIMIT, price="99", sent_at_ns=T0 + 40 * NS_PER_S))
    assert floor.see(candle(0, 100, 100, 95)) == []  # its low may have been before the order
    assert floor.fills(candle(1, 100, 100, 95)) == [("99", "1")]


def test_a_limit_waits_until_the_other_side_comes_to_it() -> None:
    floor = Floor()
    floor.send(order(Side.BUY, "1", LIMIT, price="99"))
    assert floor.see(quote(0, 1, 98.9, 99.1)) == []
    (report,) = floor.see(quote(0, 2, 98.8, 99))
    assert isinstance(report, OrderFilled)
    assert (report.fill.price, report.fill.maker) == (D(99), True)


@pytest.mark.parametrize("latency_ms", [0, 100])
def test_a_limit_that_the_first_quote_after_its_arrival_fills_is_a_taker(latency_ms: int) -> None:
    floor = Floor(PaperTerms(D("0.0002"), D("0.001"), D(0), latency_ms=latency_ms))
    floor.see(quote(0, 1, 99.9, 100))
    floor.send(order(Side.BUY, "1", LIMIT, price="101", sent_at_ns=T0 + NS_PER_S))
    (report,) = floor.see(quote(0, 2, 99.9, 100))
    assert isinstance(report, OrderFilled)
    assert (report.fill.price, report.fill.maker, report.fill.fee.amount) == (D(100), False, D("0.1"))


def test_a_stop_triggers_on_the_last_trade() -> None:
    floor = Floor().hold("1")
    floor.send(exit(Side.SELL, "1", STOP, "99"))
    assert floor.see(quote(1, 1, 99.01, 99.2)) == []
    assert floor.fills(quote(1, 2, 98.9, 99.2)) == [("98.9", "1")]


# ---------------------------------------------------------------- shorts


def test_a_short_is_opened_and_closed_on_futures() -> None:
    floor = Floor().hold("2", Side.SELL, of=PERP)
    assert drive(floor.venue.positions()) == {PERP.id: D(-2)}
    floor.send(exit(Side.BUY, "2", LIMIT, "98", of=PERP))
    assert floor.fills(candle(1, 100, 100, 97, of=PERP)) == [("98", "2")]
    assert drive(floor.venue.positions()) == {}


def test_a_short_ties_up_its_notional_and_returns_it_with_the_result() -> None:
    floor = Floor(cash="1000").hold("6", Side.SELL, of=PERP)
    (refused,) = floor.send(order(Side.SELL, "4.0001", of=PERP))
    assert isinstance(refused, OrderRejected)
    floor.send(exit(Side.BUY, "6", MARKET, of=PERP))
    floor.see(candle(1, 90, of=PERP))  # 60 won
    all_in, more = floor.send(order(Side.SELL, "10.6", of=PERP), order(Side.SELL, "0.05", of=PERP))
    assert isinstance(all_in, OrderAccepted)
    assert isinstance(more, OrderRejected)


def test_a_restored_short_ties_up_its_notional() -> None:
    floor = Floor(cash="0")
    floor.venue.restore((), [Position(PERP.id, SCRIPTED, D(-6), D(600), D(6), entry_notional=D(600))], D(400))
    (refused,) = floor.send(order(Side.SELL, "4.0001", of=PERP))
    assert isinstance(refused, OrderRejected)
    floor.send(exit(Side.BUY, "6", MARKET, of=PERP))
    floor.see(candle(1, 90, of=PERP))
    all_in, more = floor.send(order(Side.SELL, "10.6", of=PERP), order(Side.SELL, "0.05", of=PERP))
    assert isinstance(all_in, OrderAccepted)
    assert isinstance(more, OrderRejected)


def test_cash_follows_the_account_through_longs_and_shorts() -> None:
    script = {0: (BUY,), 3: (SELL,), 4: (SELL,), 8: (BUY,), 9: (BUY,), 12: (CLOSE,)}
    for of in (BTC, PERP):
        terms = PaperTerms(D("0.0002"), D("0.001"), latency_ms=150)
        trader = Trader(desk(script, of, amount="4000"), terms)
        for number in range(16):
            trader.market(candle(number, 100 + number % 5, 106, 99.5, 100 + (number + 1) % 5, volume=200.0, of=of))
            assert trader.venue.cash == trader.account.cash
        assert trader.account.totals.trades >= 2


# ---------------------------------------------------------------- restarts


def held(state: State) -> dict[InstrumentId, Decimal]:
    quantities = {slot[1]: holding.position.quantity for slot, holding in state.account.holdings.items()}
    return {key: quantity for key, quantity in quantities.items() if quantity}


@settings(max_examples=40)
@given(worlds())
def test_a_venue_rebuilt_between_any_two_reports_goes_on_as_if_nothing_had_happened(world: World) -> None:
    trader = world.trader()
    cuts: list[tuple[int, State, int]] = []  # place in the market, state, facts so far
    for number, event in enumerate(world.events):
        trader.market(event, lambda at=number: cuts.append((at, trader.state, len(trader.facts))))  # type: ignore[misc]
    for number, state, facts in cuts:
        again = restarted(state, trader).run(world.events[number:])
        assert again.facts == trader.facts[facts:]
        assert again.account == trader.account


@settings(max_examples=40)
@given(worlds())
def test_a_venue_rebuilt_between_any_two_events_goes_on_as_if_nothing_had_happened(world: World) -> None:
    trader = world.trader()
    cuts: list[tuple[int, State, int]] = []
    for number, event in enumerate(world.events, 1):
        trader.market(event)
        if trader.account.orders or trader.account.holdings:
            cuts.append((number, trader.state, len(trader.facts)))
    for number, state, facts in cuts[::4]:
        again = restarted(state, trader).run(world.events[number:])
        assert again.facts == trader.facts[facts:]
        assert again.account == trader.account


def test_a_venue_rebuilt_within_a_candle_does_not_fill_from_what_came_before() -> None:
    trader = Trader(desk({0: (BUY,)}, order_type=LIMIT, tolerance="-0.01"), FREE)
    trader.run((candle(0, 100), quote(1, 30, 99.9, 100)))
    rebuild(trader)
    trader.market(candle(1, 100, 100, 98))
    assert trader.told(OrderFilled) == []


def test_an_order_claimed_but_not_answered_is_received_once_by_a_rebuilt_venue() -> None:
    trader = Trader(desk({0: (BUY,)}), FREE)
    (entry,) = (each for each in trader.see(candle(0, 100)) if isinstance(each, OrderPlanned))
    trader.requests.clear()
    sent = trader.claim(entry)
    rebuild(trader)
    (answer,) = drive(trader.venue.lookup(sent))
    assert isinstance(answer, OrderAccepted)
    trader.take(answer)
    rebuild(trader)
    assert drive(trader.venue.open_orders()) == (sent.id,)
    trader.market(candle(1, 100))
    assert len(trader.told(OrderFilled)) == 1


def test_an_order_that_was_planned_but_not_claimed_is_unknown_to_a_rebuilt_venue() -> None:
    trader = Trader(desk({0: (BUY,)}), FREE)
    trader.see(candle(0, 100))
    rebuild(trader)
    assert drive(trader.venue.open_orders()) == ()


# ---------------------------------------------------------------- what holds in any market


@settings(max_examples=60)
@given(worlds())
def test_venue_and_account_agree_after_every_event(world: World) -> None:
    trader = world.trader()
    for event in world.events:
        trader.market(event)
        assert drive(trader.venue.positions()) == held(trader.state)
        assert set(drive(trader.venue.open_orders())) == set(trader.account.orders)
        assert trader.venue.cash == trader.account.cash
    assert_sound(trader)


@settings(max_examples=60)
@given(worlds())
def test_every_fill_is_within_the_market_it_met(world: World) -> None:
    trader = world.trader()
    arrived: dict[str, int] = {}
    for event in world.events:
        seen = len(trader.facts)
        trader.market(event)
        for fact in trader.facts[seen:]:
            if isinstance(fact, OrderAccepted):
                arrived[fact.order_id] = fact.at_ns
            elif isinstance(fact, OrderFilled):
                fill = fact.fill
                assert arrived[fill.order_id] <= fill.executed_at_ns <= event.at_ns
                assert fill.quantity % BTC.quantity_increment == 0
                assert fill.price % BTC.price_increment == 0


@settings(max_examples=20)
@given(worlds())
def test_a_run_repeats_itself(world: World) -> None:
    assert world.trader().run(world.events).facts == world.trader().run(world.events).facts


def test_orders_of_one_instrument_do_not_fill_on_another() -> None:
    floor = Floor()
    floor.send(order(Side.BUY, "1"), order(Side.BUY, "1", LIMIT, price="99", expires_at_ns=T0 + MINUTE_NS))
    assert floor.see(candle(0, 100, 100, 90, of=PERP)) == []
    assert floor.see(quote(1, 0, 50, 51, of=PERP)) == []


# ---------------------------------------------------------------- the last close


def leave_at_end(quantity: str, side: Side = Side.SELL, sent_at_ns: int = T0 + 2 * MINUTE_NS) -> Order:
    return order(side, quantity, role=OrderRole.END, reduce_only=True, sent_at_ns=sent_at_ns)


def test_at_the_last_close_a_position_is_closed_whole_there_however_little_was_traded() -> None:
    terms = PaperTerms(D("0.001"), D("0.002"), D(100), latency_ms=150, participation_max=D("0.1"))
    floor = Floor(terms).hold("2", number=0)
    last = candle(1, 101, 110, 90, 95, volume=8.0)
    floor.see(last)
    (answer,) = floor.send(leave_at_end("2"))
    assert (type(answer), answer.at_ns) == (OrderAccepted, last.at_ns)
    (report,) = floor.venue.finish(last.candle)
    assert isinstance(report, OrderFilled)
    fill = report.fill
    # 100 basis points times the root of 2 out of 8: half a per cent below the close, in ticks of 0.01 rounded down.
    assert (plain(fill.price), plain(fill.quantity)) == ("94.52", "2")
    assert (plain(fill.fee.amount), fill.maker) == ("0.37808", False)
    assert fill.executed_at_ns == last.candle.close_time_ns
    assert drive(floor.venue.positions()) == {}
    assert list(floor.venue.finish(last.candle)) == []


def test_a_last_candle_in_which_nothing_was_traded_closes_at_its_close_without_slippage() -> None:
    floor = Floor(PaperTerms(D(0), D(0), D(100), latency_ms=0)).hold("2", Side.SELL, of=PERP)
    last = candle(1, 101, 110, 90, 95, volume=0.0, of=PERP)
    floor.see(last)
    floor.send(order(Side.BUY, "2", role=OrderRole.END, reduce_only=True, sent_at_ns=last.at_ns, of=PERP))
    (report,) = floor.venue.finish(last.candle)
    assert isinstance(report, OrderFilled)
    assert plain(report.fill.price) == "95"


def test_nothing_else_is_filled_at_the_last_close() -> None:
    floor = Floor().hold("2")
    last = candle(1, 100)
    floor.see(last)
    floor.send(
        order(Side.BUY, "1", sent_at_ns=last.at_ns),
        order(Side.BUY, "1", LIMIT, price="150", sent_at_ns=last.at_ns),
        exit(Side.SELL, "2", STOP, "100", sent_at_ns=last.at_ns),
    )
    assert list(floor.venue.finish(last.candle)) == []
