"""The market store: ClickHouse in this process (`chdb:///abs/dir`) or behind an address (`http(s)://`).

One client library and one SQL dialect; only the address differs.  The synchronous client is used both ways, because the
engine in the process has no other: reads run on two threads with a client each, writes on the caller's thread, one at a
time.  A candle that is stored as closed is never replaced: a rewritten one goes to `quarantined_rows`.
"""

# ruff: noqa: S608 - table and column names are constants, the database's name is checked, values are bound
from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray, IntArray, timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.instants import NS_PER_MS
from promethean.domain.instruments import MarketType
from promethean.storage import quality
from promethean.storage.candle_files import CandleFile
from promethean.storage.market_address import Address, Connection, translated
from promethean.storage.market_tables import (
    CREATE,
    OHLCV,
    QUARANTINED_ROWS,
    TICKERS,
    Quarantined,
    SeriesKey,
    Ticker,
    quarantined_rows,
    ticker_rows,
)
from promethean.storage.quality import Defect

if TYPE_CHECKING:
    import pyarrow

VALUES = ("open", "high", "low", "close", "volume")
READERS = 2

# Written into each statement: as settings of the call they would cost the in-process client extra statements.
_READ_SETTINGS = "SETTINGS max_threads = 1, output_format_arrow_string_as_string = 1"
_SERIES = (
    "exchange = {exchange:String} AND market_type = {market_type:String} "
    "AND symbol = {symbol:String} AND timeframe = {timeframe:String}"
)
_CANDLE = f"toUnixTimestamp64Milli(open_time) AS at, {', '.join(VALUES)}, is_filled"
_EARLIEST_NS = 0
_LATEST_NS = 9_000_000_000 * 1_000_000_000  # the year 2255, within what int64 nanoseconds and DateTime64 hold
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class StoredCandles:
    """Closed candles of one series, oldest first.

    open_time_ns: int64, shape (n,); open, high, low, close, volume: float64, shape (n,).
    is_filled:    bool, shape (n,): no trade happened, the previous close stands in.
    """

    open_time_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    is_filled: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.open_time_ns)

    def columns(self) -> dict[str, FloatArray]:
        """Open, high, low, close, volume by name."""
        return {name: getattr(self, name) for name in VALUES}


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """What is stored of one series.  from_ns: first open; to_ns: last close; coverage: stored / expected, 0 to 1."""

    key: SeriesKey
    rows: int
    from_ns: int
    to_ns: int
    coverage: float
    rewritten: int

    @property
    def missing(self) -> int:
        """Candles between the first and the last that are not stored."""
        return (self.to_ns - self.from_ns) // timeframe_ns(self.key.timeframe) - self.rows


@dataclass(frozen=True, slots=True)
class Inserted:
    """What became of candles: new rows, rows that were there already, and closed candles that somebody changed."""

    inserted: int
    already_present: int
    rewritten: int


