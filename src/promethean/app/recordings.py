"""Recorded candles for a backtest: from a file, a recorded feed, or the market store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from promethean.config.tree import Settings
from promethean.domain.errors import ConfigError

if TYPE_CHECKING:
    from promethean.domain.books import BookSeries
    from promethean.domain.candles import CandleSeries
    from promethean.domain.instruments import Instrument
    from promethean.strategies.file import StrategyFile


class Recording(NamedTuple):
    """The candles of one market.

    source: what they were read from, for people, and sha256 of that.  books: at each close, where the data hold them.
    """

    candles: CandleSeries
    instrument: Instrument
    timeframe: str
    source: str
    sha256: str
    books: BookSeries | None


def read_recording(settings: Settings, data: str, file: StrategyFile, say: Callable[[str], None]) -> Recording:
    """The candles that `data` names, a file or a stored series.

    file: whose market it is where the data do not say.  say: is told what was left out.
    Raises ConfigError for data that cannot be used.
    """
    from promethean.runtime.clock import SystemClock
    from promethean.runtime.feeds import chosen

    if is_series(data):
        return _read_stored(settings, data)
    wanted = chosen.Wanted(file.exchange, file.base, file.quote, file.market_type, file.timeframe, None)
    feed = chosen.file_feed(data, wanted, SystemClock(), say)
    (instrument,) = feed.instruments.values()
    return Recording(feed.recorded, instrument, feed.timeframe, Path(data).name, feed.sha256, feed.books)


def is_series(data: str) -> bool:
    """Whether `--data` names a stored series, `binance:BTC/USDT:1m`, and not a file."""
    return data.count(":") == 2 and not Path(data).exists()


def _read_stored(settings: Settings, series: str) -> Recording:
    from promethean.app.data import has_market_store, market_store, stored_key
    from promethean.domain.candles import CandleSeries
    from promethean.runtime.feeds.columns import CandleColumns, recorded_instrument
    from promethean.storage.candle_files import MarketName

    if not has_market_store(settings):
        raise ConfigError(f"nothing is stored yet of {series}; import it with: promethean data import FILE")
    with market_store(settings) as store:
        key = stored_key(store, series)
        found = store.candles(key)
    market = MarketName.parse(series.rpartition(":")[0])
    columns = CandleColumns(found.open_time_ns, found.open, found.high, found.low, found.close, found.volume)
    instrument = recorded_instrument(columns, market.exchange, market.base, market.quote, market.market_type)
    prices = (found.open, found.high, found.low, found.close, found.volume)
    digest = hashlib.sha256(b"".join(column.tobytes() for column in (found.open_time_ns, *prices))).hexdigest()
    candles = CandleSeries.from_columns(found.open_time_ns, prices, keep=len(found))
    return Recording(candles, instrument, key.timeframe, series, digest, None)


def stored_minutes(settings: Settings, series: str) -> str | None:
    """The stored series of one minute beside a stored series of another timeframe; None where there is none."""
    from promethean.app.data import has_market_store, market_store, name_of

    minutes = f"{series.rpartition(':')[0]}:1m"
    if not is_series(series) or minutes == series or not has_market_store(settings):
        return None
    with market_store(settings) as store:
        return minutes if minutes in {name_of(one.key) for one in store.series()} else None
