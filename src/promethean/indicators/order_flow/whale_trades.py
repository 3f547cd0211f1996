"""Large trades, and which side they took."""

from __future__ import annotations

import math
from typing import NamedTuple

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.market import Side
from promethean.indicators.order_flow.bands import EXACTNESS, Pressure, pressure
from promethean.indicators.order_flow.tape import MINUTE_NS, Tape, check_minutes, tape_of

BAND = 0.30


class WhaleTrades(NamedTuple):
    """Large trades of the window.

    trades:            oldest first.
    buy_usd, sell_usd: what they were worth, by the side that took.
    imbalance:         (buy - sell) / (buy + sell), NaN when there are none; then there is no band.
    band:              BUY beyond +0.30, SELL beyond -0.30.
    """

    trades: Tape
    buy_usd: float
    sell_usd: float
    imbalance: float
    band: Pressure | None


def whale_trades(
    at_ns: IntArray,
    price: FloatArray,
    quantity: FloatArray,
    aggressor: IntArray,
    now_ns: int,
    minutes: int = 60,
    min_usd: float = 100_000.0,
    quote_usd: float = 1.0,
) -> WhaleTrades:
    """The trades of the last minutes that are worth at least `min_usd`.

    at_ns, price, quantity, aggressor: trades as in `Tape`.
    now_ns:    nanoseconds since the epoch; later trades are not looked at.
    minutes:   at least 1.
    min_usd:   US dollars, above 0.
    quote_usd: US dollars per quote unit, above 0; 1 for pairs quoted in dollars.
    Raises:    ValueError for trades that `tape_of` refuses, or a number outside its limits.
    Source:    value = price x quantity of the single trade; imbalance = (buy - sell) / (buy + sell).
    """
    check_minutes(minutes)
    if not min_usd > 0 or not quote_usd > 0:
        raise ValueError(f"min_usd and quote_usd are above 0, not {min_usd} and {quote_usd}")
    recent = tape_of(at_ns, price, quantity, aggressor).between(now_ns - minutes * MINUTE_NS, now_ns)
    worth = recent.price * recent.quantity * quote_usd
    large = worth >= min_usd * (1 - EXACTNESS)
    trades = recent.rows(large)
    buy = float(worth[large & (recent.aggressor == Side.BUY.sign)].sum())
    sell = float(worth[large & (recent.aggressor == Side.SELL.sign)].sum())
    imbalance = (buy - sell) / (buy + sell) if len(trades.at_ns) else math.nan
    return WhaleTrades(trades, buy, sell, imbalance, pressure(imbalance, BAND, math.inf))
