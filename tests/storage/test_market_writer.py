"""The batching writer: when batches leave, what happens while the store fails, and what a crash leaves behind."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from promethean.domain.candles import Candle
from promethean.domain.errors import StoreError
from promethean.domain.ids import InstrumentId
from promethean.domain.instruments import MarketType
from promethean.storage.market_store import Inserted, MarketStore
from promethean.storage.market_tables import QUARANTINED_ROWS, TICKERS, Quarantined, SeriesKey, Ticker
from promethean.storage.market_writer import BatchRule, ClosedCandle, MarketWriter

MINUTE_NS = 60 * 10**9
START_NS = 1_747_699_200 * 10**9
numbers = itertools.count()
NEVER = BatchRule(1_000_000, 1e9)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MarketStore]:
    store = MarketStore.open(f"chdb://{tmp_path_factory.mktemp('market')}")
    store.create_tables()
    yield store
    store.close()


@pytest.fixture
def key() -> SeriesKey:
    return SeriesKey(f"venue{next(numbers)}", MarketType.SPOT, "BTC/USDT", "1m")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The spool's folder; it does not exist yet."""
    return tmp_path / "spool"


class Unsteady:
    """The real store behind a switch: while it is down every write fails."""

    def __init__(self, store: MarketStore) -> None:
        self.store = store
        self.is_down = False
        self.batches: list[int] = []
        self.stored = threading.Condition()

    def insert_candles(self, rows: pa.Table, **more: Any) -> Inserted:
        self._pass(rows)
        return self.store.insert_candles(rows, **more)

    def insert_rows(self, table: str, rows: pa.Table, **more: Any) -> None:
        self._pass(rows)
        self.store.insert_rows(table, rows, **more)

    def _pass(self, rows: pa.Table) -> None:
        if self.is_down:
            raise StoreError("the market store cannot store: it is down")
        with self.stored:
            self.batches.append(rows.num_rows)
            self.stored.notify_all()


@pytest.fixture
def unsteady(engine: MarketStore) -> Unsteady:
    return Unsteady(engine)


def writer(store: Any, folder: Path, **more: Any) -> MarketWriter:
    made = MarketWriter(store, folder, source="test", **more)
    made.start()
    return made


def candle(key: SeriesKey, row: int, close: float = 100.0) -> ClosedCandle:
    opened_ns = START_NS + row * MINUTE_NS
    prices = (100.0, max(close, 101.0), 99.0, close, 1.0)
    instrument = InstrumentId(f"{key.exchange}:BTCUSDT")
    return ClosedCandle(key, Candle(instrument, "1m", opened_ns, opened_ns + MINUTE_NS, *prices), opened_ns + MINUTE_NS)


def put_candles(to: MarketWriter, key: SeriesKey, rows: range) -> None:
    for row in rows:
        to.put(candle(key, row))


def test_closing_stores_all_that_waits(engine: MarketStore, key: SeriesKey, folder: Path) -> None:
    made = writer(engine, folder, batch=NEVER, ticker_batch=NEVER)
    before = engine.count(TICKERS), engine.count(QUARANTINED_ROWS)
    put_candles(made, key, range(3))
    made.put(Ticker(key.exchange, MarketType.SPOT, "BTC/USDT", START_NS, START_NS, 99.0, 100.0, 99.5))
    made.put(Quarantined("tickers", "crossed", "{}", key.exchange, START_NS))
    counters = made.close()
    assert engine.candles(key).open_time_ns.tolist() == [START_NS + row * MINUTE_NS for row in range(3)]
    assert (engine.count(TICKERS), engine.count(QUARANTINED_ROWS)) == (before[0] + 1, before[1] + 1)
    assert (counters.written, counters.dropped, counters.spool_rows) == (5, 0, 0)


def test_a_full_batch_leaves_at_once(unsteady: Unsteady, key: SeriesKey, folder: Path) -> None:
    made = writer(unsteady, folder, batch=BatchRule(10, 1e9))
    put_candles(made, key, range(10))
    with unsteady.stored:
        assert unsteady.stored.wait_for(lambda: unsteady.batches, timeout=60)
    made.close()
    assert unsteady.batches[0] <= 10


def test_a_batch_leaves_when_its_oldest_row_has_waited_long_enough(
    unsteady: Unsteady, key: SeriesKey, folder: Path
) -> None:
    made = writer(unsteady, folder, batch=BatchRule(1000, 0.01))
    put_candles(made, key, range(3))
    with unsteady.stored:
        assert unsteady.stored.wait_for(lambda: sum(unsteady.batches) == 3, timeout=60)
    made.close()


