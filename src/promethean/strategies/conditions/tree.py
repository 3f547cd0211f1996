"""The typed tree of a condition: numbers below, comparisons above, and how it is written.

The parser makes trees and answers for what they may contain; a tree made elsewhere keeps to the same rules, which each
class names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Operator: TypeAlias = Literal["+", "-", "*", "/"]
Relation: TypeAlias = Literal["<", "<=", ">", ">=", "==", "!="]
Function: TypeAlias = Literal["abs", "min", "max"]
Direction: TypeAlias = Literal["above", "below"]

ARGUMENTS = {"abs": 1, "min": 2, "max": 2, "crosses_above": 2, "crosses_below": 2}
"""Every function of the language with the numbers it takes."""

POSITION = ("ENTRY_PRICE", "PNL_PCT", "BARS_HELD")
"""The names that are known only while a position is held.

ENTRY_PRICE: average entry price, quote units per base unit; the same at every candle.
PNL_PCT:     percent of it, net of nothing: (PRICE / ENTRY_PRICE - 1) * 100 for a long, mirrored for a short.
BARS_HELD:   primary candles closed since the entry fill; 1 at the close of the entry's own candle.  Counted on the
             clock: a candle that the data lack counts.
"""


# ---------------------------------------------------------------- numbers


@dataclass(frozen=True, slots=True)
class Constant:
    """A number as written: finite, without a sign."""

    value: float

    def __post_init__(self) -> None:
        assert math.isfinite(self.value) and math.copysign(1.0, self.value) > 0, f"not a plain number: {self.value}"


@dataclass(frozen=True, slots=True)
class Series:
    """One value a candle: an indicator, a field of it, a price, a model's prediction."""

    name: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that the strategy file names; the same at every candle."""

    name: str


@dataclass(frozen=True, slots=True)
class PositionValue:
    """One of POSITION."""

    name: str

    def __post_init__(self) -> None:
        assert self.name in POSITION, f"the position has no {self.name}"


@dataclass(frozen=True, slots=True)
class Negative:
    """The number with the other sign."""

    operand: Number


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two numbers joined; a division by zero is unknown."""

    operator: Operator
    left: Number
    right: Number


@dataclass(frozen=True, slots=True)
class Call:
    """A function of numbers that is a number."""

    function: Function
    arguments: tuple[Number, ...]

    def __post_init__(self) -> None:
        assert len(self.arguments) == ARGUMENTS[self.function], f"{self.function} of {len(self.arguments)} numbers"


@dataclass(frozen=True, slots=True)
class Back:
    """What the operand was some candles ago, at least 1; unknown at the first ones.

    operand: reads a series, and not the position.
    """

    operand: Number
    candles: int

    def __post_init__(self) -> None:
        assert self.candles >= 1, f"{self.candles} candles back"


Number: TypeAlias = Constant | Series | Parameter | PositionValue | Negative | Arithmetic | Call | Back


# ---------------------------------------------------------------- conditions


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two numbers compared; unknown when one of them is."""

    relation: Relation
    left: Number
    right: Number


@dataclass(frozen=True, slots=True)
class Cross:
    """Whether `left` went through `right` at this candle.

    above: at the candle before left <= right, and now left > right.  below: before left >= right, now left < right.
    Unknown when one of the four numbers is, so at the first candle.
    left, right: one of them reads a series; of the position they read ENTRY_PRICE alone.
    """

    direction: Direction
    left: Number
    right: Number


@dataclass(frozen=True, slots=True)
class Every:
    """All conditions hold: false when one is false, else unknown when one is unknown.  At least 2, none an Every."""

    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        assert len(self.conditions) > 1 and not any(isinstance(one, Every) for one in self.conditions), self.conditions


@dataclass(frozen=True, slots=True)
class Some:
    """At least one condition holds: true when one is, else unknown when one is unknown.  At least 2, none a Some."""

    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        assert len(self.conditions) > 1 and not any(isinstance(one, Some) for one in self.conditions), self.conditions


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite; of unknown, unknown."""

    condition: Condition


Condition: TypeAlias = Comparison | Cross | Every | Some | Not
Tree: TypeAlias = Number | Condition


def all_of(conditions: Iterable[Condition]) -> Condition:
    """The condition that every one of these holds; of a single one, itself.  Raises ValueError when there is none."""
    parts = [part for one in conditions for part in (one.conditions if isinstance(one, Every) else (one,))]
    if not parts:
        raise ValueError("no condition to combine")
    return parts[0] if len(parts) == 1 else Every(tuple(parts))


def any_of(conditions: Iterable[Condition]) -> Condition:
    """The condition that one of these holds; of a single one, itself.  Raises ValueError when there is none."""
    parts = [part for one in conditions for part in (one.conditions if isinstance(one, Some) else (one,))]
    if not parts:
        raise ValueError("no condition to combine")
    return parts[0] if len(parts) == 1 else Some(tuple(parts))


