"""Candles to compute on: random ones with everything that happens in markets, and the recorded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

MINUTE_NS = 60_000_000_000
Columns = dict[str, NDArray[Any]]


def market(seed: int, length: int, minutes: int = 1) -> Columns:
    """Candles with gaps in time, quiet and dead stretches, spikes and round prices, as the seed has it."""
    random = np.random.default_rng(seed)
    step = np.exp(random.normal(0, random.choice([1e-6, 1e-3, 2e-2]), length))
    kinds = random.random(5) < 0.5
    if kinds[0]:
        step[random.random(length) < 0.5] = 1.0
    close = float(random.choice([1e-6, 1.0, 6e4])) * np.cumprod(step)
    opened = np.concatenate([close[:1], close[:-1]])
    reach = random.exponential(1e-3, (2, length)) * (random.random((2, length)) < 0.8)
    high, low = np.maximum(opened, close) * (1 + reach[0]), np.minimum(opened, close) * (1 - reach[1])
    volume = random.exponential(random.choice([1e-3, 10.0]), length)
    if kinds[1]:
        volume[random.random(length) < 0.3] = 0.0
    if kinds[2] and length:
        volume[random.integers(0, length, 2)] *= 1e6
    skips = np.ones(length, np.int64)
    if kinds[3]:
        skips[random.random(length) < 0.05] += random.integers(1, 200)
    begin = int(random.integers(20_000 * 1440, 20_001 * 1440)) // minutes * minutes
    if kinds[4]:
        begin = 20_000 * 1440
    return {
        "open_time_ns": (begin + minutes * (np.cumsum(skips) - 1)) * MINUTE_NS,
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "taker_buy_volume": volume * random.random(length),
    }


def part(columns: Columns, chosen: slice) -> Columns:
    """Some of the candles."""
    return {name: values[chosen] for name, values in columns.items()}


def candle_files(shared: Path) -> list[Path]:
    """All recorded candle files; skips when there are none."""
    files = sorted((shared / "data" / "ohlcv").glob("*.parquet"))
    if not files:
        pytest.skip("needs the candle files of the shared folder, which are absent")
    return files


def candles(path: Path) -> Columns:
    """The columns of a candle file; what takers bought, which no file says, is made up from where the close lies."""
    table = pq.read_table(path)
    columns: Columns = {name: table[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
    columns["open_time_ns"] = table["timestamp"].to_numpy() * 1_000_000
    width = columns["high"] - columns["low"]
    share = np.divide(columns["close"] - columns["low"], width, out=np.full(len(width), 0.5), where=width > 0)
    columns["taker_buy_volume"] = columns["volume"] * share
    return columns
