"""Ichimoku against a hand-computed example and plain slices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.indicators.trend.promises import market, prices, still

from promethean.indicators.trend.ichimoku import ichimoku


def test_a_hand_computed_example_comes_out() -> None:
    # Highs 1, 2, 3, ... and lows one below: the middle of n candles is i + 1 - n / 2.
    steps = np.arange(8.0)
    lines = ichimoku(steps + 1, steps, steps + 0.5, tenkan=2, kijun=3, senkou=4, shift=2)
    unknown = math.nan
    for line, values in zip(
        lines,
        (
            [unknown, 1, 2, 3, 4, 5, 6, 7],
            [unknown, unknown, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5],
            [unknown] * 4 + [1.75, 2.75, 3.75, 4.75],
            [unknown] * 5 + [2, 3, 4],
            [unknown, unknown, 2, 2, 2, 2, 2, 2],
        ),
        strict=True,
    ):
        assert np.array_equal(line, values, equal_nan=True)


def test_the_lines_are_middles_of_ranges_and_the_cloud_is_that_of_26_candles_ago() -> None:
    columns = market(21, 400)
    high, low, close = prices(columns)
    lines = ichimoku(high, low, close)

    def middle(place: int, period: int) -> float:
        rows = slice(place - period + 1, place + 1)
        return float(high[rows].max() + low[rows].min()) / 2

    for place in range(77, 400):
        assert lines.tenkan[place] == middle(place, 9)
        assert lines.kijun[place] == middle(place, 26)
        assert lines.senkou_a[place] == (middle(place - 26, 9) + middle(place - 26, 26)) / 2
        assert lines.senkou_b[place] == middle(place - 26, 52)
        assert lines.lagging[place] == close[place] - close[place - 26]


@pytest.mark.parametrize("name", ["tenkan", "kijun", "senkou", "shift"])
def test_a_parameter_below_one_is_refused(name: str) -> None:
    wrong: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"{name} of an Ichimoku is at least 1, not 0"):
        ichimoku(*prices(still(5)), **wrong)
