"""Backtests and sweeps of files with a schedule."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.app.minutes import day, options

from promethean.app.backtesting import run_backtest
from promethean.app.desk import find_strategy_file
from promethean.app.sweeping import run_sweep, sweep_object
from promethean.config.layers import load_settings
from promethean.config.tree import Settings

BTC = Path("data", "ohlcv", "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet")


def scheduled(tmp_path: Path, shipped: str, schedule: str) -> Path:
    """A strategy file of ours with a schedule."""
    text = find_strategy_file(load_settings({}, {}, Path.cwd()), shipped).read_text()
    path = tmp_path / "scheduled.yaml"
    path.write_text(f"{text}\nschedule: {schedule}\n")
    return path


@pytest.mark.parametrize("shipped", ["reference_rsi", "rsi_reversion"])
def test_entries_are_made_inside_a_schedule_and_exits_always(
    shared: Path, settings: Settings, tmp_path: Path, shipped: str
) -> None:
    strategy = scheduled(tmp_path, shipped, "{sessions: [us], weekdays: [tue, wed]}")
    whole = run_backtest(settings, options(shared / BTC, shipped, until=day("2025-06-15")))
    report = run_backtest(settings, options(shared / BTC, str(strategy), until=day("2025-06-15")))
    parts = report.result.books.parts
    assert 10 < report.metrics.trades < whole.metrics.trades
    entered = [datetime.fromtimestamp(part.opened_at_ns // 10**9, UTC) for part in parts]
    # Market orders fill at the instant at which the candle inside closes; a limit may wait for its price.
    late = 0 if shipped == "reference_rsi" else 60
    assert all(13 <= at.hour < 22 + (late and 1) and at.weekday() in (1, 2) for at in entered)
    left = [datetime.fromtimestamp(part.closed_at_ns // 10**9, UTC) for part in parts]
    assert any(at.hour not in range(13, 22) for at in left)


def test_a_sweep_with_a_schedule_comes_to_what_its_backtests_come_to(
    shared: Path, settings: Settings, tmp_path: Path
) -> None:
    strategy = scheduled(tmp_path, "reference_rsi", "{sessions: [europe], weekdays: [mon, fri]}")
    asked = options(shared / BTC, str(strategy), until=day("2025-06-15"))
    swept = run_sweep(settings, asked, ["low=25,30,35"], lambda *_: None)
    assert sweep_object(swept, 3)["confirmed"]["agrees"]
    for outcome in swept.outcomes:
        again = run_backtest(settings, replace(asked, overrides=outcome.parameters))
        assert again.metrics.trades == outcome.trades > 5
        assert float(again.result.books.cash) == pytest.approx(outcome.final_equity, abs=0.01)
