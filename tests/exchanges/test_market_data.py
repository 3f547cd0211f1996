"""Public market data through ccxt, unmodified, against a venue on the loopback and against recorded replies."""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import json
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from promethean.domain.candles import Candle
from promethean.domain.errors import ConfigError, RateLimitedError, VenueError
from promethean.domain.ids import InstrumentId
from promethean.domain.instants import NS_PER_MS, NS_PER_S
from promethean.domain.market import Quote
from promethean.exchanges.market_data import PublicMarketData


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


venue = _load(Path(__file__).with_name("binance_server.py"))

BTC = InstrumentId("binance:BTCUSDT")
T0 = 1_700_000_040_000  # ms, on a minute
MINUTE = 60_000
MINUTE_NS = MINUTE * NS_PER_MS


def row(number: int, close: float = 100.5) -> list[Any]:
    return [T0 + number * MINUTE, 100.0, 101.0, 99.0, close, 2.0 + number]


def candle(number: int, close: float = 100.5) -> Candle:
    opened_ns = (T0 + number * MINUTE) * NS_PER_MS
    return Candle(BTC, "1m", opened_ns, opened_ns + MINUTE_NS, 100.0, 101.0, 99.0, close, 2.0 + number)


def run(
    story: Callable[[Any, PublicMarketData], Awaitable[Any]], *, now_ms: int = T0 + 10 * MINUTE, **settings: Any
) -> Any:
    """Tell `story` to a fresh venue whose clock stands at `now_ms` and a client of it; our clock is an hour behind."""

    async def told() -> Any:
        async with asyncio.timeout(20), venue.BinanceServer(now_ms=lambda: now_ms).running() as server:
            data = PublicMarketData(
                base_url=server.url, now_ns=lambda: now_ms * NS_PER_MS - 3600 * NS_PER_S, poll_s=0.01, **settings
            )
            try:
                return await story(server, data)
            finally:
                await data.close()

    return asyncio.run(told())


# ---------------------------------------------------------------- instruments


def test_increments_are_the_venues_own_decimals() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        return await data.instruments()

    found = run(story)
    btc, pepe = found[BTC], found[InstrumentId("binance:PEPEUSDT")]
    assert (btc.price_increment, btc.quantity_increment) == (Decimal("0.01"), Decimal("0.00001"))
    assert (btc.quantity_min, btc.notional_min) == (Decimal("0.00001"), Decimal(5))
    assert (pepe.price_increment, pepe.quantity_increment) == (Decimal("0.00000001"), Decimal(1))
    assert str(btc.price_increment) == "0.01"


def test_markets_that_do_not_trade_or_are_not_written_in_plain_letters_are_left_out() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        server.symbols.append(venue.symbol_info("ВТС", "USDT", "0.01", "0.001", "5.0"))  # noqa: RUF001 - look-alikes
        return set(await data.instruments())

    assert run(story) == {BTC, "binance:ETHUSDT", "binance:PEPEUSDT"}


def test_the_list_of_markets_is_asked_once() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        await data.instruments()
        await data.instruments()
        return len(server.asked("exchangeInfo"))

    assert run(story) == 1


def test_an_unknown_instrument_is_refused_with_the_closest_names() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        await data.candles(InstrumentId("binance:BTCUSD"), "1m")

    with pytest.raises(ConfigError, match="did you mean 'binance:BTCUSDT'"):
        run(story)


def test_an_unknown_venue_is_refused_with_the_closest_names() -> None:
    with pytest.raises(ConfigError, match="unknown exchange 'binanse'; did you mean 'binance'"):
        asyncio.run(PublicMarketData("binanse").instruments())


def test_an_address_without_a_host_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"is not http://host"):
        PublicMarketData(base_url="localhost")


def recorded_symbols(shared: Path) -> list[dict[str, Any]]:
    with gzip.open(shared / "data/exchange_capture/BINANCE.0.txt.gz", "rt") as lines:
        recorded = next(line for line in lines if "/exchangeInfo -> " in line)
    found: list[dict[str, Any]] = json.loads(recorded.split(": ", 1)[1])["symbols"]
    return found


