"""Funding at the simulated venue: every strategy pays it, or receives it, for what it holds itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from promethean.domain.candles import Candle
from promethean.domain.events import FundingPaid
from promethean.domain.funding import FundingTable
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.positions import Fill, Position
from promethean.exchanges.paper.pricing import funding_of

Slot = tuple[StrategyId, InstrumentId]


class Holders:
    """Who holds the perpetual of a funding table."""

    def __init__(self, table: FundingTable) -> None:
        self._table = table
        self._positions: dict[Slot, Position] = {}

    def restore(self, positions: Iterable[Position]) -> None:
        """Go on with the open positions of an account."""
        self._positions = {(position.strategy, position.instrument): position for position in positions}

    def book(self, strategy: StrategyId, fill: Fill) -> None:
        """One fill of a strategy's order."""
        slot = strategy, fill.instrument
        position, _ = (self._positions.pop(slot, None) or Position(fill.instrument, strategy)).apply(fill)
        if position.is_open:
            self._positions[slot] = position

    def pay(self, candle: Candle) -> Iterator[FundingPaid]:
        """What comes due before a candle trades, of who held something before it opened.

        What a position has paid already, before a pass was interrupted, it does not pay again.
        """
        if candle.instrument != self._table.instrument or not self._positions:
            return
        for due in self._table.due_at(candle.open_time_ns):
            for slot, position in self._positions.items():
                strategy, instrument = slot
                is_held = instrument == candle.instrument and position.opened_at_ns < due.due_ns
                if not is_held or position.funded_at_ns >= due.at_ns:
                    continue
                amount = funding_of(due.mark_price, position.quantity, due.funding_rate)
                self._positions[slot] = position.funded(amount, due.at_ns)
                yield FundingPaid(
                    at_ns=due.at_ns,
                    instrument=instrument,
                    strategy=strategy,
                    quantity=position.quantity,
                    funding_rate=due.funding_rate,
                    mark_price=due.mark_price,
                    amount=amount,
                )
