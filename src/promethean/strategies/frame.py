"""The candles of one market as a strategy reads them: its own timeframe, larger ones built from it, and indicators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from promethean.domain.books import BookSeries
from promethean.domain.candles import CandleSeries, FloatArray, IntArray, timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.instants import DAY_NS, NS_PER_MINUTE
from promethean.domain.trades import TradeSeries
from promethean.indicators.catalogue import INDICATORS
from promethean.indicators.volume.true_vwap import MinuteTallies, TrueVwap, minute_tallies, quiet_minutes, true_vwap
from promethean.indicators.volume.vwap import Vwap

_MONDAY_NS = 4 * DAY_NS  # the epoch was a Thursday, and weeks begin on Mondays
_WEEK = "1w"


class Memo(dict[Any, Any]):
    """What was computed, the longest unused first; of more than `keep` that goes.  keep: None: everything stays."""

    keep: int | None = None

    def __getitem__(self, key: Any) -> Any:
        value = self.pop(key)
        super().__setitem__(key, value)
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        if self.keep is not None and len(self) > self.keep:
            del self[next(iter(self))]


class Frame:
    """Candles with what was computed of them, computed once however many strategies ask.

    candles:   closed, oldest first.
    timeframe: of the candles: the primary one.
    books:     order books and tape at each candle's close, where the data have them.
    trades:    single trades, where they were given: of any of the candles.
    Raises ValueError unless there is a book for each candle.
    """

    def __init__(
        self,
        candles: CandleSeries,
        timeframe: str,
        books: BookSeries | None = None,
        trades: TradeSeries | None = None,
    ) -> None:
        if books is not None and len(books) != len(candles):
            raise ValueError(f"there are books at {len(books)} closes for {len(candles)} candles")
        self.candles = candles
        self.timeframe = timeframe
        self.trades = trades
        self.memo = Memo()
        self._books = books
        self._length_ns = timeframe_ns(timeframe)

    def __len__(self) -> int:
        """Number of candles."""
        return len(self.candles)

    def part(self, start: int, stop: int) -> Frame:
        """A stretch of the candles, with their books and trades, that remembers nothing of the others."""
        opens = self.candles.open_time_ns
        upto = self.candles if stop >= len(self) else self.candles.before(int(opens[stop]))
        books = None if self._books is None else self._books.rows(slice(start, min(stop, len(self))))
        candles = upto.tail(len(upto) - start)
        return Frame(candles, self.timeframe, books, self._trades_of(candles))

    def _trades_of(self, candles: CandleSeries) -> TradeSeries | None:
        if self.trades is None:
            return None
        if not len(candles):
            return self.trades.between(0, 0)
        return self.trades.between(int(candles.open_time_ns[0]), candles.last_open_time_ns + self._length_ns)

    @property
    def close_time_ns(self) -> IntArray:
        """int64, shape (n,): when each candle was known."""
        times: IntArray = self._kept("close_time_ns", lambda: self.candles.open_time_ns + self._length_ns)
        return times

    @property
    def books(self) -> BookSeries:
        """Order books and tape at each candle's close.  Raises ConfigError where the data have none."""
        if self._books is None:
            raise ConfigError("this data holds no order books; give a recorded feed, for example --data FEED.gz")
        return self._books

    def larger(self, timeframe: str) -> CandleSeries:
        """The closed candles of a larger timeframe, built from these; the candles themselves for their own.

        The first one is left out unless its first candle is there: half a candle is none.
        """
        if timeframe == self.timeframe:
            return self.candles
        larger: CandleSeries = self._kept(("larger", timeframe), lambda: self._build(timeframe))
        return larger

    def indicator(self, name: str, parameters: Mapping[str, Any], timeframe: str) -> tuple[FloatArray, ...]:
        """The outputs of an indicator at every candle: of a larger timeframe, at its last closed candle by then.

        Returns: float64 arrays, shape (n,), the main one first; NaN while not known.
        Raises:  ConfigError for an unknown indicator, ValueError for parameters it refuses.
        """
        key = (name, timeframe, tuple(sorted(parameters.items())))
        outputs: tuple[FloatArray, ...] = self._kept(key, lambda: self._compute(name, parameters, timeframe))
        return outputs

    def true_vwap(self, deviations: float) -> TrueVwap:
        """The VWAP of the session over the trades up to each candle's close, with its bands.

        It is that over candles where too many trades are missing, and everywhere in a frame without trades; its
        `approximation` says where.

        deviations: distance of the bands in volume-weighted standard deviations, above 0.
        Raises:     ValueError for deviations not above 0, and for trades beside candles shorter than a minute.
        """
        made: TrueVwap = self._kept(("true vwap", deviations), lambda: self._true_vwap(deviations))
        return made

    def _true_vwap(self, deviations: float) -> TrueVwap:
        trades = self.trades
        if trades is None:
            rough = self.indicator("vwap", {"deviations": deviations}, self.timeframe)
            return TrueVwap(*Vwap(*rough), np.ones(len(self), np.bool_))
        c, candle_minutes = self.candles, self._length_ns // NS_PER_MINUTE
        if not candle_minutes:
            raise ValueError(f"trades are added up by the minute, and candles of {self.timeframe} are shorter")
        tallies, quiet = self._kept("tallies", lambda: self._tallies(trades, candle_minutes))
        return true_vwap(
            c.open_time_ns, c.high, c.low, c.close, c.volume, tallies, deviations=deviations, quiet=quiet,
            candle_minutes=candle_minutes,
        )  # fmt: skip

    def _tallies(self, trades: TradeSeries, candle_minutes: int) -> tuple[MinuteTallies, IntArray | None]:
        """The trades of each candle added up, and the candles in which nothing traded, where that is known."""
        opened_ns = trades.at_ns // self._length_ns * self._length_ns
        tallies = minute_tallies(opened_ns, trades.price, trades.quantity)
        if trades.number is None:
            return tallies, None
        return tallies, quiet_minutes(opened_ns // NS_PER_MINUTE, trades.number, candle_minutes)

    def _compute(self, name: str, parameters: Mapping[str, Any], timeframe: str) -> tuple[FloatArray, ...]:
        entry = INDICATORS.get(name)
        candles = self.larger(timeframe)
        found = entry.function(*(getattr(candles, column) for column in entry.inputs), **parameters)
        outputs = tuple(found) if isinstance(found, tuple) else (found,)
        return tuple(self.spread(values, timeframe) for values in outputs)

    def spread(self, values: FloatArray, timeframe: str) -> FloatArray:
        """Values of a larger timeframe's candles, at every candle that of the last one closed by then.

        values:  float64, one for each candle of `larger(timeframe)`.
        Returns: float64, shape (n,); NaN before the first one has closed.
        """
        if timeframe == self.timeframe:
            return values
        place = self.last_closed(timeframe)
        return np.where(place >= 0, np.append(values, np.nan)[place], np.nan)

    def last_closed(self, timeframe: str) -> IntArray:
        """int64, shape (n,): at every candle the place of a larger timeframe's last closed one; -1 before the first."""
        ends = self.larger(timeframe).open_time_ns + timeframe_ns(timeframe)
        places: IntArray = self._kept(
            ("last closed", timeframe), lambda: np.searchsorted(ends, self.close_time_ns, side="right") - 1
        )
        return places

    def _build(self, timeframe: str) -> CandleSeries:
        candles, length_ns = self.candles, timeframe_ns(timeframe)
        if length_ns % self._length_ns:
            raise ValueError(f"candles of {timeframe} cannot be built from those of {self.timeframe}")
        shift = _MONDAY_NS if timeframe == _WEEK else 0
        opens = candles.open_time_ns
        group = (opens - shift) // length_ns
        starts = np.flatnonzero(np.diff(group, prepend=group[:1] - 1))
        begins = group[starts] * length_ns + shift
        if len(starts) and opens[0] != begins[0]:
            starts, begins = starts[1:], begins[1:]
        if len(starts) and self.close_time_ns[-1] < begins[-1] + length_ns:
            stop = int(starts[-1])
            starts, begins = starts[:-1], begins[:-1]
        else:
            stop = len(opens)
        if not len(starts):
            return CandleSeries(1)
        ends = np.append(starts[1:], stop) - 1
        columns = (
            candles.open[starts],
            np.maximum.reduceat(candles.high[:stop], starts),
            np.minimum.reduceat(candles.low[:stop], starts),
            candles.close[ends],
            np.add.reduceat(candles.volume[:stop], starts),
        )
        return CandleSeries.from_columns(begins, columns, keep=len(begins))

    def _kept(self, key: Any, make: Any) -> Any:
        if key not in self.memo:
            self.memo[key] = make()
        return self.memo[key]
