"""One market, one account and its facts, as a terminal shows them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from promethean.domain.accounts import AccountMode
from promethean.domain.candles import Candle
from promethean.domain.events import (
    IntentRefused,
    OrderCancelled,
    OrderFilled,
    OrderPlanned,
    PositionClosed,
    SignalRaised,
)
from promethean.domain.ids import AccountId, ClientOrderId, OrderId, StrategyId
from promethean.domain.instants import NS_PER_S
from promethean.domain.instruments import Instrument, MarketType, instrument_id
from promethean.domain.market import MarketView, Side
from promethean.domain.money import Money
from promethean.domain.orders import Intent, OrderRole, OrderType, Protection, Tier
from promethean.domain.positions import Fill, Position
from promethean.domain.signals import Signal, SignalSource, SignalType
from promethean.domain.verdicts import Refused
from promethean.engine.state import Account, Holding, State
from promethean.engine.tallies import Day, Totals
from promethean.risk.limits import Limits
from promethean.runtime.watching import RunInfo
from promethean.strategies.arrays import Trailing
from promethean.strategies.rsi_reversion import RsiReversion

BTC = instrument_id("binance", "BTC", "USDT", MarketType.SPOT)
RSI = StrategyId("rsi-btc-1m")
MINUTE_NS = 60 * NS_PER_S
AT_NS = 1_747_699_200 * NS_PER_S  # 2025-05-20 00:00:00 UTC
INSTRUMENT = Instrument(
    id=BTC,
    exchange="binance",
    base="BTC",
    quote="USDT",
    market_type=MarketType.SPOT,
    price_increment=Decimal("0.01"),
    quantity_increment=Decimal("0.00001"),
    quantity_min=Decimal("0.00001"),
    notional_min=Decimal(5),
)


@pytest.fixture
def instrument() -> Instrument:
    return INSTRUMENT


@pytest.fixture
def run() -> RunInfo:
    strategy = Trailing(RsiReversion(id=RSI, instrument=BTC, timeframe="1m", parameters={}, can_short=False))
    limits = Limits(daily_trades=Decimal(20), total_exposure=Decimal(5000))
    return RunInfo(
        "recorded data from btc.parquet",
        False,
        "paper-file-1",
        strategy,
        INSTRUMENT,
        Path("/home/me"),
        1000,
        False,
        limits,
        is_funded=True,
    )


@pytest.fixture
def synthetic_run(run: RunInfo) -> RunInfo:
    return dataclasses.replace(
        run, provenance="SYNTHETIC market (invented prices, seed 0)", is_synthetic=True, total=None
    )


@pytest.fixture
def state() -> State:
    """Flat, with 20 candles that fall by ten dollars each, on the day's third entry."""
    view = MarketView()
    for number in range(20):
        close = 100_000.0 - 10 * number
        opened = AT_NS + number * MINUTE_NS
        view = view.with_candle(
            Candle(BTC, "1m", opened, opened + MINUTE_NS, close + 10, close + 12, close - 2, close, 5.0)
        )
    account = Account(
        AccountId("a"),
        currency="USDT",
        cash=Decimal("10001.5"),
        mode=AccountMode.ACTIVE,
        day=Day(20228, Decimal(10_000), entries=3),
        totals=Totals(signals=9, refusals=4, orders=20, fills=6, trades=3, wins=2, losses=1, fees=Decimal("0.5")),
    )
    return State(account, view, view.as_of_ns)


@pytest.fixture
def holding_state(state: State) -> State:
    """As `state`, with a position of 0.002 BTC."""
    fill = make_fill(Side.BUY, "99900")
    position, booking = Position(BTC, RSI).apply(fill)
    account = replace(
        state.account,
        cash=state.account.cash + booking.cash,
        holdings={(RSI, BTC): Holding(position, make_protection())},
    )
    return replace(state, account=account)


def make_protection() -> Protection:
    return Protection(Decimal("0.01"), (Tier(Decimal("0.02"), Decimal("0.5")),))


def make_intent(role: OrderRole = OrderRole.ENTRY, side: Side = Side.BUY, leg: int = 0) -> Intent:
    price = Decimal("99900.00")
    return Intent(
        instrument=BTC,
        strategy=RSI,
        side=side,
        type=OrderType.STOP_MARKET if role is OrderRole.STOP else OrderType.LIMIT,
        role=role,
        quantity=Decimal("0.002"),
        reference_price=price,
        reduce_only=role is not OrderRole.ENTRY,
        decided_at_ns=AT_NS,
        reason="RSI(14) is 22.10, below 30",
        limit_price=None if role is OrderRole.STOP else price,
        stop_price=price if role is OrderRole.STOP else None,
        protection=make_protection() if role is OrderRole.ENTRY else None,
        leg=leg,
    )


def make_fill(side: Side, price: str) -> Fill:
    fee = Money(Decimal("0.1998"), "USDT")
    return Fill(OrderId("o"), f"t-{side}", BTC, side, Decimal(price), Decimal("0.002"), fee, True, AT_NS)


@pytest.fixture
def signal() -> SignalRaised:
    return SignalRaised(
        Signal(SignalType.BUY, SignalSource.TECHNICAL, 0.72, "RSI(14) is 22.10, below 30", BTC, "1m", AT_NS, RSI)
    )


@pytest.fixture
def refuse() -> Callable[[str], IntentRefused]:
    def make(code: str) -> IntentRefused:
        return IntentRefused(AT_NS, make_intent(), Refused(code, "20 entries today", "20"), {})

    return make


@pytest.fixture
def plan() -> Callable[[OrderRole, Side, int], OrderPlanned]:
    def make(role: OrderRole, side: Side, leg: int = 0) -> OrderPlanned:
        intent = make_intent(role, side, leg)
        return OrderPlanned(AT_NS, OrderId("o"), ClientOrderId("c"), intent, intent.notional, 14, {})

    return make


@pytest.fixture
def bought() -> OrderFilled:
    return OrderFilled(make_fill(Side.BUY, "99900"), "e")


@pytest.fixture
def cancelled() -> OrderCancelled:
    return OrderCancelled(AT_NS, OrderId("o"), "requested", "e")


@pytest.fixture
def lost() -> PositionClosed:
    return PositionClosed(
        AT_NS, BTC, RSI, Side.BUY, Decimal("0.002"), Decimal(99_900), Decimal(98_900), Decimal(-2), Decimal("0.4"),
        AT_NS, "stop",
    )  # fmt: skip
