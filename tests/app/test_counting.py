"""How the votes of a strategy file are counted, from the file to the trades: alone, and with the technical score."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from tests.engine.builders import BTC as SPOT
from tests.strategies.recorded import COLUMNS, cut, read

from promethean.app.backtest_answers import as_object
from promethean.app.backtesting import BacktestOptions, BacktestReport, run_backtest
from promethean.app.desk import load_strategy, make_strategy
from promethean.app.register import register_everything
from promethean.config.layers import load_settings
from promethean.domain.candles import Candle
from promethean.domain.errors import ConfigError
from promethean.domain.events import CandleClosed
from promethean.domain.market import MarketView
from promethean.engine.combined import Alone, Combined
from promethean.indicators.volume.vwap import OF_CANDLES
from promethean.strategies.arrays import Prepared, Trailing
from promethean.strategies.frame import Frame

D = Decimal
MINUTE_NS = 60 * 10**9
BTC = Path("data", "ohlcv", "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet")
ETH = Path("data", "ohlcv", "binance_usdm_ETHUSDT_15m_2023-01_2024-06.parquet")
UNTIL = {BTC: datetime(2025, 6, 3, tzinfo=UTC), ETH: datetime(2023, 7, 1, tzinfo=UTC)}
STEPS = {"risk_management__max_daily_trades": "100000"}  # a limit that refuses nothing, and asks for the engine
FILE = """
strategy: {id: counted, class: rsi_reversion}
market: {exchange: binance, symbol: BTC/USDT, primary_timeframe: 1m}
parameters: {position_size_pct: 10}
technical: {enabled: false, weight: 1}
exits: {stop_loss_pct: 1, take_profit_levels: [{target_pct: 1, close_pct: 100}]}
execution: {order_type: market, latency_ms: 0, participation_max: unlimited}
risk_management: {}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    register_everything()
    path = tmp_path / "counted.yaml"
    path.write_text(FILE)
    return path


def ran(file: Path, data: Path, until: datetime | None = None, **changes: str) -> BacktestReport:
    overrides = {key.replace("__", "."): value for key, value in changes.items()}
    settings = load_settings({"app.home": "home"}, {}, Path.cwd())
    options = BacktestOptions(str(file), str(data), overrides, cash=D(10_000), until=until)
    return run_backtest(settings, options)


def trades(report: BacktestReport) -> object:
    return [as_object(report, with_trades=True)[key] for key in ("trade_list", "final_equity")]


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy__signal_threshold": "0.8"},
        {"strategy__aggregation_mode": "unanimous"},
        {"technical__enabled": "true", "strategy__signal_threshold": "0.35"},
        {"technical__enabled": "true", "technical__weight": "3"},
        {"technical__enabled": "true", "strategy__aggregation_mode": "unanimous"},
        {"technical__enabled": "true", "strategy__aggregation_mode": "voting"},
        {"technical__enabled": "true", "strategy__aggregation_mode": "threshold", "strategy__signal_threshold": "0.8"},
    ],
    ids=lambda changes: " ".join(changes.values()),
)
@pytest.mark.parametrize("data", [BTC, ETH], ids=["spot", "futures"])
def test_compiled_and_step_by_step_count_votes_alike(
    shared: Path, file: Path, data: Path, changes: dict[str, str]
) -> None:
    if data is ETH:
        file.write_text(FILE.replace("BTC/USDT", "ETH/USDT-PERP").replace("1m}", "15m}"))
    compiled, stepped = (ran(file, shared / data, UNTIL.get(data), **changes, **more) for more in ({}, STEPS))
    assert compiled.result.stepped is None
    assert stepped.result.stepped is not None
    assert trades(compiled) == trades(stepped)


def test_conditions_are_one_voice_whatever_the_settings_say_of_several(shared: Path) -> None:
    settings = load_settings({"strategies.aggregation": "unanimous", "app.home": "home"}, {}, Path.cwd())
    compiled, stepped = (
        run_backtest(
            settings, BacktestOptions("reference_rsi", str(shared / BTC), more, cash=D(100_000), until=UNTIL[BTC])
        )
        for more in ({}, {"risk.max_daily_trades": "100000"})
    )
    assert (compiled.result.stepped is None, stepped.result.stepped is None) == (True, False)
    assert compiled.metrics.trades > 50
    assert trades(compiled) == trades(stepped)


def test_live_and_recorded_candles_are_counted_alike(shared: Path, file: Path) -> None:
    changes = {"technical.enabled": "true", "strategy.signal_threshold": "0.35"}
    strategy = make_strategy(load_strategy(file, changes), SPOT, "1m")
    assert isinstance(strategy, Combined)
    candles = cut(read(shared / BTC), 0, strategy.window + 1500)
    recorded, live = Prepared(strategy, Frame(candles, "1m")), Trailing(strategy)
    spoken = 0
    for place in range(strategy.window, len(candles), 7):
        values = [float(getattr(candles, name)[place]) for name in COLUMNS]
        opened = int(candles.open_time_ns[place])
        closed = Candle(SPOT.id, "1m", opened, opened + MINUTE_NS, *values)
        view = MarketView().with_series(SPOT.id, "1m", cut(candles, 0, place + 1))
        event = CandleClosed(closed, closed.close_time_ns)
        now, then = live.on_event(event, view), recorded.on_event(event, view)
        assert [(s.type, s.confidence, s.reason) for s in now] == [(s.type, s.confidence, s.reason) for s in then]
        spoken += bool(now)
    assert spoken > 50


def test_a_higher_threshold_lets_fewer_entries_in(shared: Path, file: Path) -> None:
    counts = [len(ran(file, shared / BTC, strategy__signal_threshold=at).result.books.trades) for at in ("0.6", "0.8")]
    assert counts[0] > counts[1] > 0


def test_the_shipped_technical_score_trades_over_real_candles(shared: Path) -> None:
    report = ran(Path("technical_score"), shared / BTC, UNTIL[BTC])
    assert len(report.bench.candles) == 14 * 1440
    assert 50 < report.metrics.trades <= 14 * 20  # its own limit of trades a day
    assert {part.reason for part in report.result.books.parts} >= {"signal"}


def test_a_file_with_both_is_one_voice_and_one_without_is_its_class(file: Path) -> None:
    assert isinstance(make_strategy(load_strategy(file), SPOT, "1m"), Alone)
    both = make_strategy(load_strategy(file, {"technical.enabled": "true", "technical.weight": "2"}), SPOT, "1m")
    assert isinstance(both, Combined)
    assert [(part.name, part.weight) for part in both.parts] == [("rsi_reversion", 1.0), ("technical", 2.0)]


def test_the_technical_score_does_not_join_itself(file: Path) -> None:
    file.write_text(FILE.replace("rsi_reversion", "technical_score"))
    with pytest.raises(ConfigError, match=r"technical\.enabled is true, but the class technical_score is that source"):
        load_strategy(file, {"technical.enabled": "true"})
    assert load_strategy(file).technical is None


def test_a_source_that_reads_the_vwap_says_that_it_is_made_of_candles(short: Path, file: Path) -> None:
    alone, joined = ran(file, short), ran(file, short, technical__enabled="true")
    assert OF_CANDLES not in alone.bench.remarks
    assert joined.bench.remarks.count(OF_CANDLES) == 1
    assert ran(Path("technical_score"), short).bench.remarks.count(OF_CANDLES) == 1
