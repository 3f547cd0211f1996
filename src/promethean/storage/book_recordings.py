"""Recorded order book feeds: what a venue sent, line by line, in; candles of a second with their books out.

Understood is what Binance's combined streams send, spot and USDT futures, compressed with gzip.  A line is the receive
time in nanoseconds, a space and the message: `depthUpdate`, `trade`, and the snapshot of the book that was asked for;
other messages are passed over.  Everything stands on the clock of the receiver, because a strategy knows what has
arrived and not what has been sent; the candles of a venue's own clock are therefore slightly different ones.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np

from promethean.domain.books import BookSeries
from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.errors import ConfigError
from promethean.domain.instants import NS_PER_S
from promethean.domain.instruments import MarketType, split_pair
from promethean.indicators.order_flow.spoofing import spoofing_sides
from promethean.indicators.order_flow.tape import Books, Tape
from promethean.storage.candle_files import GZIP, MarketName, read_content

TIMEFRAME = "1s"
LEVELS = 20
"""Shown of each side: SPEC 4, `market.orderbook_depth`."""
AGE_MAX_NS = 5 * NS_PER_S
"""A book that has not changed for longer is not known (SPEC 5.5); a feed silent for longer was interrupted."""

_EXCHANGE = "binance"  # whose messages these are
_SANE_NS = range(10**18, 4 * 10**18)  # 2001 to 2096: no other unit of time falls into it
_WHAT = "a recorded feed has the receive time in nanoseconds, a space and Binance's message on every line"

_Levels: TypeAlias = list[tuple[str, str]]


class _Message(msgspec.Struct):
    """The fields of the messages that are read; `b` and `a` are levels in one kind of message and numbers in others."""

    data: _Message | None = None
    kind: str | None = msgspec.field(default=None, name="e")
    symbol: str | None = msgspec.field(default=None, name="s")
    snapshot: int | None = msgspec.field(default=None, name="lastUpdateId")
    first: int | None = msgspec.field(default=None, name="U")
    last: int | None = msgspec.field(default=None, name="u")
    previous: int | None = msgspec.field(default=None, name="pu")
    b: _Levels | str | int | None = None
    a: _Levels | str | int | None = None
    bids: _Levels = []
    asks: _Levels = []
    price: str | None = msgspec.field(default=None, name="p")
    quantity: str | None = msgspec.field(default=None, name="q")
    buyer_waited: bool | None = msgspec.field(default=None, name="m")

    @property
    def changes_after(self) -> int:
        """Number of the last change before this one."""
        if self.previous is not None:
            return self.previous
        assert self.first is not None, "looked at when it was read"
        return self.first - 1


@dataclass(frozen=True, slots=True)
class BookRecording:
    """A recorded feed as candles of a second, and the books beside them.

    open_time_ns: int64, shape (n,), strictly rising: every second that was heard whole, from the first known price on.
    open, high, low, close: float64, shape (n,), quote units per base unit; volume: base units.  A second without a
                  trade stands at the close before it, with volume 0.
    books:        what the book showed at the close of each.
    tape:         every trade.  snapshots: the book after every change, NaN where it stopped being known.
    lines:        of the file.  gaps: how often changes were missing.
    crossed:      books with the best bid not below the best ask, which are not shown.
    """

    path: Path
    sha256: str
    market: MarketName
    lines: int
    gaps: int
    crossed: int
    open_time_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    books: BookSeries = field(repr=False)
    tape: Tape = field(repr=False)
    snapshots: Books = field(repr=False)

    def __len__(self) -> int:
        return len(self.open_time_ns)

    @property
    def unknown(self) -> int:
        """At how many closes the book was not known."""
        return int(np.isnan(self.books.bids[:, 0, 0]).sum())


def is_book_recording(path: Path) -> bool:
    """Whether this is a file that is compressed as recorded feeds are; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(GZIP)) == GZIP
    except OSError:
        return False


