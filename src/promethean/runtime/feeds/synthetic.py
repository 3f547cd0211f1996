"""An invented market: seeded, endless, and the same on every machine.

Only additions, multiplications, divisions, square roots and comparisons of float64 are used on the raw uniform numbers
of the generator.  Those are exact to the last bit everywhere; `exp`, `log` and the samplers built on them are not.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType

import numpy as np

from promethean.domain.candles import CandleSeries, FloatArray
from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId
from promethean.domain.instants import NS_PER_S
from promethean.domain.instruments import Instrument, MarketType, instrument_id
from promethean.runtime.clock import Clock
from promethean.runtime.feeds.columns import CandleColumns, check_speed, closed_items
from promethean.runtime.feeds.port import BATCH_ITEMS, FeedItem

TIMEFRAME = "1m"
MINUTE_NS = 60 * NS_PER_S
BLOCK_CANDLES = 1440
"""One day: each block has a generator of its own, seeded by (seed, number of the block)."""
FIRST_OPEN_NS = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * NS_PER_S
DEFAULT_SPEED = 60.0
"""A one-minute candle each second."""

SYNTHETIC_BTC = Instrument(
    id=instrument_id("synthetic", "BTC", "USDT", MarketType.SPOT),
    exchange="synthetic",
    base="BTC",
    quote="USDT",
    market_type=MarketType.SPOT,
    price_increment=Decimal("0.01"),
    quantity_increment=Decimal("0.00001"),
    quantity_min=Decimal("0.00001"),
    notional_min=Decimal(5),
)

# The model.  Returns are fractions per minute.
_TICKS_PER_UNIT = 100.0
_LOTS_PER_UNIT = 100_000.0
_ANCHOR_TICKS = 9_000_000.0  # 90,000: far away from it, prices drift back over months
_PULL_PER_MINUTE = 0.00002
_CALM = 0.00035  # standard deviation of a minute in an ordinary hour
_CALM_RETURN = 0.02  # how fast excitement fades
_EXCITEMENT = 0.11  # how much of a large move stays as excitement
_SHOCK_USUAL = 0.82  # a larger one excites, a smaller one calms
_DRIFT_KEEPS = 0.97  # a trend lasts for about half an hour
_DRIFT_STEP = 0.02  # of the present volatility
_RETURN_MAX = 0.08
_VOLUME_BASE = 9.0  # base units in an ordinary minute


@dataclass(frozen=True, slots=True)
class _Start:
    """What a block needs of the one before it: last close in ticks, volatility and drift per minute."""

    ticks: int
    volatility: float
    drift: float


FIRST_START = _Start(int(_ANCHOR_TICKS), _CALM, 0.0)


def _bell(uniform: FloatArray) -> FloatArray:
    """Nearly normal numbers with variance 1: the sum of four uniform ones, by rows of (4, n)."""
    summed: FloatArray = (uniform[0] + uniform[1] + uniform[2] + uniform[3] - 2.0) * math.sqrt(3.0)
    return summed


def _shocks(rng: np.random.Generator) -> FloatArray:
    """Fat-tailed numbers with variance near 1: a bell divided by a random scale, as in Student's distribution."""
    draws = rng.random((7, BLOCK_CANDLES))
    scale = np.sqrt(0.06 + (draws[4] + draws[5] + draws[6]) * 0.6)
    shocks: FloatArray = _bell(draws) / scale
    return shocks


def _path(start: _Start, shocks: list[float], kicks: list[float]) -> tuple[list[int], list[float], _Start]:
    """Closes in ticks and volatilities of one block: clustered volatility, short trends, a weak pull to the anchor."""
    volatility, drift, last = start.volatility, start.drift, float(start.ticks)
    pull = _PULL_PER_MINUTE * (_ANCHOR_TICKS / last - 1.0)
    ticks: list[int] = []
    volatilities: list[float] = []
    for shock, kick in zip(shocks, kicks, strict=True):
        move = min(max(pull + drift + volatility * shock, -_RETURN_MAX), _RETURN_MAX)
        last = max(float(round(last * (1.0 + move))), _TICKS_PER_UNIT)
        ticks.append(int(last))
        volatilities.append(volatility)
        drift = _DRIFT_KEEPS * drift + _DRIFT_STEP * volatility * kick
        excitement = _EXCITEMENT * (abs(shock) - _SHOCK_USUAL) * volatility
        volatility = min(max(volatility + excitement + _CALM_RETURN * (_CALM - volatility), _CALM / 4), _CALM * 12)
    return ticks, volatilities, _Start(ticks[-1], volatility, drift)


