"""EMA ribbon: four exponential averages and whether they stand in order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator
from promethean.indicators.trend.ema import ema, ema_window

EQUAL = 1e-12  # of the slower average: what rounding leaves between two averages of a price that stands still


class EmaRibbon(NamedTuple):
    """Four averages from fast to slow, their order and their distance; float64, shape (n,) each.

    alignment: 1 when each average is above the next slower one by more than rounding, -1 when each is below, else 0.
    fast, medium, slow, base: quote units per base unit.
    spread: how far the fastest is above the slowest, as a fraction of the slowest.
    """

    alignment: FloatArray
    fast: FloatArray
    medium: FloatArray
    slow: FloatArray
    base: FloatArray
    spread: FloatArray


def ema_ribbon_window(base: int = 200) -> int:
    """Trailing closes that decide the last values: those of the slowest average."""
    return ema_window(base)


@indicator("ema_ribbon", window=ema_ribbon_window)
def ema_ribbon(close: FloatArray, fast: int = 9, medium: int = 21, slow: int = 55, base: int = 200) -> EmaRibbon:
    """EMA ribbon: four exponential averages, their order and their spread.

    close:   float64, shape (n,), oldest first, quote units per base unit.
    fast, medium, slow, base: periods of the averages, each above the one before, the first at least 1.
    Returns: EmaRibbon; each average is NaN for its first period - 1 values, alignment and spread as long as one is.
    Raises:  ValueError when the periods are not in rising order or the first is below 1.
    Source:  exponential averages as in `ema`; alignment compares neighbours, spread = fast / base - 1.
    """
    if not 1 <= fast < medium < slow < base:
        raise ValueError(f"the periods of an EMA ribbon rise from at least 1, unlike {fast}, {medium}, {slow}, {base}")
    first, second, third, last = (ema(close, period) for period in (fast, medium, slow, base))
    steps = [(faster - slower) / slower for faster, slower in ((first, second), (second, third), (third, last))]
    rising = np.logical_and.reduce([step > EQUAL for step in steps])
    falling = np.logical_and.reduce([step < -EQUAL for step in steps])
    alignment = np.where(np.isnan(last), np.nan, rising.astype(np.float64) - falling)
    return EmaRibbon(alignment, first, second, third, last, first / last - 1)
