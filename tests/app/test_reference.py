"""The reference strategy candle by candle comes to what its conditions come to."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies.recorded import cut, invented, read

import promethean.indicators
from promethean.app import backtesting, benching
from promethean.app.reference import ReferenceRsi
from promethean.config.layers import load_settings
from promethean.domain.candles import CandleSeries
from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.registry import scan
from promethean.strategies.by_candle import tell
from promethean.strategies.frame import Frame

scan(promethean.indicators)
BTC = InstrumentId("binance:BTCUSDT")


def make(**parameters: Decimal) -> ReferenceRsi:
    return ReferenceRsi(id=StrategyId("r"), instrument=BTC, timeframe="1m", parameters=parameters, can_short=False)


def assert_is_the_rsi(candles: CandleSeries, period: int) -> None:
    frame = Frame(candles, "1m")
    (expected,) = frame.indicator("rsi", {"period": period}, "1m")
    found = tell(make(period=Decimal(period)), frame).readings["rsi"]
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-12, abs=1e-12, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 20), st.sampled_from([0.0, 0.9, 0.99, 1.0]))
def test_its_rsi_is_the_indicators(seed: int, period: int, still: float) -> None:
    random = np.random.default_rng(seed)
    times = invented(1, 700).open_time_ns
    steps = np.where(random.random(700) < still, 0.0, random.normal(0, 0.01, 700))
    close = 100 * np.exp(np.cumsum(steps))
    assert_is_the_rsi(CandleSeries.from_columns(times, [close, close, close, close, close], keep=700), period)


def test_its_rsi_is_the_indicators_on_real_prices_that_stand_still(shared: Path) -> None:
    assert_is_the_rsi(cut(read(shared / "data/ohlcv/binance_spot_XRPETH_1m_2019-10.parquet"), 0, 20_000), 14)


def test_a_period_without_an_average_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"parameters\.period is 1; an RSI needs at least 2"):
        make(period=Decimal(1))


@pytest.mark.parametrize(
    ("overrides", "is_stepped"), [({}, False), ({"execution.order_type": "limit"}, True)], ids=["compiled", "stepped"]
)
def test_it_trades_as_the_conditions_do(shared: Path, overrides: dict[str, str], is_stepped: bool) -> None:
    data = shared / "data/ohlcv/binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet"
    options = backtesting.BacktestOptions(benching.REFERENCE, str(data), overrides, cash=benching.CASH)
    bench = backtesting.prepare(load_settings({}, {}, Path.cwd()), options)
    found, expected = benching.run_on_candle(bench), backtesting.run(bench)
    assert (found.stepped is not None) == is_stepped
    assert len(found.books.trades) > 100
    assert (found.books.parts, found.books.cash) == (expected.books.parts, expected.books.cash)
