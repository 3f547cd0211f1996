"""A clock that moves only when somebody waits for it, and one instrument to feed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from promethean.domain.instruments import Instrument, MarketType, instrument_id


class ManualClock:
    """Waiting moves it, so a paced feed runs at once; `waits` are the instants somebody waited for."""

    def __init__(self, now_ns: int = 1_000_000_000_000_000_000) -> None:
        self.now = now_ns
        self.waits: list[int] = []

    def now_ns(self) -> int:
        return self.now

    async def sleep_until_ns(self, instant_ns: int) -> None:
        self.waits.append(instant_ns)
        self.now = max(self.now, instant_ns)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def btc() -> Instrument:
    return Instrument(
        id=instrument_id("binance", "BTC", "USDT", MarketType.SPOT),
        exchange="binance",
        base="BTC",
        quote="USDT",
        market_type=MarketType.SPOT,
        price_increment=Decimal("0.01"),
        quantity_increment=Decimal("0.00001"),
        quantity_min=Decimal("0.00001"),
        notional_min=Decimal(5),
    )
