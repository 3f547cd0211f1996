"""The limits of an account.  A missing limit is None, and None refuses: there is no default "allow"."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import fields


class Limits(Struct, frozen=True):
    """What the limit record of an account says; the stricter of user, tier and strategy file.

    price_fresh_s:               seconds.
    order_notional_min/max:      quote units of one order.
    daily_trades:                entries per UTC day.
    open_positions:              positions open or pending at one time.
    total_exposure:              quote units of open, pending and unknown notional.
    total_exposure_share:        the same as a fraction of equity.
    liquidation_distance:        fraction of the way from the entry to its liquidation that a stop stays away from it.
    leverage_max:                notional of a position in times of its margin.
    circuit_breaker_daily_loss:  fraction of the day's first equity.
    circuit_breaker_losing_streak: losing closed trades in a row.
    """

    price_fresh_s: Decimal | None = None
    order_notional_min: Decimal | None = None
    order_notional_max: Decimal | None = None
    daily_trades: Decimal | None = None
    open_positions: Decimal | None = None
    total_exposure: Decimal | None = None
    total_exposure_share: Decimal | None = None
    liquidation_distance: Decimal | None = None
    leverage_max: Decimal | None = None
    circuit_breaker_daily_loss: Decimal | None = None
    circuit_breaker_losing_streak: Decimal | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Decimal]) -> Limits:
        """The limits that a limit record holds; codes without a row stay None and refuse."""
        return cls(**{field.name: record.get(field.name) for field in fields(cls)})

    def stricter(self, other: Mapping[str, Decimal]) -> Limits:
        """These limits with some tightened.  A value that would loosen one changes nothing."""
        tightened = {}
        for field in fields(self):
            mine, theirs = getattr(self, field.name), other.get(field.name)
            if mine is None or theirs is None:
                tightened[field.name] = mine
            else:
                tightened[field.name] = max(mine, theirs) if field.name.endswith("_min") else min(mine, theirs)
        return Limits(**tightened)

    def record(self) -> dict[str, Decimal]:
        """The limits that are set, by code."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {code: value for code, value in values.items() if value is not None}
