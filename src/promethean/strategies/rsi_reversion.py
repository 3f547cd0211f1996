"""Mean reversion on the relative strength index (SPEC 7.5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from promethean.domain.candles import CandleSeries, timeframe_ns
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.events import CandleClosed, MarketEvent
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.market import MarketView
from promethean.domain.signals import Signal, SignalSource, SignalType
from promethean.indicators.momentum.rsi import RsiState, rsi_window
from promethean.strategies.catalogue import strategy

BLOCK = 1024  # candles

PERIOD_MAX = 62  # its window still fits into the candles that a view keeps, so backtest and live read the same ones


class _Memo(NamedTuple):
    """The states after the last two candles of a series; None where a block has too few candles yet."""

    series: CandleSeries
    block: int
    before: RsiState | None
    now: RsiState | None


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
        self._timeframe_ns = timeframe_ns(timeframe)
        self._warm_up = rsi_window(self.period)
        self.window = self._warm_up + BLOCK
        self._block_ns = BLOCK * self._timeframe_ns
        self._memo: _Memo | None = None
        self._overbought_type = SignalType.SELL if can_short else SignalType.CLOSE

    def on_event(self, event: MarketEvent, view: MarketView) -> Sequence[Signal]:
        """A BUY when oversold, a SELL or CLOSE when overbought, at the close of a candle of its own."""
        if not isinstance(event, CandleClosed):
            return ()
        candle = event.candle
        if candle.instrument != self.instrument or candle.timeframe != self.timeframe:
            return ()
        before, now = self._last_two(view)
        if self.confirm:
            buys = before < self.oversold <= now
            sells = before > self.overbought >= now
        else:
            buys = now < self.oversold
            sells = now > self.overbought
        if not (buys or sells):
            return ()
        return (self._signal(buys, before if self.confirm else now, now, candle.close_time_ns),)

    def _signal(self, buys: bool, extreme: float, now: float, at_ns: int) -> Signal:
        if buys:
            depth, where = (self.oversold - extreme) / self.oversold, f"below {self.oversold:g}"
        else:
            depth, where = (extreme - self.overbought) / (100 - self.overbought), f"above {self.overbought:g}"
        reason = f"RSI({self.period}) is {now:.2f}, {where}"
        if self.confirm:
            reason = f"RSI({self.period}) came back to {now:.2f} from {extreme:.2f}, {where}"
        return Signal(
            SignalType.BUY if buys else self._overbought_type,
            SignalSource.TECHNICAL,
            round(min(1.0, 0.6 + 0.4 * depth), 6),  # what people read; the noise of float sums is not part of it
            reason,
            self.instrument,
            self.timeframe,
            at_ns,
            self.id,
            {"rsi": f"{now:.6f}"},
        )

    def _last_two(self, view: MarketView) -> tuple[float, float]:
        """The RSI at the last two closed candles, NaN while not known.

        Each block of candles starts its recursion a whole window before its first one, so that the value at a candle
        depends on the candles alone, to the last bit, and not on when this process began to look.  Within a block the
        last state is continued: the memo saves work and changes nothing.
        """
        series = view.candles(self.instrument, self.timeframe)
        memo = self._memo
        if memo is None or memo.series is not series:
            memo = self._memo = self._states(series, memo)
        if memo.before is None or memo.now is None:
            return math.nan, math.nan
        before = memo.before.value(self.period) if self.confirm else math.nan
        return before, memo.now.value(self.period)

    def _states(self, series: CandleSeries, memo: _Memo | None) -> _Memo:
        if memo is None or not series.continues(memo.series):
            earlier = series.without_last()
            memo = _Memo(earlier, earlier.last_open_time_ns // self._block_ns, None, self._state(earlier))
        block = series.last_open_time_ns // self._block_ns
        if block == memo.block and memo.now is not None:
            return _Memo(series, block, memo.now, memo.now.after(series.last_close, self.period))
        return _Memo(series, block, memo.now, self._state(series))

    def _state(self, series: CandleSeries) -> RsiState | None:
        """The smoothed gains and losses after the last candle, from a window before its block on.

        None while there are too few candles since then: also after a gap, so that no start of this process is special.
        """
        begins_ns = series.last_open_time_ns // self._block_ns * self._block_ns - self._warm_up * self._timeframe_ns
        closes = series.close[np.searchsorted(series.open_time_ns, begins_ns) :]
        return RsiState.of(closes.tolist(), self.period) if len(closes) > self.period else None

    def reading(self, view: MarketView) -> Mapping[str, float]:
        """The RSI at the newest closed candle."""
        return {f"RSI({self.period})": self._last_two(view)[1]}


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
