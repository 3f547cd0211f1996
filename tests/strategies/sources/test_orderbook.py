"""What an order book says, at every border of its rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId
from promethean.domain.market import OrderBook, Side
from promethean.domain.signals import SignalSource
from promethean.strategies.sources.orderbook import BookSettings, orderbook_answer

BTC = InstrumentId("binance:BTCUSDT")


def book(bids: list[float], asks: list[float], spread: float = 1.0, mid: float = 100_000.0) -> OrderBook:
    """Quantities from the best level on, at prices one unit apart."""
    bid, ask = mid - spread / 2, mid + spread / 2
    return OrderBook(
        BTC,
        tuple((bid - number, quantity) for number, quantity in enumerate(bids)),
        tuple((ask + number, quantity) for number, quantity in enumerate(asks)),
        7,
        1234,
    )


@pytest.mark.parametrize(
    ("bids", "asks", "side", "confidence"),
    [
        ([65.0], [35.0], Side.BUY, 0.65),
        ([64.9], [35.1], None, 0.0),
        ([35.0], [65.0], Side.SELL, 0.65),
        ([50.0], [50.0], None, 0.0),
        ([8.0] * 10, [2.0] * 10, Side.BUY, 0.8),
        ([1.0] * 10 + [1000.0], [1.0] * 10, None, 0.0),  # the eleventh level is not looked at
        ([9.0, 9.0], [4.0, 2.0], Side.BUY, 0.75),
    ],
)
def test_the_stronger_side_counts_from_its_share_on(
    bids: list[float], asks: list[float], side: Side | None, confidence: float
) -> None:
    answer = orderbook_answer(book(bids, asks), 0.1)
    assert answer.side is side
    assert answer.confidence == pytest.approx(confidence)
    assert (answer.source, answer.at_ns) == (SignalSource.ORDERBOOK, 1234)


@pytest.mark.parametrize(("spread", "acts"), [(49.0, True), (50.0, False), (51.0, False)])
def test_a_spread_of_half_a_thousandth_is_too_wide(spread: float, acts: bool) -> None:
    answer = orderbook_answer(book([8.0], [2.0], spread), 0.1)
    assert (answer.side is Side.BUY) is acts
    assert acts or answer.reason == f"the spread is {spread / 100_000:.4%}, not below 0.0500%"


@pytest.mark.parametrize(("quantity", "acts"), [(0.2, True), (0.2000001, False), (1.0, False)])
def test_the_thinner_side_holds_ten_times_the_order(quantity: float, acts: bool) -> None:
    answer = orderbook_answer(book([8.0], [2.0]), quantity)
    assert (answer.side is Side.BUY) is acts
    assert acts or answer.reason == f"the thinner side holds 2, less than 10 times the {quantity:g}"


def test_it_says_what_it_saw() -> None:
    answer = orderbook_answer(book([8.0], [2.0]), 0.1)
    assert answer.reason == "bids hold 80.0% of 10 levels, with a spread of 0.0010%"
    assert dict(answer.values) == {
        "share": 0.8, "spread": pytest.approx(1e-5), "bid_quantity": 8.0, "ask_quantity": 2.0, "quantity": 0.1,
    }  # fmt: skip


def test_a_book_of_nothing_is_no_view() -> None:
    answer = orderbook_answer(book([0.0], [0.0]), 0.1)
    assert (answer.side, answer.reason) == (None, "the book holds nothing")


def test_with_a_lower_share_equal_sides_are_still_no_view() -> None:
    answer = orderbook_answer(book([1.0], [1.0]), 0.1, BookSettings(share_min=0.5))
    assert (answer.side, answer.reason) == (None, "both sides hold the same")


@pytest.mark.parametrize("quantity", [0.0, -1.0, float("nan"), float("inf")])
def test_an_order_without_a_quantity_is_refused(quantity: float) -> None:
    with pytest.raises(ValueError, match="an order has a quantity above zero"):
        orderbook_answer(book([8.0], [2.0]), quantity)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": 0}, "levels is 0; it lies between 1 and 1000"),
        ({"share_min": 0.4}, "share_min is 0.4; it lies between 0.5 and 1"),
        ({"spread_max": float("nan")}, "spread_max is nan; it lies between 0 and 1"),
        ({"depth_multiple": -1}, "depth_multiple is -1"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BookSettings(**changes)


quantities = st.lists(st.floats(0.001, 1000), min_size=1, max_size=12)


@given(quantities, quantities, st.floats(0.001, 10))
def test_a_mirrored_book_says_the_other_side(bids: list[float], asks: list[float], quantity: float) -> None:
    one, other = orderbook_answer(book(bids, asks), quantity), orderbook_answer(book(asks, bids), quantity)
    assert (one.side and one.side.opposite) == other.side
    assert one.confidence == pytest.approx(other.confidence)
    assert one.side is None or 0.65 - 1e-9 <= one.confidence <= 1
