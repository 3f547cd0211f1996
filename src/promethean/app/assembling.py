"""The objects of a paper run: account, venue, projector, runner."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from promethean import __version__
from promethean.app.desk import account_limits, make_desk, paper_terms, research_desk
from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError
from promethean.domain.ids import AccountId, StrategyId, UserId
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.margin import Margin

if TYPE_CHECKING:
    from promethean.domain.events import CandleClosed
    from promethean.domain.funding import FundingTable
    from promethean.domain.intrabar import Intrabar
    from promethean.engine.desk import Desk
    from promethean.exchanges.paper.venue import PaperTerms
    from promethean.runtime.account import AccountRunner, Halt, Opening
    from promethean.runtime.clock import Clock
    from promethean.runtime.feeds.port import Feed
    from promethean.runtime.reloading import StrategyWatch
    from promethean.runtime.runner import Runner
    from promethean.runtime.watching import RunInfo, Watcher
    from promethean.storage.database import Database
    from promethean.storage.journal import Journal
    from promethean.storage.projections import Projector
    from promethean.strategies.file import StrategyFile


CONDITIONS = "conditions"  # the class of a strategy that has none
UNBOUNDED = Decimal(10) ** 18  # quote units: the budget of an account that its cash alone limits


@dataclass(frozen=True, slots=True)
class Replay:
    """How a replay differs from a run of `up` over the same recording; at its end everything is closed.

    cash: quote units at the start.  research: whether the controls of research apply, or the limits of the account.
    funding: what positions pay for funding; None where nobody knows.
    intrabar: what happened inside the candles, where finer data say it.
    tape:    SHA-256 of the file of single trades that the strategy reads; None where it reads none.
    """

    cash: Decimal
    research: bool
    funding: FundingTable | None = None
    tape: str | None = None
    intrabar: Intrabar | None = None


async def assemble(
    settings: Settings,
    file: StrategyFile,
    database: Database,
    journal: Journal,
    market: Journal,
    feed: Feed,
    clock: Clock,
    watcher: Watcher,
    store: Callable[[Sequence[CandleClosed]], None] | None,
    replay: Replay | None = None,
    reloading: StrategyWatch | None = None,
) -> tuple[Runner, AccountRunner, RunInfo]:
    """Every object of a paper run, built and handed over.

    reloading: looks whether the strategy file changes; None for a replay.
    Raises ConfigError for a replay while a kill switch is set.
    """
    from promethean.exchanges.paper.venue import PaperVenue
    from promethean.runtime.account import AccountRunner
    from promethean.runtime.feeds.file import FileFeed
    from promethean.runtime.paper import has_end, paper_account
    from promethean.runtime.runner import Runner
    from promethean.runtime.watching import RunInfo
    from promethean.storage import accounts

    owner = await accounts.ensure_owner(database)
    await accounts.write_default_limits(database, owner, account_limits(settings))
    (instrument,) = feed.instruments.values()
    record = await accounts.read_limits(database, owner)

    def desk_of(file: StrategyFile) -> Desk:
        recorded = feed.frame() if isinstance(feed, FileFeed) else None
        return make_desk(settings, file, instrument, feed.timeframe, record, PaperVenue.capabilities, recorded)

    desk = desk_of(file)
    terms, balance = paper_terms(settings, instrument, file.simulation), settings.execution.paper_balance
    cap = desk.limits.total_exposure or Decimal(0)
    config_hash = origin = _hash_of(file.config_hash, desk.limits, terms, balance)
    if reloading is not None:
        origin = _hash_of(reloading.origin, desk.limits, terms, balance)
    if replay is not None:
        balance, terms = replay.cash, dataclasses.replace(terms, funding=replay.funding, intrabar=replay.intrabar)
        if replay.research:
            desk, cap = research_desk(desk, file), UNBOUNDED
        config_hash = origin = _replay_hash(file, desk, terms, replay, feed)
    label, account, continued = await paper_account(database, journal, owner, feed, origin)
    halts = await _halts(settings, database, owner, account)
    if replay is not None and (latches := halts()):
        raise ConfigError(
            f"the kill switch is set ({latches[0].reason}), so that a replay here would place no order; "
            "lift it with promethean unkill, or replay on another --home"
        )
    is_live = feed.starts_at_ns is None
    is_funded = instrument.market_type is MarketType.SPOT or terms.funding is not None
    account_runner = AccountRunner(
        journal=journal,
        lease=await journal.take_lease(account, owner, settings.app.instance_id, build_hash(), config_hash),
        desk=desk,
        venue=PaperVenue({instrument.id: instrument}, terms, balance),
        projector=await _projector(database, owner, account, file, desk, cap, is_funded),
        opening=_opening(feed, instrument, balance, clock),
        build=build_hash(),
        config_hash=config_hash,
        # Recorded and invented prices have a time of their own; live ones are of this machine's time.
        now=(lambda state: clock.now_ns()) if is_live else (lambda state: state.now_ns),
        wall_ns=clock.now_ns,
        halts=halts,
        told=watcher.told,
    )
    history = max(seat.strategy.window for seat in desk.seats) + 1
    runner = Runner(
        feed,
        journal,
        market,
        account_runner,
        history=history,
        tick=watcher.tick,
        on_candles=store,
        close_at_end=replay is not None,
        reloading=reloading,
    )
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
        is_funded=is_funded,
    )
    if reloading is not None:

        async def applied(file: StrategyFile, desk: Desk) -> None:
            info.strategy = desk.seats[0].strategy
            await _strategy_row(database, owner, file)

        note = "; a new start over this recording begins anew with it" if has_end(feed) else ""
        reloading.attach(account_runner, desk_of, applied, note)
    return runner, account_runner, info


def build_hash() -> str:
    """What this program is: the version, until a release carries its own hash."""
    return hashlib.sha256(f"promethean {__version__}".encode()).hexdigest()[:16]


def _hash_of(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _replay_hash(file: StrategyFile, desk: Desk, terms: PaperTerms, replay: Replay, feed: Feed) -> str:
    """Of everything that a replay depends on: an unfinished one goes on only where all of it is as it was."""
    rules = [
        (s.instrument, s.timeframe_ns, s.aggregation, s.threshold, s.sizing, s.protection, s.order_type,
         s.slippage_tolerance, s.cooldown_ns, s.limits, s.on_opposite, s.fee_taker, s.margin,
         [control.code for control in s.controls.entering])
        for s in desk.seats
    ]  # fmt: skip
    return _hash_of("closes at the end", file.config_hash, rules, desk.limits, terms, replay, feed.name)


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
    database: Database,
    owner: UserId,
    account: AccountId,
    file: StrategyFile,
    desk: Desk,
    cap: Decimal,
    is_funded: bool,
) -> Projector:
    """What writes the tables of this account, with the rows that its rows point to.

    cap: quote units that the account may reserve and use.  is_funded: whether it is known what funding is paid.
    """
    from promethean.storage import accounts
    from promethean.storage.projections import Owner, Projector
    from promethean.storage.tables import BudgetScope

    budget = (BudgetScope.VENUE, account)
    budgets = await accounts.ensure_budgets(database, owner, {budget: cap})
    strategies = {StrategyId(file.id): await _strategy_row(database, owner, file)}
    margin = desk.seats[0].margin or Margin()
    return Projector(
        Owner(
            account,
            owner,
            budgets[budget],
            desk.instruments(),
            strategies,
            build_hash(),
            _hash_of(desk.limits),
            is_funded,
            margin.maintenance,
        )
    )


async def _strategy_row(database: Database, owner: UserId, file: StrategyFile) -> str:
    from promethean.storage import accounts

    class_name = file.class_name or CONDITIONS
    return await accounts.ensure_strategy(database, owner, file.id, class_name, file.content, file.config_hash)


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