def test_a_batch_takes_all_that_waits_up_to_its_limit(unsteady: Unsteady, key: SeriesKey, folder: Path) -> None:
    made = MarketWriter(unsteady, folder, source="test", batch=NEVER)  # type: ignore[arg-type]  # the store's writes
    put_candles(made, key, range(5_300))
    made.start()
    assert made.flush()
    assert unsteady.batches == [5000, 300]
    made.close()


def test_rows_of_an_outage_wait_on_disk_and_are_stored_in_order(
    unsteady: Unsteady, engine: MarketStore, key: SeriesKey, folder: Path
) -> None:
    made = writer(unsteady, folder, batch=NEVER)
    unsteady.is_down = True
    for part in range(3):
        put_candles(made, key, range(10 * part, 10 * part + 10))
        assert not made.flush()
    counters = made.counters()
    assert (counters.spooled, counters.spool_rows, counters.dropped) == (30, 30, 0)
    assert counters.failures > 0
    assert counters.spool_bytes == sum(path.stat().st_size for path in folder.iterdir())
    unsteady.is_down = False
    put_candles(made, key, range(30, 35))
    assert made.flush()
    counters = made.close()
    assert (counters.drained, counters.written, counters.spool_rows) == (30, 35, 0)
    assert unsteady.batches == [10, 10, 10, 5]
    assert len(engine.candles(key)) == 35
    assert list(folder.iterdir()) == []


def test_rows_that_an_earlier_process_left_are_stored_at_the_next_start(
    unsteady: Unsteady, engine: MarketStore, key: SeriesKey, folder: Path
) -> None:
    unsteady.is_down = True
    first = writer(unsteady, folder, batch=NEVER)
    put_candles(first, key, range(10))
    assert first.close().spool_rows == 10
    unsteady.is_down = False
    second = writer(unsteady, folder, batch=NEVER)
    assert second.flush()
    assert second.close().drained == 10
    assert len(engine.candles(key)) == 10


CRASH = """
import os, signal, sys
from pathlib import Path
from promethean.domain.candles import Candle
from promethean.domain.errors import StoreError
from promethean.domain.instruments import MarketType
from promethean.storage.market_tables import SeriesKey
from promethean.storage.market_writer import BatchRule, ClosedCandle, MarketWriter

class Down:
    def insert_candles(self, rows, **more):
        raise StoreError("down")

key = SeriesKey(sys.argv[2], MarketType.SPOT, "BTC/USDT", "1m")
writer = MarketWriter(Down(), Path(sys.argv[1]), source="test", batch=BatchRule(1000000, 1e9))
writer.start()
start, minute = 1_747_699_200 * 10**9, 60 * 10**9
for row in range(20):
    at = start + row * minute
    candle = Candle("x:BTCUSDT", "1m", at, at + minute, 100.0, 101.0, 99.0, 100.0, 1.0)
    writer.put(ClosedCandle(key, candle, at + minute))
    if row in (9, 19):
        writer.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_spool_of_a_killed_process_is_recovered(engine: MarketStore, key: SeriesKey, folder: Path) -> None:
    arguments = [sys.executable, "-c", CRASH, str(folder), key.exchange]
    assert subprocess.run(arguments, timeout=60).returncode == -9
    made = writer(engine, folder)
    assert made.flush()
    counters = made.close()
    assert (counters.drained, counters.damaged_records) == (20, 0)
    assert len(engine.candles(key)) == 20


def test_a_batch_whose_answer_was_lost_is_not_stored_twice(engine: MarketStore, key: SeriesKey, folder: Path) -> None:
    class Deaf(Unsteady):
        def insert_rows(self, table: str, rows: pa.Table, **more: Any) -> None:
            engine.insert_rows(table, rows, **more)
            if self.is_down:
                raise StoreError("no answer")

    store = Deaf(engine)
    store.is_down = True
    before = engine.count(QUARANTINED_ROWS)
    made = writer(store, folder, batch=NEVER)
    for row in range(5):
        made.put(Quarantined("ohlcv", "outlier", str(row), key.exchange, START_NS))
    assert not made.flush()
    store.is_down = False
    assert made.flush()
    made.close()
    assert engine.count(QUARANTINED_ROWS) == before + 5


def test_a_rewritten_candle_is_counted_and_the_first_stays(engine: MarketStore, key: SeriesKey, folder: Path) -> None:
    made = writer(engine, folder)
    made.put(candle(key, 0))
    assert made.flush()
    made.put(candle(key, 0, close=500.0))
    assert made.close().rewritten == 1
    assert engine.candles(key).close.tolist() == [100.0]
