"""Compiled loops of the volatility family: the deviation of values from their mean."""

from __future__ import annotations

import math

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.compiled import compiled
from promethean.indicators.trend._kernels import BLOCK


@compiled
def sliding_deviation(values: FloatArray, means: FloatArray, period: int) -> FloatArray:
    """Population standard deviation of the last `period` values from their mean, NaN before there are so many.

    Each is summed anew, oldest first, from the distances themselves: the difference of two running sums of squares
    would lose what it looks for whenever the price is large and moves little.
    """
    if len(means) != len(values):
        raise ValueError("values and means differ in length")
    deviations = np.full(len(values), np.nan)
    for start in range(period - 1, len(values), BLOCK):
        stop = min(start + BLOCK, len(values))
        mean = means[start:stop]
        squares = np.zeros(stop - start)
        for back in range(period - 1, -1, -1):
            older = values[start - back : stop - back]
            for place in range(len(squares)):
                distance = older[place] - mean[place]
                squares[place] += distance * distance
        for place in range(len(squares)):
            deviations[start + place] = math.sqrt(squares[place] / period)
    return deviations
