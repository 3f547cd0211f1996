"""Single trades for a backtest or a replay: from a file, those of the candles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from promethean.app.funding import check_market
from promethean.domain.candles import timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.instants import NS_PER_MINUTE

if TYPE_CHECKING:
    from promethean.domain.candles import CandleSeries
    from promethean.domain.instruments import Instrument
    from promethean.storage.trade_files import TradeFile


def trades_beside(
    name: str, instrument: Instrument, candles: CandleSeries, timeframe: str, say: Callable[[str], None]
) -> TradeFile:
    """The trades of a file from the open of the first of these candles to the close of the last.

    say: is told what was left out.
    Raises ConfigError for candles shorter than a minute, another market, a file that cannot be used, or one without a
    trade in the time of the candles.
    """
    from promethean.domain.instants import format_instant
    from promethean.storage.trade_files import read_trade_file

    if timeframe_ns(timeframe) < NS_PER_MINUTE:
        raise ConfigError(
            f"--tape is {name}, and trades are added up by the minute, longer than candles of {timeframe}; "
            "leave --tape out or give candles of 1m or longer"
        )
    file = read_trade_file(Path(name).expanduser())
    check_market(file.path, file.market, instrument, "trades", say)
    market = file.market
    if market is not None and market.market_type is not instrument.market_type:
        raise ConfigError(
            f"{file.path.name} holds trades of {market} by its name, and {instrument.symbol} is traded, a market of "
            "its own; give the trades of the market that the candles are of"
        )
    if file.repeated:
        say(f"rows of {file.path.name} left out because their trade_id came before: {file.repeated:,}")
    start_ns, stop_ns = int(candles.open_time_ns[0]), candles.last_open_time_ns + timeframe_ns(timeframe)
    trades = file.trades.between(start_ns, stop_ns)
    if not len(trades):
        known = " to ".join(format_instant(int(file.trades.at_ns[place])) for place in (0, -1))
        wanted = f"{format_instant(start_ns)} to {format_instant(stop_ns)}"
        raise ConfigError(f"{file.path.name} has trades of {known}, none of {wanted}; give the trades of these candles")
    return dataclasses.replace(file, trades=trades)
