"""Array strategies whose votes are counted at every candle: one alone, or several with one voice (SPEC 7.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from promethean.domain.candles import FloatArray
from promethean.engine.decide import Aggregation, aggregate, told
from promethean.engine.votes import Flags, VoteArray, aggregate_arrays
from promethean.strategies.arrays import (
    CLOSES_ALL,
    CLOSES_LONG,
    ArrayStrategy,
    FlagArray,
    ReadsPosition,
    Said,
    innermost,
    remarks_of,
    told_by,
)
from promethean.strategies.conditions.program import Program
from promethean.strategies.frame import Frame
from promethean.strategies.held import Held


class Alone:
    """A strategy that is the only source: silent where nothing follows from its one vote.

    The engine's decision says the same at each candle; here the compiled backtest, which reads arrays alone, hears it.
    """

    def __init__(self, strategy: ArrayStrategy, mode: Aggregation, threshold: float) -> None:
        self.id, self.instrument, self.timeframe = strategy.id, strategy.instrument, strategy.timeframe
        self.window = strategy.window
        self.strategy, self.mode, self.threshold = strategy, mode, threshold

    def say(self, frame: Frame) -> Said:
        """What the strategy says, without the entries that are not sure enough."""
        said = self.strategy.say(frame)
        counts = said.confidence >= self.threshold
        if self.mode is Aggregation.UNANIMOUS:
            counts = np.zeros(len(said.side), np.bool_)  # one alone agrees with nobody
        return said if counts.all() else replace(said, side=said.side * counts.astype(np.int8))

    def reason(self, said: Said, at: int) -> str:
        """Why, as the strategy says it."""
        return self.strategy.reason(said, at)

    def metadata(self, said: Said, at: int) -> Mapping[str, str]:
        """What else the strategy tells."""
        return told_by(self.strategy, said, at)


class Part(Struct, frozen=True):
    """One of the strategies.  name: of the source, for people.  weight: above zero."""

    name: str
    strategy: ArrayStrategy
    weight: float


class CombinedSaid(Said, frozen=True):
    """What all of them say together.  parts: what each said.  votes: the same, as it was counted."""

    parts: tuple[Said, ...] = ()
    votes: tuple[VoteArray, ...] = ()


class Combined:
    """Strategies of one market whose entries are aggregated and whose closes are not: any of them may close.

    At a candle a source has answered when it says something, or when the first of its readings is known; one
    without readings answers when it speaks.  Stop and
    targets are those of the surest source on the winning side that brings any.

    parts:     the first is the one that the strategy file names; at least one.
    can_short: False where a SELL closes longs and opens nothing.
    """

    def __init__(self, parts: Sequence[Part], mode: Aggregation, threshold: float, *, can_short: bool) -> None:
        first = parts[0].strategy
        self.id, self.instrument, self.timeframe = first.id, first.instrument, first.timeframe
        self.window = max(part.strategy.window for part in parts)
        self.parts = tuple(parts)
        self.remarks = tuple(dict.fromkeys(remark for part in parts for remark in remarks_of(part.strategy)))
        self.mode, self.threshold = mode, threshold
        self._can_short = can_short

    def say(self, frame: Frame) -> CombinedSaid:
        """The aggregated entry and the joint close of every candle."""
        said = tuple(part.strategy.say(frame) for part in self.parts)
        votes = tuple(
            VoteArray(part.name, each.side, each.confidence, _answered(each), part.weight)
            for part, each in zip(self.parts, said, strict=True)
        )
        side, confidence = aggregate_arrays(votes, self.mode, self.threshold)
        leave: FlagArray = np.zeros(len(side), np.int8)
        for each in said:
            confidence = np.where((side == 0) & (each.leave != 0), np.fmax(confidence, each.confidence), confidence)
            leave = _joined(leave, each.leave)
        if not self._can_short:
            leave = _joined(leave, np.where(side < 0, CLOSES_LONG, 0).astype(np.int8))
            side = np.maximum(side, 0)
        readings = {
            f"{part.name} {name}": values
            for part, each in zip(self.parts, said, strict=True)
            for name, values in each.readings.items()
        }
        stop, targets = _brought(said, votes, side)
        programs = [each.exit for each in said if each.exit is not None]
        exit = reduce(Program.either, programs) if programs else None
        unknown = sum(each.unknown for each in said)
        return CombinedSaid(side, leave, confidence, readings, unknown, stop, targets, exit, said, votes)

    def reason(self, said: Said, at: int) -> str:
        """What they agreed on, and why each of them speaks."""
        assert isinstance(said, CombinedSaid), "what it said itself"
        spoken = [
            f"{part.name}: {part.strategy.reason(each, at)}"
            for part, each in zip(self.parts, said.parts, strict=True)
            if each.side[at] or each.leave[at]
        ]
        outcome = aggregate([vote.at(at) for vote in said.votes], self.mode, self.threshold)
        agreed = [outcome.reason] if outcome.side is not None else []
        return "; ".join(agreed + spoken)

    def exit_reason(self, said: Said, at: int, held: Held) -> str:
        """Why each of them closes the position whose condition on it holds."""
        assert isinstance(said, CombinedSaid), "what it said itself"
        reasons = []
        for part, each in zip(self.parts, said.parts, strict=True):
            strategy = innermost(part.strategy)
            if each.exit is not None and each.exit.holds(at, *held) > 0 and isinstance(strategy, ReadsPosition):
                reasons.append(f"{part.name}: {strategy.exit_reason(each, at, held)}")
        return "; ".join(reasons)

    def metadata(self, said: Said, at: int) -> Mapping[str, str]:
        """What the signal carries beside its readings: what else each tells, the sources and how they were counted."""
        assert isinstance(said, CombinedSaid), "what it said itself"
        more = {
            f"{part.name} {name}": value
            for part, each in zip(self.parts, said.parts, strict=True)
            for name, value in told_by(part.strategy, each, at).items()
        }
        votes = [vote.at(at) for vote in said.votes]
        return more | told(votes, aggregate(votes, self.mode, self.threshold), self.mode)


def _answered(said: Said) -> Flags:
    spoken = (said.side != 0) | (said.leave != 0)
    main = next(iter(said.readings.values()), None)
    answered: Flags = spoken if main is None else spoken | ~np.isnan(main)
    return answered


def _joined(one: FlagArray, other: FlagArray) -> FlagArray:
    """What two of them close together: longs and shorts are everything."""
    joined: FlagArray = np.where(one == 0, other, np.where((other == 0) | (one == other), one, CLOSES_ALL))
    return joined.astype(np.int8)


def _brought(
    said: Sequence[Said], votes: Sequence[VoteArray], side: FlagArray
) -> tuple[FloatArray | None, tuple[FloatArray, ...]]:
    """Stop and targets of the entries, of the surest winner that brings any."""
    if all(each.stop is None and not each.targets for each in said):
        return None, ()
    length, count = len(side), max(len(each.targets) for each in said)
    prices = np.full((1 + count, length), np.nan)  # the stop, then the targets
    best = np.full(length, -1.0)
    for each, vote in zip(said, votes, strict=True):
        own = np.full((1 + count, length), np.nan)
        if each.stop is not None:
            own[0] = each.stop
        for place, target in enumerate(each.targets, 1):
            own[place] = target
        wins = (side != 0) & (vote.side == side) & ~np.isnan(own).all(axis=0) & (vote.confidence > best)
        prices = np.where(wins, own, prices)
        best = np.where(wins, vote.confidence, best)
    return prices[0], tuple(prices[1:])
