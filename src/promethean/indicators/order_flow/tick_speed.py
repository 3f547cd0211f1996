"""How many trades there are a minute, and whether they become more."""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

import numpy as np

from promethean.domain.candles import IntArray
from promethean.indicators.order_flow.bands import exceeds
from promethean.indicators.order_flow.tape import MINUTE_NS, check_minutes, check_rising


class Speed(enum.StrEnum):
    """Above 20, 50 and 100 trades a minute a market is no longer slow."""

    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"
    EXTREME = "extreme"


class Acceleration(enum.IntEnum):
    """Beyond +-0.2 and +-0.5 the second half differs from the first."""

    SLOWING_FAST = -2
    SLOWING = -1
    STEADY = 0
    RISING = 1
    RISING_FAST = 2


class TickSpeed(NamedTuple):
    """Speed of the tape.

    per_minute:        trades a minute.
    acceleration:      second half / first half - 1; NaN when nothing traded in the first half.
    acceleration_band: None when the acceleration is NaN.
    """

    per_minute: float
    band: Speed
    acceleration: float
    acceleration_band: Acceleration | None


def tick_speed(at_ns: IntArray, now_ns: int, minutes: int = 5) -> TickSpeed:
    """Trades a minute over the last minutes, and how the second half of them compares with the first.

    at_ns:   int64, shape (n,), instants of trades, nanoseconds since the epoch, not falling.
    now_ns:  nanoseconds since the epoch; later trades are not looked at.
    minutes: at least 1.
    Raises:  ValueError for instants that fall, or minutes below 1.
    Source:  above 100 extreme, above 50 high, above 20 moderate; acceleration beyond 0.2 and 0.5.
    """
    check_minutes(minutes)
    check_rising(at_ns, "trades")
    length_ns = minutes * MINUTE_NS
    edges = [now_ns - length_ns, now_ns - length_ns // 2, now_ns]
    start, middle, stop = np.searchsorted(at_ns, edges, side="right").tolist()
    per_minute = (stop - start) / minutes
    speeds = ((100, Speed.EXTREME), (50, Speed.HIGH), (20, Speed.MODERATE))
    band = next((speed for limit, speed in speeds if exceeds(per_minute, limit)), Speed.LOW)
    if middle == start:
        return TickSpeed(per_minute, band, math.nan, None)
    acceleration = (stop - middle) / (middle - start) - 1
    size = 2 if exceeds(abs(acceleration), 0.5) else 1 if exceeds(abs(acceleration), 0.2) else 0
    return TickSpeed(per_minute, band, acceleration, Acceleration(size if acceleration > 0 else -size))
