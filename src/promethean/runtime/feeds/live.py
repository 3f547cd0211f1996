"""Live public market data: streams first, requests to fill and verify, and no candle missed or doubled."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import threading
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from promethean.domain.candles import Candle, CandleSeries, timeframe_ns
from promethean.domain.errors import ConfigError, RateLimitedError, VenueError, unknown_name
from promethean.domain.events import CandleClosed, MarketEvent, QuoteObserved
from promethean.domain.ids import InstrumentId
from promethean.domain.instants import NS_PER_S
from promethean.domain.instruments import Instrument
from promethean.domain.market import Quote
from promethean.exchanges.ccxt_connection import CLOCK_EVERY_NS
from promethean.exchanges.market_data import PAGE_CANDLES, CandleRow, PublicMarketData
from promethean.runtime.clock import Clock
from promethean.runtime.feeds.port import BATCH_ITEMS, FeedItem

log = logging.getLogger(__name__)

ALARM_AFTER = 3
"""Failures in a row after which somebody must look."""
QUOTE_EVERY_NS = NS_PER_S
OVERDUE_NS = 5 * NS_PER_S
"""How long after the close of a candle its stream may be silent before it is asked for."""
FILL_TRIES = 3
POLL_NS = 2 * NS_PER_S
"""Between two requests where no stream is wanted."""

VENUE_URLS = {
    "binance": "https://api.binance.com",
    "bybit": "https://api.bybit.com",
    "okx": "https://www.okx.com",
    "mexc": "https://api.mexc.com",
    "bitget": "https://api.bitget.com",
    "gate": "https://api.gateio.ws",
    "kucoinfutures": "https://api-futures.kucoin.com",
    "hyperliquid": "https://api.hyperliquid.xyz",
}
"""Where each venue answers: to look whether there is a network before anything heavy is imported."""


async def venue_reachable(url: str, timeout_s: float = 2.0) -> bool:
    """Whether somebody accepts a connection at the host of `url` within `timeout_s`, name look-up included.

    Raises ValueError when `url` names no host.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{url!r} names no host; write https://host[:port]")
    address = (parts.hostname, parts.port or (80 if parts.scheme in ("http", "ws") else 443))
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool] = loop.create_future()

    def settle(reached: bool) -> None:
        if not answer.done():
            answer.set_result(reached)

    def connect() -> None:
        try:
            socket.create_connection(address, timeout_s).close()
            reached = True
        except OSError:
            reached = False
        with suppress(RuntimeError):  # the loop may be closed by the time a slow name look-up ends
            loop.call_soon_threadsafe(settle, reached)

    # Not the loop's executor: a name look-up cannot be interrupted, and the loop would wait for it when it closes.
    threading.Thread(target=connect, name="venue-reachable", daemon=True).start()
    try:
        async with asyncio.timeout(timeout_s):
            return await answer
    except TimeoutError:
        return False


@dataclass(frozen=True, slots=True)
class Connection:
    """How the feed holds on to its venue.

    streams:          whether the venue tells news by itself where it can; else it is asked every two seconds.
    queue_limit:      candles that may wait for the reader before the streams have to.
    reconnect_base_s: shortest wait after a lost connection.  reconnect_max_s: longest.
    """

    streams: bool = True
    queue_limit: int = 4096
    reconnect_base_s: float = 1.0
    reconnect_max_s: float = 60.0

    def __post_init__(self) -> None:
        if self.queue_limit < 1:
            raise ValueError(f"queue_limit is {self.queue_limit}; at least one candle must be able to wait")
        if not 0 < self.reconnect_base_s <= self.reconnect_max_s:
            raise ValueError(
                f"reconnect_base_s is {self.reconnect_base_s}; give more than 0 "
                f"and at most reconnect_max_s, which is {self.reconnect_max_s}"
            )

    def back_off_s(self, failures: int, jitter: random.Random) -> float:
        """Seconds to wait after so many failures in a row, drawn at random between the shortest and a bound.

        The bound is 2, 4, 8 .. times the shortest wait, and at most the longest.
        """
        bound_s = self.reconnect_base_s * 2.0 ** min(failures, 100)  # a float ends at 2 ** 1023
        return jitter.uniform(self.reconnect_base_s, min(self.reconnect_max_s, bound_s))


