"""The indicators that conditions read: those that a file declares, and those that a name says by itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from promethean.domain.candles import TIMEFRAMES_S, timeframe_ns
from promethean.domain.instants import DAY_NS
from promethean.indicators.catalogue import INDICATORS, INPUTS
from promethean.strategies.conditions.scope import NAME

VWAP = "VWAP"
CANDLE_COLUMNS = tuple(column for column in INPUTS if column != "taker_buy_volume")
"""Inputs of indicators that candles carry."""

_OF_VWAP = "vwap"
_NAME = re.compile(rf"(?<![A-Za-z0-9_.]){NAME}")
_IMPLIED = re.compile(
    rf"(?P<name>[A-Z][A-Z0-9_]*?)_(?P<period>[0-9]{{1,6}})(?:_(?P<timeframe>{'|'.join(TIMEFRAMES_S)}))?(?:\..*)?"
)


class Use(Struct, frozen=True):
    """An indicator as conditions use it.

    alias:      its name in conditions.
    parameters: by name: a number, or the name of one of the file's parameters; a word where the indicator takes one.
    timeframes: the ones it is computed on; none: the primary one, which a recording may bring.
    """

    name: str
    alias: str
    parameters: Mapping[str, Decimal | str]
    timeframes: tuple[str, ...]


def is_unbounded(use: Use) -> bool:
    """Whether no trailing window decides its values."""
    return INDICATORS.get(use.name).window is None and not _starts_each_day(use)


def window_of(use: Use, numbers: Mapping[str, Any], timeframe: str) -> int:
    """Trailing candles of the timeframe that decide its last value.  It is not unbounded.

    numbers: the parameters that the file gives, as the indicator takes them.
    """
    entry = INDICATORS.get(use.name)
    if entry.window is None:
        assert _starts_each_day(use), f"no window decides {use.name}"
        return -(-DAY_NS // timeframe_ns(timeframe))
    names = _parameters_of(entry.window)
    return entry.window(**{name: value for name, value in {**entry.parameters, **numbers}.items() if name in names})


def _starts_each_day(use: Use) -> bool:
    """The sums of a session VWAP begin anew at 00:00 UTC: nothing of the day before is in them."""
    return use.name == _OF_VWAP and use.parameters.get("window", "session") == "session"


def _parameters_of(window: Callable[..., int]) -> tuple[str, ...]:
    return tuple(inspect.signature(window).parameters)


def implied_uses(texts: Iterable[str], declared: Iterable[Use]) -> tuple[Use, ...]:
    """What conditions may read without declaring it: VWAP, and EMA_21 or RSI_9_1h where their texts name it.

    An alias that is declared for something else goes first: nothing is implied of that name.
    """
    taken = {use.alias: use for use in declared}
    found: dict[str, Use] = {}
    for alias, timeframe, use in [(VWAP, "", Use(_OF_VWAP, VWAP, {}, ())), *_named(texts)]:
        other = taken.get(alias, use)
        if (other.name, other.parameters) == (use.name, use.parameters):
            found.setdefault(f"{alias} {timeframe}", use)
    return tuple(found.values())


def _named(texts: Iterable[str]) -> Iterable[tuple[str, str, Use]]:
    """<INDICATOR>_<PERIOD>[_<TF>][.field] of every indicator of candles that has a period."""
    for text in texts:
        for word in _NAME.findall(text):
            said = _IMPLIED.fullmatch(word)
            if said is None or not _has_period(said["name"].lower()):
                continue
            alias, timeframe = f"{said['name']}_{said['period']}", said["timeframe"] or ""
            period = {"period": Decimal(said["period"])}
            yield alias, timeframe, Use(said["name"].lower(), alias, period, (timeframe,) if timeframe else ())


def _has_period(name: str) -> bool:
    if name not in INDICATORS:
        return False
    entry = INDICATORS.get(name)
    return "period" in entry.parameters and all(column in CANDLE_COLUMNS for column in entry.inputs)
