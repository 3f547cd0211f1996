"""On-balance volume."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import State, indicator


class Obv(NamedTuple):
    """obv: base units.  slope: base units per candle."""

    obv: FloatArray
    slope: FloatArray


def obv_resume(close: FloatArray, volume: FloatArray, state: State | None, slope: int = 10) -> tuple[Obv, State]:
    """The on-balance volume, continued.

    state:   what was given after the candles before; None at the beginning.
    Returns: as `obv` says, and the state after the last candle: how many sums are remembered, the last close, and the
             last `slope` sums.
    Raises:  ValueError when `slope` is below 2.
    """
    if slope < 2:
        raise ValueError(f"the slope of an on-balance volume needs at least 2 candles, not {slope}")
    remembered = int(state[0]) if state is not None else 0
    earlier = state[len(state) - remembered :] if state is not None else np.empty(0)
    if not len(close):
        return Obv(np.empty(0), np.empty(0)), state if state is not None else np.zeros(2 + slope)
    # The very first candle has no change and starts the sum with its volume, as TA-Lib has it.
    last_close = state[1] if state is not None and remembered else -np.inf
    signed = np.sign(np.diff(close, prepend=last_close)) * volume
    started = earlier[-1:] if remembered else np.zeros(1)
    sums = np.cumsum(np.concatenate([started, signed]))[1:]
    whole = np.concatenate([earlier, sums])
    kept = whole[-slope:]
    after = np.concatenate([[float(len(kept)), close[-1]], np.zeros(slope - len(kept)), kept])
    return Obv(sums, slopes(whole, slope)[len(earlier) :]), after


def slopes(values: FloatArray, length: int) -> FloatArray:
    """Slope of the least-squares line through the last `length` values, per place; NaN in the first `length` - 1."""
    given = np.full(len(values), np.nan)
    if len(values) < length:
        return given
    last = values[length - 1 :]
    total = np.zeros(len(last))
    for place in range(length):
        # Relative to the newest value: a sum of years dwarfs what ten candles add to it.
        total += (place - (length - 1) / 2) * (values[place : place + len(last)] - last)
    given[length - 1 :] = total * 12 / (length * (length * length - 1))
    return given


@indicator("obv", resume=obv_resume)
def obv(close: FloatArray, volume: FloatArray, slope: int = 10) -> Obv:
    """On-balance volume: volume added when the close rises and taken away when it falls.

    close:   float64, shape (n,), oldest first, quote units per base unit.
    volume:  float64, shape (n,), base units.
    slope:   candles in the slope, at least 2.
    Returns: obv and slope, each float64 of shape (n,).  The sum starts with the first volume, so its level is arbitrary
             and only its changes mean something; the first `slope` - 1 slopes are NaN.
    Raises:  ValueError when `slope` is below 2.
    Source:  Granville (1963), New Key to Stock Market Profits; the slope is that of the least-squares line.
    """
    return obv_resume(close, volume, None, slope)[0]
