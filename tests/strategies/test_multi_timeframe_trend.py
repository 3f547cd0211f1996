"""multi_timeframe_trend: a crossing in the direction of three larger timeframes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies.promises import REAL, REAL_5M, assert_window, chosen, make, upside_down
from tests.strategies.recorded import MONDAY_NS, cut, invented, read

from promethean.domain.candles import CandleSeries
from promethean.domain.errors import ConfigError
from promethean.indicators.trend.ema import ema
from promethean.indicators.trend.macd import macd
from promethean.strategies.arrays import CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT, Said
from promethean.strategies.frame import Frame
from promethean.strategies.multi_timeframe_trend import WINDOW, MultiTimeframeTrend, _over_last

MINUTE_NS = 60 * 10**9


def path(closes: np.ndarray) -> CandleSeries:
    """Minutes with these closes, from the beginning of a day on; each opens where the one before closed."""
    opened = np.concatenate((closes[:1], closes[:-1]))
    columns = (opened, np.maximum(opened, closes) + 0.5, np.minimum(opened, closes) - 0.5, closes, np.ones(len(closes)))
    return CandleSeries.from_columns(
        MONDAY_NS + MINUTE_NS * np.arange(len(closes), dtype=np.int64), columns, keep=len(closes)
    )


@cache
def rally() -> CandleSeries:
    """Days that rise ever faster, so that every histogram is above zero; a dip that ends with a jump; then a fall.

    The dip begins with candle 5,011, after a quarter of an hour has closed, and ends with 5,019, as five minutes do.
    From 5,200 on the price falls.
    """
    minutes = np.arange(5200)
    closes = 10_000 + 1e-4 * minutes.astype(float) ** 2
    closes[5011:5019] -= 25
    closes[5019:] += 60
    fall = closes[-1] - 10 * np.arange(1, 301)
    return path(np.concatenate((closes, fall)))


def say(strategy: MultiTimeframeTrend, candles: CandleSeries) -> Said:
    return strategy.say(Frame(candles, strategy.timeframe))


# -- signals ----------------------------------------------------------------------------------------------------------


def test_it_buys_the_end_of_a_dip_in_a_market_that_rises_on_every_timeframe() -> None:
    strategy = make(MultiTimeframeTrend, can_short=False)
    candles = rally()
    said = say(strategy, candles)
    (at,) = np.flatnonzero(said.side).tolist()
    assert (at, said.side[at]) == (5019, 1)
    close, high, low = candles.close, candles.high, candles.low
    fast, slow = ema(close, 9), ema(close, 21)
    assert fast[at - 1] <= slow[at - 1] and fast[at] > slow[at]
    ranges = np.maximum(high[1:], close[:-1]) - np.minimum(low[1:], close[:-1])
    average = ranges[:14].mean()
    for value in ranges[14:at]:
        average += (value - average) / 14
    assert said.stop is not None
    assert said.stop[at] == pytest.approx(close[at] - 1.5 * average)
    assert np.isnan(np.delete(said.stop, at)).all()
    crossed = f"EMA(9) {fast[at]:.6g} crossed above EMA(21) {slow[at]:.6g}"
    assert strategy.reason(said, at) == f"{crossed}; 5m, 15m, 1h all point up"


def test_a_larger_timeframe_that_turns_closes_at_each_close_of_the_nearest() -> None:
    strategy = make(MultiTimeframeTrend, can_short=False)
    candles = rally()
    said = say(strategy, candles)
    fall = np.flatnonzero(said.leave[5200:]) + 5200
    assert len(fall) > 10 and set(said.leave[fall].tolist()) == {CLOSES_LONG}
    assert set((fall % 5).tolist()) == {4}, "the five minutes that end with the candle"
    assert np.diff(fall).max() == 5, "told for as long as it lasts"
    first = int(fall[0])
    assert strategy.reason(said, first) == "5m points down"
    assert not said.leave[:5000].any()


def test_on_futures_everything_is_mirrored() -> None:
    strategy = make(MultiTimeframeTrend)
    candles = rally()
    ahead, mirrored = say(strategy, candles), say(strategy, upside_down(candles, 20_000.0))
    assert np.array_equal(ahead.side, -mirrored.side)
    swap = np.array([0, CLOSES_ALL, CLOSES_SHORT, 0, CLOSES_LONG])
    assert np.array_equal(ahead.leave, swap[mirrored.leave])
    assert ahead.stop is not None and mirrored.stop is not None
    assert ahead.stop == pytest.approx(40_000 - mirrored.stop, nan_ok=True)
    (at,) = np.flatnonzero(mirrored.side).tolist()
    assert strategy.reason(mirrored, at).endswith("5m, 15m, 1h all point down")
    assert "crossed below" in strategy.reason(mirrored, at)


def test_on_spot_a_falling_market_opens_nothing() -> None:
    said = say(make(MultiTimeframeTrend, can_short=False), upside_down(rally(), 20_000.0))
    assert not (said.side < 0).any()
    assert set(np.unique(said.leave).tolist()) <= {0, CLOSES_LONG}
    assert said.leave.any()


def test_timeframes_that_disagree_close_both_sides_and_say_which_points_where() -> None:
    strategy = make(MultiTimeframeTrend)
    said = say(strategy, rally())
    (both, *_) = np.flatnonzero(said.leave == CLOSES_ALL).tolist()
    assert [said.readings[f"trend {name}"][both] for name in ("5m", "15m", "1h")] == [-1, 0, 1]
    assert strategy.reason(said, both) == "5m points down; 1h points up"
    (long, *_) = np.flatnonzero(said.leave == CLOSES_LONG).tolist()
    assert strategy.reason(said, long) == "5m points down"


def test_an_entry_is_never_told_together_with_a_close() -> None:
    said = say(make(MultiTimeframeTrend), invented(7, 30_000))
    assert (said.side != 0).any()
    assert not ((said.side != 0) & (said.leave != 0)).any()


def test_a_market_that_stands_still_points_nowhere() -> None:
    said = say(make(MultiTimeframeTrend), path(np.full(6000, 123.456)))
    assert not said.side.any() and not said.leave.any()
    for name in ("trend 5m", "trend 15m", "trend 1h"):
        known = said.readings[name][~np.isnan(said.readings[name])]
        assert len(known) > 100 and not known.any()


def test_without_an_hours_average_nothing_is_said_but_closes() -> None:
    said = say(make(MultiTimeframeTrend), cut(invented(3, 4000), 0, 55 * 60 - 1))
    assert not said.side.any()
    assert np.isnan(said.readings["trend 1h"]).all()


# -- how a larger timeframe is read -----------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(56, 120))
def test_a_larger_timeframe_is_what_the_indicators_say_of_its_last_candles(seed: int, count: int, candles: int) -> None:
    values = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, count)))

    def histogram(close: np.ndarray) -> np.ndarray:
        return macd(close).histogram

    found = _over_last(histogram, values, candles)
    assert len(found) == count
    for place in range(count):
        expected = histogram(values[max(0, place + 1 - candles) : place + 1])[-1]
        assert found[place] == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", REAL)
def test_on_real_prices_it_hardly_differs_from_averages_of_all_there_is(shared: Path, name: str) -> None:
    """What the window costs: in some of a hundred candles the hour points nowhere, or not yet, but never against."""
    candles = read(shared / REAL[name])
    frame = Frame(candles, "1m")
    said = make(MultiTimeframeTrend).say(frame)
    shares = {}
    for larger in ("5m", "15m", "1h"):
        close = frame.larger(larger).close
        averages, histogram = np.sign(ema(close, 21) - ema(close, 55)), np.sign(macd(close).histogram)
        endless = frame.spread(np.where(averages == histogram, averages, 0.0), larger)
        late = slice(WINDOW, None)
        found = said.readings[f"trend {larger}"]
        shares[larger] = float(np.mean(endless[late] != found[late]))
        assert not (endless[late] * found[late] < 0).any()
    assert shares["5m"] < 1e-3 and shares["15m"] < 1e-3 and shares["1h"] < 0.1, shares


# -- promises ---------------------------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.3]), st.integers(0, 59))
def test_holes_and_any_first_minute_change_nothing_of_that(seed: int, holes: float, minute: int) -> None:
    candles = invented(seed, 12_000, holes=holes, start_ns=MONDAY_NS + minute * MINUTE_NS)
    strategy = make(MultiTimeframeTrend)
    assert_window(strategy, candles, chosen(strategy, candles, seed, 8))


def test_another_primary_timeframe_has_larger_ones_of_its_own(shared: Path) -> None:
    candles, strategy = read(shared / REAL_5M), make(MultiTimeframeTrend, timeframe="5m")
    assert strategy.confirming == ("30m", "1h", "4h")
    said = strategy.say(Frame(candles, "5m"))
    assert (said.side != 0).any() and (said.leave != 0).any()
    assert_window(strategy, candles, chosen(strategy, candles, 2, 20))


# -- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fast": "0"}, "parameters.fast is 0; write a whole number from 1 to 60"),
        ({"slow": "61"}, "parameters.slow is 61; write a whole number from 2 to 60"),
        ({"trend_slow": "55.5"}, "parameters.trend_slow is 55.5; write a whole number from 2 to 60"),
        ({"trend_fast": True}, "parameters.trend_fast is True; write a whole number"),
        ({"fast": "21"}, r"parameters.fast is 21, not below parameters.slow \(21\)"),
        ({"trend_fast": "56"}, r"parameters.trend_fast is 56, not below parameters.trend_slow \(55\)"),
        ({"stop_atr": "0"}, "parameters.stop_atr is 0; write a number from 0.1 to 20"),
        ({"stop_atr": "NaN"}, "parameters.stop_atr is NaN; write a number from 0.1 to 20"),
        ({"trend_fats": "3"}, "unknown parameter of multi_timeframe_trend 'trend_fats'; did you mean 'trend_fast'"),
    ],
)  # fmt: skip
def test_a_parameter_out_of_range_is_refused_with_value_limit_and_remedy(parameters: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(MultiTimeframeTrend, **parameters)


def test_a_timeframe_without_larger_ones_is_refused_with_those_that_have_them() -> None:
    with pytest.raises(ConfigError, match="there are none for 4h; its primary timeframe is one of 1m, 3m, 5m"):
        make(MultiTimeframeTrend, timeframe="4h")
