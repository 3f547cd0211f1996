"""The real runner over a recording that closes at its end: the trades of a backtest, and the same after a kill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from msgspec.structs import replace
from tests.evaluation.markets import Scripted, cases
from tests.evaluation.markets import desk as desk_of_case
from tests.runtime.test_recovery import assert_same, killed_at, lively, uninterrupted
from tests.runtime.world import BALANCE, TERMS, Market, Site, Town, rough

from promethean.domain.candles import CandleSeries
from promethean.domain.events import OrderFilled, RecordingEnded, RunFinished
from promethean.domain.ids import Names
from promethean.domain.orders import OrderRole
from promethean.engine.desk import Desk
from promethean.evaluation.ledger import Bookkeeper, Books
from promethean.evaluation.recalled import recall
from promethean.evaluation.stepped import SteppedBacktest
from promethean.runtime.feeds.columns import CandleColumns

Play = Callable[[Callable[[Town], Awaitable[Any]]], Any]
UNBOUNDED = Decimal(10) ** 18
CASES = 40


def drawn(count: int) -> list[Any]:
    """The same random cases on every run."""
    found: list[Any] = []

    @settings(
        max_examples=count, derandomize=True, database=None, phases=[Phase.generate], deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(cases())
    def draw(case: Any) -> None:
        found.append(case)

    draw()
    return found


def columns(series: CandleSeries) -> CandleColumns:
    return CandleColumns(
        series.open_time_ns, series.open, series.high, series.low, series.close, series.volume
    )  # fmt: skip


async def booked(site: Site, series: CandleSeries) -> Books:
    keeper = Bookkeeper(site.desk.seats[0], site.terms, series, site.balance)
    return recall(await site.facts(), keeper)


def parts_of(case: Any) -> list[Any]:
    """The case, and its beginnings that end while a position is held: just entered, and just before its exit fills."""
    seat, strategy, terms, series, cash = case
    trades = SteppedBacktest(desk_of_case(seat, strategy, series), terms, series, cash).run().trades
    held = [trade for trade in trades if trade.closed > trade.opened]
    stops = {held[0].opened + 1, held[-1].closed} if held else set()
    said = strategy.said
    beginnings = [
        (seat, Scripted(seat.instrument, said.side[:stop], said.leave[:stop]), terms, first(series, stop), cash)
        for stop in sorted(stops)
    ]
    return [case, *beginnings]


def first(series: CandleSeries, count: int) -> CandleSeries:
    c = columns(series)
    values = [column[:count] for column in (c.open, c.high, c.low, c.close, c.volume)]
    return CandleSeries.from_columns(c.open_time_ns[:count], values, keep=count)


def test_the_real_runner_and_the_stepped_backtest_come_to_the_same_trades(play: Play) -> None:
    seen: Counter[str] = Counter()

    async def compare(town: Town, case: Any, name: str) -> None:
        seat, strategy, terms, series, cash = case
        stepped = SteppedBacktest(desk_of_case(seat, strategy, series), terms, series, cash).run()
        desk = replace(desk_of_case(seat, strategy, series), names=Names(), explains=True)
        at = Market(columns(series), seat.instrument, name)
        site = await town.site(at, cap=UNBOUNDED, terms=terms, desk=desk, balance=cash, close_at_end=True)
        account = (await site.run()).state.account
        books = await booked(site, series)
        seen.update(part.reason for part in books.parts)
        seen["funded"] += sum(bool(part.funding) for part in books.parts)
        assert books.parts == stepped.parts, name
        assert books.trades == stepped.trades, name
        assert (books.cash, books.fees) == (stepped.cash, stepped.fees), name
        assert (account.cash, account.totals.fees) == (stepped.cash, stepped.fees), name
        assert account.totals.funding == books.funding == stepped.funding, name
        assert (dict(account.holdings), dict(account.orders)) == ({}, {}), name
        assert (account.totals.trades, account.finished) == (len(stepped.trades), True), name

    async def story(town: Town) -> None:
        for number, case in enumerate(drawn(CASES)):
            for part, each in enumerate(parts_of(case)):
                await compare(town, each, f"case {number}, part {part}")

    play(story)
    # Which cases are drawn depends on the modules that are loaded, so only that each is there can be asked.
    assert all(seen[reason] for reason in ("stop", "target", "signal", "end", "funded", "liquidation")), seen


def test_without_closing_what_is_open_stays_open(play: Play, tmp_path: Path) -> None:
    async def story(town: Town) -> None:
        at = open_at_its_end(tmp_path)
        ends = []
        for name, close in (("left", False), ("closed", True)):
            site = await town.site(at.named(name), desk=lively(at, tmp_path), close_at_end=close)
            state = (await site.run()).state
            facts = await site.facts()
            ends.append((facts, state))
        (left, open_state), (closed, flat) = ends
        assert open_state.account.holdings
        assert not any(isinstance(fact, RecordingEnded) for fact in left)
        assert not flat.account.holdings
        (end,) = [fact for fact in closed if isinstance(fact, RecordingEnded)]
        assert isinstance(closed[-1], RunFinished)
        last = [fact.fill for fact in closed if isinstance(fact, OrderFilled)][-1]
        length_ns = 60 * 10**9
        assert last.executed_at_ns == int(at.columns.open_time_ns[-1]) + length_ns
        assert not last.maker
        assert end.at_ns >= last.executed_at_ns

    play(story)


@pytest.mark.parametrize("attached", [True, False], ids=["exits of the venue", "exits of ours"])
def test_a_replay_killed_around_its_end_closes_once_and_as_the_uninterrupted_one(
    play: Play, tmp_path: Path, attached: bool
) -> None:
    at = open_at_its_end(tmp_path)
    desk = lively(at, tmp_path, attached_exits=attached)

    async def story(town: Town) -> None:
        told = await uninterrupted(await town.site(at.named("whole"), desk=desk, close_at_end=True))
        ends = [body for kind, _, body in told.result.facts if kind == "OrderPlanned" and is_end(body)]
        assert len(ends) == 1, "a replay that ends flat proves nothing"
        last = told.commits
        ways: list[tuple[tuple[int, ...], bool]]
        ways = [((place,), after) for place in (last // 2, *range(last - 4, last + 1)) for after in (False, True)]
        ways += [((last - 1, 1, 2, 1), False), ((last - 1, 2, 1), True)]
        for number, (cuts, after) in enumerate(ways):
            site = await town.site(at.named(f"cut {number}"), desk=desk, close_at_end=True)
            result, equity = await killed_at(site, cuts, after)
            assert_same(told, result, equity, f"killed {'after' if after else 'before'} commits {cuts} of {last}")

    play(story)


def is_end(body: str) -> bool:
    return f'"role": "{OrderRole.END.value}"' in body


def open_at_its_end(folder: Path) -> Market:
    """A rough market that is cut off while its strategy holds a position."""
    whole = rough(900, 5)
    stop = _held_at(whole, lively(whole, folder))
    return Market(columns(first(series_of(whole), stop)), whole.instrument, "open")


def series_of(market: Market) -> CandleSeries:
    series = market.feed().recorded
    assert series is not None
    return series


def _held_at(market: Market, desk: Desk) -> int:
    """A number of candles after which the backtest of this desk still holds something."""
    books = SteppedBacktest(desk, TERMS, series_of(market), BALANCE).run()
    late = [trade for trade in books.trades if trade.opened > 500 and trade.closed - trade.opened > 3]
    assert late, "this market holds nothing for long"
    return late[0].opened + 3
