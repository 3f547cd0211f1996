"""Candles for the tests of this family: drawn by hand as tuples, or at random on a grid of ticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from hypothesis import strategies as st

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import Indicator

Columns: TypeAlias = dict[str, FloatArray]
Ticks: TypeAlias = dict[str, list[int]]

PRICES = ("open", "high", "low", "close")
seeds = st.integers(0, 2**32 - 1)


def drawn(*candles: tuple[float, float, float, float], volume: Sequence[float] | None = None) -> Columns:
    """Candles as (open, high, low, close), with a volume of 1 each unless given."""
    columns = {name: np.array([candle[place] for candle in candles]) for place, name in enumerate(PRICES)}
    return {**columns, "volume": np.ones(len(candles)) if volume is None else np.array(volume, dtype=float)}


def points(*prices: float) -> Columns:
    """Candles of one price each: a path."""
    return drawn(*((price, price, price, price) for price in prices))


def ticks(seed: int, length: int) -> Ticks:
    """A random market on a grid of 0.1 around 100: exact thresholds, ties, wicks, gaps, still parts, empty volume."""
    random = np.random.default_rng(seed)
    body, wick, gap = random.choice([1, 4, 12]), random.choice([1, 8, 20]), random.choice([0.0, 0.1, 0.5])
    market: Ticks = {name: [] for name in (*PRICES, "volume")}
    close = 1000
    for _ in range(length):
        jump = int(random.integers(-8, 9)) if random.random() < gap else 0
        opened = min(max(close + jump, 500), 2000)
        close = min(max(opened + int(random.integers(-body, body + 1)), 500), 2000)
        market["open"].append(opened)
        market["close"].append(close)
        market["high"].append(max(opened, close) + int(random.integers(0, wick + 1)) * int(random.random() < 0.7))
        market["low"].append(min(opened, close) - int(random.integers(0, wick + 1)) * int(random.random() < 0.7))
        market["volume"].append(int(random.integers(0, 30)))
    if random.random() < 0.2:
        market["volume"] = [0] * length
    return market


def columns(market: Ticks) -> Columns:
    """The market in quote units, each price the float nearest to its decimal."""
    return {name: np.array(values, dtype=float) / (10.0 if name in PRICES else 1.0) for name, values in market.items()}


def cut(market: Columns, rows: slice) -> Columns:
    return {name: column[rows] for name, column in market.items()}


def run(entry: Indicator, market: Columns, **parameters: Any) -> Mapping[str, FloatArray]:
    """What the indicator gives for a market, by field."""
    given = entry.function(*(market[name] for name in entry.inputs), **parameters)
    return dict(zip(entry.outputs, given, strict=True))


def ohlc(market: Columns) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    return market["open"], market["high"], market["low"], market["close"]


def hlc(market: Columns) -> tuple[FloatArray, FloatArray, FloatArray]:
    return market["high"], market["low"], market["close"]


def same(found: FloatArray, expected: Sequence[float]) -> bool:
    """Equal to the last bit, NaN beside NaN."""
    return bool(np.array_equal(found, np.array(expected, dtype=float), equal_nan=True))
