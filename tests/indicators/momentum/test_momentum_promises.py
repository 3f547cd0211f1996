"""The promises of every indicator of the momentum family: causal, decided by a window, and sane on real candles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.indicators.trend import promises
from tests.indicators.trend.promises import Case, Columns, Outputs, case, market, recorded, still

from promethean.indicators.catalogue import INDICATORS


def of_percent(_: Outputs, __: Columns) -> float:
    return 1e-12 * 100


def rsi(period: int) -> Case:
    def motionless(columns: Columns) -> NDArray[np.bool_]:
        changed = np.diff(columns["close"], prepend=columns["close"][:1]) != 0
        return ~promises.lately(changed, 10 * period + 1)

    return case("rsi", warm_up={"rsi": period}, slack={"rsi": of_percent}, unknown={"rsi": motionless}, period=period)


def stochastic(k: int, smooth: int, d: int) -> Case:
    def flat(columns: Columns, averaged: int) -> NDArray[np.bool_]:
        return promises.lately(promises.highest(columns["high"], k) == promises.lowest(columns["low"], k), averaged)

    return case(
        "stochastic",
        warm_up={"k": k + smooth - 2, "d": k + smooth + d - 3},
        unknown={"k": lambda columns: flat(columns, smooth), "d": lambda columns: flat(columns, smooth + d - 1)},
        k=k,
        smooth=smooth,
        d=d,
    )


def cci(period: int) -> Case:
    def flat(columns: Columns) -> NDArray[np.bool_]:
        typical = (columns["high"] + columns["low"] + columns["close"]) / 3
        highest = promises.highest(typical, period)
        return highest - promises.lowest(typical, period) <= 1e-11 * highest

    return case("cci", warm_up={"cci": period - 1}, unknown={"cci": flat}, period=period)


CASES = [
    rsi(14),
    rsi(2),
    stochastic(14, 3, 3),
    stochastic(1, 1, 1),
    stochastic(5, 1, 3),
    stochastic(2, 4, 1),
    cci(20),
    cci(2),
    cci(600),
    *(case("roc", warm_up={"roc": period}, period=period) for period in (12, 1, 600)),
]

seeds = st.integers(0, 2**32 - 1)


def test_every_indicator_of_the_family_is_here() -> None:
    of_family = {entry.name for entry in INDICATORS.entries().values() if entry.family == "momentum"}
    assert {each.name for each in CASES} == of_family
    for each in CASES:
        assert set(each.warm_up) == set(each.entry.outputs or [each.name])


@pytest.mark.parametrize("each", CASES, ids=str)
@settings(max_examples=25)
@given(seeds, st.integers(0, 700), st.integers(0, 700))
def test_no_value_sees_a_later_candle(each: Case, seed: int, length: int, cut: int) -> None:
    promises.assert_causal(each, market(seed, length), min(cut, length))


@pytest.mark.parametrize("each", CASES, ids=str)
@settings(max_examples=50)
@given(seeds, st.integers(1, 3000))
def test_the_declared_window_decides_the_last_values(each: Case, seed: int, more: int) -> None:
    promises.assert_window(each, market(seed, each.window + more))


@pytest.mark.parametrize("each", CASES, ids=str)
@given(seeds, st.integers(0, 600))
def test_values_are_unknown_in_the_warm_up_and_where_it_is_said(each: Case, seed: int, length: int) -> None:
    promises.assert_shape(each, market(seed, length))


@pytest.mark.parametrize("each", CASES, ids=str)
def test_a_still_or_short_market_needs_no_exception(each: Case) -> None:
    for length in (0, 1, 2, 3, 12, 13, 14, 15, 16, 17, 18, 20, 200, 500):
        promises.assert_shape(each, still(length))
        promises.assert_shape(each, market(length, length, restless=True))


def test_real_candles_give_sane_values(shared: Path) -> None:
    for file, columns in recorded(shared):
        for each in CASES:
            outputs = promises.assert_shape(each, columns, file)
            for name, values in outputs.items():
                least, most = BOUNDS[name]
                most = min(most, each.parameters["period"] / 0.03) if name == "cci" else most
                known = values[~np.isnan(values)]
                assert ((known >= least) & (known <= most * (1 + 1e-6))).all(), f"{each} {name} {file}"


BOUNDS = {
    "rsi": (0.0, 100.0),
    "k": (0.0, 100.0),
    "d": (0.0, 100.0),
    "cci": (-np.inf, np.inf),  # no value is further from the mean than half the period times the mean deviation
    "roc": (-1.0, np.inf),
}
