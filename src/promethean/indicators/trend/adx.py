"""Average directional index."""

from __future__ import annotations

from typing import NamedTuple

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator

STILL_PERIODS = 10  # after so many periods without movement what is left of it says nothing


class Adx(NamedTuple):
    """Strength of the trend, and of its two sides; float64 in [0, 100], shape (n,) each."""

    adx: FloatArray
    plus_di: FloatArray
    minus_di: FloatArray


def adx_window(period: int = 14) -> int:
    """Trailing candles that decide the last values.

    Both directions are known to better than 1e-12 after 64 periods, as with an RSI; the average of their index keeps
    e**-32 of what it was 32 periods before.  The first candle has nothing to move from.
    """
    return 96 * period + 1


@indicator("adx", window=adx_window)
def adx(high: FloatArray, low: FloatArray, close: FloatArray, period: int = 14) -> Adx:
    """Average directional index with Wilder's smoothing, and the two directional indicators.

    Computed by a loop of its own: TA-Lib's keeps its values for as long as nothing moves, so that no number of candles
    would be enough to know them.

    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    period:  candles in the averages, at least 1.
    Returns: Adx, each in [0, 100].  The first `period` values of +DI and -DI are NaN, of the ADX the first
             2 `period` - 1.  NaN are also those before the first candle with a range and those after ten periods
             without one: 0 / 0 is no strength.  Ranges without a direction for ten periods count as an index of 0.
    Raises:  ValueError when `period` is below 1.
    Source:  Wilder (1978), New Concepts in Technical Trading Systems: +DM is the rise of the high when it is positive
             and above the fall of the low, -DM the mirror; DI = 100 DM / TR, both smoothed; ADX is the smoothed
             100 |+DI - -DI| / (+DI + -DI).  As in TA-Lib, the first sums hold `period` - 1 movements.
    """
    if period < 1:
        raise ValueError(f"the period of an ADX is at least 1, not {period}")
    from promethean.indicators.trend._kernels import directional_movement

    return Adx(*directional_movement(high, low, close, period, STILL_PERIODS * period))
