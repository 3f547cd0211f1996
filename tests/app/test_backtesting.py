"""Backtests of strategy files over recorded candles: real ones, short ones and ones with holes."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.app.minutes import FIRST_MS, MINUTE_MS, D, candles, day, options

from promethean.app import backtesting
from promethean.app.backtest_answers import as_object
from promethean.app.backtesting import desk_of, prepare, run_backtest
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.domain.instruments import MarketType
from promethean.risk.check import ALL

OHLCV = Path("data", "ohlcv")
BTC = OHLCV / "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet"
ETH = OHLCV / "binance_usdm_ETHUSDT_15m_2023-01_2024-06.parquet"
TESTNET = OHLCV / "bybit_TESTNET_linear_BTCUSDT_1m_gapped_2024-09_2025-09.parquet"
FIVE_MINUTES = OHLCV / "binance_spot_BTCUSDT_5m_2024-03_2024-10.parquet"


UNBOUNDED = """
strategy: {id: obv, name: On-balance volume}
market: {exchange: binance, symbol: BTC/USDT, market_type: spot, primary_timeframe: 1m}
indicators: [{name: obv, as: OBV}]
entry: {side: buy, conditions: ["OBV > OBV[10]"]}
risk: {position_size_quote: 20000, stop_loss_pct: 1}
"""


# -- real candles -----------------------------------------------------------------------------------------------------


def test_what_only_a_live_feed_cannot_do_is_backtested(short: Path, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "obv.yaml"
    file.write_text(UNBOUNDED)
    assert run_backtest(settings, options(short, str(file))).metrics.trades > 0


def test_months_of_real_minutes_come_to_the_same_compiled_and_stepped(shared: Path, settings: Settings) -> None:
    asked = options(shared / BTC, since=day("2025-06-01"), until=day("2025-07-01"))
    report = run_backtest(settings, asked)
    assert report.result.stepped is None
    assert len(report.bench.candles) == 30 * 1440
    assert report.metrics.trades > 100
    from promethean.evaluation.stepped import SteppedBacktest

    bench = report.bench
    stepped = SteppedBacktest(backtesting.desk_of(bench, bench.candles), bench.terms, bench.candles, bench.cash).run()
    assert (stepped.parts, stepped.cash) == (report.result.books.parts, report.result.books.cash)
    assert bench.coverage == 1.0 and bench.remarks == ()


def test_a_file_brings_its_own_market_and_timeframe(shared: Path, settings: Settings) -> None:
    report = run_backtest(settings, options(shared / ETH, until=day("2023-04-01")))
    found = as_object(report, with_trades=False)
    assert (found["symbol"], found["timeframe"]) == ("ETH/USDT-PERP", "15m")
    assert report.bench.instrument.market_type is MarketType.FUTURES
    assert found["trades"] > 10


def test_an_indicator_without_a_timeframe_is_that_of_the_file(shared: Path, settings: Settings) -> None:
    assert run_backtest(settings, options(shared / FIVE_MINUTES, until=day("2024-04-01"))).metrics.trades > 10


def test_a_strategy_that_reads_a_finer_timeframe_than_the_file_is_refused(
    shared: Path, settings: Settings, tmp_path: Path
) -> None:
    strategy = tmp_path / "finer.yaml"
    strategy.write_text(
        "strategy: {id: finer}\n"
        "market: {exchange: binance, symbol: BTC/USDT, primary_timeframe: 1m}\n"
        "indicators: [{name: rsi, timeframes: [1m]}]\n"
        "entry: {side: buy, conditions: [RSI_1m < 30]}\n"
        "risk: {position_size_pct: 5, stop_loss_pct: 1}\n"
    )
    with pytest.raises(ConfigError, match="candles of 1m, which cannot be built from those of 5m"):
        run_backtest(settings, options(shared / FIVE_MINUTES, str(strategy)))


def test_what_no_live_feed_could_keep_is_backtested(settings: Settings, tmp_path: Path, short: Path) -> None:
    strategy = tmp_path / "long.yaml"
    strategy.write_text(
        "strategy: {id: long}\n"
        "market: {exchange: binance, symbol: BTC/USDT, primary_timeframe: 1m}\n"
        "indicators: [{name: rsi, timeframes: [1h]}, {name: supertrend}]\n"
        "entry: {side: buy, conditions: [RSI_1h < 101 OR SUPERTREND < 0 OR PRICE > 0]}\n"
        "risk: {position_size_pct: 50, stop_loss_pct: 1}\n"
        "execution: {order_type: market}\n"
    )
    assert run_backtest(settings, options(short, str(strategy))).metrics.trades > 0


# -- holes ------------------------------------------------------------------------------------------------------------


def test_a_test_network_with_holes_is_refused_and_runs_when_asked_to(shared: Path, settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"has 20\.02% of the candles .* below 95%; fill the gaps, .*--allow-gaps"):
        prepare(settings, options(shared / TESTNET))
    report = run_backtest(settings, options(shared / TESTNET, cash=1_000_000, allow_gaps=True))
    told = " ".join(report.bench.remarks)
    assert "79.98% of the candles are missing" in told
    assert "rows of bybit_TESTNET_linear_BTCUSDT_1m_gapped_2024-09_2025-09.parquet are left out: 31 outlier" in told
    assert report.metrics.trades > 100


@pytest.mark.parametrize(("missing", "told", "refused"), [(0, False, False), (20, True, False), (80, True, True)])
def test_missing_candles_are_told_below_99_percent_and_refused_below_95(
    settings: Settings, tmp_path: Path, missing: int, told: bool, refused: bool
) -> None:
    gone = frozenset(range(100, 100 + missing))
    asked = options(candles(tmp_path / "binance_spot_BTCUSDT_1m.csv", 1000, gone))
    if refused:
        with pytest.raises(ConfigError, match=r"has 92\.00% of the candles"):
            prepare(settings, asked)
        asked = replace(asked, allow_gaps=True)
    bench = prepare(settings, asked)
    assert bench.coverage == pytest.approx(1 - missing / 1000)
    assert [remark for remark in bench.remarks if "missing" in remark] == (
        [f"{missing / 1000:.2%} of the candles are missing"] if told else []
    )


def test_coverage_is_that_of_the_range_that_was_asked_for(settings: Settings, tmp_path: Path) -> None:
    path = candles(tmp_path / "binance_spot_BTCUSDT_1m.csv", 1000, frozenset(range(100, 300)))
    later = options(path, since=day("2025-05-20T05:00"))
    assert prepare(settings, later).coverage == 1.0
    with pytest.raises(ConfigError, match="--allow-gaps"):
        prepare(settings, options(path))


# -- ranges -----------------------------------------------------------------------------------------------------------


def test_a_range_begins_with_its_first_instant_and_ends_before_its_last(settings: Settings, short: Path) -> None:
    asked = options(short, since=day("2025-05-20T01:00"), until=day("2025-05-20T02:00"))
    times = prepare(settings, asked).candles.open_time_ns
    assert len(times) == 60
    assert [int(times[0]), int(times[-1])] == [(FIRST_MS + n * MINUTE_MS) * 10**6 for n in (60, 119)]


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2030-01-01", None),
        (None, "2001-01-01"),
        ("2025-05-20T02:00", "2025-05-20T01:00"),
        ("0001-01-01", "0001-01-02"),
    ],
)
def test_a_range_without_a_candle_is_refused_with_what_there_is(
    settings: Settings, short: Path, since: str | None, until: str | None
) -> None:
    asked = options(short, since=since and day(since), until=until and day(until))
    with pytest.raises(ConfigError, match=r"no candle is in the range .*; the data has 2025-05-20 00:00:00 to"):
        prepare(settings, asked)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_candles_are_a_backtest_without_a_trade(settings: Settings, tmp_path: Path, count: int) -> None:
    report = run_backtest(settings, options(candles(tmp_path / "binance_spot_BTCUSDT_1m.csv", count)))
    found = as_object(report, with_trades=True)
    assert (found["candles"], found["trades"], found["trade_list"]) == (count, 0, [])
    assert (found["final_equity"], found["sharpe"], found["reliable"]) == (D(100_000), None, False)


# -- what it was asked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limits": "usr"}, "--limits is 'usr'; write research or user"),
        ({"cash": D(0)}, "--cash is 0; it lies between 0.01 and 1,000,000,000,000"),
        ({"cash": D(-5)}, "--cash is -5; it lies between"),
        ({"cash": D("1e400")}, r"--cash is 1e\+400; it lies between"),
        ({"strategy": "refrence_rsi"}, "unknown strategy file 'refrence_rsi'; did you mean 'reference_rsi.yaml'"),
        ({"data": "nowhere.parquet"}, "there is no file nowhere.parquet; check the path"),
        ({"overrides": {"lwo": "25"}}, "unknown parameter 'lwo'; did you mean 'low'"),
        ({"overrides": {"market.exchange": "binanse"}}, "market.exchange names an unknown exchange 'binanse'"),
    ],
)
def test_what_cannot_be_used_is_named(settings: Settings, short: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        prepare(settings, replace(options(short), **change))


def test_overrides_reach_the_strategy_the_exits_and_the_venue(settings: Settings, short: Path) -> None:
    given = {"low": "45", "risk.stop_loss_pct": "5", "execution.fee_taker_pct": "0.5", "market.price_increment": "10"}
    bench = prepare(settings, options(short, overrides=given))
    assert bench.file.parameters["low"] == 45
    assert bench.file.exits.protection.stop_loss == D("0.05")
    assert bench.terms.fee_taker == D("0.005")
    assert bench.instrument.price_increment == 10


def test_under_the_limits_of_the_account_every_event_goes_through_the_engine(settings: Settings, short: Path) -> None:
    free = run_backtest(settings, options(short, cash=1_000_000))
    held = run_backtest(settings, options(short, cash=1_000_000, limits="user"))
    assert free.result.stepped is None
    assert held.result.stepped == "limits that the compiled loop does not know"
    assert held.metrics.trades <= free.metrics.trades
    assert as_object(held, with_trades=False)["controls_off"] is None
    assert not as_object(held, with_trades=False)["controls_not_applicable"], "each is asked, and refuses the unknown"
    assert desk_of(held.bench, None).seats[0].controls == ALL
    assert "every control" in as_object(free, with_trades=False)["controls_off"]


def test_what_the_file_limits_holds_under_research_as_well(settings: Settings, short: Path) -> None:
    free = run_backtest(settings, options(short))
    asked = options(short, overrides={"risk.max_daily_trades": "2"})
    held = run_backtest(settings, asked)
    assert free.metrics.trades > 2
    assert held.metrics.trades == 2


def test_the_collector_of_garbage_is_as_it_was(settings: Settings, short: Path) -> None:
    assert gc.isenabled()
    run_backtest(settings, options(short))
    assert gc.isenabled()
    gc.disable()
    try:
        run_backtest(settings, options(short))
        assert not gc.isenabled()
    finally:
        gc.enable()