def is_condition(tree: Tree) -> TypeIs[Condition]:
    """Whether the tree is true or false, and not a number."""
    return isinstance(tree, Comparison | Cross | Every | Some | Not)


def parts_of(tree: Tree) -> Sequence[Tree]:
    """The trees directly below this one, in the order in which they are written."""
    match tree:
        case Constant() | Series() | Parameter() | PositionValue():
            return ()
        case Negative() | Back():
            return (tree.operand,)
        case Arithmetic() | Comparison() | Cross():
            return (tree.left, tree.right)
        case Call():
            return tree.arguments
        case Every() | Some():
            return tree.conditions
        case Not():
            return (tree.condition,)
        case _:
            assert_never(tree)


# ---------------------------------------------------------------- what it reads


@dataclass(frozen=True, slots=True)
class Reads:
    """What decides a tree's value at a candle.

    series:     names, each with how many candles back it is read; a cross reads the candle before as well.
    parameters: names of the file's parameters.
    position:   those of POSITION; empty when the tree can be evaluated without one.
    """

    series: frozenset[tuple[str, int]]
    parameters: frozenset[str]
    position: frozenset[str]

    @property
    def lookback(self) -> int:
        """How many candles before the present one are read; 0 for none."""
        return max((back for _, back in self.series), default=0)


def reads(tree: Tree) -> Reads:
    """What the tree reads."""
    series: set[tuple[str, int]] = set()
    parameters: set[str] = set()
    position: set[str] = set()
    waiting: list[tuple[Tree, int]] = [(tree, 0)]
    while waiting:
        part, back = waiting.pop()
        match part:
            case Series(name):
                series.add((name, back))
            case Parameter(name):
                parameters.add(name)
            case PositionValue(name):
                position.add(name)
            case Back(operand, candles):
                waiting.append((operand, back + candles))
            case Cross(_, left, right):
                waiting += [(left, back), (right, back), (left, back + 1), (right, back + 1)]
            case _:
                waiting += [(below, back) for below in parts_of(part)]
    return Reads(frozenset(series), frozenset(parameters), frozenset(position))


# ---------------------------------------------------------------- how it is written

# How strongly a form holds its parts together; a weaker part gets parentheses.
STRENGTH = {"OR": 1, "AND": 2, "NOT": 3, "<": 4, "<=": 4, ">": 4, ">=": 4, "==": 4, "!=": 4,
            "+": 5, "-": 5, "*": 6, "/": 6}  # fmt: skip
STRENGTH_OF_SIGN = 7
_WHOLE = 8


def format(tree: Tree) -> str:
    """The tree as canonical text: no parenthesis too many, one way to write a number.  `parse` reads it back."""
    return _written(tree)[0]


def _written(tree: Tree) -> tuple[str, int]:
    """The text and how strongly it holds together."""
    match tree:
        case Constant(value):
            return _digits(value), _WHOLE
        case Series(name) | Parameter(name) | PositionValue(name):
            return name, _WHOLE
        case Negative(operand):
            # Two signs in a row could be read, but not by people.
            return f"-{_held(operand, STRENGTH_OF_SIGN + 1)}", STRENGTH_OF_SIGN
        case Arithmetic(operator, left, right):
            strength = STRENGTH[operator]
            return f"{_held(left, strength)} {operator} {_held(right, strength + 1)}", strength
        case Call(function, arguments):
            return f"{function}({', '.join(map(format, arguments))})", _WHOLE
        case Back(operand, candles):
            # A second suffix needs parentheses around the first.
            text = f"({format(operand)})" if isinstance(operand, Back | Constant) else _held(operand, _WHOLE)
            return f"{text}[{candles}]", _WHOLE
        case Comparison(relation, left, right):
            strength = STRENGTH[relation]
            return f"{_held(left, strength + 1)} {relation} {_held(right, strength + 1)}", strength
        case Cross(direction, left, right):
            return f"crosses_{direction}({format(left)}, {format(right)})", _WHOLE
        case Every(conditions):
            return " AND ".join(_held(one, STRENGTH["AND"]) for one in conditions), STRENGTH["AND"]
        case Some(conditions):
            return " OR ".join(_held(one, STRENGTH["OR"]) for one in conditions), STRENGTH["OR"]
        case Not(condition):
            return f"NOT {_held(condition, STRENGTH['NOT'])}", STRENGTH["NOT"]
        case _:
            assert_never(tree)


def _held(tree: Tree, least: int) -> str:
    text, strength = _written(tree)
    return text if strength >= least else f"({text})"


def _digits(value: float) -> str:
    """A float as the language writes it: 30 and not 30.0, every digit that matters."""
    return str(int(value)) if value.is_integer() and value < 1e15 else repr(value)
