"""How candle strategies are heard: a recording from its beginning, live candles as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

import numpy as np
from msgspec import field

from promethean.domain.candles import Candle, CandleSeries, FloatArray, timeframe_ns
from promethean.domain.errors import StrategyError
from promethean.domain.events import CandleClosed, MarketEvent
from promethean.domain.instants import format_instant
from promethean.domain.market import MarketView
from promethean.domain.signals import Signal
from promethean.strategies.arrays import Said, Speaking
from promethean.strategies.candle_strategy import Answer, CandleStrategy, joined
from promethean.strategies.failing import FAILURES, failure
from promethean.strategies.frame import Frame


class Reasoned(Said, frozen=True):
    """What a candle strategy said.  reasons: by the number of the candle, where it spoke."""

    reasons: Mapping[int, str] = field(default_factory=dict)


class ByCandle:
    """A candle strategy as an array strategy: at a recording it is told every candle once, and its answers are kept.

    So the compiled loop, the engine and a replay use it as any other; what it says cannot depend on what they do.

    make: a new one, which has not been told anything.
    """

    def __init__(self, make: Callable[[], CandleStrategy]) -> None:
        self.make = make
        made = make()
        self.id, self.instrument, self.timeframe = made.id, made.instrument, made.timeframe
        self.remarks = made.remarks
        ratios = [timeframe_ns(larger) // timeframe_ns(made.timeframe) for larger in made.timeframes]
        self.window = max(made.window, *(2 * ratio for ratio in ratios), 1)  # a whole larger candle is in any two

    def say(self, frame: Frame) -> Reasoned:
        """What it says at every candle of the frame, told from the first one on.

        Raises StrategyError where the strategy fails.
        """
        return tell(self.make(), frame)

    def reason(self, said: Said, at: int) -> str:
        """The reason that it gave."""
        assert isinstance(said, Reasoned), "it was said by a candle strategy"
        return said.reasons[at]


class Following(Speaking):
    """A candle strategy at live candles: told each one once, and anew from those that the view keeps after a gap."""

    def __init__(self, strategy: ByCandle) -> None:
        super().__init__(strategy)
        self._make = strategy.make
        self._known: tuple[CandleStrategy, CandleSeries, Reasoned] | None = None

    def on_event(self, event: MarketEvent, view: MarketView) -> Sequence[Signal]:
        """The signals of the candle that has just closed.  Raises StrategyError where the strategy fails."""
        if not self._concerns(event):
            return ()
        assert isinstance(event, CandleClosed), "only candles concern it"
        series = view.candles(self.instrument, self.timeframe)
        if series.last_open_time_ns != event.candle.open_time_ns:
            return ()
        said = self._follow(series)
        return self._signals(said, len(said.side) - 1, event.at_ns)

    def reading(self, view: MarketView) -> Mapping[str, float]:
        """The values at the newest candle it was told.  It is told nothing here: a screen asks from its own thread."""
        known = self._known
        return {} if known is None else {name: float(array[-1]) for name, array in known[2].readings.items()}

    def _follow(self, series: CandleSeries) -> Reasoned:
        """Tell it what it was not told yet of the series; the newest candle is the last it was told then."""
        strategy, start = None, 0
        if self._known is not None:
            known, told, said = self._known
            if told.last_open_time_ns == series.last_open_time_ns:
                return said
            start = int(np.searchsorted(series.open_time_ns, told.last_open_time_ns, side="right"))
            # Else a gap, or a view of before: what it was told is not what leads here.
            if start and start < len(series) and series.open_time_ns[start - 1] == told.last_open_time_ns:
                strategy = known
        if strategy is None:
            strategy, start = self._make(), 0
        self._known = None  # half told, should it fail
        said = tell(strategy, Frame(series, self.timeframe), start)
        self._known = strategy, series, said
        return said


def tell(strategy: CandleStrategy, frame: Frame, start: int = 0) -> Reasoned:
    """Tell a strategy the candles of a frame, from number `start` on; what it says there.

    Before each primary candle come the larger ones that have closed by its close, in the order of their closes and the
    largest first.
    Raises StrategyError naming strategy, candle and mistake where it fails.
    """
    timeframe, on_candle = frame.timeframe, strategy.on_candle
    read = attrgetter(*strategy.shown) if strategy.shown else None
    told = frame.candles.tail(len(frame) - start)
    primary = told.candles(strategy.instrument, timeframe)
    answers: dict[int, Answer] = {}
    readings: list[Any] = []
    keep = readings.append
    candle: Candle | None = None
    try:
        for count, larger in _stretches(frame, strategy, start):
            for candle in larger:
                said = on_candle(candle, candle.timeframe)
                if said:
                    _refuse_signal(joined(said), candle, timeframe)
            # The loop that every candle of a backtest goes through: nothing in it that need not be.
            for candle in islice(primary, count):
                said = on_candle(candle, timeframe)
                if said:
                    answers[candle.open_time_ns] = joined(said)
                if read is not None:
                    keep(read(strategy))
    except FAILURES as error:  # no result comes after it
        raise _failed(strategy, candle, error) from error
    places = np.searchsorted(told.open_time_ns, list(answers)).tolist()
    by_place = dict(zip(places, answers.values(), strict=True))
    return _reasoned(by_place, _by_name(strategy.shown, readings), len(told))


def _refuse_signal(answer: Answer, candle: Candle, primary: str) -> None:
    if answer.side or answer.leave:
        raise ValueError(f"a signal at a candle of {candle.timeframe}; give it at one of {primary}")


def _stretches(frame: Frame, strategy: CandleStrategy, start: int) -> Iterator[tuple[int, Sequence[Candle]]]:
    """How many primary candles, from number `start` on, follow each other; the larger ones that come before them."""
    due: list[tuple[int, int, int, Candle]] = []
    for timeframe in strategy.timeframes:
        if timeframe == frame.timeframe:
            continue
        series, length_ns = frame.larger(timeframe), timeframe_ns(timeframe)
        places = np.searchsorted(frame.close_time_ns, series.open_time_ns + length_ns)
        first = int(np.searchsorted(places, start))
        recent = series.tail(len(series) - first).candles(strategy.instrument, timeframe)
        due.extend(
            (place, candle.close_time_ns, -length_ns, candle)
            for place, candle in zip(places[first:].tolist(), recent, strict=True)
        )
    due.sort(key=lambda item: item[:3])
    larger: list[Candle] = []
    for place, _, _, candle in due:
        if place > start:
            yield place - start, larger
            start, larger = place, []
        larger.append(candle)
    yield len(frame) - start, larger


def _by_name(names: Sequence[str], rows: list[Any]) -> dict[str, FloatArray]:
    """The values of each name.  rows: a number each where there is one name, else a tuple."""
    table = np.array(rows, np.float64).reshape(len(rows), len(names))
    return dict(zip(names, table.T, strict=True))


def _reasoned(answers: Mapping[int, Answer], readings: Mapping[str, FloatArray], length: int) -> Reasoned:
    side, leave = np.zeros(length, np.int8), np.zeros(length, np.int8)
    confidence, stop = np.zeros(length), np.full(length, np.nan)
    count = max((len(answer.targets) for answer in answers.values()), default=0)
    targets = tuple(np.full(length, np.nan) for _ in range(count))
    for at, answer in answers.items():
        side[at], leave[at], confidence[at] = answer.side, answer.leave, answer.confidence
        if answer.stop is not None:
            stop[at] = answer.stop
        for array, price in zip(targets, answer.targets, strict=False):
            array[at] = price
    has_stop = any(answer.stop is not None for answer in answers.values())
    reasons = {at: answer.reason for at, answer in answers.items()}
    return Reasoned(side, leave, confidence, readings, 0, stop if has_stop else None, targets, reasons=reasons)


def _failed(strategy: CandleStrategy, candle: Candle | None, error: BaseException) -> StrategyError:
    when = f"the {candle.timeframe} candle of {format_instant(candle.open_time_ns)}" if candle else "its first candle"
    return failure(strategy.id, strategy.on_candle, when, error)
