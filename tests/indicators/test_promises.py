"""What every indicator of momentum, trend and volatility promises: causal, decided by a window, never an exception."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.indicators.momentum.test_momentum_promises import CASES as MOMENTUM
from tests.indicators.trend import promises
from tests.indicators.trend.promises import Case, market, still
from tests.indicators.trend.test_trend_promises import CASES as TREND
from tests.indicators.trend.test_trend_promises import CONTINUED
from tests.indicators.volatility.test_volatility_promises import CASES as VOLATILITY

from promethean.indicators.catalogue import INDICATORS

FAMILIES = {"momentum": MOMENTUM, "trend": [*TREND, *CONTINUED], "volatility": VOLATILITY}
CASES = [each for cases in FAMILIES.values() for each in cases]
BOUNDED = [each for each in CASES if each not in CONTINUED]

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_indicator_of_the_family_is_here(family: str) -> None:
    of_family = {entry.name for entry in INDICATORS.entries().values() if entry.family == family}
    assert {each.name for each in FAMILIES[family]} == of_family
    for each in FAMILIES[family]:
        assert set(each.warm_up) == set(each.entry.outputs or [each.name])


@pytest.mark.parametrize("each", CASES, ids=str)
@settings(max_examples=25)
@given(seeds, st.integers(0, 700), st.integers(0, 700))
def test_no_value_sees_a_later_candle(each: Case, seed: int, length: int, cut: int) -> None:
    promises.assert_causal(each, market(seed, length), min(cut, length))


@pytest.mark.parametrize("each", BOUNDED, ids=str)
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
    for length in (0, 1, 2, 3, 5, *range(10, 19), 20, 27, 28, 138, 139, 200, 500):
        promises.assert_shape(each, still(length))
        promises.assert_shape(each, market(length, length, restless=True))
