"""Volume that was bought less volume that was sold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import State, indicator


class DeltaVolume(NamedTuple):
    """delta: taker buys less taker sells, base units.  buy_share: 0-1.  cumulative: running delta, base units."""

    delta: FloatArray
    buy_share: FloatArray
    cumulative: FloatArray


def delta_volume_resume(
    volume: FloatArray, taker_buy_volume: FloatArray, state: State | None
) -> tuple[DeltaVolume, State]:
    """The volume delta, continued.

    state:   what was given after the candles before; None at the beginning.
    Returns: as `delta_volume` says, and the state after the last candle: the running sum.
    """
    delta = taker_buy_volume - (volume - taker_buy_volume)
    unknown = np.isnan(delta)
    started = state if state is not None else np.zeros(1)
    sums = np.cumsum(np.concatenate([started, np.where(unknown, 0.0, delta)]))
    share = taker_buy_volume / np.where(volume > 0, volume, np.nan)
    return DeltaVolume(delta, share, np.where(unknown, np.nan, sums[1:])), sums[-1:].copy()


@indicator("delta_volume", resume=delta_volume_resume)
def delta_volume(volume: FloatArray, taker_buy_volume: FloatArray) -> DeltaVolume:
    """Volume delta: what takers bought less what they sold.

    volume:           float64, shape (n,), oldest first, base units.
    taker_buy_volume: float64, shape (n,), base units, at most `volume`; NaN where the venue does not say.
    Returns:          delta, buy_share and cumulative, each float64 of shape (n,).  Where an input is NaN all three are;
                      the running sum then goes on without that candle, as its level is arbitrary anyway.  The share is
                      also NaN where nothing traded.
    Source:           the difference of the two parts of the volume; delta = 2 x taker buys - volume.
    """
    return delta_volume_resume(volume, taker_buy_volume, None)[0]
