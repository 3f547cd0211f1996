"""Ichimoku: middles of ranges, and the cloud they threw ahead."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator
from promethean.indicators.ta_lib import ta_lib


class Ichimoku(NamedTuple):
    """The lines as they stand at each candle, not as a chart shifts them; quote units, float64, shape (n,) each.

    tenkan, kijun: conversion and base line, quote units per base unit.
    senkou_a, senkou_b: the edges of the cloud at this candle, known `shift` candles ago.
    lagging: the close less the close `shift` candles ago: above 0 when the lagging line is above the price there.
    """

    tenkan: FloatArray
    kijun: FloatArray
    senkou_a: FloatArray
    senkou_b: FloatArray
    lagging: FloatArray


def ichimoku_window(tenkan: int = 9, kijun: int = 26, senkou: int = 52, shift: int = 26) -> int:
    """Trailing candles that decide the last values, exactly."""
    return max(tenkan, kijun, senkou) + shift


@indicator("ichimoku", window=ichimoku_window)
def ichimoku(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    tenkan: int = 9,
    kijun: int = 26,
    senkou: int = 52,
    shift: int = 26,
) -> Ichimoku:
    """Ichimoku: conversion line, base line, the cloud at the candle, and the lagging line.

    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    tenkan, kijun, senkou: candles in the ranges of conversion line, base line and slow edge, at least 1 each.
    shift:   candles by which the cloud is thrown ahead and the lagging line back, at least 1.
    Returns: Ichimoku; a line of n candles is NaN for its first n - 1 values, the edges of the cloud for `shift` more,
             the lagging line for the first `shift`.
    Raises:  ValueError when a parameter is below 1.
    Source:  Hosoda (1969), Ichimoku Kinko Hyo: a line = (highest high + lowest low) / 2 of its candles;
             senkou_a[i] = (tenkan[i-shift] + kijun[i-shift]) / 2, senkou_b[i] = line of `senkou` candles at i-shift.
    """
    for name, candles in (("tenkan", tenkan), ("kijun", kijun), ("senkou", senkou), ("shift", shift)):
        if candles < 1:
            raise ValueError(f"{name} of an Ichimoku is at least 1, not {candles}")
    conversion, base = _middle(high, low, tenkan), _middle(high, low, kijun)
    return Ichimoku(
        conversion,
        base,
        _later((conversion + base) / 2, shift),
        _later(_middle(high, low, senkou), shift),
        close - _later(close, shift),
    )


def _middle(high: FloatArray, low: FloatArray, period: int) -> FloatArray:
    """Middle of the range of the last `period` candles."""
    if period == 1:  # TA-Lib starts at 2
        return (high + low) / 2
    middle: FloatArray = ta_lib().MIDPRICE(high, low, period)
    return middle


def _later(values: FloatArray, candles: int) -> FloatArray:
    """Each value so many candles later; what comes before the first is not known."""
    later = np.full(len(values), np.nan)
    later[candles:] = values[:-candles]
    return later
