"""True VWAP over holes that the venue's numbers prove to be quiet, and over candles longer than a minute."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.volume.markets import MINUTE_NS, Columns

from promethean.domain.candles import FloatArray, IntArray
from promethean.indicators.volume.true_vwap import TrueVwap, minute_tallies, quiet_minutes, true_vwap

MIDNIGHT = 20_000 * 1440


class Numbered(NamedTuple):
    """Oldest first; at: minutes since the epoch."""

    at: IntArray
    price: FloatArray
    quantity: FloatArray
    number: IntArray

    def rows(self, chosen: Any) -> Numbered:
        return Numbered(self.at[chosen], self.price[chosen], self.quantity[chosen], self.number[chosen])

    def upto(self, minute: int) -> Numbered:
        return self.rows(self.at <= minute)


def some_trades(seed: int, count: int, minutes: int, lost: float) -> Numbered:
    """Trades over two days' border.  lost: share of them that the recording does not have."""
    random = np.random.default_rng(seed)
    at = MIDNIGHT - minutes // 3 + np.sort(random.integers(0, minutes, count))
    trades = Numbered(at, 100 + random.random(count), random.exponential(1, count), np.arange(count))
    return trades.rows(random.random(count) >= lost)


def candles_of(trades: Numbered, first: int, last: int, step: int = 1) -> Columns:
    """The candles of trades, also of the times without any."""
    opened = np.arange(first // step * step, last + 1, step)
    columns = {name: np.full(len(opened), 100.0) for name in ("high", "low", "close")}
    columns["volume"] = np.zeros(len(opened))
    for row, begin in enumerate(opened.tolist()):
        inside = (trades.at >= begin) & (trades.at < begin + step)
        if inside.any():
            prices = trades.price[inside]
            columns["high"][row], columns["low"][row], columns["close"][row] = prices.max(), prices.min(), prices[-1]
            columns["volume"][row] = trades.quantity[inside].sum()
    return {"open_time_ns": opened * MINUTE_NS, **columns}


def along(columns: Columns, trades: Numbered, step: int = 1, window: str = "session", minutes: int = 60) -> TrueVwap:
    opened = trades.at // step * step
    tallies = minute_tallies(opened * MINUTE_NS, trades.price, trades.quantity)
    opened_ns, high, low, close, volume = (columns[name] for name in ("open_time_ns", "high", "low", "close", "volume"))
    how: dict[str, Any] = {"quiet": quiet_minutes(opened, trades.number, step), "candle_minutes": step}
    return true_vwap(opened_ns, high, low, close, volume, tallies, window, minutes, **how)


def is_quiet(trades: Numbered, minute: int) -> bool:
    """Whether these trades prove that nothing traded in a minute, by the definition."""
    before, after = trades.at < minute, trades.at > minute
    if not before.any() or not after.any() or (trades.at == minute).any():
        return False
    return bool(trades.number[after][0] - trades.number[before][-1] == 1)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([("session", 60), ("rolling", 7), ("rolling", 60)]),
)
def test_a_minute_without_a_candle_is_quiet_once_a_trade_after_it_follows_the_one_before(
    seed: int, lost: float, dropped: float, window: tuple[str, int]
) -> None:
    trades = some_trades(seed, 60, 90, lost)
    columns = candles_of(trades, MIDNIGHT - 30, MIDNIGHT + 60)
    there = (columns["volume"] > 0) | (np.random.default_rng(seed + 1).random(len(columns["volume"])) >= dropped)
    columns = {name: values[there] for name, values in columns.items()}
    values = along(columns, trades, 1, *window)
    candles = set((columns["open_time_ns"] // MINUTE_NS).tolist())
    for row, minute in enumerate((columns["open_time_ns"] // MINUTE_NS).tolist()):
        begin = minute // 1440 * 1440 if window[0] == "session" else minute - window[1] + 1
        seen = trades.upto(minute)
        lacking = sum(each not in candles and not is_quiet(seen, each) for each in range(begin, minute + 1))
        assert values.approximation[row] == (lacking > 0.01 * (minute - begin + 1)), (minute, lacking)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.05]), st.sampled_from([1, 5]), st.integers(1, 90))
def test_no_value_sees_a_later_trade_although_it_would_tell_what_was_quiet(
    seed: int, lost: float, step: int, cut: int
) -> None:
    trades = some_trades(seed, 40, 90, lost)
    columns = candles_of(trades, MIDNIGHT - 30, MIDNIGHT + 60, step)
    there = np.random.default_rng(seed).random(len(columns["volume"])) >= 0.3
    columns = {name: values[there | (columns["volume"] > 0)] for name, values in columns.items()}
    whole = along(columns, trades, step)
    earlier = {name: values[:cut] for name, values in columns.items()}
    if not len(earlier["open_time_ns"]):
        return
    last = int(earlier["open_time_ns"][-1]) // MINUTE_NS + step - 1
    for known, then in zip(along(earlier, trades.upto(last), step), whole, strict=True):
        assert np.array_equal(known, then[: len(known)], equal_nan=known.dtype != np.bool_)


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 5, 60]))
def test_longer_candles_have_the_trades_up_to_their_close(seed: int, step: int) -> None:
    trades = some_trades(seed, 80, 600, 0.0)
    columns = candles_of(trades, MIDNIGHT - 240, MIDNIGHT + 400, step)
    values = along(columns, trades, step)
    for row, opened in enumerate((columns["open_time_ns"] // MINUTE_NS).tolist()):
        begin = opened // 1440 * 1440
        inside = (trades.at >= begin) & (trades.at < opened + step)
        weight = math.fsum(trades.quantity[inside])
        if opened < MIDNIGHT:
            assert values.approximation[row], "the day did not begin here"
            continue
        assert not values.approximation[row]
        if weight:
            mean = math.fsum(trades.quantity[inside] * trades.price[inside]) / weight
            sigma = math.sqrt(math.fsum(trades.quantity[inside] * (trades.price[inside] - mean) ** 2) / weight)
            assert values.vwap[row] == pytest.approx(mean, rel=1e-12)
            assert values.upper[row] == pytest.approx(mean + 2 * sigma, rel=1e-12)
            assert values.lower[row] == pytest.approx(mean - 2 * sigma, rel=1e-12)


def test_one_of_a_hundred_longer_candles_may_be_missing_and_not_two() -> None:
    at = MIDNIGHT + 5 * np.arange(288)
    trades = Numbered(at, 100 + np.arange(288.0) % 3, np.ones(288), np.arange(288))
    columns = candles_of(trades, MIDNIGHT, MIDNIGHT + 1439, 5)
    for count, approximation in ((2, False), (3, True)):
        kept = np.delete(np.arange(288), np.arange(100, 100 + count))
        assert bool(along(columns, trades.rows(kept), 5).approximation[-1]) is approximation


def test_minutes_between_numbers_that_follow_each_other_are_quiet_and_others_are_not_known() -> None:
    minute, number = np.array([10, 10, 13, 14, 18, 20]), np.array([1, 2, 3, 4, 6, 7])
    assert quiet_minutes(minute, number).tolist() == [11, 12, 19]
    assert quiet_minutes(minute[:1], number[:1]).tolist() == []
    assert quiet_minutes(np.array([10, 15, 30]), np.array([1, 2, 3]), 5).tolist() == [20, 25]
