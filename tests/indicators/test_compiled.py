"""Compiled loops give what the plain function gives."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from promethean.domain.candles import FloatArray
from promethean.indicators.compiled import compiled

floats = st.floats(-1e9, 1e9)


def running_mean(values: FloatArray, weight: float) -> FloatArray:
    """A sum in order, with branches and NaN, as kernels are."""
    found = np.empty(len(values))
    mean = 0.0
    for i in range(len(values)):
        mean = values[i] if i == 0 or math.isnan(mean) else mean + weight * (values[i] - mean)
        found[i] = mean if mean > -1e8 else np.nan
    return found


def total(values: FloatArray) -> float:
    found = 0.0
    for i in range(len(values)):
        found += values[i]
    return found


def divide(one: float, other: float) -> float:
    return one / other


fast_mean, fast_total, fast_divide = compiled(running_mean), compiled(total), compiled(divide)


@given(arrays(np.float64, st.integers(0, 60), elements=st.one_of(floats, st.just(math.nan))), st.floats(0.01, 1))
def test_a_compiled_function_is_the_plain_one_to_the_last_bit(values: FloatArray, weight: float) -> None:
    assert fast_mean(values, weight).tobytes() == running_mean(values, weight).tobytes()


@given(arrays(np.float64, st.integers(0, 200), elements=floats))
def test_sums_keep_their_order(values: FloatArray) -> None:
    assert fast_total(values) == total(values)


def test_a_sum_whose_order_matters_is_not_reordered() -> None:
    values = np.array([1e16, 1.0, -1e16, 1.0] * 16)
    assert fast_total(values) == total(values) != math.fsum(values)


def test_division_by_zero_is_infinite_or_unknown_as_in_numpy() -> None:
    assert fast_divide(1.0, 0.0) == math.inf
    assert fast_divide(-1.0, 0.0) == -math.inf
    assert math.isnan(fast_divide(0.0, 0.0))


def test_a_compiled_function_keeps_its_name_and_its_words() -> None:
    assert getattr(fast_mean, "__name__", "") == "running_mean"
    assert "as kernels are" in (fast_mean.__doc__ or "")
