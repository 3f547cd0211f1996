"""An open position as the conditions of its exit read it, at the close of a primary candle (SPEC 7.7)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Held(NamedTuple):
    """The values of `conditions.tree.POSITION`, in that order."""

    entry_price: float
    pnl_pct: float
    bars_held: float


def gain_pct(entry_price: float, price: float, sign: int) -> float:
    """What a position gains at a price, percent of its entry price, net of nothing.  sign: 1 long, -1 short.

    Whole billionths of a percent, so that a gain of 3 is 3 whatever the floats of the two prices leave of it.
    """
    return float(np.floor((price - entry_price) * sign * 100.0 / entry_price * 1e9 + 0.5)) / 1e9


def bars_held(opened_ns: int, open_time_ns: int, length_ns: int) -> float:
    """Candles closed since an entry, at the close of the candle that began at `open_time_ns`; 1 at the entry's own.

    opened_ns: of the entry fill.  Counted on the clock, so candles that the data lack count as well.
    """
    return 1.0 - (opened_ns - open_time_ns) // length_ns
