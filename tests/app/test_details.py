"""Where a result comes from: groups of parts, and what the data lack."""

from __future__ import annotations

from pathlib import Path

from tests.app.minutes import candles, day, options

from promethean.app.backtest_answers import as_object
from promethean.app.backtesting import run_backtest
from promethean.config.tree import Settings

ETH = Path("data", "ohlcv", "binance_usdm_ETHUSDT_15m_2023-01_2024-06.parquet")


def test_an_answer_groups_its_parts_and_every_part_has_a_regime_and_a_set_up(shared: Path, settings: Settings) -> None:
    for strategy, setups in (
        ("reference_rsi", {"long: crosses_below(RSI, low)"}),
        ("rsi_reversion", {"long: rsi_reversion", "short: rsi_reversion"}),
    ):
        found = as_object(
            run_backtest(settings, options(shared / ETH, strategy, until=day("2023-04-01"))), with_trades=True
        )
        groups = {kind: {row["name"]: row for row in rows} for kind, rows in found["groups"].items()}
        assert set(groups["setup"]) == setups
        for kind in ("setup", "regime", "reason", "side"):
            assert sum(row["parts"] for row in groups[kind].values()) == len(found["trade_list"])
            assert sum(row["pnl"] for row in groups[kind].values()) == found["final_equity"] - found["start_equity"]
        assert len(groups["regime"]) > 2
        assert found["mae_worst_pct"] <= found["mae_pct"] <= 0 <= found["mfe_pct"] <= found["mfe_best_pct"]


def test_an_answer_says_what_the_data_lack(settings: Settings, tmp_path: Path) -> None:
    holed = candles(tmp_path / "binance_spot_BTCUSDT_1m.csv", 600, frozenset([100, 101, 300]))
    found = as_object(run_backtest(settings, options(holed)), with_trades=False)
    assert found["data_faults"] == {
        "missing_candles": 3, "holes": 2, "longest_hole_candles": 2, "longest_hole_from": "2025-05-20 01:40:00",
        "candles_without_volume": 0,
    }  # fmt: skip
