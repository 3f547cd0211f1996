"""Backtests of strategy files over recorded candles: real ones, short ones and ones with holes."""

from __future__ import annotations

import csv
import gc
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from promethean.app import backtesting
from promethean.app.backtesting import BacktestOptions, as_object, prepare, run_backtest, run_sweep, sweep_object
from promethean.config.layers import load_settings
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.domain.instruments import MarketType

D = Decimal
OHLCV = Path("data", "ohlcv")
BTC = OHLCV / "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet"
ETH = OHLCV / "binance_usdm_ETHUSDT_15m_2023-01_2024-06.parquet"
TESTNET = OHLCV / "bybit_TESTNET_linear_BTCUSDT_1m_gapped_2024-09_2025-09.parquet"
FIVE_MINUTES = OHLCV / "binance_spot_BTCUSDT_5m_2024-03_2024-10.parquet"
FIRST_MS, MINUTE_MS = 1_747_699_200_000, 60_000  # 2025-05-20


@pytest.fixture
def settings() -> Settings:
    return load_settings({}, {}, Path.cwd())


def options(data: Path, strategy: str = "reference_rsi", cash: int = 100_000, **given: Any) -> BacktestOptions:
    return BacktestOptions(strategy, str(data), cash=D(cash), **given)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def candles(path: Path, count: int, missing: frozenset[int] = frozenset()) -> Path:
    """Minutes that fall for half an hour and rise for the next."""
    lines = ["timestamp,open,high,low,close,volume"]
    for number in range(count):
        price = 100_000 - 50 * min(number % 60, 60 - number % 60)
        if number not in missing:
            lines.append(f"{FIRST_MS + number * MINUTE_MS},{price},{price + 20},{price - 20},{price},50.5")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def short(tmp_path: Path) -> Path:
    return candles(tmp_path / "binance_spot_BTCUSDT_1m.csv", 600)


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
    assert bench.file.protection.stop_loss == D("0.05")
    assert bench.terms.fee_taker == D("0.005")
    assert bench.instrument.price_increment == 10


def test_under_the_limits_of_the_account_every_event_goes_through_the_engine(settings: Settings, short: Path) -> None:
    free = run_backtest(settings, options(short, cash=1_000_000))
    held = run_backtest(settings, options(short, cash=1_000_000, limits="user"))
    assert free.result.stepped is None
    assert held.result.stepped == "limits that the compiled loop does not know"
    assert held.metrics.trades <= free.metrics.trades
    assert as_object(held, with_trades=False)["controls_off"] is None
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


# -- the answer -------------------------------------------------------------------------------------------------------


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
    assert (found["funding"], found["coverage_pct"], found["reliable"]) == (0, 100.0, False)
    assert {row["side"] for row in rows} == {"long"}


def test_a_run_without_a_loss_has_an_infinite_profit_factor_that_json_can_say(settings: Settings, short: Path) -> None:
    free = {"execution.fee_taker_pct": "0", "execution.fee_maker_pct": "0", "risk.stop_loss_pct": "50"}
    found = as_object(run_backtest(settings, options(short, overrides=free)), with_trades=False)
    assert (found["losses"], found["profit_factor"]) == (0, "inf")