def test_every_recorded_market_has_exact_increments(shared: Path) -> None:
    symbols = recorded_symbols(shared)
    plain = {entry["symbol"]: entry for entry in symbols if entry["status"] == "TRADING"}

    async def story(server: Any, data: PublicMarketData) -> Any:
        server.symbols = symbols
        return await data.instruments()

    found = run(story)
    assert len(found) == len(plain) > 1000
    # ccxt gives a few coins another name (YOYO is YOYOW), so that one coin has one name at every venue.
    same_name = [instrument for instrument in found.values() if instrument.base + instrument.quote in plain]
    assert len(same_name) > 0.95 * len(found)
    for instrument in same_name:
        filters = {entry["filterType"]: entry for entry in plain[instrument.base + instrument.quote]["filters"]}
        assert instrument.price_increment == Decimal(filters["PRICE_FILTER"]["tickSize"])
        assert instrument.quantity_increment == Decimal(filters["LOT_SIZE"]["stepSize"])
        assert instrument.quantity_min == Decimal(filters["LOT_SIZE"]["minQty"])
        assert instrument.notional_min == Decimal(filters["MIN_NOTIONAL"]["minNotional"])


# ---------------------------------------------------------------- candles and time


def test_candles_come_closed_by_the_venues_clock_oldest_first() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        server.candles["BTCUSDT"] = [row(number) for number in range(11)]
        return await data.candles(BTC, "1m", limit=4)

    assert run(story, now_ms=T0 + 10 * MINUTE + 30_000) == [candle(7), candle(8), candle(9)]


def test_the_last_candle_counts_as_closed_once_the_venues_clock_is_well_past_its_close() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        server.candles["BTCUSDT"] = [row(0), row(1)]
        return await data.candles(BTC, "1m")

    assert run(story, now_ms=T0 + 2 * MINUTE + 100) == [candle(0)]
    assert run(story, now_ms=T0 + 2 * MINUTE + 1000) == [candle(0), candle(1)]


def test_candles_since_an_instant_begin_there() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        server.candles["BTCUSDT"] = [row(number) for number in range(9)]
        return await data.candles(BTC, "1m", candle(5).open_time_ns, 2)

    assert run(story) == [candle(5), candle(6)]


def test_a_row_that_is_no_candle_is_left_out_and_counted() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        broken = [T0 + MINUTE, 100.0, 90.0, 99.0, 100.0, 1.0]
        server.candles["BTCUSDT"] = [row(0), broken, row(2)]
        return await data.candles(BTC, "1m"), data.rows_refused

    assert run(story) == ([candle(0), candle(2)], 1)


