"""The promises that every indicator of the volume family makes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.indicators.volume.markets import MINUTE_NS, Columns, candle_files, candles, market, part

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import INDICATORS, Indicator
from promethean.indicators.volume import delta_volume, obv, volume_profile, vwap

for module in (delta_volume, obv, volume_profile, vwap):
    assert module.__name__.rpartition(".")[2] in INDICATORS

CASES: list[tuple[str, dict[str, Any]]] = [
    ("vwap", {}),
    ("vwap", {"window": "rolling"}),
    ("vwap", {"window": "rolling", "minutes": 1}),
    ("vwap", {"window": "rolling", "minutes": 7, "deviations": 1.5}),
    ("vwap", {"window": "anchored", "anchor_ns": (20_000 * 1440 + 700) * MINUTE_NS}),
    ("vwap", {"window": "anchored"}),
    ("obv", {}),
    ("obv", {"slope": 2}),
    ("delta_volume", {}),
    ("volume_profile", {"limit": 20}),
    ("volume_profile", {"limit": 1, "bins": 3}),
    ("volume_profile", {"limit": 7, "bins": 1, "value_area": 1.0}),
    ("volume_profile", {}),
]
NAMES = [" ".join([name, *(f"{key}={value}" for key, value in how.items())]) for name, how in CASES]
every_case = pytest.mark.parametrize(("name", "how"), CASES, ids=NAMES)
seeds = st.integers(0, 2**32 - 1)


def run(name: str, columns: Columns, how: dict[str, Any]) -> tuple[FloatArray, ...]:
    entry = INDICATORS.get(name)
    return tuple(entry.function(*inputs(entry, columns), **how))


def inputs(entry: Indicator, columns: Columns) -> list[Any]:
    return [columns[name] for name in entry.inputs]


def same(left: tuple[FloatArray, ...], right: tuple[FloatArray, ...]) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(left, right, strict=True))


@every_case
@given(seed=seeds, length=st.integers(0, 300), cut=st.integers(0, 300))
def test_no_value_sees_a_later_candle(name: str, how: dict[str, Any], seed: int, length: int, cut: int) -> None:
    columns = market(seed, length)
    whole = run(name, columns, how)
    assert same(run(name, part(columns, slice(cut)), how), tuple(values[:cut] for values in whole))


@every_case
@given(seed=seeds, cuts=st.lists(st.integers(0, 200), max_size=4))
def test_history_in_pieces_gives_the_bits_of_the_whole(
    name: str, how: dict[str, Any], seed: int, cuts: list[int]
) -> None:
    entry = INDICATORS.get(name)
    if entry.resume is None:
        return
    columns = market(seed, 200)
    edges = [0, *sorted(cuts), 200]
    state, pieces, lengths = None, [], set()
    for begin, end in pairwise(edges):
        given_values, state = entry.resume(*inputs(entry, part(columns, slice(begin, end))), state, **how)
        assert state.dtype == np.float64
        lengths.add(state.shape)
        pieces.append(given_values)
        state = np.frombuffer(state.tobytes())  # nothing else is remembered, and the state itself is not written to
    assert len(lengths) == 1
    assert same(tuple(np.concatenate(parts) for parts in zip(*pieces, strict=True)), run(name, columns, how))


@every_case
@given(seed=seeds)
@settings(max_examples=30)
def test_the_declared_window_decides_the_last_value(name: str, how: dict[str, Any], seed: int) -> None:
    entry = INDICATORS.get(name)
    if entry.window is None:
        return
    window = entry.window(**{key: value for key, value in how.items() if key == "limit"})
    columns = market(seed, window + 50)
    whole, trailing = run(name, columns, how), run(name, part(columns, slice(-window, None)), how)
    assert same(tuple(values[-1:] for values in whole), tuple(values[-1:] for values in trailing))


@every_case
@pytest.mark.parametrize("length", [0, 1, 2, 19, 20, 21])
def test_short_input_gives_as_many_values(name: str, how: dict[str, Any], length: int) -> None:
    values = run(name, market(5, length), how)
    assert [column.shape for column in values] == [(length,)] * len(INDICATORS.get(name).outputs)
    assert all(column.dtype == np.float64 for column in values)


@every_case
@given(seed=seeds)
def test_values_are_finite_or_not_known(name: str, how: dict[str, Any], seed: int) -> None:
    assert not any(np.isinf(values).any() for values in run(name, market(seed, 250), how))


@every_case
@pytest.mark.parametrize("volume", [0.0, 3.0])
def test_a_market_that_stands_still_works(name: str, how: dict[str, Any], volume: float) -> None:
    columns = market(1, 250)
    for price in ("open", "high", "low", "close"):
        columns[price] = np.full(250, 0.1)
    columns["volume"] = np.full(250, volume)
    columns["taker_buy_volume"] = np.full(250, volume)
    main = run(name, columns, how)[0]
    assert not np.isinf(main).any()
    if name in ("vwap", "volume_profile"):
        assert np.isnan(main).all() if volume == 0 else main[-1] == pytest.approx(0.1, rel=1e-15)


@pytest.mark.parametrize(("name", "how"), CASES, ids=NAMES)
def test_every_recorded_candle_file_gives_values_within_bounds(name: str, how: dict[str, Any], shared: Path) -> None:
    for path in candle_files(shared):
        columns = candles(path)
        named = dict(zip(INDICATORS.get(name).outputs, run(name, columns, how), strict=True))
        rows = len(columns["close"])
        for field, values in named.items():
            assert values.shape == (rows,), (path.name, field)
            assert not np.isinf(values).any(), (path.name, field)
        if np.isnan(columns["volume"]).all():  # marks are not traded
            assert all(np.isnan(values).all() for values in named.values()), path.name
            continue
        check_bounds(name, how, columns, named, path.name)


def check_bounds(name: str, how: dict[str, Any], columns: Columns, named: dict[str, FloatArray], where: str) -> None:
    lowest, highest = columns["low"].min() * (1 - 1e-12), columns["high"].max() * (1 + 1e-12)
    if name == "vwap":
        known = ~np.isnan(named["vwap"])
        assert ((named["vwap"][known] >= lowest) & (named["vwap"][known] <= highest)).all(), where
        assert (named["upper"][known] >= named["vwap"][known]).all(), where
        assert (named["lower"][known] <= named["vwap"][known]).all(), where
        minute = columns["open_time_ns"] // MINUTE_NS
        if how.get("window") != "anchored":
            begin = minute - how.get("minutes", 60) + 1 if "window" in how else minute // 1440 * 1440
            traded = np.concatenate([[0], np.cumsum(columns["volume"] > 0)])
            inside = traded[1:] - traded[np.searchsorted(minute, begin)]
            assert np.array_equal(known, (begin >= minute[0]) & (inside > 0)), where
    elif name == "obv":
        assert not np.isnan(named["obv"]).any(), where
        assert np.isnan(named["slope"]).sum() == how.get("slope", 10) - 1, where
        assert np.abs(named["obv"]).max() <= columns["volume"].sum() * (1 + 1e-9), where
    elif name == "delta_volume":
        traded = columns["volume"] > 0
        share = named["buy_share"]
        assert np.array_equal(np.isnan(share), ~traded), where
        assert ((share[traded] >= 0) & (share[traded] <= 1)).all(), where
        assert (np.abs(named["delta"]) <= columns["volume"] * (1 + 1e-12)).all(), where
    else:
        limit = how.get("limit", 200)
        poc, top, bottom = named["poc"], named["value_area_high"], named["value_area_low"]
        assert np.isnan(poc[: limit - 1]).all(), where
        known = ~np.isnan(poc)
        volumes = np.convolve(columns["volume"], np.ones(limit))[: len(poc)]
        assert np.array_equal(known[limit - 1 :], volumes[limit - 1 :] > 0), where
        assert ((bottom[known] <= poc[known]) & (poc[known] <= top[known])).all(), where
        assert (bottom[known] >= lowest).all(), where
        assert (top[known] <= highest).all(), where
