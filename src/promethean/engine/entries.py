"""From a decision to an order: an entry, its other side, or the way out."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from promethean.domain.events import SignalRaised
from promethean.domain.instants import NS_PER_MS, NS_PER_S
from promethean.domain.market import Side
from promethean.domain.money import plain
from promethean.domain.orders import Intent, Order, OrderRole, OrderType, Protection, TimeInForce
from promethean.domain.signals import SignalType
from promethean.domain.verdicts import Refused
from promethean.engine.decide import Decision
from promethean.engine.desk import Seat
from promethean.engine.exits import oppose
from promethean.engine.flow import (
    Flow,
    answer,
    close,
    has_order,
    is_leaving,
    is_repeated,
    propose,
    seat_of,
    situation_of,
)
from promethean.engine.state import State
from promethean.execution.bracket import with_levels
from promethean.risk.check import check
from promethean.risk.sizing import entry_quantity

ONE = Decimal(1)


def act(flow: Flow, seat: Seat, decision: Decision) -> None:
    """Carries a decision out where it changes something; a view that changes nothing leaves no trace."""
    slot = (seat.strategy.id, seat.instrument.id)
    holding = flow.state.account.holdings.get(slot)
    if decision.type in (SignalType.CLOSE, SignalType.PARTIAL_CLOSE):
        if holding is not None and not is_leaving(flow, seat):
            flow.emit(SignalRaised(decision.signal))
            share = Decimal(repr(decision.close_percentage)) if decision.close_percentage is not None else None
            close(flow, seat, OrderRole.SIGNAL, decision.signal.reason, share)
        return
    side = Side.BUY if decision.type is SignalType.BUY else Side.SELL
    if holding is not None:
        if holding.position.side is not side and not is_leaving(flow, seat):
            oppose(flow, seat, holding, decision)
        return
    if (side is Side.SELL and not seat.can_short) or has_order(flow, seat, OrderRole.ENTRY):
        return
    signal = decision.signal
    protection = with_levels(seat.protection, side, signal.stop, signal.targets, seat.instrument)
    wish = _Wish(side, decision.confidence, signal.reason, protection, signal.at_ns)
    intent, refused = _entry(flow, seat, wish)
    situation = situation_of(flow.state, seat, intent)
    verdict = refused if refused is not None else check(intent, situation, seat.limits, seat.controls)
    if isinstance(verdict, Refused) and is_repeated(flow, slot, verdict):
        return
    flow.emit(SignalRaised(decision.signal))
    answer(flow, intent, verdict, situation)


def reverse(flow: Flow, closed: Order) -> None:
    """The other side, once an opposite signal has closed a position: an entry like any other."""
    seat, intent = seat_of(flow, closed), closed.intent
    if seat is None or intent.protection is None:
        return
    wish = _Wish(intent.side, intent.confidence, intent.reason, intent.protection, intent.decided_at_ns)
    entry, refused = _entry(flow, seat, wish)
    if refused is not None:
        answer(flow, entry, refused, situation_of(flow.state, seat, entry))
    else:
        propose(flow, seat, entry)


class _Wish(NamedTuple):
    """An entry that somebody would make.  signal_ns: when it was said."""

    side: Side
    confidence: float
    reason: str
    protection: Protection
    signal_ns: int


def _entry(flow: Flow, seat: Seat, wish: _Wish) -> tuple[Intent, Refused | None]:
    """The entry in the size that equity allows, and the refusal where that is less than a lot: never rounded up."""
    mark = flow.state.view.mark(seat.instrument.id)
    equity = flow.state.equity()
    assert mark is not None, "a signal comes from a candle, so there is a price"
    reference = seat.instrument.price_from_float(mark.price)
    refused = None
    if equity is None:
        quantity = seat.instrument.quantity_increment
        refused = Refused("total_exposure", "equity unknown: a position has no price", "every position has a price")
    elif (quantity := entry_quantity(seat.sizing, equity, reference, seat.instrument)) <= 0:
        quantity = seat.instrument.quantity_increment
        size = f"{plain(round(equity, 2))} {seat.instrument.quote} of equity at {plain(reference)}"
        refused = Refused("too_small", size, "at least one lot")
    refused = _too_old(flow.state, seat, wish.signal_ns) or refused
    return _entry_intent(flow, seat, wish, quantity, reference), refused


def _entry_intent(flow: Flow, seat: Seat, wish: _Wish, quantity: Decimal, reference: Decimal) -> Intent:
    now_ns = flow.state.now_ns
    limit_price = None
    if seat.order_type is OrderType.LIMIT:
        worst = reference * (ONE + seat.slippage_tolerance * wish.side.sign)
        limit_price = seat.instrument.round_price(worst)
    return Intent(
        instrument=seat.instrument.id,
        strategy=seat.strategy.id,
        side=wish.side,
        type=seat.order_type,
        role=OrderRole.ENTRY,
        quantity=quantity,
        reference_price=reference,
        reduce_only=False,
        decided_at_ns=now_ns,
        reason=wish.reason,
        confidence=wish.confidence,
        limit_price=limit_price,
        # An entry is a view of this candle: what is not filled within the next one is not chased.
        time_in_force=TimeInForce.GTC if limit_price is None else TimeInForce.GTD,
        expires_at_ns=None if limit_price is None else now_ns + seat.timeframe_ns,
        protection=wish.protection,
        attached=seat.attaches,
        leverage=seat.margin.leverage if seat.margin is not None and seat.margin.leverage != ONE else None,
    )


def _too_old(state: State, seat: Seat, signal_ns: int) -> Refused | None:
    """A signal that comes late is not acted on, however fresh the price has become since."""
    limit_s = seat.limits.price_fresh_s
    age_ns = state.now_ns - signal_ns
    if limit_s is None or age_ns <= limit_s * NS_PER_S:
        return None  # a missing limit refuses in the check itself
    return Refused("price_fresh", f"signal {age_ns // NS_PER_MS} ms old", f"{plain(limit_s)} s", age_ns // NS_PER_MS)
