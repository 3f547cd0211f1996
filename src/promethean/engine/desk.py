"""Who works for an account: its strategies, their rules, the instruments and the limits.

It is fixed but for one moment: between two events a runner may put a reloaded strategy's desk in its place.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from promethean.domain.ids import InstrumentId, Names
from promethean.domain.instruments import Instrument
from promethean.domain.margin import Margin
from promethean.domain.orders import OrderType, Protection
from promethean.domain.sizing import Sizing
from promethean.engine.decide import Aggregation
from promethean.risk.check import ALL, Controls
from promethean.risk.limits import Limits
from promethean.strategies.catalogue import Strategy


class OnOpposite(enum.StrEnum):
    """What an opposite signal does to a profitable position, where both sides can be taken; a losing one is closed."""

    KEEP_AND_TIGHTEN = "keep_and_tighten"
    CLOSE = "close"
    FLIP = "flip"


class Seat(Struct, frozen=True):
    """One strategy at the desk, with what its file says about orders and exits.

    slippage_tolerance: fraction that a limit entry may be worse than the reference price.
    cooldown_ns:        how long no entry is made after a stop.
    can_short:          False at spot markets, where a SELL only closes.
    controls:           what is asked before an order.
    attached_exits:     whether the venue can take the exits with the entry and make them at its fills.
    margin:             what a perpetual ties up, and where it is liquidated; None at spot markets.
    fee_taker:          fraction of the notional that a closing order costs, for breakeven and what a close would leave.
    """

    strategy: Strategy
    instrument: Instrument
    timeframe_ns: int
    aggregation: Aggregation
    threshold: float
    sizing: Sizing
    protection: Protection
    order_type: OrderType
    slippage_tolerance: Decimal
    cooldown_ns: int
    can_short: bool
    limits: Limits
    attached_exits: bool = False
    controls: Controls = ALL
    on_opposite: OnOpposite = OnOpposite.KEEP_AND_TIGHTEN
    fee_taker: Decimal = Decimal(0)
    margin: Margin | None = None

    @property
    def attaches(self) -> bool:
        """Whether the exits go with the entry.  A venue keeps them where the entry put them, so exits that may move
        are orders of our own.
        """
        tightens = self.can_short and self.on_opposite is OnOpposite.KEEP_AND_TIGHTEN
        return self.attached_exits and not self.protection.moves and not tightens


class Desk(Struct, frozen=True):
    """Everything `engine.step` needs that is not state.

    names:    how orders are named.
    explains: whether plans and refusals carry what the controls saw, as text for the journal.
    """

    seats: tuple[Seat, ...]
    limits: Limits
    names: Names = Names()
    explains: bool = True

    def instrument(self, instrument: InstrumentId) -> Instrument | None:
        """The instrument with its filters, or None when no seat trades it."""
        for seat in self.seats:
            if seat.instrument.id == instrument:
                return seat.instrument
        return None

    def instruments(self) -> Mapping[InstrumentId, Instrument]:
        """Every traded instrument by id."""
        return {seat.instrument.id: seat.instrument for seat in self.seats}
