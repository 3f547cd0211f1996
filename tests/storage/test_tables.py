from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
import yaml
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Enum, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from promethean.domain.ids import UserId
from promethean.domain.instruments import MarketType
from promethean.domain.market import Side
from promethean.domain.orders import TERMINAL, OrderRole, OrderStatus, OrderType, TimeInForce
from promethean.domain.signals import SignalSource, SignalType
from promethean.storage import tables
from promethean.storage.database import Database
from promethean.storage.tables import METADATA

Run = Callable[[Callable[[Database], Awaitable[Any]]], Any]

ALICE = UserId("018f0000-0000-7000-8000-00000000000a")
BOB = UserId("018f0000-0000-7000-8000-00000000000b")
ALICES_ACCOUNT = "018f0000-0000-7000-8000-0000000000aa"
BOBS_ACCOUNT = "018f0000-0000-7000-8000-0000000000bb"


async def insert(database: Database, table: Any, *rows: dict[str, Any]) -> None:
    async with database.connection() as connection:
        await connection.execute(table.insert(), list(rows))


async def two_users(database: Database) -> None:
    async with database.connection() as connection:
        profile = await connection.scalar(
            select(tables.LIMIT_PROFILES.c.id).where(tables.LIMIT_PROFILES.c.name == tables.TierName.FREE)
        )
        for user, account in ((ALICE, ALICES_ACCOUNT), (BOB, BOBS_ACCOUNT)):
            await connection.execute(
                tables.USERS.insert(), {"id": user, "role": tables.UserRole.TRADER, "limit_profile_id": profile}
            )
            await connection.execute(
                tables.EXCHANGE_ACCOUNTS.insert(),
                {"id": account, "user_id": user, "exchange": "binance", "label": "first"},
            )


def order(**changes: Any) -> dict[str, Any]:
    key = str(uuid.uuid4())
    return {
        "id": key,
        "user_id": ALICE,
        "exchange_account_id": ALICES_ACCOUNT,
        "client_order_id": f"pm{key}",
        "symbol": "binance:BTCUSDT",
        "market_type": MarketType.SPOT,
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "role": OrderRole.ENTRY,
        "time_in_force": TimeInForce.GTC,
        "status": OrderStatus.OPEN,
        "quantity": Decimal("0.5"),
        "risk_decision_id": str(uuid.uuid4()),
        "parameter_hash": "00",
        "fencing_epoch": 1,
        "decided_at_ns": 1,
        "evidence_id": None,
        **changes,
    }


def entry(amount: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "transaction_id": "018f0000-0000-7000-8000-0000000000f0",
        "user_id": ALICE,
        "exchange_account_id": ALICES_ACCOUNT,
        "account": tables.LedgerAccount.CASH,
        "currency": "USDT",
        "amount": Decimal(amount),
        "kind": tables.LedgerKind.DEPOSIT,
        "at_ns": 1,
        **changes,
    }


def check_names(connection: Any) -> set[str]:
    inspector = inspect(connection)
    return {str(check["name"]) for name in METADATA.tables for check in inspector.get_check_constraints(name)}


def test_the_migrations_make_exactly_the_tables_of_the_metadata(dsn: str) -> None:
    async def story() -> None:
        async with await Database.open(dsn) as database, database.connection() as connection:

            def differences(sync_connection: Any) -> list[Any]:
                context = MigrationContext.configure(
                    sync_connection,
                    opts={
                        "compare_server_default": True,
                        "include_object": lambda item, name, kind, *_: kind != "table" or name in METADATA.tables,
                    },
                )
                return list(compare_metadata(context, METADATA))

            assert await connection.run_sync(differences) == []

    asyncio.run(story())


def test_the_check_constraints_of_the_metadata_are_in_the_database(run: Run) -> None:
    async def story(database: Database) -> None:
        declared = {
            check.name
            for table in METADATA.tables.values()
            for check in table.constraints
            if isinstance(check, CheckConstraint) and isinstance(check.name, str)
        }
        async with database.connection() as connection:
            found = await connection.run_sync(check_names)
        assert found - {"limit_profiles_keys_check"} == declared

    run(story)


