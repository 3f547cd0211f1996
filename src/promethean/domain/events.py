"""Facts: what happened in the markets and to an account.  Nobody changes one.

`at_ns` is when it happened, at the venue or by the account's clock.  Market events form a stream per instrument; every
other event belongs to the stream of one account.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

from msgspec import Struct

from promethean.domain.candles import Candle
from promethean.domain.ids import ClientOrderId, InstrumentId, Lineage, OrderId, StrategyId
from promethean.domain.market import Quote, Side
from promethean.domain.orders import Exit, Intent, Order, OrderStatus
from promethean.domain.positions import Fill
from promethean.domain.signals import Signal
from promethean.domain.verdicts import Refused

# ---------------------------------------------------------------- markets


class CandleClosed(Struct, frozen=True):
    """A candle is complete.  received_at_ns: when we could know it."""

    candle: Candle
    received_at_ns: int

    @property
    def at_ns(self) -> int:
        """The close of the candle."""
        return self.candle.close_time_ns


class QuoteObserved(Struct, frozen=True):
    """The newest bid and ask, at most one a second."""

    quote: Quote
    received_at_ns: int

    @property
    def at_ns(self) -> int:
        """The venue's time of the quote."""
        return self.quote.at_ns


# ---------------------------------------------------------------- the account itself


class AccountOpened(Struct, frozen=True):
    """The first event of every account stream.  balance: quote units of `currency`."""

    at_ns: int
    currency: str
    balance: Decimal
    exchange: str
    provenance: str


class RunnerStarted(Struct, frozen=True):
    """A runner took the account: new risk stays closed until it has reconciled."""

    at_ns: int
    lineage: Lineage
    epoch: int
    build: str
    config_hash: str


class Reconciled(Struct, frozen=True):
    """Local orders and positions agree with the venue's: the account is active again."""

    at_ns: int
    orders_open: int
    orders_unknown: int


class RecordingEnded(Struct, frozen=True):
    """The last candle of a recording has closed and no other follows: what is open is closed at that close."""

    at_ns: int


class RunFinished(Struct, frozen=True):
    """A recorded feed reached its end; the next start opens a new account."""

    at_ns: int


class DayStarted(Struct, frozen=True):
    """A UTC day began.  equity: quote units at its first instant; daily counts and the breaker start afresh."""

    at_ns: int
    day: int
    equity: Decimal


class BreakerTripped(Struct, frozen=True):
    """The circuit breaker of the account stops new risk until the next UTC day."""

    at_ns: int
    code: str
    value: str
    limit: str


class HaltSet(Struct, frozen=True):
    """The kill switch is set for this account, its user or the platform.  close: positions are closed as well."""

    at_ns: int
    scope: str
    reason: str
    by: str
    close: bool


class HaltLifted(Struct, frozen=True):
    """A person lifted the kill switch of one scope."""

    at_ns: int
    scope: str
    by: str


class StrategyReloaded(Struct, frozen=True):
    """A changed strategy file applies from here on.  config_hash: of its content."""

    at_ns: int
    strategy: StrategyId
    config_hash: str


class StrategyKept(Struct, frozen=True):
    """A strategy file was changed and cannot be used; the running version goes on."""

    at_ns: int
    strategy: StrategyId
    reason: str


class LeaseLost(Struct, frozen=True):
    """Another process holds the account now.  Only in memory: we may not write any more."""

    at_ns: int


# ---------------------------------------------------------------- from signal to order


class SignalRaised(Struct, frozen=True):
    """A strategy's view that led to a decision."""

    signal: Signal

    @property
    def at_ns(self) -> int:
        """When the signal was raised."""
        return self.signal.at_ns


class IntentRefused(Struct, frozen=True):
    """A control refused; nothing was sent.  inputs: what the controls saw, as text."""

    at_ns: int
    intent: Intent
    refused: Refused
    inputs: Mapping[str, str]


class OrderPlanned(Struct, frozen=True):
    """The intent passed every control and may be sent once this is committed.

    reservation: quote units set aside for it; zero for orders that only reduce.
    controls, inputs: how many controls were asked, and what they saw, as text.
    """

    at_ns: int
    order_id: OrderId
    client_order_id: ClientOrderId
    intent: Intent
    reservation: Decimal
    controls: int
    inputs: Mapping[str, str]


class OrderClaimed(Struct, frozen=True):
    """The one send of this order is ours.  The venue refuses it after valid_until_ns."""

    at_ns: int
    order_id: OrderId
    epoch: int
    valid_until_ns: int


class OrderDropped(Struct, frozen=True):
    """The claim lost: the order was never sent."""

    at_ns: int
    order_id: OrderId
    code: str


