"""Rows for the market store: candles of a minute whose prices are exact in binary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from promethean.storage.market_tables import SeriesKey, candle_rows

MINUTE_NS = 60 * 10**9
START_NS = 1_747_699_200 * 10**9
NOW_NS = 1_790_000_000 * 10**9


def columns(rows: int, price: float = 100.0) -> dict[str, np.ndarray]:
    close = price + np.arange(rows) / 8
    return {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": np.full(rows, 0.1)}


def rows_of(key: SeriesKey, count: int, *, first: int = 0, price: float = 100.0, **more: Any) -> pa.Table:
    return candle_rows(key, START_NS + MINUTE_NS * np.arange(first, first + count), columns(count, price), **more)
