"""Conditions of a position: the compiled program against a plain interpreter, candle by candle."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies.conditions.builders import EXIT, World, conditions, truth_at, worlds

from promethean.domain.candles import FloatArray, IntArray
from promethean.strategies.conditions import _kernels
from promethean.strategies.conditions.evaluate import Memo, evaluate
from promethean.strategies.conditions.parser import parse
from promethean.strategies.conditions.program import Plan, Program
from promethean.strategies.conditions.tree import Condition, format

NAN = math.nan
SAID = {True: 1, False: 0, None: -1}


def bound(tree: Condition, world: World) -> Program:
    return Plan.of(tree).bind(world.series.__getitem__, world.parameters, length=world.candles)


def answers(text: str, *positions: tuple[float, float, float], **series: list[float]) -> list[int]:
    """The program's answer at each candle, with the position's values at each."""
    columns = {name: np.array(values) for name, values in series.items()}
    program = Plan.of(parse(text, EXIT)).bind(columns.__getitem__, {"low": 30.0})
    return [program.holds(i, *position) for i, position in enumerate(positions)]


# -- properties -------------------------------------------------------------------------------------------------------


@given(conditions(position=True), worlds())
def test_the_program_means_what_the_tree_means(tree: Condition, world: World) -> None:
    program = bound(tree, world)
    for i in range(world.candles):
        said = program.holds(i, world.entry_price, float(world.pnl_pct[i]), float(world.bars_held[i]))
        assert said == SAID[truth_at(tree, i, world)], f"{format(tree)} at {i}"


@given(conditions(position=False), worlds())
def test_without_a_position_the_program_says_what_evaluation_says(tree: Condition, world: World) -> None:
    program = bound(tree, world)
    truths = evaluate(tree, world.series.__getitem__, world.parameters, length=world.candles)
    said = [program.holds(i, NAN, NAN, NAN) for i in range(world.candles)]
    assert said == [-1 if math.isnan(truth) else int(truth) for truth in truths]


# -- cases ------------------------------------------------------------------------------------------------------------


def test_an_exit_looks_at_profit_and_time() -> None:
    positions = ((100.0, 2.9, 1.0), (100.0, 3.0, 2.0), (100.0, NAN, 3.0), (100.0, NAN, 4.0), (100.0, 9.0, 5.0))
    assert answers("PNL_PCT >= 3 OR BARS_HELD == 4", *positions) == [0, 1, -1, 1, 1]


def test_the_price_crosses_the_entry() -> None:
    held = (100.0, 0.0, 1.0)
    prices = [99.0, 100.0, 101.0, 100.0, 99.0]
    assert answers("crosses_above(PRICE, ENTRY_PRICE)", *[held] * 5, PRICE=prices) == [-1, 0, 1, 0, 0]
    assert answers("crosses_below(PRICE, ENTRY_PRICE)", *[held] * 5, PRICE=prices) == [-1, 0, 0, 0, 1]
    assert answers("crosses_above(ENTRY_PRICE, PRICE)", *[held] * 5, PRICE=prices) == [-1, 0, 0, 0, 1]
    assert answers("crosses_above(PRICE[1], ENTRY_PRICE)", *[held] * 5, PRICE=prices) == [-1, -1, 0, 1, 0]


def test_an_unknown_position_makes_a_condition_unknown_unless_the_rest_decides() -> None:
    unknown = (NAN, NAN, NAN)
    assert answers("PRICE > ENTRY_PRICE AND PRICE > 5", *[unknown] * 2, PRICE=[1.0, 9.0]) == [0, -1]
    assert answers("1 / (PNL_PCT - 2) > 0", (1.0, 2.0, 1.0), (1.0, 3.0, 1.0)) == [-1, 1]


# -- what is computed beforehand --------------------------------------------------------------------------------------


def test_what_does_not_read_the_position_is_computed_beforehand() -> None:
    text = "RSI < low AND PNL_PCT > low + 1 AND PRICE > RSI[1] AND low < 99 AND ENTRY_PRICE < PRICE * 2"
    plan = Plan.of(parse(text, EXIT))
    assert [format(tree) for tree in plan.rows] == ["RSI < low AND PRICE > RSI[1] AND low < 99", "PRICE * 2"]
    assert [format(tree) for tree in plan.constants] == ["low + 1"]


def test_a_row_is_kept_once() -> None:
    plan = Plan.of(parse("PNL_PCT > RSI + 1 OR PNL_PCT < -(RSI + 1) OR crosses_above(RSI + 1, ENTRY_PRICE)", EXIT))
    assert [format(tree) for tree in plan.rows] == ["RSI + 1", "-(RSI + 1)"]


def test_a_condition_without_a_position_is_one_row() -> None:
    plan = Plan.of(parse("RSI < low AND NOT crosses_above(RSI, PRICE)", EXIT))
    assert (len(plan.code), len(plan.rows), plan.constants, plan.stack) == (1, 1, (), 1)


def test_a_plan_serves_many_parameter_sets_and_shares_their_rows() -> None:
    plan = Plan.of(parse("RSI < 50 AND PNL_PCT > low", EXIT))
    asked: list[str] = []

    def series(name: str) -> FloatArray:
        asked.append(name)
        return np.array([40.0])

    memo: Memo = {}
    said = [plan.bind(series, {"low": low}, memo).holds(0, 1.0, 2.0, 1.0) for low in (1.0, 2.0, 3.0)]
    assert said == [1, 0, 0]
    assert asked == ["RSI"]


def test_a_program_needs_no_more_room_than_it_says() -> None:
    plan = Plan.of(parse("crosses_above(PRICE, ENTRY_PRICE) AND PNL_PCT > 1 - (2 - BARS_HELD)", EXIT))
    assert plan.stack == 4
    program = plan.bind(lambda name: np.array([1.0, 3.0]), {})
    around = np.full(6, 7.0)
    assert program._replace(stack=around[1:5]).holds(1, 2.0, 5.0, 1.0) == 1
    assert (around[0], around[5]) == (7.0, 7.0)


# -- from compiled code -----------------------------------------------------------------------------------------------


@numba.njit()  # not kept on disk: numba would not notice that `holds` has changed since
def first_exit(code: IntArray, constants: FloatArray, rows: FloatArray, stack: FloatArray, prices: FloatArray) -> int:
    """The first candle at which a long that was entered at the first one would leave."""
    entry = prices[0]
    for i in range(1, len(prices)):
        if _kernels.holds(code, constants, rows, stack, i, entry, (prices[i] / entry - 1) * 100, float(i)) == 1:
            return i
    return -1


@pytest.mark.parametrize(("prices", "candle"), [([100.0, 101.0, 104.0], 2), ([100.0, 99.0, 98.0, 97.0], 3)])
def test_a_compiled_loop_asks_the_program(prices: list[float], candle: int) -> None:
    tree = parse("PNL_PCT >= 3 OR BARS_HELD >= 2 AND RSI < low", EXIT)
    values = np.array(prices)
    program = Plan.of(tree).bind({"RSI": values - 68.0}.__getitem__, {"low": 30.0})
    assert first_exit(*program, values) == candle


# -- programs together ------------------------------------------------------------------------------------------------


@given(conditions(position=True), conditions(position=True), worlds())
def test_either_of_two_holds_where_one_of_them_does(one: Condition, other: Condition, world: World) -> None:
    both = bound(one, world).either(bound(other, world))
    for i in range(world.candles):
        position = (world.entry_price, float(world.pnl_pct[i]), float(world.bars_held[i]))
        truths = [bound(tree, world).holds(i, *position) for tree in (one, other)]
        assert both.holds(i, *position) == (1 if 1 in truths else min(truths))


@given(conditions(position=True), worlds(), st.data())
def test_a_part_of_the_candles_is_answered_as_before(tree: Condition, world: World, data: st.DataObject) -> None:
    whole = bound(tree, world)
    start = data.draw(st.integers(0, world.candles))
    stop = data.draw(st.integers(start, world.candles))
    part = whole.cut(start, stop)
    for i in range(start + 1 if start else 0, stop):  # of the candle before the first nothing is known
        position = (world.entry_price, float(world.pnl_pct[i]), float(world.bars_held[i]))
        assert part.holds(i - start, *position) == whole.holds(i, *position)


def test_a_stack_of_its_own_shares_the_data() -> None:
    program = Plan.of(parse("PNL_PCT > RSI", EXIT)).bind({"RSI": np.ones(3)}.__getitem__, {})
    other = program.unshared()
    assert other.rows is program.rows and other.stack is not program.stack
