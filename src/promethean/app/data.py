"""The market store for the commands: import, list and export candles, and find what is missing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from promethean.config.tree import Settings
from promethean.domain.candles import IntArray, timeframe_ns
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.instants import NS_PER_MS

if TYPE_CHECKING:
    from promethean.storage.market_import import ImportReport
    from promethean.storage.market_store import MarketStore, SeriesSummary
    from promethean.storage.market_tables import SeriesKey


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


@dataclass(frozen=True, slots=True)
class Gap:
    """Candles that are missing in a row.  from_ns: open of the first; to_ns: close of the last."""

    from_ns: int
    to_ns: int
    candles: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is stored of a series, and what is not.  coverage: stored / expected, 0 to 1."""

    series: str
    rows: int
    missing: int
    coverage: float
    gaps: tuple[Gap, ...]


def find_gaps(settings: Settings, series: str | None) -> list[Coverage]:
    """The gaps of one stored series, or of all of them.

    series: `binance:BTC/USDT:1m`; None: every one.
    Raises ConfigError for a series that is not stored.
    """
    if not has_market_store(settings):
        if series is not None:
            raise ConfigError(f"nothing is stored yet of {series}; import it with: promethean data import FILE")
        return []
    with market_store(settings) as store:
        keys = [one.key for one in store.series()] if series is None else [stored_key(store, series)]
        return [_coverage(key, store.candles(key).open_time_ns) for key in keys]


def export_candles(settings: Settings, series: str, path: Path) -> int:
    """Write a stored series to a Parquet or CSV file, in the form that `data import` and `backtest` read.

    Returns the number of rows.  Raises ConfigError for a series that is not stored and a file that cannot be written.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    if path.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{path} is neither .parquet nor .csv; choose one of the two")
    with market_store(settings) as store:
        found = store.candles(stored_key(store, series))
    columns = {"timestamp": found.open_time_ns // NS_PER_MS, **found.columns()}
    table = pa.table(columns)
    try:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, path)
        else:
            pyarrow.parquet.write_table(table, path, compression="zstd")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror or error}); choose another place") from error
    return len(found)


def stored_key(store: MarketStore, series: str) -> SeriesKey:
    """The stored series that `binance:BTC/USDT:1m` names.  Raises ConfigError naming those that are stored."""
    known = {name_of(one.key): one.key for one in store.series()}
    if series not in known:
        raise ConfigError(unknown_name("stored series", series, known))
    return known[series]


def name_of(key: SeriesKey) -> str:
    """`binance:BTC/USDT:1m`, or `binance:BTC/USDT-PERP:1m`."""
    return str(key).replace(" ", ":")


def _coverage(key: SeriesKey, open_time_ns: IntArray) -> Coverage:
    import numpy as np

    length_ns = timeframe_ns(key.timeframe)
    steps = np.diff(open_time_ns)
    places = np.flatnonzero(steps > length_ns)
    gaps = tuple(
        Gap(int(open_time_ns[at]) + length_ns, int(open_time_ns[at + 1]), int(steps[at]) // length_ns - 1)
        for at in places.tolist()
    )
    missing = sum(gap.candles for gap in gaps)
    rows = len(open_time_ns)
    return Coverage(name_of(key), rows, missing, rows / (rows + missing) if rows else 0.0, gaps)
