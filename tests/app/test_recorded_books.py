"""A strategy that reads order books, over recorded feeds: one result in every way of running it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.app.runs import FAST, Onlooker, Place

from promethean.app import backtesting
from promethean.app.backtest_answers import as_object
from promethean.app.backtesting import BacktestOptions, run_backtest
from promethean.app.desk import find_strategy_file
from promethean.app.optimising import Wanted, run_optimize
from promethean.app.replaying import run_replay
from promethean.app.running import UpOptions, up
from promethean.app.sweeping import run_sweep
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.evaluation.stepped import SteppedBacktest
from promethean.runtime.stopping import Stopping
from promethean.storage.postgres_server import remove_database

FEEDS = {
    name: Path("data", "orderbook", "raw_feed", f"binance_{name}_btcusdt_20240808.gz") for name in ("spot", "usdm")
}
WHOLE = {"execution.participation_max": "unlimited", "execution.latency_ms": "0"}  # then all tell the same instants
CANDLES = Path("data", "ohlcv", "binance_spot_BTCUSDT_1m_2024-07_2024-08.parquet")


@pytest.fixture(scope="module")
def settings(place: Place) -> Iterator[Settings]:
    found = place.settings("home-books")
    yield found
    remove_database(found.app.home)


@pytest.fixture(scope="module")
def strategy(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file that comes with the platform, without its exit after minutes: a feed is not much longer."""
    lines = find_strategy_file(settings, "order_book_imbalance").read_text().splitlines(keepends=True)
    path = tmp_path_factory.mktemp("strategies") / "books.yaml"
    path.write_text("".join(line for line in lines if "max_hold_time_minutes" not in line))
    return str(path)


@pytest.fixture(params=FEEDS)
def feed(request: pytest.FixtureRequest, shared: Path) -> str:
    path = shared / FEEDS[request.param]
    if not path.exists():
        pytest.skip("needs the recorded feed, which is absent")
    return str(path)


def asked(strategy: str, feed: str, **changes: Any) -> BacktestOptions:
    return BacktestOptions(strategy, feed, **changes)


def test_a_recorded_feed_is_backtested(settings: Settings, strategy: str, feed: str) -> None:
    report = run_backtest(settings, asked(strategy, feed))
    found = as_object(report, with_trades=True)
    assert found["symbol"] == ("BTC/USDT-PERP" if "usdm" in feed else "BTC/USDT")
    assert (found["timeframe"], found["coverage_pct"]) == ("1s", 100.0)
    assert found["candles"] in range(340, 347)
    assert found["trades"] > 0
    assert found["unknown_conditions"] > 0
    assert any("is not known everywhere" in remark for remark in found["remarks"])
    assert Decimal(found["final_equity"]) == 10_000 + sum(row["pnl"] for row in found["trade_list"])


def test_a_search_around_its_values_counts_what_the_class_refuses(settings: Settings, strategy: str, feed: str) -> None:
    wanted = Wanted(trials=12, objective="return", trades_min=1)
    report = run_optimize(settings, asked(strategy, feed), wanted, lambda *_: None)
    refused = [why for why in report.found.pruned if "parameters.imbalance_threshold is 0.3" in why]
    assert refused and all(why.endswith("it lies between 0.51 and 1") for why in refused)
    assert report.found.count == 12 > len(report.found.pruned)
    assert report.found.tried


def test_compiled_stepped_and_replayed_it_comes_to_the_same(settings: Settings, strategy: str, feed: str) -> None:
    options = asked(strategy, feed, overrides=WHOLE)
    report = run_backtest(settings, options)
    bench = report.bench
    assert report.result.stepped is None
    stepped = SteppedBacktest(backtesting.desk_of(bench, bench.candles), bench.terms, bench.candles, bench.cash).run()
    replayed = run_replay(settings, options, Onlooker(), Stopping())
    assert stepped.parts == replayed.books.parts == report.result.books.parts
    assert stepped.cash == report.result.books.cash


def test_a_part_of_a_feed_has_the_books_of_that_part(settings: Settings, strategy: str, feed: str) -> None:
    since = datetime(2024, 8, 8, 23, 56, tzinfo=UTC)
    whole, part = (
        run_backtest(settings, asked(strategy, feed, since=start, overrides=WHOLE)).bench for start in (None, since)
    )
    assert whole.books is not None and part.books is not None
    assert part.is_part and len(part.books) == len(part.candles) < len(whole.candles)
    assert np.array_equal(part.books.bids, whole.books.bids[-len(part.books) :], equal_nan=True)
    replayed = run_replay(settings, asked(strategy, feed, since=since), Onlooker(), Stopping())
    assert replayed.summary.candles == len(part.candles)


def test_a_sweep_over_a_feed_is_confirmed(settings: Settings, strategy: str, feed: str) -> None:
    options = asked(strategy, feed, overrides=WHOLE)
    report = run_sweep(settings, options, ["imbalance_threshold=0.6:0.8:0.1", "snapshots=1,3"], lambda *_: None)
    assert len(report.outcomes) == 6
    best, confirmed = max(report.outcomes, key=lambda outcome: outcome.final_equity), report.confirmed
    assert confirmed is not None
    assert confirmed.trades == best.trades
    assert float(confirmed.final_equity) == pytest.approx(best.final_equity, abs=0.01)


def test_a_platform_runs_on_a_feed(settings: Settings, strategy: str, feed: str) -> None:
    on_feed = settings.model_copy(update={"app": settings.app.model_copy(update={"feed": feed})})
    summary = up(on_feed, replace(FAST, strategy=strategy, until_end=True), Onlooker())
    assert summary.finished
    assert summary.candles in range(340, 347)
    assert summary.signals > 0


@pytest.mark.parametrize("name", ["live", "synthetic"])
def test_a_platform_without_books_does_not_start(settings: Settings, strategy: str, name: str) -> None:
    elsewhere = settings.model_copy(update={"app": settings.app.model_copy(update={"feed": name})})
    with pytest.raises(
        ConfigError, match="reads order books, which neither the live nor the synthetic feed brings yet"
    ):
        up(elsewhere, UpOptions(strategy=strategy, speed=0), Onlooker())


def test_candles_without_books_are_refused(settings: Settings, strategy: str, shared: Path) -> None:
    until = datetime(2024, 7, 27, tzinfo=UTC)
    for limits in ("research", "user"):
        with pytest.raises(ConfigError, match="this data holds no order books; give a recorded feed"):
            run_backtest(settings, asked(strategy, str(shared / CANDLES), until=until, limits=limits))


def test_other_strategies_read_a_feed_as_candles(settings: Settings, feed: str) -> None:
    assert run_backtest(settings, asked("rsi_reversion", feed)).metrics.trades > 0
