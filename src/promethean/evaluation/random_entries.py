"""Would entries at random candles have done as well?  The same number of them, with the same exits and costs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from promethean.domain.candles import FloatArray, IntArray
from promethean.evaluation.backtest import find_path
from promethean.evaluation.rules import ENTRY, REVERSAL, Rules
from promethean.evaluation.sweep import Outcome, sweep
from promethean.strategies.arrays import CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT, ArrayStrategy, FlagArray, Said
from promethean.strategies.frame import Frame

PERCENTILES = (5, 50, 95)
CROWDED = 4  # candidates for each entry wanted, at first: many of them fall into a trade of another


class RandomEntries(Struct, frozen=True):
    """The strategy's entries beside random ones.

    trades:        of the strategy.  profit: its mean profit a trade, quote units.
    random_trades: mean number a run.  random_profit: mean profit a trade by percentile of the runs (5, 50, 95).
    p_value:       (1 + runs that did as well or better) / (1 + runs).
    """

    runs: int
    trades: int
    profit: float
    random_trades: float
    random_profit: dict[int, float]
    p_value: float


class Entries(Struct, frozen=True):
    """Entries of a path, in their order; arrays of shape (n,).

    at:     the candles at whose close they were said.  closed: the candles on which their positions ended.
    side:   +1 or -1.
    levels: stop and targets as multiples of the close at which they were said, shape (n, levels); NaN: the file's.
    """

    at: IntArray
    closed: IntArray
    side: FlagArray
    levels: FloatArray

    def __len__(self) -> int:
        return len(self.at)

    def only(self, places: IntArray) -> Entries:
        """Some of them."""
        return Entries(self.at[places], self.closed[places], self.side[places], self.levels[places])


class _Spoken:
    """An array strategy that says what it was given."""

    def __init__(self, strategy: ArrayStrategy, said: Said) -> None:
        self.id, self.instrument, self.timeframe = strategy.id, strategy.instrument, strategy.timeframe
        self.window, self._said = 1, said

    def say(self, frame: Frame) -> Said:
        return self._said

    def reason(self, said: Said, at: int) -> str:
        return "drawn at random"


def against_random(
    strategy: ArrayStrategy,
    said: Said,
    rules: Rules,
    frame: Frame,
    runs: int,
    seed: int,
    done: Callable[[int, int], None] = lambda *_: None,
) -> RandomEntries | None:
    """Compare a strategy's entries with random ones; None where it has none.

    said:  what the strategy says over the frame.
    rules: of the compiled loop; every order is filled whole, and an opposite signal closes.
    done:  is told runs done and to do.
    A random entry takes side, stop and targets from one of the strategy's, the latter two at the same distance.  What
    the strategy says against a position closes the random ones as well.
    """
    own = _entries(rules, said, frame)
    if not len(own):
        return None
    (observed,) = sweep([({}, _Spoken(strategy, said), rules)], frame)
    profit = _mean_profit(observed, rules)
    random, leaving = np.random.default_rng(seed), replace(said, leave=_leaving(said))

    def drawn() -> Said:
        return _said(_draw(random, own, leaving, rules, frame), leaving, frame)

    no_name: dict[str, str] = {}
    variants = ((no_name, _Spoken(strategy, drawn()), rules) for _ in range(runs))
    outcomes = sweep(variants, frame, lambda count: done(count, runs))
    profits = np.array([_mean_profit(outcome, rules) for outcome in outcomes])
    counts = np.array([outcome.trades for outcome in outcomes])
    spread = np.percentile(profits, PERCENTILES).tolist()
    as_good = int(np.count_nonzero(profits >= profit))
    return RandomEntries(
        runs, observed.trades, profit, float(counts.mean()), dict(zip(PERCENTILES, spread, strict=True)),
        (1 + as_good) / (1 + runs),
    )  # fmt: skip


def _mean_profit(outcome: Outcome, rules: Rules) -> float:
    return (outcome.final_equity - float(rules.cash)) / outcome.trades if outcome.trades else 0.0


def _leaving(said: Said) -> FlagArray:
    """Where positions are closed: where the strategy says so, and where it speaks for the other side."""
    against = np.where(said.side > 0, CLOSES_SHORT, np.where(said.side < 0, CLOSES_LONG, 0))
    both = (said.leave != 0) & (against != 0) & (said.leave != against)
    leave: FlagArray = np.where(both, CLOSES_ALL, np.where(said.leave != 0, said.leave, against)).astype(np.int8)
    return leave


def _entries(rules: Rules, said: Said, frame: Frame) -> Entries:
    """The entries that the rules make of what is said."""
    found = find_path(rules, said, frame.candles, to_ruin=True)
    assert found is not None, "every order is filled whole"
    filled, kind = found.fills[:, 0].astype(np.int64), found.fills[:, 1].astype(np.int64)
    entered = np.flatnonzero(kind & ~REVERSAL == ENTRY)
    at = filled[entered] - np.abs(found.fills[entered, 2]).astype(np.int64)
    last = np.append(entered[1:], len(filled))[: len(entered)] - 1
    closed = np.where(last > entered, filled[last], len(frame))
    if found.held and len(closed):
        closed[-1] = len(frame)  # what is still open keeps its place to the end
    close = frame.candles.close[at]
    levels = [np.full(len(at), np.nan) if said.stop is None else said.stop[at] / close]
    levels += [values[at] / close for values in said.targets]
    return Entries(at, closed, said.side[at], np.stack(levels, axis=1))


def _said(entries: Entries, leaving: Said, frame: Frame) -> Said:
    """These entries and no others, left as `leaving` says."""
    length = len(frame)
    side = np.zeros(length, np.int8)
    side[entries.at] = entries.side
    prices = []
    for level in entries.levels.T:
        values = np.full(length, np.nan)
        values[entries.at] = level * frame.candles.close[entries.at]
        prices.append(values)
    sure = np.broadcast_to(np.float64(1.0), length)
    return Said(side, leaving.leave, sure, {}, 0, prices[0], tuple(prices[1:]), leaving.exit)


def _draw(random: np.random.Generator, own: Entries, leaving: Said, rules: Rules, frame: Frame) -> Entries:
    """As many entries as the strategy's own, at random candles, none while the position of another is open."""
    crowd = CROWDED
    while True:
        number = min(len(frame) - 1, crowd * len(own))
        pools = [
            _made(random, own, side, number, leaving, rules, frame) for side in (1, -1) if (own.side == side).any()
        ]
        chosen = _without_overlap(random, own, pools)
        if len(chosen) >= len(own) or number == len(frame) - 1:
            return chosen
        crowd *= CROWDED