def read_book_recording(path: Path) -> BookRecording:
    """Read a recorded feed.

    Raises ConfigError for a file that is absent, damaged, or no recorded feed, naming the line; for one of more than
    one market, without changes of a book, or too short for a single candle.
    """
    content = read_content(path)
    reader = _Reader()
    number = 0
    for number, (received_ns, message) in enumerate(_messages(path, content), 1):
        try:
            reader.take(received_ns, message)
        except ValueError as error:
            raise ConfigError(f"{path}: line {number}: {error}; {_WHAT}") from error
    market = reader.market(path)
    tape, snapshots = reader.tape(), reader.snapshots()
    opens = _whole_seconds(np.frombuffer(reader.received, np.int64))
    opens = opens[np.searchsorted(tape.at_ns, opens + NS_PER_S) > 0]
    if not len(opens):
        raise ConfigError(f"{path} holds no whole second with a known price; give a longer recording with trades in it")
    candles = _candles(opens, tape)
    bought, sold = (_volume(opens, tape.rows(tape.aggressor == sign)) for sign in (1, -1))
    bids, asks = (_at_closes(opens + NS_PER_S, snapshots.at_ns, side) for side in (snapshots.bids, snapshots.asks))
    return BookRecording(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        market=market,
        lines=number,
        gaps=reader.book.gaps,
        crossed=reader.crossed,
        open_time_ns=opens,
        **candles,
        books=BookSeries(bids, asks, bought, sold, spoofing_sides(*tape, *snapshots, opens + NS_PER_S - 1)),
        tape=tape,
        snapshots=snapshots,
    )


# ---------------------------------------------------------------- lines


def _messages(path: Path, content: bytes) -> Iterator[tuple[int, _Message]]:
    """Receive time and message of every line."""
    decode = msgspec.json.Decoder(_Message).decode
    number, before_ns = 0, 0
    try:
        for number, line in enumerate(gzip.GzipFile(fileobj=BytesIO(content)), 1):
            received, _, text = line.partition(b" ")
            received_ns = int(received) if received.isdigit() else 0
            if received_ns not in _SANE_NS:
                shown = line[:40].decode(errors="replace").strip()
                raise ConfigError(f"{path}: line {number} begins with {shown!r}; {_WHAT}")
            if received_ns < before_ns:
                raise ConfigError(
                    f"{path}: line {number} was received at {received_ns}, before the line above it; sort the lines"
                )
            before_ns = received_ns
            try:
                message = decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise ConfigError(f"{path}: line {number} is damaged: {error}; {_WHAT}") from error
            yield received_ns, message.data or message
    except (EOFError, OSError, zlib.error) as error:
        raise ConfigError(
            f"{path} is damaged after line {number:,}: {error}; copy or record the whole file again"
        ) from error


