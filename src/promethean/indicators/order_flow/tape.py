"""Trades and order books as arrays, and the part of them that a question is about."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.instants import NS_PER_S
from promethean.domain.market import Side

BoolArray: TypeAlias = NDArray[np.bool_]

MINUTE_NS = 60 * NS_PER_S


class Tape(NamedTuple):
    """Trades, oldest first.

    at_ns:     int64, shape (n,), nanoseconds since the epoch, not falling.
    price:     float64, shape (n,), quote units per base unit.
    quantity:  float64, shape (n,), base units.
    aggressor: int64, shape (n,), +1 where the buyer took, -1 where the seller did.
    """

    at_ns: IntArray
    price: FloatArray
    quantity: FloatArray
    aggressor: IntArray

    def between(self, after_ns: int, now_ns: int) -> Tape:
        """The trades after one instant, up to and with another; without copying."""
        start, stop = np.searchsorted(self.at_ns, [after_ns, now_ns], side="right").tolist()
        return self.rows(slice(start, stop))

    def taken(self, side: Side) -> Tape:
        """The trades in which this side took."""
        return self.rows(self.aggressor == side.sign)

    def rows(self, chosen: slice | BoolArray) -> Tape:
        """Some of the trades."""
        return Tape(self.at_ns[chosen], self.price[chosen], self.quantity[chosen], self.aggressor[chosen])


def tape_of(at_ns: IntArray, price: FloatArray, quantity: FloatArray, aggressor: IntArray) -> Tape:
    """These columns as a tape.

    Raises: ValueError when they differ in length, when the instants fall, for a price or a quantity that is not above 0
            and finite, or for an aggressor that is neither +1 nor -1.
    """
    lengths = [len(at_ns), len(price), len(quantity), len(aggressor)]
    if len(set(lengths)) > 1:
        raise ValueError(f"the columns of trades have one length, not {lengths}")
    check_rising(at_ns, "trades")
    for name, values in (("price", price), ("quantity", quantity)):
        wrong = values[~((values > 0) & (values < np.inf))]
        if len(wrong):
            raise ValueError(f"a trade has a {name} above 0, not {wrong[0]}")
    wrong_sides = aggressor[np.abs(aggressor) != 1]
    if len(wrong_sides):
        raise ValueError(f"the aggressor of a trade is +1 (buyer) or -1 (seller), not {wrong_sides[0]}")
    return Tape(at_ns, price, quantity, aggressor)


class Books(NamedTuple):
    """Snapshots of an order book, oldest first.

    at_ns:      int64, shape (n,), nanoseconds since the epoch, not falling.
    bids, asks: float64, shape (n, levels, 2), price and quantity, best first; NaN where a side has no more levels.
    """

    at_ns: IntArray
    bids: FloatArray
    asks: FloatArray

    def between(self, after_ns: int, now_ns: int) -> Books:
        """The snapshots after one instant, up to and with another; without copying."""
        start, stop = np.searchsorted(self.at_ns, [after_ns, now_ns], side="right").tolist()
        return self.rows(slice(start, stop))

    def rows(self, chosen: slice) -> Books:
        """Some of the snapshots."""
        return Books(self.at_ns[chosen], self.bids[chosen], self.asks[chosen])

    def levels(self, side: Side) -> FloatArray:
        """Bids for the buying side, asks for the selling one."""
        return self.bids if side is Side.BUY else self.asks


def books_of(at_ns: IntArray, bids: FloatArray, asks: FloatArray) -> Books:
    """These columns as books.  Raises ValueError when their shapes do not fit together or the instants fall."""
    check_levels(bids)
    check_levels(asks)
    if not len(at_ns) == len(bids) == len(asks):
        raise ValueError(f"there are {len(at_ns)} instants for {len(bids)} sides of bids and {len(asks)} of asks")
    check_rising(at_ns, "books")
    return Books(at_ns, bids, asks)


def check_levels(side: FloatArray) -> None:
    """Raises ValueError unless this is one side of a number of snapshots."""
    if side.ndim != 3 or side.shape[2] != 2:
        raise ValueError(f"a side of order books has the shape (snapshots, levels, 2), not {side.shape}")


def check_rising(at_ns: IntArray, what: str) -> None:
    """Raises ValueError when an instant lies before the one before it."""
    if (at_ns[1:] < at_ns[:-1]).any():
        raise ValueError(f"{what} come oldest first")


def check_minutes(minutes: int) -> None:
    """Raises ValueError unless the time asked about has a length."""
    if minutes < 1:
        raise ValueError(f"the time looked back is at least 1 minute, not {minutes}")
