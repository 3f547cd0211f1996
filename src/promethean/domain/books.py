"""Order books and the tape beside the candles of one market."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray

SignArray: TypeAlias = NDArray[np.int8]


class BookSeries(Struct, frozen=True):
    """What the order book and the tape showed at the close of each candle of a series, oldest first.

    bids, asks:   float64, shape (n, levels, 2): price and quantity of the best levels, best first.  A row is NaN where
                  the book was not known: before its first snapshot, after a gap, when it was crossed or too old.
    bought, sold: float64, shape (n,), base units that buyers and sellers took during the candle.
    spoofed:      int8, shape (n,): +1 where bids were shown and taken away untraded, -1 where asks were, else 0.
    Raises ValueError when the shapes do not fit together.
    """

    bids: FloatArray
    asks: FloatArray
    bought: FloatArray
    sold: FloatArray
    spoofed: SignArray

    def __post_init__(self) -> None:
        rows = len(self.bids)
        for side in (self.bids, self.asks):
            if side.ndim != 3 or side.shape[2] != 2:
                raise ValueError(f"a side of order books has the shape (candles, levels, 2), not {side.shape}")
        for column in (self.asks, self.bought, self.sold, self.spoofed):
            if len(column) != rows:
                raise ValueError(f"there are books for {rows} candles and other columns for {len(column)}")

    def __len__(self) -> int:
        """Number of candles."""
        return len(self.bids)

    def rows(self, chosen: slice) -> BookSeries:
        """Those of some of the candles, without copying."""
        return BookSeries(
            self.bids[chosen], self.asks[chosen], self.bought[chosen], self.sold[chosen], self.spoofed[chosen]
        )