@pytest.mark.parametrize("fee", ["0.1", "0"])
def test_the_file_of_trades_holds_the_trade_list(settings: Settings, short: Path, tmp_path: Path, fee: str) -> None:
    given = {"execution.fee_maker_pct": fee, "execution.fee_taker_pct": fee}
    report = run_backtest(settings, options(short, overrides=given))
    backtesting.write_trades(report.result.books.parts, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    rows = as_object(report, with_trades=True)["trade_list"]
    assert tuple(written[0]) == tuple(rows[0]) == backtesting.TRADE_COLUMNS
    for line, row in zip(written, rows, strict=True):
        for name in ("entry_time", "exit_time", "side", "reason"):
            assert line[name] == row[name]
        for name in ("quantity", "entry_price", "exit_price", "fees", "pnl"):
            assert D(line[name]) == row[name]
            assert "E" not in line[name], "numbers that a spreadsheet reads"


@pytest.mark.parametrize("place", ["nowhere/out.csv", "."])
def test_a_file_of_trades_that_cannot_be_written_is_named(
    settings: Settings, short: Path, tmp_path: Path, place: str
) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written \(.+\); choose another place for --trades"):
        backtesting.write_trades(run_backtest(settings, options(short)).result.books.parts, tmp_path / place)


# -- sweeps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "param",
    ["low=20:40:10", "risk.stop_loss_pct=0.2,5", "execution.fee_taker_pct=0,1", "market.price_increment=0.01,100",
     "execution.slippage_bps=0,50", "risk.position_size_quote=100,9000", "period=5,14",
     "market.quantity_increment=0.01,0.00001"],
)  # fmt: skip
def test_every_outcome_is_that_of_the_backtest_with_these_values(settings: Settings, short: Path, param: str) -> None:
    asked = options(short, overrides={"high": "60"})
    report = run_sweep(settings, asked, [param], lambda *_: None)
    for outcome in report.outcomes:
        one = run_backtest(settings, replace(asked, overrides={**asked.overrides, **outcome.parameters}))
        assert (outcome.trades, outcome.wins) == (one.metrics.trades, one.metrics.wins), outcome.parameters
        assert outcome.final_equity == pytest.approx(float(one.result.books.cash), abs=0.01), outcome.parameters
    assert len({outcome.final_equity for outcome in report.outcomes}) > 1, "the values matter"
    found = sweep_object(report, 1)
    assert found["confirmed"]["agrees"] is True
    assert found["top"][0]["parameters"] == found["confirmed"]["parameters"]
    assert float(found["top"][0]["final_equity"]) == pytest.approx(
        max(o.final_equity for o in report.outcomes), abs=0.01
    )


def test_a_class_based_strategy_is_swept_too(settings: Settings, short: Path, tmp_path: Path) -> None:
    strategy = tmp_path / "mine.yaml"
    strategy.write_text(
        "strategy: {id: mine, class: rsi_reversion}\n"
        "market: {exchange: binance, symbol: BTC/USDT, primary_timeframe: 1m}\n"
        "parameters: {rsi_period: 14, oversold: 30, position_size_pct: 5}\n"
        "exits: {stop_loss_pct: 1}\n"
        "execution: {order_type: market, latency_ms: 0, participation_max: unlimited}\n"
    )
    asked = options(short, str(strategy))
    report = run_sweep(settings, asked, ["rsi_period=5:9:2", "oversold=20,40"], lambda *_: None)
    assert len(report.outcomes) == 6
    for outcome in report.outcomes:
        one = run_backtest(settings, replace(asked, overrides=outcome.parameters))
        assert outcome.trades == one.metrics.trades
        assert outcome.final_equity == pytest.approx(float(one.result.books.cash), abs=0.01)


def test_progress_is_told_and_the_best_come_first(settings: Settings, short: Path) -> None:
    told: list[tuple[int, int]] = []
    report = run_sweep(settings, options(short), ["low=20:40:5", "high=65,75"], lambda *done: told.append(done))
    assert told == [(number, 10) for number in range(1, 11)]
    found = sweep_object(report, 3)
    assert (found["combinations"], len(found["top"])) == (10, 3)
    equities = [float(row["final_equity"]) for row in found["top"]]
    assert equities == sorted(equities, reverse=True)
    assert found["trades"] == sum(outcome.trades for outcome in report.outcomes)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ([], "there is nothing to vary; give for example --param period=6:24:2"),
        (["period"], "--param is 'period'; write name=first:last:step"),
        (["low=1,2", "low=3"], "--param names low twice; keep one"),
        (["lwo=1,2"], "unknown parameter 'lwo'; did you mean 'low'"),
        (["risk.stop_los_pct=1,2"], "unknown key 'stop_los_pct'; did you mean 'stop_loss_pct'"),
        (["risk.stop_loss_pct=1,200"], "risk.stop_loss_pct is 200; it lies between 0.01 and 99.99"),
        (["period=0,14"], "the period of an RSI is at least 1, not 0"),
        (["period=7.5"], "period is 7.5; write a whole number"),
        (["risk.max_daily_trades=1,2"], "a sweep does not know limits that the file sets; use backtest for it"),
        (["execution.participation_max=0.0001"], "with execution.participation_max=0.0001 an order is larger than"),
        (["low=1:1000:1", "high=1:1001:1"], "1,001,000 combinations are more than 1,000,000"),
    ],
)
def test_a_sweep_that_cannot_be_made_is_refused(settings: Settings, short: Path, params: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        run_sweep(settings, options(short), params, lambda *_: None)
