"""Strategies and indicators that come with another package: installed as pip does it, used from the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.cli.calls import answer, falling_candles, promethean, refused
from tests.domain.test_registry import installed

MODULE = '''
"""A strategy and an indicator of somebody else."""
import numpy as np

from promethean.domain.errors import ConfigError
from promethean.indicators.catalogue import indicator
from promethean.strategies.candle_strategy import CandleStrategy
from promethean.strategies.catalogue import strategy


@indicator("range_share", window=lambda: 1)
def range_share(high, low, close):
    """Where the close lies in the range of its candle, 0 to 1."""
    return (close - low) / np.where(high > low, high - low, np.nan)


@strategy("every_hour")
class EveryHour(CandleStrategy):
    """Buys at one minute of every hour, closes at another."""

    parameters = ("enter", "leave")
    enter: int = 5
    leave: int = 50

    def start(self):
        if self.enter == self.leave:
            raise ConfigError("parameters.enter and parameters.leave are the same minute; change one")

    def on_candle(self, candle, timeframe):
        minute = candle.open_time_ns // 60_000_000_000 % 60
        if minute == self.enter:
            return self.buy(f"minute {minute}")
        if minute == self.leave:
            return self.close(f"minute {minute}")
'''
BY_CLASS = """
strategy: {id: hourly, class: every_hour}
market: {exchange: binance, symbol: BTC/USDT, market_type: spot, primary_timeframe: 1m}
parameters: {enter: 5, leave: 40, position_size_quote: 20000}
exits: {stop_loss_pct: 50}
"""
BY_CONDITION = """
strategy: {id: share}
market: {exchange: binance, symbol: BTC/USDT, market_type: spot, primary_timeframe: 1m}
indicators: [{name: range_share, as: SHARE}]
entry: {side: buy, conditions: ["SHARE >= 0.5"]}
risk: {position_size_quote: 20000, stop_loss_pct: 1}
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    (tmp_path / "binance_spot_BTCUSDT_1m.csv").write_text(falling_candles(600))
    return folder


def backtest(site: Path, text: str, *more: str) -> tuple[str, ...]:
    file, data = site.parent / "own.yaml", site.parent / "binance_spot_BTCUSDT_1m.csv"
    file.write_text(text)
    return ("backtest", str(file), "--data", str(data), "--cash", "100000", *more)


def test_a_strategy_of_another_package_is_backtested(site: Path) -> None:
    installed(site, "plugged_good", MODULE)
    found: dict[str, Any] = answer(*backtest(site, BY_CLASS, "--trades", str(site / "out.csv")))
    assert (found["trades"], found["remarks"]) == (10, [])
    assert "05:06:00" in (site / "out.csv").read_text()
    assert answer(*backtest(site, BY_CLASS, "--set", "enter=30"))["trades"] == 10


def test_the_example_of_the_documentation_works(site: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "strategies-own.md").read_text()
    code, file = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)[0] for kind in ("python", "yaml"))
    installed(site, "plugged_example", code)
    market_orders = file + "execution: {order_type: market}\n"
    found = answer(*backtest(site, market_orders, "--set", "position_size_pct=50", "--set", "parameters.eager=true"))
    assert found["trades"] > 0


def test_an_indicator_of_another_package_is_read_by_conditions(site: Path) -> None:
    installed(site, "plugged_good", MODULE)
    assert answer(*backtest(site, BY_CONDITION))["trades"] > 0


def test_a_mistake_in_its_parameters_is_told_with_the_file(site: Path) -> None:
    installed(site, "plugged_good", MODULE)
    complaint = refused(*backtest(site, BY_CLASS, "--set", "enter=40"))
    assert complaint.endswith("own.yaml: parameters.enter and parameters.leave are the same minute; change one")
    assert "unknown parameter of EveryHour 'leaves'; did you mean 'leave'?" in refused(
        *backtest(site, BY_CLASS.replace("leave: 40", "leaves: 40"))
    )


def test_a_strategy_that_fails_ends_the_backtest_without_a_result(site: Path) -> None:
    installed(site, "plugged_good", MODULE.replace("% 60\n", "% 60 // (candle.volume - candle.volume)\n"))
    done = promethean(*backtest(site, BY_CLASS))
    assert (done.status, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: strategy hourly failed at the 1m candle of 2025-05-20 00:00:00: ZeroDivisionError: ")
    assert line.endswith(f"(line 30 of {site / 'plugged_good.py'})")


ASKED = """
from promethean.strategies.catalogue import strategy


@strategy("every_hour")
class Asked:
    window = 1

    def __init__(self, *, id, instrument, timeframe, parameters, can_short):
        self.id, self.instrument, self.timeframe = id, instrument, timeframe

    def on_event(self, event, view):
        return 1 / len([])

    def reading(self, view):
        return {}
"""


def test_one_that_is_asked_at_every_event_fails_as_clearly(site: Path) -> None:
    installed(site, "plugged_asked", ASKED)
    complaint = refused(*backtest(site, BY_CLASS), status=1)
    assert "strategy hourly failed at the event of 2025-05-20 00:01:00: ZeroDivisionError: " in complaint
    assert complaint.endswith(f"(line 13 of {site / 'plugged_asked.py'})")


def test_a_window_that_is_a_number_is_refused_with_the_package_when_it_is_loaded(site: Path) -> None:
    installed(site, "plugged_good", MODULE)
    code = "from promethean.indicators.catalogue import indicator\nindicator('part', window=2)(lambda close: close)\n"
    installed(site, "plugged_two", code)
    (remark,) = answer(*backtest(site, BY_CONDITION))["remarks"]
    assert remark == (
        "plug-in 'plugged_two' (package plugged_two 1.2) cannot be loaded: TypeError: the window of indicator part is "
        "2; give a function of the indicator's parameters, for example window=lambda: 2, or None with a `resume`"
    )


def test_a_broken_package_is_named_and_the_others_work(site: Path) -> None:
    installed(site, "plugged_good", MODULE)
    installed(site, "plugged_bad", "from promethean.strategies import nonsense\n")
    remark = (
        "plug-in 'plugged_bad' (package plugged_bad 1.2) cannot be loaded: ImportError: cannot import name 'nonsense'"
    )
    found = answer(*backtest(site, BY_CLASS))
    assert found["trades"] == 10
    assert found["remarks"][0].startswith(remark)
    complaint = refused(*backtest(site, BY_CLASS.replace("every_hour", "of_the_bad_one")))
    assert "unknown strategy 'of_the_bad_one'" in complaint and remark in complaint


def test_a_package_may_not_take_the_name_of_ours(site: Path) -> None:
    installed(site, "plugged_clash", MODULE.replace('"every_hour"', '"rsi_reversion"'))
    complaint = refused(*backtest(site, BY_CLASS))
    assert "plug-in 'plugged_clash' (package plugged_clash 1.2): two strategy entries are called 'rsi_reversion'" in (
        complaint
    )
