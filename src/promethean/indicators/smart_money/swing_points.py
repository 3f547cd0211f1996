"""Swing points: highs and lows that stand out on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import State, indicator
from promethean.indicators.smart_money.history import continued, state_after


class SwingPoints(NamedTuple):
    """What is known of swings at the close of each candle; float64, shape (n,), NaN for none so far.

    high, low:           price of the swing that becomes known with this candle, `strength` candles after its extreme.
    last_high, last_low: price of the latest known swing, this candle's included; quote units per base unit.
    last_high_index, last_low_index: number of its candle.
    """

    high: FloatArray
    low: FloatArray
    last_high: FloatArray
    last_low: FloatArray
    last_high_index: FloatArray
    last_low_index: FloatArray


@dataclass(frozen=True, slots=True)
class Swing:
    """One swing.  at: number of its candle; known_at: number of the candle with whose close it is known."""

    kind: Literal["high", "low"]
    price: float
    at: int
    known_at: int


def require_strength(strength: int) -> None:
    """Raise ValueError unless a swing of this strength can be told: at least one candle on each side."""
    if strength < 1:
        raise ValueError(f"the strength of a swing is at least 1 candle on each side, not {strength}")


def swing_points_resume(
    high: FloatArray, low: FloatArray, state: State | None = None, strength: int = 5
) -> tuple[SwingPoints, State]:
    """Swing points of the candles after a state; see `swing_points`.

    state:   None for the first candle, else what the candles before gave; 5 + 4 * strength numbers.
    Returns: the arrays for these candles, and the state after them.
    Raises:  ValueError as `swing_points`, and when the state is of another strength.
    """
    require_strength(strength)
    from promethean.indicators.smart_money._kernels import scan_swings

    tail = 2 * strength
    fresh = np.array([0.0, np.nan, np.nan, np.nan, np.nan])
    memory, (highs, lows) = continued(state, fresh, tail, high, low)
    out = np.full((6, len(high)), np.nan)
    scan_swings(highs, lows, strength, memory, out)
    return SwingPoints(*out), state_after(memory, tail, highs, lows)


@indicator("swing_points", resume=swing_points_resume)
def swing_points(high: FloatArray, low: FloatArray, strength: int = 5) -> SwingPoints:
    """Swing highs and lows: strict extremes against the candles on each side.

    high, low: float64, shape (n,), oldest first, quote units per base unit.
    strength:  candles on each side that the extreme is compared with, at least 1; the swing is known that many candles
               later.  A high that another one within reach equals is no swing.
    Returns:   SwingPoints, float64 arrays of shape (n,).
    Raises:    ValueError when `strength` is below 1 or the columns differ in length.
    Source:    Williams (1995), Trading Chaos: a fractal is an extreme among the candles around it.
    """
    return swing_points_resume(high, low, None, strength)[0]


def swings_in(points: SwingPoints, strength: int = 5) -> tuple[Swing, ...]:
    """The swings in what `swing_points` gave for that strength, the earlier known first and a high before a low."""
    found: list[Swing] = []
    kinds: tuple[Literal["high", "low"], ...] = ("high", "low")
    for kind, prices, candles in zip(kinds, points[:2], points[4:], strict=True):
        known = ~np.isnan(prices)
        found += [
            Swing(kind, price, int(at), int(at) + strength)
            for price, at in zip(prices[known].tolist(), candles[known].tolist(), strict=True)
        ]
    return tuple(sorted(found, key=lambda swing: swing.known_at))


def list_swings(high: FloatArray, low: FloatArray, strength: int = 5) -> tuple[Swing, ...]:
    """All swings known at the end of the candles, the earlier first.  Takes and raises what `swing_points` does."""
    return swings_in(swing_points(high, low, strength), strength)
