"""The tables of the market store that have a writer, as ClickHouse statements and as Arrow schemas.

Tuned by measurement: large partitions (by year), a fine index (1024 rows) and Replacing tables read with FINAL.  Times
are stored in milliseconds; TTLs count from `ingested_at`, so that an import of old data does not expire on arrival.
Prices are Float64: this store is statistics, never on the money path.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from promethean.domain.candles import FloatArray, IntArray, timeframe_ns
from promethean.domain.instants import NS_PER_MS
from promethean.domain.instruments import MarketType

if TYPE_CHECKING:
    import pyarrow

OHLCV = "ohlcv"
TICKERS = "tickers"
QUARANTINED_ROWS = "quarantined_rows"

_TIMES = """
    event_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD),
    received_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD),
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(DoubleDelta, ZSTD)"""

# A retried batch carries its token again; the window makes the server remember it.
_WINDOW = "non_replicated_deduplication_window = 1000"

CREATE = {
    OHLCV: f"""
CREATE TABLE IF NOT EXISTS {{database}}.ohlcv (
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    symbol LowCardinality(String),
    timeframe LowCardinality(String),
    open_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD),{_TIMES},
    open Float64 CODEC(ZSTD),
    high Float64 CODEC(ZSTD),
    low Float64 CODEC(ZSTD),
    close Float64 CODEC(ZSTD),
    volume Float64 CODEC(ZSTD),
    quote_volume Float64 DEFAULT nan CODEC(ZSTD),
    trades Nullable(UInt64) CODEC(ZSTD),
    taker_buy_volume Float64 DEFAULT nan CODEC(ZSTD),
    taker_buy_quote_volume Float64 DEFAULT nan CODEC(ZSTD),
    is_closed UInt8 DEFAULT 1,
    is_filled UInt8 DEFAULT 0
) ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toYear(open_time)
ORDER BY (exchange, market_type, symbol, timeframe, open_time)
SETTINGS index_granularity = 1024, {_WINDOW}""",
    TICKERS: f"""
CREATE TABLE IF NOT EXISTS {{database}}.tickers (
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    symbol LowCardinality(String),{_TIMES},
    bid Float64,
    ask Float64,
    last Float64,
    open_24h Float64 DEFAULT nan,
    high_24h Float64 DEFAULT nan,
    low_24h Float64 DEFAULT nan,
    volume_24h Float64 DEFAULT nan,
    quote_volume_24h Float64 DEFAULT nan,
    change_24h Float64 DEFAULT nan,
    trades_24h Nullable(UInt64)
) ENGINE = ReplacingMergeTree(received_at)
PARTITION BY toYYYYMM(event_time)
ORDER BY (exchange, market_type, symbol, event_time)
TTL toDateTime(ingested_at) + INTERVAL 30 DAY
SETTINGS index_granularity = 1024, {_WINDOW}""",
    QUARANTINED_ROWS: f"""
CREATE TABLE IF NOT EXISTS {{database}}.quarantined_rows (
    target_table LowCardinality(String),
    reason LowCardinality(String),
    exchange LowCardinality(String),
    market_type LowCardinality(String),
    symbol LowCardinality(String),
    timeframe LowCardinality(String),
    payload String CODEC(ZSTD),
    source String CODEC(ZSTD),{_TIMES}
) ENGINE = MergeTree
PARTITION BY toYYYYMM(ingested_at)
ORDER BY (target_table, reason, source)
TTL toDateTime(ingested_at) + INTERVAL 30 DAY
SETTINGS {_WINDOW}""",
}


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """One series of candles.  symbol: `BTC/USDT`, for spot and perpetual alike; `market_type` tells them apart."""

    exchange: str
    market_type: MarketType
    symbol: str
    timeframe: str

    def __str__(self) -> str:
        perpetual = "-PERP" if self.market_type is MarketType.FUTURES else ""
        return f"{self.exchange}:{self.symbol}{perpetual} {self.timeframe}"


@dataclass(frozen=True, slots=True)
class Ticker:
    """Best bid and ask of an instant; NaN and None where the venue does not say.  change_24h is a fraction."""

    exchange: str
    market_type: MarketType
    symbol: str
    at_ns: int
    received_at_ns: int
    bid: float
    ask: float
    last: float
    open_24h: float = math.nan
    high_24h: float = math.nan
    low_24h: float = math.nan
    volume_24h: float = math.nan
    quote_volume_24h: float = math.nan
    change_24h: float = math.nan
    trades_24h: int | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that nobody is shown.

    reason: text of the Defect; payload: the row as it came, JSON text; source: the feed or file, and the place in it.
    series: what it would have belonged to, where that is known.
    """

    target_table: str
    reason: str
    payload: str
    source: str
    received_at_ns: int
    series: SeriesKey | None = None