class _Reader:
    """What the lines so far amount to."""

    def __init__(self) -> None:
        self.book = _Book()
        self.crossed = 0
        self.received = array("q")
        self._symbol: str | None = None
        self._market_type: MarketType | None = None
        self._traded_ns = array("q")
        self._trades = array("d")
        self._shown_ns = array("q")
        self._shown = array("d")
        self._was_known = False

    def take(self, received_ns: int, message: _Message) -> None:
        """One line.  Raises ValueError for what no such message can hold."""
        self.received.append(received_ns)
        if message.symbol is not None and message.symbol != self._symbol:
            if self._symbol is not None:
                raise ValueError(f"it is of {message.symbol}, and the lines above are of {self._symbol}")
            self._symbol = message.symbol
        if message.snapshot is not None:
            self.book.reset(message)
        elif message.kind == "depthUpdate":
            market_type = MarketType.SPOT if message.previous is None else MarketType.FUTURES
            if self._market_type not in (None, market_type):
                raise ValueError(f"it is of {market_type}, and the lines above are of {self._market_type}")
            self._market_type = market_type
            self.book.change(message)
        elif message.kind == "trade":
            self._trade(received_ns, message)
            return
        else:
            return
        self._show(received_ns)

    def _trade(self, received_ns: int, message: _Message) -> None:
        price, quantity = _number(message.price), _number(message.quantity)
        if message.buyer_waited is None:
            raise ValueError("the trade does not say who waited (m)")
        if price <= 0:
            raise ValueError(f"the trade has the price {message.price}")
        if quantity > 0:  # Binance tells settlements of its insurance fund as trades of nothing
            self._traded_ns.append(received_ns)
            self._trades.extend((price, quantity, -1.0 if message.buyer_waited else 1.0))

    def _show(self, received_ns: int) -> None:
        sides = self.book.shown()
        if sides is not None and sides[0][0] >= sides[1][0]:
            self.crossed += 1
            sides = None
        if sides is not None:
            self._shown.extend(sides[0])
            self._shown.extend(sides[1])
        elif self._was_known:
            self._shown.extend([math.nan] * (4 * LEVELS))
        else:
            return
        self._shown_ns.append(received_ns)
        self._was_known = sides is not None

    def market(self, path: Path) -> MarketName:
        """The market that the messages are of.  Raises ConfigError when they do not tell it."""
        if self._market_type is None or self._symbol is None:
            raise ConfigError(f"{path} holds no change of an order book (depthUpdate); {_WHAT}")
        pair = split_pair(self._symbol)
        if pair is None:
            raise ConfigError(f"{path} is of {self._symbol!r}, which is not a pair with a known quote coin")
        return MarketName(_EXCHANGE, *pair, self._market_type)

    def tape(self) -> Tape:
        """The trades."""
        price, quantity, aggressor = np.frombuffer(self._trades).reshape(-1, 3).T.copy()
        return Tape(np.array(self._traded_ns, np.int64), price, quantity, aggressor.astype(np.int64))

    def snapshots(self) -> Books:
        """The book after every change."""
        shown = np.frombuffer(self._shown).reshape(-1, 2, LEVELS, 2)
        return Books(np.array(self._shown_ns, np.int64), shown[:, 0], shown[:, 1])


# ---------------------------------------------------------------- the book


class _Side:
    """One side of a book: what rests at each price, and the prices best first.

    known_to: the worst price of the snapshot; what rests beyond it and has not changed since was never told.
    """

    def __init__(self, sign: int, levels: _Levels) -> None:
        self._sign = sign
        self._sizes: dict[float, float] = {}
        self._ranked: list[float] = []  # prices with the sign that puts the best first
        self.change(levels)
        self._known_to = self._ranked[-1] if self._ranked else -math.inf

    def change(self, levels: _Levels) -> None:
        for price_text, size_text in levels:
            price, size = _number(price_text), _number(size_text)
            if price <= 0:
                raise ValueError(f"a level of the book has the price {price_text}")
            rank = -self._sign * price
            if not size:
                if self._sizes.pop(price, None) is not None:
                    del self._ranked[bisect_left(self._ranked, rank)]
                continue
            if price not in self._sizes:
                insort(self._ranked, rank)
            self._sizes[price] = size

    def shown(self) -> list[float] | None:
        """Price and size of the best levels, one after the other; None where one of them may be another."""
        ranked = self._ranked[:LEVELS]
        if len(ranked) < LEVELS or ranked[-1] > self._known_to:
            return None
        return [number for rank in ranked for number in (abs(rank), self._sizes[abs(rank)])]


