"""Entry sizes: never above what equity, amount and the largest size allow, and whole lots."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from promethean.domain.ids import InstrumentId
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.sizing import Sizing
from promethean.risk.sizing import entry_quantity

D = Decimal
TICK, LOT = D("0.01"), D("0.0001")
BTC = Instrument(InstrumentId("binance:BTCUSDT"), "binance", "BTC", "USDT", MarketType.SPOT, TICK, LOT, LOT, D(10))
TWO_PERCENT = Sizing(D("0.02"))

equities = st.decimals(-1_000, 10_000_000, places=4)
prices = st.decimals("0.01", 1_000_000, places=2)
sizings = st.one_of(
    st.builds(Sizing, st.decimals("0.0001", 1, places=4), st.none(), st.none() | st.decimals("0.0001", 100, places=4)),
    st.builds(
        Sizing, st.none(), st.decimals("0.01", 100_000, places=2), st.none() | st.decimals("0.0001", 100, places=4)
    ),
)
lots = st.sampled_from([D("0.00000001"), D("0.0001"), D("0.03"), D(1), D(1000)])


def test_a_share_of_equity_rounds_towards_zero_to_the_lot() -> None:
    # 2 % of 100,143.66 is 2,002.8732; at 42,165.75 that is 0.047500...
    assert entry_quantity(TWO_PERCENT, D("100143.66"), D("42165.75"), BTC) == D("0.0475")
    assert entry_quantity(TWO_PERCENT, D("100143.65"), D("42165.75"), BTC) == D("0.0474")


def test_an_amount_does_not_depend_on_equity() -> None:
    amount = Sizing(None, D(10_000))
    assert entry_quantity(amount, D(1), D(50_000), BTC) == entry_quantity(amount, D(10**9), D(50_000), BTC) == D("0.2")


def test_the_largest_size_caps_both_kinds() -> None:
    assert entry_quantity(replace(TWO_PERCENT, quantity_max=D("0.01005")), D(10**6), D(100), BTC) == D("0.0100")
    assert entry_quantity(Sizing(None, D(10_000), D("0.1")), D(0), D(100), BTC) == D("0.1")


@pytest.mark.parametrize("equity", [D(0), D("-0.01"), D("0.49")])
def test_equity_that_does_not_reach_for_one_lot_gives_nothing(equity: Decimal) -> None:
    assert entry_quantity(TWO_PERCENT, equity, D(100), BTC) == 0


@given(sizings, equities, prices, lots)
def test_a_size_is_whole_lots_and_within_every_bound(
    sizing: Sizing, equity: Decimal, price: Decimal, lot: Decimal
) -> None:
    quantity = entry_quantity(sizing, equity, price, replace(BTC, quantity_increment=lot))
    amount = sizing.quote_amount if sizing.equity_share is None else max(equity * sizing.equity_share, D(0))
    assert amount is not None
    assert quantity >= 0
    assert quantity % lot == 0
    assert quantity * price <= amount
    assert sizing.quantity_max is None or quantity <= sizing.quantity_max
    bounds = [amount / price] + ([] if sizing.quantity_max is None else [sizing.quantity_max])
    assert min(bounds) - quantity < lot


@given(sizings, equities, equities, prices)
def test_more_equity_never_gives_a_smaller_size(sizing: Sizing, one: Decimal, other: Decimal, price: Decimal) -> None:
    smaller, larger = sorted([one, other])
    assert entry_quantity(sizing, smaller, price, BTC) <= entry_quantity(sizing, larger, price, BTC)
