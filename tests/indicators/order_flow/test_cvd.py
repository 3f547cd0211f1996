"""Cumulative volume delta against hand-computed values and least squares of numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.indicators.order_flow.tapes import BOUGHT, MINUTE, NOW, SOLD, S, some_trades, tape

from promethean.domain.candles import FloatArray
from promethean.indicators.order_flow.bands import Reading
from promethean.indicators.order_flow.cvd import cvd, divergence, line


def test_the_sum_runs_from_the_first_trade_and_the_change_within_the_window() -> None:
    trades = tape(
        (-500, 10.0, 5.0, BOUGHT),
        (-170, 11.0, 2.0, SOLD),
        (-60, 12.0, 4.0, BOUGHT),
        (-1, 9.0, 1.0, SOLD),
        (1, 8.0, 9.0, SOLD),
    )
    values = cvd(*trades, NOW, minutes=3)
    assert values.series.tolist() == [3.0, 7.0, 6.0]  # a trade on an edge belongs to the bucket that ends there
    assert values.prices.tolist() == [11.0, 12.0, 9.0]
    assert (values.cvd, values.change) == (6.0, 1.0)


def test_buckets_are_counted_back_from_now() -> None:
    trades = tape((-25, 10.0, 1.0, BOUGHT), (-15, 10.0, 2.0, BOUGHT), (-5, 10.0, 4.0, BOUGHT))
    values = cvd(*trades, NOW + 7, minutes=1, bucket_s=10)
    assert values.series.tolist() == [0.0, 0.0, 0.0, 1.0, 3.0, 7.0]
    assert np.array_equal(values.prices, [np.nan] * 3 + [10.0] * 3, equal_nan=True)


@pytest.mark.parametrize(
    ("buy", "sell", "reading"),
    [
        (10.99, 9.01, Reading.NEUTRAL),
        (11.0, 9.0, Reading.BULLISH),
        (0.55, 0.45, Reading.BULLISH),
        (11.01, 8.99, Reading.BULLISH),
        (9.01, 10.99, Reading.NEUTRAL),
        (9.0, 11.0, Reading.BEARISH),
    ],
)
def test_a_change_below_a_tenth_of_the_volume_is_neutral(buy: float, sell: float, reading: Reading) -> None:
    assert cvd(*tape((-5, 10.0, buy, BOUGHT), (-4, 10.0, sell, SOLD)), NOW).reading is reading


def test_without_trades_in_the_window_there_is_no_reading() -> None:
    values = cvd(*tape((-7200, 10.0, 3.0, BOUGHT)), NOW)
    assert (values.cvd, values.change, values.reading, values.divergence) == (3.0, 0.0, None, None)
    assert cvd(*tape(), NOW).reading is None


# 7x + 5 (2, -1, -2, -1, 2) + 4 (1, -4, 6, -4, 1), x from -2 to 2: the slope is 7, the squared residuals are
# 25 x 14 + 16 x 70 = 1470, and the standard error is the root of 1470 / 3 / 10, which is 7.
AT_ONE_ERROR = [0.0, -28.0, 14.0, -14.0, 28.0]


def test_a_slope_has_its_standard_error() -> None:
    assert line(np.array(AT_ONE_ERROR)) == (7.0, 7.0)
    assert line(np.array(AT_ONE_ERROR)).direction == 0
    assert line(np.array([1.0, 2.0, 3.0])) == (1.0, 0.0)
    assert line(np.array([1.0, 2.0, 3.0])).direction == 1
    assert line(np.full(9, 0.1)) == (0.0, 0.0)
    assert line(np.full(9, 0.1)).direction == 0
    assert all(math.isnan(value) for value in line(np.array([1.0, 2.0])))
    assert line(np.array([1.0, 2.0])).direction == 0


@pytest.mark.parametrize(
    ("last", "price", "expected"),
    [
        (27.0, -1.0, None),
        (28.0, -1.0, None),
        (29.0, -1.0, Reading.BULLISH),
        (29.0, 1.0, None),  # both rise
        (29.0, 0.0, None),  # the price does nothing
    ],
)
def test_a_divergence_needs_slopes_of_different_sign_above_one_standard_error(
    last: float, price: float, expected: Reading | None
) -> None:
    series = np.array([*AT_ONE_ERROR[:4], last])
    prices: FloatArray = 100 + price * np.arange(5, dtype=np.float64)
    assert divergence(prices, series) is expected
    assert divergence(-prices, -series) is (Reading.BEARISH if expected else None)
    assert divergence(series, prices) is (Reading.BEARISH if expected else None)


def test_a_divergence_is_seen_on_the_tape() -> None:
    steps = [1.0, 1.0, 1.0, 1.0, 1.0]
    falling = [(-270.0 + 60 * row, 100.0 - row, step, BOUGHT) for row, step in enumerate(steps)]
    assert cvd(*tape(*falling), NOW, minutes=5).divergence is Reading.BULLISH
    rising = [(at, 200 - price, size, SOLD) for at, price, size, _ in falling]
    assert cvd(*tape(*rising), NOW, minutes=5).divergence is Reading.BEARISH
    # The first bucket has no price yet: four points remain, then two.
    assert cvd(*tape(*falling[1:]), NOW, minutes=5).divergence is Reading.BULLISH
    assert cvd(*tape(*falling[3:]), NOW, minutes=5).divergence is None


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=40))
def test_the_line_is_that_of_least_squares(values: list[float]) -> None:
    y = np.array(values)
    design = np.stack([np.arange(len(y)), np.ones(len(y))], axis=1)
    solution = np.linalg.lstsq(design, y, rcond=None)[0]
    residuals = y - design @ solution
    covariance = np.linalg.inv(design.T @ design) * (residuals @ residuals) / (len(y) - 2)
    found = line(y)
    assert found.slope == pytest.approx(solution[0], rel=1e-9, abs=1e-10)
    assert found.standard_error == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-9, abs=1e-10)


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.sampled_from([20, 60, 300]))
def test_the_series_is_the_signed_volume_up_to_each_edge(seed: int, count: int, bucket_s: int) -> None:
    trades = some_trades(seed, count, 900)
    values = cvd(*trades, NOW, minutes=10, bucket_s=bucket_s)
    edges = range(NOW - 10 * MINUTE + bucket_s * S, NOW + 1, bucket_s * S)
    signed = trades.quantity * trades.aggressor
    expected = [signed[trades.at_ns <= edge].sum() for edge in edges]
    assert values.series.tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("bucket_s", [0, -5, 7, 700])
def test_buckets_that_do_not_fill_the_window_are_refused(bucket_s: int) -> None:
    with pytest.raises(ValueError, match=f"buckets of {bucket_s} s do not fill 10 minutes"):
        cvd(*tape(), NOW, minutes=10, bucket_s=bucket_s)
