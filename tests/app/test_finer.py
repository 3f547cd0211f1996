"""`--finer` and `--tape`: what a candle touched first, on real candles and trades."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.app.minutes import day, options

from promethean.app.backtesting import BacktestOptions, prepare, run_backtest
from promethean.app.data import import_candles
from promethean.app.sweeping import run_sweep, sweep_object
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.evaluation.ledger import Part
from promethean.storage.candle_files import read_candle_file

OHLCV = Path("data", "ohlcv")
FOUR_HOURS, QUARTERS = (f"binance_usdm_BTCUSDT_{frame}_2023-01_2024-06.parquet" for frame in ("4h", "15m"))
FOUR_HOURS_NS = 4 * 3600 * 10**9
XRPETH = "binance_spot_XRPETH_5m_2019-10.parquet"
FILE = """
strategy: {{id: both}}
market: {{exchange: binance, symbol: {symbol}, primary_timeframe: {timeframe}}}
parameters: {{least: 0}}
indicators: [{{name: rsi, as: RSI, params: {{period: 2}}}}]
entry: {{side: buy, conditions: ["RSI > least"]}}
risk: {{position_size_pct: 50, stop_loss_pct: {stop}, take_profit_pct: {target}, cooldown_bars: 0}}
execution: {{order_type: market, slippage_bps: 0, participation_max: unlimited, latency_ms: 0}}
"""


def asked(
    folder: Path, data: Path, timeframe: str, symbol: str, stop: str, target: str, **more: Any
) -> BacktestOptions:
    path = folder / "both.yaml"
    path.write_text(FILE.format(symbol=symbol, timeframe=timeframe, stop=stop, target=target))
    return options(data, str(path), allow_gaps=True, **more)


@pytest.fixture
def four_hours(shared: Path, tmp_path: Path) -> BacktestOptions:
    return asked(tmp_path, shared / OHLCV / FOUR_HOURS, "4h", "BTC/USDT-PERP", "1", "1.2")


def both(part: Part) -> tuple[int, str]:
    return part.opened_at_ns, part.reason


def test_finer_candles_decide_as_walking_through_them_by_hand_does(
    settings: Settings, shared: Path, four_hours: BacktestOptions
) -> None:
    rough = run_backtest(settings, four_hours)
    fine = run_backtest(settings, replace(four_hours, finer=str(shared / OHLCV / QUARTERS)))
    assert fine.result.stepped is None
    assert any("finer data hold all of 3,278 of 3,282 candles" in remark for remark in fine.bench.remarks)
    quarters = read_candle_file(shared / OHLCV / QUARTERS, now_ns=2**62)
    # Four candles of the venue have another volume than their quarters have together.
    whole = read_candle_file(shared / OHLCV / FOUR_HOURS, now_ns=2**62)
    first = np.searchsorted(quarters.open_time_ns, whole.open_time_ns)
    apart = np.abs(np.add.reduceat(quarters.volume, first) / whole.volume - 1) > 1e-9
    others = set(whole.open_time_ns[apart].tolist())
    assert len(others) == 4
    parts = fine.result.books.parts
    for part in parts[:-1]:
        if part.closed_at_ns // FOUR_HOURS_NS * FOUR_HOURS_NS in others:
            continue
        entry = float(part.entry_price)
        stop, target = np.ceil(entry * 0.99 * 10 - 1e-6) / 10, np.round(entry * 1.012 * 10) / 10
        at = int(np.searchsorted(quarters.open_time_ns, part.opened_at_ns))
        while not (quarters.low[at] <= stop or quarters.high[at] > target):
            at += 1
        expected = "stop" if quarters.low[at] <= stop else "target"
        assert part.reason == expected, part
        # At the end of its quarter, unless the candle opened beyond it.
        opened = quarters.open[at]
        assert part.closed_at_ns in (quarters.open_time_ns[at], quarters.open_time_ns[at] + 900 * 10**9 - 1), part
        assert (part.closed_at_ns % (900 * 10**9) == 0) == (bool(opened <= stop or opened > target))
    changed = set(map(both, parts)) ^ set(map(both, rough.result.books.parts))
    assert len(changed) > 20, "candles that touched both would else prove nothing"
    assert fine.result.books.cash != rough.result.books.cash


def test_a_sweep_knows_finer_candles_and_the_engine_agrees(
    settings: Settings, shared: Path, four_hours: BacktestOptions
) -> None:
    fine = replace(four_hours, finer=str(shared / OHLCV / QUARTERS))
    swept = run_sweep(settings, fine, ["least=0,50"], lambda *_: None)
    assert sweep_object(swept, 2)["confirmed"]["agrees"]
    (first, _) = swept.outcomes
    assert first.final_equity == pytest.approx(float(run_backtest(settings, fine).result.books.cash), abs=0.01)


def test_stored_minutes_are_found_beside_a_stored_series(settings: Settings, shared: Path, tmp_path: Path) -> None:
    for name in ("binance_spot_XRPETH_1m_2019-10.parquet", XRPETH):
        import_candles(settings, shared / OHLCV / name, None, None, lambda *_: None)
    stored = asked(tmp_path, Path("binance:XRP/ETH:5m"), "5m", "XRP/ETH", "0.3", "0.3")
    bench = prepare(settings, stored)
    assert bench.terms.intrabar is not None
    assert any("and say there what was touched first" in remark for remark in bench.remarks)
    assert prepare(settings, replace(stored, data="binance:XRP/ETH:1m")).terms.intrabar is None


def test_trades_go_before_the_minutes_that_they_make(settings: Settings, shared: Path, tmp_path: Path) -> None:
    rough = asked(tmp_path, shared / OHLCV / XRPETH, "5m", "XRP/ETH", "0.3", "0.3")
    taped = replace(rough, tape=str(shared / "data/trades/binance_spot_XRPETH_trades_2019-10.parquet"))
    whole = replace(taped, finer=str(shared / OHLCV / "binance_spot_XRPETH_1m_2019-10.parquet"))
    minutes = replace(whole, tape=None)
    found = {name: run_backtest(settings, how) for name, how in
             {"none": rough, "tape": taped, "both": whole, "minutes": minutes}.items()}  # fmt: skip
    assert [run.result.stepped for run in found.values()] == [None] * 4
    reasons = {name: [both(part) for part in run.result.books.parts] for name, run in found.items()}
    assert reasons["tape"] == reasons["both"]
    assert reasons["none"] != reasons["tape"]
    ranges = {name: run.bench.terms.intrabar for name, run in found.items()}
    assert ranges["minutes"] is not None and ranges["both"] is not None
    assert len(ranges["both"]) > len(ranges["minutes"])


def test_a_latency_within_which_trades_go_on_is_stepped_through(
    settings: Settings, shared: Path, tmp_path: Path
) -> None:
    rough = asked(tmp_path, shared / OHLCV / XRPETH, "5m", "XRP/ETH", "0.3", "0.3", until=day("2019-10-12"))
    taped = replace(
        rough,
        tape=str(shared / "data/trades/binance_spot_XRPETH_trades_2019-10.parquet"),
        overrides={"execution.latency_ms": "150"},
    )
    assert (
        run_backtest(settings, taped).result.stepped
        == "a latency within which finer data go on (execution.latency_ms=0 has none)"
    )
    with pytest.raises(ConfigError, match="a sweep does not know a latency within which finer data go on"):
        run_sweep(settings, taped, ["least=0,50"], lambda *_: None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (FOUR_HOURS, "--finer has candles of 4h, which do not divide those of 4h; give a smaller timeframe"),
        (QUARTERS.replace("BTC", "ETH"), "of ETH/USDT-PERP at binance, and BTC/USDT-PERP at binance is traded; give"),
        (
            "binance_usdm_BTCUSDT_1m_2025-05_2025-06.parquet",
            "inside none of the candles it comes to their low, high and volume",
        ),
        ("nothing.parquet", "nothing.parquet"),
    ],
)
def test_finer_candles_that_say_nothing_here_are_refused(
    settings: Settings, shared: Path, four_hours: BacktestOptions, name: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare(settings, replace(four_hours, finer=str(shared / OHLCV / name)))
    assert said in str(caught.value)
