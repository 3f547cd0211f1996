"""Moving average convergence and divergence."""

from __future__ import annotations

from typing import NamedTuple

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator
from promethean.indicators.trend.ema import ema, ema_window


class Macd(NamedTuple):
    """The difference of two averages, its own average, and what lies between; quote units, float64, shape (n,) each."""

    macd: FloatArray
    signal_line: FloatArray
    histogram: FloatArray


def macd_window(slow: int = 26, signal: int = 9) -> int:
    """Trailing closes that decide the last values: the slow average's, and those that its own average looks back."""
    return ema_window(slow) + ema_window(signal)


@indicator("macd", window=macd_window)
def macd(close: FloatArray, fast: int = 12, slow: int = 26, signal: int = 9) -> Macd:
    """MACD: how far a fast exponential average is from a slow one, with signal line and histogram.

    Each average begins with its own first closes.  TA-Lib begins the fast one where the slow one begins, so its first
    values differ and then come close to these.

    close:   float64, shape (n,), oldest first, quote units per base unit.
    fast, slow: periods of the averages; fast is at least 1 and below slow.
    signal:  period of the signal line, at least 1.
    Returns: Macd; the first slow - 1 values are NaN, of signal line and histogram the first slow + signal - 2.
    Raises:  ValueError when fast or signal is below 1, or slow is not above fast.
    Source:  Appel (1979), The Moving Average Convergence-Divergence Trading Method:
             macd = EMA(fast) - EMA(slow), signal line = EMA(signal) of the macd, histogram = macd - signal line.
    """
    if not 1 <= fast < slow:
        raise ValueError(f"the fast period of a MACD is at least 1 and below the slow one, unlike {fast} and {slow}")
    if signal < 1:
        raise ValueError(f"the signal period of a MACD is at least 1, not {signal}")
    difference = ema(close, fast) - ema(close, slow)
    signal_line = ema(difference, signal)
    return Macd(difference, signal_line, difference - signal_line)
