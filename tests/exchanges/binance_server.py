"""A venue on the loopback that speaks Binance's public REST and WebSocket, with faults to order.

The shapes are those of the venue's documentation: strings for prices, milliseconds for time, arrays for klines.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

MINUTE_MS = 60_000


def symbol_info(base: str, quote: str, tick: str, lot: str, notional: str, **changes: Any) -> dict[str, Any]:
    """One entry of `exchangeInfo.symbols`, with the filters that a spot market of today has."""
    return {
        "symbol": base + quote,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000.00000000", "stepSize": lot},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "120.0", "stepSize": "0.00000000"},
            {"filterType": "NOTIONAL", "minNotional": notional, "applyMinToMarket": True, "maxNotional": "9000000.0"},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        **changes,
    }


@dataclass
class Fault:
    """What one request gets instead of its answer."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass
class BinanceServer:
    """now_ms is the venue's clock; candles of a symbol are rows [open_ms, open, high, low, close, volume]."""

    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    symbols: list[dict[str, Any]] = field(
        default_factory=lambda: [
            symbol_info("BTC", "USDT", "0.01000000", "0.00001000", "5.00000000"),
            symbol_info("ETH", "USDT", "0.01000000", "0.00010000", "5.00000000"),
            symbol_info("PEPE", "USDT", "0.00000001", "1.00000000", "1.00000000"),
            symbol_info("OLD", "USDT", "0.00010000", "0.10000000", "5.00000000", status="BREAK"),
        ]
    )
    candles: dict[str, list[list[Any]]] = field(default_factory=dict)
    books: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # bid, ask, last
    faults: dict[str, deque[Fault]] = field(default_factory=dict)  # by the last part of the path
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    subscribed: list[str] = field(default_factory=list)
    sockets: dict[web.WebSocketResponse, set[str]] = field(default_factory=dict)
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BinanceServer]:
        app = web.Application()
        for name in ("exchangeInfo", "klines", "time", "ping"):
            app.router.add_get(f"/api/v3/{name}", self._rest)
        app.router.add_get("/api/v3/ticker/{name}", self._rest)
        app.router.add_get("/ws/{number}", self._stream)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = site._server.sockets[0].getsockname()[:2]  # type: ignore[union-attr]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            await self.drop()
            await runner.cleanup()

    # ------------------------------------------------------------ REST

    def fail(self, name: str, *faults: Fault) -> None:
        """The next requests whose path ends in `name` get these instead of an answer."""
        self.faults.setdefault(name, deque()).extend(faults)

    def asked(self, name: str) -> list[dict[str, str]]:
        return [query for path, query in self.requests if path == name]

    async def _rest(self, request: web.Request) -> web.Response:
        name = request.path.rsplit("/", 1)[1]
        self.requests.append((name, dict(request.query)))
        if self.faults.get(name):
            fault = self.faults[name].popleft()
            return web.Response(
                status=fault.status, text=fault.body, headers=fault.headers, content_type=fault.content_type
            )
        return web.json_response(getattr(self, f"_{name}")(request.query))

    def _ping(self, _: Any) -> Any:
        return {}

    def _time(self, _: Any) -> Any:
        return {"serverTime": self.now_ms()}

    def _exchangeInfo(self, _: Any) -> Any:  # noqa: N802 - the venue's spelling
        return {
            "timezone": "UTC",
            "serverTime": self.now_ms(),
            "rateLimits": [],
            "exchangeFilters": [],
            "symbols": self.symbols,
        }

    def _klines(self, query: Any) -> Any:
        assert query["interval"] == "1m"
        since, limit = int(query.get("startTime", 0)), int(query.get("limit", 500))
        rows = [row for row in self.candles.get(query["symbol"], []) if since <= row[0] <= self.now_ms()]
        rows = rows[:limit] if since else rows[-limit:]
        return [
            [row[0], *(f"{value:.8f}" for value in row[1:]), row[0] + MINUTE_MS - 1, "0.0", 10, "0.0", "0.0", "0"]
            for row in rows
        ]

    def _bookTicker(self, query: Any) -> Any:  # noqa: N802 - the venue's spelling
        symbols = json.loads(query["symbols"]) if "symbols" in query else [query["symbol"]]
        books = [(symbol, *self.books[symbol][:2]) for symbol in symbols]
        found = [
            {"symbol": s, "bidPrice": bid, "bidQty": "1.0", "askPrice": ask, "askQty": "2.0"} for s, bid, ask in books
        ]
        return found if "symbols" in query else found[0]

    def _24hr(self, query: Any) -> Any:
        bid, ask, last = self.books[query["symbol"]]
        day = {"symbol": query["symbol"], "lastPrice": last, "closeTime": self.now_ms(), "volume": "10.0"}
        return {**day, "bidPrice": bid, "bidQty": "1.0", "askPrice": ask, "askQty": "2.0"}

    # ------------------------------------------------------------ streams

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets[socket] = set()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._command(socket, json.loads(message.data))
        finally:
            self.sockets.pop(socket, None)
        return socket

    async def _command(self, socket: web.WebSocketResponse, command: dict[str, Any]) -> None:
        assert command["method"] == "SUBSCRIBE", command
        self.sockets[socket].update(command["params"])
        self.subscribed.extend(command["params"])
        await socket.send_json({"result": None, "id": command["id"]})

    async def publish(self, stream: str, message: dict[str, Any]) -> None:
        for socket in [socket for socket, streams in self.sockets.items() if stream in streams]:
            with suppress(ConnectionError):  # a client that has just gone does not end the venue
                await socket.send_json(message)

    async def kline(self, symbol: str, row: list[Any], *, final: bool = False) -> None:
        """Show a candle on the stream; a final one is what the venue sends before the first of the next."""
        texts = dict(zip("ohlcv", (f"{value:.8f}" for value in row[1:]), strict=True))
        kline = {"t": row[0], "T": row[0] + MINUTE_MS - 1, "s": symbol, "i": "1m", "f": 1, "L": 2, "n": 2, "x": final}
        kline |= texts | {"q": "1.0", "V": "1.0", "Q": "1.0", "B": "0"}
        await self.publish(f"{symbol.lower()}@kline_1m", {"e": "kline", "E": self.now_ms(), "s": symbol, "k": kline})

    async def ticker(self, symbol: str, bid: str, ask: str, last: str) -> None:
        message = {"e": "24hrTicker", "E": self.now_ms(), "s": symbol, "c": last, "C": self.now_ms()}
        if bid:
            message |= {"b": bid, "B": "1.0", "a": ask, "A": "2.0"}
        await self.publish(f"{symbol.lower()}@ticker", message)

    async def book_ticker(self, symbol: str, bid: str, ask: str) -> None:
        message = {"u": 400900217, "s": symbol, "b": bid, "B": "31.21", "a": ask, "A": "40.66"}
        await self.publish(f"{symbol.lower()}@bookTicker", message)

    async def drop(self) -> None:
        """Break every stream without a goodbye."""
        for socket in list(self.sockets):
            transport = socket._req.transport if socket._req is not None else None
            if transport is not None:
                transport.abort()
        while self.sockets:  # noqa: ASYNC110 - each handler takes its socket away when it notices
            await asyncio.sleep(0.005)
