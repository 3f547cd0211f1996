"""The strategy of the reference work, written candle by candle: what such a strategy costs is measured on it."""

from __future__ import annotations

import math

from promethean.domain.candles import Candle
from promethean.domain.errors import ConfigError
from promethean.indicators.momentum.rsi import STILL_PERIODS
from promethean.strategies.candle_strategy import Answer, CandleStrategy


class ReferenceRsi(CandleStrategy):
    """Buys where Wilder's RSI crosses below one level, closes where it crosses above another.

    The same rules as the conditions of `reference_rsi.yaml`, and the same sums as TA-Lib makes.
    """

    parameters = ("period", "low", "high")
    period: int = 14
    low: float = 30.0
    high: float = 70.0
    shown = ("rsi",)

    def start(self) -> None:
        """No candle yet."""
        if self.period < 2:
            raise ConfigError(f"parameters.period is {self.period}; an RSI needs at least 2")
        self.changes: list[float] = []  # of the close, until there are enough for the first averages
        self.last_close = math.nan
        self.gain = self.loss = 0.0  # averages, quote units
        self.still = 0  # candles since the close last changed
        self.rsi = math.nan

    def on_candle(self, candle: Candle, timeframe: str) -> Answer | None:
        """Follow the RSI; speak where it crosses a level."""
        close, period, before = candle.close, self.period, self.rsi
        change = close - self.last_close
        self.last_close = close
        if len(self.changes) < period:
            self._begin(change)
        elif change > 0:
            self.gain = (self.gain * (period - 1) + change) / period
            self.loss = self.loss * (period - 1) / period
            self.still = 0
        else:
            self.gain = self.gain * (period - 1) / period
            self.loss = (self.loss * (period - 1) - change) / period
            self.still = 0 if change else self.still + 1
        moved = self.gain + self.loss
        known = moved and self.still <= STILL_PERIODS * period
        self.rsi = now = 100 * (self.gain / moved) if known else math.nan
        if now < self.low <= before:
            return self.buy(f"RSI({period}) fell to {now:.2f}, below {self.low:g}")
        if now > self.high >= before:
            return self.close(f"RSI({period}) rose to {now:.2f}, above {self.high:g}")
        return None

    def _begin(self, change: float) -> None:
        """Collect the first changes; their plain averages are what Wilder's go on from."""
        if math.isnan(change):
            return  # the first candle of all
        self.changes.append(change)
        self.still = 0 if change else self.still + 1
        if len(self.changes) == self.period:
            self.gain = sum(up for up in self.changes if up > 0) / self.period
            self.loss = sum(-down for down in self.changes if down < 0) / self.period
