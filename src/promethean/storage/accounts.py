"""Users, their accounts at venues, their limits and their budgets: what must be there before anything trades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from promethean.domain.accounts import AccountMode
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.ids import AccountId, UserId
from promethean.storage.database import Database
from promethean.storage.tables import (
    BUDGETS,
    EXCHANGE_ACCOUNTS,
    LIMIT_PROFILES,
    RISK_LIMITS,
    STRATEGIES,
    USERS,
    BudgetScope,
    ConnectionStatus,
    TierName,
    UserRole,
)

_UNLIMITED = -1
_LABEL_MAX = 64


@dataclass(frozen=True, slots=True)
class Account:
    """One user's account at one venue, without its keys."""

    id: AccountId
    user: UserId
    exchange: str
    label: str
    is_paper: bool
    is_testnet: bool
    is_active: bool
    status: ConnectionStatus
    mode: AccountMode


async def ensure_owner(database: Database) -> UserId:
    """The person who installed the platform; the first start makes the row, two at once make one."""
    profile = select(LIMIT_PROFILES.c.id).where(LIMIT_PROFILES.c.name == TierName.ENTERPRISE).scalar_subquery()
    row = {"role": UserRole.OWNER, "limit_profile_id": profile}
    found = select(USERS.c.id).where(USERS.c.role == UserRole.OWNER)
    async with database.connection() as connection:
        owner = await connection.scalar(found)
        if owner is None:
            await connection.execute(insert(USERS).values(row).on_conflict_do_nothing())
            owner = await connection.scalar(found)
    return UserId(str(owner))


async def tier_limits(database: Database, user: UserId) -> Mapping[str, int | bool]:
    """The limits of the user's tier by key (SPEC 2.3); -1 is unlimited by the tier.

    Raises: ConfigError when there is no such user.
    """
    async with database.connection() as connection:
        return await _tier_limits(connection, user)


async def add_account(
    database: Database, user: UserId, exchange: str, label: str, *, is_paper: bool = True, is_testnet: bool = False
) -> AccountId:
    """Add an account without keys.

    label: the user's name for it, 1 to 64 printable characters, unique among the user's accounts at this exchange.
    Raises: ConfigError when the label is not such a one or taken, the tier allows no further account or no live
            trading, or there is no such user.
    """
    _refuse_unshowable(label)
    async with database.connection() as connection:
        limits = await _tier_limits(connection, user)
        # Two additions at once would both find room: this user's additions wait for one another.
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:user, 0))"), {"user": user})
        of_user = EXCHANGE_ACCOUNTS.c.user_id == user
        await _refuse_taken_label(connection, of_user, exchange, label)
        allowed = limits["exchange_accounts"]
        count = await connection.scalar(
            select(func.count()).select_from(EXCHANGE_ACCOUNTS).where(of_user, EXCHANGE_ACCOUNTS.c.is_active)
        )
        if allowed != _UNLIMITED and (count or 0) >= allowed:
            raise ConfigError(
                f"the user has {count} active accounts and the tier allows {allowed}; deactivate one or change the tier"
            )
        if not (is_paper or is_testnet or limits["live_trading"]):
            raise ConfigError("the tier does not allow live trading; add a paper account or change the tier")
        row = {"user_id": user, "exchange": exchange, "label": label, "is_paper": is_paper, "is_testnet": is_testnet}
        made = await connection.scalar(insert(EXCHANGE_ACCOUNTS).values(row).returning(EXCHANGE_ACCOUNTS.c.id))
    return AccountId(str(made))


async def list_accounts(database: Database, user: UserId) -> tuple[Account, ...]:
    """The user's accounts, oldest first."""
    query = _ACCOUNTS.order_by(EXCHANGE_ACCOUNTS.c.created_at, EXCHANGE_ACCOUNTS.c.id)
    async with database.user_connection(user) as connection:
        return tuple(_account(tuple(row)) for row in await connection.execute(query))


