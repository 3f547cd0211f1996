"""Quotes, trades and books that cannot be built wrong, and the view that never shows what comes later."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.candles import Candle, CandleSeries
from promethean.domain.ids import InstrumentId
from promethean.domain.market import MarketView, OrderBook, Quote, Side, Trade

BTC, ETH = InstrumentId("binance:BTCUSDT"), InstrumentId("binance:ETHUSDT")
MINUTE_NS = 60 * 10**9


def candle(number: int, instrument: InstrumentId = BTC, minutes: int = 1) -> Candle:
    start = number * minutes * MINUTE_NS
    price = 100.0 + number
    timeframe = f"{minutes}m"
    return Candle(instrument, timeframe, start, start + minutes * MINUTE_NS, price, price + 1, price - 1, price, 1.0)


def quote(at_ns: int, price: float = 100.0, instrument: InstrumentId = BTC) -> Quote:
    return Quote(instrument, price - 0.5, price + 0.5, price, at_ns)


# -- values -----------------------------------------------------------------------------------------------------------


def test_each_side_has_a_sign_and_an_opposite() -> None:
    assert (Side.BUY.sign, Side.SELL.sign) == (1, -1)
    assert (Side.BUY.opposite, Side.SELL.opposite) == (Side.SELL, Side.BUY)


@pytest.mark.scenario("D1")
@pytest.mark.parametrize(
    ("bid", "ask", "last"),
    [
        (100.0, 100.0, 100.0),
        (101.0, 100.0, 100.0),
        (0.0, 100.0, 100.0),
        (-1.0, 100.0, 100.0),
        (99.0, math.inf, 100.0),
        (math.nan, 100.0, 100.0),
        (99.0, math.nan, 100.0),
        (99.0, 100.0, math.nan),
        (99.0, 100.0, 0.0),
        (99.0, 100.0, math.inf),
    ],
)
def test_a_quote_that_is_crossed_locked_empty_or_not_finite_is_none(bid: float, ask: float, last: float) -> None:
    with pytest.raises(ValueError, match="not a quote"):
        Quote(BTC, bid, ask, last, 1)


def test_the_middle_lies_halfway_between_bid_and_ask() -> None:
    assert Quote(BTC, 99.0, 101.0, 100.5, 1).mid == 100.0
    assert OrderBook(BTC, ((99.0, 1.0),), ((102.0, 1.0),), 1, 1).mid == 100.5


def test_a_trade_tells_who_took() -> None:
    assert Trade(BTC, "1", 100.0, 0.5, Side.SELL, 1).aggressor is Side.SELL


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["price", "quantity"])
def test_a_trade_has_a_price_and_a_quantity_above_zero(name: str, value: float) -> None:
    values: dict[str, Any] = {"price": 100.0, "quantity": 1.0, name: value}
    with pytest.raises(ValueError, match="not a trade"):
        Trade(instrument=BTC, trade_id="1", aggressor=Side.BUY, at_ns=1, **values)


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ((), ((100.0, 1.0),)),
        (((100.0, 1.0),), ()),
        (((100.0, 1.0),), ((100.0, 1.0),)),
        (((101.0, 1.0),), ((100.0, 1.0),)),
        (((math.nan, 1.0),), ((100.0, 1.0),)),
    ],
)
def test_a_book_that_is_one_sided_crossed_or_locked_is_none(bids: Any, asks: Any) -> None:
    with pytest.raises(ValueError, match="not a book"):
        OrderBook(BTC, bids, asks, 1, 1)


# -- the view ---------------------------------------------------------------------------------------------------------


def test_an_empty_view_knows_nothing() -> None:
    view = MarketView()
    assert (view.as_of_ns, len(view.candles(BTC, "1m")), view.mark(BTC)) == (0, 0, None)


def test_a_candle_is_known_at_its_close_and_moves_the_price() -> None:
    view = MarketView().with_candle(candle(0))
    mark = view.mark(BTC)
    assert mark is not None
    assert (view.as_of_ns, mark.price, mark.at_ns) == (MINUTE_NS, 100.0, MINUTE_NS)
    assert view.candles(BTC, "1m").close.tolist() == [100.0]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([BTC, ETH]), st.integers(0, 40)), max_size=40))
def test_no_view_ever_shows_what_came_after_it(acts: list[tuple[bool, InstrumentId, int]]) -> None:
    """Each view is asked again after everything that followed, and answers as it did."""
    view, told = MarketView(), []
    for is_candle, instrument, number in acts:
        if is_candle:
            view = view.with_candle(candle(number, instrument))
        else:
            view = view.with_quote(quote(number * MINUTE_NS, 50.0 + number, instrument))
        told.append((view, answers(view)))
    for view, before in told:
        assert answers(view) == before
        for instrument in (BTC, ETH):
            mark, series = view.mark(instrument), view.candles(instrument, "1m")
            assert mark is None or mark.at_ns <= view.as_of_ns
            assert series.last_open_time_ns < view.as_of_ns


def answers(view: MarketView) -> list[Any]:
    return [(view.mark(each), list(view.candles(each, "1m"))) for each in (BTC, ETH)]


def test_a_candle_that_is_already_known_changes_nothing() -> None:
    view = MarketView().with_candle(candle(0)).with_candle(candle(1))
    assert view.with_candle(candle(1)) is view
    assert view.with_candle(candle(0)) is view


def test_the_newest_price_wins_whatever_order_quotes_and_candles_come_in() -> None:
    view = MarketView().with_quote(quote(90 * 10**9, 105.0)).with_candle(candle(0))
    mark = view.mark(BTC)
    assert mark is not None
    assert mark.price == 105.0  # the candle closed before the quote
    assert view.with_quote(quote(89 * 10**9, 104.0)) is view
    newer = view.with_candle(candle(1)).mark(BTC)
    assert newer is not None
    assert newer.price == 101.0


def test_instruments_and_timeframes_do_not_mix() -> None:
    view = MarketView().with_candle(candle(0)).with_candle(candle(0, ETH)).with_candle(candle(0, BTC, 5))
    assert len(view.candles(BTC, "1m")) == len(view.candles(ETH, "1m")) == len(view.candles(BTC, "5m")) == 1
    assert len(view.candles(ETH, "5m")) == 0


def test_a_history_put_in_place_goes_on_with_the_next_candle() -> None:
    history = CandleSeries.of(map(candle, range(3)))
    view = MarketView().with_series(BTC, "1m", history)
    assert view.with_candle(candle(2)) is view
    assert len(view.with_candle(candle(3)).candles(BTC, "1m")) == 4
    assert len(view.candles(BTC, "1m")) == 3
