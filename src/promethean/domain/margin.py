"""What a perpetual ties up, and where its venue takes a position away: isolated margin, linear contracts (SPEC 8.4)."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from promethean.domain.instruments import Instrument, Rounding
from promethean.domain.market import Side

ZERO, ONE = Decimal(0), Decimal(1)
MAINTENANCE = Decimal("0.005")


class Margin(Struct, frozen=True):
    """The terms of a position in a perpetual.

    leverage:    its notional, in times of what is set aside for it, from 1 on.
    maintenance: share of the notional that has to be left of the margin; below, the position is liquidated.
    Raises ValueError where an entry would be liquidated at once.
    """

    leverage: Decimal = ONE
    maintenance: Decimal = MAINTENANCE

    def __post_init__(self) -> None:
        if self.leverage < 1 or not 0 <= self.maintenance < ONE / self.leverage:
            raise ValueError(f"a leverage is 1 or more, and the maintenance margin below its inverse: {self}")

    def liquidation_price(self, entry: Decimal, side: Side, instrument: Instrument, short: Decimal = ZERO) -> Decimal:
        """Where the venue liquidates, on the tick grid, rounded towards the entry: of two ticks the nearer one counts.

        entry: average entry price, quote units per base unit.
        short: what was taken from the margin of each base unit already, for want of cash, quote units.
        """
        return self._loses(entry, entry / self.leverage - entry * self.maintenance, side, instrument, short)

    def bankruptcy_price(self, entry: Decimal, side: Side, instrument: Instrument, short: Decimal = ZERO) -> Decimal:
        """Where all of the margin is lost, and never more, on the tick grid: what a liquidated position is closed at.

        The venue keeps what closing it in the market leaves of the margin, and bears what that costs beyond it.
        short: as for `liquidation_price`.
        """
        return self._loses(entry, entry / self.leverage, side, instrument, short)

    def _loses(self, entry: Decimal, loss: Decimal, side: Side, instrument: Instrument, short: Decimal) -> Decimal:
        """The price at which each base unit has lost this; at least a tick, for no position is worth less than none."""
        rounding = Rounding.UP if side is Side.BUY else Rounding.DOWN
        price = entry - loss * side.sign
        if not short:
            return max(instrument.round_price(price, rounding), instrument.price_increment)
        # A quotient: what a float cannot tell from a tick is that tick, as everywhere.
        return max(instrument.round_float(float(price + short * side.sign), rounding), instrument.price_increment)
