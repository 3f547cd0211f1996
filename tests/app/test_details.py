"""Where a result comes from: groups of parts, and what the data lack."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.app.minutes import FIRST_MS, candles, day, invented, options

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


def test_trades_held_across_a_hole_are_told_with_what_they_came_to(settings: Settings, tmp_path: Path) -> None:
    whole = candles(tmp_path / "binance_spot_ETHUSDT_1m.csv", 600)
    found = as_object(run_backtest(settings, options(whole)), with_trades=True)
    assert (found["trades_over_holes"], found["pnl_over_holes"], found["remarks"]) == (0, 0, [])
    at = [minute_of(found["trade_list"][2][name]) for name in ("entry_time", "exit_time")]
    assert at[1] - at[0] > 1
    holed = candles(tmp_path / "binance_spot_BTCUSDT_1m.csv", 600, frozenset(range(at[0] + 1, at[1])))
    found = as_object(run_backtest(settings, options(holed)), with_trades=True)
    over = found["trade_list"][2]
    assert (found["trades_over_holes"], found["pnl_over_holes"]) == (1, over["pnl"])
    gain = found["final_equity"] - found["start_equity"]
    (remark,) = [remark for remark in found["remarks"] if "hole" in remark]
    assert remark.startswith(
        f"1 of {found['trades']} trades were held across a hole in the data and came to {over['pnl']:+,.2f} of "
        f"{gain:+,.2f} USDT: "
    )


def minute_of(text: str) -> int:
    return (int(day(text).timestamp()) - FIRST_MS // 1000) // 60


@pytest.mark.parametrize(("missing", "doubt"), [(50, None), (150, "less than 95 % of the candles")])
def test_ratios_a_year_are_unreliable_where_candles_are_missing(
    settings: Settings, tmp_path: Path, missing: int, doubt: str | None
) -> None:
    path = invented(tmp_path / "binance_spot_BTCUSDT_15m.csv", 31)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:1000] + lines[1000 + missing :]) + "\n")
    found = as_object(run_backtest(settings, options(path, allow_gaps=True)), with_trades=False)
    assert (found["reliable"], found["unreliable_because"]) == (doubt is None, doubt)
    short = run_backtest(settings, options(path, allow_gaps=True, until=day("2025-06-10")))
    told = as_object(short, with_trades=False)["unreliable_because"]
    assert told == ", ".join(filter(None, ("less than 30 days", doubt)))
