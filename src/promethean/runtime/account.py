"""One account at work: each event is journalled, stepped, its effects journalled, committed, then carried out.

Starting is recovering: take the lease, replay the stream, settle what was in flight with the venue, go on.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import get_args

from promethean.domain.candles import Candle
from promethean.domain.errors import StoreError
from promethean.domain.events import (
    AccountEvent,
    AccountOpened,
    CancelRequested,
    CandleClosed,
    Event,
    HaltLifted,
    HaltSet,
    MarketEvent,
    OrderCancelled,
    OrderClaimed,
    OrderDropped,
    OrderFoundAbsent,
    OrderOutcomeUnknown,
    OrderPlanned,
    OrderReport,
    QuoteObserved,
    Reconciled,
    RecordingEnded,
    RunFinished,
    RunnerStarted,
    StrategyKept,
    StrategyReloaded,
)
from promethean.domain.ids import InstrumentId, Lineage, OrderId, StrategyId, StreamName, fact_id
from promethean.domain.instants import NS_PER_S
from promethean.domain.market import MarketView
from promethean.domain.orders import VALIDITY_NS, Order, OrderStatus
from promethean.engine.desk import Desk
from promethean.engine.state import Account, State, absorb
from promethean.engine.step import follow
from promethean.exchanges.port import SimulatedVenue
from promethean.execution.bracket import Bracket
from promethean.risk.check import RESERVATION
from promethean.runtime.sender import Sender
from promethean.storage.journal import BudgetChange, Journal, Lease, Outcome, Reservation, Seen, account_stream
from promethean.storage.projections import Projector, budget_use

log = logging.getLogger(__name__)

DECISION_AGE_MAX_NS = 2 * NS_PER_S
ABSENT_READS = 3
READ_SPACING_NS = 2 * NS_PER_S
CLOCK_MARGIN_NS = NS_PER_S
MARKET_EVENTS = get_args(MarketEvent)

Now = Callable[[State], int]
Told = Callable[[Sequence[tuple[AccountEvent, State]]], None]
Request = OrderPlanned | CancelRequested


@dataclass(frozen=True, slots=True)
class Opening:
    """What a new account starts with.  balance: quote units of `currency`."""

    at_ns: int
    currency: str
    balance: Decimal
    exchange: str
    provenance: str


@dataclass(frozen=True, slots=True)
class Halt:
    """A kill latch that is set, as read from memory and file."""

    scope: str
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One fact with the states around it."""

    fact: AccountEvent
    before: State
    after: State
    received_at_ns: int


class AccountRunner:
    """The one writer of an account.

    now:   the account's clock: the time of the last event for recorded prices, the machine's for live ones.
    halts: reads the kill latches from memory and file.
    told:  is shown committed facts, each with the state right after it.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        lease: Lease,
        desk: Desk,
        venue: SimulatedVenue,
        projector: Projector,
        opening: Opening,
        build: str,
        config_hash: str,
        now: Now,
        wall_ns: Callable[[], int],
        halts: Callable[[], Sequence[Halt]],
        told: Told | None = None,
    ) -> None:
        self._journal = journal
        self._lease = lease
        self._desk = desk
        self._venue = venue
        self._projector = projector
        self.opening = opening
        self._build = build
        self._config_hash = config_hash
        self._now = now
        self._wall_ns = wall_ns
        self._halts = halts
        self._told = told
        self._sender = Sender(venue, self._halted)
        self._stream = account_stream(lease.account)
        self._requests: deque[Request] = deque()
        self._group: list[_Recorded] = []  # facts since the last commit
        self._unknown = False  # whether an order of unknown outcome may be there
        self._reads: dict[OrderId, tuple[int, int]] = {}
        self._budget = (Decimal(0), Decimal(0))
        self._market: StreamName | None = None
        self._sequence = 0  # of the last market event that the account has handled
        self.state = State(Account(lease.account), MarketView(), 0)

    # ------------------------------------------------------------ start

    async def start(self, view: MarketView, seen: Seen) -> None:
        """Replay the account's stream, then settle with the venue what was in flight.

        view: the market as it was known at `seen`, the last market event the account has handled.
        """
        self._market, self._sequence = seen.stream, seen.sequence
        await self._journal.verify(self._stream)  # a state is only as true as the journal it is the sum of
        head = await self._journal.open_stream(self._stream)
        self.state = State(self.state.account, view, view.as_of_ns)
        async for record in self._journal.read(self._stream):
            self.state = absorb(self.state, record.event())
        assert self.state.account.sequence == head, "a state is the sum of its journal"
        self._budget = budget_use(self.state.account)
        self._unknown = True  # the last process may have left one; the first market event looks
        if head == 0:
            opening = self.opening
            self._step(
                AccountOpened(opening.at_ns, opening.currency, opening.balance, opening.exchange, opening.provenance)
            )
        if not self.state.account.finished:
            await self._recover()

    async def _recover(self) -> None:
        account = self.state.account
        in_flight = [order for order in account.orders.values() if order.status is OrderStatus.SENDING]
        unresolved = [order for order in account.orders.values() if order.cancel_requested]
        self._venue.restore(
            account.orders.values(),
            [holding.position for holding in account.holdings.values()],
            account.cash,
            self._seen_at_ns(),
            _brackets(account),
        )
        lineage = Lineage(secrets.token_hex(8))
        self._step(RunnerStarted(self._time(), lineage, self._lease.epoch, self._build, self._config_hash))
        for order in account.orders.values():
            if order.status is OrderStatus.PLANNED:
                self._step(OrderDropped(self._time(), order.id, "restart"))
        for order in in_flight:
            self._step(
                OrderOutcomeUnknown(self._time(), order.id, "the process ended between the claim and the answer")
            )
        # In the order in which they were asked for, as an undisturbed run would have gone on.
        for order in sorted((*in_flight, *unresolved), key=lambda order: order.request_sequence):
            if order in in_flight:
                for report in await self._venue.lookup(order):
                    self._step(report)
            else:
                await self._carry_out_cancel(order)
        await self._carry_out_all()
        await self._reconcile()
        await self._follow_latches()
        await self.commit()

    async def _reconcile(self) -> None:
        """Compare with the venue's truth; the account becomes active only when nothing differs."""
        account = self.state.account
        theirs, ours = await self._venue.positions(), _held(account)
        foreign = set(await self._venue.open_orders()) - set(account.orders)
        if theirs != ours or foreign:
            log.error(
                "the venue holds other orders or positions than the journal; no new risk until a person has looked",
                extra={"venue": self._venue.name, "positions": theirs, "journal": ours, "foreign": sorted(foreign)},
            )
            return
        unknown = sum(order.status is OrderStatus.UNKNOWN for order in account.orders.values())
        self._step(Reconciled(self._time(), len(account.orders) - unknown, unknown))

    # ------------------------------------------------------------ events

    async def on_market(self, event: MarketEvent, sequence: int) -> None:
        """One market event: first what it does to resting orders, then what the strategies make of it.

        sequence: its number in the market stream that the account was started on.
        """
        for report in self._venue.advance(event):
            await self.take(report)
        self._sequence = sequence
        self._step(event)
        if self._requests:
            await self._carry_out_all()
        if self._unknown:
            await self._resolve_unknown()

    async def take(self, event: Event) -> None:
        """Step one event and carry out everything that follows from it."""
        self._step(event)
        if self._requests:
            await self._carry_out_all()

    async def finish(self, *, close: bool = False) -> None:
        """The recorded feed has ended.  close: what is open is closed at its last close."""
        if self.state.account.finished:
            return
        if close:
            await self._close_at_end()
        self._step(RunFinished(self._time()))

    async def _close_at_end(self) -> None:
        if not self.state.account.closing:  # else a start before this one has asked for it
            await self.take(RecordingEnded(self._time()))
        for seat in self._desk.seats:
            instrument, timeframe = seat.instrument.id, seat.strategy.timeframe
            for opened, *values in self.state.view.candles(instrument, timeframe).tail(1):
                candle = Candle(instrument, timeframe, opened, opened + seat.timeframe_ns, *values)
                for report in self._venue.finish(candle):
                    await self.take(report)

    async def _follow_latches(self) -> None:
        """Bring the account in line with the kill latches that are set now."""
        latched = {halt.scope: halt for halt in self._halts()}
        for scope in sorted(self.state.account.halts - set(latched)):
            await self.take(HaltLifted(self._time(), scope, "a person"))
        for scope, halt in latched.items():
            if scope not in self.state.account.halts:
                await self.take(HaltSet(self._time(), scope, halt.reason, halt.by, close=True))

    async def look_around(self) -> None:
        """What does not come as a market event: the kill latches.  Called between batches."""
        await self._follow_latches()

    async def use(self, desk: Desk, strategy: StrategyId, config_hash: str) -> None:
        """Go on with the desk of a strategy file that has changed; between two events."""
        self._desk = desk
        await self.take(StrategyReloaded(self._time(), strategy, config_hash))

    async def keep(self, strategy: StrategyId, reason: str) -> None:
        """Record that a strategy file has changed and is not used."""
        await self.take(StrategyKept(self._time(), strategy, reason))

    def _step(self, event: Event) -> None:
        before = self.state
        after, trail = follow(before, event, self._desk)
        self.state = trail[-1][1] if trail else after
        match event:
            case CandleClosed() | QuoteObserved():
                pass  # in the market's own stream already
            case _:
                self._record(event, before, after)
        for fact, then in trail:
            self._record(fact, after, then)
            after = then
            if isinstance(fact, OrderPlanned | CancelRequested):
                self._requests.append(fact)

    def _record(self, fact: AccountEvent, before: State, after: State) -> None:
        """Append one fact of the account to the journal; tables and people get it with the commit."""
        received_at_ns = self._wall_ns()
        self._journal.append(self._stream, fact, received_at_ns, self._seen())
        self._group.append(_Recorded(fact, before, after, received_at_ns))
        if type(fact) is OrderOutcomeUnknown:
            self._unknown = True

    # ------------------------------------------------------------ commit

    async def commit(self, planned: Sequence[OrderPlanned] = ()) -> None:
        """Write everything since the last commit; with `planned`, claim the one send of these orders as well.

        Raises LeaseLostError when another process has the account, StoreError when PostgreSQL fails: nothing of the
        group is true then, and the runner starts again from the journal.
        """
        before = self.state, self._journal.mark(), len(self._group)
        for plan in planned:
            self._claim(plan)
        outcome = await self._write(planned)
        if not outcome.written:
            # A kill, or no room in the budget: take the claims back and give up the orders that may not go.
            self.state, mark, facts = before
            self._journal.rewind(mark)
            del self._group[facts:]
            await self._claim_what_may_go(planned, outcome.halted)
        self._budget = budget_use(self.state.account)
        facts_told, self._group = self._group, []
        if self._told is not None and facts_told:
            self._told([(recorded.fact, recorded.after) for recorded in facts_told])

    async def _claim_what_may_go(self, planned: Sequence[OrderPlanned], halted: bool) -> None:
        wanted = [Reservation(plan.order_id, plan.reservation) for plan in planned if plan.reservation]
        fitting = await self._journal.set_aside(self._lease, wanted)
        going = []
        for plan in planned:
            if halted and not plan.intent.reduce_only:
                self._step(OrderDropped(self._time(), plan.order_id, "kill_switch"))
            elif plan.reservation and plan.order_id not in fitting:
                self._step(OrderDropped(self._time(), plan.order_id, RESERVATION))
            else:
                self._claim(plan)
                going.append(plan)
        outcome = await self._write(going)
        if not outcome.written:
            raise StoreError("the account's budget or its kill latch changed while an order was claimed")

    async def _write(self, planned: Sequence[OrderPlanned]) -> Outcome:
        claimed = [plan for plan in planned if plan.order_id in self.state.account.orders]
        aside = sum((plan.reservation for plan in claimed), Decimal(0))
        reserved, used = budget_use(self.state.account)
        change = BudgetChange(aside, reserved - self._budget[0] - aside, used - self._budget[1])
        for recorded in self._group:
            self._projector.note(
                recorded.before.account, recorded.after.account, recorded.fact, recorded.received_at_ns
            )
        seen = self._seen()
        # Its own stream too: rows cut off at the end of it are missed by the one who verifies.
        offsets = {seen.stream: seen.sequence, self._stream: self.state.account.sequence}
        claims_risk = any(not plan.intent.reduce_only for plan in claimed)
        return await self._journal.commit(self._lease, self._projector.take(), change, offsets, claims_risk=claims_risk)

    def _claim(self, plan: OrderPlanned) -> None:
        now_ns = self._time()
        is_old = now_ns - plan.intent.decided_at_ns > DECISION_AGE_MAX_NS
        if is_old and not plan.intent.reduce_only:  # a late stop is better than none
            self._step(OrderDropped(now_ns, plan.order_id, "decision_too_old"))
        else:
            self._step(OrderClaimed(now_ns, plan.order_id, self._lease.epoch, now_ns + VALIDITY_NS))

    # ------------------------------------------------------------ carrying out

    async def _carry_out_all(self) -> None:
        """Carry out what was asked for, in order, and what follows from the answers."""
        while self._requests:
            batch = tuple(self._requests)
            self._requests.clear()
            planned = [request for request in batch if isinstance(request, OrderPlanned)]
            if planned:
                await self.commit(planned)
            for request in batch:
                order = self.state.account.orders.get(request.order_id)
                if order is None:
                    continue  # dropped at the claim, or ended meanwhile
                if isinstance(request, OrderPlanned):
                    self._step(await self._sender.send(order, self._time()))
                else:
                    await self._carry_out_cancel(order)

    async def _carry_out_cancel(self, order: Order) -> None:
        report: OrderCancelled | None = await self._venue.cancel(order)
        if report is not None:
            self._step(report)
            return
        for known in await self._venue.lookup(order):  # gone from the book: ask what became of it
            if _is_news(known, self.state.account):
                self._step(known)

    async def _resolve_unknown(self) -> None:
        """Looks orders of unknown outcome up; absent only after enough timely reads (RELIABILITY section 3)."""
        unknown = [order for order in self.state.account.orders.values() if order.status is OrderStatus.UNKNOWN]
        self._unknown = bool(unknown)
        for order in unknown:
            reports = await self._venue.lookup(order)
            if reports:
                for report in reports:
                    await self.take(report)
                continue
            now_ns = self._time()
            stale_ns = int(self._venue.capabilities.stale_read_s * NS_PER_S)
            count, last_ns = self._reads.get(order.id, (0, 0))
            timely = now_ns > (order.valid_until_ns or 0) + CLOCK_MARGIN_NS + stale_ns
            if timely and now_ns - last_ns >= READ_SPACING_NS:
                count, last_ns = count + 1, now_ns
                self._reads[order.id] = (count, last_ns)
            if count >= ABSENT_READS:
                await self.take(OrderFoundAbsent(now_ns, order.id, fact_id(order.id, "absent")))

    def _time(self) -> int:
        return self._now(self.state) or self.opening.at_ns

    def _seen_at_ns(self) -> dict[InstrumentId, int]:
        marks = {instrument: self.state.view.mark(instrument) for instrument in self._desk.instruments()}
        return {instrument: mark.at_ns for instrument, mark in marks.items() if mark is not None}

    def _seen(self) -> Seen:
        assert self._market is not None, "an account is started before anything happens to it"
        return Seen(self._market, self._sequence)

    def _halted(self) -> str | None:
        halts = self._halts()
        return "; ".join(halt.reason for halt in halts) if halts else None


def _held(account: Account) -> dict[InstrumentId, Decimal]:
    held: dict[InstrumentId, Decimal] = {}
    for holding in account.holdings.values():
        position = holding.position
        held[position.instrument] = held.get(position.instrument, Decimal(0)) + position.quantity
    return {instrument: quantity for instrument, quantity in held.items() if quantity}


def _brackets(account: Account) -> list[Bracket]:
    return [bracket for holding in account.holdings.values() if (bracket := holding.bracket) is not None]


def _is_news(report: OrderReport, account: Account) -> bool:
    order_id = report.fill.order_id if hasattr(report, "fill") else report.order_id
    return order_id in account.orders
