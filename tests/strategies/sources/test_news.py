"""What the news of the last hour say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.market import Side
from promethean.strategies.sources.news import NewsItem, news_answer

HOUR_NS = 3600 * 10**9
NOW_NS = 100 * HOUR_NS


def items(*said: tuple[float, float], age_ns: int = 0) -> list[NewsItem]:
    return [NewsItem(score, weight, NOW_NS - age_ns) for score, weight in said]


@pytest.mark.parametrize(
    ("said", "side", "confidence"),
    [
        ([(0.5, 1.0)] * 10, Side.BUY, 1.0),
        ([(0.5, 1.0)] * 20, Side.BUY, 1.0),
        ([(0.5, 1.0)] * 5, Side.BUY, 0.5),
        ([(-0.1, 1.0)] * 8 + [(0.9, 1.0)] * 2, Side.SELL, 0.8),
        ([(-1.0, 3.0)] + [(1.0, 0.5)] * 4 + [(0.0, 0.5)] * 5, Side.SELL, 0.4),  # 3 of 7.5
        ([(1.0, 1.0), (-1.0, 1.0)], None, 0.0),
        ([(0.0, 1.0)], None, 0.0),
    ],
)
def test_the_share_of_those_who_agree_counts_as_far_as_there_are_many(
    said: list[tuple[float, float]], side: Side | None, confidence: float
) -> None:
    answer = news_answer(items(*said), NOW_NS)
    assert answer is not None
    assert answer.side is side
    assert answer.confidence == pytest.approx(confidence)


def test_news_of_more_than_an_hour_are_no_signal() -> None:
    old, new = items((1.0, 1.0), age_ns=HOUR_NS + 1), items((-1.0, 1.0), age_ns=HOUR_NS)
    assert news_answer(old, NOW_NS) is None
    answer = news_answer(old + new, NOW_NS)
    assert answer is not None
    assert (answer.side, answer.confidence, answer.at_ns) == (Side.SELL, 0.1, NOW_NS - HOUR_NS)
    assert answer.reason == "100% of the weight of 1 items of news is bad"


def test_no_news_and_those_of_the_future_are_no_signal() -> None:
    assert news_answer([], NOW_NS) is None
    assert news_answer(items((1.0, 1.0), age_ns=-1), NOW_NS) is None


@pytest.mark.parametrize(("score", "weight"), [(1.1, 1.0), (float("nan"), 1.0), (0.5, 0.0), (0.5, float("inf"))])
def test_an_item_that_is_none_is_refused(score: float, weight: float) -> None:
    with pytest.raises(ValueError, match="of news"):
        NewsItem(score, weight, 1)


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 100)), min_size=1, max_size=30))
def test_a_confidence_is_a_share_and_mirrored_news_say_the_other_side(said: list[tuple[float, float]]) -> None:
    one, other = (news_answer(items(*each), NOW_NS) for each in (said, [(-score, weight) for score, weight in said]))
    assert one is not None
    assert other is not None
    assert (one.side and one.side.opposite) == other.side
    assert one.confidence == other.confidence <= min(1.0, len(said) / 10)
