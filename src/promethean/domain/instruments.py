"""What can be traded: one market of one venue, with its increments and smallest sizes."""

from __future__ import annotations

import enum
import math
import re
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal

from msgspec import Struct

from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId

QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "EUR", "BTC", "ETH", "BNB")


class MarketType(enum.StrEnum):
    """Spot, or USDT-margined perpetual futures."""

    SPOT = "spot"
    FUTURES = "futures"


class Rounding(enum.StrEnum):
    """Which way a price goes to reach the tick grid; each is the decimal module's own word for it."""

    DOWN = ROUND_FLOOR
    UP = ROUND_CEILING
    NEAREST = ROUND_HALF_UP
    NEAREST_DOWN = ROUND_HALF_DOWN  # the mirror image for shorts


FLOAT_NOISE, FLOAT_PART = Decimal("1e-6"), Decimal("1e-15")
"""Of a tick, and of the price in ticks: what the float64 of a price cannot be told from."""


class Instrument(Struct, frozen=True):
    """One market with the filters its venue enforces.

    price_increment:    quote units per base unit; every price is a multiple of it.
    quantity_increment: base units; every quantity is a multiple of it (the lot).
    quantity_min:       base units; notional_min: quote units.
    """

    id: InstrumentId
    exchange: str
    base: str
    quote: str
    market_type: MarketType
    price_increment: Decimal
    quantity_increment: Decimal
    quantity_min: Decimal
    notional_min: Decimal
    contract_multiplier: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        for name in ("price_increment", "quantity_increment", "contract_multiplier"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{self.id}: {name} is {getattr(self, name)}, it must be above zero")
        if self.quantity_min < 0 or self.notional_min < 0:
            raise ValueError(f"{self.id}: smallest quantity and notional cannot be negative")
        if self.id != instrument_id(self.exchange, self.base, self.quote, self.market_type):
            raise ValueError(
                f"{self.id} does not name {self.base}/{self.quote} ({self.market_type}) at {self.exchange}"
            )

    @property
    def symbol(self) -> str:
        """How people write it: `BTC/USDT` or `BTC/USDT-PERP`."""
        return f"{self.base}/{self.quote}{'-PERP' if self.market_type is MarketType.FUTURES else ''}"

    def round_price(self, price: Decimal, rounding: Rounding = Rounding.NEAREST) -> Decimal:
        """The price on the tick grid.

        price: quote units per base unit, finite.
        Raises ValueError when the price is not finite.
        """
        if not price.is_finite():
            raise ValueError(f"{self.id}: {price} is not a price")
        steps = price / self.price_increment
        return steps.to_integral_value(rounding) * self.price_increment

    def round_float(self, price: float, rounding: Rounding) -> Decimal:
        """A float64 price on the tick grid, up or down; what a float cannot tell from a whole tick is that tick.

        Raises ValueError when the price is not finite.
        """
        if not math.isfinite(price):
            raise ValueError(f"{self.id}: {price} is not a price")
        steps = Decimal(repr(price)) / self.price_increment
        whole = steps.to_integral_value(rounding)
        if whole != steps:
            nearest = steps.to_integral_value(Rounding.NEAREST)
            if abs(steps - nearest) <= FLOAT_NOISE + FLOAT_PART * abs(steps):
                whole = nearest
        return whole * self.price_increment

    def round_quantity(self, quantity: Decimal) -> Decimal:
        """The quantity on the lot grid, towards zero.  Raises ValueError when it is not finite."""
        if not quantity.is_finite():
            raise ValueError(f"{self.id}: {quantity} is not a quantity")
        return (quantity / self.quantity_increment).to_integral_value(ROUND_DOWN) * self.quantity_increment

    def round_quantity_nearest(self, quantity: Decimal) -> Decimal:
        """The nearest lot, half up: for take-profit tiers only.  Raises ValueError when it is not finite."""
        if not quantity.is_finite():
            raise ValueError(f"{self.id}: {quantity} is not a quantity")
        return (quantity / self.quantity_increment).to_integral_value(ROUND_HALF_UP) * self.quantity_increment

    def price_from_float(self, price: float) -> Decimal:
        """The border from arrays: a float64 price as Decimal on the tick grid.  Raises ValueError when not finite."""
        return self.round_price(Decimal(repr(price)))


def instrument_id(exchange: str, base: str, quote: str, market_type: MarketType) -> InstrumentId:
    """`binance:BTCUSDT` for spot, `binance:BTCUSDT-PERP` for the perpetual."""
    return InstrumentId(f"{exchange}:{base}{quote}{'-PERP' if market_type is MarketType.FUTURES else ''}")


_SYMBOL = re.compile(r"(?P<base>[A-Z0-9]{1,20})/(?P<quote>[A-Z0-9]{2,10})(?P<perp>-PERP)?")


def parse_symbol(text: str) -> tuple[str, str, MarketType]:
    """`BTC/USDT` -> (BTC, USDT, spot); `BTC/USDT-PERP` -> (BTC, USDT, futures).

    Only plain capital letters and digits are accepted, so a look-alike letter is refused, never resolved.
    Raises ConfigError with the expected form.
    """
    match = _SYMBOL.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text!r} is not a symbol; write it as BTC/USDT, or BTC/USDT-PERP for the perpetual")
    return match["base"], match["quote"], MarketType.FUTURES if match["perp"] else MarketType.SPOT


def split_pair(pair: str) -> tuple[str, str] | None:
    """`BTCUSDT` -> (BTC, USDT) by the known quote coins; None when no quote coin fits."""
    for quote in QUOTES:
        if pair.endswith(quote) and len(pair) > len(quote):
            return pair[: -len(quote)], quote
    return None
