"""What an order book says: which side waits with more (SPEC 7.1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from promethean.domain.books import SignArray
from promethean.domain.candles import FloatArray
from promethean.domain.errors import ConfigError
from promethean.domain.market import OrderBook, Side
from promethean.domain.signals import SignalSource
from promethean.indicators.order_flow.bands import EXACTNESS
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


class BookViews(NamedTuple):
    """What snapshots say about an order, one value for each.

    side:       int8: +1 BUY, -1 SELL, 0 where it does not act.
    confidence: share of the stronger side, 0.5-1, as people read it: the noise of float sums is no part of it.
    share:      of the bids in everything; NaN of a book that holds nothing.
    spread:     fraction of the mid price; NaN where the book is not known.
    is_narrow, is_deep, is_heavy: whether spread, thinner side and stronger side are as they have to be.
    """

    side: SignArray
    confidence: FloatArray
    share: FloatArray
    spread: FloatArray
    bid_quantity: FloatArray
    ask_quantity: FloatArray
    is_narrow: NDArray[np.bool_]
    is_deep: NDArray[np.bool_]
    is_heavy: NDArray[np.bool_]


def orderbook_views(bids: FloatArray, asks: FloatArray, quantity: FloatArray, settings: BookSettings) -> BookViews:
    """What each snapshot says about an order of a quantity: the rule, in the one place where it stands.

    The side that waits with more is the one the price is expected to go away from: more bids are a BUY.  Both sides
    hold at least `depth_multiple` times the order on their levels, because it is entered on one and left on the other.

    bids, asks: float64, shape (n, levels, 2), price and quantity, best first; NaN where there is no such level.
    quantity:   float64, shape (n,), base units; an order of nothing asks for no depth.
    """
    found = orderbook_imbalance(bids, asks, settings.levels)
    share, best_bid, best_ask = found.share, bids[:, 0, 0], asks[:, 0, 0]
    spread = (best_ask - best_bid) / ((best_ask + best_bid) / 2)
    stronger = np.fmax(share, 1 - share)
    thinner = np.minimum(found.bid_quantity, found.ask_quantity)
    # The spread is below its limit, not at it; a spread that misses it by rounding alone is at it.
    is_narrow = spread < settings.spread_max * (1 - EXACTNESS)
    is_deep = thinner >= settings.depth_multiple * quantity * (1 - EXACTNESS)
    is_heavy = stronger >= settings.share_min * (1 - EXACTNESS)
    acts = is_narrow & is_deep & is_heavy
    side = (acts & (share > 0.5)).astype(np.int8) - (acts & (share < 0.5)).astype(np.int8)
    confidence: FloatArray = np.round(stronger, 6).astype(np.float64)
    return BookViews(
        side, confidence, share, spread, found.bid_quantity, found.ask_quantity, is_narrow, is_deep, is_heavy
    )


def why_it_acts(share: float, spread: float, levels: int) -> str:
    """The sentence about a snapshot that acts.  share: of the bids.  spread: fraction of the mid price."""
    which, stronger = ("bids", share) if share > 0.5 else ("asks", 1 - share)
    return f"{which} hold {stronger:.1%} of {levels} levels, with a spread of {spread:.4%}"


def orderbook_answer(book: OrderBook, quantity: float, settings: BookSettings = AS_SPECIFIED) -> Answer:
    """What one snapshot says about an order of a quantity, by the rule of `orderbook_views`.

    quantity: of the order, base units, above zero.
    Raises:   ValueError for a quantity that is not above zero and finite.
    """
    if not (math.isfinite(quantity) and quantity > 0):
        raise ValueError(f"an order has a quantity above zero, not {quantity}")
    bids, asks = (_levels(side, settings.levels) for side in (book.bids, book.asks))
    found = orderbook_views(bids, asks, np.array([quantity]), settings)
    share, spread = float(found.share[0]), float(found.spread[0])
    bid, ask, stronger = float(found.bid_quantity[0]), float(found.ask_quantity[0]), max(share, 1 - share)
    values = {"share": share, "spread": spread, "bid_quantity": bid, "ask_quantity": ask, "quantity": quantity}

    def hold(reason: str) -> Answer:
        return Answer(SignalSource.ORDERBOOK, None, 0.0, reason, book.at_ns, values)

    if math.isnan(share):
        return hold("the book holds nothing")
    if not found.is_narrow[0]:
        return hold(f"the spread is {spread:.4%}, not below {settings.spread_max:.4%}")
    if not found.is_deep[0]:
        depth, multiple = min(bid, ask), settings.depth_multiple
        return hold(f"the thinner side holds {depth:g}, less than {multiple:g} times the {quantity:g}")
    if not found.is_heavy[0]:
        return hold(f"the stronger side has {stronger:.1%} of {settings.levels} levels, below {settings.share_min:.1%}")
    if not found.side[0]:
        return hold("both sides hold the same")
    side = Side.BUY if found.side[0] > 0 else Side.SELL
    reason = why_it_acts(share, spread, settings.levels)
    return Answer(SignalSource.ORDERBOOK, side, float(found.confidence[0]), reason, book.at_ns, values)


def _levels(side: tuple[tuple[float, float], ...], levels: int) -> FloatArray:
    return np.array([side[:levels]], np.float64)
