"""Which larger timeframes go with a primary one."""

from __future__ import annotations

from typing import NamedTuple

from promethean.domain.errors import ConfigError


class Ladder(NamedTuple):
    """Three larger timeframes, each built from whole candles of the one before."""

    near: str
    middle: str
    far: str


# About 5, 15 and 60 times the primary one, as 5m, 15m and 1h are of 1m, among the timeframes that there are.  No step
# is more than 60 times: the candles that a live view keeps would then be too few of the far one.
LADDERS = {
    "1m": Ladder("5m", "15m", "1h"),
    "3m": Ladder("15m", "1h", "2h"),
    "5m": Ladder("30m", "1h", "4h"),
    "15m": Ladder("1h", "4h", "12h"),
    "30m": Ladder("2h", "8h", "1d"),
    "1h": Ladder("4h", "12h", "1d"),
}


def ladder(strategy: str, timeframe: str) -> Ladder:
    """The larger timeframes of a primary one.  Raises ConfigError for one that has none."""
    if timeframe not in LADDERS:
        raise ConfigError(
            f"{strategy} reads three larger timeframes, and there are none for {timeframe}; "
            f"its primary timeframe is one of {', '.join(LADDERS)}"
        )
    return LADDERS[timeframe]
