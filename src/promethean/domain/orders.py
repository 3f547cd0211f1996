"""Intents, orders and the life of an order as one table."""

from __future__ import annotations

import enum
from decimal import ROUND_HALF_EVEN, Decimal
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from promethean.domain.ids import ClientOrderId, InstrumentId, OrderId, StrategyId
from promethean.domain.instants import NS_PER_S
from promethean.domain.market import Side
from promethean.domain.money import MONEY_STEP

ZERO = Decimal(0)
VALIDITY_NS = 5 * NS_PER_S  # a venue refuses an order that arrives later than this after its claim


class OrderType(enum.StrEnum):
    """How an order wants to be filled."""

    MARKET = "market"
    LIMIT = "limit"
    STOP_MARKET = "stop_market"
    STOP_LIMIT = "stop_limit"


_LIMITED = (OrderType.LIMIT, OrderType.STOP_LIMIT)
_TRIGGERED = (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)


class TimeInForce(enum.StrEnum):
    """How long an order stands."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"


class OrderRole(enum.StrEnum):
    """What an order is for; fills and reports give it as the reason."""

    ENTRY = "entry"
    STOP = "stop"
    TRAILING = "trailing"
    BREAKEVEN = "breakeven"
    TIGHTENED = "tightened"
    TARGET = "target"
    TIME = "time"
    SIGNAL = "signal"
    LIQUIDATION = "liquidation"
    MANUAL = "manual"
    BREAKER = "breaker"
    KILL = "kill"
    END = "end"

    @property
    def is_stop(self) -> bool:
        """Whether it is the stop of a position, where it began or moved."""
        return self in STOPS


STOPS = frozenset({OrderRole.STOP, OrderRole.TRAILING, OrderRole.BREAKEVEN, OrderRole.TIGHTENED})


class Tier(Struct, frozen=True):
    """One take-profit level.

    target: fraction of the average entry price (0.02 = 2 % in favour).  share: fraction of the original size.
    price:  where it rests, on the tick grid, for a target that is a price of its own; None: where `target` says.
    """

    target: Decimal
    share: Decimal
    price: Decimal | None = None

    def __post_init__(self) -> None:
        if self.target < 0 or not 0 < self.share <= 1:
            raise ValueError(f"a tier needs a target above 0 and a share above 0 and up to 1: {self}")
        if (self.target > 0) == (self.price is not None):
            raise ValueError(f"a tier has a target or a price: {self}")


class Trail(Struct, frozen=True):
    """A stop that follows the best price since its activation and only tightens.

    distance: fraction of the best price.  activation: fraction of the average entry price in favour from which on it
    follows; None: from the first tier on, and without tiers from twice the distance on.
    """

    distance: Decimal
    activation: Decimal | None = None

    def __post_init__(self) -> None:
        if not 0 < self.distance < 1 or (self.activation is not None and self.activation < 0):
            raise ValueError(f"a trailing stop needs a distance between 0 and 1 and an activation from 0 on: {self}")


class Hold(Struct, frozen=True):
    """How long a position may be held.  length_ns: from the beginning of the candle it was opened in.

    always: whether a profit is closed as well.
    """

    length_ns: int
    always: bool = False

    def __post_init__(self) -> None:
        if self.length_ns <= 0:
            raise ValueError(f"a position is held for some time: {self}")


class Protection(Struct, frozen=True):
    """The exits an entry brings along.

    stop_loss: fraction of the average entry price.  stop_at: the price of the stop, on the tick grid, where the entry
    names one; it goes before the fraction.
    breakeven: whether the stop goes to the entry, round-trip fees included, after the first tier or a gain of what the
    stop risks.
    """

    stop_loss: Decimal
    tiers: tuple[Tier, ...] = ()
    trail: Trail | None = None
    hold: Hold | None = None
    breakeven: bool = False
    stop_at: Decimal | None = None

    def __post_init__(self) -> None:
        if not 0 < self.stop_loss < 1:
            raise ValueError(f"a stop loss is a fraction between 0 and 1, not {self.stop_loss}")
        if sum((tier.share for tier in self.tiers), ZERO) > 1:
            raise ValueError(f"take-profit tiers close more than the whole position: {self.tiers}")

    @property
    def moves(self) -> bool:
        """Whether its stop moves with the price."""
        return self.trail is not None or self.breakeven


class Intent(Struct, frozen=True):
    """Our decision to order, before and after the risk check; sizes are base units, prices quote units per base unit.

    reference_price: the price at which it was decided and sized.
    stop_price:      trigger of a stop order.
    protection:      exits of an entry; None for orders that only reduce and do not reverse.
    leg:             number of the take-profit tier, from 1; 0 for everything else.
    attached:        whether the venue holds the exits of this entry and makes them at its fills.
    leverage:        of an entry: its notional in times of the margin that it ties up; None: bought for its whole price.
    reverses:        whether the other side is to be entered once this order has closed the position; its protection is
                     that of the new entry.
    expires_at_ns:   with GTD, when the venue ends what is not filled.
    """

    instrument: InstrumentId
    strategy: StrategyId
    side: Side
    type: OrderType
    role: OrderRole
    quantity: Decimal
    reference_price: Decimal
    reduce_only: bool
    decided_at_ns: int
    reason: str
    confidence: float = 1.0
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expires_at_ns: int | None = None
    protection: Protection | None = None
    leg: int = 0
    attached: bool = False
    reverses: bool = False
    leverage: Decimal | None = None

    def __post_init__(self) -> None:
        if self.quantity <= 0 or self.reference_price <= 0:
            raise ValueError(f"an intent needs a positive quantity and reference price: {self}")
        if (self.type in _LIMITED) != (self.limit_price is not None):
            raise ValueError(f"a limit price belongs to limit orders and to nothing else: {self}")
        if (self.type in _TRIGGERED) != (self.stop_price is not None):
            raise ValueError(f"a stop price belongs to stop orders and to nothing else: {self}")
        if (self.time_in_force is TimeInForce.GTD) != (self.expires_at_ns is not None):
            raise ValueError(f"an expiry belongs to GTD orders and to nothing else: {self}")

    @property
    def expected_price(self) -> Decimal:
        """The limit price, else the reference price, quote units per base unit."""
        return self.limit_price if self.limit_price is not None else self.reference_price

    @property
    def reservation(self) -> Decimal:
        """What an entry sets aside, quote units: its notional, or the margin for it."""
        return self.reserved(self.quantity)

    def reserved(self, quantity: Decimal) -> Decimal:
        """What so many base units of an entry set aside, quote units."""
        amount = quantity * self.expected_price
        return amount if self.leverage is None else (amount / self.leverage).quantize(MONEY_STEP, ROUND_HALF_EVEN)

    @property
    def notional(self) -> Decimal:
        """Quantity at the limit price, else at the reference price; quote units."""
        return self.quantity * self.expected_price


class OrderStatus(enum.StrEnum):
    """Where an order is in its life (RELIABILITY section 3)."""

    PLANNED = "planned"
    SENDING = "sending"
    UNKNOWN = "unknown"
    OPEN = "open"
    PARTIAL = "partially_filled"
    DROPPED = "dropped"
    REJECTED = "rejected"
    ABSENT = "absent"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        """Nothing more is expected; a late fill is still booked."""
        return self in TERMINAL


TERMINAL = frozenset(
    {
        OrderStatus.DROPPED, OrderStatus.REJECTED, OrderStatus.ABSENT,
        OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.EXPIRED,
    }
)  # fmt: skip


class OrderStep(enum.StrEnum):
    """What can happen to an order."""

    CLAIMED = "claimed"
    DROPPED = "dropped"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    OUTCOME_UNKNOWN = "outcome_unknown"
    PARTLY_FILLED = "partly_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FOUND_ABSENT = "found_absent"


def _transitions() -> dict[tuple[OrderStatus, OrderStep], OrderStatus]:
    status, step = OrderStatus, OrderStep
    reported = {
        step.ACCEPTED: status.OPEN,
        step.PARTLY_FILLED: status.PARTIAL,
        step.FILLED: status.FILLED,
        step.CANCELLED: status.CANCELLED,
        step.EXPIRED: status.EXPIRED,
    }
    table = {
        (status.PLANNED, step.CLAIMED): status.SENDING,
        (status.PLANNED, step.DROPPED): status.DROPPED,
        (status.SENDING, step.REJECTED): status.REJECTED,
        (status.UNKNOWN, step.REJECTED): status.REJECTED,
        (status.SENDING, step.OUTCOME_UNKNOWN): status.UNKNOWN,
        (status.UNKNOWN, step.OUTCOME_UNKNOWN): status.UNKNOWN,
        (status.UNKNOWN, step.FOUND_ABSENT): status.ABSENT,
    }
    # A lookup, a stream report, a fill or a late reply that carries our client id: as reported.
    for waiting in (status.SENDING, status.UNKNOWN, status.OPEN):
        table |= {(waiting, what): then for what, then in reported.items()}
    table |= {(status.PARTIAL, what): then for what, then in reported.items() if what is not step.ACCEPTED}
    # Repeated and older reports change nothing; a late fill is booked, and the status stays.
    table[status.PARTIAL, step.ACCEPTED] = status.PARTIAL
    for ended in TERMINAL:
        table |= {(ended, what): ended for what in (*reported, step.OUTCOME_UNKNOWN)}
    table[status.REJECTED, step.REJECTED] = status.REJECTED
    for open_status in (status.OPEN, status.PARTIAL):
        table[open_status, step.OUTCOME_UNKNOWN] = open_status
    return table


TRANSITIONS = MappingProxyType(_transitions())
"""`(status, step) -> status`.  What is not here is our mistake: the runner stops."""


class Order(Struct, frozen=True):
    """What the venue holds, or may hold, for one intent.

    request_sequence: journal row of the last thing we asked for: the order itself, or its cancellation.
    trade_ids:        the venue's ids of the fills counted in filled_quantity.  filled_at_ns: the last of them.
    parent:           the entry that an exit came with, when the venue made it; None for what we sent ourselves.
    """

    id: OrderId
    client_order_id: ClientOrderId
    intent: Intent
    status: OrderStatus = OrderStatus.PLANNED
    filled_quantity: Decimal = ZERO
    filled_notional: Decimal = ZERO
    fee: Decimal = ZERO
    venue_order_id: str | None = None
    evidence_id: str | None = None
    sent_at_ns: int | None = None
    valid_until_ns: int | None = None
    request_sequence: int = 0
    cancel_requested_at_ns: int | None = None
    trade_ids: tuple[str, ...] = ()
    filled_at_ns: int | None = None
    parent: OrderId | None = None

    @property
    def remaining(self) -> Decimal:
        """Base units that may still be filled."""
        return self.intent.quantity - self.filled_quantity

    @property
    def cancel_requested(self) -> bool:
        """Whether we asked the venue to end it."""
        return self.cancel_requested_at_ns is not None

    @property
    def average_price(self) -> Decimal | None:
        """Mean fill price weighted by quantity, or None without a fill."""
        return self.filled_notional / self.filled_quantity if self.filled_quantity else None

    def after(self, step: OrderStep) -> Order:
        """The order after `step`.  A pair that is not in the table is our mistake."""
        key = (self.status, step)
        assert key in TRANSITIONS, f"order {self.id} is {self.status}: {step} cannot happen to it"
        status = TRANSITIONS[key]
        return self if status is self.status else replace(self, status=status)


class Exit(Struct, frozen=True):
    """An exit that a venue holds for a position: the order that it is, and the entry that it came with."""

    order_id: OrderId
    client_order_id: ClientOrderId
    entry: OrderId
    intent: Intent

    def order(self, at_ns: int, evidence: str) -> Order:
        """The order, as it stands at the venue from its making on.  evidence: the report that names it."""
        return Order(
            self.order_id,
            self.client_order_id,
            self.intent,
            OrderStatus.OPEN,
            evidence_id=evidence,
            sent_at_ns=at_ns,
            parent=self.entry,
        )
