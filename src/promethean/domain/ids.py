"""Names of things.  Each is text of its own kind: an OrderId is never an InstrumentId."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NewType

AccountId = NewType("AccountId", str)
"""UUID text of one user's account at one venue: the unit of state."""
UserId = NewType("UserId", str)
InstrumentId = NewType("InstrumentId", str)
"""`exchange:BASEQUOTE[-PERP]`, for example `binance:BTCUSDT-PERP`."""
OrderId = NewType("OrderId", str)
"""UUID text; equal to the id of the intent that the order carries out."""
ClientOrderId = NewType("ClientOrderId", str)
"""What we call the order at the venue: a fixed encoding of the order id."""
StrategyId = NewType("StrategyId", str)
StreamName = NewType("StreamName", str)
Lineage = NewType("Lineage", str)
"""Random hexadecimal text, fresh at each start of a runner, so that a restored backup never repeats an id."""


_CLIENT = re.compile(r"pm[a-z2-7]{26}")


def uuid_text(digest: bytes) -> str:
    """The first 16 bytes of `digest` in the usual text form of a UUID."""
    raw = digest[:16].hex()
    return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"


def order_id(account: AccountId, lineage: Lineage, sequence: int, index: int) -> OrderId:
    """The id of an intent and of its order: it follows from where in the journal the decision stands.

    sequence: number of the account's journal row that plans the order.
    index:    place among the effects of one step.
    """
    place = f"{account}/{lineage}/{sequence}/{index}".encode()
    return OrderId(uuid_text(hashlib.sha256(place).digest()))


def client_order_id(order: OrderId) -> ClientOrderId:
    """`pm` + base32 of the order id in lower case: 28 characters, letters and digits, allowed at every venue."""
    raw = bytes.fromhex(order.replace("-", ""))
    return ClientOrderId("pm" + base64.b32encode(raw).decode().rstrip("=").lower())


def fact_id(*parts: object) -> str:
    """UUID text of a fact (a fill, a ledger row) that follows from what the fact is about."""
    return uuid_text(hashlib.sha256("/".join(map(str, parts)).encode()).digest())


def order_id_of(client: ClientOrderId) -> OrderId:
    """The order that a client order id names.  Raises ValueError when the id is not one of ours."""
    if _CLIENT.fullmatch(client):
        order = OrderId(uuid_text(base64.b32decode(client[2:].upper() + "=" * 6)))
        if client_order_id(order) == client:  # 26 letters hold two bits more than an order id
            return order
    raise ValueError(f"{client!r} is not one of our client order ids")


class Names:
    """How orders and evidence are named: after what they are about, so that a replay names them the same."""

    def order(self, account: AccountId, lineage: Lineage, sequence: int, index: int) -> tuple[OrderId, ClientOrderId]:
        """An order of ours, by the place of its decision, as `order_id` says."""
        identity = order_id(account, lineage, sequence, index)
        return identity, client_order_id(identity)

    def exit(self, entry: OrderId, role: str, leg: int) -> tuple[OrderId, ClientOrderId]:
        """An exit that a simulated venue makes at the fill of its entry."""
        identity = OrderId(fact_id(entry, role, leg))
        return identity, client_order_id(identity)

    def evidence(self, order: OrderId, what: str) -> str:
        """A report of a simulated venue."""
        return fact_id(order, what)


class ShortNames(Names):
    """Names for a run that leaves no journal behind: unique within it, and made in a tenth of the time."""

    def order(self, account: AccountId, lineage: Lineage, sequence: int, index: int) -> tuple[OrderId, ClientOrderId]:
        """The place of its decision itself."""
        identity = f"{sequence}-{index}"
        return OrderId(identity), ClientOrderId(identity)

    def exit(self, entry: OrderId, role: str, leg: int) -> tuple[OrderId, ClientOrderId]:
        """The entry, the role and the place."""
        identity = f"{entry}-{role}-{leg}"
        return OrderId(identity), ClientOrderId(identity)

    def evidence(self, order: OrderId, what: str) -> str:
        """The order and what happened to it."""
        return f"{order}-{what}"
