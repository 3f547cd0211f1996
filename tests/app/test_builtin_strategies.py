"""The strategy files that come with the platform, over real candles: what trading comes to is no condition here."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.strategies.promises import BTC, REAL, make
from tests.strategies.recorded import cut, read

from promethean.app.backtest_answers import as_object, write_report
from promethean.app.backtesting import BacktestOptions, run_backtest
from promethean.app.register import register_everything
from promethean.config.layers import load_settings
from promethean.config.tree import Settings
from promethean.domain.candles import KEPT, Candle, CandleSeries
from promethean.domain.events import CandleClosed
from promethean.domain.market import MarketView
from promethean.indicators.volume.vwap import OF_CANDLES
from promethean.strategies.arrays import ArrayStrategy, Prepared, Trailing
from promethean.strategies.catalogue import STRATEGIES
from promethean.strategies.file import parse_strategy
from promethean.strategies.frame import Frame

FILES = Path(__file__).resolve().parents[2] / "config" / "strategies"
NAMES = ("multi_timeframe_trend", "vwap_reversion", "smc_breakout")
SPECIFIED: dict[str, dict[str, Any]] = {
    "multi_timeframe_trend": {"take_profit_levels": [(2, 33), (4, 33), (6, 34)]},
    "vwap_reversion": {"stop_loss_pct": 1, "take_profit_levels": [(2, 100)], "trailing_stop_pct": 0.5},
    "smc_breakout": {"breakeven": True},
}


@pytest.fixture
def settings() -> Settings:
    return load_settings({"app.home": "home"}, {}, Path.cwd())


def content(name: str) -> dict[str, Any]:
    found = yaml.safe_load((FILES / f"{name}.yaml").read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_file_has_the_exits_of_the_specification_and_names_its_class(name: str) -> None:
    written = content(name)
    assert written["strategy"]["class"] == name
    assert (written["market"]["symbol"], written["market"]["primary_timeframe"]) == ("BTC/USDT", "1m")
    exits = written["exits"]
    levels = [(level["target_pct"], level["close_pct"]) for level in exits.get("take_profit_levels", ())]
    for key, value in SPECIFIED[name].items():
        assert (levels if key == "take_profit_levels" else exits[key]) == value


@pytest.mark.parametrize("name", NAMES)
def test_a_file_writes_the_defaults_of_its_class(name: str) -> None:
    register_everything()
    file = parse_strategy((FILES / f"{name}.yaml").read_text(), name)
    values: tuple[dict[str, Any], ...] = (dict(file.parameters), {})
    given, default = (make(STRATEGIES.get(name), **each) for each in values)
    assert isinstance(given, ArrayStrategy) and isinstance(default, ArrayStrategy)
    assert {key: value for key, value in vars(given).items() if key != "id"} == {
        key: value for key, value in vars(default).items() if key != "id"
    }
    assert len(given.say(Frame(CandleSeries(1), "1m")).side) == 0, "nothing is said of nothing"


@pytest.mark.parametrize("market", REAL)
@pytest.mark.parametrize("name", NAMES)
def test_a_backtest_of_real_candles_with_and_without_a_page(
    shared: Path, settings: Settings, tmp_path: Path, name: str, market: str
) -> None:
    asked = BacktestOptions(
        str(FILES / f"{name}.yaml"),
        str(shared / REAL[market]),
        since=datetime(2025, 5, 20, tzinfo=UTC),
        until=datetime(2025, 6, 3, tzinfo=UTC),
    )
    report = run_backtest(settings, asked)
    page = tmp_path / "page.html"
    write_report(report, page)
    assert page.read_text().startswith("<!doctype html>")
    found = as_object(report, with_trades=True)
    reads_vwap = name == "vwap_reversion"
    assert (OF_CANDLES in found["remarks"]) == (OF_CANDLES in page.read_text()) == reads_vwap
    assert found["candles"] == 14 * 1440
    if market == "BTC":
        assert {row["side"] for row in found["trade_list"]} <= {"long"}, "a spot market has no shorts"
    again = run_backtest(settings, asked)
    assert as_object(again, with_trades=True)["trade_list"] == found["trade_list"]


@pytest.mark.parametrize("market", REAL)
@pytest.mark.parametrize("name", NAMES)
def test_live_candles_raise_the_signals_of_recorded_ones(shared: Path, name: str, market: str) -> None:
    """Through the view of live trading, which keeps so many candles and no more."""
    register_everything()
    strategy = make(STRATEGIES.get(name))
    assert isinstance(strategy, ArrayStrategy)
    whole = read(shared / REAL[market])
    spoken = Prepared(strategy, Frame(whole, "1m")).spoken
    last = int(spoken[spoken > 2 * KEPT][2])
    candles = cut(whole, 0, last + 5)
    recorded, live, view = Prepared(strategy, Frame(candles, "1m")), Trailing(strategy), MarketView()
    told = 0
    for number, (opened_ns, *values) in enumerate(candles):
        if number < last - KEPT - 100:
            continue
        candle = Candle(BTC, "1m", opened_ns, opened_ns + 60 * 10**9, *values)
        view = view.with_candle(candle)
        if number < last - 40:
            continue
        event = CandleClosed(candle, candle.close_time_ns)
        ahead, behind = live.on_event(event, view), recorded.on_event(event, view)
        assert [(each.type, each.closes, each.reason) for each in ahead] == [
            (each.type, each.closes, each.reason) for each in behind
        ]
        for one, other in zip(ahead, behind, strict=True):
            assert one.confidence == pytest.approx(other.confidence, abs=1e-6)
            assert one.stop == pytest.approx(other.stop) and one.targets == pytest.approx(other.targets)
        told += len(ahead)
    assert told
