"""The real runner on a real database: markets, starts of the platform, and processes that end at a commit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from msgspec.structs import replace

from promethean.app.desk import account_limits, load_strategy, make_desk
from promethean.app.register import register_everything
from promethean.config.layers import load_settings
from promethean.domain.candles import CandleSeries
from promethean.domain.events import START_RECORDS, CandleClosed, Event
from promethean.domain.funding import FundingTable
from promethean.domain.ids import AccountId, StrategyId, UserId
from promethean.domain.instants import DAY_NS, NS_PER_S
from promethean.domain.instruments import Instrument, MarketType
from promethean.engine.desk import Desk
from promethean.engine.state import State
from promethean.exchanges.paper.venue import PaperTerms, PaperVenue
from promethean.runtime.account import AccountRunner, Halt, Opening, Told
from promethean.runtime.clock import SystemClock
from promethean.runtime.feeds.columns import CandleColumns, recorded_instrument
from promethean.runtime.feeds.file import FileFeed
from promethean.runtime.runner import Runner
from promethean.storage import accounts
from promethean.storage.database import Database
from promethean.storage.journal import BudgetChange, Journal, Lease, Outcome, Seen, account_stream, market_stream
from promethean.storage.projections import Owner, Projector
from promethean.storage.rows import Rows
from promethean.storage.tables import BudgetScope

ROOT = Path(__file__).resolve().parents[2]
STRATEGY = ROOT / "config" / "strategies" / "rsi_reversion.yaml"
MINUTE_NS = 60 * NS_PER_S
T0 = 20_000 * DAY_NS
BALANCE = Decimal(10_000)
TERMS = PaperTerms(fee_maker=Decimal("0.001"), fee_taker=Decimal("0.001"))
T = TypeVar("T")


# ---------------------------------------------------------------- markets


@dataclass(frozen=True)
class Market:
    """Recorded candles.  name: what tells this recording from others with the same candles."""

    columns: CandleColumns
    instrument: Instrument
    name: str = "a"

    def feed(self) -> FileFeed:
        sha256 = hashlib.sha256(self.name.encode()).hexdigest()
        return FileFeed(
            self.columns, self.instrument, "1m", sha256=sha256, source="test.parquet", clock=SystemClock(), speed=None
        )

    def named(self, name: str) -> Market:
        return dataclasses.replace(self, name=name)


def recorded(path: Path, rows: int) -> Market:
    """The first rows of a candle file."""
    import pyarrow.parquet as pq

    table = pq.read_table(path).slice(0, rows)
    opened = table["timestamp"].cast("int64").to_numpy().astype(np.int64)
    opened = opened * (10**18 // 10 ** (len(str(int(opened[0]))) - 1))  # from whatever unit to nanoseconds
    return market(
        opened, *(table[name].to_numpy().astype(np.float64) for name in ("open", "high", "low", "close", "volume"))
    )


def market(opened: Any, open: Any, high: Any, low: Any, close: Any, volume: Any, futures: bool = False) -> Market:
    columns = CandleColumns(opened, open, high, low, close, volume)
    market_type = MarketType.FUTURES if futures else MarketType.SPOT
    return Market(columns, recorded_instrument(columns, "binance", "BTC", "USDT", market_type))


def rough(rows: int, seed: int, *, futures: bool = False) -> Market:
    """Prices that wander widely on little volume: gaps, partial fills, stops, targets, losing streaks."""
    draw = np.random.default_rng(seed)
    moves = draw.normal(0, 0.004, rows) + 0.002 * np.sin(np.arange(rows) / 40)
    close = np.round(10_000 * np.exp(np.cumsum(moves - moves.mean())), 2)
    gaps = np.where(draw.random(rows) < 0.1, draw.normal(0, 0.01, rows), 0.0)
    open = np.round(np.concatenate([[10_000.0], close[:-1]]) * (1 + gaps), 2)
    high = np.round(np.maximum(open, close) * (1 + np.abs(draw.normal(0, 0.002, rows))) + 0.01, 2)
    low = np.round(np.minimum(open, close) * (1 - np.abs(draw.normal(0, 0.002, rows))) - 0.01, 2)
    volume = np.round(draw.choice([0.0, 0.0213, 0.3, 2.5, 500.0], rows), 4)
    opened = T0 + np.arange(rows, dtype=np.int64) * MINUTE_NS
    return market(opened, open, high, low, close, volume, futures)


def funded(at: Market, minutes: int, seed: int, terms: PaperTerms = TERMS) -> PaperTerms:
    """The terms with funding at every so many minutes, half a minute after a candle has opened at every second one."""
    columns = at.columns
    opened, close = columns.open_time_ns, columns.close
    at_ns = opened[minutes::minutes] + np.arange(len(opened[minutes::minutes])) % 2 * 30 * NS_PER_S
    rates = np.round(np.random.default_rng(seed).normal(0, 0.002, len(at_ns)), 8)
    prices = (columns.open, columns.high, columns.low, close, columns.volume)
    series = CandleSeries.from_columns(opened, prices, keep=len(opened))
    return dataclasses.replace(terms, funding=FundingTable.at_candles(at.instrument.id, at_ns, rates, series))


# ---------------------------------------------------------------- processes that end at a commit


class Cut(Exception):  # noqa: N818  not an error: the end of a process
    """The process is killed here."""


@dataclass
class Commits:
    """Counts the commits of one process, and ends it at one of them.  after: what is committed there is there."""

    cut_at: int | None = None
    after: bool = False
    count: int = 0

    async def around(self, commit: Callable[[], Awaitable[T]]) -> T:
        self.count += 1
        if self.cut_at is None or self.count < self.cut_at:
            return await commit()
        if self.after and self.count == self.cut_at:
            await commit()
        raise Cut


class CountedJournal(Journal):
    def __init__(self, connection: Any, commits: Commits) -> None:
        super().__init__(connection)
        self.commits = commits

    async def commit(
        self, lease: Lease, rows: Rows, change: BudgetChange, offsets: Mapping[Any, int], *, claims_risk: bool
    ) -> Outcome:
        return await self.commits.around(
            lambda: Journal.commit(self, lease, rows, change, offsets, claims_risk=claims_risk)
        )

    async def write(self) -> None:
        if self.pending:
            await self.commits.around(lambda: Journal.write(self))


# ---------------------------------------------------------------- a place to trade


@dataclass
class Site:
    """An account at a market, in a database: everything a start of the platform begins with."""

    database: Database
    user: UserId
    account: AccountId
    budget: str
    strategy_row: str
    market: Market
    desk: Desk
    terms: PaperTerms = TERMS
    balance: Decimal = BALANCE
    close_at_end: bool = False

    async def start(
        self,
        closing: AsyncExitStack,
        *,
        commits: Commits | None = None,
        venue: Any = None,
        halts: Callable[[], Sequence[Halt]] = tuple,
        told: Told | None = None,
        feed: Any = None,
        on_candles: Callable[[Sequence[CandleClosed]], None] | None = None,
        now: Callable[[State], int] = lambda state: state.now_ns,
        wall_ns: Callable[[], int] | None = None,
    ) -> Process:
        """What `app` builds for one start; nothing is read yet."""
        commits = commits if commits is not None else Commits()
        journal = CountedJournal(await self.database.raw(), commits)
        closing.push_async_callback(journal.close)
        market = CountedJournal(await self.database.raw(), commits)
        closing.push_async_callback(market.close)
        feed = feed if feed is not None else self.market.feed()
        instruments = {self.market.instrument.id: self.market.instrument}
        venue = venue if venue is not None else PaperVenue(instruments, self.terms, self.balance)
        seat = self.desk.seats[0]
        owner = Owner(
            self.account, self.user, self.budget, instruments, {seat.strategy.id: self.strategy_row}, "build", "limits",
            self.terms.funding is not None,
        )  # fmt: skip
        account = AccountRunner(
            journal=journal,
            lease=await journal.take_lease(self.account, self.user, "test", "build", "config"),
            desk=self.desk,
            venue=venue,
            projector=Projector(owner),
            opening=Opening(feed.starts_at_ns or 0, "USDT", self.balance, "binance", feed.provenance),
            build="build",
            config_hash="config",
            now=now,
            wall_ns=wall_ns if wall_ns is not None else SystemClock().now_ns,
            halts=halts,
            told=told,
        )
        runner = Runner(
            feed, journal, market, account,
            history=seat.strategy.window + 1, on_candles=on_candles, close_at_end=self.close_at_end,
        )  # fmt: skip
        return Process(self, runner, account, journal, market, venue, commits)

    async def run(self, **how: Any) -> Process:
        """One start of the platform, to its end.  Raises Cut where it is killed."""
        async with AsyncExitStack() as closing:
            process = await self.start(closing, **how)
            await process.runner.start()
            await process.runner.run()
            return process

    async def facts(self) -> list[Event]:
        """The account's facts, as the database holds them."""
        journal = Journal(await self.database.raw())
        try:
            return [row.event() async for row in journal.read(account_stream(self.account))]
        finally:
            await journal.close()

    async def result(self) -> Result:
        """What the database says about the account."""
        journal = Journal(await self.database.raw())
        try:
            streams = [market_stream(self.market.feed().name, self.market.instrument.id), account_stream(self.account)]
            left_out = {kind.__name__ for kind in START_RECORDS}
            rows = [row async for row in journal.read(streams[1]) if row.type not in left_out]
            for stream in streams:
                await journal.verify(stream)
            return Result(
                await journal.fingerprint(streams[1], Seen(streams[0], len(self.market.feed())), repeatable=True),
                tuple((row.type, row.happened_at_ns, told(row.body)) for row in rows),
                tuple(told(row.body) for row in rows if row.type == "PositionClosed"),
            )
        finally:
            await journal.close()


