"""A crossing of averages in the direction of three larger timeframes (SPEC 7.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache

import numpy as np

from promethean.domain.candles import KEPT, FloatArray, timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.indicators.trend.ema import ema, ema_window
from promethean.indicators.trend.macd import macd
from promethean.strategies.arrays import CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT, FlagArray, Said
from promethean.strategies.catalogue import strategy
from promethean.strategies.frame import Frame
from promethean.strategies.ladder import ladder
from promethean.strategies.parameters import Parameters

WINDOW = KEPT // 60 * 60  # whole candles of the largest step of a ladder, in what a live view keeps
SLOW_MAX = 60  # an hour's average has 82 hours to be made of
SLACK = 1e-12  # share of the price: what rounding leaves of a difference that is none


@strategy("multi_timeframe_trend")
class MultiTimeframeTrend:
    """Enters where a fast average crosses a slow one in the direction of all three larger timeframes.

    A larger timeframe points up while its EMA(21) is above its EMA(55) and its MACD histogram is above zero, down while
    both are below, else nowhere.  At each close of the nearest one, one that points against a position closes it:
    not only where it turns, because an order may fill after the turn, or nothing may have listened at the time.

    An average of hours would need more minutes than a live view keeps, so a larger timeframe is read over its last
    candles within WINDOW: its averages begin with the simple mean there, which is as old on average as what it stands
    for.  Backtest and live trading read the same ones.

    Parameters: fast (9), slow (21): the averages that cross; trend_fast (21), trend_slow (55): those of the larger
    timeframes; stop_atr (1.5): distance of the stop in ATR(14).
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
            "multi_timeframe_trend",
            parameters,
            {
                "fast": Decimal(9),
                "slow": Decimal(21),
                "trend_fast": Decimal(21),
                "trend_slow": Decimal(55),
                "stop_atr": Decimal("1.5"),
            },
        )
        self.id = id
        self.instrument = instrument
        self.timeframe = timeframe
        self.confirming = ladder("multi_timeframe_trend", timeframe)
        self.fast, self.slow = values.whole("fast", 1, SLOW_MAX), values.whole("slow", 2, SLOW_MAX)
        self.trend_fast = values.whole("trend_fast", 1, SLOW_MAX)
        self.trend_slow = values.whole("trend_slow", 2, SLOW_MAX)
        for smaller, larger in (("fast", "slow"), ("trend_fast", "trend_slow")):
            if not values[smaller] < values[larger]:
                raise ConfigError(
                    f"parameters.{smaller} is {values[smaller]}, not below parameters.{larger} ({values[larger]})"
                )
        self.stop_atr = values.number("stop_atr", "0.1", "20")
        self.window = WINDOW
        self._can_short = can_short

    def say(self, frame: Frame) -> Said:
        """BUY and SELL where the averages cross; closes what a larger timeframe has turned against."""
        (fast,), (slow,) = (frame.indicator("ema", {"period": n}, self.timeframe) for n in (self.fast, self.slow))
        close = frame.candles.close
        directions = {name: frame.spread(self._direction(frame, name), name) for name in self.confirming}
        every = np.array(list(directions.values()))
        now = _signs(fast - slow, close)
        before = np.concatenate(([np.nan], now[:-1]))
        buys = (before <= 0) & (now > 0) & (every == 1).all(axis=0)
        sells = (before >= 0) & (now < 0) & (every == -1).all(axis=0)
        side = buys.astype(np.int8) - (sells & self._can_short).astype(np.int8)
        atr = frame.indicator("atr", {"period": 14}, self.timeframe)[0]
        stop = close - side * self.stop_atr * atr
        readings = {f"EMA({self.fast})": fast, f"EMA({self.slow})": slow}
        readings |= {f"trend {name}": values for name, values in directions.items()}
        return Said(
            side,
            np.where(side == 0, self._leave(frame, every), np.int8(0)),
            np.broadcast_to(np.float64(1.0), len(frame)),
            readings,
            stop=np.where((side != 0) & (stop > 0), stop, np.nan),
        )

    def reason(self, said: Said, at: int) -> str:
        """What crossed, or which larger timeframes point where."""
        if said.side[at]:
            word, pointing = ("above", "up") if said.side[at] > 0 else ("below", "down")
            fast, slow = list(said.readings)[:2]
            values = f"{fast} {said.readings[fast][at]:.6g} crossed {word} {slow} {said.readings[slow][at]:.6g}"
            return f"{values}; {', '.join(self.confirming)} all point {pointing}"
        told = []
        for word, sign in (("down", -1), ("up", 1)):
            names = [name for name in self.confirming if said.readings[f"trend {name}"][at] == sign]
            if names and (said.leave[at] == CLOSES_ALL or (said.leave[at] == CLOSES_LONG) == (sign < 0)):
                told.append(f"{' and '.join(names)} {'points' if len(names) == 1 else 'point'} {word}")
        return "; ".join(told)

    def _leave(self, frame: Frame, every: FloatArray) -> FlagArray:
        """What the larger timeframes close, at each close of the nearest one."""
        longs, shorts = (every == -1).any(axis=0), (every == 1).any(axis=0) & self._can_short
        leave = np.where(longs, np.where(shorts, CLOSES_ALL, CLOSES_LONG), np.where(shorts, CLOSES_SHORT, 0))
        closed = np.diff(frame.last_closed(self.confirming.near), prepend=-1) != 0
        found: FlagArray = np.where(closed, leave, 0).astype(np.int8)
        return found

    def _direction(self, frame: Frame, timeframe: str) -> FloatArray:
        """Where each candle of a larger timeframe points: 1, -1 or 0; NaN while not known."""
        key = ("direction", timeframe, self.trend_fast, self.trend_slow)
        if key not in frame.memo:
            close = frame.larger(timeframe).close
            ratio = timeframe_ns(timeframe) // timeframe_ns(self.timeframe)
            # One of them is still forming, or came in half at the beginning of the window.
            candles = min(WINDOW // ratio - 1, ema_window(self.trend_slow))
            averages, histogram = (
                _signs(_over_last(measure, close, candles), close)
                for measure in (_spread_of(self.trend_fast, self.trend_slow), _histogram)
            )
            agree = np.where(averages == histogram, averages, 0.0)
            frame.memo[key] = np.where(np.isnan(averages + histogram), np.nan, agree)
        direction: FloatArray = frame.memo[key]
        return direction


def _signs(difference: FloatArray, price: FloatArray) -> FloatArray:
    """1, 0 or -1, where a difference of rounding counts as none; NaN where the difference is."""
    return np.where(np.abs(difference) <= SLACK * price, 0.0, np.sign(difference))


@cache
def _spread_of(fast: int, slow: int) -> Callable[[FloatArray], FloatArray]:
    return lambda close: ema(close, fast) - ema(close, slow)


def _histogram(close: FloatArray) -> FloatArray:
    return macd(close).histogram


def _over_last(measure: Callable[[FloatArray], FloatArray], values: FloatArray, candles: int) -> FloatArray:
    """What a measure made of averages gives over the last `candles` values, and over fewer at the beginning.

    Such a measure is a sum of the values with fixed weights, so each answer is one product with a moving window.
    """
    begin = measure(values[: candles - 1])
    if len(values) < candles:
        return begin
    return np.concatenate([begin, np.correlate(values, _weights(measure, candles), "valid")])


@cache
def _weights(measure: Callable[[FloatArray], FloatArray], candles: int) -> FloatArray:
    """What each of `candles` values weighs in the last answer: the answer to a one among zeros."""
    return np.array([measure(ones)[-1] for ones in np.eye(candles)])
