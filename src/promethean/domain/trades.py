"""Single trades of one market, as they were recorded."""

from __future__ import annotations

from msgspec import Struct

from promethean.domain.books import SignArray
from promethean.domain.candles import FloatArray, IntArray


class TradeSeries(Struct, frozen=True):
    """Single trades beside the candles of one market, oldest first.

    at_ns:           int64, shape (n,), not falling, nanoseconds since the epoch.
    price, quantity: float64, shape (n,), quote units per base unit and base units, above 0.
    aggressor:       int8, shape (n,): +1 where the buyer took, -1 where the seller did.
    number:          int64, shape (n,): the venue's number of each, one more than that of the trade before where none
                     is missing; None where the venue does not number them.
    Raises ValueError when the columns differ in length or the instants fall.
    """

    at_ns: IntArray
    price: FloatArray
    quantity: FloatArray
    aggressor: SignArray
    number: IntArray | None = None

    def __post_init__(self) -> None:
        columns = (self.price, self.quantity, self.aggressor, *(() if self.number is None else (self.number,)))
        if any(len(column) != len(self.at_ns) for column in columns):
            raise ValueError(f"there are {len(self.at_ns)} instants of trades and columns of another length")
        if (self.at_ns[1:] < self.at_ns[:-1]).any():
            raise ValueError("trades come oldest first")

    def __len__(self) -> int:
        """Number of trades."""
        return len(self.at_ns)

    def between(self, start_ns: int, stop_ns: int) -> TradeSeries:
        """The trades from one instant on and before another, without copying."""
        chosen = slice(*self.at_ns.searchsorted((start_ns, stop_ns)).tolist())
        columns = (self.at_ns[chosen], self.price[chosen], self.quantity[chosen], self.aggressor[chosen])
        return TradeSeries(*columns, None if self.number is None else self.number[chosen])
