"""What every indicator of this family promises: no look ahead, a window or a state, refusals, real markets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from tests.indicators.smart_money.builders import Columns, columns, cut, drawn, run, seeds, ticks

import promethean.indicators
from promethean.domain.candles import FloatArray
from promethean.domain.registry import scan
from promethean.indicators.catalogue import INDICATORS, Indicator
from promethean.indicators.smart_money.fvg import list_gaps
from promethean.indicators.smart_money.imbalances import list_imbalances
from promethean.indicators.smart_money.liquidity_zones import list_zones
from promethean.indicators.smart_money.market_structure import read_structure
from promethean.indicators.smart_money.order_blocks import list_blocks
from promethean.indicators.smart_money.stop_hunt import list_hunts
from promethean.indicators.smart_money.swing_points import list_swings

scan(promethean.indicators)
FAMILY = {entry.name: entry for entry in INDICATORS.entries().values() if entry.family == "smart_money"}

CASES: list[tuple[str, dict[str, Any]]] = [
    ("swing_points", {}),
    ("swing_points", {"strength": 1}),
    ("market_structure", {}),
    ("market_structure", {"strength": 1}),
    ("fvg", {}),
    ("fvg", {"min_gap": 0.0, "lookback": 12}),
    ("order_blocks", {}),
    ("order_blocks", {"move": 0.002, "bars": 2}),
    ("liquidity_zones", {}),
    ("liquidity_zones", {"tolerance": 0.02, "touches": 1, "strength": 1}),
    ("stop_hunt", {}),
    ("stop_hunt", {"lookback": 3, "strength": 1}),
    ("imbalances", {}),
    ("imbalances", {"body": 0.5, "overlap": 0.5, "size": 0.001}),
]
SMALL = [(name, parameters) for name, parameters in CASES if parameters]
WINDOWED = [(name, parameters) for name, parameters in CASES if FAMILY[name].window is not None]
LISTED = [(name, parameters) for name, parameters in CASES if name not in {"market_structure", "fvg"}]
RESUMED = [(name, parameters) for name, parameters in CASES if FAMILY[name].resume is not None]

LISTS: Mapping[str, Callable[..., Any]] = {
    "swing_points": list_swings,
    "market_structure": read_structure,
    "fvg": list_gaps,
    "order_blocks": list_blocks,
    "liquidity_zones": list_zones,
    "stop_hunt": list_hunts,
    "imbalances": list_imbalances,
}


def resumed(
    entry: Indicator, market: Columns, state: FloatArray | None, parameters: dict[str, Any]
) -> tuple[dict[str, FloatArray], FloatArray]:
    assert entry.resume is not None
    given_, after = entry.resume(*(market[name] for name in entry.inputs), state, **parameters)
    return dict(zip(entry.outputs, given_, strict=True)), after


def equal(one: Mapping[str, FloatArray], other: Mapping[str, FloatArray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


def test_the_seven_tools_are_registered() -> None:
    assert sorted(FAMILY) == sorted(LISTS)


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
@given(seed=seeds, length=st.integers(0, 200), place=st.integers(0, 200))
def test_no_value_sees_a_later_candle(
    name: str, parameters: dict[str, Any], seed: int, length: int, place: int
) -> None:
    market = columns(ticks(seed, length))
    whole = run(FAMILY[name], market, **parameters)
    assert equal(run(FAMILY[name], cut(market, slice(place)), **parameters), cut(dict(whole), slice(place)))


@pytest.mark.parametrize(("name", "parameters"), WINDOWED, ids=str)
@given(seed=seeds, more=st.integers(0, 150))
def test_the_declared_window_decides_the_last_value(
    name: str, parameters: dict[str, Any], seed: int, more: int
) -> None:
    entry = FAMILY[name]
    assert entry.window is not None
    declared = inspect.signature(entry.window).parameters
    window = entry.window(**{key: value for key, value in parameters.items() if key in declared})
    market = columns(ticks(seed, window + more))
    whole, trailing = (run(entry, each, **parameters) for each in (market, cut(market, slice(-window, None))))
    assert equal(cut(dict(whole), slice(-1, None)), cut(dict(trailing), slice(-1, None)))


@pytest.mark.parametrize(("name", "parameters"), RESUMED, ids=str)
@given(seed=seeds, length=st.integers(0, 200), cuts=st.lists(st.integers(0, 200), max_size=5))
def test_piece_by_piece_it_gives_the_same_as_at_once(
    name: str, parameters: dict[str, Any], seed: int, length: int, cuts: list[int]
) -> None:
    entry, market = FAMILY[name], columns(ticks(seed, length))
    whole, end = resumed(entry, market, None, parameters)
    assert equal(whole, run(entry, market, **parameters))
    edges = [0, *sorted(min(place, length) for place in cuts), length]
    pieces: list[dict[str, FloatArray]] = []
    state: FloatArray | None = None
    for start, stop in pairwise(edges):
        if state is not None:
            state.flags.writeable = False  # a state is a value: nobody changes it
        piece, after = resumed(entry, cut(market, slice(start, stop)), state, parameters)
        assert after.shape == end.shape
        pieces.append(piece)
        state = after
    assert equal(whole, {field: np.concatenate([piece[field] for piece in pieces]) for field in whole})
    assert state is not None
    assert np.array_equal(state, end, equal_nan=True)


@pytest.mark.parametrize(("name", "parameters"), RESUMED, ids=str)
def test_candle_by_candle_it_gives_the_same_as_at_once(name: str, parameters: dict[str, Any]) -> None:
    entry, market = FAMILY[name], columns(ticks(3, 400))
    whole, state = run(entry, market, **parameters), None
    for place in range(400):
        piece, state = resumed(entry, cut(market, slice(place, place + 1)), state, parameters)
        assert equal(piece, cut(dict(whole), slice(place, place + 1)))


@pytest.mark.parametrize(("name", "parameters"), SMALL, ids=str)
@given(seed=seeds, length=st.integers(0, 150), exponent=st.integers(-40, 40))
def test_the_unit_of_the_price_does_not_matter(
    name: str, parameters: dict[str, Any], seed: int, length: int, exponent: int
) -> None:
    market = columns(ticks(seed, length))
    scaled = {each: column * (1.0 if each == "volume" else 2.0**exponent) for each, column in market.items()}
    one, other = (run(FAMILY[name], each, **parameters) for each in (market, scaled))
    for field, values in one.items():
        price = field.removeprefix("bullish_").removeprefix("bearish_").removeprefix("above_").removeprefix("below_")
        times = (
            2.0**exponent if price in {"top", "bottom", "price", "level", "high", "low", "last_high", "last_low"} else 1
        )
        assert np.array_equal(other[field], values * times, equal_nan=True)


@pytest.mark.parametrize(("name", "parameters"), LISTED, ids=str)
@given(seed=seeds, length=st.integers(0, 150), place=st.integers(0, 150))
def test_what_is_listed_was_known_and_stays_listed_as_it_was(
    name: str, parameters: dict[str, Any], seed: int, length: int, place: int
) -> None:
    market = columns(ticks(seed, length))
    later, earlier = (
        LISTS[name](*(each[column] for column in FAMILY[name].inputs), **parameters)
        for each in (market, cut(market, slice(place)))
    )

    def fixed(each: Any) -> tuple[Any, ...]:
        return tuple(getattr(each, field, None) for field in ("kind", "side", "at", "known_at"))

    assert all(each.at <= each.known_at < length for each in later)
    assert [fixed(each) for each in earlier] == [fixed(each) for each in later if each.known_at < place]


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
@pytest.mark.parametrize("length", [0, 1, 2, 3, 10, 11, 12, 40])
def test_short_flat_and_empty_markets_hold_nothing(name: str, parameters: dict[str, Any], length: int) -> None:
    market = drawn(*[(100.0, 100.0, 100.0, 100.0)] * length, volume=[0.0] * length)
    for field, values in run(FAMILY[name], market, **parameters).items():
        assert values.shape == (length,), field
        assert values.dtype == np.float64
        assert np.isin(values[~np.isnan(values)], [0.0]).all(), field
    listed = LISTS[name](*(market[column] for column in FAMILY[name].inputs), **parameters)
    assert listed == () or name == "market_structure"


@pytest.mark.parametrize("name", sorted(FAMILY))
def test_columns_that_nobody_may_write_to_are_read_and_none_is_changed(name: str) -> None:
    market = columns(ticks(5, 200))
    before = {each: column.copy() for each, column in market.items()}
    for column in market.values():
        column.flags.writeable = False
    strided = {each: np.repeat(column, 2)[::2] for each, column in market.items()}
    assert equal(run(FAMILY[name], market), run(FAMILY[name], strided))
    assert equal(market, before)


@pytest.mark.parametrize("name", sorted(FAMILY))
def test_columns_of_different_lengths_are_refused(name: str) -> None:
    market = columns(ticks(5, 30))
    with pytest.raises(ValueError, match=r"the columns of candles are of one length, not of \[29, 30\]"):
        run(FAMILY[name], {**market, "low": market["low"][:-1]})


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("swing_points", {"strength": 0}, "the strength of a swing is at least 1 candle on each side, not 0"),
        ("market_structure", {"strength": -1}, "the strength of a swing is at least 1 candle on each side, not -1"),
        ("fvg", {"min_gap": -0.1}, "the smallest gap is a share of the price of at least 0, not -0.1"),
        ("fvg", {"min_gap": float("nan")}, "the smallest gap is a share of the price of at least 0, not nan"),
        ("fvg", {"lookback": 2}, "the lookback for gaps is at least the 3 candles of one, not 2"),
        ("order_blocks", {"move": 0.0}, "the move away from an order block is a share of the price above 0, not 0.0"),
        ("order_blocks", {"bars": 0}, "the move away from an order block takes at least 1 candle, not 0"),
        ("liquidity_zones", {"tolerance": 1.0}, "the tolerance of a zone is a share of the price from 0 to below 1"),
        ("liquidity_zones", {"tolerance": -0.1}, "the tolerance of a zone is a share of the price from 0 to below 1"),
        ("liquidity_zones", {"touches": 0}, "a liquidity zone has at least 1 touch, not 0"),
        ("liquidity_zones", {"strength": 0}, "the strength of a swing is at least 1 candle on each side, not 0"),
        ("stop_hunt", {"lookback": 0}, "the lookback for stop hunts is at least 1 candle, not 0"),
        ("stop_hunt", {"strength": 0}, "the strength of a swing is at least 1 candle on each side, not 0"),
        ("imbalances", {"body": 1.1}, "the body of an imbalance is a share from 0 to 1, not 1.1"),
        ("imbalances", {"overlap": -0.1}, "the overlap of an imbalance is a share from 0 to 1, not -0.1"),
        ("imbalances", {"size": -0.1}, "the size of an imbalance is a share of the price of at least 0, not -0.1"),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(FAMILY[name], columns(ticks(5, 30)), **parameters)


@pytest.mark.parametrize(("name", "other"), [("swing_points", "strength"), ("order_blocks", "bars")])
def test_a_state_of_other_parameters_is_refused(name: str, other: str) -> None:
    _, state = resumed(FAMILY[name], columns(ticks(5, 30)), None, {})
    with pytest.raises(ValueError, match="a state for these parameters has"):
        resumed(FAMILY[name], columns(ticks(5, 30)), state, {other: 4})


# -- real markets -----------------------------------------------------------------------------------------------------


def recorded(shared: Path) -> Iterator[tuple[str, Columns]]:
    """Every candle file with its name; volume that was not recorded is NaN."""
    for file in sorted((shared / "data" / "ohlcv").glob("*.parquet")):
        table = pq.read_table(file)
        yield (
            file.name,
            {
                name: table[name].to_numpy(zero_copy_only=False).astype(float)
                for name in ("open", "high", "low", "close", "volume")
            },
        )


def known(*values: FloatArray) -> Any:
    """Where none of the values is NaN."""
    return ~np.isnan(np.array(values)).any(axis=0)


def check_bounds(name: str, found: Mapping[str, FloatArray], market: Columns) -> None:
    high, low, close = market["high"], market["low"], market["close"]
    match name:
        case "swing_points":
            windows = sliding_window_view(high, 11)
            others = np.delete(windows, 5, axis=1)
            expected = np.where(windows[:, 5] > others.max(axis=1), windows[:, 5], np.nan)
            assert np.array_equal(found["high"][10:], expected, equal_nan=True)
            at = found["last_low_index"][known(found["last_low_index"])].astype(int)
            assert np.array_equal(low[at], found["last_low"][known(found["last_low"])])
        case "market_structure":
            first = int(np.argmax(known(found["trend"])))
            assert known(found["trend"])[first:].all()
            assert known(found["bos"], found["choch"])[first + 1 :].all()
            assert set(np.unique(found["trend"][first:])) <= {-1.0, 0.0, 1.0}
            events = np.nan_to_num(found["bos"]) + np.nan_to_num(found["choch"])
            assert np.array_equal(events != 0, known(found["level"]))
            assert (events * (close - np.nan_to_num(found["level"])) >= 0).all()
            assert np.count_nonzero(np.nan_to_num(found["bos"]) * np.nan_to_num(found["choch"])) == 0
        case "fvg":
            bullish, bearish = known(found["bullish_top"]), known(found["bearish_top"])
            assert (found["bullish_bottom"][bullish] < low[bullish]).all()
            assert (found["bearish_top"][bearish] > high[bearish]).all()
            assert known(found["kind"])[2:].all()
        case "order_blocks":
            bullish, bearish = known(found["bullish_top"]), known(found["bearish_top"])
            assert (found["bullish_top"] + found["bullish_bottom"] < 2 * close)[bullish].all()
            assert (found["bearish_top"] + found["bearish_bottom"] > 2 * close)[bearish].all()
            for strength in (found["bullish_strength"], found["bearish_strength"]):
                assert ((strength >= 0) & (strength <= 10))[known(strength)].all()
            assert known(found["kind"])[1:].all()
        case "liquidity_zones":
            above, below = known(found["above_price"]), known(found["below_price"])
            assert (found["above_price"] > close)[above].all()
            assert (found["below_price"] < close)[below].all()
            assert (np.append(found["above_touches"][above], found["below_touches"][below]) >= 2).all()
        case "stop_hunt":
            assert known(found["side"])[11:].all()
            assert np.array_equal(np.nan_to_num(found["side"]) != 0, known(found["level"]))
        case "imbalances":
            assert known(found["side"])[2:].all()
            assert (found["top"] > found["bottom"])[known(found["top"])].all()
        case _:
            raise AssertionError(name)


@pytest.mark.parametrize("name", sorted(FAMILY))
def test_on_every_recorded_market_values_lie_where_they_can(shared: Path, name: str) -> None:
    entry, files, things = FAMILY[name], 0, 0
    for file, market in recorded(shared):
        found = run(entry, market)
        for field, values in found.items():
            assert values.shape == market["close"].shape, file
            assert not np.isinf(values).any(), (file, field)
        assert set(np.unique(found[entry.outputs[0]][known(found[entry.outputs[0]])])) <= {-1, 0, 1} or name in {
            "swing_points",
            "liquidity_zones",
        }
        check_bounds(name, found, market)
        if entry.resume is not None:
            third = len(market["close"]) // 3
            first, state = resumed(entry, cut(market, slice(third)), None, {})
            rest, _ = resumed(entry, cut(market, slice(third, None)), state, {})
            assert equal(found, {field: np.concatenate([first[field], rest[field]]) for field in found}), file
        else:
            assert entry.window is not None
            trailing = run(entry, cut(market, slice(-entry.window(), None)))
            assert equal(cut(dict(found), slice(-1, None)), cut(dict(trailing), slice(-1, None))), file
        listed = LISTS[name](*(market[column] for column in entry.inputs))
        things += len(listed.sequence if name == "market_structure" else listed)
        files += 1
    assert files >= 31
    assert things > 0
