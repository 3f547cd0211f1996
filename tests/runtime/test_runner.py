"""Feeds in, an account at work: nothing is handled that is not written, and every event is handled once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
from tests.engine.builders import BTC, BUY
from tests.runtime.test_account import KILLED, SpyVenue, flat, scripted
from tests.runtime.world import Commits, Cut, Market, Process, Town

from promethean.domain.accounts import AccountMode
from promethean.domain.errors import FeedError, JournalTamperedError, StoreError
from promethean.domain.events import HaltSet, RunFinished
from promethean.runtime.account import Halt
from promethean.runtime.feeds.port import FeedItem
from promethean.storage.journal import account_stream, market_stream

Play = Callable[[Callable[[Town], Awaitable[Any]]], Any]
ROWS = 2_500


class LiveFeed:
    """The candles of a market as a feed that is not repeatable: it goes on where the caller's stream ends.

    upto: what there is so far.  failure: what ends it; None: it waits for ever.
    """

    is_synthetic = False
    is_repeatable = False
    starts_at_ns = None

    def __init__(self, market: Market, upto: int, failure: Exception | None = None) -> None:
        self._feed = market.feed()
        self.name, self.provenance, self.timeframe = "live-test", "a test", "1m"
        self.instruments, self.warm_up = self._feed.instruments, self._feed.warm_up
        self.recorded = None
        self._upto, self._failure = upto, failure

    async def batches(self, after: int) -> AsyncIterator[Sequence[FeedItem]]:
        async for batch in self._feed.batches(after):
            for item in batch:
                if item.sequence <= self._upto:
                    yield [item]
        if self._failure is not None:
            raise self._failure
        await asyncio.Event().wait()

    async def close(self) -> None: ...


def watched(process: Process, handle: Callable[[int], None]) -> None:
    """Call `handle` with the number of each market event before the account gets it."""
    account: Any = process.account
    on_market = account.on_market

    async def before(event: Any, sequence: int) -> None:
        handle(sequence)
        await on_market(event, sequence)

    account.on_market = before


def test_every_event_is_handled_once_in_order_and_only_after_it_was_written(play: Play) -> None:
    handled: list[int] = []

    async def story(town: Town) -> None:
        site = await town.site(flat(ROWS), desk=scripted({}))
        async with AsyncExitStack() as closing:
            process = await site.start(closing)
            market = process.market
            stream = market_stream(site.market.feed().name, BTC.id)

            def handle(sequence: int) -> None:
                written = market._heads[stream][0] - market.pending
                assert sequence <= written, "the account never sees what is not written"
                handled.append(sequence)

            watched(process, handle)
            await process.runner.start()
            assert await process.runner.run()
            assert await process.journal.offset(account_stream(site.account), stream) == ROWS
            assert await process.journal.verify(stream) == ROWS

    play(story)
    assert handled == list(range(1, ROWS + 1))


def test_a_stopped_run_goes_on_with_the_next_event(play: Play) -> None:
    handled: list[int] = []

    async def story(town: Town) -> None:
        site = await town.site(flat(ROWS), desk=scripted({}))
        finished = []
        for number in range(3):
            async with AsyncExitStack() as closing:
                process = await site.start(closing)

                def handle(sequence: int, process: Process = process, number: int = number) -> None:
                    handled.append(sequence)
                    if number < 2 and sequence == (number + 1) * 700:
                        process.runner.stop()

                watched(process, handle)
                await process.runner.start()
                ended = await process.runner.run()
                assert ended == (number == 2)
                assert process.runner.sequence == handled[-1]
                finished.append(process.state.account.finished)
        assert finished == [False, False, True]

    play(story)
    assert handled == list(range(1, ROWS + 1))


def test_a_finished_account_is_left_as_it_is(play: Play) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(), desk=scripted({2: BUY}))
        first = await site.run()
        before = await site.result()
        again = await site.run()
        assert again.runner.handled == 0
        assert again.state.account.sequence == first.state.account.sequence
        assert await site.result() == before

    play(story)


def test_market_events_that_are_written_already_are_not_written_again(play: Play) -> None:
    async def story(town: Town) -> None:
        market, desk = flat(ROWS), scripted({2: BUY})
        first, second = await town.site(market, desk=desk), await town.site(market, desk=desk)
        await first.run()
        await second.run()
        one, two = await first.result(), await second.result()
        assert one == two, "two accounts on one recording"

    play(story)


def test_closed_candles_are_handed_to_the_store_once_and_in_order(play: Play) -> None:
    stored: list[Any] = []

    async def story(town: Town) -> None:
        site = await town.site(flat(ROWS), desk=scripted({}))
        await site.run(on_candles=stored.extend)

    play(story)
    assert [event.candle.open_time_ns for event in stored] == flat(ROWS).columns.open_time_ns.tolist()


def test_what_ends_the_feed_ends_the_run_after_what_came_before_it(play: Play) -> None:
    async def story(town: Town) -> None:
        market = flat(20)
        site = await town.site(market, desk=scripted({}))
        feed = LiveFeed(market, 10, FeedError("the venue is gone"))
        async with AsyncExitStack() as closing:
            process = await site.start(closing, feed=feed)
            await process.runner.start()
            with pytest.raises(FeedError, match="the venue is gone"):
                await process.runner.run()
            assert process.runner.sequence == 10
            assert not process.state.account.finished

    play(story)


def test_a_market_stream_that_cannot_be_written_ends_the_run(play: Play) -> None:
    class Broken(Commits):
        async def around(self, commit: Any) -> Any:
            self.count += 1
            if self.count > 1:
                raise StoreError("the disk is full")
            return await commit()

    async def story(town: Town) -> None:
        site = await town.site(flat(ROWS), desk=scripted({}))
        with pytest.raises(StoreError, match="the disk is full"):
            await site.run(commits=Broken())

    play(story)


@pytest.mark.scenario("E3")
def test_a_kill_is_followed_while_no_market_event_comes(play: Play) -> None:
    async def story(town: Town) -> None:
        market = flat(20)
        site = await town.site(market, desk=scripted({2: BUY}))
        halts = list[Halt]()
        last, halted = asyncio.Event(), asyncio.Event()

        def told(group: Sequence[tuple[Any, Any]]) -> None:
            if any(isinstance(fact, HaltSet) for fact, _ in group):
                halted.set()

        async with AsyncExitStack() as closing:
            venue = SpyVenue()
            process = await site.start(
                closing, feed=LiveFeed(market, 6), venue=venue, halts=lambda: tuple(halts), told=told
            )
            watched(process, lambda sequence: last.set() if sequence == 6 else None)
            await process.runner.start()
            async with asyncio.TaskGroup() as group:
                running = group.create_task(process.runner.run())
                async with asyncio.timeout(20):
                    await last.wait()
                    halts.append(KILLED)
                    await halted.wait()
                process.runner.stop()
                assert await running is False
            assert process.state.account.mode is AccountMode.HALTED
            assert "kill" in {order.intent.role.value for order in venue.sent}

    play(story)


def test_a_new_account_on_live_prices_begins_with_the_present(play: Play) -> None:
    async def story(town: Town) -> None:
        market = flat(30)
        desk = scripted({})
        first = await town.site(market, desk=desk)
        async with AsyncExitStack() as closing:
            process = await first.start(closing, feed=LiveFeed(market, 10, FeedError("gone")))
            await process.runner.start()
            with pytest.raises(FeedError):
                await process.runner.run()
        second = await town.site(market, desk=desk)
        handled: list[int] = []
        async with AsyncExitStack() as closing:
            process = await second.start(closing, feed=LiveFeed(market, 14, FeedError("gone")))
            watched(process, handled.append)
            await process.runner.start()
            with pytest.raises(FeedError):
                await process.runner.run()
        assert handled == [11, 12, 13, 14]

    play(story)


def test_live_events_that_were_written_and_not_handled_are_handled_first(play: Play) -> None:
    async def story(town: Town) -> None:
        market = flat(30)
        site = await town.site(market, desk=scripted({}))
        handled: list[int] = []
        async with AsyncExitStack() as closing:
            process = await site.start(closing, feed=LiveFeed(market, 4, FeedError("gone")))
            await process.runner.start()
            with pytest.raises(FeedError):
                await process.runner.run()
        async with AsyncExitStack() as closing:  # what another process would leave: rows that nobody has handled
            process = await site.start(closing)
            stream = market_stream("live-test", BTC.id)
            await process.market.open_stream(stream)
            async for batch in market.feed().batches(4):
                for item in batch[:5]:
                    process.market.append(stream, item.event, 1)
                break
            await process.market.write()
        async with AsyncExitStack() as closing:
            process = await site.start(closing, feed=LiveFeed(market, 12, FeedError("gone")))
            watched(process, handled.append)
            await process.runner.start()
            with pytest.raises(FeedError):
                await process.runner.run()
        assert handled == list(range(5, 13))

    play(story)


def test_a_start_puts_the_candles_of_the_warm_up_back_in_place(play: Play) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(ROWS))
        with pytest.raises(Cut):
            await site.run(commits=Commits(5, after=True))
        async with AsyncExitStack() as closing:
            process = await site.start(closing)
            await process.runner.start()
            series = process.state.view.candles(BTC.id, "1m")
            window = site.desk.seats[0].strategy.window
            assert len(series) == min(process.runner.sequence, window + 1)
            assert series.last_open_time_ns == site.market.columns.open_time_ns[process.runner.sequence - 1]
            mark = process.state.view.mark(BTC.id)
            assert mark is not None
            assert mark.at_ns == process.state.now_ns

    play(story)


async def edit_market(dsn: str, sequence: int) -> None:
    """Change the close of one market row, as a person with all rights can."""
    connection = await asyncpg.connect(dsn)
    try:
        changed = await connection.execute(
            "UPDATE events SET payload = jsonb_set(payload, '{event,candle,close}', '\"1\"')"
            " WHERE stream LIKE 'market/%' AND sequence = $1",
            sequence,
        )
        assert changed == "UPDATE 1"
    finally:
        await connection.close()


@pytest.mark.scenario("I14")
@pytest.mark.parametrize("row", [1, 300, ROWS])
def test_a_recorded_run_does_not_go_on_over_an_edited_market_row(play: Play, dsn: str, row: int) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(ROWS), desk=scripted({}))
        await site.run()
        await edit_market(dsn, row)
        stream = market_stream(site.market.feed().name, BTC.id)
        with pytest.raises(JournalTamperedError, match=f"stream {stream} is damaged at row {row}:"):
            await site.run()

    play(story)


@pytest.mark.parametrize("row", [ROWS - 1, ROWS])
def test_a_live_run_does_not_go_on_over_an_edited_row_among_those_that_it_reads_back(
    play: Play, dsn: str, row: int
) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(ROWS), desk=scripted({}))
        with pytest.raises(FeedError):
            await site.run(feed=LiveFeed(site.market, ROWS, FeedError("gone")))
        await edit_market(dsn, row)
        with pytest.raises(JournalTamperedError, match=f"damaged at row {row}:"):
            await site.run(feed=LiveFeed(site.market, ROWS, FeedError("gone")))

    play(story)


def test_a_live_run_reads_no_older_rows_than_it_needs(play: Play, dsn: str) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(ROWS), desk=scripted({}))
        with pytest.raises(FeedError):
            await site.run(feed=LiveFeed(site.market, ROWS, FeedError("gone")))
        await edit_market(dsn, 3)
        with pytest.raises(FeedError):
            await site.run(feed=LiveFeed(site.market, ROWS, FeedError("gone")))

    play(story)


def test_a_run_is_finished_once(play: Play) -> None:
    async def story(town: Town) -> None:
        site = await town.site(flat(), desk=scripted({}))
        process = await site.run()
        rows = [row.type async for row in process_rows(site)]
        assert rows.count(RunFinished.__name__) == 1
        assert process.state.account.finished

    play(story)


async def process_rows(site: Any) -> AsyncIterator[Any]:
    async with AsyncExitStack() as closing:
        process = await site.start(closing)
        async for row in process.journal.read(account_stream(site.account)):
            yield row
