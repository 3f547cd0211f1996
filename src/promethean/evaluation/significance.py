"""How much of a Sharpe ratio is luck: its probability, and what the best of many trials owes to their number.

Source: Bailey and Lopez de Prado (2012), The Sharpe Ratio Efficient Frontier, and (2014), The Deflated Sharpe Ratio:
        PSR(SR*) = Phi((SR - SR*) sqrt(T - 1) / sqrt(1 - g3 SR + (g4 - 1) / 4 SR^2)), with g3 the skewness and g4 the
        kurtosis (3 of a normal distribution); E[max] = sqrt(V) ((1 - g) z(1 - 1/N) + g z(1 - 1/(N e))), with z the
        normal quantile, g Euler's constant and V the variance of the trials' Sharpe ratios.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from msgspec import Struct

from promethean.domain.candles import FloatArray

NORMAL = NormalDist()


class Deflated(Struct, frozen=True):
    """A Sharpe ratio of daily returns beside what luck alone would show.

    sharpe, expected_maximum: not annualised.  days: returns.  trials: forms tried, this one included.
    variance:                 of the trials' Sharpe ratios.  is_recorded: whether theirs is known, or that of luck.
    probability:              that the true Sharpe ratio is above the expected maximum.  above_zero: above zero.
    """

    sharpe: float
    days: int
    skewness: float
    kurtosis: float
    trials: int
    variance: float
    is_recorded: bool
    expected_maximum: float
    probability: float | None
    above_zero: float | None


def probabilistic_sharpe(
    sharpe: float, benchmark: float, observations: int, skewness: float, kurtosis: float
) -> float | None:
    """The probability that the true Sharpe ratio is above a benchmark; None where the formula has no answer.

    sharpe, benchmark: of one observation, not annualised.  observations: returns it was estimated from.
    """
    if observations < 2:
        return None
    spread = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if not spread > 0.0:
        return None
    return NORMAL.cdf((sharpe - benchmark) * math.sqrt(observations - 1) / math.sqrt(spread))


def expected_maximum(trials: int, variance: float) -> float:
    """The Sharpe ratio that the best of `trials` without any skill is expected to show.

    variance: of the trials' Sharpe ratios, of one observation.
    """
    if trials < 2:
        return 0.0
    gamma = float(np.euler_gamma)
    first, second = NORMAL.inv_cdf(1.0 - 1.0 / trials), NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - gamma) * first + gamma * second)


def deflated_sharpe(
    sharpe: float, observations: int, skewness: float, kurtosis: float, trials: int, variance: float
) -> float | None:
    """The probability that the true Sharpe ratio is above what luck gives the best of the trials."""
    return probabilistic_sharpe(sharpe, expected_maximum(trials, variance), observations, skewness, kurtosis)


def deflate(returns: FloatArray, trials: int, variance: float | None) -> Deflated | None:
    """The Sharpe ratio of daily returns beside what the best of the trials would show by luck alone.

    trials:   forms tried, this one included.
    variance: of their Sharpe ratios, not annualised; None: unknown, and taken for what the Sharpe ratios of forms
              without any skill vary by over so many returns.
    Returns:  None for fewer than two returns, or none that differ.
    """
    found = moments(returns)
    if found is None:
        return None
    sharpe, skewness, kurtosis = found
    spread = 1.0 / (len(returns) - 1) if variance is None else variance
    of = (len(returns), skewness, kurtosis)
    return Deflated(
        sharpe, *of, trials, spread, variance is not None, expected_maximum(trials, spread),
        deflated_sharpe(sharpe, *of, trials, spread), probabilistic_sharpe(sharpe, 0.0, *of),
    )  # fmt: skip


def moments(returns: FloatArray) -> tuple[float, float, float] | None:
    """Sharpe ratio of one observation, skewness and kurtosis; None for fewer than two returns or none that differ.

    The Sharpe ratio is that of the metrics, with n - 1; the moments are those of the sample.
    """
    if len(returns) < 2:
        return None
    centred = returns - returns.mean()
    deviation = math.sqrt(float(np.mean(centred**2)))
    if not deviation > 0.0:
        return None
    sharpe = float(returns.mean()) / float(np.std(returns, ddof=1))
    return sharpe, float(np.mean((centred / deviation) ** 3)), float(np.mean((centred / deviation) ** 4))