USUAL_CONNECTION = Connection()


class _Inbox:
    """Between the streams and the reader.  When it is full candles wait; of quotes only the newest is kept."""

    def __init__(self, limit: int) -> None:
        self._candles: asyncio.Queue[CandleClosed] = asyncio.Queue(limit)
        self._quotes: dict[InstrumentId, QuoteObserved] = {}
        self._taken_ns: dict[InstrumentId, int] = {}
        self._news = asyncio.Event()

    async def put_candle(self, event: CandleClosed) -> None:
        await self._candles.put(event)
        self._news.set()

    def put_quote(self, event: QuoteObserved) -> None:
        self._quotes[event.quote.instrument] = event
        self._news.set()

    def nudge(self) -> None:
        """Have the reader look again: time has passed, or the streams have ended."""
        self._news.set()

    async def news(self) -> None:
        await self._news.wait()
        self._news.clear()

    def take(self, now_ns: int) -> list[MarketEvent]:
        """What is due: candles, then quotes of instruments without one in the last second."""
        found: list[MarketEvent] = []
        while len(found) < BATCH_ITEMS and not self._candles.empty():
            found.append(self._candles.get_nowait())
        if not self._candles.empty():
            return found  # a quote must not make the older candles behind it look like news
        for instrument in list(self._quotes):
            if now_ns - self._taken_ns.get(instrument, 0) >= QUOTE_EVERY_NS:
                self._taken_ns[instrument] = now_ns
                found.append(self._quotes.pop(instrument))
        return found


class _Track:
    """What the feed knows of one instrument."""

    def __init__(self, last_open_ns: int, last: Candle | None) -> None:
        self.last_open_ns = last_open_ns
        self.last = last
        self.filled_to_ns = 0
        self.forming: CandleRow | None = None
        self.shown: dict[str, Hashable] = {}
        self.fresh_ns = 0
        self.asked_period = 0
        self.lock = asyncio.Lock()


