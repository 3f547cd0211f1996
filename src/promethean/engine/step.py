"""The main path: what is known and what just happened in, what is known now and what should be done out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from promethean.domain.events import (
    BreakerTripped,
    CandleClosed,
    DayStarted,
    Effect,
    Event,
    HaltSet,
    MarketEvent,
    OrderAccepted,
    OrderFilled,
    OrderRejected,
    PositionClosed,
    QuoteObserved,
    RecordingEnded,
)
from promethean.domain.instants import day_of
from promethean.domain.money import plain
from promethean.domain.orders import Order, OrderRole, OrderType
from promethean.domain.signals import Signal, SignalType
from promethean.engine.decide import decide
from promethean.engine.desk import Desk, Seat
from promethean.engine.entries import act, reverse
from promethean.engine.exits import is_protective, leaving_signal, protect, protective, repair_stops, watch_exits
from promethean.engine.flow import Flow, cancel, close, seat_of, slot_of
from promethean.engine.state import Holding, State, absorb

ZERO = Decimal(0)


def step(state: State, event: Event, desk: Desk) -> tuple[State, list[Effect]]:
    """What is known after `event`, and what follows from it.

    Pure.  Effects are facts in the order in which they became true and are already part of the state returned: the
    caller writes them to the journal, then carries out `OrderPlanned` and `CancelRequested`.
    """
    after, trail = follow(state, event, desk)
    return (trail[-1][1] if trail else after), [effect for effect, _ in trail]


def follow(state: State, event: Event, desk: Desk) -> tuple[State, list[tuple[Effect, State]]]:
    """As `step`, telling the state right after the event and right after each effect: what a journal's writer needs."""
    after = absorb(state, event)
    reaction = _REACTIONS.get(type(event))
    if reaction is None:
        return after, []
    flow = Flow(state, after, desk)
    reaction(flow, event)
    return after, flow.trail


# ---------------------------------------------------------------- reactions


def _on_market(flow: Flow, event: MarketEvent) -> None:
    _start_day(flow)
    if flow.state.account.holdings:  # flat, nothing moves equity, and a streak grows with a fill
        _watch_breaker(flow)
        repair_stops(flow)
    closed = event if isinstance(event, CandleClosed) else None
    for seat in flow.desk.seats:
        if closed is not None and flow.state.account.holdings:
            watch_exits(flow, seat, closed.candle)
        signals = seat.strategy.on_event(event, flow.state.view)
        if signals:
            signals = _concerning(flow, seat, signals)
        if closed is not None and flow.state.account.holdings:
            signals = _with_exit(flow, seat, closed, signals)
        if not signals or (len(signals) == 1 and _changes_nothing(flow, seat, signals[0])):
            continue
        decision = decide(signals, seat.aggregation, seat.threshold)
        if decision is not None:
            act(flow, seat, decision)


def _concerning(flow: Flow, seat: Seat, signals: Sequence[Signal]) -> Sequence[Signal]:
    """The signals without those that close a side which is not held."""
    if all(signal.closes is None for signal in signals):
        return signals
    holding = flow.state.account.holdings.get((seat.strategy.id, seat.instrument.id))
    side = holding.position.side if holding is not None else None
    return [signal for signal in signals if signal.closes is None or signal.closes is side]


def _with_exit(flow: Flow, seat: Seat, event: CandleClosed, signals: Sequence[Signal]) -> Sequence[Signal]:
    """The signals, and the CLOSE of the conditions on the position where none of them closes it already."""
    if any(signal.type is SignalType.CLOSE for signal in signals):
        return signals
    closing = leaving_signal(flow, seat, event)
    return signals if closing is None else (*signals, closing)


def _changes_nothing(flow: Flow, seat: Seat, signal: Signal) -> bool:
    """Whether a lone signal asks for what is there already, which most do: a buy while long, a close while flat."""
    holding = flow.state.account.holdings.get((seat.strategy.id, seat.instrument.id))
    match signal.type:
        case SignalType.BUY:
            return holding is not None and holding.position.quantity > 0
        case SignalType.SELL:
            return holding.position.quantity < 0 if holding is not None else not seat.can_short
        case _:
            return holding is None


def _on_filled(flow: Flow, event: OrderFilled) -> None:
    known = flow.before.account
    order = known.orders.get(event.fill.order_id) or known.ended[event.fill.order_id]
    slot = slot_of(order)
    held_before = known.holdings.get(slot)
    holding = flow.state.account.holdings.get(slot)
    if event.fill.trade_id in order.trade_ids:
        return
    if holding is not None:
        seat = seat_of(flow, order)
        if seat is not None and event.exits is None:
            protect(flow, seat, holding, order)
    elif held_before is not None:
        _close_books(flow, held_before, order, event)
        if order.intent.reverses:
            reverse(flow, order)
    _watch_breaker(flow)


