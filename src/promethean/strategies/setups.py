"""What lets a strategy in, by name: the families of its entries, for reports."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from promethean.domain.market import Side


class Setup(Struct, frozen=True):
    """One way into the market.  holds: bool, shape (n,): the candles at whose close it asked for an entry."""

    name: str
    side: Side
    holds: NDArray[np.bool_]

    @staticmethod
    def title(side: Side, words: str) -> str:
        """The name as reports show it."""
        return f"{'long' if side is Side.BUY else 'short'}: {words}"
