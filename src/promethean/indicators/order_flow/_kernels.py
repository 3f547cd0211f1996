"""Compiled loops over order books."""

from __future__ import annotations

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.indicators.compiled import compiled

UNKNOWN = -1.0


@compiled
def size_at(levels: FloatArray, price: float, sign: int) -> float:
    """Size shown at a price on one side of one book; UNKNOWN where it lies beyond the levels that are shown.

    levels: float64, shape (levels, 2), best first, NaN where the side has no more of them: then all of it is shown.
    sign:   +1 for bids, -1 for asks.
    """
    for level in range(len(levels)):
        here = levels[level, 0]
        if here == price:
            return float(levels[level, 1])
        if np.isnan(here) or (price - here) * sign > 0:
            return 0.0
    return UNKNOWN


@compiled
def sizes_at(side: FloatArray, price: float, sign: int) -> FloatArray:
    """`size_at` for every snapshot."""
    sizes = np.empty(len(side))
    for row in range(len(side)):
        sizes[row] = size_at(side[row], price, sign)
    return sizes


@compiled
def ordinary_sizes(bids: FloatArray, asks: FloatArray, near: float) -> tuple[FloatArray, FloatArray]:
    """Mid price of every snapshot, and the median size of the levels of both sides within `near` of it.

    NaN where a side is empty.
    """
    rows = len(bids)
    mids, medians = np.full(rows, np.nan), np.full(rows, np.nan)
    sizes = np.empty(bids.shape[1] + asks.shape[1])
    for row in range(rows):
        mid = (bids[row, 0, 0] + asks[row, 0, 0]) / 2
        count = 0
        for levels in (bids[row], asks[row]):
            for level in range(len(levels)):
                if abs(levels[level, 0] - mid) <= near * mid:
                    sizes[count] = levels[level, 1]
                    count += 1
        mids[row] = mid
        if count > 0:
            medians[row] = np.median(sizes[:count])
    return mids, medians


@compiled
def short_lives(
    at_ns: IntArray,
    side: FloatArray,
    mids: FloatArray,
    medians: FloatArray,
    sign: int,
    multiple: float,
    near: float,
    life_ns: int,
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Levels that rise above the median size and fall back to it within `life_ns`, large and near the mid in between.

    Gives first and last row (the one in which it is gone), price and largest size of each.
    """
    firsts, lasts = [0 for _ in range(0)], [0 for _ in range(0)]  # so the compiler knows the types of empty lists
    prices, largest = [0.0 for _ in range(0)], [0.0 for _ in range(0)]
    for row in range(1, len(side)):
        for level in range(side.shape[1]):
            price, size = side[row, level, 0], side[row, level, 1]
            if not size > medians[row]:
                continue
            earlier = size_at(side[row - 1], price, sign)
            if earlier == UNKNOWN or not earlier <= medians[row - 1]:
                continue
            large, most = False, 0.0
            for later in range(row, len(side)):
                if at_ns[later] - at_ns[row] > life_ns:
                    break
                size = size_at(side[later], price, sign)
                if size == UNKNOWN or np.isnan(medians[later]):
                    break
                if size <= medians[later]:
                    if large:
                        firsts.append(row)
                        lasts.append(later)
                        prices.append(price)
                        largest.append(most)
                    break
                most = max(most, size)
                if size >= multiple * medians[later] and abs(price - mids[later]) <= near * mids[later]:
                    large = True
    return np.array(firsts), np.array(lasts), np.array(prices), np.array(largest)
