"""Conditions over whole histories: against a plain interpreter, and case by case where something is unknown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.strategies.conditions.builders import (
    ENTRY,
    EXIT,
    World,
    as_number,
    conditions,
    number_at,
    numbers,
    truth_at,
    worlds,
)

from promethean.domain.candles import FloatArray
from promethean.strategies.conditions.evaluate import Memo, evaluate, met
from promethean.strategies.conditions.parser import parse
from promethean.strategies.conditions.tree import Condition, Number, PositionValue, Tree

NAN, INF = math.nan, math.inf


def found(text: str, *, memo: Memo | None = None, length: int | None = None, **given: object) -> list[float]:
    """The condition at every candle; series are given as lists, parameters as numbers."""
    series = {name: np.array(values, float) for name, values in given.items() if isinstance(values, list)}
    parameters = {name: value for name, value in given.items() if isinstance(value, float)}
    return list(map(float, evaluate(parse(text, ENTRY), series.__getitem__, parameters, memo, length=length)))


def same(left: object, right: object) -> None:
    np.testing.assert_array_equal(left, right)  # NaN equals NaN here


# -- against the plain interpreter ------------------------------------------------------------------------------------


@given(conditions(), worlds())
def test_every_condition_has_its_plain_meaning_at_every_candle(tree: Condition, world: World) -> None:
    wanted = [as_number(truth_at(tree, i, world)) for i in range(world.candles)]
    same(evaluate(tree, world.series.__getitem__, world.parameters, length=world.candles), wanted)


@given(numbers(position=False), worlds())
def test_every_number_has_its_plain_meaning_at_every_candle(tree: Number, world: World) -> None:
    wanted = [number_at(tree, i, world) for i in range(world.candles)]
    same(evaluate(tree, world.series.__getitem__, world.parameters, length=world.candles), wanted)


@given(conditions(), worlds())
def test_a_condition_is_met_where_it_is_true_and_the_unknown_is_counted(tree: Condition, world: World) -> None:
    truths = [truth_at(tree, i, world) for i in range(world.candles)]
    where, unknown = met(tree, world.series.__getitem__, world.parameters, length=world.candles)
    assert where.dtype == np.bool_
    assert where.tolist() == [truth is True for truth in truths]
    assert unknown == truths.count(None)


@given(st.lists(conditions(), max_size=4), worlds(), st.lists(st.sampled_from([1.0, 30.0, NAN]), max_size=3))
def test_a_memo_changes_no_answer(trees: list[Condition], world: World, lows: list[float]) -> None:
    memo: Memo = {}
    for low in [*lows, *lows]:
        parameters = {**world.parameters, "low": low}
        for tree in trees:
            series = world.series.__getitem__
            shared = evaluate(tree, series, parameters, memo, length=world.candles)
            same(shared, evaluate(tree, series, parameters, length=world.candles))


# -- unknown ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("relation", ["<", "<=", ">", ">=", "==", "!="])
def test_a_comparison_with_the_unknown_is_unknown(relation: str) -> None:
    values: list[object] = [NAN, 1.0, NAN]
    same(found(f"RSI {relation} PRICE", RSI=values, PRICE=[1.0, NAN, NAN]), [NAN] * 3)
    same(found(f"RSI {relation} 1 / 0", RSI=[1.0, 2.0]), [NAN] * 2)
    same(found(f"low {relation} RSI", RSI=[1.0, 2.0], low=NAN), [NAN] * 2)
    same(found(f"low {relation} 1", low=NAN, length=2), [NAN] * 2)


def test_a_division_by_zero_is_unknown_and_infinity_is_a_number() -> None:
    same(found("1 / RSI > 0", RSI=[0.0, -0.0, 2.0, INF]), [NAN, NAN, 1, 0])
    same(found("RSI / PRICE > 0", RSI=[0.0, 1.0, 1.0], PRICE=[0.0, 0.0, 4.0]), [NAN, NAN, 1])
    same(found("RSI / 0 > 0", RSI=[0.0, 1.0, NAN]), [NAN] * 3)
    same(found("RSI * 1e308 > 1e308", RSI=[1.0, 1e10]), [0, 1])
    same(found("RSI - RSI == 0", RSI=[1.0, INF]), [1, NAN])
    same(found("min(RSI, 1) > 0", RSI=[NAN, 2.0]), [NAN, 1])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # each pair of false, unknown, true with each
        ("RSI > 0 AND PRICE > 0", [0, 0, 0, 0, NAN, NAN, 0, NAN, 1]),
        ("RSI > 0 OR PRICE > 0", [0, NAN, 1, NAN, NAN, 1, 1, 1, 1]),
        ("NOT RSI > 0", [1, 1, 1, NAN, NAN, NAN, 0, 0, 0]),
        # the same with one that is the same at every candle
        ("RSI > 0 AND low > 0", [0, 0, 0, NAN, NAN, NAN, NAN, NAN, NAN]),
        ("low > 0 OR RSI > 0", [NAN, NAN, NAN, NAN, NAN, NAN, 1, 1, 1]),
        ("high > 0 AND RSI > 0", [0, 0, 0, NAN, NAN, NAN, 1, 1, 1]),
        ("RSI > 0 OR high > 0", [1] * 9),
        ("RSI > 0 AND NOT high > 0", [0] * 9),
        ("NOT high > 0 OR RSI > 0", [0, 0, 0, NAN, NAN, NAN, 1, 1, 1]),
        ("high > 0 AND low > 0 OR RSI > 0 AND high > 0", [NAN, NAN, NAN, NAN, NAN, NAN, 1, 1, 1]),
    ],
)
def test_conditions_join_by_kleenes_tables(text: str, wanted: list[float]) -> None:
    three = [-1.0, NAN, 1.0]
    same(found(text, RSI=np.repeat(three, 3).tolist(), PRICE=three * 3, low=NAN, high=1.0), wanted)


# -- candles back and crosses -----------------------------------------------------------------------------------------


def test_the_first_candles_have_nothing_to_look_back_at() -> None:
    same(found("RSI > RSI[1]", RSI=[1.0, 2.0, 2.0, 3.0]), [NAN, 1, 0, 1])
    same(found("RSI[1] >= 2", RSI=[1.0, 2.0, 2.0]), [NAN, 0, 1])
    same(found("RSI[2] < PRICE[1]", RSI=[1.0, 2.0, 3.0, 4.0], PRICE=[9.0, 9.0, 1.0, 9.0]), [NAN, NAN, 1, 1 - 1])
    same(found("(RSI[1] - PRICE)[1] == 0", RSI=[1.0, 2.0, 3.0, 4.0], PRICE=[7.0, 1.0, 5.0, 5.0]), [NAN, NAN, 1, 0])
    same(found("RSI[3] < 1 OR RSI[4] < 1", RSI=[0.0, 0.0, 0.0]), [NAN] * 3)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # RSI: 29 30 31 30 29 30 30 31 nan 29 31
        ("crosses_above(RSI, 30)", [NAN, 0, 1, 0, 0, 0, 0, 1, NAN, NAN, 1]),
        ("crosses_below(RSI, 30)", [NAN, 0, 0, 0, 1, 0, 0, 0, NAN, NAN, 0]),
        ("crosses_above(30, RSI)", [NAN, 0, 0, 0, 1, 0, 0, 0, NAN, NAN, 0]),
        ("crosses_below(low, RSI)", [NAN, 0, 1, 0, 0, 0, 0, 1, NAN, NAN, 1]),
        ("crosses_above(RSI, PRICE)", [NAN, 0, 1, 0, 0, 0, 0, 1, NAN, NAN, 1]),
        ("crosses_below(RSI, PRICE)", [NAN, 0, 0, 0, 1, 0, 0, 0, NAN, NAN, 0]),
        ("crosses_above(RSI[1], 30)", [NAN, NAN, 0, 1, 0, 0, 0, 0, 1, NAN, NAN]),
        ("crosses_above(RSI, RSI[1])", [NAN, NAN, 0, 0, 0, 1, 0, 1, NAN, NAN, NAN]),
        ("crosses_above(RSI, 1 / 0)", [NAN] * 11),
    ],
)
def test_a_cross_comes_from_the_line_or_from_beyond_it(text: str, wanted: list[float]) -> None:
    rsi = [29.0, 30.0, 31.0, 30.0, 29.0, 30.0, 30.0, 31.0, NAN, 29.0, 31.0]
    same(found(text, RSI=rsi, PRICE=[30.0] * 11, low=30.0), wanted)


def test_a_line_that_moves_is_crossed_as_well() -> None:
    same(found("crosses_above(RSI, PRICE)", RSI=[5.0, 5.0, 5.0], PRICE=[6.0, 4.0, 3.0]), [NAN, 1, 0])


# -- arrays -----------------------------------------------------------------------------------------------------------


def test_a_history_may_be_empty_or_shorter_than_the_look_back() -> None:
    for text in ("RSI < 1", "RSI < PRICE[2]", "crosses_above(RSI, 1)", "crosses_above(RSI[3], PRICE)", "NOT RSI+1<2"):
        assert found(text, RSI=[], PRICE=[]) == []
        same(found(text, RSI=[NAN], PRICE=[NAN]), [NAN])


def test_any_array_of_numbers_is_read_and_none_is_changed() -> None:
    columns = np.arange(8.0).reshape(4, 2)
    fixed = np.arange(4.0)
    fixed.flags.writeable = False
    arrays: list[Any] = [columns[:, 1], fixed, np.arange(4), np.arange(4.0)]
    for values in arrays:
        before, writeable = values.copy(), values.flags.writeable
        same(evaluate(parse("RSI > 1 AND -RSI < 0", ENTRY), {"RSI": values}.__getitem__, {}), values > 1)
        same(values, before)
        assert values.flags.writeable is writeable


@pytest.mark.parametrize("text", ["RSI < 1", "RSI < 1 AND PRICE < 1"])
def test_what_is_given_back_cannot_be_written_to(text: str) -> None:
    memo: Memo = {}
    series = {"RSI": np.zeros(3), "PRICE": np.zeros(3)}.__getitem__
    for _ in range(2):
        truth = evaluate(parse(text, ENTRY), series, {}, memo)
        with pytest.raises(ValueError, match="read-only"):
            truth[0] = 5.0


def test_a_condition_without_series_needs_a_length() -> None:
    assert found("low < high", low=1.0, high=2.0, length=3) == [1, 1, 1]
    assert found("NOT low < high OR low == 5", low=1.0, high=2.0, length=2) == [0, 0]
    with pytest.raises(ValueError, match="give a length"):
        found("low < high", low=1.0, high=2.0)


def test_series_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="series PRICE has 3 candles, not 2 as the others"):
        found("RSI < PRICE", RSI=[1.0, 2.0], PRICE=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="series RSI has 2 candles, not 3"):
        found("RSI < 1", RSI=[1.0, 2.0], length=3)


@pytest.mark.parametrize("tree", [parse("PNL_PCT > 1 AND RSI < 2", EXIT), PositionValue("PNL_PCT")])
def test_a_history_knows_no_position(tree: Tree) -> None:
    with pytest.raises(ValueError, match=r"PNL_PCT changes as trades are made.*use the condition's program"):
        evaluate(tree, lambda name: np.zeros(3), {})


# -- the memo ---------------------------------------------------------------------------------------------------------


def counting(series: Mapping[str, FloatArray]) -> tuple[Callable[[str], FloatArray], list[str]]:
    asked: list[str] = []

    def by_name(name: str) -> FloatArray:
        asked.append(name)
        return series[name]

    return by_name, asked


def test_what_was_computed_once_is_not_computed_again() -> None:
    series, asked = counting({"RSI": np.array([20.0, 40.0]), "PRICE": np.array([1.0, 5.0])})
    memo: Memo = {}
    first = parse("RSI < low AND PRICE > RSI / 10", ENTRY)
    assert evaluate(first, series, {"low": 30.0}, memo).tolist() == [0, 0]
    assert asked == ["RSI", "PRICE", "RSI"]
    # The same comparison in another condition, written otherwise, with another parameter beside it.
    second = parse("(RSI<low) OR PRICE < high", ENTRY)
    assert evaluate(second, series, {"low": 30.0, "high": 9.0}, memo).tolist() == [1, 1]
    assert asked == ["RSI", "PRICE", "RSI", "PRICE"]
    assert met(second, series, {"low": 30.0, "high": 9.0}, memo).met.tolist() == [True, True]
    assert len(asked) == 4


def test_another_value_of_a_parameter_is_another_result() -> None:
    memo: Memo = {}
    assert found("RSI < low", RSI=[20.0, 40.0], low=30.0, memo=memo) == [1, 0]
    assert found("RSI < low", RSI=[20.0, 40.0], low=10.0, memo=memo) == [0, 0]
    assert found("RSI < low", RSI=[20.0, 40.0], low=30.0, memo=memo) == [1, 0]
    assert len(memo) == 2


def test_arithmetic_is_kept_only_where_every_parameter_set_shares_it() -> None:
    memo: Memo = {}
    for low in (1.0, 2.0, 3.0):
        found("RSI * low > PRICE * 2", RSI=[1.0], PRICE=[1.0], low=low, memo=memo)
    assert sorted(text for text, _ in memo) == ["PRICE * 2", *["RSI * low > PRICE * 2"] * 3]


@example([1.0, 2.0])
@given(st.lists(st.floats(), min_size=2, max_size=2))
def test_parameters_are_told_apart_by_name(values: list[float]) -> None:
    memo: Memo = {}
    low, high = values
    for text in ("RSI < low", "RSI < high"):
        alone = found(text, RSI=[1.5, 3.0], low=low, high=high)
        same(found(text, RSI=[1.5, 3.0], low=low, high=high, memo=memo), alone)
