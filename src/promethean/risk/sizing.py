"""How large an entry may be."""

from __future__ import annotations

from decimal import Decimal

from promethean.domain.instruments import Instrument
from promethean.domain.sizing import Sizing


def entry_quantity(sizing: Sizing, equity: Decimal, price: Decimal, instrument: Instrument) -> Decimal:
    """Base units to enter with, rounded towards zero to the lot; zero when equity does not reach for one lot.

    equity: quote units.  price: quote units per base unit, above zero.
    """
    amount = sizing.quote_amount if sizing.quote_amount is not None else equity * (sizing.equity_share or 0)
    quantity = max(amount, Decimal(0)) / price
    if sizing.quantity_max is not None:
        quantity = min(quantity, sizing.quantity_max)
    return instrument.round_quantity(quantity)
