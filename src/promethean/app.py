"""The composition root: builds every object and hands it over.  Nothing else knows the mode."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from promethean import __version__
from promethean.config import Settings, fraction
from promethean.domain.errors import ConfigError, StoreError, unknown_name
from promethean.domain.ids import AccountId, StrategyId, UserId
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.orders import OrderType
from promethean.domain.registry import load_plugins, scan

if TYPE_CHECKING:
    from promethean.domain.events import AccountEvent, CandleClosed
    from promethean.engine.desk import Desk
    from promethean.engine.state import State
    from promethean.runtime.account import AccountRunner
    from promethean.runtime.clock import Clock
    from promethean.runtime.feeds.port import Feed
    from promethean.runtime.runner import Runner
    from promethean.storage.database import Database
    from promethean.storage.journal import Journal
    from promethean.storage.postgres_server import EmbeddedPostgres
    from promethean.strategies.catalogue import Strategy
    from promethean.strategies.file import StrategyFile

log = logging.getLogger(__name__)

DEFAULT_STRATEGY = "rsi_reversion"
RESTARTS_MAX = 5


def register_everything() -> None:
    """Import every module that registers a name, ours and the plug-ins'."""
    from promethean import indicators, strategies

    scan(indicators)
    scan(strategies)
    load_plugins()


def build_hash() -> str:
    """What this program is: the version, until a release carries its own hash."""
    return hashlib.sha256(f"promethean {__version__}".encode()).hexdigest()[:16]


@contextlib.contextmanager
def postgres(settings: Settings) -> Iterator[tuple[str, EmbeddedPostgres | None]]:
    """The address of PostgreSQL: DATABASE_URL, else the embedded server of the home, started when nobody runs it.

    Raises ConfigError and StoreError as the server does.  Call it from the main thread, outside the event loop.
    """
    if settings.postgres.url is not None:
        yield settings.postgres.url.reveal(), None
        return
    from promethean.storage.postgres_server import connect_or_start

    dsn, server = connect_or_start(settings.app.home, settings.postgres.port)
    try:
        yield dsn, server
    finally:
        if server is not None:
            server.stop()


async def open_database(settings: Settings, dsn: str) -> Database:
    """A migrated database."""
    from promethean.storage.database import Database

    pg = settings.postgres
    ssl_mode = None if settings.postgres.url is None else pg.ssl_mode
    database = await Database.open(dsn, pg.pool_min, pg.pool_max, pg.statement_timeout_ms, ssl_mode)
    await database.migrate()
    return database


# ---------------------------------------------------------------- what trades


def find_strategy_file(settings: Settings, name: str) -> Path:
    """A strategy file by path, or by name in the folder of strategy files and among the ones that come with us.

    Raises ConfigError with the closest known names.
    """
    shipped = Path(__file__).parents[2] / "config" / "strategies"
    folders = [settings.strategies.dir, shipped]
    for candidate in (Path(name), *(folder / name for folder in folders), *(f / f"{name}.yaml" for f in folders)):
        if candidate.is_file():
            return candidate
    known = {path.name for folder in folders if folder.is_dir() for path in folder.glob("*.yaml")}
    raise ConfigError(unknown_name("strategy file", name, known))


def load_strategy(path: Path) -> StrategyFile:
    """A checked strategy file.  Raises ConfigError naming what is wrong and where."""
    from promethean.strategies.file import parse_strategy

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"strategy file {path} cannot be read: {error}") from error
    return parse_strategy(text, str(path))


def account_limits(settings: Settings) -> dict[str, Decimal]:
    """The limits that the settings put into the record of a new user, by limit code."""
    risk = settings.risk
    return {
        "price_fresh_s": risk.price_fresh_paper_s,
        "order_notional_min": risk.order_notional_min,
        "order_notional_max": risk.order_notional_max,
        "daily_trades": Decimal(risk.daily_trades),
        "open_positions": Decimal(risk.open_positions),
        "total_exposure": risk.total_exposure,
        "total_exposure_share": fraction(risk.total_exposure_pct),
        "circuit_breaker_daily_loss": fraction(risk.circuit_breaker_daily_loss_pct),
        "circuit_breaker_losing_streak": Decimal(risk.circuit_breaker_losing_streak),
    }


