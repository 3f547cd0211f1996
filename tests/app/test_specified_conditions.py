"""The file of conditions that the specification gives as its example, over recorded candles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.app.minutes import day, options
from tests.strategies.test_conditional_file import SPECIFIED

from promethean.app.backtesting import prepare, run_backtest
from promethean.app.sweeping import run_sweep, stepped_books
from promethean.config.tree import Settings

BTC = Path("data", "ohlcv", "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet")


def test_it_is_backtested_as_it_is_written(settings: Settings, shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "specified.yaml"
    path.write_text(SPECIFIED)
    asked = options(shared / BTC, str(path), until=day("2025-06-10"))
    report = run_backtest(settings, asked)
    assert report.result.stepped is None
    assert report.metrics.trades > 20
    books = stepped_books(prepare(settings, asked), asked, {})
    assert (len(books.trades), books.cash) == (report.metrics.trades, report.result.books.cash)
    swept = run_sweep(settings, asked, ["low=25,35"], lambda *_: None)
    again = run_backtest(settings, replace(asked, overrides={"low": "35"}))
    assert swept.outcomes[1].trades == again.metrics.trades != report.metrics.trades
