"""What the built-in strategies with a long memory promise: no candle ahead, and a window that live trading has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies.promises import REAL, assert_causal, assert_window, chosen, make
from tests.strategies.recorded import invented, read

from promethean.domain.candles import KEPT
from promethean.strategies.arrays import ArrayStrategy
from promethean.strategies.frame import Frame
from promethean.strategies.multi_timeframe_trend import MultiTimeframeTrend
from promethean.strategies.smc_breakout import SmcBreakout
from promethean.strategies.vwap_reversion import VwapReversion

Kind = Callable[..., ArrayStrategy]
KINDS: list[Kind] = [MultiTimeframeTrend, SmcBreakout, VwapReversion]
TIMEFRAMES = ("1m", "3m", "5m", "15m", "30m", "1h")


@pytest.mark.parametrize("kind", KINDS)
def test_its_window_is_one_that_a_live_view_keeps(kind: Kind) -> None:
    assert all(make(kind, timeframe=timeframe).window <= KEPT for timeframe in TIMEFRAMES)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.05, 0.1]))
def test_what_it_says_does_not_depend_on_what_comes_later(kind: Kind, seed: int, holes: float) -> None:
    candles = invented(seed, 6000, holes=holes)
    random = np.random.default_rng(seed)
    assert_causal(make(kind), candles, random.integers(1, len(candles), 6).tolist())


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("kind", KINDS)
def test_on_real_prices_the_trailing_window_says_what_the_whole_history_does(
    shared: Path, kind: Kind, name: str
) -> None:
    candles, strategy = read(shared / REAL[name]), make(kind)
    assert (strategy.say(Frame(candles, "1m")).side != 0).any()
    assert_causal(strategy, candles, [100, 5000, 33_333])
    assert_window(strategy, candles, chosen(strategy, candles, 1))
