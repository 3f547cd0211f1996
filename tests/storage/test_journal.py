"""The journal on a real server: chained, written in whole groups under a lease and a budget, and checked row by row."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from promethean.domain.candles import Candle
from promethean.domain.errors import JournalTamperedError, LeaseLostError, StoreError
from promethean.domain.events import (
    AccountOpened,
    CandleClosed,
    DayStarted,
    Event,
    OrderDropped,
    OrderOutcomeUnknown,
    Reconciled,
    RunnerStarted,
)
from promethean.domain.ids import AccountId, InstrumentId, Lineage, OrderId, StreamName, UserId
from promethean.domain.instants import NS_PER_S
from promethean.storage import accounts
from promethean.storage.database import Database
from promethean.storage.journal import (
    BudgetChange,
    Journal,
    Lease,
    Outcome,
    Reservation,
    Seen,
    account_stream,
    market_stream,
)
from promethean.storage.latches import Latch, persist
from promethean.storage.rows import Rows
from promethean.storage.tables import BudgetScope, LatchScope, new_id

Run = Callable[[Callable[[Database], Awaitable[Any]]], Any]
D = Decimal
NOTHING = BudgetChange(D(0), D(0), D(0))
BTC = InstrumentId("binance:BTCUSDT")
MARKET = market_stream("test", BTC)
COLUMNS = "stream, sequence, type, payload, happened_at_ns, received_at_ns, previous_hash, hash"


def day(number: int, equity: str = "100") -> DayStarted:
    return DayStarted(number * NS_PER_S, number, D(equity))


def closed(number: int, close: float = 10.0) -> CandleClosed:
    candle = Candle(BTC, "1m", number * 60, number * 60 + 60, 10.0, 20.0, 5.0, close, 1.0)
    return CandleClosed(candle, candle.close_time_ns)


@dataclass
class Desk:
    """A journal that holds the lease of one account."""

    journal: Journal
    lease: Lease
    stream: StreamName

    def append(self, events: Iterable[Event], seen: Seen | None = None) -> None:
        for event in events:
            self.journal.append(self.stream, event, 7, seen)

    async def commit(self, rows: Rows | None = None, change: BudgetChange = NOTHING, *, risk: bool = False) -> Outcome:
        return await self.journal.commit(self.lease, rows or Rows(), change, {}, claims_risk=risk)

    async def write(self, *events: Event) -> None:
        self.append(events)
        assert await self.commit() == Outcome(written=True, halted=False)


class Office:
    """Opens accounts and journals, and closes them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._open: list[Journal] = []

    async def journal(self) -> Journal:
        journal = Journal(await self.database.raw())
        self._open.append(journal)
        return journal

    async def owner(self) -> UserId:
        return await accounts.ensure_owner(self.database)

    async def account(self, label: str = "main", cap: int = 1000) -> AccountId:
        owner = await self.owner()
        account = await accounts.add_account(self.database, owner, "binance", label)
        await accounts.ensure_budgets(self.database, owner, {(BudgetScope.VENUE, account): D(cap)})
        return account

    async def desk(self, account: AccountId | None = None, label: str = "main", cap: int = 1000) -> Desk:
        account = account or await self.account(label, cap)
        journal = await self.journal()
        lease = await journal.take_lease(account, await self.owner(), "test", "build", "config")
        await journal.open_stream(account_stream(account))
        return Desk(journal, lease, account_stream(account))

    async def close(self) -> None:
        for journal in self._open:
            await journal.close()


@pytest.fixture
def office(run: Run) -> Callable[[Callable[[Office], Awaitable[Any]]], Any]:
    def runner(scenario: Callable[[Office], Awaitable[Any]]) -> Any:
        async def story(database: Database) -> Any:
            at = Office(database)
            try:
                return await scenario(at)
            finally:
                await at.close()

        return run(story)

    return runner


Play = Callable[[Callable[[Office], Awaitable[Any]]], Any]


