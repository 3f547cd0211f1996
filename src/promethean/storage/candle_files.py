"""Candle files: Parquet and CSV in, checked columns out.

Understood are the schema `timestamp, open, high, low, close, volume` (with or without further columns) and Binance's
kline layout, with its header or without.  Times are seconds, milliseconds, microseconds or nanoseconds, told apart row
by row by their size (Binance changed from milliseconds to microseconds in 2025), or dates in text.

The file's name tells the market: `VENUE_MARKET_SYMBOL_TIMEFRAME_...`, for example
`binance_spot_BTCUSDT_1m_2025-05.parquet`.  A name without the market part counts as spot, and the result says that it
was assumed; files of a test network get an exchange name of their own (`bybit_testnet`), so that their prices never
mix with real ones.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from promethean.domain.candles import TIMEFRAMES_S, FloatArray, IntArray, timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId
from promethean.domain.instants import NS_PER_S
from promethean.domain.instruments import MarketType, instrument_id, parse_symbol, split_pair
from promethean.storage import quality
from promethean.storage.file_columns import floats_of, times_of
from promethean.storage.quality import UNKNOWN_TIME, Defect, ReasonArray

if TYPE_CHECKING:
    import pyarrow

PRICES = ("open", "high", "low", "close", "volume")
EXTRAS = ("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
SCHEMA = ("timestamp", *PRICES)
GZIP = b"\x1f\x8b"
"""What compressed files begin with."""
KLINE = ("timestamp", *PRICES, "close_time", *EXTRAS, "ignore")
"""Binance's twelve columns, which its archive also ships without a header."""

_ALIASES = {
    "open_time": "timestamp", "opentime": "timestamp", "time": "timestamp", "date": "timestamp",
    "datetime": "timestamp", "count": "trades", "number_of_trades": "trades",
    "quote_asset_volume": "quote_volume", "taker_buy_base_asset_volume": "taker_buy_volume",
    "taker_buy_base_volume": "taker_buy_volume", "taker_buy_quote_asset_volume": "taker_buy_quote_volume",
}  # fmt: skip
_MARKET_WORDS = {
    "spot": MarketType.SPOT, "usdm": MarketType.FUTURES, "linear": MarketType.FUTURES, "perp": MarketType.FUTURES,
    "swap": MarketType.FUTURES, "futures": MarketType.FUTURES,
}  # fmt: skip
_EXCHANGE = re.compile(r"[a-z][a-z0-9_]{1,31}")
_ARCHIVE_NAME = re.compile(r"[A-Z0-9]+-(?P<timeframe>\d+[smhdw])-\d{4}-\d{2}(-\d{2})?")
_FEWEST_STEPS = 10  # before the data overrule the timeframe of the name
_LONGEST_VALUE = 500  # characters of a value that is no number, in a payload


