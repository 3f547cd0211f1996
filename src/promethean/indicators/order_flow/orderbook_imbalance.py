"""Whether more waits to be bought or to be sold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.order_flow.bands import EXACTNESS
from promethean.indicators.order_flow.tape import check_levels

MODERATE, STRONG = 0.10, 0.30


class OrderbookImbalance(NamedTuple):
    """One value for each snapshot, float64, shape (n,).

    bid_quantity, ask_quantity: base units over the levels looked at.
    share: bid / (bid + ask), 0-1; NaN of an empty book.
    delta: 2 x share - 1, -1..1.
    band:  the number of a `Pressure`, -2..2: beyond 0.10 a side presses, beyond 0.30 hard; NaN where delta is.
    """

    bid_quantity: FloatArray
    ask_quantity: FloatArray
    share: FloatArray
    delta: FloatArray
    band: FloatArray


def orderbook_imbalance(bids: FloatArray, asks: FloatArray, levels: int = 10) -> OrderbookImbalance:
    """What waits on the best levels of both sides, snapshot by snapshot.

    bids, asks: float64, shape (n, levels, 2), price and quantity, best first; NaN where a side has no more levels.
    levels:     how many of the best levels count, at least 1.
    Raises:     ValueError for shapes that do not fit, or levels below 1.
    Source:     share = bid / (bid + ask); delta = 2 x share - 1.
    """
    check_levels(bids)
    check_levels(asks)
    if len(bids) != len(asks):
        raise ValueError(f"there are {len(bids)} sides of bids for {len(asks)} of asks")
    if levels < 1:
        raise ValueError(f"at least 1 level of a book counts, not {levels}")
    bid, ask = (np.nansum(side[:, :levels, 1], axis=1) for side in (bids, asks))
    both = bid + ask
    share = np.divide(bid, both, out=np.full(len(both), np.nan), where=both > 0)
    delta = 2 * share - 1
    size = np.abs(delta)
    band = np.sign(delta) * sum((size > limit * (1 + EXACTNESS)) * 1.0 for limit in (MODERATE, STRONG))
    return OrderbookImbalance(bid, ask, share, delta, band)
