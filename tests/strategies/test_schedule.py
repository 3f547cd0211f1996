"""Entries inside a schedule alone, exits always."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies.recorded import MONDAY_NS

from promethean.domain.candles import CandleSeries, timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.instants import DAY_NS, to_datetime
from promethean.domain.sessions import HOUR_NS, WEEKDAYS
from promethean.strategies.arrays import CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT, ArrayStrategy, Said
from promethean.strategies.frame import Frame
from promethean.strategies.schedule import Schedule, Scheduled

US = Schedule(("us",), WEEKDAYS)


class Script:
    """Says what it is told to."""

    id, instrument, window = StrategyId("s"), InstrumentId("binance:BTCUSDT"), 7

    def __init__(self, side: Sequence[int], leave: Sequence[int], timeframe: str = "1h") -> None:
        self.timeframe = timeframe
        self.side, self.leave = np.array(side, np.int8), np.array(leave, np.int8)

    def say(self, frame: Frame) -> Said:
        ones = np.ones(len(frame))
        return Said(self.side, self.leave, ones, {"x": ones}, 3, 2 * ones, (3 * ones,))

    def reason(self, said: Said, at: int) -> str:
        return f"side {said.side[at]}, leave {said.leave[at]}"


def hours(count: int, timeframe: str = "1h", start_ns: int = MONDAY_NS) -> Frame:
    times = start_ns + timeframe_ns(timeframe) * np.arange(count)
    one = np.ones(count)
    return Frame(CandleSeries.from_columns(times, (one, one, one, one, one), keep=count), timeframe)


def test_an_entry_is_made_where_its_candle_closes_inside() -> None:
    said = Scheduled(Script([1] * 24, [0] * 24), US).say(hours(24))
    # The candle from 12 to 13 is the first to close inside, that from 20 to 21 the last.
    assert np.flatnonzero(said.side).tolist() == list(range(12, 21))


def test_weekdays_are_those_of_the_close() -> None:
    said = Scheduled(Script([1] * 48, [0] * 48), Schedule(("asia", "us"), ("tue",))).say(hours(48))
    # The last candle of Monday closes on Tuesday.
    assert np.flatnonzero(said.side).tolist() == [*range(23, 31), *range(36, 45)]


@given(st.integers(0, 3000), st.sampled_from(WEEKDAYS))
def test_a_weekday_is_that_of_the_calendar(hour: int, day: str) -> None:
    at_ns = MONDAY_NS + hour * HOUR_NS
    inside = Schedule(("asia", "europe", "us"), (day,)).holds(np.array([at_ns]))[0]
    assert inside == (to_datetime(at_ns).strftime("%a").lower() == day and at_ns % DAY_NS < 22 * HOUR_NS)


def test_an_exit_is_made_at_any_time() -> None:
    leave = [CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT] * 8
    assert Scheduled(Script([0] * 24, leave), US).say(hours(24)).leave.tolist() == leave


@pytest.mark.parametrize(
    ("side", "leave", "expected"),
    [
        (1, 0, CLOSES_SHORT),
        (-1, 0, CLOSES_LONG),
        (1, CLOSES_SHORT, CLOSES_SHORT),
        (1, CLOSES_LONG, CLOSES_ALL),
        (-1, CLOSES_SHORT, CLOSES_ALL),
        (-1, CLOSES_ALL, CLOSES_ALL),
    ],
)
def test_outside_an_opposite_entry_closes_and_opens_nothing(side: int, leave: int, expected: int) -> None:
    said = Scheduled(Script([side], [leave]), US).say(hours(1))
    assert (said.side.tolist(), said.leave.tolist()) == ([0], [expected])


def test_outside_an_entry_that_would_not_close_the_opposite_says_nothing() -> None:
    scheduled = Scheduled(Script([1, -1, 1], [0, CLOSES_SHORT, 0]), US, closes_opposite=False)
    said = scheduled.say(hours(3))
    assert (said.side.tolist(), said.leave.tolist()) == ([0, 0, 0], [0, CLOSES_SHORT, 0])


def test_everything_else_is_what_the_strategy_says() -> None:
    script = Script([1, 0], [0, 1])
    scheduled = Scheduled(script, US)
    assert isinstance(scheduled, ArrayStrategy)
    assert (scheduled.id, scheduled.timeframe, scheduled.window) == ("s", "1h", 7)
    said = scheduled.say(hours(2))
    assert said.stop is not None
    assert (said.unknown, said.stop.tolist(), said.targets[0].tolist(), list(said.readings)) == (
        3,
        [2, 2],
        [3, 3],
        ["x"],
    )
    assert said.side.dtype == said.leave.dtype == np.int8


def test_the_reason_is_that_of_the_strategy_and_names_the_schedule_where_it_counts() -> None:
    scheduled = Scheduled(Script([-1, 0] + [1] * 12, [0, 1] + [0] * 12), US)
    said = scheduled.say(hours(14))
    outside = "side -1, leave 0; outside the sessions us on mon, tue, wed, thu, fri, sat, sun, so nothing is opened"
    assert [scheduled.reason(said, at) for at in (0, 1, 13)] == [outside, "side 0, leave 1", "side 1, leave 0"]


def test_a_schedule_that_no_candle_can_meet_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no candle of 1d closes in the sessions us on mon, .*; use a smaller"):
        Scheduled(Script([], [], "1d"), US)
    with pytest.raises(ConfigError, match="no candle of 1w closes in the sessions asia on tue; use a smaller"):
        Scheduled(Script([], [], "1w"), Schedule(("asia",), ("tue",)))
