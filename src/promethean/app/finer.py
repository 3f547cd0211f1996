"""What happened inside the candles of a backtest: from finer candles, and from single trades."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from promethean.app.recordings import Recording, read_recording, stored_minutes
from promethean.config.tree import Settings
from promethean.domain.candles import timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.instants import NS_PER_MINUTE
from promethean.domain.intrabar import Intrabar

if TYPE_CHECKING:
    from promethean.domain.trades import TradeSeries
    from promethean.strategies.file import StrategyFile


def inside(
    settings: Settings,
    given: str | None,
    recording: Recording,
    file: StrategyFile,
    trades: TradeSeries | None,
    say: Callable[[str], None],
) -> Intrabar | None:
    """The ranges inside the candles of a recording: of the finer candles that were given or are stored, then of trades.

    say: is told in how many candles they decide what was touched first.
    Raises ConfigError for finer candles of another market, of no finer timeframe, or of none of these candles.
    """
    candles, instrument, length_ns = recording.candles, recording.instrument, timeframe_ns(recording.timeframe)
    name = given if given is not None else stored_minutes(settings, recording.source)
    found = None if trades is None else Intrabar.of_trades(trades.at_ns, trades.price, trades.quantity)
    if name is not None:
        finer = read_recording(settings, name, file, say)
        part_ns = timeframe_ns(finer.timeframe)
        if finer.instrument.id != instrument.id:
            raise ConfigError(
                f"--finer is {finer.source} of {finer.instrument.symbol} at {finer.instrument.exchange}, and "
                f"{instrument.symbol} at {instrument.exchange} is traded; give finer candles of the same market"
            )
        if part_ns >= length_ns or length_ns % part_ns:
            advice = "give a smaller timeframe, for example 1m" if length_ns > NS_PER_MINUTE else "leave --finer out"
            raise ConfigError(
                f"--finer has candles of {finer.timeframe}, which do not divide those of {recording.timeframe}; "
                f"{advice}"
            )
        parts = Intrabar.of_candles(finer.candles, part_ns)
        found = parts if found is None else parts.refined(found, part_ns)
    if found is None:
        return None
    within = found.within(candles, length_ns)
    decided = int((within[:, 1] > within[:, 0]).sum())
    if given is not None and not decided:
        raise ConfigError(
            f"--finer is {given}, and inside none of the candles it comes to their low, high and volume; "
            "give finer candles of the same market and time"
        )
    others = "" if decided == len(candles) else "; elsewhere a stop goes before a target"
    say(f"finer data hold all of {decided:,} of {len(candles):,} candles and say there what was touched first{others}")
    return found
