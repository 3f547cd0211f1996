"""Leverage from the strategy file to the answer: what is set aside, what is taken away, and what is said about it."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType
from tests.app.minutes import options

from promethean.app.backtest_answers import as_object, write_report
from promethean.app.backtesting import BacktestOptions, BacktestReport, run_backtest
from promethean.app.sweeping import run_sweep, sweep_object
from promethean.config.tree import Settings
from promethean.interfaces.terminal.backtests import page

D = Decimal
BTC = Path("data", "ohlcv", "binance_usdm_BTCUSDT_1h_2023-01_2024-06.parquet")
FILE = """
strategy: {id: borrowed}
market: {exchange: binance, symbol: BTC/USDT-PERP, primary_timeframe: 1h, leverage: 20}
parameters: {low: 30, high: 70}
indicators: [{name: rsi, as: RSI, params: {period: 14}}]
entry: {side: buy, conditions: ["crosses_below(RSI, low)"]}
exit: {conditions: ["crosses_above(RSI, high)"]}
risk: {position_size_quote: 20000, stop_loss_pct: 10, take_profit_pct: 4, cooldown_bars: 0}
execution:
  {order_type: market, fee_taker_pct: 0.1, fee_maker_pct: 0.1, slippage_bps: 0, participation_max: unlimited,
   maintenance_margin_pct: 0.5}
"""


@pytest.fixture
def asked(shared: Path, tmp_path: Path) -> BacktestOptions:
    path = tmp_path / "borrowed.yaml"
    path.write_text(FILE)
    return options(shared / BTC, str(path), 10_000)


def text_of(shown: RenderableType) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(shown)
    return console.export_text()


def run(settings: Settings, asked: BacktestOptions, **changes: str) -> tuple[BacktestReport, dict[str, Any]]:
    named = {name.replace("__", "."): value for name, value in changes.items()}
    report = run_backtest(settings, replace(asked, overrides=named))
    return report, as_object(report, with_trades=True)


def test_twice_the_cash_is_held_on_a_twentieth_of_it_and_no_more_than_that_is_lost(
    settings: Settings, asked: BacktestOptions
) -> None:
    report, found = run(settings, asked)
    assert report.result.stepped is None
    taken = [part for part in report.result.books.parts if part.reason == "liquidation"]
    assert len(taken) == found["liquidations"] > 5
    tick = report.bench.instrument.price_increment
    for part in taken:
        margin, paid_at_entry = part.entry_price * part.quantity / 20, part.entry_price * part.quantity / 1000
        assert part.entry_price * D("0.95") <= part.exit_price < part.entry_price * D("0.95") + tick
        assert -margin - paid_at_entry - D("1e-8") <= part.pnl <= -margin - paid_at_entry + tick * part.quantity
    assert any("lies beyond the liquidation, 4.5 % from the entry at 20 x" in remark for remark in found["remarks"])
    told = text_of(page(found, "USDT"))
    assert f"20 x; {len(taken)} positions liquidated, with the whole margin lost" in told


def test_without_leverage_the_cash_does_not_reach_and_the_stop_is_met(
    settings: Settings, asked: BacktestOptions
) -> None:
    _, found = run(settings, asked, market__leverage="1")
    assert (found["trades"], found["liquidations"]) == (0, 0)
    assert found["refusals_by_reason"] == {"insufficient_balance": found["refusals"]}
    report, found = run(settings, asked, market__leverage="1", risk__position_size_quote="5000")
    assert {part.reason for part in report.result.books.parts} >= {"stop", "target", "signal"}
    assert found["liquidations"] == 0
    assert not any("liquidation" in remark for remark in found["remarks"])
    assert "Leverage" not in text_of(page(found, "USDT"))


def test_compiled_and_step_by_step_agree_and_a_sweep_takes_leverage_as_an_axis(
    settings: Settings, asked: BacktestOptions
) -> None:
    swept = run_sweep(settings, asked, ["market.leverage=5,20"], lambda *_: None)
    assert sweep_object(swept, 2)["confirmed"]["agrees"]
    for outcome in swept.outcomes:
        alone, _ = run(settings, asked, market__leverage=outcome.parameters["market.leverage"])
        assert outcome.final_equity == pytest.approx(float(alone.result.books.cash), abs=0.01)


def test_the_page_says_on_which_margin_it_was_traded(
    settings: Settings, asked: BacktestOptions, tmp_path: Path
) -> None:
    report, _ = run(settings, asked)
    write_report(report, tmp_path / "report.html")
    assert "isolated, 20 x, liquidated below a maintenance margin of 0.5 %" in (tmp_path / "report.html").read_text()
