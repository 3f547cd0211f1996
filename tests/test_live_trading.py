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
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from promethean.app.data import market_store
from promethean.app.database import with_database
from promethean.app.running import UpOptions, up
from promethean.config.layers import load_settings
from promethean.config.tree import Settings
from promethean.domain.candles import Candle
from promethean.domain.events import (
    AccountEvent,
    CandleClosed,
    Event,
    IntentRefused,
    OrderAccepted,
    OrderFilled,
    OrderPlanned,
    PositionClosed,
    Reconciled,
    RunnerStarted,
    SignalRaised,
)
from promethean.domain.ids import InstrumentId
from promethean.domain.instants import NS_PER_MS, NS_PER_S
from promethean.domain.instruments import MarketType
from promethean.domain.orders import OrderRole
from promethean.engine.state import State
from promethean.indicators.momentum.rsi import rsi
from promethean.runtime.watching import RunInfo
from promethean.storage.database import Database
from promethean.storage.journal import Journal, market_stream
from promethean.storage.postgres_server import remove_database

T0 = 1_747_742_400_000  # ms, on a minute, far from the end of a day
MINUTE = 60_000
HISTORY = 100  # candles
CALM, OVERSOLD, STOPPED, RECOVERED = 100_000.0, 99_400.0, 98_300.0, 99_200.0  # the stop rests at about 98,400
BTC = "binance:BTCUSDT"
T = TypeVar("T")
FAST = 30
PATIENCE_S = 60.0
RUN_S = 180.0  # the run ends by itself when its story has got stuck
pytestmark = pytest.mark.timeout(420)
AWAY_S = 8 * 60.0 + 20.0  # back in the middle of a minute, so that no candle has closed just now


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the program prints at its end.  rows: the venue's candles; stored: those of the market store."""

    summaries: list[dict[str, Any]]
    said: list[list[str]]
    rows: list[list[float]]
    stored: list[list[float]]
    connections: int


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
        self._answer = server._rest
        server._rest = self._slowly
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

    async def _slowly(self, request: Any) -> Any:
        """Candles take their time, so quotes overtake them after every connection."""
        if request.path.endswith("klines"):
            await asyncio.sleep(0.3)
        return await self._answer(request)

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

    def started(self, run: RunInfo) -> None:
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
    await world.fact(OrderFilled)  # the venue makes a stop and three targets with it
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


def run(settings: Settings, seen: Seen, for_s: float) -> dict[str, Any]:
    return dataclasses.asdict(up(settings, UpOptions(for_s=for_s), seen))


