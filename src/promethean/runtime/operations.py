"""What a person asks of an installation beside running it: how it stands, whether it can run, stop, verify."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import text

from promethean.domain.accounts import AccountMode
from promethean.domain.errors import JournalTamperedError
from promethean.domain.ids import AccountId, StreamName, UserId
from promethean.domain.instants import DAY_NS, day_of, to_datetime
from promethean.domain.money import plain
from promethean.storage import latches
from promethean.storage.database import Database
from promethean.storage.journal import Journal, account_stream
from promethean.storage.latches import Latch, LatchFiles, describe, persist
from promethean.storage.tables import LatchScope

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """A position that is held.  mark: the newest known price, None when there is none; unrealised: before exit fees."""

    symbol: str
    side: str
    quantity: Decimal
    entry_price: Decimal
    mark: Decimal | None
    unrealised: Decimal | None


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order that may still be filled.  price: of a limit, stop_price: of a stop; quote units per base unit."""

    symbol: str
    side: str
    type: str
    role: str
    quantity: Decimal
    filled_quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    status: str


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """How one account stands.  Amounts are quote units of `currency`; None is not known.

    day_pnl:       equity now less the first equity of the account's day.  day: that day, `2025-05-20`.
    breaker:       why the circuit breaker is tripped on that day, or "".
    last_event:    type of the newest fact; last_event_ns: when it happened by the account's clock;
    last_seen_ns:  when this machine wrote it down.
    finished:      a recorded feed has come to its end.
    """

    id: AccountId
    label: str
    exchange: str
    is_paper: bool
    provenance: str
    mode: AccountMode
    currency: str
    cash: Decimal
    equity: Decimal | None
    day: str
    day_pnl: Decimal | None
    entries_today: int
    breaker: str
    trades: int
    wins: int
    losses: int
    positions: tuple[OpenPosition, ...]
    orders: tuple[OpenOrder, ...]
    last_event: str
    last_event_ns: int
    last_seen_ns: int
    finished: bool


@dataclass(frozen=True, slots=True)
class PlatformStatus:
    """How an installation stands.  process: id of the one that runs it; kill_switch: each latch in force, in words."""

    home: Path
    process: int | None
    kill_switch: tuple[str, ...]
    accounts: tuple[AccountStatus, ...]


async def account_statuses(database: Database, owner: UserId, killed: Sequence[Latch]) -> tuple[AccountStatus, ...]:
    """How each of the owner's accounts stands, the one with the newest fact first; accounts without facts last.

    killed: the kill latches in force.
    """
    async with database.connection() as connection:
        accounts = (await connection.execute(_ACCOUNTS, {"owner": owner})).all()
        found = [await _account_status(connection, row, killed) for row in accounts]
    return tuple(sorted(found, key=lambda status: -status.last_seen_ns))


async def _account_status(connection: Any, row: Any, killed: Sequence[Latch]) -> AccountStatus:
    account = AccountId(str(row.id))
    names = {"account": account, "stream": account_stream(account)}
    newest = (await connection.execute(_NEWEST, names)).first()
    opened = await _event(connection, names, "AccountOpened")
    day, day_at_ns = await _last(connection, names, "DayStarted")
    tripped, tripped_at_ns = await _last(connection, names, "BreakerTripped")
    ledger = {row.account: row.total for row in await connection.execute(_LEDGER, names)}
    trades = (await connection.execute(_TRADES, names)).one()
    marks = {row.symbol: Decimal(row.price) for row in await connection.execute(_MARKS, names)}
    positions = tuple(_position(found, marks) for found in await connection.execute(_POSITIONS, names))
    orders = tuple(OpenOrder(*found) for found in await connection.execute(_ORDERS, names))
    cash = ledger.get("cash", ZERO)
    unrealised = [position.unrealised for position in positions]
    known = [amount for amount in unrealised if amount is not None]
    equity = cash + ledger.get("position", ZERO) + sum(known, ZERO) if len(known) == len(unrealised) else None
    day_equity = Decimal(day["equity"]) if day else None
    since = {**names, "since": (day_of(day_at_ns) * DAY_NS) if day else 0}
    return AccountStatus(
        id=account,
        label=row.label,
        exchange=row.exchange,
        is_paper=row.is_paper,
        provenance=opened.get("provenance", "nothing has run on it yet"),
        mode=AccountMode.HALTED if _is_killed(account, str(row.user_id), killed) else row.mode,
        currency=opened.get("currency", ""),
        cash=cash,
        equity=equity if opened else None,
        day=_date(day_at_ns) if day else "",
        day_pnl=equity - day_equity if equity is not None and day_equity is not None else None,
        entries_today=await connection.scalar(_ENTRIES, since) or 0,
        breaker=_breaker(tripped) if tripped and day and tripped_at_ns >= day_at_ns else "",
        trades=trades.trades,
        wins=trades.wins,
        losses=trades.losses,
        positions=positions,
        orders=orders,
        last_event=newest.type if newest else "",
        last_event_ns=newest.happened_at_ns if newest else 0,
        last_seen_ns=newest.received_at_ns if newest else 0,
        finished=bool(await connection.scalar(_FINISHED, names)),
    )


