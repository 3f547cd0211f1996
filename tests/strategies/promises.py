"""What every array strategy promises, whatever it looks for: to be asked about any of them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from tests.strategies.recorded import COLUMNS, cut

import promethean.indicators
from promethean.domain.candles import CandleSeries, FloatArray
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.registry import scan
from promethean.strategies.arrays import ArrayStrategy, Said
from promethean.strategies.frame import Frame

scan(promethean.indicators)
BTC = InstrumentId("binance:BTCUSDT")
OHLCV = Path("data", "ohlcv")
REAL = {
    "BTC": OHLCV / "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet",
    "ETH": OHLCV / "binance_usdm_ETHUSDT_1m_2025-05_2025-06.parquet",
}
REAL_5M = OHLCV / "binance_usdm_BTCUSDT_5m_2023-07_2023-08.parquet"
Made = TypeVar("Made")


def make(kind: Callable[..., Made], *, timeframe: str = "1m", can_short: bool = True, **parameters: Any) -> Made:
    """A strategy of this class at an instrument of its own."""
    return kind(
        id=StrategyId("s"),
        instrument=BTC,
        timeframe=timeframe,
        parameters={name: value if isinstance(value, bool) else Decimal(value) for name, value in parameters.items()},
        can_short=can_short,
    )


def told(said: Said) -> dict[str, FloatArray]:
    """Everything that is said, by name."""
    length = len(said.side)
    spoken = (said.side != 0) | (said.leave != 0)
    found = {"side": said.side.astype(float), "leave": said.leave.astype(float)}
    found["confidence"] = np.where(spoken, said.confidence, np.nan)  # of nothing said there is none
    found["stop"] = np.full(length, np.nan) if said.stop is None else said.stop
    found |= {f"target {place}": target for place, target in enumerate(said.targets)}
    return found | dict(said.readings)


def assert_causal(strategy: ArrayStrategy, candles: CandleSeries, stops: list[int]) -> None:
    """What is said up to a candle does not change with what comes after it."""
    whole = told(strategy.say(Frame(candles, strategy.timeframe)))
    for stop in stops:
        for name, values in told(strategy.say(Frame(cut(candles, 0, stop), strategy.timeframe))).items():
            np.testing.assert_allclose(values, whole[name][:stop], rtol=1e-12, atol=1e-9, err_msg=f"{name}, {stop}")


def assert_window(strategy: ArrayStrategy, candles: CandleSeries, places: list[int]) -> None:
    """The trailing window of a candle gives what the whole history does: live trading says what a backtest does."""
    whole = told(strategy.say(Frame(candles, strategy.timeframe)))
    for place in places:
        window = cut(candles, max(0, place + 1 - strategy.window), place + 1)
        for name, values in told(strategy.say(Frame(window, strategy.timeframe))).items():
            assert values[-1] == pytest.approx(whole[name][place], rel=1e-9, abs=1e-6, nan_ok=True), (name, place)


def chosen(strategy: ArrayStrategy, candles: CandleSeries, seed: int, count: int = 40) -> list[int]:
    """Candles to look at: some at which it says something, as many others, and those around the first full window."""
    said = strategy.say(Frame(candles, strategy.timeframe))
    random = np.random.default_rng(seed)
    entries, others = np.flatnonzero(said.side), np.flatnonzero(said.leave)
    full = strategy.window
    found = {0, full - 2, full - 1, full, len(candles) - 1}
    for among in (entries, others, np.arange(len(candles))):
        found |= set(random.choice(among, min(count, len(among)), replace=False).tolist()) if len(among) else set()
    return sorted(place for place in found if 0 <= place < len(candles))


def upside_down(candles: CandleSeries, middle: float) -> CandleSeries:
    """The same market mirrored around a price: what rose falls by as much."""
    columns = {name: getattr(candles, name) for name in COLUMNS}
    mirrored = {name: 2 * middle - columns[name] for name in ("open", "close")}
    mirrored |= {"high": 2 * middle - columns["low"], "low": 2 * middle - columns["high"], "volume": columns["volume"]}
    return CandleSeries.from_columns(
        candles.open_time_ns, [mirrored[name] for name in COLUMNS], keep=max(1, len(candles))
    )
