"""What happened inside candles, from finer ones or from trades: it decides what a candle touched first (SPEC 7.8)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from promethean.domain.candles import CandleSeries, FloatArray, IntArray

ROUNDING = 1e-9  # by which the volumes of the parts may differ from their candle's: sums of decimals in binary


class Range(NamedTuple):
    """A part of a candle: its last nanosecond, where it opened, and how far it went; of a trade one price."""

    at_ns: int
    open: float
    low: float
    high: float


class Intrabar:
    """The ranges of finer candles, or single trades, in their order.

    at_ns:  int64, shape (n,), strictly rising: the last nanosecond of each; what meets it is booked there.
    open, low, high, volume: float64, shape (n,), quote units per base unit and base units; of a trade one price.
    """

    def __init__(
        self, at_ns: IntArray, open: FloatArray, low: FloatArray, high: FloatArray, volume: FloatArray
    ) -> None:
        self.at_ns, self.open, self.low, self.high, self.volume = at_ns, open, low, high, volume
        self._within: tuple[CandleSeries, int, IntArray] | None = None

    @classmethod
    def of_candles(cls, candles: CandleSeries, length_ns: int) -> Intrabar:
        """The ranges of finer candles of this length."""
        c = candles
        return cls(c.open_time_ns + length_ns - 1, c.open, c.low, c.high, c.volume)

    @classmethod
    def of_trades(cls, at_ns: IntArray, price: FloatArray, quantity: FloatArray) -> Intrabar:
        """Single trades, oldest first; those of one instant are told a nanosecond apart.  at_ns: int64, not falling."""
        first = np.searchsorted(at_ns, at_ns)  # of the same instant
        return cls(at_ns + 1 + np.arange(len(at_ns)) - first, price, price, price, quantity)

    def __len__(self) -> int:
        return len(self.at_ns)

    def __repr__(self) -> str:
        return f"Intrabar({len(self)} ranges, {self.sha256[:16]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intrabar) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __reduce__(self) -> tuple[type[Intrabar], tuple[object, ...]]:
        return Intrabar, self._columns

    @property
    def _columns(self) -> tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        return self.at_ns, self.open, self.low, self.high, self.volume

    @cached_property
    def sha256(self) -> str:
        """Of everything in it, in hexadecimal."""
        return hashlib.sha256(b"".join(np.ascontiguousarray(column).tobytes() for column in self._columns)).hexdigest()

    @cached_property
    def shortest_ns(self) -> int:
        """The shortest time from one to the next; 0 of fewer than two."""
        return int(np.diff(self.at_ns).min()) if len(self) > 1 else 0

    def ranges(self, start_ns: int, end_ns: int, low: float, high: float, volume: float) -> Sequence[Range]:
        """The parts of one candle in their order.

        They decide where they come to the same low, high and volume as the candle; where some are missing, or others,
        nothing is known of the order: none.
        """
        first, last = np.searchsorted(self.at_ns, (start_ns, end_ns)).tolist()
        if first == last or self.low[first:last].min() != low or self.high[first:last].max() != high:
            return ()
        if abs(float(np.add.reduce(self.volume[first:last])) - volume) > ROUNDING * volume:
            return ()
        rows = zip(*(column[first:last].tolist() for column in self._columns[:4]), strict=True)
        return tuple(Range(*row) for row in rows)

    def within(self, candles: CandleSeries, length_ns: int) -> IntArray:
        """Which of them are `ranges` of each candle.

        Returns: int64, shape (n, 2): the number of the first one, and of the first one after; twice the same for none.
        """
        if self._within is None or self._within[0] is not candles or self._within[1] != length_ns:
            opens = candles.open_time_ns
            first, last = np.searchsorted(self.at_ns, opens), np.searchsorted(self.at_ns, opens + length_ns)
            known = np.flatnonzero(last > first)
            if len(known):
                # Between the pairs lie ranges of no candle: every second one is of one.
                places = np.column_stack((first[known], last[known])).ravel()
                places = places[:-1] if places[-1] == len(self) else places
                low = np.minimum.reduceat(self.low, places)[::2]
                high = np.maximum.reduceat(self.high, places)[::2]
                traded, whole = np.add.reduceat(self.volume, places)[::2], candles.volume[known]
                fits = (low == candles.low[known]) & (high == candles.high[known])
                known = known[fits & (np.abs(traded - whole) <= ROUNDING * whole)]
            decided = np.zeros(len(opens), np.bool_)
            decided[known] = True
            self._within = candles, length_ns, np.column_stack((first, np.where(decided, last, first)))
        return self._within[2]

    def refined(self, finer: Intrabar, length_ns: int) -> Intrabar:
        """With the ranges of finer data in the place of each of these, where they decide.

        length_ns: of these ranges.
        """
        columns = (self.open, self.high, self.low, self.open, self.volume)  # nobody asks for the close
        own = CandleSeries.from_columns(self.at_ns - length_ns + 1, columns, keep=len(self))
        within = finer.within(own, length_ns)
        counts = np.maximum(within[:, 1] - within[:, 0], 1)
        rows = np.repeat(np.arange(len(self)), counts)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        from_finer = (within[:, 1] > within[:, 0])[rows]
        source = np.where(from_finer, within[rows, 0] + place, 0)
        pairs = zip(finer._columns, self._columns, strict=True)
        return Intrabar(*(np.where(from_finer, fine[source], rough[rows]) for fine, rough in pairs))
