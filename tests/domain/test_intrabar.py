"""Finer data inside candles: which ranges are whose, and when they decide."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.candles import CandleSeries
from promethean.domain.intrabar import Intrabar

MINUTE_NS, SECOND_NS = 60 * 10**9, 10**9


def candles(*rows: tuple[int, float, float], every_ns: int = MINUTE_NS, volume: float = 2.0) -> CandleSeries:
    """Number, low and high of each."""
    number, low, high = (np.array(column) for column in zip(*rows, strict=True))
    middle, traded = (low + high) / 2, np.full(len(rows), volume)
    return CandleSeries.from_columns(number * every_ns, (middle, high, low, middle, traded), keep=len(rows))


def parts(*rows: tuple[int, float, float]) -> Intrabar:
    """Second, low and high of each."""
    return Intrabar.of_candles(candles(*rows, every_ns=SECOND_NS, volume=1.0), SECOND_NS)


def test_ranges_decide_where_they_come_to_the_low_the_high_and_the_volume_of_their_candle() -> None:
    finer = parts((0, 98, 99), (30, 97, 101), (60, 100, 102), (119, 99, 103))
    first, second = (SECOND_NS - 1, 98.5, 98, 99), (31 * SECOND_NS - 1, 99, 97, 101)
    assert finer.ranges(0, MINUTE_NS, 97, 101, 2.0) == (first, second)
    for low, high, volume in ((96.9, 101, 2), (97, 101.1, 2), (97.1, 101, 2), (97, 101, 2.001), (97, 101, 1.999)):
        assert finer.ranges(0, MINUTE_NS, low, high, volume) == ()
    assert finer.ranges(2 * MINUTE_NS, 3 * MINUTE_NS, 97, 101, 2.0) == ()
    whole = candles((0, 97, 101), (1, 99, 103), (2, 97, 101))
    assert finer.within(whole, MINUTE_NS).tolist() == [[0, 2], [2, 4], [4, 4]]
    assert finer.within(candles((0, 97, 101), (1, 99, 104)), MINUTE_NS).tolist() == [[0, 2], [2, 2]]
    assert finer.within(candles((0, 97, 101), volume=3.0), MINUTE_NS).tolist() == [[0, 0]]


def test_a_part_that_is_missing_between_the_extremes_leaves_the_order_unknown() -> None:
    """The one that touched a stop first may be the one that is not there."""
    seconds = [(0, 99.0, 101.0), (10, 98.0, 100.0), (20, 97.0, 99.0)]
    whole = candles((0, 97.0, 101.0), volume=3.0)
    assert parts(*seconds).within(whole, MINUTE_NS).tolist() == [[0, 3]]
    assert parts(seconds[0], seconds[2]).within(whole, MINUTE_NS).tolist() == [[0, 0]]


def test_trades_of_one_instant_keep_their_order_and_none_is_as_early_as_the_open() -> None:
    at_ns = np.array([0, 0, 0, 5, 5, 9], np.int64) * SECOND_NS
    trades = Intrabar.of_trades(at_ns, np.array([3.0, 1.0, 2.0, 5.0, 4.0, 6.0]), np.ones(6))
    assert trades.at_ns.tolist() == [1, 2, 3, 5 * SECOND_NS + 1, 5 * SECOND_NS + 2, 9 * SECOND_NS + 1]
    assert trades.shortest_ns == 1
    assert [low for _, _, low, _ in trades.ranges(0, MINUTE_NS, 1.0, 6.0, 6.0)] == [3, 1, 2, 5, 4, 6]


def test_trades_take_the_place_of_the_finer_candles_that_they_make() -> None:
    minutes = Intrabar.of_candles(candles((0, 97, 101), (1, 99, 103), (3, 95, 96)), MINUTE_NS)
    at_ns = np.array([1, 2, 70, 200], np.int64) * SECOND_NS
    trades = Intrabar.of_trades(
        at_ns, np.array([101.0, 97.0, 99.0, 95.0]), np.ones(4)
    )  # all of the first minute, half of two more
    both = minutes.refined(trades, MINUTE_NS)
    assert both.low.tolist() == [101, 97, 99, 95]
    assert both.high.tolist() == [101, 97, 103, 96]
    assert (np.diff(both.at_ns) > 0).all()


ranges = st.lists(
    st.tuples(st.integers(0, 299), st.integers(1, 9), st.integers(0, 3)), max_size=60, unique_by=lambda r: r[0]
)
wholes = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 9), st.integers(0, 5)), min_size=1, unique_by=lambda r: r[0]
)


@given(ranges, wholes, st.integers(1, 4))
def test_all_candles_at_once_are_each_candle_alone(
    finer: list[tuple[int, int, int]], coarse: list[tuple[int, int, int]], volume: int
) -> None:
    finer, coarse = sorted(finer), sorted(coarse)
    inside = parts(*((at, float(low), float(low + more)) for at, low, more in finer)) if finer else Intrabar(
        np.empty(0, np.int64), *(np.empty(0) for _ in range(4))
    )  # fmt: skip
    series = candles(*((at, float(low), float(low + more)) for at, low, more in coarse), volume=float(volume))
    within = inside.within(series, MINUTE_NS)
    for row, (first, last) in enumerate(within.tolist()):
        opened = int(series.open_time_ns[row])
        low, high = float(series.low[row]), float(series.high[row])
        alone = inside.ranges(opened, opened + MINUTE_NS, low, high, float(volume))
        columns = (column[first:last] for column in (inside.at_ns, inside.open, inside.low, inside.high))
        assert alone == tuple(zip(*(column.tolist() for column in columns), strict=True))


def test_what_is_the_same_is_known_as_the_same_also_in_another_process() -> None:
    one, other = parts((0, 97, 101)), parts((0, 97, 102))
    assert pickle.loads(pickle.dumps(one)) == one
    assert one != other
    assert len({one, parts((0, 97, 101)), other}) == 2
    assert one.shortest_ns == 0


@pytest.mark.parametrize("low", [97.0, 96.0])
def test_the_answer_for_one_series_is_not_that_for_another(low: float) -> None:
    finer = parts((0, 97, 101))
    assert finer.within(candles((0, 97, 101), volume=1.0), MINUTE_NS).tolist() == [[0, 1]]
    assert finer.within(candles((0, low, 101), volume=1.0), MINUTE_NS).tolist() == [[0, 1 if low == 97 else 0]]
