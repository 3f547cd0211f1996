"""What every indicator promises, checked for one set of parameters: for the test modules of several families."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow.parquet as pq
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

import promethean.indicators
from promethean.domain.candles import FloatArray
from promethean.domain.registry import scan
from promethean.indicators.catalogue import INDICATORS, Indicator

scan(promethean.indicators)

Columns: TypeAlias = dict[str, NDArray[Any]]
Outputs: TypeAlias = dict[str, FloatArray]

MINUTE_NS = 60 * 10**9
DAY_NS = 1440 * MINUTE_NS


@dataclass(frozen=True, slots=True)
class Case:
    """An indicator with parameters.

    warm_up: by field, the values at the beginning that are not known yet.
    slack: by field and for given outputs and columns, how much the last value may differ when older data are missing;
           a field that is not named stays the same to the last bit.
    unknown: by field, where later values may be unknown as well; a field that is not named is always known.
    """

    name: str
    parameters: Mapping[str, Any]
    warm_up: Mapping[str, int]
    slack: Mapping[str, Callable[[Outputs, Columns], float]]
    unknown: Mapping[str, Callable[[Columns], NDArray[np.bool_]]]

    @property
    def entry(self) -> Indicator:
        return INDICATORS.get(self.name)

    @property
    def window(self) -> int:
        assert self.entry.window is not None
        declared = self.entry.window.__code__.co_varnames[: self.entry.window.__code__.co_argcount]
        return self.entry.window(**{name: value for name, value in self.parameters.items() if name in declared})

    def __str__(self) -> str:
        return "-".join([self.name, *(str(value) for value in self.parameters.values())])


def case(
    name: str,
    *,
    warm_up: Mapping[str, int],
    slack: Mapping[str, Callable[[Outputs, Columns], float]] | None = None,
    unknown: Mapping[str, Callable[[Columns], NDArray[np.bool_]]] | None = None,
    **parameters: Any,
) -> Case:
    return Case(name, parameters, warm_up, slack or {}, unknown or {})


def inputs(case: Case, columns: Columns) -> list[NDArray[Any]]:
    return [columns[name] for name in case.entry.inputs]


def fields(case: Case, given: Any) -> Outputs:
    """The arrays by field; a single array has the name of its indicator."""
    if isinstance(given, tuple):
        return dict(zip(case.entry.outputs, given, strict=True))
    return {case.name: given}


def run(case: Case, columns: Columns) -> Outputs:
    return fields(case, case.entry.function(*inputs(case, columns), **case.parameters))


def prices(columns: Columns) -> tuple[FloatArray, FloatArray, FloatArray]:
    """High, low and close."""
    return columns["high"], columns["low"], columns["close"]


def part(columns: Columns, rows: slice) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def same(one: Outputs, other: Outputs) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


def still(length: int, price: float = 0.1) -> Columns:
    """Candles of a price that never moves."""
    return {"open_time_ns": 60 * MINUTE_NS * np.arange(length)} | {
        name: np.full(length, price) for name in ("open", "high", "low", "close", "volume")
    }


def market(seed: int, length: int, restless: bool = False) -> Columns:
    """Candles of a random walk, read-only; unless it is restless with spikes, still parts, ticks and holes in time."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, random.choice([1e-6, 1e-3, 1e-2]), length)))
    opened = np.concatenate([close[:1], close[:-1]]) * np.exp(random.normal(0, 1e-4, length))
    high = np.maximum(opened, close) * np.exp(np.abs(random.normal(0, 1e-3, length)))
    low = np.minimum(opened, close) * np.exp(-np.abs(random.normal(0, 1e-3, length)))
    prices = np.array([opened, high, low, close])
    steps = np.full(length, int(random.choice([1, 5, 60, 240, 1440])))
    kinds = random.random(5) < 0.4
    if kinds[0] and length and not restless:
        prices[:, random.integers(0, length, 3)] *= random.choice([1e-3, 10.0, 1e5], 3)
    if kinds[1] and length and not restless:
        start = int(random.integers(0, length))
        prices[:, start : start + int(random.integers(1, 1000))] = prices[3, start]
    if kinds[2] and length and not restless:
        start = max(0, length - int(random.integers(1, 1000)))
        prices[:, start:] = prices[3, start]
    if kinds[3] and not restless:
        prices = np.maximum(np.round(prices, 2), 0.01)
    if kinds[4] and length and not restless:
        steps[random.integers(0, length, 5)] *= random.integers(1, 2000, 5)
    columns = dict(zip(("open", "high", "low", "close"), prices.copy(), strict=True))
    columns["open_time_ns"] = MINUTE_NS * (random.integers(0, 2880) + np.cumsum(steps))
    columns["volume"] = np.exp(random.normal(0, 0.7, length)) * (random.random(length) < random.choice([0.9, 1.0]))
    for values in columns.values():
        values.flags.writeable = False  # as those of a CandleSeries
    return columns


