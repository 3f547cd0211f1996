"""The composition root: builds every object and hands it over.  Nothing else knows the mode."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence, Sized
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_args

from promethean import __version__
from promethean.config import Settings, VenueName, fraction
from promethean.domain.errors import (
    ConfigError,
    JournalTamperedError,
    LeaseLostError,
    PrometheanError,
    StoreError,
    unknown_name,
)
from promethean.domain.ids import AccountId, StrategyId, UserId
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.orders import OrderType
from promethean.domain.registry import load_plugins, scan

if TYPE_CHECKING:
    from promethean.domain.events import CandleClosed
    from promethean.engine.desk import Desk
    from promethean.exchanges.paper.venue import PaperTerms
    from promethean.runtime.account import AccountRunner, Halt, Opening
    from promethean.runtime.clock import Clock
    from promethean.runtime.doctor import Check
    from promethean.runtime.feeds.port import Feed
    from promethean.runtime.operations import KillReport, Lifting, PlatformStatus, StreamCheck
    from promethean.runtime.runner import Runner
    from promethean.runtime.watching import RunInfo, Summary, Watcher
    from promethean.storage.accounts import Account as AccountRecord
    from promethean.storage.database import Database
    from promethean.storage.journal import Journal
    from promethean.storage.market_store import ImportReport, MarketStore, SeriesSummary
    from promethean.storage.postgres_server import EmbeddedPostgres
    from promethean.storage.projections import Projector
    from promethean.storage.tables import LatchScope
    from promethean.strategies.file import StrategyFile

log = logging.getLogger(__name__)
T = TypeVar("T")

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


class Postgres:
    """Where PostgreSQL is: DATABASE_URL, else the embedded server of the home, started when nobody runs it.

    Use it in `with`, from the main thread.  Raises ConfigError and StoreError as the server does.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: EmbeddedPostgres | None = None

    def __enter__(self) -> Self:
        self.dsn = self._find()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stop()

    def find_again(self) -> None:
        """After a failure: start our own server again, or look where the one of another process has gone."""
        if self._server is None:
            self.dsn = self._find()
        elif not self._server.running:
            self.dsn = self._server.start()

    def _find(self) -> str:
        if self._settings.postgres.url is not None:
            return self._settings.postgres.url.reveal()
        from promethean.storage.postgres_server import connect_or_start

        dsn, self._server = connect_or_start(self._settings.app.home, self._settings.postgres.port)
        return dsn


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


def up(settings: Settings, options: UpOptions, watcher: Watcher) -> Summary:
    """Run the platform on paper until it is stopped or done.

    Raises ConfigError for what is wrong with set-up or input, before anything trades; StoreError when PostgreSQL stays
    away.  SIGINT and SIGTERM end it cleanly.
    """
    from promethean.runtime.home import only_one, prepare_home

    begun = time.perf_counter()
    register_everything()
    file = load_strategy(find_strategy_file(settings, options.strategy))
    _refuse_early(settings, options)
    home = prepare_home(settings.app.home)
    with only_one(home):
        _check_keys(settings)
        with Postgres(settings) as database:
            return asyncio.run(_up(settings, options, watcher, file, database, begun))


def _refuse_early(settings: Settings, options: UpOptions) -> None:
    """What can be seen to be wrong before anything is started."""
    feed = settings.app.feed
    if settings.app.mode != "paper":
        raise ConfigError(f"app.mode is {settings.app.mode}; only paper trading is available yet")
    if feed in ("live", "synthetic"):
        if options.until_end:
            raise ConfigError(f"--until-end needs a feed that ends, and the {feed} feed does not; use --for 30m")
    elif not Path(feed).expanduser().is_file():
        raise ConfigError(f"there is no file {feed} to feed from; give live, synthetic or a Parquet or CSV file")


def _check_keys(settings: Settings) -> None:
    """A damaged key file is told before a database is started for it."""
    from promethean.storage.vault import load_key_ring

    load_key_ring(settings.app.home, settings.vault.key, settings.vault.previous_keys)


