"""The import of candle files, into the engine in the process and through its HTTP front."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.storage.market_rows import MINUTE_NS, NOW_NS, START_NS, columns

from promethean.domain.instruments import MarketType
from promethean.storage.candle_files import MarketName
from promethean.storage.market_import import ImportReport, import_candles
from promethean.storage.market_store import MarketStore
from promethean.storage.market_tables import QUARANTINED_ROWS, SeriesKey


def take_in(store: MarketStore, path: Path, market: MarketName | None = None) -> ImportReport:
    return import_candles(store, path, market=market, progress=lambda _done, _all: None, now_ns=NOW_NS)


def candle_file(folder: Path, rows: int, exchange: str, **changed: Any) -> Path:
    path = folder / f"{exchange}_spot_BTCUSDT_1m_x.parquet"
    times = (START_NS + MINUTE_NS * np.arange(rows)) // 10**6
    pq.write_table(pa.table({"timestamp": times, **columns(rows), **changed}), path)
    return path


def test_an_import_shows_progress_and_reports_what_it_did(store: MarketStore, key: SeriesKey, tmp_path: Path) -> None:
    path = candle_file(tmp_path, 45_000, key.exchange)
    steps: list[tuple[int, int]] = []
    report = import_candles(store, path, progress=lambda done, todo: steps.append((done, todo)), now_ns=NOW_NS)
    assert steps == [(0, 45_000), (20_000, 45_000), (40_000, 45_000), (45_000, 45_000)]
    assert (report.rows_read, report.imported, report.already_present) == (45_000, 45_000, 0)
    assert report.series == store.summary(key)
    assert report.series is not None
    assert (report.series.rows, report.series.coverage) == (45_000, 1.0)


def test_a_second_import_changes_nothing(store: MarketStore, key: SeriesKey, tmp_path: Path) -> None:
    close = columns(100)["close"].copy()
    close[[5, 50]] = np.nan
    path = candle_file(tmp_path, 100, key.exchange, close=close)
    first = take_in(store, path)
    quarantined, candles = store.count(QUARANTINED_ROWS), store.candles(key)
    second = take_in(store, path)
    assert (first.imported, second.imported, second.already_present) == (98, 0, 98)
    assert dict(first.quarantined) == dict(second.quarantined) == {"not a number": 2}
    assert store.count(QUARANTINED_ROWS) == quarantined
    assert first.series == second.series
    assert np.array_equal(store.candles(key).close, candles.close)


def test_bad_rows_are_in_the_quarantine_with_file_and_place(store: MarketStore, key: SeriesKey, tmp_path: Path) -> None:
    close = columns(20)["close"].copy()
    close[5] = -1
    report = take_in(store, candle_file(tmp_path, 20, key.exchange, close=close))
    row = next(row for row in store.quarantined() if report.sha256 in row["source"])
    assert (row["target_table"], row["reason"]) == ("ohlcv", "not positive")
    payload = json.loads(row["payload"])
    assert (payload["row"], payload["values"]["close"]) == (6, -1.0)


def test_a_file_with_other_prices_for_stored_candles_counts_them_as_rewritten(
    store: MarketStore, key: SeriesKey, tmp_path: Path
) -> None:
    take_in(store, candle_file(tmp_path, 30, key.exchange))
    volume = np.full(40, 0.1)
    volume[7] = 0.2
    report = take_in(store, candle_file(tmp_path, 40, key.exchange, volume=volume))
    assert (report.imported, report.already_present, dict(report.quarantined)) == (10, 29, {"rewritten": 1})
    assert store.candles(key).volume[7] == 0.1


def test_an_import_that_was_cut_off_is_finished_by_the_next(store: MarketStore, key: SeriesKey, tmp_path: Path) -> None:
    path = candle_file(tmp_path, 45_000, key.exchange)

    def give_up(done: int, _todo: int) -> None:
        if done == 20_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_candles(store, path, progress=give_up, now_ns=NOW_NS)
    report = take_in(store, path)
    assert (report.imported, report.already_present) == (25_000, 20_000)


def test_the_market_may_be_given(store: MarketStore, key: SeriesKey, tmp_path: Path) -> None:
    path = candle_file(tmp_path, 5, "x").rename(tmp_path / "mine.parquet")
    report = take_in(store, path, MarketName(key.exchange, "ETH", "EUR", MarketType.FUTURES))
    assert report.series is not None
    assert report.series.key == SeriesKey(key.exchange, MarketType.FUTURES, "ETH/EUR", "1m")


def test_a_real_file_is_imported_whole(stores: dict[str, MarketStore], shared: Path) -> None:
    report = take_in(stores["chdb"], shared / "data/ohlcv/binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet")
    assert (report.rows_read, report.imported, dict(report.quarantined)) == (105_120, 105_120, {})
    assert report.series is not None
    assert report.series.coverage == 1.0
    found = stores["http"].last_candles(report.series.key, 500)
    assert (len(found), found.open_time_ns[-1]) == (500, 1_754_006_340 * 10**9)
