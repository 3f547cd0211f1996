"""Array strategies whose votes are counted: alone, and together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.strategies.recorded import invented

from promethean.domain.candles import Candle, FloatArray
from promethean.domain.events import CandleClosed
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.market import MarketView
from promethean.domain.signals import Signal, SignalSource, SignalType
from promethean.engine.combined import Alone, Combined, Part
from promethean.engine.decide import Aggregation, Configured, Panel, decide
from promethean.strategies.arrays import (
    CLOSES_ALL,
    CLOSES_LONG,
    CLOSES_SHORT,
    ArrayStrategy,
    Prepared,
    Said,
    Telling,
    Trailing,
)
from promethean.strategies.conditions.parser import parse
from promethean.strategies.conditions.program import Plan
from promethean.strategies.conditions.scope import Scope
from promethean.strategies.frame import Frame
from promethean.strategies.held import Held
from promethean.strategies.sources.answer import Answer

BTC = InstrumentId("binance:BTCUSDT")
MODES = tuple(Aggregation)
COUNT = 120
FRAME = Frame(invented(5, COUNT), "1m")
# Sources of a panel have names of their own; which ones these are does not matter.
SOURCES = (SignalSource.TECHNICAL, SignalSource.AGENT, SignalSource.NEWS)


class Fixed:
    """A strategy that says what it was made with."""

    id, instrument, timeframe = StrategyId("fixed"), BTC, "1m"

    def __init__(self, said: Said, window: int = 1) -> None:
        self.said, self.window = said, window

    def say(self, frame: Frame) -> Said:
        return self.said

    def reason(self, said: Said, at: int) -> str:
        assert said is self.said
        return f"it said so at {at}"


def drawn(seed: int, count: int = COUNT) -> Said:
    """Anything a strategy may say; its reading is not known at a fifth of the candles."""
    random = np.random.default_rng(seed)
    confidence = np.round(random.random(count), 2)
    reading = np.where(random.random(count) < 0.2, np.nan, random.random(count))
    side = np.where(random.random(count) < 0.6, random.integers(-1, 2, count), 0).astype(np.int8)
    leave = np.where(random.random(count) < 0.1, random.choice([1, 2, 4], count), 0).astype(np.int8)
    return Said(side, leave, confidence, {"reading": reading})


def one(
    side: int, confidence: float, *, leave: int = 0, stop: float | None = None, targets: tuple[float, ...] = ()
) -> Said:
    """What is said at a single candle."""
    return Said(
        np.array([side], np.int8),
        np.array([leave], np.int8),
        np.array([confidence]),
        {"x": np.ones(1)},
        stop=None if stop is None else np.array([stop]),
        targets=tuple(np.array([target]) for target in targets),
    )


def combined(
    said: list[Said], mode: Aggregation = Aggregation.WEIGHTED, threshold: float = 0.6, *, can_short: bool = True,
    weights: tuple[float, ...] = (1.0, 1.0, 1.0),
) -> Combined:  # fmt: skip
    parts = [
        Part(f"part {n}", Fixed(each), weight) for n, (each, weight) in enumerate(zip(said, weights, strict=False))
    ]
    return Combined(parts, mode, threshold, can_short=can_short)


def decided(said: list[Said], weights: tuple[float, ...], place: int, mode: Aggregation, threshold: float) -> Any:
    """What the engine's decision makes of the entries at one candle."""
    signals, answers = [], []
    for source, each in zip(SOURCES, said, strict=False):
        side, confidence = int(each.side[place]), float(each.confidence[place])
        if side:
            kind = SignalType.BUY if side > 0 else SignalType.SELL
            signals.append(Signal(kind, source, confidence, "why", BTC, "1m", 1, StrategyId("s")))
        elif each.leave[place] or not np.isnan(each.readings["reading"][place]):
            answers.append(Answer(source, None, 0.0, "nothing", 1))
    configured = tuple(Configured(s, w, 0) for s, w, _ in zip(SOURCES, weights, said, strict=False))
    return decide(signals, mode, threshold, Panel(configured, tuple(answers), 1))


