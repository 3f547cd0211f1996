"""Sweeps of strategy files: each outcome is that of the backtest with these values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.app.minutes import options

from promethean.app.backtesting import run_backtest
from promethean.app.sweeping import run_sweep, sweep_object
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError


@pytest.mark.parametrize(
    "param",
    ["low=20:40:10", "risk.stop_loss_pct=0.2,5", "execution.fee_taker_pct=0,1", "market.price_increment=0.01,100",
     "execution.slippage_bps=0,50", "risk.position_size_quote=100,9000", "period=5,14",
     "market.quantity_increment=0.01,0.00001"],
)  # fmt: skip
def test_every_outcome_is_that_of_the_backtest_with_these_values(settings: Settings, short: Path, param: str) -> None:
    asked = options(short, overrides={"high": "60"})
    report = run_sweep(settings, asked, [param], lambda *_: None)
    for outcome in report.outcomes:
        one = run_backtest(settings, replace(asked, overrides={**asked.overrides, **outcome.parameters}))
        assert (outcome.trades, outcome.wins) == (one.metrics.trades, one.metrics.wins), outcome.parameters
        assert outcome.final_equity == pytest.approx(float(one.result.books.cash), abs=0.01), outcome.parameters
    assert len({outcome.final_equity for outcome in report.outcomes}) > 1, "the values matter"
    found = sweep_object(report, 1)
    assert found["confirmed"]["agrees"] is True
    assert found["top"][0]["parameters"] == found["confirmed"]["parameters"]
    assert float(found["top"][0]["final_equity"]) == pytest.approx(
        max(o.final_equity for o in report.outcomes), abs=0.01
    )


def test_a_class_based_strategy_is_swept_too(settings: Settings, short: Path, tmp_path: Path) -> None:
    strategy = tmp_path / "mine.yaml"
    strategy.write_text(
        "strategy: {id: mine, class: rsi_reversion}\n"
        "market: {exchange: binance, symbol: BTC/USDT, primary_timeframe: 1m}\n"
        "parameters: {rsi_period: 14, oversold: 30, position_size_pct: 5}\n"
        "exits: {stop_loss_pct: 1}\n"
        "execution: {order_type: market, latency_ms: 0, participation_max: unlimited}\n"
    )
    asked = options(short, str(strategy))
    report = run_sweep(settings, asked, ["rsi_period=5:9:2", "oversold=20,40"], lambda *_: None)
    assert len(report.outcomes) == 6
    for outcome in report.outcomes:
        one = run_backtest(settings, replace(asked, overrides=outcome.parameters))
        assert outcome.trades == one.metrics.trades
        assert outcome.final_equity == pytest.approx(float(one.result.books.cash), abs=0.01)


def test_progress_is_told_and_the_best_come_first(settings: Settings, short: Path) -> None:
    told: list[tuple[int, int]] = []
    report = run_sweep(settings, options(short), ["low=20:40:5", "high=65,75"], lambda *done: told.append(done))
    assert told == [(number, 10) for number in range(1, 11)]
    found = sweep_object(report, 3)
    assert (found["combinations"], len(found["top"])) == (10, 3)
    equities = [float(row["final_equity"]) for row in found["top"]]
    assert equities == sorted(equities, reverse=True)
    assert found["trades"] == sum(outcome.trades for outcome in report.outcomes)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ([], "there is nothing to vary; give for example --param period=6:24:2"),
        (["period"], "--param is 'period'; write name=first:last:step"),
        (["low=1,2", "low=3"], "--param names low twice; keep one"),
        (["lwo=1,2"], "unknown parameter 'lwo'; did you mean 'low'"),
        (["risk.stop_los_pct=1,2"], "unknown key 'stop_los_pct'; did you mean 'stop_loss_pct'"),
        (["risk.stop_loss_pct=1,200"], "risk.stop_loss_pct is 200; it lies between 0.01 and 99.99"),
        (["period=0,14"], "the period of an RSI is at least 1, not 0"),
        (["period=7.5"], "period is 7.5; write a whole number"),
        (["risk.max_daily_trades=1,2"], "a sweep does not know limits that the file sets; use backtest for it"),
        (["execution.participation_max=0.0001"], "with execution.participation_max=0.0001 an order is larger than"),
        (["low=1:1000:1", "high=1:1001:1"], "1,001,000 combinations are more than 1,000,000"),
    ],
)
def test_a_sweep_that_cannot_be_made_is_refused(settings: Settings, short: Path, params: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        run_sweep(settings, options(short), params, lambda *_: None)
