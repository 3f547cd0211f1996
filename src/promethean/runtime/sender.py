"""The one place from which an order leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from promethean.domain.errors import VenueError
from promethean.domain.events import OrderAccepted, OrderOutcomeUnknown, OrderRejected
from promethean.domain.orders import Order, OrderStatus
from promethean.exchanges.port import Venue

SEND_TIMEOUT_S = 10.0


class Sender:
    """Sends claimed orders, each once.  `Venue.submit` has no other caller, and nothing here tries again.

    halted: reads the kill latch from memory and file; why it is set, or None.
    """

    def __init__(self, venue: Venue, halted: Callable[[], str | None]) -> None:
        self._venue = venue
        self._halted = halted

    async def send(self, order: Order, now_ns: int) -> OrderAccepted | OrderRejected | OrderOutcomeUnknown:
        """Send a claimed order and say what came back.  "I do not know" is an answer.

        order: status SENDING, its claim committed.  now_ns: the account's clock, for an answer that has no time.
        """
        assert order.status is OrderStatus.SENDING, f"order {order.id} is {order.status}, it was not claimed"
        # The last look at the latch: nothing is awaited between here and the first byte.
        reason = self._halted()
        if reason is not None and not order.intent.reduce_only:
            return OrderOutcomeUnknown(now_ns, order.id, f"not sent, the kill switch was set: {reason}")
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                return await self._venue.submit(order)
        except (VenueError, OSError) as error:  # a timeout is an OSError; whatever it was, the order may be there
            return OrderOutcomeUnknown(now_ns, order.id, f"no readable answer from {self._venue.name}: {error}")