@settings(max_examples=100)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.sampled_from(MODES),
    st.sampled_from([0.0, 0.3, 0.5, 0.6, 0.75]),
    st.tuples(*[st.sampled_from([0.25, 0.5, 1.0, 2.0])] * 3),
)
def test_at_every_candle_it_is_what_the_engine_would_decide(
    seed: int, count: int, mode: Aggregation, threshold: float, weights: tuple[float, ...]
) -> None:
    said = [drawn(seed + number) for number in range(count)]
    found = combined(said, mode, threshold, weights=weights).say(FRAME)
    for place in range(COUNT):
        decision = decided(said, weights, place, mode, threshold)
        assert found.side[place] == (0 if decision is None else 1 if decision.type is SignalType.BUY else -1)
        if decision is not None:
            assert found.confidence[place] == pytest.approx(decision.confidence, abs=1e-12)


@pytest.mark.parametrize(
    ("flags", "joint"),
    [
        ((0, 0), 0), ((0, CLOSES_LONG), CLOSES_LONG), ((CLOSES_SHORT, CLOSES_SHORT), CLOSES_SHORT),
        ((CLOSES_LONG, CLOSES_SHORT), CLOSES_ALL), ((CLOSES_ALL, CLOSES_LONG), CLOSES_ALL),
    ],
)  # fmt: skip
def test_any_of_them_may_close_without_the_others(flags: tuple[int, int], joint: int) -> None:
    said = combined([one(0, 0.2, leave=flags[0]), one(0, 0.9, leave=flags[1])]).say(FRAME)
    assert (said.side[0], said.leave[0]) == (0, joint)
    assert said.confidence[0] == (0.9 if flags[1] else 0.2 if flags[0] else 0)


def test_where_there_are_no_shorts_an_agreed_sell_closes_longs() -> None:
    said = combined([one(-1, 0.9), one(-1, 0.7)], can_short=False).say(FRAME)
    assert (said.side[0], said.leave[0], said.confidence[0]) == (0, CLOSES_LONG, 0.8)


def test_a_source_that_has_not_answered_is_left_out_and_one_that_holds_counts() -> None:
    silent = Said(np.zeros(1, np.int8), np.zeros(1, np.int8), np.ones(1), {"x": np.array([np.nan])})
    holding = one(0, 0.0)
    assert combined([one(1, 0.7), silent]).say(FRAME).side[0] == 1
    assert combined([one(1, 0.7), holding]).say(FRAME).side[0] == 0
    assert combined([one(1, 0.7), silent], weights=(0.4, 0.6)).say(FRAME).side[0] == 0  # below half of the weight


def test_stop_and_targets_come_from_the_surest_winner_that_brings_any() -> None:
    brings = one(1, 0.7, stop=95.0, targets=(110.0, 120.0))
    surer = one(1, 0.8, stop=90.0, targets=(105.0,))
    surest, loser = one(1, 0.9), one(-1, 1.0, stop=130.0)
    said = combined([brings, surest, loser], Aggregation.VOTING).say(FRAME)
    assert said.stop is not None
    assert [said.stop[0], *(target[0] for target in said.targets)] == [95.0, 110.0, 120.0]
    said = combined([brings, surer], Aggregation.VOTING).say(FRAME)
    assert said.stop is not None
    assert [said.stop[0], said.targets[0][0]] == [90.0, 105.0]
    assert np.isnan(said.targets[1][0])
    assert combined([surest, one(1, 0.7)]).say(FRAME).stop is None


def test_it_tells_who_said_what_and_how_it_was_counted() -> None:
    strategy = combined([one(1, 0.9), one(1, 0.6), one(0, 0.0)], weights=(1.0, 2.0, 1.0), threshold=0.5)
    said = strategy.say(FRAME)
    assert strategy.reason(said, 0) == (
        "weighted score of buy is 0.525; part 0: it said so at 0; part 1: it said so at 0"
    )
    assert strategy.metadata(said, 0) == {
        "sources": "part 0, part 1, part 2",
        "individual_confidences": "part 0 buy 0.9, part 1 buy 0.6, part 2 hold 0",
        "aggregation_mode": "weighted",
        "weights": "part 0 0.25, part 1 0.5, part 2 0.25",
        "left_out": "",
    }


class TellingMore(Fixed):
    def metadata(self, said: Said, at: int) -> dict[str, str]:
        return {"mood": "calm"}


