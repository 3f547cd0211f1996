"""Stops measured in ranges of the market: so many average true ranges from the price at the decision."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from promethean.domain.candles import FloatArray
from promethean.indicators.volatility.atr import atr_window
from promethean.strategies.arrays import ArrayStrategy, Said, told_by
from promethean.strategies.frame import Frame

PERIOD_MAX = 78  # its window still fits into the candles that a live view keeps


class AtrStop(Struct, frozen=True):
    """multiple: average true ranges from the close of the deciding candle.  period: of the average, candles."""

    multiple: float
    period: int = 14


class WithAtrStop:
    """A strategy whose entries are stopped a number of average true ranges away, unless it names a stop itself.

    widest: fraction of the price; a stop further away than that is put there.
    """

    def __init__(self, strategy: ArrayStrategy, stop: AtrStop, widest: float) -> None:
        self.strategy, self._stop, self._widest = strategy, stop, widest
        self.id, self.instrument, self.timeframe = strategy.id, strategy.instrument, strategy.timeframe
        self.window = max(strategy.window, atr_window(stop.period))

    def say(self, frame: Frame) -> Said:
        """What the strategy says, with stops; an entry whose range is not known yet is not said."""
        said = self.strategy.say(frame)
        ranges = frame.indicator("atr", {"period": self._stop.period}, self.timeframe)[0]
        close = frame.candles.close
        distance = np.minimum(self._stop.multiple * ranges, self._widest * close)
        stop: FloatArray = np.where(said.side != 0, close - said.side * distance, np.nan)
        if said.stop is not None:
            stop = np.where(np.isnan(said.stop), stop, said.stop)
        side = np.where(np.isnan(stop), 0, said.side).astype(np.int8)
        return replace(said, side=side, stop=stop, readings={**said.readings, f"ATR({self._stop.period})": ranges})

    def metadata(self, said: Said, at: int) -> Mapping[str, str]:
        """What the strategy has to tell."""
        return told_by(self.strategy, said, at)

    def reason(self, said: Said, at: int) -> str:
        """Why the strategy says it."""
        return self.strategy.reason(said, at)
