"""What an answer may be, and how long it counts."""

from __future__ import annotations

import pytest

from promethean.domain.market import Side
from promethean.domain.signals import SignalSource
from promethean.strategies.sources.answer import Answer, is_fresh, max_age_ns

SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS


@pytest.mark.parametrize(
    ("source", "timeframe", "age_ns"),
    [
        (SignalSource.ORDERBOOK, "1m", 5 * SECOND_NS),
        (SignalSource.AGENT, "1h", 5 * MINUTE_NS),
        (SignalSource.CHART_VISION, "1h", 15 * MINUTE_NS),
        (SignalSource.MARKET_CONTEXT, "1m", 10 * MINUTE_NS),
        (SignalSource.NEWS, "1m", 60 * MINUTE_NS),
        (SignalSource.TECHNICAL, "1m", 90 * SECOND_NS),
        (SignalSource.ML_MODEL, "1h", 90 * MINUTE_NS),
    ],
)
def test_an_answer_counts_as_long_as_the_specification_says(source: SignalSource, timeframe: str, age_ns: int) -> None:
    assert max_age_ns(source, timeframe) == age_ns


@pytest.mark.parametrize(("at_ns", "fresh"), [(100, True), (90, True), (89, False), (101, False)])
def test_the_age_itself_is_fresh_and_the_future_is_not(at_ns: int, fresh: bool) -> None:
    assert is_fresh(at_ns, 100, 10) is fresh


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_confidence_lies_between_none_and_all(confidence: float) -> None:
    with pytest.raises(ValueError, match="a confidence lies between 0 and 1"):
        Answer(SignalSource.NEWS, Side.BUY, confidence, "why", 1)


def test_who_holds_is_sure_of_nothing() -> None:
    with pytest.raises(ValueError, match="a HOLD has no confidence"):
        Answer(SignalSource.NEWS, None, 0.5, "why", 1)
