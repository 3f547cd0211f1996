"""smc_breakout: the first return into a zone after a break of structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies.promises import REAL, REAL_5M, assert_window, chosen, make, upside_down
from tests.strategies.recorded import COLUMNS, MONDAY_NS, cut, invented, read

from promethean.domain.candles import CandleSeries
from promethean.domain.errors import ConfigError
from promethean.indicators.smart_money.fvg import Gap, list_gaps
from promethean.indicators.smart_money.liquidity_zones import list_zones
from promethean.indicators.smart_money.market_structure import read_structure
from promethean.indicators.smart_money.order_blocks import OrderBlock, list_blocks
from promethean.strategies.arrays import CLOSES_LONG, Said
from promethean.strategies.frame import Frame
from promethean.strategies.smc_breakout import LOOKBACK, SmcBreakout

MINUTE_NS = 60 * 10**9
# Prices at the quarters of an hour.  A peak of 160, one of 136 on the way down to 100, and then four legs up, each
# higher than the one before, so that the fourth breaks the structure.
FALL = [140, 145, 150, 155, 160, 150, 140, 130, 132, 134, 136, 124, 112, 100]
LEG = (2, 2, 2, 2, -1.5, -1.5, -1.5)
QUARTERS = [*FALL, *(100 + np.cumsum(LEG * 4)).tolist()]
PEAK = len(FALL) + 3 * 7 + 3  # where the fourth leg ends: 118.5


def path(quarters: list[float]) -> CandleSeries:
    """Minutes that go straight from price to price; where they turn there is a wick of 0.1."""
    ends = np.array(quarters, float)
    legs = zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    closes = np.concatenate([np.round(np.linspace(begin, end, 16)[1:], 6) for begin, end in legs])
    opened = np.concatenate((ends[:1], closes[:-1]))
    high, low = np.maximum(opened, closes), np.minimum(opened, closes)
    turns = np.diff(np.sign(np.diff(ends)))
    high[np.flatnonzero(turns < 0) * 15 + 14] += 0.1
    low[np.flatnonzero(turns > 0) * 15 + 14] -= 0.1
    times = MONDAY_NS + MINUTE_NS * np.arange(len(closes), dtype=np.int64)
    return CandleSeries.from_columns(times, (opened, high, low, closes, np.ones(len(closes))), keep=len(closes))


def strategy(**parameters: Any) -> SmcBreakout:
    return make(SmcBreakout, **{"strength": 2, **parameters})


def say(made: SmcBreakout, candles: CandleSeries) -> Said:
    return made.say(Frame(candles, made.timeframe))


def entries(said: Said) -> dict[int, tuple[float, ...]]:
    """Stop and targets by the place of the entry."""
    assert said.stop is not None
    return {
        at: (float(said.stop[at]), *(float(target[at]) for target in said.targets))
        for at in np.flatnonzero(said.side).tolist()
    }


# -- signals ----------------------------------------------------------------------------------------------------------


def test_it_buys_the_first_return_into_a_gap_after_a_break_of_structure() -> None:
    """The legs leave gaps from 116.5 to 117, 114.5 to 116.5 and 112.5 to 114.5; the price falls 0.1 a minute."""
    made = strategy()
    said = say(made, path(QUARTERS))
    second = PEAK * 15 + 15  # the minute after 117.0, 15 minutes below the peak
    found = entries(said)
    assert list(found) == [second, second + 4, second + 24]
    assert set(said.side[list(found)].tolist()) == {1}
    for at, bottom in zip(found, (116.5, 114.5, 112.5), strict=True):
        assert found[at] == pytest.approx((bottom * 0.999, 136.1, 160.1))
    close = 116.9
    reward = (136.1 - close) / (close - 116.5 * 0.999)
    assert made.reason(said, second) == (
        f"BOS up at 115.1 on 15m; back in the fair value gap 116.5 to 117, with liquidity at {reward:.3g} R"
    )


def test_mirrored_it_sells_on_futures_and_closes_on_spot() -> None:
    candles = path(QUARTERS)
    mirrored = upside_down(candles, 130.0)
    ahead, short = say(strategy(stop_buffer="0"), candles), say(strategy(stop_buffer="0"), mirrored)
    assert np.array_equal(ahead.side, -short.side) and ahead.side.any()
    for at, prices in entries(short).items():
        assert prices == pytest.approx([260 - price for price in entries(ahead)[at]], nan_ok=True)
    spot = say(strategy(stop_buffer="0", can_short=False), mirrored)
    assert not spot.side.any() and np.array_equal(spot.leave == CLOSES_LONG, short.side == -1)
    assert not entries(spot)
    at = int(np.flatnonzero(spot.leave)[0])
    assert strategy().reason(spot, at).startswith("BOS down at ")


def test_the_return_into_an_order_block_counts_as_well() -> None:
    """The last falling quarter before the fourth leg went from 112 to 110.5, with a wick to 110.4."""
    made = strategy(gap_min="0.5")
    assert not say(made, path(QUARTERS)).side.any(), "the price stays above it"
    deeper = path([*QUARTERS, 113, 111])
    said = say(made, deeper)
    (at,) = np.flatnonzero(said.side).tolist()
    assert deeper.low[at] <= 112 < deeper.low[at - 1]
    assert entries(said)[at][0] == pytest.approx(110.4 * 0.999)
    assert "back in the order block 110.4 to 112, with" in made.reason(said, at)


def test_a_candle_that_closes_through_the_zone_is_no_entry_and_uses_it_up() -> None:
    candles = path(QUARTERS)
    at = next(iter(entries(say(strategy(), candles))))
    columns = {name: getattr(candles, name).copy() for name in COLUMNS}
    columns["close"][at] = columns["low"][at] = 116.45  # below 116.5
    columns["open"][at + 1], columns["high"][at + 1] = 116.45, 116.9
    crashed = CandleSeries.from_columns(candles.open_time_ns, [columns[name] for name in COLUMNS], keep=len(candles))
    found = entries(say(strategy(), crashed))
    # The gap below is reached by the same candle, which closes within it.
    assert found[at][0] == pytest.approx(114.5 * 0.999)
    assert all(prices[0] != pytest.approx(116.5 * 0.999) for prices in found.values())


def test_of_two_zones_reached_at_once_the_stop_lies_behind_both() -> None:
    quarters = [*QUARTERS[: PEAK + 2]]
    candles = path([*quarters, 115.5, 114])
    columns = {name: getattr(candles, name).copy() for name in COLUMNS}
    at = len(candles) - 30
    columns["low"][at] = 116.0  # a wick into the second gap
    wick = CandleSeries.from_columns(candles.open_time_ns, [columns[name] for name in COLUMNS], keep=len(candles))
    assert entries(say(strategy(), wick))[at][0] == pytest.approx(114.5 * 0.999)


def test_without_liquidity_far_enough_away_there_is_no_entry() -> None:
    candles = path(QUARTERS)
    first, second, third = entries(say(strategy(), candles))
    risk = 116.5 - 114.5 * 0.999
    near, far = (136.1 - 116.5) / risk, (160.1 - 116.5) / risk
    assert near < 15 < far < 25
    said = entries(say(strategy(reward_min=15), candles))
    assert said[second] == pytest.approx((114.5 * 0.999, 160.1, np.nan), nan_ok=True)
    assert list(entries(say(strategy(reward_min=25), candles))) == [first]
    assert third not in entries(say(strategy(reward_min=100), candles))


def test_a_swing_that_has_been_passed_since_is_no_target() -> None:
    candles = path(QUARTERS)
    columns = {name: getattr(candles, name).copy() for name in COLUMNS}
    at = next(iter(entries(say(strategy(), candles))))
    columns["high"][at] = 137.0  # in the candle itself, before its quarter of an hour has closed
    spiked = CandleSeries.from_columns(candles.open_time_ns, [columns[name] for name in COLUMNS], keep=len(candles))
    assert entries(say(strategy(), spiked))[at] == pytest.approx((116.5 * 0.999, 160.1, np.nan), nan_ok=True)


@pytest.mark.parametrize(("bars", "some"), [(1, False), (2, True)])
def test_a_break_counts_for_so_many_larger_candles(bars: int, some: bool) -> None:
    candles = path(QUARTERS)  # the break is two quarters before the end of the leg, the first return follows
    at = next(iter(entries(say(strategy(), candles))))
    assert (at in entries(say(strategy(break_bars=bars), candles))) == some


def test_a_zone_counts_for_so_many_larger_candles() -> None:
    late = path([*QUARTERS[: PEAK + 1], 118.2, 117.9, 117.6, 117.3, 116])
    always, soon = entries(say(strategy(), late)), entries(say(strategy(zone_bars=3), late))
    assert list(soon) == list(always)[:1]
    assert list(always)[1] // 15 == PEAK + 4 and len(always) == 2


def test_a_market_that_stands_still_says_nothing() -> None:
    said = say(make(SmcBreakout), path([100.0] * 300))
    assert not said.side.any() and not said.leave.any()


def test_too_few_candles_say_nothing() -> None:
    for count in (1, 14, 15, 16, 100):
        said = say(make(SmcBreakout), cut(invented(1, 200), 0, count))
        assert not said.side.any() and len(said.side) == count


# -- the rule, told another way ---------------------------------------------------------------------------------------


def plain(made: SmcBreakout, frame: Frame, at: int) -> tuple[float, ...] | None:
    """Side, stop and targets at one candle from the lists of the indicators over what had closed by then."""
    candles, larger = frame.candles, frame.larger(made.larger)
    now = int(frame.close_time_ns[at])
    ends = larger.open_time_ns + 15 * MINUTE_NS
    known = cut(larger, max(0, int((ends <= now).sum()) - LOOKBACK), int((ends <= now).sum()))
    high, low, close, count = known.high, known.low, known.close, len(known)
    blocks = list_blocks(known.open, high, low, close, known.volume, made.block_move, made.block_bars)
    zones: list[Gap | OrderBlock] = [*list_gaps(high, low, close, made.gap_min, LOOKBACK), *blocks]
    breaks = read_structure(high, low, close, made.strength).breaks
    if not breaks or count - 1 - breaks[-1].at > made.break_bars:
        return None
    side = 1 if breaks[-1].side == "bullish" else -1
    price, far_edges = float(candles.close[at]), []
    for zone in zones:
        near, far = (zone.top, zone.bottom) if side > 0 else (zone.bottom, zone.top)
        if zone.kind != breaks[-1].side or count - 1 - zone.known_at > made.zone_bars:
            continue
        since = int(np.searchsorted(frame.close_time_ns, known.open_time_ns[zone.known_at] + 15 * MINUTE_NS, "right"))
        reached = candles.low[since : at + 1] <= near if side > 0 else candles.high[since : at + 1] >= near
        if len(reached) and reached[-1] and not reached[:-1].any() and side * (price - far) > 0:
            far_edges.append(far)
    if not far_edges:
        return None
    stop = side * min(side * far for far in far_edges) * (1 - side * made.stop_buffer)
    begun = int(np.searchsorted(frame.close_time_ns, known.open_time_ns[-1] + 15 * MINUTE_NS, "right"))
    passed = [price, *(candles.high if side > 0 else candles.low)[begun : at + 1].tolist()]
    wanted = ("sell_side", "buy_side")[side > 0]
    levels = sorted(
        (
            zone.price
            for zone in list_zones(high, low, close, made.tolerance, 1, made.strength)
            if zone.side == wanted
            and not zone.swept
            and all(side * (zone.price - each) > 0 for each in passed)
            and side * (zone.price - price) >= made.reward_min * side * (price - stop)
        ),
        key=lambda level: side * level,
    )
    return (side, stop, *levels[:2]) if levels else None


@pytest.mark.parametrize("name", REAL)
def test_on_real_prices_it_is_what_the_indicators_list(shared: Path, name: str) -> None:
    candles, made = cut(read(shared / REAL[name]), 0, 30_000), make(SmcBreakout)
    frame = Frame(candles, "1m")
    said = made.say(frame)
    assert said.stop is not None
    spoken = np.flatnonzero(said.side)
    assert len(spoken) > 5
    random = np.random.default_rng(1)
    for at in [*spoken.tolist(), *random.integers(0, len(candles), 500).tolist()]:
        expected = plain(made, frame, at)
        prices = [float(target[at]) for target in said.targets if not np.isnan(target[at])]
        found = (int(said.side[at]), float(said.stop[at]), *prices) if said.side[at] else None
        assert found == (None if expected is None else pytest.approx(expected)), at


# -- promises ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{"zone_bars": 200, "break_bars": 200}, {"strength": 1, "reward_min": "0.5"}])
@settings(max_examples=4)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.3]), st.integers(0, 59))
def test_holes_any_first_minute_and_long_memories_change_nothing_of_that(
    parameters: dict[str, Any], seed: int, holes: float, minute: int
) -> None:
    candles = invented(seed, 12_000, holes=holes, start_ns=MONDAY_NS + minute * MINUTE_NS)
    made = strategy(**parameters)
    assert_window(made, candles, chosen(made, candles, seed, 5))


def test_another_primary_timeframe_has_a_larger_one_of_its_own(shared: Path) -> None:
    candles, made = read(shared / REAL_5M), make(SmcBreakout, timeframe="5m")
    assert made.larger == "1h"
    assert_window(made, candles, chosen(made, candles, 2, 20))


# -- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"strength": "0"}, "parameters.strength is 0; write a whole number from 1 to 20"),
        ({"break_bars": "201"}, "parameters.break_bars is 201; write a whole number from 1 to 200"),
        ({"zone_bars": "2"}, "parameters.zone_bars is 2; write a whole number from 3 to 200"),
        ({"block_move": "0"}, "parameters.block_move is 0; write a number from 0.0001 to 0.5"),
        ({"block_bars": "2.5"}, "parameters.block_bars is 2.5; write a whole number from 1 to 20"),
        ({"gap_min": "-0.1"}, "parameters.gap_min is -0.1; write a number from 0 to 0.5"),
        ({"tolerance": "1"}, "parameters.tolerance is 1; write a number from 0 to 0.1"),
        ({"reward_min": "0"}, "parameters.reward_min is 0; write a number from 0.5 to 100"),
        ({"stop_buffer": True}, "parameters.stop_buffer is True; write a number from 0 to 0.1"),
        ({"stop_bufer": "0"}, "unknown parameter of smc_breakout 'stop_bufer'; did you mean 'stop_buffer'"),
    ],
)  # fmt: skip
def test_a_parameter_out_of_range_is_refused_with_value_limit_and_remedy(parameters: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(SmcBreakout, **parameters)


def test_a_timeframe_without_larger_ones_is_refused_with_those_that_have_them() -> None:
    with pytest.raises(ConfigError, match=r"smc_breakout reads .* there are none for 1d; its primary timeframe is one"):
        make(SmcBreakout, timeframe="1d")
