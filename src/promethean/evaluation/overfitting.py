"""How far the best of many parameter sets is luck: probability of overfitting, stability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from promethean.domain.candles import FloatArray

BLOCKS = 16
BLOCK_DAYS_MIN = 2
FIGURES_AT_ONCE = 4_000_000  # ratios that are held in memory together
GROUPS = 5


def block_sums(daily: FloatArray) -> FloatArray:
    """Count, sum and sum of squares of the returns in 16 blocks of days, shape (16, 3); no rows for too few days."""
    if len(daily) < BLOCKS * BLOCK_DAYS_MIN:
        return np.empty((0, 3))
    blocks = np.array_split(daily, BLOCKS)
    return np.array([[len(block), block.sum(), (block**2).sum()] for block in blocks])


def probability_of_overfitting(sums: FloatArray) -> float | None:
    """How often the set that is best on half of the blocks is below the median of all sets on the other half.

    sums:    of each set, as `block_sums` gives them, shape (sets, 16, 3).
    Returns: between 0 and 1; None for fewer than two sets or too few days.
    Source:  Bailey, Borwein, Lopez de Prado, Zhu (2017), The Probability of Backtest Overfitting: combinatorially
             symmetric cross-validation by the Sharpe ratio.
    """
    if len(sums) < 2 or sums.shape[1] != BLOCKS:
        return None
    halves = np.zeros((math.comb(BLOCKS, BLOCKS // 2), BLOCKS))
    for row, chosen in zip(halves, combinations(range(BLOCKS), BLOCKS // 2), strict=True):
        row[list(chosen)] = 1.0
    below = 0.0
    at_once = max(1, FIGURES_AT_ONCE // len(sums))
    for start in range(0, len(halves), at_once):
        chosen_half = halves[start : start + at_once]
        inside, outside = _ratios(chosen_half, sums), _ratios(1.0 - chosen_half, sums)
        best = np.argmax(inside, axis=1)
        shown = outside[np.arange(len(best)), best]
        # Ties share their places: a set that is like all others is in the middle.
        rank = (outside < shown[:, None]).sum(axis=1) + ((outside == shown[:, None]).sum(axis=1) + 1) / 2
        below += float(np.count_nonzero(rank / (len(sums) + 1) < 0.5))
        below += 0.5 * float(np.count_nonzero(rank / (len(sums) + 1) == 0.5))
    return below / len(halves)


def _ratios(half: FloatArray, sums: FloatArray) -> FloatArray:
    """Sharpe ratios on the chosen blocks, shape (halves, sets); zero where nothing differs."""
    count, total, squares = (half @ sums[:, :, place].T for place in range(3))
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0.0)
    noise = 1e-18  # below, the squares of floats leave a variance that is none
    return np.where(variance > noise, mean / np.sqrt(np.where(variance > noise, variance, 1.0)), 0.0)


def importance(places: Sequence[int], values: FloatArray) -> float:
    """Share of the differences between sets that one parameter explains, 0 to 1.

    places: the place of its value in each set; neighbouring values form at most five groups.
    values: the objective of each set.
    Source: Kelley's epsilon squared: the share between groups, less what chance gives.
    """
    count = len(values)
    edges = np.unique(np.quantile(places, np.linspace(0, 1, GROUPS + 1)[1:-1], method="nearest"))
    groups = np.searchsorted(edges, places, side="left")
    kinds = np.unique(groups)
    around = float(np.sum((values - values.mean()) ** 2))
    if count <= len(kinds) or not around > 0:
        return 0.0
    inside = sum(float(np.sum((values[groups == kind] - values[groups == kind].mean()) ** 2)) for kind in kinds)
    return max(0.0, 1.0 - (inside / (count - len(kinds))) / (around / (count - 1)))
