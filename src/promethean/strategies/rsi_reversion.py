"""Mean reversion on the relative strength index (SPEC 7.5)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.indicators.momentum.rsi import rsi_window
from promethean.strategies.arrays import Said
from promethean.strategies.catalogue import strategy
from promethean.strategies.frame import Frame
from promethean.strategies.parameters import Parameters, is_number

PERIOD_MAX = 78  # its window still fits into the candles that a view keeps, so backtest and live read the same ones
_BEFORE = "the candle before"


@strategy("rsi_reversion")
class RsiReversion:
    """Buys when the RSI is oversold; sells (futures) or closes (spot) when it is overbought.

    Parameters: rsi_period (14), oversold (30), overbought (70), confirm (false: act inside the zone; true: act when
    the RSI crosses back out of it).
    """

    def __init__(
        self,
        *,
        id: StrategyId,
        instrument: InstrumentId,
        timeframe: str,
        parameters: Mapping[str, Decimal | bool],
        can_short: bool,
    ) -> None:
        values = Parameters(
            "rsi_reversion",
            parameters,
            {"rsi_period": Decimal(14), "oversold": Decimal(30), "overbought": Decimal(70), "confirm": False},
        )
        self.id = id
        self.instrument = instrument
        self.timeframe = timeframe
        self.period = values.whole("rsi_period", 2, PERIOD_MAX)
        self.oversold = _level("oversold", values["oversold"])
        self.overbought = _level("overbought", values["overbought"])
        if self.oversold >= self.overbought:
            raise ConfigError(
                f"parameters.oversold is {self.oversold:g}, not below parameters.overbought ({self.overbought:g})"
            )
        self.confirm = values.switch("confirm")
        self.name = f"RSI({self.period})"
        self.window = rsi_window(self.period) + 1
        self._overbought_type = -1 if can_short else 0

    def say(self, frame: Frame) -> Said:
        """BUY where oversold; SELL or CLOSE where overbought."""
        (now,) = frame.indicator("rsi", {"period": self.period}, self.timeframe)
        before = np.concatenate(([np.nan], now[:-1]))
        if self.confirm:
            buys = (before < self.oversold) & (now >= self.oversold)
            sells = (before > self.overbought) & (now <= self.overbought)
        else:
            known = ~np.isnan(before)  # the first value of all decides nothing
            buys, sells = (now < self.oversold) & known, (now > self.overbought) & known
        extreme = before if self.confirm else now
        depth = np.where(
            buys, (self.oversold - extreme) / self.oversold, (extreme - self.overbought) / (100 - self.overbought)
        )
        # What people read; the noise of float sums is not part of it.
        confidence: FloatArray = np.round(np.minimum(1.0, 0.6 + 0.4 * depth), 6).astype(np.float64)
        side = buys.astype(np.int8) + sells.astype(np.int8) * np.int8(self._overbought_type)
        leave = sells.astype(np.int8) if not self._overbought_type else np.zeros(len(now), np.int8)
        readings = {self.name: now, _BEFORE: before} if self.confirm else {self.name: now}
        return Said(side, leave, confidence, readings)

    def reason(self, said: Said, at: int) -> str:
        """Where the RSI is, or where it came back from."""
        now = said.readings[self.name][at]
        where = f"below {self.oversold:g}" if said.side[at] > 0 else f"above {self.overbought:g}"
        if self.confirm:
            return f"{self.name} came back to {now:.2f} from {said.readings[_BEFORE][at]:.2f}, {where}"
        return f"{self.name} is {now:.2f}, {where}"


def _level(name: str, value: Decimal | bool) -> float:
    if not is_number(value) or not 0 < value < 100:
        raise ConfigError(f"parameters.{name} is {value}; an RSI level lies between 0 and 100")
    return float(value)