class OrderAccepted(Struct, frozen=True):
    """The venue holds the order."""

    at_ns: int
    order_id: OrderId
    venue_order_id: str
    evidence_id: str


class OrderRejected(Struct, frozen=True):
    """The venue refused the order for good."""

    at_ns: int
    order_id: OrderId
    code: str
    message: str
    evidence_id: str


class OrderOutcomeUnknown(Struct, frozen=True):
    """Nobody knows whether the venue has the order; it keeps its reservation until there is evidence."""

    at_ns: int
    order_id: OrderId
    reason: str


class OrderFoundAbsent(Struct, frozen=True):
    """Enough timely reads did not show the order: it never reached the venue."""

    at_ns: int
    order_id: OrderId
    evidence_id: str


class OrderFilled(Struct, frozen=True):
    """One execution of an order.

    exits: the exits that the venue holds for this position after the fill; None where they are orders of our own.
    """

    fill: Fill
    evidence_id: str
    exits: tuple[Exit, ...] | None = None

    @property
    def at_ns(self) -> int:
        """When it was executed."""
        return self.fill.executed_at_ns


class OrderAdopted(Struct, frozen=True):
    """An order at the venue that nobody here planned is part of the account from now on: the venue liquidates."""

    at_ns: int
    order_id: OrderId
    client_order_id: ClientOrderId
    intent: Intent
    evidence_id: str

    def order(self) -> Order:
        """The order, as it stands at the venue."""
        return Order(
            self.order_id,
            self.client_order_id,
            self.intent,
            OrderStatus.OPEN,
            evidence_id=self.evidence_id,
            sent_at_ns=self.at_ns,
        )


class OrderCancelled(Struct, frozen=True):
    """The venue ended the order before it was filled whole."""

    at_ns: int
    order_id: OrderId
    reason: str
    evidence_id: str


class OrderExpired(Struct, frozen=True):
    """The order's time in force ended."""

    at_ns: int
    order_id: OrderId
    evidence_id: str


class CancelRequested(Struct, frozen=True):
    """We ask the venue to end an order."""

    at_ns: int
    order_id: OrderId
    reason: str


class FundingPaid(Struct, frozen=True):
    """A position in a perpetual paid funding, or received it.

    at_ns:        the funding instant.  quantity: base units held then, signed.
    funding_rate: fraction of the notional that longs pay to shorts.  mark_price: quote units per base unit.
    amount:       quote units that the account paid; below zero: received.
    """

    at_ns: int
    instrument: InstrumentId
    strategy: StrategyId
    quantity: Decimal
    funding_rate: Decimal
    mark_price: Decimal
    amount: Decimal


class PositionClosed(Struct, frozen=True):
    """A position is flat again: one trade.

    side: of the entry.  prices: averages, quote units per base unit.  realised: quote units before fees and funding.
    reason: role of the order that closed the last part.  funding: quote units paid; None where none came due.
    """

    at_ns: int
    instrument: InstrumentId
    strategy: StrategyId
    side: Side
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    realised: Decimal
    fees: Decimal
    opened_at_ns: int
    reason: str
    funding: Decimal | None = None

    @property
    def pnl(self) -> Decimal:
        """Quote units after fees and funding."""
        return self.realised - self.fees - (self.funding or 0)


MarketEvent: TypeAlias = CandleClosed | QuoteObserved
OrderReport: TypeAlias = (
    OrderAccepted | OrderRejected | OrderFilled | OrderCancelled | OrderExpired | OrderOutcomeUnknown | OrderFoundAbsent
)
VenueReport: TypeAlias = OrderReport | OrderAdopted | FundingPaid
AccountEvent: TypeAlias = (
    VenueReport
    | AccountOpened
    | RunnerStarted
    | Reconciled
    | RecordingEnded
    | RunFinished
    | DayStarted
    | BreakerTripped
    | HaltSet
    | HaltLifted
    | StrategyReloaded
    | StrategyKept
    | LeaseLost
    | SignalRaised
    | IntentRefused
    | OrderPlanned
    | OrderClaimed
    | OrderDropped
    | CancelRequested
    | PositionClosed
)
Event: TypeAlias = MarketEvent | AccountEvent
Effect: TypeAlias = (
    DayStarted | BreakerTripped | SignalRaised | IntentRefused | OrderPlanned | CancelRequested | PositionClosed
)

START_RECORDS: tuple[type[AccountEvent], ...] = (RunnerStarted, Reconciled, OrderOutcomeUnknown, RunFinished)
"""Records of starts and recoveries: true, but different from run to run, so `journal_hash` leaves them out."""
