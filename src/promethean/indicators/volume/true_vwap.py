"""True VWAP: the volume-weighted average price from single trades.

Trades are added up per minute, and windows are put together from minutes: a session of a million trades is 1,440 rows.
Sums of price x quantity and price^2 x quantity lose the digits that a deviation is made of (sigma is a thousandth of
the price, its square a millionth), so the sums are kept relative to a reference price.  The reference is the lot's own
average: then the first sum is zero, and the second is what the deviation needs.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray, IntArray
from promethean.indicators.volume.vwap import MINUTE_NS, Vwap, VwapWindow, check_deviations, vwap, with_bands

BoolArray: TypeAlias = NDArray[np.bool_]

MISSING_MAX = 0.01  # share of the window's minutes that may lack their trades; above it the candles answer
ROUNDING = 1e-9  # by which a minute's trades may differ from its candle's volume: sums of decimals in binary
SLACK_MINUTES = 1e-6  # by which the count of missing minutes may be off for the same reason


class VwapPoint(NamedTuple):
    """The average and its bands at one instant; fields and units as in `Vwap`."""

    vwap: float
    upper: float
    lower: float
    distance: float
    position: float


class Tally(NamedTuple):
    """What a lot of trades adds up to.

    quantity: base units.  vwap: quote units per base unit, NaN of no trades.
    squares:  sum of quantity x (price - vwap)^2.
    """

    quantity: float
    vwap: float
    squares: float

    @classmethod
    def of(cls, price: FloatArray, quantity: FloatArray) -> Tally:
        """The trades of whole arrays.

        price:    float64, shape (n,), quote units per base unit, above 0.
        quantity: float64, shape (n,), base units, above 0.
        Raises:   ValueError for a price or a quantity that is not above 0 and finite.
        """
        minutes = minute_tallies(np.zeros(len(price), np.int64), price, quantity)
        return minutes.tally(0) if len(minutes.minute) else NOTHING

    @classmethod
    def of_sums(cls, quantity: float, first: float, second: float, reference: float = 0.0) -> Tally:
        """From sums of quantity, of quantity x d and of quantity x d^2, where d = price - reference.

        With the reference 0 these are the plain sums of the market store's `vwap_1m`.  They cannot tell a variance
        below 1e-15 of the squared price from zero; a reference near the price can.
        """
        if quantity == 0:
            return NOTHING
        offset = first / quantity
        return cls(quantity, reference + offset, max(0.0, second - offset * first))

    def sums(self, reference: float = 0.0) -> tuple[float, float, float]:
        """Sums of quantity, of quantity x d and of quantity x d^2, where d = price - reference."""
        if self.quantity == 0:
            return 0.0, 0.0, 0.0
        offset = self.vwap - reference
        return self.quantity, self.quantity * offset, self.squares + self.quantity * offset * offset

    def after(self, price: float, quantity: float) -> Tally:
        """With one more trade.  Raises ValueError for a price or a quantity that is not above 0 and finite."""
        if not (0 < price < math.inf and 0 < quantity < math.inf):
            raise ValueError(f"a trade has a price and a quantity above 0, not {price} and {quantity}")
        return self.merged(Tally(quantity, price, 0.0))

    def merged(self, other: Tally) -> Tally:
        """Both lots together.

        Source: Chan, Golub, LeVeque (1983), Algorithms for Computing the Sample Variance.
        """
        if other.quantity == 0:
            return self
        if self.quantity == 0:
            return other
        quantity = self.quantity + other.quantity
        step = other.vwap - self.vwap
        share = other.quantity / quantity
        squares = self.squares + other.squares + step * step * self.quantity * share
        return Tally(quantity, self.vwap + step * share, squares)

    @property
    def sigma(self) -> float:
        """Volume-weighted standard deviation of the price, quote units per base unit; NaN of no trades."""
        return math.sqrt(self.squares / self.quantity) if self.quantity > 0 else math.nan

    def bands(self, price: float, deviations: float = 2.0) -> VwapPoint:
        """The average with its bands, and where `price` lies; NaN of no trades.

        Raises: ValueError when `deviations` is not above 0.
        """
        check_deviations(deviations)
        reach = deviations * self.sigma
        upper, lower = self.vwap + reach, self.vwap - reach
        position = (price - lower) / (upper - lower) if upper > lower else math.nan
        return VwapPoint(self.vwap, upper, lower, price / self.vwap - 1, position)


NOTHING = Tally(0.0, math.nan, 0.0)


class MinuteTallies(NamedTuple):
    """The tallies of the minutes in which something traded, oldest first.

    minute:                  int64, shape (n,), strictly rising, minutes since the epoch.
    quantity, vwap, squares: float64, shape (n,), as in Tally.
    """

    minute: IntArray
    quantity: FloatArray
    vwap: FloatArray
    squares: FloatArray

    def tally(self, row: int) -> Tally:
        """The tally of one minute."""
        return Tally(float(self.quantity[row]), float(self.vwap[row]), float(self.squares[row]))


def minute_tallies(at_ns: IntArray, price: FloatArray, quantity: FloatArray) -> MinuteTallies:
    """Add up trades by the minute in which they happened.

    at_ns:    int64, shape (n,), nanoseconds since the epoch, in any order.
    price:    float64, shape (n,), quote units per base unit, above 0.
    quantity: float64, shape (n,), base units, above 0.
    Raises:   ValueError when the arrays differ in length, or for a price or quantity that is not above 0 and finite.
    """
    if not len(at_ns) == len(price) == len(quantity):
        raise ValueError(f"trades have as many instants ({len(at_ns)}) as prices ({len(price)}) and quantities")
    for name, values in (("price", price), ("quantity", quantity)):
        wrong = values[~((values > 0) & (values < np.inf))]
        if len(wrong):
            raise ValueError(f"a trade has a {name} above 0, not {wrong[0]}")
    if not len(at_ns):
        return MinuteTallies(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0))
    minute = at_ns // MINUTE_NS
    if (minute[1:] < minute[:-1]).any():
        order = np.argsort(minute, kind="stable")
        minute, price, quantity = minute[order], price[order], quantity[order]
    starts = np.concatenate([[0], np.flatnonzero(minute[1:] != minute[:-1]) + 1])
    counts = np.diff(starts, append=len(minute))
    total = np.add.reduceat(quantity, starts)
    reference = price[starts]
    offset = np.add.reduceat(quantity * (price - np.repeat(reference, counts)), starts) / total
    average = reference + offset
    apart = price - np.repeat(average, counts)
    # The second term is zero but for the rounding of the average.
    squares = np.add.reduceat(quantity * apart**2, starts) - np.add.reduceat(quantity * apart, starts) ** 2 / total
    return MinuteTallies(minute[starts], total, average, np.maximum(squares, 0.0))


class VwapTape(NamedTuple):
    """The trades of one window, taken in one by one or by whole minutes.

    A trade may come late: it is added to the minute in which it happened, unless its window is over.

    window: which one.
    spans:  tallies by the minute in which they begin, oldest first: of single minutes in a rolling window, else one of
            all the trades since the window began.
    """

    window: VwapWindow
    spans: tuple[tuple[int, Tally], ...] = ()

    def after(self, price: float, quantity: float, at_ns: int) -> VwapTape:
        """With one more trade.  Raises ValueError for a price or a quantity that is not above 0 and finite."""
        return self.after_minute(at_ns // MINUTE_NS, NOTHING.after(price, quantity))

    def after_minute(self, minute: int, tally: Tally) -> VwapTape:
        """With one more tally of a minute, counted from 1970: all its trades, or those that came since."""
        first = self.window.first_minute(minute)
        span = minute if self.window.kind == "rolling" else first
        if minute < first:
            return self  # before the anchor
        spans = self.spans
        if not spans or span > spans[-1][0]:
            return self._replace(spans=(*(known for known in spans if known[0] >= first), (span, tally)))
        if span == spans[-1][0]:
            return self._replace(spans=(*spans[:-1], (span, spans[-1][1].merged(tally))))
        if span < self.window.first_minute(spans[-1][0]):
            return self  # of a window that is over
        late = dict(spans)
        late[span] = late.get(span, NOTHING).merged(tally)
        return self._replace(spans=tuple(sorted(late.items())))

    def tally(self, at_ns: int) -> Tally:
        """All the trades of the window that holds this instant, which is not before the newest trade."""
        first = self.window.first_minute(at_ns // MINUTE_NS)
        total = NOTHING
        for begin, tally in self.spans:
            if begin >= first:
                total = total.merged(tally)
        return total

    def minutes(self) -> MinuteTallies:
        """The minutes of a rolling window, as arrays.  Raises ValueError for the other windows, which forget them."""
        if self.window.kind != "rolling":
            raise ValueError(f"a window of kind {self.window.kind} does not remember its single minutes")
        columns = list(zip(*(tally for _, tally in self.spans), strict=True)) or [(), (), ()]
        minute = np.array([begin for begin, _ in self.spans], np.int64)
        return MinuteTallies(minute, *(np.array(column, np.float64) for column in columns))


class TrueVwap(NamedTuple):
    """The average and its bands, as in `Vwap`; approximation: where they come from candles."""

    vwap: FloatArray
    upper: FloatArray
    lower: FloatArray
    distance: FloatArray
    position: FloatArray
    approximation: BoolArray


def true_vwap(
    open_time_ns: IntArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    trades: MinuteTallies,
    window: str = "session",
    minutes: int = 60,
    anchor_ns: int = 0,
    deviations: float = 2.0,
    quiet: IntArray | None = None,
    candle_minutes: int = 1,
) -> TrueVwap:
    """VWAP of the trades up to the close of each candle; of the candles where too many trades are missing.

    The candles say what should be there.  A minute lacks the share of its candle's volume that its trades do not
    account for (or account for in excess); one without a candle lacks everything, as nobody knows whether it was quiet
    or the feed was down, unless it is one of `quiet`.  When more than 1 % of a window's minutes are lacking, the candle
    form is given.  Of longer candles all this holds candle by candle: its minute is the one in which it opens.

    open_time_ns: int64, shape (n,), rising, nanoseconds since the epoch; whole minutes.
    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    volume:       float64, shape (n,), base units; NaN where the candle does not know it.
    trades:       tallies of the minutes whose trades are known; later ones than a candle do not change its value.
    window, minutes, anchor_ns, deviations: as for `vwap`.
    quiet:        int64, rising: minutes known to be without a trade, as `quiet_minutes` gives them; each counts from
                  the first trade after it on, which is what makes it known.
    candle_minutes: length of the candles; minutes of trades and quiet ones are then those in which candles open.
    Returns:      vwap, upper, lower, distance, position, each float64 of shape (n,), and approximation, bool of shape
                  (n,); NaN and no approximation before the anchor, NaN where the candle form has it.
    Raises:       ValueError for a parameter outside its limits, and when the minutes of `trades` do not rise.
    Source:       VWAP = sum(price x quantity) / sum(quantity) over single trades;
                  sigma^2 = sum(quantity x (price - VWAP)^2) / sum(quantity).
    """
    frame = VwapWindow(window, minutes, anchor_ns)
    check_deviations(deviations)
    if (trades.minute[1:] <= trades.minute[:-1]).any():
        raise ValueError("tallies of minutes come oldest first, one for each minute")
    minute = open_time_ns // MINUTE_NS
    # Minutes with trades and no candle count as well: the axis holds both.
    axis = np.union1d(minute, trades.minute)
    place, row = np.searchsorted(axis, trades.minute), np.searchsorted(axis, minute)
    quantity, average, squares = np.zeros(len(axis)), np.zeros(len(axis)), np.zeros(len(axis))
    quantity[place], average[place], squares[place] = trades.quantity, trades.vwap, trades.squares
    begin = frame.first_minute(minute)

    from promethean.indicators.volume import _kernels as kernels

    if frame.kind == "rolling":
        moments = kernels.moments_over(axis, quantity, average, squares, minutes)
    else:
        first = frame.first_minute(axis)
        carry = np.array([-1.0, 0.0, 0.0, 0.0])
        moments = kernels.moments_since(np.where(axis >= first, first, -1), quantity, average, squares, carry)
    weight, mean, spread = (part[row] for part in moments)

    present = np.concatenate([[0.0], np.cumsum(1 - _missing(volume, quantity[row]))])
    length = (minute - begin) // candle_minutes + 1
    missing = length - (present[1:] - present[np.searchsorted(minute, begin)])
    if quiet is not None:
        missing -= _known_quiet(np.setdiff1d(quiet, minute), trades.minute, minute, begin)
    approximation = (length > 0) & (missing > MISSING_MAX * length + SLACK_MINUTES)
    exact = with_bands(close, weight, mean, spread, deviations)
    candles = vwap(open_time_ns, high, low, close, volume, window, minutes, anchor_ns, deviations)
    values = Vwap(*(np.where(approximation, rough, fine) for rough, fine in zip(candles, exact, strict=True)))
    return TrueVwap(values.vwap, values.upper, values.lower, values.distance, values.position, approximation)


def quiet_minutes(minute: IntArray, number: IntArray, candle_minutes: int = 1) -> IntArray:
    """The minutes in which nothing traded for certain: between two trades that the venue numbers one after the other.

    minute:         int64, shape (n,), not falling: of each trade, or that in which its candle opens.
    number:         int64, shape (n,): the venue's, of each trade.
    candle_minutes: length of the candles.
    Returns:        int64, rising, in steps of candles.
    """
    before = np.flatnonzero((np.diff(number) == 1) & (np.diff(minute) > candle_minutes)).tolist()
    gaps = [np.arange(minute[at] + candle_minutes, minute[at + 1], candle_minutes) for at in before]
    return np.concatenate([np.empty(0, np.int64), *gaps])


def _known_quiet(quiet: IntArray, traded: IntArray, minute: IntArray, begin: IntArray) -> IntArray:
    """How many quiet minutes without a candle each window holds, as far as a trade up to its end has shown them.

    quiet, traded: int64, rising minutes.  minute, begin: int64, shape (n,): last and first of each window.
    Returns:       int64, shape (n,).
    """
    newest = np.append(traded, -1)[np.searchsorted(traded, minute, side="right") - 1]
    known: IntArray = np.maximum(0, np.searchsorted(quiet, newest) - np.searchsorted(quiet, begin))
    return known


def _missing(volume: FloatArray, quantity: FloatArray) -> FloatArray:
    """Share 0-1 of each minute whose trades are not those of its candle."""
    larger = np.maximum(volume, quantity)
    apart = np.abs(volume - quantity)
    share = np.divide(apart, larger, out=np.zeros(len(volume)), where=larger > 0)
    share[apart <= ROUNDING * larger] = 0.0
    share[np.isnan(volume)] = 1.0
    return share
