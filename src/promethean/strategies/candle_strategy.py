"""Strategies that are told one candle after the other and keep a state of their own (SPEC 7.4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import ClassVar, TypeAlias

from msgspec import Struct

from promethean.domain.candles import KEPT, Candle, timeframe_ns
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.strategies.arrays import CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT


class Answer(Struct, frozen=True):
    """What a strategy says at the close of a candle; made by `CandleStrategy.buy` and its siblings.

    side:          +1 buy, -1 sell, 0 neither.
    leave:         what it closes, as in `Said.leave`; 0 nothing.
    confidence:    0.0-1.0.
    reason:        one sentence for people, with the values.
    stop, targets: as in `Signal`.
    """

    side: int
    leave: int
    confidence: float
    reason: str
    stop: float | None = None
    targets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.confidence) and 0.0 <= self.confidence <= 1.0):
            raise ValueError(f"a confidence lies between 0 and 1, not {self.confidence}")
        for price in self.targets if self.stop is None else (self.stop, *self.targets):
            if not (math.isfinite(price) and price > 0):
                raise ValueError(f"a stop or target is a price above zero, not {price}")
        if list(self.targets) != sorted(self.targets, reverse=self.side < 0):
            raise ValueError(f"targets are given nearest first, not as {', '.join(map(str, self.targets))}")


Answers: TypeAlias = "Answer | Iterable[Answer] | None"


class CandleStrategy:
    """What a strategy inherits that is told candle by candle; it writes `on_candle`, and `start` if it needs one.

    It is given closed candles of one market in order, each once, and may keep of them what it likes.  It has no clock,
    no venue and no position: what it says depends on the candles alone, so it is rebuilt from them at any time.

    parameters: names of what a strategy file may set; each is a class attribute as well, and that is its default.
    timeframes: larger ones that it is told as well, built from the primary one.
    window:     trailing primary candles after which the past no longer shows in what it says: from so many it is
                rebuilt at a start.  At most the 5,000 that a live feed keeps.
    shown:      names of attributes that hold the numbers it looks at; people see them beside its signals.
    remarks:    what is to be said beside its results, one sentence each without the point: an approximation, a limit.
    """

    parameters: ClassVar[tuple[str, ...]] = ()
    timeframes: ClassVar[tuple[str, ...]] = ()
    window: int = KEPT
    shown: ClassVar[tuple[str, ...]] = ()
    remarks: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        id: StrategyId,
        instrument: InstrumentId,
        timeframe: str,
        parameters: Mapping[str, Decimal | bool],
        can_short: bool,
    ) -> None:
        self.id, self.instrument, self.timeframe = id, instrument, timeframe
        self.can_short = can_short
        for name, given in parameters.items():
            if name not in self.parameters:
                raise ConfigError(unknown_name(f"parameter of {type(self).__name__}", name, self.parameters))
            setattr(self, name, _like(name, getattr(type(self), name), given))
        for larger in self.timeframes:
            if timeframe_ns(larger) % timeframe_ns(timeframe):
                raise ConfigError(
                    f"{type(self).__name__} is told candles of {larger}, which cannot be built from those of "
                    f"{timeframe}; give a finer primary timeframe"
                )
        self.start()

    def start(self) -> None:
        """Put the state in place; the parameters are known.  Raises ConfigError for values that do not fit."""

    def on_candle(self, candle: Candle, timeframe: str) -> Answers:
        """What to do now that this candle has closed; None for nothing.

        Where candles of several timeframes close at one instant, the largest comes first and the primary one last; only
        at the primary one may something be said.
        """
        raise NotImplementedError(f"{type(self).__name__} says nothing: it has no on_candle")

    def buy(
        self, reason: str, confidence: float = 1.0, *, stop: float | None = None, targets: Iterable[float] = ()
    ) -> Answer:
        """Go long.  stop, targets: prices, targets nearest first in equal shares; else the strategy file's."""
        return Answer(1, 0, confidence, reason, stop, tuple(targets))

    def sell(
        self, reason: str, confidence: float = 1.0, *, stop: float | None = None, targets: Iterable[float] = ()
    ) -> Answer:
        """Go short; at a spot market, close.  stop, targets: as for `buy`."""
        return Answer(-1, 0, confidence, reason, stop, tuple(targets))

    def close(self, reason: str, confidence: float = 1.0) -> Answer:
        """Close whatever is held."""
        return Answer(0, CLOSES_ALL, confidence, reason)

    def close_long(self, reason: str, confidence: float = 1.0) -> Answer:
        """Close a long position."""
        return Answer(0, CLOSES_LONG, confidence, reason)

    def close_short(self, reason: str, confidence: float = 1.0) -> Answer:
        """Close a short position."""
        return Answer(0, CLOSES_SHORT, confidence, reason)


def _like(name: str, default: object, given: Decimal | bool) -> float | int | bool:
    """A value from a strategy file as the type of its default."""
    if isinstance(default, bool):
        if not isinstance(given, bool):
            raise ConfigError(f"parameters.{name} is {given}; write true or false")
        return given
    if isinstance(given, bool) or not given.is_finite():
        raise ConfigError(f"parameters.{name} is {given}; write a number")
    if isinstance(default, int):
        if given != int(given):
            raise ConfigError(f"parameters.{name} is {given}; write a whole number")
        return int(given)
    return float(given)


def joined(said: Answers) -> Answer:
    """All that is said at one candle, as one.

    Raises ValueError for what contradicts itself, TypeError for what is no answer.
    """
    answers = [said] if isinstance(said, Answer) else list(said or ())
    for answer in answers:
        if not isinstance(answer, Answer):
            raise TypeError(f"on_candle gives what self.buy() and its siblings make, or None, not {answer!r:.80}")
    if len(answers) == 1:
        return answers[0]
    entries = [answer for answer in answers if answer.side]
    if len(entries) > 1:
        raise ValueError("two entries are said at one candle; say one of them")
    if len({answer.confidence for answer in answers}) > 1:
        raise ValueError("what is said at one candle has one confidence; give both the same")
    left = {answer.leave for answer in answers if answer.leave}
    leave = left.pop() if len(left) == 1 else CLOSES_ALL if left else 0
    reason = "; ".join(answer.reason for answer in answers)
    (entry,) = entries or (Answer(0, 0, 1.0, ""),)
    confidence = answers[0].confidence if answers else 1.0
    return Answer(entry.side, leave, confidence, reason, entry.stop, entry.targets)
