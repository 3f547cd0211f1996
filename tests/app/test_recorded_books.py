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
from promethean.app.validating import CAUSAL, ValidateOptions, run_validation
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.domain.events import SignalRaised
from promethean.engine.combined import Combined
from promethean.evaluation.judgements import Verdict
from promethean.evaluation.stepped import SteppedBacktest
from promethean.runtime.stopping import Stopping
from promethean.storage.postgres_server import remove_database
from promethean.strategies.book_source import NO_DEPTH

FEEDS = {
    name: Path("data", "orderbook", "raw_feed", f"binance_{name}_btcusdt_20240808.gz") for name in ("spot", "usdm")
}
WHOLE = {"execution.participation_max": "unlimited", "execution.latency_ms": "0"}  # then all tell the same instants
BESIDE = """
strategy: {id: beside, class: rsi_reversion, aggregation_mode: weighted, signal_threshold: 0.3}
market: {exchange: binance, symbol: BTC/USDT, primary_timeframe: 1s}
parameters: {position_size_pct: 2, max_position_size: 0.01}
orderbook: {enabled: true, weight: 2}
exits: {stop_loss_pct: 0.3, take_profit_levels: [{target_pct: 0.6, close_pct: 100}]}
risk_management: {cooldown_bars: 0}
execution: {order_type: market}
"""
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


@pytest.fixture
def beside(tmp_path: Path) -> str:
    """A class that reads candles, with the order book as a source beside it."""
    path = tmp_path / "beside.yaml"
    path.write_text(BESIDE)
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


@pytest.mark.parametrize("reader", ["strategy", "beside"])
@pytest.mark.parametrize("name", ["live", "synthetic"])
def test_a_platform_without_books_does_not_start(
    settings: Settings, request: pytest.FixtureRequest, reader: str, name: str
) -> None:
    elsewhere = settings.model_copy(update={"app": settings.app.model_copy(update={"feed": name})})
    with pytest.raises(
        ConfigError, match="reads order books, which neither the live nor the synthetic feed brings yet"
    ):
        up(elsewhere, UpOptions(strategy=request.getfixturevalue(reader), speed=0), Onlooker())


@pytest.mark.parametrize("reader", ["strategy", "beside"])
def test_candles_without_books_are_refused(
    settings: Settings, request: pytest.FixtureRequest, reader: str, shared: Path
) -> None:
    until, strategy = datetime(2024, 7, 27, tzinfo=UTC), request.getfixturevalue(reader)
    for limits in ("research", "user"):
        with pytest.raises(ConfigError, match="this data holds no order books; give a recorded feed"):
            run_backtest(settings, asked(strategy, str(shared / CANDLES), until=until, limits=limits))


def test_other_strategies_read_a_feed_as_candles(settings: Settings, feed: str) -> None:
    assert run_backtest(settings, asked("rsi_reversion", feed)).metrics.trades > 0


# -- the book as a source beside a class ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"strategy.aggregation_mode": "voting"},
        {"strategy.aggregation_mode": "unanimous"},
        {"technical.enabled": "true", "technical.weight": "0.5"},
    ],
    ids=lambda changes: " ".join(changes.values()),
)
def test_beside_a_class_compiled_stepped_and_replayed_it_comes_to_the_same(
    settings: Settings, beside: str, feed: str, changes: dict[str, str]
) -> None:
    options = asked(beside, feed, overrides=WHOLE | changes)
    report = run_backtest(settings, options)
    bench = report.bench
    assert report.result.stepped is None
    assert report.metrics.trades > 0
    stepped = SteppedBacktest(backtesting.desk_of(bench, bench.candles), bench.terms, bench.candles, bench.cash).run()
    replayed = run_replay(settings, options, Onlooker(), Stopping())
    assert stepped.parts == replayed.books.parts == report.result.books.parts
    assert stepped.cash == report.result.books.cash


def test_a_signal_tells_who_was_counted_with_which_weight(settings: Settings, beside: str, feed: str) -> None:
    onlooker = Onlooker()
    report = run_replay(settings, asked(beside, feed, overrides=WHOLE), onlooker, Stopping())
    books = report.bench.frame().books
    known = dict(zip(report.bench.frame().close_time_ns.tolist(), ~np.isnan(books.bids[:, 0, 0]), strict=True))
    told = [(fact.signal.at_ns, fact.signal.metadata) for fact in onlooker.facts if isinstance(fact, SignalRaised)]
    assert len(told) > 20
    for at_ns, metadata in told:
        assert ("orderbook share of bids" in metadata) == ("orderbook" in metadata["sources"]) == known[at_ns]
        assert ("orderbook" in metadata["left_out"]) != known[at_ns]
    both = [metadata for _, metadata in told if metadata["sources"] == "rsi_reversion, orderbook"]
    assert {metadata["weights"] for metadata in both} == {"rsi_reversion 0.333333, orderbook 0.666667"}
    assert any("orderbook sell 0." in metadata["individual_confidences"] for metadata in both)
    assert any("orderbook buy 0." in metadata["individual_confidences"] for metadata in both)


def test_the_size_of_the_order_asks_for_depth_and_its_absence_is_told(
    settings: Settings, beside: str, feed: str
) -> None:
    def acting(text: str) -> int:
        Path(beside).write_text(text)
        bench = run_backtest(settings, asked(beside, feed)).bench
        assert (NO_DEPTH in bench.remarks) == ("max_position_size" not in text)
        strategy = bench.strategy()
        assert isinstance(strategy, Combined)
        return int((strategy.parts[1].strategy.say(bench.frame()).side != 0).sum())

    size = "max_position_size: 0.01"
    without, small, large = (BESIDE.replace(f", {size}", ""), BESIDE, BESIDE.replace(size, "max_position_size: 0.5"))
    assert acting(without) >= acting(small) > acting(large)


def test_a_file_with_the_book_beside_its_class_is_validated(settings: Settings, beside: str, feed: str) -> None:
    short = WHOLE | {"parameters.rsi_period": "2"}  # its window is shorter than the feed
    report = run_validation(settings, ValidateOptions(asked(beside, feed, overrides=short), runs=100, random_runs=20))
    assert {check.name: check.verdict for check in report.checks if check.name in CAUSAL} == dict.fromkeys(
        CAUSAL, Verdict.PASSED
    )