def make_desk(settings: Settings, file: StrategyFile, instrument: Instrument, timeframe: str, record: Any) -> Desk:
    """The desk of one strategy at one market.  record: the user's limits by code."""
    from promethean.domain.candles import timeframe_ns
    from promethean.engine.decide import parse_aggregation
    from promethean.engine.desk import Desk, Seat
    from promethean.risk.limits import Limits
    from promethean.strategies.catalogue import STRATEGIES

    limits = Limits.from_record(record).stricter(file.limits)
    can_short = instrument.market_type is MarketType.FUTURES
    strategy = STRATEGIES.get(file.class_name)(
        id=StrategyId(file.id),
        instrument=instrument.id,
        timeframe=timeframe,
        parameters=file.parameters,
        can_short=can_short,
    )
    slippage = file.slippage_tolerance
    seat = Seat(
        strategy=strategy,
        instrument=instrument,
        timeframe_ns=timeframe_ns(timeframe),
        aggregation=parse_aggregation(file.aggregation or settings.strategies.aggregation),
        threshold=file.threshold if file.threshold is not None else settings.strategies.signal_threshold,
        sizing=file.sizing,
        protection=file.protection,
        order_type=file.order_type or OrderType(settings.execution.order_type),
        slippage_tolerance=slippage if slippage is not None else fraction(settings.execution.slippage_max_pct),
        cooldown_ns=file.cooldown_bars * timeframe_ns(timeframe),
        can_short=can_short,
        limits=limits,
    )
    return Desk((seat,), limits)


# ---------------------------------------------------------------- running


class Watcher(Protocol):
    """Who looks on: a terminal, or nobody.  Called in the run's own loop, so it must be quick."""

    def say(self, text: str) -> None:
        """One plain sentence about what the platform does."""
        ...

    def started(self, run: RunInfo) -> None:
        """The account is safe and the first market event is next."""
        ...

    def told(self, facts: Sequence[tuple[AccountEvent, State]]) -> None:
        """Facts of the account that are committed now, each with the state right after it."""
        ...

    def tick(self, state: State, candles: int) -> None:
        """The account and the number of candles it has handled; after every batch."""
        ...


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What runs: for people.  total: candles of a recorded feed, None when it has no end."""

    provenance: str
    is_synthetic: bool
    account: str
    strategy: Strategy
    instrument: Instrument
    home: Path
    total: int | None
    continued: bool


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


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to.  Amounts are quote units as decimal text; counts are of the whole account."""

    feed: str
    synthetic: bool
    account: str
    strategy: str
    symbol: str
    finished: bool
    candles: int
    events: int
    signals: int
    refusals: int
    orders: int
    fills: int
    trades: int
    wins: int
    losses: int
    fees: str
    realised: str
    start_equity: str
    final_equity: str | None
    open_positions: int
    journal_hash: str
    seconds: float
    events_per_s: float
    start_seconds: float
    peak_rss_mb: float


def up(settings: Settings, options: UpOptions, watcher: Watcher) -> Summary:
    """Run the platform on paper until it is stopped or done.

    Raises ConfigError for what is wrong with set-up or input, before anything trades; StoreError when PostgreSQL stays
    away.  SIGINT and SIGTERM end it cleanly.
    """
    from promethean.runtime.home import only_one, prepare_home
    from promethean.storage.vault import load_key_ring

    begun = time.perf_counter()
    if settings.app.mode != "paper":
        raise ConfigError(f"app.mode is {settings.app.mode}; only paper trading is available yet")
    register_everything()
    file = load_strategy(find_strategy_file(settings, options.strategy))
    home = prepare_home(settings.app.home)
    with only_one(home):
        load_key_ring(home, settings.vault.key, settings.vault.previous_keys)
        with postgres(settings) as (dsn, server):
            return asyncio.run(_up(settings, options, watcher, file, dsn, server, begun))


