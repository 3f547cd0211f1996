"""The market store for the commands: import and list candles."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from promethean.config.tree import Settings

if TYPE_CHECKING:
    from promethean.storage.market_import import ImportReport
    from promethean.storage.market_store import MarketStore, SeriesSummary


@contextlib.contextmanager
def market_store(settings: Settings) -> Iterator[MarketStore]:
    """The market store of the home, or the one at MARKET_STORE_URL."""
    from promethean.runtime.home import prepare_home
    from promethean.storage.market_front import open_market_store

    clickhouse = settings.clickhouse
    url = clickhouse.url.reveal() if clickhouse.url is not None else None
    prepare_home(settings.app.home)
    store = open_market_store(settings.app.home, url=url, database=clickhouse.database)
    try:
        yield store
    finally:
        store.close()


def has_market_store(settings: Settings) -> bool:
    """Whether there is a market store to ask; looking makes none."""
    from promethean.storage.market_front import STORE_FOLDER

    return settings.clickhouse.url is not None or (settings.app.home / STORE_FOLDER).exists()


def import_candles(
    settings: Settings, path: Path, market: str | None, timeframe: str | None, progress: Callable[[int, int], None]
) -> ImportReport:
    """Import a file of candles into the market store.

    market: `binance:BTC/USDT[-PERP]`, None to read it from the file's name; timeframe: the same.
    progress: is told the rows done and the rows to do.
    Raises ConfigError when the file as a whole cannot be used; StoreError when the store fails.
    """
    from promethean.domain.candles import timeframe_ns
    from promethean.storage.candle_files import MarketName
    from promethean.storage.market_import import import_candles as run_import

    named = MarketName.parse(market) if market is not None else None
    if timeframe is not None:
        timeframe_ns(timeframe)
    with market_store(settings) as store:
        return run_import(store, path, market=named, timeframe=timeframe, progress=progress, now_ns=time.time_ns())


def list_candles(settings: Settings) -> list[SeriesSummary]:
    """Every stored series of candles."""
    if not has_market_store(settings):
        return []
    with market_store(settings) as store:
        return store.series()
