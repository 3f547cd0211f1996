"""Compiled loops of the trend family: averages, Supertrend's bands, directional movement, the highest swing."""

from __future__ import annotations

import math

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.indicators.compiled import compiled

BLOCK = 512  # outputs summed side by side: they stay in the nearest cache, and the compiler adds several at once


@compiled
def sliding_mean(values: FloatArray, period: int) -> FloatArray:
    """Mean of the last `period` values, NaN before there are so many and where one of them is NaN.

    Each mean is summed anew, oldest first: a running sum would carry the rounding of every older value along, for ever
    after a spike, and a NaN as well.  Summed are the distances from the newest value, so that equal values have exactly
    their value as mean.
    """
    means = np.full(len(values), np.nan)
    for start in range(period - 1, len(values), BLOCK):
        stop = min(start + BLOCK, len(values))
        newest = values[start:stop]
        sums = np.zeros(stop - start)
        for back in range(period - 1, 0, -1):
            older = values[start - back : stop - back]
            for place in range(len(sums)):
                sums[place] += older[place] - newest[place]
        for place in range(len(sums)):
            means[start + place] = newest[place] + sums[place] / period
    return means


@compiled
def exponential_mean(values: FloatArray, period: int) -> FloatArray:
    """Mean with weight 2 / (period + 1) for the newest value, begun with the mean of the first `period` values.

    NaN at the beginning of the values are passed over: the mean begins after them.
    """
    means = np.full(len(values), np.nan)
    first = 0
    while first < len(values) and math.isnan(values[first]):
        first += 1
    begin = first + period - 1
    if begin >= len(values):
        return means
    mean = 0.0
    for place in range(first, begin):
        mean += values[place] - values[begin]
    mean = values[begin] + mean / period
    means[begin] = mean
    weight = 2.0 / (period + 1)
    for place in range(begin + 1, len(values)):
        mean += weight * (values[place] - mean)
        means[place] = mean
    return means


@compiled
def supertrend_bands(
    high: FloatArray, low: FloatArray, close: FloatArray, period: int, multiple: float, before: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Line, direction and the state after the last candle, continued from the state `before`.

    The state: candles seen, last close, average true range (their sum while there are fewer than `period`), upper and
    lower band, direction.
    """
    if len(low) != len(high) or len(close) != len(high):
        raise ValueError("high, low and close differ in length")
    line = np.full(len(high), np.nan)
    direction = np.full(len(high), np.nan)
    seen, last_close, reach, upper, lower, trend = before
    for place in range(len(high)):
        if seen > 0:
            true_range = max(high[place], last_close) - min(low[place], last_close)
            if seen < period:
                reach += true_range
            elif seen == period:
                reach = (reach + true_range) / period
            else:
                reach = (reach * (period - 1) + true_range) / period
        if seen >= period:
            middle = (high[place] + low[place]) / 2
            above = middle + multiple * reach
            below = middle - multiple * reach
            if seen == period:
                upper, lower = above, below
                trend = 1.0 if close[place] >= middle else -1.0
            else:
                if above < upper or last_close > upper:
                    upper = above
                if below > lower or last_close < lower:
                    lower = below
                if trend < 0 and close[place] > upper:
                    trend = 1.0
                elif trend > 0 and close[place] < lower:
                    trend = -1.0
            line[place] = lower if trend > 0 else upper
            direction[place] = trend
        last_close = close[place]
        seen += 1
    return line, direction, np.array([seen, last_close, reach, upper, lower, trend])


@compiled
def directional_movement(
    high: FloatArray, low: FloatArray, close: FloatArray, period: int, longest: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """ADX, +DI and -DI; without a range for more than `longest` candles unknown, without a direction for so long 0."""
    if len(low) != len(high) or len(close) != len(high):
        raise ValueError("high, low and close differ in length")
    adx = np.full(len(high), np.nan)
    plus_di = np.full(len(high), np.nan)
    minus_di = np.full(len(high), np.nan)
    plus = minus = ranges = strength = 0.0
    still = directionless = longest + 1  # candles since there was a range, and since there was a direction
    for place in range(1, len(high)):
        up = high[place] - high[place - 1]
        down = low[place - 1] - low[place]
        up_move = up if up > 0 and up > down else 0.0
        down_move = down if down > 0 and down > up else 0.0
        true_range = max(high[place], close[place - 1]) - min(low[place], close[place - 1])
        kept = 1.0 if place < period else 1.0 - 1.0 / period
        plus = plus * kept + up_move
        minus = minus * kept + down_move
        ranges = ranges * kept + true_range
        still = 0 if true_range > 0 else still + 1
        directionless = 0 if up_move > 0 or down_move > 0 else directionless + 1
        if place < period:
            continue
        index = 0.0
        if directionless <= longest and plus + minus > 0:
            index = 100 * (abs(plus - minus) / (plus + minus))
        if place >= 2 * period:
            strength = (strength * (period - 1) + index) / period
        else:
            strength += index  # a sum until there are enough for the first average
            if place == 2 * period - 1:
                strength /= period
        if still <= longest and ranges > 0:
            plus_di[place] = 100 * (plus / ranges)
            minus_di[place] = 100 * (minus / ranges)
            if place >= 2 * period - 1:
                adx[place] = strength
    return adx, plus_di, minus_di


@compiled
def highest_swing(values: FloatArray, strength: int, lookback: int) -> IntArray:
    """Place of the highest swing among the last `lookback` values, the newest of equal ones; -1 without one.

    A swing is above the `strength` values on either side of it, all of them among those `lookback`.
    """
    places = np.full(len(values), -1, np.int64)
    # Swings that are the highest of all since: falling values, so the first one that is recent enough is the answer.
    queue = np.empty(len(values), np.int64)
    head = tail = 0
    for newest in range(2 * strength, len(values)):
        swing = newest - strength
        is_swing = True
        for place in range(swing - strength, newest + 1):
            if place != swing and not values[place] < values[swing]:
                is_swing = False
                break
        if is_swing:
            while tail > head and values[queue[tail - 1]] <= values[swing]:
                tail -= 1
            queue[tail] = swing
            tail += 1
        while tail > head and queue[head] - strength <= newest - lookback:
            head += 1
        if tail > head:
            places[newest] = queue[head]
    return places
