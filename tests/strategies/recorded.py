"""Recorded and invented candles for the tests of strategies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from hypothesis import strategies as st

from promethean.domain.candles import CandleSeries, timeframe_ns

COLUMNS = ("open", "high", "low", "close", "volume")
MONDAY_NS = 1_704_067_200 * 10**9  # 2024-01-01, a Monday


def read(path: Path) -> CandleSeries:
    """A file of candles as it is, by nothing of ours."""
    table = pq.read_table(path)
    times = np.array(table["timestamp"].to_pylist(), np.int64) * 10**6
    return CandleSeries.from_columns(times, [np.array(table[name].to_pylist()) for name in COLUMNS], keep=len(times))


def cut(candles: CandleSeries, start: int, stop: int) -> CandleSeries:
    """The candles from one number on, before another."""
    times = candles.open_time_ns[start:stop]
    columns = [getattr(candles, name)[start:stop] for name in COLUMNS]
    return CandleSeries.from_columns(times, columns, keep=max(1, len(times)))


def invented(
    seed: int, count: int, timeframe: str = "1m", *, holes: float = 0.0, start_ns: int = MONDAY_NS
) -> CandleSeries:
    """A random walk.  holes: share of candles that are not there."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    opened = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opened, close) * (1 + 0.01 * random.random(count))
    low = np.minimum(opened, close) * (1 - 0.01 * random.random(count))
    volume = random.lognormal(2, 1, count)
    times = start_ns + timeframe_ns(timeframe) * np.arange(count, dtype=np.int64)
    there = random.random(count) >= holes
    columns = [column[there] for column in (opened, high, low, close, volume)]
    return CandleSeries.from_columns(times[there], columns, keep=max(1, int(there.sum())))


@st.composite
def paths(draw: st.DrawFn, count_max: int = 400) -> CandleSeries:
    """Minutes that begin anywhere in an hour, perhaps with holes."""
    return invented(
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(1, count_max)),
        holes=draw(st.sampled_from([0.0, 0.1, 0.6])),
        start_ns=MONDAY_NS + draw(st.integers(0, 59)) * 60 * 10**9,
    )
