"""Stop hunts: wicks that reach beyond a swing and come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator
from promethean.indicators.smart_money.history import prepared
from promethean.indicators.smart_money.swing_points import require_strength


class StopHunts(NamedTuple):
    """What is known of stop hunts at the close of each candle; float64, shape (n,).

    side:  +1 when stops below a swing low were taken and the price turned up, -1 when stops above a swing high were and
           it turned down, known with this candle; else 0; NaN while no swing can have been known before the candle.
    level: price of the swing, quote units per base unit; NaN without a hunt.
    """

    side: FloatArray
    level: FloatArray


@dataclass(frozen=True, slots=True)
class StopHunt:
    """One stop hunt.

    side:     bullish: below a swing low and back up; bearish: above a swing high and back down.
    level:    price of the swing, quote units per base unit.
    wick:     share of the candle's range that the wick takes, 0.5 to 1.
    reversal: way back from the extreme to the close that made it known, as a share of the extreme.
    at:       number of the candle with the wick, in the given arrays; known_at: that one or the next.
    """

    side: Literal["bullish", "bearish"]
    level: float
    wick: float
    reversal: float
    at: int
    known_at: int


def stop_hunt_window(lookback: int = 10, strength: int = 5) -> int:
    """Trailing candles that decide the last value.

    The wick may be one candle back, its swing became known up to `lookback` candles before that, and the swing stands
    between `strength` candles on each side.
    """
    return lookback + 2 * strength + 2


def _scan(
    open: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray, lookback: int, strength: int
) -> FloatArray:
    """Hunts by the candle with the wick, shape (5, n): side, level, wick, reversal, known_at; NaN for none."""
    require_strength(strength)
    if lookback < 1:
        raise ValueError(f"the lookback for stop hunts is at least 1 candle, not {lookback}")
    from promethean.indicators.smart_money._kernels import HUNT_LENGTH, scan_hunts

    opens, highs, lows, closes = prepared(open, high, low, close)
    hunts = np.full((HUNT_LENGTH, len(high)), np.nan)
    scan_hunts(opens, highs, lows, closes, lookback, strength, np.full((2, len(high)), np.nan), hunts)
    return hunts


@indicator("stop_hunt", window=stop_hunt_window)
def stop_hunt(
    open: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray, lookback: int = 10, strength: int = 5
) -> StopHunts:
    """Stop hunts: a wick at least 0.1 % beyond a known swing, a close back inside, and a reversal of 0.5 %.

    open ... close: float64, shape (n,), oldest first, quote units per base unit.
    lookback: candles before the wick's one within which the swing became known, at least 1.
    strength: candles on each side of a swing, at least 1.
    Returns:  StopHunts, float64 arrays of shape (n,).  The wick takes at least half of the range; the reversal is that
              of the same or the next close.  Of several swings the outermost counts; a candle whose wicks both qualify
              speaks for neither side.  When its own hunt and that of the candle before become known at once, the arrays
              show its own.
    Raises:   ValueError when a parameter is out of range or the columns differ in length.
    Source:   the usage of smart-money trading: liquidity beyond a swing is taken before the price turns.
    """
    hunts = _scan(open, high, low, close, lookback, strength)
    side, level = np.zeros(len(high)), np.full(len(high), np.nan)
    side[: 2 * strength + 1] = np.nan
    places = np.arange(len(high))
    for delay in (1, 0):
        wicks = np.flatnonzero(hunts[4] == places + delay)
        side[wicks + delay] = hunts[0, wicks]
        level[wicks + delay] = hunts[1, wicks]
    return StopHunts(side, level)


def list_hunts(
    open: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray, lookback: int = 10, strength: int = 5
) -> tuple[StopHunt, ...]:
    """All stop hunts in the candles, oldest first.  Takes and raises what `stop_hunt` does."""
    hunts = _scan(open, high, low, close, lookback, strength)
    places = np.flatnonzero(~np.isnan(hunts[0]))
    return tuple(
        StopHunt("bullish" if side > 0 else "bearish", level, wick, reversal, at, int(known_at))
        for at, (side, level, wick, reversal, known_at) in zip(
            places.tolist(), hunts[:, places].T.tolist(), strict=True
        )
    )
