"""Quantities are read exactly or refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.config.units import UNITS, QuantityError, Unit, parse_quantity

amounts = st.decimals(min_value=0, max_value=10**9, places=6)


@given(amounts, st.sampled_from([unit for unit in UNITS.values() if unit.symbol]))
def test_a_quantity_written_in_the_keys_own_unit_is_read_back(amount: Decimal, unit: Unit) -> None:
    text = format(amount, "f")
    assert parse_quantity(text, unit) == parse_quantity(text + unit.symbol, unit) == amount
    assert str(parse_quantity(text, unit)) == text


@given(amounts, st.sampled_from(list(UNITS.values())), st.sampled_from(list(UNITS.values())))
def test_a_quantity_is_converted_exactly_or_refused(amount: Decimal, written: Unit, wanted: Unit) -> None:
    if not written.symbol:
        return
    text = f"{amount:f}{written.symbol}"
    if written.dimension != wanted.dimension:
        with pytest.raises(QuantityError):
            parse_quantity(text, wanted)
        return
    exact = Fraction(amount) * written.size / wanted.size
    assert Fraction(parse_quantity(text, wanted)) == exact


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    for unit in UNITS.values():
        try:
            assert parse_quantity(text, unit).is_finite()
        except QuantityError as error:
            assert str(error)


def test_a_size_that_does_not_convert_within_eighteen_decimals_is_refused() -> None:
    with pytest.raises(QuantityError, match="no exact number of mebibytes"):
        parse_quantity("0.000000000001KiB", UNITS["mebibytes"])
    with pytest.raises(QuantityError, match="more than 18 decimals"):
        parse_quantity("0." + "1" * 19, UNITS["seconds"])
