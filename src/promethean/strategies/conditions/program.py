"""A condition as a flat program: what it says of a position is computed candle by candle, inside a compiled loop.

Everything that does not depend on the position is computed beforehand, over the whole history, and is one row or one
constant of the program.  A compiled loop calls
`_kernels.holds(code, constants, rows, stack, i, entry_price, pnl_pct, bars_held)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, assert_never

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.strategies.conditions import opcodes
from promethean.strategies.conditions.evaluate import Evaluation, Memo, SeriesByName
from promethean.strategies.conditions.tree import (
    POSITION,
    Arithmetic,
    Back,
    Call,
    Comparison,
    Condition,
    Constant,
    Cross,
    Every,
    Negative,
    Not,
    Parameter,
    PositionValue,
    Series,
    Some,
    Tree,
    all_of,
    any_of,
    format,
    is_condition,
    reads,
)

_STEPS = {
    "+": opcodes.ADD, "-": opcodes.SUBTRACT, "*": opcodes.MULTIPLY, "/": opcodes.DIVIDE,
    "abs": opcodes.ABS, "min": opcodes.MIN, "max": opcodes.MAX,
    "<": opcodes.LESS, "<=": opcodes.LESS_OR_EQUAL, ">": opcodes.LESS, ">=": opcodes.LESS_OR_EQUAL,
    "==": opcodes.EQUAL, "!=": opcodes.UNEQUAL,
}  # fmt: skip


class Program(NamedTuple):
    """A condition with its data, in the order in which `_kernels.holds` takes them; its docstring says what each is.

    Two threads must not share one: `stack` is written to.
    """

    code: IntArray
    constants: FloatArray
    rows: FloatArray
    stack: FloatArray

    def holds(self, i: int, entry_price: float, pnl_pct: float, bars_held: float) -> int:
        """Whether the condition holds at candle `i`: 1 yes, 0 no, -1 unknown.

        i:         0 to n - 1; not checked.
        The others are the values of `tree.POSITION` at that candle, NaN where not known.
        """
        from promethean.strategies.conditions import _kernels

        return _kernels.holds(*self, i, entry_price, pnl_pct, bars_held)

    def cut(self, start: int, stop: int) -> Program:
        """The same over the candles from one number to before another; of the one before the first nothing is known."""
        return self.unshared()._replace(rows=np.ascontiguousarray(self.rows[:, start:stop]))

    def unshared(self) -> Program:
        """The same over the same data, with a stack of its own."""
        return self._replace(stack=np.empty_like(self.stack))

    def either(self, other: Program) -> Program:
        """The program that holds where one of two over the same candles does."""
        shift = {opcodes.CONSTANT: len(self.constants)}
        shift |= dict.fromkeys((opcodes.ROW, opcodes.ROW_BEFORE), len(self.rows))
        rows = [program.rows for program in (self, other) if len(program.rows)]
        moved = [(opcode, operand + shift.get(opcode, 0)) for opcode, operand in other.code.tolist()]
        return Program(
            np.array([*self.code.tolist(), *moved, (opcodes.OR, 0)], np.int64),
            np.concatenate((self.constants, other.constants)),
            np.concatenate(rows) if rows else self.rows,
            np.empty(max(len(self.stack), 1 + len(other.stack))),
        )


NOTHING = Program(np.empty((0, 2), np.int64), np.empty(0), np.empty((0, 0)), np.empty(0))
"""What a compiled loop is given where there is no condition: nothing to compute."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A condition as a program without its data: made once, bound to many parameter sets.

    code:      steps of (opcode, operand), postfix.
    constants: trees that read parameters at most.
    rows:      trees that read series and parameters, as large as they come.
    stack:     values that wait at most.
    """

    code: tuple[tuple[int, int], ...]
    constants: tuple[Tree, ...]
    rows: tuple[Tree, ...]
    stack: int

    @classmethod
    def of(cls, condition: Condition) -> Plan:
        """The plan of any condition, whether or not it reads the position."""
        writer = _Writer()
        writer.write(condition)
        return cls(tuple(writer.code), tuple(writer.constants), tuple(writer.rows), writer.deepest)

    def bind(
        self,
        series: SeriesByName,
        parameters: Mapping[str, float],
        memo: Memo | None = None,
        *,
        length: int | None = None,
    ) -> Program:
        """The program over these histories, with these values; arguments and errors as in `evaluate.evaluate`."""
        evaluation = Evaluation(series, parameters, memo, length)
        constants = [evaluation.constant(tree) for tree in self.constants]
        columns = [evaluation.truths(tree) if is_condition(tree) else evaluation.values(tree) for tree in self.rows]
        rows = np.empty((len(columns), len(columns[0]) if columns else 0))
        for row, column in zip(rows, columns, strict=True):
            if column.dtype == np.uint8:
                np.multiply(column, 0.5, out=row)  # 0, 1, 2 is 0.0, 0.5, 1.0 on the stack
            else:
                row[:] = column
        return Program(np.array(self.code, np.int64), np.array(constants), rows, np.empty(self.stack))


class _Writer:
    """Writes the steps of a tree; the same row or constant is kept once."""

    def __init__(self) -> None:
        self.code: list[tuple[int, int]] = []
        self.constants: list[Tree] = []
        self.rows: list[Tree] = []
        self.waiting = 0
        self.deepest = 0

    def put(self, opcode: int, operand: int) -> None:
        """A step that puts one value on the stack."""
        self.code.append((opcode, operand))
        self.waiting += 1
        self.deepest = max(self.deepest, self.waiting)

    def take(self, opcode: int, values: int) -> None:
        """A step that makes one of the last values."""
        self.code.append((opcode, 0))
        self.waiting -= values - 1

    def write(self, tree: Tree, *, before: bool = False) -> None:
        """The steps that leave the tree's value on the stack.  before: its value at the candle before."""
        read = reads(tree)
        if not read.position:
            if read.series:
                self.put(opcodes.ROW_BEFORE if before else opcodes.ROW, _place(self.rows, tree))
            else:
                self.put(opcodes.CONSTANT, _place(self.constants, tree))
            return
        match tree:
            case PositionValue(name):
                self.put(opcodes.POSITION, POSITION.index(name))
            case Negative(operand):
                self.write(operand, before=before)
                self.take(opcodes.NEGATIVE, 1)
            case Call(function, arguments):
                for argument in arguments:
                    self.write(argument, before=before)
                self.take(_STEPS[function], len(arguments))
            case Arithmetic(operator, left, right):
                self.write(left, before=before)
                self.write(right, before=before)
                self.take(_STEPS[operator], 2)
            case Comparison(relation, left, right):
                # a > b is b < a.
                for side in (right, left) if relation in (">", ">=") else (left, right):
                    self.write(side)
                self.take(_STEPS[relation], 2)
            case Cross(direction, left, right):
                # What crosses below is crossed above by the other.  ENTRY_PRICE is the same at both candles.
                first, second = (left, right) if direction == "above" else (right, left)
                for is_before in (True, False):
                    self.write(first, before=is_before)
                    self.write(second, before=is_before)
                self.take(opcodes.CROSS, 4)
            case Every(conditions):
                self.join(conditions, opcodes.AND)
            case Some(conditions):
                self.join(conditions, opcodes.OR)
            case Not(condition):
                self.write(condition)
                self.take(opcodes.NOT, 1)
            case Back():
                raise AssertionError(f"{format(tree)} looks back at the position")
            case Constant() | Parameter() | Series():
                raise AssertionError(f"{format(tree)} reads no position")
            case _:
                assert_never(tree)

    def join(self, conditions: tuple[Condition, ...], opcode: int) -> None:
        """Conditions joined by and, or: those that do not read the position make one row together."""
        settled = [one for one in conditions if not reads(one).position]
        open_ones = [one for one in conditions if reads(one).position]
        combine = all_of if opcode == opcodes.AND else any_of
        joined = ([combine(settled)] if settled else []) + open_ones
        self.write(joined[0])
        for one in joined[1:]:
            self.write(one)
            self.take(opcode, 2)


def _place(known: list[Tree], tree: Tree) -> int:
    if tree not in known:
        known.append(tree)
    return known.index(tree)