async def _up(
    settings: Settings,
    options: UpOptions,
    watcher: Watcher,
    file: StrategyFile,
    dsn: str,
    server: EmbeddedPostgres | None,
    begun: float,
) -> Summary:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if options.for_s is not None:
        loop.call_later(options.for_s, stopping.set)
    for attempt in range(RESTARTS_MAX + 1):
        try:
            return await _run_once(settings, options, watcher, file, dsn, stopping, begun)
        except StoreError as error:
            if attempt == RESTARTS_MAX or stopping.is_set():
                raise
            # Restarting is the same as starting: nothing of the broken group is true, the journal knows what is.
            wait_s = 0.5 * 2**attempt
            watcher.say(f"{error}.  Starting again from the journal in {wait_s:g} s.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), wait_s)
            if server is not None and not server.running:
                dsn = server.start()
    raise AssertionError("every way out of the loop returns or raises")


async def _run_once(
    settings: Settings,
    options: UpOptions,
    watcher: Watcher,
    file: StrategyFile,
    dsn: str,
    stopping: asyncio.Event,
    begun: float,
) -> Summary:
    from promethean.runtime.clock import SystemClock
    from promethean.storage.journal import Journal

    clock = SystemClock()
    async with contextlib.AsyncExitStack() as closing:
        database = await open_database(settings, dsn)
        closing.push_async_callback(database.close)
        journal = Journal(await database.raw())
        closing.push_async_callback(journal.close)
        feed = await _make_feed(settings, options, file, journal, clock, watcher)
        closing.push_async_callback(feed.close)
        if options.until_end and not _has_end(feed):
            raise ConfigError(f"--until-end needs a feed that ends, and {feed.provenance} does not; use --for 30m")
        store = _market_store(settings, feed, closing)
        runner, account, info = await _assemble(settings, file, database, journal, feed, clock, watcher, store)
        await runner.start()
        watcher.started(info)
        start_seconds = time.perf_counter() - begun
        stop_task = asyncio.ensure_future(stopping.wait())
        stop_task.add_done_callback(lambda _: runner.stop())
        run_begun, events_before = time.perf_counter(), account.state.account.sequence
        try:
            ended = await runner.run()
        finally:
            stop_task.cancel()
        run_seconds = time.perf_counter() - run_begun
        handled = runner.handled + account.state.account.sequence - events_before
        return await _summary(
            info, feed, journal, runner, account, ended, begun, start_seconds, handled / max(run_seconds, 1e-9)
        )


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
        known = await journal.newest_candle(market_stream(chosen.LIVE, wanted.instrument))
        base_url = (
            getattr(settings.exchange, file.exchange).base_url if hasattr(settings.exchange, file.exchange) else None
        )
        feed = await chosen.live_feed(wanted, base_url, known and known.open_time_ns, clock, watcher.say)
        if feed is not None:
            return feed
        watcher.say(
            "Trading goes on with a SYNTHETIC market: its prices are invented, and it has a paper account of its own."
        )
    return chosen.synthetic_feed(wanted, settings.app.seed, clock)


def _has_end(feed: Feed) -> bool:
    return feed.is_repeatable and not feed.is_synthetic


def _market_store(
    settings: Settings, feed: Feed, closing: contextlib.AsyncExitStack
) -> Callable[[Sequence[CandleClosed]], None] | None:
    """Where closed candles are stored; None for a recorded feed, whose file is its own store."""
    if _has_end(feed):
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


async def _assemble(
    settings: Settings,
    file: StrategyFile,
    database: Database,
    journal: Journal,
    feed: Feed,
    clock: Clock,
    watcher: Watcher,
    store: Callable[[Sequence[CandleClosed]], None] | None,
) -> tuple[Runner, AccountRunner, RunInfo]:
    """Every object of a paper run, built and handed over."""
    from promethean.exchanges.paper.venue import PaperTerms, PaperVenue
    from promethean.runtime.account import AccountRunner, Halt, Opening
    from promethean.runtime.runner import Runner
    from promethean.storage import accounts
    from promethean.storage.latches import KillSwitch, LatchFiles
    from promethean.storage.projections import Owner, Projector
    from promethean.storage.tables import BudgetScope

    owner = await accounts.ensure_owner(database)
    await accounts.write_default_limits(database, owner, account_limits(settings))
    record = await accounts.read_limits(database, owner)
    (instrument,) = feed.instruments.values()
    desk = make_desk(settings, file, instrument, feed.timeframe, record)
    config_hash = hashlib.sha256(repr((file.config_hash, desk.limits, settings.app.seed)).encode()).hexdigest()[:16]
    label, account, continued = await _paper_account(database, journal, owner, feed, config_hash)
    budget = (BudgetScope.VENUE, account)
    budgets = await accounts.ensure_budgets(database, owner, {budget: desk.limits.total_exposure or Decimal(0)})
    strategy_row = await accounts.ensure_strategy(
        database, owner, file.id, file.class_name, file.content, file.config_hash
    )
    execution = settings.execution
    commission = execution.commission_default_pct
    is_spot = instrument.market_type is MarketType.SPOT
    terms = PaperTerms(
        fee_maker=fraction(commission.spot_maker if is_spot else commission.futures_maker),
        fee_taker=fraction(commission.spot_taker if is_spot else commission.futures_taker),
        slippage_bps=execution.paper_slippage_bps,
        latency_ms=execution.paper_latency_ms,
        participation_max=execution.participation_max,
        seed=settings.app.seed,
    )
    instruments = {instrument.id: instrument}
    switch = KillSwitch(LatchFiles(settings.app.home / "latches"))
    await switch.settle(database)

    def halts() -> list[Halt]:
        latch = switch.killed(owner, account)
        return [] if latch is None else [Halt(latch.scope.value, latch.reason, latch.set_by)]

    starts_at_ns = feed.starts_at_ns
    is_live = starts_at_ns is None
    opening = Opening(
        at_ns=clock.now_ns() if starts_at_ns is None else starts_at_ns,
        currency=instrument.quote,
        balance=execution.paper_balance,
        exchange=instrument.exchange,
        provenance=feed.provenance,
    )
    limits_hash = hashlib.sha256(repr(desk.limits).encode()).hexdigest()[:16]
    account_runner = AccountRunner(
        journal=journal,
        lease=await journal.take_lease(account, owner, settings.app.instance_id, build_hash(), config_hash),
        desk=desk,
        venue=PaperVenue(instruments, terms, execution.paper_balance),
        projector=Projector(
            Owner(
                account,
                owner,
                budgets[budget],
                instruments,
                {StrategyId(file.id): strategy_row},
                build_hash(),
                limits_hash,
            )
        ),
        opening=opening,
        build=build_hash(),
        config_hash=config_hash,
        # Recorded and invented prices have a time of their own; live ones are of this machine's time.
        now=(lambda state: clock.now_ns()) if is_live else (lambda state: state.now_ns),
        wall_ns=clock.now_ns,
        halts=halts,
        told=watcher.told,
    )
    history = max(seat.strategy.window for seat in desk.seats) + 1
    runner = Runner(feed, journal, account_runner, history=history, tick=watcher.tick, on_candles=store)
    info = RunInfo(
        provenance=feed.provenance,
        is_synthetic=feed.is_synthetic,
        account=label,
        strategy=desk.seats[0].strategy,
        instrument=instrument,
        home=settings.app.home,
        total=len(feed) if isinstance(feed, Sized) else None,
        continued=continued,
    )
    return runner, account_runner, info


async def _paper_account(
    database: Database, journal: Journal, owner: UserId, feed: Feed, config_hash: str
) -> tuple[str, AccountId, bool]:
    """The paper account of this feed: label, id, and whether it was there before.

    Prices of different origin never meet in one account.  A recording gets an account for each strategy and seed, and
    a new one when its last run is finished.
    """
    from promethean.storage import accounts
    from promethean.storage.journal import account_stream

    (instrument,) = feed.instruments.values()
    base = f"paper-{feed.name}"
    if _has_end(feed):
        base = f"{base}-{config_hash[:8]}"
    number = 1
    while True:
        label = f"{base}-{number}" if _has_end(feed) else base
        found = await accounts.find_account(database, owner, instrument.exchange, label)
        if found is None:
            account = await accounts.add_account(database, owner, instrument.exchange, label, is_paper=True)
            return label, account, False
        if not _has_end(feed) or not await journal.has_finished(account_stream(found.id)):
            return label, found.id, True
        number += 1


async def _summary(
    info: RunInfo,
    feed: Feed,
    journal: Journal,
    runner: Runner,
    account: AccountRunner,
    ended: bool,
    begun: float,
    start_seconds: float,
    events_per_s: float,
) -> Summary:
    from promethean.domain.money import plain
    from promethean.storage.journal import account_stream, market_stream

    state = account.state
    totals = state.account.totals
    streams = [market_stream(feed.name, info.instrument.id), account_stream(state.account.id)]
    equity = state.equity()
    return Summary(
        feed=info.provenance,
        synthetic=info.is_synthetic,
        account=info.account,
        strategy=info.strategy.id,
        symbol=info.instrument.symbol,
        finished=ended,
        candles=runner.sequence,
        events=runner.sequence + state.account.sequence,
        signals=totals.signals,
        refusals=totals.refusals,
        orders=totals.orders,
        fills=totals.fills,
        trades=totals.trades,
        wins=totals.wins,
        losses=totals.losses,
        fees=plain(totals.fees),
        realised=plain(totals.realised),
        start_equity=plain(account.opening.balance),
        final_equity=None if equity is None else plain(equity),
        open_positions=len(state.account.holdings),
        journal_hash=await journal.fingerprint(streams),
        seconds=round(time.perf_counter() - begun, 3),
        events_per_s=round(events_per_s, 1),
        start_seconds=round(start_seconds, 3),
        peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )
