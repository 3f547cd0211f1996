"""The machine code of every kernel does what its source says; what the source should say, the other tests know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from tests.strategies.conditions.builders import TELLING, World, conditions, worlds

from promethean.strategies.conditions import _kernels
from promethean.strategies.conditions.evaluate import TruthArray
from promethean.strategies.conditions.program import Plan
from promethean.strategies.conditions.tree import Condition


def source(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The Python function that was compiled."""
    plain: Callable[..., Any] = getattr(kernel, "py_func")  # noqa: B009  # the type of a kernel does not tell
    return plain


def written(function: Callable[..., Any], *arguments: Any, rows: int, kind: type = np.uint8) -> TruthArray:
    result: TruthArray = np.full(rows, 9, kind)
    with np.errstate(all="ignore"):
        function(*arguments, result)
    return result


PAIRS = [(left, right) for left in TELLING for right in TELLING]
LEFT, RIGHT = (np.array(column) for column in zip(*PAIRS, strict=True))


@pytest.mark.parametrize("kernel", [_kernels.below, _kernels.equal])
@pytest.mark.parametrize("codes", [(2, 0), (0, 2)])
def test_a_comparison_of_two_series(kernel: Callable[..., Any], codes: tuple[int, int]) -> None:
    plain = written(source(kernel), LEFT, RIGHT, *codes, rows=len(LEFT))
    assert set(plain.tolist()) == {0, 1, 2}
    np.testing.assert_array_equal(written(kernel, LEFT, RIGHT, *codes, rows=len(LEFT)), plain)


@pytest.mark.parametrize("kernel", [_kernels.below_number, _kernels.above_number, _kernels.equal_number])
@pytest.mark.parametrize("codes", [(2, 0), (0, 2)])
def test_a_comparison_with_a_number(kernel: Callable[..., Any], codes: tuple[int, int]) -> None:
    for number in TELLING:
        plain = written(source(kernel), LEFT, number, *codes, rows=len(LEFT))
        np.testing.assert_array_equal(written(kernel, LEFT, number, *codes, rows=len(LEFT)), plain)


@pytest.mark.parametrize("rows", [0, 1, 2, len(LEFT)])
def test_a_cross(rows: int) -> None:
    left, right = LEFT[:rows], RIGHT[:rows]
    np.testing.assert_array_equal(
        written(_kernels.rises_through, left, right, rows=rows),
        written(source(_kernels.rises_through), left, right, rows=rows),
    )
    for kernel in (_kernels.rises_through_number, _kernels.falls_through_number):
        for number in TELLING:
            plain = written(source(kernel), right, number, rows=rows)
            np.testing.assert_array_equal(written(kernel, right, number, rows=rows), plain)


def test_truth_as_numbers() -> None:
    truth = np.array([0, 1, 2, 2, 1], np.uint8)
    for function in (_kernels.as_numbers, source(_kernels.as_numbers)):
        numbers = written(function, truth, rows=5, kind=np.float64)
        np.testing.assert_array_equal(numbers, [0.0, np.nan, 1.0, 1.0, np.nan])


@given(conditions(position=True), worlds())
def test_a_program(tree: Condition, world: World) -> None:
    program = Plan.of(tree).bind(world.series.__getitem__, world.parameters, length=world.candles)
    for i in range(min(world.candles, 10)):
        position = (world.entry_price, float(world.pnl_pct[i]), float(world.bars_held[i]))
        with np.errstate(all="ignore"):
            plain = source(_kernels.holds)(*program, i, *position)
        assert program.holds(i, *position) == plain
