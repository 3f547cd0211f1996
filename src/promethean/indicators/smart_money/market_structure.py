"""Market structure: the trend of the swings, and the closes that break it or go on with it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import State, indicator
from promethean.indicators.smart_money.history import continued, state_after
from promethean.indicators.smart_money.swing_points import Swing, require_strength

Label: TypeAlias = Literal["HH", "LH", "EQH", "HL", "LL", "EQL"]
"""Higher, lower and equal high; higher, lower and equal low: against the swing of that kind before it."""


class MarketStructure(NamedTuple):
    """What is known of the structure at the close of each candle; float64, shape (n,).

    trend:  +1 when the last three known swing highs rise and the last three swing lows rise, -1 when both fall, else 0;
            NaN before there are three of each.
    bos:    break of structure: +1 or -1 when this candle closes beyond the last swing with the trend, else 0.
    choch:  change of character: +1 or -1 (the new direction) when it closes beyond the last swing against the trend,
            else 0.  Both are NaN while the trend before the candle is.
    level:  price of the swing that this candle broke; NaN without a break.
    last_high, last_low, last_high_index, last_low_index: the latest known swings as in SwingPoints.
    """

    trend: FloatArray
    bos: FloatArray
    choch: FloatArray
    level: FloatArray
    last_high: FloatArray
    last_low: FloatArray
    last_high_index: FloatArray
    last_low_index: FloatArray


@dataclass(frozen=True, slots=True)
class Break:
    """A close beyond a swing.  side: the direction of the close; level: the swing's price; at: number of the candle."""

    kind: Literal["bos", "choch"]
    side: Literal["bullish", "bearish"]
    level: float
    at: int


@dataclass(frozen=True, slots=True)
class Structure:
    """The structure at the end of some candles.

    trend:     what the last three highs and lows say; None while there are fewer.
    sequence:  the labels of all swings but the first of each kind, oldest first.
    breaks:    all breaks of structure and changes of character, oldest first; bos and choch: the latest of each.
    last_high, last_low: the latest known swings.
    """

    trend: Literal["bullish", "bearish", "neutral"] | None
    sequence: tuple[Label, ...]
    breaks: tuple[Break, ...]
    bos: Break | None
    choch: Break | None
    last_high: Swing | None
    last_low: Swing | None


def market_structure_resume(
    high: FloatArray, low: FloatArray, close: FloatArray, state: State | None = None, strength: int = 5
) -> tuple[MarketStructure, State]:
    """Market structure of the candles after a state; see `market_structure`.

    state:   None for the first candle, else what the candles before gave; 12 + 6 * strength numbers, among them the
             last three swings of each kind: more are never asked for.
    Returns: the arrays for these candles, and the state after them.
    Raises:  ValueError as `market_structure`, and when the state is of another strength.
    """
    require_strength(strength)
    from promethean.indicators.smart_money import _kernels

    tail = 2 * strength
    fresh = np.full(_kernels.STRUCTURE_LENGTH, np.nan)
    fresh[_kernels.SEEN] = 0
    memory, (highs, lows, closes) = continued(state, fresh, tail, high, low, close)
    out = np.full((8, len(high)), np.nan)
    _kernels.scan_structure(highs, lows, closes, strength, memory, out)
    return MarketStructure(*out), state_after(memory, tail, highs, lows, closes)


@indicator("market_structure", resume=market_structure_resume)
def market_structure(high: FloatArray, low: FloatArray, close: FloatArray, strength: int = 5) -> MarketStructure:
    """Trend of the swings, breaks of structure and changes of character.

    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    strength: candles on each side of a swing, at least 1.
    Returns:  MarketStructure, float64 arrays of shape (n,).  A candle is judged by the swings and the trend known
              before it; a swing is broken once, by the first close beyond it, whatever the trend is then.
    Raises:   ValueError when `strength` is below 1 or the columns differ in length.
    Source:   the usage of smart-money trading: two higher highs and two higher lows make a bullish structure.
    """
    return market_structure_resume(high, low, close, None, strength)[0]


def _new_swings(
    kind: Literal["high", "low"], prices: FloatArray, candles: FloatArray, strength: int
) -> list[tuple[Swing, Label | None]]:
    known = np.flatnonzero(~np.isnan(candles) & (np.diff(candles, prepend=np.nan) != 0))
    swings = [Swing(kind, float(prices[i]), int(candles[i]), int(candles[i]) + strength) for i in known.tolist()]
    labels: list[Label | None] = [None]
    for before, swing in pairwise(swings):
        if kind == "high":
            labels.append("HH" if swing.price > before.price else "LH" if swing.price < before.price else "EQH")
        else:
            labels.append("HL" if swing.price > before.price else "LL" if swing.price < before.price else "EQL")
    return list(zip(swings, labels, strict=False))


def structure_in(structure: MarketStructure, strength: int = 5) -> Structure:
    """The structure at the end of what `market_structure` gave, from the first candle on, for that strength."""
    highs = _new_swings("high", structure.last_high, structure.last_high_index, strength)
    lows = _new_swings("low", structure.last_low, structure.last_low_index, strength)
    in_order = sorted([*highs, *lows], key=lambda swing: swing[0].at)
    breaks = [
        Break("choch" if choch else "bos", "bullish" if bos + choch > 0 else "bearish", level, at)
        for at, bos, choch, level in zip(
            np.flatnonzero(~np.isnan(structure.level)).tolist(),
            *(column[~np.isnan(structure.level)].tolist() for column in structure[1:4]),
            strict=True,
        )
    ]
    trend = float(structure.trend[-1]) if len(structure.trend) else np.nan
    return Structure(
        trend=None if np.isnan(trend) else "bullish" if trend > 0 else "bearish" if trend < 0 else "neutral",
        sequence=tuple(label for _, label in in_order if label is not None),
        breaks=tuple(breaks),
        bos=next((each for each in reversed(breaks) if each.kind == "bos"), None),
        choch=next((each for each in reversed(breaks) if each.kind == "choch"), None),
        last_high=highs[-1][0] if highs else None,
        last_low=lows[-1][0] if lows else None,
    )


def read_structure(high: FloatArray, low: FloatArray, close: FloatArray, strength: int = 5) -> Structure:
    """The structure at the end of the candles.  Takes and raises what `market_structure` does."""
    return structure_in(market_structure(high, low, close, strength), strength)
