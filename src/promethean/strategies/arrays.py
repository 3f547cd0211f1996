"""Strategies that are array functions: what they say at every candle, computed at once (DESIGN section 2).

One definition, three speeds: a backtest reads the arrays, a replay looks its candles up in them, and live trading runs
the same function over the trailing window of each new candle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from promethean.domain.candles import CandleSeries, FloatArray, IntArray
from promethean.domain.events import CandleClosed, MarketEvent
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.market import MarketView, Side
from promethean.domain.signals import Signal, SignalSource, SignalType
from promethean.strategies.conditions.program import Program
from promethean.strategies.conditions.tree import POSITION
from promethean.strategies.frame import Frame
from promethean.strategies.held import Held

FlagArray: TypeAlias = NDArray[np.int8]


CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT = 1, 2, 4
"""What `Said.leave` closes, one of them a candle: whatever is held, longs, shorts."""


class Said(Struct, frozen=True):
    """What a strategy says at the close of every candle.

    side:       int8, shape (n,): +1 BUY, -1 SELL, 0 nothing.
    leave:      int8, shape (n,): CLOSES_ALL, CLOSES_LONG or CLOSES_SHORT where a position is to be closed, else 0.
    confidence: float64, shape (n,), of whatever is said there.
    readings:   the values it looked at, by name, for people.
    unknown:    at how many candles a condition could not be answered.
    stop:       float64, shape (n,): the price at which an entry said there is stopped, quote units; NaN, or no array:
                where the strategy file says.
    targets:    the prices at which it takes its profit in equal shares, nearest first, each float64, shape (n,); NaN
                where there is none.  Where all are NaN: what the strategy file says.
    exit:       a condition on the open position, over these candles, that closes it where it holds; None: there is
                none.
    """

    side: FlagArray
    leave: FlagArray
    confidence: FloatArray
    readings: Mapping[str, FloatArray]
    unknown: int = 0
    stop: FloatArray | None = None
    targets: tuple[FloatArray, ...] = ()
    exit: Program | None = None

    def levels(self, at: int) -> tuple[float | None, tuple[float, ...]]:
        """Stop and targets that an entry said at this candle brings along."""
        targets = takewhile(lambda price: not math.isnan(price), (float(prices[at]) for prices in self.targets))
        stop = math.nan if self.stop is None else float(self.stop[at])
        return None if math.isnan(stop) else stop, tuple(targets)


@runtime_checkable
class ArrayStrategy(Protocol):
    """A strategy without a state of its own.

    window: trailing candles that decide what it says at the last one.
    """

    id: StrategyId
    instrument: InstrumentId
    timeframe: str
    window: int

    def say(self, frame: Frame) -> Said:
        """What it says at every candle of the frame; at a candle nothing that comes after it counts."""
        ...

    def reason(self, said: Said, at: int) -> str:
        """Why, in one sentence with the values, at a candle where it says something."""
        ...


@runtime_checkable
class ReadsBooks(Protocol):
    """An array strategy that asks its frame for books."""

    reads_books: bool


@runtime_checkable
class ReadsTrades(Protocol):
    """An array strategy that reads single trades where its frame has them, and does without them elsewhere."""

    reads_trades: bool

    def remarks_on(self, frame: Frame) -> tuple[str, ...]:
        """What takes the place of its `remarks` beside results over these candles."""
        ...


def reads_trades(strategy: Any) -> bool:
    """Whether a strategy of any kind, with what shapes its word, reads single trades, or one that it joins does."""
    return any(isinstance(each, ReadsTrades) and each.reads_trades for each in sources_of(strategy))


def told_by(strategy: ArrayStrategy, said: Said, at: int) -> Mapping[str, str]:
    """What a strategy has to tell beside its readings; nothing where it tells nothing."""
    return strategy.metadata(said, at) if isinstance(strategy, Telling) else {}


def innermost(strategy: ArrayStrategy) -> ArrayStrategy:
    """The strategy that speaks, without those that only shape its word: they call theirs `strategy`."""
    while (inner := getattr(strategy, "strategy", None)) is not None:
        strategy = inner
    return strategy


def remarks_of(strategy: Any, frame: Frame | None = None) -> tuple[str, ...]:
    """What a strategy wants said beside its results, one sentence each without the point: its tuple `remarks`, if any.

    strategy: of any kind, with what shapes its word.
    frame:    what the results are over, for a strategy that has more to say about trades or their absence.
    """
    if frame is not None and reads_trades(strategy):
        return tuple(dict.fromkeys(each for source in sources_of(strategy) for each in _remarks_on(source, frame)))
    found = getattr(innermost(strategy), "remarks", ())
    return tuple(map(str, found)) if isinstance(found, tuple) else ()


def sources_of(strategy: Any) -> list[Any]:
    """The strategies that speak: those that are joined to one, or the only one; the joint one calls them `parts`."""
    asked = innermost(strategy)
    parts = getattr(asked, "parts", ())
    joined = (
        [innermost(part.strategy) for part in parts if hasattr(part, "strategy")] if isinstance(parts, tuple) else []
    )
    return joined or [asked]


def _remarks_on(source: Any, frame: Frame) -> tuple[str, ...]:
    return source.remarks_on(frame) if isinstance(source, ReadsTrades) else remarks_of(source)


@runtime_checkable
class Telling(Protocol):
    """A strategy that has more to tell about what it says than its readings."""

    def metadata(self, said: Said, at: int) -> Mapping[str, str]:
        """What a signal of this candle carries beside the readings, as text."""
        ...


@runtime_checkable
class ReadsPosition(Protocol):
    """An array strategy that has conditions on the open position, as `Said.exit`."""

    def exit_reason(self, said: Said, at: int, held: Held) -> str:
        """Why a position is closed at a candle where its condition holds, in one sentence with the values."""
        ...


class Speaking:
    """What recorded and live candles have in common: signals and readings of one candle."""

    def __init__(self, strategy: ArrayStrategy) -> None:
        self.array_strategy = strategy
        self.id, self.instrument, self.timeframe = strategy.id, strategy.instrument, strategy.timeframe
        self.window = strategy.window
        self._telling = strategy if isinstance(strategy, Telling) else None
        self.unanswered = 0
        """How often the condition on the position could not be answered."""
        self._source = SignalSource.ORDERBOOK if isinstance(innermost(strategy), ReadsBooks) else SignalSource.TECHNICAL

    def _signals(self, said: Said, at: int, at_ns: int) -> tuple[Signal, ...]:
        side, leave = int(said.side[at]), int(said.leave[at])
        if not side and not leave:
            return ()
        reason = self.array_strategy.reason(said, at)
        values = _values(said, at)
        if self._telling is not None:
            values |= self._telling.metadata(said, at)
        confidence = float(said.confidence[at])
        common = (self._source, confidence, reason, self.instrument, self.timeframe, at_ns, self.id, values)
        signals = []
        if leave:
            closes = {CLOSES_LONG: Side.BUY, CLOSES_SHORT: Side.SELL}.get(leave)
            signals.append(Signal(SignalType.CLOSE, *common, closes=closes))
        if side:
            stop, targets = said.levels(at)
            kind = SignalType.BUY if side > 0 else SignalType.SELL
            signals.append(Signal(kind, *common, stop=stop, targets=targets))
        return tuple(signals)

    def _closing(self, said: Said, at: int, at_ns: int, held: Held) -> Signal | None:
        """The CLOSE that follows from the condition on the position; none where it is not met, or not known."""
        answer = said.exit.holds(at, *held) if said.exit is not None else 0
        self.unanswered += answer < 0
        if answer <= 0:
            return None
        strategy = innermost(self.array_strategy)
        assert isinstance(strategy, ReadsPosition), "who has such conditions can say why they hold"
        reason = strategy.exit_reason(said, at, held)
        values = _values(said, at)
        values |= {name: f"{value:.6f}" for name, value in zip(POSITION, held, strict=True)}
        common = (self._source, 1.0, reason, self.instrument, self.timeframe, at_ns, self.id, values)
        return Signal(SignalType.CLOSE, *common)

    def _concerns(self, event: MarketEvent) -> bool:
        return (
            isinstance(event, CandleClosed)
            and event.candle.instrument == self.instrument
            and event.candle.timeframe == self.timeframe
        )


def _values(said: Said, at: int) -> dict[str, str]:
    """The readings that are known at a candle, as a signal carries them."""
    return {name: f"{array[at]:.6f}" for name, array in said.readings.items() if not math.isnan(array[at])}


class Prepared(Speaking):
    """An array strategy at the candles of a recording, which are all there from the beginning."""

    def __init__(self, strategy: ArrayStrategy, frame: Frame) -> None:
        super().__init__(strategy)
        self._said = strategy.say(frame)
        self._open_time = frame.candles.open_time_ns
        self.spoken: IntArray = np.flatnonzero((self._said.side != 0) | (self._said.leave != 0))
        """Numbers of the candles at which it says something."""
        self._places = dict(zip(self._open_time[self.spoken].tolist(), self.spoken.tolist(), strict=True))

    def on_event(self, event: MarketEvent, view: MarketView) -> Sequence[Signal]:
        """The signals of this candle of the recording."""
        if not self._concerns(event):
            return ()
        assert isinstance(event, CandleClosed), "only candles concern it"
        place = self._places.get(event.candle.open_time_ns)
        return () if place is None else self._signals(self._said, place, event.candle.close_time_ns)

    @property
    def unknown(self) -> int:
        """At how many candles a condition could not be answered so far."""
        return self._said.unknown + self.unanswered

    @property
    def reads_position(self) -> bool:
        """Whether it is asked about its position at every candle."""
        return self._said.exit is not None

    def leaves(self, event: CandleClosed, view: MarketView, held: Held) -> Signal | None:
        """The CLOSE of what is held that its conditions on it ask for at this candle of the recording."""
        if self._said.exit is None or not self._concerns(event):
            return None
        candle = event.candle
        place = int(np.searchsorted(self._open_time, candle.open_time_ns))
        is_there = place < len(self._open_time) and self._open_time[place] == candle.open_time_ns
        return self._closing(self._said, place, candle.close_time_ns, held) if is_there else None

    def reading(self, view: MarketView) -> Mapping[str, float]:
        """The values at the newest closed candle."""
        newest = view.candles(self.instrument, self.timeframe).last_open_time_ns
        place = int(np.searchsorted(self._open_time, newest, side="right")) - 1
        return {name: float(array[place]) if place >= 0 else np.nan for name, array in self._said.readings.items()}


class Trailing(Speaking):
    """An array strategy at live candles: each one is judged from the trailing window that ends with it."""

    def __init__(self, strategy: ArrayStrategy) -> None:
        super().__init__(strategy)
        self._known: tuple[CandleSeries, Said] | None = None
        self.reads_position = isinstance(innermost(strategy), ReadsPosition)
        """Whether it may have conditions on its position: it is asked about it at every candle."""

    def on_event(self, event: MarketEvent, view: MarketView) -> Sequence[Signal]:
        """The signals of the candle that has just closed."""
        if not self._concerns(event):
            return ()
        said = self._say(view)
        return () if said is None else self._signals(said, len(said.side) - 1, event.at_ns)

    def leaves(self, event: CandleClosed, view: MarketView, held: Held) -> Signal | None:
        """The CLOSE of what is held that its conditions on it ask for at the candle that has just closed."""
        said = self._say(view) if self._concerns(event) else None
        return None if said is None else self._closing(said, len(said.side) - 1, event.at_ns, held)

    def reading(self, view: MarketView) -> Mapping[str, float]:
        """The values at the newest closed candle."""
        said = self._say(view)
        return {} if said is None else {name: float(array[-1]) for name, array in said.readings.items()}

    def _say(self, view: MarketView) -> Said | None:
        series = view.candles(self.instrument, self.timeframe)
        if not len(series):
            return None
        if self._known is None or self._known[0] is not series:
            self._known = series, self.array_strategy.say(Frame(series.tail(self.window), self.timeframe))
        return self._known[1]
