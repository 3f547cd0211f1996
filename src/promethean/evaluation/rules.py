"""What a compiled backtest needs to know of a strategy, an instrument and a venue, as plain numbers."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from msgspec import Struct

from promethean.domain.candles import FloatArray
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.orders import OrderType
from promethean.engine.desk import Seat
from promethean.exchanges.paper.venue import PaperTerms

ENTRY, STOP, TARGET, SIGNAL = 0, 1, 2, 3
"""What a fill was: `OrderRole` as a number."""
IN_RANGE = 8
"""Added to what a fill was when the candle's range reached it, after the open."""


class Rules(Struct, frozen=True):
    """The rules of one account: what it may do, what it costs, and the grid of its market.

    cash: quote units at the start.
    """

    seat: Seat
    terms: PaperTerms
    cash: Decimal

    @property
    def instrument(self) -> Instrument:
        """The market that is traded."""
        return self.seat.instrument

    def numbers(self, *, heard: bool) -> FloatArray:
        """The rules as the compiled loop takes them.  heard: whether something trades in every candle."""
        seat, terms, sizing = self.seat, self.terms, self.seat.sizing
        return np.array(
            [
                self.cash,
                sizing.quote_amount or 0,
                sizing.equity_share or 0,
                sizing.quantity_max or 0,
                seat.protection.stop_loss,
                terms.fee_maker,
                terms.fee_taker,
                terms.slippage_bps,
                terms.participation_max,
                terms.optimistic,
                seat.can_short,
                seat.cooldown_ns,
                seat.timeframe_ns,
                heard,
            ],
            np.float64,
        )

    def market(self) -> FloatArray:
        """The grid of the instrument as the compiled loop takes it: lot, smallest lots, smallest notional, tick."""
        instrument = self.instrument
        units, scale = as_fraction(instrument.price_increment)
        lots_min = instrument.quantity_min / instrument.quantity_increment
        lot = as_fraction(instrument.quantity_increment)
        return np.array(
            [instrument.quantity_increment, lots_min, instrument.notional_min, units, scale, *lot], np.float64
        )

    def targets(self) -> tuple[FloatArray, FloatArray]:
        """Targets and shares of the take-profit tiers, fractions."""
        tiers = self.seat.protection.tiers
        return (
            np.array([tier.target for tier in tiers], np.float64),
            np.array([tier.share for tier in tiers], np.float64),
        )

    def needs_steps(self) -> str | None:
        """Why the compiled loop cannot carry these rules, so that the engine steps through them; None when it can."""
        if self.seat.order_type is not OrderType.MARKET:
            return f"{self.seat.order_type} entries"
        if self.terms.latency_ms * 1_500_000 >= self.seat.timeframe_ns:
            return "a latency of a candle and more"
        if self.instrument.market_type is MarketType.FUTURES and not self.seat.can_short:
            return "futures without shorts"
        return None


def as_fraction(step: Decimal) -> tuple[int, int]:
    """A decimal step as a quotient of whole numbers, whose multiples a float then gives exactly: 0.05 -> (5, 100)."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a step is finite"
    scale = 10 ** max(0, -exponent)
    return int(step * scale), scale
