"""Public market data of one venue through ccxt: no key, no account.

What a venue can do is read from its capabilities, never from its name.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from promethean.domain.candles import Candle, timeframe_ns
from promethean.domain.errors import ConfigError, RateLimitedError, VenueError, unknown_name
from promethean.domain.ids import InstrumentId
from promethean.domain.instants import NS_PER_MS, NS_PER_S
from promethean.domain.instruments import Instrument, MarketType, instrument_id, parse_symbol
from promethean.domain.market import Quote

log = logging.getLogger(__name__)

PAGE_CANDLES = 1000
CLOCK_EVERY_NS = 60 * NS_PER_S
SETTLE_NS = NS_PER_S
"""How long after its close a candle without a successor may still change: network delay and clock error."""
FUTURE_NS = 2 * NS_PER_S
"""A row that opens later than this after the venue's present is refused."""
RETRY_AFTER_S = 30.0
"""How long we wait when a venue limits us without saying for how long."""

# Names for markets settled in the quote coin differ between venues; what ccxt loads by default says which one is known.
_CCXT_TYPES = {MarketType.SPOT: ("spot",), MarketType.FUTURES: ("linear", "swap")}
_CCXT_DEFAULT_TYPE = {MarketType.SPOT: "spot", MarketType.FUTURES: "swap"}


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


