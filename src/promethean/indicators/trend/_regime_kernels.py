"""Compiled loops of the regime: a rank, the range of a day, and names that change slowly."""

from __future__ import annotations

import math

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.indicators.compiled import compiled
from promethean.indicators.trend._kernels import BLOCK


@compiled
def share_below(values: FloatArray, lookback: int, margin: float) -> FloatArray:
    """Share of the other `lookback` - 1 last values that lie below the newest by more than a `margin` of it.

    NaN before there are so many, and where one of them is NaN.
    """
    shares = np.full(len(values), np.nan)
    for start in range(lookback - 1, len(values), BLOCK):
        stop = min(start + BLOCK, len(values))
        newest = values[start:stop]
        counts = np.zeros(stop - start)
        known = np.zeros(stop - start)
        for back in range(1, lookback):
            older = values[start - back : stop - back]
            for place in range(len(counts)):
                counts[place] += 1.0 if older[place] < newest[place] * (1.0 - margin) else 0.0
                known[place] += 1.0 if older[place] >= 0.0 else 0.0
        for place in range(len(counts)):
            if known[place] == lookback - 1 and not math.isnan(newest[place]):
                shares[start + place] = counts[place] / (lookback - 1)
    return shares


@compiled
def trailing_range(open_time_ns: IntArray, high: FloatArray, low: FloatArray, length_ns: int) -> FloatArray:
    """Highest high less lowest low of the candles that opened in the last `length_ns`, the newest one included.

    NaN until a candle is there that opened so long ago.
    """
    ranges = np.full(len(high), np.nan)
    # Candles that are the highest, and the lowest, of all since: the first recent enough is the answer.
    highs, lows = np.empty(len(high), np.int64), np.empty(len(high), np.int64)
    high_head = high_tail = low_head = low_tail = 0
    for place in range(len(high)):
        while high_tail > high_head and high[highs[high_tail - 1]] <= high[place]:
            high_tail -= 1
        highs[high_tail] = place
        high_tail += 1
        while low_tail > low_head and low[lows[low_tail - 1]] >= low[place]:
            low_tail -= 1
        lows[low_tail] = place
        low_tail += 1
        before = open_time_ns[place] - length_ns
        while open_time_ns[highs[high_head]] <= before:
            high_head += 1
        while open_time_ns[lows[low_head]] <= before:
            low_head += 1
        if open_time_ns[0] <= before:
            ranges[place] = high[highs[high_head]] - low[lows[low_head]]
    return ranges


@compiled
def settled(codes: FloatArray, memory: int, otherwise: float) -> FloatArray:
    """The last code that two values in a row agreed on, among the `memory` last ones; NaN where the code is.

    Where none agreed: the first known code while fewer than `memory` are known, then `otherwise`.
    """
    found = np.full(len(codes), np.nan)
    first = agreed = -1
    for place in range(len(codes)):
        if math.isnan(codes[place]):
            first = agreed = -1
            continue
        if first < 0:
            first = place
        elif codes[place] == codes[place - 1]:
            agreed = place
        if agreed >= 0 and agreed - 1 > place - memory:
            found[place] = codes[agreed]
        elif place - first + 1 < memory:
            found[place] = codes[first]
        else:
            found[place] = otherwise
    return found
