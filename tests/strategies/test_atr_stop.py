"""Stops measured in ranges: where they are, and what they leave alone."""

from __future__ import annotations

import numpy as np
from tests.strategies.recorded import invented

import promethean.indicators
from promethean.domain.candles import FloatArray
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.registry import scan
from promethean.indicators.volatility.atr import atr
from promethean.strategies.arrays import Said
from promethean.strategies.atr_stop import AtrStop, WithAtrStop
from promethean.strategies.frame import Frame

scan(promethean.indicators)
CANDLES = invented(7, 40)
RANGES = atr(CANDLES.high, CANDLES.low, CANDLES.close, 5).atr


class Alternating:
    """Buys, sells, says nothing; in turns."""

    id, instrument, timeframe, window = StrategyId("s"), InstrumentId("binance:BTCUSDT"), "1m", 1

    def __init__(self, stop: FloatArray | None = None) -> None:
        side = np.resize(np.array([1, -1, 0], np.int8), 40)
        self.said = Said(side, np.zeros(40, np.int8), np.ones(40), {"x": np.ones(40)}, stop=stop)

    def say(self, frame: Frame) -> Said:
        return self.said

    def reason(self, said: Said, at: int) -> str:
        return "in turn"


def said(stop: FloatArray | None = None, widest: float = 0.5) -> Said:
    return WithAtrStop(Alternating(stop), AtrStop(2.0, 5), widest).say(Frame(CANDLES, "1m"))


def test_an_entry_is_stopped_so_many_ranges_away_and_not_said_before_they_are_known() -> None:
    found, plain = said(), Alternating().said
    assert not found.side[:5].any()
    assert np.array_equal(found.side[5:], plain.side[5:])
    expected = np.where(plain.side != 0, CANDLES.close - plain.side * 2 * RANGES, np.nan)
    assert found.stop is not None
    np.testing.assert_allclose(found.stop, expected)
    assert np.array_equal(found.readings["ATR(5)"], RANGES, equal_nan=True)


def test_a_stop_is_no_further_away_than_the_widest_and_one_of_its_own_is_kept() -> None:
    near = said(widest=0.0001).stop
    assert near is not None
    entered = Alternating().said.side != 0
    assert np.allclose(np.abs(near / CANDLES.close - 1)[entered & ~np.isnan(RANGES)], 0.0001)
    own = np.full(40, np.nan)
    own[[9, 10]] = 1.5
    kept, plain = said(own).stop, said().stop
    assert kept is not None and plain is not None
    assert kept[[9, 10]].tolist() == [1.5, 1.5]
    assert np.array_equal(np.delete(kept, [9, 10]), np.delete(plain, [9, 10]), equal_nan=True)
