"""What a market shows besides candles, and the point-in-time view through which everybody reads it."""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

from msgspec import Struct, field

from promethean.domain.candles import Candle, CandleSeries
from promethean.domain.ids import InstrumentId


class Side(enum.StrEnum):
    """Which way an order, a fill or a trade goes."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Quote(Struct, frozen=True):
    """Best bid and ask of one instant, quote units per base unit; `last` is the last traded price."""

    instrument: InstrumentId
    bid: float
    ask: float
    last: float
    at_ns: int

    def __post_init__(self) -> None:
        if not (0.0 < self.bid < self.ask < math.inf and 0.0 < self.last < math.inf):
            raise ValueError(f"not a quote: crossed, locked, empty or not finite: {self}")

    @property
    def mid(self) -> float:
        """Halfway between bid and ask."""
        return (self.bid + self.ask) / 2


class Trade(Struct, frozen=True):
    """One public trade.  aggressor: the side that took."""

    instrument: InstrumentId
    trade_id: str
    price: float
    quantity: float
    aggressor: Side
    at_ns: int

    def __post_init__(self) -> None:
        if not (0.0 < self.price < math.inf and 0.0 < self.quantity < math.inf):
            raise ValueError(f"not a trade: price and quantity must be above zero and finite: {self}")


class OrderBook(Struct, frozen=True):
    """Levels (price, quantity), best first.  sequence: the venue's number of the last change it holds."""

    instrument: InstrumentId
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]
    sequence: int
    at_ns: int

    def __post_init__(self) -> None:
        if not self.bids or not self.asks or not self.bids[0][0] < self.asks[0][0]:
            raise ValueError(f"not a book: one side is empty, or it is crossed or locked: {self.instrument}")

    @property
    def mid(self) -> float:
        """Halfway between the best bid and the best ask."""
        return (self.bids[0][0] + self.asks[0][0]) / 2


class Mark(NamedTuple):
    """The newest known price of an instrument and when it was true."""

    price: float
    at_ns: int


class MarketView(Struct, frozen=True):
    """The market as it could be known at `as_of_ns`; what comes later cannot be asked for.

    Views are values: absorbing a candle or a quote gives a new view that shares its data with the old one.
    """

    as_of_ns: int = 0
    _series: dict[tuple[InstrumentId, str], CandleSeries] = field(default_factory=dict)  # replaced, never changed
    _marks: dict[InstrumentId, Mark] = field(default_factory=dict)

    def with_candle(self, candle: Candle) -> MarketView:
        """The view after a candle closed."""
        key = (candle.instrument, candle.timeframe)
        series = self._series.get(key)
        if series is None:
            series = CandleSeries()
        if candle.open_time_ns <= series.last_open_time_ns:
            return self  # already part of the history that was put in place at the start
        close_ns = candle.close_time_ns
        marks = self._marks
        mark = marks.get(candle.instrument)
        if mark is None or mark.at_ns <= close_ns:
            marks = marks | {candle.instrument: Mark(candle.close, close_ns)}
        as_of_ns = self.as_of_ns
        return MarketView(
            close_ns if close_ns > as_of_ns else as_of_ns, self._series | {key: series.append(candle)}, marks
        )

    def with_series(self, instrument: InstrumentId, timeframe: str, series: CandleSeries) -> MarketView:
        """The view with the history of one series put in place: at the start of a runner."""
        return MarketView(self.as_of_ns, {**self._series, (instrument, timeframe): series}, self._marks)

    def with_quote(self, quote: Quote) -> MarketView:
        """The view after a quote arrived; an older quote than the newest known price changes nothing but time."""
        mark = self._marks.get(quote.instrument)
        if mark is not None and mark.at_ns > quote.at_ns:
            return self
        marks = {**self._marks, quote.instrument: Mark(quote.mid, quote.at_ns)}
        return MarketView(max(self.as_of_ns, quote.at_ns), self._series, marks)

    def candles(self, instrument: InstrumentId, timeframe: str) -> CandleSeries:
        """Closed candles, oldest first; an empty series when there are none."""
        series = self._series.get((instrument, timeframe))
        return series if series is not None else CandleSeries(1)

    def mark(self, instrument: InstrumentId) -> Mark | None:
        """The newest known price, or None when there is none yet."""
        return self._marks.get(instrument)
