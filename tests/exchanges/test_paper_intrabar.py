"""Which of stop and target a candle touched first, where finer data say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace as with_changes
from tests.engine.builders import BTC, BUY, MINUTE_NS, T0, Trader, candle, desk, order, protection

from promethean.domain.events import OrderFilled
from promethean.domain.intrabar import Intrabar
from promethean.domain.market import Side
from promethean.exchanges.paper.venue import PaperTerms, PaperVenue

D = Decimal
TERMS = PaperTerms(D(0), D(0), D(0), 0)
PART_NS = MINUTE_NS // 4
BOTH = candle(1, 100, 103, 98, 101)  # touches a stop at 99 and targets up to 103


def terms(
    *ranges: tuple[float, float], minute: int = 1, latency_ms: int = 0, opens: Sequence[float] | None = None
) -> PaperTerms:
    """Quarters of a minute with these lows and highs."""
    low, high = (np.array(column) for column in zip(*ranges, strict=True))
    opened, volume = (low + high) / 2 if opens is None else np.array(opens), np.full(len(low), 1e6 / len(low))
    at_ns = T0 + minute * MINUTE_NS + (1 + np.arange(len(low), dtype=np.int64)) * PART_NS - 1
    return replace(TERMS, intrabar=Intrabar(at_ns, opened, low, high, volume), latency_ms=latency_ms)


def fills(of: PaperTerms, tiers: tuple[tuple[str, str], ...]) -> list[tuple[str, str, int]]:
    """Price, quantity and quarter of what left a position of 10 entered at 100 whose exits the venue holds."""
    paper = PaperVenue({BTC.id: BTC}, of, D(10_000))
    entry = order(Side.BUY, "10", sent_at_ns=T0 - MINUTE_NS)
    intent = with_changes(entry.intent, protection=protection("0.01", tiers), attached=True)
    paper.receive(with_changes(entry, intent=intent))
    list(paper.advance(candle(0, 100)))
    found = [report.fill for report in paper.advance(BOTH) if isinstance(report, OrderFilled)]
    start_ns = T0 + MINUTE_NS
    return [
        (f"{fill.price.normalize():f}", f"{fill.quantity.normalize():f}", (fill.executed_at_ns - start_ns) // PART_NS)
        for fill in found
    ]


ONE = (("0.02", "1"),)


@pytest.mark.parametrize(
    ("ranges", "left"),
    [
        (((99.5, 101), (100, 103), (98, 102), (99, 101)), ("102", "10", 1)),  # up first
        (((99.5, 101), (98, 100), (99, 103), (99, 101)), ("99", "10", 1)),  # down first
        (((99.5, 101), (98, 103), (100, 101), (100, 101)), ("99", "10", 1)),  # both in one of them: the stop
        (((99.5, 101), (100, 102.5), (98, 102)), ("99", "10", 3)),  # they miss the high: nothing is known
        (((99.5, 101), (100, 103), (98.5, 102)), ("99", "10", 3)),  # they miss the low
    ],
)
def test_finer_data_decide_and_else_the_stop_comes_first(
    ranges: tuple[tuple[float, float], ...], left: tuple[str, str, int]
) -> None:
    assert fills(terms(*ranges), ONE) == [left]


def test_a_stop_that_is_jumped_over_inside_a_candle_is_filled_where_the_market_went_on() -> None:
    jump = terms((99.5, 101), (98, 98.4), (98, 103), (99, 101), opens=(100, 98.3, 100, 100))
    assert fills(jump, ONE) == [("98.3", "10", 1)]
    up = terms((99.5, 101), (102.5, 103), (98, 102), (99, 101), opens=(100, 102.7, 100, 100))
    assert fills(up, ONE) == [("102", "10", 1)], "a target that rests is met at its price"


def test_ranges_of_other_candles_decide_nothing() -> None:
    assert fills(terms((100, 103), (98, 102), minute=5), ONE) == [("99", "10", 3)]


def test_a_tier_that_came_first_leaves_the_stop_the_rest() -> None:
    tiers = (("0.01", "0.3"), ("0.02", "0.3"), ("0.029", "0.4"))
    up_down = terms((99.5, 101.5), (100, 102.5), (98, 100), (99, 103))
    assert fills(up_down, tiers) == [("101", "3", 0), ("102", "3", 1), ("99", "4", 2)]
    up_alone = terms((99.5, 101.5), (100, 102.5), (100, 103), (98, 103))
    assert fills(up_alone, tiers) == [("101", "3", 0), ("102", "3", 1), ("102.9", "4", 2)]


@pytest.mark.parametrize("latency_ms", [0, 150])
def test_a_stop_that_follows_a_tier_is_met_by_what_comes_after_it_has_arrived(latency_ms: int) -> None:
    """Exits of our own: the stop of the new size is an order that is sent when the tier has filled."""
    ranges = terms((99.5, 101.5), (100, 101.5), (98, 100), (99, 103), latency_ms=latency_ms)
    run = Trader(desk({0: (BUY,)}, tiers=(("0.01", "0.5"),)), replace(ranges, participation_max=D(1)))
    run.run([candle(0, 100), BOTH])
    left = [fill.fill for fill in run.told(OrderFilled)][1:]
    assert [f"{fill.price.normalize():f}" for fill in left] == ["101", "99"]
