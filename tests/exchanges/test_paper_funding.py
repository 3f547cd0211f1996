"""Funding at the paper venue: who holds at the instant pays or receives, once, before anything trades."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from tests.engine.builders import MINUTE_NS, PERP, T0, candle, drive, order

from promethean.domain.events import FundingPaid, OrderFilled, VenueReport
from promethean.domain.funding import FundingTable
from promethean.domain.market import Side
from promethean.domain.orders import OrderRole, OrderType
from promethean.domain.positions import Position
from promethean.exchanges.paper.venue import PaperTerms, PaperVenue

D = Decimal


def venue(rates: dict[int, float], cash: str = "10000") -> PaperVenue:
    """A venue without costs but funding, at the open of these minutes, at a mark of 100."""
    at_ns = np.array([T0 + minute * MINUTE_NS for minute in rates], np.int64)
    table = FundingTable(PERP.id, at_ns, at_ns, np.array(list(rates.values())), np.full(len(rates), 100.0))
    return PaperVenue({PERP.id: PERP}, replace(PaperTerms(D(0), D(0), D(0), 0), funding=table), D(cash))


def see(paper: PaperVenue, number: int, *prices: float) -> list[VenueReport]:
    return list(paper.advance(candle(number, *(prices or (100.0,)), of=PERP)))


def held(paper: PaperVenue, side: Side, number: int = 0) -> OrderFilled:
    """Two units bought or sold at the open of a minute."""
    drive(paper.submit(order(side, "2", price="100", sent_at_ns=T0 + (number - 1) * MINUTE_NS, of=PERP)))
    fill = see(paper, number)[-1]
    assert isinstance(fill, OrderFilled)
    return fill


@pytest.mark.parametrize(
    ("side", "rate", "paid"),
    [
        (Side.BUY, 0.0001, "0.02"),
        (Side.SELL, 0.0001, "-0.02"),
        (Side.BUY, -0.0001, "-0.02"),
        (Side.SELL, -0.0001, "0.02"),
    ],
)
def test_longs_pay_a_positive_rate_and_shorts_a_negative_one(side: Side, rate: float, paid: str) -> None:
    paper = venue({1: rate})
    held(paper, side)
    before = paper.cash
    (report,) = see(paper, 1)
    assert isinstance(report, FundingPaid)
    assert (report.amount, report.at_ns, report.mark_price) == (D(paid), T0 + MINUTE_NS, D("100.0"))
    assert (report.quantity, report.funding_rate) == (D(2) * side.sign, D(repr(rate)))
    assert paper.cash == before - D(paid)


def test_who_opens_at_the_instant_does_not_pay_and_who_closes_there_does() -> None:
    paper = venue({1: 0.0001})
    assert held(paper, Side.BUY, 1).at_ns == T0 + MINUTE_NS
    paper = venue({1: 0.0001})
    held(paper, Side.BUY)
    drive(paper.submit(order(Side.SELL, "2", OrderType.STOP_MARKET, price="95", role=OrderRole.STOP, reduce_only=True,
                             sent_at_ns=T0, of=PERP)))  # fmt: skip
    paid, closed = see(paper, 1, 90.0)
    assert isinstance(paid, FundingPaid)
    assert isinstance(closed, OrderFilled)


def test_nobody_pays_after_the_position_is_closed() -> None:
    paper = venue({2: 0.0001})
    held(paper, Side.BUY)
    drive(paper.submit(order(Side.SELL, "2", role=OrderRole.SIGNAL, reduce_only=True, sent_at_ns=T0, of=PERP)))
    assert [type(report) for report in see(paper, 1)] == [OrderFilled]
    assert see(paper, 2) == []


def test_candles_of_another_market_bring_no_funding() -> None:
    paper = venue({1: 0.0001})
    held(paper, Side.BUY)
    assert list(paper.advance(candle(1, 100.0))) == []


@pytest.mark.parametrize("was_paid", [False, True])
def test_a_pass_that_was_interrupted_pays_what_was_not_paid_and_nothing_twice(was_paid: bool) -> None:
    paper = venue({1: 0.0001})
    fill = held(paper, Side.BUY).fill
    position, _ = Position(PERP.id, order(Side.BUY, "2").intent.strategy).apply(fill)
    if was_paid:
        position = position.funded(D("0.02"), T0 + MINUTE_NS)
    again = venue({1: 0.0001})
    again.restore([], [position], D(9800), {PERP.id: T0 + MINUTE_NS})
    assert [type(report) for report in see(again, 1)] == ([] if was_paid else [FundingPaid])
    assert again.cash == (D(9800) if was_paid else D("9799.98"))
