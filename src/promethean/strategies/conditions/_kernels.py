"""The loops of conditions as machine code.

Truth is one byte a candle: 0 false, 1 unknown, 2 true.  So `and` is the smaller, `or` the larger, `not` is 2 minus it.
A comparison with NaN is false both ways round, which is how unknown is told here.
"""

from __future__ import annotations

import math

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.indicators.compiled import compiled, lean
from promethean.strategies.conditions import opcodes
from promethean.strategies.conditions.evaluate import TruthArray

UNKNOWN = np.uint8(1)


@compiled
def below(left: FloatArray, right: FloatArray, yes: int, no: int, truth: TruthArray) -> None:
    """Write `yes` where left < right, `no` where left >= right, else unknown; all of one length."""
    yes_byte, no_byte = np.uint8(yes), np.uint8(no)
    for i in range(len(truth)):
        truth[i] = yes_byte if left[i] < right[i] else (no_byte if left[i] >= right[i] else UNKNOWN)


@compiled
def below_number(left: FloatArray, right: float, yes: int, no: int, truth: TruthArray) -> None:
    """As `below`, with one number on the right."""
    yes_byte, no_byte = np.uint8(yes), np.uint8(no)
    for i in range(len(truth)):
        truth[i] = yes_byte if left[i] < right else (no_byte if left[i] >= right else UNKNOWN)


@compiled
def above_number(left: FloatArray, right: float, yes: int, no: int, truth: TruthArray) -> None:
    """As `below_number`, for left > right."""
    yes_byte, no_byte = np.uint8(yes), np.uint8(no)
    for i in range(len(truth)):
        truth[i] = yes_byte if left[i] > right else (no_byte if left[i] <= right else UNKNOWN)


@compiled
def equal(left: FloatArray, right: FloatArray, yes: int, no: int, truth: TruthArray) -> None:
    """Write `yes` where left == right, `no` where it is smaller or larger, else unknown; all of one length."""
    yes_byte, no_byte = np.uint8(yes), np.uint8(no)
    for i in range(len(truth)):
        differs = (left[i] < right[i]) | (left[i] > right[i])
        truth[i] = yes_byte if left[i] == right[i] else (no_byte if differs else UNKNOWN)


@compiled
def equal_number(left: FloatArray, right: float, yes: int, no: int, truth: TruthArray) -> None:
    """As `equal`, with one number on the right."""
    yes_byte, no_byte = np.uint8(yes), np.uint8(no)
    for i in range(len(truth)):
        differs = (left[i] < right) | (left[i] > right)
        truth[i] = yes_byte if left[i] == right else (no_byte if differs else UNKNOWN)


@compiled
def rises_through(left: FloatArray, right: FloatArray, truth: TruthArray) -> None:
    """Whether left crosses above right; of the first candle nothing is known."""
    truth[:1] = UNKNOWN
    for i in range(1, len(truth)):
        before, now, line, line_now = left[i - 1], left[i], right[i - 1], right[i]
        known = (before == before) & (now == now) & (line == line) & (line_now == line_now)
        truth[i] = np.uint8(2 * ((before <= line) & (now > line_now))) if known else UNKNOWN


@compiled
def rises_through_number(left: FloatArray, right: float, truth: TruthArray) -> None:
    """As `rises_through`, with one number on the right."""
    truth[:1] = UNKNOWN
    for i in range(1, len(truth)):
        before, now = left[i - 1], left[i]
        known = (before == before) & (now == now) & (right == right)
        truth[i] = np.uint8(2 * ((before <= right) & (now > right))) if known else UNKNOWN


@compiled
def falls_through_number(left: FloatArray, right: float, truth: TruthArray) -> None:
    """Whether left crosses below a number; of the first candle nothing is known."""
    truth[:1] = UNKNOWN
    for i in range(1, len(truth)):
        before, now = left[i - 1], left[i]
        known = (before == before) & (now == now) & (right == right)
        truth[i] = np.uint8(2 * ((before >= right) & (now < right))) if known else UNKNOWN


@compiled
def as_numbers(truth: TruthArray, numbers: FloatArray) -> None:
    """Write 0.0, NaN, 1.0 for false, unknown, true."""
    for i in range(len(truth)):
        numbers[i] = math.nan if truth[i] == 1 else 0.5 * truth[i]


@lean
def holds(
    code: IntArray,
    constants: FloatArray,
    rows: FloatArray,
    stack: FloatArray,
    i: int,
    entry_price: float,
    pnl_pct: float,
    bars_held: float,
) -> int:
    """Whether a condition holds at candle `i` for this position: 1 yes, 0 no, -1 unknown.

    code:      int64, shape (m, 2), opcode and operand, postfix.
    constants: float64, shape (k,).
    rows:      float64, shape (r, n): what does not depend on the position, a row each.
    stack:     float64, room to compute in; nothing of it is kept from call to call, two threads need one each.
    The last three are those of `tree.POSITION`; NaN where unknown.  Truth is 0.0, 0.5, 1.0 on the stack.
    """
    top = -1
    for step in range(len(code)):
        opcode = code[step, 0]
        operand = code[step, 1]
        if opcode <= opcodes.POSITION:
            top += 1
            if opcode == opcodes.ROW:
                stack[top] = rows[operand, i]
            elif opcode == opcodes.ROW_BEFORE:
                stack[top] = rows[operand, i - 1] if i > 0 else math.nan
            elif opcode == opcodes.CONSTANT:
                stack[top] = constants[operand]
            else:
                stack[top] = entry_price if operand == 0 else (pnl_pct if operand == 1 else bars_held)
        elif opcode <= opcodes.NOT:
            value = stack[top]
            if opcode == opcodes.NEGATIVE:
                stack[top] = -value
            elif opcode == opcodes.ABS:
                stack[top] = abs(value)
            else:
                stack[top] = 1.0 - value
        elif opcode == opcodes.CROSS:
            top -= 3
            before, line, now, line_now = stack[top], stack[top + 1], stack[top + 2], stack[top + 3]
            if before == before and line == line and now == now and line_now == line_now:
                stack[top] = 1.0 if before <= line and now > line_now else 0.0
            else:
                stack[top] = 0.5
        else:
            top -= 1
            left, right = stack[top], stack[top + 1]
            known = left == left and right == right
            if opcode == opcodes.AND:
                value = min(left, right)
            elif opcode == opcodes.OR:
                value = max(left, right)
            elif opcode == opcodes.ADD:
                value = left + right
            elif opcode == opcodes.SUBTRACT:
                value = left - right
            elif opcode == opcodes.MULTIPLY:
                value = left * right
            elif opcode == opcodes.DIVIDE:
                value = left / right if right != 0.0 else math.nan
            elif opcode == opcodes.MIN:
                value = min(left, right) if known else math.nan
            elif opcode == opcodes.MAX:
                value = max(left, right) if known else math.nan
            elif not known:
                value = 0.5
            elif opcode == opcodes.LESS:
                value = 1.0 if left < right else 0.0
            elif opcode == opcodes.LESS_OR_EQUAL:
                value = 1.0 if left <= right else 0.0
            elif opcode == opcodes.EQUAL:
                value = 1.0 if left == right else 0.0
            else:
                value = 1.0 if left != right else 0.0
            stack[top] = value
    truth = stack[0]
    return 1 if truth == 1.0 else (0 if truth == 0.0 else -1)