def _is_killed(account: str, user: str, killed: Sequence[Latch]) -> bool:
    return any(latch.scope is LatchScope.PLATFORM or latch.scope_id in (account, user) for latch in killed)


def _breaker(tripped: dict[str, Any]) -> str:
    return f"{tripped['code']}: {tripped['value']}, limit {tripped['limit']}"


def _date(instant_ns: int) -> str:
    return to_datetime(instant_ns).date().isoformat()


def _position(row: Any, marks: dict[str, Decimal]) -> OpenPosition:
    mark = marks.get(row.symbol.replace("/", ""))
    sign = 1 if row.side == "long" else -1
    unrealised = None if mark is None else sign * row.quantity * (mark - row.entry_price)
    return OpenPosition(row.symbol, row.side, row.quantity, row.entry_price, mark, unrealised)


async def _event(connection: Any, names: dict[str, Any], kind: str) -> dict[str, Any]:
    body = await connection.scalar(_FIRST, {**names, "kind": kind})
    return dict(body["event"]) if body is not None else {}


async def _last(connection: Any, names: dict[str, Any], kind: str) -> tuple[dict[str, Any], int]:
    row = (await connection.execute(_LAST, {**names, "kind": kind})).first()
    return (dict(row.payload["event"]), row.happened_at_ns) if row is not None else ({}, 0)


# ---------------------------------------------------------------- stopping and lifting

FLAT_WAIT_S = 10.0
FLAT_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class KillReport:
    """What became of a kill.

    latch:  the latch that is in force, in words.
    stored: whether PostgreSQL knows it too; if not, the next start tells it.
    result: FLAT; CANCEL_UNCONFIRMED, orders are left; RESIDUAL, positions are left; NOT_RUNNING, nobody trades now and
            what is open is closed by the next start; UNCONFIRMED, the database cannot be asked.
    left:   what is still open, in words.
    """

    scope: str
    latch: str
    stored: bool
    result: str
    left: tuple[str, ...]


async def kill_result(database: Database, owner: UserId, latch: Latch, *, is_running: bool) -> KillReport:
    """Tell PostgreSQL of a latch whose file is written, and look until everything under it is flat.

    Waits up to FLAT_WAIT_S while the platform runs.  Raises StoreError when PostgreSQL fails.
    """
    await persist(database, latch)
    deadline = time.monotonic() + (FLAT_WAIT_S if is_running else 0)
    while True:
        statuses = [s for s in await account_statuses(database, owner, (latch,)) if s.mode is AccountMode.HALTED]
        positions = [_position_words(status, position) for status in statuses for position in status.positions]
        orders = [_order_words(status, order) for status in statuses for order in status.orders]
        if not (positions or orders) or time.monotonic() >= deadline:
            break
        await asyncio.sleep(FLAT_LOOK_S)
    left = (*positions, *orders)
    result = "RESIDUAL" if positions else "CANCEL_UNCONFIRMED" if orders else "FLAT"
    return KillReport(
        str(latch.scope), describe(latch), True, result if is_running or not left else "NOT_RUNNING", left
    )


def _position_words(status: AccountStatus, position: OpenPosition) -> str:
    return f"{status.label}: {position.side} {plain(position.quantity)} {position.symbol}"


def _order_words(status: AccountStatus, order: OpenOrder) -> str:
    return f"{status.label}: {order.role} order, {order.side} {plain(order.quantity)} {order.symbol}, {order.status}"


@dataclass(frozen=True, slots=True)
class Lifting:
    """A latch that a person is about to lift.

    word:  what the person types to show that it is this latch that was looked at.
    nonce: lifts it once, within five minutes.
    """

    latch: Latch
    word: str
    nonce: str


