"""The main path: what is known and what just happened in, what is known now and what should be done out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple

from promethean.domain.candles import Candle
from promethean.domain.events import (
    BreakerTripped,
    CancelRequested,
    CandleClosed,
    DayStarted,
    Effect,
    Event,
    HaltSet,
    IntentRefused,
    MarketEvent,
    OrderAccepted,
    OrderFilled,
    OrderPlanned,
    OrderRejected,
    PositionClosed,
    QuoteObserved,
    RecordingEnded,
    SignalRaised,
)
from promethean.domain.instants import NS_PER_MINUTE, NS_PER_MS, NS_PER_S, day_of
from promethean.domain.instruments import Instrument
from promethean.domain.market import Side
from promethean.domain.money import plain
from promethean.domain.orders import Intent, Order, OrderRole, OrderStatus, OrderType, Protection, TimeInForce
from promethean.domain.positions import Position
from promethean.domain.signals import Signal, SignalType
from promethean.domain.verdicts import Passed, Refused
from promethean.engine.decide import Decision, decide
from promethean.engine.desk import Desk, OnOpposite, Seat
from promethean.engine.state import Holding, Slot, State, absorb
from promethean.execution.bracket import (
    Leg,
    Stop,
    at_breakeven,
    exit_intent,
    net_if_closed,
    protective_legs,
    stop_price,
    tightened,
    trailed,
    with_levels,
)
from promethean.risk.check import Situation, check
from promethean.risk.sizing import entry_quantity

ZERO = Decimal(0)
ONE = Decimal(1)
NOTHING: Mapping[str, str] = MappingProxyType({})


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
    flow = _Flow(state, after, desk)
    reaction(flow, event)
    return after, flow.trail


class _Flow:
    """One step in progress: the state before the event, the state so far, and the effects with the state after each."""

    __slots__ = ("before", "desk", "state", "trail")

    def __init__(self, before: State, state: State, desk: Desk) -> None:
        self.before = before
        self.state = state
        self.desk = desk
        self.trail: list[tuple[Effect, State]] = []

    def emit(self, fact: Effect) -> None:
        self.state = absorb(self.state, fact)
        self.trail.append((fact, self.state))


# ---------------------------------------------------------------- reactions


def _on_market(flow: _Flow, event: MarketEvent) -> None:
    _start_day(flow)
    if flow.state.account.holdings:  # flat, nothing moves equity, and a streak grows with a fill
        _watch_breaker(flow)
        _repair_stops(flow)
    for seat in flow.desk.seats:
        if isinstance(event, CandleClosed):
            _watch_exits(flow, seat, event.candle)
        signals = _concerning(flow, seat, seat.strategy.on_event(event, flow.state.view))
        if not signals or (len(signals) == 1 and _changes_nothing(flow, seat, signals[0])):
            continue
        decision = decide(signals, seat.aggregation, seat.threshold)
        if decision is not None:
            _act(flow, seat, decision)


def _concerning(flow: _Flow, seat: Seat, signals: Sequence[Signal]) -> Sequence[Signal]:
    """The signals without those that close a side which is not held."""
    if all(signal.closes is None for signal in signals):
        return signals
    holding = flow.state.account.holdings.get((seat.strategy.id, seat.instrument.id))
    side = holding.position.side if holding is not None else None
    return [signal for signal in signals if signal.closes is None or signal.closes is side]


def _changes_nothing(flow: _Flow, seat: Seat, signal: Signal) -> bool:
    """Whether a lone signal asks for what is there already, which most do: a buy while long, a close while flat."""
    holding = flow.state.account.holdings.get((seat.strategy.id, seat.instrument.id))
    match signal.type:
        case SignalType.BUY:
            return holding is not None and holding.position.quantity > 0
        case SignalType.SELL:
            return holding.position.quantity < 0 if holding is not None else not seat.can_short
        case _:
            return holding is None


def _on_filled(flow: _Flow, event: OrderFilled) -> None:
    known = flow.before.account
    order = known.orders.get(event.fill.order_id) or known.ended[event.fill.order_id]
    slot = _slot(order)
    held_before = known.holdings.get(slot)
    holding = flow.state.account.holdings.get(slot)
    if event.fill.trade_id in order.trade_ids:
        return
    if holding is not None:
        seat = _seat(flow, order)
        if seat is not None and event.exits is None:
            _protect(flow, seat, holding, order)
    elif held_before is not None:
        _close_books(flow, held_before, order, event)
        if order.intent.reverses:
            _reverse(flow, order)
    _watch_breaker(flow)


def _on_accepted(flow: _Flow, event: OrderAccepted) -> None:
    """A stop that replaces another rests now: the one it replaces may go."""
    order = flow.state.account.orders.get(event.order_id)
    if order is None or order.intent.type is not OrderType.STOP_MARKET or order.cancel_requested:
        return
    for other in _protective(flow.state, _slot(order)):
        # Only older ones: a newer stop that the venue has not answered yet is the one that fits.
        if other.intent.type is OrderType.STOP_MARKET and other.request_sequence < order.request_sequence:
            _cancel(flow, other, "replaced by a stop of the new size")


def _on_rejected(flow: _Flow, event: OrderRejected) -> None:
    """A position whose stop the venue refuses is not left unprotected, not even in part: it is closed."""
    order = flow.before.account.orders.get(event.order_id)
    if order is None or order.intent.type is not OrderType.STOP_MARKET:
        return
    seat, holding = _seat(flow, order), flow.state.account.holdings.get(_slot(order))
    if seat is None or holding is None:
        return
    stops = (o.remaining for o in _protective(flow.state, _slot(order)) if o.intent.role.is_stop)
    if sum(stops, ZERO) < abs(holding.position.quantity):
        _close(flow, seat, OrderRole.STOP, f"the venue refused the stop ({event.code}): {event.message}")


def _on_halt(flow: _Flow, event: HaltSet) -> None:
    _cancel_entries(flow, f"kill switch: {event.reason}")
    if event.close:
        for seat in flow.desk.seats:
            _close(flow, seat, OrderRole.KILL, f"kill switch: {event.reason}")


def _on_recording_ended(flow: _Flow, event: RecordingEnded) -> None:
    """What waits for a next candle goes, and what is held is closed; its stop and targets stand until that is done."""
    for order in tuple(flow.state.account.orders.values()):
        if not _is_protective(order) or order.intent.type is OrderType.MARKET:
            _cancel(flow, order, "the recording has ended")
    for seat in flow.desk.seats:
        _close(flow, seat, OrderRole.END, "the recording has ended")


# ---------------------------------------------------------------- exits that the time brings


def _watch_exits(flow: _Flow, seat: Seat, candle: Candle) -> None:
    """At the close of a primary candle the stop of a position follows the price, and its time may be over."""
    if candle.instrument != seat.instrument.id or candle.timeframe != seat.strategy.timeframe:
        return
    holding = flow.state.account.holdings.get((seat.strategy.id, seat.instrument.id))
    bracket = holding.bracket if holding is not None else None
    if holding is None or bracket is None or _is_leaving(flow, seat):
        return
    protection, position, instrument = bracket.protection, bracket.position, seat.instrument
    if protection.moves and (current := _stop_of(holding, instrument)) is not None:
        best = Decimal(repr(candle.high if position.side is Side.BUY else candle.low))
        tightest = current
        for stop in (trailed(bracket, best, instrument), at_breakeven(bracket, best, seat.fee_taker, instrument)):
            if stop is not None and stop.is_tighter(tightest.price, position.side):
                tightest = stop
        if tightest is not current:
            _move_stop(flow, seat, position, tightest)
    if protection.hold is not None:
        # Counted from the beginning of the candle it was opened in, so that no delay of an order shifts it.
        before = (position.opened_at_ns - candle.open_time_ns) // seat.timeframe_ns * seat.timeframe_ns
        is_over = candle.close_time_ns - (candle.open_time_ns + before) >= protection.hold.length_ns
        if is_over and (protection.hold.always or _is_losing(position, candle.close, seat)):
            _close(flow, seat, OrderRole.TIME, f"held for {protection.hold.length_ns // NS_PER_MINUTE} minutes")


def _is_losing(position: Position, price: float, seat: Seat) -> bool:
    return net_if_closed(position, Decimal(repr(price)), seat.fee_taker) <= 0


def _stop_of(holding: Holding, instrument: Instrument) -> Stop | None:
    """Where the stop of a position is, or would be; None where it was entered without."""
    if holding.protection is None:
        return None
    if holding.stop is not None:
        return holding.stop
    position = holding.position
    return Stop(OrderRole.STOP, stop_price(position.entry_price, position.side, holding.protection, instrument))


def _move_stop(flow: _Flow, seat: Seat, position: Position, stop: Stop) -> None:
    """A stop of the new price; the old one goes when the venue has accepted it."""
    leg = Leg(stop.role, 0, stop.price, abs(position.quantity))
    _propose(flow, seat, exit_intent(leg, position, flow.state.now_ns))


# ---------------------------------------------------------------- the day and its breaker


def _start_day(flow: _Flow) -> None:
    number = day_of(flow.state.now_ns)
    day = flow.state.account.day
    if day is None or number > day.number:
        equity = flow.state.equity()
        if equity is not None:
            flow.emit(DayStarted(flow.state.now_ns, number, equity))


def _watch_breaker(flow: _Flow) -> None:
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


def _trip(flow: _Flow, code: str, value: str, limit: str) -> None:
    flow.emit(BreakerTripped(flow.state.now_ns, code, value, limit))
    _cancel_entries(flow, f"circuit breaker: {code}")


def _cancel_entries(flow: _Flow, reason: str) -> None:
    for order in tuple(flow.state.account.orders.values()):
        if not order.intent.reduce_only:
            _cancel(flow, order, reason)


def _cancel(flow: _Flow, order: Order, reason: str) -> None:
    if not order.cancel_requested:
        flow.emit(CancelRequested(flow.state.now_ns, order.id, reason))


# ---------------------------------------------------------------- from a decision to an order


def _act(flow: _Flow, seat: Seat, decision: Decision) -> None:
    """Carries a decision out where it changes something; a view that changes nothing leaves no trace."""
    slot = (seat.strategy.id, seat.instrument.id)
    holding = flow.state.account.holdings.get(slot)
    if decision.type in (SignalType.CLOSE, SignalType.PARTIAL_CLOSE):
        if holding is not None and not _is_leaving(flow, seat):
            flow.emit(SignalRaised(decision.signal))
            share = Decimal(repr(decision.close_percentage)) if decision.close_percentage is not None else None
            _close(flow, seat, OrderRole.SIGNAL, decision.signal.reason, share)
        return
    side = Side.BUY if decision.type is SignalType.BUY else Side.SELL
    if holding is not None:
        if holding.position.side is not side and not _is_leaving(flow, seat):
            _oppose(flow, seat, holding, decision)
        return
    if (side is Side.SELL and not seat.can_short) or _has(flow, seat, OrderRole.ENTRY):
        return
    signal = decision.signal
    protection = with_levels(seat.protection, side, signal.stop, signal.targets, seat.instrument)
    wish = _Wish(side, decision.confidence, signal.reason, protection, signal.at_ns)
    intent, refused = _entry(flow, seat, wish)
    situation = _situation(flow.state, seat, intent)
    verdict = refused if refused is not None else check(intent, situation, seat.limits, seat.controls)
    if isinstance(verdict, Refused) and _is_repeated(flow, slot, verdict):
        return
    flow.emit(SignalRaised(decision.signal))
    _answer(flow, intent, verdict, situation)


def _oppose(flow: _Flow, seat: Seat, holding: Holding, decision: Decision) -> None:
    """An opposite signal (SPEC 7.4): a losing position goes, and the other side is tried; of a profitable one the
    strategy's file says what becomes of it.
    """
    position, instrument, signal = holding.position, seat.instrument, decision.signal
    mark = flow.state.view.mark(instrument.id)
    assert mark is not None, "a signal comes from a candle, so there is a price"
    price, is_losing = Decimal(repr(mark.price)), _is_losing(position, mark.price, seat)
    if not seat.can_short or is_losing or seat.on_opposite is not OnOpposite.KEEP_AND_TIGHTEN:
        flow.emit(SignalRaised(signal))
        follower = None
        if seat.can_short and (is_losing or seat.on_opposite is OnOpposite.FLIP):
            side = position.side.opposite
            follower = with_levels(seat.protection, side, signal.stop, signal.targets, instrument)
        _close(flow, seat, OrderRole.SIGNAL, signal.reason, follower=follower, confidence=decision.confidence)
        return
    bracket, current = holding.bracket, _stop_of(holding, instrument)
    if bracket is None or current is None or current.role is OrderRole.TIGHTENED:
        return
    stop = tightened(bracket, current.price, price, seat.fee_taker, instrument)
    if stop.is_tighter(current.price, position.side):
        flow.emit(SignalRaised(signal))
        _move_stop(flow, seat, position, stop)


def _reverse(flow: _Flow, closed: Order) -> None:
    """The other side, once an opposite signal has closed a position: an entry like any other."""
    seat, intent = _seat(flow, closed), closed.intent
    if seat is None or intent.protection is None:
        return
    wish = _Wish(intent.side, intent.confidence, intent.reason, intent.protection, intent.decided_at_ns)
    entry, refused = _entry(flow, seat, wish)
    if refused is not None:
        _answer(flow, entry, refused, _situation(flow.state, seat, entry))
    else:
        _propose(flow, seat, entry)


def _too_old(state: State, seat: Seat, signal_ns: int) -> Refused | None:
    """A signal that comes late is not acted on, however fresh the price has become since."""
    limit_s = seat.limits.price_fresh_s
    age_ns = state.now_ns - signal_ns
    if limit_s is None or age_ns <= limit_s * NS_PER_S:
        return None  # a missing limit refuses in the check itself
    return Refused("price_fresh", f"signal {age_ns // NS_PER_MS} ms old", f"{plain(limit_s)} s", age_ns // NS_PER_MS)


def _is_repeated(flow: _Flow, slot: Slot, refused: Refused) -> bool:
    """Whether this refusal was told already and nothing has happened since: a hundred candles, one line."""
    return flow.state.account.refused == (slot, refused.code)


def _has(flow: _Flow, seat: Seat, role: OrderRole) -> bool:
    """Whether an order of this role is under way for the seat."""
    slot = (seat.strategy.id, seat.instrument.id)
    return any(order.intent.role is role and _slot(order) == slot for order in flow.state.account.orders.values())


def _is_leaving(flow: _Flow, seat: Seat) -> bool:
    """Whether an order that closes the position on a signal, or for its time, is under way."""
    return _has(flow, seat, OrderRole.SIGNAL) or _has(flow, seat, OrderRole.TIME)


class _Wish(NamedTuple):
    """An entry that somebody would make.  signal_ns: when it was said."""

    side: Side
    confidence: float
    reason: str
    protection: Protection
    signal_ns: int


def _entry(flow: _Flow, seat: Seat, wish: _Wish) -> tuple[Intent, Refused | None]:
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


def _entry_intent(flow: _Flow, seat: Seat, wish: _Wish, quantity: Decimal, reference: Decimal) -> Intent:
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
    )


def _close(
    flow: _Flow,
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
    if holding is None or (role is not OrderRole.STOP and _has(flow, seat, role)):
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
    _propose(flow, seat, intent)


def _propose(flow: _Flow, seat: Seat, intent: Intent) -> None:
    situation = _situation(flow.state, seat, intent)
    _answer(flow, intent, check(intent, situation, seat.limits, seat.controls), situation)


def _answer(flow: _Flow, intent: Intent, verdict: Passed | Refused, situation: Situation) -> None:
    """What the risk check said becomes a planned order or a refusal."""
    now_ns, inputs = flow.state.now_ns, situation.summary() if flow.desk.explains else NOTHING
    match verdict:
        case Refused():
            flow.emit(IntentRefused(now_ns, intent, verdict, inputs))
        case Passed(controls=controls):
            account = flow.state.account
            assert account.lineage is not None, "a runner has started before anything is planned"
            identity, client = flow.desk.names.order(account.id, account.lineage, account.sequence + 1, len(flow.trail))
            reservation = ZERO if intent.reduce_only else intent.notional
            flow.emit(OrderPlanned(now_ns, identity, client, intent, reservation, controls, inputs))


def _situation(state: State, seat: Seat, intent: Intent) -> Situation:
    account = state.account
    slot = (seat.strategy.id, seat.instrument.id)
    slots = set(account.holdings)
    unknown = 0
    for order in account.orders.values():
        if not order.intent.reduce_only:
            slots.add((order.intent.strategy, order.intent.instrument))
        if order.status is OrderStatus.UNKNOWN and order.intent.instrument == seat.instrument.id:
            unknown += 1
    stop = None
    if intent.protection is not None and not intent.reduce_only:
        entry = intent.limit_price if intent.limit_price is not None else intent.reference_price
        stop = stop_price(entry, intent.side, intent.protection, seat.instrument)
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
    )


# ---------------------------------------------------------------- after a fill


def _slot(order: Order) -> Slot:
    return order.intent.strategy, order.intent.instrument


def _seat(flow: _Flow, order: Order) -> Seat | None:
    """Whose order it is; None when the strategy sits at this desk no more."""
    for seat in flow.desk.seats:
        if (seat.strategy.id, seat.instrument.id) == _slot(order):
            return seat
    return None


def _is_protective(order: Order) -> bool:
    return order.intent.role.is_stop or order.intent.role is OrderRole.TARGET


def _protective(state: State, slot: Slot) -> list[Order]:
    """Stops and targets that stand for a position and are not on their way out."""
    return [
        order
        for order in state.account.orders.values()
        if _is_protective(order) and _slot(order) == slot and not order.cancel_requested
    ]


def _protect(flow: _Flow, seat: Seat, holding: Holding, filled: Order) -> None:
    """Brings stop and targets in line with the position that is held now.

    A further entry fill moves them all; an exit fill re-sizes the stop alone; a stop in the
    middle of its fills is left alone.
    """
    if holding.protection is None or filled.intent.role.is_stop:
        return
    legs = protective_legs(holding.position, holding.protection, holding.tiers_done, seat.instrument, holding.stop)
    # A stop is number 0, whatever has moved it, and targets are numbered from 1.
    standing = {order.intent.leg: order for order in _protective(flow.state, _slot(filled))}
    for leg in legs:
        order = standing.pop(leg.leg, None)
        if order is not None and (_fits(order, leg) or (leg.role is OrderRole.TARGET and filled.intent.reduce_only)):
            continue
        if order is not None and leg.role is OrderRole.TARGET:
            _cancel(flow, order, "moved with the position")
        _propose(
            flow, seat, exit_intent(leg, holding.position, flow.state.now_ns)
        )  # an old stop goes when the new one is accepted
    for order in standing.values():
        if not filled.intent.reduce_only:
            _cancel(flow, order, "moved with the position")


def _repair_stops(flow: _Flow) -> None:
    """A position that has neither a stop nor a way out under way gets its stop again, at every event until it rests."""
    for seat in flow.desk.seats:
        slot = (seat.strategy.id, seat.instrument.id)
        account = flow.state.account
        holding = account.holdings.get(slot)
        if holding is None or holding.protection is None:
            continue
        if any(_slot(order) == slot and _is_way_out(order) for order in account.orders.values()):
            continue
        position, tiers_done = holding.position, holding.tiers_done
        leg = protective_legs(position, holding.protection, tiers_done, seat.instrument, holding.stop)[0]
        intent = exit_intent(leg, holding.position, flow.state.now_ns)
        situation = _situation(flow.state, seat, intent)
        verdict = check(intent, situation, seat.limits, seat.controls)
        if not (isinstance(verdict, Refused) and _is_repeated(flow, slot, verdict)):
            _answer(flow, intent, verdict, situation)


def _is_way_out(order: Order) -> bool:
    """A stop that is to stay, or a market order that closes."""
    intent = order.intent
    return intent.reduce_only and intent.role is not OrderRole.TARGET and not order.cancel_requested


def _fits(order: Order, leg: Leg) -> bool:
    price = order.intent.stop_price if leg.role.is_stop else order.intent.limit_price
    return order.remaining == leg.quantity and price == leg.price


def _close_books(flow: _Flow, held: Holding, order: Order, event: OrderFilled) -> None:
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
        )
    )
    for left in tuple(flow.state.account.orders.values()):
        if _slot(left) == _slot(order):
            _cancel(flow, left, "the position is closed")


_REACTIONS: Mapping[type[Any], Callable[[_Flow, Any], None]] = MappingProxyType(
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
