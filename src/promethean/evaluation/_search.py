"""The next candle at which something can happen: what lets the compiled loop pass over all the others."""

from __future__ import annotations

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.compiled import inlined, lean
from promethean.strategies.arrays import CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT, FlagArray

LEAVES_LONG, LEAVES_SHORT = np.int8(CLOSES_ALL | CLOSES_LONG), np.int8(CLOSES_ALL | CLOSES_SHORT)
# The searches below run over every candle, a block at a time: nearly always none of it matters.  Unsigned numbers
# spare the loops the question whether an index is negative, and flags that are joined and not asked one by one are
# joined sixteen at once.

BLOCK = np.uint64(16)
ONE = np.uint64(1)
SELLS, BUYS = np.int8(-128), np.int8(1)  # bits of -1 and of +1; the second one is in both, and its block is looked at


def extremes(low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lowest low and highest high of each whole block of candles, float64, shape (n // 16,)."""
    size = int(BLOCK)
    whole = len(low) // size * size
    return low[:whole].reshape(-1, size).min(axis=1), high[:whole].reshape(-1, size).max(axis=1)


@lean
def next_entry(side: FlagArray, leave: FlagArray, start: int, can_short: bool) -> int:
    """The next candle, from `start` on, at whose close something may be entered; their number when there is none."""
    i, n = np.uint64(start), np.uint64(len(side))
    while i < n:
        while i + BLOCK <= n:
            found = np.int8(0)
            for k in range(BLOCK):
                found |= side[i + k]
            if found != 0:
                break
            i += BLOCK
        stop = min(i + BLOCK, n)
        while i < stop:
            if side[i] != 0 and leave[i] & CLOSES_ALL == 0 and (can_short or side[i] > 0):
                return int(np.int64(i))
            i += ONE
    return len(side)


@lean
def next_exit(
    worst: FloatArray, best: FloatArray, worsts: FloatArray, bests: FloatArray, side: FlagArray, leave: FlagArray,
    start: int, end: int, stop: float, target: float, way: int,
) -> int:  # fmt: skip
    """The next candle, from `start` on, on which a position may end, or is asked to; `end` when there is none.

    worst, best:   the prices against and for it: lows and highs for a long, highs and lows for a short.
    worsts, bests: their extremes by blocks, as `extremes` gives them.
    way:           1 for a long, -1 for a short.
    """
    i, n = np.uint64(start), np.uint64(end)
    leaves, opposite = (LEAVES_LONG, SELLS) if way > 0 else (LEAVES_SHORT, BUYS)
    sign = float(way)
    nearest, farthest = stop * sign, target * sign
    while i < n:
        while i % BLOCK == 0 and i + BLOCK <= n:
            block = i // BLOCK
            if worsts[block] * sign <= nearest or bests[block] * sign >= farthest:
                break
            found = np.int8(0)
            for k in range(BLOCK):
                found |= (leave[i + k] & leaves) | (side[i + k] & opposite)
            if found != 0:
                break
            i += BLOCK
        last = min(i - i % BLOCK + BLOCK, n)
        while i < last:
            if worst[i] * sign <= nearest or best[i] * sign >= farthest or leave[i] & leaves != 0 or side[i] == -way:
                return int(np.int64(i))
            i += ONE
    return end


@inlined
def next_payment(owed: FloatArray, start: int, end: int) -> int:
    """The next candle, from `start` on, before which funding is paid; `end` when there is none."""
    i = start
    while i < end and owed[i] == owed[i - 1]:
        i += 1
    return i


@inlined
def next_short(owed: FloatArray, start: int, end: int, paid: float, quantity: float, free: float) -> int:
    """The next candle, from `start` on, before which funding takes more than what is free; `end` when there is none.

    paid:     of `owed`, what has been paid.  quantity: held, base units, signed.
    free:     cash, quote units; where there is none, every payment counts.
    """
    i = start
    while i < end and (owed[i] - paid) * quantity <= free and (free >= 0.0 or owed[i] == owed[i - 1]):
        i += 1
    return i
