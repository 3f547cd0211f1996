"""How fast the parts are: measured on work that everybody can repeat."""

from __future__ import annotations

import contextlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from promethean.app import backtesting
from promethean.config.tree import Settings

CASH = Decimal(1_000_000)
REFERENCE = "reference_rsi"
REPEATS = 7


SWEPT = ("period=6:24:2", "low=20:40:5", "high=65,75")


def bench_backtest(settings: Settings, data: Path | None) -> dict[str, Any]:
    """The reference backtest, warm: the best of a few runs, as everybody measures.

    data: one-minute candles; None: a year of the synthetic market, said so in the answer.
    Raises ConfigError for a file that cannot be used.
    """
    with _options(settings, data) as options:
        first = backtesting.run_backtest(settings, options)
        bench = first.bench
        seconds = min(_timed(lambda: backtesting.run(bench)) for _ in range(REPEATS))
        load_seconds = _timed(lambda: backtesting.prepare(settings, options))
    candles = len(bench.candles)
    return {
        "data": _named(bench, data),
        "candles": candles,
        "trades": first.metrics.trades,
        "final_equity": str(first.result.books.cash),
        "candles_per_s": round(candles / seconds, 1),
        "seconds": round(seconds, 6),
        "first_run_seconds": round(first.seconds, 3),
        "load_seconds": round(load_seconds, 4),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }


def bench_sweep(settings: Settings, data: Path | None) -> dict[str, Any]:
    """One hundred parameter sets of the reference strategy, warm, as `bench_backtest`."""
    with _options(settings, data) as options:
        bench = backtesting.prepare(settings, options)
        first = backtesting.sweep_outcomes(bench, options, SWEPT)
        seconds = min(_timed(lambda: backtesting.sweep_outcomes(bench, options, SWEPT)) for _ in range(REPEATS))
    count = len(first)
    return {
        "data": _named(bench, data),
        "candles": len(bench.candles),
        "combinations": count,
        "trades": sum(outcome.trades for outcome in first),
        "seconds": round(seconds, 6),
        "seconds_per_combination": round(seconds / count, 6),
        "candles_per_s": round(count * len(bench.candles) / seconds, 1),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }


@contextlib.contextmanager
def _options(settings: Settings, data: Path | None) -> Iterator[backtesting.BacktestOptions]:
    with tempfile.TemporaryDirectory() as folder:
        path = data if data is not None else _synthetic(settings, Path(folder) / "synthetic_BTCUSDT_1m.parquet")
        yield backtesting.BacktestOptions(REFERENCE, str(path), cash=CASH, allow_gaps=True)


def _named(bench: backtesting.Bench, data: Path | None) -> str:
    return bench.source if data is not None else "synthetic candles, invented from the seed"


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_rss_mb() -> float:
    """The most memory that this process has had, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _synthetic(settings: Settings, path: Path) -> Path:
    """A year of invented candles, written where the backtest can read them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(settings.app.seed)
    count = 525_600
    close = np.round(42_000 * np.exp(np.cumsum(random.normal(0, 7e-4, count))), 2)
    opened = np.concatenate(([42_000.0], close[:-1]))
    spread = np.abs(random.normal(0, 4e-4, (2, count)))
    high = np.round(np.maximum(opened, close) * (1 + spread[0]), 2)
    low = np.round(np.minimum(opened, close) * (1 - spread[1]), 2)
    volume = np.round(random.lognormal(3, 0.8, count) + 0.01, 5)
    times = 1_704_067_200_000 + 60_000 * np.arange(count, dtype=np.int64)
    table = pa.table({"timestamp": times, "open": opened, "high": high, "low": low, "close": close, "volume": volume})
    pq.write_table(table, path)
    return path
