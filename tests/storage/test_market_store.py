"""The market store's contract, run against the engine in the process and against its HTTP front."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.storage.market_rows import MINUTE_NS, NOW_NS, START_NS, columns, rows_of

from promethean.domain.errors import ConfigError, StoreError
from promethean.domain.instruments import MarketType
from promethean.storage.market_store import MarketStore
from promethean.storage.market_tables import (
    OHLCV,
    QUARANTINED_ROWS,
    TICKERS,
    Quarantined,
    SeriesKey,
    Ticker,
    candle_rows,
)

VALUES = ("open", "high", "low", "close", "volume")


def outcome(store: MarketStore, rows: pa.Table) -> tuple[int, int, int]:
    done = store.insert_candles(rows, source="test")
    return done.inserted, done.already_present, done.rewritten


# -- the contract -----------------------------------------------------------------------------------------------------


def test_what_was_stored_is_read_back_to_the_last_digit(store: MarketStore, key: SeriesKey) -> None:
    given = columns(500, 1 / 3)
    assert outcome(store, candle_rows(key, START_NS + MINUTE_NS * np.arange(500), given)) == (500, 0, 0)
    found = store.candles(key)
    assert np.array_equal(found.open_time_ns, START_NS + MINUTE_NS * np.arange(500))
    assert all(np.array_equal(found.columns()[name], given[name]) for name in VALUES)
    assert not found.is_filled.any()


def test_a_span_a_limit_and_an_instant_narrow_what_is_read(store: MarketStore, key: SeriesKey) -> None:
    store.insert_candles(rows_of(key, 100), source="test")
    from_ns, to_ns = START_NS + 10 * MINUTE_NS, START_NS + 20 * MINUTE_NS
    assert store.candles(key, from_ns=from_ns, to_ns=to_ns).open_time_ns.tolist() == list(
        range(from_ns, to_ns, MINUTE_NS)
    )
    assert len(store.candles(key, from_ns=from_ns, limit=3)) == 3
    assert len(store.candles(key, as_of_ns=from_ns)) == 10
    assert len(store.candles(key, as_of_ns=from_ns - 1)) == 9
    assert len(store.candles(key, from_ns=START_NS + 1)) == 99


def test_a_candle_is_not_shown_before_it_was_received(store: MarketStore, key: SeriesKey) -> None:
    late_ns = np.full(3, START_NS + 100 * MINUTE_NS)
    store.insert_candles(rows_of(key, 3, received_at_ns=late_ns), source="test")
    assert len(store.candles(key, as_of_ns=START_NS + 99 * MINUTE_NS)) == 0
    assert len(store.last_candles(key, 5, as_of_ns=START_NS + 100 * MINUTE_NS)) == 3


def test_the_last_candles_are_the_newest_oldest_first_across_holes(store: MarketStore, key: SeriesKey) -> None:
    store.insert_candles(rows_of(key, 50), source="test")
    store.insert_candles(rows_of(key, 5, first=5000), source="test")
    for _ in range(2):  # the second time the end is known
        found = store.last_candles(key, 10).open_time_ns
        assert found.tolist() == [START_NS + MINUTE_NS * i for i in (*range(45, 50), *range(5000, 5005))]
    assert len(store.last_candles(key, 1000)) == 55
    assert store.last_candles(key, 2, as_of_ns=START_NS + 7 * MINUTE_NS).open_time_ns[-1] == START_NS + 6 * MINUTE_NS


def test_an_unknown_series_is_empty_and_not_an_error(store: MarketStore, key: SeriesKey) -> None:
    assert len(store.candles(key)) == len(store.last_candles(key, 5)) == 0
    assert store.summary(key) is None


def test_the_same_candles_again_change_nothing(store: MarketStore, key: SeriesKey) -> None:
    store.insert_candles(rows_of(key, 10), source="test")
    assert outcome(store, rows_of(key, 15)) == (5, 10, 0)
    assert len(store.candles(key)) == 15


def test_a_rewritten_closed_candle_is_quarantined_and_the_first_version_stays(
    store: MarketStore, key: SeriesKey
) -> None:
    store.insert_candles(rows_of(key, 10), source="test")
    later_ns = np.full(2, NOW_NS)
    assert outcome(store, rows_of(key, 2, first=3, price=777.0, received_at_ns=later_ns)) == (0, 0, 2)
    assert store.candles(key).close[3] == 100.375
    summary = store.summary(key)
    assert summary is not None
    assert summary.rewritten == 2
    outcome(store, rows_of(key, 2, first=3, price=777.0, received_at_ns=later_ns))
    again = store.summary(key)
    assert again == summary


def test_the_same_row_of_two_series_is_quarantined_for_each(store: MarketStore, key: SeriesKey) -> None:
    other = SeriesKey(key.exchange, MarketType.FUTURES, key.symbol, key.timeframe)
    for one in (key, other):
        store.insert_candles(rows_of(one, 1), source="test")
        assert outcome(store, rows_of(one, 1, price=200.0)) == (0, 0, 1)
        summary = store.summary(one)
        assert summary is not None
        assert summary.rewritten == 1


def test_two_versions_of_a_closed_candle_in_one_batch_keep_the_first(store: MarketStore, key: SeriesKey) -> None:
    both = pa.concat_tables([rows_of(key, 1), rows_of(key, 1, price=200.0), rows_of(key, 1)]).combine_chunks()
    assert outcome(store, both) == (1, 1, 1)
    assert store.candles(key).close.tolist() == [100.0]


def test_a_forming_candle_is_not_shown_and_is_replaced_at_its_close(store: MarketStore, key: SeriesKey) -> None:
    early_ns = np.array([START_NS + 30 * 10**9])
    forming = rows_of(key, 1, price=50.0, is_closed=False, received_at_ns=early_ns)
    assert outcome(store, forming) == (1, 0, 0)
    assert len(store.candles(key)) == 0
    assert outcome(store, rows_of(key, 1)) == (1, 0, 0)
    assert outcome(store, forming) == (0, 1, 0)
    assert store.candles(key).close.tolist() == [100.0]


def test_one_batch_may_hold_several_series_of_one_symbol(store: MarketStore, key: SeriesKey) -> None:
    perpetual = SeriesKey(key.exchange, MarketType.FUTURES, key.symbol, key.timeframe)
    both = pa.concat_tables([rows_of(key, 3), rows_of(perpetual, 4, price=5.0)]).unify_dictionaries().combine_chunks()
    assert outcome(store, both) == (7, 0, 0)
    assert (len(store.candles(key)), len(store.candles(perpetual))) == (3, 4)
    assert str(perpetual) == f"{key.exchange}:BTC/USDT-PERP 1m"


def test_a_series_reports_its_span_and_coverage(store: MarketStore, key: SeriesKey) -> None:
    store.insert_candles(rows_of(key, 5), source="test")
    store.insert_candles(rows_of(key, 3, first=7), source="test")
    summary = next(one for one in store.series() if one.key == key)
    assert (summary.rows, summary.from_ns, summary.to_ns) == (8, START_NS, START_NS + 10 * MINUTE_NS)
    assert (summary.coverage, summary.missing) == (0.8, 2)


def test_a_name_with_quotes_and_backslashes_is_only_a_name(store: MarketStore) -> None:
    key = SeriesKey("it's", MarketType.SPOT, "a\\'; DROP TABLE x --", "1m")
    store.insert_candles(rows_of(key, 2), source="o'clock\\")
    assert len(store.candles(key)) == 2
    assert outcome(store, rows_of(key, 2, price=3.0)) == (0, 0, 2)


def test_tickers_are_stored_once_for_one_instant(store: MarketStore, key: SeriesKey) -> None:
    before = store.count(TICKERS)
    ticker = Ticker(key.exchange, MarketType.SPOT, key.symbol, START_NS, START_NS + 1, 99.0, 100.0, 99.5, trades_24h=7)
    store.insert_tickers([ticker])
    store.insert_tickers([ticker])
    assert store.count(TICKERS) == before + 1


def test_a_batch_that_is_sent_again_with_its_token_is_stored_once(store: MarketStore, key: SeriesKey) -> None:
    before = store.count(QUARANTINED_ROWS)
    rows = [Quarantined(OHLCV, "outlier", "{}", f"{key.exchange} {n}", NOW_NS, key) for n in range(3)]
    for _ in range(2):
        store.insert_quarantined(rows, token=key.exchange)
    assert store.count(QUARANTINED_ROWS) == before + 3


def test_reads_do_not_block_the_event_loop_and_run_side_by_side(store: MarketStore, key: SeriesKey) -> None:
    store.insert_candles(rows_of(key, 300), source="test")

    async def read_all() -> list[int]:
        async with asyncio.timeout(60):
            reads = [store.last_candles_async(key, n) for n in (1, 10, 100)]
            found = await asyncio.gather(*reads, store.candles_async(key, limit=7))
            assert any(one.key == key for one in await store.series_async())
            return [len(one) for one in found]

    assert asyncio.run(read_all()) == [1, 10, 100, 7]


def test_several_threads_may_write_and_read(store: MarketStore, key: SeriesKey) -> None:
    def write(part: int) -> int:
        return store.insert_candles(rows_of(key, 40, first=20 * part), source="test").inserted

    with ThreadPoolExecutor(4) as pool:
        inserted = sum(pool.map(write, range(8)))
        lengths = list(pool.map(lambda n: len(store.last_candles(key, n)), range(1, 9)))
    assert inserted == len(store.candles(key)) == 180
    assert lengths == list(range(1, 9))


def test_the_tables_may_be_created_again(store: MarketStore) -> None:
    store.create_tables()
    store.ping()


def test_a_statement_that_fails_is_a_store_error_without_the_address(store: MarketStore, key: SeriesKey) -> None:
    with pytest.raises(StoreError, match=r"cannot store 1 rows in nowhere") as caught:
        store.insert_rows("nowhere", pa.table({"a": [1]}))
    assert "http" not in str(caught.value)


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["", "a.b", "a; DROP", "1st"])
def test_a_database_name_is_a_plain_name(database: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"clickhouse\.database"):
        MarketStore.open(f"chdb://{tmp_path}/x", database)


BATCHES = """
import sys
import numpy as np
from promethean.domain.instruments import MarketType
from promethean.storage.market_store import MarketStore
from promethean.storage.market_tables import SeriesKey, candle_rows
key = SeriesKey("x", MarketType.SPOT, "BTC/USDT", "1m")
store = MarketStore.open(sys.argv[1])
store.create_tables()
if sys.argv[2] == "count":
    print(store.count("ohlcv"))
    store.close()
values = {name: np.full(100, 100.0) for name in ("open", "high", "low", "close", "volume")}
for part in range(10**6 if sys.argv[2] == "insert" else 0):
    times = 60 * 10**9 * np.arange(100 * part, 100 * part + 100)
    store.insert_candles(candle_rows(key, times, values), source="test")
    print(part, flush=True)
"""


def test_every_acknowledged_batch_of_a_killed_process_is_there_and_none_is_partial(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", BATCHES, f"chdb://{tmp_path}/market"]
    with subprocess.Popen([*arguments, "insert"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline() for _ in range(20)]
        child.kill()
        acknowledged += child.stdout.readlines()
    done = subprocess.run([*arguments, "count"], capture_output=True, text=True, timeout=60, check=True)
    rows = int(done.stdout)
    assert rows % 100 == 0
    assert rows >= 100 * len([line for line in acknowledged if line.endswith("\n")])
