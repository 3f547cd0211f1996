"""An account at the local Binance venue, reached through ccxt as the real one is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any, TypeVar

from aiohttp import web

from promethean.domain.instruments import Instrument
from promethean.domain.secret import Secret
from promethean.exchanges.ccxt_account import CcxtAccount
from promethean.simulation.binance_wire import BinanceWire
from promethean.simulation.matching import Matching, VenueAccount, VenueTerms

D = Decimal
T = TypeVar("T")
KEY, SECRET = "local-key", "local-secret"
PLENTY = D(1_000_000)


class Loop:
    """An event loop in a thread of its own, so that connections outlive one question."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, answer: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result(20)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class LocalBinance:
    """The venue on a free port of the loopback, with one account at it.

    now_ns: the clock of both sides.
    """

    def __init__(self, of: Instrument, cash: Decimal, now_ns: Any, loop: Loop) -> None:
        self.loop, self.symbol = loop, f"{of.base}{of.quote}"
        # Fees in the quote coin: in the base coin they would be taken out of what was bought.
        terms = VenueTerms(fee_coin=of.quote)
        self.venue = Matching({self.symbol: of}, lambda: now_ns() // 1_000_000, terms)
        self.funds = self.venue.open_account(VenueAccount(KEY, SECRET, {of.quote: cash}))
        self.wire = BinanceWire(self.venue)
        self._server = web.AppRunner(self.wire.app)
        url = loop.run(self._serve())
        self.account = CcxtAccount("binance", Secret(KEY), Secret(SECRET), [of], base_url=url, now_ns=now_ns)

    async def _serve(self) -> str:
        await self._server.setup()
        site = web.TCPSite(self._server, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._server.addresses[0][1]}"

    def trade_at(self, price: float) -> None:
        """Others offer plenty at this price."""
        exact = D(repr(price))
        self.venue.move(self.symbol, [(exact, PLENTY)], [(exact, PLENTY)], exact)

    def close(self) -> None:
        self.loop.run(self.account.close())
        self.loop.run(self._server.cleanup())