async def _up(
    settings: Settings, options: UpOptions, watcher: Watcher, file: StrategyFile, postgres: Postgres, begun: float
) -> Summary:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if options.for_s is not None:
        loop.call_later(options.for_s, stopping.set)
    for attempt in range(RESTARTS_MAX + 1):
        try:
            return await _run_once(settings, options, watcher, file, postgres.dsn, stopping, begun)
        except (LeaseLostError, JournalTamperedError):
            raise  # another process has the account, or somebody edited its journal: a person has to look
        except (StoreError, ConfigError) as error:
            # A database that was there and refuses now is away, not wrong.
            is_first = attempt == 0 and isinstance(error, ConfigError)
            if is_first or attempt == RESTARTS_MAX or stopping.is_set():
                raise
            # Restarting is the same as starting: nothing of the broken group is true, the journal knows what is.
            wait_s = 0.5 * 2**attempt
            watcher.say(f"{error}.  Starting again from the journal in {wait_s:g} s.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), wait_s)
            postgres.find_again()
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
        feed = await _make_feed(settings, options, file, journal, clock, watcher)
        closing.push_async_callback(feed.close)
        store = _market_store(settings, feed, closing)
        runner, account, info = await _assemble(settings, file, database, journal, market, feed, clock, watcher, store)
        await runner.start()
        watcher.started(info)
        _settle_memory()
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


async def _assemble(
    settings: Settings,
    file: StrategyFile,
    database: Database,
    journal: Journal,
    market: Journal,
    feed: Feed,
    clock: Clock,
    watcher: Watcher,
    store: Callable[[Sequence[CandleClosed]], None] | None,
) -> tuple[Runner, AccountRunner, RunInfo]:
    """Every object of a paper run, built and handed over."""
    from promethean.exchanges.paper.venue import PaperVenue
    from promethean.runtime.account import AccountRunner
    from promethean.runtime.paper import paper_account
    from promethean.runtime.runner import Runner
    from promethean.runtime.watching import RunInfo
    from promethean.storage import accounts

    owner = await accounts.ensure_owner(database)
    await accounts.write_default_limits(database, owner, account_limits(settings))
    (instrument,) = feed.instruments.values()
    desk = make_desk(settings, file, instrument, feed.timeframe, await accounts.read_limits(database, owner))
    terms, balance = _paper_terms(settings, instrument), settings.execution.paper_balance
    config_hash = _hash_of(file.config_hash, desk.limits, terms, balance)
    label, account, continued = await paper_account(database, journal, owner, feed, config_hash)
    is_live = feed.starts_at_ns is None
    account_runner = AccountRunner(
        journal=journal,
        lease=await journal.take_lease(account, owner, settings.app.instance_id, build_hash(), config_hash),
        desk=desk,
        venue=PaperVenue({instrument.id: instrument}, terms, balance),
        projector=await _projector(database, owner, account, file, desk),
        opening=_opening(feed, instrument, balance, clock),
        build=build_hash(),
        config_hash=config_hash,
        # Recorded and invented prices have a time of their own; live ones are of this machine's time.
        now=(lambda state: clock.now_ns()) if is_live else (lambda state: state.now_ns),
        wall_ns=clock.now_ns,
        halts=await _halts(settings, database, owner, account),
        told=watcher.told,
    )
    history = max(seat.strategy.window for seat in desk.seats) + 1
    runner = Runner(feed, journal, market, account_runner, history=history, tick=watcher.tick, on_candles=store)
    info = RunInfo(
        provenance=feed.provenance,
        is_synthetic=feed.is_synthetic,
        account=label,
        strategy=desk.seats[0].strategy,
        instrument=instrument,
        home=settings.app.home,
        total=len(feed) if isinstance(feed, Sized) else None,
        continued=continued,
        limits=desk.limits,
    )
    return runner, account_runner, info


def _hash_of(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _paper_terms(settings: Settings, instrument: Instrument) -> PaperTerms:
    from promethean.exchanges.paper.venue import PaperTerms

    execution = settings.execution
    commission = execution.commission_default_pct
    is_spot = instrument.market_type is MarketType.SPOT
    return PaperTerms(
        fee_maker=fraction(commission.spot_maker if is_spot else commission.futures_maker),
        fee_taker=fraction(commission.spot_taker if is_spot else commission.futures_taker),
        slippage_bps=execution.paper_slippage_bps,
        latency_ms=execution.paper_latency_ms,
        participation_max=execution.participation_max,
        seed=settings.app.seed,
    )


def _opening(feed: Feed, instrument: Instrument, balance: Decimal, clock: Clock) -> Opening:
    from promethean.runtime.account import Opening

    return Opening(
        at_ns=clock.now_ns() if feed.starts_at_ns is None else feed.starts_at_ns,
        currency=instrument.quote,
        balance=balance,
        exchange=instrument.exchange,
        provenance=feed.provenance,
    )


async def _projector(
    database: Database, owner: UserId, account: AccountId, file: StrategyFile, desk: Desk
) -> Projector:
    """What writes the tables of this account, with the rows that its rows point to."""
    from promethean.storage import accounts
    from promethean.storage.projections import Owner, Projector
    from promethean.storage.tables import BudgetScope

    budget = (BudgetScope.VENUE, account)
    budgets = await accounts.ensure_budgets(database, owner, {budget: desk.limits.total_exposure or Decimal(0)})
    row = await accounts.ensure_strategy(database, owner, file.id, file.class_name, file.content, file.config_hash)
    strategies = {StrategyId(file.id): row}
    return Projector(
        Owner(account, owner, budgets[budget], desk.instruments(), strategies, build_hash(), _hash_of(desk.limits))
    )


async def _halts(
    settings: Settings, database: Database, owner: UserId, account: AccountId
) -> Callable[[], Sequence[Halt]]:
    """What reads the kill latches of this account, from memory and files; PostgreSQL's are brought in first."""
    from promethean.runtime.account import Halt
    from promethean.storage.latches import KillSwitch, LatchFiles

    switch = KillSwitch(LatchFiles(settings.app.home / "latches"))
    await switch.settle(database)

    def halts() -> list[Halt]:
        latch = switch.killed(owner, account)
        return [] if latch is None else [Halt(latch.scope.value, latch.reason, latch.set_by)]

    return halts


# ---------------------------------------------------------------- what the commands ask

SERVER_WAIT_S = 20.0


def with_database(settings: Settings, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """What `work` answers on the migrated database, started for the moment when nobody runs it.

    Raises ConfigError and StoreError as the server and the database do.
    """

    async def story(dsn: str) -> T:
        database = await open_database(settings, dsn)
        try:
            return await work(database)
        finally:
            await database.close()

    if (dsn := _dsn_of_running(settings)) is not None:
        return asyncio.run(story(dsn))
    with Postgres(settings) as database:
        return asyncio.run(story(database.dsn))


def _dsn_of_running(settings: Settings) -> str | None:
    """The address of the running platform's own server; None when nothing runs or the server is not ours.

    While it starts, it is waited for: a server of this command's own would end with the command, under the platform.
    """
    from promethean.runtime.home import running_process
    from promethean.storage.postgres_server import running_dsn

    if settings.postgres.url is not None:
        return None
    home = settings.app.home
    deadline = time.monotonic() + SERVER_WAIT_S
    while (process := running_process(home)) is not None:
        dsn = running_dsn(home)
        if dsn is not None:
            return dsn
        if time.monotonic() > deadline:
            raise StoreError(f"process {process} runs the platform, and its database does not answer; see {home}/logs")
        time.sleep(0.05)
    return None


def has_database(settings: Settings) -> bool:
    """Whether there is a database to ask; looking makes none."""
    return settings.postgres.url is not None or (settings.app.home / "postgres.lock").exists()


def status(settings: Settings) -> PlatformStatus:
    """How the installation stands.  On a home where nothing has run yet, nothing is made."""
    from promethean.runtime.home import running_process
    from promethean.runtime.operations import AccountStatus, PlatformStatus, account_statuses
    from promethean.storage import accounts
    from promethean.storage.latches import LatchFiles, describe

    home = settings.app.home
    files = LatchFiles(home / "latches") if home.exists() else None
    killed = files.read_all() if files is not None else ()

    async def ask(database: Database) -> tuple[AccountStatus, ...]:
        return await account_statuses(database, await accounts.ensure_owner(database), killed)

    known = with_database(settings, ask) if has_database(settings) else ()
    return PlatformStatus(home, running_process(home), tuple(map(describe, killed)), known)


def kill(settings: Settings, account: str | None, reason: str, by: str) -> KillReport:
    """Set the kill switch of the platform, or of one account by its label, and say what became of it.

    The latch file comes first: it stops a running platform whatever else is broken.
    Raises ConfigError for an unknown account; StoreError when the latch file cannot be written.
    """
    from promethean.runtime.home import prepare_home, running_process
    from promethean.runtime.operations import KillReport, kill_result
    from promethean.storage import accounts
    from promethean.storage.latches import LatchFiles, describe
    from promethean.storage.postgres_server import running_dsn

    home = prepare_home(settings.app.home)
    scope, scope_id = _latch_scope(settings, account)
    latch = LatchFiles(home / "latches").set(scope, scope_id, reason, by)
    is_running = running_process(home) is not None

    async def finish(database: Database) -> KillReport:
        owner = await accounts.ensure_owner(database)
        return await kill_result(database, owner, latch, is_running=is_running)

    if settings.postgres.url is not None or running_dsn(home) is not None:
        try:
            return with_database(settings, finish)
        except PrometheanError as error:
            log.warning("the kill switch is set, PostgreSQL cannot be told now", extra={"error": str(error)})
    result = "UNCONFIRMED" if is_running else "NOT_RUNNING"
    return KillReport(str(scope), describe(latch), False, result, ())


def ask_to_lift(settings: Settings, account: str | None) -> Lifting:
    """What a person has to see and type before a kill latch is lifted.  Raises ConfigError when it is not set."""
    from promethean.runtime import operations
    from promethean.storage.latches import LatchFiles

    scope, scope_id = _latch_scope(settings, account)
    files = LatchFiles(settings.app.home / "latches")
    if not has_database(settings) and files.read(scope, scope_id) is None:
        raise ConfigError(f"the {scope} kill latch is not set")
    return with_database(settings, lambda database: operations.ask_to_lift(database, files, scope, scope_id))


def lift(settings: Settings, lifting: Lifting, by: str) -> tuple[str, ...]:
    """Lift a latch after the person has typed its word: the latches that are still in force, in words."""
    from promethean.storage import latches

    files = latches.LatchFiles(settings.app.home / "latches")
    latch, nonce = lifting.latch, lifting.nonce
    left = with_database(
        settings, lambda database: latches.lift(database, files, latch.scope, latch.scope_id, nonce, by)
    )
    return tuple(map(latches.describe, left))


def _latch_scope(settings: Settings, account: str | None) -> tuple[LatchScope, str]:
    from promethean.storage import accounts
    from promethean.storage.tables import LatchScope

    if account is None:
        return LatchScope.PLATFORM, ""
    label = account

    async def find(database: Database) -> str:
        return (await accounts.get_account(database, await accounts.ensure_owner(database), label)).id

    if not has_database(settings):
        raise ConfigError(unknown_name("account", label, ()))
    return LatchScope.ACCOUNT, with_database(settings, find)


def add_account(settings: Settings, exchange: str, label: str) -> AccountId:
    """Add a paper account.  Raises ConfigError for an unknown exchange or a label that is taken."""
    from promethean.runtime.home import prepare_home
    from promethean.storage import accounts

    known = get_args(VenueName)
    if exchange not in known:
        raise ConfigError(unknown_name("exchange", exchange, known))

    async def add(database: Database) -> AccountId:
        owner = await accounts.ensure_owner(database)
        return await accounts.add_account(database, owner, exchange, label, is_paper=True)

    prepare_home(settings.app.home)
    return with_database(settings, add)


def list_accounts(settings: Settings) -> tuple[AccountRecord, ...]:
    """The owner's accounts, oldest first."""
    from promethean.storage import accounts

    async def ask(database: Database) -> tuple[AccountRecord, ...]:
        return await accounts.list_accounts(database, await accounts.ensure_owner(database))

    return with_database(settings, ask) if has_database(settings) else ()


def verify_journal(settings: Settings, looked: Callable[[int, int], None]) -> tuple[StreamCheck, ...]:
    """Check every row of the journal against its hash chain.  looked: is told the rows done and the rows to do."""
    from promethean.runtime import operations
    from promethean.storage.journal import Journal

    async def ask(database: Database) -> tuple[StreamCheck, ...]:
        journal = Journal(await database.raw())
        try:
            return await operations.verify_journal(journal, looked)
        finally:
            await journal.close()

    return with_database(settings, ask) if has_database(settings) else ()


def migrate(settings: Settings) -> str:
    """Bring the database to the version of this program; the version."""
    from promethean.runtime.home import prepare_home
    from promethean.storage.database import newest_revision

    async def nothing_more(database: Database) -> str:
        return newest_revision()

    prepare_home(settings.app.home)
    return with_database(settings, nothing_more)


def rotate_key(settings: Settings) -> int:
    """Replace the key of the key file; the number of rows encrypted anew.

    Raises ConfigError when the key comes from ENCRYPTION_KEY, or there is no readable key file.
    """
    from promethean.storage.vault import rotate_key_file

    if settings.vault.key is not None:
        raise ConfigError("the key comes from ENCRYPTION_KEY; put the new one there and the old one into previous_keys")

    async def rotation(database: Database) -> int:
        return await rotate_key_file(database, settings.app.home)

    return with_database(settings, rotation)


@contextlib.contextmanager
def market_store(settings: Settings) -> Iterator[MarketStore]:
    """The market store of the home, or the one at MARKET_STORE_URL."""
    from promethean.runtime.home import prepare_home
    from promethean.storage.market_front import open_market_store

    clickhouse = settings.clickhouse
    url = clickhouse.url.reveal() if clickhouse.url is not None else None
    prepare_home(settings.app.home)
    store = open_market_store(settings.app.home, url=url, database=clickhouse.database)
    try:
        yield store
    finally:
        store.close()


def has_market_store(settings: Settings) -> bool:
    """Whether there is a market store to ask; looking makes none."""
    from promethean.storage.market_front import STORE_FOLDER

    return settings.clickhouse.url is not None or (settings.app.home / STORE_FOLDER).exists()


def import_candles(
    settings: Settings, path: Path, market: str | None, timeframe: str | None, progress: Callable[[int, int], None]
) -> ImportReport:
    """Import a file of candles into the market store.

    market: `binance:BTC/USDT[-PERP]`, None to read it from the file's name; timeframe: the same.
    progress: is told the rows done and the rows to do.
    Raises ConfigError when the file as a whole cannot be used; StoreError when the store fails.
    """
    from promethean.domain.candles import timeframe_ns
    from promethean.storage.candle_files import MarketName
    from promethean.storage.market_store import import_candles as run_import

    named = MarketName.parse(market) if market is not None else None
    if timeframe is not None:
        timeframe_ns(timeframe)
    with market_store(settings) as store:
        return run_import(store, path, market=named, timeframe=timeframe, progress=progress, now_ns=time.time_ns())


def list_candles(settings: Settings) -> list[SeriesSummary]:
    """Every stored series of candles."""
    if not has_market_store(settings):
        return []
    with market_store(settings) as store:
        return store.series()


def doctor(settings: Settings) -> list[Check]:
    """Every precondition of `up`, looked at one by one.  Nothing is made on a home that is not there yet."""
    from promethean.runtime import doctor as look
    from promethean.storage.vault import load_key_ring

    home, vault = settings.app.home, settings.vault

    def key() -> str:
        ring = load_key_ring(home, vault.key, vault.previous_keys)
        return "made at the first start" if ring is None else f"fingerprint {ring.current.fingerprint.hex()}"

    def strategy() -> str:
        register_everything()
        file = load_strategy(find_strategy_file(settings, DEFAULT_STRATEGY))
        return f"{file.id} reads {file.base}/{file.quote} {file.timeframe} at {file.exchange}"

    newest: list[int | None] = [None]
    return [
        look.python_version(),
        look.home_writable(home),
        look.disk_space(home),
        look.guarded("Key file", key),
        look.guarded("Kill switch", lambda: _kill_switch_words(settings)),
        look.guarded("PostgreSQL", lambda: _postgres_words(settings, newest)),
        look.guarded("Market store", lambda: _market_store_words(settings)),
        look.guarded("Strategy", strategy),
        look.clock(newest[0]),
        look.guarded("Network", lambda: _network_words(settings)),
    ]


def _kill_switch_words(settings: Settings) -> str:
    from promethean.storage.latches import LatchFiles, describe

    if not settings.app.home.exists():
        return "not set"
    latches = LatchFiles(settings.app.home / "latches").read_all()
    damaged = [latch.reason for latch in latches if not latch.readable]
    if damaged:
        raise StoreError(f"{'; '.join(damaged)}; look at it, then run `promethean unkill`")
    return "; ".join(map(describe, latches)) or "not set"


def _postgres_words(settings: Settings, newest: list[int | None]) -> str:
    from promethean.storage.database import newest_revision
    from promethean.storage.postgres_server import packaged_binaries

    if not has_database(settings):
        return f"made at the first start, with the programs in {packaged_binaries()}"

    async def ask(database: Database) -> str:
        from sqlalchemy import text

        async with database.connection() as connection:
            newest[0] = await connection.scalar(text("SELECT max(received_at_ns) FROM events"))
        return f"{database.where}, schema version {newest_revision()}"

    return with_database(settings, ask)


def _market_store_words(settings: Settings) -> str:
    if not has_market_store(settings):
        return "made when candles are first stored"
    with market_store(settings) as store:
        store.ping()
        return f"{len(store.series())} series of candles"


def _network_words(settings: Settings) -> str:
    from promethean.runtime.feeds.live import VENUE_URLS, venue_reachable

    venue = settings.market.primary_exchange
    url = getattr(settings.exchange, venue).base_url or VENUE_URLS.get(venue)
    if url is None:
        return f"there is no live data for {venue} yet; `up` uses a SYNTHETIC market or a file"
    if asyncio.run(venue_reachable(url)):
        return f"{venue} answers"
    return f"{venue} does not answer; that is fine: `up` then uses a SYNTHETIC market, and files work as well"


def catalogue() -> dict[str, Any]:
    """Everything that is really registered, under the keys of the specification's catalogue; empty is not there yet."""
    from pkgutil import iter_modules

    from promethean import execution
    from promethean.domain.orders import Protection
    from promethean.domain.signals import Signal, SignalSource, SignalType
    from promethean.engine.decide import Aggregation
    from promethean.exchanges.paper.venue import PaperVenue
    from promethean.indicators.catalogue import INDICATORS
    from promethean.runtime.feeds.live import VENUE_URLS
    from promethean.storage.market_tables import CREATE
    from promethean.storage.tables import METADATA
    from promethean.strategies.catalogue import STRATEGIES

    register_everything()
    exits = {"stop_loss": "stop_loss", "tiers": "take_profit_tiers"}
    return {
        "modes": ["paper"],
        "exchanges": sorted(set(VENUE_URLS) & set(get_args(VenueName))),
        "order_types": sorted(PaperVenue.capabilities.order_types),
        "execution_algorithms": sorted(module.name for module in iter_modules(execution.__path__)),
        "strategies_builtin": list(STRATEGIES),
        "signals": {
            "types": list(SignalType),
            "sources": list(SignalSource),
            "fields": list(Signal.__struct_fields__),
            "aggregators": list(Aggregation),
            "presets": [],
        },
        "exits": [exits[name] for name in Protection.__struct_fields__],
        "tools": {},
        "indicators": {name: entry.description for name, entry in sorted(INDICATORS.entries().items())},
        "agents": {},
        "spike_crew": [],
        "ai_providers": [],
        "workers": {},
        "sources": {},
        "telegram_commands": {},
        "notifications": [],
        "topics": [],
        "postgres_tables": sorted(METADATA.tables),
        "clickhouse_tables": sorted(CREATE),
        "ml_models": [],
        "rl": [],
        "cost_modes": [],
        "dashboard_components": 0,
    }
