"""One account at work: journalled before it acts, sent once, halted at once, and safe after every start."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from tests.engine import builders
from tests.engine.builders import BTC, BUY, CLOSE, Hand, Say
from tests.runtime.test_recovery import lively
from tests.runtime.world import BALANCE, MINUTE_NS, T0, TERMS, Market, Process, Site, Town, rough, told

from promethean.domain.accounts import AccountMode
from promethean.domain.errors import LeaseLostError, OrderOutcomeUnknownError, StoreError
from promethean.domain.events import (
    START_RECORDS,
    AccountEvent,
    IntentRefused,
    MarketEvent,
    OrderAccepted,
    OrderCancelled,
    OrderClaimed,
    OrderDropped,
    OrderFilled,
    OrderFoundAbsent,
    OrderOutcomeUnknown,
    OrderPlanned,
    OrderRejected,
    PositionClosed,
)
from promethean.domain.ids import fact_id
from promethean.domain.instants import NS_PER_S
from promethean.domain.orders import Order, OrderRole, OrderStatus, OrderType
from promethean.engine.desk import Desk
from promethean.exchanges.paper.venue import PaperVenue
from promethean.runtime.account import Halt
from promethean.runtime.feeds.columns import CandleColumns
from promethean.runtime.feeds.port import FeedItem
from promethean.storage.journal import BudgetChange, Journal, account_stream, market_stream
from promethean.storage.latches import Latch, persist
from promethean.storage.projections import budget_use
from promethean.storage.rows import Rows
from promethean.storage.tables import LatchScope, new_id

Play = Callable[[Callable[[Town], Awaitable[Any]]], Any]
KILLED = Halt("platform", "a test", "me")


# ---------------------------------------------------------------- markets and venues


def flat(rows: int = 60, **closes: float) -> Market:
    """Candles at 100 on plenty of volume; m5=90 lets minute 5 fall to 90 and the next open there."""
    close = np.full(rows, 100.0)
    for name, price in closes.items():
        close[int(name[1:]) :] = price
    opened = np.concatenate([[100.0], close[:-1]])
    instants = T0 + np.arange(rows, dtype=np.int64) * MINUTE_NS
    volume = np.full(rows, 1e6)
    return Market(
        CandleColumns(instants, opened, np.maximum(opened, close), np.minimum(opened, close), close, volume), BTC
    )


class SpyVenue(PaperVenue):
    """The paper venue, telling what was sent; `on_submit` may look, fail, or lose the reply."""

    def __init__(self, on_submit: Callable[[Order], Awaitable[None]] | None = None) -> None:
        super().__init__({BTC.id: BTC}, TERMS, BALANCE)
        self.sent: list[Order] = []
        self.on_submit = on_submit
        self.lose: Counter[str] = Counter()  # how many requests and replies are still to be lost

    async def submit(self, order: Order) -> OrderAccepted | OrderRejected:
        self.sent.append(order)
        if self.on_submit is not None:
            await self.on_submit(order)
        if self.lose["request"] > 0:
            self.lose["request"] -= 1
            raise OrderOutcomeUnknownError("no answer")
        answer = await super().submit(order)
        if self.lose["reply"] > 0:
            self.lose["reply"] -= 1
            raise OrderOutcomeUnknownError("the answer was lost")
        return answer


OWN_ROWS = "SELECT 1 FROM events WHERE stream LIKE 'account/%'"


class Stage:
    """A started process that is moved candle by candle."""

    def __init__(self, process: Process, items: Sequence[FeedItem], facts: list[AccountEvent]) -> None:
        self.process = process
        self.items = items
        self.facts = facts
        self.writes_market = True  # of two stages at one market the first
        self.next = process.runner.sequence

    async def to(self, minute: int) -> None:
        """Handle every candle up to the one of a minute, and commit."""
        market, stream = self.process.market, self.process.runner._stream
        for item in self.items[self.next : minute + 1]:
            if self.writes_market and item.sequence > await market.open_stream(stream):
                market.extend(stream, [item.event])
                await market.write()
            await self.process.account.on_market(item.event, item.sequence)
        self.next = minute + 1
        await self.process.account.commit()

    @property
    def account(self) -> Any:
        return self.process.state.account

    def orders(self, role: OrderRole) -> list[Order]:
        return [order for order in self.account.orders.values() if order.intent.role is role]

    def told(self, *kinds: type) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kinds)]


@asynccontextmanager
async def staged(site: Site, **how: Any) -> Any:
    facts: list[AccountEvent] = []
    also = how.pop("told", None)

    def listen(group: Sequence[tuple[AccountEvent, Any]]) -> None:
        facts.extend(fact for fact, _ in group)
        if also is not None:
            also(group)

    async with AsyncExitStack() as closing:
        process = await site.start(closing, told=listen, **how)
        await process.runner.start()
        items = [item async for batch in site.market.feed().batches(0) for item in batch]
        yield Stage(process, items, facts)


def scripted(script: dict[int, Say], **how: Any) -> Desk:
    return builders.desk({minute: (say,) for minute, say in script.items()}, **how)


async def ask(site: Site, question: str, *values: Any) -> list[Any]:
    """Rows as a second connection sees them."""
    connection = await site.database.raw()
    try:
        rows: list[Any] = await connection.fetch(question, *values)
        return rows
    finally:
        await connection.close()


async def what_happened(site: Site) -> list[tuple[str, str]]:
    """The account's journal without its starts."""
    rows = await ask(
        site,
        "SELECT type, payload FROM events WHERE stream = $1 AND NOT type = ANY($2) ORDER BY sequence",
        account_stream(site.account),
        [kind.__name__ for kind in START_RECORDS],
    )
    return [(row["type"], told(json.loads(row["payload"])["event"])) for row in rows]


async def budget(site: Site) -> tuple[Any, Any]:
    [row] = await ask(site, "SELECT reserved, used FROM budgets WHERE id = $1", site.budget)
    return row["reserved"], row["used"]


async def statuses(site: Site) -> Counter[str]:
    return Counter(row["status"] for row in await ask(site, "SELECT status::text FROM orders"))


# ---------------------------------------------------------------- sending


@pytest.mark.scenario("I2")
def test_an_order_is_committed_with_its_claim_before_it_is_sent(play: Play) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(), desk=scripted({2: BUY, 8: CLOSE}))

        async def look(order: Order) -> None:
            [row] = await ask(site, "SELECT * FROM orders WHERE id = $1", order.id)
            assert row["status"] == "sending"
            assert row["parameter_hash"]
            assert row["fencing_epoch"] == 1
            decided = await ask(site, "SELECT verdict::text FROM risk_decisions WHERE id = $1", row["risk_decision_id"])
            assert [decision["verdict"] for decision in decided] == ["pass"]
            rows = await ask(
                site,
                "SELECT type FROM events WHERE stream = $1 AND payload->'event'->>'order_id' = $2 ORDER BY sequence",
                account_stream(site.account),
                order.id,
            )
            assert [row["type"] for row in rows] == ["OrderPlanned", "OrderClaimed"]
            if not order.intent.reduce_only:
                assert await budget(site) == (order.intent.notional, 0)

        venue = SpyVenue(look)
        async with staged(site, venue=venue) as stage:
            await stage.to(20)
        assert Counter(order.intent.role.value for order in venue.sent) == {
            "entry": 1, "stop": 1, "target": 3, "signal": 1,
        }  # fmt: skip

    play(story)


@pytest.mark.scenario("I1")
def test_every_order_is_sent_once(play: Play, tmp_path: Path) -> None:
    async def story(town: Town) -> None:
        at = rough(1500, 4)
        site = await town.site(at, desk=lively(at, tmp_path, attached_exits=False))
        venue = SpyVenue()
        venue._instruments = {at.instrument.id: at.instrument}
        process = await site.run(venue=venue)
        counts = Counter(order.client_order_id for order in venue.sent)
        assert set(counts.values()) == {1}
        assert len(counts) == process.state.account.totals.orders > 50

    play(story)


@pytest.mark.scenario("A2")
def test_an_order_whose_reply_was_lost_is_found_and_not_sent_again(play: Play) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(), desk=scripted({2: BUY}))
        venue = SpyVenue()
        venue.lose["reply"] = 1
        async with staged(site, venue=venue) as stage:
            await stage.to(2)
            await stage.to(5)
            assert [type(fact) for fact in stage.told(OrderOutcomeUnknown, OrderAccepted, OrderFilled)][:2] == [
                OrderOutcomeUnknown,
                OrderAccepted,
            ]
            assert len(stage.account.holdings) == 1
        assert [order.intent.role for order in venue.sent].count(OrderRole.ENTRY) == 1
        assert len(await ask(site, "SELECT 1 FROM risk_events WHERE event_type = 'order_unknown'")) == 1

    play(story)