def test_every_closed_vocabulary_has_the_same_words_in_the_database(run: Run) -> None:
    async def story(database: Database) -> None:
        async with database.connection() as connection:
            rows = await connection.execute(
                text("SELECT t.typname, e.enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid "
                     "ORDER BY t.typname, e.enumsortorder")
            )  # fmt: skip
            found: dict[str, list[str]] = {}
            for name, word in rows:
                found.setdefault(name, []).append(word)
        declared = {kind.name: kind.enums for kind in vars(tables).values() if isinstance(kind, Enum)}
        assert found == declared

    run(story)


def test_every_table_belongs_to_the_catalogue(shared: Any) -> None:
    catalogue = yaml.safe_load((shared / "spec" / "catalogue.yaml").read_text())
    assert set(METADATA.tables) <= set(catalogue["postgres_tables"])


def test_every_table_with_a_user_has_row_level_security_and_an_index_that_starts_with_it(run: Run) -> None:
    async def story(database: Database) -> None:
        async with database.connection() as connection:
            protected = set(
                await connection.scalars(text("SELECT relname FROM pg_class WHERE relrowsecurity AND relkind = 'r'"))
            )
            indexed = set(
                await connection.scalars(
                    text("SELECT i.indrelid::regclass::text FROM pg_index i JOIN pg_attribute a "
                         "ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] WHERE a.attname = 'user_id'")
                )
            )  # fmt: skip
        of_users = {name for name, table in METADATA.tables.items() if "user_id" in table.c}
        assert of_users <= protected
        assert of_users <= indexed
        assert set(METADATA.tables) - protected == {"events", "limit_profiles"}  # COPY; nobody's secret

    run(story)


def test_the_application_role_owns_nothing(run: Run) -> None:
    async def story(database: Database) -> None:
        async with database.connection() as connection:
            owned = await connection.scalar(
                text("SELECT count(*) FROM pg_class WHERE relowner = 'promethean_app'::regrole")
            )
        assert owned == 0

    run(story)


def test_the_four_limit_profiles_are_there_with_the_same_keys(run: Run) -> None:
    async def story(database: Database) -> None:
        async with database.connection() as connection:
            rows = await connection.execute(text("SELECT name, limits FROM limit_profiles"))
            profiles = {name: limits for name, limits in rows.all()}  # noqa: C416  a Row is not a tuple to mypy
        assert set(profiles) == {"free", "basic", "premium", "enterprise"}
        assert profiles["free"]["live_trading"] is False
        assert profiles["free"]["exchange_accounts"] == 1
        assert profiles["enterprise"]["exchange_accounts"] == -1
        assert len({frozenset(limits) for limits in profiles.values()}) == 1

    run(story)


def test_ids_made_by_the_database_are_version_7_and_rise_with_time(run: Run) -> None:
    async def story(database: Database) -> None:
        before = time.time_ns() // 1_000_000
        async with database.connection() as connection:
            ids = [await connection.scalar(text("SELECT uuid_v7()")) for _ in range(2)]
        for made in map(uuid.UUID, map(str, ids)):
            assert made.version == 7
            assert made.variant == uuid.RFC_4122
            assert before - 1 <= made.int >> 80 <= time.time_ns() // 1_000_000 + 1

    run(story)


def test_money_comes_back_to_the_last_digit(run: Run) -> None:
    amount = Decimal("12345678901234567890.123456789012345678")

    async def story(database: Database) -> None:
        await insert(database, tables.RISK_LIMITS, {"user_id": ALICE, "code": "x", "value": amount, "set_by": "test"})
        async with database.connection() as connection:
            assert await connection.scalar(select(tables.RISK_LIMITS.c.value)) == amount

    run(story)


