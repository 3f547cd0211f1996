"""The local venue in Binance's own words: spot REST as documented, signed requests, and its error numbers.

Documentation: https://developers.binance.com/docs/binance-spot-api-docs/rest-api
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from promethean.domain.market import Side
from promethean.domain.money import plain
from promethean.domain.orders import OrderType, TimeInForce
from promethean.simulation.matching import Code, Matching, Request, Trade, VenueAccount, VenueOrder, VenueRefusalError

Params = Mapping[str, str]
Answer = Callable[["BinanceWire", VenueAccount, Params], Any]

ERRORS: Mapping[Code, tuple[int, int]] = {
    Code.BAD_KEY: (401, -2015),
    Code.NOT_ALLOWED: (401, -2015),
    Code.TOO_LATE: (400, -1021),
    Code.BAD_SYMBOL: (400, -1121),
    Code.HALTED: (400, -1013),
    Code.PRICE_FILTER: (400, -1013),
    Code.LOT_SIZE: (400, -1013),
    Code.MIN_NOTIONAL: (400, -1013),
    Code.NO_BALANCE: (400, -2010),
    Code.DUPLICATE_ID: (400, -2010),
    Code.REDUCE_ONLY: (400, -2022),
    Code.WOULD_TRIGGER: (400, -2010),
    Code.WOULD_TAKE: (400, -2010),
    Code.NO_SUCH_ORDER: (400, -2013),
    Code.NO_SUCH_OPEN: (400, -2011),
    Code.BAD_LEVERAGE: (400, -4028),
}
"""HTTP status and the number that Binance gives for each refusal."""

TYPES = {
    "MARKET": OrderType.MARKET,
    "LIMIT": OrderType.LIMIT,
    "LIMIT_MAKER": OrderType.LIMIT,
    "STOP_LOSS": OrderType.STOP_MARKET,
    "STOP_LOSS_LIMIT": OrderType.STOP_LIMIT,
}


class Fault(enum.Enum):
    """What may happen to a request on its way."""

    LOST = "it never arrives"
    REPLY_LOST = "it is done, and the connection breaks before the answer"
    UNAVAILABLE = "it is done, and the answer is 503"
    UNREADABLE = "it is done, and the answer is a page"
    UNKNOWN = "it is done, and the venue says that it does not know"
    LIMITED = "too many requests: it is not looked at"


WINDOW_MS = 5000
WINDOW_MAX_MS = 60_000


class BinanceWire:
    """The spot REST interface of a local venue.

    faults: what happens to the next signed requests, one each, oldest first; None: nothing.
    """

    def __init__(self, venue: Matching) -> None:
        self.venue = venue
        self.faults: deque[Fault | None] = deque()
        self.app = web.Application()
        add = self.app.router.add_route
        add("GET", "/api/v3/ping", self._open(dict))
        add("GET", "/api/v3/time", self._open(lambda: {"serverTime": venue.now_ms()}))
        add("GET", "/api/v3/exchangeInfo", self._open(self._exchange_info))
        for method, path, answer in _SIGNED:
            add(method, path, self._signed(answer))

    # ------------------------------------------------------------ doors

    def _open(self, answer: Callable[[], Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            return web.json_response(answer())

        return handle

    def _signed(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            fault = self.faults.popleft() if self.faults else None
            if fault is Fault.LIMITED:
                body = {"code": -1003, "msg": "Too many requests."}
                return web.json_response(body, status=429, headers={"Retry-After": "7"})
            if fault is Fault.LOST:
                return _broken(request)
            reply = self._reply(answer, request, await request.text())
            match fault:
                case Fault.REPLY_LOST:
                    return _broken(request)
                case Fault.UNAVAILABLE:
                    return web.Response(text="Service Unavailable", status=503)
                case Fault.UNREADABLE:
                    return web.Response(text="<html>busy</html>", content_type="text/html")
                case Fault.UNKNOWN:
                    body = {"code": -1007, "msg": "Timeout waiting for response from backend server."}
                    return web.json_response(body, status=408)
                case _:
                    return reply

        return handle

    def _reply(self, answer: Answer, request: web.Request, body: str) -> web.Response:
        text = "&".join(part for part in (request.query_string, body) if part)
        try:
            account, params = self._authenticated(request.headers.get("X-MBX-APIKEY", ""), text)
            return web.json_response(answer(self, account, params))
        except VenueRefusalError as refusal:
            status, number = ERRORS[refusal.code]
            return web.json_response({"code": number, "msg": refusal.message}, status=status)

    def _authenticated(self, key: str, text: str) -> tuple[VenueAccount, dict[str, str]]:
        """Whose request it is.  Raises VenueRefusalError for a wrong key, signature or time."""
        account = self.venue.accounts.get(key)
        signed, _, signature = text.rpartition("signature=")
        params = dict(parse_qsl(text, keep_blank_values=True))
        if account is None:
            raise VenueRefusalError(Code.BAD_KEY, "Invalid API-key, IP, or permissions for action.")
        expected = hmac.new(account.secret.encode(), signed.rstrip("&").encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, signature):
            raise VenueRefusalError(Code.BAD_KEY, "Signature for this request is not valid.")
        now_ms, sent_ms = self.venue.now_ms(), int(params.get("timestamp", "0"))
        window_ms = min(int(Decimal(params.get("recvWindow", str(WINDOW_MS)))), WINDOW_MAX_MS)
        if sent_ms >= now_ms + 1000:
            raise VenueRefusalError(Code.TOO_LATE, "Timestamp for this request was 1000ms ahead of the server's time.")
        if now_ms - sent_ms > window_ms:
            raise VenueRefusalError(Code.TOO_LATE, "Timestamp for this request is outside of the recvWindow.")
        return account, params

    # ------------------------------------------------------------ answers

    def _exchange_info(self) -> dict[str, Any]:
        symbols = []
        for symbol, market in self.venue.markets.items():
            tick, lot = plain(market.price_increment), plain(market.quantity_increment)
            symbols.append(
                {
                    "symbol": symbol,
                    "status": "BREAK" if symbol in self.venue.halted else "TRADING",
                    "baseAsset": market.base,
                    "baseAssetPrecision": 8,
                    "quoteAsset": market.quote,
                    "quotePrecision": 8,
                    "quoteAssetPrecision": 8,
                    "orderTypes": [*TYPES],
                    "icebergAllowed": True,
                    "ocoAllowed": False,
                    "isSpotTradingAllowed": True,
                    "isMarginTradingAllowed": False,
                    "filters": [
                        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "10000000", "tickSize": tick},
                        {
                            "filterType": "LOT_SIZE",
                            "minQty": plain(market.quantity_min),
                            "maxQty": "9000000",
                            "stepSize": lot,
                        },
                        {"filterType": "NOTIONAL", "minNotional": plain(market.notional_min), "applyMinToMarket": True},
                    ],
                    "permissions": [],
                    "permissionSets": [["SPOT"]],
                }
            )
        now_ms = self.venue.now_ms()
        return {"timezone": "UTC", "serverTime": now_ms, "rateLimits": [], "exchangeFilters": [], "symbols": symbols}

    def place(self, account: VenueAccount, params: Params) -> dict[str, Any]:
        """A new order, with its fills at once."""
        kind = params["type"]
        first = len(self.venue.trades)
        order = self.venue.place(
            account.key,
            Request(
                params["symbol"],
                Side(params["side"].lower()),
                TYPES[kind],
                Decimal(params["quantity"]),
                params.get("newClientOrderId") or f"web{first}",
                limit_price=_decimal(params.get("price")),
                stop_price=_decimal(params.get("stopPrice")),
                time_in_force=TimeInForce(params.get("timeInForce", "GTC")),
                post_only=kind == "LIMIT_MAKER",
            ),
        )
        fills = [trade for trade in self.venue.trades[first:] if trade.order_id == order.id]
        shown = {**order_row(order), "transactTime": order.updated_ms}
        shown["fills"] = [
            {
                "price": plain(trade.price),
                "qty": plain(trade.quantity),
                "commission": plain(trade.fee),
                "commissionAsset": trade.fee_coin,
                "tradeId": trade.id,
            }
            for trade in fills
        ]
        return shown

    def cancel(self, account: VenueAccount, params: Params) -> dict[str, Any]:
        """An order taken out of the book."""
        try:
            order = self.venue.cancel(account.key, params["symbol"], *_which(params, "origClientOrderId"))
        except VenueRefusalError as refusal:
            # A cancel of what is not open has a number of its own.
            raise VenueRefusalError(Code.NO_SUCH_OPEN, "Unknown order sent.") from refusal
        return {**order_row(order), "origClientOrderId": order.request.client_id}

    def query(self, account: VenueAccount, params: Params) -> dict[str, Any]:
        """One order, by its number or by the client's."""
        return order_row(self.venue.order(account.key, params["symbol"], *_which(params, "origClientOrderId")))

    def open_orders(self, account: VenueAccount, params: Params) -> list[dict[str, Any]]:
        """What may still fill."""
        return [order_row(order) for order in self.venue.open_orders(account.key, params.get("symbol"))]

    def all_orders(self, account: VenueAccount, params: Params) -> list[dict[str, Any]]:
        """The newest orders of a symbol, oldest first."""
        since_ms = int(params.get("startTime", "0"))
        found = [o for o in self.venue.orders_of(account.key, params["symbol"]) if o.created_ms >= since_ms]
        return [order_row(order) for order in found[-int(params.get("limit", "500")) :]]

    def my_trades(self, account: VenueAccount, params: Params) -> list[dict[str, Any]]:
        """Fills of a symbol, oldest first."""
        since_ms = int(params.get("startTime", "0"))
        found = self.venue.trades_of(account.key, params["symbol"], since_ms)
        return [trade_row(trade) for trade in found[: int(params.get("limit", "500"))]]

    def account(self, account: VenueAccount, params: Params) -> dict[str, Any]:
        """Balances by coin."""
        coins = sorted({*account.free, *account.locked})
        return {
            "makerCommission": int(self.venue.terms.fee_maker * 10_000),
            "takerCommission": int(self.venue.terms.fee_taker * 10_000),
            "canTrade": account.can_trade,
            "canWithdraw": account.can_withdraw,
            "canDeposit": True,
            "updateTime": self.venue.now_ms(),
            "accountType": "SPOT",
            "balances": [
                {"asset": coin, "free": plain(account.free.get(coin, Decimal(0))),
                 "locked": plain(account.locked.get(coin, Decimal(0)))}
                for coin in coins
            ],
            "permissions": ["SPOT"],
        }  # fmt: skip

    def restrictions(self, account: VenueAccount, params: Params) -> dict[str, Any]:
        """What the key may do."""
        return {
            "ipRestrict": account.ip_restricted,
            "createTime": 0,
            "enableReading": True,
            "enableSpotAndMarginTrading": account.can_trade,
            "enableWithdrawals": account.can_withdraw,
            "enableInternalTransfer": False,
            "permitsUniversalTransfer": False,
            "enableMargin": False,
            "enableFutures": False,
            "enableVanillaOptions": False,
        }


