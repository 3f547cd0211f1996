"""Whole columns of candles, and how they become numbered events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from promethean.domain.candles import Candle, FloatArray, IntArray, timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.events import CandleClosed
from promethean.domain.ids import InstrumentId
from promethean.domain.instruments import Instrument, MarketType, instrument_id
from promethean.domain.money import quantum
from promethean.runtime.feeds.port import FeedItem


class CandleColumns:
    """Whole columns of clean closed candles of one instrument, oldest first.

    open_time_ns: int64, shape (n,), strictly rising.
    open, high, low, close: float64, shape (n,), quote units per base unit.  volume: float64, shape (n,), base units.
    Raises ValueError when the lengths differ or the open times do not rise.
    """

    __slots__ = ("close", "high", "low", "open", "open_time_ns", "volume")

    def __init__(
        self,
        open_time_ns: IntArray,
        open: FloatArray,
        high: FloatArray,
        low: FloatArray,
        close: FloatArray,
        volume: FloatArray,
    ) -> None:
        for column in (open, high, low, close, volume):
            if column.shape != open_time_ns.shape or column.ndim != 1:
                raise ValueError(f"candle columns of different lengths: {column.shape} and {open_time_ns.shape}")
        if (np.diff(open_time_ns) <= 0).any():
            raise ValueError("candles must be sorted by open time, without duplicates")
        self.open_time_ns = open_time_ns
        self.open = open
        self.high = high
        self.low = low
        self.close = close
        self.volume = volume

    def __len__(self) -> int:
        return len(self.open_time_ns)

    def candles(self, instrument: InstrumentId, timeframe: str, start: int, stop: int) -> list[Candle]:
        """Rows `start` up to `stop` as candles.  Raises ValueError for a row that is not a candle."""
        length_ns = timeframe_ns(timeframe)
        rows = slice(start, stop)
        # Python numbers first and positional arguments: this is on the path of every replayed candle.
        return [
            Candle(instrument, timeframe, opened, opened + length_ns, o, h, low, c, v)
            for opened, o, h, low, c, v in zip(
                self.open_time_ns[rows].tolist(),
                self.open[rows].tolist(),
                self.high[rows].tolist(),
                self.low[rows].tolist(),
                self.close[rows].tolist(),
                self.volume[rows].tolist(),
                strict=True,
            )
        ]


def closed_items(candles: Sequence[Candle], first_sequence: int) -> list[FeedItem]:
    """Candles as numbered events, each received at its close: the earliest instant at which it could be known."""
    return [
        FeedItem(sequence, CandleClosed(candle, candle.close_time_ns))
        for sequence, candle in enumerate(candles, first_sequence)
    ]


def check_speed(speed: float | None) -> None:
    """Raises ConfigError unless `speed` is None (as fast as possible) or a finite number above zero."""
    if speed is not None and not (0.0 < speed < math.inf):
        raise ConfigError(f"feed speed is {speed}; give a number above 0 (60 = a minute each second), or max")


DECIMALS_MAX = 8
_CHUNK = 65_536
USD_COINS = frozenset({"USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD"})
NOTIONAL_MIN_USD = Decimal(5)


def recorded_instrument(
    columns: CandleColumns, exchange: str, base: str, quote: str, market_type: MarketType
) -> Instrument:
    """An instrument whose increments are the finest that its recorded prices and volumes show.

    A recording does not carry the venue's filters; the same recording always gives the same instrument.
    """
    lot = quantum(_decimals(columns.volume))
    return Instrument(
        instrument_id(exchange, base, quote, market_type),
        exchange,
        base,
        quote,
        market_type,
        price_increment=quantum(_decimals(columns.open, columns.high, columns.low, columns.close)),
        quantity_increment=lot,
        quantity_min=lot,
        notional_min=NOTIONAL_MIN_USD if quote in USD_COINS else Decimal(0),
    )


def _decimals(*columns: FloatArray) -> int:
    """The fewest decimal places that write every value, at most eight."""
    places = 0
    for values in columns:
        for start in range(0, len(values), _CHUNK):  # piece by piece: a year of minutes is not copied four times
            while places < DECIMALS_MAX and not _fit(values[start : start + _CHUNK], places):
                places += 1
    return places


def _fit(values: FloatArray, places: int) -> bool:
    scaled = values * 10.0**places
    # A double holds 15 digits; what is further from a whole number than that is a digit of the value.
    return bool(np.all(np.abs(scaled - np.rint(scaled)) <= 1e-6 + np.abs(scaled) * 1e-13))
