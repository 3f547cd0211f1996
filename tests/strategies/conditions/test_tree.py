"""The tree of a condition: its canonical text, what it reads, how conditions combine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.strategies.conditions.builders import EXIT, World, as_number, conditions, truth_at, worlds

from promethean.strategies.conditions.parser import LENGTH_MAX, parse
from promethean.strategies.conditions.tree import (
    Back,
    Comparison,
    Condition,
    Constant,
    Every,
    Not,
    Series,
    Some,
    all_of,
    any_of,
    format,
    is_condition,
    parts_of,
    reads,
)

A, B, C = (parse(text, EXIT) for text in ("RSI < 1", "RSI < 2", "RSI < 3"))


# -- text -------------------------------------------------------------------------------------------------------------


@given(conditions(position=True))
def test_the_canonical_text_of_a_tree_is_read_back_as_that_tree(tree: Condition) -> None:
    text = format(tree)
    assume(len(text) <= LENGTH_MAX)
    assert parse(text, EXIT) == tree


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("RSI<30", "RSI < 30"),
        ("  RSI\n<\t30.0 ", "RSI < 30"),
        ("((RSI)) < (30)", "RSI < 30"),
        ("RSI < 1.50e1", "RSI < 15"),
        ("RSI < 0.1", "RSI < 0.1"),
        ("RSI < 1e300", "RSI < 1e+300"),
        ("RSI < 0.0000001", "RSI < 1e-07"),
        ("(RSI * 2) + (RSI / 3) - (1) < 4", "RSI * 2 + RSI / 3 - 1 < 4"),
        ("RSI - (2 - 1) < 4", "RSI - (2 - 1) < 4"),
        ("RSI + (2 + 1) < 4", "RSI + (2 + 1) < 4"),
        ("(RSI + 2) * 3 / (4 * 5) < 4", "(RSI + 2) * 3 / (4 * 5) < 4"),
        ("-(-RSI) < -(1 + 2)", "-(-RSI) < -(1 + 2)"),
        ("--RSI * -2 < 1", "-(-RSI) * -2 < 1"),
        ("-RSI[1] < -(RSI + 1)[2]", "-RSI[1] < -(RSI + 1)[2]"),
        ("(-RSI)[1] < 0", "(-RSI)[1] < 0"),
        ("(RSI)[2] > (RSI[1])[3]", "RSI[2] > (RSI[1])[3]"),
        ("max(RSI,low)[1]>abs( RSI )", "max(RSI, low)[1] > abs(RSI)"),
        ("RSI[0] > 1", "RSI > 1"),
        ("(RSI<1) AND ((RSI<2) AND (RSI<3))", "RSI < 1 AND RSI < 2 AND RSI < 3"),
        ("(RSI<1 OR RSI<2) AND RSI<3", "(RSI < 1 OR RSI < 2) AND RSI < 3"),
        ("(RSI<1 AND RSI<2) OR RSI<3", "RSI < 1 AND RSI < 2 OR RSI < 3"),
        ("NOT (RSI<1)", "NOT RSI < 1"),
        ("NOT (RSI<1 AND RSI<2)", "NOT (RSI < 1 AND RSI < 2)"),
        ("NOT(NOT RSI<1)", "NOT NOT RSI < 1"),
        ("crosses_below( (RSI) ,low)", "crosses_below(RSI, low)"),
    ],
)
def test_equal_trees_have_one_text(text: str, canonical: str) -> None:
    assert format(parse(text, EXIT)) == canonical


# -- what it reads ----------------------------------------------------------------------------------------------------


def test_a_tree_tells_what_it_reads_and_how_far_back() -> None:
    read = reads(parse("RSI < low AND (PRICE[2] - RSI)[3] > high * PRICE OR PNL_PCT > ENTRY_PRICE", EXIT))
    assert read.series == {("RSI", 0), ("PRICE", 5), ("RSI", 3), ("PRICE", 0)}
    assert read.parameters == {"low", "high"}
    assert read.position == {"PNL_PCT", "ENTRY_PRICE"}
    assert read.lookback == 5


def test_a_cross_reads_the_candle_before_as_well() -> None:
    read = reads(parse("crosses_above(RSI[2], low)", EXIT))
    assert read.series == {("RSI", 2), ("RSI", 3)}
    assert read.lookback == 3


def test_a_tree_without_series_looks_nowhere() -> None:
    read = reads(parse("low < high", EXIT))
    assert (read.series, read.position, read.lookback) == (frozenset(), frozenset(), 0)


@given(conditions(), worlds(), st.data())
def test_nothing_but_what_a_tree_reads_decides_it(tree: Condition, world: World, data: st.DataObject) -> None:
    assume(world.candles > 0)
    i = data.draw(st.integers(0, world.candles - 1))
    kept = {name: np.full(world.candles, 12345.0) for name in world.series}
    for name, back in reads(tree).series:
        if back <= i:
            kept[name][i - back] = world.series[name][i - back]
    parameters = {name: world.parameters[name] for name in reads(tree).parameters}
    other = World(kept, parameters, world.entry_price, world.pnl_pct, world.bars_held)
    assert truth_at(tree, i, other) is truth_at(tree, i, world)


# -- combination ------------------------------------------------------------------------------------------------------


def test_conditions_combine_without_nesting() -> None:
    assert all_of([A, Every((B, C)), Some((A, B))]) == Every((A, B, C, Some((A, B))))
    assert any_of([A, Some((B, C)), Every((A, B))]) == Some((A, B, C, Every((A, B))))
    assert all_of([A]) == any_of([A]) == A


@pytest.mark.parametrize("combine", [all_of, any_of])
def test_no_condition_at_all_combines_to_nothing(combine: object) -> None:
    assert callable(combine)
    with pytest.raises(ValueError, match="no condition"):
        combine([])


@given(st.lists(conditions(), min_size=1, max_size=4), worlds())
def test_a_combination_means_what_its_parts_mean_together(parts: list[Condition], world: World) -> None:
    for i in range(world.candles):
        truths = [as_number(truth_at(part, i, world)) for part in parts]
        # Kleene's logic in numbers: unknown lies between false and true.
        placed = [0.5 if truth != truth else truth for truth in truths]
        for combined, wanted in ((all_of(parts), min(placed)), (any_of(parts), max(placed))):
            truth = as_number(truth_at(combined, i, world))
            assert (0.5 if truth != truth else truth) == wanted


# -- what cannot be built ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-1.0, -0.0, float("nan"), float("inf")])
def test_a_constant_is_written_without_a_sign(value: float) -> None:
    with pytest.raises(AssertionError):
        Constant(value)


def test_no_tree_looks_ahead_or_nests_what_is_flat() -> None:
    with pytest.raises(AssertionError):
        Back(Series("RSI"), 0)
    with pytest.raises(AssertionError):
        Every((A, Every((B, C))))
    with pytest.raises(AssertionError):
        Some((A,))


def test_conditions_and_numbers_are_told_apart() -> None:
    assert is_condition(Not(A))
    assert isinstance(A, Comparison)
    assert [is_condition(part) for part in parts_of(A)] == [False, False]
