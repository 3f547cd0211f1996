"""Imbalances: candles that went one way through prices their neighbours hardly traded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator
from promethean.indicators.smart_money.history import prepared


class Imbalances(NamedTuple):
    """What is known of imbalances at the close of each candle; float64, shape (n,).

    side:        +1 or -1 when the candle before this one was a bullish or bearish imbalance, known with this candle;
                 else 0; NaN for the first two.
    top, bottom: edges of its body, quote units per base unit; NaN without one.
    """

    side: FloatArray
    top: FloatArray
    bottom: FloatArray


@dataclass(frozen=True, slots=True)
class Imbalance:
    """One imbalance.

    top, bottom: edges of the candle's body, quote units per base unit.
    at:          number of the candle, in the given arrays; known_at: that of the next one.
    filled_at:   number of the later candle that first traded through the whole body, -1 while none has.
    """

    side: Literal["bullish", "bearish"]
    top: float
    bottom: float
    at: int
    known_at: int
    filled_at: int

    @property
    def filled(self) -> bool:
        """Whether the price has traded through it."""
        return self.filled_at >= 0


def imbalances_window() -> int:
    """Trailing candles that decide the last value: the candle and its neighbours."""
    return 3


@indicator("imbalances", window=imbalances_window)
def imbalances(
    open: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    body: float = 0.70,
    overlap: float = 0.25,
    size: float = 0.003,
) -> Imbalances:
    """Imbalances: large candles, nearly all body, that overlap little with the candles beside them.

    open ... close: float64, shape (n,), oldest first, quote units per base unit.
    body:    smallest share of the candle's range that its body takes, 0 to 1.
    overlap: largest share of the body that the range of either neighbour covers, 0 to 1.
    size:    smallest body as a share of the candle's close, at least 0.
    Returns: Imbalances, float64 arrays of shape (n,); known at the close of the next candle.
    Raises:  ValueError when a parameter is out of range or the columns differ in length.
    Source:  the usage of smart-money trading: one side alone traded these prices.
    """
    for name, share in (("body", body), ("overlap", overlap)):
        if not 0 <= share <= 1:
            raise ValueError(f"the {name} of an imbalance is a share from 0 to 1, not {share}")
    if not (math.isfinite(size) and size >= 0):
        raise ValueError(f"the size of an imbalance is a share of the price of at least 0, not {size}")
    from promethean.indicators.smart_money._kernels import scan_imbalances

    opens, highs, lows, closes = prepared(open, high, low, close)
    out = np.full((3, len(high)), np.nan)
    scan_imbalances(opens, highs, lows, closes, body, overlap, size, out)
    return Imbalances(*out)


def imbalances_in(found: Imbalances, high: FloatArray, low: FloatArray) -> tuple[Imbalance, ...]:
    """The imbalances in what `imbalances` gave for these candles, filled ones too, oldest first."""
    from promethean.indicators.smart_money._kernels import first_through

    highs, lows = prepared(high, low)
    listed = []
    for known_at in np.flatnonzero(~np.isnan(found.top)).tolist():
        side, top, bottom = (float(column[known_at]) for column in found)
        filled_at = first_through(highs, lows, known_at + 1, side, top, bottom)
        kind: Literal["bullish", "bearish"] = "bullish" if side > 0 else "bearish"
        listed.append(Imbalance(kind, top, bottom, known_at - 1, known_at, filled_at))
    return tuple(listed)


def list_imbalances(
    open: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    body: float = 0.70,
    overlap: float = 0.25,
    size: float = 0.003,
) -> tuple[Imbalance, ...]:
    """All imbalances in the candles, filled ones too, oldest first.  Takes and raises what `imbalances` does."""
    return imbalances_in(imbalances(open, high, low, close, body, overlap, size), high, low)
