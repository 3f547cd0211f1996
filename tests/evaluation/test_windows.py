"""Windows: nothing is lost between them."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from tests.evaluation.markets import MINUTE_NS, START_NS

from promethean.domain.candles import CandleSeries
from promethean.domain.market import Side
from promethean.evaluation.backtest import Backtest
from promethean.evaluation.judgements import Verdict, judge_walk_forward
from promethean.evaluation.ledger import Books, Trade
from promethean.evaluation.windows import Window, consistency, daily_returns, split

D = Decimal
NONE = np.empty(0)


def result(equity: list[float], *trades: tuple[int, str], cash: str | None = None) -> tuple[Backtest, CandleSeries]:
    """A backtest on six-hour steps of one-minute candles: four of them a day."""
    count = len(equity)
    times = START_NS - START_NS % (86_400 * 10**9) + 360 * MINUTE_NS * np.arange(count, dtype=np.int64)
    flat = np.full(count, 100.0)
    done = [Trade(Side.BUY, at, at, D(100), D(pnl), D(0), "stop") for at, pnl in trades]
    end = D(cash) if cash is not None else D(str(equity[-1]))
    books = Books(end, D(0), [], done, np.empty(0, np.int64), NONE, NONE, NONE)
    candles = CandleSeries.from_columns(times, (flat, flat, flat, flat, flat), keep=count)
    return Backtest(books, np.array(equity), None, 0, {}), candles


def test_each_window_begins_where_the_one_before_ended() -> None:
    backtest, candles = result([100.0, 110.0, 121.0, 99.0, 99.0, 108.9], (1, "10"), (2, "11"), (3, "-22"), (5, "9.9"))
    found = split(backtest, candles, 100.0, 3)
    assert [(window.first, window.stop) for window in found] == [(0, 2), (2, 4), (4, 6)]
    assert [window.return_pct for window in found] == pytest.approx([10.0, -10.0, 10.0])
    assert [(window.trades, window.wins) for window in found] == [(1, 1), (2, 1), (1, 1)]
    assert np.prod([1 + window.return_pct / 100 for window in found]) == pytest.approx(1.089)


def test_what_closing_costs_at_the_end_is_in_the_last_window() -> None:
    backtest, candles = result([100.0, 100.0, 100.0, 100.0], (3, "-5"), cash="95")
    assert [window.return_pct for window in split(backtest, candles, 100.0, 2)] == pytest.approx([0.0, -5.0])


def test_sharpe_and_drawdown_are_of_daily_equity() -> None:
    days = [100.0, 110.0, 99.0]
    backtest, candles = result([value for value in days for _ in range(4)])
    (window,) = split(backtest, candles, 100.0, 1)
    returns = np.array([0.0, 0.1, -0.1])
    assert window.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * np.sqrt(365))
    assert window.max_drawdown_pct == pytest.approx(-10.0)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_fewer_candles_than_windows_make_fewer_windows(count: int) -> None:
    backtest, candles = result([100.0] * count)
    found = split(backtest, candles, 100.0, 6)
    assert sum(window.stop - window.first for window in found) == count
    assert all(window.sharpe is None and window.return_pct == 0.0 for window in found)


def test_equity_that_fell_to_zero_has_no_returns() -> None:
    assert len(daily_returns(np.array([100.0, 0.0, 5.0]))) == 0
    backtest, candles = result([100.0, 50.0, 0.0, 0.0, 0.0, 0.0])
    assert [window.return_pct for window in split(backtest, candles, 100.0, 3)] == [-50.0, -100.0, 0.0]


def window(trades: int, return_pct: float) -> Window:
    return Window(0, 1, trades, 0, return_pct, None, 0.0)


@pytest.mark.parametrize(
    ("windows", "share", "verdict"),
    [
        ([window(0, 0.0)] * 6, None, Verdict.NOT_JUDGED),
        ([window(3, 1.0), *[window(0, 0.0)] * 5], 1.0, Verdict.NOT_JUDGED),
        ([window(3, 1.0), window(2, -1.0)], 0.5, Verdict.FAILED),
        ([window(3, 1.0), window(2, -1.0), window(1, 0.1)], 2 / 3, Verdict.PASSED),
        ([window(3, 0.0), window(2, 0.0)], 0.0, Verdict.FAILED),
    ],
)
def test_most_windows_have_to_earn(windows: list[Window], share: float | None, verdict: Verdict) -> None:
    assert consistency(windows) == share
    assert judge_walk_forward(windows).verdict is verdict
