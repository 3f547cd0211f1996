"""The data-quality checks: each class on a row made bad by hand, and no alarm on clean prices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.storage.quality import (
    UNKNOWN_TIME,
    Checked,
    Defect,
    check_candles,
    check_quotes,
    misaligned,
    same_content,
)

MINUTE_NS = 60 * 10**9
START_NS = 1_747_699_200 * 10**9
NOW_NS = START_NS + 10_000 * MINUTE_NS
Columns = dict[str, np.ndarray]


def clean(rows: int = 50, seed: int = 0) -> Columns:
    """Candles as they should be: each opens where the one before closed."""
    steps = np.random.default_rng(seed).normal(0, 0.001, rows)
    close = 100 * np.exp(np.cumsum(steps))
    opens = np.concatenate(([100.0], close))[:rows]
    return {
        "open_time_ns": START_NS + MINUTE_NS * np.arange(rows),
        "open": opens,
        "high": np.maximum(opens, close) * 1.0005,
        "low": np.minimum(opens, close) * 0.9995,
        "close": close,
        "volume": np.full(rows, 2.5),
    }


def check(columns: Columns, last_close: float | None = None) -> Checked:
    return check_candles(columns, MINUTE_NS, NOW_NS, last_close)


def found(columns: Columns) -> dict[int, Defect]:
    reasons = check(columns).reasons
    return {row: Defect(reasons[row]) for row in np.flatnonzero(reasons).tolist()}


def arranged(columns: Columns, order: list[int]) -> Columns:
    return {name: values[order] for name, values in columns.items()}


def test_clean_candles_pass_and_nothing_is_counted() -> None:
    checked = check(clean())
    assert checked.good.all()
    assert (checked.gaps, checked.missing, checked.repeated, checked.counts()) == (0, 0, 0, {})


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e31, 1e308])
def test_a_value_that_is_no_number_is_class_1(name: str, value: float) -> None:
    columns = clean()
    columns[name][7] = value
    assert found(columns) == {7: Defect.NOT_A_NUMBER}


def test_an_unreadable_time_is_class_1() -> None:
    columns = clean()
    columns["open_time_ns"][7] = UNKNOWN_TIME
    assert found(columns) == {7: Defect.NOT_A_NUMBER}


@pytest.mark.parametrize(("name", "value"), [("open", 0.0), ("low", -1.0), ("close", 0.0), ("volume", -0.1)])
def test_a_price_of_zero_or_a_negative_quantity_is_class_2(name: str, value: float) -> None:
    columns = clean()
    columns[name][7] = value
    assert found(columns) == {7: Defect.NOT_POSITIVE}


def test_a_volume_of_zero_is_no_defect() -> None:
    columns = clean()
    columns["volume"][7] = 0.0
    assert found(columns) == {}


@pytest.mark.parametrize(("name", "factor"), [("high", 0.99), ("low", 1.01), ("open", 1.05), ("close", 0.95)])
def test_open_or_close_outside_low_and_high_is_class_3(name: str, factor: float) -> None:
    columns = clean()
    columns[name][7] *= factor
    assert found(columns) == {7: Defect.INCONSISTENT}


@pytest.mark.parametrize("row", [1, 7, 48, 49])
@pytest.mark.parametrize("factor", [0.1, 0.7, 1.3, 10.0])
def test_a_candle_that_jumps_away_and_is_not_followed_is_an_outlier(row: int, factor: float) -> None:
    columns = clean()
    for name in ("open", "high", "low", "close"):
        columns[name][row] *= factor
    assert found(columns) == {row: Defect.OUTLIER}


@pytest.mark.parametrize(("name", "factor"), [("high", 3.0), ("low", 0.3)])
def test_a_wick_far_outside_its_own_body_is_an_outlier(name: str, factor: float) -> None:
    columns = clean()
    columns[name][7] *= factor
    assert found(columns) == {7: Defect.OUTLIER}


def test_a_crash_on_which_trading_goes_on_is_no_outlier() -> None:
    columns = clean()
    for name in ("open", "high", "low", "close"):
        columns[name][20:] *= 0.6
    columns["open"][20], columns["high"][20] = columns["close"][19], columns["close"][19]
    columns["open"][20] = columns["close"][20] * 1.1
    columns["high"][20] = columns["open"][20]
    assert found(columns) == {}


def test_the_known_last_price_judges_the_first_row() -> None:
    columns = clean(1)
    assert check(columns, last_close=100.0).good.all()
    assert Defect(check(columns, last_close=500.0).reasons[0]) is Defect.OUTLIER


def test_holes_are_counted_and_are_no_rows() -> None:
    checked = check(arranged(clean(), [0, 1, 2, 5, 6, 20]))
    assert checked.good.all()
    assert (checked.gaps, checked.missing) == (2, 15)


def test_the_same_row_again_is_skipped_and_counted() -> None:
    checked = check(arranged(clean(10), [0, 1, 1, 2, 3, 0, 4]))
    assert checked.good.tolist() == [True, True, False, True, True, False, True]
    assert checked.repeated == 2
    assert len(checked.quarantined) == 0


def test_the_same_time_with_another_content_is_class_6_and_the_first_stays() -> None:
    columns = arranged(clean(10), [0, 1, 1, 2])
    columns["close"][2] *= 1.0001
    assert found(columns) == {2: Defect.DUPLICATE}


def test_a_row_that_goes_back_in_time_is_class_7() -> None:
    assert found(arranged(clean(10), [0, 2, 1, 3, 4])) == {2: Defect.OUT_OF_ORDER}


def test_one_row_far_too_early_in_the_file_does_not_condemn_those_after_it() -> None:
    assert found(arranged(clean(10), [0, 8, 1, 2, 3, 4, 5])) == {1: Defect.OUT_OF_ORDER}


def test_a_candle_that_has_not_closed_is_class_8() -> None:
    columns = clean(5)
    columns["open_time_ns"] += NOW_NS - START_NS - 4 * MINUTE_NS
    assert found(columns) == {4: Defect.FUTURE}


def test_an_open_time_off_the_grid_is_class_12() -> None:
    columns = clean(10)
    columns["open_time_ns"][4] += 1_000_000
    assert found(columns) == {4: Defect.WRONG_INSTRUMENT}


def test_weekly_candles_open_on_monday() -> None:
    monday_ns, week_ns = 1_747_612_800 * 10**9, 604_800 * 10**9  # 2025-05-19
    assert misaligned(np.array([monday_ns, monday_ns + 3 * 86_400 * 10**9]), week_ns).tolist() == [False, True]


def test_defects_are_counted_by_their_name_most_frequent_first() -> None:
    columns = clean()
    columns["close"][3] = np.nan
    columns["volume"][[5, 6]] = -1
    assert list(check(columns).counts().items()) == [("not positive", 2), ("not a number", 1)]


def test_an_empty_file_of_rows_is_checked_too() -> None:
    assert len(check(clean(0)).good) == 0


@given(st.lists(st.integers(0, 40), max_size=60))
def test_good_rows_rise_strictly_in_any_order_of_rows(order: list[int]) -> None:
    checked = check(arranged(clean(41), order))
    kept = np.array(order, int)[checked.good]
    assert (np.diff(kept) > 0).all()
    assert checked.repeated + len(checked.quarantined) + len(kept) == len(order)


def test_rewritten_candles_differ_in_any_digit() -> None:
    columns = clean(3)
    changed = {name: values.copy() for name, values in columns.items()}
    changed["volume"][1] = np.nextafter(2.5, 3)
    assert same_content(columns, changed).tolist() == [True, False, True]


def test_quotes_are_checked_for_numbers_sides_and_time() -> None:
    bid = np.array([99.0, np.nan, 100.0, 101.0, 0.0, 99.0, 99.0])
    ask = np.array([100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0])
    last = np.array([99.5, 99.5, 99.5, 99.5, 99.5, -1.0, 99.5])
    at_ns = np.array([NOW_NS] * 6 + [NOW_NS + 3 * 10**9])
    reasons = check_quotes(bid, ask, last, at_ns, NOW_NS)
    assert reasons.tolist() == [
        0,
        Defect.NOT_A_NUMBER,
        Defect.CROSSED,
        Defect.CROSSED,
        Defect.CROSSED,
        Defect.NOT_POSITIVE,
        Defect.FUTURE,
    ]