def candle_rows(
    series: SeriesKey,
    open_time_ns: IntArray,
    columns: Mapping[str, FloatArray],
    *,
    extras: Mapping[str, FloatArray] | None = None,
    received_at_ns: IntArray | None = None,
    is_closed: bool = True,
    is_filled: bool = False,
) -> pyarrow.Table:
    """Rows for `ohlcv`.

    open_time_ns:   int64, shape (n,); columns: open, high, low, close, volume, float64, shape (n,).
    extras:         quote_volume, trades, taker_buy_volume, taker_buy_quote_volume, as far as known; NaN where not.
    received_at_ns: when we knew the candle; without it the instant it could be known: its close.
    """
    import pyarrow as pa

    rows = len(open_time_ns)
    close_time_ns = open_time_ns + timeframe_ns(series.timeframe)
    known = extras if extras is not None else {}
    unknown = np.full(rows, np.nan)
    trades = known.get("trades", unknown)
    names = {
        "exchange": series.exchange,
        "market_type": series.market_type.value,
        "symbol": series.symbol,
        "timeframe": series.timeframe,
    }
    return pa.table(
        {
            **{name: _same(value, rows) for name, value in names.items()},
            "open_time": instants(open_time_ns),
            "event_time": instants(close_time_ns),
            "received_at": instants(close_time_ns if received_at_ns is None else received_at_ns),
            **{name: columns[name] for name in ("open", "high", "low", "close", "volume")},
            "quote_volume": known.get("quote_volume", unknown),
            "trades": pa.array(np.nan_to_num(trades).astype(np.uint64), mask=~np.isfinite(trades)),
            "taker_buy_volume": known.get("taker_buy_volume", unknown),
            "taker_buy_quote_volume": known.get("taker_buy_quote_volume", unknown),
            "is_closed": np.full(rows, is_closed, np.uint8),
            "is_filled": np.full(rows, is_filled, np.uint8),
        }
    )


def ticker_rows(tickers: Sequence[Ticker]) -> pyarrow.Table:
    """Rows for `tickers`."""
    import pyarrow as pa

    at_ns = np.array([ticker.at_ns for ticker in tickers], np.int64)
    received_at_ns = np.array([ticker.received_at_ns for ticker in tickers], np.int64)
    texts = ("exchange", "market_type", "symbol")
    numbers = (
        "bid", "ask", "last", "open_24h", "high_24h", "low_24h", "volume_24h", "quote_volume_24h", "change_24h",
    )  # fmt: skip
    return pa.table(
        {
            **{name: pa.array([str(getattr(ticker, name)) for ticker in tickers], pa.string()) for name in texts},
            "event_time": instants(at_ns),
            "received_at": instants(received_at_ns),
            **{name: np.array([getattr(ticker, name) for ticker in tickers], np.float64) for name in numbers},
            "trades_24h": pa.array([ticker.trades_24h for ticker in tickers], pa.uint64()),
        }
    )


def quarantined_rows(rows: Sequence[Quarantined]) -> pyarrow.Table:
    """Rows for `quarantined_rows`; their event time is when we received them, their own may be what is wrong."""
    import pyarrow as pa

    received_at = instants(np.array([row.received_at_ns for row in rows], np.int64))
    texts = ("target_table", "reason", "payload", "source")
    names = ("exchange", "market_type", "symbol", "timeframe")
    return pa.table(
        {
            **{name: pa.array([getattr(row, name) for row in rows], pa.string()) for name in texts},
            **{name: pa.array([str(getattr(row.series, name, "")) for row in rows], pa.string()) for name in names},
            "event_time": received_at,
            "received_at": received_at,
        }
    )


def instants(times_ns: IntArray) -> pyarrow.Array:
    """Nanoseconds as Arrow timestamps in milliseconds, rounded down."""
    import pyarrow as pa

    return pa.array(times_ns // NS_PER_MS, pa.timestamp("ms", "UTC"))


def _same(text: str, rows: int) -> pyarrow.Array:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([text], pa.string()))
