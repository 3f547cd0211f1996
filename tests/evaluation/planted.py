"""Strategies with a mistake planted in them, and candles to find it on."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from promethean.domain.candles import CandleSeries, FloatArray
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.strategies.arrays import Said
from promethean.strategies.catalogue import STRATEGIES
from promethean.strategies.frame import Frame

MINUTE_NS = 60 * 10**9
IDENTITY, INSTRUMENT = StrategyId("planted"), InstrumentId("binance:BTCUSDT")
START_NS = 1_747_699_200 * 10**9  # 2025-05-20


class Planted:
    """Buys below its line, closes above it; honest here."""

    window = 30

    def __init__(
        self,
        *,
        id: StrategyId = IDENTITY,
        instrument: InstrumentId = INSTRUMENT,
        timeframe: str = "1m",
        parameters: Mapping[str, Decimal | bool] | None = None,
        can_short: bool = False,
    ) -> None:
        self.id, self.instrument, self.timeframe = id, instrument, timeframe

    def line(self, close: FloatArray) -> FloatArray:
        return trailing_mean(close, self.window)

    def say(self, frame: Frame) -> Said:
        close = frame.candles.close
        line = self.line(close)
        side, leave = (close < 0.9995 * line).astype(np.int8), (close > 1.0005 * line).astype(np.int8)
        return Said(side, leave, np.ones(len(close)), {"line": line} if self.shows_line else {})

    shows_line = True

    def reason(self, said: Said, at: int) -> str:
        return "planted"


class Centred(Planted):
    """Its mean has as many candles after as before."""

    def line(self, close: FloatArray) -> FloatArray:
        return np.concatenate((trailing_mean(close, 15)[7:], np.full(min(7, len(close)), np.nan)))[: len(close)]


class NextCandle(Planted):
    """Buys where the next candle rises, and shows nobody what it reads."""

    def say(self, frame: Frame) -> Said:
        close = frame.candles.close
        rises = np.append(np.diff(close) > 50, False)
        return Said(rises.astype(np.int8), np.zeros(len(close), np.int8), np.ones(len(close)), {})


class Forgives(Planted):
    """Says nothing where the next candle would have lost: only its silence knows the future."""

    shows_line = False

    def say(self, frame: Frame) -> Said:
        honest = super().say(frame)
        falls = np.append(np.diff(frame.candles.close) < 0, False)
        return Said(np.where(falls, 0, honest.side).astype(np.int8), honest.leave, honest.confidence, {})


class UnclosedHour(Planted):
    """Reads the close of the hour that a candle lies in, which is known when the hour ends."""

    def say(self, frame: Frame) -> Said:
        close, hours = frame.candles.close, frame.candles.open_time_ns // (60 * MINUTE_NS)
        last = np.searchsorted(hours, hours, side="right") - 1
        rises = close[last] > 1.0005 * close
        return Said(rises.astype(np.int8), (~rises).astype(np.int8), np.ones(len(close)), {})


class Scaled(Planted):
    """Measures every candle against the mean close of all."""

    shows_line = False

    def line(self, close: FloatArray) -> FloatArray:
        return np.full(len(close), close.mean())


class Remembering(Planted):
    """What the first candles it ever saw were like decides for good; made anew, it cannot hide that."""

    def __init__(self, **given: object) -> None:
        super().__init__(**given)  # type: ignore[arg-type]
        self.mean: float | None = None

    def line(self, close: FloatArray) -> FloatArray:
        self.mean = float(close.mean()) if self.mean is None else self.mean
        return np.full(len(close), self.mean)


class FutureStop(Planted):
    """Its stop lies below what will be the lowest price of the next candles."""

    def say(self, frame: Frame) -> Said:
        honest, low = super().say(frame), frame.candles.low
        ahead = np.minimum(low, np.append(low[1:], np.inf))
        return Said(honest.side, honest.leave, honest.confidence, {}, stop=ahead - 1.0)


class ShortWindow(Planted):
    """Averages thirty candles and says that five are enough."""

    window = 5

    def line(self, close: FloatArray) -> FloatArray:
        return trailing_mean(close, 30)


class Smoothed(Planted):
    """An exponential mean that remembers far more than its window."""

    window = 40
    shows_line = False

    def line(self, close: FloatArray) -> FloatArray:
        values, mean = np.empty(len(close)), close[0] if len(close) else 0.0
        for place, price in enumerate(close):
            mean += (price - mean) / 30.0
            values[place] = mean
        return values


class Demanding(Planted):
    """Fails on the window that it declares."""

    window = 20

    def line(self, close: FloatArray) -> FloatArray:
        if len(close) < 25:
            raise IndexError("25 candles are needed")
        return trailing_mean(close, 20)


AHEAD = {
    "centred": Centred,
    "next": NextCandle,
    "forgives": Forgives,
    "hour": UnclosedHour,
    "scaled": Scaled,
    "stop": FutureStop,
}
SHORT = {"window": ShortWindow, "smoothed": Smoothed}


def trailing_mean(close: FloatArray, count: int) -> FloatArray:
    """NaN until there are enough."""
    if len(close) < count:
        return np.full(len(close), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(close, count)
    mean: FloatArray = np.concatenate((np.full(count - 1, np.nan), windows.mean(axis=1)))
    return mean


def walk(count: int, seed: int = 1) -> CandleSeries:
    """Invented minutes: a random walk around 100,000."""
    random = np.random.default_rng(seed)
    close = np.round(100_000 * np.exp(np.cumsum(random.normal(0, 0.001, count))), 2)
    opened = np.concatenate(([100_000.0], close[:-1]))
    high, low = np.maximum(opened, close) + 20, np.minimum(opened, close) - 20
    times = START_NS + MINUTE_NS * np.arange(count, dtype=np.int64)
    return CandleSeries.from_columns(times, (opened, high, low, close, np.full(count, 50.12345)), keep=max(1, count))


def write_walk(path: Path, count: int, seed: int = 1, missing: frozenset[int] = frozenset()) -> Path:
    """The same candles as a file."""
    lines = ["timestamp,open,high,low,close,volume"]
    for number, (opened_ns, *values) in enumerate(walk(count, seed)):
        if number not in missing:
            lines.append(",".join(map(str, (opened_ns // 10**6, *values))))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_planted(folder: Path, made: type[Planted], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A strategy file whose class is registered for this test alone."""
    name = f"planted_{made.__name__.lower()}"
    monkeypatch.setitem(STRATEGIES._entries, name, made)
    path = folder / f"{name}.yaml"
    path.write_text(
        f"strategy: {{id: {name.replace('_', '-')}, name: Planted, class: {name}, signal_threshold: 0.5}}\n"
        "market: {exchange: binance, symbol: BTC/USDT, market_type: spot, primary_timeframe: 1m}\n"
        "parameters: {position_size_pct: 10}\n"
        "exits: {stop_loss_pct: 1.0, take_profit_levels: [{target_pct: 1, close_pct: 100}]}\n"
        "execution: {order_type: market}\n"
    )
    return path
