"""The candle form of the VWAP against hand-computed values and a plain computation in fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.volume.markets import MINUTE_NS, Columns, market, part

from promethean.indicators.volume.vwap import Vwap, VwapWindow, vwap

MIDNIGHT = 20_000 * 1440  # a minute, counted from 1970
seeds = st.integers(0, 2**32 - 1)


def of(columns: Columns, **how: Any) -> Vwap:
    opened, high, low, close, volume = (columns[name] for name in ("open_time_ns", "high", "low", "close", "volume"))
    return vwap(opened, high, low, close, volume, **how)


def flat(minutes: list[int], prices: list[float], volumes: list[float]) -> Columns:
    """Candles with one price each."""
    price = np.array(prices)
    times = np.array(minutes, np.int64) * MINUTE_NS
    return {"open_time_ns": times, "high": price, "low": price, "close": price, "volume": np.array(volumes)}


def plain(columns: Columns, first: list[int | None]) -> list[tuple[float, float] | None]:
    """Average and sigma of each row's window in fractions; a window goes from a minute on, None is not known."""
    minutes = (columns["open_time_ns"] // MINUTE_NS).tolist()
    prices = (columns[name].tolist() for name in ("high", "low", "close"))
    typical = [Fraction(float(h + low + c) / 3) for h, low, c in zip(*prices, strict=True)]
    volumes = [Fraction(volume) for volume in columns["volume"].tolist()]
    values: list[tuple[float, float] | None] = []
    for row, begin in enumerate(first):
        rows = [k for k in range(row + 1) if begin is not None and minutes[k] >= begin]
        total = sum((volumes[k] for k in rows), Fraction(0))
        if not total:
            values.append(None)
            continue
        mean = sum((volumes[k] * typical[k] for k in rows), Fraction(0)) / total
        variance = sum((volumes[k] * (typical[k] - mean) ** 2 for k in rows), Fraction(0)) / total
        values.append((float(mean), math.sqrt(variance)))
    return values


def check(values: Vwap, expected: list[tuple[float, float] | None], deviations: float) -> None:
    for row, wanted in enumerate(expected):
        if wanted is None:
            assert all(math.isnan(column[row]) for column in values)
            continue
        mean, sigma = wanted
        assert values.vwap[row] == pytest.approx(mean, rel=1e-12)
        assert values.upper[row] == pytest.approx(mean + deviations * sigma, rel=1e-12)
        assert values.lower[row] == pytest.approx(mean - deviations * sigma, rel=1e-12, abs=1e-12 * mean)


# -- golden -----------------------------------------------------------------------------------------------------------


def test_a_hand_computed_session_comes_out() -> None:
    # 10 x 1 + 13 x 2 = 36 of 3; squares 1 x 4 + 2 x 1 = 6 of 3, so sigma is the root of 2.
    values = of(flat([MIDNIGHT, MIDNIGHT + 1], [10.0, 13.0], [1.0, 2.0]))
    assert values.vwap.tolist() == [10.0, 12.0]
    root = math.sqrt(2)
    assert values.upper == pytest.approx([10.0, 12 + 2 * root], rel=1e-14)
    assert values.lower == pytest.approx([10.0, 12 - 2 * root], rel=1e-14)
    assert values.distance == pytest.approx([0.0, 1 / 12], abs=1e-15)
    assert math.isnan(values.position[0])  # one price has no bands
    assert values.position[1] == pytest.approx(0.5 + 1 / (4 * root), rel=1e-14)


def test_a_candle_counts_at_its_typical_price() -> None:
    columns = flat([MIDNIGHT], [11.0], [4.0])
    columns["high"], columns["low"] = np.array([12.5]), np.array([9.5])
    assert of(columns).vwap.tolist() == [11.0]
    columns["close"] = np.array([9.5])
    assert of(columns).vwap.tolist() == [10.5]


def test_the_bands_are_as_many_deviations_away_as_asked_for() -> None:
    values = of(flat([MIDNIGHT, MIDNIGHT + 1], [10.0, 13.0], [1.0, 2.0]), deviations=1.0)
    assert values.upper[1] - values.vwap[1] == pytest.approx(math.sqrt(2), rel=1e-14)


def test_a_close_beyond_a_band_has_a_position_outside_0_and_1() -> None:
    columns = flat([MIDNIGHT, MIDNIGHT + 1, MIDNIGHT + 2], [10.0, 10.1, 10.05], [50.0, 50.0, 0.0])
    columns["close"] = np.array([10.0, 10.1, 11.0])
    assert of(columns).position[2] > 1
    columns["close"] = np.array([10.0, 10.1, 9.0])
    assert of(columns).position[2] < 0


# -- windows ----------------------------------------------------------------------------------------------------------


def test_a_session_begins_at_midnight() -> None:
    minutes = [MIDNIGHT, MIDNIGHT + 1439, MIDNIGHT + 1440, MIDNIGHT + 1441]
    values = of(flat(minutes, [10.0, 20.0, 50.0, 70.0], [1.0, 1.0, 1.0, 1.0]))
    assert values.vwap.tolist() == [10.0, 15.0, 50.0, 60.0]


def test_a_session_whose_beginning_was_not_seen_is_not_known() -> None:
    minutes = [MIDNIGHT + 1, MIDNIGHT + 2, MIDNIGHT + 1443]
    values = of(flat(minutes, [10.0, 20.0, 50.0], [1.0, 1.0, 1.0]))
    assert np.array_equal(values.vwap, [np.nan, np.nan, 50.0], equal_nan=True)


def test_a_rolling_window_goes_by_time_and_not_by_candles() -> None:
    minutes = [MIDNIGHT + 5, MIDNIGHT + 6, MIDNIGHT + 7, MIDNIGHT + 9, MIDNIGHT + 30]
    values = of(flat(minutes, [10.0, 20.0, 30.0, 60.0, 80.0], [1.0] * 5), window="rolling", minutes=3)
    assert np.array_equal(values.vwap, [np.nan, np.nan, 20.0, 45.0, 80.0], equal_nan=True)


def test_a_rolling_window_of_an_hour_is_one_candle_of_an_hour() -> None:
    columns = flat([MIDNIGHT, MIDNIGHT + 60, MIDNIGHT + 120], [10.0, 20.0, 40.0], [1.0] * 3)
    assert of(columns, window="rolling", minutes=60).vwap.tolist()[1:] == [20.0, 40.0]
    assert of(columns, window="rolling", minutes=120).vwap.tolist()[2:] == [30.0]


@pytest.mark.parametrize(("seconds", "first"), [(0, 1), (1, 2), (60, 2)])
def test_an_anchored_window_begins_with_the_first_whole_minute(seconds: int, first: int) -> None:
    columns = flat([MIDNIGHT + k for k in range(4)], [10.0, 20.0, 40.0, 60.0], [1.0] * 4)
    anchor_ns = (MIDNIGHT + 1) * MINUTE_NS + seconds * 1_000_000_000
    values = of(columns, window="anchored", anchor_ns=anchor_ns)
    assert np.isnan(values.vwap[:first]).all()
    assert values.vwap[first:].tolist() == [[20.0, 30.0, 40.0], [40.0, 50.0]][first - 1]


def test_nothing_is_known_before_the_first_trade_of_a_window() -> None:
    values = of(flat([MIDNIGHT + k for k in range(3)], [10.0, 20.0, 40.0], [0.0, 2.0, 0.0]))
    assert np.array_equal(values.vwap, [np.nan, 20.0, 20.0], equal_nan=True)


def test_an_unknown_volume_makes_the_windows_that_hold_it_unknown_and_no_other() -> None:
    columns = flat([MIDNIGHT + k for k in range(6)], [10.0, 20.0, 40.0, 60.0, 80.0, 90.0], [1.0, np.nan, 1, 1, 1, 1])
    values = of(columns, window="rolling", minutes=2)
    assert np.array_equal(values.vwap, [np.nan, np.nan, np.nan, 50.0, 70.0, 85.0], equal_nan=True)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"window": "weekly"}, "session, rolling, anchored, not 'weekly'"),
        ({"window": "rolling", "minutes": 0}, "at least 1 minute, not 0"),
        ({"window": "anchored", "anchor_ns": -1}, "an instant since 1970, not -1"),
        ({"deviations": 0.0}, "more than 0 deviations away, not 0.0"),
        ({"deviations": math.nan}, "more than 0 deviations away, not nan"),
    ],
)
def test_a_parameter_outside_its_limits_is_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        of(market(1, 5), **how)


