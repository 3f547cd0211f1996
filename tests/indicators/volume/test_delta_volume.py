"""The volume delta against hand-computed values."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.volume.markets import market

from promethean.indicators.volume.delta_volume import delta_volume


def test_a_hand_computed_example_comes_out() -> None:
    values = delta_volume(np.array([10.0, 8.0, 4.0]), np.array([7.0, 2.0, 2.0]))
    assert values.delta.tolist() == [4.0, -4.0, 0.0]
    assert values.buy_share.tolist() == [0.7, 0.25, 0.5]
    assert values.cumulative.tolist() == [4.0, 0.0, 0.0]


def test_without_trades_there_is_a_delta_and_no_share() -> None:
    values = delta_volume(np.array([0.0, 4.0]), np.array([0.0, 4.0]))
    assert values.delta.tolist() == [0.0, 4.0]
    assert np.array_equal(values.buy_share, [np.nan, 1.0], equal_nan=True)
    assert values.cumulative.tolist() == [0.0, 4.0]


def test_a_candle_of_unknown_takers_is_unknown_and_the_sum_goes_on_after_it() -> None:
    values = delta_volume(np.array([10.0, 8.0, 4.0]), np.array([7.0, np.nan, 4.0]))
    for column, expected in zip(values, ([4, np.nan, 4], [0.7, np.nan, 1.0], [4, np.nan, 8]), strict=True):
        assert np.array_equal(column, np.array(expected, np.float64), equal_nan=True)


@given(st.integers(0, 2**32 - 1), st.integers(0, 200))
def test_it_is_buys_less_sells_and_their_running_sum(seed: int, length: int) -> None:
    columns = market(seed, length)
    values = delta_volume(columns["volume"], columns["taker_buy_volume"])
    buys, volumes = columns["taker_buy_volume"].tolist(), columns["volume"].tolist()
    deltas = [buy - (volume - buy) for buy, volume in zip(buys, volumes, strict=True)]
    assert values.delta.tolist() == deltas
    assert values.cumulative.tolist() == pytest.approx(list(accumulate(deltas)), rel=1e-12)
