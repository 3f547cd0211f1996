"""Recorded candles, as fast as the engine takes them or at a multiple of their own pace."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from promethean.domain.books import BookSeries
from promethean.domain.candles import CandleSeries, timeframe_ns
from promethean.domain.errors import FeedError
from promethean.domain.ids import InstrumentId
from promethean.domain.instruments import Instrument
from promethean.runtime.clock import Clock
from promethean.runtime.feeds.columns import CandleColumns, check_speed, closed_items
from promethean.runtime.feeds.port import BATCH_ITEMS, FeedItem

if TYPE_CHECKING:
    from promethean.domain.trades import TradeSeries
    from promethean.strategies.frame import Frame

_SHA256 = re.compile(r"[0-9a-f]{64}")


class FileFeed:
    """The candles of a file; candle i has sequence i + 1.

    columns: the clean rows of the file.
    sha256:  of the file, 64 hexadecimal digits: the same content continues the same stream, wherever it lies.
    source:  the file's name, for people.
    books:   order books at each candle's close, where the file holds them.
    trades:  single trades of these candles, where a file of them was given.
    speed:   multiple of real time: candle i appears (close_i - close_0) / speed after the first one asked for;
             None: as fast as the reader takes them.
    Raises ConfigError for a speed that is not above zero, FeedError when there is no candle to feed.
    """

    is_synthetic = False
    is_repeatable = True
    warm_up: Mapping[InstrumentId, CandleSeries] = MappingProxyType({})

    def __init__(
        self,
        columns: CandleColumns,
        instrument: Instrument,
        timeframe: str,
        *,
        sha256: str,
        source: str,
        clock: Clock,
        speed: float | None = None,
        books: BookSeries | None = None,
        trades: TradeSeries | None = None,
    ) -> None:
        check_speed(speed)
        timeframe_ns(timeframe)
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"a sha256 has 64 hexadecimal digits in lower case: {sha256!r}")
        if not len(columns):
            raise FeedError(f"{source} has no usable candle; give a file with at least one")
        self.sha256 = sha256
        self.name = f"file-{sha256[:12]}"
        self.provenance = f"recorded data from {source}"
        self.timeframe = timeframe
        self.starts_at_ns: int | None = int(columns.open_time_ns[0])
        self.instruments: Mapping[InstrumentId, Instrument] = MappingProxyType({instrument.id: instrument})
        self.books, self.trades = books, trades
        self._instrument = instrument.id
        self._columns = columns
        self._clock = clock
        self._speed = speed

    @property
    def recorded(self) -> CandleSeries:
        """Every candle of the file."""
        c = self._columns
        return CandleSeries.from_columns(c.open_time_ns, (c.open, c.high, c.low, c.close, c.volume), keep=len(c))

    def frame(self) -> Frame:
        """Every candle with what is beside it, as a strategy reads them."""
        from promethean.strategies.frame import Frame

        return Frame(self.recorded, self.timeframe, self.books, self.trades)

    def __len__(self) -> int:
        """Number of items from the first to the last."""
        return len(self._columns)

    async def batches(self, after: int) -> AsyncIterator[Sequence[FeedItem]]:
        """Items with a sequence above `after`: up to 20 at once at full speed, one by one in paced time."""
        if after < 0:
            raise ValueError(f"sequences start at 1, so nothing comes after {after}")
        if self._speed is None:
            for start in range(after, len(self), BATCH_ITEMS):
                yield self._items(start, min(start + BATCH_ITEMS, len(self)))
            return
        rows = self._columns.open_time_ns
        begun_ns = self._clock.now_ns()
        for row in range(after, len(self)):
            await self._clock.sleep_until_ns(begun_ns + int(int(rows[row] - rows[after]) / self._speed))
            yield self._items(row, row + 1)

    def _items(self, start: int, stop: int) -> list[FeedItem]:
        return closed_items(self._columns.candles(self._instrument, self.timeframe, start, stop), start + 1)

    async def close(self) -> None:
        """Nothing to give back."""
