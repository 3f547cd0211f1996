"""Files whose exit reads the open position: backtests, sweeps and searches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.app.minutes import day, options

from promethean.app import optimising
from promethean.app.backtesting import BacktestOptions, prepare, run_backtest
from promethean.app.optimising import Wanted
from promethean.app.sweeping import run_sweep, sweep_object
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.evaluation.judging import Judge, Stretch, excerpt

BTC = Path("data", "ohlcv", "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet")
UNTIL = day("2025-05-30")
FILE = """
strategy: {id: position}
market: {exchange: binance, symbol: BTC/USDT, market_type: spot, primary_timeframe: 1m}
parameters: {low: 30, gain: 0.4, bars: 45}
indicators: [{name: rsi, as: RSI, params: {period: 14}, timeframes: [1m, 1h]}]
entry: {side: buy, conditions: ["crosses_below(RSI, low)"]}
exit: {mode: ANY, conditions: ["RSI_1h > 75", "PNL_PCT >= gain AND RSI > 50", "BARS_HELD >= bars"]}
risk: {position_size_pct: 20, stop_loss_pct: 1, cooldown_bars: 0}
execution: {order_type: market, slippage_bps: 0, participation_max: unlimited}
"""


@pytest.fixture
def asked(shared: Path, tmp_path: Path) -> BacktestOptions:
    path = tmp_path / "position.yaml"
    path.write_text(FILE)
    return options(shared / BTC, str(path), until=UNTIL)


def test_positions_are_left_for_what_became_of_them(settings: Settings, asked: BacktestOptions) -> None:
    report = run_backtest(settings, asked)
    assert report.result.stepped is None
    close = dict(zip(report.bench.candles.open_time_ns.tolist(), report.bench.candles.close.tolist(), strict=True))
    parts = [part for part in report.result.books.parts if part.reason == "signal"]
    assert len(parts) > 50
    minute = 60 * 10**9
    for part in parts:
        bars = (part.closed_at_ns - part.opened_at_ns) // minute
        gain = 100 * (close[part.closed_at_ns - minute] / float(part.entry_price) - 1)
        assert bars == 45 or (bars < 45 and gain > 0.3999), part
    early = [part for part in parts if part.closed_at_ns - part.opened_at_ns < 45 * minute]
    assert 5 < len(early) < len(parts) - 5


def test_a_sweep_of_the_exit_comes_to_what_its_backtests_come_to(settings: Settings, asked: BacktestOptions) -> None:
    swept = run_sweep(settings, asked, ["gain=0.2,0.4", "bars=20,45"], lambda *_: None)
    assert sweep_object(swept, 3)["confirmed"]["agrees"]
    for outcome in swept.outcomes:
        again = run_backtest(settings, replace(asked, overrides=outcome.parameters))
        assert again.metrics.trades == outcome.trades > 50
        assert float(again.result.books.cash) == pytest.approx(outcome.final_equity, abs=0.01)
    assert len({outcome.final_equity for outcome in swept.outcomes}) == 4, "the values matter"


def test_a_stretch_of_a_search_is_left_as_its_candles_say(settings: Settings, asked: BacktestOptions) -> None:
    hunt = optimising._Hunt(prepare(settings, asked), asked, Wanted(("gain=0.2:0.4:0.1",)), lambda *_: None)
    variant = hunt._variant({"gain": "0.3"})
    frame, stretch = hunt._frame, Stretch(3000, 9000)
    said = variant.strategy.say(frame)
    part = excerpt(said, stretch)
    assert said.exit is not None and part.exit is not None
    assert np.array_equal(part.exit.rows, said.exit.rows[:, 3000:9000])
    judge = Judge(frame, stretch, "return", 1)
    compiled, stepped = judge(variant), judge(msgspec.structs.replace(variant, compiled=False))
    assert stepped.stepped is not None and compiled.stepped is None
    assert (compiled.final_equity, compiled.metrics.trades) == (stepped.final_equity, stepped.metrics.trades)
    assert compiled.metrics.trades > 20


@pytest.mark.parametrize("name", ["ENTRY_PRICE", "PNL_PCT", "BARS_HELD"])
def test_an_entry_that_reads_the_position_is_refused_with_the_place(
    settings: Settings, asked: BacktestOptions, name: str
) -> None:
    Path(asked.strategy).write_text(FILE.replace("crosses_below(RSI, low)", f"{name} > 1"))
    with pytest.raises(ConfigError, match=rf"position.yaml: entry \(buy\): .*{name} is known only while a position is"):
        run_backtest(settings, asked)
