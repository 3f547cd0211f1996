"""Killed at any commit and started again, an account comes to the same end as if nothing had happened."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.runtime.world import TERMS, Commits, Cut, Market, Result, Site, Town, desk_of, funded, recorded, rough

from promethean.domain.margin import MAINTENANCE, Margin
from promethean.domain.sizing import Sizing
from promethean.engine.desk import Desk
from promethean.exchanges.paper.venue import PaperTerms

Play = Callable[[Callable[[Town], Awaitable[Any]]], Any]
SAMPLE = 40
AGAIN = 6  # starts that are killed as well, one after the other


@dataclass(frozen=True)
class Told:
    """What an uninterrupted run came to."""

    result: Result
    equity: Decimal | None
    commits: int


def lively(at: Market, folder: Path, *, attached_exits: bool = True) -> Desk:
    """The shipped strategy with larger positions, nearer targets and a patient breaker: more of everything.

    attached_exits: whether the venue makes the exits, or each is an order of ours.
    """
    calm = desk_of(at.instrument, folder)
    changes = {"circuit_breaker_losing_streak": 7, "daily_trades": 1000, "order_notional_max": 5000}
    limits = replace(calm.limits, **{name: Decimal(value) for name, value in changes.items()})
    return desk_of(
        at.instrument, folder, limits=limits, sizing=Sizing(None, Decimal(2500)), attached_exits=attached_exits
    )


def margined(at: Market, folder: Path, *, attached_exits: bool = True) -> Desk:
    """As `lively`, with so thin a margin that it is used up before most stops are reached."""
    desk = lively(at, folder, attached_exits=attached_exits)
    limits = replace(desk.limits, leverage_max=Decimal(200), liquidation_distance=Decimal(-100))  # any stop will do
    margin = Margin(Decimal(100), MAINTENANCE)
    seats = tuple(replace(seat, margin=margin, limits=limits) for seat in desk.seats)
    return replace(desk, seats=seats, limits=limits)


async def uninterrupted(site: Site) -> Told:
    process = await site.run()
    return Told(await site.result(), process.state.equity(), process.commits.count)


async def killed_at(site: Site, cuts: Sequence[int], after: bool) -> tuple[Result, Decimal | None]:
    """Starts that are killed at their n-th commit, one for each of `cuts`, and then one that may finish."""
    for cut in cuts:
        try:
            await site.run(commits=Commits(cut, after))
        except Cut:
            continue
        break  # it came to its end before
    process = await site.run()
    return await site.result(), process.state.equity()


def assert_same(told: Told, result: Result, equity: Decimal | None, how: str) -> None:
    for number, (expected, found) in enumerate(zip(told.result.facts, result.facts, strict=False)):
        assert found == expected, f"{how}: fact {number} differs"
    assert len(result.facts) == len(told.result.facts), how
    assert result.trades == told.result.trades, how
    assert equity == told.equity, how
    assert result.fingerprint == told.result.fingerprint, how


async def compare(
    town: Town,
    at: Market,
    desk: Desk,
    ways: Callable[[int], list[tuple[Sequence[int], bool]]],
    terms: PaperTerms = TERMS,
) -> None:
    told = await uninterrupted(await town.site(at.named("whole"), desk=desk, terms=terms))
    assert len(told.result.trades) > 5, "a market in which nothing happens proves nothing"
    for number, (cuts, after) in enumerate(ways(told.commits)):
        site = await town.site(at.named(f"cut {number}"), desk=desk, terms=terms)
        result, equity = await killed_at(site, cuts, after)
        assert_same(told, result, equity, f"killed {'after' if after else 'before'} commits {cuts} of {told.commits}")


def sample(commits: int, size: int = SAMPLE) -> list[tuple[Sequence[int], bool]]:
    draw = random.Random(1)
    places = [1, 2, 3, commits - 1, commits]
    places += draw.sample(range(4, commits - 1), min(size - len(places), commits - 5))
    return [((place,), bool(number % 2)) for number, place in enumerate(sorted(places))]


def few(commits: int) -> list[tuple[Sequence[int], bool]]:
    return sample(commits, 18)


def every(commits: int) -> list[tuple[Sequence[int], bool]]:
    return [((place,), after) for place in range(1, commits + 1) for after in (False, True)]


def again_and_again(commits: int) -> list[tuple[Sequence[int], bool]]:
    draw = random.Random(2)
    return [
        ((draw.randint(1, commits), *(draw.choice((1, 1, 2, 3, 9)) for _ in range(AGAIN))), draw.random() < 0.5)
        for _ in range(8)
    ]


@pytest.fixture
def real(shared: Path) -> Market:
    return recorded(shared / "data/ohlcv/binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet", 3_000)


@pytest.mark.scenario("B1")
def test_a_run_killed_at_any_commit_ends_as_the_uninterrupted_one_on_real_prices(
    play: Play, real: Market, tmp_path: Path
) -> None:
    play(lambda town: compare(town, real, desk_of(real.instrument, tmp_path), sample))


@pytest.mark.parametrize("attached", [True, False], ids=["exits of the venue", "exits of ours"])
def test_a_run_killed_at_any_commit_ends_as_the_uninterrupted_one_on_rough_prices(
    play: Play, tmp_path: Path, attached: bool
) -> None:
    at = rough(1200, 0)
    play(lambda town: compare(town, at, lively(at, tmp_path, attached_exits=attached), few))


@pytest.mark.parametrize("attached", [True, False], ids=["exits of the venue", "exits of ours"])
def test_a_run_with_short_positions_killed_at_any_commit_ends_as_the_uninterrupted_one(
    play: Play, tmp_path: Path, attached: bool
) -> None:
    at = rough(1200, 1, futures=True)
    play(lambda town: compare(town, at, lively(at, tmp_path, attached_exits=attached), few))


@pytest.mark.parametrize("attached", [True, False], ids=["exits of the venue", "exits of ours"])
def test_a_run_killed_at_any_commit_pays_its_funding_once(play: Play, tmp_path: Path, attached: bool) -> None:
    at = rough(1200, 1, futures=True)
    terms = funded(at, 5, 1)
    play(lambda town: compare(town, at, lively(at, tmp_path, attached_exits=attached), few, terms))


@pytest.mark.parametrize("attached", [True, False], ids=["exits of the venue", "exits of ours"])
def test_a_run_killed_around_its_liquidations_is_liquidated_once(play: Play, tmp_path: Path, attached: bool) -> None:
    at = rough(1200, 1, futures=True)

    async def story(town: Town) -> None:
        desk = margined(at, tmp_path, attached_exits=attached)
        site = await town.site(at.named("whole"), desk=desk)
        told = await uninterrupted(site)
        taken = [fact for fact, *_ in told.result.facts].count("OrderAdopted")
        assert taken > 5
        for number, (cuts, after) in enumerate(few(told.commits)):
            again = await town.site(at.named(f"cut {number}"), desk=desk)
            assert_same(told, *await killed_at(again, cuts, after), f"killed at {cuts} of {told.commits}")

    play(story)


@pytest.mark.parametrize("futures", [False, True], ids=["spot", "futures"])
def test_exits_made_by_the_venue_and_exits_of_ours_end_in_the_same_trades(
    play: Play, tmp_path: Path, futures: bool
) -> None:
    async def story(town: Town) -> None:
        at = rough(1500, 3, futures=futures)
        at_once = dataclasses.replace(TERMS, latency_ms=0)  # ours are sent after the fill, the venue's are there
        ends = []
        for name, attached in (("theirs", True), ("ours", False)):
            desk = lively(at, tmp_path, attached_exits=attached)
            site = await town.site(at.named(name), desk=desk, terms=at_once)
            process = await site.run()
            totals = replace(process.state.account.totals, orders=0)  # a stop that moves is one more of ours
            ends.append(((await site.result()).trades, process.state.equity(), totals))
        assert ends[0] == ends[1]
        assert len(ends[0][0]) > 5

    play(story)


@pytest.mark.scenario("B2")
def test_a_run_whose_recovery_is_killed_again_and_again_ends_as_the_uninterrupted_one(
    play: Play, tmp_path: Path
) -> None:
    at = rough(1200, 5)
    play(lambda town: compare(town, at, lively(at, tmp_path), again_and_again))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_at_every_commit_ends_as_the_uninterrupted_one(play: Play, tmp_path: Path, seed: int) -> None:
    at = rough(2500, seed, futures=seed % 2 == 1)
    play(lambda town: compare(town, at, lively(at, tmp_path, attached_exits=seed < 2), every))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_run_on_real_prices_killed_at_every_commit_ends_as_the_uninterrupted_one(
    play: Play, real: Market, tmp_path: Path
) -> None:
    play(lambda town: compare(town, real, desk_of(real.instrument, tmp_path), every))
