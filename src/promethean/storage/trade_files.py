"""Trade files: the single trades of one market.

Understood are Parquet and CSV with the columns `timestamp, trade_id, price, amount, side`, where `id` does for
`trade_id` and others are passed over.  The side is that of the aggressor, `buy` or `sell`; the amount is in base units.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from promethean.domain.books import SignArray
from promethean.domain.candles import IntArray
from promethean.domain.errors import ConfigError
from promethean.domain.trades import TradeSeries
from promethean.storage.candle_files import MarketName, market_in_words, read_content
from promethean.storage.file_columns import floats_of, plain_names, table_of, times_of
from promethean.storage.quality import UNKNOWN_TIME

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

COLUMNS = ("timestamp", "trade_id", "price", "amount", "side")
_SIGNS = {"buy": 1, "sell": -1}


@dataclass(frozen=True, slots=True)
class TradeFile:
    """The trades of a file, oldest first.

    market:   what the name tells, or None.
    repeated: rows that were there before, which are left out.
    trades:   numbered where every trade_id is a whole number.
    """

    path: Path
    sha256: str
    market: MarketName | None
    repeated: int
    trades: TradeSeries = field(repr=False)


def read_trade_file(path: Path) -> TradeFile:
    """Read and check a Parquet or CSV file of single trades, in any order.

    Raises ConfigError for a file that cannot be read, lacks a column, or holds a row that is no trade, with the row and
    the column: a price that is left out would change every average after it.
    """
    content = read_content(path, "trades")
    columns = _columns(path, table_of(path, content))
    at_ns, price, amount = times_of(columns["timestamp"]), floats_of(columns["price"]), floats_of(columns["amount"])
    if not len(at_ns):
        raise ConfigError(f"{path} has no row; give a file with at least one trade")
    _refuse(path, columns, "timestamp", at_ns == UNKNOWN_TIME, "an instant, milliseconds since 1970")
    _refuse(path, columns, "trade_id", _is_empty(columns["trade_id"]), "the number that the venue gave the trade")
    for name, values in (("price", price), ("amount", amount)):
        _refuse(path, columns, name, ~((values > 0) & (values < np.inf)), "a number above 0")
    sign = _signs(columns["side"])
    _refuse(path, columns, "side", sign == 0, "buy or sell")
    names, number = _numbers(columns["trade_id"])
    order = np.lexsort((names, at_ns))
    kept = order[_first_of_each(path, names[order], order, at_ns, price, amount)]
    numbers = None if number is None else number[kept]
    trades = TradeSeries(at_ns[kept], price[kept], amount[kept], sign[kept], numbers)
    market = market_in_words(path, path.stem.partition("_trades")[0].split("_"))
    return TradeFile(path, hashlib.sha256(content).hexdigest(), market, len(order) - len(kept), trades)


def _columns(path: Path, table: pyarrow.Table) -> dict[str, Any]:
    names = plain_names(table)
    if "id" in names:
        names = {"trade_id": names["id"], **names}
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ConfigError(
            f"{path} has no column {', '.join(missing)}; found: {', '.join(filter(None, table.column_names))}; "
            f"a file of trades needs {', '.join(COLUMNS)}"
        )
    return {name: table.column(names[name]) for name in COLUMNS}


def _refuse(path: Path, columns: dict[str, Any], name: str, wrong: NDArray[np.bool_], wanted: str) -> None:
    """Raises ConfigError for the first row whose value in this column is wrong."""
    rows = np.flatnonzero(wrong)
    if len(rows):
        row = int(rows[0])
        value = columns[name][row].as_py()
        raise ConfigError(
            f"{path}, row {row + 1}, column {name}: {'nothing' if value in (None, '') else value} is not {wanted}; "
            "mend the row or leave it out"
        )


def _is_empty(column: pyarrow.ChunkedArray) -> NDArray[np.bool_]:
    import pyarrow as pa
    import pyarrow.compute as pc

    empty: NDArray[np.bool_] = pc.fill_null(pc.equal(pc.cast(column, pa.string()), ""), True).to_numpy()
    return empty


def _signs(column: pyarrow.ChunkedArray) -> SignArray:
    """+1 where the buyer took, -1 where the seller did, 0 where neither is said; each word is looked at once."""
    import pyarrow as pa

    coded = column.combine_chunks().cast(pa.string()).dictionary_encode()
    words = [_SIGNS.get(str(word).strip().lower(), 0) for word in coded.dictionary.to_pylist()]
    places = coded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    signs: SignArray = np.array([*words, 0], np.int8)[places]
    return signs


def _numbers(column: pyarrow.ChunkedArray) -> tuple[NDArray[Any], IntArray | None]:
    """What tells the trades apart, and the same as numbers where all of them are whole numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        number: IntArray = pc.cast(column, pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return np.array(column.to_pylist(), np.str_), None
    return number, number


def _first_of_each(path: Path, names: NDArray[Any], order: IntArray, *columns: NDArray[Any]) -> IntArray:
    """Places, rising, of the first row with each name.

    names: of the rows in order.  order: their places in the file.  columns: as in the file.
    Raises ConfigError where two rows with one name differ.
    """
    found, first, where = np.unique(names, return_index=True, return_inverse=True)
    original = order[first][where]
    apart = np.flatnonzero(np.any([column[original] != column[order] for column in columns], axis=0))
    if len(apart):
        at = int(apart[0])
        raise ConfigError(
            f"{path}, rows {int(original[at]) + 1} and {int(order[at]) + 1}, column trade_id: {found[where[at]]} is "
            "there twice, with another time, price or amount; keep the right one"
        )
    return np.sort(first)
