"""The order book beside a class: what it says at every close, and to whom it is left."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies.recorded import invented
from tests.strategies.test_order_book_imbalance import BTC, candles, heavy

from promethean.domain.books import BookSeries
from promethean.domain.errors import ConfigError
from promethean.domain.ids import StrategyId
from promethean.domain.market import OrderBook
from promethean.domain.sizing import Sizing
from promethean.engine.combined import Combined, CombinedSaid, Part
from promethean.engine.decide import Aggregation
from promethean.strategies.arrays import ArrayStrategy, ReadsBooks, Said, remarks_of, sources_of
from promethean.strategies.book_source import NO_DEPTH, BookStrategy, order_quantity
from promethean.strategies.frame import Frame
from promethean.strategies.rsi_reversion import RsiReversion
from promethean.strategies.sources.orderbook import BookSettings, orderbook_answer

D = Decimal
NOTHING_KNOWN = Sizing(D("0.02"))
CLOSE = 100.0  # of every candle of `candles`


def looking(sizing: Sizing = NOTHING_KNOWN, **settings: Any) -> BookStrategy:
    return BookStrategy(
        id=StrategyId("s"), instrument=BTC, timeframe="1s", settings=BookSettings(**settings), sizing=sizing
    )


def say(books: BookSeries, sizing: Sizing = NOTHING_KNOWN, **settings: Any) -> Said:
    return looking(sizing, **settings).say(Frame(candles(len(books)), "1s", books))


def row(books: BookSeries, at: int) -> OrderBook | None:
    """One snapshot as a book by itself; None where it is not known."""
    if math.isnan(books.bids[at, 0, 0]):
        return None
    bids, asks = (tuple(map(tuple, side[at].tolist())) for side in (books.bids, books.asks))
    return OrderBook(BTC, bids, asks, 1, 1)


# -- the rule ---------------------------------------------------------------------------------------------------------


def test_at_every_close_the_heavier_side_is_followed_by_itself() -> None:
    said = say(heavy([0.64, 0.65, 0.9, 0.5, 0.35, 0.36, 0.1]))
    assert said.side.tolist() == [0, 1, 1, 0, -1, 0, -1]
    assert said.confidence.tolist() == [0.64, 0.65, 0.9, 0.5, 0.65, 0.64, 0.9]
    assert not said.leave.any()


def test_share_and_levels_are_those_of_the_file() -> None:
    books = heavy([0.8, 0.6])
    books.bids[0, 5:, 1] = 0.01
    assert say(books, share_min=0.7).side.tolist() == [0, 0]
    assert say(books, share_min=0.7, levels=5).side.tolist() == [1, 0]
    assert say(books, share_min=0.6, levels=5).side.tolist() == [1, 1]
    assert say(books, share_min=0.81, levels=5).side.tolist() == [0, 0]


@pytest.mark.parametrize(("spread", "acts"), [(0.049, True), (0.05, False), (0.051, False)])
def test_the_spread_lies_below_five_hundredths_of_a_percent(spread: float, acts: bool) -> None:
    assert bool(say(heavy([0.8], spread=spread)).side[0]) is acts


def test_the_thinner_side_holds_ten_times_what_the_file_enters_with() -> None:
    books = heavy([0.8])  # ten levels of 0.2 on the side of the asks
    for largest, side in ((D("0.2"), 1), (D("0.2001"), 0)):
        assert say(books, Sizing(D(1), None, largest)).side.tolist() == [side]
        assert say(books, Sizing(None, largest * int(CLOSE))).side.tolist() == [side]
    assert say(books, NOTHING_KNOWN).side.tolist() == [1]


def test_the_order_is_the_smallest_that_the_file_tells_without_the_equity() -> None:
    close = np.array([50.0, 200.0])
    assert order_quantity(Sizing(None, D(100)), close).tolist() == [2.0, 0.5]
    assert order_quantity(Sizing(D("0.5"), None, D(3)), close).tolist() == [3.0, 3.0]
    assert order_quantity(Sizing(None, D(100), D(1)), close).tolist() == [1.0, 0.5]
    assert order_quantity(Sizing(D("0.5")), close).tolist() == [0.0, 0.0]


def test_a_depth_that_cannot_be_asked_for_is_said() -> None:
    assert remarks_of(looking(NOTHING_KNOWN)) == (NO_DEPTH,)
    assert "10 times the order" in NO_DEPTH
    assert remarks_of(looking(Sizing(None, D(10)))) == remarks_of(looking(Sizing(D(1), None, D(1)))) == ()


quantities = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5, 7.0, 13.0, 40.0])
sizings = st.one_of(
    st.builds(Sizing, st.just(D("0.02")), st.none(), st.sampled_from([None, D("0.05"), D("0.1"), D(1)])),
    st.builds(Sizing, st.none(), st.sampled_from([D(5), D(10), D(100)]), st.sampled_from([None, D("0.05")])),
)


@st.composite
def series(draw: st.DrawFn) -> BookSeries:
    """Snapshots of any weights and spreads, some of them not known."""
    rows, levels = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    books = heavy([0.5] * rows, levels=levels)
    for at in range(rows):
        half = draw(st.sampled_from([0.005, 0.0249, 0.025, 0.03]))
        for sign, side in ((-1, books.bids), (1, books.asks)):
            side[at, :, 0] = CLOSE + sign * (half + 0.1 * np.arange(levels))
            side[at, :, 1] = draw(st.lists(quantities, min_size=levels, max_size=levels))
        if draw(st.integers(0, 5)) == 0:
            books.bids[at], books.asks[at] = np.nan, np.nan
    return books


@given(series(), sizings, st.sampled_from([0.5, 0.55, 0.65, 0.8]), st.integers(1, 20))
def test_over_all_candles_it_says_what_each_snapshot_says_by_itself(
    books: BookSeries, sizing: Sizing, share_min: float, levels: int
) -> None:
    walk = invented(len(books), len(books), "1s")
    strategy = looking(sizing, share_min=share_min, levels=levels)
    said = strategy.say(Frame(walk, "1s", books))
    for at in range(len(books)):
        quantity = float(order_quantity(sizing, walk.close)[at])
        alone = BookSettings(share_min=share_min, levels=levels, depth_multiple=10.0 if quantity else 0.0)
        book, main = row(books, at), next(iter(said.readings.values()))[at]
        if book is None:
            assert (said.side[at], math.isnan(main)) == (0, True)
            continue
        answer = orderbook_answer(book, quantity or 1.0, alone)
        assert said.side[at] == (0 if answer.side is None else answer.side.sign)
        assert not math.isnan(main)
        if answer.side is not None:
            assert said.confidence[at] == answer.confidence
            assert strategy.reason(said, at) == answer.reason
    assert said.unknown == sum(row(books, at) is None for at in range(len(books)))


def test_data_without_books_are_refused() -> None:
    assert isinstance(looking(), ArrayStrategy)
    assert isinstance(looking(), ReadsBooks)
    with pytest.raises(ConfigError, match="this data holds no order books; give a recorded feed"):
        looking().say(Frame(candles(3), "1s"))


# -- beside a class ---------------------------------------------------------------------------------------------------


def joined(*, weight: float = 1.0, can_short: bool = True) -> Combined:
    first = RsiReversion(id=StrategyId("s"), instrument=BTC, timeframe="1s", parameters={}, can_short=can_short)
    parts = (Part("rsi_reversion", first, 1.0), Part("orderbook", looking(), weight))
    return Combined(parts, Aggregation.WEIGHTED, 0.3, can_short=can_short)


def test_who_did_not_know_the_book_is_left_out_and_the_others_weigh_more() -> None:
    count = 40
    books = heavy([0.8] * count)
    books.bids[30], books.asks[30] = np.nan, np.nan
    strategy = joined(weight=0.5)
    said = strategy.say(Frame(invented(3, count, "1s"), "1s", books))
    assert isinstance(said, CombinedSaid)
    assert said.unknown == 1
    told = [strategy.metadata(said, at) for at in (29, 30)]
    assert [each["sources"] for each in told] == ["rsi_reversion, orderbook", "rsi_reversion"]
    assert [each["left_out"] for each in told] == ["", "orderbook"]
    assert [each["weights"] for each in told] == ["rsi_reversion 0.666667, orderbook 0.333333", "rsi_reversion 1"]


def test_a_book_that_holds_nothing_is_an_answer_and_none_is_not() -> None:
    books = heavy([0.8, 0.8, 0.8])
    books.bids[1, :, 1], books.asks[1, :, 1] = 0.0, 0.0
    books.bids[2], books.asks[2] = np.nan, np.nan
    said = joined().say(Frame(candles(3), "1s", books))
    assert said.votes[1].fresh.tolist() == [True, True, False]
    assert said.votes[1].side.tolist() == [1, 0, 0]


def test_both_are_told_apart_among_those_that_speak() -> None:
    assert [isinstance(each, ReadsBooks) for each in sources_of(joined())] == [False, True]
    assert joined().remarks == (NO_DEPTH,)
