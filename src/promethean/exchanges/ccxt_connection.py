"""One venue through ccxt: its connection, its clock and its instruments.

What a venue can do is read from its capabilities, never from its name.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from promethean.domain.errors import ConfigError, RateLimitedError, VenueError, unknown_name
from promethean.domain.ids import InstrumentId
from promethean.domain.instants import NS_PER_MS, NS_PER_S
from promethean.domain.instruments import Instrument, MarketType, instrument_id, parse_symbol

CLOCK_EVERY_NS = 60 * NS_PER_S
RETRY_AFTER_S = 30.0
"""How long we wait when a venue limits us without saying for how long."""

# Names for markets settled in the quote coin differ between venues; what ccxt loads by default says which one is known.
_CCXT_TYPES = {MarketType.SPOT: ("spot",), MarketType.FUTURES: ("linear", "swap")}
_CCXT_DEFAULT_TYPE = {MarketType.SPOT: "spot", MarketType.FUTURES: "swap"}


class CcxtConnection:
    """A venue, asked through ccxt.

    exchange_id: name of the venue in ccxt and in instrument ids.
    base_url:    `http(s)://host[:port]` that stands in for every host of the venue; None: the venue itself.
    now_ns:      our clock; the venue's is measured against it.
    timeout_s:   for one request.

    Every method that asks the venue raises VenueError when it fails or answers with something unreadable,
    RateLimitedError when it asks us to wait, ConfigError for an unknown venue or instrument.
    """

    def __init__(
        self,
        exchange_id: str,
        *,
        market_type: MarketType = MarketType.SPOT,
        base_url: str | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        timeout_s: float = 10.0,
    ) -> None:
        if base_url is not None and (
            urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).netloc
        ):
            raise ConfigError(f"address of the venue {base_url!r} is not http://host[:port] or https://host[:port]")
        self.exchange_id = exchange_id
        self.market_type = market_type
        self._base_url = base_url
        self._now_ns = now_ns
        self._timeout_s = timeout_s
        self._ccxt: Any = None
        self._opening = asyncio.Lock()
        self._instruments: dict[InstrumentId, Instrument] = {}
        self._symbols: dict[InstrumentId, str] = {}
        self._offset_ns = 0
        self._measured_ns: int | None = None

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
