"""The import of candle files into the market store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from promethean.storage.candle_files import CandleFile, MarketName, read_candle_file
from promethean.storage.market_store import VALUES, MarketStore, SeriesSummary
from promethean.storage.market_tables import SeriesKey, candle_rows
from promethean.storage.quality import Defect

if TYPE_CHECKING:
    import pyarrow

IMPORT_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    read_in_reverse: the file begins with its newest row.
    quarantined: rows by reason; gaps: holes in the file, missing: the candles in them; series: what is stored now.
    """

    path: Path
    sha256: str
    market: MarketName
    market_type_assumed: bool
    timeframe: str
    rows_read: int
    read_in_reverse: bool
    imported: int
    already_present: int
    duplicates: int
    quarantined: Mapping[str, int]
    gaps: int
    missing: int
    series: SeriesSummary | None


def import_candles(
    store: MarketStore,
    path: Path,
    *,
    market: MarketName | None = None,
    timeframe: str | None = None,
    progress: Callable[[int, int], None],
    now_ns: int,
) -> ImportReport:
    """Read a candle file and store its good rows; what is stored already stays untouched, so it may be repeated.

    progress: called with (rows done, rows to do), first with 0 done.
    Raises ConfigError as `read_candle_file` does, StoreError when the store fails: then repeat it to finish.
    """
    file = read_candle_file(path, market=market, timeframe=timeframe, now_ns=now_ns)
    key = SeriesKey(file.market.exchange, file.market.market_type, file.market.pair, file.timeframe)
    source = f"file {path.name} sha256 {file.sha256}"
    progress(0, len(file))
    parts = []
    for start in range(0, len(file), IMPORT_ROWS):
        rows = _rows_of_file(file, key, slice(start, start + IMPORT_ROWS))
        parts.append(store.insert_candles(rows, source=source))
        progress(min(start + IMPORT_ROWS, len(file)), len(file))
    store.quarantine_file_rows(file, key, source, now_ns)
    rewritten = sum(part.rewritten for part in parts)
    quarantined = dict(file.quarantined_by_reason())
    if rewritten:
        quarantined[Defect.REWRITTEN.text] = rewritten
    return ImportReport(
        path=path,
        sha256=file.sha256,
        market=file.market,
        market_type_assumed=file.market_type_assumed,
        timeframe=file.timeframe,
        rows_read=file.rows,
        read_in_reverse=file.read_in_reverse,
        imported=sum(part.inserted for part in parts),
        already_present=sum(part.already_present for part in parts),
        duplicates=file.duplicates,
        quarantined=quarantined,
        gaps=file.gaps,
        missing=file.missing,
        series=store.summary(key),
    )


def _rows_of_file(file: CandleFile, key: SeriesKey, rows: slice) -> pyarrow.Table:
    columns = {name: getattr(file, name)[rows] for name in VALUES}
    extras = {name: values[rows] for name, values in file.extras.items()}
    return candle_rows(key, file.open_time_ns[rows], columns, extras=extras)