@asynccontextmanager
async def superuser(dsn: str) -> Any:
    """A connection that no trigger and no policy stops; what it changes is rolled back at the end."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET session_replication_role = replica")
        transaction = connection.transaction()
        await transaction.start()
        try:
            yield connection
        finally:
            await transaction.rollback()
    finally:
        await connection.close()


async def found_by(connection: Any, stream: StreamName) -> tuple[str, int] | None:
    """What `verify` names, None when it finds nothing."""
    try:
        await Journal(connection).verify(stream)
    except JournalTamperedError as error:
        return error.stream, error.sequence
    return None


async def rows_of(office: Office, stream: StreamName) -> list[Any]:
    journal = await office.journal()
    return [record async for record in journal.read(stream)]


# ---------------------------------------------------------------- appending and reading


def test_rows_are_numbered_from_one_and_read_back_as_they_were_written(office: Play) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        await desk.write(day(1), day(2))
        await desk.write(day(3))
        assert [(row.sequence, row.event(), row.seen) for row in await rows_of(at, desk.stream)] == [
            (1, day(1), None),
            (2, day(2), None),
            (3, day(3), None),
        ]
        assert await desk.journal.verify(desk.stream) == 3

    office(story)


def test_a_journal_that_is_opened_again_continues_the_chain(office: Play) -> None:
    async def story(at: Office) -> None:
        first = await at.desk()
        await first.write(day(1), day(2))
        second = await at.desk(first.lease.account)
        assert await second.journal.open_stream(second.stream) == 2
        await second.write(day(3))
        assert await second.journal.verify(second.stream) == 3

    office(story)


def test_a_fact_names_the_market_event_that_it_was_made_on(office: Play) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        desk.append([day(1)], Seen(MARKET, 42))
        await desk.commit()
        assert [row.seen for row in await rows_of(at, desk.stream)] == [Seen(MARKET, 42)]

    office(story)


def test_reading_goes_on_over_many_pages_and_begins_after_a_row(office: Play) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        desk.append(day(number) for number in range(1, 12_002))
        await desk.commit()
        assert [row.sequence async for row in desk.journal.read(desk.stream, 3)] == list(range(4, 12_002))

    office(story)


def test_the_streams_of_two_accounts_do_not_know_each_other(office: Play) -> None:
    async def story(at: Office) -> None:
        one, two = await at.desk(label="one"), await at.desk(label="two")
        for number in range(1, 6):
            one.append([day(number)])
            two.append([day(number, "5"), day(number, "6")])
            await asyncio.gather(one.commit(), two.commit())
        assert await one.journal.verify(one.stream) == 5
        assert await one.journal.verify(two.stream) == 10
        assert await one.journal.streams() == sorted([(one.stream, 5), (two.stream, 10)])

    office(story)


def test_market_events_are_written_without_a_lease_in_small_and_in_big_groups(office: Play) -> None:
    async def story(at: Office) -> None:
        journal = await at.journal()
        await journal.open_stream(MARKET)
        for group in (range(1, 4), range(4, 400)):
            for number in group:
                journal.append(MARKET, closed(number), 7)
            await journal.write()
        assert await journal.verify(MARKET) == 399
        newest = await journal.newest_candle(MARKET)
        assert newest == closed(399).candle
        assert await journal.newest_candle(market_stream("other", BTC)) is None

    office(story)


def test_a_big_group_writes_the_rows_that_many_small_ones_write(office: Play) -> None:
    async def story(at: Office) -> list[list[tuple[Any, ...]]]:
        big, small = await at.desk(label="big"), await at.desk(label="small")
        events = [day(number, str(number)) for number in range(1, 701)]
        big.append(events)
        await big.commit()
        for start in range(0, len(events), 70):
            await small.write(*events[start : start + 70])
        assert await big.journal.verify(big.stream) == await small.journal.verify(small.stream) == 700
        rows = [await rows_of(at, desk.stream) for desk in (big, small)]
        return [[(row.sequence, row.type, row.body, row.happened_at_ns) for row in found] for found in rows]

    big, small = office(story)
    assert big == small


def test_offsets_are_written_with_the_group(office: Play) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        assert await desk.journal.offset(desk.stream, MARKET) == 0
        for handled in (3, 9):
            await desk.journal.commit(desk.lease, Rows(), NOTHING, {MARKET: handled}, claims_risk=False)
            assert await desk.journal.offset(desk.stream, MARKET) == handled

    office(story)


# ---------------------------------------------------------------- tampering

EDITS = {
    "stream": "'account/somebody-else'",
    "sequence": "sequence + 1000",
    "type": "'RunFinished'",
    "payload": """jsonb_set(payload, '{event,equity}', '"101"')""",
    "happened_at_ns": "happened_at_ns + 1",
    "received_at_ns": "received_at_ns - 1",
    "previous_hash": "sha256(previous_hash)",
    "hash": "sha256(hash)",
}


@pytest.mark.scenario("I14")
@pytest.mark.parametrize("column", EDITS)
def test_an_edit_of_any_column_is_found_and_the_row_is_named(office: Play, dsn: str, column: str) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        await desk.write(*(day(number) for number in range(1, 10)))
        async with superuser(dsn) as connection:
            await connection.execute(
                f"UPDATE events SET {column} = {EDITS[column]} WHERE stream = $1 AND sequence = 4", desk.stream
            )
            assert await found_by(connection, desk.stream) == (desk.stream, 4)

    office(story)


def test_every_column_of_the_table_has_its_edit() -> None:
    assert list(EDITS) == COLUMNS.split(", ")


@pytest.mark.parametrize("row", [1, 4, 8])
def test_a_removed_row_is_found(office: Play, dsn: str, row: int) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        await desk.write(*(day(number) for number in range(1, 10)))
        async with superuser(dsn) as connection:
            await connection.execute("DELETE FROM events WHERE stream = $1 AND sequence = $2", desk.stream, row)
            assert await found_by(connection, desk.stream) == (desk.stream, row)

    office(story)


def test_rows_cut_off_at_the_end_are_missed_when_a_reader_has_been_further(office: Play, dsn: str) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        await desk.write(*(day(number) for number in range(1, 10)))
        async with superuser(dsn) as connection:
            await connection.execute(
                "INSERT INTO event_offsets (consumer, stream, sequence) VALUES ($1, $1, 9) "
                "ON CONFLICT (consumer, stream) DO UPDATE SET sequence = 9",
                desk.stream,
            )
            assert await found_by(connection, desk.stream) is None
            await connection.execute("DELETE FROM events WHERE stream = $1 AND sequence > 7", desk.stream)
            assert await found_by(connection, desk.stream) == (desk.stream, 8)

    office(story)


@pytest.mark.parametrize("row", [1, 5, 10])
def test_an_inserted_row_is_found(office: Play, dsn: str, row: int) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        await desk.write(*(day(number) for number in range(1, 10)))
        async with superuser(dsn) as connection:
            for shift in (1000, -999):  # in two steps, because the numbers are unique
                await connection.execute(
                    "UPDATE events SET sequence = sequence + $3 WHERE stream = $1 AND sequence >= $2",
                    desk.stream,
                    row,
                    shift,
                )
            await connection.execute(
                f"INSERT INTO events ({COLUMNS}) SELECT stream, $2, type, payload, happened_at_ns, received_at_ns, "
                "previous_hash, hash FROM events WHERE stream = $1 ORDER BY sequence LIMIT 1 OFFSET 2",
                desk.stream,
                row,
            )
            assert await found_by(connection, desk.stream) == (desk.stream, row)

    office(story)


def test_a_swapped_pair_is_found(office: Play, dsn: str) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        await desk.write(*(day(number) for number in range(1, 10)))
        async with superuser(dsn) as connection:
            for old, new in ((3, 1003), (4, 3), (1003, 4)):
                await connection.execute(
                    "UPDATE events SET sequence = $3 WHERE stream = $1 AND sequence = $2", desk.stream, old, new
                )
            assert await found_by(connection, desk.stream) == (desk.stream, 3)

    office(story)


@pytest.mark.scenario("I14")
def test_a_hundred_random_edits_are_all_found_and_named(office: Play, dsn: str) -> None:
    draw = random.Random(11)
    payloads = ["'{\"event\": {}}'", "payload || '{\"more\": 1}'", "payload #- '{event,day}'", EDITS["payload"]]

    async def story(at: Office) -> None:
        one, two = await at.desk(label="one"), await at.desk(label="two")
        await one.write(*(day(number) for number in range(1, 61)))
        await two.write(*(day(number) for number in range(1, 61)))
        for _ in range(100):
            desk, row = draw.choice((one, two)), draw.randint(1, 60)
            column = draw.choice([name for name in EDITS if name not in ("stream", "sequence")])
            value = draw.choice(payloads) if column == "payload" else EDITS[column]
            async with superuser(dsn) as connection:
                await connection.execute(
                    f"UPDATE events SET {column} = {value} WHERE stream = $1 AND sequence = $2", desk.stream, row
                )
                assert await found_by(connection, desk.stream) == (desk.stream, row), (column, value, row)
                other = two if desk is one else one
                assert await found_by(connection, other.stream) is None

    office(story)


def test_the_application_can_neither_edit_nor_remove_a_row(office: Play) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        await desk.write(day(1))
        connection = await at.database.raw()
        try:
            for statement in ("UPDATE events SET type = 'x'", "DELETE FROM events", "TRUNCATE events"):
                with pytest.raises(asyncpg.PostgresError):
                    await connection.execute(statement)
        finally:
            await connection.close()
        assert await desk.journal.verify(desk.stream) == 1

    office(story)


# ---------------------------------------------------------------- groups


def broken() -> Rows:
    """Rows that PostgreSQL refuses: an order of nobody."""
    rows = Rows()
    rows.add("orders", "x", id=new_id(), quantity=D(1))
    return rows


@pytest.mark.parametrize("events", [3, 700])
def test_a_group_that_fails_writes_nothing_and_can_be_written_without_its_fault(office: Play, events: int) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        await desk.write(day(1))
        desk.append(day(number) for number in range(2, 2 + events))
        with pytest.raises(StoreError, match="cannot commit"):
            await desk.journal.commit(
                desk.lease, broken(), BudgetChange(D(5), D(0), D(0)), {MARKET: 9}, claims_risk=True
            )
        assert [row.sequence for row in await rows_of(at, desk.stream)] == [1]
        assert await desk.journal.offset(desk.stream, MARKET) == 0
        assert await budget_of(at, desk.lease.account) == (0, 0)
        assert desk.journal.pending == events
        await desk.commit()
        assert await desk.journal.verify(desk.stream) == 1 + events

    office(story)


def test_what_is_taken_back_leaves_no_gap(office: Play) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        desk.append([day(1)])
        mark = desk.journal.mark()
        desk.append([day(2), day(3)])
        desk.journal.rewind(mark)
        await desk.write(day(4))
        assert [row.event() for row in await rows_of(at, desk.stream)] == [day(1), day(4)]
        assert await desk.journal.verify(desk.stream) == 2

    office(story)


def test_what_was_not_committed_is_gone_with_its_process(office: Play) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        desk.append([day(1)])
        again = await at.desk(desk.lease.account)
        assert await again.journal.open_stream(again.stream) == 0

    office(story)


# ---------------------------------------------------------------- the lease


@pytest.mark.scenario("B3")
def test_who_has_an_older_epoch_writes_nothing_any_more(office: Play) -> None:
    async def story(at: Office) -> None:
        old = await at.desk()
        await old.write(day(1))
        new = await at.desk(old.lease.account)
        assert new.lease.epoch == old.lease.epoch + 1
        for events in (1, 700):
            old.append(day(number) for number in range(2, 2 + events))
            with pytest.raises(LeaseLostError, match="taken by another process"):
                await old.commit(change=BudgetChange(D(1), D(0), D(0)), risk=True)
        assert await budget_of(at, old.lease.account) == (0, 0)
        await new.write(day(2))
        assert [row.event() for row in await rows_of(at, new.stream)] == [day(1), day(2)]

    office(story)


def test_two_writers_of_one_epoch_cannot_write_the_same_row(office: Play) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        twin = Desk(await at.journal(), desk.lease, desk.stream)
        await twin.journal.open_stream(twin.stream)
        await desk.write(day(1))
        twin.append([day(2)])
        with pytest.raises(StoreError):
            await twin.commit()
        assert await desk.journal.verify(desk.stream) == 1

    office(story)


# ---------------------------------------------------------------- budget and kill latch


async def budget_of(at: Office, account: AccountId) -> tuple[Any, Any]:
    connection = await at.database.raw()
    try:
        row = await connection.fetchrow("SELECT reserved, used FROM budgets WHERE scope_id = $1", account)
        return row["reserved"], row["used"]
    finally:
        await connection.close()


@pytest.mark.scenario("I5")
def test_what_does_not_fit_into_the_budget_is_refused_as_a_whole(office: Play) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk(cap=100)
        desk.append([day(1)])
        assert (await desk.commit(change=BudgetChange(D(60), D(0), D(0)), risk=True)).written
        desk.append([day(2)])
        refused = await desk.commit(change=BudgetChange(D("40.000000000000000001"), D(0), D(0)), risk=True)
        assert refused == Outcome(written=False, halted=False)
        assert await budget_of(at, desk.lease.account) == (60, 0)
        assert len(await rows_of(at, desk.stream)) == 1
        assert (await desk.commit(change=BudgetChange(D(40), D(0), D(0)), risk=True)).written
        assert await budget_of(at, desk.lease.account) == (100, 0)
        desk.append([day(3)])
        assert (await desk.commit(change=BudgetChange(D(0), D(-100), D(70)))).written
        assert await budget_of(at, desk.lease.account) == (0, 70)

    office(story)


def test_which_reservations_find_room_is_answered_one_after_the_other(office: Play) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk(cap=100)
        asked = [Reservation(OrderId(name), D(amount)) for name, amount in (("a", 70), ("b", 40), ("c", 30))]
        assert await desk.journal.set_aside(desk.lease, asked) == {"a", "c"}
        assert await budget_of(at, desk.lease.account) == (0, 0)

    office(story)


@pytest.mark.scenario("I7")
@pytest.mark.parametrize("scope", LatchScope)
def test_a_kill_latch_refuses_what_increases_risk_and_nothing_else(office: Play, scope: LatchScope) -> None:
    async def story(at: Office) -> None:
        desk, other = await at.desk(label="one"), await at.desk(label="two")
        scope_id = {"platform": "", "user": desk.lease.user, "account": desk.lease.account}[scope.value]
        await persist(at.database, Latch(new_id(), scope, scope_id, "a test", "me", 1))
        desk.append([day(1)])
        assert await desk.commit(risk=True) == Outcome(written=False, halted=True)
        assert await rows_of(at, desk.stream) == []
        assert await desk.commit() == Outcome(written=True, halted=True)
        other.append([day(1)])
        assert (await other.commit(risk=True)).written == (scope is LatchScope.ACCOUNT)

    office(story)


@pytest.mark.scenario("C1")
@pytest.mark.timeout(120)
def test_sixty_four_writers_never_spend_more_than_the_budget(office: Play) -> None:
    draw = random.Random(5)
    cap, writers, attempts = 500, 64, 2_000

    async def write(desk: Desk, amounts: Sequence[int]) -> int:
        spent = 0
        for amount in amounts:
            outcome = await desk.commit(change=BudgetChange(D(amount), D(0), D(0)), risk=True)
            spent += amount if outcome.written else 0
            if spent and amount % 3 == 0:  # gives some of it back
                await desk.commit(change=BudgetChange(D(0), D(-1), D(0)))
                spent -= 1
        return spent

    async def story(at: Office) -> None:
        first = await at.desk(cap=cap)
        desks = [Desk(await at.journal(), first.lease, first.stream) for _ in range(writers)]
        shares = [[draw.randint(1, 9) for _ in range(attempts // writers + 1)] for _ in desks]
        spent = await asyncio.gather(*map(write, desks, shares))
        reserved, used = await budget_of(at, first.lease.account)
        assert (reserved, used) == (sum(spent), 0)
        assert cap - 9 <= reserved <= cap

    office(story)


# ---------------------------------------------------------------- journal_hash


def opened(provenance: str = "p") -> AccountOpened:
    return AccountOpened(1, "USDT", D(100), "binance", provenance)


def started(lineage: str, epoch: int = 1) -> RunnerStarted:
    return RunnerStarted(1, Lineage(lineage), epoch, "build", "config")


def hashes(office: Play, *histories: Sequence[Event], repeatable: bool = True) -> list[str]:
    """The journal_hash of each history, after the same two candles."""

    async def story(at: Office) -> list[str]:
        found = []
        market = await at.journal()
        for number, history in enumerate(histories):
            stream = market_stream(f"test-{number}", BTC)
            await market.open_stream(stream)
            market.append(stream, closed(1), number)
            market.append(stream, closed(2), number)
            await market.write()
            desk = await at.desk(label=str(number))
            await desk.write(*history)
            seen = Seen(stream, 2)
            found.append(await desk.journal.fingerprint(desk.stream, seen, repeatable=repeatable))
        return found

    answer: list[str] = office(story)
    return answer


@pytest.mark.parametrize("repeatable", [True, False])
def test_the_journal_hash_leaves_out_what_differs_between_two_starts(office: Play, repeatable: bool) -> None:
    dropped = [OrderDropped(5, OrderId(name), "restart") for name in ("one", "two")]
    unknown = OrderOutcomeUnknown(4, OrderId("one"), "killed")
    once: list[Event] = [opened(), started("a"), Reconciled(1, 0, 0), dropped[0]]
    twice: list[Event] = [opened("q"), started("b"), started("c", 2), Reconciled(1, 3, 0), unknown, dropped[1]]
    one, two = hashes(office, once, twice, repeatable=repeatable)
    assert one == two


@pytest.mark.parametrize("repeatable", [True, False])
def test_the_journal_hash_differs_when_anything_that_happened_differs(office: Play, repeatable: bool) -> None:
    histories: list[list[Event]] = [
        [opened(), day(1)],
        [opened(), day(1, "100.01")],
        [opened(), day(2)],
        [day(1), opened()],
        [opened()],
        [opened(), day(1), day(1)],
        [opened(), OrderDropped(NS_PER_S, OrderId("o"), "restart")],
        [opened(), OrderDropped(NS_PER_S, OrderId("o"), "reservation")],
    ]
    found = hashes(office, *histories, repeatable=repeatable)
    assert len(set(found)) == len(histories)


def test_the_journal_hash_covers_the_market_up_to_the_last_event_that_was_handled(office: Play) -> None:
    async def story(at: Office) -> tuple[str, str, str]:
        journal = await at.journal()
        desk = await at.desk()
        found = []
        for number, close in enumerate((10.0, 11.0)):
            stream = market_stream(f"test-{number}", BTC)
            await journal.open_stream(stream)
            journal.append(stream, closed(1), 1)
            journal.append(stream, closed(2, close), 1)
            await journal.write()
            found += [await journal.fingerprint(desk.stream, Seen(stream, upto), repeatable=True) for upto in (1, 2)]
        assert found[0] == found[2]
        return found[0], found[1], found[3]

    assert len(set(office(story))) == 3


def test_a_row_holds_the_event_as_json_that_people_can_ask_for(office: Play, dsn: str) -> None:
    async def story(at: Office) -> None:
        desk = await at.desk()
        await desk.write(day(3, "42.5"))
        async with superuser(dsn) as connection:
            payload = await connection.fetchval("SELECT payload FROM events")
        assert json.loads(payload) == {"event": {"at_ns": 3 * NS_PER_S, "day": 3, "equity": "42.5"}}

    office(story)
