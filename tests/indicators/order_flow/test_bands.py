"""Bands begin beyond their limits, and rounding does not move them."""

from __future__ import annotations

import math

import pytest

from promethean.indicators.order_flow.bands import Pressure, exceeds, pressure, reaches


@pytest.mark.parametrize(
    ("delta", "band"),
    [
        (0.0, Pressure.NEUTRAL),
        (0.10, Pressure.NEUTRAL),
        (0.55 - 0.45, Pressure.NEUTRAL),  # a little above a tenth in binary
        (0.1001, Pressure.BUY),
        (0.30, Pressure.BUY),
        (0.65 - 0.35, Pressure.BUY),
        (0.3001, Pressure.STRONG_BUY),
        (1.0, Pressure.STRONG_BUY),
        (-0.10, Pressure.NEUTRAL),
        (-0.1001, Pressure.SELL),
        (-0.30, Pressure.SELL),
        (-0.3001, Pressure.STRONG_SELL),
    ],
)
def test_a_side_presses_beyond_a_tenth_and_hard_beyond_three(delta: float, band: Pressure) -> None:
    assert pressure(delta) is band


def test_what_is_not_known_has_no_band() -> None:
    assert pressure(math.nan) is None


def test_comparisons_forgive_rounding_and_nothing_else() -> None:
    assert reaches(0.3, 3 * 0.1)  # 3 x 0.1 is a little more than 0.3
    assert not reaches(0.3 - 1e-9, 0.3)
    assert not exceeds(3 * 0.1, 0.3)
    assert exceeds(0.3 + 1e-9, 0.3)
    assert reaches(0.0, 0.0)
    assert not exceeds(0.0, 0.0)
    assert exceeds(1e-300, 0.0)
