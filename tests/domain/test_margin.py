"""Margins: where a position is liquidated, and what is lost then."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.builders import PERP

from promethean.domain.ids import OrderId, StrategyId
from promethean.domain.margin import Margin
from promethean.domain.market import Side
from promethean.domain.money import Money
from promethean.domain.positions import Fill, Position

D = Decimal


@pytest.mark.parametrize(
    ("leverage", "maintenance", "side", "liquidation", "bankruptcy"),
    [
        ("10", "0.005", Side.BUY, "90.50", "90.00"),  # 100 x (1 - 1/10 + 0.005)
        ("10", "0.005", Side.SELL, "109.50", "110.00"),  # 100 x (1 + 1/10 - 0.005)
        ("3", "0", Side.BUY, "66.67", "66.67"),  # rounded towards the entry, on both sides
        ("3", "0", Side.SELL, "133.33", "133.33"),
        ("1", "0.005", Side.BUY, "0.50", "0.01"),  # no price is lower than a tick
        ("1", "0.005", Side.SELL, "199.50", "200.00"),
        ("125", "0.004", Side.BUY, "99.60", "99.20"),
    ],
)
def test_a_margin_is_used_up_where_the_formula_says(
    leverage: str, maintenance: str, side: Side, liquidation: str, bankruptcy: str
) -> None:
    margin = Margin(D(leverage), D(maintenance))
    assert margin.liquidation_price(D(100), side, PERP) == D(liquidation)
    assert margin.bankruptcy_price(D(100), side, PERP) == D(bankruptcy)


def test_a_third_of_a_price_that_three_divides_is_a_tick_of_its_own() -> None:
    assert Margin(D(3), D(0)).liquidation_price(D(300), Side.BUY, PERP) == D(200)


@pytest.mark.parametrize(("leverage", "maintenance"), [("0.5", "0"), ("10", "0.1"), ("100", "0.02"), ("2", "-0.01")])
def test_terms_under_which_an_entry_is_liquidated_at_once_are_none(leverage: str, maintenance: str) -> None:
    with pytest.raises(ValueError, match="leverage"):
        Margin(D(leverage), D(maintenance))


def fill(side: Side, quantity: str, price: str, fee: str = "0") -> Fill:
    return Fill(OrderId("o"), "t", PERP.id, side, D(price), D(quantity), Money(D(fee), "USDT"), False, 1)


def test_a_position_ties_up_its_margin_and_gives_back_the_part_that_is_closed() -> None:
    flat = Position(PERP.id, StrategyId("s"), leverage=D(4))
    held, opened = flat.apply(fill(Side.BUY, "2", "100", "0.2"))
    assert (held.cost, held.margin, opened.cash, opened.margin) == (D(200), D(50), D("-50.2"), D(50))
    half, closed = held.apply(fill(Side.SELL, "1", "110", "0.1"))
    assert (half.margin, closed.margin, closed.realised, closed.cash) == (D(25), D(-25), D(10), D("34.9"))
    short, _ = flat.apply(fill(Side.SELL, "3", "100"))
    _, over = short.apply(fill(Side.BUY, "3", "90"))
    assert (short.margin, over.cash) == (D(75), D(105))


amounts = st.decimals("0.001", "5", places=3)
prices = st.decimals("50", "200", places=2)
moves = st.lists(st.tuples(st.sampled_from(Side), amounts, prices), min_size=1, max_size=30)


@given(moves, st.decimals("1", "125", places=2))
def test_leverage_changes_what_is_set_aside_and_no_profit(
    made: list[tuple[Side, Decimal, Decimal]], by: Decimal
) -> None:
    own, lent = Position(PERP.id, StrategyId("s")), Position(PERP.id, StrategyId("s"), leverage=by)
    cash = {1: D(0), 2: D(0)}
    for side, quantity, price in made:
        own, first = own.apply(fill(side, str(quantity), str(price), "0.01"))
        lent, second = lent.apply(fill(side, str(quantity), str(price), "0.01"))
        assert second.cash + second.margin - second.realised + second.fee == 0
        assert (first.realised, first.fee) == (second.realised, second.fee)
        cash = {1: cash[1] + first.cash, 2: cash[2] + second.cash}
        assert cash[1] + own.margin == cash[2] + lent.margin
        assert lent.margin <= lent.cost
    assert lent.leverage == by