def _on_accepted(flow: Flow, event: OrderAccepted) -> None:
    """A stop that replaces another rests now: the one it replaces may go."""
    order = flow.state.account.orders.get(event.order_id)
    if order is None or order.intent.type is not OrderType.STOP_MARKET or order.cancel_requested:
        return
    for other in protective(flow.state, slot_of(order)):
        # Only older ones: a newer stop that the venue has not answered yet is the one that fits.
        if other.intent.type is OrderType.STOP_MARKET and other.request_sequence < order.request_sequence:
            cancel(flow, other, "replaced by a stop of the new size")


def _on_rejected(flow: Flow, event: OrderRejected) -> None:
    """A position whose stop the venue refuses is not left unprotected, not even in part: it is closed."""
    order = flow.before.account.orders.get(event.order_id)
    if order is None or order.intent.type is not OrderType.STOP_MARKET:
        return
    seat, holding = seat_of(flow, order), flow.state.account.holdings.get(slot_of(order))
    if seat is None or holding is None:
        return
    stops = (o.remaining for o in protective(flow.state, slot_of(order)) if o.intent.role.is_stop)
    if sum(stops, ZERO) < abs(holding.position.quantity):
        close(flow, seat, OrderRole.STOP, f"the venue refused the stop ({event.code}): {event.message}")


def _on_halt(flow: Flow, event: HaltSet) -> None:
    _cancel_entries(flow, f"kill switch: {event.reason}")
    if event.close:
        for seat in flow.desk.seats:
            close(flow, seat, OrderRole.KILL, f"kill switch: {event.reason}")


def _on_recording_ended(flow: Flow, event: RecordingEnded) -> None:
    """What waits for a next candle goes, and what is held is closed; its stop and targets stand until that is done."""
    for order in tuple(flow.state.account.orders.values()):
        if not is_protective(order) or order.intent.type is OrderType.MARKET:
            cancel(flow, order, "the recording has ended")
    for seat in flow.desk.seats:
        close(flow, seat, OrderRole.END, "the recording has ended")


# ---------------------------------------------------------------- the day and its breaker


def _start_day(flow: Flow) -> None:
    number = day_of(flow.state.now_ns)
    day = flow.state.account.day
    if day is None or number > day.number:
        equity = flow.state.equity()
        if equity is not None:
            flow.emit(DayStarted(flow.state.now_ns, number, equity))


def _watch_breaker(flow: Flow) -> None:
    """Trips on the loss of the day or a losing streak (SPEC 8.5).  Without limits the control itself refuses."""
    state, limits = flow.state, flow.desk.limits
    day = state.account.day
    if day is None or day.breaker:
        return
    streak = limits.circuit_breaker_losing_streak
    if streak is not None and day.losing_streak >= streak:
        _trip(flow, "losing_streak", f"{day.losing_streak} losing trades in a row", plain(streak))
        return
    loss = limits.circuit_breaker_daily_loss
    if loss is None or day.equity <= 0 or not (state.account.holdings or flow.trail):
        return  # flat, and nothing was just booked: equity is what it was
    equity = state.equity()
    if equity is not None and equity - day.equity <= -loss * day.equity:
        ratio = (equity - day.equity) / day.equity
        _trip(flow, "daily_loss", f"{plain(round(ratio * 100, 4))} % of the day's equity", f"-{plain(loss * 100)} %")


def _trip(flow: Flow, code: str, value: str, limit: str) -> None:
    flow.emit(BreakerTripped(flow.state.now_ns, code, value, limit))
    _cancel_entries(flow, f"circuit breaker: {code}")


def _cancel_entries(flow: Flow, reason: str) -> None:
    for order in tuple(flow.state.account.orders.values()):
        if not order.intent.reduce_only:
            cancel(flow, order, reason)


# ---------------------------------------------------------------- after the last fill


def _close_books(flow: Flow, held: Holding, order: Order, event: OrderFilled) -> None:
    """A position is flat: one trade is told, and what protected it goes, as does what is left of its entry."""
    position, _ = held.position.apply(event.fill)
    flow.emit(
        PositionClosed(
            at_ns=event.fill.executed_at_ns,
            instrument=position.instrument,
            strategy=position.strategy,
            side=held.position.side,
            quantity=position.original_quantity,
            entry_price=position.entry_price,
            exit_price=position.exit_price,
            realised=position.realised,
            fees=position.fees,
            opened_at_ns=position.opened_at_ns,
            reason=order.intent.role.value,
            funding=position.funding if position.funded_at_ns else None,
        )
    )
    for left in tuple(flow.state.account.orders.values()):
        if slot_of(left) == slot_of(order):
            cancel(flow, left, "the position is closed")


_REACTIONS: Mapping[type[Any], Callable[[Flow, Any], None]] = MappingProxyType(
    {
        CandleClosed: _on_market,
        QuoteObserved: _on_market,
        OrderFilled: _on_filled,
        OrderAccepted: _on_accepted,
        OrderRejected: _on_rejected,
        HaltSet: _on_halt,
        RecordingEnded: _on_recording_ended,
    }
)
