"""Look-ahead and warm-up: planted mistakes are found and named, and honest strategies pass."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from tests.evaluation.planted import (
    AHEAD,
    MINUTE_NS,
    SHORT,
    START_NS,
    Demanding,
    NextCandle,
    Planted,
    Remembering,
    ShortWindow,
    trailing_mean,
    walk,
)

from promethean.domain.candles import CandleSeries, FloatArray
from promethean.evaluation.causality import Causality, check_causality
from promethean.evaluation.judgements import Verdict, judge_look_ahead, judge_warm_up
from promethean.strategies.arrays import Said
from promethean.strategies.conditions.parser import parse
from promethean.strategies.conditions.program import Plan
from promethean.strategies.conditions.scope import Scope
from promethean.strategies.frame import Frame

CANDLES = walk(3_000)


def check(made: type[Planted], candles: CandleSeries = CANDLES, seed: int = 0, **given: Any) -> Causality:
    said = made().say(Frame(candles, "1m"))
    return check_causality(made, Frame(candles, "1m"), said, seed, **{"judges_window": True, **given})


def test_an_honest_strategy_passes_both() -> None:
    found = check(Planted)
    assert (found.look_ahead, found.warm_up) == (None, None)
    assert found.histories >= 100 and found.windows >= 500
    assert judge_look_ahead(found, 3_000).verdict is judge_warm_up(found, 30, 3_000).verdict is Verdict.PASSED


@pytest.mark.parametrize("made", AHEAD.values(), ids=AHEAD)
@pytest.mark.parametrize("seed", range(5))
def test_a_strategy_that_looks_ahead_is_found_at_any_seed(made: type[Planted], seed: int) -> None:
    found = check(made, seed=seed)
    assert found.look_ahead is not None
    if made is not AHEAD["scaled"]:
        assert found.warm_up is None, "it is the future that it needs, not the past"
    assert judge_look_ahead(found, 3_000).verdict is Verdict.FAILED


@pytest.mark.parametrize("made", SHORT.values(), ids=SHORT)
@pytest.mark.parametrize("seed", range(5))
def test_a_window_that_is_too_short_is_found_at_any_seed(made: type[Planted], seed: int) -> None:
    found = check(made, seed=seed)
    assert found.look_ahead is None, "it never saw a later candle"
    assert found.warm_up is not None
    assert judge_warm_up(found, made.window, 3_000).verdict is Verdict.FAILED


def test_what_a_strategy_remembers_of_a_longer_history_does_not_hide_it() -> None:
    assert check(Remembering).look_ahead is not None


def test_the_finding_names_the_candle_the_instant_and_both_answers() -> None:
    found = check(NextCandle)
    ahead = found.look_ahead
    assert ahead is not None
    assert ahead.known_at_ns == START_NS + (ahead.at + 1) * MINUTE_NS
    assert (ahead.expected, ahead.found, ahead.candles) == ("BUY at confidence 1", "nothing", ahead.at + 1)
    sentence = judge_look_ahead(found, 3_000).sentence
    assert f"at candle {ahead.at + 1:,}, which closed 2025-05-2" in sentence
    assert f"BUY at confidence 1 over all 3,000 candles, but nothing over the first {ahead.at + 1:,}" in sentence


def test_a_short_window_is_named_with_the_reading_that_differs() -> None:
    found = check(ShortWindow)
    assert found.warm_up is not None
    assert "line nan" in found.warm_up.found and "line " in found.warm_up.expected
    assert (
        "over the last 5, the window it declares: live trading would differ" in judge_warm_up(found, 5, 3_000).sentence
    )


def test_a_strategy_that_cannot_answer_over_its_window_fails_with_the_reason() -> None:
    found = check(Demanding)
    for told in (found.look_ahead, found.warm_up):
        assert told is not None
        assert (told.found, told.answered) == ("no answer (IndexError: 25 candles are needed)", False)


def test_a_strategy_that_cannot_answer_over_few_candles_is_told_from_one_that_looks_ahead() -> None:
    found = check(Demanding, walk(60))
    assert found.look_ahead is not None and not found.look_ahead.answered
    assert "it has to answer, if only with nothing, over any number of candles" in judge_look_ahead(found, 60).sentence


def test_an_answer_of_another_length_is_a_finding() -> None:
    class Longer(Planted):
        def say(self, frame: Frame) -> Said:
            said = super().say(frame)
            if len(frame) == len(CANDLES):
                return said
            return Said(np.append(said.side, np.int8(0)), said.leave, said.confidence, {})

    found = check(Longer)
    assert found.look_ahead is not None and "answers to" in found.look_ahead.found


def test_no_window_is_asked_where_none_decides() -> None:
    found = check(ShortWindow, judges_window=False)
    assert (found.warm_up, found.windows) == (None, 0)


@pytest.mark.parametrize("count", [1, 2, 29, 30])
def test_data_no_longer_than_the_window_do_not_judge_it(count: int) -> None:
    found = check(Planted, walk(count))
    assert (found.look_ahead, found.warm_up, found.windows) == (None, None, 0)
    judged = judge_warm_up(found, 30, count)
    assert judged.verdict is Verdict.NOT_JUDGED
    assert f"the data has {count} candles, no more than the window of 30" in judged.sentence


def test_noise_of_float_sums_is_no_finding() -> None:
    class Noisy(Planted):
        def say(self, frame: Frame) -> Said:
            said, length = super().say(frame), len(frame)
            noise = 1.0 + 1e-12 * (length % 7)
            confidence = np.round(0.5 * noise * said.confidence, 6)
            return Said(
                said.side, said.leave, confidence, {"line": said.readings["line"] * noise},
                stop=frame.candles.close * 0.99 * noise, targets=(np.full(length, math.nan),),
            )  # fmt: skip

    found = check(Noisy)
    assert (found.look_ahead, found.warm_up) == (None, None)


def test_a_window_longer_than_a_live_feed_keeps_is_told() -> None:
    judged = judge_warm_up(Causality(None, None, 100, 10), 6_000, 100_000)
    assert judged.verdict is Verdict.PASSED
    assert "a live feed keeps 5,000, so that it cannot trade live" in judged.sentence


def test_progress_comes_to_its_end() -> None:
    told: list[tuple[int, int]] = []
    check(Planted, done=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, told[-1][1] + 1))


class Leaves(Planted):
    """Closes a gain where a condition of its own on the candles holds, which nothing else shows; honest here."""

    shows_line = False
    ahead = False

    def say(self, frame: Frame) -> Said:
        honest = super().say(frame)
        close = frame.candles.close
        line = np.append(close[1:], np.nan) if self.ahead else self.line(close)
        exit = parse("PNL_PCT > 1 AND PRICE > LINE", Scope(frozenset({"PRICE", "LINE"}), position=True))
        columns = {"PRICE": close, "LINE": line}
        return replace(honest, exit=Plan.of(exit).bind(columns.__getitem__, {}))


class LeavesAhead(Leaves):
    """Knows the next close."""

    ahead = True


class LeavesShort(Leaves):
    """Needs more candles than it says."""

    def line(self, close: Any) -> Any:
        return trailing_mean(close, 40)


def test_what_a_condition_on_the_position_looks_at_is_looked_at() -> None:
    assert check(Leaves) == check(Planted)
    ahead, short = check(LeavesAhead), check(LeavesShort)
    assert ahead.look_ahead is not None and "part 1 of the exit" in ahead.look_ahead.found
    assert (short.look_ahead, short.warm_up is None) == (None, False)


class LeavesByTheFuture(Planted):
    """Its gain to be had is made of every close there will be, and stands in the condition itself."""

    def say(self, frame: Frame) -> Said:
        honest, close = super().say(frame), frame.candles.close
        gain = close.mean() / 100_000 if len(close) else 0.0
        exit = parse(f"PNL_PCT > {gain:.9f}", Scope(frozenset(), position=True))
        return replace(honest, exit=Plan.of(exit).bind(dict[str, FloatArray]().__getitem__, {}, length=len(close)))


class LeavesLater(LeavesByTheFuture):
    """Has an exit only where there are candles enough."""

    def say(self, frame: Frame) -> Said:
        said = super().say(frame)
        return said if len(frame) == len(CANDLES) else replace(said, exit=None)


@pytest.mark.parametrize("made", [LeavesByTheFuture, LeavesLater])
def test_an_exit_that_knows_the_future_is_found(made: type[Planted]) -> None:
    found = check(made).look_ahead
    assert found is not None
    assert "condition on the position" in found.found and found.found != found.expected


def test_a_reading_that_comes_with_later_candles_is_found() -> None:
    class Mute(Planted):
        def say(self, frame: Frame) -> Said:
            said = super().say(frame)
            return said if len(frame) == len(CANDLES) else replace(said, readings={})

    assert check(Mute).look_ahead is not None
