"""Feeds in, accounts at work: the loop that never knows the mode."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from promethean.domain.events import CandleClosed
from promethean.domain.market import MarketView
from promethean.engine.state import State
from promethean.runtime.account import MARKET_EVENTS, AccountRunner
from promethean.runtime.feeds.port import BATCH_ITEMS, Feed, FeedItem
from promethean.runtime.paper import has_end
from promethean.runtime.reloading import StrategyWatch
from promethean.storage.journal import Journal, Seen, account_stream, market_stream

log = logging.getLogger(__name__)

GROUP_EVENTS = 2000  # market events that are written together when they come faster than one by one
SLICE_EVENTS = 500  # handled before anything else gets its turn
LOOK_AROUND_S = 0.05  # how soon a kill from another process is seen while no market event comes


class Runner:
    """Drives one account with one feed.

    journal: of the account; market: a second one, with a connection of its own, that writes the market's streams.
    history: trailing candles that are read back from the journal at a start.
    tick:    is given the account's state and the number of candles it has handled, after every batch.
    close_at_end: whether what is open when a recording ends is closed at its last close.
    on_candles: is given the closed candles of each batch, for the market store; None when nobody stores them.
    reloading: looks whether the strategy file has changed; None when it does not matter.
    """

    def __init__(
        self,
        feed: Feed,
        journal: Journal,
        market: Journal,
        account: AccountRunner,
        *,
        history: int,
        tick: Callable[[State, int], None] | None = None,
        on_candles: Callable[[Sequence[CandleClosed]], None] | None = None,
        close_at_end: bool = False,
        reloading: StrategyWatch | None = None,
    ) -> None:
        self._feed = feed
        self._journal = journal
        self._market = market
        self._account = account
        self._history = history
        self._tick = tick
        self._on_candles = on_candles
        self._close_at_end = close_at_end
        self._reloading = reloading
        self._stopping = asyncio.Event()
        (self._instrument,) = feed.instruments
        self._stream = market_stream(feed.name, self._instrument)
        self.handled = 0  # market events since this start
        self.sequence = 0  # the last market event the account has handled
        self.candles = 0  # closed ones among all that the account has handled

    def stop(self) -> None:
        """End after the batch at hand; no new risk is taken from this moment on."""
        self._stopping.set()

    async def start(self) -> None:
        """Replay and reconcile; afterwards the account is safe and up to the last market event it has handled.

        Raises JournalTamperedError when the account or the market rows behind it are not as they were written.
        """
        self._head = await self._market.open_stream(self._stream)
        account = self._account.state.account.id
        self.sequence = await self._journal.offset(account_stream(account), self._stream)
        if self.sequence == 0 and not self._feed.is_repeatable:
            self.sequence = self._head  # a new account begins with the present
        # What the run rests on is what was written: all of a recording, of an endless stream what is read back from it.
        oldest = 0 if has_end(self._feed) else max(0, self.sequence - self._history)
        await self._journal.verify(self._stream, after=oldest)
        self.candles = await self._journal.candles(self._stream, self.sequence)
        view = await self._view(self.sequence)
        await self._account.start(view, Seen(self._stream, self.sequence))

    async def run(self) -> bool:
        """Handle market events until the feed ends or somebody stops us.

        Returns whether the feed came to its end.  Raises StoreError and LeaseLostError as `AccountRunner.commit` does,
        FeedError when the feed cannot go on.
        """
        if self._account.state.account.finished:
            return True
        if not self._feed.is_repeatable:
            await self._catch_up()
        arrived: asyncio.Queue[Sequence[FeedItem]] = asyncio.Queue(maxsize=1)  # a full one makes the feed wait
        reader = asyncio.create_task(self._read(arrived), name=f"feed:{self._feed.name}")
        try:
            while (batch := await self._next(arrived, reader)) is not None:
                for start in range(0, len(batch), SLICE_EVENTS):
                    await self._handle(batch[start : start + SLICE_EVENTS])
                    if self._stopping.is_set():
                        break  # what is left of the group is written, and waits for the next start
                await self._account.commit()
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        ended = not self._stopping.is_set()
        if ended and self._feed.is_repeatable:
            await self._account.finish(close=self._close_at_end)
        await self._account.commit()
        return ended

    async def _read(self, arrived: asyncio.Queue[Sequence[FeedItem]]) -> None:
        """Journal what the feed brings, one batch ahead of the account: it never sees an event that is not written."""
        group: list[FeedItem] = []
        async for batch in self._feed.batches(self.sequence):
            new = [item.event for item in batch if item.sequence > self._head]
            if new:
                self._head = self._market.extend(self._stream, new)
                assert self._head == batch[-1].sequence, f"item {batch[-1].sequence} would be row {self._head}"
            group.extend(batch)
            if len(batch) < BATCH_ITEMS or len(group) >= GROUP_EVENTS:
                await self._market.write()
                await arrived.put(group)
                group = []
            await asyncio.sleep(0)  # an order's commit, when it is answered, goes before reading ahead
        if group:
            await self._market.write()
            await arrived.put(group)

    async def _next(
        self, arrived: asyncio.Queue[Sequence[FeedItem]], reader: asyncio.Task[None]
    ) -> Sequence[FeedItem] | None:
        """The next batch, or None when the feed has ended or we are to stop; the latches are looked at meanwhile."""
        await asyncio.sleep(0)  # signals get their turn between groups, however fast these come
        while not self._stopping.is_set():
            if not arrived.empty():
                return arrived.get_nowait()
            if reader.done():
                reader.result()  # raises what ended it
                return None
            arriving = asyncio.ensure_future(arrived.get())
            stopping = asyncio.ensure_future(self._stopping.wait())
            waiting = {arriving, stopping, reader}
            done, _ = await asyncio.wait(waiting, timeout=LOOK_AROUND_S, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if arriving in done:
                return arriving.result()
            arriving.cancel()
            await self._look_around()
            await self._account.commit()
        return None

    async def _look_around(self) -> None:
        await self._account.look_around()
        if self._reloading is not None:
            await self._reloading.look()

    async def _handle(self, items: Sequence[FeedItem]) -> None:
        """Some events in a row; then a look at the kill latches, and a word to who looks on."""
        for sequence, event in items:
            if self._reloading is not None and type(event) is CandleClosed:
                await self._reloading.before_candle()
            await self._account.on_market(event, sequence)
        self._handled(items)
        if self._on_candles is not None:
            self._on_candles([item.event for item in items if isinstance(item.event, CandleClosed)])
        await self._look_around()
        if self._tick is not None:
            self._tick(self._account.state, self.candles)

    def _handled(self, items: Sequence[FeedItem]) -> None:
        self.handled += len(items)
        self.candles += [type(item.event) for item in items].count(CandleClosed)
        self.sequence = items[-1].sequence

    async def _catch_up(self) -> None:
        """Market events that were journalled and not yet handled by the account, from the journal itself."""
        async for record in self._journal.read(self._stream, self.sequence):
            event = record.event()
            assert isinstance(event, MARKET_EVENTS), "a market stream holds market events"
            await self._account.on_market(event, record.sequence)
            self._handled([FeedItem(record.sequence, event)])
            if self._on_candles is not None and isinstance(event, CandleClosed):
                self._on_candles([event])

    async def _view(self, upto: int) -> MarketView:
        """The market as the account knew it after `upto` market events: the journal's candles after the warm-up."""
        candles = []
        async for record in self._journal.read(self._stream, max(0, upto - self._history)):
            if record.sequence > upto:
                break
            event = record.event()
            if isinstance(event, CandleClosed):
                candles.append(event.candle)
        view = MarketView()
        begins = candles[0] if candles else await self._journal.first_candle(self._stream, upto)
        for instrument, series in self._feed.warm_up.items():
            known = series.before(begins.open_time_ns) if begins is not None else series
            view = view.with_series(instrument, self._feed.timeframe, known)
        for candle in candles:
            view = view.with_candle(candle)
        return view
