"""Words for strengths, and the comparisons behind them."""

from __future__ import annotations

import enum
import math

EXACTNESS = 1e-12  # 55 - 45 of 100 is a tenth, also where binary fractions make it a little more


class Pressure(enum.IntEnum):
    """Which side presses, and how hard; rising from sellers to buyers."""

    STRONG_SELL = -2
    SELL = -1
    NEUTRAL = 0
    BUY = 1
    STRONG_BUY = 2


class Reading(enum.StrEnum):
    """What it says about the price."""

    BULLISH = "bullish"
    BEARISH = "bearish"
    NEUTRAL = "neutral"


def exceeds(value: float, limit: float) -> bool:
    """Whether a value is above a limit by more than rounding."""
    return value > limit + EXACTNESS * abs(limit)


def reaches(value: float, limit: float) -> bool:
    """Whether a value is at least a limit, or misses it by rounding alone."""
    return value >= limit - EXACTNESS * abs(limit)


def pressure(delta: float, moderate: float = 0.10, strong: float = 0.30) -> Pressure | None:
    """The band of a signed share: beyond `moderate` one side presses, beyond `strong` it does so hard.

    delta:   (buy - sell) / (buy + sell), -1..1; NaN is no band.
    Returns: None for NaN.
    """
    if math.isnan(delta):
        return None
    size = 2 if exceeds(abs(delta), strong) else 1 if exceeds(abs(delta), moderate) else 0
    return Pressure(size if delta > 0 else -size)
