"""Whether a market ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.strategies.promises import REAL
from tests.strategies.recorded import cut, invented, read

from promethean.domain.candles import CandleSeries
from promethean.indicators.trend.adx import adx
from promethean.indicators.volatility.atr import atr
from promethean.strategies.frame import Frame
from promethean.strategies.regime import RANGE_WINDOW, is_range


def plain(candles: CandleSeries, at: int) -> bool:
    """The rule, candle by candle."""
    high, low, close = candles.high[: at + 1], candles.low[: at + 1], candles.close[: at + 1]
    if at < 513 or not adx(high, low, close).adx[-1] <= 25:
        return False
    if not low[-51:-1].min() <= close[-1] <= high[-51:-1].max():
        return False
    recent = atr(high, low, close).atr_pct[-500:]
    return bool(np.sum(recent < recent[-1]) <= 0.9 * 500)


@pytest.mark.parametrize("name", REAL)
def test_it_is_the_rule_at_every_candle_and_from_the_trailing_window(shared: Path, name: str) -> None:
    candles = cut(read(shared / REAL[name]), 0, 6000)
    found = is_range(Frame(candles, "1m"), "1m")
    places = [0, 49, 512, 513, 514, *np.random.default_rng(1).integers(0, 6000, 100).tolist()]
    for at in places:
        assert found[at] == plain(candles, at), at
        window = Frame(cut(candles, max(0, at + 1 - RANGE_WINDOW), at + 1), "1m")
        assert is_range(window, "1m")[-1] == found[at]
    assert 0.1 < found.mean() < 0.9


def test_a_larger_timeframe_counts_from_the_close_of_its_candle_on() -> None:
    frame = Frame(invented(5, 12_000), "1m")
    found, larger = is_range(frame, "15m"), is_range(Frame(frame.larger("15m"), "15m"), "15m")
    assert larger.any() and not larger.all()
    assert not found[:14].any()
    assert np.array_equal(found[14:], np.repeat(larger, 15)[: len(found) - 14])


def test_without_enough_candles_there_is_no_range() -> None:
    for count in (1, 14, 51, 400):
        assert not is_range(Frame(invented(1, count), "1m"), "1m").any()
