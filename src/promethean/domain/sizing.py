"""What a strategy file says about the size of an entry."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct


class Sizing(Struct, frozen=True):
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
