"""Cumulative volume delta, and where it parts from the price."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.instants import NS_PER_S
from promethean.indicators.order_flow.bands import Reading, exceeds, reaches
from promethean.indicators.order_flow.tape import MINUTE_NS, check_minutes, tape_of

NOTABLE_SHARE = 0.10  # of the window's volume, which the change must reach to mean something


class Line(NamedTuple):
    """A least-squares line: its slope per step, and the standard error of that slope; NaN of fewer than 3 points."""

    slope: float
    standard_error: float

    @property
    def direction(self) -> int:
        """+1 or -1 when the slope is more than one standard error, else 0."""
        return int(np.sign(self.slope)) if exceeds(abs(self.slope), self.standard_error) else 0


class Cvd(NamedTuple):
    """Running signed volume, base units.

    cvd:        since the first trade given.
    change:     within the window.
    reading:    bullish or bearish by the sign of the change, neutral when it is below 10 % of the window's volume; None
                when nothing traded.
    series:     float64, shape (buckets,), cvd at the end of each bucket, oldest first.
    prices:     float64, shape (buckets,), last price at the end of each bucket; NaN before the first trade given.
    divergence: bullish when the price falls while the cvd rises, bearish the other way round, None when neither.
    """

    cvd: float
    change: float
    reading: Reading | None
    series: FloatArray
    prices: FloatArray
    divergence: Reading | None


def cvd(
    at_ns: IntArray,
    price: FloatArray,
    quantity: FloatArray,
    aggressor: IntArray,
    now_ns: int,
    minutes: int = 60,
    bucket_s: int = 60,
) -> Cvd:
    """Cumulative volume delta in buckets, with the divergence from the price.

    Buckets are counted back from now, so that each of them is whole.

    at_ns, price, quantity, aggressor: trades as in `Tape`; those before the window set the level of the sum.
    now_ns:   nanoseconds since the epoch; later trades are not looked at.
    minutes:  at least 1.
    bucket_s: length of a bucket in seconds; the window is a whole number of them.
    Raises:   ValueError for trades that `tape_of` refuses, minutes below 1, or buckets that do not fill the window.
    Source:   a divergence is a slope of the price and one of the cvd (least squares over the buckets) of different
              sign, each larger than its standard error sqrt(sum of squared residuals / (n - 2) / sum((x - mean)^2)).
    """
    check_minutes(minutes)
    if bucket_s < 1 or minutes * 60 % bucket_s:
        raise ValueError(f"buckets of {bucket_s} s do not fill {minutes} minutes")
    tape = tape_of(at_ns, price, quantity, aggressor)
    start_ns = now_ns - minutes * MINUTE_NS
    buckets = minutes * 60 // bucket_s
    edges = start_ns + np.arange(buckets + 1) * (bucket_s * NS_PER_S)
    sums = np.concatenate([[0.0], np.cumsum(tape.aggressor * tape.quantity)])
    prices = np.concatenate([[np.nan], tape.price])
    known = np.searchsorted(tape.at_ns, edges, side="right")  # trades up to and with each edge
    series, ends = sums[known], prices[known][1:]
    change = float(series[-1] - series[0])
    volume = float(tape.quantity[known[0] : known[-1]].sum())
    reading = None
    if volume > 0:
        notable = reaches(abs(change), NOTABLE_SHARE * volume)
        reading = (Reading.BULLISH if change > 0 else Reading.BEARISH) if notable else Reading.NEUTRAL
    return Cvd(float(series[-1]), change, reading, series[1:], ends, divergence(ends, series[1:]))


def divergence(prices: FloatArray, series: FloatArray) -> Reading | None:
    """Whether two series of one length, NaN where not known, clearly go different ways; None when they do not."""
    both = ~(np.isnan(prices) | np.isnan(series))
    of_price, of_series = line(prices[both]).direction, line(series[both]).direction
    if of_price * of_series >= 0:
        return None
    return Reading.BULLISH if of_series > 0 else Reading.BEARISH


def line(values: FloatArray) -> Line:
    """The least-squares line through values that are one step apart."""
    count = len(values)
    if count < 3:
        return Line(math.nan, math.nan)
    x = np.arange(count) - (count - 1) / 2
    y = values - values[0]
    y = y - y.mean()
    spread = float(x @ x)
    slope = float(x @ y) / spread
    residuals = y - slope * x
    return Line(slope, math.sqrt(float(residuals @ residuals) / (count - 2) / spread))
