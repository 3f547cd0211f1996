"""How fast the parts are: measured on work that everybody can repeat."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promethean.app import backtesting, sweeping
from promethean.config.tree import Settings
from promethean.domain.ids import StrategyId
from promethean.runtime.memory import peak_rss_mb

if TYPE_CHECKING:
    from promethean.evaluation.backtest import Backtest

CASH = Decimal(1_000_000)
REFERENCE = "reference_rsi"
MOVING = "reference_moving"  # both sides, tiers, trailing stop, time, breakeven and slippage
REPEATS = 7
REPEATS_ON_CANDLE = 5  # each takes a large part of a second
SWEPT = ("period=6:24:2", "low=20:40:5", "high=65,75")


def bench_backtest(settings: Settings, data: Path | None) -> dict[str, Any]:
    """The reference backtest, warm: the best of a few runs, as everybody measures.

    data: one-minute candles; None: a year of the synthetic market, said so in the answer.
    Raises ConfigError for a file that cannot be used.
    """
    with _options(settings, data) as options:
        bench = backtesting.prepare(settings, options)
        began = time.perf_counter()
        first = backtesting.run(bench).books
        first_seconds = time.perf_counter() - began
        seconds = min(_timed(lambda: backtesting.run(bench)) for _ in range(REPEATS))
        load_seconds = _timed(lambda: backtesting.prepare(settings, options))
        told = run_on_candle(bench)
        assert told.books.trades == first.trades, "candle by candle the trades are the same"
        told_seconds = min(_timed(lambda: run_on_candle(bench)) for _ in range(REPEATS_ON_CANDLE))
        other = backtesting.prepare(settings, replace(options, strategy=MOVING))
        moving = backtesting.run(other).books
        moving_seconds = min(_timed(lambda: backtesting.run(other)) for _ in range(REPEATS))
    candles = len(bench.candles)
    return {
        "data": _named(bench, data),
        "candles": candles,
        "trades": len(first.trades),
        "final_equity": str(first.cash),
        "candles_per_s": round(candles / seconds, 1),
        "on_candle_candles_per_s": round(candles / told_seconds, 1),
        "moving_exits_candles_per_s": round(candles / moving_seconds, 1),
        "moving_exits_trades": len(moving.trades),
        "seconds": round(seconds, 6),
        "on_candle_seconds": round(told_seconds, 6),
        "moving_exits_seconds": round(moving_seconds, 6),
        "first_run_seconds": round(first_seconds, 3),
        "load_seconds": round(load_seconds, 4),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }


def run_on_candle(bench: backtesting.Bench) -> Backtest:
    """The same backtest with the reference strategy as it is written candle by candle."""
    from promethean.app.reference import ReferenceRsi
    from promethean.strategies.by_candle import ByCandle

    strategy = ByCandle(
        lambda: ReferenceRsi(
            id=StrategyId(bench.file.id),
            instrument=bench.instrument.id,
            timeframe=bench.timeframe,
            parameters=bench.file.parameters,
            can_short=False,
        )
    )
    return backtesting.run(bench, strategy)


def bench_sweep(settings: Settings, data: Path | None) -> dict[str, Any]:
    """One hundred parameter sets of the reference strategy, warm, as `bench_backtest`."""
    with _options(settings, data) as options:
        bench = backtesting.prepare(settings, options)
        first = sweeping.sweep_outcomes(bench, options, SWEPT)
        seconds = min(_timed(lambda: sweeping.sweep_outcomes(bench, options, SWEPT)) for _ in range(REPEATS))
        moving = replace(options, strategy=MOVING)
        other = backtesting.prepare(settings, moving)
        sweeping.sweep_outcomes(other, moving, SWEPT)
        moving_seconds = min(_timed(lambda: sweeping.sweep_outcomes(other, moving, SWEPT)) for _ in range(REPEATS))
    count = len(first)
    return {
        "data": _named(bench, data),
        "candles": len(bench.candles),
        "combinations": count,
        "trades": sum(outcome.trades for outcome in first),
        "seconds": round(seconds, 6),
        "seconds_per_combination": round(seconds / count, 6),
        "candles_per_s": round(count * len(bench.candles) / seconds, 1),
        "moving_exits_candles_per_s": round(count * len(bench.candles) / moving_seconds, 1),
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


def _synthetic(settings: Settings, path: Path) -> Path:
    """A year of the synthetic market, written where the backtest can read it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from promethean.domain.instants import NS_PER_MS
    from promethean.runtime.feeds.synthetic import FIRST_START, synthetic_block

    days, end = [], FIRST_START
    for number in range(365):
        day, end = synthetic_block(settings.app.seed, number, end)
        days.append(day)
    table = {"timestamp": np.concatenate([day.open_time_ns for day in days]) // NS_PER_MS}
    for name in ("open", "high", "low", "close", "volume"):
        table[name] = np.concatenate([getattr(day, name) for day in days])
    pq.write_table(pa.table(table), path)
    return path
