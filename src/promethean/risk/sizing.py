"""How large an entry may be."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from promethean.domain.instruments import Instrument


@dataclass(frozen=True, slots=True)
class Sizing:
    """What a strategy file says about size.

    equity_share:  fraction of equity put into one position; quote_amount: a fixed amount of quote units instead.
    quantity_max:  base units, or None.
    """

    equity_share: Decimal | None
    quote_amount: Decimal | None = None
    quantity_max: Decimal | None = None

    def __post_init__(self) -> None:
        if (self.equity_share is None) == (self.quote_amount is None):
            raise ValueError("a size is a share of equity or an amount of quote units, exactly one of them")


def entry_quantity(sizing: Sizing, equity: Decimal, price: Decimal, instrument: Instrument) -> Decimal:
    """Base units to enter with, rounded towards zero to the lot; zero when equity does not reach for one lot.

    equity: quote units.  price: quote units per base unit, above zero.
    """
    amount = sizing.quote_amount if sizing.quote_amount is not None else equity * (sizing.equity_share or 0)
    quantity = max(amount, Decimal(0)) / price
    if sizing.quantity_max is not None:
        quantity = min(quantity, sizing.quantity_max)
    return instrument.round_quantity(quantity)
