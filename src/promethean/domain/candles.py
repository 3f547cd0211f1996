"""Candles: one row, and the series of them that strategies read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.ids import InstrumentId
from promethean.domain.instants import NS_PER_S

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

KEPT = 5000  # candles of a series that a live view holds, unless it is told otherwise

TIMEFRAMES_S = {
    "1s": 1, "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14_400,
    "6h": 21_600, "8h": 28_800, "12h": 43_200, "1d": 86_400, "1w": 604_800,
}  # fmt: skip


_BLOCK = 4096  # rows that are made Python numbers at a time


def timeframe_ns(timeframe: str) -> int:
    """Length of a timeframe.  Raises ConfigError naming the closest known one."""
    try:
        return TIMEFRAMES_S[timeframe] * NS_PER_S
    except KeyError:
        raise ConfigError(unknown_name("timeframe", timeframe, TIMEFRAMES_S)) from None


class Candle(Struct, frozen=True):
    """What traded in `[open_time, close_time)`; known at its close, never before.

    open, high, low, close: quote units per base unit.  volume: base units.
    """

    instrument: InstrumentId
    timeframe: str
    open_time_ns: int
    close_time_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    def __post_init__(self) -> None:
        # One chained comparison is false for NaN as well; it is on the path of every candle.
        if not (0.0 < self.low <= self.open <= self.high < math.inf and self.low <= self.close <= self.high):
            raise ValueError(f"not a candle: open, close outside low..high, or a price not above zero: {self}")
        if not 0.0 <= self.volume < math.inf or self.close_time_ns <= self.open_time_ns:
            raise ValueError(f"not a candle: negative volume or no duration: {self}")


class _Columns:
    """Storage that series share.  Rows below `used` never change, so an older series stays what it was."""

    __slots__ = ("capacity", "close", "high", "low", "open", "open_time", "used", "volume")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self.open_time: IntArray = np.empty(capacity, np.int64)
        self.open: FloatArray = np.empty(capacity)
        self.high: FloatArray = np.empty(capacity)
        self.low: FloatArray = np.empty(capacity)
        self.close: FloatArray = np.empty(capacity)
        self.volume: FloatArray = np.empty(capacity)


class CandleSeries:
    """Closed candles of one instrument and timeframe, oldest first; a value: appending gives a new series.

    Appending is amortised constant time: series share their storage, and at most `keep` .. 2 x `keep` candles are held.
    """

    __slots__ = ("_columns", "_start", "_stop", "keep", "last_open_time_ns")

    def __init__(self, keep: int = KEPT) -> None:
        if keep < 1:
            raise ValueError(f"a series keeps at least one candle, not {keep}")
        self.keep = keep
        self._columns = _Columns(2 * keep)
        self._start = 0
        self._stop = 0
        self.last_open_time_ns = -1  # of an empty series: before every instant

    @classmethod
    def of(cls, candles: Iterable[Candle], keep: int = KEPT) -> CandleSeries:
        """A series of these candles, oldest first."""
        series = cls(keep)
        for candle in candles:
            series = series.append(candle)
        return series

    @classmethod
    def from_columns(cls, open_time_ns: IntArray, columns: Iterable[FloatArray], keep: int = KEPT) -> CandleSeries:
        """A series of the last `keep` rows of whole columns: open, high, low, close, volume in this order.

        The arrays are kept, not copied: they may not be written to afterwards.
        """
        rows = min(keep, len(open_time_ns))
        if not rows:
            return cls(keep)
        first = len(open_time_ns) - rows
        # The arrays themselves, full to the brim: what is appended goes on in storage of its own.
        store = _Columns.__new__(_Columns)
        store.capacity = store.used = rows
        store.open_time = open_time_ns[first:]
        store.open, store.high, store.low, store.close, store.volume = (values[first:] for values in columns)
        series = cls.__new__(cls)
        series.keep = keep
        return series._sharing(store, 0, rows, int(open_time_ns[-1]))

    def append(self, candle: Candle) -> CandleSeries:
        """The series with one more candle.  Raises ValueError unless it opens after the last one."""
        columns, start, stop = self._columns, self._start, self._stop
        if candle.open_time_ns <= self.last_open_time_ns:
            raise ValueError(f"a candle that opens at {candle.open_time_ns} does not follow the series' last one")
        if stop == columns.capacity or columns.used != stop:
            # Full, or another series already continued from here: go on in storage of our own.
            columns, start, stop = self._copy_tail()
        columns.open_time[stop] = candle.open_time_ns
        columns.open[stop] = candle.open
        columns.high[stop] = candle.high
        columns.low[stop] = candle.low
        columns.close[stop] = candle.close
        columns.volume[stop] = candle.volume
        columns.used = stop + 1
        return self._sharing(columns, start, stop + 1, candle.open_time_ns)

    def _copy_tail(self) -> tuple[_Columns, int, int]:
        rows = min(self.keep, len(self))
        columns = _Columns(2 * self.keep)
        for name in ("open_time", "open", "high", "low", "close", "volume"):
            getattr(columns, name)[:rows] = getattr(self._columns, name)[self._stop - rows : self._stop]
        columns.used = rows
        return columns, 0, rows

    def _sharing(self, columns: _Columns, start: int, stop: int, last_open_time_ns: int) -> CandleSeries:
        series = CandleSeries.__new__(CandleSeries)
        series.keep = self.keep
        series._columns = columns
        series._start = start
        series._stop = stop
        series.last_open_time_ns = last_open_time_ns
        return series

    def tail(self, rows: int) -> CandleSeries:
        """The last `rows` candles (fewer when there are fewer), without copying."""
        start = max(self._start, self._stop - rows)
        return self._sharing(self._columns, start, self._stop, self.last_open_time_ns)

    def continues(self, other: CandleSeries) -> bool:
        """Whether this is `other` with one more candle, in the same storage: quick, and never wrong when True."""
        return self._columns is other._columns and self._stop == other._stop + 1

    def before(self, instant_ns: int) -> CandleSeries:
        """The candles that open before an instant, without copying."""
        stop = self._start + int(np.searchsorted(self.open_time_ns, instant_ns))
        last = int(self._columns.open_time[stop - 1]) if stop > self._start else -1
        return self._sharing(self._columns, self._start, stop, last)

    def without_last(self) -> CandleSeries:
        """The series before its last candle came; of an empty one, the same."""
        stop = max(self._start, self._stop - 1)
        last = int(self._columns.open_time[stop - 1]) if stop > self._start else -1
        return self._sharing(self._columns, self._start, stop, last)

    @property
    def last_close(self) -> float:
        """Close of the last candle, quote units per base unit.  Raises IndexError for an empty series."""
        if self._stop == self._start:
            raise IndexError("an empty series has no last close")
        return float(self._columns.close[self._stop - 1])

    def __len__(self) -> int:
        return self._stop - self._start

    def _view(self, values: NDArray[Any]) -> NDArray[Any]:
        view = values[self._start : self._stop]
        view.flags.writeable = False
        return view

    @property
    def open_time_ns(self) -> IntArray:
        """int64, shape (n,), oldest first, nanoseconds since the epoch."""
        return self._view(self._columns.open_time)

    @property
    def open(self) -> FloatArray:
        """float64, shape (n,), quote units per base unit."""
        return self._view(self._columns.open)

    @property
    def high(self) -> FloatArray:
        """float64, shape (n,), quote units per base unit."""
        return self._view(self._columns.high)

    @property
    def low(self) -> FloatArray:
        """float64, shape (n,), quote units per base unit."""
        return self._view(self._columns.low)

    @property
    def close(self) -> FloatArray:
        """float64, shape (n,), quote units per base unit."""
        return self._view(self._columns.close)

    @property
    def volume(self) -> FloatArray:
        """float64, shape (n,), base units."""
        return self._view(self._columns.volume)

    def columns(self) -> dict[str, FloatArray]:
        """The border towards arrays: open, high, low, close, volume by name."""
        return {name: getattr(self, name) for name in ("open", "high", "low", "close", "volume")}

    def candles(self, instrument: InstrumentId, timeframe: str) -> Iterator[Candle]:
        """The rows as candles of a market."""
        length_ns = timeframe_ns(timeframe)
        opens = self.open_time_ns
        columns = (opens, opens + length_ns, self.open, self.high, self.low, self.close, self.volume)
        # Block by block: the numbers of a whole year would leave the processor's cache before they are used.
        for first in range(0, len(self), _BLOCK):
            rows = (values[first : first + _BLOCK].tolist() for values in columns)
            yield from map(Candle, repeat(instrument), repeat(timeframe), *rows)

    def __iter__(self) -> Iterator[tuple[int, float, float, float, float, float]]:
        return zip(
            self.open_time_ns.tolist(), self.open.tolist(), self.high.tolist(),
            self.low.tolist(), self.close.tolist(), self.volume.tolist(), strict=True,
        )  # fmt: skip