@pytest.mark.parametrize("status", sorted(TERMINAL - {OrderStatus.DROPPED}))
def test_an_order_does_not_end_without_evidence(run: Run, status: OrderStatus) -> None:
    async def story(database: Database) -> None:
        await two_users(database)
        with pytest.raises(IntegrityError, match="orders_evidence_check"):
            await insert(database, tables.ORDERS, order(status=status))
        await insert(database, tables.ORDERS, order(status=status, evidence_id=str(uuid.uuid4())))

    run(story)


def test_a_dropped_order_needs_no_evidence_because_it_was_never_sent(run: Run) -> None:
    async def story(database: Database) -> None:
        await two_users(database)
        await insert(database, tables.ORDERS, order(status=OrderStatus.DROPPED))

    run(story)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"quantity": Decimal(0)}, "orders_quantity_check"),
        ({"filled_quantity": Decimal("0.6")}, "orders_filled_quantity_check"),
        ({"filled_quantity": Decimal("-0.1")}, "orders_filled_quantity_check"),
        ({"exchange_account_id": str(uuid.uuid4())}, "orders_exchange_account_id_fkey"),
    ],
)
def test_an_impossible_order_is_refused(run: Run, change: dict[str, Any], constraint: str) -> None:
    async def story(database: Database) -> None:
        await two_users(database)
        with pytest.raises(IntegrityError, match=constraint):
            await insert(database, tables.ORDERS, order(**change))

    run(story)


def test_a_client_order_id_is_used_once(run: Run) -> None:
    async def story(database: Database) -> None:
        await two_users(database)
        await insert(database, tables.ORDERS, order(client_order_id="pm1"))
        with pytest.raises(IntegrityError, match="orders_client_order_id_key"):
            await insert(database, tables.ORDERS, order(client_order_id="pm1"))

    run(story)


def test_a_trade_of_an_account_is_booked_once(run: Run) -> None:
    async def story(database: Database) -> None:
        await two_users(database)
        placed = order()
        await insert(database, tables.ORDERS, placed)
        fill = {
            "user_id": ALICE,
            "exchange_account_id": ALICES_ACCOUNT,
            "order_id": placed["id"],
            "venue_trade_id": "7",
            "price": Decimal(100),
            "quantity": Decimal(1),
            "fee": Decimal("0.1"),
            "fee_currency": "USDT",
            "liquidity": tables.Liquidity.TAKER,
            "executed_at_ns": 1,
            "received_at_ns": 2,
        }
        await insert(database, tables.FILLS, {"id": str(uuid.uuid4()), **fill})
        with pytest.raises(IntegrityError, match="fills_exchange_account_id_venue_trade_id_key"):
            await insert(database, tables.FILLS, {"id": str(uuid.uuid4()), **fill})

    run(story)


def test_an_intent_passes_the_risk_check_once(run: Run) -> None:
    async def story(database: Database) -> None:
        decision = {
            "user_id": ALICE,
            "intent_id": str(uuid.uuid4()),
            "verdict": tables.RiskVerdict.PASS,
            "inputs_hash": "",
            "inputs": {},
            "limits_hash": "",
            "build_hash": "",
            "decided_at_ns": 1,
        }
        await insert(database, tables.RISK_DECISIONS, {"id": str(uuid.uuid4()), **decision})
        with pytest.raises(IntegrityError, match="risk_decisions_one_pass_idx"):
            await insert(database, tables.RISK_DECISIONS, {"id": str(uuid.uuid4()), **decision})
        with pytest.raises(IntegrityError, match="risk_decisions_code_check"):
            await insert(
                database,
                tables.RISK_DECISIONS,
                {"id": str(uuid.uuid4()), **decision, "verdict": tables.RiskVerdict.REFUSED},
            )

    run(story)


def test_a_ledger_transaction_that_sums_to_zero_is_booked(run: Run) -> None:
    async def story(database: Database) -> None:
        await insert(
            database,
            tables.LEDGER_ENTRIES,
            entry("100"),
            entry("-100", account=tables.LedgerAccount.EXTERNAL),
            entry("0.3", currency="BTC"),
            entry("-0.3", currency="BTC", account=tables.LedgerAccount.POSITION),
        )

    run(story)


