"""Candles as strategies read them: larger timeframes are the venue's own, and nothing is known before its close."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies.recorded import COLUMNS, MONDAY_NS, cut, invented, paths, read

import promethean.indicators
from promethean.domain.books import BookSeries
from promethean.domain.candles import CandleSeries, timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.registry import scan
from promethean.domain.trades import TradeSeries
from promethean.indicators.catalogue import INDICATORS
from promethean.strategies.frame import Frame, Memo

scan(promethean.indicators)
MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
WIDTH = 2.0**-52
# Candles whose close or volume the venue's own files of two timeframes tell differently: it lost trades in one of them.
VENUE_AT_ODDS = {
    "2023-11-10T12 4h", "2024-03-27T12 1h", "2024-03-27T12 4h", "2024-03-28T08 4h", "2024-03-28T10 1h",
    "2024-03-28T11 1h", "2024-03-28T12 1h", "2024-03-28T12 4h",
}  # fmt: skip
# Candles whose close or volume the venue's own files of two timeframes tell differently: it lost trades in one of them.
VENUE_AT_ODDS = {
    "2023-11-10T12 4h", "2024-03-27T12 1h", "2024-03-27T12 4h", "2024-03-28T08 4h", "2024-03-28T10 1h",
    "2024-03-28T11 1h", "2024-03-28T12 1h", "2024-03-28T12 4h",
}  # fmt: skip


def _day_and_hour(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y-%m-%dT%H ")


def plain_larger(candles: CandleSeries, timeframe: str, small: str) -> dict[int, list[float]]:
    """Larger candles by open time, put together one candle at a time; half ones at either end are left out."""
    length, shift = timeframe_ns(timeframe), 4 * DAY_NS if timeframe == "1w" else 0
    found: dict[int, list[float]] = {}
    times = candles.open_time_ns.tolist()
    for place, opened in enumerate(times):
        begin = (opened - shift) // length * length + shift
        open_, high, low, close, volume = (float(getattr(candles, name)[place]) for name in COLUMNS)
        if begin not in found:
            found[begin] = [open_, high, low, close, volume]
        else:
            row = found[begin]
            found[begin] = [row[0], max(row[1], high), min(row[2], low), close, row[4] + volume]
    if times and times[0] not in found:
        del found[min(found)]
    if found and times[-1] + timeframe_ns(small) < max(found) + length:
        del found[max(found)]
    return found


def assert_same_candles(built: CandleSeries, expected: dict[int, list[float]]) -> None:
    assert built.open_time_ns.tolist() == sorted(expected)
    rows = np.array([expected[begin] for begin in sorted(expected)]).reshape(-1, 5)
    for place, name in enumerate(COLUMNS[:4]):
        assert np.array_equal(getattr(built, name), rows[:, place]), name
    assert built.volume == pytest.approx(rows[:, 4], rel=1e-12)


# -- larger timeframes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("small", "large", "frames"),
    [
        ("binance_usdm_BTCUSDT_15m_2023-01_2024-06", "binance_usdm_BTCUSDT_1h_2023-01_2024-06", ("15m", "1h")),
        ("binance_usdm_BTCUSDT_15m_2023-01_2024-06", "binance_usdm_BTCUSDT_4h_2023-01_2024-06", ("15m", "4h")),
        ("binance_usdm_BTCUSDT_1h_2023-01_2024-06", "binance_usdm_BTCUSDT_4h_2023-01_2024-06", ("1h", "4h")),
        ("binance_usdm_ETHUSDT_15m_2023-01_2024-06", "binance_usdm_ETHUSDT_4h_2023-01_2024-06", ("15m", "4h")),
    ],
)
def test_larger_candles_equal_the_venues_own_to_the_last_digit(
    shared: Path, small: str, large: str, frames: tuple[str, str]
) -> None:
    folder = shared / "data" / "ohlcv"
    built = Frame(read(folder / f"{small}.parquet"), frames[0]).larger(frames[1])
    venue = read(folder / f"{large}.parquet")
    assert np.array_equal(built.open_time_ns, venue.open_time_ns)
    for name in COLUMNS[:3]:
        assert np.array_equal(getattr(built, name), getattr(venue, name)), name
    ratio = timeframe_ns(frames[1]) // timeframe_ns(frames[0])
    summed = np.abs(built.volume - venue.volume) <= ratio * WIDTH * venue.volume  # the error of the sum
    other = np.flatnonzero(~summed | (built.close != venue.close))
    at_odds = {begin + frames[1] for begin in map(_day_and_hour, built.open_time_ns[other].tolist())}
    assert at_odds <= VENUE_AT_ODDS, "beyond the few candles in which the venue contradicts itself"


def test_where_minutes_without_a_trade_are_missing_the_larger_candles_are_still_the_venues(shared: Path) -> None:
    folder = shared / "data" / "ohlcv"
    minutes = read(folder / "binance_spot_XRPETH_1m_2019-10.parquet")
    assert (np.diff(minutes.open_time_ns) > MINUTE_NS).sum() > 100, "a file with holes"
    built = Frame(minutes, "1m").larger("5m")
    venue = read(folder / "binance_spot_XRPETH_5m_2019-10.parquet")
    place = np.searchsorted(venue.open_time_ns, built.open_time_ns)
    assert np.array_equal(venue.open_time_ns[place], built.open_time_ns)
    for name in COLUMNS[:4]:
        assert np.array_equal(getattr(built, name), getattr(venue, name)[place]), name
    assert built.volume == pytest.approx(venue.volume[place], rel=5 * WIDTH)


@settings(max_examples=150)
@given(paths(), st.sampled_from(["3m", "5m", "15m", "1h", "4h"]))
def test_larger_candles_are_what_they_are_put_together_by_hand(candles: CandleSeries, timeframe: str) -> None:
    assert_same_candles(Frame(candles, "1m").larger(timeframe), plain_larger(candles, timeframe, "1m"))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(0, 6))
def test_weeks_begin_on_mondays_and_half_ones_are_none(seed: int, days: int, first: int) -> None:
    candles = invented(seed, days, "1d", start_ns=MONDAY_NS + first * DAY_NS)
    weeks = Frame(candles, "1d").larger("1w")
    assert_same_candles(weeks, plain_larger(candles, "1w", "1d"))
    assert len(weeks) == (days - (-first) % 7) // 7 if days >= (-first) % 7 else len(weeks) == 0
    assert all(datetime.fromtimestamp(begin / 1e9, UTC).weekday() == 0 for begin in weeks.open_time_ns)


def test_half_a_candle_at_either_end_is_none() -> None:
    candles = invented(1, 12, start_ns=MONDAY_NS + 3 * MINUTE_NS)  # minutes 3 to 14
    built = Frame(candles, "1m").larger("5m")
    assert built.open_time_ns.tolist() == [MONDAY_NS + 5 * MINUTE_NS, MONDAY_NS + 10 * MINUTE_NS]
    almost = Frame(cut(candles, 0, 11), "1m").larger("5m")
    assert almost.open_time_ns.tolist() == [MONDAY_NS + 5 * MINUTE_NS]
    assert len(Frame(cut(candles, 0, 2), "1m").larger("5m")) == 0


def test_a_larger_timeframe_has_no_candle_where_there_is_nothing() -> None:
    candles = invented(1, 30)
    holed = CandleSeries.from_columns(
        np.delete(candles.open_time_ns, range(5, 17)),
        [np.delete(getattr(candles, name), range(5, 17)) for name in COLUMNS],
    )
    built = Frame(holed, "1m").larger("5m")
    assert ((built.open_time_ns - MONDAY_NS) // MINUTE_NS).tolist() == [0, 15, 20, 25]
    assert built.open[1] == candles.open[17]
    assert built.volume[1] == pytest.approx(candles.volume[17:20].sum())


def test_no_candle_at_all_gives_none_of_a_larger_timeframe() -> None:
    frame = Frame(CandleSeries(1), "1m")
    assert len(frame) == len(frame.larger("1h")) == 0
    assert frame.indicator("rsi", {}, "1h")[0].tolist() == []


def test_its_own_timeframe_is_the_candles_themselves() -> None:
    candles = invented(1, 10)
    assert Frame(candles, "1m").larger("1m") is candles


@pytest.mark.parametrize(("primary", "asked"), [("3m", "5m"), ("5m", "1m"), ("1h", "15m")])
def test_what_cannot_be_built_is_refused(primary: str, asked: str) -> None:
    with pytest.raises(ValueError, match=f"candles of {asked} cannot be built from those of {primary}"):
        Frame(invented(1, 10, primary), primary).larger(asked)


# -- indicators -------------------------------------------------------------------------------------------------------


def test_a_value_of_a_larger_timeframe_is_known_at_its_close_and_not_before() -> None:
    frame = Frame(invented(1, 20), "1m")
    (values,) = frame.indicator("sma", {"period": 1}, "5m")
    closes = frame.candles.close
    assert np.isnan(values[:4]).all()
    for minute in range(4, 20):
        last = (minute + 1) // 5 * 5 - 1  # the minute with which the last whole five ended
        assert values[minute] == closes[last]


def test_after_a_hole_the_value_is_that_of_the_candle_that_closed_in_it() -> None:
    candles = invented(1, 20)
    there = [*range(8), *range(16, 20)]  # minutes 8 to 15 are missing
    holed = CandleSeries.from_columns(candles.open_time_ns[there], [getattr(candles, n)[there] for n in COLUMNS])
    (values,) = Frame(holed, "1m").indicator("sma", {"period": 1}, "5m")
    assert values[7] == candles.close[4]
    assert values[8] == candles.close[7]  # minute 16: the five that began at 5 ended at 10, its last trade in 7
    assert values[11] == candles.close[19]


@settings(max_examples=60)
@given(paths(), st.sampled_from(["1m", "5m", "15m"]), st.sampled_from(["sma", "ema", "rsi", "macd", "obv"]), st.data())
def test_no_value_changes_when_later_candles_come(
    candles: CandleSeries, timeframe: str, name: str, data: st.DataObject
) -> None:
    stop = data.draw(st.integers(0, len(candles)))
    parameters = {"period": 3} if name in ("sma", "ema", "rsi") else {}
    whole = Frame(candles, "1m").indicator(name, parameters, timeframe)
    early = Frame(cut(candles, 0, stop), "1m").indicator(name, parameters, timeframe)
    for all_of_it, part in zip(whole, early, strict=True):
        assert len(all_of_it) == len(candles)
        assert np.array_equal(all_of_it[:stop], part, equal_nan=True)


@settings(max_examples=60)
@given(paths(), st.sampled_from(["5m", "15m", "1h"]))
def test_a_larger_value_is_the_one_of_the_last_candle_that_has_closed(candles: CandleSeries, timeframe: str) -> None:
    frame = Frame(candles, "1m")
    (values,) = frame.indicator("sma", {"period": 2}, timeframe)
    built = frame.larger(timeframe)
    length = timeframe_ns(timeframe)
    for place, closed_ns in enumerate(frame.close_time_ns.tolist()):
        known = [n for n, begin in enumerate(built.open_time_ns.tolist()) if begin + length <= closed_ns]
        expected = (built.close[known[-1]] + built.close[known[-2]]) / 2 if len(known) > 1 else np.nan
        assert values[place] == pytest.approx(expected, nan_ok=True)


def test_what_was_computed_is_kept_and_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = Frame(invented(1, 100), "1m")
    first = frame.indicator("macd", {"fast": 3, "slow": 6}, "5m")
    assert frame.indicator("macd", {"slow": 6, "fast": 3}, "5m") is first
    assert frame.larger("5m") is frame.larger("5m")
    others = [
        frame.indicator("macd", {"fast": 3, "slow": 7}, "5m"),
        frame.indicator("macd", {"fast": 3, "slow": 6}, "1m"),
    ]
    assert all(not np.array_equal(other[0], first[0], equal_nan=True) for other in others)


def test_an_indicator_of_its_own_timeframe_is_its_function() -> None:
    frame = Frame(invented(1, 100), "1m")
    expected = INDICATORS.get("macd").function(frame.candles.close, fast=3, slow=6)
    found = frame.indicator("macd", {"fast": 3, "slow": 6}, "1m")
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found, expected, strict=True))


def test_an_unknown_indicator_is_named_with_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"unknown indicator 'rsii'; did you mean 'rsi'"):
        Frame(invented(1, 10), "1m").indicator("rsii", {}, "1m")


# -- books ------------------------------------------------------------------------------------------------------------


def shown(rows: int) -> BookSeries:
    nothing = np.zeros(rows)
    return BookSeries(np.ones((rows, 3, 2)), np.ones((rows, 3, 2)), nothing, nothing, nothing.astype(np.int8))


def test_a_frame_has_the_books_that_came_with_it_or_says_what_to_give() -> None:
    books = shown(5)
    assert Frame(invented(1, 5), "1m", books).books is books
    with pytest.raises(ConfigError, match="this data holds no order books; give a recorded feed"):
        _ = Frame(invented(1, 5), "1m").books
    with pytest.raises(ValueError, match="there are books at 4 closes for 5 candles"):
        Frame(invented(1, 5), "1m", shown(4))


# -- trades -----------------------------------------------------------------------------------------------------------


def a_trade_at_each(candles: CandleSeries, after_ns: int) -> TradeSeries:
    """One trade so long after each candle opens, of its whole volume at its close."""
    count = len(candles)
    at_ns, signs = candles.open_time_ns + after_ns, np.ones(count, np.int8)
    return TradeSeries(at_ns, candles.close, candles.volume, signs, np.arange(count, dtype=np.int64))


def test_a_part_has_the_trades_from_its_first_open_to_before_its_last_close() -> None:
    candles = invented(1, 30, "5m")
    trades = a_trade_at_each(candles, 5 * MINUTE_NS - 1)
    frame = Frame(candles, "5m", None, trades)
    for start, stop in ((0, 30), (0, 7), (3, 8), (8, 30)):
        found = frame.part(start, stop).trades
        assert found is not None and found.number is not None
        assert found.number.tolist() == list(range(start, stop))
    empty = frame.part(0, 0).trades
    assert empty is not None and len(empty) == 0
    assert Frame(candles, "5m").part(0, 7).trades is None


def test_a_trade_at_a_close_belongs_to_the_candle_that_opens_then() -> None:
    candles = invented(1, 30)
    late = Frame(candles, "1m", None, a_trade_at_each(candles, MINUTE_NS)).part(0, 10)
    assert late.trades is not None and len(late.trades) == 9


@pytest.mark.parametrize("timeframe", ["1m", "5m", "1h"])
def test_the_vwap_over_trades_is_that_over_candles_where_there_are_none(timeframe: str) -> None:
    candles = invented(3, 2000, timeframe, holes=0.02)
    rough = Frame(candles, timeframe).indicator("vwap", {"deviations": 1.5}, timeframe)
    found = Frame(candles, timeframe).true_vwap(1.5)
    assert found.approximation.all()
    for got, want in zip(found[:5], rough, strict=True):
        assert np.array_equal(got, want, equal_nan=True)
    at_closes = Frame(candles, timeframe, None, a_trade_at_each(candles, 0)).true_vwap(1.5)
    closes, volume = candles.close[:20], candles.volume[:20]
    assert not at_closes.approximation[: np.searchsorted(candles.open_time_ns, MONDAY_NS + DAY_NS)].any()
    assert at_closes.vwap[19] == pytest.approx(np.sum(closes * volume) / np.sum(volume), rel=1e-12)


def test_trades_beside_candles_shorter_than_a_minute_have_no_vwap() -> None:
    candles = invented(1, 30, "1s")
    with pytest.raises(ValueError, match="trades are added up by the minute, and candles of 1s are shorter"):
        Frame(candles, "1s", None, a_trade_at_each(candles, 0)).true_vwap(2.0)


def test_a_memo_that_keeps_so_many_forgets_what_was_not_used_for_the_longest_time() -> None:
    memo = Memo()
    memo.keep = 2
    memo["a"], memo["b"] = 1, 2
    assert memo["a"] == 1
    memo["c"] = 3
    assert dict(memo.items()) == {"a": 1, "c": 3}
    memo.keep = None
    memo["d"] = 4
    assert set(memo) == {"a", "c", "d"}
