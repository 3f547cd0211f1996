"""The regime: each name on a market made for it, the first that fits, and two closes to change it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray
from promethean.indicators.trend.regime import MEMORY, RANGE, REGIMES, regime

HOUR_NS = 3_600 * 10**9
STILL = 200  # candles of the quiet market before what a test is about
SMALL = {"period": 5, "breadth": 20, "lookback": 100}


class Market:
    """Hourly candles around 100 that swing by 0.1, one after the other; a test adds its own."""

    def __init__(self, quiet: int = STILL) -> None:
        self.rows: list[tuple[float, float, float, float]] = []
        self.swing(quiet)

    def swing(self, candles: int, reach: float = 0.2) -> None:
        for number in range(candles):  # never twice the same, never going anywhere
            self.add(100 + 0.1 * np.sin(2.4 * number), reach=reach)

    def add(self, close: float, volume: float = 10.0, reach: float = 0.2) -> None:
        self.rows.append((close + reach, close - reach, close, volume))

    def names(self, **parameters: int) -> list[str | None]:
        high, low, close, volume = np.array(self.rows).T.copy()
        opens: NDArray[np.int64] = HOUR_NS * np.arange(len(self.rows))
        codes = regime(opens, high, low, close, volume, **{**SMALL, **parameters})
        return [None if np.isnan(code) else REGIMES[int(code)] for code in codes]


def after_wide_candles() -> Market:
    """Quiet again, but with wider candles among those that volatility is compared with."""
    market = Market()
    market.swing(20, reach=0.6)
    market.swing(30)
    return market


def test_a_quiet_market_is_a_range() -> None:
    names = Market().names()
    assert set(names[110:]) == {"range"}


def test_it_is_unknown_until_volatility_can_be_compared() -> None:
    names = Market().names()
    warm_up = SMALL["period"] + SMALL["lookback"] - 1
    assert set(names[:warm_up]) == {None}
    assert None not in names[warm_up:]


def test_minutes_need_a_whole_day_before_they_have_a_name() -> None:
    minutes = 1500
    close = 100 + 0.1 * np.sin(2.4 * np.arange(minutes))
    opens = 60 * 10**9 * np.arange(minutes)
    codes = regime(opens, close + 0.2, close - 0.2, close, np.full(minutes, 10.0), **SMALL)
    assert np.isnan(codes[:1440]).all()
    assert not np.isnan(codes[1440:]).any()


def test_a_steady_rise_is_a_trend_up_and_a_steady_fall_a_trend_down() -> None:
    for step, name in ((0.05, "trend_up"), (-0.05, "trend_down")):
        market = Market()
        for number in range(60):
            market.add(100 + step * number, reach=0.15)  # as a share of the price no wider than before
        assert market.names()[-1] == name


def test_a_daily_range_above_five_percent_is_a_high_volatility_for_a_day() -> None:
    market = Market()
    market.add(100, reach=2.6)
    for _ in range(40):
        market.add(100)
    names = market.names(lookback=100)
    assert names[STILL + 1] == "high_volatility"  # the second close that says so
    assert names[STILL + 22] == "high_volatility"


def test_candles_wider_than_nine_in_ten_before_are_a_high_volatility() -> None:
    market = Market()
    for _ in range(5):
        market.add(100, reach=0.5)  # a range of 1 %: the day's is far from 5 %
    assert market.names()[-1] == "high_volatility"


def test_a_close_beyond_the_range_on_a_large_volume_is_a_breakout() -> None:
    market = after_wide_candles()
    for close in (100.5, 100.8):
        market.add(close, volume=40.0, reach=0.15)
    assert market.names()[-1] == "breakout"


def test_the_same_close_on_a_usual_volume_is_none() -> None:
    market = after_wide_candles()
    for close in (100.5, 100.8):
        market.add(close, reach=0.15)
    assert market.names()[-1] != "breakout"


def test_a_flat_market_bought_near_its_low_is_an_accumulation_and_sold_near_its_high_a_distribution() -> None:
    for sign, name in ((1, "accumulation"), (-1, "distribution")):
        market = after_wide_candles()
        for number in range(40):  # what goes with the sign is traded four times as much
            up = number % 2 == 0
            market.add(100 + (0.1 if up else -0.1), volume=40.0 if up == (sign > 0) else 10.0)
        for number in range(3):
            market.add(100 - sign * (0.16 + 0.01 * number), volume=1.0, reach=0.1)
        assert market.names()[-1] == name


def test_one_close_does_not_change_the_name_and_two_do() -> None:
    market = Market()
    market.add(100, reach=2.6)
    assert market.names()[-1] == "range"
    market.add(100)  # the day still ranges over more than 5 %
    assert market.names()[-1] == "high_volatility"


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([0, 0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1, 1]),
        ([2, 1, 2, 1, 1], [2, 2, 2, 2, 1]),  # the first one stands until two agree
        ([np.nan, 3, 4, np.nan, 5, 5], [np.nan, 3, 3, np.nan, 5, 5]),
        ([], []),
    ],
)
def test_a_name_changes_when_two_in_a_row_agree(codes: list[float], expected: list[float]) -> None:
    assert np.array_equal(settled_of(codes), np.array(expected, float), equal_nan=True)


def test_what_never_agrees_is_forgotten_after_its_memory() -> None:
    codes = [5.0, 5.0] + [3.0, 4.0] * MEMORY
    found = settled_of(codes)
    assert (found[:MEMORY] == 5.0).all()
    assert (found[MEMORY:] == RANGE).all()


def settled_of(codes: list[float]) -> FloatArray:
    from promethean.indicators.trend._regime_kernels import settled

    return settled(np.array(codes, float), MEMORY, float(RANGE))


def test_a_parameter_that_is_too_small_is_refused() -> None:
    for name in ("period", "breadth", "lookback"):
        with pytest.raises(ValueError, match=f"{name} of a regime is at least"):
            Market(quiet=10).names(**{name: 0})
