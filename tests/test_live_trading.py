"""Live prices through the whole platform: ccxt unmodified, a venue on the loopback, a clock that both sides share.

The platform runs in a process of its own (this file, started as a program), because it has signal handlers and a market
store of which a process opens one.  The venue and its story live in a second thread there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from promethean import app
from promethean.config import Settings, load_settings
from promethean.domain.events import (
    AccountEvent,
    IntentRefused,
    OrderAccepted,
    PositionClosed,
)
from promethean.domain.instants import NS_PER_MS, NS_PER_S
from promethean.domain.instruments import MarketType
from promethean.engine.state import State

T0 = 1_747_742_400_000  # ms, on a minute, far from the end of a day
MINUTE = 60_000
HISTORY = 100  # candles
CALM, OVERSOLD, STOPPED, RECOVERED = 100_000.0, 99_400.0, 98_300.0, 99_200.0  # the stop rests at about 98,400
BTC = "binance:BTCUSDT"
FAST = 30
PATIENCE_S = 20.0
RUN_S = 60.0  # the run ends by itself when its story has got stuck
AWAY_S = 8 * 60.0

# ---------------------------------------------------------------- the program: a platform, a venue, a clock


class SharedClock:
    """Passes quickly up to the next instant that matters, and as fast as the machine's clock from there on.

    So a minute takes two seconds, while an order has the same time to be claimed as in earnest.
    """

    def __init__(self, now_ns: int) -> None:
        self._leg = (now_ns, time.monotonic_ns(), now_ns)

    def now_ns(self) -> int:
        base_ns, since_ns, until_ns = self._leg
        passed_ns = time.monotonic_ns() - since_ns
        hurried_ns = min(passed_ns, (until_ns - base_ns) // FAST)
        return base_ns + hurried_ns * FAST + passed_ns - hurried_ns

    def hurry_to(self, instant_ns: int) -> None:
        now_ns = self.now_ns()
        self._leg = (now_ns, time.monotonic_ns(), max(now_ns, instant_ns))

    def advance(self, seconds: float) -> None:
        now_ns = self.now_ns() + int(seconds * NS_PER_S)
        self._leg = (now_ns, time.monotonic_ns(), now_ns)

    async def sleep_until_ns(self, instant_ns: int) -> None:
        while (left_ns := instant_ns - self.now_ns()) > 0:  # noqa: ASYNC110 - time itself is waited for
            await asyncio.sleep(min(left_ns / NS_PER_S, 0.01))


class Venue:
    """The venue with one market that trades all the time at `price`."""

    def __init__(self, server: Any, clock: SharedClock) -> None:
        self.server = server
        self.clock = clock
        self.price = CALM
        closes = [CALM + 20 * (-1) ** number for number in range(HISTORY)]
        first_ms = T0 - HISTORY * MINUTE
        self.rows = server.candles["BTCUSDT"] = [
            [first_ms + place * MINUTE, close, close + 5, close - 5, close, 50.0] for place, close in enumerate(closes)
        ]
        self.rows.append([T0, CALM, CALM, CALM, CALM, 1.0])

    @asynccontextmanager
    async def trading(self) -> AsyncIterator[None]:
        async with self.server.running():
            trades = asyncio.create_task(self._trade())
            try:
                yield
            finally:
                trades.cancel()
                await asyncio.gather(trades, return_exceptions=True)

    async def _trade(self) -> None:
        while True:
            before = len(self.rows)
            self.roll()
            for row in self.rows[before - 1 : -1]:
                await self.server.kline("BTCUSDT", row, final=True)
            row = self.rows[-1]
            row[2:] = [max(row[2], self.price), min(row[3], self.price), self.price, row[5] + 0.25]
            await self.server.kline("BTCUSDT", row)
            bid, ask = f"{self.price - 1:.2f}", f"{self.price + 1:.2f}"
            await self.server.ticker("BTCUSDT", bid, ask, f"{self.price:.2f}")
            await asyncio.sleep(0.02)

    def roll(self) -> None:
        """Begin the candles of the minutes that have passed."""
        while self.clock.now_ns() >= (self.rows[-1][0] + MINUTE) * NS_PER_MS:
            opened_ms, close = self.rows[-1][0] + MINUTE, self.rows[-1][4]
            self.rows.append([opened_ms, close, close, close, close, 1.0])

    def advance(self, seconds: float) -> None:
        """Time passes at once, and nobody sees its candles form."""
        self.clock.advance(seconds)
        self.roll()


class Seen:
    """What the platform shows to whoever looks on."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.facts: list[AccountEvent] = []
        self.candles_to_ms = 0
        self.is_running = False

    def say(self, text: str) -> None:
        self.said.append(text)

    def started(self, run: app.RunInfo) -> None:
        self.is_running = True

    def told(self, facts: Sequence[tuple[AccountEvent, State]]) -> None:
        self.facts.extend(fact for fact, _ in facts)

    def tick(self, state: State, candles: int) -> None:
        for series in state.view._series.values():
            self.candles_to_ms = series.last_open_time_ns // NS_PER_MS

    def count(self, kind: type[AccountEvent]) -> int:
        return sum(isinstance(fact, kind) for fact in self.facts)


