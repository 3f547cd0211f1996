"""The order book of the paper venue: what rests there, and at which price it meets the market."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from promethean.domain.market import Quote, Side
from promethean.domain.orders import Order, OrderType


@dataclass(slots=True)
class Resting:
    """An order in the book.

    arrives_at_ns: when the venue has it.  filled_at_ns: its last fill.  expires_at_ns: when its time in force is over.
    below, above:  prices from which on it can be filled: at or under the one, at or over the other.
    """

    order: Order
    arrives_at_ns: int
    below: float
    above: float
    expires_at_ns: float
    remaining: Decimal
    fills: int
    filled_at_ns: int

    @classmethod
    def of(cls, order: Order, arrives_at_ns: int) -> Resting:
        """What is left of an order, in the book."""
        intent = order.intent
        below, above = -math.inf, math.inf
        if intent.type is OrderType.MARKET:
            below = math.inf
        elif (intent.side is Side.BUY) == (intent.type is OrderType.LIMIT):
            below = float(intent.limit_price or intent.stop_price or 0)
        else:
            above = float(intent.limit_price or intent.stop_price or 0)
        expires_at_ns = intent.expires_at_ns if intent.expires_at_ns is not None else math.inf
        filled_at_ns = order.filled_at_ns if order.filled_at_ns is not None else -1
        return cls(
            order, arrives_at_ns, below, above, expires_at_ns, order.remaining, len(order.trade_ids), filled_at_ns
        )

    def resize(self, order: Order, remaining: Decimal) -> None:
        """The same order with another price and size; it keeps its place in time and its fills."""
        moved = Resting.of(order, self.arrives_at_ns)
        self.order, self.below, self.above, self.remaining = order, moved.below, moved.above, remaining


def stops_first(resting: Resting) -> tuple[bool, int]:
    """The order in which a pass looks at the book: stops, then all others, by arrival."""
    return resting.order.intent.type is not OrderType.STOP_MARKET, resting.arrives_at_ns


def stop_reached(order: Order, low: float, high: float) -> float | None:
    """The trigger price of a stop that prices from `low` to `high` reach, or None."""
    if order.intent.type is not OrderType.STOP_MARKET:
        return None
    return float(order.intent.stop_price or 0) if is_triggered(order, low, high) else None


def is_triggered(order: Order, low: float, high: float) -> bool:
    """Whether prices from `low` to `high` set a stop off."""
    stop = float(order.intent.stop_price or 0)
    return high >= stop if order.intent.side is Side.BUY else low <= stop


def quote_price(order: Order, quote: Quote) -> float | None:
    """The price at which an order meets a quote, or None when it does not."""
    intent = order.intent
    price = quote.ask if intent.side is Side.BUY else quote.bid
    match intent.type:
        case OrderType.MARKET:
            return price
        case OrderType.LIMIT:
            limit = float(intent.limit_price or 0)
            return price if (price <= limit if intent.side is Side.BUY else price >= limit) else None
        case _:
            return price if is_triggered(order, quote.last, quote.last) else None
