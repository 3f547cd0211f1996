"""Keltner channels."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator
from promethean.indicators.trend import ema as exponential
from promethean.indicators.volatility import atr as average_range

NARROWEST = 1e-9  # of the middle; in a narrower channel the position is what rounding leaves


class Keltner(NamedTuple):
    """The channel and where the close stands in it; float64, shape (n,) each.

    middle, upper, lower: quote units per base unit.
    position: where the close is, 0 at the lower line and 1 at the upper one; it may be beyond.
    """

    middle: FloatArray
    upper: FloatArray
    lower: FloatArray
    position: FloatArray


def keltner_window(ema: int = 20, atr: int = 10) -> int:
    """Trailing candles that decide the last values: those of the average, or those of the average true range."""
    return max(exponential.ema_window(ema), average_range.atr_window(atr))


@indicator("keltner", window=keltner_window)
def keltner(
    high: FloatArray, low: FloatArray, close: FloatArray, ema: int = 20, atr: int = 10, multiple: float = 2.0
) -> Keltner:
    """Keltner channels: an exponential average and average true ranges around it.

    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    ema:     candles in the average of the close, at least 1.
    atr:     candles in Wilder's average of the true range, at least 1.
    multiple: average true ranges between the middle and a line, above 0.
    Returns: Keltner; the middle is NaN for the first ema - 1 values, the rest for the first max(ema - 1, atr).
             The position is NaN as well where the price stood still until half the channel was below a billionth of it.
    Raises:  ValueError when a period is below 1 or `multiple` is not a positive number.
    Source:  Keltner (1960), How to Make Money in Commodities, in Raschke's form: EMA(close) +- multiple * ATR;
             position = (close - lower) / (upper - lower).
    """
    if not 0 < multiple < math.inf:
        raise ValueError(f"the multiple of Keltner channels is above 0, not {multiple}")
    middle = exponential.ema(close, ema)
    reach = multiple * average_range.atr(high, low, close, atr).atr
    position = np.full(len(close), np.nan)
    np.divide(close - middle, 2 * reach, out=position, where=reach > NARROWEST * middle)
    return Keltner(middle, middle + reach, middle - reach, position + 0.5)
