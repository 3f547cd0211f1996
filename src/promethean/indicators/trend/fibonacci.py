"""Fibonacci retracements and extensions of the last major leg."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator

SWING_STRENGTH = 5  # candles on either side that a swing stands out against

RETRACEMENTS = (0.236, 0.382, 0.5, 0.618, 0.786)
EXTENSIONS = (1.272, 1.618, 2.618)


class Fibonacci(NamedTuple):
    """The leg between two swings and the levels it gives; float64, shape (n,) each.

    swing_high, swing_low: its ends, quote units per base unit.
    direction: 1 when the low came first, so that the leg rises; -1 when the high did.
    retracement_...: prices that far back from the end of the leg towards its beginning, in thousandths of its length.
    extension_...: prices that far from the beginning of the leg, beyond its end, in thousandths of its length.
    """

    swing_high: FloatArray
    swing_low: FloatArray
    direction: FloatArray
    retracement_236: FloatArray
    retracement_382: FloatArray
    retracement_500: FloatArray
    retracement_618: FloatArray
    retracement_786: FloatArray
    extension_1272: FloatArray
    extension_1618: FloatArray
    extension_2618: FloatArray


def fibonacci_window(lookback: int = 100) -> int:
    """Trailing candles that decide the last values, exactly."""
    return lookback


@indicator("fibonacci", window=fibonacci_window)
def fibonacci(high: FloatArray, low: FloatArray, lookback: int = 100) -> Fibonacci:
    """Fibonacci levels of the last major leg: its retracements and its extensions.

    The leg lies between two swings.  A swing high is a candle whose high is above those of the 5 candles on either
    side of it, a swing low one whose low is below theirs; it is confirmed, and counts, 5 candles later.  Major are the
    highest swing high and the lowest swing low of the last `lookback` candles, of equal ones the newer.

    high, low: float64, shape (n,), oldest first, quote units per base unit.
    lookback: candles that hold the swings and what confirms them, at least 11.
    Returns: Fibonacci; NaN, from the first 10 values on, while one of the swings is missing, where both are one
             candle, so that nobody knows which end came first, and where the swing high is not above the swing low.
    Raises:  ValueError when `lookback` is below 11.
    Source:  powers and roots of the golden number 1.618, and a half.  Of a rising leg: retracement r = high - r (high -
             low), extension e = low + e (high - low); a falling one is the mirror.
    """
    if lookback < 2 * SWING_STRENGTH + 1:
        raise ValueError(f"the lookback of Fibonacci levels is at least {2 * SWING_STRENGTH + 1}, not {lookback}")
    from promethean.indicators.trend._kernels import highest_swing

    at_high = highest_swing(high, SWING_STRENGTH, lookback)
    at_low = highest_swing(-low, SWING_STRENGTH, lookback)
    swing_high, swing_low = high[at_high], low[at_low]
    known = (at_high >= 0) & (at_low >= 0) & (at_high != at_low) & (swing_high > swing_low)
    swing_high, swing_low = np.where(known, swing_high, np.nan), np.where(known, swing_low, np.nan)
    direction = np.where(known, np.where(at_low < at_high, 1.0, -1.0), np.nan)
    end = np.where(at_low < at_high, swing_high, swing_low)
    begin = np.where(at_low < at_high, swing_low, swing_high)
    leg = end - begin
    return Fibonacci(
        swing_high,
        swing_low,
        direction,
        *(end - ratio * leg for ratio in RETRACEMENTS),
        *(begin + ratio * leg for ratio in EXTENSIONS),
    )
