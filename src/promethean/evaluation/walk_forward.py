"""Walk-forward: parameters chosen on some candles are judged on the candles that follow."""

from __future__ import annotations

from msgspec import Struct

from promethean.domain.candles import IntArray
from promethean.domain.errors import ConfigError
from promethean.domain.instants import DAY_NS
from promethean.evaluation.judging import Stretch

INSIDE = 3  # parts to choose on for each part to judge on
DAYS_MIN = 2  # of a part: a ratio of daily returns needs two of them
FOLDS_MAX = 100


class Fold(Struct, frozen=True):
    """Candles to choose on, and those that follow, to judge on."""

    inside: Stretch
    outside: Stretch


def make_folds(open_time_ns: IntArray, count: int) -> list[Fold]:
    """Folds that roll forward: three parts to choose on, one to judge on; those to judge on are the last `count` parts.

    open_time_ns: of the candles.
    Raises ConfigError when a part would be shorter than two days.
    """
    if not 1 <= count <= FOLDS_MAX:
        raise ConfigError(f"--walk-forward is {count}; write a number from 1 to {FOLDS_MAX}, for example 6")
    parts = count + INSIDE
    candles = len(open_time_ns)
    days = (int(open_time_ns[-1]) - int(open_time_ns[0])) / DAY_NS
    if days / parts < DAYS_MIN or candles < 2 * parts:
        most = int(days / DAYS_MIN) - INSIDE
        remedy = f"give {most} or fewer, or more candles" if most >= 1 else "give more candles"
        raise ConfigError(
            f"--walk-forward {count} cuts {days:.1f} days into {parts} parts of {days / parts:.1f} days, and each "
            f"needs {DAYS_MIN}; {remedy}"
        )
    edges = [candles * number // parts for number in range(parts + 1)]
    return [
        Fold(Stretch(edges[at], edges[at + INSIDE]), Stretch(edges[at + INSIDE], edges[at + INSIDE + 1]))
        for at in range(count)
    ]