def synthetic_block(seed: int, number: int, start: _Start) -> tuple[CandleColumns, _Start]:
    """The candles of block `number`, continuing from where the block before ended, and where this one ends.

    Block 0 is the day before the first item: history, so that indicators know something from the start.
    """
    rng = np.random.Generator(np.random.PCG64([seed, number]))
    shocks = _shocks(rng)
    draws = rng.random((8, BLOCK_CANDLES))
    ticks, volatilities, end = _path(start, shocks.tolist(), _bell(draws).tolist())

    close = np.array(ticks, dtype=np.float64)
    opened = np.concatenate((np.array([float(start.ticks)]), close[:-1]))
    volatility = np.array(volatilities)
    reach = volatility * 0.75 * close
    high = np.rint(np.maximum(opened, close) + reach * draws[4] * draws[4])
    low = np.maximum(np.rint(np.minimum(opened, close) - reach * draws[5] * draws[5]), 1.0)

    surprise = np.abs(close - opened) / (opened * _CALM)
    crowd = 0.25 + 0.75 * volatility / _CALM + 0.9 * surprise
    volume = np.rint(_VOLUME_BASE * crowd * (0.2 + draws[6] + draws[7] * draws[7]) * _LOTS_PER_UNIT) / _LOTS_PER_UNIT

    minutes = (number - 1) * BLOCK_CANDLES + np.arange(BLOCK_CANDLES, dtype=np.int64)
    opens_ns = FIRST_OPEN_NS + minutes * MINUTE_NS
    unit = _TICKS_PER_UNIT
    return CandleColumns(opens_ns, opened / unit, high / unit, low / unit, close / unit, volume), end


class SyntheticFeed:
    """One-minute candles of an invented BTC/USDT; candle i has sequence i + 1 and opens i minutes into 2025.

    seed:  names the market: equal seeds give equal candles on every machine.
    speed: multiple of real time; None: as fast as the reader takes them.
    limit: how many candles there are; None: without end.
    Raises ConfigError for a negative seed, a speed that is not above zero or a limit below 1.
    """

    is_synthetic = True
    is_repeatable = True
    starts_at_ns: int | None = FIRST_OPEN_NS
    timeframe = TIMEFRAME

    def __init__(
        self, seed: int, clock: Clock, *, speed: float | None = DEFAULT_SPEED, limit: int | None = None
    ) -> None:
        if seed < 0:
            raise ConfigError(f"the seed of the synthetic feed is {seed}; give 0 or more")
        if limit is not None and limit < 1:
            raise ConfigError(f"the synthetic feed is limited to {limit} candles; give 1 or more")
        check_speed(speed)
        self.name = f"synthetic-{seed}"
        self.provenance = f"SYNTHETIC market (invented prices, seed {seed})"
        self.instruments: Mapping[InstrumentId, Instrument] = MappingProxyType({SYNTHETIC_BTC.id: SYNTHETIC_BTC})
        self._seed = seed
        history, self._first_start = synthetic_block(seed, 0, FIRST_START)
        prices = (history.open, history.high, history.low, history.close, history.volume)
        series = CandleSeries.from_columns(history.open_time_ns, prices)
        self.recorded: CandleSeries | None = None  # its market has no end
        self.warm_up: Mapping[InstrumentId, CandleSeries] = MappingProxyType({SYNTHETIC_BTC.id: series})
        self._clock = clock
        self._speed = speed
        self._limit = limit

    async def batches(self, after: int) -> AsyncIterator[Sequence[FeedItem]]:
        """Items with a sequence above `after`: up to 20 at once at full speed, one by one in paced time."""
        if after < 0:
            raise ValueError(f"sequences start at 1, so nothing comes after {after}")
        begun_ns = self._clock.now_ns()
        start, number = self._first_start, 0
        while self._limit is None or number * BLOCK_CANDLES < self._limit:
            columns, start = synthetic_block(self._seed, number + 1, start)
            first = number * BLOCK_CANDLES
            number += 1
            stop = BLOCK_CANDLES if self._limit is None else min(BLOCK_CANDLES, self._limit - first)
            step = BATCH_ITEMS if self._speed is None else 1
            for row in range(max(after - first, 0), stop, step):
                if self._speed is not None:
                    elapsed_ns = (first + row - after) * MINUTE_NS
                    await self._clock.sleep_until_ns(begun_ns + int(elapsed_ns / self._speed))
                candles = columns.candles(SYNTHETIC_BTC.id, TIMEFRAME, row, min(row + step, stop))
                yield closed_items(candles, first + row + 1)

    async def close(self) -> None:
        """Nothing to give back."""