def _made(
    random: np.random.Generator, own: Entries, side: int, number: int, leaving: Said, rules: Rules, frame: Frame
) -> Entries:
    """Random entries of one side, as far as they do not fall into one another's positions."""
    at = np.sort(random.choice(len(frame) - 1, number, replace=False))
    alike = random.choice(np.flatnonzero(own.side == side), number)
    drawn = Entries(at, at, own.side[alike], own.levels[alike])
    return _entries(rules, _said(drawn, leaving, frame), frame)


def _without_overlap(random: np.random.Generator, own: Entries, pools: list[Entries]) -> Entries:
    """As many of each side as the strategy has, drawn from the pools."""
    if len(pools) == 1:
        (pool,) = pools
        return pool.only(np.sort(random.permutation(len(pool))[: len(own)]))
    pool = Entries(*(np.concatenate([getattr(one, name) for one in pools]) for name in Entries.__struct_fields__))
    left = {side: int((own.side == side).sum()) for side in (1, -1)}
    starts: list[int] = []
    ends: list[int] = []
    chosen: list[int] = []
    for place in random.permutation(len(pool)).tolist():
        side, start, end = int(pool.side[place]), int(pool.at[place]), int(pool.closed[place])
        after = bisect_left(starts, start)
        is_free = (not after or ends[after - 1] <= start) and (after == len(starts) or end <= starts[after])
        if left[side] and is_free:
            left[side] -= 1
            starts.insert(after, start)
            ends.insert(after, end)
            chosen.append(place)
    return pool.only(np.array(sorted(chosen), np.int64))
