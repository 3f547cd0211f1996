"""Compiled loops of the trend family: averages."""

from __future__ import annotations

import math

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.compiled import compiled

BLOCK = 512  # outputs summed side by side: they stay in the nearest cache, and the compiler adds several at once


@compiled
def sliding_mean(values: FloatArray, period: int) -> FloatArray:
    """Mean of the last `period` values, NaN before there are so many and where one of them is NaN.

    Each mean is summed anew, oldest first: a running sum would carry the rounding of every older value along, for ever
    after a spike, and a NaN as well.  Summed are the distances from the newest value, so that equal values have exactly
    their value as mean.
    """
    means = np.full(len(values), np.nan)
    for start in range(period - 1, len(values), BLOCK):
        stop = min(start + BLOCK, len(values))
        newest = values[start:stop]
        sums = np.zeros(stop - start)
        for back in range(period - 1, 0, -1):
            older = values[start - back : stop - back]
            for place in range(len(sums)):
                sums[place] += older[place] - newest[place]
        for place in range(len(sums)):
            means[start + place] = newest[place] + sums[place] / period
    return means


@compiled
def exponential_mean(values: FloatArray, period: int) -> FloatArray:
    """Mean with weight 2 / (period + 1) for the newest value, begun with the mean of the first `period` values.

    NaN at the beginning of the values are passed over: the mean begins after them.
    """
    means = np.full(len(values), np.nan)
    first = 0
    while first < len(values) and math.isnan(values[first]):
        first += 1
    begin = first + period - 1
    if begin >= len(values):
        return means
    mean = 0.0
    for place in range(first, begin):
        mean += values[place] - values[begin]
    mean = values[begin] + mean / period
    means[begin] = mean
    weight = 2.0 / (period + 1)
    for place in range(begin + 1, len(values)):
        mean += weight * (values[place] - mean)
        means[place] = mean
    return means