def tell(loop: asyncio.AbstractEventLoop, story: Coroutine[Any, Any, None]) -> Callable[[], None]:
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
    clock_module.SystemClock = lambda: clock  # type: ignore[assignment, misc, return-value]
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
        summaries.append(run(settings, seen, RUN_S))
        finished()
        said.append(seen.said)
        asyncio.run_coroutine_threadsafe(_away(venue), loop).result(PATIENCE_S)
        if story is trade_and_lose:
            read_ahead(settings, venue)
    asyncio.run_coroutine_threadsafe(trading.__aexit__(None, None, None), loop).result(PATIENCE_S)
    seen = Seen()
    summaries.append(run(settings, seen, 1.0))
    said.append(seen.said)
    with market_store(settings) as store:
        stored = store.candles(SeriesKey("binance", MarketType.SPOT, "BTC/USDT", "1m"))
    columns = [(stored.open_time_ns // NS_PER_MS).tolist(), *(values.tolist() for values in stored.columns().values())]
    connections = venue.server.subscribed.count("btcusdt@kline_1m")
    answer = Answer(summaries, said, venue.rows, [list(row) for row in zip(*columns, strict=True)], connections)
    sys.stdout.write(json.dumps(dataclasses.asdict(answer)) + "\n")


def read_ahead(settings: Settings, venue: Venue) -> None:
    """Journal one more candle: what a process leaves that is killed before its account has handled what it read."""

    async def leave(database: Database) -> None:
        journal = Journal(await database.raw())
        try:
            stream = market_stream("live", InstrumentId(BTC))
            newest = await journal.newest_candle(stream)
            assert newest is not None
            row = next(row for row in venue.rows if row[0] * NS_PER_MS == newest.close_time_ns)
            opened_ns = row[0] * NS_PER_MS
            candle = Candle(newest.instrument, "1m", opened_ns, opened_ns + MINUTE * NS_PER_MS, *row[1:])
            await journal.open_stream(stream)
            journal.append(stream, CandleClosed(candle, candle.close_time_ns), candle.close_time_ns)
            await journal.write()
        finally:
            await journal.close()

    with_database(settings, leave)


async def _away(venue: Venue) -> None:
    venue.advance(AWAY_S)


# ---------------------------------------------------------------- what is left of the three runs


@dataclasses.dataclass(frozen=True)
class Told:
    """The answer, and the journal as read back: events by stream, each stream checked against its chain."""

    answer: Answer
    journal: dict[str, list[Event]]

    @property
    def market(self) -> list[Event]:
        return self.journal[f"market/live/{BTC}"]

    @property
    def candles(self) -> list[CandleClosed]:
        return [event for event in self.market if isinstance(event, CandleClosed)]

    def runs(self) -> list[list[Event]]:
        """The facts of the live account, one list a start."""
        (facts,) = (
            events
            for stream, events in self.journal.items()
            if stream.startswith("account/") and "live" in getattr(events[0], "provenance", "")
        )
        starts = [place for place, fact in enumerate(facts) if isinstance(fact, RunnerStarted)]
        return [facts[begin:end] for begin, end in zip(starts, [*starts[1:], None], strict=True)]


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30
    folder = Path(tempfile.mkdtemp(prefix="promethean-test-", dir=memory if roomy else None))
    folder.chmod(0o711)  # root's database server runs as another user
    home = folder / "home"
    try:
        done = subprocess.run(
            [sys.executable, __file__, str(home)], cwd=folder, capture_output=True, text=True, timeout=400, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        answer = Answer(**json.loads(done.stdout.splitlines()[-1]))
        yield Told(answer, read_journal(load_settings({"app.home": str(home)}, {}, folder)))
    finally:
        remove_database(home)
        shutil.rmtree(folder)


def read_journal(settings: Settings) -> dict[str, list[Event]]:
    async def ask(database: Database) -> dict[str, list[Event]]:
        journal = Journal(await database.raw())
        try:
            found: dict[str, list[Event]] = {}
            for stream, rows in await journal.streams():
                assert await journal.verify(stream) == rows
                found[stream] = [record.event() async for record in journal.read(stream)]
            return found
        finally:
            await journal.close()

    return with_database(settings, ask)


def of_kind(facts: Sequence[Event], kind: type[T]) -> list[T]:
    return [fact for fact in facts if isinstance(fact, kind)]


def test_an_oversold_close_is_bought_protected_and_stopped_out_at_quotes(told: Told) -> None:
    first = told.runs()[0]
    # Its stop may trail, so the exits are orders of our own.
    roles = [OrderRole.ENTRY, OrderRole.STOP, *[OrderRole.TARGET] * 3]
    assert [plan.intent.role for plan in of_kind(first, OrderPlanned)] == roles
    assert len(of_kind(first, OrderAccepted)) == len(roles)
    entered, left = of_kind(first, OrderFilled)
    assert (entered.exits, left.exits) == (None, None)
    bought, sold = entered.fill, left.fill
    assert (float(bought.price), float(sold.price)) == (OVERSOLD + 1, STOPPED - 1)
    (closed,) = of_kind(first, PositionClosed)
    assert (closed.reason, closed.quantity) == (OrderRole.STOP, bought.quantity)
    assert closed.pnl == (sold.price - bought.price) * bought.quantity - bought.fee.amount - sold.fee.amount
    # The close right after the stop is oversold as well.
    assert [fact.refused.code for fact in of_kind(first, IntentRefused)] == ["cooldown"]
    summary = told.answer.summaries[0]
    expected = {"account": "paper-live", "synthetic": False, "orders": 5, "fills": 2, "trades": 1, "losses": 1}
    assert summary.items() >= {**expected, "refusals": 1, "open_positions": 0, "finished": False}.items()
    assert Decimal(summary["final_equity"]) == Decimal(summary["start_equity"]) + closed.pnl


def test_no_candle_is_missing_or_doubled_across_a_lost_connection_and_a_restart(told: Told) -> None:
    assert told.answer.connections == 3  # two in the first run
    candles = [event.candle for event in told.candles]
    journalled = [[c.open_time_ns // NS_PER_MS, c.open, c.high, c.low, c.close, c.volume] for c in candles]
    assert journalled == told.answer.rows[HISTORY : HISTORY + len(journalled)]
    assert journalled[-1][4] == RECOVERED
    assert told.answer.stored == journalled


def test_a_second_start_goes_on_with_the_account_and_trades_nothing_that_closed_meanwhile(told: Told) -> None:
    before, after = told.answer.summaries[:2]
    _, second = told.runs()
    for name in ("account", "orders", "fills", "trades", "fees", "realised", "start_equity", "final_equity"):
        assert after[name] == before[name], name
    assert len(of_kind(second, Reconciled)) == 1
    assert not of_kind(second, OrderPlanned)
    # Those candles are oversold, the cooldown is over, and quotes are there: only their age forbids an entry.
    assert [fact.refused.code for fact in of_kind(second, IntentRefused)] == ["price_fresh"]


def test_signals_are_made_of_the_candles_known_by_then_and_of_nothing_later(told: Told) -> None:
    assert all(event.received_at_ns >= event.candle.close_time_ns for event in told.candles)
    rows = told.answer.rows
    raised = [fact.signal for run in told.runs() for fact in of_kind(run, SignalRaised)]
    assert len(raised) == 3
    for found in raised:
        closes = np.array([row[4] for row in rows if (row[0] + MINUTE) * NS_PER_MS <= found.at_ns])
        assert float(found.metadata["RSI(14)"]) == pytest.approx(rsi(closes, 14)[-1], abs=1e-5)


def test_a_start_without_the_venue_is_synthetic_and_leaves_the_live_account_alone(told: Told) -> None:
    summary = told.answer.summaries[2]
    assert summary["synthetic"] is True
    assert summary["account"] == "paper-synthetic-0"
    assert told.answer.said[:2] == [[], []]
    assert told.answer.said[2][0] == "No network: binance cannot be reached."
    assert "SYNTHETIC" in told.answer.said[2][1]
    assert len(told.runs()) == 2
    origins = {stream.split("/")[1] for stream in told.journal if stream.startswith("market/")}
    assert origins == {"live", "synthetic-0"}
    assert len([stream for stream in told.journal if stream.startswith("account/")]) == 2


if __name__ == "__main__":
    main(sys.argv[1])
