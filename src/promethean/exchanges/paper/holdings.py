"""What the strategies of an account hold at the paper venue: what it ties up, who pays funding, who is liquidated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from promethean.domain.candles import Candle
from promethean.domain.events import FundingPaid
from promethean.domain.funding import FundingTable
from promethean.domain.ids import InstrumentId, Names, StrategyId
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.intrabar import Range
from promethean.domain.margin import Margin
from promethean.domain.market import Side
from promethean.domain.orders import Intent, Order, OrderRole, OrderStatus, OrderType
from promethean.domain.positions import Fill, Position
from promethean.exchanges.paper.pricing import funding_of

ZERO = Decimal(0)
Slot = tuple[StrategyId, InstrumentId]


class Holdings:
    """The cash and the positions of one account, strategy by strategy.

    maintenance: share of the notional that has to be left of a margin.
    cash:        quote units that tie up nothing: what was paid for longs, the notional of shorts, or the margin for
                 them is taken out of it.  What is owed beyond it, for funding, is taken from the margins.
    below, above: prices at or beyond which a long and a short one is liquidated; the first that is reached.
    """

    def __init__(self, instruments: Mapping[InstrumentId, Instrument], maintenance: Decimal, cash: Decimal) -> None:
        self._instruments = instruments
        self._maintenance = maintenance
        self.cash = cash
        self._positions: dict[Slot, Position] = {}
        self._taken_at: dict[Slot, Decimal] = {}
        self.below, self.above = -math.inf, math.inf

    def restore(self, positions: Iterable[Position], cash: Decimal) -> None:
        """Go on with the cash and the open positions of an account."""
        self.cash = cash
        self._positions = {(position.strategy, position.instrument): position for position in positions}
        self._watch()

    def net(self) -> dict[InstrumentId, Decimal]:
        """Base units of each instrument, signed: a venue nets what all strategies hold."""
        quantities: dict[InstrumentId, Decimal] = {}
        for (_, instrument), position in self._positions.items():
            quantities[instrument] = quantities.get(instrument, ZERO) + position.quantity
        return {instrument: quantity for instrument, quantity in quantities.items() if quantity}

    def quantity(self, instrument: InstrumentId) -> Decimal:
        """Base units of one instrument, signed."""
        return sum((held.quantity for slot, held in self._positions.items() if slot[1] == instrument), ZERO)

    def book(self, intent: Intent, fill: Fill) -> None:
        """One fill of a strategy's order."""
        slot = intent.strategy, fill.instrument
        position, booking = (self._positions.pop(slot, None) or Position.flat(intent)).apply(fill)
        if position.is_open:
            self._positions[slot] = position
        self.cash += booking.cash
        self._watch()

    def _watch(self) -> None:
        """Note at which prices margins are used up."""
        margined = {slot: position for slot, position in self._positions.items() if self._is_margined(slot)}
        if not margined and not self._taken_at:
            return
        self._taken_at = {slot: self._price_of(position) for slot, position in margined.items()}
        sides: dict[Side, list[float]] = {side: [] for side in Side}
        for slot, price in self._taken_at.items():
            sides[margined[slot].side].append(float(price))
        self.below = max(sides[Side.BUY], default=-math.inf)
        self.above = min(sides[Side.SELL], default=math.inf)

    def _price_of(self, position: Position) -> Decimal:
        instrument, margin = self._instruments[position.instrument], Margin(position.leverage, self._maintenance)
        return margin.liquidation_price(position.entry_price, position.side, instrument, self._short())

    def _short(self) -> Decimal:
        """What cash lacks, for each base unit that a margin bears."""
        if self.cash >= 0:
            return ZERO
        borne = (abs(p.quantity) for slot, p in self._positions.items() if self._is_margined(slot))
        return -self.cash / sum(borne, ZERO)

    def _is_margined(self, slot: Slot) -> bool:
        return self._instruments[slot[1]].market_type is MarketType.FUTURES

    # ------------------------------------------------------------ funding

    def pay(self, table: FundingTable, candle: Candle) -> Iterator[FundingPaid]:
        """What comes due before a candle trades, of who held something before it opened.

        What a position has paid already, before a pass was interrupted, it does not pay again.
        """
        if candle.instrument != table.instrument or not self._positions:
            return
        for due in table.due_at(candle.open_time_ns):
            for slot, position in self._positions.items():
                strategy, instrument = slot
                is_held = instrument == candle.instrument and position.opened_at_ns < due.due_ns
                if not is_held or position.funded_at_ns >= due.at_ns:
                    continue
                amount = funding_of(due.mark_price, position.quantity, due.funding_rate)
                self._positions[slot] = position.funded(amount, due.at_ns)
                self.cash -= amount
                self._watch()
                yield FundingPaid(
                    at_ns=due.at_ns,
                    instrument=instrument,
                    strategy=strategy,
                    quantity=position.quantity,
                    funding_rate=due.funding_rate,
                    mark_price=due.mark_price,
                    amount=amount,
                )

    # ------------------------------------------------------------ liquidation

    def is_behind(self, stop: Intent, part: Range) -> bool:
        """Whether a part of a candle takes the position away before it comes to this stop."""
        slot = stop.strategy, stop.instrument
        taken_at = self._taken_at.get(slot)
        if taken_at is None or stop.stop_price is None or not self._is_taken(slot, part.low, part.high):
            return False
        return (
            self._is_taken(slot, part.open, part.open)
            or (stop.stop_price - taken_at) * self._positions[slot].side.sign < 0
        )

    def taken(self, instrument: InstrumentId, low: float, high: float) -> Position | None:
        """A position that a price between these two takes away; None where all margins bear them."""
        for slot in self._taken_at:
            if slot[1] == instrument and self._is_taken(slot, low, high):
                return self._positions[slot]
        return None

    def _is_taken(self, slot: Slot, low: float, high: float) -> bool:
        price = float(self._taken_at[slot])
        return low <= price if self._positions[slot].side is Side.BUY else high >= price

    def liquidation(self, position: Position, at_ns: int, names: Names) -> tuple[Order, Decimal]:
        """The order with which the venue takes a position away, and the price that it is closed at."""
        instrument = self._instruments[position.instrument]
        price = self._taken_at[position.strategy, position.instrument]
        identity, client = names.exit(position.opened_by, OrderRole.LIQUIDATION, 0)
        intent = Intent(
            instrument=position.instrument,
            strategy=position.strategy,
            side=position.side.opposite,
            type=OrderType.MARKET,
            role=OrderRole.LIQUIDATION,
            quantity=abs(position.quantity),
            reference_price=price,
            reduce_only=True,
            decided_at_ns=at_ns,
            reason=f"the margin of {position.leverage:f} x was used up",
        )
        margin = Margin(position.leverage, self._maintenance)
        order = Order(identity, client, intent, OrderStatus.OPEN, sent_at_ns=at_ns)
        return order, margin.bankruptcy_price(position.entry_price, position.side, instrument, self._short())
