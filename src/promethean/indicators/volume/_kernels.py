"""Compiled loops of the volume family."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.indicators.compiled import compiled

Moments: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
"""Weight, weighted mean, and the weighted squares of the distance from that mean."""

EXACTNESS = 1e-12  # bins that hold the same volume may differ by this in binary


@compiled
def merge(
    weight: float, mean: float, squares: float, more: float, its_mean: float, its_squares: float
) -> tuple[float, float, float]:
    """The moments of two lots together.

    Source: Chan, Golub, LeVeque (1983), Algorithms for Computing the Sample Variance.  Every term of the squares is
            positive, so nothing cancels, wherever the prices lie.
    """
    if more == 0.0:
        return weight, mean, squares
    if weight == 0.0:
        return more, its_mean, its_squares
    together = weight + more
    step = its_mean - mean
    share = more / together
    return together, mean + step * share, squares + its_squares + step * step * weight * share


@compiled
def moments_since(
    period: IntArray, weight: FloatArray, mean: FloatArray, squares: FloatArray, carry: FloatArray
) -> Moments:
    """Moments of the rows since their period began; a row with a negative period is left out and has weight 0.

    carry: float64, shape (4,): period, weight, mean and squares so far; changed in place.
    """
    rows = len(period)
    weights, means, deviations = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    now = int(carry[0])
    total, centre, spread = carry[1], carry[2], carry[3]
    for row in range(rows):
        if period[row] < 0:
            continue
        if period[row] != now:
            now = period[row]
            total, centre, spread = 0.0, 0.0, 0.0
        total, centre, spread = merge(total, centre, spread, weight[row], mean[row], squares[row])
        weights[row], means[row], deviations[row] = total, centre, spread
    carry[0], carry[1], carry[2], carry[3] = now, total, centre, spread
    return weights, means, deviations


@compiled
def moments_over(minute: IntArray, weight: FloatArray, mean: FloatArray, squares: FloatArray, length: int) -> Moments:
    """Moments of the rows of the last `length` minutes, the row's own included.

    Time is cut into blocks of `length` minutes, so a window is the end of one block and the beginning of the next.
    Both are added up once: constant work a row, no subtraction, and the same bits wherever the rows begin.
    """
    rows = len(minute)
    weights, means, deviations = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    end_weight, end_mean, end_squares = np.zeros(rows), np.zeros(rows), np.zeros(rows)  # from a row to its block's end
    begin, oldest = 0, 0
    total, centre, spread = 0.0, 0.0, 0.0
    for row in range(rows):
        if row > 0 and minute[row] // length != minute[row - 1] // length:
            total, centre, spread = 0.0, 0.0, 0.0
            for back in range(row - 1, begin - 1, -1):
                total, centre, spread = merge(weight[back], mean[back], squares[back], total, centre, spread)
                end_weight[back], end_mean[back], end_squares[back] = total, centre, spread
            begin = row
            total, centre, spread = 0.0, 0.0, 0.0
        total, centre, spread = merge(total, centre, spread, weight[row], mean[row], squares[row])
        while minute[oldest] <= minute[row] - length:
            oldest += 1
        if oldest < begin:
            weights[row], means[row], deviations[row] = merge(
                end_weight[oldest], end_mean[oldest], end_squares[oldest], total, centre, spread
            )
        else:
            weights[row], means[row], deviations[row] = total, centre, spread
    return weights, means, deviations


@compiled
def fill_nodes(
    high: FloatArray, low: FloatArray, volume: FloatArray, start: int, stop: int, nodes: FloatArray
) -> tuple[float, float, float]:
    """Spread the volume of the rows start..stop over `nodes`, equal bins between their lowest low and highest high.

    Gives lowest low, highest high and the volume; the last is NaN when a price or a volume is not known.
    """
    nodes[:] = 0.0
    bottom, top, total = low[start], high[start], 0.0
    for row in range(start, stop):
        bottom, top, total = min(bottom, low[row]), max(top, high[row]), total + volume[row]
        if not low[row] <= high[row]:
            return bottom, top, np.nan
    if not (np.isfinite(top - bottom) and np.isfinite(total)):
        return bottom, top, np.nan
    bins = len(nodes)
    width = (top - bottom) / bins
    scale = 1.0 / width
    if not np.isfinite(scale):  # one price, or a range that cannot be cut
        nodes[0] = total
        return bottom, top, total
    for row in range(start, stop):
        # In bins from the bottom; the top edge itself belongs to the last bin.
        begin, end = (low[row] - bottom) * scale, (high[row] - bottom) * scale
        first, last = min(int(begin), bins - 1), min(int(end), bins - 1)
        if first == last:
            nodes[first] += volume[row]
            continue
        a_bin = volume[row] / (end - begin)
        nodes[first] += a_bin * (first + 1 - begin)
        for node in range(first + 1, last):
            nodes[node] += a_bin
        nodes[last] += a_bin * (end - last)
    return bottom, top, total


@compiled
def value_nodes(nodes: FloatArray, value_area: float) -> tuple[int, int, int]:
    """Indices of the fullest node, and of the lowest and the highest node of the value area around it."""
    fullest, total = 0, 0.0
    for node in range(len(nodes)):
        total += nodes[node]
        if nodes[node] > nodes[fullest] * (1 + EXACTNESS):
            fullest = node
    lowest, highest, inside = fullest, fullest, nodes[fullest]
    while inside < value_area * total * (1 - EXACTNESS) and (lowest > 0 or highest < len(nodes) - 1):
        above = nodes[highest + 1] if highest < len(nodes) - 1 else -1.0
        below = nodes[lowest - 1] if lowest > 0 else -1.0
        if above >= below * (1 - EXACTNESS):
            highest += 1
            inside += above
        else:
            lowest -= 1
            inside += below
    return fullest, lowest, highest


@compiled
def profiles(
    high: FloatArray, low: FloatArray, volume: FloatArray, limit: int, bins: int, value_area: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Point of control and borders of the value area over the trailing `limit` rows; NaN before, and without volume."""
    rows = len(high)
    poc, area_high, area_low = np.full(rows, np.nan), np.full(rows, np.nan), np.full(rows, np.nan)
    nodes = np.zeros(bins)
    for row in range(limit - 1, rows):
        bottom, top, total = fill_nodes(high, low, volume, row - limit + 1, row + 1, nodes)
        if not total > 0.0:
            continue
        fullest, lowest, highest = value_nodes(nodes, value_area)
        width = (top - bottom) / bins
        poc[row] = bottom + (fullest + 0.5) * width
        area_low[row] = bottom + lowest * width
        area_high[row] = bottom + (highest + 1) * width
    return poc, area_high, area_low