class _Book:
    """A book from its snapshot and the numbered changes; after a gap unknown until the next snapshot."""

    def __init__(self) -> None:
        self.gaps = 0
        self._sides: tuple[_Side, _Side] | None = None
        self._last = -1  # number of the newest change that is in it
        self._is_new = True  # no change came since the snapshot
        self._waiting: list[_Message] = []  # changes for a snapshot to come, which may be older than they are

    def reset(self, snapshot: _Message) -> None:
        """Begin with a snapshot, unless what is there is newer."""
        assert snapshot.snapshot is not None, "the caller looked"
        if self._sides is not None and snapshot.snapshot < self._last:
            return
        self._sides = _Side(1, snapshot.bids), _Side(-1, snapshot.asks)
        self._last, self._is_new = snapshot.snapshot, True
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self.change(message)

    def change(self, message: _Message) -> None:
        """Take one numbered change.  Raises ValueError when it is incomplete."""
        bids, asks = message.b, message.a
        if message.last is None or message.first is None or not isinstance(bids, list) or not isinstance(asks, list):
            raise ValueError("the change of the book lacks its numbers (U, u) or its levels (b, a)")
        if self._sides is None:
            self._waiting.append(message)
            return
        if message.last <= self._last:
            return  # the snapshot knows it
        after = message.changes_after
        if after > self._last or (after < self._last and not self._is_new):
            self.gaps += 1
            self._sides, self._waiting = None, [message]
            return
        self._sides[0].change(bids)
        self._sides[1].change(asks)
        self._last, self._is_new = message.last, False

    def shown(self) -> tuple[list[float], list[float]] | None:
        """The best levels of both sides; None while they are not known."""
        if self._sides is None:
            return None
        bids, asks = (side.shown() for side in self._sides)
        return None if bids is None or asks is None else (bids, asks)


def _number(text: str | None) -> float:
    number = math.nan if text is None else float(text)
    if not 0 <= number < math.inf:
        raise ValueError(f"{text!r} is not a price or a quantity")
    return number


# ---------------------------------------------------------------- seconds


def _whole_seconds(received_ns: IntArray) -> IntArray:
    """Open times of the seconds in which the feed was heard from beginning to end."""
    if not len(received_ns):
        return np.empty(0, np.int64)
    breaks = np.flatnonzero(np.diff(received_ns) > AGE_MAX_NS)
    begins = received_ns[np.append(0, breaks + 1)].tolist()
    ends = received_ns[np.append(breaks, len(received_ns) - 1)].tolist()
    heard = [np.arange(-(-begin // NS_PER_S), end // NS_PER_S) for begin, end in zip(begins, ends, strict=True)]
    seconds: IntArray = np.concatenate(heard) * NS_PER_S
    return seconds


def _candles(opens: IntArray, tape: Tape) -> dict[str, FloatArray]:
    """The columns of the candles, by name."""
    first, stop = np.searchsorted(tape.at_ns, [opens, opens + NS_PER_S])
    close = tape.price[stop - 1]  # where nothing traded, the close before it
    return {
        "open": tape.price[np.where(stop > first, first, stop - 1)],
        "high": _of_each(np.maximum, first, stop, tape.price, close),
        "low": _of_each(np.minimum, first, stop, tape.price, close),
        "close": close,
        "volume": _volume(opens, tape),
    }


def _volume(opens: IntArray, tape: Tape) -> FloatArray:
    first, stop = np.searchsorted(tape.at_ns, [opens, opens + NS_PER_S])
    return _of_each(np.add, first, stop, tape.quantity, np.zeros(len(opens)))


def _of_each(
    reduce: np.ufunc, first: IntArray, stop: IntArray, values: FloatArray, otherwise: FloatArray
) -> FloatArray:
    """What `reduce` makes of `values[first:stop]` for each pair, and `otherwise` where there are none."""
    column, some = otherwise.copy(), stop > first
    if some.any():
        pairs = np.column_stack((first[some], stop[some])).ravel()
        column[some] = reduce.reduceat(np.append(values, 0.0), pairs)[::2]  # `stop` may lie behind the last value
    return column


def _at_closes(closes: IntArray, shown_ns: IntArray, side: FloatArray) -> FloatArray:
    """One side of the book before each close; NaN where there is none or it is too old."""
    places = np.searchsorted(shown_ns, closes) - 1
    unknown = closes - np.append(shown_ns, -AGE_MAX_NS)[places] > AGE_MAX_NS
    rows: FloatArray = np.append(side, np.full((1, LEVELS, 2), np.nan), axis=0)[np.where(unknown, len(side), places)]
    return rows
