"""Simple moving average."""

from __future__ import annotations

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator


def sma_window(period: int = 20) -> int:
    """Trailing closes that decide the last value, exactly."""
    return period


@indicator("sma", window=sma_window)
def sma(close: FloatArray, period: int = 20) -> FloatArray:
    """Simple moving average.

    close:   float64, shape (n,), oldest first; quote units per base unit, or any other values, NaN among them.
    period:  candles in the average, at least 1.
    Returns: float64, shape (n,), in the unit of the values; NaN for the first `period` - 1, and where one of the values
             averaged is NaN.
    Raises:  ValueError when `period` is below 1.
    Source:  the arithmetic mean of the last `period` values.
    """
    if period < 1:
        raise ValueError(f"the period of a moving average is at least 1, not {period}")
    from promethean.indicators.trend._kernels import sliding_mean

    return sliding_mean(close, period)
