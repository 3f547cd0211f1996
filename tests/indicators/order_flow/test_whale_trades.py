"""Large trades against hand-computed values."""

from __future__ import annotations

import math

import pytest
from tests.indicators.order_flow.tapes import BOUGHT, NOW, SOLD, tape

from promethean.indicators.order_flow.bands import Pressure
from promethean.indicators.order_flow.whale_trades import whale_trades


def test_a_whale_is_worth_at_least_the_limit() -> None:
    trades = tape((-5, 50_000.0, 1.999, BOUGHT), (-4, 50_000.0, 2.0, BOUGHT), (-3, 50_000.0, 2.001, SOLD))
    values = whale_trades(*trades, NOW)
    assert values.trades.quantity.tolist() == [2.0, 2.001]
    assert (values.buy_usd, values.sell_usd) == pytest.approx((100_000.0, 100_050.0))


def test_a_limit_that_rounding_misses_is_reached() -> None:
    # 0.1 x 3 is a little more than 0.3 in binary.
    assert len(whale_trades(*tape((-5, 0.3, 1.0, BOUGHT)), NOW, min_usd=0.1 * 3).trades.at_ns) == 1


def test_the_value_is_in_dollars_also_for_pairs_quoted_in_something_else() -> None:
    trades = tape((-5, 0.05, 40.0, BOUGHT))
    assert len(whale_trades(*trades, NOW).trades.at_ns) == 0
    assert whale_trades(*trades, NOW, quote_usd=60_000.0).buy_usd == pytest.approx(120_000.0)


@pytest.mark.parametrize(
    ("buy", "sell", "imbalance", "band"),
    [
        (65.0, 35.0, 0.30, Pressure.NEUTRAL),
        (65.1, 34.9, 0.302, Pressure.BUY),
        (35.0, 65.0, -0.30, Pressure.NEUTRAL),
        (34.9, 65.1, -0.302, Pressure.SELL),
        (99.0, 1.0, 0.98, Pressure.BUY),
    ],
)
def test_beyond_three_tenths_one_side_has_the_whales(buy: float, sell: float, imbalance: float, band: Pressure) -> None:
    values = whale_trades(*tape((-5, 1e5, buy, BOUGHT), (-4, 1e5, sell, SOLD)), NOW)
    assert values.imbalance == pytest.approx(imbalance, rel=1e-12)
    assert values.band is band


def test_only_the_last_minutes_count_and_nothing_after_now() -> None:
    trades = tape((-60, 1e6, 1, BOUGHT), (-59.999, 1e6, 2, BOUGHT), (0, 1e6, 4, BOUGHT), (0.001, 1e6, 8, BOUGHT))
    assert whale_trades(*trades, NOW, minutes=1).trades.quantity.tolist() == [2.0, 4.0]


def test_without_whales_there_is_no_imbalance_and_no_band() -> None:
    values = whale_trades(*tape((-5, 10.0, 1.0, BOUGHT)), NOW)
    assert (values.buy_usd, values.sell_usd, values.band) == (0.0, 0.0, None)
    assert math.isnan(values.imbalance)


@pytest.mark.parametrize(("min_usd", "quote_usd"), [(0.0, 1.0), (1.0, 0.0), (math.nan, 1.0), (1.0, -1.0)])
def test_values_not_above_zero_are_refused(min_usd: float, quote_usd: float) -> None:
    with pytest.raises(ValueError, match="are above 0"):
        whale_trades(*tape(), NOW, min_usd=min_usd, quote_usd=quote_usd)