class PublicMarketData:
    """Instruments, candles and quotes of one venue.

    exchange_id: name of the venue in ccxt and in instrument ids.
    base_url:    `http(s)://host[:port]` that stands in for every host of the venue; None: the venue itself.
    now_ns:      our clock; the venue's is measured against it.
    timeout_s:   for one request; poll_s: between two requests where the venue has no stream.

    Every method that asks the venue raises VenueError when it fails or answers with something unreadable,
    RateLimitedError when it asks us to wait, ConfigError for an unknown venue, instrument or timeframe.
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
        if base_url is not None and (
            urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).netloc
        ):
            raise ConfigError(f"market data address {base_url!r} is not http://host[:port] or https://host[:port]")
        self.exchange_id = exchange_id
        self.market_type = market_type
        self.rows_refused = 0
        """Rows of the venue that were not candles or quotes: not finite, crossed, from the future."""
        self._base_url = base_url
        self._now_ns = now_ns
        self._timeout_s = timeout_s
        self._poll_s = poll_s
        self._ccxt: Any = None
        self._opening = asyncio.Lock()
        self._instruments: dict[InstrumentId, Instrument] = {}
        self._symbols: dict[InstrumentId, str] = {}
        self._offset_ns = 0
        self._measured_ns: int | None = None

    # ------------------------------------------------------------ questions

    async def instruments(self) -> Mapping[InstrumentId, Instrument]:
        """Every active market of the chosen type, with exact increments; asked once."""
        if not self._instruments:
            venue = await self._venue()
            # True: ask anew, because ccxt keeps an empty list as readily as a full one.
            markets = await self._answer("list of markets", venue.load_markets, True)
            with self._readable("list of markets"):
                found = [(self._instrument(venue, market), market["symbol"]) for market in markets.values()]
            self._symbols = {instrument.id: symbol for instrument, symbol in found if instrument is not None}
            self._instruments = {instrument.id: instrument for instrument, _ in found if instrument is not None}
            if not self._instruments:
                raise VenueError(f"{self.exchange_id} lists no {self.market_type} market that we can use")
        return self._instruments

    async def server_time_ns(self) -> int:
        """The venue's clock, nanoseconds since the epoch; ours when the venue does not show one."""
        venue = await self._venue()
        if not venue.has.get("fetchTime"):
            return self._now_ns()
        shown = await self._answer("time", venue.fetch_time)
        if not isinstance(shown, int):
            raise VenueError(f"{self.exchange_id} answered {str(shown)[:80]!r} instead of its time")
        return shown * NS_PER_MS

    async def venue_now_ns(self) -> int:
        """The venue's present, from an offset that is measured anew after a minute."""
        if self._measured_ns is None or abs(self._now_ns() - self._measured_ns) > CLOCK_EVERY_NS:
            await self.measure_clock()
        return self._now_ns() + self._offset_ns

    async def measure_clock(self) -> None:
        """Compare the venue's clock with ours: half of the way there and back is taken as the delay."""
        asked_ns = self._now_ns()
        shown_ns = await self.server_time_ns()
        answered_ns = self._now_ns()
        self._offset_ns = shown_ns - (asked_ns + answered_ns) // 2
        self._measured_ns = answered_ns

    @property
    def clock_offset_ns(self) -> int | None:
        """The venue's clock minus ours as last measured; None before the first measurement."""
        return None if self._measured_ns is None else self._offset_ns

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

    async def disconnect(self) -> None:
        """Drop the streams and what they left behind; the next watch connects again.  Requests go on."""
        if self._ccxt is None:
            return
        await self._answer("end of the streams", self._ccxt.close_ws_clients)
        # A candle that was forming when the stream broke must not come back as if it were complete.
        self._ccxt.ohlcvs = {}

    async def close(self) -> None:
        """Give back every connection; a second call does nothing."""
        venue, self._ccxt = self._ccxt, None
        if venue is not None:
            await venue.close()

    # ------------------------------------------------------------ the border to ccxt

    async def _venue(self) -> Any:
        async with self._opening:
            if self._ccxt is None:
                # Seconds of import, so not on the event loop; and only in a process that needs it.
                ccxt = await asyncio.to_thread(importlib.import_module, "ccxt.pro")
                if self.exchange_id not in ccxt.exchanges:
                    raise ConfigError(unknown_name("exchange", self.exchange_id, ccxt.exchanges))
                self._ccxt = self._configured(getattr(ccxt, self.exchange_id)())
        return self._ccxt

    def _configured(self, venue: Any) -> Any:
        venue.number = str  # increments stay the venue's own text; a float would be rounded
        venue.timeout = int(self._timeout_s * 1000)
        venue.on_rest_response = _json_only
        venue.has["fetchCurrencies"] = False  # needs a key at most venues, and nothing here reads it
        venue.options["defaultType"] = _CCXT_DEFAULT_TYPE[self.market_type]
        loading = venue.options.get("fetchMarkets")
        if isinstance(loading, dict) and isinstance(loading.get("types"), list):
            wanted = [name for name in loading["types"] if name in _CCXT_TYPES[self.market_type]]
            if wanted:
                loading["types"] = wanted
        one, many = venue.options.get("watchTicker"), venue.options.get("watchTickers")
        if isinstance(one, dict) and isinstance(many, dict) and "name" in one and "name" in many:
            many["name"] = one["name"]  # watch_ticker reads the second, and would get the ticker without bid and ask
        if self._base_url is not None:
            venue.urls["api"] = _moved(venue.urls["api"], self._base_url)
        return venue

    @contextmanager
    def _readable(self, what: str) -> Iterator[None]:
        from ccxt.base.errors import BaseError, DDoSProtection, RateLimitExceeded

        try:
            yield
        except (RateLimitExceeded, DDoSProtection) as error:
            wait_s = self._retry_after_s()
            message = f"{self.exchange_id} limits our requests ({what}); wait {wait_s:g} s"
            raise RateLimitedError(message, wait_s) from error
        except BaseError as error:
            raise VenueError(
                f"{self.exchange_id} failed ({what}): {type(error).__name__} {str(error)[:200]}"
            ) from error
        except TimeoutError as error:
            raise VenueError(f"{self.exchange_id} did not answer in time ({what})") from error
        except (OSError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # An error page or a changed format: ccxt reads fields without looking whether they are there.
            raise VenueError(f"{self.exchange_id} sent an unreadable answer ({what}): {error!r:.200}") from error

    async def _answer(self, what: str, ask: Callable[..., Any], *args: Any, bounded: bool = True) -> Any:
        """bounded=False: a stream, where silence is normal and the owner decides how much is too much."""
        with self._readable(what):
            async with asyncio.timeout(3 * self._timeout_s if bounded else None):  # ccxt may hold a request back first
                return await ask(*args)

    def _retry_after_s(self) -> float:
        headers = self._ccxt.last_response_headers if self._ccxt is not None else None
        for name, value in (headers or {}).items():
            if name.lower() == "retry-after" and value.strip().isdecimal():
                return float(value)
        return RETRY_AFTER_S

    async def _symbol(self, instrument: InstrumentId) -> str:
        await self.instruments()
        try:
            return self._symbols[instrument]
        except KeyError:
            raise ConfigError(unknown_name("instrument", instrument, self._symbols)) from None

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

    def _instrument(self, venue: Any, market: Mapping[str, Any]) -> Instrument | None:
        """The market as an instrument; None when it is of another kind, closed, or not written in plain letters."""
        spot = self.market_type is MarketType.SPOT
        perpetual = market.get("swap") and market.get("linear") and market.get("settle") == market.get("quote")
        if not (market.get("spot") if spot else perpetual) or market.get("active") is False:
            return None
        base, quote = market["base"], market["quote"]
        try:
            parse_symbol(f"{base}/{quote}")
        except ConfigError:
            return None  # a look-alike letter is left out, never resolved
        size = Decimal(1) if spot else _decimal(market.get("contractSize")) or Decimal(1)
        price_increment = _increment(venue, market["precision"].get("price"))
        quantity_increment = _increment(venue, market["precision"].get("amount"))
        if price_increment is None or quantity_increment is None:
            return None
        limits = market["limits"]
        return Instrument(
            id=instrument_id(self.exchange_id, base, quote, self.market_type),
            exchange=self.exchange_id,
            base=base,
            quote=quote,
            market_type=self.market_type,
            price_increment=price_increment,
            quantity_increment=_plain(quantity_increment * size),
            quantity_min=_plain((_decimal(limits["amount"].get("min")) or Decimal(0)) * size),
            notional_min=_decimal(limits["cost"].get("min")) or Decimal(0),
            contract_multiplier=size,
        )


def _moved(urls: Any, base_url: str) -> Any:
    """Every address with the scheme and host of `base_url` and a path of its own; streams keep being streams."""
    if isinstance(urls, dict):
        return {name: _moved(url, base_url) for name, url in urls.items()}
    if not isinstance(urls, str):
        return urls
    base, url = urlsplit(base_url), urlsplit(urls)
    scheme = base.scheme.replace("http", "ws", 1) if url.scheme in ("ws", "wss") else base.scheme
    return urlunsplit((scheme, base.netloc, base.path.rstrip("/") + url.path, url.query, ""))


def _json_only(code: int, reason: str, url: str, method: str, headers: Any, body: str, *_: Any) -> str:
    """ccxt's hook for every reply: it would read an error page that comes with status 200 as a list without entries."""
    from ccxt.base.errors import ExchangeNotAvailable

    text = body.strip()
    if code < 400 and text[:1] not in ("{", "["):
        raise ExchangeNotAvailable(f"{method} {url} {code} {reason} without JSON: {text[:80]!r}")
    return text


def _number(text: Any) -> float:
    """A number of the venue; NaN where it sent none, so that the check of the row refuses it."""
    return float("nan") if text is None else float(text)


def _plain(value: Decimal) -> Decimal:
    """Without trailing zeros and without an exponent: 0.01000000 becomes 0.01."""
    return Decimal(f"{value.normalize():f}")


def _decimal(text: Any) -> Decimal | None:
    """The venue's text as an exact number; None when there is none."""
    try:
        return None if text is None else _plain(Decimal(str(text)))
    except InvalidOperation:
        return None


def _increment(venue: Any, precision: Any) -> Decimal | None:
    """The step of a price or quantity; None when the venue does not say one that can be used."""
    from ccxt.base.decimal_to_precision import DECIMAL_PLACES, TICK_SIZE

    value = _decimal(precision)
    if value is not None and venue.precisionMode == DECIMAL_PLACES:
        value = _plain(Decimal(1).scaleb(-int(value)))
    elif venue.precisionMode != TICK_SIZE:
        return None  # significant digits: the step would change with the price
    return value if value is not None and value > 0 else None


def _has_book(ticker: Mapping[str, Any]) -> bool:
    return ticker.get("bid") is not None and ticker.get("ask") is not None


def _with_book(ticker: Mapping[str, Any], book: Mapping[str, Any]) -> dict[str, Any]:
    """A ticker without prices to deal at, completed by the best bid and ask; as old as the book."""
    return {**ticker, **{name: book.get(name) for name in ("bid", "ask", "timestamp")}}
