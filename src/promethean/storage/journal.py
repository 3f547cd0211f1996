"""The journal: append-only, hash-chained streams of events, written in groups.

Appending numbers and chains an event in memory; a transaction writes everything appended so far together with the
projections that follow from it, under the account's lease.  What is not committed did not happen: nothing is sent or
told before.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import orjson

from promethean.domain.candles import Candle
from promethean.domain.errors import JournalTamperedError, LeaseLostError, StoreError
from promethean.domain.events import START_RECORDS, CandleClosed, Event, MarketEvent
from promethean.domain.ids import AccountId, InstrumentId, OrderId, StreamName, UserId
from promethean.storage.encoding import canonical, decode, encode, quoted
from promethean.storage.rows import Rows, Shape, rows_text, upserts

GENESIS = bytes(32)
_COLUMNS = ("stream", "sequence", "type", "payload", "happened_at_ns", "received_at_ns", "previous_hash", "hash")
_PAGE_ROWS = 5000
_COPY_ROWS = 500
_FEW_ROWS = 20
_INSERT = """INSERT INTO events (stream, sequence, type, payload, happened_at_ns, received_at_ns, previous_hash, hash)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::jsonb[], $5::bigint[], $6::bigint[], $7::bytea[],
                         $8::bytea[])"""
_NO_EVENTS: tuple[list[Any], ...] = ([], [], [], [], [], [], [], [])


def account_stream(account: AccountId) -> StreamName:
    """The stream of an account's own facts."""
    return StreamName(f"account/{account}")


def market_stream(feed: str, instrument: InstrumentId) -> StreamName:
    """The stream of one feed's market events about one instrument."""
    return StreamName(f"market/{feed}/{instrument}")


@dataclass(frozen=True, slots=True)
class Seen:
    """The market event that an account fact was made on."""

    stream: StreamName
    sequence: int


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the journal as read back.  body: the event's JSON form, for those who only count or hash."""

    stream: StreamName
    sequence: int
    type: str
    body: Mapping[str, Any]
    seen: Seen | None
    happened_at_ns: int

    def event(self) -> Event:
        """The event.  Raises StoreError when this program does not know the type."""
        return decode(self.type, self.body)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write for one account: valid while the epoch is the newest."""

    account: AccountId
    user: UserId
    epoch: int


@dataclass(frozen=True, slots=True)
class BudgetChange:
    """What a group does to the account's budget, quote units.

    set_aside: newly reserved, refused as a whole when it does not fit.  reserved, used: what else changes.
    """

    set_aside: Decimal
    reserved: Decimal
    used: Decimal


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a group.  halted: a kill latch is set for the account, its user or the platform."""

    written: bool
    halted: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """Where appending stood."""

    heads: Mapping[StreamName, tuple[int, bytes]]
    pending: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """Quote units that an order sets aside in the budget of its account."""

    order: OrderId
    amount: Decimal


def chain(previous: bytes, stream: str, sequence: int, kind: str, happened: int, received: int, payload: str) -> bytes:
    """The hash of a journal row: every byte of it and the hash of the row before."""
    head = f"{stream}\n{sequence}\n{kind}\n{happened}\n{received}\n{payload}"
    return hashlib.sha256(previous + head.encode()).digest()


