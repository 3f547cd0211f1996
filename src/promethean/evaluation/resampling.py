"""Other orders in which the trades of a backtest might have come: a circular block bootstrap (SPEC 23)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from promethean.domain.candles import FloatArray, IntArray
from promethean.evaluation.ledger import Trade

PERCENTILES = (5, 50, 95)
BATCH = 4_000_000  # blocks drawn at once, to hold memory down


class MonteCarlo(Struct, frozen=True):
    """What resampled runs came to.

    block:            trades in a block.  runs: how many were drawn.
    final_return:     at the end, fractions, by percentile (5, 50, 95).
    drawdown:         deepest fall from a peak, fractions, zero or below: 5 is the worst of the three.
    under_water:      share of the trades after which equity stood below its peak, by percentile.
    longest:          trades in the longest stretch under water, by percentile.
    ruin_probability: share of runs that lost `ruin_loss` of the start at some time.  ruin_loss: a fraction.
    loss_probability: share of runs that ended below their start.
    """

    runs: int
    block: int
    final_return: dict[int, float]
    drawdown: dict[int, float]
    under_water: dict[int, float]
    longest: dict[int, float]
    ruin_loss: float
    ruin_probability: float
    loss_probability: float


def trade_returns(trades: Sequence[Trade], cash: float) -> FloatArray | None:
    """The profit of each trade as a fraction of the equity before it; None where equity did not stay above zero.

    cash: quote units at the start.
    """
    profits = np.array([float(trade.pnl) for trade in trades])
    before = cash + np.concatenate(([0.0], np.cumsum(profits)[:-1]))[: len(profits)]
    if not (before > 0).all():
        return None
    returns: FloatArray = profits / before
    return returns


def block_length(count: int) -> int:
    """Trades in a block: the cube root of their number, at least one."""
    return max(1, round(math.cbrt(count)))


def bootstrap(returns: FloatArray, runs: int, ruin_loss: float, seed: int) -> MonteCarlo:
    """Resample the trades in blocks, so that streaks stay together, as many as there were in each run.

    returns:   as `trade_returns` gives them, at least one.
    ruin_loss: the loss of the start, a fraction, that counts as ruin.
    Source:    Politis and Romano (1992), A Circular Block-Resampling Procedure for Stationary Data.
    """
    from promethean.evaluation._resampled import resampled

    random = np.random.default_rng(seed)
    count = len(returns)
    block = block_length(count)
    blocks = -(-count // block)
    final, drawdown = np.empty(runs), np.empty(runs)
    under_water, longest = np.empty(runs, np.int64), np.empty(runs, np.int64)
    ruined, batch = 0, max(1, BATCH // blocks)
    for first in range(0, runs, batch):
        part = slice(first, min(first + batch, runs))
        starts = random.integers(0, count, (part.stop - first, blocks))
        ruined += resampled(
            returns, starts, block, 1.0 - ruin_loss, final[part], drawdown[part], under_water[part], longest[part]
        )
    return MonteCarlo(
        runs=runs,
        block=block,
        final_return=_percentiles(final - 1.0),
        drawdown=_percentiles(drawdown),
        under_water=_percentiles(under_water / count),
        longest=_percentiles(longest),
        ruin_loss=ruin_loss,
        ruin_probability=ruined / runs,
        loss_probability=float(np.mean(final < 1.0)),
    )


def _percentiles(values: FloatArray | IntArray) -> dict[int, float]:
    return {share: float(value) for share, value in zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)}
