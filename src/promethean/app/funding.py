"""Funding rates for a backtest or a replay: from a file, at the candles that are traded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from promethean.domain.errors import ConfigError
from promethean.domain.instruments import Instrument, MarketType

if TYPE_CHECKING:
    from promethean.domain.candles import CandleSeries, IntArray
    from promethean.domain.funding import FundingTable
    from promethean.storage.candle_files import MarketName

UNFUNDED = (
    "funding payments are not part of the figures; a position in futures pays or receives them: give their rates with "
    "--funding FILE"
)


def funding_table(name: str, instrument: Instrument, candles: CandleSeries, say: Callable[[str], None]) -> FundingTable:
    """The rates of a file as a position at these candles pays them.

    say: is told what the file lacks.
    Raises ConfigError for spot, another market, a file that cannot be used, or one without a rate between the candles.
    """
    from promethean.domain.funding import FundingTable
    from promethean.domain.instants import format_instant
    from promethean.storage.funding_files import read_funding_file

    if instrument.market_type is MarketType.SPOT:
        raise ConfigError(f"--funding is {name}, and {instrument.symbol} is spot, which pays none; leave --funding out")
    file = read_funding_file(Path(name).expanduser())
    check_market(file.path, file.market, instrument, "funding rates", say)
    table = FundingTable.at_candles(instrument.id, file.at_ns, file.funding_rate, candles)
    first_ns, last_ns = int(candles.open_time_ns[0]), int(candles.open_time_ns[-1])
    if not len(table):
        known = " to ".join(format_instant(int(file.at_ns[place])) for place in (0, -1))
        wanted = f"{format_instant(first_ns)} to {format_instant(last_ns)}"
        raise ConfigError(f"{file.path.name} has rates of {known}, none of {wanted}; give the rates of these candles")
    missing = _missing(file.at_ns, first_ns, last_ns)
    if missing:
        say(f"{file.path.name} lacks {missing:,} of {missing + len(table):,} funding payments; none is booked there")
    return table


def check_market(
    path: Path, market: MarketName | None, instrument: Instrument, what: str, say: Callable[[str], None]
) -> None:
    """Whether a file holds what belongs to the candles that are traded, as far as its name tells.

    market: of the name.  what: the file holds.  say: is told of another venue.
    Raises ConfigError for another pair.
    """
    if market is None:
        return
    if (market.base, market.quote) != (instrument.base, instrument.quote):
        raise ConfigError(
            f"{path.name} holds {what} of {market.pair} by its name, and {instrument.symbol} is traded; "
            f"give those of {instrument.base}/{instrument.quote}"
        )
    if market.exchange != instrument.exchange:
        say(f"the {what} are those of {market.exchange}, the candles those of {instrument.exchange}")


def _missing(at_ns: IntArray, first_ns: int, last_ns: int) -> int:
    """How many instants there should be between two more, at the usual distance of those that there are."""
    if len(at_ns) < 2:
        return 0
    usual_ns = int(np.median(np.diff(at_ns)))
    inside = at_ns[(at_ns > first_ns) & (at_ns <= last_ns)]
    holes = np.diff(inside) / usual_ns
    between = int((np.round(holes[holes > 1.5]) - 1).sum())
    return between + (int(inside[0]) - first_ns - 1) // usual_ns + (last_ns - int(inside[-1])) // usual_ns
