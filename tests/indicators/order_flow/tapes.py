"""Trades and books made by hand or drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from promethean.indicators.order_flow.tape import Books, Tape

S = 1_000_000_000
MINUTE = 60 * S
NOW = 1_700_000_000 * S
SOLD, BOUGHT = -1, 1


def tape(*trades: tuple[float, float, float, int]) -> Tape:
    """Trades as (seconds from NOW, price, quantity, aggressor), oldest first."""
    rows = np.array(trades, np.float64).reshape(-1, 4)
    at_ns = NOW + np.round(rows[:, 0] * 1000).astype(np.int64) * 1_000_000
    return Tape(at_ns, rows[:, 1], rows[:, 2], rows[:, 3].astype(np.int64))


Levels = Sequence[tuple[float, float]]


def books(*snapshots: tuple[float, Levels, Levels], levels: int = 12) -> Books:
    """Snapshots as (seconds from NOW, bids, asks), best first; filled up with NaN."""
    sides = np.full((2, len(snapshots), levels, 2), np.nan)
    for row, (_, *both) in enumerate(snapshots):
        for number, side in enumerate(both):
            for level, pair in enumerate(side[:levels]):
                sides[number, row, level] = pair
    at_ns = NOW + np.array([round(seconds * 1000) for seconds, _, _ in snapshots], np.int64) * 1_000_000
    return Books(at_ns, sides[0], sides[1])


def some_trades(seed: int, count: int, span_s: int) -> Tape:
    """Trades on ten prices in the last `span_s` seconds before NOW."""
    random = np.random.default_rng(seed)
    at_ns = NOW - np.sort(random.integers(0, span_s * 1000, count))[::-1] * 1_000_000
    price = 100.0 + random.integers(-5, 5, count) / 100
    return Tape(at_ns, price, random.integers(1, 50, count) / 10, random.choice([SOLD, BOUGHT], count))


def some_books(seed: int, count: int, span_s: int, levels: int = 6) -> Books:
    """Books whose levels come, change and go, mostly of one size and now and then a large one."""
    random = np.random.default_rng(seed)
    at_ns = NOW - np.sort(random.integers(0, span_s * 1000, count))[::-1] * 1_000_000
    sides = np.full((2, count, levels, 2), np.nan)
    sizes = np.ones((2, 10))
    for row in range(count):
        changed = random.random((2, 10)) < 0.3
        drawn = random.choice([0.0, 0.5, 1.0, 1.5, 5.0, 9.0], (2, 10), p=[0.2, 0.2, 0.3, 0.1, 0.1, 0.1])
        sizes = np.where(changed, drawn, sizes)
        for number, sign in enumerate((1, -1)):
            shown = [(100 - sign * (place + 1) / 100, sizes[number, place]) for place in range(10)]
            for level, pair in enumerate([pair for pair in shown if pair[1] > 0][:levels]):
                sides[number, row, level] = pair
    return Books(at_ns, sides[0], sides[1])
