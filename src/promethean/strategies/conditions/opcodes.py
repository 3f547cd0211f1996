"""What a step of a compiled condition does; the order is what `holds` tells the groups by."""

from __future__ import annotations

# Put one value on the stack.
ROW = 0  # of row `operand` at this candle
ROW_BEFORE = 1  # of row `operand` at the candle before; NaN at the first
CONSTANT = 2  # number `operand` of the constants
POSITION = 3  # number `operand` of `tree.POSITION`

# Change the last value.
NEGATIVE = 4
ABS = 5
NOT = 6

# Take four values (left and right of the candle before, then of this one), give the truth of a cross above.
CROSS = 7

# Take two values, give one.
ADD = 8
SUBTRACT = 9
MULTIPLY = 10
DIVIDE = 11
MIN = 12
MAX = 13
LESS = 14
LESS_OR_EQUAL = 15
EQUAL = 16
UNEQUAL = 17
AND = 18
OR = 19
