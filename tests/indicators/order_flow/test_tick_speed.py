"""Tick speed against hand-counted trades."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.indicators.order_flow.tapes import MINUTE, NOW, S

from promethean.domain.candles import IntArray
from promethean.indicators.order_flow.tick_speed import Acceleration, Speed, tick_speed


def trades(first_half: int, second_half: int, minutes: int = 2) -> IntArray:
    """Instants spread over both halves of the last minutes."""
    half = minutes * MINUTE // 2
    early = NOW - 2 * half + (np.arange(first_half) + 1) * (half // max(first_half, 1))
    late = NOW - half + (np.arange(second_half) + 1) * (half // max(second_half, 1))
    return np.concatenate([early, late])


@pytest.mark.parametrize(
    ("per_minute", "band"),
    [
        (0, Speed.LOW), (20, Speed.LOW), (21, Speed.MODERATE), (50, Speed.MODERATE),
        (51, Speed.HIGH), (100, Speed.HIGH), (101, Speed.EXTREME),
    ],
)  # fmt: skip
def test_above_20_50_and_100_trades_a_minute_the_tape_is_faster(per_minute: int, band: Speed) -> None:
    values = tick_speed(trades(per_minute, per_minute), NOW, minutes=2)
    assert values.per_minute == per_minute
    assert values.band is band


@pytest.mark.parametrize(
    ("first", "second", "acceleration", "band"),
    [
        (50, 60, 0.2, Acceleration.STEADY),
        (50, 61, 0.22, Acceleration.RISING),
        (50, 75, 0.5, Acceleration.RISING),
        (50, 76, 0.52, Acceleration.RISING_FAST),
        (50, 40, -0.2, Acceleration.STEADY),
        (50, 39, -0.22, Acceleration.SLOWING),
        (50, 25, -0.5, Acceleration.SLOWING),
        (50, 24, -0.52, Acceleration.SLOWING_FAST),
        (7, 0, -1.0, Acceleration.SLOWING_FAST),
    ],
)
def test_the_second_half_is_compared_with_the_first(
    first: int, second: int, acceleration: float, band: Acceleration
) -> None:
    values = tick_speed(trades(first, second), NOW, minutes=2)
    assert values.acceleration == pytest.approx(acceleration, rel=1e-12)
    assert values.acceleration_band is band


@pytest.mark.parametrize("second", [0, 5])
def test_after_an_empty_first_half_the_acceleration_is_not_known(second: int) -> None:
    values = tick_speed(trades(0, second), NOW, minutes=2)
    assert math.isnan(values.acceleration)
    assert values.acceleration_band is None


def test_a_trade_on_an_edge_belongs_to_what_ends_there_and_nothing_after_now_counts() -> None:
    at_ns = NOW + np.array([-60, -59, -30, -29, 0, 1]) * S
    values = tick_speed(at_ns, NOW, minutes=1)
    assert values.per_minute == 4
    assert values.acceleration == 0.0


def test_instants_that_fall_and_no_time_to_look_back_are_refused() -> None:
    with pytest.raises(ValueError, match="trades come oldest first"):
        tick_speed(np.array([2, 1]), NOW)
    with pytest.raises(ValueError, match="at least 1 minute, not 0"):
        tick_speed(np.array([1, 2]), NOW, minutes=0)
