"""Replays: a strategy file over recorded candles, through the real runner and the real journal."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promethean.app.assembling import Replay
from promethean.app.backtest_answers import trade_row
from promethean.app.backtesting import RESEARCH, BacktestOptions, Bench, prepare
from promethean.app.running import run_on_home, run_once
from promethean.config.tree import Settings
from promethean.domain.orders import OrderRole

if TYPE_CHECKING:
    from promethean.evaluation.ledger import Books
    from promethean.runtime.account import AccountRunner
    from promethean.runtime.clock import Clock
    from promethean.runtime.feeds.file import FileFeed
    from promethean.runtime.stopping import Stopping
    from promethean.runtime.watching import Summary, Watcher
    from promethean.storage.journal import Journal


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay came to.  books: made from the facts in its journal, of everything up to where it was stopped."""

    bench: Bench
    summary: Summary
    books: Books


def run_replay(settings: Settings, options: BacktestOptions, watcher: Watcher, stopping: Stopping) -> ReplayReport:
    """Run a strategy over recorded candles as `up` does, on a paper account of its own; at the end all is closed.

    A replay that was stopped or killed goes on where it was; after a finished one the next is a new one.
    Raises ConfigError for a strategy file, data, a range or a set-up that cannot be used, before anything trades;
    StoreError and Stopped as `up` does.
    """
    begun = time.perf_counter()
    bench = prepare(settings, options)
    tape = None if bench.tape is None else bench.tape.sha256
    replay = Replay(bench.cash, bench.limits == RESEARCH, bench.terms.funding, tape, bench.terms.intrabar)
    found: list[Books] = []

    async def feed(journal: Journal, clock: Clock) -> FileFeed:
        return feed_of(bench, clock)

    async def read(journal: Journal, account: AccountRunner) -> None:
        found.append(await _recall(journal, account, bench))

    async def once(dsn: str, stopping: Stopping) -> Summary:
        return await run_once(settings, bench.file, watcher, dsn, stopping, begun, feed, replay, read)

    summary = run_on_home(settings, watcher, stopping, once)
    return ReplayReport(bench, summary, found[-1])


def feed_of(bench: Bench, clock: Clock) -> FileFeed:
    """The candles of a bench as a feed.  A part of a file is a recording of its own, with a stream of its own."""
    from promethean.runtime.feeds.columns import CandleColumns
    from promethean.runtime.feeds.file import FileFeed

    c = bench.candles
    columns = CandleColumns(c.open_time_ns, c.open, c.high, c.low, c.close, c.volume)
    sha256 = bench.sha256
    if bench.is_part:
        part = f"{sha256}/{int(c.open_time_ns[0])}/{int(c.open_time_ns[-1])}"
        sha256 = hashlib.sha256(part.encode()).hexdigest()
    return FileFeed(
        columns,
        bench.instrument,
        bench.timeframe,
        sha256=sha256,
        source=bench.source,
        clock=clock,
        books=bench.books,
        trades=bench.trades,
    )


async def _recall(journal: Journal, account: AccountRunner, bench: Bench) -> Books:
    from promethean.app.backtesting import desk_of
    from promethean.evaluation.ledger import Bookkeeper
    from promethean.evaluation.recalled import recall
    from promethean.storage.journal import account_stream

    (seat,) = desk_of(bench, None).seats
    facts = [record.event() async for record in journal.read(account_stream(account.state.account.id))]
    return recall(facts, Bookkeeper(seat, bench.terms, bench.candles, bench.cash))


def replay_object(report: ReplayReport, *, with_trades: bool) -> dict[str, Any]:
    """The fields of `replay --json` (DESIGN section 5)."""
    from promethean.domain.instants import format_instant

    bench = report.bench
    answer = dataclasses.asdict(report.summary) | {
        "timeframe": bench.timeframe,
        "data": bench.source,
        "tape": bench.tape_name,
        "finer": bench.finer,
        "limits": bench.limits,
        "controls_off": bench.controls_off,
        "controls_not_applicable": bench.controls_not_applicable,
        "from": format_instant(int(bench.candles.open_time_ns[0])),
        "to": format_instant(int(bench.candles.open_time_ns[-1])),
        "coverage_pct": 100 * bench.coverage,
        "remarks": list(bench.remarks),
        "leverage": bench.file.leverage,
        "liquidations": sum(trade.reason == OrderRole.LIQUIDATION for trade in report.books.trades),
    }
    if with_trades:
        answer["trade_list"] = [trade_row(part, bench.is_funded) for part in report.books.parts]
    return answer
