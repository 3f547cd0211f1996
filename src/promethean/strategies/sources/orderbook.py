"""What an order book says: which side waits with more (SPEC 7.1)."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct

from promethean.domain.candles import FloatArray
from promethean.domain.errors import ConfigError
from promethean.domain.market import OrderBook, Side
from promethean.domain.signals import SignalSource
from promethean.indicators.order_flow.bands import EXACTNESS, reaches
from promethean.indicators.order_flow.orderbook_imbalance import orderbook_imbalance
from promethean.strategies.sources.answer import Answer


class BookSettings(Struct, frozen=True):
    """When a book counts.

    levels:        how many of the best levels of a side are looked at.
    share_min:     share of the stronger side from which it acts, 0.5-1.
    spread_max:    fraction of the mid price; the spread is below it.
    depth_multiple: how many times the order the smaller side holds at least.
    Raises ConfigError naming value and limit.
    """

    levels: int = 10
    share_min: float = 0.65
    spread_max: float = 0.0005
    depth_multiple: float = 10.0

    def __post_init__(self) -> None:
        limits = (("levels", 1, 1000), ("share_min", 0.5, 1), ("spread_max", 0, 1), ("depth_multiple", 0, 1e6))
        for name, low, high in limits:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value:g}; it lies between {low:g} and {high:g}")


AS_SPECIFIED = BookSettings()


def orderbook_answer(book: OrderBook, quantity: float, settings: BookSettings = AS_SPECIFIED) -> Answer:
    """What one snapshot says about an order of a quantity.

    The side that waits with more is the one the price is expected to go away from: more bids are a BUY.  Both sides
    hold at least `depth_multiple` times the order on their levels, because it is entered on one and left on the other.

    quantity: of the order, base units, above zero.
    Raises:   ValueError for a quantity that is not above zero and finite.
    """
    if not (math.isfinite(quantity) and quantity > 0):
        raise ValueError(f"an order has a quantity above zero, not {quantity}")
    bids, asks = (_levels(side, settings.levels) for side in (book.bids, book.asks))
    found = orderbook_imbalance(bids, asks, settings.levels)
    share, bid, ask = float(found.share[0]), float(found.bid_quantity[0]), float(found.ask_quantity[0])
    spread = (book.asks[0][0] - book.bids[0][0]) / book.mid
    depth = min(bid, ask)
    stronger = max(share, 1 - share)
    values = {"share": share, "spread": spread, "bid_quantity": bid, "ask_quantity": ask, "quantity": quantity}

    def hold(reason: str) -> Answer:
        return Answer(SignalSource.ORDERBOOK, None, 0.0, reason, book.at_ns, values)

    if math.isnan(share):
        return hold("the book holds nothing")
    # The spread is below its limit, not at it; a spread that misses it by rounding alone is at it.
    if spread >= settings.spread_max * (1 - EXACTNESS):
        return hold(f"the spread is {spread:.4%}, not below {settings.spread_max:.4%}")
    if not reaches(depth, settings.depth_multiple * quantity):
        return hold(f"the thinner side holds {depth:g}, less than {settings.depth_multiple:g} times the {quantity:g}")
    if not reaches(stronger, settings.share_min):
        return hold(f"the stronger side has {stronger:.1%} of {settings.levels} levels, below {settings.share_min:.1%}")
    side, which = (Side.BUY, "bids") if share > 0.5 else (Side.SELL, "asks")
    if share == 0.5:
        return hold("both sides hold the same")
    reason = f"{which} hold {stronger:.1%} of {settings.levels} levels, with a spread of {spread:.4%}"
    return Answer(SignalSource.ORDERBOOK, side, min(1.0, stronger), reason, book.at_ns, values)


def _levels(side: tuple[tuple[float, float], ...], levels: int) -> FloatArray:
    return np.array([side[:levels]], np.float64)
