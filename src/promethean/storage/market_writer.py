"""One thread that writes market rows in batches, and a bounded spool on disk for when the store fails.

Callers hand rows over and go on; they never wait for the store, which is not on the money path.  A batch leaves when
enough rows wait or the oldest has waited long enough, and takes all that waits, up to 5,000 rows.  While the store
fails batches go to the spool, in order, and are drained with a growing pause between tries.  A batch that was stored
and spooled as well (its answer was lost) carries the same token and replaces itself, so nothing is stored twice.

When the spool is full its oldest segment is dropped, counted and told: the newest rows are the useful ones, and
candles that fell out are asked for again by the gap scan.  Rows still in memory when the process is killed are lost
in the same way (5 s at most); rows in the spool are not.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from promethean.domain.candles import Candle
from promethean.domain.errors import StoreError
from promethean.storage.market_spool import Batch, Spool
from promethean.storage.market_store import VALUES, MarketStore
from promethean.storage.market_tables import (
    OHLCV,
    QUARANTINED_ROWS,
    TICKERS,
    Quarantined,
    SeriesKey,
    Ticker,
    candle_rows,
    quarantined_rows,
    ticker_rows,
)

if TYPE_CHECKING:
    import pyarrow

log = logging.getLogger(__name__)

BATCH_MAX_ROWS = 5000
WAITING_MAX_ROWS = 100_000
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 60.0

Row: TypeAlias = "ClosedCandle | Ticker | Quarantined"


@dataclass(frozen=True, slots=True)
class ClosedCandle:
    """A closed candle of a feed, and when we received it."""

    series: SeriesKey
    candle: Candle
    received_at_ns: int


@dataclass(frozen=True, slots=True)
class BatchRule:
    """When the rows of a table leave: at this many, or when the oldest has waited this long."""

    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class WriterCounters:
    """What a writer has done since it started, in rows unless the name says otherwise.

    written:  rows that are in the store; rewritten: closed candles that came again with another content.
    spooled:  rows that went to disk; drained: rows that came back from it; spool_rows, spool_bytes: there now.
    dropped:  rows given up because spool or memory was full; damaged_records: spool records that failed their checksum.
    failures: batches that the store refused or did not answer.
    """

    written: int = 0
    rewritten: int = 0
    spooled: int = 0
    drained: int = 0
    dropped: int = 0
    damaged_records: int = 0
    failures: int = 0
    spool_rows: int = 0
    spool_bytes: int = 0


class _Waiting:
    """Rows of one table in memory, with the time at which the oldest came."""

    def __init__(self, rule: BatchRule) -> None:
        self.rule = rule
        self.rows: deque[Any] = deque()
        self.since = 0.0

    def add(self, row: Row, now: float) -> int:
        """Take a row; returns how many had to go for it."""
        if not self.rows:
            self.since = now
        self.rows.append(row)
        if len(self.rows) > WAITING_MAX_ROWS:
            self.rows.popleft()
            return 1
        return 0

    def due_in(self, now: float) -> float:
        if not self.rows:
            return float("inf")
        return 0.0 if len(self.rows) >= self.rule.rows else self.since + self.rule.seconds - now

    def take(self, now: float) -> list[Any]:
        taken = [self.rows.popleft() for _ in range(min(len(self.rows), BATCH_MAX_ROWS))]
        self.since = now
        return taken


class MarketWriter:
    """Writes closed candles, tickers and quarantined rows; start it once, close it to flush.

    source:  what the rows come from, for the quarantine of rewritten candles.
    monotonic: seconds that only go forward; a test gives its own.
    """

    def __init__(
        self,
        store: MarketStore,
        spool_folder: Path,
        *,
        source: str,
        batch: BatchRule = BatchRule(1000, 5.0),
        ticker_batch: BatchRule = BatchRule(500, 2.0),
        spool_bytes: int = 1024 * 1024 * 1024,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._source = source
        self._monotonic = monotonic
        self._spool = Spool(spool_folder, spool_bytes)
        self._waiting = {OHLCV: _Waiting(batch), TICKERS: _Waiting(ticker_batch), QUARANTINED_ROWS: _Waiting(batch)}
        self._counters = WriterCounters()
        self._note_spool()
        self._changed = threading.Condition()
        self._flushes_asked = 0
        self._flushes_done = 0
        self._is_closing = False
        self._failing_since: float | None = None
        self._retry_s = RETRY_FIRST_S
        self._retry_at = 0.0
        self._thread = threading.Thread(target=self._run, name="market-writer", daemon=True)

    def start(self) -> None:
        """Start writing; rows that an earlier process left in the spool go first."""
        self._thread.start()

    def put(self, row: Row) -> None:
        """Hand a row over.  Never waits, never raises for the store's sake."""
        with self._changed:
            assert not self._is_closing, "rows were handed to a market writer that is closed"
            waiting = self._waiting[_table(row)]
            dropped = waiting.add(row, self._monotonic())
            if dropped:
                self._count(dropped=dropped)
            if len(waiting.rows) == 1 or len(waiting.rows) >= waiting.rule.rows:
                self._changed.notify_all()

    def flush(self, timeout_s: float = 60.0) -> bool:
        """Write all that waits now, the spool included; True when everything is in the store."""
        with self._changed:
            self._flushes_asked += 1
            mine = self._flushes_asked
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._flushes_done >= mine or not self._thread.is_alive(), timeout_s)
            return done and self._spool.rows == 0

    def close(self, timeout_s: float = 60.0) -> WriterCounters:
        """Flush and end; what the store does not take stays in the spool for the next start."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                log.error("market writer did not end in time", extra={"timeout_s": timeout_s})
        return self.counters()

    @property
    def is_running(self) -> bool:
        """Whether the writing thread is alive."""
        return self._thread.is_alive()

    def counters(self) -> WriterCounters:
        """A snapshot of what was done."""
        with self._changed:
            return self._counters

    # -- the writing thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._has_work():
                    self._changed.wait(self._pause())
                asked, closing = self._flushes_asked, self._is_closing
                everything = closing or asked > self._flushes_done
                batches = self._take(everything)
            if everything:
                self._retry_at = 0.0
            self._drain()
            for table, rows in batches:
                self._write(Batch(table, uuid.uuid4().hex, _arrow(table, rows)))
            with self._changed:
                self._note_spool()
                self._flushes_done = asked
                self._changed.notify_all()
            if closing:
                return

    def _has_work(self) -> bool:
        return self._is_closing or self._flushes_asked > self._flushes_done or self._pause() == 0.0

    def _pause(self) -> float | None:
        """Seconds until something is due; None while nothing waits."""
        now = self._monotonic()
        pause = min(waiting.due_in(now) for waiting in self._waiting.values())
        if self._spool.rows:
            pause = min(pause, self._retry_at - now)
        return None if pause == float("inf") else max(pause, 0.0)

    def _take(self, everything: bool) -> list[tuple[str, list[Any]]]:
        now = self._monotonic()
        batches: list[tuple[str, list[Any]]] = []
        for table, waiting in self._waiting.items():
            while waiting.rows and (everything or waiting.due_in(now) <= 0):
                batches.append((table, waiting.take(now)))
        return batches

    def _write(self, batch: Batch) -> None:
        """Store a batch; behind a spool that is not empty it has to queue, so that order is kept."""
        if self._spool.rows == 0 and self._stored(batch):
            return
        try:
            dropped = self._spool.append(batch)
        except StoreError:
            log.exception("rows are lost: neither the store nor the spool takes them")
            self._count(dropped=batch.rows.num_rows)
            return
        self._count(spooled=batch.rows.num_rows, dropped=dropped)
        if dropped:
            log.error("the spool is full, its oldest rows are dropped", extra={"rows": dropped})

    def _drain(self) -> None:
        while self._spool.rows and self._monotonic() >= self._retry_at:
            try:
                batch = self._spool.oldest()
            except StoreError as error:
                self._note_failure(error)
                return
            if batch is None or not self._stored(batch):
                return
            self._spool.done()
            self._count(drained=batch.rows.num_rows)

    def _stored(self, batch: Batch) -> bool:
        try:
            rewritten = 0
            if batch.table == OHLCV:
                rewritten = self._store.insert_candles(batch.rows, source=self._source, token=batch.token).rewritten
            else:
                self._store.insert_rows(batch.table, batch.rows, token=batch.token)
        except StoreError as error:
            self._note_failure(error)
            return False
        if self._failing_since is not None:
            seconds = self._monotonic() - self._failing_since
            log.warning("market store takes rows again", extra={"failed_for_s": round(seconds, 1)})
        self._failing_since, self._retry_s = None, RETRY_FIRST_S
        self._count(written=batch.rows.num_rows, rewritten=rewritten)
        return True

    def _note_failure(self, error: StoreError) -> None:
        now = self._monotonic()
        if self._failing_since is None:
            self._failing_since = now
            log.warning("market store fails, rows go to the spool", extra={"error": str(error)})
        self._count(failures=1)
        self._retry_at = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)

    def _count(self, **more: int) -> None:
        with self._changed:
            counters = self._counters
            self._counters = replace(counters, **{name: getattr(counters, name) + n for name, n in more.items()})

    def _note_spool(self) -> None:
        spool = self._spool
        self._counters = replace(
            self._counters,
            spool_rows=spool.rows,
            spool_bytes=spool.size_bytes,
            damaged_records=spool.damaged_records,
        )


def _table(row: Row) -> str:
    match row:
        case ClosedCandle():
            return OHLCV
        case Ticker():
            return TICKERS
        case Quarantined():
            return QUARANTINED_ROWS


def _arrow(table: str, rows: list[Any]) -> pyarrow.Table:
    if table == TICKERS:
        return ticker_rows(rows)
    if table == QUARANTINED_ROWS:
        return quarantined_rows(rows)
    return _candle_table(rows)


def _candle_table(rows: list[ClosedCandle]) -> pyarrow.Table:
    import pyarrow as pa

    by_series: dict[SeriesKey, list[ClosedCandle]] = {}
    for row in rows:
        by_series.setdefault(row.series, []).append(row)
    parts = [
        candle_rows(
            series,
            np.array([row.candle.open_time_ns for row in group], np.int64),
            {name: np.array([getattr(row.candle, name) for row in group]) for name in VALUES},
            received_at_ns=np.array([row.received_at_ns for row in group], np.int64),
        )
        for series, group in by_series.items()
    ]
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()
