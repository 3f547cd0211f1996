"""Supertrend: a trailing line that only tightens until the close breaks it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import State, indicator

STATE_LENGTH = 6


class Supertrend(NamedTuple):
    """The line and the side of it that counts; float64, shape (n,) each.

    line: quote units per base unit, below the price in a rising trend and above it in a falling one.
    direction: 1 in a rising trend, -1 in a falling one.
    """

    line: FloatArray
    direction: FloatArray


def supertrend_resume(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    state: State | None = None,
    *,
    period: int = 10,
    multiple: float = 3.0,
) -> tuple[Supertrend, State]:
    """Supertrend of candles that follow those of a state, and the state after them.

    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    state:   what an earlier call with the same parameters gave, shape (6,); None before the first candle.
    period, multiple: as in `supertrend`.
    Returns: Supertrend and the state to continue from; the state given is left as it is.
    Raises:  ValueError as `supertrend`, and for a state of another length.
    """
    if period < 1:
        raise ValueError(f"the period of a Supertrend is at least 1, not {period}")
    if not 0 < multiple < math.inf:
        raise ValueError(f"the multiple of a Supertrend is above 0, not {multiple}")
    before = np.zeros(STATE_LENGTH) if state is None else state
    if before.shape != (STATE_LENGTH,):
        raise ValueError(f"the state of a Supertrend holds {STATE_LENGTH} numbers, not {before.shape}")
    from promethean.indicators.trend._kernels import supertrend_bands

    line, direction, after = supertrend_bands(high, low, close, period, float(multiple), before)
    return Supertrend(line, direction), after


@indicator("supertrend", resume=supertrend_resume)
def supertrend(
    high: FloatArray, low: FloatArray, close: FloatArray, period: int = 10, multiple: float = 3.0
) -> Supertrend:
    """Supertrend: a trailing line by average true ranges, which only tightens until the close breaks it.

    Two bands lie `multiple` average true ranges above and below the middle of the candle.  The upper one only falls and
    the lower one only rises, until the close before was beyond the band: then it is set anew.  A close above the upper
    band makes the trend rising, one below the lower band falling; the first known candle's trend is rising when it
    closes in the upper half of its range.

    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    period:  candles in Wilder's average of the true range, at least 1.
    multiple: average true ranges between the middle and a band, above 0.
    Returns: Supertrend; the first `period` values are NaN.
    Raises:  ValueError when `period` is below 1 or `multiple` is not a positive number.
    Source:  Seban's Supertrend with the average true range of Wilder (1978), as in `atr`.
    """
    return supertrend_resume(high, low, close, period=period, multiple=multiple)[0]