@pytest.mark.scenario("A1")
def test_an_order_that_never_arrived_blocks_new_risk_until_three_timely_reads_show_nothing(play: Play) -> None:
    async def story(town: Town) -> None:
        script = dict.fromkeys(range(2, 12), BUY)
        site = await town.site(flat(), desk=scripted(script))
        venue = SpyVenue()
        venue.lose["request"] = 1
        async with staged(site, venue=venue) as stage:
            await stage.to(2)
            assert await statuses(site) == {"unknown": 1}
            reserved = (await budget(site))[0]
            assert reserved > 0
            await stage.to(4)
            assert await statuses(site) == {"unknown": 1}
            assert (await budget(site))[0] == reserved
            assert stage.told(OrderFoundAbsent) == []
            assert len(venue.sent) == 1, "nothing new while nobody knows"
            await stage.to(12)
            assert len(stage.told(OrderFoundAbsent)) == 1
            assert len(stage.account.holdings) == 1, "free again, the next signal is traded"
        sent = [order.id for order in venue.sent if order.intent.role is OrderRole.ENTRY]
        assert len(sent) == len(set(sent)) == 2
        assert (await statuses(site))["absent"] == 1
        [freed] = await ask(site, "SELECT released_at FROM reservations WHERE intent_id = $1", sent[0])
        assert freed["released_at"] is not None

    play(story)


# ---------------------------------------------------------------- halts


@pytest.mark.scenario("E3")
def test_a_kill_between_the_claim_and_the_send_keeps_the_order_back(play: Play) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(), desk=scripted({2: BUY}))
        venue, halts = SpyVenue(), list[Halt]()

        def listen(group: Sequence[tuple[AccountEvent, Any]]) -> None:
            if any(isinstance(fact, OrderClaimed) for fact, _ in group):
                halts.append(KILLED)

        async with staged(site, venue=venue, halts=lambda: tuple(halts[:1]), told=listen) as stage:
            await stage.to(2)
            await stage.process.account.look_around()
            assert venue.sent == []
            assert [order.status for order in stage.account.orders.values()] == [OrderStatus.UNKNOWN]
            await stage.to(9)
            assert stage.account.mode is AccountMode.HALTED
        assert venue.sent == []
        assert await statuses(site) == {"absent": 1}
        assert await budget(site) == (0, 0)

    play(story)


@pytest.mark.scenario("I7")
def test_a_latch_in_the_database_refuses_the_claim_and_the_order_is_dropped(play: Play) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(), desk=scripted({2: BUY}))
        venue = SpyVenue()
        async with staged(site, venue=venue) as stage:
            await stage.to(1)
            await persist(site.database, Latch(new_id(), LatchScope.PLATFORM, "", "a test", "me", 1))
            await stage.to(5)
            assert [fact.code for fact in stage.told(OrderDropped)] == ["kill_switch"]
        assert venue.sent == []
        assert await statuses(site) == {"dropped": 1}
        assert await budget(site) == (0, 0)
        assert (await ask(site, "SELECT released_at FROM reservations"))[0]["released_at"] is not None

    play(story)


@pytest.mark.scenario("I5")
def test_an_order_that_finds_no_room_in_the_budget_is_dropped(play: Play) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(), desk=scripted({2: BUY}), cap=Decimal(999))
        venue = SpyVenue()
        async with staged(site, venue=venue) as stage:
            await stage.to(5)
            assert [fact.code for fact in stage.told(OrderDropped)] == ["reservation"]
        assert venue.sent == []
        assert await budget(site) == (0, 0)
        journal = Journal(await site.database.raw())
        await journal.verify(account_stream(site.account))
        await journal.close()

    play(story)


@pytest.mark.scenario("I7")
def test_a_kill_cancels_entries_closes_positions_and_blocks_until_it_is_lifted(play: Play) -> None:
    async def story(town: Town) -> None:
        script = dict.fromkeys(range(2, 30), BUY)
        site = await town.site(flat(), desk=scripted(script))
        venue, halts = SpyVenue(), list[Halt]()
        async with staged(site, venue=venue, halts=lambda: tuple(halts)) as stage:
            await stage.to(5)
            assert len(stage.account.holdings) == 1
            halts.append(KILLED)
            await stage.process.account.look_around()
            await stage.to(9)
            assert stage.account.holdings == {}
            assert dict(stage.account.orders) == {}
            assert [fact.reason for fact in stage.told(PositionClosed)] == ["kill"]
            entries = len([order for order in venue.sent if not order.intent.reduce_only])
            assert entries == 1
            halts.clear()
            await stage.process.account.look_around()
            await stage.to(13)
            assert stage.account.mode is AccountMode.ACTIVE
            assert len(stage.account.holdings) == 1, "lifted, it trades again"
        assert len(await ask(site, "SELECT 1 FROM risk_events WHERE event_type = 'kill_switch_activated'")) == 1

    play(story)


