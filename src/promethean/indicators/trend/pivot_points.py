"""Pivot points of the previous day."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.instants import DAY_NS
from promethean.indicators.catalogue import indicator

KINDS = ("classic", "fibonacci", "camarilla", "woodie")

MINUTES_A_DAY = 1440  # candles of a day in the shortest timeframe


class PivotPoints(NamedTuple):
    """The pivot, three resistances above it and three supports below; quote units per base unit, float64, (n,) each."""

    pivot: FloatArray
    r1: FloatArray
    r2: FloatArray
    r3: FloatArray
    s1: FloatArray
    s2: FloatArray
    s3: FloatArray


def pivot_points_window() -> int:
    """Trailing candles that decide the last values, exactly: two days of minutes, and one candle from before them.

    The one before shows that the earlier day is there from its first candle on.
    """
    return 2 * MINUTES_A_DAY + 1


@indicator("pivot_points", window=pivot_points_window)
def pivot_points(
    open_time_ns: IntArray, high: FloatArray, low: FloatArray, close: FloatArray, kind: str = "classic"
) -> PivotPoints:
    """Pivot points: levels of a day from the range and the close of the day before, both in UTC.

    open_time_ns: int64, shape (n,), rising; nanoseconds since the epoch, UTC, of candles of at most one day.
    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    kind:    classic, fibonacci, camarilla or woodie.
    Returns: PivotPoints, the same for all candles that open on one day.  NaN where the day before has no candle, and
             where it is the first one and its first candle does not open at 00:00: part of it may be missing.
    Raises:  ValueError for an unknown kind.
    Source:  floor traders' pivots from the day's H, L, C with P = (H + L + C) / 3:
             classic    R1 = 2 P - L, R2 = P + (H - L), R3 = H + 2 (P - L); S1 = 2 P - H, S2 = P - (H - L),
                        S3 = L - 2 (H - P);
             woodie     the same with P = (H + L + 2 C) / 4;
             fibonacci  P +- 0.382, 0.618, 1 times (H - L);
             camarilla  C +- 1.1 / 12, 1.1 / 6, 1.1 / 4 times (H - L) (Stott).
    """
    if kind not in KINDS:
        raise ValueError(f"pivot points are {', '.join(KINDS)}, not {kind!r}")
    days = open_time_ns // DAY_NS
    starts = np.flatnonzero(np.diff(days, prepend=days[:1] - 1))
    if not len(starts):
        return PivotPoints(*(np.full(len(high), np.nan) for _ in PivotPoints._fields))
    day_high = np.maximum.reduceat(high, starts)
    day_low = np.minimum.reduceat(low, starts)
    day_close = close[np.append(starts[1:], len(close)) - 1]
    # The levels of a day serve the next one, if that is the next with candles; those of the last day serve none yet.
    follows = np.diff(days[starts]) == 1
    if open_time_ns[0] % DAY_NS:
        follows[:1] = False
    lengths = np.diff(starts, append=len(high))

    def of_each_candle(levels: FloatArray) -> FloatArray:
        return np.repeat(np.append(np.nan, np.where(follows, levels[:-1], np.nan)), lengths)

    return PivotPoints(*map(of_each_candle, _levels(kind, day_high, day_low, day_close)))


def _levels(kind: str, high: FloatArray, low: FloatArray, close: FloatArray) -> tuple[FloatArray, ...]:
    """Pivot, r1, r2, r3, s1, s2, s3 by the range and the close of a day."""
    width = high - low
    pivot = (high + low + close) / 3
    if kind == "fibonacci":
        steps = (0.382, 0.618, 1.0)
        return (pivot, *(pivot + step * width for step in steps), *(pivot - step * width for step in steps))
    if kind == "camarilla":
        steps = (1.1 / 12, 1.1 / 6, 1.1 / 4)
        return (pivot, *(close + step * width for step in steps), *(close - step * width for step in steps))
    if kind == "woodie":
        pivot = (high + low + 2 * close) / 4
    return (
        pivot,
        2 * pivot - low,
        pivot + width,
        high + 2 * (pivot - low),
        2 * pivot - high,
        pivot - width,
        low - 2 * (high - pivot),
    )
