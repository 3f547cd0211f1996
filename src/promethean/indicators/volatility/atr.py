"""Average true range."""

from __future__ import annotations

from typing import NamedTuple

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator
from promethean.indicators.ta_lib import ta_lib


class Atr(NamedTuple):
    """How far a candle goes on average; float64, shape (n,) each.

    atr: quote units per base unit.  atr_pct: as a fraction of the close (0.015 is 1.5 %).
    """

    atr: FloatArray
    atr_pct: FloatArray


def atr_window(period: int = 14) -> int:
    """Trailing candles that decide the last values.

    Wilder's weight of anything older is below e**-63: such a range may be 10**15 times as large and still moves the
    value by less than 1e-12.  The first candle has no close before it.
    """
    return 64 * period + 1


@indicator("atr", window=atr_window)
def atr(high: FloatArray, low: FloatArray, close: FloatArray, period: int = 14) -> Atr:
    """Average true range with Wilder's smoothing, in quote units and as a fraction of the close.

    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    period:  candles in the average, at least 1.
    Returns: Atr; the first `period` values are NaN.
    Raises:  ValueError when `period` is below 1.
    Source:  Wilder (1978), New Concepts in Technical Trading Systems: the true range reaches from the lower of low and
             last close to the higher of high and last close; the average begins with the mean of the first `period`.
    """
    if period < 1:
        raise ValueError(f"the period of an ATR is at least 1, not {period}")
    value: FloatArray = ta_lib().ATR(high, low, close, period)
    return Atr(value, value / close)
