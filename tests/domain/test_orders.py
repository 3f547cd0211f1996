"""Intents cannot be built wrong, and an order lives by one table."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.ids import InstrumentId, OrderId, StrategyId, client_order_id
from promethean.domain.market import Side
from promethean.domain.orders import (
    TERMINAL,
    TRANSITIONS,
    Hold,
    Intent,
    Order,
    OrderRole,
    OrderStatus,
    OrderStep,
    OrderType,
    Protection,
    Tier,
    TimeInForce,
    Trail,
)

D = Decimal
ID = OrderId("00000000-0000-4000-8000-000000000001")


def intent(**changes: Any) -> Intent:
    values: dict[str, Any] = {
        "instrument": InstrumentId("binance:BTCUSDT"),
        "strategy": StrategyId("rsi-btc-1m"),
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "role": OrderRole.ENTRY,
        "quantity": D("0.5"),
        "reference_price": D(100),
        "reduce_only": False,
        "decided_at_ns": 1,
        "reason": "RSI(14) is 21.50, below 30",
    }
    return Intent(**values | changes)


def order(status: OrderStatus = OrderStatus.PLANNED, **changes: Any) -> Order:
    return Order(ID, client_order_id(ID), intent(), status, **changes)


# -- order life -------------------------------------------------------------------------------------------------------

STEPS = (
    "claimed", "dropped", "accepted", "rejected", "outcome_unknown",
    "partly_filled", "filled", "cancelled", "expired", "found_absent",
)  # fmt: skip
# One line for each status, one column for each step above; "." is our mistake, "=" changes nothing.
TABLE = """
planned:          sending dropped . . . . . . . .
sending:          . . open rejected unknown partially_filled filled cancelled expired .
unknown:          . . open rejected = partially_filled filled cancelled expired absent
open:             . . = . = partially_filled filled cancelled expired .
partially_filled: . . = . = = filled cancelled expired .
dropped:          . . = . = = = = = .
rejected:         . . = = = = = = = .
absent:           . . = . = = = = = .
filled:           . . = . = = = = = .
cancelled:        . . = . = = = = = .
expired:          . . = . = = = = = .
"""


def written() -> dict[tuple[OrderStatus, OrderStep], str]:
    table = {}
    for line in TABLE.strip().splitlines():
        status, _, cells = line.partition(":")
        for step, cell in zip(STEPS, cells.split(), strict=True):
            table[OrderStatus(status), OrderStep(step)] = status if cell == "=" else cell
    return table


PAIRS = list(itertools.product(OrderStatus, OrderStep))


@pytest.mark.parametrize(("status", "step"), PAIRS, ids=lambda value: value.value)
def test_every_status_answers_every_step_as_the_table_of_order_life_says(status: OrderStatus, step: OrderStep) -> None:
    then = written()[status, step]
    before = order(status, filled_quantity=D("0.2"))
    if then == ".":
        assert (status, step) not in TRANSITIONS
        with pytest.raises(AssertionError, match=f"is {status}: {step} cannot happen to it"):
            before.after(step)
    else:
        assert TRANSITIONS[status, step] == then
        after = before.after(step)
        assert after.status == then
        assert (after is before) == (then == status)
        assert after.filled_quantity == before.filled_quantity


def test_the_table_holds_nothing_else_and_cannot_be_changed() -> None:
    assert set(TRANSITIONS) == {pair for pair, then in written().items() if then != "."}
    with pytest.raises(TypeError):
        TRANSITIONS[OrderStatus.FILLED, OrderStep.CLAIMED] = OrderStatus.SENDING  # type: ignore[index]  # the point


def test_six_statuses_are_terminal() -> None:
    assert {status for status in OrderStatus if status.is_terminal} == TERMINAL
    assert {status.value for status in TERMINAL} == {"dropped", "rejected", "absent", "filled", "cancelled", "expired"}


RANK = {
    OrderStatus.PLANNED: 0,
    OrderStatus.SENDING: 1,
    OrderStatus.UNKNOWN: 2,
    OrderStatus.OPEN: 3,
    OrderStatus.PARTIAL: 4,
} | dict.fromkeys(TERMINAL, 5)


@given(st.lists(st.sampled_from(OrderStep), max_size=30))
def test_no_sequence_of_reports_brings_an_order_back(steps: list[OrderStep]) -> None:
    current = order()
    for step in steps:
        if (current.status, step) not in TRANSITIONS:
            continue
        after = current.after(step)
        assert RANK[after.status] >= RANK[current.status]
        if current.status.is_terminal:
            assert after is current
        current = after


# -- what an order tells ----------------------------------------------------------------------------------------------


def test_an_order_tells_what_remains_and_at_which_price_it_was_filled() -> None:
    fresh = order()
    assert (fresh.remaining, fresh.average_price, fresh.cancel_requested) == (D("0.5"), None, False)
    filled = order(filled_quantity=D("0.4"), filled_notional=D("40.2"), cancel_requested_at_ns=7)
    assert (filled.remaining, filled.average_price, filled.cancel_requested) == (D("0.1"), D("100.5"), True)


def test_the_notional_of_an_intent_is_at_its_limit_price_else_at_the_reference_price() -> None:
    assert intent().notional == D(50)
    limit = intent(type=OrderType.LIMIT, limit_price=D(101))
    assert (limit.expected_price, limit.notional) == (D(101), D("50.5"))


# -- what cannot be built ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["quantity", "reference_price"])
@pytest.mark.parametrize("value", [D(0), D(-1)])
def test_an_intent_has_a_quantity_and_a_price_above_zero(name: str, value: Decimal) -> None:
    with pytest.raises(ValueError, match="positive quantity and reference price"):
        intent(**{name: value})


@pytest.mark.parametrize("kind", OrderType)
def test_prices_belong_to_the_order_types_that_need_them(kind: OrderType) -> None:
    needs = {
        OrderType.MARKET: {},
        OrderType.LIMIT: {"limit_price": D(100)},
        OrderType.STOP_MARKET: {"stop_price": D(99)},
        OrderType.STOP_LIMIT: {"limit_price": D(98), "stop_price": D(99)},
    }[kind]
    assert intent(type=kind, **needs).type is kind
    for name in ("limit_price", "stop_price"):
        wrong = {**needs, name: None} if name in needs else {**needs, name: D(97)}
        with pytest.raises(ValueError, match=f"a {name.replace('_', ' ')} belongs to"):
            intent(type=kind, **wrong)


@pytest.mark.parametrize("validity", TimeInForce)
def test_an_expiry_belongs_to_gtd_orders_alone(validity: TimeInForce) -> None:
    right, wrong = (5, None) if validity is TimeInForce.GTD else (None, 5)
    assert intent(time_in_force=validity, expires_at_ns=right).expires_at_ns == right
    with pytest.raises(ValueError, match="an expiry belongs to GTD orders"):
        intent(time_in_force=validity, expires_at_ns=wrong)


@pytest.mark.parametrize(("target", "share"), [("-0.02", "0.5"), ("0.02", "0"), ("0.02", "1.01")])
def test_a_tier_has_a_target_in_favour_and_a_share_up_to_the_whole(target: str, share: str) -> None:
    with pytest.raises(ValueError, match="a tier needs a target above 0"):
        Tier(D(target), D(share))


def test_a_tier_rests_where_its_target_says_or_at_a_price_of_its_own() -> None:
    assert Tier(D(0), D(1), D(101)).price == 101
    for target, price in ((D(0), None), (D("0.01"), D(101))):
        with pytest.raises(ValueError, match="a tier has a target or a price"):
            Tier(target, D(1), price)


def test_a_trail_and_a_holding_time_are_something() -> None:
    with pytest.raises(ValueError, match="needs a distance between 0 and 1"):
        Trail(D(1))
    with pytest.raises(ValueError, match="an activation from 0 on"):
        Trail(D("0.01"), D("-0.01"))
    with pytest.raises(ValueError, match="held for some time"):
        Hold(0)


@pytest.mark.parametrize("stop", ["0", "-0.01", "1"])
def test_a_stop_loss_is_a_fraction_of_the_entry(stop: str) -> None:
    with pytest.raises(ValueError, match="a stop loss is a fraction between 0 and 1"):
        Protection(D(stop))


def test_tiers_never_close_more_than_the_whole_position() -> None:
    whole = (Tier(D("0.02"), D("0.5")), Tier(D("0.04"), D("0.5")))
    assert Protection(D("0.01"), whole).tiers == whole
    with pytest.raises(ValueError, match="close more than the whole position"):
        Protection(D("0.01"), (*whole, Tier(D("0.06"), D("0.0001"))))
