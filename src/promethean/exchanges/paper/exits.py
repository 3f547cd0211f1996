"""The exits that came with their entry and rest at the paper venue: made, moved and taken out with its fills."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from msgspec.structs import replace

from promethean.domain.ids import InstrumentId, Names, OrderId, StrategyId
from promethean.domain.instruments import Instrument
from promethean.domain.orders import Exit, Order, OrderRole
from promethean.domain.positions import Fill, Position
from promethean.exchanges.paper.book import Resting
from promethean.execution.bracket import Bracket, exit_intent, protective_legs

ZERO = Decimal(0)
Slot = tuple[StrategyId, InstrumentId]


@dataclass(slots=True)
class _Held:
    """A position whose exits are the venue's.  entry: the order that it came from."""

    bracket: Bracket
    entry: OrderId


class AttachedExits:
    """The positions whose exits are the venue's.  It puts them into the venue's book and takes them out."""

    __slots__ = ("_book", "_held", "_names")

    def __init__(self, book: dict[OrderId, Resting], names: Names) -> None:
        self._book = book
        self._names = names
        self._held: dict[Slot, _Held] = {}

    def restore(self, orders: Iterable[Order], brackets: Iterable[Bracket]) -> None:
        """Know again which positions have exits here: those that an order among `orders` stands for."""
        held = {(bracket.position.strategy, bracket.position.instrument): bracket for bracket in brackets}
        entries = {_slot(order): order.parent for order in orders if order.parent is not None}
        self._held = {slot: _Held(held[slot], entry) for slot, entry in entries.items() if slot in held}

    def after(
        self, order: Order, left: Decimal, fill: Fill, instrument: Instrument, evidence: str
    ) -> tuple[Exit, ...] | None:
        """The exits that rest here after a fill; None for a position whose exits are orders of their own.

        An entry fill makes or moves them all.  An exit fill re-sizes the stop alone, and a stop in the middle of its
        fills is left alone.  With the position they go.
        left: what the order still wants after the fill.
        """
        slot, intent = _slot(order), order.intent
        held = self._held.get(slot)
        if held is None:
            if not intent.attached or intent.protection is None:
                return None
            held = self._held[slot] = _Held(Bracket(Position.flat(intent), intent.protection), order.id)
        bracket = held.bracket
        position, _ = bracket.position.apply(fill)
        tiers_done = max(bracket.tiers_done, intent.leg) if left <= 0 else bracket.tiers_done
        held.bracket = bracket = Bracket(position, bracket.protection, tiers_done)
        standing = [other for other in self._book.values() if other.order.parent == held.entry]
        if not position.is_open:
            del self._held[slot]
            for resting in standing:
                del self._book[resting.order.id]
            return ()
        if intent.role is not OrderRole.STOP:
            self._place(held, standing, None if not intent.reduce_only else OrderRole.STOP, fill, instrument, evidence)
        return tuple(_exit(other.order) for other in self._book.values() if other.order.parent == held.entry)

    def _place(
        self,
        held: _Held,
        standing: list[Resting],
        only: OrderRole | None,
        fill: Fill,
        instrument: Instrument,
        evidence: str,
    ) -> None:
        """Put the exits of a position into the book in the sizes and at the prices that it has now.

        only: the role that moves; None when the entry has grown and all do.
        """
        position = held.bracket.position
        old = {resting.order.id: resting for resting in standing if only in (None, resting.order.intent.role)}
        for leg in protective_legs(position, held.bracket.protection, held.bracket.tiers_done, instrument):
            if only not in (None, leg.role):
                continue
            identity, client = self._names.exit(held.entry, leg.role, leg.leg)
            known = old.pop(identity, None)
            filled = known.order.intent.quantity - known.remaining if known is not None else ZERO
            intent = exit_intent(leg, position, fill.executed_at_ns)
            if known is not None:
                known.resize(replace(known.order, intent=replace(intent, quantity=filled + leg.quantity)), leg.quantity)
                continue
            order = Exit(identity, client, held.entry, intent).order(fill.executed_at_ns, evidence)
            self._book[identity] = Resting.of(order, fill.executed_at_ns)
        for identity in old:
            del self._book[identity]


def _exit(order: Order) -> Exit:
    assert order.parent is not None, "an exit of the venue's has come with an entry"
    return Exit(order.id, order.client_order_id, order.parent, order.intent)


def _slot(order: Order) -> Slot:
    return order.intent.strategy, order.intent.instrument
