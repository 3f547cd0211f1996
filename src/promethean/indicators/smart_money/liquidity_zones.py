"""Liquidity zones: prices where several swings ended, and stops rest behind."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import State, indicator
from promethean.indicators.smart_money.history import continued, state_after
from promethean.indicators.smart_money.swing_points import require_strength

MEDIUM_TOUCHES = 3
STRONG_TOUCHES = 5
NEAR = 0.02  # share of the price


class LiquidityZones(NamedTuple):
    """What is known of zones at the close of each candle; float64, shape (n,); NaN where there is none.

    above_price, above_touches: mean price and number of the swings of the nearest unswept zone of swing highs whose
                                price is above the close; quote units per base unit.
    below_price, below_touches: the same for zones of swing lows below the close.
    """

    above_price: FloatArray
    above_touches: FloatArray
    below_price: FloatArray
    below_touches: FloatArray


@dataclass(frozen=True, slots=True)
class LiquidityZone:
    """One liquidity zone.

    side:        buy_side: swing highs, above which buy stops rest; sell_side: swing lows, below which sell stops rest.
    price:       mean of its swings; top, bottom: the highest and the lowest of them; quote units per base unit.
    touches:     number of its swings.  strength: weak, medium from 3 touches on, strong from 5.
    distance:    price / last close - 1.  near: whether that is within 2 %.
    at, last_at: numbers of the candles of its first and last swing.
    known_at:    number of the candle with which it had enough touches.
    swept_at:    number of the candle that traded beyond it by more than the tolerance, -1 while none has.
    """

    side: Literal["buy_side", "sell_side"]
    price: float
    top: float
    bottom: float
    touches: int
    strength: Literal["weak", "medium", "strong"]
    distance: float
    near: bool
    at: int
    last_at: int
    known_at: int
    swept_at: int

    @property
    def swept(self) -> bool:
        """Whether the price has traded beyond it."""
        return self.swept_at >= 0


def liquidity_zones_resume(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    state: State | None = None,
    tolerance: float = 0.005,
    touches: int = 2,
    strength: int = 5,
) -> tuple[LiquidityZones, State]:
    """Liquidity zones of the candles after a state; see `liquidity_zones`.

    state:   None for the first candle, else what the candles before gave: 64 zones of each side and the last
             2 * strength candles, 1,040 + 6 * strength numbers.
    Returns: the arrays for these candles, and the state after them; `zones_in` lists what it remembers.
    Raises:  ValueError as `liquidity_zones`, and when the state is of another strength.
    """
    require_strength(strength)
    if not 0 <= tolerance < 1:
        raise ValueError(f"the tolerance of a zone is a share of the price from 0 to below 1, not {tolerance}")
    if touches < 1:
        raise ValueError(f"a liquidity zone has at least 1 touch, not {touches}")
    from promethean.indicators.smart_money import _kernels

    tail = 2 * strength
    fresh = np.zeros(_kernels.ZONES_SHAPE)
    fresh[:, 1:, _kernels.ZONE_LAST] = -1
    memory, (highs, lows, closes) = continued(state, fresh, tail, high, low, close)
    out = np.full((4, len(high)), np.nan)
    _kernels.scan_zones(highs, lows, closes, tolerance, touches, strength, memory, out)
    return LiquidityZones(*out), state_after(memory, tail, highs, lows, closes)


@indicator("liquidity_zones", resume=liquidity_zones_resume)
def liquidity_zones(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    tolerance: float = 0.005,
    touches: int = 2,
    strength: int = 5,
) -> LiquidityZones:
    """Liquidity zones: clusters of swing highs, or of swing lows, that lie within a tolerance of each other.

    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    tolerance: largest distance between two swings of a zone, from 0 to below 1, as a share of the lowest high or of the
               highest low: of what the price reaches first.
    touches:   swings that make a zone, at least 1.
    strength:  candles on each side of a swing, at least 1.
    Returns:   LiquidityZones, float64 arrays of shape (n,).  A swing joins the nearest unswept zone that it fits into,
               or begins one.  A price too far beyond to be one more touch sweeps the zone.  Of each side 64 zones
               (beginnings included) are remembered; a new one takes the place of the one not touched for longest.
    Raises:    ValueError when a parameter is out of range or the columns differ in length.
    Source:    the usage of smart-money trading: stops rest behind equal highs and equal lows.
    """
    return liquidity_zones_resume(high, low, close, None, tolerance, touches, strength)[0]


def _strength(touches: float) -> Literal["weak", "medium", "strong"]:
    if touches >= STRONG_TOUCHES:
        return "strong"
    return "medium" if touches >= MEDIUM_TOUCHES else "weak"


def zones_in(state: State) -> tuple[LiquidityZone, ...]:
    """The zones with enough touches that a state of `liquidity_zones_resume` remembers, swept ones too.

    In the order in which they became known.
    """
    from promethean.indicators.smart_money import _kernels

    memory = state[: math.prod(_kernels.ZONES_SHAPE)].reshape(_kernels.ZONES_SHAPE)
    close = float(memory[0, 0, 1])
    zones = []
    for lane, rows in enumerate(memory[:, 1:].tolist()):
        for touches, total, lowest, highest, at, last_at, known_at, swept_at in rows:
            if touches == 0 or known_at < 0:
                continue
            price = total / touches
            distance = price / close - 1
            zones.append(
                LiquidityZone(
                    side="sell_side" if lane else "buy_side",
                    price=price,
                    top=highest,
                    bottom=lowest,
                    touches=int(touches),
                    strength=_strength(touches),
                    distance=distance,
                    near=abs(distance) <= NEAR,
                    at=int(at),
                    last_at=int(last_at),
                    known_at=int(known_at),
                    swept_at=int(swept_at),
                )
            )
    return tuple(sorted(zones, key=lambda zone: zone.known_at))


def list_zones(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    tolerance: float = 0.005,
    touches: int = 2,
    strength: int = 5,
) -> tuple[LiquidityZone, ...]:
    """The zones at the end of the candles, swept ones too, the earlier known first.

    Takes and raises what `liquidity_zones` does.
    """
    return zones_in(liquidity_zones_resume(high, low, close, None, tolerance, touches, strength)[1])