class Journal:
    """Writes streams through one connection and reads them back.

    connection: an asyncpg connection that works for the platform (`Database.raw`); the journal closes it.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._heads: dict[StreamName, tuple[int, bytes]] = {}
        self._pending: list[tuple[str, int, str, str, int, int, bytes, bytes]] = []

    async def close(self) -> None:
        """Close the connection.  What was appended and not committed is gone, as if it had not happened."""
        await self._connection.close()

    async def open_stream(self, stream: StreamName) -> int:
        """Get ready to append to a stream: the number of its last row, 0 for a new one."""
        if stream not in self._heads:
            with _translated("read"):
                row = await self._connection.fetchrow(
                    "SELECT sequence, hash FROM events WHERE stream = $1 ORDER BY sequence DESC LIMIT 1", stream
                )
            self._heads[stream] = (row["sequence"], bytes(row["hash"])) if row is not None else (0, GENESIS)
        return self._heads[stream][0]

    @property
    def pending(self) -> int:
        """Rows appended and not yet committed."""
        return len(self._pending)

    def append(self, stream: StreamName, event: Event, received_at_ns: int, seen: Seen | None = None) -> int:
        """Number and chain an event at the end of an open stream; the next transaction writes it.

        Returns the row's number within the stream.
        """
        sequence, previous = self._heads[stream]
        sequence += 1
        kind = type(event).__name__
        payload = f'{{"event":{encode(event)}'
        payload += "}" if seen is None else f',"seen":[{quoted(seen.stream)},{seen.sequence}]}}'
        happened_at_ns = event.at_ns
        digest = chain(previous, stream, sequence, kind, happened_at_ns, received_at_ns, payload)
        self._pending.append((stream, sequence, kind, payload, happened_at_ns, received_at_ns, previous, digest))
        self._heads[stream] = (sequence, digest)
        return sequence

    def extend(self, stream: StreamName, events: Iterable[MarketEvent]) -> int:
        """As `append` for a run of market events, which come by the thousand; each knows when it was received."""
        sequence, previous = self._heads[stream]
        for event in events:
            sequence += 1
            kind, happened_at_ns, received_at_ns = type(event).__name__, event.at_ns, event.received_at_ns
            payload = f'{{"event":{encode(event)}}}'
            digest = chain(previous, stream, sequence, kind, happened_at_ns, received_at_ns, payload)
            self._pending.append((stream, sequence, kind, payload, happened_at_ns, received_at_ns, previous, digest))
            previous = digest
        self._heads[stream] = (sequence, previous)
        return sequence

    def mark(self) -> Mark:
        """Where appending stands now, for `rewind`."""
        return Mark(dict(self._heads), len(self._pending))

    def rewind(self, mark: Mark) -> None:
        """Take back what was appended since a mark; none of it may be committed."""
        assert len(self._pending) >= mark.pending, "a group cannot be taken back after its commit"
        self._heads = dict(mark.heads)
        del self._pending[mark.pending :]

    async def commit(
        self, lease: Lease, rows: Rows, change: BudgetChange, offsets: Mapping[StreamName, int], *, claims_risk: bool
    ) -> Outcome:
        """Write everything appended so far and the rows that follow from it, in one statement: all of it or nothing.

        offsets:     how far the account has come in each market stream.
        claims_risk: the group claims an order that increases risk; it is refused then while a kill latch is set.
        Returns whether it was written, and if not, why: the caller takes the claims back and settles them one by one.
        Raises LeaseLostError when another process has the account, StoreError when PostgreSQL fails.
        """
        _add_offsets(rows, lease, offsets)
        tables = rows.listed()
        statement = _guarded_statement(tuple((name, tuple(found[0])) for name, found in tables))
        arguments = [
            lease.account,
            lease.epoch,
            lease.user,
            claims_risk,
            change.set_aside,
            change.reserved,
            change.used,
        ]
        with _translated():
            if len(self._pending) > _COPY_ROWS:
                # A COPY costs round trips of its own and is worth them for many rows.
                async with self._connection.transaction():
                    found = await self._connection.fetchrow(statement, *arguments, *_NO_EVENTS, *_texts(tables))
                    if found["written"]:
                        await self._copy()
            else:
                columns = map(list, zip(*self._pending, strict=True)) if self._pending else _NO_EVENTS
                found = await self._connection.fetchrow(statement, *arguments, *columns, *_texts(tables))
        if not found["leased"]:
            raise LeaseLostError(f"account {lease.account} was taken by another process; this one stops writing for it")
        if found["written"]:
            self._pending = []
        return Outcome(found["written"], found["halted"])

    async def write(self) -> None:
        """Commit what was appended to streams that belong to no account: market events.

        Raises StoreError when PostgreSQL fails.
        """
        if not self._pending:
            return
        with _translated():
            if len(self._pending) > _FEW_ROWS:
                await self._copy()
            else:
                await self._connection.execute(_INSERT, *map(list, zip(*self._pending, strict=True)))
        self._pending = []

    async def _copy(self) -> None:
        await self._connection.copy_records_to_table("events", records=self._pending, columns=list(_COLUMNS))

    async def set_aside(self, lease: Lease, reservations: Sequence[Reservation]) -> set[OrderId]:
        """Which of these reservations find room now, asked one after the other; nothing is changed.

        The commit that follows sets the amounts aside by compare-and-set; this only says which claims are worth trying.
        """
        with _translated():
            room = await self._connection.fetchval(
                "SELECT cap - reserved - used FROM budgets WHERE scope = 'venue' AND scope_id = $1", lease.account
            )
        fitting = set()
        for reservation in reservations:
            if room is not None and reservation.amount <= room:
                room -= reservation.amount
                fitting.add(reservation.order)
        return fitting

    async def offset(self, consumer: str, stream: StreamName) -> int:
        """How far a reader has come in a stream; 0 before its first row."""
        with _translated("read"):
            sequence: int | None = await self._connection.fetchval(
                "SELECT sequence FROM event_offsets WHERE consumer = $1 AND stream = $2", consumer, stream
            )
        return sequence or 0

    async def read(self, stream: StreamName, after: int = 0) -> AsyncIterator[Record]:
        """The rows of a stream after a number, oldest first."""
        async for row in self._rows(stream, after):
            yield _record(row)

    async def _rows(self, stream: StreamName, after: int) -> AsyncIterator[Any]:
        while True:
            with _translated("read"):
                rows = await self._connection.fetch(
                    "SELECT * FROM events WHERE stream = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
                    stream,
                    after,
                    _PAGE_ROWS,
                )
            for row in rows:
                yield row
            if len(rows) < _PAGE_ROWS:
                return
            after = rows[-1]["sequence"]

    async def newest_candle(self, stream: StreamName) -> Candle | None:
        """The last closed candle of a market stream, or None when there is none yet."""
        with _translated("read"):
            row = await self._connection.fetchrow(
                """SELECT * FROM events WHERE stream = $1 AND type = 'CandleClosed' ORDER BY sequence DESC LIMIT 1""",
                stream,
            )
        event = _record(row).event() if row is not None else None
        return event.candle if isinstance(event, CandleClosed) else None

    async def first_candle(self, stream: StreamName, after: int) -> Candle | None:
        """The first closed candle of a market stream after a row, or None when there is none."""
        row = await self._connection.fetchrow(
            """SELECT * FROM events WHERE stream = $1 AND type = 'CandleClosed' AND sequence > $2
               ORDER BY sequence LIMIT 1""",
            stream,
            after,
        )
        event = _record(row).event() if row is not None else None
        return event.candle if isinstance(event, CandleClosed) else None

    async def candles(self, stream: StreamName, upto: int) -> int:
        """How many closed candles a market stream holds up to a row."""
        found: int = await self._connection.fetchval(
            "SELECT count(*) FROM events WHERE stream = $1 AND type = 'CandleClosed' AND sequence <= $2", stream, upto
        )
        return found

    async def has_finished(self, stream: StreamName) -> bool:
        """Whether a recorded run of this account has come to its end."""
        with _translated("read"):
            found: bool = await self._connection.fetchval(
                "SELECT EXISTS (SELECT 1 FROM events WHERE stream = $1 AND type = 'RunFinished')", stream
            )
        return found

    async def streams(self) -> list[tuple[StreamName, int]]:
        """Every stream that is or was there, with the number of rows that are there.

        One that has lost all its rows is known by who has read it, or by the ledger of its account.
        """
        with _translated("read"):
            rows = await self._connection.fetch(
                """SELECT stream, sum(rows)::bigint FROM (
                       SELECT stream, count(*) AS rows FROM events GROUP BY stream
                       UNION ALL SELECT stream, 0 FROM event_offsets
                       UNION ALL SELECT 'account/' || exchange_account_id, 0 FROM ledger_entries) AS told
                   GROUP BY stream ORDER BY stream"""
            )
        return [(StreamName(row[0]), row[1]) for row in rows]

    async def verify(self, stream: StreamName, named: dict[StreamName, int] | None = None, *, after: int = 0) -> int:
        """Check the rows of a stream against the chain.

        after: number of the row that is taken as true, and behind which the check begins; 0 checks all of them.
        named: the last row of each market stream that facts of accounts name, as far as these were verified; the facts
               of this stream are added, and its own rows have to reach what is named of them.
        Returns the number of the last row.  Raises JournalTamperedError naming the first row that does not fit.
        """
        named = named if named is not None else {}
        expected, previous = after + 1, await self._hash(stream, after)
        async for row in self._rows(stream, after):
            sequence = row["sequence"]
            if sequence != expected:
                raise JournalTamperedError(stream, expected, f"the row is missing, the next one is {sequence}")
            if bytes(row["previous_hash"]) != previous:
                raise JournalTamperedError(stream, sequence, "it does not continue the row before it")
            payload = orjson.loads(row["payload"])
            happened, received = row["happened_at_ns"], row["received_at_ns"]
            if chain(previous, stream, sequence, row["type"], happened, received, canonical(payload)) != row["hash"]:
                raise JournalTamperedError(stream, sequence, f"the {row['type']} in it was edited")
            expected, previous = sequence + 1, row["hash"]
            if "seen" in payload:
                market, seen = payload["seen"]
                named[market] = max(seen, named.get(market, 0))
        await self._refuse_cut(stream, expected - 1, named.get(stream, 0))
        return expected - 1

    async def _hash(self, stream: StreamName, sequence: int) -> bytes:
        if sequence == 0:
            return GENESIS
        with _translated("verify"):
            found: bytes | None = await self._connection.fetchval(
                "SELECT hash FROM events WHERE stream = $1 AND sequence = $2", stream, sequence
            )
        if found is None:
            raise JournalTamperedError(stream, sequence, "the row is missing")
        return found

    async def _refuse_cut(self, stream: StreamName, rows: int, named: int) -> None:
        """A chain does not show what was cut off at its end; who has come further does."""
        with _translated("verify"):
            known: int | None = await self._connection.fetchval(
                """SELECT max(sequence) FROM (
                       SELECT sequence FROM event_offsets WHERE stream = $1
                       UNION ALL SELECT 1 FROM ledger_entries WHERE 'account/' || exchange_account_id = $1) AS known""",
                stream,
            )
        last = max(known or 0, named)
        if last > rows:
            missing = f"rows {rows + 1} to {last} were" if last > rows + 1 else "the row was"
            raise JournalTamperedError(stream, rows + 1, f"{missing} there once and cannot be found")

    async def fingerprint(self, account: StreamName, market: Seen, *, repeatable: bool) -> str:
        """`journal_hash`: what happened, in order, without what differs between two starts (DESIGN section 5).

        market:     the market stream and the last row of it that the account has handled.
        repeatable: whether the market's rows are the same on every run; PostgreSQL hashes them where they are then.
        Returns hexadecimal SHA-256 over type, instant, instrument, side, prices, quantities, fees, codes and reasons.
        """
        digest = hashlib.sha256()
        if repeatable:
            await self._digest_in_place(digest, market)
        else:
            await self._digest(digest, market.stream, market.sequence)
        await self._digest(digest, account, None)
        return digest.hexdigest()

    async def _digest_in_place(self, digest: hashlib._Hash, upto: Seen) -> None:
        for after in range(0, upto.sequence, _PAGE_ROWS):
            with _translated("read"):
                page = await self._connection.fetchval(
                    """SELECT sha256(convert_to(
                           string_agg(type || happened_at_ns || payload::text, '' ORDER BY sequence), 'UTF8'))
                       FROM events WHERE stream = $1 AND sequence > $2 AND sequence <= $3""",
                    upto.stream,
                    after,
                    min(after + _PAGE_ROWS, upto.sequence),
                )
            digest.update(bytes(page))

    async def _digest(self, digest: hashlib._Hash, stream: StreamName, upto: int | None) -> None:
        left_out = {kind.__name__ for kind in START_RECORDS}
        async for row in self._rows(stream, 0):
            if upto is not None and row["sequence"] > upto:
                break
            if row["type"] not in left_out:
                body = orjson.loads(row["payload"])["event"]
                what = canonical([row["type"], row["happened_at_ns"], *_happenings(body)])
                digest.update(what.encode() + b"\n")

    async def take_lease(self, account: AccountId, user: UserId, holder: str, build: str, config_hash: str) -> Lease:
        """Become the one writer of an account: raises the fencing epoch, so the writer before can write no more."""
        with _translated("write"):
            epoch = await self._connection.fetchval(
                """INSERT INTO account_leases (exchange_account_id, epoch, holder, build_hash, config_hash, expires_at)
                   VALUES ($1, 1, $2, $3, $4, now() + interval '30 s')
                   ON CONFLICT (exchange_account_id) DO UPDATE SET epoch = account_leases.epoch + 1,
                       holder = EXCLUDED.holder, build_hash = EXCLUDED.build_hash, config_hash = EXCLUDED.config_hash,
                       expires_at = EXCLUDED.expires_at
                   RETURNING epoch""",
                account,
                holder,
                build,
                config_hash,
            )
        return Lease(account, user, epoch)


def _add_offsets(rows: Rows, lease: Lease, offsets: Mapping[StreamName, int]) -> None:
    consumer = account_stream(lease.account)
    for stream, sequence in offsets.items():
        rows.add("event_offsets", (consumer, stream), consumer=consumer, stream=stream, sequence=sequence)


def _texts(tables: Sequence[tuple[str, list[dict[str, Any]]]]) -> list[str]:
    return [rows_text(found) for _, found in tables]


@cache
def _guarded_statement(shape: Shape) -> str:
    """One statement for one group: the lease, the latch and the budget decide whether any of it is written."""
    return f"""
    WITH lease AS (
        UPDATE account_leases SET expires_at = now() + interval '30 s'
        WHERE exchange_account_id = $1::uuid AND epoch = $2::bigint RETURNING 1),
    halt AS (
        SELECT 1 FROM halt_latches WHERE lifted_at IS NULL AND kind = 'kill'
        AND (scope = 'platform' OR scope_id IN ($1::uuid::text, $3::text)) LIMIT 1),
    budget AS (
        UPDATE budgets SET reserved = reserved + $5::numeric + $6::numeric, used = used + $7::numeric
        WHERE scope = 'venue' AND scope_id = $1::uuid::text AND EXISTS (SELECT 1 FROM lease)
        AND NOT ($4::boolean AND EXISTS (SELECT 1 FROM halt))
        AND ($5::numeric = 0 OR reserved + used + $5::numeric + $6::numeric + $7::numeric <= cap) RETURNING 1),
    journal AS (
        INSERT INTO events (stream, sequence, type, payload, happened_at_ns, received_at_ns, previous_hash, hash)
        SELECT * FROM unnest($8::text[], $9::bigint[], $10::text[], $11::jsonb[], $12::bigint[], $13::bigint[],
                             $14::bytea[], $15::bytea[]) WHERE EXISTS (SELECT 1 FROM budget)){
        "".join(", " + part for part in upserts(shape, first=16, condition="EXISTS (SELECT 1 FROM budget)"))
    }
    SELECT EXISTS (SELECT 1 FROM lease) AS leased, EXISTS (SELECT 1 FROM halt) AS halted,
           EXISTS (SELECT 1 FROM budget) AS written"""  # noqa: S608  names are ours, values are parameters


@contextmanager
def _translated(doing: str = "commit") -> Iterator[None]:
    import asyncpg

    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        # The internal one is what a connection says that the server closed between two statements.
        raise StoreError(f"the journal cannot {doing}: {error}") from error


def _record(row: Any) -> Record:
    payload = orjson.loads(row["payload"])
    seen = payload.get("seen")
    return Record(
        StreamName(row["stream"]),
        row["sequence"],
        row["type"],
        payload["event"],
        Seen(StreamName(seen[0]), seen[1]) if seen is not None else None,
        row["happened_at_ns"],
    )


_HAPPENED = frozenset(
    {
        "instrument", "side", "type", "source", "confidence", "price", "quantity", "fee", "amount", "currency", "code",
        "reason", "open", "high", "low", "close", "volume", "bid", "ask", "last", "limit_price", "stop_price", "role",
        "leg", "maker", "entry_price", "exit_price", "realised", "fees", "balance", "equity", "strategy", "value",
        "limit", "timeframe", "funding", "funding_rate", "mark_price", "leverage",
    }
)  # fmt: skip


def _happenings(body: Mapping[str, Any]) -> list[Any]:
    """The parts of an event's body that say what happened, nested ones in the order of their names."""
    found: list[Any] = []
    for name in sorted(body):
        value = body[name]
        if isinstance(value, dict):
            found.extend(_happenings(value))
        elif isinstance(value, list):
            found.extend(part for item in value if isinstance(item, dict) for part in _happenings(item))
        elif name in _HAPPENED:
            found.append([name, value])
    return found
