"""Aggregation over arrays: at every candle what `aggregate` says there, and what the specification says."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promethean.domain.market import Side
from promethean.engine.decide import Aggregation, aggregate
from promethean.engine.votes import VoteArray, aggregate_arrays

MODES = tuple(Aggregation)
CONFIDENCES = (0.0, 0.1, 0.3, 0.5, 0.55, 0.6, 0.65, 0.68, 0.7, 0.714286, 0.75, 0.82, 0.9, 1.0)
WEIGHTS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)


def drawn(seed: int, candles: int, *, fine: bool) -> list[VoteArray]:
    """Random sources.  fine: confidences of any digits; else round ones, that meet thresholds and each other."""
    random = np.random.default_rng(seed)
    return [
        VoteArray(
            f"source {number}",
            random.integers(-1, 2, candles).astype(np.int8),
            random.random(candles) if fine else random.choice(CONFIDENCES, candles),
            random.random(candles) < 0.75,
            float(random.choice(WEIGHTS)),
        )
        for number in range(int(random.integers(1, 6)))
    ]


def exact(number: float) -> Fraction:
    return Fraction(repr(float(number)))


def plain(votes: list[VoteArray], place: int, mode: Aggregation, threshold: float) -> tuple[int, Fraction]:
    """SPEC 7.2 in fractions, by nothing of ours."""
    nothing = 0, Fraction(0)
    said = [(int(v.side[place]), exact(v.confidence[place]), exact(v.weight)) for v in votes if v.fresh[place]]
    weight = sum(w for _, _, w in said)
    if not said or weight < sum((exact(v.weight) for v in votes), Fraction(0)) / 2:
        return nothing
    limit, sides = exact(threshold), {side for side, _, _ in said}
    of = {sign: [(c, w) for side, c, w in said if side == sign] for sign in (1, -1)}
    found = nothing
    for sign, own in of.items():
        other = of[-sign]
        if mode is Aggregation.VOTING and len(own) > len(said) / 2:
            found = sign, sum((c for c, _ in own), Fraction(0)) / len(own)
        if mode is Aggregation.WEIGHTED:
            score, against = (sum((c * w for c, w in each), Fraction(0)) / weight for each in (own, other))
            found = (sign, score) if score > against else found
        if mode is Aggregation.UNANIMOUS and len(said) > 1 and sides == {sign}:
            found = sign, min(c for c, _ in own)
        if mode is Aggregation.THRESHOLD and own:
            strongest = max(c for c, _ in own)
            if strongest >= limit and not any(c >= limit for c, _ in other):
                found = sign, strongest
    return found if found[0] and found[1] >= limit else nothing


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_at_thousands_of_random_votes_it_is_what_the_specification_says(mode: Aggregation, fine: bool) -> None:
    decided = 0
    for seed in range(25):
        votes = drawn(seed, 200, fine=fine)
        threshold = float(np.random.default_rng(seed + 1000).choice(CONFIDENCES))
        side, confidence = aggregate_arrays(votes, mode, threshold)
        for place in range(200):
            expected = plain(votes, place, mode, threshold)
            assert side[place] == expected[0], f"seed {seed}, candle {place}"
            assert confidence[place] == pytest.approx(float(expected[1]), abs=1e-12), f"seed {seed}, candle {place}"
        decided += int(np.count_nonzero(side))
    assert decided > 30


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1), st.sampled_from(MODES), st.sampled_from(CONFIDENCES), st.booleans())
def test_at_every_candle_it_is_what_the_aggregation_of_one_candle_gives(
    seed: int, mode: Aggregation, threshold: float, fine: bool
) -> None:
    votes = drawn(seed, 40, fine=fine)
    side, confidence = aggregate_arrays(votes, mode, threshold)
    for place in range(40):
        outcome = aggregate([vote.at(place) for vote in votes], mode, threshold)
        sign = {Side.BUY: 1, Side.SELL: -1}.get(outcome.side, 0) if outcome.side is not None else 0
        assert side[place] == sign
        assert confidence[place] == pytest.approx(outcome.confidence, abs=1e-12)
        assert not sign or confidence[place] >= threshold


@pytest.mark.parametrize("mode", MODES)
def test_no_candles_are_no_views(mode: Aggregation) -> None:
    side, confidence = aggregate_arrays(drawn(1, 0, fine=False), mode, 0.6)
    assert (len(side), len(confidence)) == (0, 0)


def golden(*said: float) -> list[VoteArray]:
    """Sources of one candle: above zero a BUY, below a SELL."""
    return [
        VoteArray(str(number), np.sign([value]).astype(np.int8), np.abs([value]), np.array([True]))
        for number, value in enumerate(said)
    ]


def test_the_golden_case_of_the_specification() -> None:
    side, confidence = aggregate_arrays(golden(0.75, 0.82, 0.68), Aggregation.WEIGHTED, 0.6)
    assert (side[0], confidence[0]) == (1, 0.75)
    side, confidence = aggregate_arrays(golden(0.75, 0.82, -0.68), Aggregation.WEIGHTED, 0.6)
    assert (side[0], confidence[0]) == (0, 0.0)


def test_a_confidence_at_the_threshold_is_compared_as_people_write_it() -> None:
    three = golden(0.7, 0.7, 0.7)  # whose float mean is below 0.7
    side, confidence = aggregate_arrays(three, Aggregation.VOTING, 0.7)
    assert (side[0], confidence[0]) == (1, 0.7)