def recorded(shared: Path) -> Iterator[tuple[str, Columns]]:
    """The candles of every file beside the checkout."""
    files = sorted((shared / "data" / "ohlcv").glob("*.parquet"))
    assert len(files) >= 29
    for path in files:
        table = pq.read_table(path)
        columns = {name: table[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
        columns["open_time_ns"] = table["timestamp"].to_numpy() * 1_000_000
        yield path.name, columns


# -- promises ---------------------------------------------------------------------------------------------------------


def assert_causal(case: Case, columns: Columns, cut: int) -> None:
    before = {name: values[:cut] for name, values in run(case, columns).items()}
    assert same(run(case, part(columns, slice(cut))), before)


def assert_window(case: Case, columns: Columns) -> None:
    """The last outputs of the trailing window are those of the whole columns."""
    trailing = part(columns, slice(-case.window, None))
    whole, windowed = run(case, columns), run(case, trailing)
    for name, values in whole.items():
        here, there = values[-1], windowed[name][-1]
        if np.isnan(here) or np.isnan(there) or name not in case.slack:
            assert np.array_equal(here, there, equal_nan=True), f"{name}: {here!r} and {there!r}"
        else:
            slack = max(case.slack[name](whole, columns), 1e-12 * abs(here))
            assert abs(here - there) <= slack, f"{name}: {here!r} and {there!r}, {slack!r} apart at most"


def assert_resumes(case: Case, columns: Columns, cuts: Sequence[int]) -> None:
    """In pieces cut anywhere the outputs and the last state are those of the whole columns, bit for bit."""
    resume = case.entry.resume
    assert resume is not None
    whole, end = resume(*inputs(case, columns), None, **case.parameters)
    assert same(fields(case, whole), run(case, columns))
    borders = [0, *sorted(cuts), len(columns["close"])]
    pieces: list[Outputs] = []
    state = None
    for start, stop in pairwise(borders):
        kept = None if state is None else state.copy()
        piece, after = resume(*inputs(case, part(columns, slice(start, stop))), state, **case.parameters)
        assert state is None or np.array_equal(state, kept, equal_nan=True), "the state given was changed"
        pieces.append(fields(case, piece))
        state = after
    joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    assert same(joined, fields(case, whole))
    assert state is not None
    assert state.tobytes() == end.tobytes()


def assert_shape(case: Case, columns: Columns, where: str = "") -> Outputs:
    """Outputs as long as the inputs, float64, without infinities; unknown in warm-up and where the case says so."""
    outputs = run(case, columns)
    length = len(columns["close"])
    for name, values in outputs.items():
        assert values.shape == (length,), f"{name} {where}"
        assert values.dtype == np.float64, f"{name} {where}"
        assert not np.isinf(values).any(), f"{name} {where}"
        unknown = np.isnan(values)
        warm_up = case.warm_up[name]
        assert unknown[:warm_up].all(), f"{name} {where}: known before {warm_up} values"
        allowed = case.unknown[name](columns)[warm_up:] if name in case.unknown else False
        assert not (unknown[warm_up:] & ~np.asarray(allowed)).any(), f"{name} {where}: unknown after warm-up"
    return outputs


# -- where 0 / 0 would be ---------------------------------------------------------------------------------------------


def highest(values: FloatArray, period: int) -> FloatArray:
    """Highest of the last `period` values; NaN before there are so many."""
    if len(values) < period:
        return np.full(len(values), np.nan)
    return np.concatenate([np.full(period - 1, np.nan), sliding_window_view(values, period).max(axis=1)])


def lowest(values: FloatArray, period: int) -> FloatArray:
    return -highest(-values, period)


def lately(mask: NDArray[np.bool_], candles: int) -> NDArray[np.bool_]:
    """Where the mask was true at this candle or at one of the `candles` - 1 before it."""
    return np.convolve(mask, np.ones(candles))[: len(mask)] > 0 if len(mask) else mask