@dataclass(frozen=True, slots=True)
class MarketName:
    """One market of one venue; its text form is `binance:BTC/USDT` or `binance:BTC/USDT-PERP`."""

    exchange: str
    base: str
    quote: str
    market_type: MarketType

    @classmethod
    def parse(cls, text: str) -> MarketName:
        """Read `EXCHANGE:BASE/QUOTE[-PERP]`.  Raises ConfigError with the expected form."""
        exchange, colon, symbol = text.partition(":")
        if not colon or not _EXCHANGE.fullmatch(exchange):
            raise ConfigError(f"{text!r} is not a market; write it as binance:BTC/USDT or binance:BTC/USDT-PERP")
        return cls(exchange, *parse_symbol(symbol))

    @property
    def pair(self) -> str:
        """`BTC/USDT`, for spot and perpetual alike; the market store's symbol."""
        return f"{self.base}/{self.quote}"

    @property
    def instrument(self) -> InstrumentId:
        """`binance:BTCUSDT-PERP`."""
        return instrument_id(self.exchange, self.base, self.quote, self.market_type)

    def __str__(self) -> str:
        return f"{self.exchange}:{self.pair}{'-PERP' if self.market_type is MarketType.FUTURES else ''}"


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that is not shown.  number: its place in the file, from 1, without the header; payload: JSON text."""

    number: int
    reason: Defect
    payload: str


@dataclass(frozen=True, slots=True)
class CandleFile:
    """The good candles of a file, oldest first, and what was wrong with the rest.

    read_in_reverse: the file begins with its newest row.
    open_time_ns: int64, shape (n,), strictly rising.
    open, high, low, close: float64, shape (n,), quote units per base unit; volume: base units.
    extras: quote_volume, trades, taker_buy_volume, taker_buy_quote_volume as far as the file has them, NaN where empty.
    """

    path: Path
    sha256: str
    market: MarketName
    market_type_assumed: bool
    timeframe: str
    rows: int
    read_in_reverse: bool
    open_time_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    extras: Mapping[str, FloatArray] = field(repr=False)
    quarantined: tuple[QuarantinedRow, ...] = field(repr=False)
    duplicates: int
    gaps: int
    missing: int

    def __len__(self) -> int:
        return len(self.open_time_ns)

    def quarantined_by_reason(self) -> dict[str, int]:
        """Quarantined rows by reason, most frequent first."""
        return quality.count_reasons(np.array([row.reason for row in self.quarantined], np.int8))


def read_candle_file(
    path: Path, *, market: MarketName | None = None, timeframe: str | None = None, now_ns: int
) -> CandleFile:
    """Read and check a Parquet or CSV file of candles.

    market, timeframe: where given, they go before what the file's name says.
    now_ns:            candles that have not closed by now are quarantined.
    Raises ConfigError when the file as a whole cannot be used: absent, unreadable, empty, of another format, without
    the needed columns, or of an unknown market or timeframe.  Bad rows alone never raise.
    """
    content = read_content(path)
    if content.startswith(GZIP):
        raise ConfigError(
            f"{path} is compressed with gzip, as recorded order book feeds are; those are for backtest --data and "
            "up --feed, and a file of candles is Parquet or CSV: unpack it"
        )
    rows = _Rows.of(path, content)
    name = _parts_of_name(path)
    market, assumed = (market, False) if market is not None else _market_of_name(path, name)
    times = times_of(rows.table.column("timestamp"))
    newest_first = len(times) > 1 and bool((np.diff(times) <= 0).all() and times[0] > times[-1])
    order = slice(None, None, -1) if newest_first else slice(None)
    times = times[order]
    frame = timeframe if timeframe is not None else _timeframe(path, name.timeframe, times)
    columns = {name: floats_of(rows.table.column(name))[order] for name in (*PRICES, *rows.extras)}
    checked = quality.check_candles({"open_time_ns": times, **columns}, timeframe_ns(frame), now_ns)
    good = checked.good
    kept = {name: values if good.all() else values[good] for name, values in columns.items()}
    places = checked.quarantined
    originals = len(times) - 1 - places if newest_first else places
    return CandleFile(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        market=market,
        market_type_assumed=assumed,
        timeframe=frame,
        rows=rows.count,
        read_in_reverse=newest_first,
        open_time_ns=times[good],
        **{name: kept[name] for name in PRICES},
        extras={name: kept[name] for name in rows.extras},
        quarantined=rows.quarantined(originals, checked.reasons[places]),
        duplicates=checked.repeated,
        gaps=checked.gaps,
        missing=checked.missing,
    )


def read_content(path: Path, what: str = "candles") -> bytes:
    """The bytes of a file that is there and not empty.  what: it should hold.  Raises ConfigError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}; check the path") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; give a readable Parquet or CSV file") from error
    if not content.strip():
        raise ConfigError(f"{path} is empty; give a Parquet or CSV file with {what}")
    return content


