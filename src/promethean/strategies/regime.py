"""Whether a market ranges (SPEC 13.4): the one place where strategies ask for a regime."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from promethean.domain.candles import CandleSeries, FloatArray
from promethean.indicators.trend.adx import adx, adx_window
from promethean.indicators.volatility.atr import atr, atr_window
from promethean.strategies.frame import Frame

PERIOD = 14
BREADTH = 50  # candles whose range a breakout leaves
LOOKBACK = 500  # candles that the volatility is compared with
TREND_ADX = 25.0
VOLATILE_SHARE = 0.90
MARGIN = 1e-9  # relative: what is left of older data never decides between equal values
ROWS = 16_384  # compared at once: a year of minutes would take a gigabyte

RANGE_WINDOW = max(atr_window(PERIOD) + LOOKBACK - 1, adx_window(PERIOD), BREADTH + 1)
"""Trailing candles that decide whether the last one lies in a range."""


def is_range(frame: Frame, timeframe: str) -> NDArray[np.bool_]:
    """Where a market neither trends, nor breaks out, nor moves unusually much; False while that is not known.

    That is: an ADX(14) of at most 25, a close within the range of the 50 candles before, and an ATR(14), as a fraction
    of the close, that is not above 90 % of its last 500 values.

    timeframe: of the candles that are looked at: the frame's own, or a larger one at its last closed candle.
    Returns:   bool, shape (n,).
    """
    ranges = frame.spread(_ranges(frame.larger(timeframe)), timeframe)
    return np.asarray(ranges == 1, np.bool_)


def _ranges(candles: CandleSeries) -> FloatArray:
    """1 where a candle lies in a range, else 0."""
    high, low, close = candles.high, candles.low, candles.close
    strength = adx(high, low, close, PERIOD).adx
    share = _share_below(atr(high, low, close, PERIOD).atr_pct)
    stays = np.zeros(len(close), np.bool_)
    if len(close) > BREADTH:
        top = sliding_window_view(high[:-1], BREADTH).max(axis=1)
        bottom = sliding_window_view(low[:-1], BREADTH).min(axis=1)
        stays[BREADTH:] = (close[BREADTH:] <= top) & (close[BREADTH:] >= bottom)
    return (stays & (strength <= TREND_ADX) & (share <= VOLATILE_SHARE)).astype(np.float64)


def _share_below(values: FloatArray) -> FloatArray:
    """How many of the last LOOKBACK values lie below each, as a share; NaN where one of them is not known."""
    share = np.full(len(values), np.nan)
    if len(values) < LOOKBACK:
        return share
    windows = sliding_window_view(values, LOOKBACK)
    for start in range(0, len(windows), ROWS):
        among = windows[start : start + ROWS]
        below = (among < among[:, -1:] * (1 - MARGIN)).mean(axis=1)
        place = start + LOOKBACK - 1
        share[place : place + len(among)] = np.where(np.isnan(among[:, 0]), np.nan, below)
    return share
