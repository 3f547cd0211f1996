"""How a position is left: its stop and targets beside it, its time, and a signal against it."""

from __future__ import annotations

from decimal import Decimal
from typing import cast

from promethean.domain.candles import Candle
from promethean.domain.events import CandleClosed, SignalRaised
from promethean.domain.instants import NS_PER_MINUTE
from promethean.domain.instruments import Instrument
from promethean.domain.market import Side
from promethean.domain.orders import Order, OrderRole
from promethean.domain.positions import Position
from promethean.domain.signals import Signal
from promethean.domain.verdicts import Refused
from promethean.engine.decide import Decision
from promethean.engine.desk import OnOpposite, Seat
from promethean.engine.flow import Flow, answer, cancel, close, is_leaving, is_repeated, propose, situation_of, slot_of
from promethean.engine.state import Holding, Slot, State
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
from promethean.risk.check import check
from promethean.strategies.catalogue import LeavesPosition
from promethean.strategies.held import Held, bars_held, gain_pct

ZERO = Decimal(0)


def watch_exits(flow: Flow, seat: Seat, candle: Candle) -> None:
    """At the close of a primary candle the stop of a position follows the price, and its time may be over."""
    if candle.instrument != seat.instrument.id or candle.timeframe != seat.strategy.timeframe:
        return
    holding = flow.state.account.holdings.get((seat.strategy.id, seat.instrument.id))
    protection = holding.protection if holding is not None else None
    if holding is None or protection is None or not (protection.moves or protection.hold is not None):
        return
    bracket = holding.bracket
    if bracket is None or is_leaving(flow, seat):
        return
    position, instrument = bracket.position, seat.instrument
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
            close(flow, seat, OrderRole.TIME, f"held for {protection.hold.length_ns // NS_PER_MINUTE} minutes")


def leaving_signal(flow: Flow, seat: Seat, event: CandleClosed) -> Signal | None:
    """The CLOSE that the strategy's conditions on its open position ask for at the close of a primary candle."""
    candle, strategy = event.candle, seat.strategy
    # Asked at every candle of every position, so the cheapest question comes first.
    if not getattr(strategy, "reads_position", False):
        return None
    if candle.instrument != seat.instrument.id or candle.timeframe != strategy.timeframe:
        return None
    holding = flow.state.account.holdings.get((strategy.id, seat.instrument.id))
    if holding is None or is_leaving(flow, seat):
        return None
    position, entry_price = holding.position, float(holding.position.entry_price)
    bars = bars_held(position.opened_at_ns, candle.open_time_ns, seat.timeframe_ns)
    if bars < 1:
        return None  # a candle that came late: it had closed before the position was opened
    held = Held(entry_price, gain_pct(entry_price, candle.close, position.side.sign), bars)
    return cast("LeavesPosition", strategy).leaves(event, flow.state.view, held)


def oppose(flow: Flow, seat: Seat, holding: Holding, decision: Decision) -> None:
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
        close(flow, seat, OrderRole.SIGNAL, signal.reason, follower=follower, confidence=decision.confidence)
        return
    bracket, current = holding.bracket, _stop_of(holding, instrument)
    if bracket is None or current is None or current.role is OrderRole.TIGHTENED:
        return
    stop = tightened(bracket, current.price, price, seat.fee_taker, instrument)
    if stop.is_tighter(current.price, position.side):
        flow.emit(SignalRaised(signal))
        _move_stop(flow, seat, position, stop)


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


def _move_stop(flow: Flow, seat: Seat, position: Position, stop: Stop) -> None:
    """A stop of the new price; the old one goes when the venue has accepted it."""
    leg = Leg(stop.role, 0, stop.price, abs(position.quantity))
    propose(flow, seat, exit_intent(leg, position, flow.state.now_ns))


# ---------------------------------------------------------------- the orders that protect a position


def protect(flow: Flow, seat: Seat, holding: Holding, filled: Order) -> None:
    """Brings stop and targets in line with the position that is held now.

    A further entry fill moves them all; an exit fill re-sizes the stop alone; a stop in the
    middle of its fills is left alone.
    """
    if holding.protection is None or filled.intent.role.is_stop:
        return
    legs = protective_legs(holding.position, holding.protection, holding.tiers_done, seat.instrument, holding.stop)
    # A stop is number 0, whatever has moved it, and targets are numbered from 1.
    standing = {order.intent.leg: order for order in protective(flow.state, slot_of(filled))}
    for leg in legs:
        order = standing.pop(leg.leg, None)
        if order is not None and (_fits(order, leg) or (leg.role is OrderRole.TARGET and filled.intent.reduce_only)):
            continue
        if order is not None and leg.role is OrderRole.TARGET:
            cancel(flow, order, "moved with the position")
        propose(
            flow, seat, exit_intent(leg, holding.position, flow.state.now_ns)
        )  # an old stop goes when the new one is accepted
    for order in standing.values():
        if not filled.intent.reduce_only:
            cancel(flow, order, "moved with the position")


def repair_stops(flow: Flow) -> None:
    """A position that has neither a stop nor a way out under way gets its stop again, at every event until it rests."""
    for seat in flow.desk.seats:
        slot = (seat.strategy.id, seat.instrument.id)
        account = flow.state.account
        holding = account.holdings.get(slot)
        if holding is None or holding.protection is None:
            continue
        if any(slot_of(order) == slot and _is_way_out(order) for order in account.orders.values()):
            continue
        position, tiers_done = holding.position, holding.tiers_done
        leg = protective_legs(position, holding.protection, tiers_done, seat.instrument, holding.stop)[0]
        intent = exit_intent(leg, holding.position, flow.state.now_ns)
        situation = situation_of(flow.state, seat, intent)
        verdict = check(intent, situation, seat.limits, seat.controls)
        if not (isinstance(verdict, Refused) and is_repeated(flow, slot, verdict)):
            answer(flow, intent, verdict, situation)


def protective(state: State, slot: Slot) -> list[Order]:
    """Stops and targets that stand for a position and are not on their way out."""
    return [
        order
        for order in state.account.orders.values()
        if is_protective(order) and slot_of(order) == slot and not order.cancel_requested
    ]


def is_protective(order: Order) -> bool:
    """A stop or a target."""
    return order.intent.role.is_stop or order.intent.role is OrderRole.TARGET


def _is_way_out(order: Order) -> bool:
    """A stop that is to stay, or a market order that closes."""
    intent = order.intent
    return intent.reduce_only and intent.role is not OrderRole.TARGET and not order.cancel_requested


def _fits(order: Order, leg: Leg) -> bool:
    price = order.intent.stop_price if leg.role.is_stop else order.intent.limit_price
    return order.remaining == leg.quantity and price == leg.price
