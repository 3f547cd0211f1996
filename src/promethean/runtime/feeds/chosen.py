"""Which feed a run gets: decided once, at the start."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from promethean.domain.candles import timeframe_ns
from promethean.domain.errors import ConfigError, VenueError
from promethean.domain.ids import InstrumentId
from promethean.domain.instruments import MarketType, instrument_id
from promethean.runtime.clock import Clock
from promethean.runtime.feeds.columns import CandleColumns, recorded_instrument
from promethean.runtime.feeds.file import FileFeed
from promethean.runtime.feeds.port import Feed
from promethean.runtime.feeds.synthetic import DEFAULT_SPEED, SyntheticFeed

if TYPE_CHECKING:
    from promethean.runtime.feeds.live import Connection

LIVE, SYNTHETIC = "live", "synthetic"
SHORTEST_LIVE = "1m"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a strategy wants to trade, and how fast time should pass.

    speed: multiple of real time; None as fast as possible; 0 the feed's own pace.
    """

    exchange: str
    base: str
    quote: str
    market_type: MarketType
    timeframe: str
    speed: float | None

    @property
    def instrument(self) -> InstrumentId:
        """What the strategy names."""
        return instrument_id(self.exchange, self.base, self.quote, self.market_type)


def synthetic_feed(wanted: Wanted, seed: int, clock: Clock) -> Feed:
    """The invented market.  Raises ConfigError when the strategy wants another timeframe than it has."""
    speed = DEFAULT_SPEED if wanted.speed == 0 else wanted.speed
    feed = SyntheticFeed(seed, clock, speed=speed)
    if wanted.timeframe != feed.timeframe:
        raise ConfigError(
            f"the synthetic market has {feed.timeframe} candles and the strategy wants {wanted.timeframe}; "
            f"set market.primary_timeframe to {feed.timeframe}, or use --feed with a file"
        )
    return feed


def file_feed(name: str, wanted: Wanted, clock: Clock, say: Callable[[str], None]) -> FileFeed:
    """Recorded candles, with order books where the file is a recorded feed.

    Rows that are no candles are left out, counted and told.  Raises ConfigError for a file that cannot be used, or that
    is coarser than the strategy's timeframe.
    """
    from promethean.storage.book_recordings import is_book_recording
    from promethean.storage.candle_files import MarketName, market_in_name, read_candle_file

    path = Path(name).expanduser()
    if is_book_recording(path):
        return _books_feed(path, wanted, clock, say)
    market = market_in_name(path) or MarketName(wanted.exchange, wanted.base, wanted.quote, wanted.market_type)
    candles = read_candle_file(path, market=market, now_ns=clock.now_ns())
    if candles.read_in_reverse:
        say(f"The newest row of {path.name} comes first, so it is read in reverse.")
    if candles.quarantined:
        reasons = ", ".join(f"{count} {reason}" for reason, count in candles.quarantined_by_reason().items())
        say(f"{len(candles.quarantined):,} of {candles.rows:,} rows of {path.name} are left out: {reasons}")
    if not len(candles):
        raise ConfigError(f"{path} has no usable candle; give a file with at least one")
    columns = CandleColumns(
        candles.open_time_ns, candles.open, candles.high, candles.low, candles.close, candles.volume
    )
    instrument = recorded_instrument(columns, market.exchange, market.base, market.quote, market.market_type)
    speed = 1.0 if wanted.speed == 0 else wanted.speed
    return FileFeed(
        columns, instrument, candles.timeframe, sha256=candles.sha256, source=path.name, clock=clock, speed=speed
    )


def _books_feed(path: Path, wanted: Wanted, clock: Clock, say: Callable[[str], None]) -> FileFeed:
    """A recorded feed with its books.  Where they were not known is counted and told."""
    from promethean.storage.book_recordings import TIMEFRAME, read_book_recording

    found = read_book_recording(path)
    faults = [f"{found.unknown:,} of {len(found):,} seconds"] if found.unknown else []
    faults += [f"missing changes {found.gaps:,} times"] if found.gaps else []
    faults += [f"crossed {found.crossed:,} times"] if found.crossed else []
    if faults:
        say(f"the order book of {path.name} is not known everywhere: {', '.join(faults)}")
    columns = CandleColumns(found.open_time_ns, found.open, found.high, found.low, found.close, found.volume)
    market = found.market
    return FileFeed(
        columns,
        recorded_instrument(columns, market.exchange, market.base, market.quote, market.market_type),
        TIMEFRAME,
        sha256=found.sha256,
        source=path.name,
        clock=clock,
        speed=1.0 if wanted.speed == 0 else wanted.speed,
        books=found.books,
    )


async def live_feed(
    wanted: Wanted,
    base_url: str | None,
    known_open_ns: int | None,
    clock: Clock,
    say: Callable[[str], None],
    connection: Connection,
) -> Feed | None:
    """Live public data, or None when there is no network: then `say` has told so in plain words.

    known_open_ns: open of the last candle that the journal holds.
    Raises ConfigError for an exchange or instrument that has no live data here, or a speed other than its own.
    """
    from promethean.exchanges.market_data import PublicMarketData
    from promethean.runtime.feeds.live import VENUE_URLS, LiveFeed, venue_reachable

    if wanted.speed not in (0, 1):
        raise ConfigError("live prices have their own speed; leave --speed out, or use --feed synthetic or a file")
    url = base_url or VENUE_URLS.get(wanted.exchange)
    if url is None:
        raise ConfigError(f"there is no live data for {wanted.exchange!r}; known: {', '.join(sorted(VENUE_URLS))}")
    if timeframe_ns(wanted.timeframe) < timeframe_ns(SHORTEST_LIVE):
        raise ConfigError(
            f"candles of {wanted.timeframe} come from recordings alone; set market.primary_timeframe to "
            f"{SHORTEST_LIVE} or longer, or give --feed with a file"
        )
    if not await venue_reachable(url):
        say(f"No network: {wanted.exchange} cannot be reached.")
        return None
    market_type, now_ns = wanted.market_type, clock.now_ns
    data = PublicMarketData(wanted.exchange, market_type=market_type, base_url=base_url, now_ns=now_ns)
    known = None if known_open_ns is None else {wanted.instrument: known_open_ns}
    jitter = random.Random()  # noqa: S311  spreads reconnects, guards nothing
    try:
        return await LiveFeed.open(
            data, [wanted.instrument], wanted.timeframe, clock, jitter=jitter, known=known, connection=connection
        )
    except VenueError as error:
        await data.close()
        say(f"No live data: {error}")
        return None
    except BaseException:
        await data.close()
        raise