@pytest.mark.parametrize(
    "entries",
    [
        [entry("100")],
        [entry("100"), entry("-99.999999999999999999")],
        [entry("100"), entry("-100", currency="BTC")],
    ],
)
def test_a_ledger_transaction_that_does_not_sum_to_zero_is_refused(run: Run, entries: list[dict[str, Any]]) -> None:
    async def story(database: Database) -> None:
        with pytest.raises(DBAPIError, match="does not sum to zero"):
            await insert(database, tables.LEDGER_ENTRIES, *entries)
        async with database.connection() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM ledger_entries")) == 0

    run(story)


def test_an_empty_ledger_entry_is_refused(run: Run) -> None:
    async def story(database: Database) -> None:
        with pytest.raises(IntegrityError, match="ledger_entries_amount_check"):
            await insert(database, tables.LEDGER_ENTRIES, entry("0"))

    run(story)


def test_half_of_a_ledger_transaction_under_another_user_still_has_to_balance(run: Run) -> None:
    """The rows a user cannot see count as well."""

    async def story(database: Database) -> None:
        await insert(database, tables.LEDGER_ENTRIES, entry("5"), entry("-5", user_id=BOB))
        with pytest.raises(DBAPIError, match="does not sum to zero"):
            async with database.user_connection(ALICE) as connection:
                await connection.execute(tables.LEDGER_ENTRIES.insert(), [entry("1")])

    run(story)


@pytest.mark.parametrize("column", ["reserved", "used"])
def test_a_budget_does_not_go_below_zero(run: Run, column: str) -> None:
    async def story(database: Database) -> None:
        budget = {"scope": tables.BudgetScope.PLATFORM, "scope_id": "", "cap": Decimal(100)}
        with pytest.raises(IntegrityError, match=f"budgets_{column}_check"):
            await insert(database, tables.BUDGETS, {**budget, column: Decimal(-1)})

    run(story)


def test_of_concurrent_reservations_no_more_succeed_than_the_cap_allows(run: Run) -> None:
    async def story(database: Database) -> None:
        await insert(
            database,
            tables.BUDGETS,
            {"user_id": ALICE, "scope": tables.BudgetScope.USER, "scope_id": ALICE, "cap": Decimal(100)},
        )
        reserve = text("UPDATE budgets SET reserved = reserved + 13 WHERE reserved + used + 13 <= cap")

        async def one() -> int:
            async with database.connection() as connection:
                return int((await connection.execute(reserve)).rowcount)

        assert sum(await asyncio.gather(*(one() for _ in range(12)))) == 7
        async with database.connection() as connection:
            assert await connection.scalar(select(tables.BUDGETS.c.reserved)) == 91

    run(story)


def test_an_update_moves_the_time_of_the_update(run: Run) -> None:
    async def story(database: Database) -> None:
        await two_users(database)
        async with database.connection() as connection:
            await connection.execute(text("UPDATE exchange_accounts SET label = 'second'"))
            later = text("SELECT bool_and(updated_at > created_at) FROM exchange_accounts")
            assert await connection.scalar(later)

    run(story)


def test_a_user_sees_own_rows_only(run: Run) -> None:
    async def story(database: Database) -> None:
        await two_users(database)
        await insert(database, tables.ORDERS, order(), order(user_id=BOB, exchange_account_id=BOBS_ACCOUNT))
        for user in (ALICE, BOB):
            async with database.user_connection(user) as connection:
                for table in (tables.EXCHANGE_ACCOUNTS, tables.ORDERS):
                    assert set(await connection.scalars(select(table.c.user_id))) == {user}
                assert set(await connection.scalars(select(tables.USERS.c.id))) == {user}
        async with database.connection() as connection:
            assert set(await connection.scalars(select(tables.ORDERS.c.user_id))) == {ALICE, BOB}

    run(story)