class LiveFeed:
    """Closed candles and conflated quotes of a venue; made by `open`.

    Guaranteed: after any number of broken connections each candle that the venue knows comes once, in order, with the
    content it had when it was first seen closed.  A connection without new content counts as broken.
    """

    is_synthetic = False
    is_repeatable = False
    starts_at_ns: int | None = None
    name = "live"

    def __init__(
        self,
        market_data: PublicMarketData,
        instruments: Mapping[InstrumentId, Instrument],
        timeframe: str,
        clock: Clock,
        jitter: random.Random,
        history: Mapping[InstrumentId, Sequence[Candle]],
        last_open_ns: Mapping[InstrumentId, int],
        stale_after_s: float,
        connection: Connection,
    ) -> None:
        self.provenance = f"live {market_data.exchange_id.capitalize()} public data"
        self.timeframe = timeframe
        self.instruments: Mapping[InstrumentId, Instrument] = MappingProxyType(dict(instruments))
        self.recorded: CandleSeries | None = None
        self.warm_up: Mapping[InstrumentId, CandleSeries] = MappingProxyType(
            {instrument: CandleSeries.of(candles) for instrument, candles in history.items() if candles}
        )
        self.failures = 0
        """Connections lost in a row without anything new in between."""
        self._market_data = market_data
        self._length_ns = timeframe_ns(timeframe)
        self._clock = clock
        self._jitter = jitter
        self._stale_after_ns = int(stale_after_s * NS_PER_S)
        self._connection = connection
        self._inbox = _Inbox(connection.queue_limit)
        self._tracks = {
            instrument: _Track(last_open_ns[instrument], history[instrument][-1] if history[instrument] else None)
            for instrument in instruments
        }
        self._renewals = 0
        self._runner: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        market_data: PublicMarketData,
        instruments: Iterable[InstrumentId],
        timeframe: str,
        clock: Clock,
        *,
        jitter: random.Random,
        known: Mapping[InstrumentId, int] | None = None,
        history: int = 500,
        stale_after_s: float = 30.0,
        connection: Connection = USUAL_CONNECTION,
    ) -> LiveFeed:
        """A feed with its history fetched.

        market_data: becomes the feed's own and is closed with it.
        jitter:      seeded random numbers for the back-off.
        known:       open time of the last candle that the caller's stream already holds, by instrument: the history
                     ends there and every later candle comes as an item.  Without it the feed begins with the present.
        history:     candles before the first item, 1 to 999.
        connection:  how it holds on to the venue.
        Raises ConfigError for an unknown instrument or timeframe, VenueError when the venue does not answer.
        """
        length_ns = timeframe_ns(timeframe)
        if not 1 <= history < PAGE_CANDLES:
            raise ConfigError(f"history is {history} candles; give 1 to {PAGE_CANDLES - 1}")
        offered = await market_data.instruments()
        chosen: dict[InstrumentId, Instrument] = {}
        for instrument in instruments:
            if instrument not in offered:
                raise ConfigError(unknown_name(f"instrument of {market_data.exchange_id}", instrument, offered))
            chosen[instrument] = offered[instrument]
        if not chosen:
            raise ConfigError("the live feed needs at least one instrument; name one in a strategy's pairs")
        past: dict[InstrumentId, Sequence[Candle]] = {}
        last_open_ns: dict[InstrumentId, int] = {}
        for instrument in chosen:
            known_ns = (known or {}).get(instrument)
            past[instrument] = await _history(market_data, instrument, timeframe, known_ns, history)
            if known_ns is not None:
                last_open_ns[instrument] = known_ns
            elif past[instrument]:
                last_open_ns[instrument] = past[instrument][-1].open_time_ns
            else:  # listed a moment ago: the candle that is forming now will be the first
                now_ns = await market_data.venue_now_ns()
                last_open_ns[instrument] = now_ns - now_ns % length_ns - length_ns
        return cls(market_data, chosen, timeframe, clock, jitter, past, last_open_ns, stale_after_s, connection)

    # ------------------------------------------------------------ the reader's side

    async def batches(self, after: int) -> AsyncIterator[Sequence[FeedItem]]:
        """New items as they come, numbered from `after` + 1; ends when the feed is closed."""
        if after < 0:
            raise ValueError(f"sequences start at 1, so nothing comes after {after}")
        assert self._runner is None, "a live feed has one reader"
        runner = self._runner = asyncio.create_task(self._run(), name=f"feed:{self._market_data.exchange_id}")
        runner.add_done_callback(lambda _: self._inbox.nudge())
        sequence = after
        try:
            while not runner.done():
                await self._inbox.news()
                while events := self._inbox.take(self._clock.now_ns()):
                    yield [FeedItem(number, event) for number, event in enumerate(events, sequence + 1)]
                    sequence += len(events)
            if not runner.cancelled():
                runner.result()  # it never ends by itself: this raises what ended it
        finally:
            await self._stop()

    async def close(self) -> None:
        """Stop the streams and give back every connection; a second call does nothing."""
        await self._stop()
        await self._market_data.close()

    async def _stop(self) -> None:
        if self._runner is not None and not self._runner.done():
            self._runner.cancel()
            await asyncio.wait([self._runner])

    # ------------------------------------------------------------ the venue's side

    async def _run(self) -> None:
        while True:
            renewals = self._renewals
            error = await self._session()
            self.failures = 1 if self._renewals > renewals else self.failures + 1
            wait_s = self._connection.back_off_s(self.failures, self._jitter)
            if isinstance(error, RateLimitedError):
                wait_s = max(wait_s, error.retry_after_s)
            log.log(
                logging.ERROR if self.failures >= ALARM_AFTER else logging.WARNING,
                "market feed lost",
                extra={"reason": str(error), "failures": self.failures, "retry_in_s": round(wait_s, 1)},
            )
            try:
                await self._market_data.disconnect()
            except VenueError as error:
                log.warning("streams did not close in order", extra={"reason": str(error)})
            await self._clock.sleep_until_ns(self._clock.now_ns() + int(wait_s * NS_PER_S))

    async def _session(self) -> VenueError:
        """Everything from one connection to its loss; returns why it was lost."""
        for track in self._tracks.values():
            track.forming = None  # what formed on another connection may be incomplete
            track.fresh_ns = self._clock.now_ns()
        lost: list[VenueError] = []
        try:
            async with asyncio.TaskGroup() as group:
                for instrument in self._tracks:
                    group.create_task(self._follow_candles(instrument), name=f"feed:{instrument}:candles")
                    group.create_task(self._follow_quotes(instrument), name=f"feed:{instrument}:quotes")
                group.create_task(self._watch_over(), name="feed:watch")
        except* VenueError as failed:
            lost.extend(_leaves(failed))
        return lost[0]

    async def _follow_candles(self, instrument: InstrumentId) -> None:
        track = self._tracks[instrument]
        async with track.lock:
            await self._fill(instrument, None)
        while not self._connection.streams:
            await self._clock.sleep_until_ns(self._clock.now_ns() + POLL_NS)
            async with track.lock:
                await self._fill(instrument, None)
        async for rows in self._market_data.watch_candles(instrument, self.timeframe):
            for row in rows:
                self._note(track, "candle", row)
                async with track.lock:
                    await self._absorb(instrument, track, row)

    async def _absorb(self, instrument: InstrumentId, track: _Track, row: CandleRow) -> None:
        """A row from the stream.  A venue shows a candle's final content before it shows the next candle."""
        forming = track.forming
        if row.open_time_ns <= track.last_open_ns or (forming is not None and row.open_time_ns < forming.open_time_ns):
            return
        track.forming = row
        if forming is not None and row.open_time_ns > forming.open_time_ns and self._follows(track, forming):
            candle = self._market_data.candle(instrument, self.timeframe, forming)
            if candle is not None:
                await self._emit(track, candle)
        if not self._follows(track, row):
            await self._fill(instrument, row.open_time_ns)

    def _follows(self, track: _Track, row: CandleRow) -> bool:
        """Whether no candle can be missing before this row."""
        return row.open_time_ns <= max(track.last_open_ns + self._length_ns, track.filled_to_ns)

    async def _fill(self, instrument: InstrumentId, shown_open_ns: int | None) -> None:
        """Ask for what closed since the last candle, which is asked for again to see that it is the same.

        shown_open_ns: open time of a candle that the stream shows; the answer is complete when it shows it as well.
        Raises VenueError when it does not after three requests.
        """
        track = self._tracks[instrument]
        for _ in range(FILL_TRIES):
            newest_ns = await self._fill_pages(instrument, track)
            if shown_open_ns is None or newest_ns >= shown_open_ns:
                return
            await self._clock.sleep_until_ns(self._clock.now_ns() + NS_PER_S)
        raise VenueError(
            f"{instrument}: the stream is ahead of the venue's recorded candles, {FILL_TRIES} times in a row"
        )

    async def _fill_pages(self, instrument: InstrumentId, track: _Track) -> int:
        """Bring every candle that closed by now; returns the open time of the newest row, closed or forming."""
        while True:
            page = await self._market_data.page(instrument, self.timeframe, track.last_open_ns)
            fresh = [candle for candle in page.closed if candle.open_time_ns > track.last_open_ns]
            for candle in page.closed:
                await self._emit(track, candle)
            newest_ns = page.newest_open_ns or 0
            if not fresh or newest_ns > fresh[-1].open_time_ns:
                # All before the newest row has come; what is not there never traded, or was refused.
                track.filled_to_ns = max(track.filled_to_ns, newest_ns)
                return newest_ns

    async def _emit(self, track: _Track, candle: Candle) -> None:
        if candle.open_time_ns <= track.last_open_ns:
            if track.last is not None and candle.open_time_ns == track.last.open_time_ns and candle != track.last:
                log.warning(
                    "closed candle rewritten by the venue; the first version stays",
                    extra={"instrument": candle.instrument, "first": str(track.last), "now": str(candle)},
                )
            return
        await self._inbox.put_candle(CandleClosed(candle, self._clock.now_ns()))
        # Only now: a connection may be lost while the inbox is full, and the candle must then come again.
        track.last_open_ns = candle.open_time_ns
        track.last = candle

    async def _follow_quotes(self, instrument: InstrumentId) -> None:
        track = self._tracks[instrument]
        quotes = self._market_data.watch_quotes if self._connection.streams else self._asked_quotes
        async for quote in quotes(instrument):
            self._note(track, "quote", _content(quote))
            # While candles are asked for, quotes wait: one that came first would lend its price and its time to candles
            # that closed long ago, and an entry on them would pass for fresh.
            async with track.lock:
                self._inbox.put_quote(QuoteObserved(quote, self._clock.now_ns()))

    async def _asked_quotes(self, instrument: InstrumentId) -> AsyncIterator[Quote]:
        while True:
            yield await self._market_data.quote(instrument)
            await self._clock.sleep_until_ns(self._clock.now_ns() + POLL_NS)

    def _note(self, track: _Track, kind: str, content: Hashable) -> None:
        """A repeated message is no sign of life."""
        if track.shown.get(kind) != content:
            track.shown[kind] = content
            track.fresh_ns = self._clock.now_ns()
            self._renewals += 1

    async def _watch_over(self) -> None:
        """Each second: release quotes that were held back, notice silence, ask for candles that are overdue."""
        clock_due_ns = self._clock.now_ns() + CLOCK_EVERY_NS
        while True:
            await self._clock.sleep_until_ns(self._clock.now_ns() + NS_PER_S)
            now_ns = self._clock.now_ns()
            self._inbox.nudge()
            if now_ns >= clock_due_ns:
                clock_due_ns = now_ns + CLOCK_EVERY_NS
                await self._measure_clock()
            for instrument, track in self._tracks.items():
                if now_ns - track.fresh_ns > self._stale_after_ns:
                    raise VenueError(
                        f"{instrument}: nothing new for {(now_ns - track.fresh_ns) // NS_PER_S} s on an open connection"
                    )
                period = (now_ns - OVERDUE_NS) // self._length_ns
                overdue = now_ns >= track.last_open_ns + 2 * self._length_ns + OVERDUE_NS
                if overdue and period > track.asked_period and not track.lock.locked():
                    track.asked_period = period
                    async with track.lock:
                        await self._fill(instrument, None)

    async def _measure_clock(self) -> None:
        try:
            await self._market_data.measure_clock()
        except VenueError as error:  # the streams go on; the offset measured last stays in use
            log.warning("venue's clock not measured", extra={"reason": str(error)})


def _content(quote: Quote) -> Hashable:
    return quote.bid, quote.ask, quote.last


def _leaves(group: BaseExceptionGroup[VenueError]) -> list[VenueError]:
    found: list[VenueError] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found


async def _history(
    market_data: PublicMarketData, instrument: InstrumentId, timeframe: str, known_ns: int | None, count: int
) -> Sequence[Candle]:
    """The last `count` closed candles, or the last ones up to the known one."""
    if known_ns is None:
        return (await market_data.candles(instrument, timeframe, limit=count + 1))[-count:]
    since_ns = known_ns - (count - 1) * timeframe_ns(timeframe)
    found = await market_data.candles(instrument, timeframe, since_ns, count + 1)
    return [candle for candle in found if candle.open_time_ns <= known_ns]