def test_what_else_a_source_tells_is_passed_on() -> None:
    more = TellingMore(one(1, 0.9))
    assert Alone(more, Aggregation.WEIGHTED, 0.6).metadata(more.said, 0) == {"mood": "calm"}
    together = Combined([Part("a", more, 1.0)], Aggregation.WEIGHTED, 0.6, can_short=True)
    assert together.metadata(together.say(FRAME), 0)["a mood"] == "calm"


def closing(close: float = 100.0) -> tuple[CandleClosed, MarketView]:
    candle = Candle(BTC, "1m", 0, 60 * 10**9, close, close, close, close, 1.0)
    return CandleClosed(candle, candle.close_time_ns), MarketView().with_candle(candle)


def test_its_signal_carries_readings_and_sources_live_and_recorded() -> None:
    strategy = combined([one(1, 0.9), one(1, 0.7)])
    event, view = closing()
    (live,) = Trailing(strategy).on_event(event, view)
    (recorded,) = Prepared(strategy, Frame(view.candles(BTC, "1m"), "1m")).on_event(event, view)
    assert live == recorded
    assert (live.type, live.confidence) == (SignalType.BUY, 0.8)
    assert live.metadata["part 0 x"] == "1.000000"
    assert live.metadata["sources"] == "part 0, part 1"


def test_it_looks_back_as_far_as_the_one_that_looks_farthest() -> None:
    parts = [Part(str(window), Fixed(one(0, 0.0), window), 1.0) for window in (3, 70, 5)]
    strategy = Combined(parts, Aggregation.WEIGHTED, 0.6, can_short=True)
    assert strategy.window == 70
    assert isinstance(strategy, ArrayStrategy)
    assert isinstance(strategy, Telling)


# -- alone ------------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.sampled_from(MODES), st.sampled_from([0.0, 0.3, 0.6, 1.0]))
def test_alone_it_is_what_the_engine_would_decide(seed: int, mode: Aggregation, threshold: float) -> None:
    said = drawn(seed)
    found = Alone(Fixed(said), mode, threshold).say(FRAME)
    np.testing.assert_array_equal(found.leave, said.leave)
    for place in np.flatnonzero(said.side).tolist():
        kind = SignalType.BUY if said.side[place] > 0 else SignalType.SELL
        confidence = float(said.confidence[place])
        signal = Signal(kind, SignalSource.TECHNICAL, confidence, "why", BTC, "1m", 1, StrategyId("s"))
        decision = decide([signal], mode, threshold)
        assert found.side[place] == (said.side[place] if decision is not None else 0)


def test_alone_and_sure_it_says_just_what_it_says() -> None:
    said = one(1, 0.6)
    strategy = Alone(Fixed(said, 7), Aggregation.WEIGHTED, 0.6)
    assert strategy.say(FRAME) is said
    assert (strategy.window, strategy.reason(said, 0)) == (7, "it said so at 0")
    assert isinstance(strategy, ArrayStrategy)
    assert strategy.metadata(said, 0) == {}


# -- conditions on the position ---------------------------------------------------------------------------------------


class Left(Fixed):
    """Closes a position that gained so much."""

    def __init__(self, gain: int) -> None:
        condition = parse(f"PNL_PCT >= {gain}", Scope(frozenset(), position=True))
        super().__init__(
            replace(one(0, 0.0), exit=Plan.of(condition).bind(dict[str, FloatArray]().__getitem__, {}, length=1))
        )
        self.gain = gain

    def exit_reason(self, said: Said, at: int, held: Held) -> str:
        return f"{held.pnl_pct:g} is at least {self.gain}"


def test_any_of_them_may_close_for_what_became_of_the_position() -> None:
    parts = [Part(f"part {gain}", Left(gain), 1.0) for gain in (2, 3)]
    strategy = Combined([Part("silent", Fixed(one(0, 0.0)), 1.0), *parts], Aggregation.WEIGHTED, 0.6, can_short=True)
    said = strategy.say(FRAME)
    assert said.exit is not None
    assert [said.exit.holds(0, 1.0, gain, 1.0) for gain in (1.0, 2.0, 3.0)] == [0, 1, 1]
    assert strategy.exit_reason(said, 0, Held(1.0, 2.0, 1.0)) == "part 2: 2 is at least 2"
    assert strategy.exit_reason(said, 0, Held(1.0, 3.0, 1.0)) == "part 2: 3 is at least 2; part 3: 3 is at least 3"
    assert combined([one(0, 0.0)]).say(FRAME).exit is None
