"""Funding in backtests and replays of real perpetuals, by the rates of their venue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.app.minutes import candles
from tests.app.runs import Onlooker, Place

from promethean.app.backtest_answers import as_object
from promethean.app.backtesting import BacktestOptions, run_backtest
from promethean.app.replaying import replay_object, run_replay
from promethean.app.sweeping import run_sweep
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.evaluation.metrics import daily_equity
from promethean.runtime.stopping import Stopping
from promethean.storage.postgres_server import remove_database

D = Decimal
BOTH_SIDES = """
strategy: {id: both-sides, class: rsi_reversion, aggregation_mode: weighted, signal_threshold: 0.6}
market: {exchange: binance, symbol: BTC/USDT, market_type: futures, primary_timeframe: 1h}
parameters: {rsi_period: 14, oversold: 25, overbought: 75, position_size_pct: 90}
exits:
  stop_loss_pct: 8
  take_profit_levels: [{target_pct: 5, close_pct: 33}, {target_pct: 12, close_pct: 33}, {target_pct: 30, close_pct: 34}]
  max_hold_time_minutes: 14400
  on_opposite: flip
execution: {order_type: market, slippage_bps: 1, latency_ms: 0, participation_max: unlimited}
"""


@pytest.fixture
def strategy(tmp_path: Path) -> Path:
    path = tmp_path / "both_sides.yaml"
    path.write_text(BOTH_SIDES)
    return path


def asked(strategy: Path, shared: Path, symbol: str = "BTCUSDT", **given: Any) -> BacktestOptions:
    data = shared / "data"
    rates = str(data / f"funding/binance_usdm_{symbol}_funding_2023-01_2024-06.parquet")
    return BacktestOptions(
        str(strategy),
        str(data / f"ohlcv/binance_usdm_{symbol}_{given.pop('timeframe', '1h')}_2023-01_2024-06.parquet"),
        **{"funding": rates, **given},
    )


def paid_by_hand(options: BacktestOptions, rows: list[dict[str, Any]]) -> Decimal:
    """What the trade list should have paid: for each part, each instant after its entry and up to its exit."""
    rates, prices = (pq.read_table(path) for path in (options.funding, options.data))
    at_ms = np.round(rates.column("timestamp").to_numpy() / 60_000).astype(np.int64) * 60_000
    rate = rates.column("funding_rate").to_pylist()
    open_ms, close = prices.column("timestamp").to_numpy(), prices.column("close").to_pylist()
    total = D(0)
    for row in rows:
        entered, left = (
            int(datetime.fromisoformat(row[name]).replace(tzinfo=UTC).timestamp() * 1000)
            for name in ("entry_time", "exit_time")
        )
        for place in np.flatnonzero((at_ms > entered) & (at_ms <= left)):
            mark = close[int(np.searchsorted(open_ms, at_ms[place])) - 1]
            side = 1 if row["side"] == "long" else -1
            total += side * row["quantity"] * D(repr(mark)) * D(repr(rate[place]))
    return total


@pytest.mark.parametrize(("symbol", "timeframe"), [("BTCUSDT", "1h"), ("ETHUSDT", "15m")])
def test_every_position_pays_the_rates_of_its_venue_while_it_is_held(
    settings: Settings, strategy: Path, shared: Path, symbol: str, timeframe: str
) -> None:
    options = asked(strategy, shared, symbol, timeframe=timeframe)
    Path(options.strategy).write_text(BOTH_SIDES.replace("1h", timeframe))
    report = run_backtest(settings, options)
    found = as_object(report, with_trades=True)
    rows = found["trade_list"]
    assert report.result.stepped is None
    assert {row["side"] for row in rows} == {"long", "short"}
    assert abs(found["funding"] - paid_by_hand(options, rows)) < D("0.0001")
    assert found["funding"] < -50, "shorts of a rising market receive more than longs pay"
    assert sum(row["funding"] for row in rows) == found["funding"]
    assert found["start_equity"] + sum(row["pnl"] for row in rows) == found["final_equity"]
    assert found["remarks"] == []
    daily = daily_equity(report.result.equity, report.bench.candles.open_time_ns)
    assert daily[-1] == pytest.approx(float(found["final_equity"]), rel=0.02)


def test_the_engine_pays_what_the_compiled_loop_pays(settings: Settings, strategy: Path, shared: Path) -> None:
    whole = run_backtest(settings, asked(strategy, shared)).result
    stepped = run_backtest(
        settings, asked(strategy, shared, overrides={"risk_management.max_daily_loss_pct": "99"})
    ).result
    assert (whole.stepped, stepped.stepped) == (None, "limits that the compiled loop does not know")
    assert (stepped.books.parts, stepped.books.funding) == (whole.books.parts, whole.books.funding)
    assert stepped.equity == pytest.approx(whole.equity, abs=1e-6)


def test_a_replay_pays_what_the_backtest_pays(place: Place, strategy: Path, shared: Path) -> None:
    settings = place.settings("home-funding")
    options = asked(strategy, shared, until=datetime(2023, 3, 1, tzinfo=UTC))
    try:
        report = run_replay(settings, options, Onlooker(), Stopping())
    finally:
        remove_database(settings.app.home)
    whole = run_backtest(settings, options).result.books
    assert report.books.parts == whole.parts
    assert (D(report.summary.funding or 0), D(report.summary.final_equity or 0)) == (whole.funding, whole.cash)
    assert whole.funding
    assert replay_object(report, with_trades=False)["remarks"] == []


def test_a_sweep_is_confirmed_by_the_engine_with_funding(settings: Settings, strategy: Path, shared: Path) -> None:
    options = asked(strategy, shared)
    report = run_sweep(settings, options, ["oversold=20,25"], lambda done, total: None)
    alone = {
        low: run_backtest(settings, asked(strategy, shared, overrides={"oversold": low})).result.books.cash
        for low in ("20", "25")
    }
    for outcome in report.outcomes:
        assert outcome.final_equity == pytest.approx(float(alone[outcome.parameters["oversold"]]), abs=0.01)
    assert report.confirmed is not None
    assert report.confirmed.final_equity == max(alone.values())


# ---------------------------------------------------------------- what is refused, and what is told


@pytest.fixture
def perpetual(tmp_path: Path) -> Iterator[Path]:
    yield candles(tmp_path / "binance_usdm_BTCUSDT_1m.csv", 600)  # 2025-05-20, ten hours


def rates(path: Path, *at_ms: int) -> str:
    path.write_text("\n".join(["timestamp,funding_rate", *(f"{each},0.0001" for each in at_ms)]) + "\n")
    return str(path)


HOUR_MS, MIDNIGHT_MS = 3_600_000, 1_747_699_200_000


def remarks(settings: Settings, data: Path, funding: str) -> list[str]:
    options = BacktestOptions("reference_rsi", str(data), cash=D(100_000), funding=funding)
    found: list[str] = as_object(run_backtest(settings, options), with_trades=False)["remarks"]
    return found


def test_payments_that_the_file_lacks_are_counted_and_told(settings: Settings, perpetual: Path, tmp_path: Path) -> None:
    hours = (MIDNIGHT_MS + hour * HOUR_MS for hour in (0, 1, 2, 5, 6))
    assert remarks(settings, perpetual, rates(tmp_path / "some.csv", *hours)) == [
        "some.csv lacks 5 of 9 funding payments; none is booked there"
    ]
    whole = (MIDNIGHT_MS + hour * HOUR_MS for hour in range(10))
    assert remarks(settings, perpetual, rates(tmp_path / "all.csv", *whole)) == []


def test_rates_of_another_venue_are_told(settings: Settings, perpetual: Path, tmp_path: Path) -> None:
    found = remarks(settings, perpetual, rates(tmp_path / "bybit_linear_BTCUSDT_funding.csv", MIDNIGHT_MS + HOUR_MS))
    assert found == ["the funding rates are those of bybit, the candles those of binance"]


def test_rates_that_do_not_belong_to_the_candles_are_refused(
    settings: Settings, perpetual: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"holds funding rates of ETH/USDT by its name, and BTC/USDT-PERP is traded"):
        remarks(settings, perpetual, rates(tmp_path / "binance_usdm_ETHUSDT_funding.csv", MIDNIGHT_MS + HOUR_MS))
    with pytest.raises(ConfigError, match=r"has rates of 2025-05-19 .* none of 2025-05-20 00:00:00 to"):
        remarks(settings, perpetual, rates(tmp_path / "early.csv", MIDNIGHT_MS - HOUR_MS))
    spot = candles(tmp_path / "binance_spot_BTCUSDT_1m.csv", 600)
    with pytest.raises(ConfigError, match="is spot, which pays none; leave --funding out"):
        remarks(settings, spot, rates(tmp_path / "some.csv", MIDNIGHT_MS + HOUR_MS))
