"""An open position as the conditions of an exit read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.indicators.compiled import inlined
from promethean.strategies.held import bars_held, gain_pct

MINUTE_NS = 60 * 10**9
COMPILED_GAIN, COMPILED_BARS = inlined(gain_pct), inlined(bars_held)
prices = st.integers(1, 10**9).map(lambda ticks: ticks / 10_000)


@pytest.mark.parametrize(
    ("entry", "price", "sign", "gain"),
    [(100, 103, 1, 3), (100, 97, -1, 3), (100, 103, -1, -3), (0.1, 0.103, 1, 3), (0.3, 0.309, 1, 3), (4.2, 4.2, 1, 0)],
)
def test_a_gain_is_a_percentage_of_the_entry_price_and_what_floats_leave_of_it_does_not_count(
    entry: float, price: float, sign: int, gain: float
) -> None:
    assert gain_pct(entry, price, sign) == gain


@given(prices, prices)
def test_a_short_gains_what_a_long_loses(entry: float, price: float) -> None:
    assert gain_pct(entry, price, 1) == pytest.approx(-gain_pct(entry, price, -1), rel=1e-12, abs=1.1e-9)


@given(prices, prices, st.sampled_from([1, -1]))
def test_the_compiled_gain_is_the_same_to_the_last_bit(entry: float, price: float, sign: int) -> None:
    assert COMPILED_GAIN(entry, price, sign) == gain_pct(entry, price, sign)


@given(st.integers(0, 10**6), st.integers(0, MINUTE_NS - 1), st.integers(0, 10**6))
def test_candles_are_counted_from_the_entrys_own_on_wherever_in_it_the_fill_came(
    candle: int, within: int, later: int
) -> None:
    opened = candle * MINUTE_NS + within
    assert bars_held(opened, (candle + later) * MINUTE_NS, MINUTE_NS) == 1 + later
    assert COMPILED_BARS(opened, (candle + later) * MINUTE_NS, MINUTE_NS) == 1 + later
