"""Large orders that are shown and taken away before anybody can trade with them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promethean.domain.books import SignArray
from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.instants import NS_PER_MS, NS_PER_S
from promethean.domain.market import Side
from promethean.indicators.order_flow.bands import EXACTNESS
from promethean.indicators.order_flow.tape import MINUTE_NS, Books, Tape, books_of, check_minutes, tape_of

SIZE_MULTIPLE = 5.0  # of the median level
NEAR_MID = 0.01  # of the mid price
LIFE_NS = 5 * NS_PER_S
EVENTS_MIN = 3  # on one side


class SpoofingEvent(NamedTuple):
    """One large level that vanished.

    at_ns:       instant of the snapshot in which it was gone.
    size:        largest size it showed, base units.
    lifetime_ms: from the first snapshot that showed it to the one in which it was gone.
    """

    at_ns: int
    price: float
    side: Side
    size: float
    lifetime_ms: float


class Spoofing(NamedTuple):
    """What vanished in the window, oldest first.

    active: whether one side did it at least three times.
    side:   the side that did, with more events (of equals, with the newer) when both did; None when none.
    """

    events: tuple[SpoofingEvent, ...]
    active: bool
    side: Side | None

    def active_on(self, side: Side) -> bool:
        """Whether this side did it at least three times."""
        return sum(event.side is side for event in self.events) >= EVENTS_MIN


def detect_spoofing(
    at_ns: IntArray,
    price: FloatArray,
    quantity: FloatArray,
    aggressor: IntArray,
    book_at_ns: IntArray,
    bids: FloatArray,
    asks: FloatArray,
    now_ns: int,
    minutes: int = 5,
) -> Spoofing:
    """Levels of the last minutes that were large and vanished untraded within five seconds.

    Ordinary is the median size of the shown levels of both sides within 1 % of the mid.  The life of a level begins in
    the snapshot in which it is first above ordinary and ends in the one in which it no longer is: what else rests at
    that price may stay.  It is an event when it showed at least five times the ordinary size within 1 % of the mid,
    lived at most five seconds, and nothing traded at its price against its side from the snapshot before its life to
    its end.  A level that was beyond the shown depth before or after is not judged.

    at_ns, price, quantity, aggressor: trades as in `Tape`.
    book_at_ns, bids, asks: snapshots as in `Books`, on the same clock as the trades.
    now_ns:  nanoseconds since the epoch; later trades and snapshots are not looked at.
    minutes: at least 1; the events are those that ended in them.
    Raises:  ValueError for trades that `tape_of` refuses, books that `books_of` refuses, or minutes below 1.
    Source:  level >= 5 x the median size within 1 % of mid that vanishes untraded within 5 s, >= 3 times in 5 minutes.
    """
    check_minutes(minutes)
    start_ns = now_ns - minutes * MINUTE_NS
    tape = tape_of(at_ns, price, quantity, aggressor)
    # A life that ends in the window began at most five seconds before it, one snapshot after an ordinary one.
    books = books_of(book_at_ns, bids, asks)
    first = max(int(np.searchsorted(book_at_ns, start_ns - LIFE_NS)) - 1, 0)
    books = books.rows(slice(first, int(np.searchsorted(book_at_ns, now_ns, side="right"))))

    events = [event for event in _vanished(tape, books) if event.at_ns > start_ns]
    counts = {side: sum(event.side is side for event in events) for side in Side}
    most = max(counts.values())
    side_found = next((event.side for event in reversed(events) if counts[event.side] == most), None)
    active = most >= EVENTS_MIN
    return Spoofing(tuple(events), active, side_found if active else None)


def spoofing_sides(
    at_ns: IntArray,
    price: FloatArray,
    quantity: FloatArray,
    aggressor: IntArray,
    book_at_ns: IntArray,
    bids: FloatArray,
    asks: FloatArray,
    now_ns: IntArray,
    minutes: int = 5,
) -> SignArray:
    """The side that `detect_spoofing` names, at many instants at once.

    now_ns:  int64, shape (m,), nanoseconds since the epoch.  The other arguments are those of `detect_spoofing`.
    Returns: int8, shape (m,): +1 where the buying side spoofs, -1 where the selling one does, 0 where none does.
    Raises:  ValueError as `detect_spoofing` does.
    """
    check_minutes(minutes)
    events = _vanished(tape_of(at_ns, price, quantity, aggressor), books_of(book_at_ns, bids, asks))
    gone = np.array([event.at_ns for event in events], np.int64)
    signs = np.array([event.side.sign for event in events], np.int64)
    bought, sold = (_ended(gone[signs == side.sign], now_ns, minutes * MINUTE_NS) for side in (Side.BUY, Side.SELL))
    newest = np.append(signs, 0)[np.searchsorted(gone, now_ns, side="right") - 1]
    side = np.where(bought == sold, newest, np.sign(bought - sold))
    return np.where(np.maximum(bought, sold) >= EVENTS_MIN, side, 0).astype(np.int8)


def _ended(gone: IntArray, now_ns: IntArray, length_ns: int) -> IntArray:
    """How many of these instants lie in the window that ends at each `now_ns`."""
    ended: IntArray = np.searchsorted(gone, now_ns, side="right") - np.searchsorted(
        gone, now_ns - length_ns, side="right"
    )
    return ended


def _vanished(tape: Tape, books: Books) -> list[SpoofingEvent]:
    """Every event of these books, oldest first."""
    from promethean.indicators.order_flow import _kernels as kernels

    if not len(books.at_ns) or not books.bids.shape[1] or not books.asks.shape[1]:
        return []
    near = NEAR_MID * (1 + EXACTNESS)
    mids, medians = kernels.ordinary_sizes(books.bids, books.asks, near)
    events = []
    for side in (Side.BUY, Side.SELL):
        against = tape.taken(side.opposite)
        lives = kernels.short_lives(
            books.at_ns, books.levels(side), mids, medians, side.sign, SIZE_MULTIPLE * (1 - EXACTNESS), near, LIFE_NS
        )
        for begin, end, level_price, size in zip(*(column.tolist() for column in lives), strict=True):
            gone_ns = int(books.at_ns[end])
            if not _traded(against, level_price, int(books.at_ns[begin - 1]), gone_ns):
                lifetime_ms = (gone_ns - int(books.at_ns[begin])) / NS_PER_MS
                events.append(SpoofingEvent(gone_ns, level_price, side, size, lifetime_ms))
    return sorted(events, key=lambda event: (event.at_ns, event.price))


def _traded(tape: Tape, price: float, after_ns: int, until_ns: int) -> bool:
    return bool((tape.between(after_ns, until_ns).price == price).any())