def test_a_recorded_reply_gives_the_recorded_candles(shared: Path) -> None:
    methods = json.loads((shared / "data/ccxt/response/binance.json").read_text())["methods"]
    recorded = next(case for case in methods["fetchOHLCV"] if case["input"][0] == "BTC/USDT")

    async def story(server: Any, data: PublicMarketData) -> Any:
        server.fail("klines", venue.Fault(200, json.dumps(recorded["httpResponse"])))
        return await data.candles(BTC, "1h", recorded["input"][2] * NS_PER_MS, recorded["input"][3])

    found = run(story, now_ms=recorded["httpResponse"][-1][6] + 5000)
    assert [[at.open_time_ns // NS_PER_MS, at.open, at.high, at.low, at.close, at.volume] for at in found] == recorded[
        "parsedResponse"
    ]


def test_an_unknown_timeframe_is_refused() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        await data.candles(BTC, "7m")

    with pytest.raises(ConfigError, match="unknown timeframe '7m'"):
        run(story)


def test_the_offset_of_the_venues_clock_is_measured() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        assert data.clock_offset_ns is None
        return await data.venue_now_ns(), data.clock_offset_ns

    assert run(story, now_ms=T0) == (T0 * NS_PER_MS, 3600 * NS_PER_S)


# ---------------------------------------------------------------- quotes


def test_a_quote_holds_bid_ask_and_last_price() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        server.books["BTCUSDT"] = ("100.10", "100.20", "100.15")
        return await data.quote(BTC)

    assert run(story, now_ms=T0) == Quote(BTC, 100.10, 100.20, 100.15, T0 * NS_PER_MS)


def test_a_ticker_without_a_book_is_completed_by_the_best_bid_and_ask() -> None:
    class NoBookInTicker(venue.BinanceServer):  # type: ignore[misc, name-defined]
        def _24hr(self, query: Any) -> Any:
            day = super()._24hr(query)
            return {name: day[name] for name in ("symbol", "lastPrice", "closeTime")}

    async def story(server: Any, data: PublicMarketData) -> Any:
        server.__class__ = NoBookInTicker
        server.books["BTCUSDT"] = ("100.10", "100.20", "100.15")
        found = await data.quote(BTC)
        return found.bid, found.ask, found.last

    assert run(story) == (100.10, 100.20, 100.15)


def test_a_crossed_quote_is_a_failure_of_the_venue() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        server.books["BTCUSDT"] = ("100.30", "100.20", "100.15")
        await data.quote(BTC)

    with pytest.raises(VenueError, match="no usable bid and ask"):
        run(story)


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("status", [418, 429])
def test_a_venue_that_limits_us_says_for_how_long(status: int) -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        await data.instruments()
        server.fail("klines", venue.Fault(status, '{"code":-1003,"msg":"Too many requests"}', {"Retry-After": "17"}))
        await data.candles(BTC, "1m")

    with pytest.raises(RateLimitedError) as refused:
        run(story)
    assert refused.value.retry_after_s == 17.0


@pytest.mark.parametrize(
    "fault",
    [
        (500, "", "text/plain"),
        (502, "<html><body>Bad Gateway</body></html>", "text/html"),
        (503, '{"code":-1001,"msg":"Internal error"}', "application/json"),
        (200, "<html><body>We will be back soon</body></html>", "text/html"),
        (200, '{"unexpected": "shape"}', "application/json"),
        (200, '[["not a time", "1"]]', "application/json"),
        (200, "", "application/json"),
        (403, "<html>blocked</html>", "text/html"),
    ],
)
@pytest.mark.parametrize("name", ["klines", "time", "exchangeInfo", "24hr"])
def test_an_unusable_answer_is_an_error_of_the_venue_and_the_next_request_works(
    fault: tuple[int, str, str], name: str
) -> None:
    status, body, kind = fault
    ask: dict[str, Callable[[PublicMarketData], Awaitable[Any]]] = {
        "klines": lambda data: data.page(BTC, "1m"),
        "time": lambda data: data.server_time_ns(),
        "exchangeInfo": lambda data: data.instruments(),
        "24hr": lambda data: data.quote(BTC),
    }

    async def story(server: Any, data: PublicMarketData) -> Any:
        server.books["BTCUSDT"] = ("100.10", "100.20", "100.15")
        server.fail(name, venue.Fault(status, body, {}, kind))
        with pytest.raises(VenueError):
            await ask[name](data)
        await ask[name](data)

    run(story)


def test_a_venue_that_nobody_listens_for_is_an_error_of_the_venue() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        away = PublicMarketData(base_url="http://127.0.0.1:9")
        try:
            await away.instruments()
        finally:
            await away.close()

    with pytest.raises(VenueError, match="binance failed"):
        run(story)


# ---------------------------------------------------------------- streams


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what happens inside ccxt sets no event of ours
        await asyncio.sleep(0.005)


async def subscribed(server: Any, stream: str) -> None:
    await until(lambda: any(stream in streams for streams in server.sockets.values()))


def test_the_stream_shows_candles_as_they_form() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        stream = data.watch_candles(BTC, "1m")
        first = asyncio.ensure_future(anext(stream))
        await subscribed(server, "btcusdt@kline_1m")
        await server.kline("BTCUSDT", row(0, close=100.2))
        [shown] = await first
        second = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await server.kline("BTCUSDT", row(0, close=100.7))
        [later] = await second
        await stream.aclose()  # type: ignore[attr-defined]
        return shown.close, later.close, shown.open_time_ns == later.open_time_ns

    assert run(story) == (100.2, 100.7, True)


def test_recorded_messages_of_the_stream_are_understood(shared: Path) -> None:
    with gzip.open(shared / "data/exchange_capture/BINANCE.ws.1.0.txt.gz", "rt") as lines:
        messages = [json.loads(line.split(": ", 1)[1]) for line in lines if '@kline_1m","data"' in line]
    message = next(found for found in messages if found["stream"] == "nknusdt@kline_1m")

    async def story(server: Any, data: PublicMarketData) -> Any:
        server.symbols = recorded_symbols(shared)
        first = asyncio.ensure_future(anext(data.watch_candles(InstrumentId("binance:NKNUSDT"), "1m")))
        await subscribed(server, message["stream"])
        await server.publish(message["stream"], message["data"])
        return await first

    kline = message["data"]["k"]
    [shown] = run(story, now_ms=message["data"]["E"])
    assert shown.open_time_ns == kline["t"] * NS_PER_MS
    assert [shown.open, shown.high, shown.low, shown.close, shown.volume] == [float(kline[name]) for name in "ohlcv"]


def test_a_broken_stream_is_an_error_of_the_venue_and_can_be_watched_again() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        first = asyncio.ensure_future(anext(data.watch_candles(BTC, "1m")))
        await subscribed(server, "btcusdt@kline_1m")
        await server.drop()
        with pytest.raises(VenueError, match="candle stream"):
            await first
        await data.disconnect()
        second = asyncio.ensure_future(anext(data.watch_candles(BTC, "1m")))
        await subscribed(server, "btcusdt@kline_1m")
        await server.kline("BTCUSDT", row(3))
        return [shown.open_time_ns for shown in await second]

    assert run(story) == [candle(3).open_time_ns]


def test_quotes_are_streamed_with_the_venues_time_and_crossed_ones_left_out() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        first = asyncio.ensure_future(anext(data.watch_quotes(BTC)))
        await subscribed(server, "btcusdt@ticker")
        await server.ticker("BTCUSDT", "100.20", "100.20", "100.10")
        await until(lambda: data.rows_refused > 0)
        await server.ticker("BTCUSDT", "100.10", "100.20", "100.15")
        return await first

    assert run(story, now_ms=T0) == Quote(BTC, 100.10, 100.20, 100.15, T0 * NS_PER_MS)


def test_a_ticker_stream_without_a_book_is_completed_by_the_book_stream() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        first = asyncio.ensure_future(anext(data.watch_quotes(BTC)))
        await subscribed(server, "btcusdt@ticker")
        await server.ticker("BTCUSDT", "", "", "100.15")
        await subscribed(server, "btcusdt@bookTicker")
        await server.book_ticker("BTCUSDT", "100.10", "100.20")
        found = await first
        return found.bid, found.ask, found.last

    assert run(story) == (100.10, 100.20, 100.15)


def test_a_venue_without_streams_is_asked_again_and_again() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        ccxt = await data._venue()
        ccxt.has["watchOHLCV"] = ccxt.has["watchTicker"] = False
        server.candles["BTCUSDT"] = [row(0, close=100.1)]
        server.books["BTCUSDT"] = ("100.10", "100.20", "100.15")
        stream, quotes = data.watch_candles(BTC, "1m"), data.watch_quotes(BTC)
        first = await anext(stream)
        server.candles["BTCUSDT"] = [row(0, close=100.3), row(1)]
        second = await anext(stream)
        quote = await anext(quotes)
        return [shown.close for shown in first], [shown.close for shown in second], quote.bid, server.subscribed

    assert run(story) == ([100.1], [100.3, 100.5], 100.1, [])


def test_a_candle_from_the_future_is_left_out_and_counted() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        await data.venue_now_ns()
        stream = data.watch_candles(BTC, "1m")
        first = asyncio.ensure_future(anext(stream))
        await subscribed(server, "btcusdt@kline_1m")
        await server.kline("BTCUSDT", row(5))
        return await first, data.rows_refused

    assert run(story, now_ms=T0) == ([], 1)


def test_close_can_be_called_twice_and_before_anything_was_asked() -> None:
    async def story(server: Any, data: PublicMarketData) -> Any:
        await data.close()
        await data.instruments()
        await data.close()
        await data.close()

    run(story)