async def find_account(database: Database, user: UserId, exchange: str, label: str) -> Account | None:
    """The user's account with this label at this exchange, None when there is none."""
    query = _ACCOUNTS.where(EXCHANGE_ACCOUNTS.c.exchange == exchange, EXCHANGE_ACCOUNTS.c.label == label)
    async with database.user_connection(user) as connection:
        row = (await connection.execute(query)).one_or_none()
    return _account(tuple(row)) if row is not None else None


async def get_account(database: Database, user: UserId, label: str) -> Account:
    """The user's only account with this label, at whatever exchange.

    Raises: ConfigError when there is none, with the closest labels, or when several exchanges have one.
    """
    accounts = await list_accounts(database, user)
    found = [account for account in accounts if account.label == label]
    if not found:
        raise ConfigError(unknown_name("account", label, (account.label for account in accounts)))
    if len(found) > 1:
        exchanges = ", ".join(account.exchange for account in found)
        raise ConfigError(f"there are accounts {label!r} at {exchanges}; name the exchange as well")
    return found[0]


async def set_account_mode(database: Database, user: UserId, account: AccountId, mode: AccountMode) -> None:
    """What the account may do from now on (RELIABILITY section 5).

    Raises: ConfigError when the user has no such account.
    """
    changing = update(EXCHANGE_ACCOUNTS).where(EXCHANGE_ACCOUNTS.c.id == account).values(mode=mode)
    async with database.user_connection(user) as connection:
        if (await connection.execute(changing)).rowcount == 0:
            raise ConfigError(f"there is no account {account}; `promethean account list` shows yours")


async def write_default_limits(database: Database, user: UserId, values: Mapping[str, Decimal]) -> None:
    """Put these limits into the user's limit record, for every code that no person has set.

    The settings decide until a person does; the code has no defaults of its own, so a limit missing here refuses.
    """
    limits = RISK_LIMITS.c
    newest = (
        select(limits.code, limits.value, limits.set_by)
        .where(limits.user_id == user)
        .ext(distinct_on(limits.code))
        .order_by(limits.code, limits.effective_at.desc())
    )
    async with database.connection() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:user, 1))"), {"user": user})
        known = {row.code: row for row in await connection.execute(newest)}
        rows = [
            {"user_id": user, "code": code, "value": value, "set_by": "default"}
            for code, value in values.items()
            if code not in known or (known[code].set_by == "default" and known[code].value != value)
        ]
        if rows:
            await connection.execute(insert(RISK_LIMITS), rows)


async def ensure_strategy(
    database: Database, user: UserId, name: str, class_name: str, config: Mapping[str, Any], config_hash: str
) -> str:
    """The row id of a strategy of the user, made or brought up to date.

    name: unique among the user's strategies.  config: the strategy file's content as JSON.
    """
    row = {"user_id": user, "name": name, "class_name": class_name, "config": config, "config_hash": config_hash}
    adding = insert(STRATEGIES).values(row)
    changed = {key: adding.excluded[key] for key in ("class_name", "config", "config_hash")}
    upsert = adding.on_conflict_do_update(index_elements=[STRATEGIES.c.user_id, STRATEGIES.c.name], set_=changed)
    async with database.connection() as connection:
        return str(await connection.scalar(upsert.returning(STRATEGIES.c.id)))


async def set_limit(
    database: Database, user: UserId, code: str, value: Decimal, by: str, effective_at: datetime | None = None
) -> None:
    """Add a value to the limit record; the older ones stay as history.

    by:           the person, for the record.
    effective_at: aware; None is at once.  Whether a change may take effect at once is the caller's to decide.
    """
    row: dict[str, Any] = {"user_id": user, "code": code, "value": value, "set_by": by}
    if effective_at is not None:
        row["effective_at"] = effective_at
    async with database.connection() as connection:
        await connection.execute(insert(RISK_LIMITS).values(row))


