"""The parts of a strategy file that are conditions: indicators, entry and exit (SPEC 7.7)."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from promethean.domain.candles import timeframe_ns
from promethean.domain.errors import unknown_name
from promethean.domain.instruments import MarketType
from promethean.domain.market import Side
from promethean.indicators.catalogue import INDICATORS
from promethean.strategies.conditional import Conditions, Entry
from promethean.strategies.sections import Section
from promethean.strategies.uses import CANDLE_COLUMNS, Use

_EXAMPLE = "[{name: rsi, as: RSI, params: {period: 14}}]"


def read_conditions(sections: Section, timeframe: str, market_type: MarketType) -> Conditions:
    """Indicators, entries and exit as the file writes them.

    timeframe: the primary one.
    Raises ConfigError naming file, path, value and remedy.
    """
    listed = sections.values.get("indicators", [])
    if not isinstance(listed, list):
        raise sections.error("indicators", f"is {listed!r}, not a list; write {_EXAMPLE}")
    uses = tuple(_use(sections, number, item, timeframe) for number, item in enumerate(listed))
    written = sections.values.get("entry")
    several = written if isinstance(written, list) else [written]
    if written is None or not several:
        raise sections.error("entry", "is missing; write for example {side: buy, conditions: [RSI < 30]}")
    entries = tuple(
        _entry(Section(sections.file, f"entry[{n}]" if isinstance(written, list) else "entry", item), market_type)
        for n, item in enumerate(several)
    )
    sides = [entry.side for entry in entries]
    if len(set(sides)) < len(sides):
        raise sections.error("entry", "has two parts for one side; join their conditions with OR")
    leaving = sections.section("exit", optional=True)
    leaving.only(("mode", "conditions"))
    exits = _texts(leaving) if leaving.values else ()
    return Conditions(uses, entries, leaving.text("mode", default="ANY"), exits)


def _use(sections: Section, number: int, item: Any, timeframe: str) -> Use:
    use = Section(sections.file, f"indicators[{number}]", item)
    use.only(("name", "as", "params", "timeframes"))
    name = use.text("name")
    if name not in INDICATORS:
        raise use.error("name", f"names an {unknown_name('indicator', name, INDICATORS)}")
    known = INDICATORS.get(name).parameters
    absent = [column for column in INDICATORS.get(name).inputs if column not in CANDLE_COLUMNS]
    if absent:
        raise use.error("name", f"is {name}, which needs {absent[0]}, and candles do not carry it; use another one")
    parameters: dict[str, Decimal | str] = {}
    given = Section(sections.file, f"{use.path}.params", use.values.get("params", {}))
    for key, value in given.values.items():
        if key not in known:
            raise given.error(key, f"is an {unknown_name('parameter', key, known)} of {name}")
        if isinstance(known[key], str):
            if not isinstance(value, str):
                raise given.error(key, f"is {value!r}; write a word, for example {known[key]}")
            parameters[key] = value
            continue
        if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
            raise given.error(key, f"is {value!r}; write a number or the name of a parameter of this file")
        if isinstance(value, str) and value not in sections.section("parameters", optional=True).values:
            choices = sections.section("parameters", optional=True).values
            raise given.error(key, f"names an {unknown_name('parameter', value, choices)} of this file")
        parameters[key] = value if isinstance(value, str) else Decimal(value)
    if "timeframes" not in use.values:
        return Use(name, use.text("as", default=name.upper()), parameters, ())
    frames = use.values["timeframes"]
    if not isinstance(frames, list) or not frames:
        raise use.error("timeframes", f"is {frames!r}, not a list; write for example [{timeframe}]")
    primary_ns = timeframe_ns(timeframe)
    for other in map(str, frames):
        length_ns = use.within("timeframes", partial(timeframe_ns, other))
        if length_ns < primary_ns or length_ns % primary_ns:
            raise use.error("timeframes", f"names {other}, which cannot be built from candles of {timeframe}")
    return Use(name, use.text("as", default=name.upper()), parameters, tuple(map(str, frames)))


def _entry(entry: Section, market_type: MarketType) -> Entry:
    entry.only(("side", "mode", "conditions"))
    side = entry.choice("side", ("buy", "sell"))
    if side is None:
        raise entry.error("side", "is missing; write buy or sell")
    if side == "sell" and market_type is MarketType.SPOT:
        raise entry.error("side", "is sell, and a spot market has no shorts; use market_type: futures, or an exit")
    return Entry(Side(side), entry.text("mode", default="ALL"), _texts(entry))


def _texts(section: Section) -> tuple[str, ...]:
    written = section.values.get("conditions")
    if not isinstance(written, list) or not written or not all(isinstance(text, str) for text in written):
        raise section.error("conditions", f"is {written!r}; write a list of conditions, for example ['RSI < 30']")
    return tuple(written)
