"""Ids follow from what they name, and nothing else is taken for one of ours."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.ids import (
    AccountId,
    ClientOrderId,
    Lineage,
    OrderId,
    client_order_id,
    fact_id,
    order_id,
    order_id_of,
)

ACCOUNT = AccountId("7f1f3b1e-0000-4000-8000-000000000001")
LINEAGE = Lineage("c0ffee")


@given(st.uuids())
def test_a_client_order_id_names_its_order_in_letters_that_every_venue_takes(order: uuid.UUID) -> None:
    client = client_order_id(OrderId(str(order)))
    assert re.fullmatch(r"pm[a-z2-7]{26}", client)
    assert order_id_of(client) == str(order)


def test_the_same_place_in_the_journal_always_gives_the_same_order_id() -> None:
    assert order_id(ACCOUNT, LINEAGE, 12, 3) == order_id(ACCOUNT, LINEAGE, 12, 3)
    assert str(uuid.UUID(order_id(ACCOUNT, LINEAGE, 12, 3))) == order_id(ACCOUNT, LINEAGE, 12, 3)


def test_another_account_lineage_row_or_index_gives_another_order_id() -> None:
    places = [
        (ACCOUNT, LINEAGE, 12, 3),
        (AccountId("7f1f3b1e-0000-4000-8000-000000000002"), LINEAGE, 12, 3),
        (ACCOUNT, Lineage("c0ffef"), 12, 3),
        (ACCOUNT, LINEAGE, 13, 3),
        (ACCOUNT, LINEAGE, 12, 4),
        (ACCOUNT, LINEAGE, 1, 23),
    ]
    assert len({order_id(*place) for place in places}) == len(places)


@pytest.mark.parametrize(
    "foreign",
    ["", "pm", "x-123", "pm" + "a" * 25, "pm" + "a" * 27, "PM" + "a" * 26, "pm" + "1" * 26, "pm" + "\u017f" * 26],
)
def test_a_foreign_client_order_id_is_refused(foreign: str) -> None:
    with pytest.raises(ValueError, match="not one of our client order ids"):
        order_id_of(ClientOrderId(foreign))


def test_another_spelling_of_our_client_order_id_is_refused() -> None:
    ours = client_order_id(order_id(ACCOUNT, LINEAGE, 1, 0))
    with pytest.raises(ValueError, match="not one of our client order ids"):
        order_id_of(ClientOrderId("pm" + ours[2:].upper()))


def test_bits_that_no_order_id_has_are_refused() -> None:
    ours = client_order_id(OrderId(str(uuid.UUID(int=0))))
    with pytest.raises(ValueError, match="not one of our client order ids"):
        order_id_of(ClientOrderId(ours[:-1] + "b"))


def test_a_fact_id_follows_from_the_fact() -> None:
    assert fact_id("fill", 7) == fact_id("fill", "7")
    assert fact_id("fill", 7) != fact_id("fill", 8)
    assert str(uuid.UUID(fact_id("fill", 7))) == fact_id("fill", 7)
