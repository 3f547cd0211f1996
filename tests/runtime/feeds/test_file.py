"""The file feed: the same numbers on every run, all rows, at the asked pace."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from promethean.domain.candles import Candle
from promethean.domain.errors import ConfigError, FeedError
from promethean.domain.events import CandleClosed
from promethean.domain.instants import NS_PER_S
from promethean.domain.instruments import Instrument
from promethean.runtime.feeds.columns import CandleColumns
from promethean.runtime.feeds.file import FileFeed
from promethean.runtime.feeds.port import Feed, FeedItem

MINUTE_NS = 60 * NS_PER_S
SHA = "0123456789ab" + "c" * 52


def columns(rows: int) -> CandleColumns:
    close = np.arange(rows, dtype=np.float64) + 100.0
    return CandleColumns(
        np.arange(rows, dtype=np.int64) * MINUTE_NS, close, close + 1, close - 1, close + 0.5, np.full(rows, 2.0)
    )


def feed(rows: int, instrument: Instrument, clock: Any, **changes: Any) -> FileFeed:
    return FileFeed(columns(rows), instrument, "1m", sha256=SHA, source="btc.parquet", clock=clock, **changes)


def collect(source: Feed, after: int = 0) -> list[list[FeedItem]]:
    async def read() -> list[list[FeedItem]]:
        return [list(batch) async for batch in source.batches(after)]

    return asyncio.run(read())


def test_every_row_comes_once_numbered_from_one_without_a_gap(btc: Instrument, clock: Any) -> None:
    items = [item for batch in collect(feed(2500, btc, clock)) for item in batch]
    assert [item.sequence for item in items] == list(range(1, 2501))
    assert [item.event.candle.open_time_ns for item in items] == columns(2500).open_time_ns.tolist()  # type: ignore[union-attr]


def test_at_full_speed_items_come_in_full_batches_and_nobody_waits(btc: Instrument, clock: Any) -> None:
    assert [len(batch) for batch in collect(feed(50, btc, clock))] == [20, 20, 10]
    assert clock.waits == []


def test_a_recorded_candle_is_received_at_its_close(btc: Instrument, clock: Any) -> None:
    [[item, *_], *_] = collect(feed(3, btc, clock))
    candle = Candle(btc.id, "1m", 0, MINUTE_NS, 100.0, 101.0, 99.0, 100.5, 2.0)
    assert item == FeedItem(1, CandleClosed(candle, MINUTE_NS))


@pytest.mark.parametrize("after", [0, 1, 999, 1000, 1700, 2500, 9000])
def test_reading_on_gives_the_items_that_an_uninterrupted_reader_sees(btc: Instrument, clock: Any, after: int) -> None:
    whole = [item for batch in collect(feed(2500, btc, clock)) for item in batch]
    assert [item for batch in collect(feed(2500, btc, clock), after) for item in batch] == whole[after:]


def test_a_paced_feed_brings_each_candle_when_its_own_time_divided_by_the_speed_has_passed(
    btc: Instrument, clock: Any
) -> None:
    begun_ns = clock.now_ns()
    batches = collect(feed(5, btc, clock, speed=60.0), after=1)
    assert [item.sequence for [item] in batches] == [2, 3, 4, 5]
    assert [wait - begun_ns for wait in clock.waits] == [0, NS_PER_S, 2 * NS_PER_S, 3 * NS_PER_S]


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_not_above_zero_is_refused_with_the_remedy(btc: Instrument, clock: Any, speed: float) -> None:
    with pytest.raises(ConfigError, match=r"give a number above 0 .* or max"):
        feed(3, btc, clock, speed=speed)


def test_a_file_without_a_usable_candle_cannot_feed(btc: Instrument, clock: Any) -> None:
    with pytest.raises(FeedError, match=r"btc\.parquet has no usable candle"):
        feed(0, btc, clock)


def test_the_stream_is_named_after_the_content_of_the_file_and_says_that_it_is_recorded(
    btc: Instrument, clock: Any
) -> None:
    source = feed(1, btc, clock)
    assert (source.name, source.provenance) == ("file-0123456789ab", "recorded data from btc.parquet")
    assert not source.is_synthetic
    assert list(source.instruments) == [btc.id]


def test_unsorted_rows_are_refused() -> None:
    ones = np.ones(2)
    with pytest.raises(ValueError, match="sorted by open time"):
        CandleColumns(np.array([5, 5], dtype=np.int64), ones, ones, ones, ones, ones)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        CandleColumns(np.arange(2), np.ones(2), np.ones(2), np.ones(2), np.ones(2), np.ones(3))


def test_nothing_comes_after_a_negative_number(btc: Instrument, clock: Any) -> None:
    with pytest.raises(ValueError, match="sequences start at 1"):
        collect(feed(1, btc, clock), after=-1)


def test_real_candles_keep_their_exact_values(btc: Instrument, clock: Any, shared: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = shared / "data/ohlcv/binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet"
    table = {name: values.to_numpy() for name, values in zip(*_named(parquet.read_table(path)), strict=True)}
    prices = [table[name] for name in ("open", "high", "low", "close", "volume")]
    recorded = CandleColumns(table["timestamp"] * 1_000_000, *prices)
    items = [
        item.event.candle  # type: ignore[union-attr]
        for batch in collect(FileFeed(recorded, btc, "1m", sha256=SHA, source=path.name, clock=clock))
        for item in batch
    ]
    assert len(items) == 105_120
    assert [candle.close for candle in items] == table["close"].tolist()
    assert items[-1].close_time_ns == int(table["timestamp"][-1]) * 1_000_000 + MINUTE_NS


def _named(table: Any) -> tuple[list[str], list[Any]]:
    return table.column_names, table.columns
