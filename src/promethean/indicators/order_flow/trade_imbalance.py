"""Whether buyers or sellers take."""

from __future__ import annotations

import math
from typing import NamedTuple

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.market import Side
from promethean.indicators.order_flow.bands import Pressure, pressure
from promethean.indicators.order_flow.tape import MINUTE_NS, check_minutes, tape_of


class TradeImbalance(NamedTuple):
    """buy, sell: base units.  delta: (buy - sell) / (buy + sell), NaN when nothing traded; then there is no band."""

    buy: float
    sell: float
    delta: float
    band: Pressure | None


def trade_imbalance(
    at_ns: IntArray, price: FloatArray, quantity: FloatArray, aggressor: IntArray, now_ns: int, minutes: int = 15
) -> TradeImbalance:
    """How much more takers bought than they sold in the last minutes.

    at_ns, price, quantity, aggressor: trades as in `Tape`.
    now_ns:  nanoseconds since the epoch; later trades are not looked at.
    minutes: at least 1.
    Raises:  ValueError for trades that `tape_of` refuses, or minutes below 1.
    Source:  delta = (buy - sell) / (buy + sell); beyond 0.10 moderate, beyond 0.30 strong.
    """
    check_minutes(minutes)
    recent = tape_of(at_ns, price, quantity, aggressor).between(now_ns - minutes * MINUTE_NS, now_ns)
    buy = float(recent.taken(Side.BUY).quantity.sum())
    sell = float(recent.taken(Side.SELL).quantity.sum())
    delta = (buy - sell) / (buy + sell) if buy + sell > 0 else math.nan
    return TradeImbalance(buy, sell, delta, pressure(delta))
