"""The report of a backtest: complete, self-contained, and the same every time."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promethean.app import backtest_answers, backtesting
from promethean.config.layers import load_settings
from promethean.interfaces.report import page, pictures


@pytest.fixture
def candles(tmp_path: Path) -> Path:
    """Two and a half months of hourly candles that swing around 100."""
    random = np.random.default_rng(1)
    count = 1_800
    close = np.round(100 * np.exp(np.cumsum(random.normal(0, 0.01, count))), 2)
    opened = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(opened, close) + 0.3, np.minimum(opened, close) - 0.3
    times = 1_700_006_400_000 + 3_600_000 * np.arange(count, dtype=np.int64)
    columns = {
        "timestamp": times,
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": np.full(count, 9.0),
    }
    path = tmp_path / "BTCUSDT_1h.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def report(candles: Path, tmp_path: Path, **overrides: str) -> str:
    settings = load_settings({"app.home": "home"}, {}, tmp_path)
    options = backtesting.BacktestOptions("reference_rsi", str(candles), overrides, cash=Decimal(100_000))
    out = tmp_path / "report.html"
    backtest_answers.write_report(backtesting.run_backtest(settings, options), out)
    return out.read_text()


def test_a_report_holds_its_pictures_and_asks_for_nothing_from_outside(candles: Path, tmp_path: Path) -> None:
    text = report(candles, tmp_path)
    assert text.count("<svg") == 4
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)|@import|url\(http""", text)
    assert "<script" not in text
    for heading in ("Equity", "Drawdown", "Return by month", "Trades on the price", "By reason", "If it cost more"):
        assert heading in text
    assert "every other risk control was off" in text
    for picture in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(picture)


def test_the_same_backtest_gives_the_same_report(candles: Path, tmp_path: Path) -> None:
    assert report(candles, tmp_path) == report(candles, tmp_path)


def test_double_costs_leave_less_and_half_costs_more(candles: Path, tmp_path: Path) -> None:
    text = report(candles, tmp_path)
    half, same, double = (
        Decimal(re.search(rf"<td>{name}</td><td>[\d,]+</td><td>([\d,.]+)</td>", text)[1].replace(",", ""))  # type: ignore[index]  # they are there
        for name in ("half", "as they are", "double")
    )
    assert half > same > double


def test_a_report_without_a_trade_says_so(candles: Path, tmp_path: Path) -> None:
    text = report(candles, tmp_path, low="1", high="99")
    assert "There was no trade." in text
    assert text.count("<svg") == 2


def test_a_long_line_keeps_its_highest_and_its_lowest_point() -> None:
    values = np.sin(np.arange(50_000.0))
    values[12_345], values[23_456] = 9.0, -9.0
    _, kept = pictures._line(np.arange(50_000, dtype=np.int64), values)
    assert len(kept) <= pictures.POINTS_MAX
    assert (kept.max(), kept.min()) == (9.0, -9.0)


def test_text_from_a_file_is_shown_as_text(candles: Path, tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "config" / "strategies" / "reference_rsi.yaml"
    strategy = tmp_path / "odd.yaml"
    strategy.write_text(shipped.read_text().replace("name: Reference RSI", 'name: "<script>alert(1)</script>"'))
    settings = load_settings({"app.home": "home"}, {}, tmp_path)
    options = backtesting.BacktestOptions(str(strategy), str(candles), cash=Decimal(100_000))
    out = tmp_path / "report.html"
    backtest_answers.write_report(backtesting.run_backtest(settings, options), out)
    assert "<script>alert" not in out.read_text()
    assert "&lt;script&gt;alert" in out.read_text()


def test_a_profit_factor_without_a_loss_is_infinite(candles: Path, tmp_path: Path) -> None:
    settings = load_settings({"app.home": "home"}, {}, tmp_path)
    options = backtesting.BacktestOptions("reference_rsi", str(candles), cash=Decimal(100_000))
    found = backtest_answers.as_object(backtesting.run_backtest(settings, options), with_trades=False)
    cards = page._cards({**found, "profit_factor": "inf"}, "USDT")
    assert {"name": "Profit factor", "value": "inf", "tone": ""} in cards


def test_a_report_says_where_the_result_comes_from_and_what_the_data_lack(candles: Path, tmp_path: Path) -> None:
    text = report(candles, tmp_path)
    for heading in ("Figures", "By set-up", "By regime at the entry", "By session of the entry", "The data"):
        assert f"<h2>{heading}" in text
    assert "<td>long: crosses_below(RSI, low)</td>" in text
    assert "0 candles in 0 holes" in text
    assert "<td>high_volatility</td>" in text
    counted = re.findall(r"<h2>By (?:reason|side|regime at the entry)</h2><table>.*?</table>", text, re.DOTALL)
    parts = [
        sum(int(cell.replace(",", "")) for cell in re.findall(r"</td><td>([\d,]+)</td><td>", of)) for of in counted
    ]
    assert len(parts) == 3
    assert len(set(parts)) == 1, "every part is in one group of each kind"


def test_less_than_thirty_days_are_marked_beside_the_figures(candles: Path, tmp_path: Path) -> None:
    settings = load_settings({"app.home": "home"}, {}, tmp_path)
    options = backtesting.BacktestOptions("reference_rsi", str(candles), cash=Decimal(100_000))
    found = backtest_answers.as_object(backtesting.run_backtest(settings, options), with_trades=False)
    found |= {"reliable": False, "unreliable_because": "less than 30 days"}
    names = {card["name"] for card in page._cards(found, "USDT")}
    assert {"Sharpe, a year, unreliable", "Sortino, a year, unreliable"} <= names
    assert "Less than 30 days: Sharpe, Sortino and Calmar are unreliable." in page._remarks(found)
