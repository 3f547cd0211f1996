"""Which orders should protect a position: one stop for all of it, and the take-profit tiers that are left."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

from msgspec import Struct
from msgspec.structs import replace

from promethean.domain.instruments import FLOAT_NOISE, FLOAT_PART, Instrument, Rounding
from promethean.domain.market import Side
from promethean.domain.orders import Intent, OrderRole, OrderType, Protection, Tier
from promethean.domain.positions import Position

ZERO, ONE = Decimal(0), Decimal(1)
_HALF = Decimal("0.5")
_STOPPED = {
    OrderRole.STOP: "stop loss",
    OrderRole.TRAILING: "trailing stop",
    OrderRole.BREAKEVEN: "stop at breakeven",
    OrderRole.TIGHTENED: "stop tightened by an opposite signal",
}


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
    if protection.stop_at is not None:
        return protection.stop_at
    raw = entry * (ONE - protection.stop_loss * side.sign)
    return _towards(raw, side, instrument)


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


class Stop(Struct, frozen=True):
    """Where the stop of a position is, and what put it there."""

    role: OrderRole
    price: Decimal

    def __post_init__(self) -> None:
        assert self.role.is_stop, f"{self.role} is no stop"

    def is_tighter(self, other: Decimal, side: Side) -> bool:
        """Whether it loses less than another price, for a position of this side."""
        return (self.price - other) * side.sign > 0


def protective_legs(
    position: Position, protection: Protection, tiers_done: int, instrument: Instrument, stop: Stop | None = None
) -> list[Leg]:
    """The protective orders that a position should have now: the stop for all of it, then the tiers still ahead.

    tiers_done: how many tiers have closed their share.  stop: where it has moved to; None: where it began.
    """
    side, held, entry = position.side, abs(position.quantity), position.entry_price
    if stop is None or stop.role is OrderRole.STOP:
        stop = Stop(OrderRole.STOP, stop_price(entry, side, protection, instrument))
    legs = [Leg(stop.role, 0, stop.price, held)]
    left, carried = held, Decimal(0)
    quantities = tier_quantities(position.original_quantity, protection, instrument)
    for number, (tier, quantity) in enumerate(zip(protection.tiers, quantities, strict=True), 1):
        if number <= tiers_done:
            continue
        quantity = min(quantity + carried, left)
        price = tier.price if tier.price is not None else target_price(entry, side, tier.target, instrument)
        if quantity <= 0 or price <= 0 or price * quantity < instrument.notional_min:
            carried = quantity  # too small for the venue: its share goes to the next tier
            continue
        if (price - entry) * side.sign <= 0:
            carried = quantity  # the entry was filled beyond it, and a tier never closes on a loss
            continue
        carried = Decimal(0)
        legs.append(Leg(OrderRole.TARGET, number, price, quantity))
        left -= quantity
    return legs


def exit_intent(leg: Leg, position: Position, at_ns: int) -> Intent:
    """The order that a leg is, decided at an instant: a stop or a limit order that can only reduce."""
    is_stop = leg.role.is_stop
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
        reason=_STOPPED[leg.role] if is_stop else f"take profit {leg.leg}",
        limit_price=None if is_stop else leg.price,
        stop_price=leg.price if is_stop else None,
        leg=leg.leg,
    )


def with_levels(
    protection: Protection, side: Side, stop: float | None, targets: Sequence[float], instrument: Instrument
) -> Protection:
    """The exits of a strategy's file with the prices that its signal brings along for an entry of this side.

    A stop is rounded towards the entry, a target to the nearest tick; targets take equal shares of the position.  What
    a float cannot tell from a whole tick, or from halfway, is that.
    """
    if stop is None and not targets:
        return protection
    tick = instrument.price_increment
    up = Rounding.UP if side is Side.BUY else Rounding.DOWN
    stop_at = None if stop is None else instrument.round_float(stop, up)
    tiers = tuple(
        Tier(ZERO, share, _nearest_step(Decimal(repr(price)) / tick, side) * tick)
        for price, share in zip(targets, equal_shares(len(targets)), strict=True)
    )
    return replace(protection, stop_at=stop_at, tiers=tiers or protection.tiers)


def _nearest_step(steps: Decimal, side: Side) -> Decimal:
    lower = steps.to_integral_value(ROUND_FLOOR)
    part = steps - lower
    if abs(part - _HALF) <= FLOAT_NOISE + FLOAT_PART * abs(steps):
        return lower + 1 if side is Side.BUY else lower
    return lower + 1 if part > _HALF else lower


def equal_shares(count: int) -> tuple[Decimal, ...]:
    """Shares of that many parts, to a ten-thousandth; the last takes what is left of one."""
    if not count:
        return ()
    share = (ONE / count).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    return (*(share for _ in range(count - 1)), ONE - share * (count - 1))


def trailed(bracket: Bracket, best: Decimal, instrument: Instrument) -> Stop | None:
    """The stop that trails the best price of the time that has just passed; None while it does not follow yet."""
    trail, position = bracket.protection.trail, bracket.position
    if trail is None:
        return None
    side = position.side
    if not (trail.activation is None and bracket.tiers_done):
        activation = trail.activation
        if activation is None and bracket.protection.tiers:
            return None
        needed = activation if activation is not None else 2 * trail.distance
        if (best - target_price(position.entry_price, side, needed, instrument)) * side.sign < 0:
            return None
    return Stop(OrderRole.TRAILING, _towards(best * (ONE - trail.distance * side.sign), side, instrument))


def at_breakeven(bracket: Bracket, best: Decimal, fee: Decimal, instrument: Instrument) -> Stop | None:
    """The stop at the entry with its round-trip fees, after the first tier or a gain of what the stop risked.

    best: the best price of the time that has just passed.  fee: fraction of the notional that each way costs.
    """
    position = bracket.position
    if not bracket.protection.breakeven:
        return None
    side, entry = position.side, position.entry_price
    gained = 2 * entry - stop_price(entry, side, bracket.protection, instrument)
    if not bracket.tiers_done and (best - gained) * side.sign < 0:
        return None
    return Stop(OrderRole.BREAKEVEN, breakeven_price(position, fee, instrument))


def net_if_closed(position: Position, price: Decimal, fee: Decimal) -> Decimal:
    """What the whole position would have earned if the rest of it were closed at this price now, quote units.

    fee: fraction of the notional that closing costs.
    """
    paid = position.fees + position.funding + abs(position.quantity) * price * fee
    return position.realised + position.unrealised(price) - paid


def breakeven_price(position: Position, fee: Decimal, instrument: Instrument) -> Decimal:
    """Where a position that is closed has paid its fees both ways, on the tick grid, rounded in its favour."""
    side = position.side
    raw = position.entry_price * (ONE + fee * side.sign) / (ONE - fee * side.sign)
    return _towards(raw, side, instrument)


def tightened(bracket: Bracket, stop: Decimal, mark: Decimal, fee: Decimal, instrument: Instrument) -> Stop:
    """The stop of a profitable position that an opposite signal meets: at breakeven or half-way to the price.

    Of the two the one nearer to the price, as long as that is on its losing side.
    """
    position, side = bracket.position, bracket.position.side
    halfway = _towards((stop + mark) / 2, side, instrument)
    even = breakeven_price(position, fee, instrument)
    price = even if (even - halfway) * side.sign > 0 and (mark - even) * side.sign > 0 else halfway
    return Stop(OrderRole.TIGHTENED, price)


def _towards(price: Decimal, side: Side, instrument: Instrument) -> Decimal:
    """A stop on the tick grid, rounded towards less risk."""
    return instrument.round_price(price, Rounding.UP if side is Side.BUY else Rounding.DOWN)
