"""`up`: the platform from its start to its end, once more from the journal when a part of it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from promethean.app.assembling import assemble
from promethean.app.database import Postgres, open_database
from promethean.app.desk import DEFAULT_STRATEGY, find_strategy_file, load_strategy, reads_books, without_books
from promethean.app.register import explaining, register_everything
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError, JournalTamperedError, LeaseLostError, StoreError
from promethean.runtime.stopping import Stopping

if TYPE_CHECKING:
    from promethean.app.assembling import Replay
    from promethean.domain.events import CandleClosed
    from promethean.runtime.account import AccountRunner
    from promethean.runtime.clock import Clock
    from promethean.runtime.feeds.port import Feed
    from promethean.runtime.reloading import StrategyWatch
    from promethean.runtime.watching import Summary, Watcher
    from promethean.storage.journal import Journal
    from promethean.strategies.file import StrategyFile

    Once = Callable[[str, Stopping], Awaitable[Summary]]
    """One start on the database at an address, until the feed ends or somebody stops it."""

RESTARTS_MAX = 5


@dataclass(frozen=True, slots=True)
class UpOptions:
    """How `up` is asked to run.

    strategy: file or name.  speed: multiple of real time, None as fast as possible, 0 the feed's own pace.
    for_s:    stop after so many seconds.  until_end: stop when the recorded feed ends.
    """

    strategy: str = DEFAULT_STRATEGY
    speed: float | None = 0
    for_s: float | None = None
    until_end: bool = False


def up(settings: Settings, options: UpOptions, watcher: Watcher, stopping: Stopping | None = None) -> Summary:
    """Run the platform on paper until it is stopped or done.

    stopping: for who else wants to stop it; SIGINT and SIGTERM do, cleanly.
    Raises ConfigError for what is wrong with set-up or input, before anything trades; StoreError when PostgreSQL stays
    away; Stopped for a signal before trading has begun.
    """
    begun = time.perf_counter()
    from promethean.runtime.reloading import StrategyWatch

    plugins = register_everything()
    with explaining(plugins):
        path = find_strategy_file(settings, options.strategy)
        file = load_strategy(path)
    for complaint in plugins.broken:
        watcher.say(complaint)
    _refuse_early(settings, options, file)

    reloading = StrategyWatch(path, file, load_strategy, watcher.say)

    async def once(dsn: str, stopping: Stopping) -> Summary:
        async def feed(journal: Journal, clock: Clock) -> Feed:
            return await _make_feed(settings, options, file, journal, clock, watcher)

        return await run_once(settings, reloading.file, watcher, dsn, stopping, begun, feed, reloading=reloading)

    return run_on_home(settings, watcher, stopping or Stopping(), once, options.for_s)


def run_on_home(
    settings: Settings, watcher: Watcher, stopping: Stopping, once: Once, for_s: float | None = None
) -> Summary:
    """Hold the home and its PostgreSQL while `once` runs; after a failure of the database once more, from the journal.

    for_s: stop after so many seconds.  Errors as those of `up`.
    """
    from promethean.runtime.home import only_one, prepare_home

    home = prepare_home(settings.app.home)
    with stopping, only_one(home):
        _check_keys(settings)
        with Postgres(settings) as database:
            return asyncio.run(_again(watcher, database, stopping, once, for_s))


def _refuse_early(settings: Settings, options: UpOptions, file: StrategyFile) -> None:
    """What can be seen to be wrong before anything is started."""
    feed = settings.app.feed
    if settings.app.mode != "paper":
        raise ConfigError(f"app.mode is {settings.app.mode}; only paper trading is available yet")
    if feed in ("live", "synthetic"):
        if options.until_end:
            raise ConfigError(f"--until-end needs a feed that ends, and the {feed} feed does not; use --for 30m")
        if reads_books(file):
            raise ConfigError(without_books(file.id))
    elif not Path(feed).expanduser().is_file():
        raise ConfigError(f"there is no file {feed} to feed from; give live, synthetic or a Parquet or CSV file")


def _check_keys(settings: Settings) -> None:
    """A damaged key file is told before a database is started for it."""
    from promethean.storage.vault import load_key_ring

    load_key_ring(settings.app.home, settings.vault.key, settings.vault.previous_keys)


async def _again(watcher: Watcher, postgres: Postgres, stopping: Stopping, once: Once, for_s: float | None) -> Summary:
    stopping.watch_over()
    if for_s is not None:
        asyncio.get_running_loop().call_later(for_s, stopping.wanted.set)
    for attempt in range(RESTARTS_MAX + 1):
        try:
            return await once(postgres.dsn, stopping)
        except (LeaseLostError, JournalTamperedError):
            raise  # another process has the account, or somebody edited its journal: a person has to look
        except (StoreError, ConfigError) as error:
            # A database that was there and refuses now is away, not wrong.
            is_first = attempt == 0 and isinstance(error, ConfigError)
            if is_first or attempt == RESTARTS_MAX or stopping.wanted.is_set():
                raise
            # Restarting is the same as starting: nothing of the broken group is true, the journal knows what is.
            wait_s = 0.5 * 2**attempt
            watcher.say(f"{error}.  Starting again from the journal in {wait_s:g} s.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wanted.wait(), wait_s)
            postgres.find_again()
    raise AssertionError("every way out of the loop returns or raises")


async def run_once(
    settings: Settings,
    file: StrategyFile,
    watcher: Watcher,
    dsn: str,
    stopping: Stopping,
    begun: float,
    make_feed: Callable[[Journal, Clock], Awaitable[Feed]],
    replay: Replay | None = None,
    read: Callable[[Journal, AccountRunner], Awaitable[None]] | None = None,
    reloading: StrategyWatch | None = None,
) -> Summary:
    """One start: from the journal to the end of the feed, or to where it is stopped.

    begun: `time.perf_counter()` when the command began.
    reloading: looks whether the strategy file changes.
    read:  is given the journal and the account when all is over, to read there what it likes.
    """
    from promethean.runtime.clock import SystemClock
    from promethean.runtime.watching import summarise
    from promethean.storage.journal import Journal
    from promethean.storage.vault import open_vault

    clock = SystemClock()
    async with contextlib.AsyncExitStack() as closing:
        database = await open_database(settings, dsn)
        closing.push_async_callback(database.close)
        await open_vault(database, settings.app.home, settings.vault.key, settings.vault.previous_keys)
        journal = Journal(await database.raw(durable=False))  # paper money: see docs/adr/0010
        closing.push_async_callback(journal.close)
        market = Journal(await database.raw(durable=False))
        closing.push_async_callback(market.close)
        feed = await make_feed(journal, clock)
        closing.push_async_callback(feed.close)
        store = _market_store(settings, feed, closing)
        runner, account, info = await assemble(
            settings, file, database, journal, market, feed, clock, watcher, store, replay, reloading
        )
        await runner.start()
        await stopping.begin()
        watcher.started(info)
        _settle_memory()
        start_seconds = time.perf_counter() - begun
        stop_task = asyncio.ensure_future(stopping.wanted.wait())
        stop_task.add_done_callback(lambda _: runner.stop())
        run_begun, events_before = time.perf_counter(), account.state.account.sequence
        try:
            ended = await runner.run()
        finally:
            stop_task.cancel()
        run_seconds = time.perf_counter() - run_begun
        handled = runner.handled + account.state.account.sequence - events_before
        if read is not None:
            await read(journal, account)
        return await summarise(info, feed, journal, runner, account, ended, begun, start_seconds, run_seconds, handled)


async def _make_feed(
    settings: Settings, options: UpOptions, file: StrategyFile, journal: Journal, clock: Clock, watcher: Watcher
) -> Feed:
    """The feed that the settings name; a live one without network becomes the synthetic one, and says so."""
    from promethean.runtime.feeds import chosen
    from promethean.storage.journal import market_stream

    wanted = chosen.Wanted(file.exchange, file.base, file.quote, file.market_type, file.timeframe, options.speed)
    name = settings.app.feed
    if name not in (chosen.LIVE, chosen.SYNTHETIC):
        return chosen.file_feed(name, wanted, clock, watcher.say)
    if name == chosen.LIVE:
        from promethean.runtime.feeds.live import Connection

        known = await journal.newest_candle(market_stream(chosen.LIVE, wanted.instrument))
        venue = getattr(settings.exchange, file.exchange, None)
        base_url = venue.base_url if venue is not None else None
        known_open_ns = known.open_time_ns if known is not None else None
        market = settings.market
        connection = Connection(
            market.websocket_enabled, market.queue_size, market.reconnect_base_s, market.reconnect_max_s
        )
        feed = await chosen.live_feed(wanted, base_url, known_open_ns, clock, watcher.say, connection)
        if feed is not None:
            return feed
        watcher.say(
            "Trading goes on with a SYNTHETIC market: its prices are invented, and it has a paper account of its own."
        )
    return chosen.synthetic_feed(wanted, settings.app.seed, clock)


def _settle_memory() -> None:
    """Spare the garbage collector what stays for ever: facts are made by the thousand and hold no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _market_store(
    settings: Settings, feed: Feed, closing: contextlib.AsyncExitStack
) -> Callable[[Sequence[CandleClosed]], None] | None:
    """Where closed candles are stored; None for a recorded feed, whose file is its own store."""
    from promethean.runtime.paper import has_end

    if has_end(feed):
        return None
    from promethean.storage.market_front import open_market_store, serve
    from promethean.storage.market_tables import SeriesKey
    from promethean.storage.market_writer import BatchRule, ClosedCandle, MarketWriter

    clickhouse = settings.clickhouse
    url = clickhouse.url.reveal() if clickhouse.url is not None else None
    store = open_market_store(settings.app.home, url=url, database=clickhouse.database)
    closing.callback(store.close)
    if store.engine_path is not None:
        closing.callback(serve(store, settings.app.home).stop)
    writer = MarketWriter(
        store,
        settings.app.home / "spool",
        source=feed.name,
        batch=BatchRule(clickhouse.batch_rows, clickhouse.batch_seconds),
        spool_bytes=clickhouse.spool_mib * 2**20,
    )
    writer.start()
    closing.callback(writer.close)
    (instrument,) = feed.instruments.values()
    pair = f"{instrument.base}/{instrument.quote}"
    key = SeriesKey(instrument.exchange, instrument.market_type, pair, feed.timeframe)

    def store_candles(candles: Sequence[CandleClosed]) -> None:
        for event in candles:
            writer.put(ClosedCandle(key, event.candle, event.received_at_ns))

    return store_candles
