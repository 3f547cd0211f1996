"""What a compiled backtest needs to know of a strategy, an instrument and a venue, as plain numbers."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from msgspec import Struct

from promethean.domain.candles import FloatArray
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.orders import OrderType, Trail
from promethean.engine.desk import OnOpposite, Seat
from promethean.exchanges.paper.venue import PaperTerms

ENTRY, STOP, TRAILING, BREAKEVEN, TIGHTENED, TARGET, TIME, SIGNAL, LIQUIDATION = range(9)
"""What a fill was: `OrderRole` as a number."""
FILL = 6
"""Columns of a fill, as `trade_path` writes them."""
IN_RANGE = 16
"""Added to what a fill was when the candle's range reached it, after the open."""
REVERSAL = 32
"""Added to an entry that follows the close of the other side: decided then, but sized at the close before its fill."""


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

    def numbers(self, *, heard: bool, steady: bool) -> FloatArray:
        """The rules and the grid of the market as the compiled loop takes them, in the order of its names.

        heard:  whether something trades in every candle.
        steady: whether each candle follows the one before it without a hole.
        """
        seat, terms, sizing = self.seat, self.terms, self.seat.sizing
        trail, hold, instrument, margin = seat.protection.trail, seat.protection.hold, self.instrument, seat.margin
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
                0 if trail is None else trail.distance,
                _trail_begins(trail),
                trail is not None and trail.activation is None,
                seat.protection.breakeven,
                0 if hold is None else hold.length_ns,
                hold is not None and hold.always,
                seat.on_opposite is OnOpposite.KEEP_AND_TIGHTEN,
                seat.on_opposite is OnOpposite.FLIP,
                instrument.quantity_increment,
                instrument.quantity_min / instrument.quantity_increment,
                instrument.notional_min,
                *as_fraction(instrument.price_increment),
                *as_fraction(instrument.quantity_increment),
                steady,
                1 if margin is None else 1 / margin.leverage,
                0 if margin is None else 1 / margin.leverage - margin.maintenance,
            ],
            np.float64,
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
        finer = self.terms.intrabar
        if finer is not None and self.terms.latency_ms and self.terms.latency_ms * 3_000_000 >= finer.shortest_ns:
            return "a latency within which finer data go on (execution.latency_ms=0 has none)"
        if self.instrument.market_type is MarketType.FUTURES and not self.seat.can_short:
            return "futures without shorts"
        return None


def _trail_begins(trail: Trail | None) -> Decimal:
    """From which gain on a stop trails that waits for no tier, fraction of the entry price."""
    if trail is None:
        return Decimal(0)
    return trail.activation if trail.activation is not None else 2 * trail.distance


def as_fraction(step: Decimal) -> tuple[int, int]:
    """A decimal step as a quotient of whole numbers, whose multiples a float then gives exactly: 0.05 -> (5, 100)."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a step is finite"
    scale = 10 ** max(0, -exponent)
    return int(step * scale), scale
