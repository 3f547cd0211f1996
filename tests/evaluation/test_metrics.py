"""Figures of merit, beside what a pencil makes of them."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from promethean.domain.instants import DAY_NS
from promethean.domain.market import Side
from promethean.evaluation.ledger import Books, Part, Trade
from promethean.evaluation.metrics import Metrics, daily_equity, excursions, measure

D = Decimal
HOUR_NS = DAY_NS // 24


def trade(pnl: str, opened: int = 0, closed: int = 2, notional: str = "100") -> Trade:
    return Trade(Side.BUY, opened, closed, D(notional), D(pnl), D(0), "signal")


def books(cash: str, *trades: Trade, at: tuple[int, ...] = (), held: tuple[float, ...] = ()) -> Books:
    zeros = np.zeros(len(at))
    return Books(D(cash), D(0), [], list(trades), np.array(at, np.int64), np.array(held), zeros, zeros)


def of_trades(*pnls: str) -> Metrics:
    return measure(books("1000", *map(trade, pnls)), np.array([1000.0]), 1000.0, np.array([0]))


def of_days(*equity: float, start: float = 100.0) -> Metrics:
    """An account whose days end with this equity."""
    times = np.arange(len(equity), dtype=np.int64) * DAY_NS
    return measure(books(str(equity[-1])), np.array(equity), start, times)


# -- trades -----------------------------------------------------------------------------------------------------------


def test_wins_losses_and_what_is_neither_are_counted_apart() -> None:
    found = of_trades("10", "-5", "0", "20", "-1")
    assert (found.trades, found.wins, found.losses, found.win_rate_pct) == (5, 2, 2, 40.0)
    assert (found.average_win, found.average_loss, found.best, found.worst) == (15.0, -3.0, 20.0, -5.0)
    assert found.profit_factor == pytest.approx(30 / 6)
    assert found.expected_value == pytest.approx(24 / 5)
    assert found.expected_value == pytest.approx(2 / 5 * 15 - 2 / 5 * 3)  # as the definition writes it


@pytest.mark.parametrize(
    ("pnls", "factor"),
    [((), None), (("0",), None), (("5", "3"), math.inf), (("-5",), 0.0), (("5", "-10"), 0.5)],
)
def test_the_profit_factor_is_unknown_without_trades_and_infinite_without_losses(
    pnls: tuple[str, ...], factor: float | None
) -> None:
    assert of_trades(*pnls).profit_factor == factor


def test_without_a_trade_what_is_made_of_trades_is_unknown() -> None:
    found = of_trades()
    assert (found.trades, found.wins, found.losses) == (0, 0, 0)
    unknown = (
        found.win_rate_pct, found.profit_factor, found.expected_value, found.average_win, found.average_loss,
        found.best, found.worst, found.average_hold_candles, found.sharpe, found.sortino,
    )  # fmt: skip
    assert unknown == (None,) * 10
    assert (found.return_pct, found.turnover, found.exposure_pct, found.max_drawdown_pct) == (0, 0, 0, 0)


def test_turnover_and_hold_are_of_the_trades() -> None:
    made = books("1000", trade("1", 0, 4, "500"), trade("1", 6, 8, "1500"))
    found = measure(made, np.full(10, 1000.0), 1000.0, np.arange(10))
    assert (found.turnover, found.average_hold_candles) == (2.0, 3.0)


def test_exposure_is_the_share_of_closes_at_which_something_was_held() -> None:
    made = books("1000", at=(2, 5, 7, 7), held=(1.0, 0.0, -2.0, 0.0))  # held at the closes 2, 3, 4
    assert measure(made, np.full(10, 1000.0), 1000.0, np.arange(10)).exposure_pct == 30.0


# -- days -------------------------------------------------------------------------------------------------------------


def test_a_day_ends_with_its_last_close_in_utc() -> None:
    hours = np.array([20, 22, 23, 24, 30, 80]) * HOUR_NS
    assert daily_equity(np.arange(6.0), hours).tolist() == [2.0, 4.0, 5.0]
    assert daily_equity(np.array([]), np.array([], np.int64)).tolist() == []


def test_drawdown_is_from_the_highest_day_to_the_lowest_after_it() -> None:
    found = of_days(110, 99, 120, 90, 130)
    assert found.max_drawdown_pct == pytest.approx(-25.0)
    assert found.max_drawdown == pytest.approx(-30.0)
    assert found.days == 5
    assert found.return_pct == pytest.approx(30.0)


def test_the_start_is_the_first_peak() -> None:
    assert of_days(80, 90).max_drawdown_pct == pytest.approx(-20.0)


def test_what_happens_within_a_day_is_no_drawdown() -> None:
    hours = np.arange(24) * HOUR_NS
    equity = np.array([100.0, 50.0] * 11 + [60.0, 100.0])
    assert measure(books("100"), equity, 100.0, hours).max_drawdown_pct == 0.0


def test_sharpe_and_sortino_by_hand() -> None:
    """Returns of 10 %, -10 %, 20 %: their mean is 1/15, and they lie 0.1/3, 0.5/3 and 0.4/3 away from it."""
    found = of_days(110, 99, 118.8)
    deviation = math.sqrt(((0.1 / 3) ** 2 + (0.5 / 3) ** 2 + (0.4 / 3) ** 2) / 2)
    downside = math.sqrt(0.01 / 3)
    assert found.sharpe_raw == pytest.approx((0.2 / 3) / deviation)
    assert found.sortino_raw == pytest.approx((0.2 / 3) / downside)
    assert found.sharpe == pytest.approx((0.2 / 3) / deviation * math.sqrt(365))
    assert found.sortino == pytest.approx((0.2 / 3) / downside * math.sqrt(365))


def test_a_single_day_has_no_ratio() -> None:
    found = of_days(110)
    assert (found.days, found.sharpe, found.sharpe_raw, found.sortino, found.sortino_raw) == (1, None, None, None, None)
    assert found.return_pct == pytest.approx(10.0)


def test_without_a_change_there_is_no_ratio_and_without_a_fall_no_downside() -> None:
    still = of_days(100, 100, 100)
    assert (still.sharpe, still.sortino) == (None, None)
    rising = of_days(110, 120, 150)
    assert rising.sharpe is not None and rising.sharpe > 0
    assert rising.sortino is None


def test_an_account_that_lost_everything_has_no_returns() -> None:
    found = of_days(50, 0, 0)
    assert (found.max_drawdown_pct, found.sharpe, found.return_pct) == (-100.0, None, -100.0)


def test_the_last_day_is_the_end_of_the_account_with_what_its_end_cost() -> None:
    times = np.arange(2, dtype=np.int64) * DAY_NS
    found = measure(books("95"), np.array([100.0, 110.0]), 100.0, times)
    assert found.return_pct == pytest.approx(-5.0)
    assert found.max_drawdown_pct == pytest.approx(-5.0)


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=40))
def test_the_figures_of_days_are_what_a_plain_loop_finds(equity: list[float]) -> None:
    found = of_days(*equity, start=1000.0)
    peak, fall, ratio = 1000.0, 0.0, 0.0
    for value in equity:
        peak = max(peak, value)
        fall, ratio = min(fall, value - peak), min(ratio, value / peak - 1)
    assert found.max_drawdown == pytest.approx(fall)
    assert found.max_drawdown_pct == pytest.approx(100 * ratio)
    returns = [b / a - 1 for a, b in zip([1000.0, *equity], equity, strict=False)]
    mean = sum(returns) / len(returns)
    deviation = math.sqrt(sum((one - mean) ** 2 for one in returns) / (len(returns) - 1))
    if deviation > 1e-9:
        assert found.sharpe_raw == pytest.approx(mean / deviation, rel=1e-6, abs=1e-9)


# -- streaks, costs, the drawdown and its days ------------------------------------------------------------------------


def test_a_streak_is_broken_by_what_came_out_even() -> None:
    found = of_trades("1", "2", "0", "3", "-1", "-1", "-2", "4")
    assert (found.win_streak, found.loss_streak) == (2, 3)
    assert (of_trades().win_streak, of_trades().loss_streak) == (0, 0)


def test_fees_are_a_share_of_what_gaining_trades_gained_before_them() -> None:
    trades = [replace(trade("8"), fees=D(2)), replace(trade("-1"), fees=D(2)), replace(trade("-9"), fees=D(2))]
    account = replace(books("998", *trades), fees=D(6))
    found = measure(account, np.array([998.0]), 1000.0, np.array([0]))
    assert found.cost_share_pct == pytest.approx(100 * 6 / (10 + 1))
    assert of_trades("-5").cost_share_pct is None


def test_the_largest_drawdown_has_its_days() -> None:
    found = of_days(110, 99, 108, 88, 105, 120, 119)
    assert (found.drawdown_from, found.drawdown_to, found.drawdown_recovered) == (0, 3, 5)
    found = of_days(90, 95)
    assert (found.drawdown_from, found.drawdown_to, found.drawdown_recovered) == (0, 0, None)
    found = of_days(110, 120)
    assert (found.drawdown_from, found.drawdown_to, found.drawdown_recovered, found.calmar) == (None, None, None, None)


def test_calmar_is_the_return_of_a_year_over_the_largest_drawdown() -> None:
    days = np.linspace(100, 120, 365)
    days[100] = 50.0
    found = of_days(*days)
    assert found.calmar == pytest.approx(0.20 / -found.max_drawdown_pct * 100)
    assert of_days(50, 300).calmar is None  # what a lucky day would come to in a year


# -- excursions -------------------------------------------------------------------------------------------------------


def closed(number: int, side: Side, entry: str, exit: str) -> Part:
    return Part(number, side, 0, 1, D(entry), D(exit), D(1), "signal", D(0), D(0))


def test_an_excursion_is_measured_from_the_entry_to_the_candle_before_the_exit() -> None:
    account = books("1000", trade("1", opened=1, closed=3))
    account = replace(account, parts=[closed(1, Side.BUY, "100", "101"), closed(1, Side.BUY, "100", "104")])
    high, low = np.array([500.0, 102, 103, 900]), np.array([1.0, 99, 97, 1])
    found = excursions(account, high, low)
    assert (found.against.tolist(), found.along.tolist()) == ([pytest.approx(-3)], [pytest.approx(4)])


def test_a_short_is_the_mirror_and_a_trade_of_one_candle_knows_its_exit_alone() -> None:
    short, quick = replace(trade("1", 0, 2), side=Side.SELL), trade("-1", 3, 3)
    account = replace(
        books("1000", short, quick), parts=[closed(1, Side.SELL, "100", "98"), closed(2, Side.BUY, "50", "49")]
    )
    found = excursions(account, np.array([101.0, 105, 999, 999]), np.array([99.0, 96, 1, 1]))
    assert found.against == pytest.approx([-5, -2])
    assert found.along == pytest.approx([4, 0])


def test_without_trades_there_are_no_excursions() -> None:
    found = excursions(books("1000"), np.empty(0), np.empty(0))
    assert (len(found.against), len(found.along)) == (0, 0)
