"""vwap_reversion: back to the session's average, in a market that ranges."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies.promises import REAL_5M, assert_window, chosen, make, told, upside_down
from tests.strategies.recorded import MONDAY_NS, invented, read

from promethean.domain.candles import CandleSeries
from promethean.domain.errors import ConfigError
from promethean.domain.events import CandleClosed
from promethean.domain.market import MarketView
from promethean.domain.trades import TradeSeries
from promethean.engine.combined import Combined, Part
from promethean.engine.decide import Aggregation
from promethean.indicators.volume.vwap import OF_CANDLES
from promethean.strategies.arrays import CLOSES_LONG, Prepared, Said, Trailing, reads_trades, remarks_of
from promethean.strategies.frame import Frame
from promethean.strategies.vwap_reversion import VwapReversion

MINUTE_NS = 60 * 10**9
DAY = 1440
MIDDLE = 2000.0
SPIKES = {6: -5.0, 16: 5.0, 26: -5.0, 36: -5.0, 37: -4.0}  # by the minute of each forty; the candle of 37 turns
TURN = 37


def columns(closes: np.ndarray) -> CandleSeries:
    """Minutes with these closes, from the beginning of a day on; each opens where the one before closed."""
    opened = np.concatenate((closes[:1], closes[:-1]))
    rows = (opened, np.maximum(opened, closes) + 0.1, np.minimum(opened, closes) - 0.1, closes, np.full(len(closes), 3))
    times = MONDAY_NS + MINUTE_NS * np.arange(len(closes), dtype=np.int64)
    return CandleSeries.from_columns(times, [row.astype(float) for row in rows], keep=len(closes))


@cache
def dips(minutes: int = 2880) -> CandleSeries:
    """A price that goes to and fro around the middle, with spikes to both sides; the last comes back in two steps."""
    closes = MIDDLE + (-1.0) ** np.arange(minutes)
    for minute, height in SPIKES.items():
        closes[minute::40] = MIDDLE + height
    return columns(closes)


def say(strategy: VwapReversion, candles: CandleSeries) -> Said:
    return strategy.say(Frame(candles, strategy.timeframe))


def plain_vwap(candles: CandleSeries, at: int) -> tuple[float, float]:
    """Average and deviation of the session up to a candle, from the definition."""
    rows = slice(at // DAY * DAY, at + 1)
    typical = (candles.high[rows] + candles.low[rows] + candles.close[rows]) / 3
    volume = candles.volume[rows]
    mean = float(np.sum(typical * volume) / np.sum(volume))
    return mean, float(np.sqrt(np.sum(volume * (typical - mean) ** 2) / np.sum(volume)))


# -- signals ----------------------------------------------------------------------------------------------------------


def test_it_buys_the_candle_that_turns_below_the_lower_band_and_aims_at_the_average() -> None:
    strategy, candles = make(VwapReversion, can_short=False), dips()
    said = say(strategy, candles)
    bought = np.flatnonzero(said.side)
    assert len(bought) > 20 and set((bought % 40).tolist()) == {TURN} and set(said.side[bought].tolist()) == {1}
    (target,) = said.targets
    assert np.array_equal(~np.isnan(target), said.side != 0)
    for at in bought.tolist():
        mean, sigma = plain_vwap(candles, at)
        assert target[at] == pytest.approx(mean)
        assert candles.close[at] < mean - 2 * sigma
        assert said.confidence[at] == pytest.approx(min(1, 0.8 * (mean - candles.close[at]) / (2 * sigma)), abs=1e-6)
    assert said.stop is None, "the file's"
    assert not said.leave.any()


def test_a_signal_says_which_band_and_that_the_average_is_one_of_candles() -> None:
    strategy, candles = make(VwapReversion), dips()
    said = say(strategy, candles)
    at = int(np.flatnonzero(said.side)[-1])
    mean, sigma = plain_vwap(candles, at)
    expected = f"the price turned below the lower band {mean - 2 * sigma:.6g}; VWAP (candles) is {mean:.6g}"
    assert strategy.reason(said, at) == expected
    assert said.readings["range"][at] == 1


def test_on_futures_everything_is_mirrored() -> None:
    strategy, candles = make(VwapReversion), dips()
    ahead, mirrored = say(strategy, candles), say(strategy, upside_down(candles, MIDDLE))
    assert (ahead.side != 0).any() and np.array_equal(ahead.side, -mirrored.side)
    assert ahead.targets[0] == pytest.approx(2 * MIDDLE - mirrored.targets[0], nan_ok=True)
    spoken = ahead.side != 0
    assert ahead.confidence[spoken] == pytest.approx(mirrored.confidence[spoken])
    at = int(np.flatnonzero(spoken)[0])
    assert strategy.reason(mirrored, at).startswith("the price turned above the upper band")


def test_on_spot_a_price_that_turns_above_the_upper_band_closes() -> None:
    mirrored = upside_down(dips(), MIDDLE)
    short, spot = (say(make(VwapReversion, can_short=can_short), mirrored) for can_short in (True, False))
    assert not spot.side.any()
    assert np.array_equal(spot.leave == CLOSES_LONG, short.side == -1)
    assert np.isnan(spot.targets[0]).all()


def test_a_candle_that_falls_on_or_closes_at_its_open_has_not_turned() -> None:
    closes = dips().close.copy()
    closes[TURN::40] = closes[TURN - 1 :: 40][: len(closes[TURN::40])]  # the candle after the lowest stands still
    closes[TURN + 1 :: 40] = MIDDLE
    assert not say(make(VwapReversion), columns(closes)).side.any()


def test_nothing_is_said_while_the_bands_of_a_session_are_young() -> None:
    early = say(make(VwapReversion, warmup_minutes=0), dips()).side[DAY:]
    late = say(make(VwapReversion, warmup_minutes=200), dips()).side[DAY:]
    assert np.flatnonzero(early)[0] == TURN
    assert np.flatnonzero(late)[0] == 200 + TURN, "the candle of minute 199 closes when 200 are over"


def test_the_first_candle_of_a_session_has_no_bands_to_be_beyond() -> None:
    """An hour is longer than the time that bands are left alone: its close lies beyond a band without a width."""
    candles = invented(11, 24 * 60, "1h")
    strategy = make(VwapReversion, timeframe="1h", warmup_minutes=0)
    said = say(strategy, candles)
    bare = (said.readings["upper band"] - said.readings["VWAP (candles)"]) < 1e-9
    beyond = (candles.close < said.readings["lower band"]) | (candles.close > said.readings["upper band"])
    assert (bare & beyond & (said.readings["range"] == 1)).any()
    assert not said.side[bare].any()
    assert (said.side != 0).any() and not np.isnan(said.confidence[said.side != 0]).any()


def test_a_session_whose_beginning_is_not_there_has_no_average() -> None:
    candles = dips()
    began = 600
    rest = CandleSeries.from_columns(
        candles.open_time_ns[began:],
        [getattr(candles, name)[began:] for name in ("open", "high", "low", "close", "volume")],
    )
    said = say(make(VwapReversion), rest)
    assert np.isnan(said.readings["VWAP (candles)"][: DAY - began]).all()
    assert not said.side[: DAY - began].any() and said.side[DAY - began :].any()


def test_a_market_that_trends_or_moves_more_than_usual_says_nothing() -> None:
    closes = dips().close.copy()
    closes[2000:] = MIDDLE - 0.1 * np.arange(880)
    closes[2038::40] += 0.2  # a candle that turns, below the band
    said = say(make(VwapReversion), columns(closes))
    assert said.side[:2000].any() and not said.side[2000:].any()
    turned = (np.diff(closes, prepend=MIDDLE) > 0) & (closes < said.readings["lower band"])
    assert turned[2000:].any() and not said.readings["range"][2000:][turned[2000:]].any()
    wild = MIDDLE + (dips().close - MIDDLE) * np.where(np.arange(2880) < 1600, 1.0, 3.0)
    said = say(make(VwapReversion), columns(wild))
    assert said.side[:1600].any() and not said.side[1637:1650].any()


def test_a_market_that_stands_still_says_nothing() -> None:
    said = say(make(VwapReversion), columns(np.full(2000, 123.456)))
    assert not said.side.any() and not said.leave.any()


# -- single trades ----------------------------------------------------------------------------------------------------


def traded(candles: CandleSeries, minutes: slice) -> TradeSeries:
    """Two trades in each of some candles: one base unit at its open, the other two at its close."""
    opens = candles.open_time_ns[minutes]
    at_ns = np.stack((opens + MINUTE_NS // 4, opens + MINUTE_NS // 2), axis=1).ravel()
    price = np.stack((candles.open[minutes], candles.close[minutes]), axis=1).ravel()
    count = len(opens)
    signs, number = np.tile(np.array([1, -1], np.int8), count), np.arange(2 * count, dtype=np.int64)
    return TradeSeries(at_ns, price, np.tile([1.0, 2.0], count), signs, number)


def traded_vwap(candles: CandleSeries, at: int) -> tuple[float, float]:
    """Average and deviation of the session's trades up to a candle's close, from the definition."""
    rows = slice(at // DAY * DAY, at + 1)
    trades = traded(candles, rows)
    mean = float(np.sum(trades.price * trades.quantity) / np.sum(trades.quantity))
    return mean, float(np.sqrt(np.sum(trades.quantity * (trades.price - mean) ** 2) / np.sum(trades.quantity)))


def test_where_the_trades_are_there_the_average_and_the_bands_are_theirs() -> None:
    strategy, candles = make(VwapReversion, deviations="1.5"), dips()
    said = strategy.say(Frame(candles, "1m", None, traded(candles, slice(None))))
    assert np.isnan(said.readings["VWAP (candles)"]).all()
    for at in (0, 1, 700, DAY - 1, DAY, 2879):
        mean, sigma = traded_vwap(candles, at)
        found = [said.readings[name][at] for name in ("VWAP", "upper band", "lower band")]
        assert found == pytest.approx([mean, mean + 1.5 * sigma, mean - 1.5 * sigma], rel=1e-12)
    bought = np.flatnonzero(said.side > 0)
    assert len(bought) > 20
    at = int(bought[0])
    mean, sigma = traded_vwap(candles, at)
    assert said.targets[0][at] == pytest.approx(mean, rel=1e-12)
    expected = f"the price turned below the lower band {mean - 1.5 * sigma:.6g}; VWAP is {mean:.6g}"
    assert strategy.reason(said, at) == expected


def test_a_day_without_its_trades_is_what_it_is_without_any() -> None:
    strategy, candles = make(VwapReversion), dips()
    bare, half = say(strategy, candles), strategy.say(Frame(candles, "1m", None, traded(candles, slice(0, DAY))))
    assert "VWAP" not in bare.readings
    assert np.isnan(half.readings["VWAP"][DAY + 15 :]).all()
    first = int(np.flatnonzero(~np.isnan(half.readings["VWAP (candles)"]))[0])
    assert first == DAY, "one minute of the new day is more than a hundredth of it"
    assert not np.isnan(half.readings["VWAP"][:DAY]).any()
    for name in ("VWAP (candles)", "upper band", "lower band", "range"):
        assert np.array_equal(half.readings[name][DAY:], bare.readings[name][DAY:], equal_nan=True)
    for name in ("side", "leave", "confidence"):
        assert np.array_equal(getattr(half, name)[DAY:], getattr(bare, name)[DAY:], equal_nan=True)
    assert (half.readings["upper band"][1:DAY] != bare.readings["upper band"][1:DAY]).all()
    spoken = np.flatnonzero(half.side[DAY:]) + DAY
    assert "VWAP (candles) is" in strategy.reason(half, int(spoken[0]))


def test_one_of_a_hundred_minutes_may_lack_its_trades() -> None:
    strategy, candles = make(VwapReversion), dips()
    trades = traded(candles, slice(None))
    lost = (trades.at_ns // MINUTE_NS - MONDAY_NS // MINUTE_NS) // 14 == 50  # minutes 700 to 713: 1 % of 1400
    kept = TradeSeries(trades.at_ns[~lost], trades.price[~lost], trades.quantity[~lost], trades.aggressor[~lost])
    said = strategy.say(Frame(candles, "1m", None, kept))
    is_true = ~np.isnan(said.readings["VWAP"])
    assert is_true[:707].all() and not is_true[707:1399].any() and is_true[1399:].all()


def test_what_is_said_with_trades_sees_no_later_one_and_needs_no_more_than_the_window() -> None:
    strategy, candles = make(VwapReversion), dips(4320)
    frame = Frame(candles, "1m", None, traded(candles, slice(0, 3000)))
    whole = told(strategy.say(frame))
    for stop in (1, 600, DAY, 2900, 3000, 3001, 4320):
        for name, values in told(strategy.say(frame.part(0, stop))).items():
            assert np.array_equal(values, whole[name][:stop], equal_nan=True), (name, stop)
    for stop in (strategy.window, 2900, 3000, 3100, 4320):
        for name, values in told(strategy.say(frame.part(stop - strategy.window, stop))).items():
            assert values[-1] == pytest.approx(whole[name][stop - 1], rel=1e-9, nan_ok=True), (name, stop)


def test_asked_candle_by_candle_a_recording_has_its_trades_and_a_live_market_has_its_candles() -> None:
    strategy, candles = make(VwapReversion, deviations="1.5"), dips()
    frame = Frame(candles, "1m", None, traded(candles, slice(None)))
    said, bare = strategy.say(frame), say(strategy, candles)
    recorded, live, view = Prepared(strategy, frame), Trailing(strategy), MarketView()
    heard = 0
    for at, candle in enumerate(candles.candles(strategy.instrument, "1m")):
        view = view.with_candle(candle)
        event = CandleClosed(candle, candle.close_time_ns)
        signals = recorded.on_event(event, view)
        assert len(signals) == (said.side[at] != 0)
        for signal in signals:
            assert signal.metadata["VWAP"] == f"{said.readings['VWAP'][at]:.6f}"
            assert "VWAP (candles)" not in signal.metadata
        if said.side[at] or bare.side[at]:
            found = live.on_event(event, view)
            assert len(found) == (bare.side[at] != 0)
            assert all("VWAP (candles)" in signal.metadata for signal in found)
        heard += len(signals)
    assert heard > 20


def test_the_remark_says_at_how_many_candles_the_average_is_that_over_trades() -> None:
    strategy, candles = make(VwapReversion), dips()
    assert remarks_of(strategy) == remarks_of(strategy, Frame(candles, "1m")) == (OF_CANDLES,)
    frames = [Frame(candles, "1m", None, traded(candles, minutes)) for minutes in (slice(None), slice(0, DAY))]
    assert remarks_of(strategy, frames[0]) == (
        "s reads the VWAP over single trades at 2,880 of 2,880 candles (100.0%)",
    )
    assert remarks_of(strategy, frames[1]) == (
        "s reads the VWAP over single trades at 1,440 of 2,880 candles (50.0%)",
        f"elsewhere {OF_CANDLES}",
    )
    nothing = Frame(candles.before(MONDAY_NS), "1m", None, traded(candles, slice(0, 0)))
    assert remarks_of(strategy, nothing) == ("s reads the VWAP over single trades at 0 of 0 candles (0.0%)",)


def test_beside_another_source_it_reads_its_trades_and_says_so() -> None:
    strategy, candles = make(VwapReversion, deviations="1.5"), dips()
    both = Combined([Part("one", strategy, 1.0), Part("two", strategy, 1.0)], Aggregation.WEIGHTED, 0.5, can_short=True)
    frame = Frame(candles, "1m", None, traded(candles, slice(None)))
    assert reads_trades(both) and remarks_of(both, frame) == remarks_of(strategy, frame)
    assert np.array_equal(both.say(frame).side, strategy.say(frame).side)
    assert all(vote.fresh.all() for vote in both.say(frame).votes), "it has answered wherever it has an average"


# -- promises ---------------------------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.3]), st.integers(0, 59))
def test_holes_and_any_first_minute_change_nothing_of_that(seed: int, holes: float, minute: int) -> None:
    candles = invented(seed, 6000, holes=holes, start_ns=MONDAY_NS + minute * MINUTE_NS)
    strategy = make(VwapReversion)
    assert_window(strategy, candles, chosen(strategy, candles, seed, 10))


def test_five_minutes_are_a_primary_timeframe_as_good(shared: Path) -> None:
    candles, strategy = read(shared / REAL_5M), make(VwapReversion, timeframe="5m")
    assert (say(strategy, candles).side != 0).any()
    assert_window(strategy, candles, chosen(strategy, candles, 2))


# -- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"deviations": "0.4"}, "parameters.deviations is 0.4; write a number from 0.5 to 10"),
        ({"deviations": True}, "parameters.deviations is True; write a number from 0.5 to 10"),
        ({"warmup_minutes": "721"}, "parameters.warmup_minutes is 721; write a whole number from 0 to 720"),
        ({"deviation": "2"}, "unknown parameter of vwap_reversion 'deviation'; did you mean 'deviations'"),
    ],
)  # fmt: skip
def test_a_parameter_out_of_range_is_refused_with_value_limit_and_remedy(parameters: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(VwapReversion, **parameters)


def test_a_timeframe_with_too_few_candles_a_day_is_refused() -> None:
    with pytest.raises(ConfigError, match="too few candles of 4h; its primary timeframe is 1h or less"):
        make(VwapReversion, timeframe="4h")
