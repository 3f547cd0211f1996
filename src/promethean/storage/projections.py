"""Tables that follow from the journal: what each account fact changes, written in the fact's own transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from promethean.domain.errors import StoreError
from promethean.domain.events import (
    AccountEvent,
    AccountOpened,
    BreakerTripped,
    CancelRequested,
    DayStarted,
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
    Reconciled,
    RecordingEnded,
    RunFinished,
    RunnerStarted,
    SignalRaised,
    StrategyKept,
    StrategyReloaded,
)
from promethean.domain.ids import AccountId, InstrumentId, OrderId, StrategyId, UserId, fact_id
from promethean.domain.instants import DAY_NS, to_datetime
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.margin import MAINTENANCE, Margin
from promethean.domain.market import Side
from promethean.domain.money import plain
from promethean.domain.orders import Intent, Order, OrderRole
from promethean.domain.positions import Position
from promethean.engine.state import Account, Holding, order_filled
from promethean.storage.encoding import canonical, to_json
from promethean.storage.rows import Rows

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose facts are projected.

    strategies: row id of each strategy; the hashes are of what decided.
    maintenance: share of a perpetual's notional that its venue wants left of the margin.
    is_funded:  whether it is known what positions pay for funding: nothing for spot, what the venue books for futures.
    """

    account: AccountId
    user: UserId
    budget: str
    instruments: Mapping[InstrumentId, Instrument]
    strategies: Mapping[StrategyId, str]
    build_hash: str
    limits_hash: str
    is_funded: bool
    maintenance: Decimal = MAINTENANCE


def budget_use(account: Account) -> tuple[Decimal, Decimal]:
    """Quote units reserved by entries under way, and used by what is held."""
    reserved = ZERO
    for order in account.orders.values():
        if not order.intent.reduce_only:
            reserved += order.intent.reserved(order.remaining)
    used = sum((holding.used for holding in account.holdings.values()), ZERO)
    return reserved, used


