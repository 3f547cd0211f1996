"""Funding of perpetual futures: what the holders of one side pay to those of the other, every few hours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property

import numpy as np
from msgspec import Struct

from promethean.domain.candles import CandleSeries, FloatArray, IntArray
from promethean.domain.ids import InstrumentId


class FundingDue(Struct, frozen=True):
    """One funding instant.

    at_ns:        the instant.
    due_ns:       open of the first candle from then on; who holds a position before it pays.
    funding_rate: fraction of the notional that longs pay to shorts; below zero shorts pay.
    mark_price:   quote units per base unit: the last close before the instant.
    """

    at_ns: int
    due_ns: int
    funding_rate: Decimal
    mark_price: Decimal


class FundingTable:
    """The funding instants of one perpetual that fall between the first and the last candle of a recording.

    at_ns, due_ns: int64, shape (n,), rising.  funding_rate, mark_price: float64, shape (n,); as in `FundingDue`.
    """

    def __init__(
        self,
        instrument: InstrumentId,
        at_ns: IntArray,
        due_ns: IntArray,
        funding_rate: FloatArray,
        mark_price: FloatArray,
    ) -> None:
        self.instrument = instrument
        self.at_ns, self.due_ns, self.funding_rate, self.mark_price = at_ns, due_ns, funding_rate, mark_price
        self._owed: tuple[CandleSeries, FloatArray] | None = None

    @classmethod
    def at_candles(
        cls, instrument: InstrumentId, at_ns: IntArray, funding_rate: FloatArray, candles: CandleSeries
    ) -> FundingTable:
        """The instants of a series of rates at recorded candles; those without a candle before and after are left out.

        at_ns: int64, shape (n,), strictly rising.  funding_rate: float64, shape (n,), fractions.
        """
        place = np.searchsorted(candles.open_time_ns, at_ns)
        inside = (place > 0) & (place < len(candles))
        place = place[inside]
        return cls(
            instrument, at_ns[inside], candles.open_time_ns[place], funding_rate[inside], candles.close[place - 1]
        )

    def __len__(self) -> int:
        return len(self.at_ns)

    def __repr__(self) -> str:
        return f"FundingTable({self.instrument}, {len(self)} instants, {self.sha256[:16]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FundingTable) and self.sha256 == other.sha256

    def __reduce__(self) -> tuple[type[FundingTable], tuple[object, ...]]:
        return FundingTable, (self.instrument, self.at_ns, self.due_ns, self.funding_rate, self.mark_price)

    def __hash__(self) -> int:
        return hash(self.sha256)

    @cached_property
    def sha256(self) -> str:
        """Of everything in it, in hexadecimal."""
        columns = (self.at_ns, self.due_ns, self.funding_rate, self.mark_price)
        content = b"".join(np.ascontiguousarray(column).tobytes() for column in columns)
        return hashlib.sha256(self.instrument.encode() + content).hexdigest()

    @cached_property
    def _by_candle(self) -> Mapping[int, Sequence[FundingDue]]:
        found: dict[int, list[FundingDue]] = {}
        columns = (self.at_ns, self.due_ns, self.funding_rate, self.mark_price)
        for at_ns, due_ns, rate, mark in zip(*(column.tolist() for column in columns), strict=True):
            due = FundingDue(at_ns, due_ns, Decimal(repr(rate)), Decimal(repr(mark)))
            found.setdefault(due_ns, []).append(due)
        return found

    def due_at(self, open_time_ns: int) -> Sequence[FundingDue]:
        """What is paid before the candle that opens then trades, oldest first."""
        return self._by_candle.get(open_time_ns, ())

    def places(self, candles: CandleSeries) -> IntArray:
        """The numbers of the candles before which something is paid, rising; of candles that are some of its own."""
        found: IntArray = np.flatnonzero(np.isin(candles.open_time_ns, self.due_ns))
        return found

    def owed(self, candles: CandleSeries) -> FloatArray:
        """What a long position of one base unit, held since before the first, has paid before each candle trades.

        Returns: float64, shape (n,), quote units.
        """
        if self._owed is None or self._owed[0] is not candles:
            times = candles.open_time_ns
            place = np.searchsorted(times, self.due_ns)
            inside = place < len(times)
            inside[inside] = times[place[inside]] == self.due_ns[inside]
            paid = np.zeros(len(times))
            np.add.at(paid, place[inside], (self.funding_rate * self.mark_price)[inside])
            self._owed = candles, np.cumsum(paid, out=paid)
        return self._owed[1]
