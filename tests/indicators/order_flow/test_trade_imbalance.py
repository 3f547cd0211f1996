"""Trade imbalance against hand-computed values."""

from __future__ import annotations

import math

import pytest
from tests.indicators.order_flow.tapes import BOUGHT, MINUTE, NOW, SOLD, tape

from promethean.indicators.order_flow.bands import Pressure
from promethean.indicators.order_flow.trade_imbalance import trade_imbalance


@pytest.mark.parametrize(
    ("buy", "sell", "delta", "band"),
    [
        (55.0, 45.0, 0.10, Pressure.NEUTRAL),
        (55.1, 44.9, 0.102, Pressure.BUY),
        (65.0, 35.0, 0.30, Pressure.BUY),
        (65.1, 34.9, 0.302, Pressure.STRONG_BUY),
        (44.9, 55.1, -0.102, Pressure.SELL),
        (0.0, 7.0, -1.0, Pressure.STRONG_SELL),
    ],
)
def test_delta_is_the_difference_over_the_sum(buy: float, sell: float, delta: float, band: Pressure) -> None:
    trades = [(-5.0, 10.0, buy, BOUGHT), (-4.0, 20.0, sell, SOLD)]
    values = trade_imbalance(*tape(*(trade for trade in trades if trade[2] > 0)), NOW)
    assert values[:3] == pytest.approx((buy, sell, delta), rel=1e-12)
    assert values.band is band


def test_only_the_last_minutes_count_and_nothing_after_now() -> None:
    trades = tape(
        (-120, 10, 1, BOUGHT), (-119.999, 10, 2, BOUGHT), (-1, 10, 4, SOLD), (0, 10, 8, SOLD), (0.001, 10, 16, SOLD)
    )
    values = trade_imbalance(*trades, NOW, minutes=2)
    assert (values.buy, values.sell) == (2.0, 12.0)
    assert trade_imbalance(*trades, NOW - 2 * MINUTE, minutes=2).buy == 1.0


def test_without_trades_there_is_no_delta_and_no_band() -> None:
    values = trade_imbalance(*tape(), NOW)
    assert (values.buy, values.sell, values.band) == (0.0, 0.0, None)
    assert math.isnan(values.delta)


def test_no_time_to_look_back_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 minute, not 0"):
        trade_imbalance(*tape(), NOW, minutes=0)
