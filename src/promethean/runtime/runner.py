"""Feeds in, accounts at work: the loop that never knows the mode."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence

from promethean.domain.events import CandleClosed, MarketEvent
from promethean.domain.market import MarketView
from promethean.engine.state import State
from promethean.runtime.account import MARKET_EVENTS, AccountRunner
from promethean.runtime.feeds.port import Feed, FeedItem
from promethean.storage.journal import Journal, Seen, account_stream, market_stream

log = logging.getLogger(__name__)

LOOK_AROUND_S = 0.05  # how soon a kill from another process is seen while no market event comes


class Runner:
    """Drives one account with one feed.

    history: trailing candles that are read back from the journal at a start.
    tick:    is given the account's state and the number of market events handled, after every batch.
    on_candles: is given the closed candles of each batch, for the market store; None when nobody stores them.
    """

    def __init__(
        self,
        feed: Feed,
        journal: Journal,
        account: AccountRunner,
        *,
        history: int,
        tick: Callable[[State, int], None] | None = None,
        on_candles: Callable[[Sequence[CandleClosed]], None] | None = None,
    ) -> None:
        self._feed = feed
        self._journal = journal
        self._account = account
        self._history = history
        self._tick = tick
        self._on_candles = on_candles
        self._stopping = asyncio.Event()
        (self._instrument,) = feed.instruments
        self._stream = market_stream(feed.name, self._instrument)
        self.handled = 0  # market events since this start
        self.sequence = 0  # the last market event the account has handled

    def stop(self) -> None:
        """End after the batch at hand; no new risk is taken from this moment on."""
        self._stopping.set()

    async def start(self) -> None:
        """Replay and reconcile; afterwards the account is safe and up to the last market event it has handled."""
        self._head = await self._journal.open_stream(self._stream)
        account = self._account.state.account.id
        self.sequence = await self._journal.offset(account_stream(account), self._stream)
        if self.sequence == 0 and not self._feed.is_repeatable:
            self.sequence = self._head  # a new account begins with the present
        view = await self._view(self.sequence)
        await self._account.start(view, Seen(self._stream, self.sequence))

    async def run(self) -> bool:
        """Handle market events until the feed ends or somebody stops us.

        Returns whether the feed came to its end.  Raises StoreError and LeaseLostError as `AccountRunner.commit` does.
        """
        if self._account.state.account.finished:
            return True
        if not self._feed.is_repeatable:
            await self._catch_up()
        batches = self._feed.batches(self.sequence)
        while not self._stopping.is_set():
            batch = await self._next(batches)
            if batch is None:
                break
            for item in batch:
                await self._handle(item.sequence, item.event)
            if self._on_candles is not None:
                self._on_candles([item.event for item in batch if isinstance(item.event, CandleClosed)])
            await self._account.look_around()
            await self._account.commit()
            if self._tick is not None:
                self._tick(self._account.state, self.sequence)
        ended = not self._stopping.is_set()
        if ended and self._feed.is_repeatable:
            await self._account.finish()
        await self._account.commit()
        return ended

    async def _handle(self, sequence: int, event: MarketEvent) -> None:
        if sequence > self._head:
            self._head = self._journal.append(self._stream, event, event.received_at_ns)
            assert self._head == sequence, f"item {sequence} of {self._feed.name} would be row {self._head}"
        await self._account.on_market(event, Seen(self._stream, sequence))
        self.sequence = sequence
        self.handled += 1

    async def _next(self, batches: AsyncIterator[Sequence[FeedItem]]) -> Sequence[FeedItem] | None:
        """The next batch, or None when the feed has ended or we are to stop; the latches are looked at meanwhile."""
        arriving = asyncio.ensure_future(anext(batches, None))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while True:
                done, _ = await asyncio.wait(
                    {arriving, stopping}, timeout=LOOK_AROUND_S, return_when=asyncio.FIRST_COMPLETED
                )
                if arriving in done and not self._stopping.is_set():
                    return arriving.result()
                if stopping in done:
                    return None
                await self._account.look_around()
                await self._account.commit()
        finally:
            for task in (arriving, stopping):
                if not task.done():
                    task.cancel()
            await asyncio.gather(arriving, stopping, return_exceptions=True)

    async def _catch_up(self) -> None:
        """Market events that were journalled and not yet handled by the account, from the journal itself."""
        async for record in self._journal.read(self._stream, self.sequence):
            event = record.event()
            assert isinstance(event, MARKET_EVENTS), "a market stream holds market events"
            await self._handle(record.sequence, event)

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
        for instrument, series in self._feed.warm_up.items():
            known = series.before(candles[0].open_time_ns) if candles else series
            view = view.with_series(instrument, self._feed.timeframe, known)
        for candle in candles:
            view = view.with_candle(candle)
        return view
