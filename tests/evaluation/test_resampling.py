"""The block bootstrap: by hand where a case has one answer, against a plain loop where it has not."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.market import Side
from promethean.evaluation._resampled import resampled
from promethean.evaluation.ledger import Trade
from promethean.evaluation.resampling import block_length, bootstrap, trade_returns

D = Decimal


def trades(*profits: str) -> list[Trade]:
    return [Trade(Side.BUY, n, n + 1, D(1000), D(profit), D(0), "stop") for n, profit in enumerate(profits)]


def test_returns_are_of_the_equity_before_each_trade() -> None:
    found = trade_returns(trades("100", "-220", "0"), 1000.0)
    assert found is not None
    assert found.tolist() == [0.1, -0.2, 0.0]


def test_equity_that_did_not_stay_above_zero_has_no_returns() -> None:
    assert trade_returns(trades("-1000", "5"), 1000.0) is None
    lost = trade_returns(trades("-1000"), 1000.0)
    assert lost is not None and lost.tolist() == [-1.0]


def test_equal_trades_have_one_future() -> None:
    found = bootstrap(np.full(10, 0.01), 500, 0.5, 0)
    assert {round(value, 12) for value in found.final_return.values()} == {round(1.01**10 - 1, 12)}
    assert set(found.drawdown.values()) == set(found.under_water.values()) == {0.0}
    assert (found.ruin_probability, found.loss_probability) == (0.0, 0.0)


def test_losing_trades_ruin_every_run() -> None:
    found = bootstrap(np.full(10, -0.1), 500, 0.5, 0)
    assert (found.ruin_probability, found.loss_probability) == (1.0, 1.0)
    assert found.drawdown[50] == pytest.approx(0.9**10 - 1)
    assert (found.under_water[50], found.longest[50]) == (1.0, 10)
    assert bootstrap(np.full(10, -0.1), 500, 0.7, 0).ruin_probability == 0.0, "35 % of the start are left"


def test_a_lost_account_stays_lost() -> None:
    found = bootstrap(np.array([0.5, -1.0]), 2_000, 0.5, 0)
    assert found.final_return[5] == -1.0
    assert found.ruin_probability == pytest.approx(0.75, abs=0.05)  # blocks of one trade: both must be the gain
    assert found.final_return[95] == pytest.approx(1.25)


def test_one_seed_gives_one_answer_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = np.random.default_rng(3).normal(0.001, 0.02, 200)
    whole = bootstrap(returns, 1_000, 0.2, 7)
    assert bootstrap(returns, 1_000, 0.2, 7) == whole
    assert bootstrap(returns, 1_000, 0.2, 8) != whole
    monkeypatch.setattr("promethean.evaluation.resampling.BATCH", 997)
    assert bootstrap(returns, 1_000, 0.2, 7) == whole


def test_independent_trades_spread_as_theory_says() -> None:
    returns = np.random.default_rng(1).normal(0.0, 0.01, 400)
    found = bootstrap(returns, 10_000, 0.5, 0)
    log = np.log1p(returns)
    middle, spread = log.sum(), log.std() * np.sqrt(400)
    assert np.log1p(found.final_return[50]) == pytest.approx(middle, abs=0.02)
    wide = np.log1p(found.final_return[95]) - np.log1p(found.final_return[5])
    assert wide == pytest.approx(2 * 1.645 * spread, rel=0.25)  # blocks keep what chance correlates


@pytest.mark.parametrize(("count", "block"), [(1, 1), (8, 2), (27, 3), (500, 8), (1_000, 10)])
def test_a_block_is_the_cube_root_of_the_trades(count: int, block: int) -> None:
    assert block_length(count) == block


@given(
    st.lists(st.floats(-0.6, 0.6), min_size=1, max_size=12),
    st.integers(1, 5),
    st.integers(0, 10**6),
    st.floats(0.1, 0.9),
)
def test_the_compiled_loop_is_the_plain_one(returns: list[float], block: int, seed: int, ruin: float) -> None:
    count = len(returns)
    starts = np.random.default_rng(seed).integers(0, count, (3, -(-count // block)))
    final, deepest = np.empty(3), np.empty(3)
    below, longest = np.empty(3, np.int64), np.empty(3, np.int64)
    ruined = resampled(np.array(returns), starts, block, ruin, final, deepest, below, longest)
    lost = 0
    for run in range(3):
        order = [(first + step) % count for first in starts[run] for step in range(block)][:count]
        path = np.cumprod([1.0] + [1.0 + returns[place] for place in order])
        peaks = np.maximum.accumulate(path)
        wet = path < peaks
        stretches = "".join("w" if each else " " for each in wet).split()
        assert final[run] == pytest.approx(path[-1])
        assert deepest[run] == pytest.approx((path / peaks - 1).min())
        assert (below[run], longest[run]) == (wet.sum(), max(map(len, stretches), default=0))
        lost += bool((path[wet] <= ruin).any())
    assert ruined == lost
