"""Candles that cannot be built wrong, and series that never change under a reader."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.candles import TIMEFRAMES_S, Candle, CandleSeries, timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId

MINUTE_NS = 60 * 10**9
COLUMNS = ("open", "high", "low", "close", "volume")


def candle(number: int = 0, /, **changes: Any) -> Candle:
    values: dict[str, Any] = {
        "instrument": InstrumentId("binance:BTCUSDT"),
        "timeframe": "1m",
        "open_time_ns": number * MINUTE_NS,
        "close_time_ns": (number + 1) * MINUTE_NS,
        "open": 100.0 + number,
        "high": 102.0 + number,
        "low": 99.0 + number,
        "close": 101.0 + number,
        "volume": 1.0 + number,
    }
    return Candle(**values | changes)


def row(number: int) -> tuple[int, float, float, float, float, float]:
    """What a series tells of `candle(number)`."""
    made = candle(number)
    return (made.open_time_ns, made.open, made.high, made.low, made.close, made.volume)


# -- one candle -------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("D1")
@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_a_value_that_is_not_finite_or_negative_makes_no_candle(name: str, value: float) -> None:
    with pytest.raises(ValueError, match="not a candle"):
        candle(**{name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"open": 98.0},
        {"open": 103.0},
        {"close": 98.0},
        {"close": 103.0},
        {"high": 98.0},
        {"low": 0.0},
        {"close_time_ns": 0},
    ],
)
def test_prices_outside_the_range_a_zero_and_no_duration_make_no_candle(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a candle"):
        candle(**changes)


def test_a_candle_without_movement_and_volume_is_a_candle() -> None:
    assert candle(open=5.0, high=5.0, low=5.0, close=5.0, volume=0.0).close == 5.0


@pytest.mark.parametrize(("timeframe", "seconds"), [("1m", 60), ("1h", 3600), ("1w", 604_800)])
def test_a_timeframe_has_a_length(timeframe: str, seconds: int) -> None:
    assert timeframe_ns(timeframe) == seconds * 10**9
    assert TIMEFRAMES_S[timeframe] == seconds


def test_an_unknown_timeframe_answers_with_the_closest() -> None:
    with pytest.raises(ConfigError, match="unknown timeframe '15min'; did you mean '15m'"):
        timeframe_ns("15min")


# -- a series ---------------------------------------------------------------------------------------------------------


@given(
    st.integers(1, 7),
    st.lists(
        st.tuples(st.sampled_from(["append", "fork", "tail", "before", "without_last"]), st.integers(0, 30)),
        max_size=60,
    ),
)
def test_every_series_ever_made_keeps_telling_what_a_plain_list_would(keep: int, acts: list[tuple[str, int]]) -> None:
    """Whatever is appended, forked or cut, no series made before changes."""
    made: list[tuple[CandleSeries, list[int]]] = [(CandleSeries(keep), [])]
    for act, choice in acts:
        series, numbers = made[choice % len(made)] if act != "append" else made[-1]
        if act in ("append", "fork"):
            number = (numbers[-1] if numbers else -1) + 1 + choice % 3
            if series.last_open_time_ns >= 0:
                number = max(number, series.last_open_time_ns // MINUTE_NS + 1)
            series, numbers = series.append(candle(number)), [*numbers, number]
            numbers = numbers[len(numbers) - len(series) :]
            assert min(len(numbers), keep) <= len(series) <= 2 * keep
        elif act == "tail":
            series, numbers = series.tail(choice), numbers[max(0, len(numbers) - choice) :]
        elif act == "without_last":
            series, numbers = series.without_last(), numbers[:-1]
        else:
            series = series.before(choice * MINUTE_NS)
            numbers = [number for number in numbers if number < choice]
        made.append((series, numbers))
    for series, numbers in made:
        assert len(series) == len(numbers)
        assert list(series) == [row(number) for number in numbers]
        if numbers:
            assert series.last_close == candle(numbers[-1]).close


def test_a_series_knows_whether_it_is_another_with_one_more_candle() -> None:
    first = CandleSeries.of(map(candle, range(3)), 10)
    second = first.append(candle(3))
    assert second.continues(first)
    assert not first.continues(first)
    assert not first.append(candle(4)).continues(second)
    assert not first.append(candle(4)).continues(first)  # in storage of its own: cannot tell quickly
    assert not second.append(candle(5)).continues(first)


def test_an_empty_series_has_no_last_close() -> None:
    with pytest.raises(IndexError, match="an empty series has no last close"):
        CandleSeries().last_close  # noqa: B018  # asking is the point


@given(st.integers(1, 9), st.integers(0, 60))
def test_at_least_the_newest_candles_to_keep_are_held_and_at_most_twice_as_many(keep: int, count: int) -> None:
    series = CandleSeries.of(map(candle, range(count)), keep)
    assert min(keep, count) <= len(series) <= 2 * keep
    assert list(series) == [row(number) for number in range(count - len(series), count)]


def test_an_older_series_never_sees_a_later_candle_and_two_may_go_on_from_it() -> None:
    first = CandleSeries.of(map(candle, range(3)), 10)
    one, other = first.append(candle(3)), first.append(candle(7))
    further = one.append(candle(4))
    assert list(first) == [row(0), row(1), row(2)]
    assert list(other) == [row(0), row(1), row(2), row(7)]
    assert list(further) == [row(0), row(1), row(2), row(3), row(4)]
    assert list(one) == [row(0), row(1), row(2), row(3)]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_candle_that_does_not_follow_is_refused(number: int) -> None:
    series = CandleSeries.of(map(candle, range(3)), 10)
    with pytest.raises(ValueError, match="does not follow the series' last one"):
        series.append(candle(number))


def test_a_gap_is_no_error() -> None:
    assert len(CandleSeries.of([candle(0), candle(5)])) == 2


def columns_of(numbers: Iterable[int]) -> tuple[Any, list[Any]]:
    rows = [row(number) for number in numbers]
    times = np.array([each[0] for each in rows], np.int64)
    return times, [np.array([each[place] for each in rows]) for place in range(1, 6)]


@pytest.mark.parametrize(("count", "held"), [(0, 0), (3, 3), (4, 4), (9, 4)])
def test_whole_columns_give_the_series_that_appending_gives(count: int, held: int) -> None:
    times, columns = columns_of(range(count))
    series = CandleSeries.from_columns(times, columns, keep=4)
    assert list(series) == [row(number) for number in range(count - held, count)]
    assert list(series.append(candle(count))) == [row(number) for number in range(count - held, count + 1)]
    if count:
        with pytest.raises(ValueError, match="does not follow"):
            series.append(candle(count - 1))


def test_a_series_keeps_the_columns_it_is_made_of_and_appends_elsewhere() -> None:
    times, columns = columns_of(range(3))
    series = CandleSeries.from_columns(times, columns)
    assert all(np.shares_memory(kept, given) for kept, given in zip(series.columns().values(), columns, strict=True))
    longer = series.append(candle(3))
    assert list(series) == [row(0), row(1), row(2)]
    assert list(longer) == [row(0), row(1), row(2), row(3)]
    assert columns[3].tolist() == [row(number)[4] for number in range(3)]


def test_columns_are_float64_by_name_and_cannot_be_written() -> None:
    series = CandleSeries.of(map(candle, range(3)))
    columns = series.columns()
    assert tuple(columns) == COLUMNS
    assert series.open_time_ns.dtype == np.int64
    for name, values in columns.items():
        assert values.dtype == np.float64
        assert values.tolist() == [getattr(candle(number), name) for number in range(3)]
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1.0


def test_a_series_keeps_at_least_one_candle() -> None:
    with pytest.raises(ValueError, match="keeps at least one candle, not 0"):
        CandleSeries(0)