async def ask_to_lift(database: Database, files: LatchFiles, scope: LatchScope, scope_id: str) -> Lifting:
    """What a person needs to lift a latch.  Raises ConfigError when it is not set."""
    nonce = await latches.ask_to_lift(database, files, scope, scope_id)
    latch = files.read(scope, scope_id)
    assert latch is not None, "a nonce is given for a latch that is set"
    return Lifting(latch, confirmation_word(latch), nonce)


def confirmation_word(latch: Latch) -> str:
    """A word of this very latch: another kill has another one, so an old command lifts nothing new."""
    return f"lift-{hashlib.sha256(latch.id.encode()).hexdigest()[:6]}"


# ---------------------------------------------------------------- the journal


@dataclass(frozen=True, slots=True)
class StreamCheck:
    """One stream of the journal.

    rows: that are there.  damaged_row: number of the first row that does not fit; None when all do.
    """

    stream: str
    rows: int
    damaged_row: int | None
    problem: str


async def verify_journal(journal: Journal, looked: Callable[[int, int], None]) -> tuple[StreamCheck, ...]:
    """Check every row of every stream against its chain, and that no stream is missing that somebody knows of.

    looked: is told the rows looked at and the rows to look at, after each stream.
    """
    streams = await journal.streams()  # accounts come before markets: their facts name rows that have to be there
    named: dict[StreamName, int] = {}
    total, done, checks = sum(rows for _, rows in streams), 0, []
    for stream, rows in streams:
        checks.append(await _check(journal, stream, rows, named))
        done += rows
        looked(done, total)
    lost = sorted(named.keys() - dict(streams).keys())
    return (*checks, *[await _check(journal, stream, 0, named) for stream in lost])


async def _check(journal: Journal, stream: StreamName, rows: int, named: dict[StreamName, int]) -> StreamCheck:
    try:
        return StreamCheck(stream, await journal.verify(stream, named), None, "")
    except JournalTamperedError as error:
        return StreamCheck(stream, rows, error.sequence, str(error))


_ACCOUNTS = text(
    "SELECT id, user_id, label, exchange, is_paper, mode FROM exchange_accounts"
    " WHERE user_id = :owner AND is_active ORDER BY created_at, id"
)
_NEWEST = text(
    "SELECT type, happened_at_ns, received_at_ns FROM events WHERE stream = :stream ORDER BY sequence DESC LIMIT 1"
)
_FIRST = text("SELECT payload FROM events WHERE stream = :stream AND type = :kind ORDER BY sequence LIMIT 1")
_LAST = text(
    "SELECT payload, happened_at_ns FROM events WHERE stream = :stream AND type = :kind ORDER BY sequence DESC LIMIT 1"
)
_FINISHED = text("SELECT true FROM events WHERE stream = :stream AND type = 'RunFinished' LIMIT 1")
_LEDGER = text(
    "SELECT account, sum(amount) AS total FROM ledger_entries WHERE exchange_account_id = :account GROUP BY account"
)
_TRADES = text(
    "SELECT count(*) AS trades, count(*) FILTER (WHERE realised_pnl > fees + coalesce(funding, 0)) AS wins,"
    " count(*) FILTER (WHERE realised_pnl < fees + coalesce(funding, 0)) AS losses"
    " FROM positions WHERE exchange_account_id = :account AND status = 'closed'"
)
_POSITIONS = text(
    "SELECT symbol, side, quantity, entry_price FROM positions"
    " WHERE exchange_account_id = :account AND status = 'open' ORDER BY opened_at, id"
)
_ORDERS = text(
    "SELECT symbol, side, type, role, quantity, filled_quantity, price, stop_price, status FROM orders"
    " WHERE exchange_account_id = :account"
    " AND status IN ('planned', 'sending', 'unknown', 'open', 'partially_filled') ORDER BY decided_at_ns, id"
)
_ENTRIES = text(
    "SELECT count(*) FROM orders WHERE exchange_account_id = :account AND role = 'entry' AND decided_at_ns >= :since"
)
# The newest candle of each market that the account reads; `binance:BTCUSDT-PERP` is the symbol BTC/USDT-PERP.
_MARKS = text(
    "SELECT split_part(o.stream, ':', 2) AS symbol, c.price FROM event_offsets o CROSS JOIN LATERAL ("
    " SELECT payload->'event'->'candle'->>'close' AS price FROM events"
    " WHERE stream = o.stream AND sequence <= o.sequence AND type = 'CandleClosed' ORDER BY sequence DESC LIMIT 1) c"
    " WHERE o.consumer = :stream"
)
