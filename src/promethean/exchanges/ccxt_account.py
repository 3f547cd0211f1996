"""A user's account at a venue, through ccxt: orders out, and what became of them in.

Nothing here tries a second time.  An answer that does not say what became of an order is `OrderOutcomeUnknownError`,
and the account's runner looks the order up; a refusal counts as one only where its code is on the venue's list.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from promethean.domain.errors import OrderOutcomeUnknownError, VenueError
from promethean.domain.events import (
    MarketEvent,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReport,
    VenueReport,
)
from promethean.domain.ids import ClientOrderId, InstrumentId, OrderId, fact_id, order_id_of
from promethean.domain.instants import NS_PER_MS
from promethean.domain.instruments import Instrument, MarketType
from promethean.domain.market import Side
from promethean.domain.money import Money, plain
from promethean.domain.orders import VALIDITY_NS, Order, OrderType
from promethean.domain.positions import Fill
from promethean.domain.secret import Secret
from promethean.exchanges.ccxt_connection import CcxtConnection
from promethean.exchanges.port import Capabilities
from promethean.exchanges.venue_records import record_of

_TYPES = {
    OrderType.MARKET: "market",
    OrderType.LIMIT: "limit",
    OrderType.STOP_MARKET: "market",
    OrderType.STOP_LIMIT: "limit",
}
_OVERLAP_NS = 60_000 * NS_PER_MS
"""How far behind the newest known fill a poll asks again: fills may be shown out of their order."""


class CcxtAccount(CcxtConnection):
    """One account at a real venue; `base_url` may be a local one.

    key, secret: of the user; revealed to ccxt alone.
    instruments: the markets that are traded.
    """

    def __init__(
        self,
        exchange_id: str,
        key: Secret,
        secret: Secret,
        instruments: Iterable[Instrument],
        *,
        market_type: MarketType = MarketType.SPOT,
        base_url: str | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        timeout_s: float = 10.0,
    ) -> None:
        super().__init__(exchange_id, market_type=market_type, base_url=base_url, now_ns=now_ns, timeout_s=timeout_s)
        self.name = exchange_id
        self._record = record_of(exchange_id)
        self._key, self._secret = key, secret
        self._traded = {instrument.id: instrument for instrument in instruments}
        self._pending: deque[VenueReport] = deque()
        self._numbers: dict[str, OrderId] = {}  # the venue's number of each order that is ours
        self._told: set[str] = set()  # trades that were told already
        self._refused: dict[OrderId, OrderRejected] = {}
        self._expiring: dict[OrderId, Order] = {}  # good till a date, which the venue does not know
        self._asked_ns: dict[InstrumentId, int] = {}
        is_spot = market_type is MarketType.SPOT
        self.capabilities = Capabilities(
            order_types=frozenset(OrderType),
            shorts=not is_spot,
            reduce_only=not is_spot,
            client_order_ids=True,
            validity_window=self._record.window is not None,
            stale_read_s=self._record.stale_read_s,
        )

    def _configured(self, venue: Any) -> Any:
        venue = super()._configured(venue)
        venue.apiKey, venue.secret = self._key.reveal(), self._secret.reveal()
        venue.options["fetchMargins"] = False
        # Requests are signed with the venue's time as we know it, not with that of this machine.
        venue.milliseconds = lambda: (self._now_ns() + self._offset_ns) // NS_PER_MS
        return venue

    # ------------------------------------------------------------ orders

    async def submit(self, order: Order) -> OrderAccepted | OrderRejected:
        """Send the order, once.

        Raises OrderOutcomeUnknownError when the answer does not say for sure whether the venue has it.
        """
        from ccxt.base.errors import BaseError

        if (misfit := self._misfit(order)) is not None:
            return self._rejected(order, *misfit)  # ccxt would refuse it in words that no list knows
        intent, symbol = order.intent, await self._symbol(order.intent.instrument)
        venue = await self._venue()
        parameters: dict[str, Any] = {"clientOrderId": order.client_order_id}
        if intent.stop_price is not None:
            parameters["triggerPrice"] = str(intent.stop_price)
        if intent.reduce_only and self.capabilities.reduce_only:
            parameters["reduceOnly"] = True
        if self._record.window is not None:
            # From the claim on, not from the send: what lies about too long on its way is refused.
            claimed_ns = (order.valid_until_ns or self._now_ns() + VALIDITY_NS) - VALIDITY_NS
            parameters[self._record.window] = VALIDITY_NS // NS_PER_MS
            parameters["timestamp"] = (claimed_ns + self._offset_ns) // NS_PER_MS
        price = None if intent.limit_price is None else str(intent.limit_price)
        try:
            async with asyncio.timeout(self._timeout_s):
                shown = await venue.create_order(
                    symbol, _TYPES[intent.type], intent.side.value, str(intent.quantity), price, parameters
                )
            number = str(shown["id"])
        except BaseError as error:
            refusal = self._refusal(error)
            if refusal is None:
                raise OrderOutcomeUnknownError(f"{type(error).__name__}: {str(error)[:200]}") from error
            return self._rejected(order, *refusal)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise OrderOutcomeUnknownError(f"an unreadable answer: {error!r:.200}") from error
        self._numbers[number] = order.id
        if intent.expires_at_ns is not None:
            self._expiring[order.id] = replace(order, venue_order_id=number)
        return OrderAccepted(_at_ns(shown, self._now_ns()), order.id, number, fact_id(order.id, "accepted", number))

    def _rejected(self, order: Order, code: str, message: str) -> OrderRejected:
        at_ns = order.sent_at_ns or self._now_ns()
        report = OrderRejected(at_ns, order.id, code, message, fact_id(order.id, "rejected", message))
        self._refused[order.id] = report
        return report

    def _misfit(self, order: Order) -> tuple[str, str] | None:
        """Code and words for an order that no venue would take; it is not sent."""
        intent = order.intent
        market = self._traded.get(intent.instrument)
        if market is None:
            return "unknown_instrument", f"{intent.instrument} is not traded by this account"
        if intent.type not in self.capabilities.order_types:
            return "unsupported_type", f"{intent.type} orders are not offered by {self.name}"
        if intent.quantity < market.quantity_min or intent.quantity % market.quantity_increment:
            return "lot_size", f"quantity {plain(intent.quantity)} does not fit the lot of {market.symbol}"
        for price in (intent.limit_price, intent.stop_price):
            if price is not None and price % market.price_increment:
                return "price_filter", f"price {plain(price)} is not a multiple of {plain(market.price_increment)}"
        return None

    def _refusal(self, error: Exception) -> tuple[str, str] | None:
        """Our word and the venue's for a definite refusal; None where the order may exist."""
        from ccxt.base.errors import InsufficientFunds

        text = str(error)
        if isinstance(error, InsufficientFunds):
            return "insufficient_balance", text  # in ccxt's words, whatever the venue's code was
        start = text.find("{")
        try:
            body = json.loads(text[start:]) if start >= 0 else {}
        except ValueError:
            return None
        code = str(body.get("code", "")) if isinstance(body, Mapping) else ""
        message = str(body.get("msg", "")) if isinstance(body, Mapping) else ""
        if code not in self._record.definite or any(words in message for words in self._record.is_there):
            return None
        return self._record.definite[code], f"{message} ({code})"

    async def cancel(self, order: Order) -> OrderCancelled | None:
        """Ask the venue to end the order; None when it does not have it open, or did not say so."""
        symbol = await self._symbol(order.intent.instrument)
        venue = await self._venue()
        try:
            shown = await self._answer("cancel", venue.cancel_order, order.venue_order_id or "", symbol, _by(order))
        except VenueError:
            return None  # what became of it is asked, not guessed
        if shown.get("status") not in ("canceled", "closed", None):
            return None
        at_ns = max(_at_ns(shown, self._now_ns()), order.cancel_requested_at_ns or 0)
        return OrderCancelled(at_ns, order.id, "requested", fact_id(order.id, "cancelled"))

    async def lookup(self, order: Order) -> Sequence[OrderReport]:
        """Everything the venue shows of the order by its client id, oldest first; empty when it shows nothing."""
        from ccxt.base.errors import OrderNotFound

        symbol = await self._symbol(order.intent.instrument)
        venue = await self._venue()
        with self._readable("order"):
            try:
                async with asyncio.timeout(self._timeout_s):
                    shown = await venue.fetch_order(order.venue_order_id or "", symbol, _by(order))
            except OrderNotFound:
                refused = self._refused.get(order.id)
                return () if refused is None else (refused,)
        number, at_ns = str(shown["id"]), _at_ns(shown, self._now_ns())
        self._numbers[number] = order.id
        reports: list[OrderReport] = [OrderAccepted(at_ns, order.id, number, fact_id(order.id, "accepted", number))]
        since = await self._fills(order.intent.instrument, at_ns)
        fills = [report for report in since if report.fill.order_id == order.id]
        reports += fills
        updated_ns = max([at_ns, *(report.at_ns for report in fills)])
        if shown.get("status") == "canceled":
            reports.append(OrderCancelled(updated_ns, order.id, "venue", fact_id(order.id, "cancelled")))
        elif shown.get("status") in ("expired", "rejected"):
            reports.append(OrderExpired(updated_ns, order.id, fact_id(order.id, "expired")))
        return tuple(reports)

    # ------------------------------------------------------------ the account

    async def open_orders(self) -> Sequence[OrderId]:
        """Our orders that stand at the venue; those of others are left out."""
        found = []
        for symbol in await self._traded_symbols():
            venue = await self._venue()
            for shown in await self._answer("open orders", venue.fetch_open_orders, symbol):
                identity = self._ours(shown)
                if identity is not None:
                    found.append(identity)
        return tuple(found)

    async def fills(self, since_ns: int) -> Sequence[OrderFilled]:
        """Our fills executed at or after an instant, oldest first."""
        found = [report for instrument in self._traded for report in await self._fills(instrument, since_ns)]
        # The venue counts in milliseconds.
        return tuple(sorted((r for r in found if r.at_ns >= since_ns), key=lambda report: report.at_ns))

    async def positions(self) -> dict[InstrumentId, Decimal]:
        """Base units held, signed: on spot what the account has of the base coin."""
        venue = await self._venue()
        await self._traded_symbols()
        if self.market_type is MarketType.SPOT:
            balances = await self._answer("balances", venue.fetch_balance)
            totals = balances.get("total", {})
            held = {i.id: Decimal(str(totals.get(i.base) or 0)) for i in self._traded.values()}
        else:
            shown = await self._answer("positions", venue.fetch_positions, await self._traded_symbols())
            held = {}
            for row in shown:
                sign = -1 if row.get("side") == "short" else 1
                for identity, symbol in self._symbols.items():
                    if symbol == row.get("symbol"):
                        held[identity] = sign * abs(Decimal(str(row.get("contracts") or 0)))
        return {instrument: quantity for instrument, quantity in held.items() if quantity}

    async def poll(self) -> None:
        """Ask for fills since the last time, with overlap, and end what is good till a date; `advance` tells both."""
        await self._ask_fills()
        now_ns = self._now_ns()
        for identity, order in tuple(self._expiring.items()):
            ends_ns = order.intent.expires_at_ns or 0
            if now_ns < ends_ns:
                continue
            is_ended = await self.cancel(order) is not None
            if not is_ended:  # filled, ended by an answer that was lost, or still open: then it is asked again
                if identity in await self.open_orders():
                    continue
                is_ended = any(isinstance(told, OrderCancelled | OrderExpired) for told in await self.lookup(order))
            del self._expiring[identity]
            if is_ended:
                self._pending.append(OrderExpired(ends_ns, identity, fact_id(identity, "expired")))

    async def _ask_fills(self) -> None:
        for instrument in self._traded:
            asked_ns = self._now_ns()
            since_ns = self._asked_ns.get(instrument, asked_ns) - _OVERLAP_NS
            for report in await self._fills(instrument, since_ns):
                if report.fill.trade_id not in self._told:
                    self._told.add(report.fill.trade_id)
                    self._pending.append(report)
            self._asked_ns[instrument] = asked_ns

    def advance(self, event: MarketEvent) -> Iterator[VenueReport]:
        """What the venue has told since; a market event itself does nothing here."""
        while self._pending:
            yield self._pending.popleft()

    # ------------------------------------------------------------ reading

    async def _traded_symbols(self) -> list[str]:
        return [await self._symbol(instrument) for instrument in self._traded]

    async def _fills(self, instrument: InstrumentId, since_ns: int) -> list[OrderFilled]:
        """Fills of orders that are ours, from an instant on, oldest first."""
        symbol, venue = await self._symbol(instrument), await self._venue()
        shown = await self._answer("fills", venue.fetch_my_trades, symbol, since_ns // NS_PER_MS)
        unknown = {str(row["order"]) for row in shown} - set(self._numbers)
        if unknown:  # sent by an earlier process of ours, or by somebody else
            for row in await self._answer("orders", venue.fetch_orders, symbol, since_ns // NS_PER_MS):
                self._ours(row)
        with self._readable("fills"):
            rows = sorted(shown, key=lambda row: (row["timestamp"], int(row["id"])))
            return [self._fill(instrument, row) for row in rows if str(row["order"]) in self._numbers]

    def _fill(self, instrument: InstrumentId, row: Mapping[str, Any]) -> OrderFilled:
        market, identity = self._traded[instrument], self._numbers[str(row["order"])]
        fee = row.get("fee") or {}
        amount, coin = Decimal(str(fee.get("cost") or 0)), str(fee.get("currency") or market.quote)
        price = Decimal(str(row["price"]))
        if coin == market.base:  # what a fee in the base coin was worth at the fill
            amount, coin = amount * price, market.quote
        fill = Fill(
            identity, str(row["id"]), instrument, Side(row["side"]), price, Decimal(str(row["amount"])),
            Money(amount, coin), row.get("takerOrMaker") == "maker", int(row["timestamp"]) * NS_PER_MS,
        )  # fmt: skip
        return OrderFilled(fill, fact_id(identity, fill.trade_id))

    def _ours(self, shown: Mapping[str, Any]) -> OrderId | None:
        """The order that a row is about, by its client id; None where it is nobody's of us."""
        try:
            identity = order_id_of(ClientOrderId(str(shown.get("clientOrderId") or "")))
        except ValueError:
            return None
        self._numbers[str(shown["id"])] = identity
        return identity


def _by(order: Order) -> dict[str, str]:
    return {"clientOrderId": order.client_order_id}


def _at_ns(shown: Mapping[str, Any], now_ns: int) -> int:
    at_ms = shown.get("timestamp")
    return int(at_ms) * NS_PER_MS if isinstance(at_ms, int) else now_ns
