"""The books of a backtest: nothing is made and nothing is lost, and equity is what the account is worth."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from tests.evaluation.markets import MINUTE_NS, START_NS, Scripted, cases, compiled_books, desk, market, rules
from tests.evaluation.test_backtest import seat_of

from promethean.domain.candles import CandleSeries
from promethean.domain.market import Side
from promethean.evaluation.ledger import Bookkeeper, Books, equity_curve
from promethean.evaluation.stepped import SteppedBacktest
from promethean.exchanges.paper.venue import PaperTerms

D = Decimal
DUST = D("1e-9")  # where a share of a cost is rounded


def flat_candles(*closes: float) -> CandleSeries:
    values = np.array(closes, np.float64)
    times = START_NS + MINUTE_NS * np.arange(len(values), dtype=np.int64)
    return CandleSeries.from_columns(times, (values, values, values, values, np.full(len(values), 1e6)))


def keeper(candles: CandleSeries, *, futures: bool = True, fee: str = "0", bps: str = "0") -> Bookkeeper:
    strategy = Scripted(market("0.01", "0.001", futures=futures), [0] * len(candles), [0] * len(candles))
    terms = PaperTerms(D(fee), D(fee), D(bps), 0, D(10) ** 9, False)
    return Bookkeeper(seat_of(strategy, futures=futures), terms, candles, D(1000))


def book(books: Bookkeeper, at: int, side: Side, price: str, quantity: str, fee: str = "0", why: str = "") -> None:
    books.book(at, int(books.open_time[at]), side, D(price), D(quantity), D(fee), why)


# -- conservation -----------------------------------------------------------------------------------------------------


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_what_there_was_and_what_was_made_are_what_there_is(case: Any) -> None:
    seat, strategy, terms, series, cash = case
    compiled = compiled_books(rules(seat, terms, cash), strategy.said, series)
    books = compiled or SteppedBacktest(desk(seat, strategy, series), terms, series, cash).run()
    assert cash + sum((trade.pnl for trade in books.trades), D(0)) == books.cash
    assert sum((trade.fees for trade in books.trades), D(0)) == books.fees
    assert cash + sum((part.pnl for part in books.parts), D(0)) == books.cash
    assert sum((part.fees for part in books.parts), D(0)) == books.fees
    assert sum((part.funding for part in books.parts), D(0)) == books.funding
    assert sum((trade.funding for trade in books.trades), D(0)) == books.funding
    assert [part.trade for part in books.parts] == sorted(part.trade for part in books.parts)
    assert {part.trade for part in books.parts} == set(range(1, len(books.trades) + 1))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_a_part_gains_what_its_prices_say_and_pays_its_fees_and_funding(case: Any) -> None:
    seat, strategy, terms, series, cash = case
    books = compiled_books(rules(seat, terms, cash), strategy.said, series)
    if books is None:
        return
    for part in books.parts:
        gain = (part.exit_price - part.entry_price) * part.quantity * part.side.sign
        assert abs(gain - part.fees - part.funding - part.pnl) < DUST
        assert part.opened_at_ns <= part.closed_at_ns
        assert part.quantity > 0


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_equity_is_at_every_close_what_closing_there_would_leave(case: Any) -> None:
    """Independently: the start, what was taken until then, and what the open position would gain at this close."""
    seat, strategy, terms, series, cash = case
    books = compiled_books(rules(seat, terms, cash), strategy.said, series)
    if books is None:
        return
    curve = equity_curve(float(cash), books, series.close)
    assert len(curve) == len(series)
    # Fills after the last one at the end of the run are booked at its last candle.
    states = [(-1, 0.0, 0.0, 0.0), *zip(books.at, books.held, books.cash_after, books.cost_after, strict=True)]
    for at, close in enumerate(series.close.tolist()):
        _, held, money, cost = [state for state in states if state[0] <= at][-1]
        money = money if len([s for s in states if s[0] <= at]) > 1 else float(cash)
        gain = held * close - cost if held > 0 else cost + held * close
        assert curve[at] == pytest.approx(money + cost + gain, abs=1e-6, rel=1e-12)
    assert curve[-1] == pytest.approx(float(books.cash), abs=1e-6)


# -- by hand ----------------------------------------------------------------------------------------------------------


def curve_of(books: Bookkeeper) -> list[float]:
    found = books.books()
    return [round(value, 6) for value in equity_curve(1000.0, found, books.close).tolist()]


def test_the_equity_of_a_long_position_rises_with_the_price() -> None:
    books = keeper(flat_candles(100, 100, 110, 90, 105))
    book(books, 1, Side.BUY, "100", "2", fee="1")
    book(books, 4, Side.SELL, "105", "2", fee="1")
    assert curve_of(books) == [1000, 999, 1019, 979, 1008]
    (trade,) = books.trades
    assert (trade.pnl, trade.fees, trade.notional) == (D(8), D(2), D(200))


def test_the_equity_of_a_short_position_falls_with_the_price() -> None:
    books = keeper(flat_candles(100, 100, 110, 90, 105))
    book(books, 1, Side.SELL, "100", "2", fee="1")
    book(books, 4, Side.BUY, "105", "2", fee="1")
    assert curve_of(books) == [1000, 999, 979, 1019, 988]
    assert books.cash == D(988)


def test_parts_of_a_position_share_what_it_paid_to_begin() -> None:
    books = keeper(flat_candles(100, 110, 120, 130))
    book(books, 0, Side.BUY, "100", "3", fee="3")
    book(books, 1, Side.SELL, "110", "1", fee="0.5", why="target")
    book(books, 2, Side.SELL, "120", "2", fee="0.5", why="stop")
    first, second = books.parts
    assert (first.trade, first.reason, first.fees, first.pnl) == (1, "target", D("1.5"), D("8.5"))
    assert (second.trade, second.reason, second.fees, second.pnl) == (1, "stop", D("2.5"), D("37.5"))
    (trade,) = books.trades
    assert (trade.pnl, trade.fees, trade.reason, trade.opened, trade.closed) == (D(46), D(4), "stop", 0, 2)
    assert curve_of(books) == [997, 1026.5, 1046, 1046]


def test_what_is_open_at_the_end_is_closed_at_the_last_close_as_an_order_that_takes() -> None:
    books = keeper(flat_candles(100, 110), fee="0.001")
    book(books, 0, Side.BUY, "100", "2")
    books.close_at_end()
    (part,) = books.parts
    assert (part.reason, part.exit_price, part.fees, part.pnl) == ("end", D(110), D("0.22"), D("19.78"))
    assert part.closed_at_ns == START_NS + 2 * MINUTE_NS
    books.close_at_end()
    assert len(books.parts) == 1, "there is nothing left to close"


def test_the_end_costs_slippage_against_the_position() -> None:
    candles = flat_candles(100, 110)
    for side, way in ((Side.BUY, -1), (Side.SELL, 1)):
        books = keeper(candles, bps="100")
        book(books, 0, side, "100", "10000")  # a hundredth of the volume: a tenth of the slippage
        books.close_at_end()
        assert books.parts[0].exit_price == D("110") + way * D("0.11")


def test_an_account_that_never_traded_is_worth_its_cash() -> None:
    empty = np.array([])
    books = Books(D(1000), D(0), [], [], np.array([], np.int64), empty, empty, empty)
    assert equity_curve(1000.0, books, np.array([5.0, 6.0])).tolist() == [1000.0, 1000.0]


def test_an_entry_in_pieces_has_paid_the_fees_of_all_of_them() -> None:
    books = keeper(flat_candles(100, 110, 120))
    book(books, 0, Side.BUY, "100", "1", fee="1")
    book(books, 1, Side.BUY, "110", "1", fee="2")
    book(books, 2, Side.SELL, "120", "2", fee="3", why="stop")
    (part,) = books.parts
    assert (part.entry_price, part.fees, part.pnl) == (D(105), D(6), D(24))
    assert books.cash == D(1024)


def test_a_part_closed_between_two_pieces_of_an_entry_gains_what_the_account_gained() -> None:
    books = keeper(flat_candles(100, 110, 120, 130))
    book(books, 0, Side.BUY, "100", "2")
    book(books, 1, Side.SELL, "110", "1", why="target")
    book(books, 2, Side.BUY, "120", "1")
    book(books, 3, Side.SELL, "130", "2", why="stop")
    assert [part.pnl for part in books.parts] == [D(10), D(40)]
    assert books.cash == D(1050)
