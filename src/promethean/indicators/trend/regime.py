"""The regime of a market: which of seven names fits what it does (SPEC 13.4, the rules)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.instants import DAY_NS
from promethean.indicators.catalogue import indicator
from promethean.indicators.ta_lib import ta_lib
from promethean.indicators.trend.adx import adx, adx_window
from promethean.indicators.volatility.atr import atr, atr_window

BoolArray = NDArray[np.bool_]

REGIMES = ("range", "trend_up", "trend_down", "breakout", "accumulation", "distribution", "high_volatility")
"""The names; what `regime` gives is the place of a name in here."""
RANGE, TREND_UP, TREND_DOWN, BREAKOUT, ACCUMULATION, DISTRIBUTION, HIGH_VOLATILITY = range(len(REGIMES))
RANGES = (RANGE, ACCUMULATION, DISTRIBUTION)
"""Those of a market that goes nowhere."""

# Given by the specification.
VOLATILE_SHARE = 0.90  # a volatility above that of so many of the candles before
DAILY_RANGE_MAX = 0.05  # of the close
VOLUME_MULTIPLE = 1.5  # of the mean volume before
TREND_ADX = 25.0
TREND_BACK = 20  # candles

# Chosen here; docs/adr/0016 says why.
NEAR_SHARE = 0.25  # of the range, from its edge
MEMORY = 50  # candles in which two in a row agree on a name
MARGIN = 1e-9  # relative: what is left of older data never decides between equal values
DAY_CANDLES = 1440  # of the smallest timeframe


def regime_window(period: int = 14, breadth: int = 50, lookback: int = 500) -> int:
    """Trailing candles that decide the last name: those of the longest part, for each candle that is remembered."""
    longest = max(atr_window(period) + lookback - 1, adx_window(period) + 1, breadth + 1, TREND_BACK + 1)
    return max(longest, DAY_CANDLES + 1) + MEMORY - 1


@indicator("regime", window=regime_window)
def regime(
    open_time_ns: IntArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    period: int = 14,
    breadth: int = 50,
    lookback: int = 500,
) -> FloatArray:
    """Regime: range, trend_up, trend_down, breakout, accumulation, distribution or high_volatility, as its number.

    A candle has the first name that fits.  high_volatility: the average true range, as a fraction of the close, is
    above 90 % of its last `lookback` values, or the last 24 hours ranged over more than 5 % of the close.  breakout: a
    close beyond the range of the `breadth` candles before, on more than 1.5 times their mean volume, with the ADX
    rising.  trend_up: an ADX above 25, and a close above its mean of `breadth` candles and above the one 20 candles
    ago; trend_down mirrored.  accumulation: a range of `breadth` candles that is flat (at most the root of `breadth`
    times the ATR: what a random walk covers), its net volume (that of rising closes less that of falling ones) above
    zero, and the close in its lowest quarter; distribution mirrored.  Else range.  A name changes when two candles in a
    row agree on another one.

    open_time_ns: int64, shape (n,), oldest first, at least a minute apart.
    high, low, close: float64, shape (n,), quote units per base unit.  volume: base units.
    period:   candles in the ATR and the ADX, at least 1.
    breadth:  candles in the range and the mean, at least 2.
    lookback: candles that the volatility is compared with, at least 2.
    Returns:  float64, shape (n,), places in REGIMES; NaN in the first max(`period` + `lookback` - 1, 2 `period`,
              `breadth`, 20) values, and until there are candles of 24 hours.
    Raises:   ValueError when a parameter is too small.
    Source:   SPEC 13.4; the averages are those of `atr` and `adx`.
    """
    for name, value, least in (("period", period, 1), ("breadth", breadth, 2), ("lookback", lookback, 2)):
        if value < least:
            raise ValueError(f"{name} of a regime is at least {least}, not {value}")
    from promethean.indicators.trend._regime_kernels import settled, share_below, trailing_range

    average = atr(high, low, close, period)
    strength = adx(high, low, close, period).adx
    rank = share_below(average.atr_pct, lookback, MARGIN)
    day = trailing_range(open_time_ns, high, low, DAY_NS)
    codes = np.full(len(close), float(RANGE))
    # The first name that fits wins, so the last one is written first.
    for code, fits in reversed(
        [
            (HIGH_VOLATILITY, (rank > VOLATILE_SHARE) | (day > DAILY_RANGE_MAX * close)),
            (BREAKOUT, _breaks_out(high, low, close, volume, strength, breadth)),
            *_trends(close, strength, breadth),
            *_flats(high, low, close, volume, average.atr, breadth),
        ]
    ):
        codes[fits] = code
    codes[: max(2 * period, breadth, TREND_BACK)] = np.nan
    codes[np.isnan(rank) | np.isnan(day)] = np.nan
    return settled(codes, MEMORY, float(RANGE))


def _breaks_out(
    high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray, strength: FloatArray, breadth: int
) -> BoolArray:
    from promethean.indicators.trend._kernels import sliding_mean

    top, bottom = _before(_highest(high, breadth)), _before(_lowest(low, breadth))
    is_loud = volume > VOLUME_MULTIPLE * _before(sliding_mean(volume, breadth))
    is_stronger = strength > _before(strength) + 100 * MARGIN
    return ((close > top) | (close < bottom)) & is_loud & is_stronger


def _trends(close: FloatArray, strength: FloatArray, breadth: int) -> list[tuple[int, BoolArray]]:
    from promethean.indicators.trend._kernels import sliding_mean

    mean, earlier = sliding_mean(close, breadth), _before(close, TREND_BACK)
    is_strong = strength > TREND_ADX  # NaN where nothing moves: no trend
    return [
        (TREND_UP, is_strong & (close > mean) & (close > earlier)),
        (TREND_DOWN, is_strong & (close < mean) & (close < earlier)),
    ]


def _flats(
    high: FloatArray, low: FloatArray, close: FloatArray, volume: FloatArray, average: FloatArray, breadth: int
) -> list[tuple[int, BoolArray]]:
    from promethean.indicators.trend._kernels import sliding_mean

    top, bottom = _highest(high, breadth), _lowest(low, breadth)
    is_flat = top - bottom <= math.sqrt(breadth) * average  # less than a random walk of such candles covers
    net = sliding_mean(np.sign(close - _before(close)) * volume, breadth)  # the change of the OBV, of one sign with it
    near = NEAR_SHARE * (top - bottom)
    return [
        (ACCUMULATION, is_flat & (net > 0) & (close <= bottom + near)),
        (DISTRIBUTION, is_flat & (net < 0) & (close >= top - near)),
    ]


def _highest(values: FloatArray, candles: int) -> FloatArray:
    highest: FloatArray = ta_lib().MAX(values, candles)
    return highest


def _lowest(values: FloatArray, candles: int) -> FloatArray:
    lowest: FloatArray = ta_lib().MIN(values, candles)
    return lowest


def _before(values: FloatArray, candles: int = 1) -> FloatArray:
    """Each value so many candles later; what comes before the first is not known."""
    shifted = np.full(len(values), np.nan)
    shifted[candles:] = values[:-candles]
    return shifted