class MarketStore:
    """Candles, tickers and quarantined rows.  Safe to use from several threads; close it when done."""

    def __init__(self, dsn: str, database: str) -> None:
        if not _DATABASE.fullmatch(database):
            raise ConfigError(f"clickhouse.database is {database!r}; use letters, digits and underscores")
        self.database = database
        self._address = Address.parse(dsn)
        self._clients: list[Connection] = []
        self._clients_lock = threading.Lock()
        self._per_thread = threading.local()
        self._write_lock = threading.RLock()
        self._newest_ms: dict[SeriesKey, int] = {}
        self._writer = self._connect()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="market-read")

    @classmethod
    def open(cls, dsn: str, database: str = "promethean") -> MarketStore:
        """Connect to `chdb:///absolute/folder`, `http://...` or `https://...`; the folder is made when absent.

        Raises ConfigError when the address is wrong, does not answer, or its folder is in use by another process.
        """
        return cls(dsn, database)

    @property
    def engine_path(self) -> Path | None:
        """The folder of the engine in this process, None for a store behind an address."""
        return self._address.path

    def close(self) -> None:
        """Finish the running reads and let the engine go.  May be called twice."""
        self._readers.shutdown(wait=True, cancel_futures=True)
        with self._write_lock, self._clients_lock:
            while self._clients:
                self._clients.pop().close()

    def create_tables(self) -> None:
        """Create the database and its tables where they are absent.  Raises StoreError."""
        self._command(f"CREATE DATABASE IF NOT EXISTS {self.database}")
        for statement in CREATE.values():
            self._command(statement.format(database=self.database))

    def ping(self) -> None:
        """Raises StoreError unless the store answers."""
        self._command("SELECT 1")

    # -- writes -------------------------------------------------------------------------------------------------------

    def insert_candles(self, rows: pyarrow.Table, *, source: str, token: str | None = None) -> Inserted:
        """Store rows made by `candle_rows`, of any number of series.

        A closed candle that is stored stays as it is: the same again is counted, another content is quarantined.
        source: the feed or file, for the quarantine; token: equal tokens are stored once, for retries.
        Raises StoreError; rows stored before the failure are found as already present by the next try.
        """
        with self._write_lock:
            parts = [self._insert_series(key, part, source, token) for key, part in _by_series(rows)]
        return Inserted(
            sum(part.inserted for part in parts),
            sum(part.already_present for part in parts),
            sum(part.rewritten for part in parts),
        )

    def insert_tickers(self, tickers: list[Ticker], *, token: str | None = None) -> None:
        """Store tickers.  Raises StoreError."""
        self.insert_rows(TICKERS, ticker_rows(tickers), token=token)

    def insert_quarantined(self, rows: list[Quarantined], *, token: str | None = None) -> None:
        """Store rows that failed the checks.  Raises StoreError."""
        if rows:
            self.insert_rows(QUARANTINED_ROWS, quarantined_rows(rows), token=token)

    def insert_rows(self, table: str, rows: pyarrow.Table, *, token: str | None = None) -> None:
        """Append Arrow rows to one of our tables, unchecked.  Raises StoreError."""
        settings = {"insert_deduplication_token": token} if token is not None else None
        with self._write_lock, translated(f"cannot store {rows.num_rows} rows in {table}"):
            self._writer.client.insert_arrow(f"{self.database}.{table}", rows, settings=settings)

    def _insert_series(self, key: SeriesKey, rows: pyarrow.Table, source: str, token: str | None) -> Inserted:
        times: IntArray = rows.column("open_time").cast("int64").to_numpy()
        closed = rows.column("is_closed").to_numpy() == 1
        values = {name: rows.column(name).to_numpy() for name in VALUES}
        stored = self._stored(key, int(times.min()), int(times.max()))
        verdict = _compare(times, closed, values, stored)
        fresh = rows.filter(verdict == _NEW) if not (verdict == _NEW).all() else rows
        if fresh.num_rows:
            part = f"{token}/{key}" if token is not None else None
            self.insert_rows(OHLCV, fresh, token=part)
        rewritten = np.flatnonzero(verdict == _REWRITTEN)
        self._quarantine_new(self._rewritten_rows(key, rows, rewritten, source))
        return Inserted(fresh.num_rows, int(np.count_nonzero(verdict == _PRESENT)), len(rewritten))

    def _stored(self, key: SeriesKey, first_ms: int, last_ms: int) -> StoredCandles:
        """The closed candles in a span, read on the writing client so that they include all written before."""
        table = self._arrow(
            self._writer,
            f"SELECT {_CANDLE} FROM {self.database}.ohlcv FINAL WHERE {_SERIES} AND is_closed = 1 "
            f"AND open_time >= fromUnixTimestamp64Milli({{first:Int64}}) "
            f"AND open_time <= fromUnixTimestamp64Milli({{last:Int64}}) ORDER BY open_time {_READ_SETTINGS}",
            {**_names(key), "first": first_ms, "last": last_ms},
        )
        return _candles(table)

    @staticmethod
    def _rewritten_rows(key: SeriesKey, rows: pyarrow.Table, places: IntArray, source: str) -> list[Quarantined]:
        return [
            Quarantined(
                OHLCV,
                Defect.REWRITTEN.text,
                json.dumps({"open_time": str(row["open_time"]), **{name: row[name] for name in VALUES}}),
                source,
                int(row["received_at"].timestamp() * 1000) * NS_PER_MS,
                key,
            )
            for row in rows.take(places).to_pylist()
        ]

    def _quarantine_new(self, rows: list[Quarantined]) -> None:
        """Quarantine rows of one source and series, leaving out what it brought before: an import may be repeated."""
        if not rows:
            return
        series = rows[0].series
        assert series is not None, "rows of a source are compared within one series"
        known = self._arrow(
            self._writer,
            f"SELECT reason, payload FROM {self.database}.quarantined_rows "
            f"WHERE target_table = {{target:String}} AND source = {{source:String}} AND {_SERIES} {_READ_SETTINGS}",
            {"target": rows[0].target_table, "source": rows[0].source, **_names(series)},
        ).to_pylist()
        seen = {(row["reason"], row["payload"]) for row in known}
        self.insert_quarantined([row for row in rows if (row.reason, row.payload) not in seen])

    def quarantine_file_rows(self, file: CandleFile, key: SeriesKey, source: str, now_ns: int) -> None:
        """Put the bad rows of a file into the quarantine, once however often it is imported.  Raises StoreError."""
        rows = [
            Quarantined(
                OHLCV, row.reason.text, f'{{"row": {row.number}, "values": {row.payload}}}', source, now_ns, key
            )
            for row in file.quarantined
        ]
        with self._write_lock:
            self._quarantine_new(rows)

    # -- reads --------------------------------------------------------------------------------------------------------

    def candles(
        self,
        key: SeriesKey,
        *,
        from_ns: int = _EARLIEST_NS,
        to_ns: int = _LATEST_NS,
        as_of_ns: int = _LATEST_NS,
        limit: int | None = None,
    ) -> StoredCandles:
        """Closed candles that open in `[from_ns, to_ns)` and were known at `as_of_ns`, the first `limit` of them."""
        return self._candles_between(key, from_ns, to_ns, as_of_ns, limit).result()

    async def candles_async(
        self,
        key: SeriesKey,
        *,
        from_ns: int = _EARLIEST_NS,
        to_ns: int = _LATEST_NS,
        as_of_ns: int = _LATEST_NS,
        limit: int | None = None,
    ) -> StoredCandles:
        """`candles` without blocking the event loop."""
        return await asyncio.wrap_future(self._candles_between(key, from_ns, to_ns, as_of_ns, limit))

    def last_candles(self, key: SeriesKey, rows: int, *, as_of_ns: int = _LATEST_NS) -> StoredCandles:
        """The newest `rows` closed candles known at `as_of_ns`, oldest first; fewer when there are fewer."""
        return self._last_candles(key, rows, as_of_ns).result()

    async def last_candles_async(self, key: SeriesKey, rows: int, *, as_of_ns: int = _LATEST_NS) -> StoredCandles:
        """`last_candles` without blocking the event loop."""
        return await asyncio.wrap_future(self._last_candles(key, rows, as_of_ns))

    def series(self) -> list[SeriesSummary]:
        """All stored series, in order of their names."""
        return self._readers.submit(self._read_series, None).result()

    async def series_async(self) -> list[SeriesSummary]:
        """`series` without blocking the event loop."""
        return await asyncio.wrap_future(self._readers.submit(self._read_series, None))

    def summary(self, key: SeriesKey) -> SeriesSummary | None:
        """What is stored of one series; None when nothing is."""
        found = self._readers.submit(self._read_series, key).result()
        return found[0] if found else None

    def count(self, table: str) -> int:
        """Rows of one of our tables as a reader sees them."""
        final = "" if table == QUARANTINED_ROWS else "FINAL"
        query = f"SELECT count() AS rows FROM {self.database}.{table} {final} {_READ_SETTINGS}"
        return int(self._read(query, {}).result().column("rows")[0].as_py())

    def quarantined(self, limit: int = 1000) -> list[dict[str, Any]]:
        """The newest quarantined rows: target_table, reason, payload, source."""
        query = (
            f"SELECT target_table, reason, payload, source FROM {self.database}.quarantined_rows "
            f"ORDER BY ingested_at DESC LIMIT {{limit:UInt32}} {_READ_SETTINGS}"
        )
        rows: list[dict[str, Any]] = self._read(query, {"limit": limit}).result().to_pylist()
        return rows

    def _candles_between(
        self, key: SeriesKey, from_ns: int, to_ns: int, as_of_ns: int, limit: int | None
    ) -> Future[StoredCandles]:
        latest_open_ns = min(to_ns, as_of_ns - timeframe_ns(key.timeframe) + 1)
        query, parameters = self._selection(key, _ms_up(from_ns), _ms_up(latest_open_ns), as_of_ns, limit, newest=False)
        return self._readers.submit(lambda: _candles(self._arrow(self._reader(), query, parameters)))

    def _last_candles(self, key: SeriesKey, rows: int, as_of_ns: int) -> Future[StoredCandles]:
        return self._readers.submit(self._read_last, key, rows, as_of_ns)

    def _read_last(self, key: SeriesKey, rows: int, as_of_ns: int) -> StoredCandles:
        """Look near the end first: a lower bound on the time spares opening most of the series.

        The end is the newest candle seen so far; a wrong guess costs time, never candles.
        """
        step_ms = timeframe_ns(key.timeframe) // NS_PER_MS
        before_ms = as_of_ns // NS_PER_MS - step_ms + 1
        guess_ms = min(self._newest_ms.get(key, 0), before_ms)
        found = self._read_descending(key, guess_ms - 2 * rows * step_ms, before_ms, as_of_ns, rows)
        if len(found) < rows and guess_ms > 0:  # a series with holes, or a short one
            found = self._read_descending(key, 0, before_ms, as_of_ns, rows)
        if len(found):
            self._newest_ms[key] = max(self._newest_ms.get(key, 0), int(found.open_time_ns[-1]) // NS_PER_MS)
        return found

    def _read_descending(self, key: SeriesKey, from_ms: int, before_ms: int, as_of_ns: int, rows: int) -> StoredCandles:
        query, parameters = self._selection(key, from_ms, before_ms, as_of_ns, rows, newest=True)
        table = self._arrow(self._reader(), query, parameters)
        return _candles(table.take(np.arange(table.num_rows)[::-1]))

    def _selection(
        self, key: SeriesKey, from_ms: int, before_ms: int, as_of_ns: int, limit: int | None, *, newest: bool
    ) -> tuple[str, dict[str, Any]]:
        query = (
            f"SELECT {_CANDLE} FROM {self.database}.ohlcv FINAL WHERE {_SERIES} AND is_closed = 1 "
            "AND open_time >= fromUnixTimestamp64Milli({first:Int64}) "
            "AND open_time < fromUnixTimestamp64Milli({before:Int64}) "
            "AND received_at <= fromUnixTimestamp64Milli({as_of:Int64}) "
            f"ORDER BY open_time {'DESC' if newest else 'ASC'} "
            f"{'LIMIT {limit:UInt64} ' if limit is not None else ''}{_READ_SETTINGS}"
        )
        parameters = {**_names(key), "first": from_ms, "before": before_ms, "as_of": as_of_ns // NS_PER_MS}
        if limit is not None:
            parameters["limit"] = limit
        return query, parameters

    def _read_series(self, key: SeriesKey | None) -> list[SeriesSummary]:
        where = f"AND {_SERIES}" if key is not None else ""
        parameters = _names(key) if key is not None else {}
        names = "exchange, market_type, symbol, timeframe"
        stored = self._arrow(
            self._reader(),
            f"SELECT {names}, count() AS rows, toUnixTimestamp64Milli(min(open_time)) AS first, "
            f"toUnixTimestamp64Milli(max(open_time)) AS last FROM {self.database}.ohlcv FINAL "
            f"WHERE is_closed = 1 {where} GROUP BY {names} ORDER BY {names} {_READ_SETTINGS}",
            parameters,
        )
        marked = self._arrow(
            self._reader(),
            f"SELECT {names}, count() AS rows FROM {self.database}.quarantined_rows "
            f"WHERE target_table = 'ohlcv' AND reason = 'rewritten' {where} GROUP BY {names} {_READ_SETTINGS}",
            parameters,
        )
        rewritten = {_key(row): int(row["rows"]) for row in marked.to_pylist()}
        return [_summary(row, rewritten) for row in stored.to_pylist()]

    def _read(self, query: str, parameters: dict[str, Any]) -> Future[pyarrow.Table]:
        return self._readers.submit(lambda: self._arrow(self._reader(), query, parameters))

    # -- connections --------------------------------------------------------------------------------------------------

    def _connect(self) -> Connection:
        connection = self._address.connect()
        with self._clients_lock:
            self._clients.append(connection)
        return connection

    def _reader(self) -> Connection:
        """The client of this reading thread."""
        found: Connection | None = getattr(self._per_thread, "connection", None)
        if found is None:
            found = self._per_thread.connection = self._connect()
        return found

    def _arrow(self, connection: Connection, query: str, parameters: dict[str, Any]) -> pyarrow.Table:
        import pyarrow as pa

        with translated("cannot read"):
            content = connection.client.raw_query(query, parameters=parameters, fmt="Arrow")
        return pa.ipc.open_file(content).read_all()

    def _command(self, statement: str) -> None:
        with self._write_lock, translated("does not carry out a statement"):
            self._writer.client.command(statement)


_NEW, _PRESENT, _REWRITTEN = 0, 1, 2


def _compare(
    times: IntArray, closed: NDArray[np.bool_], values: Mapping[str, FloatArray], stored: StoredCandles
) -> NDArray[np.int8]:
    """What each row is beside the stored closed candles and the closed ones before it in the same batch."""
    verdict: NDArray[np.int8] = np.full(len(times), _NEW, np.int8)
    if len(stored):
        _judge(
            verdict, np.arange(len(times)), times, closed, values, stored.open_time_ns // NS_PER_MS, stored.columns()
        )
    fresh = np.flatnonzero((verdict == _NEW) & closed)
    first_times, first = np.unique(times[fresh], return_index=True)
    if len(first_times) < np.count_nonzero(verdict == _NEW):
        firsts = fresh[first]
        rest = np.setdiff1d(np.flatnonzero(verdict == _NEW), firsts)
        earlier = {name: column[firsts] for name, column in values.items()}
        _judge(verdict, rest, times, closed, values, first_times, earlier)
    return verdict


def _judge(
    verdict: NDArray[np.int8],
    rows: IntArray,
    times: IntArray,
    closed: NDArray[np.bool_],
    values: Mapping[str, FloatArray],
    known_times: IntArray,
    known: Mapping[str, FloatArray],
) -> None:
    """Mark the rows whose time is known: the same content, or a forming candle that comes late, is no news."""
    if len(known_times) == 0:
        return
    place = np.minimum(np.searchsorted(known_times, times[rows]), len(known_times) - 1)
    hit = known_times[place] == times[rows]
    found, twin = rows[hit], place[hit]
    equal = quality.same_content(
        {name: column[found] for name, column in values.items()},
        {name: column[twin] for name, column in known.items()},
    )
    verdict[found] = np.where(equal | ~closed[found], _PRESENT, _REWRITTEN)


def _by_series(rows: pyarrow.Table) -> Iterator[tuple[SeriesKey, pyarrow.Table]]:
    import pyarrow.compute as pc

    names = ["exchange", "market_type", "symbol", "timeframe"]
    keys = sorted(_key(row) for row in rows.group_by(names).aggregate([]).to_pylist())
    if len(keys) == 1:
        yield keys[0], rows
        return
    for key in keys:
        chosen = True
        for name in names:
            chosen = pc.and_(chosen, pc.equal(rows.column(name), str(getattr(key, name))))
        yield key, rows.filter(chosen)


def _key(row: Mapping[str, Any]) -> SeriesKey:
    return SeriesKey(row["exchange"], MarketType(row["market_type"]), row["symbol"], row["timeframe"])


def _names(key: SeriesKey) -> dict[str, Any]:
    return {
        "exchange": key.exchange,
        "market_type": key.market_type.value,
        "symbol": key.symbol,
        "timeframe": key.timeframe,
    }


def _summary(row: Mapping[str, Any], rewritten: Mapping[SeriesKey, int]) -> SeriesSummary:
    key = _key(row)
    step_ns = timeframe_ns(key.timeframe)
    from_ns, to_ns = row["first"] * NS_PER_MS, row["last"] * NS_PER_MS + step_ns
    coverage = row["rows"] / ((to_ns - from_ns) / step_ns)
    return SeriesSummary(key, row["rows"], from_ns, to_ns, coverage, rewritten.get(key, 0))


def _candles(table: pyarrow.Table) -> StoredCandles:
    times = table.column("at").to_numpy() * NS_PER_MS
    opens, highs, lows, closes, volumes = (table.column(name).to_numpy() for name in VALUES)
    return StoredCandles(times, opens, highs, lows, closes, volumes, table.column("is_filled").to_numpy() == 1)


def _ms_up(instant_ns: int) -> int:
    return -(-instant_ns // NS_PER_MS)