@dataclass(frozen=True, slots=True)
class _Rows:
    """The file as a table with our column names.

    skipped: numbers and texts of CSV lines that do not have the file's number of fields.
    """

    table: pyarrow.Table
    skipped: tuple[tuple[int, str], ...] = ()

    @classmethod
    def of(cls, path: Path, content: bytes) -> _Rows:
        rows = cls(_parquet(path, content)) if content.startswith(b"PAR1") else _csv(path, content)
        table = rows.table
        names = [_plain_name(name) for name in table.column_names]
        missing = [name for name in SCHEMA if name not in names]
        if missing:
            raise ConfigError(
                f"{path} has no column {', '.join(missing)}; found: {', '.join(table.column_names)}; "
                f"candles need {', '.join(SCHEMA)} or Binance's kline columns"
            )
        doubled = sorted({name for name in (*SCHEMA, *EXTRAS) if names.count(name) > 1})
        if doubled:
            raise ConfigError(f"{path} has more than one column for {', '.join(doubled)}; keep one of each")
        if table.num_rows + len(rows.skipped) == 0:
            raise ConfigError(f"{path} has a header but no rows; give a file with candles")
        return cls(table.rename_columns(names), rows.skipped)

    @property
    def count(self) -> int:
        return int(self.table.num_rows) + len(self.skipped)

    @property
    def extras(self) -> tuple[str, ...]:
        return tuple(name for name in EXTRAS if name in self.table.column_names)

    def quarantined(self, places: IntArray, reasons: ReasonArray) -> tuple[QuarantinedRow, ...]:
        """The rows at `places` of the table, and the skipped lines, by their number in the file."""
        numbers = self._numbers()[places] if self.skipped else places + 1
        payloads = self.table.take(places).to_pylist() if len(places) else []
        found = [
            QuarantinedRow(number, Defect(reason), _payload(payload))
            for number, reason, payload in zip(numbers.tolist(), reasons.tolist(), payloads, strict=True)
        ]
        found += [
            QuarantinedRow(number, Defect.NOT_A_NUMBER, _payload({"line": text})) for number, text in self.skipped
        ]
        return tuple(sorted(found, key=lambda row: row.number))

    def _numbers(self) -> IntArray:
        every = np.arange(1, self.count + 1)
        return np.setdiff1d(every, [number for number, _ in self.skipped])


def _payload(row: Mapping[str, Any]) -> str:
    plain = {key: value if _is_json(value) else str(value)[:_LONGEST_VALUE] for key, value in row.items()}
    return json.dumps(plain, ensure_ascii=False)


def _is_json(value: object) -> bool:
    return value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _plain_name(name: str) -> str:
    plain = re.sub(r"\W+", "_", name.lstrip("\ufeff").strip().lower())
    return _ALIASES.get(plain, plain)


def _parquet(path: Path, content: bytes) -> pyarrow.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        wanted = [name for name in file.schema_arrow.names if _plain_name(name) in (*SCHEMA, *EXTRAS)]
        if {_plain_name(name) for name in wanted} >= set(SCHEMA):
            return file.read(columns=wanted)
        return file.schema_arrow.empty_table()  # the caller names what is missing
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path} is a damaged Parquet file: {_first_line(error)}; download it again") from error


