"""What every venue keeps to, real or simulated.

A new venue joins with one function in `VENUES` that opens an empty account with enough cash and tells how to move the
price; every test here then runs against it too.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace
from tests.engine.builders import BTC, MINUTE_NS, PERP, SCRIPTED, T0, candle, order
from tests.exchanges.local_binance import LocalBinance, Loop

from promethean.domain.events import (
    FundingPaid,
    OrderAccepted,
    OrderAdopted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderFoundAbsent,
    OrderOutcomeUnknown,
    OrderRejected,
    OrderReport,
)
from promethean.domain.ids import InstrumentId, OrderId
from promethean.domain.instants import NS_PER_S
from promethean.domain.instruments import Instrument
from promethean.domain.market import Side
from promethean.domain.orders import Order, OrderRole, OrderStatus, OrderType
from promethean.domain.positions import Position
from promethean.exchanges.paper.venue import PaperTerms, PaperVenue
from promethean.exchanges.port import SimulatedVenue, Venue

D = Decimal
T = TypeVar("T")
MARKET, LIMIT, STOP = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_MARKET
CASH = D(1_000_000)


class Account(ABC):
    """An account at a venue under test.  minute: how many have passed."""

    venue: Venue
    minute = 0

    @abstractmethod
    def move(self, low: float, high: float) -> Sequence[OrderReport]:
        """Let the market trade from `low` to `high` for a minute, in a volume that is large for our orders."""

    def send(self, *args: Any, **how: Any) -> Order:
        """Send an order that the venue accepts."""
        sent = self.order(*args, **how)
        answer = run(self.venue.submit(sent))
        assert isinstance(answer, OrderAccepted), answer
        return replace(sent, status=OrderStatus.OPEN, venue_order_id=answer.venue_order_id)

    def order(self, side: Side, quantity: str, type: OrderType = MARKET, **how: Any) -> Order:
        return order(side, quantity, type, **{"sent_at_ns": T0 + self.minute * MINUTE_NS, **how})

    def exit(self, side: Side, quantity: str, type: OrderType = MARKET, **how: Any) -> Order:
        role = OrderRole.STOP if type is STOP else OrderRole.SIGNAL
        return self.send(side, quantity, type, role=role, reduce_only=True, **how)

    def cancel(self, sent: Order) -> OrderCancelled | None:
        return run(self.venue.cancel(replace(sent, cancel_requested_at_ns=sent.sent_at_ns)))

    def open(self) -> set[OrderId]:
        return set(run(self.venue.open_orders()))

    def fills(self, since_ns: int = 0) -> list[OrderFilled]:
        return list(run(self.venue.fills(since_ns)))


class SimulatedAccount(Account):
    """An account whose matching is ours, so that it ends with the process."""

    venue: SimulatedVenue

    @abstractmethod
    def restart(self, orders: Sequence[Order], positions: Mapping[InstrumentId, Decimal]) -> None:
        """Start anew from our own records of the account."""


class PaperAccount(SimulatedAccount):
    """An account at the paper venue, whose market is one instrument."""

    def __init__(self, of: Instrument) -> None:
        self.of = of
        self.venue = self._empty()

    @staticmethod
    def _empty() -> PaperVenue:
        return PaperVenue({each.id: each for each in (BTC, PERP)}, PaperTerms(D("0.0002"), D("0.0005")), CASH)

    def move(self, low: float, high: float) -> Sequence[OrderReport]:
        middle = (low + high) / 2
        event = candle(self.minute, middle, high, low, middle, of=self.of)
        self.minute += 1
        return [report for report in self.venue.advance(event) if not isinstance(report, FundingPaid | OrderAdopted)]

    def restart(self, orders: Sequence[Order], positions: Mapping[InstrumentId, Decimal]) -> None:
        self.venue = self._empty()
        self.venue.restore(orders, [Position(of, SCRIPTED, quantity) for of, quantity in positions.items()], CASH)


class LocalBinanceAccount(Account):
    """An account at the local venue that speaks Binance, reached through ccxt."""

    def __init__(self, of: Instrument) -> None:
        of = BTC  # it speaks for spot: nothing else is traded there
        self.local = LocalBinance(of, CASH, lambda: T0 + self.minute * MINUTE_NS, LOOP)
        self.venue = self.account = self.local.account
        self.of = of
        self.local.trade_at(100.0)

    def move(self, low: float, high: float) -> Sequence[OrderReport]:
        middle = (low + high) / 2
        for price in (middle, high, low, middle):
            self.local.trade_at(price)
        self.minute += 1
        run(self.account.poll())
        event = candle(self.minute - 1, middle, high, low, middle, of=self.of)
        reports = list(self.account.advance(event))
        return [report for report in reports if not isinstance(report, FundingPaid | OrderAdopted)]


LOOP = Loop()
VENUES: Mapping[str, Callable[[Instrument], Account]] = {"paper": PaperAccount, "local binance": LocalBinanceAccount}


@pytest.fixture(params=sorted(VENUES))
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[Instrument], Account]]:
    made: list[Account] = []

    def one(of: Instrument) -> Account:
        made.append(VENUES[request.param](of))
        return made[-1]

    yield one
    for account in made:
        if isinstance(account, LocalBinanceAccount):
            account.local.close()


@pytest.fixture
def account(make: Callable[[Instrument], Account]) -> Account:
    return make(BTC)


@pytest.fixture
def simulated(account: Account) -> SimulatedAccount:
    if not isinstance(account, SimulatedAccount):
        pytest.skip(f"the matching of {account.venue.name} is not ours")
    return account


def run(answer: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(20):
            return await answer

    return LOOP.run(bounded())


def subject(report: OrderReport) -> OrderId:
    return report.fill.order_id if isinstance(report, OrderFilled) else report.order_id


# ---------------------------------------------------------------- submit


def test_an_accepted_order_stands_under_the_venues_id_with_evidence(account: Account) -> None:
    sent = account.order(Side.BUY, "1", LIMIT, price="90")
    answer = run(account.venue.submit(sent))
    assert isinstance(answer, OrderAccepted)
    assert answer.order_id == sent.id
    assert answer.venue_order_id
    assert answer.evidence_id
    assert sent.sent_at_ns is not None
    assert answer.at_ns >= sent.sent_at_ns
    assert account.open() == {sent.id}


def test_a_refused_order_has_a_code_words_and_evidence_and_does_not_stand(account: Account) -> None:
    sent = account.order(Side.BUY, "0.00001")
    answer = run(account.venue.submit(sent))
    assert isinstance(answer, OrderRejected)
    assert (answer.order_id, bool(answer.code), bool(answer.message), bool(answer.evidence_id)) == (
        sent.id,
        True,
        True,
        True,
    )
    assert account.open() == set()
    assert account.move(50, 150) == []


def test_an_order_type_that_is_not_offered_is_refused(account: Account) -> None:
    for kind in set(OrderType) - account.venue.capabilities.order_types:
        assert isinstance(run(account.venue.submit(account.order(Side.BUY, "1", kind))), OrderRejected)


def test_an_order_type_that_is_offered_is_accepted(account: Account) -> None:
    for kind in account.venue.capabilities.order_types:
        # A stop beyond the market would trigger at once, which many venues refuse.
        account.send(Side.BUY, "1", kind, price="100" if kind in (MARKET, LIMIT) else "150")


def test_an_order_beyond_its_validity_window_is_refused(account: Account) -> None:
    if not account.venue.capabilities.validity_window:
        pytest.skip(f"{account.venue.name} has no validity window")
    sent = account.order(Side.BUY, "1")
    assert sent.sent_at_ns is not None
    late = replace(sent, valid_until_ns=sent.sent_at_ns - NS_PER_S)
    assert isinstance(run(account.venue.submit(late)), OrderRejected)
    assert account.open() == set()


def test_two_orders_have_evidence_of_their_own(account: Account) -> None:
    answers = [run(account.venue.submit(account.order(Side.BUY, "1", LIMIT, price="90"))) for _ in range(2)]
    assert len({answer.evidence_id for answer in answers if isinstance(answer, OrderAccepted)}) == 2


# ---------------------------------------------------------------- cancel


def test_a_cancelled_order_stands_no_more_and_never_fills(account: Account) -> None:
    sent = account.send(Side.BUY, "1", LIMIT, price="90")
    report = account.cancel(sent)
    assert report is not None
    assert report.order_id == sent.id
    assert report.evidence_id
    assert account.open() == set()
    assert account.move(80, 100) == []


def test_what_is_not_open_cannot_be_cancelled(account: Account) -> None:
    sent = account.send(Side.BUY, "1", LIMIT, price="90")
    assert account.cancel(account.order(Side.BUY, "1")) is None
    assert account.cancel(sent) is not None
    assert account.cancel(sent) is None
    filled = account.send(Side.BUY, "1")
    account.move(99, 101)
    assert account.cancel(filled) is None


# ---------------------------------------------------------------- lookup


def test_a_lookup_tells_an_orders_whole_story_oldest_first(account: Account) -> None:
    sent = account.send(Side.BUY, "1", LIMIT, price="95")
    account.move(90, 100)
    story = run(account.venue.lookup(sent))
    assert [type(report) for report in story] == [OrderAccepted, OrderFilled]
    assert {subject(report) for report in story} == {sent.id}
    assert story[0].at_ns <= story[1].at_ns


def test_a_lookup_tells_of_refusals_and_cancels(account: Account) -> None:
    refused = account.order(Side.BUY, "0.00001")
    run(account.venue.submit(refused))
    assert [type(report) for report in run(account.venue.lookup(refused))] == [OrderRejected]
    sent = account.send(Side.BUY, "1", LIMIT, price="90")
    account.cancel(sent)
    assert [type(report) for report in run(account.venue.lookup(sent))] == [OrderAccepted, OrderCancelled]


def test_a_lookup_of_an_order_that_was_never_sent_shows_nothing(account: Account) -> None:
    assert list(run(account.venue.lookup(account.order(Side.BUY, "1")))) == []


def test_a_lookup_changes_nothing(account: Account) -> None:
    sent = account.send(Side.BUY, "1", LIMIT, price="90")
    assert run(account.venue.lookup(sent)) == run(account.venue.lookup(sent))
    assert account.open() == {sent.id}


# ---------------------------------------------------------------- fills and positions


def test_positions_are_the_sum_of_the_fills(account: Account) -> None:
    account.send(Side.BUY, "1")
    account.send(Side.BUY, "2", LIMIT, price="95")
    account.move(90, 100)
    account.exit(Side.SELL, "0.5")
    account.move(99, 101)
    held = sum((report.fill.quantity * report.fill.side.sign for report in account.fills()), D(0))
    assert run(account.venue.positions()) == {BTC.id: held} == {BTC.id: D("2.5")}


def test_an_instrument_of_which_nothing_is_held_is_left_out(account: Account) -> None:
    assert run(account.venue.positions()) == {}
    account.send(Side.BUY, "1")
    account.move(99, 101)
    account.exit(Side.SELL, "1")
    account.move(99, 101)
    assert run(account.venue.positions()) == {}


def test_fills_are_told_oldest_first_from_an_instant_on(account: Account) -> None:
    for _ in range(3):
        account.send(Side.BUY, "1")
        account.move(99, 101)
    told = account.fills()
    times = [report.at_ns for report in told]
    assert times == sorted(times)
    assert len({report.fill.trade_id for report in told}) == len({report.evidence_id for report in told}) == 3
    assert account.fills(times[1]) == told[1:]
    assert account.fills(times[1] + 1) == told[2:]


def test_a_fill_says_what_it_cost(account: Account) -> None:
    sent = account.send(Side.BUY, "1")
    account.move(99, 101)
    (report,) = account.fills()
    fill = report.fill
    assert (fill.order_id, fill.instrument, fill.side, fill.quantity) == (sent.id, BTC.id, Side.BUY, D(1))
    assert fill.fee.amount > 0
    assert fill.price % BTC.price_increment == 0
    assert account.open() == set()


def test_an_order_is_never_filled_for_more_than_its_quantity(account: Account) -> None:
    sent = account.send(Side.BUY, "3", LIMIT, price="95")
    for _ in range(5):
        account.move(90, 100)
    assert sum(report.fill.quantity for report in account.fills() if report.fill.order_id == sent.id) == 3


@pytest.mark.parametrize("kind", [MARKET, LIMIT, STOP])
def test_a_reduce_only_order_never_opens_and_never_flips(account: Account, kind: OrderType) -> None:
    if not account.venue.capabilities.reduce_only:
        pytest.skip(f"{account.venue.name} has no reduce-only orders")
    nothing = account.order(Side.SELL, "1", kind, reduce_only=True)
    assert isinstance(run(account.venue.submit(nothing)), OrderRejected)
    account.send(Side.BUY, "1")
    account.move(99, 101)
    account.exit(Side.SELL, "5", kind)
    account.move(90, 110)
    assert run(account.venue.positions()) == {}


def test_shorts_are_offered_or_refused_as_the_capabilities_say(make: Callable[[Instrument], Account]) -> None:
    account = make(PERP)
    sent = account.order(Side.SELL, "1", of=PERP)
    answer = run(account.venue.submit(sent))
    if not account.venue.capabilities.shorts:
        assert isinstance(answer, OrderRejected)
        return
    account.move(99, 101)
    assert run(account.venue.positions()) == {PERP.id: D(-1)}


def test_more_than_the_account_can_pay_is_refused(account: Account) -> None:
    assert isinstance(run(account.venue.submit(account.order(Side.BUY, "10001"))), OrderRejected)


# ---------------------------------------------------------------- stops and limits


def test_a_stop_waits_for_its_trigger_and_closes_then(account: Account) -> None:
    account.send(Side.BUY, "1")
    account.move(99, 101)
    stop = account.exit(Side.SELL, "1", STOP, price="95")
    assert account.move(96, 104) == []
    assert account.open() == {stop.id}
    (report,) = account.move(94, 100)
    assert isinstance(report, OrderFilled)
    assert report.fill.price <= D(95)


def test_a_limit_order_never_fills_beyond_its_limit(account: Account) -> None:
    limits = {account.send(Side.BUY, "1", LIMIT, price=price).id: D(price) for price in ("95", "110")}
    account.move(80, 100)
    fills = {report.fill.order_id: report.fill.price for report in account.fills()}
    assert fills.keys() == limits.keys()
    assert all(fills[order_id] <= limit for order_id, limit in limits.items())


def test_an_order_that_is_good_till_a_date_ends_there(account: Account) -> None:
    ends_at_ns = T0 + 2 * MINUTE_NS
    sent = account.send(Side.BUY, "1", LIMIT, price="50", expires_at_ns=ends_at_ns)
    assert account.move(90, 100) == []
    (report,) = account.move(90, 100)
    assert isinstance(report, OrderExpired)
    assert (report.order_id, report.at_ns) == (sent.id, ends_at_ns)
    assert report.evidence_id
    assert account.open() == set()
    assert account.move(40, 60) == []


# ---------------------------------------------------------------- a simulated venue


def test_reports_are_made_while_they_are_read(simulated: SimulatedAccount) -> None:
    """An order that answers a report takes part in what follows, so a venue may not work ahead."""
    simulated.send(Side.BUY, "1")
    reports = simulated.venue.advance(candle(0, 100, 101, 90))
    assert run(simulated.venue.positions()) == {}
    assert isinstance(next(reports), OrderFilled)
    simulated.exit(Side.SELL, "1", STOP, price="95")
    (report,) = reports
    assert isinstance(report, OrderFilled)
    assert (report.fill.side, report.fill.price <= D(95)) == (Side.SELL, True)


def test_a_restored_venue_holds_what_our_records_say(simulated: SimulatedAccount) -> None:
    simulated.send(Side.BUY, "2")
    simulated.move(99, 101)
    stop = simulated.exit(Side.SELL, "2", STOP, price="95")
    entry = simulated.send(Side.BUY, "1", LIMIT, price="50")
    gone = simulated.send(Side.BUY, "1", LIMIT, price="50")
    simulated.cancel(gone)
    records = [stop, entry, replace(gone, status=OrderStatus.CANCELLED)]
    simulated.restart(records, {BTC.id: D(2)})
    assert simulated.open() == {stop.id, entry.id}
    assert run(simulated.venue.positions()) == {BTC.id: D(2)}
    (report,) = simulated.move(94, 100)
    assert isinstance(report, OrderFilled)
    assert (report.fill.order_id, report.fill.quantity) == (stop.id, D(2))


def test_a_restored_order_goes_on_with_what_is_left_of_it_and_new_trade_ids(simulated: SimulatedAccount) -> None:
    sent = simulated.send(Side.BUY, "3", LIMIT, price="95")
    partial = replace(sent, status=OrderStatus.PARTIAL, filled_quantity=D(1), trade_ids=(f"{sent.client_order_id}-1",))
    simulated.restart([partial], {BTC.id: D(1)})
    (report,) = simulated.move(90, 100)
    assert isinstance(report, OrderFilled)
    assert report.fill.quantity == D(2)
    assert report.fill.trade_id not in partial.trade_ids


@pytest.mark.parametrize("status", [OrderStatus.PLANNED, OrderStatus.UNKNOWN])
def test_an_order_that_never_left_or_may_not_have_is_not_made_up_at_a_restart(
    simulated: SimulatedAccount, status: OrderStatus
) -> None:
    simulated.restart([replace(simulated.order(Side.BUY, "1"), status=status)], {})
    assert simulated.open() == set()


def test_no_venue_speaks_for_us(account: Account) -> None:
    """What nobody knows is found out by the runner: a venue reports what it did and nothing else."""
    account.send(Side.BUY, "1")
    account.send(Side.BUY, "1", LIMIT, price="50", expires_at_ns=T0 + MINUTE_NS)
    for report in account.move(40, 100):
        assert not isinstance(report, OrderOutcomeUnknown | OrderFoundAbsent)
