"""The paper venue takes positions away whose margin is used up: at the open, in the range, and at quotes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace as with_changes
from tests.engine.builders import MINUTE_NS, PERP, T0, candle, drive, order, quote

from promethean.domain.candles import Candle
from promethean.domain.events import CandleClosed, FundingPaid, OrderAdopted, OrderFilled, OrderRejected, VenueReport
from promethean.domain.funding import FundingTable
from promethean.domain.market import Side
from promethean.domain.orders import Order, OrderRole, OrderType
from promethean.domain.positions import Position
from promethean.exchanges.paper.venue import PaperTerms, PaperVenue

D = Decimal
TERMS = PaperTerms(D(0), D(0), D(0), 0)


def venue(cash: str = "1000", terms: PaperTerms = TERMS) -> PaperVenue:
    return PaperVenue({PERP.id: PERP}, terms, D(cash))


def entry(side: Side, quantity: str, leverage: str | None = "10", **how: object) -> Order:
    made = order(side, quantity, price="100", sent_at_ns=T0 - MINUTE_NS, of=PERP, **how)  # type: ignore[arg-type]  # as `order` takes them
    return with_changes(made, intent=with_changes(made.intent, leverage=None if leverage is None else D(leverage)))


def held(side: Side, quantity: str = "10", leverage: str = "10", cash: str = "1000") -> PaperVenue:
    """So much entered at 100, at the open of minute 0."""
    paper = venue(cash)
    drive(paper.submit(entry(side, quantity, leverage)))
    (filled,) = see(paper, 0, 100)
    assert isinstance(filled, OrderFilled)
    return paper


def see(paper: PaperVenue, number: int, *prices: float) -> list[VenueReport]:
    return list(paper.advance(candle(number, *prices, of=PERP)))


def stop(paper: PaperVenue, side: Side, price: str) -> None:
    drive(paper.submit(order(side, "10", OrderType.STOP_MARKET, price=price, role=OrderRole.STOP, reduce_only=True,
                             sent_at_ns=T0, of=PERP)))  # fmt: skip


def taken(reports: list[VenueReport]) -> Decimal:
    """The price at which the one position was taken away."""
    adopted, filled = reports
    assert isinstance(adopted, OrderAdopted)
    assert isinstance(filled, OrderFilled)
    assert adopted.intent.role is OrderRole.LIQUIDATION
    assert adopted.order_id == filled.fill.order_id
    assert (filled.fill.fee.amount, filled.fill.maker) == (D(0), False)
    return filled.fill.price


@pytest.mark.parametrize(
    ("side", "prices", "lost_at"),
    [
        (Side.BUY, (95, 95, 90.51, 95), None),
        (Side.BUY, (95, 95, 90.5, 95), "90"),  # in the range, at the price that uses the margin up
        (Side.BUY, (60, 60, 50, 55), "90"),  # a gap beyond: the margin, and never more
        (Side.SELL, (105, 109.49, 105, 105), None),
        (Side.SELL, (105, 109.5, 105, 105), "110"),
        (Side.SELL, (140, 150, 140, 145), "110"),
    ],
)
def test_a_position_goes_at_its_liquidation_price_and_loses_its_margin(
    side: Side, prices: tuple[float, ...], lost_at: str | None
) -> None:
    paper = held(side)
    assert paper.cash == D(900), "a tenth of 1,000 is set aside"
    reports = see(paper, 1, *prices)
    if lost_at is None:
        assert reports == []
        return
    assert taken(reports) == D(lost_at)
    assert paper.cash == D(900)
    assert drive(paper.positions()) == {}
    assert see(paper, 2, *prices) == []


def test_the_margin_and_not_the_price_has_to_be_there() -> None:
    paper = venue("100")
    for quantity, is_taken in (("10.1", False), ("10", True)):
        answer = drive(paper.submit(entry(Side.BUY, quantity)))
        assert isinstance(answer, OrderRejected) is not is_taken
    more = drive(paper.submit(entry(Side.BUY, "0.5")))
    assert isinstance(more, OrderRejected)
    assert more.code == "insufficient_balance"


def test_a_stop_on_the_way_to_the_liquidation_comes_first_and_one_behind_it_never() -> None:
    paper = held(Side.BUY)
    stop(paper, Side.SELL, "92")
    (filled,) = see(paper, 1, 95, 95, 80, 95)
    assert isinstance(filled, OrderFilled)
    assert filled.fill.price == D(92)
    paper = held(Side.BUY)
    stop(paper, Side.SELL, "85")
    assert taken(see(paper, 1, 95, 95, 80, 95)) == D(90)
    paper = held(Side.BUY)
    stop(paper, Side.SELL, "92")
    assert taken(see(paper, 1, 60, 60, 60, 60)) == D(90), "an open beyond both"


def test_nothing_is_taken_where_nothing_trades() -> None:
    paper = held(Side.BUY)
    at = candle(1, 60, of=PERP).candle
    silent = Candle(at.instrument, at.timeframe, at.open_time_ns, at.close_time_ns, 60.0, 60.0, 60.0, 60.0, 0.0)
    assert list(paper.advance(CandleClosed(silent, silent.close_time_ns))) == []
    assert taken(see(paper, 2, 60)) == D(90)


def test_a_quote_takes_away_what_its_last_price_uses_up() -> None:
    paper = held(Side.BUY)
    assert list(paper.advance(quote(1, 0, 90.51, 91, of=PERP))) == []
    assert taken(list(paper.advance(quote(1, 1, 90.5, 91, of=PERP)))) == D(90)


def test_who_borrows_nothing_keeps_a_long_position_and_loses_a_short_one_that_doubles() -> None:
    paper = held(Side.BUY, leverage="1", cash="1000")
    assert see(paper, 1, 1.0) == []
    paper = held(Side.SELL, leverage="1", cash="1000")
    assert taken(see(paper, 1, 199.5)) == D(200)


def test_an_interrupted_pass_takes_the_position_away_under_the_same_name() -> None:
    paper = held(Side.BUY)
    (first, fill) = see(paper, 1, 60)
    assert isinstance(first, OrderAdopted)
    assert isinstance(fill, OrderFilled)
    position, _ = Position.flat(entry(Side.BUY, "10").intent).apply(
        with_changes(fill.fill, side=Side.BUY, price=D(100), order_id=entry(Side.BUY, "1").id)
    )
    names = set()
    for orders in ([], [first.order()]):  # killed before the adoption was told, and after
        again = venue()
        again.restore(orders, [position], D(900), {PERP.id: T0 + MINUTE_NS})
        (adopted, filled) = see(again, 1, 60)
        assert isinstance(adopted, OrderAdopted)
        assert isinstance(filled, OrderFilled)
        names.add((adopted.order_id, filled.fill.trade_id))
        assert again.cash == D(900)
    assert len(names) == 1


def test_the_maintenance_margin_is_a_term_of_the_venue() -> None:
    paper = venue(terms=replace(TERMS, maintenance=D("0.04")))
    drive(paper.submit(entry(Side.BUY, "10")))
    see(paper, 0, 100)
    assert see(paper, 1, 94.01) == []
    assert taken(see(paper, 2, 94)) == D(90)


def funded(rate: float) -> PaperTerms:
    """Funding at the open of minute 1, at a mark of 100."""
    at_ns = np.array([T0 + MINUTE_NS], np.int64)
    return replace(TERMS, funding=FundingTable(PERP.id, at_ns, at_ns, np.array([rate]), np.array([100.0])))


@pytest.mark.parametrize(("cash", "lowest", "lost_at"), [("120", "90.50", "90"), ("105", "92.00", "91.5")])
def test_funding_that_cash_does_not_hold_is_taken_from_the_margin(cash: str, lowest: str, lost_at: str) -> None:
    paper = venue(cash, funded(0.02))  # 20 for ten units, of 20 or 5 that are free beside the margin of 100
    drive(paper.submit(entry(Side.BUY, "10")))
    see(paper, 0, 100)
    (paid,) = see(paper, 1, 100)
    assert isinstance(paid, FundingPaid)
    assert see(paper, 2, 100, 100, float(lowest) + 0.01, 100) == []
    assert taken(see(paper, 3, 100, 100, float(lowest), 100)) == D(lost_at)
    assert paper.cash == 0, "nothing is left, and nothing is owed"


def test_funding_beyond_everything_takes_the_position_away_at_once() -> None:
    paper = venue("105", funded(0.2))
    drive(paper.submit(entry(Side.BUY, "10")))
    see(paper, 0, 100)
    paid, *rest = see(paper, 1, 100)
    assert isinstance(paid, FundingPaid)
    assert taken(rest) == D("109.5")
    assert paper.cash == 0
