"""The data-quality checks for candles and quotes: pure functions over whole columns.

Which class is found where (numbers of the specification's table of twelve):

* 1, 2, 3, 4, 6, 7, 8, 12 in the rows themselves, here;
* 5 (gap) is no row: it is counted over the rows that passed;
* 9 (frozen) needs a live connection, so it belongs to the feed;
* 10 (crossed) in quotes, here; 11 (rewritten) by comparing with what is stored, here.

Outliers need a second venue, which a file has not.  What stands in for it are the neighbours: a jump is confirmed when
trading goes on from there, that is when the next candle opens near the close in question.  A candle that jumps away and
is not followed, or a wick far outside its own body, is set aside.  On clean recorded candles of Binance and Bybit
(0.84 million rows, crashes of 2020 and 2021 included) this flags none.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.instants import DAY_NS, NS_PER_S

BoolArray = NDArray[np.bool_]
ReasonArray = NDArray[np.int8]

UNKNOWN_TIME = int(np.iinfo(np.int64).min)
"""Stands in an open-time column where the time could not be read."""
LARGEST = 1e30
FUTURE_ALLOWANCE_NS = 2 * NS_PER_S
OUTLIER_SHARE = 0.20
OUTLIER_SIGMAS = 10.0

_VALUES = ("open", "high", "low", "close", "volume")
_WEEK_NS = 7 * DAY_NS
_MONDAY_NS = 4 * DAY_NS  # the epoch was a Thursday; venues open their weekly candles on Monday
_LIMIT_UP = float(np.log1p(OUTLIER_SHARE))
_LIMIT_DOWN = float(-np.log1p(-OUTLIER_SHARE))
_OPENING_ROWS = 5  # their median close stands in for the "last price" of a first row


class Defect(enum.IntEnum):
    """Why a row is not shown to anybody.  0 in a reason column means that nothing is wrong with it."""

    NOT_A_NUMBER = 1
    NOT_POSITIVE = 2
    INCONSISTENT = 3
    OUTLIER = 4
    GAP = 5
    DUPLICATE = 6
    OUT_OF_ORDER = 7
    FUTURE = 8
    FROZEN = 9
    CROSSED = 10
    REWRITTEN = 11
    WRONG_INSTRUMENT = 12
    REPEATED = 100
    """The same row once more.  Harmless: it is skipped and counted, not quarantined."""

    @property
    def text(self) -> str:
        """How people and the table `quarantined_rows` name it: `out of order`."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks say, row by row.

    good:    bool, shape (n,): the rows to keep; their open times are strictly rising.
    reasons: int8, shape (n,): 0 or the number of the Defect.
    gaps:    holes between good rows; missing: the candles that fell into them.
    """

    good: BoolArray
    reasons: ReasonArray
    gaps: int
    missing: int

    @property
    def repeated(self) -> int:
        """Rows that say what an earlier row said."""
        return int(np.count_nonzero(self.reasons == Defect.REPEATED))

    @property
    def quarantined(self) -> IntArray:
        """int64: places of the rows that go to `quarantined_rows`, in order."""
        return np.flatnonzero((self.reasons != 0) & (self.reasons != Defect.REPEATED))

    def counts(self) -> dict[str, int]:
        """Quarantined rows by reason, most frequent first."""
        return count_reasons(self.reasons[self.quarantined])


def count_reasons(reasons: ReasonArray) -> dict[str, int]:
    """Rows by the text of their defect, most frequent first."""
    numbers, counts = np.unique(reasons, return_counts=True)
    ranked = sorted(zip(counts.tolist(), numbers.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1]))
    return {Defect(number).text: count for count, number in ranked}


def check_candles(
    columns: Mapping[str, NDArray[np.generic]],
    timeframe_ns: int,
    now_ns: int,
    last_close: float | None = None,
) -> Checked:
    """Check candles in the order in which they came.

    columns:    `open_time_ns` int64 (UNKNOWN_TIME where unreadable) and open, high, low, close, volume float64 (NaN
                where unreadable), each of shape (n,).
    now_ns:     a candle that closes more than 2 s after this is not a fact yet.
    last_close: the price before the first row, when one is known.
    """
    times: IntArray = np.asarray(columns["open_time_ns"], np.int64)
    values = {name: np.asarray(columns[name], np.float64) for name in _VALUES}
    reasons: ReasonArray = np.zeros(len(times), np.int8)
    _check_values(times, values, reasons)
    _check_times(times, timeframe_ns, now_ns, reasons)
    _check_order(times, values, reasons)
    _check_outliers(times, values, timeframe_ns, last_close, reasons)
    good = reasons == 0
    gaps, missing = count_gaps(times[good], timeframe_ns)
    return Checked(good, reasons, gaps, missing)


def count_gaps(times: IntArray, timeframe_ns: int) -> tuple[int, int]:
    """Holes in strictly rising open times, and the candles missing in them."""
    steps = np.diff(times) // timeframe_ns
    return int(np.count_nonzero(steps > 1)), int((steps - 1).sum())


def misaligned(times: IntArray, timeframe_ns: int) -> BoolArray:
    """Open times that no candle of this timeframe can have."""
    offset = _MONDAY_NS if timeframe_ns == _WEEK_NS else 0
    odd: BoolArray = (times - offset) % timeframe_ns != 0
    return odd


def same_content(left: Mapping[str, FloatArray], right: Mapping[str, FloatArray]) -> BoolArray:
    """Whether open, high, low, close and volume are equal to the last digit, row by row."""
    equal: BoolArray = np.ones(len(left["open"]), np.bool_)
    for name in _VALUES:
        equal &= left[name] == right[name]
    return equal


def check_quotes(bid: FloatArray, ask: FloatArray, last: FloatArray, at_ns: IntArray, now_ns: int) -> ReasonArray:
    """Check best bids and asks.

    bid, ask, last: float64, shape (n,), quote units per base unit; at_ns: int64, the venue's time.
    Returns: int8, shape (n,): 0 or the number of the Defect.
    """
    reasons: ReasonArray = np.zeros(len(bid), np.int8)
    prices = (bid, ask, last)
    _flag(reasons, Defect.NOT_A_NUMBER, _not_numbers(*prices))
    _flag(reasons, Defect.CROSSED, (bid <= 0) | (ask <= 0))  # a side without orders is told as zero
    _flag(reasons, Defect.NOT_POSITIVE, last <= 0)
    _flag(reasons, Defect.CROSSED, bid >= ask)
    _flag(reasons, Defect.FUTURE, at_ns > now_ns + FUTURE_ALLOWANCE_NS)
    return reasons


def _flag(reasons: ReasonArray, defect: Defect, found: BoolArray) -> None:
    """Note the defect where no earlier one is noted."""
    reasons[found & (reasons == 0)] = defect


def _not_numbers(*columns: FloatArray) -> BoolArray:
    found: BoolArray = np.zeros(len(columns[0]), np.bool_)
    for column in columns:
        found |= ~(np.abs(column) <= LARGEST)  # false for NaN and for infinity as well
    return found


def _check_values(times: IntArray, values: Mapping[str, FloatArray], reasons: ReasonArray) -> None:
    opens, highs, lows, closes, volumes = (values[name] for name in _VALUES)
    _flag(reasons, Defect.NOT_A_NUMBER, _not_numbers(*values.values()) | (times == UNKNOWN_TIME))
    not_positive = (opens <= 0) | (highs <= 0) | (lows <= 0) | (closes <= 0) | (volumes < 0)
    _flag(reasons, Defect.NOT_POSITIVE, not_positive)
    consistent = (lows <= opens) & (opens <= highs) & (lows <= closes) & (closes <= highs)
    _flag(reasons, Defect.INCONSISTENT, ~consistent)


def _check_times(times: IntArray, timeframe_ns: int, now_ns: int, reasons: ReasonArray) -> None:
    _flag(reasons, Defect.WRONG_INSTRUMENT, misaligned(times, timeframe_ns))
    _flag(reasons, Defect.FUTURE, times > now_ns + FUTURE_ALLOWANCE_NS - timeframe_ns)


def _check_order(times: IntArray, values: Mapping[str, FloatArray], reasons: ReasonArray) -> None:
    rows = np.flatnonzero(reasons == 0)
    ordered = times[rows]
    if len(rows) < 2 or bool((np.diff(ordered) > 0).all()):
        return
    kept = _rising(ordered)
    others, first = rows[~kept], rows[kept]
    place = np.searchsorted(times[first], times[others])
    twin = first[np.minimum(place, len(first) - 1)]
    has_twin = times[twin] == times[others]
    equal = same_content({n: v[twin] for n, v in values.items()}, {n: v[others] for n, v in values.items()})
    reasons[others] = np.where(
        has_twin, np.where(equal, Defect.REPEATED, Defect.DUPLICATE), Defect.OUT_OF_ORDER
    ).astype(np.int8)


def _rising(times: IntArray) -> BoolArray:
    """The rows that stay: each later than all kept before it.

    Usually a row that goes back in time is the wrong one.  Where that would throw away more than one row for each
    step back (one row far too early in the file makes all that follow look late), the longest rising run is kept.
    """
    before = np.concatenate(([UNKNOWN_TIME], np.maximum.accumulate(times)[:-1]))
    forward: BoolArray = times > before
    steps_back = int(np.count_nonzero(np.diff(times) <= 0))
    if int(np.count_nonzero(~forward)) <= steps_back:
        return forward
    longest = _longest_rising(times.tolist())
    return longest if np.count_nonzero(longest) > np.count_nonzero(forward) else forward


def _longest_rising(times: list[int]) -> BoolArray:
    """The longest strictly rising subsequence, the first of equal times preferred (patience sorting)."""
    tails: list[int] = []
    tail_rows: list[int] = []
    previous = [-1] * len(times)
    for row, time_ns in enumerate(times):
        pile = bisect_left(tails, time_ns)
        if pile < len(tails) and tails[pile] == time_ns:
            continue
        previous[row] = tail_rows[pile - 1] if pile else -1
        tails[pile : pile + 1] = [time_ns]
        tail_rows[pile : pile + 1] = [row]
    kept: BoolArray = np.zeros(len(times), np.bool_)
    row = tail_rows[-1] if tail_rows else -1
    while row >= 0:
        kept[row] = True
        row = previous[row]
    return kept


def _beyond(change: FloatArray, noise: FloatArray | float) -> BoolArray:
    """Whether a logarithmic change is above 20 % and above ten sigma."""
    limit = OUTLIER_SIGMAS * noise
    return (change > np.maximum(limit, _LIMIT_UP)) | (-change > np.maximum(limit, _LIMIT_DOWN))


def _check_outliers(
    times: IntArray,
    values: Mapping[str, FloatArray],
    timeframe_ns: int,
    last_close: float | None,
    reasons: ReasonArray,
) -> None:
    rows = np.flatnonzero(reasons == 0)
    if len(rows) == 0:
        return
    opens, highs, lows, closes = (np.log(values[name][rows]) for name in ("open", "high", "low", "close"))
    start = np.log(last_close) if last_close is not None else float(np.median(closes[:_OPENING_ROWS]))
    returns = np.diff(closes)
    # The median is not moved by the outliers themselves, a standard deviation would hide them.
    sigma = 1.4826 * float(np.median(np.abs(returns))) if len(returns) else 0.0
    noise = sigma * np.sqrt(np.concatenate(([1.0], np.diff(times[rows]) / timeframe_ns)))
    wick = _beyond(highs - np.maximum(opens, closes), sigma) | _beyond(lows - np.minimum(opens, closes), sigma)
    before = np.concatenate(([start], closes[:-1]))
    suspects = wick | _beyond(opens - before, noise) | _beyond(closes - before, noise)
    torn = _beyond(closes - opens, sigma)  # nothing ties the open to the close
    followed = np.append(~_beyond(opens[1:] - closes[:-1], noise[1:]), False)
    bad: set[int] = set()
    for row in np.flatnonzero(suspects).tolist():
        previous = row - 1
        while previous in bad:
            previous -= 1
        reference = closes[previous] if previous >= 0 else start
        open_jumps = bool(_beyond(opens[row] - reference, noise[row]))
        close_jumps = bool(_beyond(closes[row] - reference, noise[row]))
        if wick[row] or (close_jumps and not followed[row]) or (open_jumps and torn[row]):
            bad.add(row)
    reasons[rows[sorted(bad)]] = Defect.OUTLIER