async def read_limits(database: Database, user: UserId) -> dict[str, Decimal]:
    """The user's limits in force, by code: of each the newest value whose time has come."""
    limits = RISK_LIMITS.c
    query = (
        select(limits.code, limits.value)
        .where(limits.user_id == user, limits.effective_at <= func.now())
        .ext(distinct_on(limits.code))
        .order_by(limits.code, limits.effective_at.desc())
    )
    async with database.connection() as connection:
        return {row.code: row.value for row in await connection.execute(query)}


async def ensure_budgets(
    database: Database, user: UserId | None, caps: Mapping[tuple[BudgetScope, str], Decimal]
) -> dict[tuple[BudgetScope, str], str]:
    """Budget rows for these scopes, with these caps; what is reserved and used stays.

    user: whose they are; None for the platform's.
    caps: by (scope, scope id), in quote units.
    Returns: the budget ids by (scope, scope id).
    """
    if not caps:
        return {}
    # In one order, so that two processes cannot wait for each other.
    rows = [
        {"user_id": user, "scope": scope, "scope_id": scope_id, "cap": cap}
        for (scope, scope_id), cap in sorted(caps.items())
    ]
    adding = insert(BUDGETS).values(rows)
    upsert = adding.on_conflict_do_update(
        index_elements=[BUDGETS.c.scope, BUDGETS.c.scope_id],
        set_={"cap": adding.excluded.cap},
        where=BUDGETS.c.user_id.is_not_distinct_from(adding.excluded.user_id),
    ).returning(BUDGETS.c.scope, BUDGETS.c.scope_id, BUDGETS.c.id)
    async with database.connection() as connection:
        made = {(row.scope, row.scope_id): row.id for row in await connection.execute(upsert)}
        assert made.keys() == caps.keys(), f"a budget of another user has one of these scope ids: {sorted(caps)}"
    return made


_ACCOUNTS = select(
    EXCHANGE_ACCOUNTS.c.id,
    EXCHANGE_ACCOUNTS.c.user_id,
    EXCHANGE_ACCOUNTS.c.exchange,
    EXCHANGE_ACCOUNTS.c.label,
    EXCHANGE_ACCOUNTS.c.is_paper,
    EXCHANGE_ACCOUNTS.c.is_testnet,
    EXCHANGE_ACCOUNTS.c.is_active,
    EXCHANGE_ACCOUNTS.c.status,
    EXCHANGE_ACCOUNTS.c.mode,
)


def _account(row: tuple[Any, ...]) -> Account:
    return Account(*row)


async def _tier_limits(connection: AsyncConnection, user: UserId) -> Mapping[str, int | bool]:
    query = (
        select(LIMIT_PROFILES.c.limits)
        .join(USERS, USERS.c.limit_profile_id == LIMIT_PROFILES.c.id)
        .where(USERS.c.id == user)
    )
    limits: Mapping[str, int | bool] | None = await connection.scalar(query)
    if limits is None:
        raise ConfigError(f"there is no user {user}")
    return limits


def _refuse_unshowable(label: str) -> None:
    if not label.strip():
        raise ConfigError("an account needs a label; give it a name such as 'main'")
    if len(label) > _LABEL_MAX:
        raise ConfigError(
            f"the label has {len(label)} characters, above the maximum of {_LABEL_MAX}; choose a shorter one"
        )
    unprintable = next((character for character in label if not character.isprintable()), None)
    if unprintable is not None:
        raise ConfigError(
            f"the label {label!r} holds {unprintable!r}, which cannot be shown; write printable characters only"
        )


async def _refuse_taken_label(
    connection: AsyncConnection, of_user: ColumnElement[bool], exchange: str, label: str
) -> None:
    same = EXCHANGE_ACCOUNTS.c.exchange == exchange, EXCHANGE_ACCOUNTS.c.label == label
    if await connection.scalar(select(EXCHANGE_ACCOUNTS.c.id).where(of_user, *same)) is not None:
        raise ConfigError(f"there is an account {label!r} at {exchange} already; choose another label")
