"""Random conditions, random histories, and what a condition means: a plain interpreter that knows no arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never, get_args

import numpy as np
from hypothesis import strategies as st

from promethean.domain.candles import FloatArray
from promethean.strategies.conditions.scope import Scope
from promethean.strategies.conditions.tree import (
    POSITION,
    Arithmetic,
    Back,
    Call,
    Comparison,
    Condition,
    Constant,
    Cross,
    Direction,
    Every,
    Negative,
    Not,
    Number,
    Operator,
    Parameter,
    PositionValue,
    Relation,
    Series,
    Some,
    all_of,
    any_of,
    reads,
)

SERIES = ("RSI", "RSI_1h", "PRICE", "MACD_5m.histogram")
PARAMETERS = ("low", "high")
ENTRY = Scope(frozenset(SERIES), frozenset(PARAMETERS))
EXIT = Scope(frozenset(SERIES), frozenset(PARAMETERS), position=True)

# Values that meet each other, so that equality, zero and the unknown come up often.
TELLING = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 2.0, 29.5, 30.0, 30.0, 70.0, 1e308, 5e-324)
values = st.sampled_from(TELLING) | st.floats(allow_nan=True)


# ---------------------------------------------------------------- conditions


def constants() -> st.SearchStrategy[Constant]:
    plain = st.floats(min_value=0, allow_nan=False, allow_infinity=False).map(abs)
    return st.builds(Constant, st.sampled_from([0.0, 1.0, 2.0, 30.0, 1.003, 70.0]) | plain)


def numbers(*, position: bool) -> st.SearchStrategy[Number]:
    leaves: st.SearchStrategy[Number] = (
        st.builds(Series, st.sampled_from(SERIES)) | st.builds(Parameter, st.sampled_from(PARAMETERS)) | constants()
    )
    if position:
        leaves |= st.builds(PositionValue, st.sampled_from(POSITION))

    def longer(inner: st.SearchStrategy[Number]) -> st.SearchStrategy[Number]:
        two = st.tuples(inner, inner)
        return (
            st.builds(Negative, inner)
            | st.builds(Arithmetic, st.sampled_from(get_args(Operator)), inner, inner)
            | st.builds(Call, st.just("abs"), st.tuples(inner))
            | st.builds(Call, st.sampled_from(["min", "max"]), two)
            | st.builds(back, inner, st.integers(1, 4))
        )

    return st.recursive(leaves, longer, max_leaves=6)


def back(number: Number, candles: int) -> Number:
    """The number some candles back, where the language allows it."""
    read = reads(number)
    return Back(number, candles) if read.series and not read.position else number


def cross(direction: Direction, left: Number, right: Number) -> Condition:
    """A cross, where the language allows it; else a comparison."""
    both = reads(Comparison("<", left, right))
    allowed = both.series and both.position <= {"ENTRY_PRICE"}
    return Cross(direction, left, right) if allowed else Comparison("<=", left, right)


def conditions(*, position: bool = False) -> st.SearchStrategy[Condition]:
    number = numbers(position=position)
    leaves: st.SearchStrategy[Condition] = st.builds(
        Comparison, st.sampled_from(get_args(Relation)), number, number
    ) | st.builds(cross, st.sampled_from(get_args(Direction)), number, number)

    def longer(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
        some = st.lists(inner, min_size=2, max_size=3)
        return st.builds(Not, inner) | some.map(all_of) | some.map(any_of)

    return st.recursive(leaves, longer, max_leaves=5)


# ---------------------------------------------------------------- histories


@dataclass(frozen=True, slots=True)
class World:
    """A history, the parameters' values, and the position's at every candle (ENTRY_PRICE is one for all)."""

    series: Mapping[str, FloatArray]
    parameters: Mapping[str, float]
    entry_price: float
    pnl_pct: FloatArray
    bars_held: FloatArray

    @property
    def candles(self) -> int:
        return len(self.pnl_pct)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Short histories drawn value by value, and long ones, in which whole machine words of candles are computed."""
    candles = draw(st.integers(0, 6) | st.integers(60, 150))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def history() -> FloatArray:
        if candles <= 6:
            return np.array(draw(st.lists(values, min_size=candles, max_size=candles)), np.float64)
        return random.choice(TELLING, candles)

    return World(
        {name: history() for name in SERIES},
        {name: draw(values) for name in PARAMETERS},
        draw(values),
        history(),
        history(),
    )


# ---------------------------------------------------------------- meaning


def number_at(tree: Number, i: int, world: World) -> float:
    """The number at candle `i`, NaN where unknown; a candle before the first is unknown."""
    match tree:
        case Constant(value):
            return value
        case Series(name):
            return float(world.series[name][i]) if i >= 0 else math.nan
        case Parameter(name):
            return world.parameters[name]
        case PositionValue("ENTRY_PRICE"):
            return world.entry_price
        case PositionValue("PNL_PCT"):
            return float(world.pnl_pct[i])
        case PositionValue():
            return float(world.bars_held[i])
        case Negative(operand):
            return -number_at(operand, i, world)
        case Back(operand, candles):
            return number_at(operand, i - candles, world)
        case Call("abs", (operand,)):
            return abs(number_at(operand, i, world))
        case Arithmetic(_, left, right) | Call(_, (left, right)):
            a, b = number_at(left, i, world), number_at(right, i, world)
            if math.isnan(a) or math.isnan(b):
                return math.nan
            match tree:
                case Arithmetic("+"):
                    return a + b
                case Arithmetic("-"):
                    return a - b
                case Arithmetic("*"):
                    return a * b
                case Arithmetic("/"):
                    return a / b if b != 0 else math.nan
                case Call("min"):
                    return min(a, b)
                case _:
                    return max(a, b)
        case _:
            raise AssertionError(tree)


def truth_at(tree: Condition, i: int, world: World) -> bool | None:
    """Whether the condition holds at candle `i`; None where unknown."""
    match tree:
        case Comparison(relation, left, right):
            a, b = number_at(left, i, world), number_at(right, i, world)
            if math.isnan(a) or math.isnan(b):
                return None
            return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b, "==": a == b, "!=": a != b}[relation]
        case Cross(direction, left, right):
            if i == 0:
                return None
            a, b = number_at(left, i - 1, world), number_at(right, i - 1, world)
            c, d = number_at(left, i, world), number_at(right, i, world)
            if any(map(math.isnan, (a, b, c, d))):
                return None
            return (a <= b and c > d) if direction == "above" else (a >= b and c < d)
        case Every(parts):
            found = [truth_at(part, i, world) for part in parts]
            return False if False in found else None if None in found else True
        case Some(parts):
            found = [truth_at(part, i, world) for part in parts]
            return True if True in found else None if None in found else False
        case Not(part):
            truth = truth_at(part, i, world)
            return None if truth is None else not truth
        case _:
            assert_never(tree)


def as_number(truth: bool | None) -> float:
    return math.nan if truth is None else float(truth)
