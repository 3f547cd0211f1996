"""Random entries: as many, on the same sides, with the same exits; and a p-value that means what it says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from tests.evaluation.markets import Scripted, market
from tests.evaluation.planted import walk
from tests.evaluation.test_backtest import seat_of, terms

from promethean.domain.candles import CandleSeries, FloatArray
from promethean.engine.desk import OnOpposite
from promethean.evaluation import random_entries
from promethean.evaluation.random_entries import RandomEntries, against_random
from promethean.evaluation.rules import Rules
from promethean.strategies.arrays import CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT, Said
from promethean.strategies.conditions.parser import parse
from promethean.strategies.conditions.program import Plan
from promethean.strategies.conditions.scope import Scope
from promethean.strategies.frame import Frame

CANDLES = walk(4_000)
LENGTH = len(CANDLES)


def scripted(side: Any, leave: Any, *, futures: bool = False) -> tuple[Scripted, Rules]:
    strategy = Scripted(market("0.01", "0.001", futures=futures), side, leave)
    seat = replace(seat_of(strategy, futures=futures), on_opposite=OnOpposite.CLOSE)
    return strategy, Rules(seat, terms(), Decimal(100_000))


def compare(
    side: Any, leave: Any, *, runs: int = 39, seed: int = 0, futures: bool = False, candles: CandleSeries = CANDLES
) -> RandomEntries:
    strategy, rules = scripted(side, leave, futures=futures)
    found = against_random(strategy, strategy.said, rules, Frame(candles, "1m"), runs, seed)
    assert found is not None
    return found


def said_at(places: Any, value: int = 1) -> Any:
    array = np.zeros(LENGTH, np.int8)
    array[places] = value
    return array


def draw(strategy: Scripted, rules: Rules, seed: int = 0) -> tuple[random_entries.Entries, random_entries.Entries]:
    frame = Frame(CANDLES, "1m")
    own = random_entries._entries(rules, strategy.said, frame)
    leaving = replace(strategy.said, leave=random_entries._leaving(strategy.said))
    return own, random_entries._draw(np.random.default_rng(seed), own, leaving, rules, frame)


def test_a_strategy_that_knows_the_future_beats_every_run() -> None:
    ahead = np.append(CANDLES.close[20:], np.full(20, np.nan)) / CANDLES.close
    entries = np.flatnonzero(ahead > np.nanquantile(ahead, 0.97))
    found = compare(said_at(entries), said_at(slice(None, None, 20)))
    assert found.p_value == 1 / 40
    assert found.profit > found.random_profit[95]


def test_one_that_knows_it_the_wrong_way_round_beats_none() -> None:
    ahead = np.append(CANDLES.close[20:], np.full(20, np.nan)) / CANDLES.close
    entries = np.flatnonzero(ahead < np.nanquantile(ahead, 0.03))
    assert compare(said_at(entries), said_at(slice(None, None, 20))).p_value == 1.0


@pytest.mark.parametrize("futures", [False, True], ids=["one side", "both sides"])
def test_random_strategies_have_p_values_that_are_spread_evenly(*, futures: bool) -> None:
    values = []
    for seed in range(60):
        random = np.random.default_rng(1_000 + seed)
        side = np.where(random.random(LENGTH) < 0.01, random.choice([1, -1], LENGTH) if futures else 1, 0)
        leave = (random.random(LENGTH) < 0.02) * CLOSES_ALL
        values.append(compare(side, leave, runs=19, seed=seed, futures=futures, candles=walk(LENGTH, seed)).p_value)
    assert np.mean(values) == pytest.approx(0.525, abs=0.11)  # three deviations of the mean of 60
    assert 1 <= sum(value <= 0.2 for value in values) <= 24


def test_one_seed_gives_one_answer() -> None:
    side, leave = said_at(slice(50, None, 100)), said_at(slice(None, None, 30))
    assert compare(side, leave, seed=5) == compare(side, leave, seed=5)
    assert compare(side, leave, seed=5) != compare(side, leave, seed=6)


@pytest.mark.parametrize("seed", range(5))
def test_as_many_on_each_side_and_none_while_another_is_open(seed: int) -> None:
    side = said_at(slice(40, None, 90))
    side[85::270] = -1
    strategy, rules = scripted(side, said_at(slice(20, None, 45)), futures=True)
    own, drawn = draw(strategy, rules, seed)
    assert len(own) > 40
    assert [(drawn.side == way).sum() for way in (1, -1)] == [(own.side == way).sum() for way in (1, -1)]
    order = np.argsort(drawn.at)
    assert (drawn.at[order][1:] >= drawn.closed[order][:-1]).all()
    assert set(drawn.at.tolist()) != set(own.at.tolist())


def test_a_strategy_that_is_always_in_the_market_is_compared_with_what_fits() -> None:
    side = np.ones(LENGTH, np.int8)
    found = compare(side, said_at(slice(None, None, 2)), runs=20)
    assert 0.9 * found.trades < found.random_trades <= found.trades


def test_stops_and_targets_of_its_own_keep_their_distance() -> None:
    close = CANDLES.close
    strategy, rules = scripted(said_at(slice(10, None, 50)), said_at(slice(None, None, 40)))
    stop = np.where(strategy.said.side > 0, close * 0.97, np.nan)
    target = np.where(strategy.said.side > 0, close * 1.02, np.nan)
    strategy.said = Said(strategy.said.side, strategy.said.leave, strategy.said.confidence, {}, 0, stop, (target,))
    _, drawn = draw(strategy, rules)
    made = random_entries._said(drawn, strategy.said, Frame(CANDLES, "1m"))
    assert made.stop is not None
    assert made.stop[drawn.at] / close[drawn.at] == pytest.approx(0.97)
    assert made.targets[0][drawn.at] / close[drawn.at] == pytest.approx(1.02)
    assert np.isnan(np.delete(made.stop, drawn.at)).all()


def test_what_is_said_for_one_side_closes_the_other() -> None:
    side, leave = np.array([1, -1, 1, -1, 0, 0], np.int8), np.array([0, 0, 2, 2, 4, 1], np.int8)
    strategy, _ = scripted(side, leave)
    told = random_entries._leaving(strategy.said).tolist()
    assert told == [CLOSES_SHORT, CLOSES_LONG, CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT, CLOSES_ALL]


@pytest.mark.parametrize("count", [1, 2, 4_000])
def test_a_strategy_without_an_entry_has_nothing_to_compare(count: int) -> None:
    candles = walk(count)
    side = np.zeros(count, np.int8)
    side[-1] = 1  # said at the last close: there is no candle to fill it
    strategy, rules = scripted(side, np.zeros(count))
    assert against_random(strategy, strategy.said, rules, Frame(candles, "1m"), 20, 0) is None


def test_one_entry_on_two_candles_is_compared() -> None:
    strategy, rules = scripted([1, 0], [0, 0])
    found = against_random(strategy, strategy.said, rules, Frame(walk(2), "1m"), 20, 0)
    assert found is not None
    assert (found.trades, found.random_trades, found.p_value) == (1, 1.0, 1.0)


def test_conditions_on_the_position_close_random_entries_too() -> None:
    strategy, rules = scripted(said_at(slice(10, None, 50)), said_at(slice(0)))
    program = Plan.of(parse("BARS_HELD >= 7", Scope(frozenset(), position=True))).bind(
        dict[str, FloatArray]().__getitem__, {}, length=LENGTH
    )
    strategy.said = replace(strategy.said, exit=program)
    own, drawn = draw(strategy, rules)
    for entries in (own, drawn):
        inside = entries.closed < LENGTH
        assert set((entries.closed - entries.at)[inside].tolist()) <= set(range(1, 9))
        assert 8 in (entries.closed - entries.at)[inside]
