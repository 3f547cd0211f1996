"""Prices at which one side took much and moved nothing."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.market import Side
from promethean.indicators.order_flow.bands import EXACTNESS, Reading, reaches
from promethean.indicators.order_flow.tape import MINUTE_NS, Tape, check_minutes, tape_of

MULTIPLE = 3.0  # of the average bucket
MOVE_MAX = 0.0005  # of the price


class AbsorptionZone(NamedTuple):
    """A band of prices [price_low, price_high).

    side:         which side took.
    volume:       what it took there, base units.
    price_change: from the trade before it began to the trade after it ended, as a fraction.
    """

    price_low: float
    price_high: float
    side: Side
    volume: float
    price_change: float

    @property
    def reading(self) -> Reading:
        """Buying that moves nothing meets a seller: bearish; and the other way round."""
        return Reading.BEARISH if self.side is Side.BUY else Reading.BULLISH


def absorption_zones(
    at_ns: IntArray,
    price: FloatArray,
    quantity: FloatArray,
    aggressor: IntArray,
    now_ns: int,
    minutes: int = 60,
    bucket: float | None = None,
) -> tuple[AbsorptionZone, ...]:
    """Where aggressive volume was absorbed in the last minutes, lowest price first.

    The trades are put into buckets of price.  A zone is a bucket in which one side took at least three times what both
    together took in the average bucket, while the price changed by less than 0.05 %: from the last trade before that
    side's first one there to the first trade after its last one there.  Empty buckets do not count.  A bucket is at
    least as wide as that change, so a market that trades through it leaves no zone, and one that turns around in it
    does.

    at_ns, price, quantity, aggressor: trades as in `Tape`.
    now_ns:  nanoseconds since the epoch; later trades are not looked at.
    minutes: at least 1.
    bucket:  width in quote units per base unit, above 0; by default 0.05 % of the last price, rounded up to 1, 2 or 5
             times a power of ten.
    Raises:  ValueError for trades that `tape_of` refuses, minutes below 1, or a bucket not above 0.
    Source:  aggressive volume in a bucket >= 3 x the average bucket while the price changes by less than 0.05 %.
    """
    check_minutes(minutes)
    if bucket is not None and not bucket > 0:
        raise ValueError(f"a bucket of prices has a width above 0, not {bucket}")
    recent = tape_of(at_ns, price, quantity, aggressor).between(now_ns - minutes * MINUTE_NS, now_ns)
    if not len(recent.at_ns):
        return ()
    width = bucket if bucket is not None else one_two_five(MOVE_MAX * float(recent.price[-1]))
    bottoms, place = np.unique(np.floor(recent.price / width + 1e-9), return_inverse=True)
    limit = MULTIPLE * float(recent.quantity.sum()) / len(bottoms)
    zones = []
    for side in (Side.BUY, Side.SELL):
        taken = np.where(recent.aggressor == side.sign, recent.quantity, 0.0)
        volumes = np.bincount(place, weights=taken)
        for number in np.flatnonzero(volumes > 0).tolist():
            if not reaches(float(volumes[number]), limit):
                continue
            change = _change(recent, np.flatnonzero((place == number) & (taken > 0)))
            if abs(change) < MOVE_MAX * (1 - EXACTNESS):
                low = float(bottoms[number]) * width
                zones.append(AbsorptionZone(low, low + width, side, float(volumes[number]), change))
    return tuple(sorted(zones))


def one_two_five(value: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is at least `value`, which is above 0."""
    power = math.floor(math.log10(value))
    return next(step for step in (float(f"{digit}e{power}") for digit in (1, 2, 5, 10, 20)) if reaches(step, value))


def _change(tape: Tape, rows: IntArray) -> float:
    before, after = max(int(rows[0]) - 1, 0), min(int(rows[-1]) + 1, len(tape.price) - 1)
    return float(tape.price[after] / tape.price[before] - 1)