def test_a_kill_cancels_an_entry_that_rests_at_the_venue(play: Play) -> None:
    async def story(town: Town) -> None:
        desk = scripted({2: BUY}, order_type=OrderType.LIMIT, tolerance="0")
        site = await town.site(flat(m3=105), desk=desk)
        halts = list[Halt]()
        async with staged(site, halts=lambda: tuple(halts)) as stage:
            await stage.to(2)
            assert len(stage.orders(OrderRole.ENTRY)) == 1
            halts.append(KILLED)
            await stage.process.account.look_around()
            await stage.process.account.commit()
            assert dict(stage.account.orders) == {}
            assert len(stage.told(OrderCancelled)) == 1
        assert await budget(site) == (0, 0)

    play(story)


# ---------------------------------------------------------------- the lease


@pytest.mark.scenario("B3")
def test_a_runner_whose_account_was_taken_writes_and_sends_nothing_more(play: Play) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(), desk=scripted({2: BUY, 5: CLOSE}))
        first_venue = SpyVenue()
        async with staged(site, venue=first_venue) as first:
            await first.to(3)
            sent = len(first_venue.sent)
            async with staged(site, venue=SpyVenue()) as second:
                second.writes_market = False
                rows = len(await ask(site, OWN_ROWS))
                with pytest.raises(LeaseLostError):
                    await first.to(9)
                assert len(first_venue.sent) == sent
                assert len(await ask(site, OWN_ROWS)) == rows
                await second.to(9)
                assert len(second.told(PositionClosed)) == 1

    play(story)


# ---------------------------------------------------------------- a start with something unfinished


async def left_behind(town: Town, status: OrderStatus) -> tuple[Site, Order]:
    """An account whose last process ended while its entry, a limit order, had this status; minute 0 is handled."""
    site = await town.site(flat(), desk=scripted({}))
    hand = Hand(builders.desk({0: (BUY,)}, order_type=OrderType.LIMIT))
    [plan] = [fact for fact in hand.see(builders.candle(0, 100.0)) if isinstance(fact, OrderPlanned)]
    if status is not OrderStatus.PLANNED:
        hand.claim(plan)
    if status is OrderStatus.UNKNOWN:
        hand.see(OrderOutcomeUnknown(hand.state.now_ns, plan.order_id, "a test"))
    if status in (OrderStatus.OPEN, OrderStatus.PARTIAL):
        hand.accept(plan)
    if status is OrderStatus.PARTIAL:
        for exit_plan in hand.fill(plan, "100", Decimal(4), at_ns=T0 + MINUTE_NS - 1):
            assert isinstance(exit_plan, OrderPlanned)
            hand.accept(exit_plan)
    journal = Journal(await site.database.raw())
    try:
        market = market_stream(site.market.feed().name, BTC.id)
        await journal.open_stream(market)
        async for batch in site.market.feed().batches(0):
            journal.extend(market, [batch[0].event])
            break
        await journal.write()
        stream = account_stream(site.account)
        await journal.open_stream(stream)
        for fact in hand.facts:
            if not isinstance(fact, MarketEvent):
                journal.append(stream, with_uuid(fact), 1)
        lease = await journal.take_lease(site.account, site.user, "test", "build", "config")
        change = BudgetChange(Decimal(0), *budget_use(hand.account))
        await journal.commit(lease, Rows(), change, {market: 1}, claims_risk=False)
    finally:
        await journal.close()
    return site, hand.account.orders[plan.order_id]


def with_uuid(fact: Any) -> Any:
    """The fact with an evidence id as the tables want it."""
    return replace(fact, evidence_id=fact_id(fact.evidence_id)) if hasattr(fact, "evidence_id") else fact


@pytest.mark.scenario("B1")
@pytest.mark.parametrize("status", [status for status in OrderStatus if not status.is_terminal])
def test_a_start_settles_an_order_in_every_status_and_never_sends_it_again(play: Play, status: OrderStatus) -> None:
    ends = {
        OrderStatus.PLANNED: OrderStatus.DROPPED,
        OrderStatus.SENDING: OrderStatus.FILLED,  # the paper venue counts a committed claim as received
        OrderStatus.UNKNOWN: OrderStatus.ABSENT,
        OrderStatus.OPEN: OrderStatus.FILLED,
        OrderStatus.PARTIAL: OrderStatus.FILLED,
    }

    async def story(town: Town) -> None:
        site, order = await left_behind(town, status)
        assert order.status is status
        venue = SpyVenue()
        async with staged(site, venue=venue) as stage:
            assert stage.next == 1, "it goes on after the last market event it has handled"
            expected = AccountMode.ACTIVE
            assert stage.account.mode is expected
            await stage.to(9)
            assert stage.account.ended[order.id].status is ends[status]
            held = sum(holding.position.quantity for holding in stage.account.holdings.values())
            assert held == (order.intent.quantity if ends[status] is OrderStatus.FILLED else 0)
            stops = stage.orders(OrderRole.STOP)
            assert sum(stop.remaining for stop in stops) == held, "one stop, as large as the position"
        assert order.id not in {sent.id for sent in venue.sent}
        [row] = await ask(site, "SELECT status::text FROM orders WHERE id = $1", order.id)
        assert row["status"] == ends[status].value
        reserved, used = await budget(site)
        assert reserved == 0
        assert used == held * order.intent.expected_price

    play(story)