def _csv(path: Path, content: bytes) -> _Rows:
    import pyarrow as pa
    from pyarrow import csv

    names = _csv_names(path, content)
    skipped: list[tuple[int, str]] = []

    def skip(row: csv.InvalidRow) -> str:
        skipped.append((row.number, row.text))
        return "skip"

    headless = names is not None
    try:
        table = csv.read_csv(
            pa.BufferReader(content),
            csv.ReadOptions(column_names=names, use_threads=False),  # only then are bad lines numbered
            csv.ParseOptions(invalid_row_handler=skip),
            csv.ConvertOptions(
                column_types=dict.fromkeys(names or _fields(_first_text(content)), pa.string()),
                strings_can_be_null=False,
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is neither Parquet nor readable CSV: {_first_line(error)}") from error
    return _Rows(table, tuple((number if headless else number - 1, text) for number, text in skipped))


def _first_text(content: bytes) -> str:
    for line in content[:65_536].splitlines():
        if line.strip():
            return line.decode("utf-8-sig")
    return ""


def _fields(line: str) -> list[str]:
    return [name.strip().strip('"') for name in line.split(",")]


def _csv_names(path: Path, content: bytes) -> list[str] | None:
    """The column names of a file without a header, None for a file that has one."""
    if b"\0" in content[:4096]:
        raise ConfigError(f"{path} is neither Parquet nor CSV; give a file with candles in one of these formats")
    try:
        fields = _fields(_first_text(content))
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is neither Parquet nor CSV in UTF-8; give one of these formats") from None
    if not _is_number(fields[0]):
        return None
    for layout in (KLINE, SCHEMA):
        if len(fields) == len(layout):
            return list(layout)
    raise ConfigError(
        f"{path} has no header and {len(fields)} columns; without a header it must have Binance's {len(KLINE)} "
        f"kline columns or the {len(SCHEMA)} columns {', '.join(SCHEMA)}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


@dataclass(frozen=True, slots=True)
class _Name:
    """What a file's name is made of; empty words and None where it does not follow the pattern."""

    words: tuple[str, ...]  # before the timeframe: venue, market, symbol
    timeframe: str | None
    is_mark: bool


def _parts_of_name(path: Path) -> _Name:
    archive = _ARCHIVE_NAME.fullmatch(path.stem)
    if archive is not None and archive["timeframe"] in TIMEFRAMES_S:
        return _Name((), archive["timeframe"], is_mark=False)
    words = path.stem.split("_")
    is_mark = "mark" in words
    for place, word in enumerate(words):
        if word in TIMEFRAMES_S and place >= 2:
            return _Name(tuple(words[:place]), word, is_mark)
    return _Name((), None, is_mark)


def market_in_name(path: Path) -> MarketName | None:
    """The market that a file's name tells, or None when it tells none.

    Raises ConfigError for a name that says its candles are not traded prices.
    """
    name = _parts_of_name(path)
    if not name.is_mark and (not name.words or split_pair(name.words[-1]) is None):
        return None
    return _market_of_name(path, name)[0]


def market_in_words(path: Path, words: Sequence[str]) -> MarketName | None:
    """The market that words of a file's name tell: venue, perhaps the kind of market, symbol.

    None where the last of them is no pair.  Raises ConfigError for a pair or a venue that cannot be.
    """
    if len(words) < 2 or split_pair(words[-1]) is None:
        return None
    return _market_of_name(path, _Name(tuple(words), None, is_mark=False))[0]


def _market_of_name(path: Path, name: _Name) -> tuple[MarketName, bool]:
    """The market that the name tells, and whether its spot part was assumed."""
    how = "give the market, for example --market binance:BTC/USDT (or binance:BTC/USDT-PERP)"
    if name.is_mark:
        raise ConfigError(f"{path.name} holds mark prices by its name, which are no traded candles; {how} to use it so")
    if not name.words:
        raise ConfigError(f"the name {path.name} does not tell the market as VENUE_MARKET_SYMBOL_TIMEFRAME; {how}")
    *venue, symbol = name.words
    market_type = _MARKET_WORDS.get(venue[-1]) if len(venue) > 1 else None
    exchange = "_".join(venue[:-1] if market_type is not None else venue).lower()
    pair = split_pair(symbol)
    if pair is None:
        raise ConfigError(f"{symbol!r} in the name {path.name} is not a pair with a known quote coin; {how}")
    if not _EXCHANGE.fullmatch(exchange):
        raise ConfigError(f"{exchange!r} in the name {path.name} is not a venue's name; {how}")
    base, quote = pair
    parse_symbol(f"{base}/{quote}")  # refuses look-alike letters
    return MarketName(exchange, base, quote, market_type or MarketType.SPOT), market_type is None


def _timeframe(path: Path, named: str | None, times: IntArray) -> str:
    """The timeframe of the name, else the most frequent step between rows."""
    known = times[times != UNKNOWN_TIME]
    steps = np.diff(known)
    values, counts = np.unique(steps[steps > 0], return_counts=True)
    usual = int(values[counts.argmax()]) if len(values) else 0
    inferred = next((frame for frame, seconds in TIMEFRAMES_S.items() if seconds * NS_PER_S == usual), None)
    if named is None:
        if inferred is None:
            raise ConfigError(
                f"the timeframe of {path.name} is unknown: it is not in the name, and the usual step of "
                f"{usual / NS_PER_S:g} s is none of {', '.join(TIMEFRAMES_S)}; give --timeframe"
            )
        return inferred
    odd = int(np.count_nonzero(quality.misaligned(known, timeframe_ns(named))))
    if len(steps) >= _FEWEST_STEPS and 2 * odd > len(known):
        raise ConfigError(
            f"{path.name} says {named}, but its rows are {inferred or f'{usual / NS_PER_S:g} s'} apart; "
            f"rename the file or give --timeframe {inferred or ''}".rstrip()
        )
    return named
