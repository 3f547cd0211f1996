"""Relative strength index."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator

BoolArray: TypeAlias = NDArray[np.bool_]


STILL_PERIODS = 10  # after so many periods without one change there is no strength to speak of


def rsi_window(period: int = 14) -> int:
    """Trailing closes that decide the last value.

    Wilder's weight of anything older is below e**-63; the newest change, at most 10 periods old, keeps e**-10.  So an
    old change may be 10**10 times as large and still moves the value by less than 1e-12 of its range.
    """
    return 64 * period + 1


@indicator("rsi", window=rsi_window)
def rsi(close: FloatArray, period: int = 14) -> FloatArray:
    """Relative strength index with Wilder's smoothing.

    close:   float64, shape (n,), oldest first, quote units per base unit.
    period:  candles in the average, at least 1.
    Returns: float64, shape (n,), in [0, 100]; the first `period` values are NaN, and so are those before the first
             change of the price and those after it stood still for more than ten periods: 0 / 0 is no strength.
    Raises:  ValueError when `period` is below 1.
    Source:  Wilder (1978), New Concepts in Technical Trading Systems:
             RSI = 100 - 100 / (1 + U / D), with U and D the smoothed gains and losses.
    """
    if period < 1:
        raise ValueError(f"the period of an RSI is at least 1, not {period}")
    if len(close) <= period:
        return np.full(len(close), np.nan)
    if period == 1:
        # TA-Lib starts at 2.  With one candle in the average, U or D is the last change itself.
        change = np.diff(close, prepend=np.nan)
        return np.where(change > 0, 100.0, np.where(change < 0, 0.0, np.nan))
    import talib  # brings pandas along: a second that only those wait who compute whole arrays

    values: FloatArray = talib.RSI(close, period)
    changed = close[1:] != close[:-1]
    longest = STILL_PERIODS * period
    if len(changed) - np.count_nonzero(changed) > longest or not changed[:period].any():
        values[1:][_still(changed, longest)] = np.nan  # TA-Lib says 0 where nothing ever moved: oversold
    return values


def _still(changed: BoolArray, longest: int) -> BoolArray:
    """Where the last change lies more than `longest` places back, or never came."""
    places = np.arange(len(changed))
    last = np.maximum.accumulate(np.where(changed, places, -longest - 1))
    return places - last > longest


class RsiState(NamedTuple):
    """The smoothed gains and losses after a close: what the next one continues, one step instead of a whole window.

    close: the last one, quote units per base unit.  up, down: smoothed gains and losses.
    still: closes since the price last changed.
    """

    close: float
    up: float
    down: float
    still: int

    @classmethod
    def of(cls, closes: Sequence[float], period: int) -> RsiState:
        """The state after these closes, oldest first.  Raises ValueError unless there are more than `period`."""
        if len(closes) <= period:
            raise ValueError(f"an RSI of period {period} needs more closes than {len(closes)}")
        changes = [now - before for before, now in pairwise(closes[: period + 1])]
        up = sum(change for change in changes if change > 0) / period
        down = -sum(change for change in changes if change < 0) / period
        still = next((n for n, change in enumerate(reversed(changes)) if change), STILL_PERIODS * period + 1)
        state = cls(closes[period], up, down, still)
        for close in closes[period + 1 :]:
            state = state.after(close, period)
        return state

    def after(self, close: float, period: int) -> RsiState:
        """The state after one more close."""
        change = close - self.close
        if change > 0:
            return RsiState(close, (self.up * (period - 1) + change) / period, self.down * (period - 1) / period, 0)
        if change < 0:
            return RsiState(close, self.up * (period - 1) / period, (self.down * (period - 1) - change) / period, 0)
        return RsiState(close, self.up * (period - 1) / period, self.down * (period - 1) / period, self.still + 1)

    def value(self, period: int) -> float:
        """The RSI, in [0, 100]; NaN after the price stood still for more than ten periods."""
        if self.still > STILL_PERIODS * period or self.up + self.down == 0:
            return math.nan
        return 100.0 * self.up / (self.up + self.down)
