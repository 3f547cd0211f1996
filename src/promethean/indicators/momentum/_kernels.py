"""Compiled loops of the momentum family: the mean distance of values from their mean."""

from __future__ import annotations

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.compiled import compiled
from promethean.indicators.trend._kernels import BLOCK


@compiled
def sliding_distance(values: FloatArray, means: FloatArray, period: int) -> FloatArray:
    """Mean distance of the last `period` values from their mean, each summed anew, NaN before there are so many."""
    if len(means) != len(values):
        raise ValueError("values and means differ in length")
    distances = np.full(len(values), np.nan)
    for start in range(period - 1, len(values), BLOCK):
        stop = min(start + BLOCK, len(values))
        mean = means[start:stop]
        sums = np.zeros(stop - start)
        for back in range(period - 1, -1, -1):
            older = values[start - back : stop - back]
            for place in range(len(sums)):
                sums[place] += abs(older[place] - mean[place])
        for place in range(len(sums)):
            distances[start + place] = sums[place] / period
    return distances
