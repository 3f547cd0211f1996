"""Absorption zones against hand-made tapes."""

from __future__ import annotations

import pytest
from tests.indicators.order_flow.tapes import BOUGHT, NOW, SOLD, tape

from promethean.domain.market import Side
from promethean.indicators.order_flow.absorption import absorption_zones, one_two_five
from promethean.indicators.order_flow.bands import Reading
from promethean.indicators.order_flow.tape import Tape

# Buckets of 50.  One unit is traded in each of three; [100,050, 100,100) has the triple of the average when it has 9,
# as (9 + 3) / 4 = 3.
WIDTH = 50.0


def absorbed(volume: float, before: float = 100_000.0, after: float = 100_000.0) -> Tape:
    """A market that comes to the fourth bucket from a price, trades there, and goes on to another one."""
    half = volume / 2
    elsewhere = [(-50.0, 99_900.0, 1.0, BOUGHT), (-49.0, 99_950.0, 1.0, BOUGHT), (-48.0, before, 0.999, BOUGHT)]
    inside = [(-40.0, 100_060.0, half, BOUGHT), (-30.0, 100_080.0, half, BOUGHT)]
    return tape(*elsewhere, *inside, (-20.0, after, 0.001, SOLD))


@pytest.mark.parametrize(("volume", "zones"), [(8.99, 0), (9.0, 1), (9.01, 1)])
def test_a_zone_has_three_times_the_average_bucket(volume: float, zones: int) -> None:
    assert len(absorption_zones(*absorbed(volume), NOW)) == zones


def test_a_zone_says_where_and_what_and_that_absorbed_buying_is_bearish() -> None:
    (zone,) = absorption_zones(*absorbed(9.0, after=100_010.0), NOW, bucket=WIDTH)
    assert (zone.price_low, zone.price_high) == (100_050.0, 100_100.0)
    assert (zone.side, zone.volume) == (Side.BUY, 9.0)
    assert zone.price_change == pytest.approx(0.0001, rel=1e-9)
    assert zone.reading is Reading.BEARISH


def test_absorbed_selling_is_bullish() -> None:
    trades = absorbed(9.0)
    (zone,) = absorption_zones(*trades._replace(aggressor=-trades.aggressor), NOW)
    assert (zone.side, zone.reading) == (Side.SELL, Reading.BULLISH)


@pytest.mark.parametrize(
    ("after", "zones"),
    [
        (100_049.9, 1), (100_050.0, 0), (100_050.1, 0),  # 0.05 % of 100,000 are 50
        (99_950.1, 1), (99_950.0, 0), (99_949.9, 0),
    ],
)  # fmt: skip
def test_a_zone_lets_the_price_change_by_less_than_a_twentieth_of_a_percent(after: float, zones: int) -> None:
    assert len(absorption_zones(*absorbed(10.0, after=after), NOW, bucket=WIDTH)) == zones


def test_a_market_that_trades_through_a_bucket_leaves_no_zone() -> None:
    assert absorption_zones(*absorbed(30.0, after=100_100.0), NOW, bucket=WIDTH) == ()
    assert len(absorption_zones(*absorbed(30.0, after=100_000.0), NOW, bucket=WIDTH)) == 1


def test_at_the_end_of_the_tape_the_last_trade_itself_says_how_far_the_price_came() -> None:
    trades = absorbed(9.5, before=100_040.0)
    (zone,) = absorption_zones(*trades.rows(slice(0, -1)), NOW, bucket=WIDTH)
    assert zone.price_change == pytest.approx(100_080 / 100_040 - 1, rel=1e-9)
    assert absorption_zones(*absorbed(9.5).rows(slice(0, -1)), NOW, bucket=WIDTH) == ()  # 0.08 % from 100,000


def test_one_side_alone_has_to_take_that_much() -> None:
    trades = absorbed(20.0)
    mixed = trades.aggressor.copy()
    mixed[3] = SOLD  # half of what traded there; the other half alone is less than the triple of (20 + 3) / 4
    assert absorption_zones(*trades._replace(aggressor=mixed), NOW) == ()
    assert len(absorption_zones(*trades, NOW)) == 1


def test_only_the_last_minutes_count_and_nothing_after_now() -> None:
    assert absorption_zones(*absorbed(9.0), NOW - 35_000_000_000) == ()
    later = NOW + 3600 * 1_000_000_000 - 40_000_000_000
    assert absorption_zones(*absorbed(9.0), later) == ()
    assert len(absorption_zones(*absorbed(9.0), NOW, minutes=1)) == 1


def test_without_trades_there_is_no_zone() -> None:
    assert absorption_zones(*tape(), NOW) == ()


@pytest.mark.parametrize(
    ("value", "step"),
    [
        (50.0, 50.0),
        (50.1, 100.0),
        (30.9, 50.0),
        (1.0, 1.0),
        (1.01, 2.0),
        (0.0003, 0.0005),
        (2e-9, 2e-9),
        (0.3 * 3, 1.0),
    ],
)
def test_a_width_is_rounded_up_to_1_2_or_5(value: float, step: float) -> None:
    assert one_two_five(value) == step


def test_a_price_on_the_edge_of_a_decimal_bucket_belongs_to_the_upper_one() -> None:
    # 0.3 / 0.1 is a little less than 3 in binary.
    rows = [(-9.0, 0.1, 1.0, BOUGHT), (-8.0, 0.2, 1.0, BOUGHT), (-7.0, 0.4, 1.0, BOUGHT), (-6.0, 0.3, 9.1, BOUGHT)]
    (zone,) = absorption_zones(*tape(*rows[:3], (-6.5, 0.3, 0.01, SOLD), rows[3]), NOW, bucket=0.1)
    assert (zone.price_low, zone.price_high) == pytest.approx((0.3, 0.4))


@pytest.mark.parametrize("bucket", [0.0, -1.0, float("nan")])
def test_a_bucket_without_width_is_refused(bucket: float) -> None:
    with pytest.raises(ValueError, match="a width above 0"):
        absorption_zones(*absorbed(9.0), NOW, bucket=bucket)
