"""Replays as one call: the trades of the backtest, on an account of their own, to the same end after a stop."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.app.runs import FAST, ROWS, Onlooker, Place

from promethean.app.backtest_answers import trade_row
from promethean.app.backtesting import BacktestOptions, run_backtest
from promethean.app.desk import find_strategy_file
from promethean.app.replaying import ReplayReport, replay_object, run_replay
from promethean.app.running import up
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.runtime.stopping import Stopping
from promethean.storage.latches import LatchFiles
from promethean.storage.postgres_server import remove_database
from promethean.storage.tables import LatchScope

CASH = Decimal(100_000)
CUT = datetime(2025, 6, 2, 21, 20, tzinfo=UTC)  # the first 20,000 candles
REAL = "data/ohlcv/binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet"
SAME = ("trades", "wins", "losses", "fees", "realised", "final_equity", "journal_hash", "candles", "orders", "fills")


@pytest.fixture(scope="module")
def settings(place: Place) -> Iterator[Settings]:
    found = place.settings("home-replays")
    yield found
    remove_database(found.app.home)


def replay(settings: Settings, options: BacktestOptions, onlooker: Onlooker | None = None) -> ReplayReport:
    return run_replay(settings, options, onlooker or Onlooker(), Stopping())


def options(place: Place, **changes: Any) -> BacktestOptions:
    return BacktestOptions("reference_rsi", str(place.feed), cash=CASH, **changes)


def figures(report: ReplayReport) -> dict[str, Any]:
    return {name: getattr(report.summary, name) for name in SAME}


@pytest.mark.parametrize(
    ("strategy", "limits"), [("reference_rsi", "research"), ("rsi_reversion", "research"), ("rsi_reversion", "user")]
)
def test_a_replay_of_real_prices_has_the_trade_list_the_equity_and_the_fees_of_the_backtest(
    settings: Settings, shared: Path, strategy: str, limits: str
) -> None:
    cash = CASH if strategy == "reference_rsi" else Decimal(10_000)
    asked = BacktestOptions(strategy, str(shared / REAL), until=CUT, cash=cash, limits=limits)
    backtest, replayed = run_backtest(settings, asked), replay(settings, asked)
    summary = replayed.summary
    assert summary.candles == len(backtest.bench.candles) == 20_000
    assert replayed.books.parts == backtest.result.books.parts
    assert summary.trades == backtest.metrics.trades > 50
    assert (Decimal(summary.final_equity or 0), Decimal(summary.fees)) == (
        backtest.result.books.cash,
        backtest.result.books.fees,
    )
    assert (summary.finished, summary.open_positions) == (True, 0)


def test_a_replay_keeps_to_a_schedule_as_the_backtest_does(settings: Settings, place: Place) -> None:
    shipped = find_strategy_file(settings, "reference_rsi").read_text()
    strategy = place.path / "scheduled.yaml"
    strategy.write_text(f"{shipped}\nschedule: {{sessions: [asia]}}\n")
    asked = BacktestOptions(str(strategy), str(place.feed), cash=CASH)
    parts = run_backtest(settings, asked).result.books.parts
    assert 0 < len(parts) < len(run_backtest(settings, options(place)).result.books.parts)
    assert replay(settings, asked).books.parts == parts


def test_a_replay_of_a_real_week_leaves_positions_as_the_backtest_does(
    settings: Settings, shared: Path, place: Place
) -> None:
    text = find_strategy_file(settings, "reference_rsi").read_text()
    strategy = place.path / "position.yaml"
    left = '["PNL_PCT >= 0.25", "BARS_HELD >= 20 AND RSI > 45", "crosses_below(PRICE, ENTRY_PRICE * 0.998)"]'
    strategy.write_text(re.sub(r"(?m)^exit:.*$", f"exit: {{mode: ANY, conditions: {left}}}", text))
    asked = BacktestOptions(str(strategy), str(shared / REAL), until=datetime(2025, 5, 27, tzinfo=UTC), cash=CASH)
    backtest, replayed = run_backtest(settings, asked), replay(settings, asked)
    assert backtest.result.stepped is None and len(backtest.bench.candles) == 10_080
    assert replayed.books.parts == backtest.result.books.parts
    assert sum(part.reason == "signal" for part in replayed.books.parts) > 50


def test_a_part_that_ends_within_a_position_closes_it_at_its_last_close(settings: Settings, place: Place) -> None:
    whole = run_backtest(settings, options(place))
    held = next(part for part in whole.result.books.parts if part.closed_at_ns - part.opened_at_ns > 10**12)
    until = datetime.fromtimestamp(held.opened_at_ns // 10**9 + 600, UTC)
    part = options(place, until=until)
    replayed = replay(settings, part)
    assert replayed.books.parts == run_backtest(settings, part).result.books.parts
    assert replayed.books.parts[-1].reason == "end"
    assert replayed.books.parts[-1].closed_at_ns == int(until.timestamp()) * 10**9
    rows = replay_object(replayed, with_trades=True)["trade_list"]
    assert rows == [trade_row(part, True) for part in replayed.books.parts]


def test_a_replay_that_was_stopped_goes_on_to_the_end_of_the_uninterrupted_one(
    settings: Settings, place: Place
) -> None:
    whole, again = replay(settings, options(place)), replay(settings, options(place))
    assert whole.summary.candles == ROWS
    assert figures(again) == figures(whole)
    assert again.summary.account != whole.summary.account
    stopped = replay(settings, options(place), Onlooker(1000, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert (stopped.summary.finished, stopped.summary.candles < ROWS) == (False, True)
    onlooker = Onlooker()
    rest = replay(settings, options(place), onlooker)
    assert onlooker.runs[0].continued
    assert rest.summary.account == stopped.summary.account
    assert figures(rest) == figures(whole)
    assert rest.books.parts == whole.books.parts


def test_whatever_changes_a_replay_starts_another_account(settings: Settings, place: Place) -> None:
    asked = options(place)
    since, until = (datetime(2025, 5, 20, hour, tzinfo=UTC) for hour in (3, 20))
    changes: list[dict[str, Any]] = [
        {},
        {"cash": CASH + 1},
        {"limits": "user"},
        {"overrides": {"low": "25"}},
        {"since": since},
        {"until": until},
    ]

    def stop_early(given: BacktestOptions) -> str:
        report = replay(settings, given, Onlooker(1, lambda: os.kill(os.getpid(), signal.SIGTERM)))
        assert not report.summary.finished
        return report.summary.account

    names = [stop_early(replace(asked, **change)) for change in changes]
    assert len(set(names)) == len(names)
    assert [stop_early(replace(asked, **change)) for change in changes] == names
    stopped = up(place.settings("home-replays"), FAST, Onlooker())
    assert stopped.account not in names


def test_a_replay_is_refused_while_the_kill_switch_is_set(settings: Settings, place: Place) -> None:
    files = LatchFiles(settings.app.home / "latches")
    latch = files.set(LatchScope.PLATFORM, "", "a test", "somebody")
    try:
        with pytest.raises(ConfigError, match=r"the kill switch is set \(a test\).*promethean unkill"):
            replay(settings, options(place))
    finally:
        files.lift(latch, "somebody")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limits": "none"}, "--limits is 'none'"),
        ({"cash": Decimal(0)}, "--cash is 0"),
        ({"data": "missing.parquet"}, "missing.parquet"),
        ({"overrides": {"lo": "25"}}, "'lo'"),
        ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, "no candle is in the range of --from and --to"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_made(place: Place, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replay(place.settings("nothing"), replace(options(place), **changes))
    assert not (place.path / "nothing").exists()
