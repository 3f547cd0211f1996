"""From votes and signals to one decision."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.market import Side
from promethean.domain.signals import Signal, SignalSource, SignalType
from promethean.engine.decide import (
    Aggregation,
    Configured,
    Panel,
    Vote,
    aggregate,
    decide,
    parse_aggregation,
    votes_of,
)
from promethean.strategies.sources.answer import Answer

BUY, SELL = Side.BUY, Side.SELL
MODES = tuple(Aggregation)


def votes(*said: tuple[Side | None, float], weights: tuple[float, ...] = ()) -> list[Vote]:
    return [
        Vote(f"source {number}", side, confidence, weights[number] if weights else 1.0)
        for number, (side, confidence) in enumerate(said)
    ]


def stale(vote: Vote) -> Vote:
    return Vote(vote.source, vote.side, vote.confidence, vote.weight, fresh=False)


def signal(type: SignalType, confidence: float = 0.8, share: float | None = None, name: str = "why") -> Signal:
    return Signal(
        type, SignalSource.TECHNICAL, confidence, name, InstrumentId("binance:BTCUSDT"), "1m", 1, StrategyId("s"),
        close_percentage=share,
    )  # fmt: skip


# ---------------------------------------------------------------- weighted


def test_weighted_takes_the_mean_of_sources_that_agree() -> None:
    outcome = aggregate(votes((BUY, 0.75), (BUY, 0.82), (BUY, 0.68)), Aggregation.WEIGHTED, 0.6)
    assert (outcome.side, outcome.confidence) == (BUY, 0.75)


def test_weighted_holds_when_the_dissenter_leaves_the_winner_below_the_threshold() -> None:
    said = votes((BUY, 0.75), (BUY, 0.82), (SELL, 0.68))
    outcome = aggregate(said, Aggregation.WEIGHTED, 0.6)
    assert outcome.side is None
    assert "0.523" in outcome.reason
    assert aggregate(said, Aggregation.WEIGHTED, 0.5).confidence == pytest.approx(0.5233, abs=1e-4)


def test_weighted_counts_a_hold_in_the_weight_of_all_who_answered() -> None:
    outcome = aggregate(votes((BUY, 0.9), (None, 0.9)), Aggregation.WEIGHTED, 0.3)
    assert (outcome.side, outcome.confidence) == (BUY, 0.45)


def test_weighted_follows_the_weights() -> None:
    outcome = aggregate(votes((BUY, 0.9), (SELL, 0.8), weights=(0.25, 0.75)), Aggregation.WEIGHTED, 0.6)
    assert (outcome.side, outcome.confidence) == (SELL, 0.6)


@pytest.mark.parametrize("said", [((BUY, 0.8), (SELL, 0.8)), ((BUY, 0.1), (BUY, 0.2), (SELL, 0.3))])
def test_weighted_holds_when_both_sides_weigh_the_same(said: tuple[tuple[Side, float], ...]) -> None:
    assert aggregate(votes(*said), Aggregation.WEIGHTED, 0.05).side is None


# ---------------------------------------------------------------- voting


def test_voting_takes_the_mean_of_the_winners_alone() -> None:
    outcome = aggregate(votes((BUY, 0.7), (SELL, 1.0), (BUY, 0.9)), Aggregation.VOTING, 0.6)
    assert (outcome.side, outcome.confidence) == (BUY, 0.8)


@pytest.mark.parametrize("others", [(None,), (SELL,), (BUY, None, None), (BUY, SELL, None)])
def test_voting_needs_more_than_half_of_all_answers_with_hold_as_one(others: tuple[Side | None, ...]) -> None:
    said = votes((BUY, 0.9), *((side, 0.9) for side in others))
    assert aggregate(said, Aggregation.VOTING, 0.1).side is None


def test_voting_holds_when_the_winners_are_not_sure_enough() -> None:
    assert aggregate(votes((SELL, 0.5), (SELL, 0.6)), Aggregation.VOTING, 0.6).side is None


# ---------------------------------------------------------------- unanimous


def test_unanimous_answers_with_the_least_sure_source() -> None:
    outcome = aggregate(votes((SELL, 0.9), (SELL, 0.7)), Aggregation.UNANIMOUS, 0.6)
    assert (outcome.side, outcome.confidence) == (SELL, 0.7)


@pytest.mark.parametrize(
    "said",
    [((BUY, 0.9),), ((BUY, 0.9), (None, 0.9)), ((BUY, 0.9), (SELL, 0.9)), ((None, 0.9), (None, 0.9))],
    ids=["one source", "one holds", "one dissents", "all hold"],
)
def test_unanimous_needs_two_sources_and_no_other_view(said: tuple[tuple[Side | None, float], ...]) -> None:
    assert aggregate(votes(*said), Aggregation.UNANIMOUS, 0.1).side is None


def test_unanimous_needs_two_sources_that_are_fresh() -> None:
    first, second = votes((BUY, 0.9), (BUY, 0.9))
    assert aggregate([first, stale(second)], Aggregation.UNANIMOUS, 0.1).side is None


# ---------------------------------------------------------------- threshold


def test_threshold_takes_the_strongest_source() -> None:
    outcome = aggregate(votes((BUY, 0.7), (BUY, 0.9), (SELL, 0.5), (None, 1.0)), Aggregation.THRESHOLD, 0.6)
    assert (outcome.side, outcome.confidence) == (BUY, 0.9)


def test_threshold_holds_when_both_sides_reach_it_even_if_one_is_stronger() -> None:
    assert aggregate(votes((BUY, 0.99), (SELL, 0.6)), Aggregation.THRESHOLD, 0.6).side is None


# ---------------------------------------------------------------- every mode


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("confidence", [0.6, 0.7, 0.74, 0.83, 0.95])
@pytest.mark.parametrize("count", [2, 3, 5, 6])
def test_a_view_exactly_at_the_threshold_counts(mode: Aggregation, confidence: float, count: int) -> None:
    said = votes(*[(BUY, confidence)] * count)
    outcome = aggregate(said, mode, confidence)
    assert (outcome.side, outcome.confidence) == (BUY, confidence)
    assert aggregate(said, mode, confidence + 1e-9).side is None


@pytest.mark.parametrize("mode", MODES)
def test_a_stale_source_is_left_out_and_the_weights_are_renormalised(mode: Aggregation) -> None:
    *fresh, old = votes((BUY, 0.8), (BUY, 0.8), (SELL, 1.0), weights=(0.3, 0.3, 0.4))
    outcome = aggregate([*fresh, stale(old)], mode, 0.6)
    assert (outcome.side, outcome.confidence, outcome.left_out) == (BUY, 0.8, ("source 2",))


@pytest.mark.parametrize("mode", MODES)
def test_less_than_half_of_the_weight_is_not_enough_to_decide(mode: Aggregation) -> None:
    first, second, third = votes((BUY, 0.9), (BUY, 0.9), (BUY, 0.9), weights=(0.2, 0.29, 0.51))
    outcome = aggregate([first, second, stale(third)], mode, 0.1)
    assert (outcome.side, outcome.reason) == (None, "insufficient_sources")


@pytest.mark.parametrize("mode", MODES)
def test_half_of_the_weight_is_enough_to_decide(mode: Aggregation) -> None:
    said = votes((BUY, 0.9), (BUY, 0.9), (BUY, 0.9), weights=(0.1, 0.2, 0.3))
    assert aggregate([*said[:2], stale(said[2])], mode, 0.1).side is BUY


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("said", [[], [Vote("a", BUY, 0.9, fresh=False)], [Vote("a", BUY, 0.9, weight=0.0)]])
def test_without_any_weight_there_is_no_view(mode: Aggregation, said: list[Vote]) -> None:
    assert aggregate(said, mode, 0.1).reason == "insufficient_sources"


confidences = st.floats(0.0, 1.0)
some_votes = st.lists(
    st.builds(
        Vote,
        st.sampled_from("abc"),
        st.sampled_from((BUY, SELL, None)),
        confidences,
        st.floats(0.01, 10.0),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@given(some_votes, st.sampled_from(MODES), confidences, st.randoms(use_true_random=False))
def test_the_order_of_the_votes_does_not_matter(
    said: list[Vote], mode: Aggregation, threshold: float, chance: Random
) -> None:
    shuffled = list(said)
    chance.shuffle(shuffled)
    one, other = aggregate(said, mode, threshold), aggregate(shuffled, mode, threshold)
    assert (one.side, one.confidence, sorted(one.left_out)) == (other.side, other.confidence, sorted(other.left_out))


@given(some_votes, st.sampled_from(MODES), confidences)
def test_a_view_lies_between_the_threshold_and_one(said: list[Vote], mode: Aggregation, threshold: float) -> None:
    outcome = aggregate(said, mode, threshold)
    assert outcome.reason
    if outcome.side is None:
        assert outcome.confidence == 0.0
    else:
        assert threshold <= outcome.confidence <= 1.0


@given(some_votes, st.sampled_from(MODES), confidences)
def test_both_sides_are_treated_alike(said: list[Vote], mode: Aggregation, threshold: float) -> None:
    mirrored = [Vote(v.source, v.side and v.side.opposite, v.confidence, v.weight, v.fresh) for v in said]
    one, other = aggregate(said, mode, threshold), aggregate(mirrored, mode, threshold)
    assert (one.side and one.side.opposite, one.confidence) == (other.side, other.confidence)


@given(confidences, st.lists(st.floats(0.01, 10.0), min_size=1, max_size=6))
def test_agreement_on_one_confidence_gives_that_confidence_under_any_weights(
    confidence: float, weights: list[float]
) -> None:
    said = votes(*[(SELL, confidence)] * len(weights), weights=tuple(weights))
    outcome = aggregate(said, Aggregation.WEIGHTED, confidence)
    assert (outcome.side, outcome.confidence) == ((SELL, confidence) if confidence else (None, 0.0))


def test_an_unknown_aggregation_names_the_closest() -> None:
    assert parse_aggregation("unanimous") is Aggregation.UNANIMOUS
    with pytest.raises(ConfigError, match="unknown aggregation 'wieghted'; did you mean 'weighted'"):
        parse_aggregation("wieghted")


# ---------------------------------------------------------------- decide


def test_no_signal_is_no_decision() -> None:
    assert decide([], Aggregation.WEIGHTED, 0.6) is None


def test_a_close_beats_partials_and_entries_and_waits_for_nobody() -> None:
    close = signal(SignalType.CLOSE, 0.1)
    said = [signal(SignalType.BUY, 1.0), signal(SignalType.PARTIAL_CLOSE, 1.0, 0.9), close, signal(SignalType.SELL)]
    for order in permutations(said):
        decision = decide(order, Aggregation.UNANIMOUS, 0.99)
        assert decision is not None
        assert (decision.type, decision.signal, decision.close_percentage) == (SignalType.CLOSE, close, None)


def test_the_largest_partial_close_beats_other_partials_and_entries() -> None:
    largest = signal(SignalType.PARTIAL_CLOSE, 0.1, 0.5)
    said = [signal(SignalType.PARTIAL_CLOSE, 0.9, 0.2), largest, signal(SignalType.BUY, 1.0)]
    for order in permutations(said):
        decision = decide(order, Aggregation.WEIGHTED, 0.6)
        assert decision is not None
        assert (decision.type, decision.signal, decision.close_percentage) == (SignalType.PARTIAL_CLOSE, largest, 0.5)


def test_an_entry_carries_the_strongest_signal_of_the_winning_side() -> None:
    strongest = signal(SignalType.BUY, 0.9, name="strongest")
    said = [signal(SignalType.BUY, 0.7), strongest, signal(SignalType.SELL, 0.95)]
    decision = decide(said, Aggregation.VOTING, 0.6)
    assert decision is not None
    assert (decision.type, decision.confidence, decision.signal) == (SignalType.BUY, 0.8, strongest)


def test_entries_that_do_not_agree_enough_are_no_decision() -> None:
    assert decide([signal(SignalType.BUY), signal(SignalType.SELL)], Aggregation.WEIGHTED, 0.1) is None
    assert decide([signal(SignalType.BUY, 0.59)], Aggregation.WEIGHTED, 0.6) is None
    assert decide([signal(SignalType.BUY, 0.6)], Aggregation.WEIGHTED, 0.6) is not None


some_signals = st.lists(
    st.one_of(
        st.builds(signal, st.sampled_from((SignalType.BUY, SignalType.SELL, SignalType.CLOSE)), confidences),
        st.builds(signal, st.just(SignalType.PARTIAL_CLOSE), confidences, st.floats(0.01, 1.0)),
    ),
    max_size=6,
)


@given(some_signals, st.sampled_from(MODES), confidences, st.randoms(use_true_random=False))
def test_the_order_of_the_signals_does_not_matter(
    said: list[Signal], mode: Aggregation, threshold: float, chance: Random
) -> None:
    shuffled = list(said)
    chance.shuffle(shuffled)
    one, other = decide(said, mode, threshold), decide(shuffled, mode, threshold)
    if one is None or other is None:
        assert one is other
    else:
        assert (one.type, one.close_percentage) == (other.type, other.close_percentage)
        if one.type is not SignalType.PARTIAL_CLOSE:
            assert one.confidence == other.confidence
        assert 0.0 <= one.confidence <= 1.0


# ---------------------------------------------------------------- sources of a panel

NOW_NS, AGE_NS = 1000, 100
TECHNICAL, BOOK, NEWS = SignalSource.TECHNICAL, SignalSource.ORDERBOOK, SignalSource.NEWS


def answer(source: SignalSource, side: Side | None, confidence: float = 0.8, at_ns: int = NOW_NS) -> Answer:
    return Answer(source, side, confidence if side is not None else 0.0, "why", at_ns)


def panel(*answers: Answer, weights: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Panel:
    configured = [Configured(*each, AGE_NS) for each in zip((TECHNICAL, BOOK, NEWS), weights, strict=True)]
    return Panel(tuple(configured), answers, NOW_NS)


def said_now(type: SignalType, confidence: float = 0.8, share: float | None = None) -> Signal:
    return replace(signal(type, confidence, share), at_ns=NOW_NS)


def test_a_configured_source_that_did_not_answer_counts_against_the_weight() -> None:
    entry = [said_now(SignalType.BUY)]
    assert decide(entry, Aggregation.WEIGHTED, 0.6) is not None
    assert decide(entry, Aggregation.WEIGHTED, 0.6, panel()) is None
    assert aggregate(votes_of(panel(), entry), Aggregation.WEIGHTED, 0.6).reason == "insufficient_sources"
    assert decide(entry, Aggregation.WEIGHTED, 0.6, panel(weights=(2.0, 1.0, 1.0))) is not None


def test_a_source_that_holds_counts_and_one_that_is_silent_does_not() -> None:
    entry = [said_now(SignalType.BUY, 0.8)]
    held = panel(answer(BOOK, None), weights=(1.0, 1.0, 0.5))
    silent = panel(weights=(1.0, 0.5, 0.5))
    assert decide(entry, Aggregation.WEIGHTED, 0.6, held) is None
    decision = decide(entry, Aggregation.WEIGHTED, 0.6, silent)
    assert decision is not None
    assert decision.confidence == 0.8


@pytest.mark.parametrize(("age_ns", "is_fresh"), [(0, True), (AGE_NS, True), (AGE_NS + 1, False), (-1, False)])
def test_an_answer_counts_up_to_its_age_and_none_of_the_future_does(age_ns: int, is_fresh: bool) -> None:
    said = panel(answer(BOOK, BUY, at_ns=NOW_NS - age_ns))
    assert [vote.fresh for vote in votes_of(said)] == [False, is_fresh, False]


def test_of_a_source_the_newest_answer_counts() -> None:
    said = panel(answer(BOOK, BUY, at_ns=NOW_NS - 5), answer(BOOK, SELL, 0.7), answer(BOOK, BUY, at_ns=NOW_NS - 9))
    assert votes_of(said)[1] == Vote("ORDERBOOK", SELL, 0.7)
    surer = panel(answer(BOOK, BUY, 0.9), answer(BOOK, BUY, 0.7))
    assert votes_of(surer)[1] == Vote("ORDERBOOK", BUY, 0.9)
    of_two_minds = panel(answer(BOOK, BUY, 0.9), answer(BOOK, SELL, 0.7))
    assert votes_of(of_two_minds)[1] == Vote("ORDERBOOK", None, 0.0)


def test_the_sources_are_on_the_signal_of_the_decision() -> None:
    entry = replace(said_now(SignalType.BUY, 0.9), metadata={"rsi": "24"})
    asked = panel(answer(BOOK, BUY, 0.7), weights=(3.0, 1.0, 1.0))
    decision = decide([entry], Aggregation.WEIGHTED, 0.6, asked)
    assert decision is not None
    assert (decision.type, decision.confidence) == (SignalType.BUY, 0.85)
    assert decision.signal.metadata == {
        "rsi": "24",
        "sources": "TECHNICAL, ORDERBOOK",
        "individual_confidences": "TECHNICAL buy 0.9, ORDERBOOK buy 0.7",
        "aggregation_mode": "weighted",
        "weights": "TECHNICAL 0.75, ORDERBOOK 0.25",
        "left_out": "NEWS",
    }
    assert replace(decision.signal, metadata=entry.metadata) == entry


def test_others_confirm_or_prevent_an_entry_and_make_none() -> None:
    outvoted = panel(answer(BOOK, SELL, 1.0), answer(NEWS, SELL, 1.0))
    assert decide([said_now(SignalType.BUY, 0.6)], Aggregation.VOTING, 0.6, outvoted) is None
    assert decide([], Aggregation.VOTING, 0.6, outvoted) is None


def test_with_a_panel_too_a_close_waits_for_nobody() -> None:
    close, partial = said_now(SignalType.CLOSE, 0.1), said_now(SignalType.PARTIAL_CLOSE, 0.2, 0.5)
    for said, kind in (([close], SignalType.CLOSE), ([partial], SignalType.PARTIAL_CLOSE)):
        decision = decide([*said, said_now(SignalType.BUY)], Aggregation.UNANIMOUS, 0.9, panel())
        assert decision is not None
        assert (decision.type, decision.signal) == (kind, said[0])


@pytest.mark.parametrize(
    ("configured", "message"),
    [
        ((Configured(BOOK, 1.0, 1), Configured(BOOK, 2.0, 1)), "the source ORDERBOOK is configured twice; keep one"),
        ((Configured(BOOK, 0.0, 1),), "the weight of ORDERBOOK is 0; it is above zero"),
        ((Configured(BOOK, float("nan"), 1),), "the weight of ORDERBOOK is nan"),
    ],
)
def test_sources_that_cannot_be_counted_are_refused(configured: tuple[Configured, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Panel(configured, (), NOW_NS)


@given(some_signals, st.sampled_from(MODES), confidences)
def test_a_panel_of_the_only_source_decides_as_none_does(
    said: list[Signal], mode: Aggregation, threshold: float
) -> None:
    said = [replace(each, at_ns=NOW_NS) for each in said[:1]]
    alone = Panel((Configured(TECHNICAL, 1.0, AGE_NS),), (), NOW_NS)
    with_panel, without = decide(said, mode, threshold, alone), decide(said, mode, threshold)
    assert (with_panel is None) == (without is None)
    if with_panel is not None and without is not None:
        assert (with_panel.type, with_panel.confidence) == (without.type, without.confidence)
