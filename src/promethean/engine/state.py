"""What the engine knows, and how each fact changes it.

`absorb` is the only way a state changes, so a state is the sum of a journal: restarting is replaying.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from promethean.domain.accounts import AccountMode
from promethean.domain.events import (
    START_RECORDS,
    AccountOpened,
    BreakerTripped,
    CancelRequested,
    CandleClosed,
    DayStarted,
    Event,
    FundingPaid,
    HaltLifted,
    HaltSet,
    IntentRefused,
    LeaseLost,
    OrderAccepted,
    OrderAdopted,
    OrderCancelled,
    OrderClaimed,
    OrderDropped,
    OrderExpired,
    OrderFilled,
    OrderFoundAbsent,
    OrderOutcomeUnknown,
    OrderPlanned,
    OrderRejected,
    PositionClosed,
    QuoteObserved,
    Reconciled,
    RecordingEnded,
    RunFinished,
    RunnerStarted,
    SignalRaised,
    StrategyKept,
    StrategyReloaded,
)
from promethean.domain.ids import AccountId, InstrumentId, Lineage, OrderId, StrategyId
from promethean.domain.market import Mark, MarketView
from promethean.domain.money import MONEY_STEP
from promethean.domain.orders import Order, OrderRole, OrderStatus, OrderStep, Protection
from promethean.domain.positions import Fill, Position
from promethean.engine.tallies import Day, Totals
from promethean.execution.bracket import Bracket, Stop

ZERO = Decimal(0)
Slot = tuple[StrategyId, InstrumentId]
ENDED_KEPT = 64  # orders that ended and may still see a late or a repeated report


class Holding(Struct, frozen=True):
    """An open position with the exits it was entered with.

    tiers_done: tiers that have closed their share.  used: quote units of the account's budget that it takes.
    stop:       the last stop that was planned for it as an order of our own; None before there was one.
    """

    position: Position
    protection: Protection | None
    tiers_done: int = 0
    used: Decimal = ZERO
    stop: Stop | None = None

    @property
    def bracket(self) -> Bracket | None:
        """The position with its exits; None where it was entered without."""
        return None if self.protection is None else Bracket(self.position, self.protection, self.tiers_done)


def _empty() -> Mapping[Any, Any]:
    return MappingProxyType({})


class Account(Struct, frozen=True):
    """One account: everything its own journal stream says.

    sequence: number of the last row of its stream.  cash: quote units of `currency`.
    reconciled: whether orders and positions agree with the venue's since the last start.
    closing:  whether a recording has ended and what was open then is closed at its last close.
    orders:   the ones that are not terminal.  ended: the last ones that ended, for fills that come late or again.
    holdings: open positions, per strategy and instrument.  stopped_at: when a stop last closed a position there.
    refused:  the last refusal, whose it was and its code; None once anything else has happened.
    """

    id: AccountId
    sequence: int = 0
    currency: str = ""
    cash: Decimal = ZERO
    lineage: Lineage | None = None
    epoch: int = 0
    lease_held: bool = False
    store_healthy: bool = False
    mode: AccountMode = AccountMode.READ_ONLY
    reconciled: bool = False
    halts: frozenset[str] = frozenset()
    closing: bool = False
    finished: bool = False
    day: Day | None = None
    orders: Mapping[OrderId, Order] = field(default_factory=_empty)
    ended: Mapping[OrderId, Order] = field(default_factory=_empty)
    holdings: Mapping[Slot, Holding] = field(default_factory=_empty)
    stopped_at: Mapping[Slot, int] = field(default_factory=_empty)
    refused: tuple[Slot, str] | None = None
    totals: Totals = Totals()


class State(Struct, frozen=True):
    """An account, the market it sees, and the time of the last event."""

    account: Account
    view: MarketView
    now_ns: int

    def equity(self) -> Decimal | None:
        """Cash plus positions at their marks, quote units; None while a held instrument has no price."""
        equity = self.account.cash
        for holding in self.account.holdings.values():
            mark = self.view.mark(holding.position.instrument)
            if mark is None:
                return None
            equity += holding.position.margin + holding.position.unrealised(_price(mark))
        return equity

    def exposure(self) -> Decimal | None:
        """Open, pending and unknown notional, quote units; None while a held instrument has no price."""
        exposure = ZERO
        for holding in self.account.holdings.values():
            mark = self.view.mark(holding.position.instrument)
            if mark is None:
                return None
            exposure += abs(holding.position.quantity) * _price(mark)
        for order in self.account.orders.values():
            if not order.intent.reduce_only:
                exposure += order.remaining * order.intent.expected_price
        return exposure


def _price(mark: Mark) -> Decimal:
    return Decimal(repr(mark.price))


def absorb(state: State, event: Event) -> State:
    """What is known after `event`.  Pure: the same state and event give the same answer, and nothing is decided."""
    if type(event) is CandleClosed:
        now_ns = event.candle.close_time_ns
        return State(state.account, state.view.with_candle(event.candle), max(now_ns, state.now_ns))
    if type(event) is QuoteObserved:
        return State(state.account, state.view.with_quote(event.quote), max(event.quote.at_ns, state.now_ns))
    changes = _CHANGES[type(event)](state.account, event)
    if state.account.refused is not None and type(event) not in _NOTHING_NEW:
        changes["refused"] = None
    account = replace(state.account, sequence=state.account.sequence + 1, **changes)
    return State(account, state.view, max(state.now_ns, event.at_ns))


# ---------------------------------------------------------------- for each kind of fact: the fields it changes

Changes = dict[str, Any]
_NOTHING_NEW = frozenset(
    {SignalRaised, IntentRefused, StrategyKept, *START_RECORDS}
)  # a start changes nothing that was refused for


def _account_opened(account: Account, event: AccountOpened) -> Changes:
    return {"currency": event.currency, "cash": event.balance}


def _runner_started(account: Account, event: RunnerStarted) -> Changes:
    # Until it has reconciled an account may only reduce: orders in flight at the end of the last run are not settled.
    return {
        "lineage": event.lineage,
        "epoch": event.epoch,
        "lease_held": True,
        "store_healthy": True,
        "mode": AccountMode.REDUCING,
        "reconciled": False,
    }


def _reconciled(account: Account, event: Reconciled) -> Changes:
    return {"mode": AccountMode.HALTED if account.halts else AccountMode.ACTIVE, "reconciled": True}


def _recording_ended(account: Account, event: RecordingEnded) -> Changes:
    return {"closing": True}


def _run_finished(account: Account, event: RunFinished) -> Changes:
    return {"finished": True}


def _day_started(account: Account, event: DayStarted) -> Changes:
    return {"day": Day(event.day, event.equity)}


def _breaker_tripped(account: Account, event: BreakerTripped) -> Changes:
    assert account.day is not None, "a breaker trips within a day that has started"
    return {"day": replace(account.day, breaker=event.code, breaker_at_ns=event.at_ns)}


def _halt_set(account: Account, event: HaltSet) -> Changes:
    return {"halts": account.halts | {event.scope}, "mode": AccountMode.HALTED}


def _halt_lifted(account: Account, event: HaltLifted) -> Changes:
    halts = account.halts - {event.scope}
    if halts:
        return {"halts": halts}
    # Lifting a halt opens no account that still differs from its venue.
    return {"halts": halts, "mode": AccountMode.ACTIVE if account.reconciled else AccountMode.REDUCING}


def _strategy_told(account: Account, event: StrategyReloaded | StrategyKept) -> Changes:
    return {}  # the desk changes, and nothing that an account is


def _lease_lost(account: Account, event: LeaseLost) -> Changes:
    return {"lease_held": False}


def _signal_raised(account: Account, event: SignalRaised) -> Changes:
    return {"totals": replace(account.totals, signals=account.totals.signals + 1)}


def _intent_refused(account: Account, event: IntentRefused) -> Changes:
    slot = event.intent.strategy, event.intent.instrument
    totals = replace(account.totals, refusals=account.totals.refusals + 1)
    return {"totals": totals, "refused": (slot, event.refused.code)}


def _order_planned(account: Account, event: OrderPlanned) -> Changes:
    order = Order(event.order_id, event.client_order_id, event.intent, request_sequence=account.sequence + 1)
    day = account.day
    if event.intent.role is OrderRole.ENTRY and day is not None:
        day = replace(day, entries=day.entries + 1)
    totals = replace(account.totals, orders=account.totals.orders + 1)
    changes: Changes = {"orders": {**account.orders, order.id: order}, "day": day, "totals": totals}
    stop_price, slot = event.intent.stop_price, (event.intent.strategy, event.intent.instrument)
    if event.intent.role.is_stop and stop_price is not None and slot in account.holdings:
        holding = replace(account.holdings[slot], stop=Stop(event.intent.role, stop_price))
        changes["holdings"] = {**account.holdings, slot: holding}
    return changes


def _order_claimed(account: Account, event: OrderClaimed) -> Changes:
    order = account.orders[event.order_id].after(OrderStep.CLAIMED)
    order = replace(order, sent_at_ns=event.at_ns, valid_until_ns=event.valid_until_ns)
    return _with_order(account, order)


def _order_dropped(account: Account, event: OrderDropped) -> Changes:
    return _stepped(account, event.order_id, OrderStep.DROPPED, None)


def _order_adopted(account: Account, event: OrderAdopted) -> Changes:
    if event.order_id in account.orders or event.order_id in account.ended:
        return {}  # a pass that was interrupted is told again
    return {"orders": {**account.orders, event.order_id: event.order()}}


def _order_accepted(account: Account, event: OrderAccepted) -> Changes:
    order = account.orders.get(event.order_id)
    if order is None:
        return {}  # a repeated report about an order that has ended
    order = replace(order.after(OrderStep.ACCEPTED), venue_order_id=event.venue_order_id, evidence_id=event.evidence_id)
    return _with_order(account, order)


def _order_rejected(account: Account, event: OrderRejected) -> Changes:
    changes = _stepped(account, event.order_id, OrderStep.REJECTED, event.evidence_id)
    order = account.orders.get(event.order_id)
    if order is None or not order.intent.role.is_stop:
        return changes
    slot = order.intent.strategy, order.intent.instrument
    holding = account.holdings.get(slot)
    if holding is not None:
        # It never came to rest: the stop of the position is the one that stands beside it, if any does.
        stop = _standing_stop(account, slot, event.order_id)
        changes["holdings"] = {**account.holdings, slot: replace(holding, stop=stop)}
    return changes


def _standing_stop(account: Account, slot: Slot, but: OrderId) -> Stop | None:
    """The last stop that was planned for a position and has not ended, another order left aside."""
    stops = [
        Stop(order.intent.role, order.intent.stop_price)
        for order in account.orders.values()
        if order.id != but
        and order.intent.role.is_stop
        and order.intent.stop_price is not None
        and (order.intent.strategy, order.intent.instrument) == slot
    ]
    return stops[-1] if stops else None


def _order_outcome_unknown(account: Account, event: OrderOutcomeUnknown) -> Changes:
    return _stepped(account, event.order_id, OrderStep.OUTCOME_UNKNOWN, None)


def _order_found_absent(account: Account, event: OrderFoundAbsent) -> Changes:
    return _stepped(account, event.order_id, OrderStep.FOUND_ABSENT, event.evidence_id)


def _order_cancelled(account: Account, event: OrderCancelled) -> Changes:
    return _stepped(account, event.order_id, OrderStep.CANCELLED, event.evidence_id)


def _order_expired(account: Account, event: OrderExpired) -> Changes:
    return _stepped(account, event.order_id, OrderStep.EXPIRED, event.evidence_id)


def _cancel_requested(account: Account, event: CancelRequested) -> Changes:
    order = account.orders.get(event.order_id)
    if order is None:
        return {}
    order = replace(order, cancel_requested_at_ns=event.at_ns, request_sequence=account.sequence + 1)
    return _with_order(account, order)


def _order_filled(account: Account, event: OrderFilled) -> Changes:
    fill = event.fill
    order = account.orders.get(fill.order_id) or account.ended.get(fill.order_id)
    assert order is not None, f"a fill of an order that is not ours: {fill}"
    if fill.trade_id in order.trade_ids:
        return {}  # a repeated report
    order = order_filled(order, event)
    changes = {**_with_order(account, order), **_booked(account, order, event)}
    if event.exits is not None:
        _hold_exits(account, changes, order, event)
    return changes


def _hold_exits(account: Account, changes: Changes, filled: Order, event: OrderFilled) -> None:
    """The exits that the venue holds for the position are now exactly those that it names."""
    orders, ended = changes["orders"], changes.get("ended", account.ended)
    named = {exit.order_id: exit for exit in event.exits or ()}
    intent = filled.intent
    for order in tuple(orders.values()):
        is_its_exit = order.parent is not None and order.intent.strategy == intent.strategy
        if is_its_exit and order.intent.instrument == intent.instrument and order.id not in named:
            del orders[order.id]
            ended = _with_ended(ended, replace(order.after(OrderStep.CANCELLED), evidence_id=event.evidence_id))
    new = 0
    for identity, exit in named.items():
        known = orders.get(identity)
        if known is not None:
            orders[identity] = replace(known, intent=exit.intent)
        else:
            orders[identity] = exit.order(event.at_ns, event.evidence_id)
            new += 1
    changes["ended"] = ended
    changes["totals"] = replace(changes["totals"], orders=changes["totals"].orders + new)


def order_filled(order: Order, event: OrderFilled) -> Order:
    """The order after one more fill; the status of an order that has ended stays."""
    fill = event.fill
    filled = order.filled_quantity + fill.quantity
    step = OrderStep.FILLED if filled >= order.intent.quantity else OrderStep.PARTLY_FILLED
    return replace(
        order.after(step),
        filled_quantity=filled,
        filled_notional=order.filled_notional + fill.notional,
        fee=order.fee + fill.fee.amount,
        evidence_id=event.evidence_id,
        trade_ids=(*order.trade_ids, fill.trade_id),
        filled_at_ns=fill.executed_at_ns,
    )


def _booked(account: Account, order: Order, event: OrderFilled) -> Changes:
    """The money and the position that a fill moves."""
    fill, intent = event.fill, order.intent
    slot = (intent.strategy, intent.instrument)
    holding = account.holdings.get(slot) or Holding(Position.flat(intent), None)
    position, booking = holding.position.apply(fill)
    holdings = dict(account.holdings)
    stopped_at = account.stopped_at
    if position.is_open:
        protection = intent.protection if intent.role is OrderRole.ENTRY else holding.protection
        tiers_done = holding.tiers_done
        if intent.role is OrderRole.TARGET and order.status is OrderStatus.FILLED:
            tiers_done = max(tiers_done, intent.leg)
        used = _budget_used(holding, position, order, fill)
        holdings[slot] = Holding(position, protection, tiers_done, used, holding.stop)
    else:
        holdings.pop(slot, None)
        if intent.role.is_stop or intent.role is OrderRole.LIQUIDATION:
            stopped_at = {**stopped_at, slot: fill.executed_at_ns}
    totals = replace(
        account.totals,
        fills=account.totals.fills + 1,
        fees=account.totals.fees + fill.fee.amount,
        realised=account.totals.realised + booking.realised,
    )
    day = account.day
    if day is not None:
        day = replace(day, realised=day.realised + booking.realised, fees=day.fees + fill.fee.amount)
    return {
        "cash": account.cash + booking.cash,
        "day": day,
        "holdings": holdings,
        "stopped_at": stopped_at,
        "totals": totals,
    }


def _budget_used(holding: Holding, position: Position, order: Order, fill: Fill) -> Decimal:
    """What an entry reserved stays taken while it is held, in proportion to what is left of it."""
    if not order.intent.reduce_only:
        return holding.used + order.intent.reserved(fill.quantity)
    held = abs(holding.position.quantity)
    if not held:
        return fill.notional  # an exit that came after the position was gone has opened one
    return (holding.used * abs(position.quantity) / held).quantize(MONEY_STEP)


def _funding_paid(account: Account, event: FundingPaid) -> Changes:
    slot = (event.strategy, event.instrument)
    holding, totals, day, amount = account.holdings[slot], account.totals, account.day, event.amount
    holding = replace(holding, position=holding.position.funded(amount, event.at_ns))
    return {
        "cash": account.cash - amount,
        "holdings": {**account.holdings, slot: holding},
        "totals": replace(totals, funding=totals.funding + amount),
        "day": day if day is None else replace(day, funding=day.funding + amount),
    }


def _position_closed(account: Account, event: PositionClosed) -> Changes:
    totals = account.totals
    won, lost = event.pnl > 0, event.pnl < 0
    totals = replace(totals, trades=totals.trades + 1, wins=totals.wins + won, losses=totals.losses + lost)
    day = account.day
    if day is not None:
        streak = day.losing_streak + 1 if lost else 0 if won else day.losing_streak
        day = replace(day, trades=day.trades + 1, wins=day.wins + won, losses=day.losses + lost, losing_streak=streak)
    return {"totals": totals, "day": day}


def _with_order(account: Account, order: Order) -> Changes:
    """This order changed; one that has ended leaves the live ones."""
    orders = dict(account.orders)
    if not order.status.is_terminal:
        orders[order.id] = order
        return {"orders": orders}
    orders.pop(order.id, None)
    return {"orders": orders, "ended": _with_ended(account.ended, order)}


def _with_ended(ended: Mapping[OrderId, Order], order: Order) -> Mapping[OrderId, Order]:
    kept = {**ended, order.id: order}
    if len(kept) > ENDED_KEPT:
        del kept[next(iter(kept))]
    return kept


def _stepped(account: Account, order_id: OrderId, step: OrderStep, evidence: str | None) -> Changes:
    order = account.orders.get(order_id)
    if order is None:
        return {}  # a repeated or late report about an order that has ended changes nothing
    order = order.after(step)
    return _with_order(account, order if evidence is None else replace(order, evidence_id=evidence))


_CHANGES: Mapping[type[Any], Callable[[Account, Any], Changes]] = MappingProxyType(
    {
        AccountOpened: _account_opened,
        RunnerStarted: _runner_started,
        Reconciled: _reconciled,
        RecordingEnded: _recording_ended,
        RunFinished: _run_finished,
        DayStarted: _day_started,
        BreakerTripped: _breaker_tripped,
        HaltSet: _halt_set,
        HaltLifted: _halt_lifted,
        StrategyReloaded: _strategy_told,
        StrategyKept: _strategy_told,
        LeaseLost: _lease_lost,
        SignalRaised: _signal_raised,
        IntentRefused: _intent_refused,
        OrderPlanned: _order_planned,
        OrderClaimed: _order_claimed,
        OrderDropped: _order_dropped,
        OrderAccepted: _order_accepted,
        OrderAdopted: _order_adopted,
        OrderRejected: _order_rejected,
        OrderOutcomeUnknown: _order_outcome_unknown,
        OrderFoundAbsent: _order_found_absent,
        OrderFilled: _order_filled,
        OrderCancelled: _order_cancelled,
        OrderExpired: _order_expired,
        CancelRequested: _cancel_requested,
        FundingPaid: _funding_paid,
        PositionClosed: _position_closed,
    }
)
