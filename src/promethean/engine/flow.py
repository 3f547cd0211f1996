"""One step in progress, and what every part of it does: ask the risk check, cancel, close."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from promethean.domain.events import CancelRequested, Effect, IntentRefused, OrderPlanned
from promethean.domain.orders import Intent, Order, OrderRole, OrderStatus, OrderType, Protection
from promethean.domain.verdicts import Passed, Refused
from promethean.engine.desk import Desk, Seat
from promethean.engine.state import Slot, State, absorb
from promethean.execution.bracket import stop_price
from promethean.risk.check import Situation, check

ZERO = Decimal(0)
NOTHING: Mapping[str, str] = MappingProxyType({})


class Flow:
    """One step in progress: the state before the event, the state so far, and the effects with the state after each."""

    __slots__ = ("before", "desk", "state", "trail")

    def __init__(self, before: State, state: State, desk: Desk) -> None:
        self.before = before
        self.state = state
        self.desk = desk
        self.trail: list[tuple[Effect, State]] = []

    def emit(self, fact: Effect) -> None:
        """Adds a fact, which is part of the state from here on."""
        self.state = absorb(self.state, fact)
        self.trail.append((fact, self.state))


def propose(flow: Flow, seat: Seat, intent: Intent) -> None:
    """Asks the risk check, and carries out what it says."""
    situation = situation_of(flow.state, seat, intent)
    answer(flow, intent, check(intent, situation, seat.limits, seat.controls), situation)


def answer(flow: Flow, intent: Intent, verdict: Passed | Refused, situation: Situation) -> None:
    """What the risk check said becomes a planned order or a refusal."""
    now_ns, inputs = flow.state.now_ns, situation.summary() if flow.desk.explains else NOTHING
    match verdict:
        case Refused():
            flow.emit(IntentRefused(now_ns, intent, verdict, inputs))
        case Passed(controls=controls):
            account = flow.state.account
            assert account.lineage is not None, "a runner has started before anything is planned"
            identity, client = flow.desk.names.order(account.id, account.lineage, account.sequence + 1, len(flow.trail))
            reservation = ZERO if intent.reduce_only else intent.reservation
            flow.emit(OrderPlanned(now_ns, identity, client, intent, reservation, controls, inputs))


def situation_of(state: State, seat: Seat, intent: Intent) -> Situation:
    """What the risk check is told about an intent."""
    account = state.account
    slot = (seat.strategy.id, seat.instrument.id)
    slots = set(account.holdings)
    unknown = 0
    for order in account.orders.values():
        if not order.intent.reduce_only:
            slots.add((order.intent.strategy, order.intent.instrument))
        if order.status is OrderStatus.UNKNOWN and order.intent.instrument == seat.instrument.id:
            unknown += 1
    stop = liquidation = None
    if not intent.reduce_only:
        if intent.protection is not None:
            stop = stop_price(intent.expected_price, intent.side, intent.protection, seat.instrument)
        if seat.margin is not None:
            liquidation = seat.margin.liquidation_price(intent.expected_price, intent.side, seat.instrument)
    day = account.day
    return Situation(
        now_ns=state.now_ns,
        instrument=seat.instrument,
        mark=state.view.mark(seat.instrument.id),
        mode=account.mode,
        halts=account.halts,
        lease_held=account.lease_held,
        store_healthy=account.store_healthy,
        breaker=day.breaker if day is not None else None,
        equity=state.equity(),
        exposure=state.exposure(),
        positions=len(slots - {slot}),
        entries_today=day.entries if day is not None else None,
        unknown_orders=unknown,
        cooldown_until_ns=account.stopped_at.get(slot, -seat.cooldown_ns) + seat.cooldown_ns,
        stop_price=stop,
        liquidation_price=liquidation,
    )


def close(
    flow: Flow,
    seat: Seat,
    role: OrderRole,
    reason: str,
    share: Decimal | None = None,
    *,
    follower: Protection | None = None,
    confidence: float = 1.0,
) -> None:
    """Closes what the seat holds, or a share of its original size, with a market order that can only reduce.

    follower: the exits of the entry on the other side that is to follow; None: none follows.
    """
    holding = flow.state.account.holdings.get((seat.strategy.id, seat.instrument.id))
    if holding is None or (role is not OrderRole.STOP and has_order(flow, seat, role)):
        return
    position = holding.position
    quantity = abs(position.quantity)
    if share is not None:
        quantity = min(quantity, seat.instrument.round_quantity(position.original_quantity * share))
        if quantity <= 0:
            return
    mark = flow.state.view.mark(seat.instrument.id)
    reference = seat.instrument.price_from_float(mark.price) if mark is not None else position.entry_price
    intent = Intent(
        instrument=seat.instrument.id,
        strategy=seat.strategy.id,
        side=position.side.opposite,
        type=OrderType.MARKET,
        role=role,
        quantity=quantity,
        reference_price=reference,
        reduce_only=True,
        decided_at_ns=flow.state.now_ns,
        reason=reason,
        confidence=confidence,
        protection=follower,
        reverses=follower is not None,
    )
    propose(flow, seat, intent)


def cancel(flow: Flow, order: Order, reason: str) -> None:
    """Asks for an order to go, once."""
    if not order.cancel_requested:
        flow.emit(CancelRequested(flow.state.now_ns, order.id, reason))


def is_repeated(flow: Flow, slot: Slot, refused: Refused) -> bool:
    """Whether this refusal was told already and nothing has happened since: a hundred candles, one line."""
    return flow.state.account.refused == (slot, refused.code)


LEAVING = frozenset({OrderRole.SIGNAL, OrderRole.TIME})


def has_order(flow: Flow, seat: Seat, role: OrderRole) -> bool:
    """Whether an order of this role is under way for the seat."""
    slot = (seat.strategy.id, seat.instrument.id)
    return any(order.intent.role is role and slot_of(order) == slot for order in flow.state.account.orders.values())


def is_leaving(flow: Flow, seat: Seat) -> bool:
    """Whether an order that closes the position on a signal, or for its time, is under way."""
    slot = (seat.strategy.id, seat.instrument.id)
    orders = flow.state.account.orders.values()
    return any(order.intent.role in LEAVING and slot_of(order) == slot for order in orders)


def slot_of(order: Order) -> Slot:
    """The place an order is for: one strategy on one instrument."""
    return order.intent.strategy, order.intent.instrument


def seat_of(flow: Flow, order: Order) -> Seat | None:
    """Whose order it is; None when the strategy sits at this desk no more."""
    for seat in flow.desk.seats:
        if (seat.strategy.id, seat.instrument.id) == slot_of(order):
            return seat
    return None
