"""Pivot points against hand-computed levels and a plain loop over days."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.trend.promises import DAY_NS, MINUTE_NS, market, prices, still

from promethean.domain.candles import IntArray
from promethean.indicators.trend.pivot_points import KINDS, PivotPoints, pivot_points

DAY = 20_000 * DAY_NS


def hours(*at: int) -> IntArray:
    """Opening times so many hours after the beginning of a day."""
    return DAY + 60 * MINUTE_NS * np.array(at, np.int64)


def levels_after(kind: str) -> PivotPoints:
    """Of a candle on the day after one with high 12, low 6 and close 12."""
    high, low, close = np.array([[11.0, 12.0, 11.0, 50.0], [6.0, 7.0, 8.0, 40.0], [9.0, 8.0, 12.0, 45.0]])
    points = pivot_points(hours(0, 8, 16, 24), high, low, close, kind)
    return PivotPoints(*(values[3:] for values in points))


@pytest.mark.parametrize(
    ("kind", "levels"),
    [
        ("classic", [10, 14, 16, 20, 8, 4, 2]),
        ("woodie", [10.5, 15, 16.5, 21, 9, 4.5, 3]),
        ("fibonacci", [10, 12.292, 13.708, 16, 7.708, 6.292, 4]),
        ("camarilla", [10, 12.55, 13.1, 13.65, 11.45, 10.9, 10.35]),
    ],
)
def test_hand_computed_levels_come_out(kind: str, levels: list[float]) -> None:
    assert [float(values[0]) for values in levels_after(kind)] == pytest.approx(levels, rel=1e-14)


def pivots(opens: IntArray) -> list[float]:
    """The pivot at each candle, when candle n has high, low and close n."""
    values = np.arange(float(len(opens)))
    return [float(value) for value in pivot_points(opens, values, values, values).pivot]


def test_a_day_keeps_its_levels_from_its_first_candle_to_its_last() -> None:
    # Days of three candles: (2 + 0 + 2) / 3 of the first, (5 + 3 + 5) / 3 of the second.
    unknown = [math.nan] * 3
    expected = [*unknown, 4 / 3, 4 / 3, 4 / 3, 13 / 3, 13 / 3, 13 / 3]
    assert pivots(hours(0, 8, 16, 24, 32, 40, 48, 56, 64)) == pytest.approx(expected, nan_ok=True)


def test_a_first_day_that_may_lack_candles_gives_no_levels() -> None:
    assert pivots(hours(8, 16, 24, 40, 48)) == pytest.approx([math.nan] * 4 + [8 / 3], nan_ok=True)


def test_a_later_day_gives_levels_though_its_first_candle_is_missing() -> None:
    assert pivots(hours(16, 32, 40, 48)) == pytest.approx([math.nan] * 3 + [5 / 3], nan_ok=True)


def test_a_day_after_one_without_candles_has_no_levels() -> None:
    assert pivots(hours(0, 12, 48, 60, 72)) == pytest.approx([math.nan] * 4 + [8 / 3], nan_ok=True)


@given(st.integers(0, 2**32 - 1), st.integers(0, 300))
def test_the_day_before_decides(seed: int, length: int) -> None:
    columns = market(seed, length)
    opens, high, low, close = (columns[name].tolist() for name in ("open_time_ns", "high", "low", "close"))
    points = pivot_points(columns["open_time_ns"], *prices(columns))
    for place, opened in enumerate(opens):
        yesterday = [row for row in range(place) if opens[row] // DAY_NS == opened // DAY_NS - 1]
        if not yesterday or (yesterday[0] == 0 and opens[0] % DAY_NS):
            assert np.isnan([values[place] for values in points]).all()
            continue
        top, bottom = max(high[row] for row in yesterday), min(low[row] for row in yesterday)
        pivot = (top + bottom + close[yesterday[-1]]) / 3
        assert points.pivot[place] == pytest.approx(pivot, rel=1e-12)
        assert points.r3[place] == pytest.approx(top + 2 * (pivot - bottom), rel=1e-12)
        assert points.s1[place] == pytest.approx(2 * pivot - top, rel=1e-9, abs=1e-9 * top)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=f"pivot points are {', '.join(KINDS)}, not 'demark'"):
        pivot_points(hours(0), *prices(still(1)), kind="demark")
