"""Candle strategies are told every candle once, in order, and live as in a recording."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from tests.strategies.recorded import cut, invented, paths, read
from tests.strategies.test_arrays import BTC, HOLED, REAL, closed, view
from tests.strategies.test_candle_strategy import Counting, make

from promethean.domain.candles import Candle, CandleSeries, timeframe_ns
from promethean.domain.errors import StrategyError
from promethean.domain.market import MarketView
from promethean.strategies.arrays import ArrayStrategy, Prepared, remarks_of
from promethean.strategies.by_candle import ByCandle, Following, tell
from promethean.strategies.candle_strategy import Answers, CandleStrategy
from promethean.strategies.frame import Frame

MINUTE_NS = timeframe_ns("1m")


class Diary(CandleStrategy):
    """Writes down what it is told."""

    timeframes = ("5m", "15m")

    def start(self) -> None:
        self.heard: list[Candle] = []

    def on_candle(self, candle: Candle, timeframe: str) -> Answers:
        assert candle.timeframe == timeframe
        self.heard.append(candle)
        return None


class Averages(CandleStrategy):
    """A fast and a slow average, the slow one of a larger timeframe; stops and targets of its own."""

    timeframes = ("5m",)
    window = 1_000
    shown = ("fast", "slow")

    def start(self) -> None:
        self.fast = self.slow = float("nan")
        self.was_above = False

    def on_candle(self, candle: Candle, timeframe: str) -> Answers:
        if timeframe == "5m":
            self.slow = candle.close if self.slow != self.slow else 0.5 * self.slow + 0.5 * candle.close
            return None
        self.fast = candle.close if self.fast != self.fast else 0.5 * self.fast + 0.5 * candle.close
        is_above, was_above = self.fast > self.slow, self.was_above
        self.was_above = is_above
        if is_above and not was_above:
            price = candle.close
            stop = price * 0.99 if candle.volume > 5 else None
            return [self.close_short("above"), self.buy("above", stop=stop, targets=(price * 1.01, price * 1.02))]
        return self.sell("below") if was_above and not is_above else ()


def by_candle(kind: type[CandleStrategy] = Averages, timeframe: str = "1m") -> ByCandle:
    return ByCandle(lambda: make(kind, timeframe))


# -- what it is told --------------------------------------------------------------------------------------------------


def test_every_primary_candle_is_told_once_as_it_is() -> None:
    candles, diary = invented(1, 10_000, holes=0.1), make(Diary)
    tell(diary, Frame(candles, "1m"))
    told = [candle for candle in diary.heard if candle.timeframe == "1m"]
    assert told == [closed(candles, at).candle for at in range(len(candles))]


@settings(max_examples=60, deadline=None)
@given(paths())
def test_larger_candles_come_when_they_have_closed_the_largest_first_and_before_the_primary_one(
    candles: CandleSeries,
) -> None:
    diary, frame = make(Diary), Frame(candles, "1m")
    tell(diary, frame)
    for timeframe in ("5m", "15m"):
        told = [candle for candle in diary.heard if candle.timeframe == timeframe]
        ended = frame.larger(timeframe)
        assert [candle.open_time_ns for candle in told] == ended.open_time_ns.tolist()
        assert [candle.high for candle in told] == ended.high.tolist()
    known_ns, waiting = 0, list[Candle]()
    for candle in diary.heard:
        if candle.timeframe != "1m":
            waiting.append(candle)
            continue
        assert all(known_ns < larger.close_time_ns <= candle.close_time_ns for larger in waiting)
        order = [(larger.close_time_ns, -timeframe_ns(larger.timeframe)) for larger in waiting]
        assert order == sorted(order)
        known_ns, waiting = candle.close_time_ns, []
    assert not waiting


def test_its_answers_are_kept_where_they_were_given() -> None:
    by = ByCandle(lambda: make(Counting))
    said = by.say(Frame(invented(1, 10), "1m"))
    assert np.flatnonzero(said.side).tolist() == [2, 5, 8]
    assert [by.reason(said, at) for at in (2, 5, 8)] == ["candle 3", "candle 6", "candle 9"]
    assert said.confidence[[2, 5, 8]].tolist() == [1.0, 1.0, 1.0]
    assert (said.stop, said.targets, dict(said.readings)) == (None, (), {})


def test_stops_targets_and_numbers_are_kept_too() -> None:
    candles = invented(3, 600)
    said = by_candle().say(Frame(candles, "1m"))
    buys = np.flatnonzero(said.side > 0)
    assert len(buys) > 20 and said.stop is not None and len(said.targets) == 2
    stopped = buys[candles.volume[buys] > 5]
    assert said.stop[stopped] == pytest.approx(candles.close[stopped] * 0.99)
    assert np.isnan(np.delete(said.stop, stopped)).all()
    assert said.targets[1][buys] == pytest.approx(candles.close[buys] * 1.02)
    assert set(said.readings) == {"fast", "slow"} and len(said.readings["slow"]) == 600


def test_each_recording_is_told_to_a_new_one() -> None:
    by, frame = ByCandle(lambda: make(Counting)), Frame(invented(1, 10), "1m")
    assert by.say(frame).side.tolist() == by.say(frame).side.tolist()


def test_no_candles_are_no_mistake() -> None:
    said = by_candle().say(Frame(CandleSeries(1), "1m"))
    assert (len(said.side), set(said.readings)) == (0, {"fast", "slow"})


def test_it_is_an_array_strategy_to_everybody_else() -> None:
    assert isinstance(by_candle(), ArrayStrategy)
    assert by_candle().window == 1_000
    assert by_candle(Diary).window == 5_000

    class Hourly(Averages):
        timeframes = ("1d",)

    assert by_candle(Hourly).window == 2 * 1_440, "any two days hold a whole one"


# -- live -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [REAL, HOLED], ids=lambda path: path.stem)
def test_live_says_at_every_candle_what_the_recording_says(shared: Path, file: Path) -> None:
    candles = cut(read(shared / file), 0, 1_500)
    prepared, following = Prepared(by_candle(), Frame(candles, "1m")), Following(by_candle())
    said = 0
    for at in range(len(candles)):
        event, now = closed(candles, at), view(candles, at)
        live = following.on_event(event, now)
        assert live == prepared.on_event(event, now), f"candle {at}"
        assert following.reading(now) == pytest.approx(prepared.reading(now), nan_ok=True)
        said += len(live)
    assert said > 50


@pytest.mark.parametrize("held", [1_200, 2_000])
def test_one_that_starts_later_says_the_same_once_it_was_told_the_kept_candles(held: int) -> None:
    """A restart, and a gap: what is told is what the view keeps."""
    candles = invented(7, 3_000)
    prepared, following = Prepared(by_candle(), Frame(candles, "1m")), Following(by_candle())
    said = 0
    for at in [*range(2_500, 2_550), *range(2_990, 3_000)]:
        event, now = closed(candles, at), MarketView().with_series(BTC, "1m", cut(candles, at + 1 - held, at + 1))
        live = following.on_event(event, now)
        assert live == prepared.on_event(event, now)
        said += len(live)
    assert said > 3


def test_a_candle_is_told_once_however_often_it_is_asked_for() -> None:
    told: list[int] = []

    class Listening(CandleStrategy):
        def on_candle(self, candle: Candle, timeframe: str) -> Answers:
            told.append(candle.open_time_ns)
            return self.buy("always")

    candles = invented(1, 20)
    following = Following(ByCandle(lambda: make(Listening)))
    for at in (4, 4, 5, 6, 9, 9):
        now = view(candles, at)
        assert len(following.on_event(closed(candles, at), now)) == 1
        following.reading(now)
    assert told == candles.open_time_ns[:10].tolist()
    assert len(following.on_event(closed(candles, 3), view(candles, 3))) == 1, "an earlier view: told anew"
    assert told[10:] == candles.open_time_ns[:4].tolist()


def test_nothing_is_said_before_the_first_candle() -> None:
    following = Following(by_candle())
    assert following.on_event(closed(invented(1, 2), 0), MarketView()) == ()
    assert following.reading(MarketView()) == {}


# -- mistakes ---------------------------------------------------------------------------------------------------------


class Failing(CandleStrategy):
    """Divides by zero at its third candle."""

    fails: ClassVar[bool] = True

    def start(self) -> None:
        self.left = 3

    def on_candle(self, candle: Candle, timeframe: str) -> Answers:
        self.left -= 1
        if self.fails:
            self.left // self.left
        return self.buy("always")


def test_a_strategy_that_fails_is_named_with_its_candle_and_its_line() -> None:
    with pytest.raises(StrategyError) as caught:
        ByCandle(lambda: make(Failing)).say(Frame(invented(1, 10), "1m"))
    message = str(caught.value)
    assert message.startswith("strategy c failed at the 1m candle of 2024-01-01 00:02:00: ZeroDivisionError: ")
    assert "test_by_candle.py)" in message and "(line " in message


class Leaving(CandleStrategy):
    """Asks the program to end."""

    asks: ClassVar[tuple[Any, ...]] = ()

    def on_candle(self, candle: Candle, timeframe: str) -> Answers:
        sys.exit(*self.asks)


@pytest.mark.parametrize(("asks", "said"), [((), "SystemExit (line "), ((3,), "SystemExit: 3 (line ")])
def test_a_strategy_that_asks_the_program_to_end_has_failed(
    monkeypatch: pytest.MonkeyPatch, asks: tuple[Any, ...], said: str
) -> None:
    monkeypatch.setattr(Leaving, "asks", asks)
    with pytest.raises(StrategyError) as caught:
        ByCandle(lambda: make(Leaving)).say(Frame(invented(1, 10), "1m"))
    assert str(caught.value).startswith(f"strategy c failed at the 1m candle of 2024-01-01 00:00:00: {said}")


def test_ctrl_c_while_a_strategy_is_asked_is_no_failure_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Leaving, "on_candle", stop)
    with pytest.raises(KeyboardInterrupt):
        ByCandle(lambda: make(Leaving)).say(Frame(invented(1, 10), "1m"))


def test_one_that_failed_live_is_told_all_again(monkeypatch: pytest.MonkeyPatch) -> None:
    candles, following = invented(1, 10), Following(ByCandle(lambda: make(Failing)))
    for _ in range(2):
        with pytest.raises(StrategyError, match="2024-01-01 00:02:00"):
            following.on_event(closed(candles, 5), view(candles, 5))
    monkeypatch.setattr(Failing, "fails", False)
    assert len(following.on_event(closed(candles, 5), view(candles, 5))) == 1


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (lambda s: "buy", "TypeError: on_candle gives what self.buy"),
        (lambda s: [s.buy("a"), s.sell("b")], "ValueError: two entries"),
        (lambda s: s.buy("a", 7), "ValueError: a confidence lies between 0 and 1, not 7"),
    ],
)
def test_an_answer_that_is_none_is_a_mistake_of_the_strategy(said: Any, complaint: str) -> None:
    class Wrong(CandleStrategy):
        def on_candle(self, candle: Candle, timeframe: str) -> Answers:
            found: Answers = said(self)
            return found

    with pytest.raises(StrategyError, match=complaint):
        by_candle(Wrong).say(Frame(invented(1, 3), "1m"))


def test_a_signal_at_a_larger_candle_is_refused() -> None:
    class Early(CandleStrategy):
        timeframes = ("5m",)

        def on_candle(self, candle: Candle, timeframe: str) -> Answers:
            return self.buy("now") if timeframe == "5m" else None

    with pytest.raises(StrategyError, match=r"at the 5m candle of .* a signal at a candle of 5m; give it at one of 1m"):
        by_candle(Early).say(Frame(invented(1, 30), "1m"))


def test_a_strategy_may_be_written_as_a_generator() -> None:
    class Yielding(CandleStrategy):
        timeframes = ("5m",)

        def start(self) -> None:
            self.count = 0

        def on_candle(self, candle: Candle, timeframe: str) -> Iterator[Any]:
            self.count += timeframe == "1m"
            if timeframe == "1m" and self.count % 4 == 0:
                yield self.buy(f"candle {self.count}")

    said = by_candle(Yielding).say(Frame(invented(1, 12), "1m"))
    assert np.flatnonzero(said.side).tolist() == [3, 7, 11]


class Frank(Diary):
    """Says what it does not know."""

    remarks = ("the moon is not looked at",)


def test_what_a_class_wants_said_beside_its_results_is_found() -> None:
    assert remarks_of(ByCandle(lambda: make(Frank))) == ("the moon is not looked at",)
    assert remarks_of(ByCandle(lambda: make(Diary))) == ()


def test_a_name_that_a_class_uses_for_itself_is_no_remark() -> None:
    made = make(Diary)
    vars(made)["remarks"] = ["its own notes"]
    assert remarks_of(made) == ()