def test_a_user_cannot_write_for_another(run: Run) -> None:
    async def story(database: Database) -> None:
        await two_users(database)
        await insert(database, tables.ORDERS, order(user_id=BOB, exchange_account_id=BOBS_ACCOUNT))
        with pytest.raises(ProgrammingError, match="row-level security"):
            async with database.user_connection(ALICE) as connection:
                await connection.execute(tables.ORDERS.insert(), order(user_id=BOB))
        with pytest.raises(ProgrammingError, match="row-level security"):
            async with database.user_connection(ALICE) as connection:
                await connection.execute(tables.EXCHANGE_ACCOUNTS.update().values(user_id=BOB))
        async with database.user_connection(ALICE) as connection:
            changed = await connection.execute(tables.ORDERS.update().values(status=OrderStatus.UNKNOWN))
            assert changed.rowcount == 0

    run(story)


def test_a_user_cannot_raise_the_own_role(run: Run) -> None:
    async def story(database: Database) -> None:
        await two_users(database)
        async with database.user_connection(ALICE) as connection:
            changed = await connection.execute(tables.USERS.update().values(role=tables.UserRole.ADMINISTRATOR))
            assert changed.rowcount == 0

    run(story)


def test_a_user_reads_signals_for_everybody_but_cannot_make_them(run: Run) -> None:
    signal = {
        "id": str(uuid.uuid4()),
        "user_id": None,
        "symbol": "binance:BTCUSDT",
        "timeframe": "1m",
        "type": SignalType.BUY,
        "source": SignalSource.TECHNICAL,
        "confidence": 0.7,
        "reason": "rsi 28 below 30",
        "at_ns": 1,
    }

    async def story(database: Database) -> None:
        await insert(database, tables.SIGNALS, signal)
        async with database.user_connection(ALICE) as connection:
            assert await connection.scalar(text("SELECT count(*) FROM signals")) == 1
        with pytest.raises(ProgrammingError, match="row-level security"):
            async with database.user_connection(ALICE) as connection:
                await connection.execute(tables.SIGNALS.insert(), {**signal, "id": str(uuid.uuid4())})

    run(story)


def test_a_connection_without_a_scope_sees_nothing(run: Run) -> None:
    async def story(database: Database) -> None:
        await two_users(database)
        raw = await database.raw()
        assert await raw.fetchval("SELECT count(*) FROM users") == 2
        await raw.execute("RESET promethean.scope")
        assert await raw.fetchval("SELECT count(*) FROM users") == 0
        assert await raw.fetchval("SELECT count(*) FROM account_leases") == 0
        await raw.close()

    run(story)


def event(sequence: int) -> tuple[Any, ...]:
    return ("account/a", sequence, "CandleClosed", '{"close": "1"}', sequence, sequence, b"\0" * 32, b"\1" * 32)


COLUMNS = ("stream", "sequence", "type", "payload", "happened_at_ns", "received_at_ns", "previous_hash", "hash")


def test_the_journal_takes_copied_rows_and_refuses_every_change(run: Run, dsn: str) -> None:
    async def story(database: Database) -> None:
        raw = await database.raw()
        await raw.copy_records_to_table("events", records=[event(n) for n in range(1, 1001)], columns=COLUMNS)
        for change in ("UPDATE events SET type = 'x'", "DELETE FROM events", "TRUNCATE events"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await raw.execute(change)
        with pytest.raises(asyncpg.UniqueViolationError):
            await raw.copy_records_to_table("events", records=[event(7)], columns=COLUMNS)
        assert await raw.fetchval("SELECT count(*) FROM events") == 1000
        await raw.close()

        by_hand = await asyncpg.connect(dsn)  # a superuser can; the hash chain tells
        assert await by_hand.execute("UPDATE events SET type = 'x' WHERE sequence = 5") == "UPDATE 1"
        await by_hand.close()

    run(story)


@pytest.mark.parametrize("table", ["fills", "ledger_entries", "risk_decisions", "venue_evidence"])
def test_facts_are_never_changed_by_the_application(run: Run, table: str) -> None:
    async def story(database: Database) -> None:
        raw = await database.raw()
        for change in (f"UPDATE {table} SET created_at = now()", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await raw.execute(change)
        await raw.close()

    run(story)
