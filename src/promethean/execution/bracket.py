"""Which orders should protect a position: one stop for all of it, and the take-profit tiers that are left."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from promethean.domain.instruments import Instrument, Rounding
from promethean.domain.market import Side
from promethean.domain.orders import Intent, OrderRole, OrderType, Protection
from promethean.domain.positions import Position

ONE = Decimal(1)


class Bracket(Struct, frozen=True):
    """A position with the exits it was entered with.  tiers_done: tiers that have closed their share."""

    position: Position
    protection: Protection
    tiers_done: int = 0


class Leg(Struct, frozen=True):
    """One protective order: its number (0 for the stop), its price and its quantity in base units."""

    role: OrderRole
    leg: int
    price: Decimal
    quantity: Decimal


def stop_price(entry: Decimal, side: Side, protection: Protection, instrument: Instrument) -> Decimal:
    """Where the stop of an entry at this price rests, on the tick grid, rounded towards the entry (less risk)."""
    raw = entry * (ONE - protection.stop_loss * side.sign)
    return instrument.round_price(raw, Rounding.UP if side is Side.BUY else Rounding.DOWN)


def target_price(entry: Decimal, side: Side, target: Decimal, instrument: Instrument) -> Decimal:
    """Where a take-profit tier rests: the nearest tick; halfway, the one further from the entry on both sides.

    Zero or below for a short that would have to gain 100 %: no order can rest there.
    """
    rounding = Rounding.NEAREST if side is Side.BUY else Rounding.NEAREST_DOWN
    return instrument.round_price(entry * (ONE + target * side.sign), rounding)


def tier_quantities(original: Decimal, protection: Protection, instrument: Instrument) -> list[Decimal]:
    """Base units that each tier closes: nearest lot of its share, capped by what remains; the last takes the rest.

    The last tier takes the rest only when the shares sum to one.  A tier too small for the venue's filters adds its
    share to the next one, and is zero itself.  A tier that would leave less than the venue lets anybody close takes
    all of it.
    """
    quantities: list[Decimal] = []
    remaining, carried = original, Decimal(0)
    closes_all = sum(tier.share for tier in protection.tiers) == ONE
    for number, tier in enumerate(protection.tiers, 1):
        if closes_all and number == len(protection.tiers):
            quantity = remaining
        else:
            quantity = min(instrument.round_quantity_nearest(original * tier.share) + carried, remaining)
        if remaining - quantity < instrument.quantity_min:
            quantity = remaining
        too_small = quantity < instrument.quantity_min or quantity <= 0
        carried = quantity if too_small else Decimal(0)
        quantities.append(Decimal(0) if too_small else quantity)
        remaining -= quantities[-1]
    return quantities


def protective_legs(position: Position, protection: Protection, tiers_done: int, instrument: Instrument) -> list[Leg]:
    """The protective orders that a position should have now: the stop for all of it, then the tiers still ahead.

    tiers_done: how many tiers have closed their share.
    """
    side, held, entry = position.side, abs(position.quantity), position.entry_price
    legs = [Leg(OrderRole.STOP, 0, stop_price(entry, side, protection, instrument), held)]
    left, carried = held, Decimal(0)
    quantities = tier_quantities(position.original_quantity, protection, instrument)
    for number, (tier, quantity) in enumerate(zip(protection.tiers, quantities, strict=True), 1):
        if number <= tiers_done:
            continue
        quantity = min(quantity + carried, left)
        price = target_price(entry, side, tier.target, instrument)
        if quantity <= 0 or price <= 0 or price * quantity < instrument.notional_min:
            carried = quantity  # too small for the venue: its share goes to the next tier
            continue
        carried = Decimal(0)
        legs.append(Leg(OrderRole.TARGET, number, price, quantity))
        left -= quantity
    return legs


def exit_intent(leg: Leg, position: Position, at_ns: int) -> Intent:
    """The order that a leg is, decided at an instant: a stop or a limit order that can only reduce."""
    is_stop = leg.role is OrderRole.STOP
    return Intent(
        instrument=position.instrument,
        strategy=position.strategy,
        side=position.side.opposite,
        type=OrderType.STOP_MARKET if is_stop else OrderType.LIMIT,
        role=leg.role,
        quantity=leg.quantity,
        reference_price=leg.price,
        reduce_only=True,
        decided_at_ns=at_ns,
        reason="stop loss" if is_stop else f"take profit {leg.leg}",
        limit_price=None if is_stop else leg.price,
        stop_price=leg.price if is_stop else None,
        leg=leg.leg,
    )
