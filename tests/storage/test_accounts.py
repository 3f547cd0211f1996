from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from promethean.domain.accounts import AccountMode
from promethean.domain.errors import ConfigError
from promethean.domain.ids import AccountId, UserId
from promethean.storage.accounts import (
    add_account,
    ensure_budgets,
    ensure_owner,
    find_account,
    get_account,
    list_accounts,
    read_limits,
    set_account_mode,
    set_limit,
    tier_limits,
    write_default_limits,
)
from promethean.storage.database import Database
from promethean.storage.tables import BudgetScope

Run = Callable[[Callable[[Database], Awaitable[Any]]], Any]


async def add_user(database: Database, tier: str) -> UserId:
    sql = text("INSERT INTO users (role, limit_profile_id) SELECT 'trader', id FROM limit_profiles "
               "WHERE name = CAST(:tier AS tier_name) RETURNING id")  # fmt: skip
    async with database.connection() as connection:
        return UserId(str(await connection.scalar(sql, {"tier": tier})))


def test_the_owner_is_made_once_by_whoever_starts_first(run: Run) -> None:
    async def story(database: Database) -> None:
        owners = await asyncio.gather(*(ensure_owner(database) for _ in range(4)))
        assert len(set(owners)) == 1
        assert await ensure_owner(database) == owners[0]
        async with database.connection() as connection:
            rows = (await connection.execute(text("SELECT role, is_active FROM users"))).all()
        assert rows == [("owner", True)]
        assert (await tier_limits(database, owners[0]))["exchange_accounts"] == -1

    run(story)


def test_an_added_account_is_listed_and_found_by_its_owner_only(run: Run) -> None:
    async def story(database: Database) -> None:
        owner, other = await ensure_owner(database), await add_user(database, "free")
        first = await add_account(database, owner, "binance", "main")
        second = await add_account(database, owner, "bybit", "live", is_paper=False)
        accounts = await list_accounts(database, owner)
        assert [(account.id, account.is_paper) for account in accounts] == [(first, True), (second, False)]
        assert await find_account(database, owner, "binance", "main") == accounts[0]
        assert accounts[0].mode is AccountMode.ACTIVE
        assert await find_account(database, owner, "bybit", "main") is None
        assert await list_accounts(database, other) == ()
        assert await find_account(database, other, "binance", "main") is None

    run(story)


def test_a_label_is_used_once_per_exchange(run: Run) -> None:
    async def story(database: Database) -> None:
        owner = await ensure_owner(database)
        await add_account(database, owner, "binance", "main")
        await add_account(database, owner, "bybit", "main")
        with pytest.raises(ConfigError, match="'main' at binance already"):
            await add_account(database, owner, "binance", "main")
        with pytest.raises(ConfigError, match="needs a label"):
            await add_account(database, owner, "binance", " ")

    run(story)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("x" * 65, "the label has 65 characters, above the maximum of 64; choose a shorter one"),
        ("a\nb", r"the label 'a\\nb' holds '\\n', which cannot be shown; write printable characters only"),
        ("\x1b[31mred", r"holds '\\x1b', which cannot be shown"),
        ("good\u202eevil", r"holds '\\u202e', which cannot be shown"),
    ],
)
def test_a_label_that_tables_cannot_show_is_refused(run: Run, label: str, words: str) -> None:
    async def story(database: Database) -> None:
        owner = await ensure_owner(database)
        with pytest.raises(ConfigError, match=words):
            await add_account(database, owner, "binance", label)
        assert await list_accounts(database, owner) == ()

    run(story)


@pytest.mark.parametrize("label", ["m", "My second one: 50 %, [bold]", "貯金 " * 16])
def test_a_label_of_printable_characters_is_kept_as_it_is(run: Run, label: str) -> None:
    async def story(database: Database) -> None:
        owner = await ensure_owner(database)
        await add_account(database, owner, "binance", label)
        assert [account.label for account in await list_accounts(database, owner)] == [label]

    run(story)


def test_a_tier_bounds_the_number_of_accounts_however_fast_they_are_added(run: Run) -> None:
    async def story(database: Database) -> None:
        user = await add_user(database, "basic")
        results = await asyncio.gather(
            *(add_account(database, user, "binance", f"account {n}") for n in range(5)), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, ConfigError)]
        assert len(refused) == 3
        assert "the tier allows 2" in str(refused[0])
        assert len(await list_accounts(database, user)) == 2

    run(story)


