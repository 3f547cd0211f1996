"""The composition root: builds every object and hands it over.  Nothing else knows the mode."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promethean import __version__
from promethean.config import Settings, fraction
from promethean.domain.errors import ConfigError, LeaseLostError, StoreError
from promethean.domain.ids import AccountId, InstrumentId, StrategyId, UserId
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.orders import OrderType
from promethean.domain.registry import load_plugins, scan

if TYPE_CHECKING:
    from promethean.engine.desk import Desk
    from promethean.engine.state import State
    from promethean.runtime.account import AccountRunner, Told
    from promethean.runtime.clock import Clock
    from promethean.runtime.feeds.port import Feed
    from promethean.runtime.runner import Runner
    from promethean.storage.database import Database
    from promethean.storage.journal import Journal
    from promethean.storage.postgres_server import EmbeddedPostgres
    from promethean.strategies.file import StrategyFile

log = logging.getLogger(__name__)

DEFAULT_STRATEGY = "rsi_reversion.yaml"
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
    from promethean.domain.errors import unknown_name

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


# ---------------------------------------------------------------- feeds


async def make_feed(
    settings: Settings, file: StrategyFile, speed: float | None, clock: Clock, say: Callable[[str], None]
) -> Feed:
    """The feed that `app.feed` names.  Without network a live feed becomes the synthetic one, and says so.

    speed: multiple of real time; None as fast as possible; 0.0: the feed's own pace.
    Raises ConfigError for a file that cannot be used.
    """
    from promethean.runtime.feeds.file import FileFeed, recorded_instrument
    from promethean.runtime.feeds.synthetic import DEFAULT_SPEED, SyntheticFeed

    name = settings.app.feed
    if name == "live":
        feed = await _live_feed(settings, file, clock, say)
        if feed is not None:
            if speed not in (0.0, 1.0):
                raise ConfigError("a live feed has its own speed; leave --speed out, or use a file or --feed synthetic")
            return feed
        name = "synthetic"
    if name == "synthetic":
        return SyntheticFeed(settings.app.seed, clock, speed=DEFAULT_SPEED if speed == 0.0 else speed)
    from promethean.runtime.feeds.columns import CandleColumns
    from promethean.storage.candle_files import MarketName, read_candle_file

    fallback = MarketName(file.exchange, file.base, file.quote, file.market_type)
    candles = read_candle_file(Path(name).expanduser(), now_ns=clock.now_ns(), otherwise=fallback)
    if candles.quarantined:
        reasons = ", ".join(f"{count} {reason}" for reason, count in candles.quarantined_by_reason().items())
        say(f"{len(candles.quarantined)} of {candles.rows} rows of {candles.path.name} were left out: {reasons}")
    columns = CandleColumns(
        candles.open_time_ns, candles.open, candles.high, candles.low, candles.close, candles.volume
    )
    instrument = recorded_instrument(
        columns, candles.market.exchange, candles.market.base, candles.market.quote, candles.market.market_type
    )
    return FileFeed(
        columns,
        instrument,
        candles.timeframe,
        sha256=candles.sha256,
        source=candles.path.name,
        clock=clock,
        speed=1.0 if speed == 0.0 else speed,
    )
