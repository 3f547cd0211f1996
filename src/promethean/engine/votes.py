"""Aggregation over whole arrays of candles: `decide.aggregate` at every one of them, without asking it at each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, localcontext
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray
from promethean.domain.market import Side
from promethean.engine.decide import EXACT, Aggregation, Vote, aggregate, as_written
from promethean.strategies.arrays import FlagArray

Flags: TypeAlias = NDArray[np.bool_]
Views: TypeAlias = tuple[FlagArray, FloatArray, Flags]

NEAR = 1e-9  # a comparison of floats closer than this is made again in decimals, as people write the numbers


class VoteArray(Struct, frozen=True):
    """What one source says at every candle.

    side:       int8, shape (n,): +1 BUY, -1 SELL, 0 HOLD.
    confidence: float64, shape (n,), 0-1 where there is a side.
    fresh:      bool, shape (n,): whether it answered.
    """

    source: str
    side: FlagArray
    confidence: FloatArray
    fresh: Flags
    weight: float = 1.0

    def at(self, place: int) -> Vote:
        """The vote at one candle."""
        side = {1: Side.BUY, -1: Side.SELL}.get(int(self.side[place]))
        confidence = float(self.confidence[place]) if side is not None else 0.0
        return Vote(self.source, side, confidence, self.weight, bool(self.fresh[place]))


class _Table(Struct, frozen=True):
    """Votes as matrices of one row a source: weight and confidence are zero where a source did not answer."""

    buys: Flags
    sells: Flags
    weight: FloatArray
    confidence: FloatArray
    fresh: Flags


def aggregate_arrays(votes: Sequence[VoteArray], mode: Aggregation, threshold: float) -> tuple[FlagArray, FloatArray]:
    """One view at every candle from the votes of all configured sources: what `decide.aggregate` gives there.

    Returns: side, int8, shape (n,): +1, -1, 0 for HOLD; confidence, float64, shape (n,), 0 at a HOLD, equal to that of
             `aggregate` within rounding, and to the last digit where it decides about a threshold.
    """
    table = _table(votes)
    side, confidence, is_near = _ARRAYS[mode](table, threshold)
    spoken = (table.buys | table.sells).any(axis=0)
    spoken &= _enough(votes)
    side = np.where(spoken, side, 0).astype(np.int8)
    known: dict[tuple[object, ...], tuple[int, float]] = {}
    for place in np.flatnonzero(is_near & spoken).tolist():
        said = [vote.at(place) for vote in votes]
        key = tuple((vote.side, vote.confidence, vote.fresh) for vote in said)
        if key not in known:
            outcome = aggregate(said, mode, threshold)
            known[key] = (outcome.side.sign if outcome.side is not None else 0), outcome.confidence
        side[place], confidence[place] = known[key]
    return side, np.where(side != 0, confidence, 0.0)


def _enough(votes: Sequence[VoteArray]) -> Flags:
    """Where those who answered have half of the configured weight; decided once for each set of them."""
    members = np.array([1 << number for number in range(len(votes))]) @ np.array([vote.fresh for vote in votes])
    sets, which = np.unique(members, return_inverse=True)
    enough = np.zeros(len(sets), np.bool_)
    with localcontext(EXACT):
        weights = [as_written(vote.weight) for vote in votes]
        for place, members_of in enumerate(sets.tolist()):
            there = sum((weight for number, weight in enumerate(weights) if members_of >> number & 1), Decimal(0))
            enough[place] = there > 0 and 2 * there >= sum(weights)
    found: Flags = enough[which]
    return found


def _table(votes: Sequence[VoteArray]) -> _Table:
    fresh = np.array([vote.fresh for vote in votes])
    buys = np.array([vote.side > 0 for vote in votes]) & fresh
    sells = np.array([vote.side < 0 for vote in votes]) & fresh
    confidence = np.where(buys | sells, np.array([vote.confidence for vote in votes]), 0.0)
    weight = np.where(fresh, np.array([[vote.weight] for vote in votes]), 0.0)
    return _Table(buys, sells, weight, confidence, fresh)


def _is_close(one: FloatArray, other: FloatArray | float) -> Flags:
    close: Flags = np.abs(one - other) <= NEAR
    return close


def _voting(table: _Table, threshold: float) -> Views:
    answering = table.fresh.sum(axis=0)
    buys, sells = table.buys.sum(axis=0), table.sells.sum(axis=0)
    side = (2 * buys > answering).astype(np.int8) - (2 * sells > answering).astype(np.int8)
    winners, count = np.where(side > 0, table.buys, table.sells), np.where(side > 0, buys, sells)
    mean = (table.confidence * winners).sum(axis=0) / np.maximum(count, 1)
    return np.where(mean >= threshold, side, 0), mean, _is_close(mean, threshold)


def _weighted(table: _Table, threshold: float) -> Views:
    total = table.weight.sum(axis=0)
    counted = table.weight * table.confidence / np.where(total > 0, total, 1.0)
    buy, sell = (counted * table.buys).sum(axis=0), (counted * table.sells).sum(axis=0)
    score = np.maximum(buy, sell)
    side = np.sign(buy - sell) * (score >= threshold)
    # Small scores are near each other in the scale of the larger one.
    return side.astype(np.int8), score, _is_close(score, threshold) | (np.abs(buy - sell) <= NEAR * score)


def _unanimous(table: _Table, threshold: float) -> Views:
    answering = table.fresh.sum(axis=0)
    all_buy, all_sell = (flags.sum(axis=0) == answering for flags in (table.buys, table.sells))
    least = np.where(table.fresh, table.confidence, np.inf).min(axis=0)
    side = (all_buy.astype(np.int8) - all_sell.astype(np.int8)) * (answering >= 2) * (least >= threshold)
    return side.astype(np.int8), least, np.zeros(len(least), np.bool_)  # nothing is computed: what is said is compared


def _threshold(table: _Table, threshold: float) -> Views:
    buy, sell = (np.where(flags, table.confidence, -1.0).max(axis=0) for flags in (table.buys, table.sells))
    side = (buy >= threshold).astype(np.int8) - (sell >= threshold).astype(np.int8)
    return side, np.where(side > 0, buy, sell), np.zeros(len(buy), np.bool_)


_ARRAYS: Mapping[Aggregation, Callable[[_Table, float], Views]] = MappingProxyType(
    {
        Aggregation.VOTING: _voting,
        Aggregation.WEIGHTED: _weighted,
        Aggregation.UNANIMOUS: _unanimous,
        Aggregation.THRESHOLD: _threshold,
    }
)