def test_a_window_knows_its_first_minute() -> None:
    minute = MIDNIGHT + 100
    assert VwapWindow().first_minute(minute) == MIDNIGHT
    assert VwapWindow("rolling", 15).first_minute(minute) == minute - 14
    assert VwapWindow("anchored", anchor_ns=5 * MINUTE_NS + 1).first_minute(minute) == 6


# -- property ---------------------------------------------------------------------------------------------------------


@given(seeds, st.integers(1, 60))
def test_the_session_is_the_definition_in_fractions(seed: int, length: int) -> None:
    columns = market(seed, length)
    minutes = (columns["open_time_ns"] // MINUTE_NS).tolist()
    first = [minute // 1440 * 1440 for minute in minutes]
    check(of(columns), plain(columns, [begin if begin >= minutes[0] else None for begin in first]), 2.0)


@given(seeds, st.integers(1, 60), st.integers(1, 40), st.sampled_from([1, 5]))
def test_the_rolling_window_is_the_definition_in_fractions(seed: int, length: int, minutes: int, each: int) -> None:
    columns = market(seed, length, each)
    opened = (columns["open_time_ns"] // MINUTE_NS).tolist()
    first = [minute - minutes + 1 for minute in opened]
    expected = plain(columns, [begin if begin >= opened[0] else None for begin in first])
    check(of(columns, window="rolling", minutes=minutes, deviations=3.0), expected, 3.0)


@given(seeds, st.integers(1, 60), st.integers(0, 60))
def test_the_anchored_window_is_the_definition_in_fractions(seed: int, length: int, later: int) -> None:
    columns = market(seed, length)
    anchor = int(columns["open_time_ns"][0]) // MINUTE_NS + later
    check(of(columns, window="anchored", anchor_ns=anchor * MINUTE_NS), plain(columns, [anchor] * length), 2.0)


@given(seeds)
def test_the_close_lies_where_its_distance_and_position_say(seed: int) -> None:
    columns = market(seed, 200)
    values = of(columns, window="rolling", minutes=20)
    close = columns["close"]
    known = ~np.isnan(values.vwap)
    assert (values.vwap * (1 + values.distance))[known] == pytest.approx(close[known], rel=1e-12)
    placed = ~np.isnan(values.position)
    back = values.lower + values.position * (values.upper - values.lower)
    assert back[placed] == pytest.approx(close[placed], rel=1e-12)


@given(seeds, st.integers(1, 30))
def test_a_rolling_window_does_not_depend_on_where_the_history_begins(seed: int, minutes: int) -> None:
    columns = market(seed, 150)
    whole = of(columns, window="rolling", minutes=minutes)
    trailing = of(part(columns, slice(70, None)), window="rolling", minutes=minutes)
    for now, then in zip(whole, trailing, strict=True):
        known = ~np.isnan(then)
        assert np.array_equal(now[70:][known], then[known])
