"""The order book as a further source beside the class of a strategy file (SPEC 7.1, 7.6)."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from msgspec import Struct

from promethean.domain.candles import FloatArray
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.sizing import Sizing
from promethean.strategies.arrays import Said
from promethean.strategies.frame import Frame
from promethean.strategies.order_book_imbalance import ORDER_BOOK_IMBALANCE
from promethean.strategies.sections import Section
from promethean.strategies.sources.orderbook import AS_SPECIFIED, BookSettings, orderbook_views, why_it_acts

NO_DEPTH = (
    "the source orderbook does not ask whether both sides hold "
    f"{AS_SPECIFIED.depth_multiple:g} times the order: its size comes from the equity; "
    "with parameters.position_size_quote or max_position_size it does"
)
_SPREAD, _SHARE, _THINNER = "spread %", "share of bids", "thinner side"


class BookStrategy:
    """BUY where the bids outweigh the asks at a candle's close, SELL where the asks do; nothing of before counts.

    sizing: of the file.  What an entry comes to is known without the equity where it gives quote units or a largest
            quantity; else the depth of the book is not asked for, and a remark says so.
    """

    reads_books = True
    window = 1

    def __init__(
        self, *, id: StrategyId, instrument: InstrumentId, timeframe: str, settings: BookSettings, sizing: Sizing
    ) -> None:
        self.id, self.instrument, self.timeframe = id, instrument, timeframe
        self.settings, self.sizing = settings, sizing
        self.remarks = () if sizing.quantity_max or sizing.quote_amount else (NO_DEPTH,)

    def say(self, frame: Frame) -> Said:
        """What the book says at every candle.  Raises ConfigError for a frame without books."""
        books = frame.books
        found = orderbook_views(books.bids, books.asks, order_quantity(self.sizing, frame.candles.close), self.settings)
        readings = {
            _SPREAD: 100 * found.spread,  # the first one says where there is a book at all
            _SHARE: found.share,
            _THINNER: np.minimum(found.bid_quantity, found.ask_quantity),
        }
        leave = np.zeros(len(found.side), np.int8)
        return Said(found.side, leave, found.confidence, readings, int(np.isnan(found.spread).sum()))

    def reason(self, said: Said, at: int) -> str:
        """Which side is heavier, by how much, and how narrow the spread is."""
        share, spread = float(said.readings[_SHARE][at]), float(said.readings[_SPREAD][at]) / 100
        return why_it_acts(share, spread, self.settings.levels)


def order_quantity(sizing: Sizing, close: FloatArray) -> FloatArray:
    """Base units of an entry at each close as far as they are known without the equity, float64, shape (n,).

    The largest quantity stands for a share of the equity, which may come to less; 0 where there is neither.
    """
    known: list[FloatArray] = []
    if sizing.quantity_max is not None:
        known.append(np.full(len(close), float(sizing.quantity_max)))
    if sizing.quote_amount is not None:
        known.append(float(sizing.quote_amount) / close)
    return np.minimum.reduce(known) if known else np.zeros(len(close))


class BookSource(Struct, frozen=True):
    """The order book beside the class of a strategy file.

    weight:   beside the 1 of the class.
    settings: when a book counts.
    """

    weight: float
    settings: BookSettings


def read_orderbook(orderbook: Section, class_name: str) -> BookSource | None:
    """The section `orderbook` of a class-based file; None where it is not there or switched off.

    Raises ConfigError for a value out of range, and beside the class that follows the book itself.
    """
    orderbook.only(("enabled", "imbalance_threshold", "depth_levels", "weight"))
    weight = orderbook.number("weight", Decimal("0.01"), Decimal(1000))
    share = orderbook.number("imbalance_threshold", Decimal("0.5"), Decimal(1))
    levels = orderbook.whole("depth_levels", 1, 20)  # as many as a recording shows of each side
    if not orderbook.values or not orderbook.flag("enabled", True):
        return None
    if class_name == ORDER_BOOK_IMBALANCE:
        raise orderbook.error(
            "enabled", f"is true, but the class {class_name} is that source; write its values under parameters"
        )
    settings = BookSettings(
        levels=AS_SPECIFIED.levels if levels is None else int(levels),
        share_min=AS_SPECIFIED.share_min if share is None else float(share),
    )
    return BookSource(1.0 if weight is None else float(weight), settings)
