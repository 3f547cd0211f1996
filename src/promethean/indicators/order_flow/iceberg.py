"""Orders that show a part of themselves and fill it up again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.instants import NS_PER_S
from promethean.domain.market import Side
from promethean.indicators.order_flow.bands import reaches
from promethean.indicators.order_flow.tape import MINUTE_NS, books_of, check_minutes, tape_of

EXECUTED_MULTIPLE = 3.0  # of the largest size shown
REFILLS_MIN = 3
REFILL_NS = NS_PER_S
SURE_MULTIPLE = 6.0  # of the largest size shown: as sure as it gets


class IcebergLevel(NamedTuple):
    """One price at which more was executed than ever shown.

    side:          of the hidden order: BUY when it waits among the bids.
    executed:      what takers took there, base units.
    displayed_max: largest size shown there, base units.
    refills:       how often the shown size came back within a second of being hit.
    confidence:    min(1, executed / (6 x displayed_max)).
    """

    price: float
    side: Side
    executed: float
    displayed_max: float
    refills: int
    confidence: float


def detect_iceberg(
    at_ns: IntArray,
    price: FloatArray,
    quantity: FloatArray,
    aggressor: IntArray,
    book_at_ns: IntArray,
    bids: FloatArray,
    asks: FloatArray,
    now_ns: int,
    minutes: int = 15,
) -> tuple[IcebergLevel, ...]:
    """Price levels that hide an order, those with the most executed first.

    A hit is a trade at the level's price against its side.  A refill is a snapshot after a hit, at most one second
    after the last of the hits, that shows at least what the last snapshot before the first of them showed; the next
    refill needs a new hit.  A snapshot of the very instant of a hit counts neither as before nor as after.

    at_ns, price, quantity, aggressor: trades as in `Tape`.
    book_at_ns, bids, asks: snapshots as in `Books`, on the same clock as the trades.
    now_ns:  nanoseconds since the epoch; later trades and snapshots are not looked at.
    minutes: at least 1.
    Raises:  ValueError for trades that `tape_of` refuses, books that `books_of` refuses, or minutes below 1.
    Source:  executed volume >= 3 x the displayed size with >= 3 refills within 1 s.
    """
    check_minutes(minutes)
    start_ns = now_ns - minutes * MINUTE_NS
    tape = tape_of(at_ns, price, quantity, aggressor).between(start_ns, now_ns)
    books = books_of(book_at_ns, bids, asks)
    # One snapshot more than the window: it shows what the first hit met.
    before = int(np.searchsorted(book_at_ns, start_ns, side="right")) - 1
    books = books.between(int(book_at_ns[before]) - 1 if before >= 0 else start_ns, now_ns)

    from promethean.indicators.order_flow import _kernels as kernels

    found = []
    for side in (Side.BUY, Side.SELL):
        hits = tape.taken(side.opposite)
        prices, place, counts = np.unique(hits.price, return_inverse=True, return_counts=True)
        executed = np.bincount(place, weights=hits.quantity, minlength=len(prices))
        for number in np.flatnonzero(counts >= REFILLS_MIN).tolist():
            sizes = kernels.sizes_at(books.levels(side), float(prices[number]), side.sign)
            shown = sizes != kernels.UNKNOWN
            displayed_max = float(sizes[shown].max(initial=0.0))
            volume = float(executed[number])
            if not displayed_max > 0 or not reaches(volume, EXECUTED_MULTIPLE * displayed_max):
                continue
            refills = _refills(hits.at_ns[place == number], books.at_ns[shown], sizes[shown])
            if refills >= REFILLS_MIN:
                confidence = min(1.0, volume / (SURE_MULTIPLE * displayed_max))
                found.append(IcebergLevel(float(prices[number]), side, volume, displayed_max, refills, confidence))
    return tuple(sorted(found, key=lambda level: (-level.executed, level.price)))


def _refills(hit_ns: IntArray, shown_ns: IntArray, sizes: FloatArray) -> int:
    """How often what the snapshots show comes back after hits."""
    before = (np.searchsorted(shown_ns, hit_ns, side="left") - 1).tolist()
    after = np.searchsorted(shown_ns, hit_ns, side="right").tolist()
    in_time = np.searchsorted(shown_ns, hit_ns + REFILL_NS, side="right").tolist()
    instants = hit_ns.tolist()
    refills, whole = 0, 0.0  # `whole` is what was shown before the hits that wait for their refill
    for hit, instant in enumerate(instants):
        if whole == 0.0 and before[hit] >= 0:
            whole = float(sizes[before[hit]])
        if whole == 0.0:
            continue
        last = hit + 1 == len(instants)
        stop = in_time[hit] if last else min(in_time[hit], before[hit + 1] + 1)
        if any(reaches(size, whole) for size in sizes[after[hit] : stop].tolist()):
            refills += 1
            whole = 0.0
        elif not last and instants[hit + 1] - instant > REFILL_NS:
            whole = 0.0
    return refills
