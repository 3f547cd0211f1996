"""How an installation stands, and stopping it, on a real database."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from promethean.domain.accounts import AccountMode
from promethean.domain.candles import Candle
from promethean.domain.errors import ConfigError
from promethean.domain.events import AccountOpened, BreakerTripped, CandleClosed, DayStarted, Event
from promethean.domain.ids import AccountId, InstrumentId, StreamName, UserId
from promethean.domain.instants import DAY_NS, NS_PER_S
from promethean.runtime import operations
from promethean.storage import accounts, latches
from promethean.storage.database import Database
from promethean.storage.journal import Journal, account_stream, market_stream
from promethean.storage.latches import LatchFiles
from promethean.storage.postgres_server import EmbeddedPostgres
from promethean.storage.tables import LatchScope

Scenario = Callable[[Database], Awaitable[None]]
DAY = 20_228
AT_NS = DAY * DAY_NS + 60 * NS_PER_S
BTC = InstrumentId("binance:BTCUSDT")


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    """One server with one migrated database; each test adds an account of its own."""
    memory = Path("/dev/shm")
    parent = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    home = Path(tempfile.mkdtemp(prefix="promethean-test-", dir=parent))
    home.chmod(0o711)  # root's server runs as another user, who has to pass
    with EmbeddedPostgres(home) as server:
        yield server.start()
    shutil.rmtree(home)


@pytest.fixture
def run(dsn: str) -> Callable[[Scenario], None]:
    def runner(scenario: Scenario) -> None:
        async def story() -> None:
            async with await Database.open(dsn) as database:
                await database.migrate()
                await scenario(database)

        asyncio.run(story())

    return runner


@pytest.fixture
def files(tmp_path: Path) -> LatchFiles:
    return LatchFiles(tmp_path / "latches")


async def write(database: Database, stream: StreamName, *events: Event) -> None:
    journal = Journal(await database.raw())
    await journal.open_stream(stream)
    for event in events:
        journal.append(stream, event, AT_NS + 2)
    await journal.write()
    await journal.close()


async def opened(database: Database, label: str) -> tuple[UserId, AccountId]:
    """An account whose journal says: opened with 10,000 USDT, one day started, one candle closed at 100,000."""
    owner = await accounts.ensure_owner(database)
    account = await accounts.add_account(database, owner, "binance", label)
    stream, market = account_stream(account), market_stream(label, BTC)
    await write(database, market, CandleClosed(Candle(BTC, "1m", AT_NS, AT_NS + 1, 1e5, 1e5, 1e5, 1e5, 1.0), AT_NS))
    await write(
        database,
        stream,
        AccountOpened(AT_NS, "USDT", Decimal(10_000), "binance", "recorded data from btc.parquet"),
        DayStarted(AT_NS + 1, DAY, Decimal(10_000)),
    )
    async with database.connection() as connection:
        await connection.execute(_OFFSET, {"consumer": stream, "stream": market})
        for name, amount in (("cash", 9_800), ("position", 200), ("external", -10_000)):
            await connection.execute(_LEDGER, {"user": owner, "id": account, "name": name, "amount": amount})
        await connection.execute(_POSITION, {"user": owner, "id": account})
    return owner, account


_OFFSET = text("INSERT INTO event_offsets (consumer, stream, sequence) VALUES (:consumer, :stream, 1)")
_LEDGER = text(
    "INSERT INTO ledger_entries (id, transaction_id, user_id, exchange_account_id, account, currency, amount, kind,"
    " at_ns) VALUES (uuid_v7(), CAST(:id AS uuid), :user, CAST(:id AS uuid), CAST(:name AS ledger_account), 'USDT',"
    " :amount, 'deposit', 1)"
)
_POSITION = text(
    "INSERT INTO positions (id, user_id, exchange_account_id, symbol, market_type, side, quantity, original_quantity,"
    " entry_price, status, opened_at) VALUES (uuid_v7(), :user, CAST(:id AS uuid), 'BTC/USDT', 'spot', 'long', 0.002,"
    " 0.002, 99000, 'open', now())"
)


async def status_of(database: Database, owner: UserId, label: str) -> operations.AccountStatus:
    found = await operations.account_statuses(database, owner, ())
    return next(status for status in found if status.label == label)


def test_equity_is_cash_and_positions_at_the_newest_candle(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database) -> None:
        owner, _ = await opened(database, "equity")
        status = await status_of(database, owner, "equity")
        (position,) = status.positions
        assert (position.mark, position.unrealised) == (Decimal(100_000), Decimal(2))
        assert (status.cash, status.equity, status.day_pnl) == (Decimal(9_800), Decimal(10_002), Decimal(2))
        assert (status.day, status.breaker, status.entries_today) == ("2025-05-20", "", 0)
        assert (status.last_event, status.provenance) == ("DayStarted", "recorded data from btc.parquet")

    run(scenario)


def test_equity_is_unknown_while_a_held_coin_has_no_price(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database) -> None:
        owner, account = await opened(database, "unpriced")
        async with database.connection() as connection:
            await connection.execute(
                text("UPDATE event_offsets SET sequence = 0 WHERE consumer = :name"), {"name": account_stream(account)}
            )
        status = await status_of(database, owner, "unpriced")
        assert (status.equity, status.day_pnl) == (None, None)
        assert status.positions[0].unrealised is None

    run(scenario)


def test_a_breaker_is_shown_only_on_the_day_it_tripped(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database) -> None:
        owner, account = await opened(database, "breaker")
        shown = []
        for event in (
            BreakerTripped(AT_NS + 3, "losing_streak", "3 in a row", "3"),
            DayStarted(AT_NS + DAY_NS, DAY + 1, Decimal(9_000)),
        ):
            await write(database, account_stream(account), event)
            shown.append((await status_of(database, owner, "breaker")).breaker)
        assert shown == ["losing_streak: 3 in a row, limit 3", ""]

    run(scenario)


def test_an_account_on_which_nothing_has_run_has_no_figures(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database) -> None:
        owner = await accounts.ensure_owner(database)
        await accounts.add_account(database, owner, "binance", "fresh")
        status = await status_of(database, owner, "fresh")
        assert (status.equity, status.last_event, status.currency) == (None, "", "")
        assert status.provenance == "nothing has run on it yet"

    run(scenario)


def test_a_kill_halts_the_accounts_below_it_and_names_what_is_left(
    run: Callable[[Scenario], None], files: LatchFiles
) -> None:
    async def scenario(database: Database) -> None:
        owner, account = await opened(database, "killed")
        latch = files.set(LatchScope.ACCOUNT, account, "test", "ann")
        report = await operations.kill_result(database, owner, latch, is_running=False)
        assert (report.result, report.left) == ("NOT_RUNNING", ("killed: long 0.002 BTC/USDT",))
        assert latch.id in [stored.id for stored in await latches.stored(database)]
        statuses = await operations.account_statuses(database, owner, (latch,))
        assert {s.label for s in statuses if s.mode is AccountMode.HALTED} == {"killed"}

    run(scenario)


def test_a_kill_says_residual_when_a_running_platform_does_not_get_flat(
    run: Callable[[Scenario], None], files: LatchFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(database: Database) -> None:
        owner, account = await opened(database, "stuck")
        latch = files.set(LatchScope.ACCOUNT, account, "test", "ann")
        monkeypatch.setattr(operations, "FLAT_WAIT_S", 0.0)
        report = await operations.kill_result(database, owner, latch, is_running=True)
        assert report.result == "RESIDUAL"

    run(scenario)


def test_a_latch_is_lifted_with_the_word_and_the_nonce_of_this_very_latch(
    run: Callable[[Scenario], None], files: LatchFiles
) -> None:
    async def scenario(database: Database) -> None:
        _, account = await opened(database, "lifted")
        latch = files.set(LatchScope.ACCOUNT, account, "test", "ann")
        lifting = await operations.ask_to_lift(database, files, LatchScope.ACCOUNT, account)
        assert lifting.latch.id == latch.id
        assert lifting.word == operations.confirmation_word(latch)
        await latches.lift(database, files, LatchScope.ACCOUNT, account, lifting.nonce, "ann")
        assert files.read(LatchScope.ACCOUNT, account) is None
        with pytest.raises(ConfigError, match="is not set"):
            await operations.ask_to_lift(database, files, LatchScope.ACCOUNT, account)

    run(scenario)


def test_another_latch_has_another_word(files: LatchFiles) -> None:
    latch = files.set(LatchScope.PLATFORM, "", "test", "ann")
    assert operations.confirmation_word(latch) != operations.confirmation_word(replace(latch, id="another"))


def test_an_edited_row_is_named_and_the_other_streams_are_checked_as_well(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: Database) -> None:
        _, account = await opened(database, "audited")
        stream = account_stream(account)
        seen: list[tuple[int, int]] = []
        journal = Journal(await database.raw())
        before = await operations.verify_journal(journal, lambda done, total: seen.append((done, total)))
        assert all(check.damaged_row is None for check in before)
        assert seen[-1][0] == seen[-1][1] == sum(check.rows for check in before)
        async with database.connection() as connection:
            await connection.execute(text("RESET ROLE"))  # the application's role may not change a row
            await connection.execute(
                text("UPDATE events SET happened_at_ns = 5 WHERE stream = :stream AND sequence = 2"), {"stream": stream}
            )
        after = await operations.verify_journal(journal, lambda *_: None)
        await journal.close()
        damaged = [check for check in after if check.damaged_row is not None]
        assert [(check.stream, check.damaged_row) for check in damaged] == [(stream, 2)]
        assert f"journal stream {stream} is damaged at row 2" in damaged[0].problem
        assert len(after) == len(before)

    run(scenario)
