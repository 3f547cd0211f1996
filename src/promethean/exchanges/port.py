"""What every venue offers to the runner, real or simulated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from promethean.domain.candles import Candle
from promethean.domain.events import (
    MarketEvent,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
    OrderReport,
    VenueReport,
)
from promethean.domain.ids import InstrumentId, OrderId
from promethean.domain.orders import Order, OrderType
from promethean.domain.positions import Position
from promethean.execution.bracket import Bracket


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a venue can do; the platform branches on this and never on a name.

    stale_read_s:   how long a lookup may still miss an order that exists.
    attached_exits: takes the exits with the entry, makes them at each of its fills, and names them in the report.
    """

    order_types: frozenset[OrderType]
    shorts: bool
    reduce_only: bool
    client_order_ids: bool
    validity_window: bool
    stale_read_s: float
    attached_exits: bool = False


class Venue(Protocol):
    """One account at one venue."""

    name: str
    capabilities: Capabilities

    async def submit(self, order: Order) -> OrderAccepted | OrderRejected:
        """Send the order, once.  Its one caller is the sender.

        Returns what the venue answered.  Raises OrderOutcomeUnknownError when no readable answer came: the order may
        or may not exist then.
        """
        ...

    async def cancel(self, order: Order) -> OrderCancelled | None:
        """Ask the venue to end the order; None when the venue no longer has it open."""
        ...

    async def lookup(self, order: Order) -> Sequence[OrderReport]:
        """Everything the venue knows about the order by its client id, oldest first; empty when it shows nothing."""
        ...

    async def open_orders(self) -> Sequence[OrderId]:
        """Our orders that stand at the venue now."""
        ...

    async def fills(self, since_ns: int) -> Sequence[OrderFilled]:
        """Our fills executed at or after an instant, oldest first."""
        ...

    async def positions(self) -> dict[InstrumentId, Decimal]:
        """Base units held, signed; instruments of which nothing is held are left out."""
        ...


class SimulatedVenue(Venue, Protocol):
    """A venue whose matching is ours: it sees each market event before the accounts do."""

    def restore(
        self,
        orders: Iterable[Order],
        positions: Iterable[Position],
        cash: Decimal,
        seen_at_ns: Mapping[InstrumentId, int],
        brackets: Iterable[Bracket],
    ) -> None:
        """Rebuild what the venue holds from the account's facts: after every start.

        positions: the open ones of each strategy, with the funding that they have paid.  cash: quote units free.
        seen_at_ns: the last market event of each instrument that the account has handled.
        brackets: the open positions with their exits; the venue holds those whose exits are its own.
        """
        ...

    def advance(self, event: MarketEvent) -> Iterator[VenueReport]:
        """What the market event does to the orders that rest here, one report at a time.

        Reports are made while iterating, so an order sent in answer to one report takes part in what follows.
        """
        ...

    def finish(self, candle: Candle) -> Iterator[VenueReport]:
        """The market is over with this candle, the last that the venue saw: orders of role END fill whole at its close.

        They take liquidity; everything else that rests here fills no more.
        """
        ...
