"""Mean reversion on the relative strength index (SPEC 7.5)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.indicators.momentum.rsi import rsi_window
from promethean.strategies.arrays import Said
from promethean.strategies.catalogue import strategy
from promethean.strategies.frame import Frame

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
        known: dict[str, Decimal | bool] = {
            "rsi_period": Decimal(14),
            "oversold": Decimal(30),
            "overbought": Decimal(70),
            "confirm": False,
        }
        for name in parameters:
            if name not in known:
                raise ConfigError(unknown_name("parameter of rsi_reversion", name, known))
        values = {**known, **parameters}
        self.id = id
        self.instrument = instrument
        self.timeframe = timeframe
        self.period = _whole("rsi_period", values["rsi_period"], 2, PERIOD_MAX)
        self.oversold = _level("oversold", values["oversold"])
        self.overbought = _level("overbought", values["overbought"])
        if self.oversold >= self.overbought:
            raise ConfigError(
                f"parameters.oversold is {self.oversold:g}, not below parameters.overbought ({self.overbought:g})"
            )
        if not isinstance(values["confirm"], bool):
            raise ConfigError(f"parameters.confirm is {values['confirm']}; write true or false")
        self.confirm = values["confirm"]
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


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool) and Decimal(value).is_finite()


def _whole(name: str, value: Decimal | bool, smallest: int, largest: int) -> int:
    if not _is_number(value) or value != int(value) or not smallest <= value <= largest:
        raise ConfigError(f"parameters.{name} is {value}; write a whole number from {smallest} to {largest}")
    return int(value)


def _level(name: str, value: Decimal | bool) -> float:
    if not _is_number(value) or not 0 < value < 100:
        raise ConfigError(f"parameters.{name} is {value}; an RSI level lies between 0 and 100")
    return float(value)
