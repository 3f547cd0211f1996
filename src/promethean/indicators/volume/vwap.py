"""Volume-weighted average price from candles: what is used where single trades are not stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.instants import NS_PER_S
from promethean.indicators.catalogue import State, indicator

Moments: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
Minute = TypeVar("Minute", int, IntArray)

MINUTE_NS = 60 * NS_PER_S
MINUTES_A_DAY = 1440
OF_CANDLES = (
    "the VWAP is made of candles, each counted at its typical price (high + low + close) / 3: an approximation of the "
    "one over single trades"
)
"""What is said beside a result that reads it."""
KINDS = ("session", "rolling", "anchored")


@dataclass(frozen=True, slots=True)
class VwapWindow:
    """Over which minutes the average goes.

    kind:      `session`, from 00:00 UTC; `rolling`, the last `minutes`; `anchored`, from an instant.
    minutes:   length of a rolling window, at least 1.
    anchor_ns: where an anchored window begins: with the first whole minute from there.
    """

    kind: str = "session"
    minutes: int = 60
    anchor_ns: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"the window of a VWAP is one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.minutes < 1:
            raise ValueError(f"the window of a VWAP has at least 1 minute, not {self.minutes}")
        if self.anchor_ns < 0:
            raise ValueError(f"the anchor of a VWAP is an instant since 1970, not {self.anchor_ns}")

    def first_minute(self, minute: Minute) -> Minute:
        """The minute, counted from 1970, with which the window of this minute begins."""
        if self.kind == "session":
            return minute // MINUTES_A_DAY * MINUTES_A_DAY
        if self.kind == "rolling":
            return minute - self.minutes + 1
        return minute * 0 - (-self.anchor_ns // MINUTE_NS)


class Vwap(NamedTuple):
    """The average and its bands.

    vwap, upper, lower: quote units per base unit.
    distance:           of the close from the average, as a fraction of the average.
    position:           of the close between the bands: 0 at the lower, 1 at the upper one, outside 0..1 beyond them.
    """

    vwap: FloatArray
    upper: FloatArray
    lower: FloatArray
    distance: FloatArray
    position: FloatArray


def vwap_resume(
    open_time_ns: IntArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    state: State | None,
    window: str = "session",
    minutes: int = 60,
    anchor_ns: int = 0,
    deviations: float = 2.0,
) -> tuple[Vwap, State]:
    """The VWAP, continued.

    state:   what was given after the candles before; None at the beginning.
    Returns: as `vwap` says, and the state after the last candle: the first minute seen (-1 for none), and then the
             running sums (4 numbers), or the candles of a rolling window (3 numbers for each of its minutes).
    Raises:  ValueError as `vwap` does.
    """
    frame = VwapWindow(window, minutes, anchor_ns)
    check_deviations(deviations)
    minute = open_time_ns // MINUTE_NS
    typical = (high + low + close) / 3
    first_seen = float(minute[0]) if len(minute) else -1.0
    if state is not None and state[0] >= 0:
        first_seen = float(state[0])
    if frame.kind == "rolling":
        (weight, mean, squares), sums = _rolling(minute, volume, typical, state, minutes)
    else:
        (weight, mean, squares), sums = _running(minute, volume, typical, state, frame)
    if frame.kind != "anchored":
        weight = np.where(frame.first_minute(minute) >= first_seen, weight, np.nan)
    return with_bands(close, weight, mean, squares, deviations), np.concatenate([[first_seen], sums])


def _running(
    minute: IntArray, volume: FloatArray, typical: FloatArray, state: State | None, frame: VwapWindow
) -> tuple[Moments, FloatArray]:
    """Moments since the window began, and what to go on with: its first minute, weight, mean and squares."""
    from promethean.indicators.volume import _kernels as kernels

    carry = state[1:].copy() if state is not None else np.array([-1.0, 0.0, 0.0, 0.0])
    begin = frame.first_minute(minute)
    period = np.where(minute >= begin, begin, -1)
    return kernels.moments_since(period, volume, typical, np.zeros(len(minute)), carry), carry


def _rolling(
    minute: IntArray, volume: FloatArray, typical: FloatArray, state: State | None, minutes: int
) -> tuple[Moments, FloatArray]:
    """Moments of the last minutes, and what to go on with: minutes, volumes and typical prices, -1 where none."""
    from promethean.indicators.volume import _kernels as kernels

    rows = np.stack([minute.astype(np.float64), volume, typical])
    if state is not None:
        before = state[1:].reshape(3, minutes)
        rows = np.concatenate([before[:, before[0] >= 0], rows], axis=1)
    given = rows.shape[1]
    weight, mean, squares = kernels.moments_over(rows[0].astype(np.int64), rows[1], rows[2], np.zeros(given), minutes)
    kept = np.full((3, minutes), -1.0)
    if given:
        recent = rows[:, rows[0] > rows[0, -1] - minutes]
        kept[:, minutes - recent.shape[1] :] = recent
    new = slice(given - len(minute), None)
    return (weight[new], mean[new], squares[new]), kept.ravel()


def check_deviations(deviations: float) -> None:
    """Raises ValueError unless the bands have a width."""
    if not deviations > 0:
        raise ValueError(f"the bands of a VWAP are more than 0 deviations away, not {deviations}")


def with_bands(close: FloatArray, weight: FloatArray, mean: FloatArray, squares: FloatArray, deviations: float) -> Vwap:
    """Bands from a weighted mean and its weighted squared distances; NaN where the weight is zero or NaN."""
    traded = np.where(weight > 0, weight, np.nan)
    average = np.where(weight > 0, mean, np.nan)
    reach = deviations * np.sqrt(squares / traded)
    upper, lower = average + reach, average - reach
    width = upper - lower
    position = (close - lower) / np.where(width > 0, width, np.nan)
    return Vwap(average, upper, lower, close / average - 1, position)


@indicator("vwap", resume=vwap_resume)
def vwap(
    open_time_ns: IntArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    window: str = "session",
    minutes: int = 60,
    anchor_ns: int = 0,
    deviations: float = 2.0,
) -> Vwap:
    """Volume-weighted average price with bands, approximated from candles.

    An approximation: everything a candle traded counts at its typical price (high + low + close) / 3, which also hides
    the deviation inside the candle.  `true_vwap` computes it from single trades.

    open_time_ns: int64, shape (n,), rising, nanoseconds since the epoch, whole minutes.
    high, low, close: float64, shape (n,), oldest first, quote units per base unit.
    volume:       float64, shape (n,), base units; a NaN makes the windows that hold it unknown.
    window:       `session` (from 00:00 UTC), `rolling` (candles that open in the last `minutes`, this one included) or
                  `anchored` (candles that open at `anchor_ns` or later).
    minutes:      length of a rolling window, at least 1.
    anchor_ns:    nanoseconds since the epoch.
    deviations:   distance of the bands in volume-weighted standard deviations, above 0.
    Returns:      vwap, upper, lower, distance, position, each float64 of shape (n,).  NaN in a session or a rolling
                  window whose beginning lies before the first candle, before the anchor, and while nothing traded;
                  position also where the bands have no width.
    Raises:       ValueError for an unknown window, minutes below 1, a negative anchor or deviations not above 0.
    Source:       Berkowitz, Logue, Noser (1988), The Total Cost of Transactions on the NYSE:
                  VWAP = sum(price x quantity) / sum(quantity);
                  sigma^2 = sum(quantity x (price - VWAP)^2) / sum(quantity).
    """
    return vwap_resume(open_time_ns, high, low, close, volume, None, window, minutes, anchor_ns, deviations)[0]