class World:
    """The venue and what one run of the platform shows."""

    def __init__(self, venue: Venue, seen: Seen) -> None:
        self.venue = venue
        self.seen = seen

    async def until(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not seen within {PATIENCE_S} s; facts: {self.seen.facts}"
            await asyncio.sleep(0.005)

    async def streaming(self) -> None:
        def subscribed() -> bool:
            return set().union(*self.venue.server.sockets.values()) >= {"btcusdt@kline_1m", "btcusdt@ticker"}

        await self.until("streams", lambda: self.seen.is_running and subscribed())

    async def candle(self) -> None:
        """Until the platform has handled the candle that forms now."""
        forming_ms = self.venue.rows[-1][0]
        self.venue.clock.hurry_to((forming_ms + MINUTE) * NS_PER_MS)
        await self.until("closed candle", lambda: self.seen.candles_to_ms >= forming_ms)

    async def fact(self, kind: type[AccountEvent], count: int = 1) -> None:
        await self.until(f"{count} {kind.__name__}", lambda: self.seen.count(kind) >= count)


async def trade_and_lose(world: World) -> None:
    """An entry, a broken connection, a stop; then the cooldown."""
    await world.streaming()
    world.venue.price = OVERSOLD
    await world.candle()
    await world.fact(OrderAccepted, 5)  # entry, stop, three targets
    world.venue.clock.hurry_to(world.venue.clock.now_ns() + 20 * NS_PER_S)
    await asyncio.sleep(0.5)
    lost_ms = world.venue.rows[-1][0]
    await world.venue.server.drop()
    world.venue.advance(70)
    await world.streaming()
    await world.until("candle of the lost connection", lambda: world.seen.candles_to_ms >= lost_ms)
    await world.candle()
    world.venue.price = STOPPED
    await world.fact(PositionClosed)
    await world.candle()
    await world.fact(IntentRefused)


async def come_back(world: World) -> None:
    """Candles that closed while nobody was there, then one that is seen."""
    await world.streaming()
    world.venue.price = RECOVERED
    await world.candle()


def run(settings: Settings, seen: Seen, **options: Any) -> dict[str, Any]:
    return dataclasses.asdict(app.up(settings, app.UpOptions(for_s=RUN_S, **options), seen))


def tell(loop: asyncio.AbstractEventLoop, story: Awaitable[None]) -> Callable[[], None]:
    """Tell a story beside the run, which is asked to end afterwards; the answer raises what went wrong in it."""

    async def told() -> None:
        try:
            await story
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    telling = asyncio.run_coroutine_threadsafe(told(), loop)
    return lambda: telling.result(PATIENCE_S)


def main(home: str) -> None:
    """Three runs on one home: live, live again, and without the venue.  Prints what they came to."""
    from promethean.runtime import clock as clock_module
    from promethean.storage.market_tables import SeriesKey

    spec = importlib.util.spec_from_file_location(
        "binance_server", Path(__file__).parent / "exchanges/binance_server.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["binance_server"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    clock = SharedClock(T0 * NS_PER_MS + 20 * NS_PER_S)
    clock_module.SystemClock = lambda: clock  # type: ignore[assignment, misc]
    venue = Venue(module.BinanceServer(now_ms=lambda: clock.now_ns() // NS_PER_MS), clock)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="venue", daemon=True).start()
    trading = venue.trading()
    asyncio.run_coroutine_threadsafe(trading.__aenter__(), loop).result(PATIENCE_S)
    overrides = {"app.feed": "live", "app.home": home, "exchange.binance.base_url": venue.server.url}
    settings = load_settings(overrides, {}, Path(home).parent)

    summaries, said = [], []
    for story in (trade_and_lose, come_back):
        seen = Seen()
        finished = tell(loop, story(World(venue, seen)))
        summaries.append(run(settings, seen))
        finished()
        said.append(seen.said)
        asyncio.run_coroutine_threadsafe(_away(venue), loop).result(PATIENCE_S)
    asyncio.run_coroutine_threadsafe(trading.__aexit__(None, None, None), loop).result(PATIENCE_S)
    seen = Seen()
    summaries.append(dataclasses.asdict(app.up(settings, app.UpOptions(for_s=1.0), seen)))
    said.append(seen.said)
    with app.market_store(settings) as store:
        stored = store.candles(SeriesKey("binance", MarketType.SPOT, "BTC/USDT", "1m"))
    rows = [
        [int(opened // NS_PER_MS), *values] for opened, *values in zip(stored.open_time_ns, *stored.columns().values())
    ]
    sys.stdout.write(json.dumps({"summaries": summaries, "said": said, "rows": venue.rows, "stored": rows}) + "\n")


async def _away(venue: Venue) -> None:
    venue.advance(AWAY_S)


if __name__ == "__main__":
    main(sys.argv[1])
