"""Money: exact, of one currency, and written without exponents."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.money import Money, plain, quantum

amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=18)


@given(amounts)
def test_plain_text_reads_back_as_the_same_amount(amount: Decimal) -> None:
    text = plain(amount)
    assert Decimal(text) == amount
    assert "E" not in text.upper()
    assert text == plain(Decimal(text))


@pytest.mark.parametrize(
    ("written", "text"),
    [("1E+3", "1000"), ("1E-8", "0.00000001"), ("-0.00", "0"), ("0E-18", "0"), ("2.50", "2.5"), ("100", "100")],
)
def test_one_amount_has_one_text(written: str, text: str) -> None:
    assert plain(Decimal(written)) == text


@given(amounts, amounts)
def test_amounts_of_one_currency_add_up(one: Decimal, other: Decimal) -> None:
    assert Money(one, "USDT") + Money(other, "USDT") == Money(one + other, "USDT")


def test_two_currencies_are_never_added() -> None:
    with pytest.raises(ValueError, match="cannot add BTC to USDT"):
        Money(Decimal(1), "USDT") + Money(Decimal(1), "BTC")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_finite_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        Money(Decimal(text), "USDT")


def test_money_reads_as_amount_and_currency() -> None:
    assert str(Money(Decimal("12.50"), "USDT")) == "12.50 USDT"


@pytest.mark.parametrize(("places", "step"), [(0, "1"), (2, "0.01"), (18, "0.000000000000000001")])
def test_a_quantum_is_the_smallest_step_with_so_many_places(places: int, step: str) -> None:
    assert quantum(places) == Decimal(step)
