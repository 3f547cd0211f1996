"""Fills and the positions they make."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from msgspec import Struct
from msgspec.structs import replace

from promethean.domain.ids import InstrumentId, OrderId, StrategyId
from promethean.domain.market import Side
from promethean.domain.money import MONEY_STEP, Money
from promethean.domain.orders import Intent

ZERO = Decimal(0)
ONE = Decimal(1)


class Fill(Struct, frozen=True):
    """One execution.  price: quote units per base unit; quantity: base units, always positive.

    trade_id: the venue's, unique within the account.  maker: True when the order provided liquidity.
    """

    order_id: OrderId
    trade_id: str
    instrument: InstrumentId
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Money
    maker: bool
    executed_at_ns: int

    def __post_init__(self) -> None:
        if self.price <= 0 or self.quantity <= 0:
            raise ValueError(f"a fill needs a positive price and quantity: {self}")

    @property
    def notional(self) -> Decimal:
        """Quote units."""
        return self.price * self.quantity


class Booking(Struct, frozen=True):
    """What one fill does to money, all in quote units: cash + margin - realised + fee sums to zero.

    margin: what is set aside for the position; without leverage its cost.
    """

    cash: Decimal
    margin: Decimal
    realised: Decimal
    fee: Decimal


class Position(Struct, frozen=True):
    """What an account holds of one instrument for one strategy, from fills only.

    quantity:          base units, signed: above zero is long.
    cost:              quote units that what is held was opened for, always positive or zero.
    original_quantity: base units bought or sold to build it; tiers close shares of this.
    realised, fees:    quote units since it was opened; realised excludes fees and funding.
    funding:           quote units paid since it was opened, below zero when received; funded_at_ns: when last.
    entry_notional, exit_notional: quote units over everything opened and closed so far; averages follow from them.
    leverage:          cost in times of the margin that is set aside for it.
    opened_by:         the order whose fill opened it.
    """

    instrument: InstrumentId
    strategy: StrategyId
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    original_quantity: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    exit_quantity: Decimal = ZERO
    exit_notional: Decimal = ZERO
    opened_at_ns: int = 0
    entry_notional: Decimal = ZERO
    funding: Decimal = ZERO
    funded_at_ns: int = 0
    leverage: Decimal = ONE
    opened_by: OrderId = OrderId("")

    @classmethod
    def flat(cls, intent: Intent) -> Position:
        """What a strategy holds before the first fill of this intent."""
        return cls(intent.instrument, intent.strategy, leverage=intent.leverage or ONE)

    @property
    def margin(self) -> Decimal:
        """Quote units set aside for what is held: its cost, or the leverage's part of it."""
        return self.cost if self.leverage == 1 else (self.cost / self.leverage).quantize(MONEY_STEP, ROUND_HALF_EVEN)

    @property
    def is_open(self) -> bool:
        """Whether anything is held."""
        return self.quantity != 0

    @property
    def side(self) -> Side:
        """BUY for long.  Only asked of an open position."""
        return Side.BUY if self.quantity > 0 else Side.SELL

    @property
    def entry_price(self) -> Decimal:
        """Average entry price of everything bought (sold, for a short), quote units per base unit."""
        return self.entry_notional / self.original_quantity if self.original_quantity else ZERO

    @property
    def exit_price(self) -> Decimal:
        """Average exit price of everything closed so far."""
        return self.exit_notional / self.exit_quantity if self.exit_quantity else ZERO

    def unrealised(self, mark: Decimal) -> Decimal:
        """Profit not yet taken at this price, quote units, before exit fees."""
        if not self.quantity:
            return ZERO
        value = abs(self.quantity) * mark
        return value - self.cost if self.quantity > 0 else self.cost - value

    def funded(self, amount: Decimal, at_ns: int) -> Position:
        """The position after it paid funding; a negative amount was received."""
        return replace(self, funding=self.funding + amount, funded_at_ns=at_ns)

    def apply(self, fill: Fill) -> tuple[Position, Booking]:
        """The position after a fill, and what the fill does to money.

        A fill that goes beyond flat is two facts at the venue's price: the part that closes, then the part that opens;
        the caller never sends such an order, but a venue's word is booked as it is.
        Raises ValueError for a fill of another instrument.
        """
        if fill.instrument != self.instrument:
            raise ValueError(f"a fill of {fill.instrument} cannot change a position in {self.instrument}")
        fee = fill.fee.amount
        signed = fill.quantity * fill.side.sign
        if self.quantity == 0 or (self.quantity > 0) == (signed > 0):
            return self._opened(fill, fill.quantity, fee)
        closing = min(fill.quantity, abs(self.quantity))
        if closing == fill.quantity:
            return self._closed(fill, closing, fee)
        fee_closing = (fee * closing / fill.quantity).quantize(MONEY_STEP, ROUND_HALF_EVEN)
        flat, first = self._closed(fill, closing, fee_closing)
        fresh = Position(self.instrument, self.strategy, leverage=self.leverage)
        turned, second = fresh._opened(fill, fill.quantity - closing, fee - fee_closing)
        turned = replace(
            turned,
            realised=flat.realised,
            fees=flat.fees + turned.fees,
            funding=flat.funding,
            funded_at_ns=flat.funded_at_ns,
        )
        return turned, Booking(
            first.cash + second.cash, first.margin + second.margin, first.realised, first.fee + second.fee
        )

    def _opened(self, fill: Fill, quantity: Decimal, fee: Decimal) -> tuple[Position, Booking]:
        cost = fill.price * quantity
        # What was closed is another trade: a position that was flat starts with nothing behind it.
        held = self
        if not self.quantity:
            held = Position(
                self.instrument,
                self.strategy,
                opened_at_ns=fill.executed_at_ns,
                leverage=self.leverage,
                opened_by=fill.order_id,
            )
        position = Position(
            held.instrument,
            held.strategy,
            held.quantity + quantity * fill.side.sign,
            held.cost + cost,
            held.original_quantity + quantity,
            held.realised,
            held.fees + fee,
            held.exit_quantity,
            held.exit_notional,
            held.opened_at_ns,
            held.entry_notional + cost,
            held.funding,
            held.funded_at_ns,
            held.leverage,
            held.opened_by,
        )
        margin = position.margin - held.margin
        return position, Booking(-margin - fee, margin, ZERO, fee)

    def _closed(self, fill: Fill, quantity: Decimal, fee: Decimal) -> tuple[Position, Booking]:
        held = abs(self.quantity)
        partial = (self.cost * quantity / held).quantize(MONEY_STEP, ROUND_HALF_EVEN)
        cost = self.cost if quantity == held else min(partial, self.cost)  # dust may round to more than there is
        value = fill.price * quantity
        realised = value - cost if self.quantity > 0 else cost - value
        position = Position(
            self.instrument,
            self.strategy,
            self.quantity + quantity * fill.side.sign,
            self.cost - cost,
            self.original_quantity,
            self.realised + realised,
            self.fees + fee,
            self.exit_quantity + quantity,
            self.exit_notional + value,
            self.opened_at_ns,
            self.entry_notional,
            self.funding,
            self.funded_at_ns,
            self.leverage,
            self.opened_by,
        )
        released = self.margin - position.margin
        return position, Booking(released + realised - fee, -released, realised, fee)
