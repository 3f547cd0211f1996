"""What a backtest answers with adds up, and says what is not counted."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.app.minutes import D, candles, options

from promethean.app.backtest_answers import TRADE_COLUMNS, as_object, write_trades
from promethean.app.backtesting import run_backtest
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError


def test_the_answer_adds_up(settings: Settings, short: Path) -> None:
    found = as_object(run_backtest(settings, options(short)), with_trades=True)
    rows: list[Mapping[str, Any]] = found["trade_list"]
    assert found["trades"] == len({row["trade"] for row in rows}) > 2
    assert found["start_equity"] + sum(row["pnl"] for row in rows) == found["final_equity"]
    assert sum(row["fees"] for row in rows) == found["fees"]
    assert found["return_pct"] == pytest.approx(100 * float(found["final_equity"] / found["start_equity"] - 1))
    assert found["wins"] + found["losses"] <= found["trades"]
    assert found["candles_per_s"] == pytest.approx(found["candles"] / found["seconds"])
    assert (found["from"], found["to"]) == ("2025-05-20 00:00:00", "2025-05-20 09:59:00")
    assert (found["funding"], found["coverage_pct"], found["reliable"]) == (D(0), 100.0, False)
    assert found["remarks"] == []
    assert {row["side"] for row in rows} == {"long"}


def test_a_run_without_a_loss_has_an_infinite_profit_factor_that_json_can_say(settings: Settings, short: Path) -> None:
    free = {"execution.fee_taker_pct": "0", "execution.fee_maker_pct": "0", "risk.stop_loss_pct": "50"}
    found = as_object(run_backtest(settings, options(short, overrides=free)), with_trades=False)
    assert (found["losses"], found["profit_factor"]) == (0, "inf")


@pytest.mark.parametrize("fee", ["0.1", "0"])
def test_the_file_of_trades_holds_the_trade_list(settings: Settings, short: Path, tmp_path: Path, fee: str) -> None:
    given = {"execution.fee_maker_pct": fee, "execution.fee_taker_pct": fee}
    report = run_backtest(settings, options(short, overrides=given))
    write_trades(report.result.books.parts, tmp_path / "out.csv", report.bench.is_funded)
    with (tmp_path / "out.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    rows = as_object(report, with_trades=True)["trade_list"]
    assert tuple(written[0]) == tuple(rows[0]) == TRADE_COLUMNS
    for line, row in zip(written, rows, strict=True):
        for name in ("entry_time", "exit_time", "side", "reason"):
            assert line[name] == row[name]
        for name in ("quantity", "entry_price", "exit_price", "fees", "funding", "pnl"):
            assert D(line[name]) == row[name]
            assert "E" not in line[name], "numbers that a spreadsheet reads"


@pytest.mark.parametrize("place", ["nowhere/out.csv", "."])
def test_a_file_of_trades_that_cannot_be_written_is_named(
    settings: Settings, short: Path, tmp_path: Path, place: str
) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written \(.+\); choose another place for --trades"):
        write_trades(run_backtest(settings, options(short)).result.books.parts, tmp_path / place, True)


def test_funding_is_unknown_not_zero_and_told_where_it_would_be_paid(settings: Settings, tmp_path: Path) -> None:
    asked = options(candles(tmp_path / "binance_usdm_BTCUSDT_1m.csv", 600))
    found = as_object(run_backtest(settings, asked), with_trades=False)
    assert found["symbol"] == "BTC/USDT-PERP"
    assert found["funding"] is None
    assert any("funding payments are not part of the figures" in remark for remark in found["remarks"])