def test_the_free_tier_trades_on_paper_only(run: Run) -> None:
    async def story(database: Database) -> None:
        user = await add_user(database, "free")
        with pytest.raises(ConfigError, match="does not allow live trading"):
            await add_account(database, user, "binance", "main", is_paper=False)
        await add_account(database, user, "binance", "main")

    run(story)


def test_an_account_of_an_unknown_user_is_refused(run: Run) -> None:
    async def story(database: Database) -> None:
        with pytest.raises(ConfigError, match="no user"):
            await add_account(database, UserId("018f0000-0000-7000-8000-00000000000a"), "binance", "main")

    run(story)


def test_an_account_is_asked_for_by_its_label(run: Run) -> None:
    async def story(database: Database) -> None:
        owner = await ensure_owner(database)
        made = await add_account(database, owner, "binance", "main")
        assert (await get_account(database, owner, "main")).id == made
        with pytest.raises(ConfigError, match="did you mean 'main'"):
            await get_account(database, owner, "mian")
        await add_account(database, owner, "bybit", "main")
        with pytest.raises(ConfigError, match="binance, bybit"):
            await get_account(database, owner, "main")

    run(story)


def test_the_mode_of_an_account_is_changed_by_its_owner_only(run: Run) -> None:
    async def story(database: Database) -> None:
        owner, other = await ensure_owner(database), await add_user(database, "free")
        account = await add_account(database, owner, "binance", "main")
        await set_account_mode(database, owner, account, AccountMode.REDUCING)
        with pytest.raises(ConfigError, match="no account"):
            await set_account_mode(database, other, AccountId(account), AccountMode.ACTIVE)
        assert (await list_accounts(database, owner))[0].mode is AccountMode.REDUCING

    run(story)


def test_default_limits_are_written_once_and_never_over_a_value_of_a_person(run: Run) -> None:
    async def story(database: Database) -> None:
        owner = await ensure_owner(database)
        defaults = {"order_notional": Decimal(1000), "daily_trades": Decimal(20)}
        await asyncio.gather(*(write_default_limits(database, owner, defaults) for _ in range(3)))
        await set_limit(database, owner, "daily_trades", Decimal(5), "the owner")
        await write_default_limits(database, owner, {**defaults, "total_exposure": Decimal("0.5")})
        assert await read_limits(database, owner) == {
            "order_notional": Decimal(1000),
            "daily_trades": Decimal(5),
            "total_exposure": Decimal("0.5"),
        }
        await write_default_limits(database, owner, {})

    run(story)


def test_a_limit_takes_effect_at_its_time(run: Run) -> None:
    async def story(database: Database) -> None:
        owner = await ensure_owner(database)
        await write_default_limits(database, owner, {"daily_trades": Decimal(20)})
        later = datetime.now(UTC) + timedelta(hours=1)
        await set_limit(database, owner, "daily_trades", Decimal(50), "the owner", effective_at=later)
        assert await read_limits(database, owner) == {"daily_trades": Decimal(20)}

    run(story)


def test_a_user_without_a_limit_record_has_no_limits_to_fall_back_on(run: Run) -> None:
    async def story(database: Database) -> None:
        assert await read_limits(database, await add_user(database, "free")) == {}

    run(story)


def test_budgets_are_made_once_and_keep_what_is_reserved_when_the_cap_changes(run: Run) -> None:
    async def story(database: Database) -> None:
        owner = await ensure_owner(database)
        key = (BudgetScope.USER, owner)
        caps = {key: Decimal(5000), (BudgetScope.STRATEGY, f"{owner}/rsi_reversion"): Decimal(1000)}
        first = await ensure_budgets(database, owner, caps)
        async with database.connection() as connection:
            await connection.execute(text("UPDATE budgets SET reserved = 7"))
        assert await ensure_budgets(database, owner, {key: Decimal(4000)}) == {key: first[key]}
        async with database.connection() as connection:
            row = (await connection.execute(text("SELECT cap, reserved FROM budgets WHERE scope = 'user'"))).one()
        assert tuple(row) == (4000, 7)
        assert await ensure_budgets(database, owner, {}) == {}

    run(story)


def test_a_budget_of_another_user_is_not_taken_over(run: Run) -> None:
    async def story(database: Database) -> None:
        owner, other = await ensure_owner(database), await add_user(database, "free")
        await ensure_budgets(database, owner, {(BudgetScope.STRATEGY, "mine"): Decimal(1)})
        with pytest.raises(AssertionError, match="another user"):
            await ensure_budgets(database, other, {(BudgetScope.STRATEGY, "mine"): Decimal(2)})
        async with database.connection() as connection:
            assert await connection.scalar(text("SELECT cap FROM budgets")) == 1

    run(story)
