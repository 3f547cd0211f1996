"""What a model's class probabilities say: a vote, and the exit on a reversed opinion (SPEC 7.1, 7.8)."""

from __future__ import annotations

import math

import numpy as np

from promethean.domain.candles import FloatArray
from promethean.domain.errors import ConfigError
from promethean.domain.market import Side
from promethean.domain.signals import SignalSource
from promethean.indicators.order_flow.bands import EXACTNESS, reaches
from promethean.strategies.arrays import CLOSES_LONG, CLOSES_SHORT, FlagArray
from promethean.strategies.sources.answer import Answer

PROBABILITY_MIN = 0.65
REVERSAL_CANDLES = 2
ROUNDING = 1e-6  # what single precision leaves of probabilities that are one together


def check_probability_min(value: float) -> None:
    """Raises ConfigError unless at most one class can reach it."""
    if not 0.5 < value <= 1:
        raise ConfigError(f"min_confidence is {value:g}; it lies above 0.5, so that one class has it, and up to 1")


def model_answer(
    buy: float, sell: float, at_ns: int, model: str = "model", probability_min: float = PROBABILITY_MIN
) -> Answer | None:
    """What a model's probabilities say.

    buy, sell: probabilities of the two classes, 0-1, at most 1 together; what remains is no move.  NaN: not known.
    Returns:   the more probable of the two from `probability_min` on, else HOLD; None where they are not known.
    Raises:    ValueError for what are no probabilities, ConfigError for a `probability_min` not above 0.5.
    """
    check_probability_min(probability_min)
    if math.isnan(buy) or math.isnan(sell):
        return None
    if not (0 <= buy <= 1 and 0 <= sell <= 1 and buy + sell <= 1 + ROUNDING):
        raise ValueError(f"{buy} and {sell} are no probabilities of two classes")
    values = {"buy": buy, "sell": sell}
    side, probability = (Side.BUY, buy) if buy > sell else (Side.SELL, sell)
    reason = f"{model} gives {side} a probability of {probability:.3f}"
    if not reaches(probability, probability_min):
        return Answer(SignalSource.ML_MODEL, None, 0.0, f"{reason}, below {probability_min:g}", at_ns, values)
    return Answer(SignalSource.ML_MODEL, side, probability, reason, at_ns, values)


def reversal_flags(
    buy: FloatArray, sell: FloatArray, probability_min: float = PROBABILITY_MIN, candles: int = REVERSAL_CANDLES
) -> FlagArray:
    """Where the model's opinion has turned against a side: `ml_reversal` (SPEC 7.8).

    buy, sell: float64, shape (n,), class probabilities 0-1 at the close of each candle; NaN where not known.
    candles:   on how many candles in a row the class has its probability, this one included, at least 1.
    Returns:   int8, shape (n,): CLOSES_LONG where SELL has it, CLOSES_SHORT where BUY has it, else 0.
    Raises:    ValueError for arrays of different lengths, what are no probabilities, and candles below 1; ConfigError
               as `model_answer`.
    """
    check_probability_min(probability_min)
    if len(buy) != len(sell) or candles < 1:
        raise ValueError(f"{len(buy)} and {len(sell)} probabilities cannot be read over {candles} candles")
    wrong = np.flatnonzero((buy < 0) | (sell < 0) | (buy + sell > 1 + ROUNDING) | (buy > 1) | (sell > 1))
    if len(wrong):
        raise ValueError(f"{buy[wrong[0]]} and {sell[wrong[0]]} are no probabilities of two classes")
    limit = probability_min - EXACTNESS * probability_min
    longs, shorts = (_in_a_row(values >= limit, candles) for values in (sell, buy))
    flags: FlagArray = longs.astype(np.int8) * np.int8(CLOSES_LONG) + shorts.astype(np.int8) * np.int8(CLOSES_SHORT)
    return flags


def _in_a_row(holds: np.ndarray, candles: int) -> np.ndarray:
    count = np.arange(1, len(holds) + 1)
    broken = np.maximum.accumulate(np.where(holds, 0, count)) if len(holds) else count
    return count - broken >= candles
