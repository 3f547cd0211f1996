"""The next candle on which an order that rests could be filled."""

from __future__ import annotations

from promethean.domain.candles import FloatArray
from promethean.indicators.compiled import compiled


@compiled
def first_reached(low: FloatArray, high: FloatArray, start: int, stop: int, below: float, above: float) -> int:
    """The first candle from `start` on, before `stop`, with its low at or under `below` or its high at or over `above`.

    `stop` when there is none.
    """
    for i in range(start, stop):
        if low[i] <= below or high[i] >= above:
            return i
    return stop
