"""Tables of Parquet and CSV files, and their columns as arrays, however their numbers and times are written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.errors import ConfigError
from promethean.domain.instants import NS_PER_S
from promethean.storage.quality import UNKNOWN_TIME

if TYPE_CHECKING:
    import pyarrow


def table_of(path: Path, content: bytes) -> pyarrow.Table:
    """The table in the content of a file.  Raises ConfigError where it is neither Parquet nor CSV."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import csv

    try:
        if content.startswith(b"PAR1"):
            return pq.read_table(BytesIO(content))
        return csv.read_csv(BytesIO(content))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        what = str(error).partition("\n")[0][:200]
        raise ConfigError(f"{path} is neither Parquet nor readable CSV: {what}") from error


def plain_names(table: pyarrow.Table) -> Mapping[str, str]:
    """The names of the columns as they are, by the same in lower case and with `_` for whatever is no letter."""
    return {re.sub(r"\W+", "_", name.strip().lower()): name for name in table.column_names}


def floats_of(column: pyarrow.ChunkedArray) -> FloatArray:
    """Any column as float64; NaN where a value is empty or not a number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        numbers = pc.cast(column, pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return np.array([_float(value) for value in column.to_pylist()], np.float64)
    values: FloatArray = _array(numbers)  # null becomes NaN
    return values


def _float(value: object) -> float:
    try:
        return float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return math.nan


def times_of(column: pyarrow.ChunkedArray) -> IntArray:
    """Any time column as nanoseconds since the epoch; UNKNOWN_TIME where unreadable."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _whole(pc.cast(pc.cast(column, pa.timestamp("ns"), safe=False), pa.int64()))
    try:
        return _to_ns(_whole(pc.cast(column, pa.int64())))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return np.fromiter(map(_time, column.to_pylist()), np.int64, len(column))


def _whole(column: pyarrow.ChunkedArray) -> IntArray:
    import pyarrow.compute as pc

    values: IntArray = _array(pc.fill_null(column, UNKNOWN_TIME) if column.null_count else column)
    return values


def _array(column: pyarrow.ChunkedArray) -> Any:
    """The column as numpy; what can be shared is, because pyarrow's own way imports pandas, a second of every start."""
    return column.to_numpy() if column.null_count else np.from_dlpack(column.combine_chunks())


def _to_ns(times: IntArray) -> IntArray:
    """Seconds, milliseconds, microseconds or nanoseconds, told apart by size; good for 1973 to 5138."""
    scale = np.select([times < 10**11, times < 10**14, times < 10**17], [10**9, 10**6, 10**3], 1)
    return np.where(times > 0, times * scale, UNKNOWN_TIME)


def _time(value: object) -> int:
    """One time that is not a plain integer: a float, or text with a number or a date (UTC unless it says otherwise)."""
    number = _float(value)
    if 0 < number < 2**63:
        exact = int(value) if isinstance(value, str) and value.strip().isdecimal() else int(number)
        return int(_to_ns(np.array([exact]))[0])
    try:
        moment = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return UNKNOWN_TIME
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    whole_s = int(aware.replace(microsecond=0).timestamp())
    return whole_s * NS_PER_S + aware.microsecond * 1000
