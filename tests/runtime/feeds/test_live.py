"""The live feed on ccxt, unmodified, against a venue on the loopback that breaks, repeats and limits."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import random
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from promethean.domain.candles import Candle
from promethean.domain.errors import ConfigError, VenueError
from promethean.domain.events import CandleClosed, QuoteObserved
from promethean.domain.ids import InstrumentId
from promethean.domain.instants import NS_PER_MS, NS_PER_S
from promethean.exchanges.market_data import PublicMarketData
from promethean.runtime.feeds.live import VENUE_URLS, Connection, LiveFeed, venue_reachable
from promethean.runtime.feeds.port import FeedItem


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


venue = _load(Path(__file__).parents[2] / "exchanges" / "binance_server.py")

BTC = InstrumentId("binance:BTCUSDT")
ETH = InstrumentId("binance:ETHUSDT")
T0 = 1_700_000_040_000  # ms, on a minute
MINUTE = 60_000
MINUTE_NS = MINUTE * NS_PER_MS


def row(number: int, close: float = 100.5) -> list[Any]:
    return [T0 + number * MINUTE, 100.0, 101.0, 99.0, close, 2.0 + number]


def candle(number: int, close: float = 100.5, instrument: InstrumentId = BTC) -> Candle:
    opened_ns = (T0 + number * MINUTE) * NS_PER_MS
    return Candle(instrument, "1m", opened_ns, opened_ns + MINUTE_NS, 100.0, 101.0, 99.0, close, 2.0 + number)


class SteppedClock:
    """Moves when the story says so; whoever sleeps wakes when it has moved far enough."""

    def __init__(self, now_ns: int) -> None:
        self.now = now_ns
        self.sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def now_ns(self) -> int:
        return self.now

    async def sleep_until_ns(self, instant_ns: int) -> None:
        if instant_ns <= self.now:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((instant_ns, woken))
        await woken

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * NS_PER_S)
        for instant_ns, woken in self.sleepers:
            if instant_ns <= self.now and not woken.done():
                woken.set_result(None)
        self.sleepers = [sleeper for sleeper in self.sleepers if not sleeper[1].done()]


class World:
    """A venue, a clock that both sides share, and a reader that takes what the feed brings."""

    def __init__(self, server: Any, clock: SteppedClock) -> None:
        self.server = server
        self.clock = clock
        self.items: list[FeedItem] = []
        self.feed: LiveFeed | None = None
        self.reader: asyncio.Task[None] | None = None

    def data(self) -> PublicMarketData:
        return PublicMarketData(base_url=self.server.url, now_ns=self.clock.now_ns)

    async def open(self, *instruments: InstrumentId, after: int = 0, **settings: Any) -> LiveFeed:
        data = self.data()
        settings.setdefault("stale_after_s", 10_000.0)  # the clock jumps; only stories about silence notice it
        try:
            self.feed = await LiveFeed.open(
                data, instruments or (BTC,), "1m", self.clock, jitter=random.Random(1), **settings
            )
        except BaseException:
            await data.close()
            raise
        self.reader = asyncio.create_task(self._read(self.feed, after))
        return self.feed

    async def _read(self, feed: LiveFeed, after: int) -> None:
        async for batch in feed.batches(after):
            assert batch
            self.items.extend(batch)

    async def close(self) -> None:
        if self.feed is not None and self.reader is not None:
            await self.feed.close()
            await self.reader

    @property
    def candles(self) -> list[Candle]:
        return [item.event.candle for item in self.items if isinstance(item.event, CandleClosed)]

    @property
    def quotes(self) -> list[tuple[float, float]]:
        return [
            (item.event.quote.bid, item.event.quote.ask) for item in self.items if isinstance(item.event, QuoteObserved)
        ]

    async def until(self, condition: Callable[[], bool], *, step_s: float = 0.0) -> None:
        """Let everybody run, and the clock with them, until the condition holds."""
        while not condition():
            assert self.reader is None or not self.reader.done(), self.reader
            await asyncio.sleep(0.005)
            if step_s:
                self.clock.advance(step_s)

    async def streaming(self, *, step_s: float = 0.0, symbol: str = "btcusdt") -> None:
        await self.until(lambda: self._streams() >= {f"{symbol}@kline_1m", f"{symbol}@ticker"}, step_s=step_s)

    def _streams(self) -> set[str]:
        return set().union(*self.server.sockets.values())


def tell(story: Callable[[World], Awaitable[Any]], *, minutes: float = 10.0, candles: int = 11) -> Any:
    """Tell `story` in a world that is `minutes` old and where one candle a minute has been recorded."""

    async def told() -> Any:
        clock = SteppedClock(T0 * NS_PER_MS + int(minutes * MINUTE_NS))
        server = venue.BinanceServer(now_ms=lambda: clock.now // NS_PER_MS)
        server.candles["BTCUSDT"] = [row(number) for number in range(candles)]
        server.candles["ETHUSDT"] = [row(number) for number in range(candles)]
        async with asyncio.timeout(30), server.running():
            world = World(server, clock)
            try:
                return await story(world)
            finally:
                await world.close()

    return asyncio.run(told())


# ---------------------------------------------------------------- start


def test_the_history_before_the_first_item_is_fetched_and_ends_with_the_last_closed_candle() -> None:
    async def story(world: World) -> None:
        feed = await world.open(history=4)
        assert feed.warm_up[BTC].open_time_ns.tolist() == [candle(number).open_time_ns for number in (6, 7, 8, 9)]
        assert (feed.name, feed.provenance, feed.is_synthetic) == ("live", "live Binance public data", False)
        assert list(feed.instruments) == [BTC]
        assert not feed.is_repeatable
        await world.streaming()
        assert world.items == []

    tell(story, minutes=10.5)


def test_a_restarted_feed_brings_what_closed_while_it_was_away_and_goes_on_with_the_numbers() -> None:
    async def story(world: World) -> None:
        feed = await world.open(history=3, known={BTC: candle(4).open_time_ns}, after=70)
        assert feed.warm_up[BTC].open_time_ns.tolist() == [candle(number).open_time_ns for number in (2, 3, 4)]
        await world.until(lambda: len(world.items) == 5)
        assert world.candles == [candle(number) for number in (5, 6, 7, 8, 9)]
        assert [item.sequence for item in world.items] == [71, 72, 73, 74, 75]

    tell(story, minutes=10.5)


def test_a_long_absence_is_filled_page_by_page() -> None:
    async def story(world: World) -> None:
        await world.open(history=1, known={BTC: candle(0).open_time_ns})
        await world.until(lambda: len(world.candles) >= 2499)
        assert [found.open_time_ns for found in world.candles] == [candle(n).open_time_ns for n in range(1, 2500)]

    tell(story, minutes=2500.5, candles=2501)


def test_an_unknown_instrument_is_refused_with_the_closest_names() -> None:
    async def story(world: World) -> None:
        await world.open(InstrumentId("binance:BTCUSD"))

    with pytest.raises(ConfigError, match="did you mean 'binance:BTCUSDT'"):
        tell(story)


def test_a_venue_that_fails_at_the_start_is_an_error_there_and_not_later() -> None:
    async def story(world: World) -> None:
        world.server.fail("klines", venue.Fault(503))
        await world.open()

    with pytest.raises(VenueError):
        tell(story)


# ---------------------------------------------------------------- candles


def test_a_candle_comes_with_its_final_content_when_the_next_one_begins() -> None:
    async def story(world: World) -> None:
        await world.open()
        await world.streaming()
        await world.server.kline("BTCUSDT", row(10, close=100.1))
        await world.server.kline("BTCUSDT", row(10, close=100.9), final=True)
        world.clock.advance(31)
        await world.server.kline("BTCUSDT", row(11))
        await world.until(lambda: len(world.items) == 1)
        assert world.items == [FeedItem(1, CandleClosed(candle(10, close=100.9), world.clock.now))]

    tell(story, minutes=10.5)


def test_repeated_and_late_messages_double_nothing() -> None:
    async def story(world: World) -> None:
        await world.open()
        await world.streaming()
        world.clock.advance(150)
        for number in (10, 10, 11, 11, 9, 10, 12, 11, 12):
            await world.server.kline("BTCUSDT", row(number), final=True)
        await world.until(lambda: len(world.candles) >= 2)
        await world.server.ticker("BTCUSDT", "1.1", "1.2", "1.1")
        await world.until(lambda: len(world.quotes) == 1)
        assert world.candles == [candle(10), candle(11)]

    tell(story, minutes=10.5)


def test_a_candle_that_the_stream_left_out_is_asked_for() -> None:
    async def story(world: World) -> None:
        await world.open()
        await world.streaming()
        await world.server.kline("BTCUSDT", row(10, close=100.1))
        world.server.candles["BTCUSDT"] = [row(number) for number in range(14)]
        world.clock.advance(180)
        await world.server.kline("BTCUSDT", row(13))
        await world.until(lambda: len(world.candles) == 3)
        # What the stream showed of candle 10 is its last content there, so it counts; 11 and 12 were never shown.
        assert world.candles == [candle(10, close=100.1), candle(11), candle(12)]

    tell(story, minutes=10.5)


def test_a_candle_whose_stream_stays_silent_is_asked_for_when_it_is_overdue() -> None:
    async def story(world: World) -> None:
        await world.open()
        await world.streaming()
        await world.until(lambda: len(world.candles) == 1, step_s=1.0)
        assert world.candles == [candle(10)]

    tell(story, minutes=10.5, candles=12)


def test_minutes_without_a_trade_have_no_candle_and_are_asked_for_once() -> None:
    async def story(world: World) -> None:
        await world.open()
        await world.streaming()
        world.server.candles["BTCUSDT"] += [row(15)]
        world.clock.advance(300)
        asked = len(world.server.asked("klines"))
        for close in (100.1, 100.2, 100.3):
            await world.server.kline("BTCUSDT", row(15, close=close))
        await world.until(lambda: len(world.candles) == 1)
        world.clock.advance(60)
        await world.server.kline("BTCUSDT", row(16))
        await world.until(lambda: len(world.candles) == 2)
        assert world.candles == [candle(10), candle(15, close=100.3)]
        assert len(world.server.asked("klines")) <= asked + 2  # one for the gap, one when candle 11 was overdue

    tell(story, minutes=10.5)


def test_a_candle_rewritten_by_the_venue_is_reported_and_the_first_version_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(world: World) -> None:
        await world.open()
        await world.streaming()
        world.server.candles["BTCUSDT"][9] = row(9, close=99.5)
        await world.server.drop()
        await world.streaming(step_s=0.1)
        await world.until(lambda: "rewritten" in caplog.text)
        assert world.candles == []

    tell(story, minutes=10.5)


def test_several_instruments_keep_their_own_order() -> None:
    async def story(world: World) -> None:
        await world.open(BTC, ETH)
        await world.streaming()
        await world.streaming(symbol="ethusdt")
        world.clock.advance(30)
        for symbol in ("BTCUSDT", "ETHUSDT"):
            await world.server.kline(symbol, row(10), final=True)
            await world.server.kline(symbol, row(11))
        await world.until(lambda: len(world.candles) == 2)
        assert {found.instrument: found for found in world.candles} == {
            BTC: candle(10),
            ETH: candle(10, instrument=ETH),
        }
        assert [item.sequence for item in world.items] == [1, 2]

    tell(story, minutes=10.5)


# ---------------------------------------------------------------- broken connections


def test_after_each_broken_connection_no_candle_is_missing_doubled_or_incomplete() -> None:
    async def story(world: World) -> None:
        await world.open()
        for number in range(10, 16):
            await world.streaming(step_s=0.1)
            await world.server.kline("BTCUSDT", row(number, close=99.9))  # far from its final content
            await world.server.drop()
            world.server.candles["BTCUSDT"] = [row(known) for known in range(number + 2)]
            world.clock.advance(T0 / 1000 + (number + 1) * 60 + 30 - world.clock.now / NS_PER_S)
            await world.until(lambda: len(world.candles) > number - 10, step_s=0.1)  # noqa: B023 - awaited here
        assert world.candles == [candle(number) for number in range(10, 16)]
        assert [item.sequence for item in world.items] == list(range(1, 7))

    tell(story, minutes=10.5)


def test_what_formed_on_a_lost_connection_never_passes_for_the_whole_candle() -> None:
    async def story(world: World) -> None:
        await world.open()
        await world.streaming()
        await world.server.kline("BTCUSDT", row(10, close=99.9))
        await world.server.drop()
        await world.streaming(step_s=0.1)  # again within the same minute, whose end this connection will not show
        world.server.candles["BTCUSDT"] += [row(11)]
        world.clock.advance(61)
        await world.server.kline("BTCUSDT", row(11))
        await world.until(lambda: len(world.candles) == 1)
        assert world.candles == [candle(10)]

    tell(story, minutes=10.1)


def test_a_connection_without_anything_new_is_replaced_even_when_it_repeats_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(world: World) -> None:
        await world.open(stale_after_s=30.0)
        await world.streaming()
        first = set(world.server.sockets)
        for _ in range(40):
            await world.server.kline("BTCUSDT", row(10))
            await asyncio.sleep(0.002)
            world.clock.advance(1)
        await world.until(lambda: "nothing new for" in str([record.__dict__ for record in caplog.records]))
        await world.until(lambda: bool(world.server.sockets) and first.isdisjoint(world.server.sockets), step_s=1.0)

    tell(story, minutes=10.0)


def test_three_failures_in_a_row_raise_an_alarm_and_success_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: World) -> None:
        feed = await world.open()
        await world.streaming()
        world.server.fail("klines", *[venue.Fault(500, "<html>down</html>", {}, "text/html") for _ in range(4)])
        await world.server.drop()
        await world.until(lambda: feed.failures == 5, step_s=1.0)
        levels = [record.levelno for record in caplog.records if record.message == "market feed lost"]
        assert levels == [logging.WARNING, logging.WARNING, *[logging.ERROR] * 3]
        await world.streaming(step_s=1.0)
        await world.server.ticker("BTCUSDT", "1.1", "1.2", "1.1")
        await world.until(lambda: len(world.quotes) == 1, step_s=0.1)
        await world.server.drop()
        await world.until(lambda: feed.failures == 1, step_s=0.1)

    tell(story, minutes=10.1)


def test_a_venue_that_limits_us_is_left_alone_for_as_long_as_it_says() -> None:
    async def story(world: World) -> None:
        await world.open()
        await world.streaming()
        world.server.fail("klines", venue.Fault(429, "{}", {"Retry-After": "300"}))
        asked = len(world.server.asked("klines"))
        await world.server.drop()
        await world.until(lambda: len(world.server.asked("klines")) == asked + 1, step_s=0.1)
        limited_ns = world.clock.now
        await world.until(lambda: len(world.server.asked("klines")) == asked + 2, step_s=1.0)
        assert world.clock.now - limited_ns >= 300 * NS_PER_S

    tell(story, minutes=10.1)


def test_the_wait_before_a_new_connection_is_the_one_that_was_asked_for() -> None:
    async def story(world: World) -> None:
        await world.open(connection=Connection(reconnect_base_s=500.0, reconnect_max_s=500.0))
        await world.streaming()
        first = set(world.server.sockets)
        lost_ns = world.clock.now
        await world.server.drop()
        await world.until(lambda: bool(world.server.sockets) and first.isdisjoint(world.server.sockets), step_s=5.0)
        assert world.clock.now - lost_ns >= 500 * NS_PER_S

    tell(story, minutes=10.1)


# ---------------------------------------------------------------- without streams


def test_without_streams_the_venue_is_asked_for_candles_and_quotes() -> None:
    async def story(world: World) -> None:
        world.server.books["BTCUSDT"] = ("100.1", "100.2", "100.1")
        await world.open(connection=Connection(streams=False))
        await world.until(lambda: world.quotes == [(100.1, 100.2)])
        world.server.candles["BTCUSDT"] += [row(11)]
        world.server.books["BTCUSDT"] = ("100.3", "100.4", "100.3")
        world.clock.advance(31)
        await world.until(lambda: world.quotes[-1] == (100.3, 100.4), step_s=0.5)
        world.server.candles["BTCUSDT"] += [row(12)]
        world.clock.advance(60)
        await world.until(lambda: len(world.candles) == 2, step_s=0.5)
        assert world.candles == [candle(10), candle(11)]
        assert world.server.subscribed == []

    tell(story, minutes=10.5)


# ---------------------------------------------------------------- quotes


def test_quotes_come_at_most_once_a_second_and_the_newest_wins() -> None:
    async def story(world: World) -> None:
        await world.open()
        await world.streaming()
        for bid in range(1, 21):
            await world.server.ticker("BTCUSDT", f"{bid}.1", f"{bid}.2", f"{bid}.1")
        await world.until(lambda: len(world.quotes) == 1)
        await asyncio.sleep(0.05)
        assert len(world.quotes) == 1
        await world.until(lambda: len(world.quotes) == 2, step_s=0.1)
        assert world.quotes[-1] == (20.1, 20.2)

    tell(story)


def test_candles_wait_for_a_slow_reader_and_none_is_dropped() -> None:
    async def story(world: World) -> None:
        data = world.data()
        feed = await LiveFeed.open(
            data,
            [BTC],
            "1m",
            world.clock,
            jitter=random.Random(1),
            known={BTC: candle(0).open_time_ns},
            history=1,
            connection=Connection(queue_limit=3),
        )
        found: list[FeedItem] = []
        async for batch in feed.batches(0):
            assert len(batch) <= 4
            found.extend(batch)
            await asyncio.sleep(0.01)
            if len(found) == 199:
                break
        await feed.close()
        assert [item.event.at_ns for item in found] == [candle(n).close_time_ns for n in range(1, 200)]

    tell(story, minutes=200.5, candles=201)


# ---------------------------------------------------------------- end, network, back-off


def test_closing_the_feed_ends_the_reader_and_the_streams() -> None:
    async def story(world: World) -> None:
        feed = await world.open()
        await world.streaming()
        await feed.close()
        assert world.reader is not None
        await world.reader
        world.reader = None
        await world.until(lambda: not world.server.sockets)
        await feed.close()

    tell(story)


def test_a_host_that_accepts_a_connection_is_reachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert asyncio.run(venue_reachable(f"http://127.0.0.1:{listener.getsockname()[1]}"))


def test_a_host_where_nobody_listens_is_not_reachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert not asyncio.run(venue_reachable(f"http://127.0.0.1:{port}"))


def test_a_host_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # nobody accepts, so the queue of the listener is full from here on
            filler.setblocking(False)
            filler.connect_ex(address)
        assert not asyncio.run(venue_reachable(f"http://127.0.0.1:{address[1]}", timeout_s=0.2))
        for filler in fillers:
            filler.close()


def test_an_address_without_a_host_is_refused() -> None:
    with pytest.raises(ValueError, match="names no host"):
        asyncio.run(venue_reachable("api"))


def test_looking_for_the_network_needs_no_heavy_import() -> None:
    code = "import sys, promethean.runtime.feeds.live; sys.exit('ccxt' in sys.modules)"

    async def ask() -> int:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        return await process.wait()

    assert asyncio.run(ask()) == 0
    assert VENUE_URLS["binance"].startswith("https://")


def test_the_back_off_grows_from_one_second_to_a_minute_and_differs_between_clients() -> None:
    jitter = random.Random(5)
    waits = [[Connection().back_off_s(failures, jitter) for _ in range(200)] for failures in (1, 2, 3, 6, 50, 10_000)]
    assert all(1.0 <= wait <= 60.0 for group in waits for wait in group)
    assert [max(group) <= top for group, top in zip(waits, (2, 4, 8, 60, 60, 60), strict=True)] == [True] * 6
    assert max(waits[-1]) > 55.0
    assert len(set(waits[0])) > 100


def test_the_back_off_reaches_the_longest_wait_from_the_shortest_one_that_can_be_set() -> None:
    jitter = random.Random(5)
    connection = Connection(reconnect_base_s=0.05, reconnect_max_s=3600.0)
    waits = [connection.back_off_s(1_000_000, jitter) for _ in range(200)]
    assert max(waits) > 3000.0
    assert all(0.05 <= wait <= 3600.0 for wait in waits)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"queue_limit": 0}, "queue_limit is 0"),
        ({"reconnect_base_s": 0.0}, "give more than 0"),
        ({"reconnect_base_s": 61.0}, "at most reconnect_max_s, which is 60.0"),
    ],
)
def test_a_connection_that_cannot_be_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Connection(**wrong)
