"""Fair value gaps: prices that three candles left out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import indicator
from promethean.indicators.smart_money.history import prepared


class FairValueGaps(NamedTuple):
    """What is known of gaps at the close of each candle; float64, shape (n,); prices are NaN where there is none.

    kind:        +1 or -1 when a bullish or bearish gap becomes known with this candle, else 0; NaN for the first two.
    top, bottom: its edges, quote units per base unit.
    bullish_top, bullish_bottom: edges of the nearest unfilled bullish gap within the lookback; it lies below the close
                 or around it.  Nearest to the close; of equally near ones, the newest.
    bearish_top, bearish_bottom: the same for bearish gaps, above the close or around it.
    """

    kind: FloatArray
    top: FloatArray
    bottom: FloatArray
    bullish_top: FloatArray
    bullish_bottom: FloatArray
    bearish_top: FloatArray
    bearish_bottom: FloatArray


@dataclass(frozen=True, slots=True)
class Gap:
    """One fair value gap.

    top, bottom: quote units per base unit.  size: top - bottom as a share of the middle candle's close.
    at:          number of the middle candle, in the given arrays; known_at: that of the third.
    filled_at:   number of the candle that traded through the whole gap, -1 while none has.
    fill_share:  how much of the gap later candles reached, 0 to 1.
    """

    kind: Literal["bullish", "bearish"]
    top: float
    bottom: float
    size: float
    at: int
    known_at: int
    filled_at: int
    fill_share: float

    @property
    def filled(self) -> bool:
        """Whether the price has traded through it."""
        return self.filled_at >= 0


def fvg_window(lookback: int = 100) -> int:
    """Trailing candles that decide the last value: a gap counts while its three candles lie within the lookback."""
    return lookback


def _scan(
    high: FloatArray, low: FloatArray, close: FloatArray, min_gap: float, lookback: int
) -> tuple[FairValueGaps, FloatArray]:
    """The arrays, and the rows of the gaps that still count at the end, oldest first."""
    if not (math.isfinite(min_gap) and min_gap >= 0):
        raise ValueError(f"the smallest gap is a share of the price of at least 0, not {min_gap}")
    if lookback < 3:
        raise ValueError(f"the lookback for gaps is at least the 3 candles of one, not {lookback}")
    from promethean.indicators.smart_money._kernels import GAP_LENGTH, scan_gaps

    highs, lows, closes = prepared(high, low, close)
    out = np.full((7, len(high)), np.nan)
    ring = np.empty((lookback, GAP_LENGTH))
    first, stop = scan_gaps(highs, lows, closes, min_gap, lookback, ring, out)
    return FairValueGaps(*out), ring[np.arange(first, stop) % lookback]


@indicator("fvg", window=fvg_window)
def fvg(
    high: FloatArray, low: FloatArray, close: FloatArray, min_gap: float = 0.001, lookback: int = 100
) -> FairValueGaps:
    """Fair value gaps: where the low of a candle stays above the high two candles earlier, or mirrored.

    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    min_gap:  smallest height that counts, as a share of the middle candle's close, at least 0.
    lookback: candles within which the three of a gap lie, at least 3.
    Returns:  FairValueGaps, float64 arrays of shape (n,).  A gap is known at the close of its third candle and
              filled by the first later one that reaches its far edge.
    Raises:   ValueError when a parameter is out of range or the columns differ in length.
    Source:   the usage of smart-money trading (Huddleston, "Inner Circle Trader"): bullish iff low[i] > high[i - 2].
    """
    return _scan(high, low, close, min_gap, lookback)[0]


def list_gaps(
    high: FloatArray, low: FloatArray, close: FloatArray, min_gap: float = 0.001, lookback: int = 100
) -> tuple[Gap, ...]:
    """The gaps of the last `lookback` candles, filled ones too, oldest first.  Takes and raises what `fvg` does."""
    gaps = []
    for side, top, bottom, price, at, reached, filled_at in _scan(high, low, close, min_gap, lookback)[1].tolist():
        share = (top - reached if side > 0 else reached - bottom) / (top - bottom)
        gaps.append(
            Gap(
                kind="bullish" if side > 0 else "bearish",
                top=top,
                bottom=bottom,
                size=(top - bottom) / price,
                at=int(at),
                known_at=int(at) + 1,
                filled_at=int(filled_at),
                fill_share=min(1.0, share),
            )
        )
    return tuple(gaps)
