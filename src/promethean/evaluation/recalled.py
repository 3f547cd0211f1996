"""The books of a run that is in the journal, from the facts of its account."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from promethean.domain.events import Event, FundingPaid, OrderAdopted, OrderFilled, OrderPlanned
from promethean.domain.ids import OrderId
from promethean.evaluation.ledger import Bookkeeper, Books


def recall(facts: Iterable[Event], keeper: Bookkeeper) -> Books:
    """The books of an account's facts, oldest first: each fill once, with the role of its order as the reason.

    keeper: new, at the candles of the run.
    """
    roles: dict[OrderId, str] = {}
    told: set[tuple[OrderId, str]] = set()
    for fact in facts:
        if isinstance(fact, OrderPlanned | OrderAdopted):
            roles[fact.order_id] = fact.intent.role.value
        elif isinstance(fact, FundingPaid):
            keeper.pay(int(np.searchsorted(keeper.open_time, fact.at_ns)), fact.at_ns, fact.amount)
        elif isinstance(fact, OrderFilled):
            fill = fact.fill
            roles.update((exit.order_id, exit.intent.role.value) for exit in fact.exits or ())
            if (fill.order_id, fill.trade_id) in told:
                continue
            told.add((fill.order_id, fill.trade_id))
            # A fill at the last close is of the last candle: none opens there.
            at = int(np.searchsorted(keeper.open_time, fill.executed_at_ns, side="right")) - 1
            reason = roles[fill.order_id]
            keeper.book(at, fill.executed_at_ns, fill.side, fill.price, fill.quantity, fill.fee.amount, reason)
    return keeper.books()