def test_a_start_tells_a_venue_that_holds_more_than_the_journal_and_takes_no_new_risk(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    class Foreign(SpyVenue):
        async def positions(self) -> dict[Any, Decimal]:
            return {BTC.id: Decimal(1)}

    async def story(town: Town) -> None:
        site = await town.site(flat(), desk=scripted({2: BUY}))
        venue = Foreign()
        async with staged(site, venue=venue) as stage:
            await stage.to(5)
            assert stage.account.mode is AccountMode.REDUCING
            assert [fact.refused.code for fact in stage.told(IntentRefused)] == ["reconciliation"]
        assert venue.sent == []

    play(story)
    assert "the venue holds other orders or positions" in caplog.text


def test_a_refusal_that_was_told_before_a_start_is_not_told_again_after_it(play: Play) -> None:
    """A start is no news about the market; told twice, the journal would differ from that of an undisturbed run."""

    async def story(town: Town) -> None:
        limits = replace(builders.LIMITS, order_notional_max=Decimal(500))
        site = await town.site(flat(), desk=scripted(dict.fromkeys(range(2, 12), BUY), limits=limits))
        refusals = []
        for minute in (4, 6, 9):
            async with staged(site) as stage:
                await stage.to(minute)
                refusals += stage.told(IntentRefused)
        assert [fact.refused.code for fact in refusals] == ["order_notional"]

    play(story)


# ---------------------------------------------------------------- time


def test_a_decision_that_is_too_old_is_not_sent_when_it_increases_risk(play: Play) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(), desk=scripted({2: BUY}))
        venue = SpyVenue()
        async with staged(site, venue=venue, now=lambda state: state.now_ns + 3 * NS_PER_S) as stage:
            await stage.to(5)
            assert [fact.code for fact in stage.told(OrderDropped)] == ["decision_too_old"]
        assert venue.sent == []
        assert await budget(site) == (0, 0)

    play(story)


def test_a_stop_is_sent_however_late_its_fill_was_seen(play: Play) -> None:
    """A process that comes back after an hour finds the fill of an hour ago: the position is protected all the same."""

    async def story(town: Town) -> None:
        site = await town.site(flat(), desk=scripted({2: BUY}))
        late_ns = 0
        async with staged(site, now=lambda state: state.now_ns + late_ns) as stage:
            await stage.to(2)
            late_ns = 3600 * NS_PER_S
            await stage.to(3)
            assert len(stage.account.holdings) == 1
            assert len(stage.orders(OrderRole.STOP)) == 1
            assert stage.told(OrderDropped) == []

    play(story)


# ---------------------------------------------------------------- what is told


def test_people_are_told_what_is_committed_and_nothing_else(play: Play) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(m6=90), desk=scripted({2: BUY}))
        async with staged(site) as stage:
            await stage.to(20)
            journal = Journal(await site.database.raw())
            rows = [record.event() async for record in journal.read(account_stream(site.account))]
            await journal.close()
            assert rows == stage.facts
            [closed] = stage.told(PositionClosed)
            assert closed.reason == "stop"

    play(story)


def test_a_statement_that_fails_stops_the_runner_and_a_new_start_goes_on(play: Play) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(m6=90), desk=scripted({2: BUY}))
        async with staged(site) as stage:
            await stage.to(3)
            owner = await site.database._owner_connection()
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await owner.close()
            with pytest.raises(StoreError, match="cannot commit"):
                await stage.to(9)
        async with staged(site) as again:
            await again.to(20)
            assert [fact.reason for fact in again.told(PositionClosed)] == ["stop"]
        whole = await town.site(flat(m6=90).named("whole"), desk=scripted({2: BUY}))
        async with staged(whole) as stage:
            await stage.to(20)
        assert await what_happened(site) == await what_happened(whole)

    play(story)
