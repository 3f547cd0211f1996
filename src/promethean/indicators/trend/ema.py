"""Exponential moving average."""

from __future__ import annotations

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator


def ema_window(period: int = 20) -> int:
    """Trailing closes that decide the last value.

    The weight of what came before the last 21 periods is (1 - 2 / (period + 1)) ** (21 period), below e**-42: a price
    then may have been a million times as high and still moves the value by less than 1e-12.  One more period is for
    the mean that begins the average.
    """
    return 22 * period


@indicator("ema", window=ema_window)
def ema(close: FloatArray, period: int = 20) -> FloatArray:
    """Exponential moving average, begun with the simple average of the first closes.

    Computed by a loop of its own: TA-Lib's begins with a rounded mean, which a price that stands still never leaves, so
    that the difference of two averages had the sign of a rounding error.

    close:   float64, shape (n,), oldest first; quote units per base unit, or any other values.  NaN at the beginning
             are passed over; after one further on the average stays NaN.
    period:  candles in the first average, at least 1; the newest close weighs 2 / (period + 1).
    Returns: float64, shape (n,), in the unit of the values; NaN before there are `period` values.
    Raises:  ValueError when `period` is below 1.
    Source:  E[i] = E[i-1] + 2 / (period + 1) * (close[i] - E[i-1]), E[period-1] = the mean of the first `period`.
    """
    if period < 1:
        raise ValueError(f"the period of a moving average is at least 1, not {period}")
    from promethean.indicators.trend._kernels import exponential_mean

    return exponential_mean(close, period)
