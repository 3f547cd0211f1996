"""The port of market feeds: numbered market events, whatever their origin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from promethean.domain.candles import CandleSeries
from promethean.domain.events import MarketEvent
from promethean.domain.ids import InstrumentId
from promethean.domain.instruments import Instrument

BATCH_ITEMS = 20
"""Most items in one batch of a feed that runs as fast as it can."""


class FeedItem(NamedTuple):
    """One market event and its place in the feed's stream."""

    sequence: int
    event: MarketEvent


class Feed(Protocol):
    """Market events of one origin, numbered from 1 without a gap.

    Guaranteed: a candle comes once, after it closed, in order of its close per instrument.  A recorded or synthetic
    feed gives the same item the same number on every run; a live one continues where the caller's stream ends.
    """

    @property
    def name(self) -> str:
        """Part of the stream's name: `live`, `synthetic-<seed>`, `file-<12 hexadecimal digits>`."""
        ...

    @property
    def provenance(self) -> str:
        """For people: where the prices come from, in plain words."""
        ...

    @property
    def is_synthetic(self) -> bool:
        """Whether the prices are invented."""
        ...

    @property
    def is_repeatable(self) -> bool:
        """Whether the same number is the same item on every run: recorded and synthetic feeds."""
        ...

    @property
    def starts_at_ns(self) -> int | None:
        """The instant its first item begins at, for a feed with a time of its own; None: now, whenever that is."""
        ...

    @property
    def instruments(self) -> Mapping[InstrumentId, Instrument]:
        """What the feed brings events of."""
        ...

    @property
    def timeframe(self) -> str:
        """The timeframe of its candles."""
        ...

    @property
    def warm_up(self) -> Mapping[InstrumentId, CandleSeries]:
        """Closed candles that were known before the first item; empty when there are none."""
        ...

    @property
    def recorded(self) -> CandleSeries | None:
        """Every candle of a recording, for what is computed of the whole at once; None for a feed that goes on."""
        ...

    def batches(self, after: int) -> AsyncIterator[Sequence[FeedItem]]:
        """Items with a sequence above `after`, oldest first, in batches that are never empty; ends with the data.

        Raises ValueError when `after` is negative, FeedError when the feed cannot deliver.  One reader at a time.
        """
        ...

    async def close(self) -> None:
        """Give back connections and tasks; a second call does nothing."""
        ...