def _broken(request: web.Request) -> web.Response:
    """The connection ends here."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def order_row(order: VenueOrder) -> dict[str, Any]:
    """An order as Binance shows it."""
    request = order.request
    return {
        "symbol": request.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": request.client_id,
        "price": plain(request.limit_price or Decimal(0)),
        "origQty": plain(request.quantity),
        "executedQty": plain(order.filled),
        "cummulativeQuoteQty": plain(order.quote),
        "status": order.status.value,
        "timeInForce": request.time_in_force.value,
        "type": _type_name(request),
        "side": request.side.value.upper(),
        "stopPrice": plain(request.stop_price or Decimal(0)),
        "icebergQty": "0",
        "time": order.created_ms,
        "updateTime": order.updated_ms,
        "isWorking": not order.waits,
        "workingTime": order.created_ms,
        "origQuoteOrderQty": "0",
        "selfTradePreventionMode": "NONE",
    }


def trade_row(trade: Trade) -> dict[str, Any]:
    """A fill as Binance shows it."""
    return {
        "symbol": trade.symbol,
        "id": trade.id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": plain(trade.price),
        "qty": plain(trade.quantity),
        "quoteQty": plain(trade.price * trade.quantity),
        "commission": plain(trade.fee),
        "commissionAsset": trade.fee_coin,
        "time": trade.at_ms,
        "isBuyer": trade.side is Side.BUY,
        "isMaker": trade.maker,
        "isBestMatch": True,
    }


def _type_name(request: Request) -> str:
    if request.post_only:
        return "LIMIT_MAKER"
    return next(name for name, kind in TYPES.items() if kind is request.type)


def _which(params: Params, client: str) -> tuple[int | None, str | None]:
    number = params.get("orderId")
    return (int(number), None) if number else (None, params.get(client))


def _decimal(text: str | None) -> Decimal | None:
    return None if not text or not Decimal(text) else Decimal(text)


_SIGNED: tuple[tuple[str, str, Answer], ...] = (
    ("POST", "/api/v3/order", BinanceWire.place),
    ("DELETE", "/api/v3/order", BinanceWire.cancel),
    ("GET", "/api/v3/order", BinanceWire.query),
    ("GET", "/api/v3/openOrders", BinanceWire.open_orders),
    ("GET", "/api/v3/allOrders", BinanceWire.all_orders),
    ("GET", "/api/v3/myTrades", BinanceWire.my_trades),
    ("GET", "/api/v3/account", BinanceWire.account),
    ("GET", "/sapi/v1/account/apiRestrictions", BinanceWire.restrictions),
)
