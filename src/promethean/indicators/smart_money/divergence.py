"""Divergence: a price that goes further at its swings while an oscillator does not."""

from __future__ import annotations

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.smart_money.history import same_length
from promethean.indicators.smart_money.swing_points import swing_points


def divergence(high: FloatArray, low: FloatArray, oscillator: FloatArray, strength: int = 5) -> FloatArray:
    """Regular divergence between the price and an oscillator, on the last two confirmed swings of a side.

    high, low:  float64, shape (n,), oldest first, quote units per base unit; the closes twice to compare closes.
    oscillator: float64, shape (n,), any unit; NaN where it is not known.
    strength:   candles on each side of a swing, at least 1.
    Returns:    float64, shape (n,): +1 bullish (a lower swing low with a higher oscillator) or -1 bearish (a higher
                swing high with a lower oscillator), at the candle with which the second swing becomes known; else 0,
                also when both come at once.  NaN before two swings of a side are known, and where such a pair becomes
                known but the oscillator at it is not.
    Raises:     ValueError when `strength` is below 1 or the arrays differ in length.
    Source:     Wilder (1978), New Concepts in Technical Trading Systems.
    """
    same_length(high, low, oscillator)
    points = swing_points(high, low, strength)
    found = np.full(len(high), np.nan)
    told = []
    for side, prices in ((-1.0, points.high), (1.0, points.low)):
        known = np.flatnonzero(~np.isnan(prices))
        price, value = prices[known], oscillator[known - strength]
        # +1 or -1 for each pair: the price went on, the oscillator went the other way.
        diverges = (-side * np.diff(price) > 0) & (side * np.diff(value) > 0)
        told.append((known[1:], np.where(np.isnan(np.diff(value)), np.nan, side * diverges)))
    begins = min((int(known[0]) for known, _ in told if len(known)), default=len(high))
    found[begins:] = 0
    for known, values in told:
        found[known] += values
    return found
