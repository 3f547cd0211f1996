"""Stochastic oscillator."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator
from promethean.indicators.ta_lib import ta_lib
from promethean.indicators.trend.sma import sma


class Stochastic(NamedTuple):
    """Where the close stands in its range, and the average of that; float64 in [0, 100], shape (n,) each."""

    k: FloatArray
    d: FloatArray


def stochastic_window(k: int = 14, smooth: int = 3, d: int = 3) -> int:
    """Trailing candles that decide the last values, exactly."""
    return k + smooth + d - 2


@indicator("stochastic", window=stochastic_window)
def stochastic(
    high: FloatArray, low: FloatArray, close: FloatArray, k: int = 14, smooth: int = 3, d: int = 3
) -> Stochastic:
    """Stochastic oscillator: where the close stands in the range of the last candles, smoothed.

    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    k:       candles in the range, at least 1.
    smooth:  values averaged for %K, at least 1; 1 is the fast oscillator.
    d:       values of %K averaged for %D, at least 1.
    Returns: Stochastic, in [0, 100]; the first k + smooth - 2 values of %K and d - 1 more of %D are NaN.  NaN is also
             what averages a candle at which the whole range was flat: 0 / 0 is no place.
    Raises:  ValueError when a parameter is below 1.
    Source:  Lane (1984), Lane's Stochastics: 100 (close - lowest low) / (highest high - lowest low), then simple
             averages.
    """
    for name, candles in (("k", k), ("smooth", smooth), ("d", d)):
        if candles < 1:
            raise ValueError(f"{name} of a stochastic oscillator is at least 1, not {candles}")
    highest, lowest = high, low
    if k > 1:  # TA-Lib starts at 2
        highest, lowest = ta_lib().MAX(high, k), ta_lib().MIN(low, k)
    span = highest - lowest
    place = np.full(len(close), np.nan)
    np.divide(close - lowest, span, out=place, where=span > 0)
    smoothed = sma(100 * place, smooth)
    return Stochastic(smoothed, sma(smoothed, d))
