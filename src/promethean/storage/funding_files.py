"""Funding files: when funding was paid on a perpetual, and at which rate.

Understood are Parquet and CSV with a time and a rate, fractions of the notional: `timestamp, funding_rate`, the names
of Binance's interface (`fundingTime, fundingRate`) and those of its archive (`calc_time, last_funding_rate`).
Venues publish an instant some milliseconds late: it is rounded to the minute.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from promethean.domain.candles import FloatArray, IntArray
from promethean.domain.errors import ConfigError
from promethean.domain.instants import NS_PER_MINUTE
from promethean.storage.candle_files import MarketName, market_in_words, read_content
from promethean.storage.file_columns import floats_of, plain_names, table_of, times_of
from promethean.storage.quality import UNKNOWN_TIME

_TIMES = ("timestamp", "fundingtime", "funding_time", "calc_time", "time")
_RATES = ("funding_rate", "fundingrate", "last_funding_rate")
LARGEST_RATE = 0.1


@dataclass(frozen=True, slots=True)
class FundingFile:
    """The rates of a file, oldest first.

    market:       what the name tells, or None.
    at_ns:        int64, shape (n,), strictly rising, whole minutes.
    funding_rate: float64, shape (n,), fractions of the notional; above zero longs pay.
    """

    path: Path
    sha256: str
    market: MarketName | None
    at_ns: IntArray
    funding_rate: FloatArray

    def __len__(self) -> int:
        return len(self.at_ns)


def read_funding_file(path: Path) -> FundingFile:
    """Read and check a Parquet or CSV file of funding rates.

    Raises ConfigError for a file that cannot be read, lacks a column, or holds a row that is no funding rate: a payment
    that is left out would change every figure after it.
    """
    content = read_content(path, "funding rates")
    table = table_of(path, content)
    names = plain_names(table)
    time, rate = (next((names[name] for name in known if name in names), None) for known in (_TIMES, _RATES))
    if time is None or rate is None:
        raise ConfigError(
            f"{path} has the columns {', '.join(table.column_names)}; a funding file needs timestamp and funding_rate"
        )
    at_ns, rates = times_of(table.column(time)), floats_of(table.column(rate))
    if not len(at_ns):
        raise ConfigError(f"{path} has no row; give a file with at least one funding rate")
    _check(path, at_ns, rates)
    at_ns = (at_ns + NS_PER_MINUTE // 2) // NS_PER_MINUTE * NS_PER_MINUTE
    order = np.argsort(at_ns, kind="stable")
    at_ns, rates = at_ns[order], rates[order]
    again = np.flatnonzero(np.diff(at_ns) == 0)
    if (rates[again] != rates[again + 1]).any():
        row = int(order[again[rates[again] != rates[again + 1]][0] + 1]) + 1
        raise ConfigError(f"{path}, row {row}: the minute has two different funding rates; keep the right one")
    kept = np.delete(np.arange(len(at_ns)), again + 1)
    market = market_in_words(path, path.stem.partition("_funding")[0].split("_"))
    return FundingFile(path, hashlib.sha256(content).hexdigest(), market, at_ns[kept], rates[kept])


def _check(path: Path, at_ns: IntArray, rates: FloatArray) -> None:
    bad = np.flatnonzero((at_ns == UNKNOWN_TIME) | ~np.isfinite(rates))
    if len(bad):
        raise ConfigError(f"{path}, row {int(bad[0]) + 1}: no time or no number; mend the row or leave it out")
    large = np.flatnonzero(np.abs(rates) > LARGEST_RATE)
    if len(large):
        row = int(large[0])
        raise ConfigError(
            f"{path}, row {row + 1}: a funding rate of {rates[row]:g} is above {LARGEST_RATE:g}; rates are fractions, "
            "0.0001 for 0.01 %"
        )
