"""What a run tells: to who looks on while it goes, and at its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from promethean.domain.events import AccountEvent
from promethean.domain.instruments import Instrument
from promethean.domain.money import plain
from promethean.engine.state import State
from promethean.risk.limits import Limits
from promethean.runtime.account import AccountRunner
from promethean.runtime.feeds.port import Feed
from promethean.runtime.memory import peak_rss_mb
from promethean.runtime.runner import Runner
from promethean.storage.journal import Journal, Seen, account_stream, market_stream
from promethean.strategies.catalogue import Strategy


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


@dataclass(slots=True)
class RunInfo:
    """What runs: for people.

    strategy: the one that runs now; the one field that changes, when its file is reloaded.
    total:    candles of a recorded feed, None when it has no end.
    is_funded: whether it is known what positions pay for funding.
    """

    provenance: str
    is_synthetic: bool
    account: str
    strategy: Strategy
    instrument: Instrument
    home: Path
    total: int | None
    continued: bool
    limits: Limits
    is_funded: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to.  Amounts are quote units as decimal text; counts are of the whole account.

    funding:               paid, below zero received; None where nobody knows it.
    seconds, events_per_s: of this start, from the first market event to the last commit.
    total_seconds:         with starting, stopping and hashing the journal.
    """

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
    funding: str | None
    realised: str
    start_equity: str
    final_equity: str | None
    open_positions: int
    journal_hash: str
    seconds: float
    events_per_s: float
    start_seconds: float
    total_seconds: float
    peak_rss_mb: float


async def summarise(
    info: RunInfo,
    feed: Feed,
    journal: Journal,
    runner: Runner,
    account: AccountRunner,
    ended: bool,
    begun: float,
    start_seconds: float,
    run_seconds: float,
    handled: int,
) -> Summary:
    """What the run came to, from the account's state and the journal.

    begun:   `time.perf_counter()` of the start.
    handled: market events and facts in `run_seconds`.
    """
    state = account.state
    totals = state.account.totals
    seen = Seen(market_stream(feed.name, info.instrument.id), runner.sequence)
    stream = account_stream(state.account.id)
    equity = state.equity()
    return Summary(
        feed=info.provenance,
        synthetic=info.is_synthetic,
        account=info.account,
        strategy=info.strategy.id,
        symbol=info.instrument.symbol,
        finished=ended,
        candles=runner.candles,
        events=runner.sequence + state.account.sequence,
        signals=totals.signals,
        refusals=totals.refusals,
        orders=totals.orders,
        fills=totals.fills,
        trades=totals.trades,
        wins=totals.wins,
        losses=totals.losses,
        fees=plain(totals.fees),
        funding=plain(totals.funding) if info.is_funded else None,
        realised=plain(totals.realised),
        start_equity=plain(account.opening.balance),
        final_equity=None if equity is None else plain(equity),
        open_positions=len(state.account.holdings),
        journal_hash=await journal.fingerprint(stream, seen, repeatable=feed.is_repeatable),
        seconds=round(run_seconds, 3),
        events_per_s=round(handled / max(run_seconds, 1e-9), 1),
        start_seconds=round(start_seconds, 3),
        total_seconds=round(time.perf_counter() - begun, 3),
        peak_rss_mb=round(peak_rss_mb(), 1),
    )