class Projector:
    """Makes the rows that follow from one account's facts."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._rows = Rows()
        self._signal: dict[str, Any] | None = None  # the row of the last signal, until an order follows from it
        self._changed: dict[OrderId, tuple[Order, int]] = {}  # orders whose row is due, with the fencing epoch
        self._parameters: dict[OrderId, tuple[str, str]] = {}  # decision id and parameter hash of live orders

    def take(self) -> Rows:
        """The rows noted so far; noting starts afresh."""
        for order, epoch in self._changed.values():
            self._order_row(order, epoch)
        self._changed = {}
        rows, self._rows, self._signal = self._rows, Rows(), None
        return rows

    def note(self, before: Account, after: Account, event: AccountEvent, received_at_ns: int) -> None:
        """Add what `event` changes.  before, after: the account around it."""
        match event:
            case SignalRaised():
                self._signal = self._signal_row(event, after)
            case OrderPlanned():
                if self._signal is not None:  # a signal and what follows from it are facts of one step
                    self._signal.update(executed=True, order_id=event.order_id)
                    self._signal = None
                self._decision(event.order_id, "pass", None, event.intent, event.inputs, event.at_ns)
                self._order(after.orders[event.order_id], after)
                if event.reservation:
                    self._reservation(event.order_id, event.reservation, None)
            case IntentRefused():
                self._signal = None
                identity = fact_id(self._owner.account, after.lineage, after.sequence, "refused")
                self._decision(identity, "refused", event.refused.code, event.intent, event.inputs, event.at_ns)
            case OrderAdopted():
                self._adopted(before, after, event, received_at_ns)
            case OrderFilled():
                self._filled(before, after, event, received_at_ns)
            case FundingPaid():
                self._funding(event, after)
            case AccountOpened():
                self._deposit(event)
            case DayStarted() | BreakerTripped() | PositionClosed():
                self._day(event, after)
            case HaltSet():
                self._risk_event("kill_switch_activated", "critical", event.reason, event, after)
            case OrderOutcomeUnknown():
                self._risk_event("order_unknown", "warning", event.reason, event, after)
                self._order_of(event.order_id, before, after)
            case OrderAccepted() | OrderRejected() | OrderCancelled() | OrderExpired() | OrderFoundAbsent():
                self._evidence(event.order_id, event.evidence_id, event, received_at_ns)
                self._order_of(event.order_id, before, after)
            case OrderClaimed() | OrderDropped() | CancelRequested():
                self._order_of(event.order_id, before, after)
            case StrategyReloaded() | StrategyKept():
                pass  # the row of the strategy is written by who reloads it
            case RunnerStarted() | Reconciled() | RecordingEnded() | RunFinished() | HaltLifted() | LeaseLost():
                pass  # they change nothing that a table shows

    # ------------------------------------------------------------ one method for each table

    def _signal_row(self, event: SignalRaised, after: Account) -> dict[str, Any]:
        signal = event.signal
        identity = fact_id(self._owner.account, after.lineage, after.sequence, "signal")
        return self._rows.add(
            "signals",
            identity,
            id=identity,
            user_id=self._owner.user,
            strategy_id=self._owner.strategies.get(signal.strategy),
            symbol=self._symbol(signal.instrument),
            timeframe=signal.timeframe,
            type=signal.type.value,
            source=signal.source.value,
            confidence=signal.confidence,
            reason=signal.reason,
            metadata=dict(signal.metadata),
            close_percentage=signal.close_percentage,
            executed=False,
            order_id=None,
            at_ns=signal.at_ns,
        )

    def _decision(
        self, intent_id: str, verdict: str, code: str | None, intent: Intent, inputs: Mapping[str, str], at_ns: int
    ) -> None:
        text = canonical(to_json(inputs))
        self._rows.add(
            "risk_decisions",
            intent_id,
            id=fact_id(intent_id, "decision"),
            user_id=self._owner.user,
            intent_id=intent_id,
            verdict=verdict,
            code=code,
            inputs_hash=fact_id(text),
            inputs={"role": intent.role.value, "notional": plain(intent.notional), **inputs},
            limits_hash=self._owner.limits_hash,
            build_hash=self._owner.build_hash,
            decided_at_ns=at_ns,
        )

    def _order_of(self, identity: OrderId, before: Account, after: Account) -> None:
        order = after.orders.get(identity) or after.ended.get(identity)
        if order is not None:
            self._order(order, after)
            if order.status.is_terminal and identity in before.orders:
                self._release(before.orders[identity], order)

    def _order(self, order: Order, after: Account) -> None:
        self._changed[order.id] = order, after.epoch

    def _order_row(self, order: Order, epoch: int) -> None:
        intent = order.intent
        instrument = self._owner.instruments[intent.instrument]
        known = self._parameters.get(order.id)
        if known is None:
            known = fact_id(order.id, "decision"), fact_id(canonical(to_json(intent)))
            self._parameters[order.id] = known
        if order.status.is_terminal:
            del self._parameters[order.id]
        self._rows.add(
            "orders",
            order.id,
            id=order.id,
            user_id=self._owner.user,
            strategy_id=self._owner.strategies.get(intent.strategy),
            exchange_account_id=self._owner.account,
            client_order_id=order.client_order_id,
            exchange_order_id=order.venue_order_id,
            symbol=instrument.symbol,
            market_type=instrument.market_type.value,
            side=intent.side.value,
            type=intent.type.value,
            role=intent.role.value,
            time_in_force=intent.time_in_force.value,
            status=order.status.value,
            price=intent.limit_price,
            stop_price=intent.stop_price,
            quantity=intent.quantity,
            quantity_unit="base",
            filled_quantity=min(order.filled_quantity, intent.quantity),
            average_price=order.average_price and round(order.average_price, 12),
            reduce_only=intent.reduce_only,
            post_only=False,
            reasoning=intent.reason,
            risk_decision_id=known[0],
            parameter_hash=known[1],
            reservation=ZERO if intent.reduce_only else intent.reserved(order.remaining),
            fencing_epoch=epoch,
            evidence_id=order.evidence_id,
            fee=order.fee,
            fee_currency=instrument.quote,
            decided_at_ns=intent.decided_at_ns,
            valid_until_ns=order.valid_until_ns,
            expires_at_ns=intent.expires_at_ns,
            sent_at=_instant(order.sent_at_ns),
            filled_at=_instant(order.filled_at_ns),
        )

    def _reservation(self, identity: OrderId, amount: Decimal, released_at: datetime | None) -> None:
        self._rows.add(
            "reservations",
            identity,
            id=fact_id(identity, "reservation"),
            user_id=self._owner.user,
            intent_id=identity,
            budget_id=self._owner.budget,
            amount=amount,
            released_at=released_at,
        )

    def _release(self, before: Order, ended: Order) -> None:
        intent = ended.intent
        if not intent.reduce_only:
            released_ns = ended.filled_at_ns or before.sent_at_ns or intent.decided_at_ns
            self._reservation(ended.id, intent.reservation, _instant(released_ns))

    def _evidence(self, order: OrderId, identity: str, event: AccountEvent, received_at_ns: int) -> None:
        self._rows.add(
            "venue_evidence",
            identity,
            id=identity,
            user_id=self._owner.user,
            order_id=order,
            kind="reply",
            body=canonical(to_json(event)),
            received_at=_instant(received_at_ns),
        )

    def _filled(self, before: Account, after: Account, event: OrderFilled, received_at_ns: int) -> None:
        fill = event.fill
        order = before.orders.get(fill.order_id) or before.ended[fill.order_id]
        if fill.trade_id in order.trade_ids:
            return
        slot = (order.intent.strategy, order.intent.instrument)
        held = before.holdings.get(slot) or Holding(Position.flat(order.intent), None)
        position, booking = held.position.apply(fill)
        self._evidence(fill.order_id, event.evidence_id, event, received_at_ns)
        filled = order_filled(order, event)
        self._order(filled, after)
        if filled.status.is_terminal:
            self._release(order, filled)
        if event.exits is not None:
            self._exits(before, after, event)
        fill_id = fact_id(fill.order_id, fill.trade_id)
        self._rows.add(
            "fills",
            fill_id,
            id=fill_id,
            user_id=self._owner.user,
            exchange_account_id=self._owner.account,
            order_id=fill.order_id,
            venue_trade_id=fill.trade_id,
            price=fill.price,
            quantity=fill.quantity,
            fee=fill.fee.amount,
            fee_currency=fill.fee.currency,
            liquidity="maker" if fill.maker else "taker",
            executed_at_ns=fill.executed_at_ns,
            received_at_ns=received_at_ns,
        )
        kind = "open" if booking.margin > 0 else "close"
        entries = [
            ("cash", booking.cash, kind),
            ("position", booking.margin, kind),
            ("realised", -booking.realised, kind),
            ("fee", booking.fee, "fee"),
        ]
        self._ledger(fill_id, entries, fill.fee.currency, fill.order_id, fill_id, fill.executed_at_ns)
        intent = order.intent
        is_long = (intent.side is Side.BUY) == (intent.role is OrderRole.ENTRY)
        closed_at = None if position.is_open else _instant(fill.executed_at_ns)
        self._position(position, after.holdings.get(slot) or held, is_long, closed_at, intent.role.value)

    def _adopted(self, before: Account, after: Account, event: OrderAdopted, received_at_ns: int) -> None:
        """An order of the venue's own; what let the entry pass has let it pass."""
        if event.order_id in before.orders or event.order_id in before.ended:
            return
        self._evidence(event.order_id, event.evidence_id, event, received_at_ns)
        self._decision(event.order_id, "pass", None, event.intent, {"adopted": event.intent.reason}, event.at_ns)
        self._order(after.orders[event.order_id], after)

    def _funding(self, event: FundingPaid, after: Account) -> None:
        holding = after.holdings[event.strategy, event.instrument]
        transaction = fact_id(self._owner.account, event.strategy, event.instrument, "funding", event.at_ns)
        entries = [("cash", -event.amount, "funding"), ("funding", event.amount, "funding")]
        self._ledger(transaction, entries, after.currency, None, None, event.at_ns)
        self._position(holding.position, holding, holding.position.quantity > 0, None, None)
        self._day(event, after)

    def _exits(self, before: Account, after: Account, event: OrderFilled) -> None:
        """The orders that the venue made, moved or ended with a fill; what let the entry pass let them pass."""
        for order in (*after.orders.values(), *after.ended.values()):
            known = before.orders.get(order.id)
            if order.parent is None or order is known or (known is None and order.id in before.ended):
                continue
            if known is None:
                self._decision(order.id, "pass", None, order.intent, {"entry": order.parent}, event.at_ns)
            self._order(order, after)

    def _deposit(self, event: AccountOpened) -> None:
        transaction = fact_id(self._owner.account, "opened")
        entries = [("cash", event.balance, "deposit"), ("external", -event.balance, "deposit")]
        self._ledger(transaction, entries, event.currency, None, None, event.at_ns)

    def _ledger(
        self,
        transaction: str,
        entries: list[tuple[str, Decimal, str]],
        currency: str,
        order: OrderId | None,
        fill: str | None,
        at_ns: int,
    ) -> None:
        for account, amount, kind in entries:
            if amount:
                identity = fact_id(transaction, account)
                self._rows.add(
                    "ledger_entries",
                    identity,
                    id=identity,
                    transaction_id=transaction,
                    user_id=self._owner.user,
                    exchange_account_id=self._owner.account,
                    account=account,
                    currency=currency,
                    amount=amount,
                    order_id=order,
                    fill_id=fill,
                    kind=kind,
                    at_ns=at_ns,
                )

    def _position(
        self, position: Position, holding: Holding, is_long: bool, closed_at: datetime | None, reason: str | None
    ) -> None:
        """reason: role of the order that closed it; not told while it is open."""
        instrument = self._owner.instruments[position.instrument]
        identity = fact_id(self._owner.account, position.strategy, position.instrument, position.opened_at_ns)
        self._rows.add(
            "positions",
            identity,
            id=identity,
            user_id=self._owner.user,
            exchange_account_id=self._owner.account,
            strategy_id=self._owner.strategies.get(position.strategy),
            symbol=instrument.symbol,
            market_type=instrument.market_type.value,
            side="long" if is_long else "short",
            quantity=abs(position.quantity),
            original_quantity=position.original_quantity,
            entry_price=round(position.entry_price, 12),
            leverage=position.leverage,
            liquidation_price=self._liquidation_price(position, instrument),
            margin_mode=None if instrument.market_type is MarketType.SPOT else "isolated",
            realised_pnl=position.realised,
            fees=position.fees,
            funding=position.funding if self._owner.is_funded else None,
            take_profit_tiers=_tiers(holding),
            status="open" if position.is_open else "liquidated" if reason == OrderRole.LIQUIDATION else "closed",
            opened_at=_instant(position.opened_at_ns),
            closed_at=closed_at,
            close_reason=None if closed_at is None else reason,
        )

    def _liquidation_price(self, position: Position, instrument: Instrument) -> Decimal | None:
        if not position.is_open or instrument.market_type is MarketType.SPOT:
            return None
        margin = Margin(position.leverage, self._owner.maintenance)
        return margin.liquidation_price(position.entry_price, position.side, instrument)

    def _day(self, event: DayStarted | BreakerTripped | PositionClosed | FundingPaid, after: Account) -> None:
        day = after.day
        if day is None:
            return
        if isinstance(event, DayStarted):
            identity = fact_id(self._owner.account, "day", day.number)
            self._rows.add(
                "equity_snapshots",
                identity,
                id=identity,
                user_id=self._owner.user,
                exchange_account_id=self._owner.account,
                strategy_id=None,
                at=_instant(event.at_ns),
                equity=day.equity,
                cash=after.cash,
                unrealised=day.equity - after.cash - sum((h.position.margin for h in after.holdings.values()), ZERO),
                day_start_equity=day.equity,
            )
        if isinstance(event, BreakerTripped):
            self._risk_event("circuit_breaker_triggered", "critical", f"{event.code}: {event.value}", event, after)
        self._rows.add(
            "circuit_breaker_states",
            self._owner.user,
            user_id=self._owner.user,
            is_triggered=bool(day.breaker),
            triggered_at=_instant(day.breaker_at_ns),
            reason=day.breaker or None,
            day=to_datetime(day.number * DAY_NS).date().isoformat(),
            day_start_equity=day.equity,
            realised_pnl=day.realised,
            fees=day.fees,
            funding=day.funding if self._owner.is_funded else None,
            trades=day.trades,
            wins=day.wins,
            losses=day.losses,
            consecutive_losses=day.losing_streak,
        )

    def _risk_event(self, kind: str, severity: str, message: str, event: AccountEvent, after: Account) -> None:
        identity = fact_id(self._owner.account, after.lineage, after.sequence, kind)
        data = to_json(event)
        assert isinstance(data, dict), "an event is an object"
        self._rows.add(
            "risk_events",
            identity,
            id=identity,
            user_id=self._owner.user,
            event_type=kind,
            severity=severity,
            message=message,
            data={**data, "account": self._owner.account},
        )

    def _symbol(self, instrument: InstrumentId) -> str:
        known = self._owner.instruments.get(instrument)
        if known is None:
            raise StoreError(f"instrument {instrument} is not traded by account {self._owner.account}")
        return known.symbol


def _tiers(holding: Holding) -> list[dict[str, Any]]:
    """The take-profit tiers of a position: what each gains, or where it rests, its share, and whether it has closed."""
    if holding.protection is None:
        return []
    return [
        {
            **({"target": plain(tier.target)} if tier.price is None else {"price": plain(tier.price)}),
            "share": plain(tier.share),
            "done": number <= holding.tiers_done,
        }
        for number, tier in enumerate(holding.protection.tiers, 1)
    ]


def _instant(instant_ns: int | None) -> datetime | None:
    return None if instant_ns is None else to_datetime(instant_ns).astimezone(UTC)
