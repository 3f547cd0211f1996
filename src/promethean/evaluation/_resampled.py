"""Equity over resampled trades, as a compiled loop."""

from __future__ import annotations

from promethean.domain.candles import FloatArray, IntArray
from promethean.indicators.compiled import compiled


@compiled
def resampled(
    returns: FloatArray, starts: IntArray, block: int, ruin: float, final: FloatArray, drawdown: FloatArray,
    under_water: IntArray, longest: IntArray,
) -> int:  # fmt: skip
    """Equity, 1 at the start, over trades drawn in blocks that go round the end; the number of ruined runs.

    returns:     of each trade, a fraction of the equity before it.  starts: first trade of each block, shape (runs, b).
    ruin:        equity at or below which a run counts as ruined, though it goes on.
    final, drawdown, under_water, longest: written a run each: equity at the end, deepest fall from a peak as a fraction
                 (zero or below), trades after which equity stood below its peak, the longest stretch of these.
    """
    count, ruined = len(returns), 0
    for run in range(len(starts)):
        equity, peak, deepest = 1.0, 1.0, 0.0
        below, stretch, most, is_ruined = 0, 0, 0, False
        left = count
        for first in starts[run]:
            for step in range(min(block, left)):
                equity = max(0.0, equity * (1.0 + returns[(first + step) % count]))
                if equity >= peak:
                    peak, stretch = equity, 0
                else:
                    below += 1
                    stretch += 1
                    most = max(most, stretch)
                    deepest = min(deepest, equity / peak - 1.0)
                    is_ruined = is_ruined or equity <= ruin
            left -= block
            if left <= 0:
                break
        final[run], drawdown[run] = equity, deepest
        under_water[run], longest[run] = below, most
        ruined += is_ruined
    return ruined
