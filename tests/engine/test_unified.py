"""The preset `unified`: every score, every border, and what must hold for all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promethean.domain.errors import ConfigError
from promethean.domain.market import Side
from promethean.engine.unified import (
    WEIGHTS,
    Opinion,
    Regime,
    Unified,
    Voice,
    age_max_ns,
    chart_points,
    crew_points,
    market_context_points,
    news_points,
    rl_points,
    technical_points,
    unified,
)

BUY, SELL = Side.BUY, Side.SELL
MINUTE_NS = 60 * 10**9
NOW_NS = 10**15
SIDES = st.sampled_from([BUY, SELL, None])


def all_say(score: float, confidence: float = 0.8, **other: float) -> list[Opinion]:
    """Everybody says the same, but for those named."""
    return [Opinion(voice, other.get(voice.value, score), confidence, NOW_NS) for voice in Voice]


def of(*opinions: Opinion) -> Unified:
    return unified(opinions, NOW_NS, "1m")


# -- scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "rsi", "histogram", "points"),
    [
        (BUY, 50, 0, 7.0), (SELL, 50, 0, 3.0), (None, 50, 0, 5.0), (BUY, 29.9, 1, 8.5), (BUY, 30, 1, 7.5),
        (BUY, 70.1, -1, 5.5), (SELL, 75, -2, 1.5), (None, math.nan, math.nan, 5.0), (None, 20, -1, 5.5),
    ],
)  # fmt: skip
def test_the_points_of_the_technical_source(side: Side | None, rsi: float, histogram: float, points: float) -> None:
    assert technical_points(side, rsi, histogram) == points


@pytest.mark.parametrize("score", [chart_points, crew_points])
@pytest.mark.parametrize(
    ("side", "more", "points"),
    [(BUY, None, 7.5), (SELL, None, 2.5), (None, None, 5), (BUY, BUY, 8.5), (SELL, BUY, 3.5)],
)
def test_the_points_of_chart_and_crew(
    score: Callable[[Side | None, Side | None], float], side: Side | None, more: Side | None, points: float
) -> None:
    assert score(side, more) == points


@pytest.mark.parametrize(
    ("side", "confidence", "points"),
    [(BUY, 1.0, 8.0), (SELL, 1.0, 2.0), (BUY, 0.0, 5.0), (BUY, 0.6, 6.8), (SELL, 0.6, 3.2), (None, 1.0, 5.0)],
)
def test_reinforcement_learning_is_pulled_to_the_middle_by_its_doubt(
    side: Side | None, confidence: float, points: float
) -> None:
    assert rl_points(side, confidence) == points


@pytest.mark.parametrize(
    ("regime", "correlation", "trend", "points"),
    [
        (Regime.RISK_ON, 0.0, None, 6.5), (Regime.RISK_OFF, 0.0, None, 3.5), (Regime.NEUTRAL, 0.9, None, 5.0),
        (Regime.RISK_ON, 0.71, BUY, 7.5), (Regime.RISK_ON, 0.7, BUY, 6.5), (Regime.RISK_OFF, 0.9, SELL, 2.5),
        (Regime.NEUTRAL, 0.9, SELL, 4.0), (Regime.NEUTRAL, math.nan, BUY, 5.0),
    ],
)  # fmt: skip
def test_the_market_context_follows_bitcoin_where_the_instrument_does(
    regime: Regime, correlation: float, trend: Side | None, points: float
) -> None:
    assert market_context_points(regime, correlation, trend) == points


@pytest.mark.parametrize(("score", "points"), [(-1.0, 0.0), (0.0, 5.0), (1.0, 10.0), (0.3, 6.5), (-0.3, 3.5)])
def test_the_points_of_the_news(score: float, points: float) -> None:
    assert news_points(score) == points


@pytest.mark.parametrize("value", [1.1, -1.1, math.nan])
def test_what_lies_outside_its_scale_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="the score of news lies between -1 and 1"):
        news_points(value)
    with pytest.raises(ValueError, match="a confidence lies between 0 and 1"):
        rl_points(BUY, value)
    with pytest.raises(ValueError, match="a confidence lies between 0 and 1"):
        Opinion(Voice.RL, 5.0, value, 1)
    with pytest.raises(ValueError, match="a score lies between 0 and 10"):
        Opinion(Voice.RL, 10 * value, 0.5, 1)


@given(
    SIDES, st.floats(0, 100), st.floats(-1e6, 1e6), SIDES, st.floats(0, 1), st.sampled_from(Regime), st.floats(-1, 1)
)
def test_scores_stay_within_the_scale(
    side: Side | None, rsi: float, histogram: float, more: Side | None, confidence: float, regime: Regime, news: float
) -> None:
    for points in (
        technical_points(side, rsi, histogram),
        chart_points(side, more),
        crew_points(side, more),
        rl_points(side, confidence),
        market_context_points(regime, news, more),
        news_points(news),
    ):
        assert 0.0 <= points <= 10.0


# -- total ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "confidence", "side"),
    [
        (6.5, 0.55, BUY), (6.49, 0.9, None), (3.5, 0.55, SELL), (3.51, 0.9, None), (5.0, 1.0, None),
        (9.0, 0.549, None), (1.0, 0.549, None), (10.0, 1.0, BUY), (0.0, 1.0, SELL),
    ],
)  # fmt: skip
def test_a_side_begins_at_its_border(score: float, confidence: float, side: Side | None) -> None:
    found = of(*all_say(score, confidence))
    assert (found.side, found.total, found.confidence) == (side, score, confidence)


def test_a_case_by_hand() -> None:
    found = of(
        Opinion(Voice.TECHNICAL, technical_points(BUY, 25, 0.4), 0.8, NOW_NS),  # 8.5
        Opinion(Voice.CHART, chart_points(BUY, BUY), 0.7, NOW_NS),  # 8.5
        Opinion(Voice.RL, rl_points(SELL, 0.6), 0.6, NOW_NS),  # 3.2
        Opinion(Voice.MARKET_CONTEXT, market_context_points(Regime.RISK_ON, 0.8, BUY), 0.5, NOW_NS),  # 7.5
    )
    # (.25 x 8.5 + .30 x 8.5 + .15 x 3.2 + .10 x 7.5) / .80 = 5.905 / .80; confidence 0.55 / .80
    assert (found.side, found.total, found.confidence) == (BUY, 7.38125, 0.6875)
    assert found.reason == "a total of 7.38 says buy, with a confidence of 0.688"
    lines = {line.voice: line for line in found.contributions}
    assert (lines[Voice.CHART].weight_used, lines[Voice.CHART].contribution) == (0.375, 3.1875)
    assert [voice for voice, line in lines.items() if line.is_left_out] == [Voice.CREW, Voice.NEWS]
    assert lines[Voice.NEWS].age_ns is None


@pytest.mark.parametrize(
    ("voices", "enough"),
    [
        ((Voice.CHART, Voice.RL, Voice.NEWS), True),  # half of the weight
        ((Voice.CHART, Voice.RL), False),
        ((Voice.TECHNICAL, Voice.CHART), True),
        ((), False),
    ],
)
def test_half_of_the_weight_is_enough(voices: tuple[Voice, ...], enough: bool) -> None:
    found = of(*(Opinion(voice, 9.0, 0.9, NOW_NS) for voice in voices))
    assert (found.side is BUY) is enough
    assert enough or (found.reason, found.total) == ("insufficient_sources", None)


@pytest.mark.parametrize("voice", list(Voice))
def test_an_opinion_counts_up_to_its_age(voice: Voice) -> None:
    minutes = {
        Voice.TECHNICAL: 2, Voice.RL: 2, Voice.CHART: 15, Voice.CREW: 5, Voice.MARKET_CONTEXT: 10, Voice.NEWS: 60,
    }[voice]  # fmt: skip
    assert age_max_ns(voice, "1m") == minutes * MINUTE_NS
    for age_ns, counts in ((minutes * MINUTE_NS, True), (minutes * MINUTE_NS + 1, False), (-1, False)):
        others = [opinion for opinion in all_say(5.0) if opinion.voice is not voice]
        found = of(*others, Opinion(voice, 5.0, 0.8, NOW_NS - age_ns))
        (line,) = (line for line in found.contributions if line.voice is voice)
        assert line.is_left_out is not counts
        assert line.age_ns == (age_ns if age_ns >= 0 else None)


def test_two_candles_are_longer_on_longer_timeframes() -> None:
    assert age_max_ns(Voice.TECHNICAL, "1h") == 120 * MINUTE_NS


def test_of_a_voice_the_newest_opinion_counts() -> None:
    old, new = Opinion(Voice.CHART, 0.0, 1.0, NOW_NS - 1), Opinion(Voice.CHART, 10.0, 1.0, NOW_NS)
    for order in itertools.permutations([old, new]):
        assert unified(order, NOW_NS, "1m", {Voice.CHART: 1.0}).total == 10.0


def test_a_voice_that_is_not_configured_does_not_count() -> None:
    weights: dict[Voice, float] = {voice: WEIGHTS[voice] for voice in Voice if voice is not Voice.CHART}
    found = unified(all_say(5.0, chart=10.0), NOW_NS, "1m", weights)
    assert found.total == 5.0
    assert Voice.CHART not in [line.voice for line in found.contributions]


@pytest.mark.parametrize("weights", [{}, {Voice.RL: 0.0}, {Voice.RL: -1.0}, {Voice.RL: math.nan}])
def test_weights_that_are_none_are_refused(weights: dict[Voice, float]) -> None:
    with pytest.raises(ConfigError, match="the weights of unified are above zero"):
        unified([], NOW_NS, "1m", weights)


def test_the_weights_are_one() -> None:
    assert sum(map(Fraction, map(repr, WEIGHTS.values()))) == 1


some_opinions = st.lists(
    st.builds(
        Opinion,
        st.sampled_from(Voice),
        # Nine digits, as the scores have them: sums of finer ones are exact to eighty digits and no further.
        st.one_of(st.floats(0, 10).map(lambda score: round(score, 9)), st.sampled_from([3.5, 5.0, 6.5])),
        st.one_of(st.floats(0, 1).map(lambda share: round(share, 9)), st.sampled_from([0.55])),
        st.integers(NOW_NS - 70 * MINUTE_NS, NOW_NS + MINUTE_NS),
    ),
    max_size=10,
    unique_by=lambda opinion: opinion.voice,
)


def plain(opinions: list[Opinion]) -> tuple[str, Fraction | None]:
    """SPEC 7.3 in fractions."""
    weights = dict(
        zip(("technical", "chart", "rl", "crew", "market_context", "news"), (25, 30, 15, 15, 10, 5), strict=True)
    )
    ages = {"technical": 2, "chart": 15, "rl": 2, "crew": 5, "market_context": 10, "news": 60}
    fresh = [o for o in opinions if 0 <= NOW_NS - o.at_ns <= ages[o.voice.value] * MINUTE_NS]
    used = sum(weights[o.voice.value] for o in fresh)
    if used < 50:
        return "hold", None
    total = sum((weights[o.voice.value] * Fraction(repr(o.score)) for o in fresh), Fraction(0)) / used
    sure = sum((weights[o.voice.value] * Fraction(repr(o.confidence)) for o in fresh), Fraction(0)) / used
    if sure < Fraction("0.55"):
        return "hold", total
    return "buy" if total >= Fraction("6.5") else "sell" if total <= Fraction("3.5") else "hold", total


@settings(max_examples=1000)
@given(some_opinions)
def test_it_is_what_a_plain_reading_of_the_specification_gives(opinions: list[Opinion]) -> None:
    found, (side, total) = of(*opinions), plain(opinions)
    assert (found.side.value if found.side is not None else "hold") == side
    assert found.total == (None if total is None else pytest.approx(float(total), abs=1e-12))
    lines = found.contributions
    assert [line.voice for line in lines] == list(Voice)
    used = sum(line.weight_used for line in lines)
    assert used == pytest.approx(1.0) or all(line.is_left_out for line in lines)
    if found.total is not None:
        assert 0.0 <= found.total <= 10.0
        assert sum(line.contribution for line in lines) == pytest.approx(found.total)


@given(some_opinions, st.sampled_from(Voice), st.floats(0, 10))
def test_a_higher_score_never_lowers_the_total(opinions: list[Opinion], voice: Voice, score: float) -> None:
    raised = [Opinion(o.voice, max(o.score, score), o.confidence, o.at_ns) if o.voice is voice else o for o in opinions]
    before, after = of(*opinions), of(*raised)
    if before.total is not None and after.total is not None:
        assert after.total >= before.total
        assert not (before.side is BUY and after.side is SELL)