_NAMES = frozenset(
    {"order_id", "client_order_id", "evidence_id", "venue_order_id", "epoch", "trade_id", "provenance", "entry"}
)


def told(body: Any) -> str:
    """A fact as text, without the ids that differ between two starts."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items() if name not in _NAMES}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value

    return json.dumps(plain(body), sort_keys=True)


@dataclass(frozen=True)
class Result:
    """What happened, without what differs between two starts."""

    fingerprint: str
    facts: tuple[tuple[str, int, str], ...]
    trades: tuple[str, ...]


@dataclass
class Process:
    """One start of the platform."""

    site: Site
    runner: Runner
    account: AccountRunner
    journal: CountedJournal
    market: CountedJournal
    venue: Any
    commits: Commits

    @property
    def state(self) -> State:
        return self.account.state


def desk_of(instrument: Instrument, folder: Path, **changes: Any) -> Desk:
    """The desk of the strategy that comes with the platform.  changes: of its seat."""
    register_everything()
    settings = load_settings({}, {}, folder)
    file, record = load_strategy(STRATEGY), account_limits(settings)
    desk = make_desk(settings, file, instrument, "1m", record, PaperVenue.capabilities)
    limits = changes.get("limits", desk.limits)
    of_seat = {name: value for name, value in changes.items() if name != "limits"}
    return Desk(tuple(replace(seat, limits=limits, **of_seat) for seat in desk.seats), limits)


@dataclass
class Town:
    """Makes sites in one database."""

    database: Database
    folder: Path
    _count: int = field(default=0)

    async def site(
        self,
        at: Market,
        *,
        cap: Decimal | None = None,
        terms: PaperTerms = TERMS,
        desk: Desk | None = None,
        balance: Decimal = BALANCE,
        close_at_end: bool = False,
        **changes: Any,
    ) -> Site:
        self._count += 1
        user = await accounts.ensure_owner(self.database)
        desk = desk if desk is not None else desk_of(at.instrument, self.folder, **changes)
        account = await accounts.add_account(self.database, user, "binance", f"test-{self._count}")
        scope = (BudgetScope.VENUE, account)
        cap = cap if cap is not None else desk.limits.total_exposure or Decimal(0)
        budgets = await accounts.ensure_budgets(self.database, user, {scope: cap})
        strategy = desk.seats[0].strategy.id
        row = await accounts.ensure_strategy(self.database, user, StrategyId(strategy), "rsi_reversion", {}, "hash")
        return Site(self.database, user, account, budgets[scope], row, at, desk, terms, balance, close_at_end)
