"""Public market data of one venue through ccxt: no key, no account.

What a venue can do is read from its capabilities, never from its name.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promethean.domain.candles import Candle, timeframe_ns
from promethean.domain.errors import ConfigError, VenueError, unknown_name
from promethean.domain.ids import InstrumentId
from promethean.domain.instants import NS_PER_MS, NS_PER_S
from promethean.domain.instruments import MarketType
from promethean.domain.market import Quote
from promethean.exchanges.ccxt_connection import CcxtConnection

log = logging.getLogger(__name__)

PAGE_CANDLES = 1000
SETTLE_NS = NS_PER_S
"""How long after its close a candle without a successor may still change: network delay and clock error."""
FUTURE_NS = 2 * NS_PER_S
"""A row that opens later than this after the venue's present is refused."""


@dataclass(frozen=True, slots=True)
class CandleRow:
    """A candle as the venue shows it: still forming, or final once it shows a later one.

    open, high, low, close: quote units per base unit.  volume: base units.  Nothing is checked yet.
    """

    open_time_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class CandlePage:
    """One answer of the venue.  newest_open_ns: of its last row, closed or still forming; None when it is empty."""

    closed: tuple[Candle, ...]
    newest_open_ns: int | None


class PublicMarketData(CcxtConnection):
    """Instruments, candles and quotes of one venue.

    poll_s: between two requests where the venue has no stream.
    """

    def __init__(
        self,
        exchange_id: str = "binance",
        *,
        market_type: MarketType = MarketType.SPOT,
        base_url: str | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        timeout_s: float = 10.0,
        poll_s: float = 2.0,
    ) -> None:
        super().__init__(exchange_id, market_type=market_type, base_url=base_url, now_ns=now_ns, timeout_s=timeout_s)
        self.rows_refused = 0
        """Rows of the venue that were not candles or quotes: not finite, crossed, from the future."""
        self._poll_s = poll_s

    async def page(
        self, instrument: InstrumentId, timeframe: str, since_ns: int | None = None, limit: int = PAGE_CANDLES
    ) -> CandlePage:
        """One answer of up to `limit` candles, oldest first, from `since_ns` on or the newest ones.

        A candle is closed when the venue shows a later one or its clock is past the close.
        """
        now_ns = await self.venue_now_ns()  # before the request: the rows are at least as new
        rows = await self._rows(instrument, timeframe, since_ns, limit)
        length_ns = timeframe_ns(timeframe)
        closed = [
            candle
            for place, row in enumerate(rows)
            if place < len(rows) - 1 or row.open_time_ns + length_ns + SETTLE_NS <= now_ns
            if (candle := self.candle(instrument, timeframe, row)) is not None
        ]
        return CandlePage(tuple(closed), rows[-1].open_time_ns if rows else None)

    async def candles(
        self, instrument: InstrumentId, timeframe: str, since_ns: int | None = None, limit: int = PAGE_CANDLES
    ) -> list[Candle]:
        """Closed candles by the venue's clock, oldest first: `limit` rows at most, the forming one left out."""
        return list((await self.page(instrument, timeframe, since_ns, limit)).closed)

    async def quote(self, instrument: InstrumentId) -> Quote:
        """Best bid, best ask and last price."""
        symbol = await self._symbol(instrument)
        venue = await self._venue()
        ticker = await self._answer("ticker", venue.fetch_ticker, symbol)
        if not _has_book(ticker) and venue.has.get("fetchBidsAsks"):
            books = await self._answer("best bid and ask", venue.fetch_bids_asks, [symbol])
            ticker = _with_book(ticker, books.get(symbol, {}))
        found = self._quote(instrument, ticker)
        if found is None:
            raise VenueError(f"{self.exchange_id} has no usable bid and ask for {instrument} now")
        return found

    # ------------------------------------------------------------ streams

    async def watch_candles(self, instrument: InstrumentId, timeframe: str) -> AsyncIterator[Sequence[CandleRow]]:
        """Rows that changed, oldest first, as they change; endless.  Two rows at once show that the first is final."""
        symbol = await self._symbol(instrument)
        venue = await self._venue()
        interval = self._timeframe(venue, timeframe)
        await self.venue_now_ns()  # rows from the future are told by the venue's clock
        if venue.has.get("watchOHLCV") is True:
            while True:
                raw = await self._answer("candle stream", venue.watch_ohlcv, symbol, interval, bounded=False)
                yield self._checked_rows(raw)
        while True:
            yield await self._rows(instrument, timeframe, None, 3)
            await asyncio.sleep(self._poll_s)

    async def watch_quotes(self, instrument: InstrumentId) -> AsyncIterator[Quote]:
        """Quotes as they change; endless.  One that is crossed, locked or empty is left out and counted."""
        symbol = await self._symbol(instrument)
        venue = await self._venue()
        if venue.has.get("watchTicker") is True:
            while True:
                ticker = await self._answer("ticker stream", venue.watch_ticker, symbol, bounded=False)
                if not _has_book(ticker) and venue.has.get("watchBidsAsks"):
                    books = await self._answer("book stream", venue.watch_bids_asks, [symbol], bounded=False)
                    ticker = _with_book(ticker, books.get(symbol, {}))
                found = self._quote(instrument, ticker)
                if found is not None:
                    yield found
        while True:
            yield await self.quote(instrument)
            await asyncio.sleep(self._poll_s)

    def _timeframe(self, venue: Any, timeframe: str) -> str:
        timeframe_ns(timeframe)
        if venue.timeframes and timeframe not in venue.timeframes:
            raise ConfigError(unknown_name(f"timeframe of {self.exchange_id}", timeframe, venue.timeframes))
        return timeframe

    async def _rows(
        self, instrument: InstrumentId, timeframe: str, since_ns: int | None, limit: int
    ) -> Sequence[CandleRow]:
        symbol = await self._symbol(instrument)
        venue = await self._venue()
        interval = self._timeframe(venue, timeframe)
        since_ms = None if since_ns is None else since_ns // NS_PER_MS
        raw = await self._answer("candles", venue.fetch_ohlcv, symbol, interval, since_ms, limit)
        return self._checked_rows(raw)

    def _checked_rows(self, raw: Any) -> list[CandleRow]:
        with self._readable("candles"):
            rows = [CandleRow(int(row[0]) * NS_PER_MS, *map(_number, row[1:6])) for row in raw]
        latest_ns = self._now_ns() + self._offset_ns + FUTURE_NS
        present = [row for row in rows if row.open_time_ns <= latest_ns]
        if len(present) < len(rows):
            self._refuse("candle from the future", str(rows[-1]), len(rows) - len(present))
        return sorted(present, key=lambda row: row.open_time_ns)

    def candle(self, instrument: InstrumentId, timeframe: str, row: CandleRow) -> Candle | None:
        """The finished row as a candle; None, counted and logged, when it is none."""
        opened_ns = row.open_time_ns
        closed_ns = opened_ns + timeframe_ns(timeframe)
        try:
            return Candle(
                instrument, timeframe, opened_ns, closed_ns, row.open, row.high, row.low, row.close, row.volume
            )
        except ValueError as error:
            self._refuse("not a candle", str(error))
            return None

    def _quote(self, instrument: InstrumentId, ticker: Mapping[str, Any]) -> Quote | None:
        shown_ms = ticker.get("timestamp")
        at_ns = shown_ms * NS_PER_MS if isinstance(shown_ms, int) else self._now_ns()
        bid, ask, last = (_number(ticker.get(name)) for name in ("bid", "ask", "last"))
        try:
            return Quote(instrument, bid, ask, last, at_ns)
        except ValueError as error:
            self._refuse("not a quote", str(error))
            return None

    def _refuse(self, reason: str, row: str, count: int = 1) -> None:
        self.rows_refused += count
        log.warning("market data refused", extra={"exchange": self.exchange_id, "reason": reason, "row": row[:300]})


def _number(text: Any) -> float:
    """A number of the venue; NaN where it sent none, so that the check of the row refuses it."""
    return float("nan") if text is None else float(text)


def _has_book(ticker: Mapping[str, Any]) -> bool:
    return ticker.get("bid") is not None and ticker.get("ask") is not None


def _with_book(ticker: Mapping[str, Any], book: Mapping[str, Any]) -> dict[str, Any]:
    """A ticker without prices to deal at, completed by the best bid and ask; as old as the book."""
    return {**ticker, **{name: book.get(name) for name in ("bid", "ask", "timestamp")}}
