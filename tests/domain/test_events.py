"""Events are facts with an instant; nobody changes one."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, get_args

import pytest
from msgspec import Struct
from msgspec.structs import replace

from promethean.domain import events
from promethean.domain.candles import Candle
from promethean.domain.events import (
    START_RECORDS,
    AccountEvent,
    CandleClosed,
    Effect,
    Event,
    MarketEvent,
    OrderFilled,
    PositionClosed,
    QuoteObserved,
    SignalRaised,
    VenueReport,
)
from promethean.domain.ids import InstrumentId, OrderId, StrategyId
from promethean.domain.market import Quote, Side
from promethean.domain.money import Money
from promethean.domain.positions import Fill
from promethean.domain.signals import Signal, SignalSource, SignalType

BTC, RSI = InstrumentId("binance:BTCUSDT"), StrategyId("rsi-btc-1m")
KINDS: tuple[type[Any], ...] = get_args(Event)


def names(kinds: Iterable[type[Any]]) -> set[str]:
    return {kind.__name__ for kind in kinds}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_is_frozen_slotted_and_has_an_instant(kind: type[Any]) -> None:
    assert issubclass(kind, Struct)
    assert kind.__struct_config__.frozen
    assert "at_ns" in kind.__struct_fields__ or isinstance(kind.__dict__["at_ns"], property)


def test_every_kind_of_fact_belongs_to_a_market_or_to_an_account_and_not_to_both() -> None:
    market, account = set(get_args(MarketEvent)), set(get_args(AccountEvent))
    assert market | account == set(KINDS)
    assert not market & account
    defined = {
        value for value in vars(events).values() if isinstance(value, type) and value.__module__ == events.__name__
    }
    assert names(defined) == names(KINDS)


def test_reports_effects_and_start_records_are_facts_of_an_account() -> None:
    account = set(get_args(AccountEvent))
    assert set(get_args(VenueReport)) <= account
    assert set(get_args(Effect)) <= account
    assert set(START_RECORDS) <= account


def test_an_event_carries_the_instant_of_what_it_tells() -> None:
    candle = Candle(BTC, "1m", 0, 60, 1.0, 1.0, 1.0, 1.0, 0.0)
    signal = Signal(SignalType.BUY, SignalSource.TECHNICAL, 0.6, "RSI(14) is 29.00, below 30", BTC, "1m", 61, RSI)
    fill = Fill(OrderId("o"), "t", BTC, Side.BUY, Decimal(1), Decimal(1), Money(Decimal(0), "USDT"), True, 63)
    assert CandleClosed(candle, received_at_ns=99).at_ns == 60
    assert QuoteObserved(Quote(BTC, 1.0, 2.0, 1.5, 62), received_at_ns=99).at_ns == 62
    assert SignalRaised(signal).at_ns == 61
    assert OrderFilled(fill, "e").at_ns == 63


def test_nobody_changes_a_fact() -> None:
    event = CandleClosed(Candle(BTC, "1m", 0, 60, 1.0, 1.0, 1.0, 1.0, 0.0), 99)
    with pytest.raises(AttributeError, match="immutable"):
        event.received_at_ns = 1  # type: ignore[misc]  # the point of the test


def test_the_profit_of_a_trade_is_after_fees_and_funding() -> None:
    closed = PositionClosed(
        9, BTC, RSI, Side.BUY, Decimal(1), Decimal(100), Decimal(110), Decimal(10), Decimal("0.21"), 1, "target"
    )  # fmt: skip
    assert closed.pnl == Decimal("9.79")
    assert replace(closed, funding=Decimal("-0.11")).pnl == Decimal("9.90")
