"""The truth of a condition at every candle of a history, by three-valued logic (Kleene 1938): true, false, unknown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import lru_cache, reduce
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, assert_never

import numpy as np
from numpy.typing import NDArray

from promethean.domain.candles import FloatArray
from promethean.strategies.conditions.tree import (
    Arithmetic,
    Back,
    Call,
    Comparison,
    Condition,
    Constant,
    Cross,
    Every,
    Function,
    Negative,
    Not,
    Number,
    Operator,
    Parameter,
    PositionValue,
    Relation,
    Series,
    Some,
    Tree,
    format,
    is_condition,
    reads,
)

TruthArray: TypeAlias = NDArray[np.uint8]
"""One byte a candle: 0 false, 1 unknown, 2 true."""

BoolArray: TypeAlias = NDArray[np.bool_]

SeriesByName: TypeAlias = Callable[[str], FloatArray]
"""Gives the values of a series: float64, shape (n,), a value a candle, oldest first, NaN where not known."""

Memo: TypeAlias = MutableMapping[tuple[str, tuple[float, ...]], Any]
"""Results to share between evaluations over the same series: one memo for each set of series, empty at first.

The key is the text of a tree and the values of the parameters it reads.  Kept are comparisons and crosses (a byte a
candle) and arithmetic without parameters (8 bytes a candle); a mapping that forgets bounds what this takes.
"""

FALSE, UNKNOWN, TRUE = 0, 1, 2

T = TypeVar("T", bound=Tree)
R = TypeVar("R")
K = TypeVar("K", np.float64, np.uint8)


class Met(NamedTuple):
    """Where a condition is met.

    met:     bool, shape (n,); unknown is not met.
    unknown: at how many candles it is unknown.
    """

    met: BoolArray
    unknown: int


def evaluate(
    tree: Tree,
    series: SeriesByName,
    parameters: Mapping[str, float],
    memo: Memo | None = None,
    *,
    length: int | None = None,
) -> FloatArray:
    """What the tree is at every candle.

    parameters: the values of those it reads.
    length:     number of candles; needed for a tree that reads no series.
    Returns:    float64, shape (n,), not to be written to: of a condition 1.0 true, 0.0 false, NaN unknown; of a number
                its value.  NaN, and what is divided by zero, is unknown and makes a comparison unknown.
    Raises:     ValueError for series of different lengths, and for a tree that reads the position, or neither a series
                nor a length: nobody can know it.
    """
    evaluation = Evaluation(series, parameters, memo, length)
    if not is_condition(tree):
        return evaluation.values(tree)
    truth = evaluation.truths(tree)
    values = np.empty(len(truth))
    evaluation.kernels.as_numbers(truth, values)
    values.flags.writeable = False
    return values


def met(
    tree: Condition,
    series: SeriesByName,
    parameters: Mapping[str, float],
    memo: Memo | None = None,
    *,
    length: int | None = None,
) -> Met:
    """Where the condition is met, and at how many candles it is unknown; arguments and errors as in `evaluate`."""
    truth = Evaluation(series, parameters, memo, length).truths(tree)
    return Met(truth == TRUE, int(np.count_nonzero(truth == UNKNOWN)))


class _Column(NamedTuple):
    """A number that changes from candle to candle.

    values: float64, shape (n,), read-only.  back: how many candles ago they are read, so that none has to be moved.
    """

    values: FloatArray
    back: int


class Evaluation:
    """Evaluations over one set of series and parameters; `evaluate` says what the arguments mean and what is raised."""

    def __init__(
        self,
        series: SeriesByName,
        parameters: Mapping[str, float],
        memo: Memo | None = None,
        length: int | None = None,
    ) -> None:
        from promethean.strategies.conditions import _kernels

        self.kernels = _kernels
        self.series = series
        self.parameters = parameters
        self.memo = memo
        self.length = length

    # -- whole results

    def truths(self, tree: Condition) -> TruthArray:
        """The truth at every candle, uint8, shape (n,), read-only."""
        truth = self._truth(tree)
        if isinstance(truth, int):
            truth = np.full(self._candles(), truth, np.uint8)
        truth.flags.writeable = False
        return truth

    def values(self, tree: Number) -> FloatArray:
        """The number at every candle, float64, shape (n,), read-only."""
        number = self._number(tree)
        if not isinstance(number, _Column):
            values = np.full(self._candles(), number)
        elif number.back:
            values = np.full(len(number.values), np.nan)
            values[number.back :] = number.values[: max(0, len(values) - number.back)]
        else:
            values = number.values
        values.flags.writeable = False
        return values

    def constant(self, tree: Tree) -> float:
        """What a tree is that reads neither a series nor the position: a number, or its truth as 0.0, 0.5, 1.0."""
        found = self._truth(tree) / 2 if is_condition(tree) else self._number(tree)
        assert isinstance(found, float), f"{format(tree)} is not constant"
        return found

    def _candles(self) -> int:
        if self.length is None:
            raise ValueError("the tree reads no series, so it does not say how many candles there are; give a length")
        return self.length

    # -- numbers

    def _number(self, tree: Number) -> float | _Column:
        match tree:
            case Constant(value):
                return value
            case Parameter(name):
                return float(self.parameters[name])
            case PositionValue(name):
                raise ValueError(f"{name} changes as trades are made, no history knows it; use the condition's program")
            case Series(name):
                return _Column(self._series(name), 0)
            case Back(operand, candles):
                number = self._number(operand)
                assert isinstance(number, _Column), f"{format(tree)} looks back at what does not change"
                return number._replace(back=number.back + candles)
            case Negative() | Arithmetic() | Call():
                return self._shared(tree, self._computed)
            case _:
                assert_never(tree)

    def _series(self, name: str) -> FloatArray:
        # Read-only always: a kernel is compiled once for each kind of array, and what is shared stays what it is.
        values = np.ascontiguousarray(self.series(name), dtype=np.float64).view()
        values.flags.writeable = False
        if self.length is None:
            self.length = len(values)
        elif len(values) != self.length:
            raise ValueError(f"series {name} has {len(values)} candles, not {self.length} as the others")
        return values

    def _computed(self, tree: Negative | Arithmetic | Call) -> float | _Column:
        match tree:
            case Negative(operand):
                return _applied(np.negative, self._number(operand))
            case Arithmetic(operator, left, right):
                return _applied(_UFUNCS[operator], self._number(left), self._number(right))
            case Call(function, arguments):
                return _applied(_UFUNCS[function], *map(self._number, arguments))
            case _:
                assert_never(tree)

    # -- conditions

    def _truth(self, tree: Condition) -> int | TruthArray:
        """The truth at every candle, or the one that holds at all of them."""
        match tree:
            case Comparison():
                return self._shared(tree, self._compared)
            case Cross():
                return self._shared(tree, self._crossed)
            case Every(conditions):
                return reduce(_both, map(self._truth, conditions))
            case Some(conditions):
                return reduce(_either, map(self._truth, conditions))
            case Not(condition):
                truth = self._truth(condition)
                return TRUE - truth if isinstance(truth, int) else np.subtract(TRUE, truth)
            case _:
                assert_never(tree)

    def _compared(self, tree: Comparison) -> int | TruthArray:
        kind, swapped, yes, no = _COMPARISONS[tree.relation]
        left, right = self._number(tree.left), self._number(tree.right)
        if swapped:
            left, right = right, left
        if not isinstance(left, _Column) and not isinstance(right, _Column):
            if math.isnan(left) or math.isnan(right):
                return UNKNOWN
            return yes if (left < right if kind == "below" else left == right) else no
        truth, after, (first, second) = _room(left, right)
        match first, second:
            case np.ndarray(), np.ndarray():
                kernel = self.kernels.below if kind == "below" else self.kernels.equal
                kernel(first, second, yes, no, after)
            case np.ndarray(), float():
                number_kernel = self.kernels.below_number if kind == "below" else self.kernels.equal_number
                number_kernel(first, second, yes, no, after)
            case float(), np.ndarray():
                number_kernel = self.kernels.above_number if kind == "below" else self.kernels.equal_number
                number_kernel(second, first, yes, no, after)
            case _:
                raise AssertionError("one of two aligned numbers is a column")
        return truth

    def _crossed(self, tree: Cross) -> int | TruthArray:
        left, right = self._number(tree.left), self._number(tree.right)
        if tree.direction == "below":  # what crosses below is crossed above by the other
            left, right = right, left
        assert isinstance(left, _Column) or isinstance(right, _Column), f"nothing moves in {format(tree)}"
        truth, after, (first, second) = _room(left, right)
        match first, second:
            case np.ndarray(), np.ndarray():
                self.kernels.rises_through(first, second, after)
            case np.ndarray(), float():
                self.kernels.rises_through_number(first, second, after)
            case float(), np.ndarray():
                self.kernels.falls_through_number(second, first, after)
            case _:
                raise AssertionError("one of two aligned numbers is a column")
        return truth

    def _shared(self, tree: T, compute: Callable[[T], R]) -> R:
        """What `compute` makes of the tree, from the memo if it was made before."""
        if self.memo is None:
            return compute(tree)
        text, names = _text_and_parameters(tree)
        if names and not is_condition(tree):
            return compute(tree)
        key = text, tuple(float(self.parameters[name]) for name in names)
        found: R | None = self.memo.get(key)
        if found is None:
            found = compute(tree)
            if isinstance(found, np.ndarray):
                found.flags.writeable = False
            self.memo[key] = found
        return found


@lru_cache(maxsize=4096)
def _text_and_parameters(tree: Tree) -> tuple[str, tuple[str, ...]]:
    return format(tree), tuple(sorted(reads(tree).parameters))


# relation: how it is computed, whether with the sides swapped, what to write where that is true and where it is false
_COMPARISONS: Mapping[Relation, tuple[Literal["below", "equal"], bool, int, int]] = {
    "<": ("below", False, TRUE, FALSE),
    ">=": ("below", False, FALSE, TRUE),
    ">": ("below", True, TRUE, FALSE),
    "<=": ("below", True, FALSE, TRUE),
    "==": ("equal", False, TRUE, FALSE),
    "!=": ("equal", False, FALSE, TRUE),
}


def _quotient(left: Any, right: Any, out: FloatArray) -> None:
    np.divide(left, right, out=out)
    np.copyto(out, np.nan, where=np.equal(right, 0.0))


_UFUNCS: Mapping[Operator | Function, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": _quotient,
    "abs": np.abs,
    "min": np.minimum,
    "max": np.maximum,
}


def _applied(ufunc: Callable[..., Any], *numbers: float | _Column) -> float | _Column:
    """The function of one or two numbers, candle by candle."""
    with np.errstate(all="ignore"):  # what cannot be computed is NaN: unknown
        if not any(isinstance(number, _Column) for number in numbers):
            result = np.empty(())
            ufunc(*numbers, out=result)
            return float(result)
        values, after, cuts = _aligned(numbers, np.float64, np.nan)
        ufunc(*cuts, out=after)
    values.flags.writeable = False
    return _Column(values, 0)


def _room(left: float | _Column, right: float | _Column) -> tuple[TruthArray, TruthArray, list[float | FloatArray]]:
    return _aligned([left, right], np.uint8, UNKNOWN)


def _aligned(
    numbers: Sequence[float | _Column], kind: type[K], unknown: float
) -> tuple[NDArray[K], NDArray[K], list[float | FloatArray]]:
    """Room for a result, the part of it where every number is known to reach back, and the numbers for that part."""
    columns = [number for number in numbers if isinstance(number, _Column)]
    candles = len(columns[0].values)
    first = min(candles, max(column.back for column in columns))
    result = np.empty(candles, kind)
    result[:first] = unknown
    cuts: list[float | FloatArray] = []
    for number in numbers:
        if isinstance(number, _Column):
            start = max(0, first - number.back)
            cuts.append(number.values[start : start + candles - first])
        else:
            cuts.append(number)
    return result, result[first:], cuts


def _both(left: int | TruthArray, right: int | TruthArray) -> int | TruthArray:
    """The truth of left and right: the smaller."""
    if isinstance(left, int):
        if isinstance(right, int):
            return min(left, right)
        left, right = right, left
    if isinstance(right, int):
        return left if right == TRUE else np.minimum(left, np.uint8(right))
    return np.minimum(left, right)


def _either(left: int | TruthArray, right: int | TruthArray) -> int | TruthArray:
    """The truth of left or right: the larger."""
    if isinstance(left, int):
        if isinstance(right, int):
            return max(left, right)
        left, right = right, left
    if isinstance(right, int):
        return left if right == FALSE else np.maximum(left, np.uint8(right))
    return np.maximum(left, right)
