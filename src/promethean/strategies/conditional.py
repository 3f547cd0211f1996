"""Strategies written as conditions: indicators, what lets an entry in, what asks for the exit (SPEC 7.7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
from msgspec import Struct

from promethean.domain.candles import KEPT, FloatArray, timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.instants import DAY_NS
from promethean.domain.market import Side
from promethean.indicators.catalogue import INDICATORS
from promethean.indicators.trend.regime import REGIMES, regime_window
from promethean.indicators.volume.vwap import OF_CANDLES
from promethean.strategies.arrays import FlagArray, Said
from promethean.strategies.conditions.evaluate import Met, met
from promethean.strategies.conditions.parser import combine
from promethean.strategies.conditions.program import Plan, Program
from promethean.strategies.conditions.scope import Scope
from promethean.strategies.conditions.tree import (
    POSITION,
    Comparison,
    Condition,
    Cross,
    Some,
    any_of,
    format,
    reads,
)
from promethean.strategies.frame import Frame
from promethean.strategies.held import Held
from promethean.strategies.setups import Setup
from promethean.strategies.uses import Use, implied_uses, is_unbounded, window_of

HOUR_NS = DAY_NS // 24
COLUMNS = {"PRICE": "close", "OPEN": "open", "HIGH": "high", "LOW": "low", "VOLUME": "volume"}
REGIME = "REGIME"
SERIES = (*COLUMNS, "HOUR", REGIME)
_OF_REGIMES = "regime"  # the indicator whose values are names
_APPROXIMATE = "vwap"  # the indicator that is made of candles where it should be of trades
_CODES = {name: float(code) for code, name in enumerate(REGIMES)}


class Entry(Struct, frozen=True):
    """What lets a side in."""

    side: Side
    mode: str
    conditions: tuple[str, ...]


class Conditions(Struct, frozen=True):
    """The rules of a condition-driven strategy file, as it writes them."""

    uses: tuple[Use, ...]
    entries: tuple[Entry, ...]
    exit_mode: str
    exits: tuple[str, ...]


class ConditionStrategy:
    """A strategy made of conditions, at one market and with these parameters.

    Raises ConfigError for a condition that does not parse, an unknown indicator, parameter or field, and for values
    that an indicator refuses.
    """

    def __init__(
        self,
        rules: Conditions,
        *,
        id: StrategyId,
        instrument: InstrumentId,
        timeframe: str,
        parameters: Mapping[str, Decimal | bool],
    ) -> None:
        self.id, self.instrument, self.timeframe = id, instrument, timeframe
        self._set(parameters)
        texts = [text for entry in rules.entries for text in entry.conditions] + [*rules.exits]
        implied = implied_uses(texts, rules.uses)
        self._sources = self._find_sources(rules.uses, implied)
        self._labels = frozenset([REGIME, *self._sources]).difference(
            name for name, (use, _, _) in self._sources.items() if use.name != _OF_REGIMES
        )
        scope = Scope(
            frozenset((*SERIES, *self._sources)),
            frozenset(self.parameters),
            labels=self._labels,
            words=frozenset(REGIMES),
        )
        self._entries = [
            (entry.side, _within(f"entry ({entry.side})", entry.mode, entry.conditions, scope))
            for entry in rules.entries
        ]
        self._exit, self._position_exit = None, None
        if rules.exits:
            leaving = _within("exit", rules.exit_mode, rules.exits, replace(scope, position=True))
            self._exit, self._position_exit = _split(leaving)
        self._plan = None if self._position_exit is None else Plan.of(self._position_exit)
        exits = [condition for condition in (self._exit, self._position_exit) if condition is not None]
        conditions = [condition for _, condition in self._entries] + exits
        self._read = sorted({name for condition in conditions for name, _ in reads(condition).series})
        read = [self._sources[name][0] for name in self._read if name in self._sources]
        self._uses = (*rules.uses, *(use for use in implied if use in read))
        self._lookback = max(reads(condition).lookback for condition in conditions)
        self.window = self._find_window(self._lookback)

    @property
    def unbounded(self) -> tuple[str, ...]:
        """The indicators that no trailing window decides: running sums, lines that only tighten."""
        return tuple(use.alias for use in self._uses if is_unbounded(use))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said beside results: that a VWAP which its conditions read is an approximation."""
        read = {self._sources[name][0].name for name in self._read if name in self._sources}
        return (OF_CANDLES,) if _APPROXIMATE in read else ()

    def at(self, parameters: Mapping[str, Decimal | bool]) -> ConditionStrategy:
        """The same conditions with other values of their parameters: what a sweep makes by the hundred."""
        other = copy(self)
        other._set(parameters)
        other.window = other._find_window(self._lookback)
        return other

    def _set(self, parameters: Mapping[str, Decimal | bool]) -> None:
        self.parameters = {name: float(value) for name, value in parameters.items()}
        self._known = _CODES | self.parameters  # what a condition reads that does not change from candle to candle

    def say(self, frame: Frame) -> Said:
        """What it says at every candle of the frame."""
        length = len(frame)
        side: FlagArray = np.zeros(length, np.int8)
        leave: FlagArray = np.zeros(length, np.int8)
        unknown = 0
        for which, condition in self._entries:
            found = self._met(condition, frame)
            said = found.met.view(np.int8)
            if len(self._entries) == 1 and which is Side.BUY:
                side = said
            else:
                side = side + said if which is Side.BUY else side - said  # both at once: neither
            unknown += found.unknown
        if self._exit is not None:
            found = self._met(self._exit, frame)
            leave = found.met.view(np.int8)
            unknown += found.unknown
        readings = {name: self._values(name, frame) for name in self._read}
        confidence = np.broadcast_to(np.float64(1.0), length)
        return Said(side, leave, confidence, readings, unknown, exit=self._program(frame))

    def setups(self, frame: Frame) -> list[Setup]:
        """Its entries by condition: the parts of an OR are set-ups of their own."""
        return [
            Setup(Setup.title(side, format(one)), side, self._met(one, frame).met)
            for side, condition in self._entries
            for one in (condition.conditions if isinstance(condition, Some) else (condition,))
        ]

    def reason(self, said: Said, at: int) -> str:
        """The condition that holds, with the values it read."""
        if said.leave[at] and self._exit is not None:
            condition = self._exit
        else:
            side = Side.BUY if said.side[at] > 0 else Side.SELL
            condition = next(condition for which, condition in self._entries if which is side)
        return self._told(condition, said, at)

    def exit_reason(self, said: Said, at: int, held: Held) -> str:
        """The condition on the position that holds, with the values it read."""
        assert self._position_exit is not None, "a condition on the position holds"
        return self._told(self._position_exit, said, at, held)

    def _told(self, condition: Condition, said: Said, at: int, held: Held | None = None) -> str:
        read = reads(condition)
        values = [self._shown(name, float(said.readings[name][at])) for name, _ in sorted(read.series)]
        for name, value in zip(POSITION, held or (), strict=False):
            if name in read.position:
                values.append(f"{name} {value:.6g}")
        values += [f"{name} {self.parameters[name]:.6g}" for name in sorted(read.parameters.difference(_CODES))]
        return f"{format(condition)}: {', '.join(dict.fromkeys(values))}"

    def _shown(self, name: str, value: float) -> str:
        """A series with its value, for people."""
        if name in self._labels and not np.isnan(value):
            return f"{name} {REGIMES[int(value)]}"
        return f"{name} {value:.6g}"

    def _met(self, condition: Condition, frame: Frame) -> Met:
        """Where a condition is met; kept, because a sweep asks the same again with other parameters elsewhere."""
        read = tuple(self._known[name] for name in sorted(reads(condition).parameters))
        variant = self._variant()
        key = ("met", format(condition), read, variant)
        if key not in frame.memo:
            # A single comparison or cross is kept whole; keeping its parts as well would be keeping it twice.
            is_single = isinstance(condition, Comparison | Cross)
            parts = None if is_single else frame.memo.setdefault(("conditions", variant), {})
            frame.memo[key] = met(
                condition, lambda name: self._values(name, frame), self._known, parts, length=len(frame)
            )
        found: Met = frame.memo[key]
        return found

    def _program(self, frame: Frame) -> Program | None:
        """The condition on the position over the frame; the last one made is kept: a sweep often asks for it again."""
        if self._plan is None or self._position_exit is None:
            return None
        read = tuple(self._known[name] for name in sorted(reads(self._position_exit).parameters))
        variant = self._variant()
        key = (format(self._position_exit), read, variant)
        kept: tuple[Any, Program] | None = frame.memo.get("program")
        if kept is None or kept[0] != key:
            parts = frame.memo.setdefault(("conditions", variant), {})
            made = self._plan.bind(lambda name: self._values(name, frame), self._known, parts, length=len(frame))
            kept = frame.memo["program"] = key, made
        return kept[1].unshared()

    def _variant(self) -> tuple[Any, ...]:
        """What makes series of the same names differ between two parameter sets: the numbers of the indicators."""
        return tuple((use.name, use.alias, *self._numbers(use).items()) for use in self._uses)

    def _values(self, name: str, frame: Frame) -> FloatArray:
        if name in COLUMNS:
            values: FloatArray = getattr(frame.candles, COLUMNS[name])
            return values
        if name == "HOUR":
            return (frame.candles.open_time_ns % DAY_NS // HOUR_NS).astype(np.float64)
        if name == REGIME and name not in self._sources:
            return frame.indicator(_OF_REGIMES, {}, self.timeframe)[0]
        use, timeframe, place = self._sources[name]
        try:
            return frame.indicator(use.name, self._numbers(use), timeframe)[place]
        except ValueError as error:
            raise ConfigError(f"indicator {use.alias}: {error}") from error

    def _numbers(self, use: Use) -> dict[str, Any]:
        """The parameters of an indicator as its function takes them: whole numbers where its defaults are whole."""
        defaults = INDICATORS.get(use.name).parameters
        values: dict[str, Any] = {}
        for name, given in use.parameters.items():
            if isinstance(defaults[name], str):
                values[name] = given
                continue
            value = self.parameters[given] if isinstance(given, str) else float(given)
            if isinstance(defaults[name], int) and not isinstance(defaults[name], bool):
                if value != int(value):
                    raise ConfigError(f"indicator {use.alias}: {name} is {value:g}; write a whole number")
                value = int(value)
            values[name] = value
        return values

    def _timeframes(self, use: Use) -> tuple[str, ...]:
        """The timeframes of an indicator.  Raises ConfigError for one that the candles at hand are too coarse for."""
        for timeframe in use.timeframes:
            if timeframe_ns(timeframe) % timeframe_ns(self.timeframe):
                raise ConfigError(
                    f"indicator {use.alias} reads candles of {timeframe}, which cannot be built from those of "
                    f"{self.timeframe}; give finer data, or another timeframe"
                )
        return use.timeframes or (self.timeframe,)

    def _find_sources(self, uses: tuple[Use, ...], implied: tuple[Use, ...]) -> dict[str, tuple[Use, str, int]]:
        """Every name that the indicators give to conditions: what it is, on which timeframe, which output.

        implied: those that the file does not declare; a name that it gives to something else is not theirs.
        """
        sources: dict[str, tuple[Use, str, int]] = {}
        for use in uses:
            for name, timeframe, place in self._names(use):
                if name in SERIES and (name != REGIME or use.name != _OF_REGIMES):
                    raise ConfigError(f"{name} is a name of its own in conditions; call the indicator otherwise")
                if name in sources:
                    raise ConfigError(f"two indicators are called {name}; give one another name with `as`")
                sources[name] = use, timeframe, place
        for use in implied:
            for name, timeframe, place in self._names(use):
                if name not in self.parameters:
                    sources.setdefault(name, (use, timeframe, place))
        return sources

    def _names(self, use: Use) -> Iterator[tuple[str, str, int]]:
        """The names of an indicator, each with its timeframe and the place of its output."""
        outputs = INDICATORS.get(use.name).outputs
        for timeframe in self._timeframes(use):
            heads = [f"{use.alias}_{timeframe}"] + ([use.alias] if timeframe == self.timeframe else [])
            for head in heads:
                yield head, timeframe, 0
                for place, field in enumerate(outputs):
                    yield f"{head}.{field}", timeframe, place

    def _find_window(self, lookback: int) -> int:
        """Primary candles that decide the last answer."""
        longest = 1
        if REGIME in self._read and REGIME not in self._sources:
            longest = regime_window() + 1
        for use in self._uses:
            if is_unbounded(use):
                longest = max(longest, KEPT)  # it continues from a state, which is made of all a view keeps
                continue
            numbers = self._numbers(use)
            for timeframe in self._timeframes(use):
                ratio = timeframe_ns(timeframe) // timeframe_ns(self.timeframe)
                longest = max(longest, (window_of(use, numbers, timeframe) + 1) * ratio)
        return longest + lookback


def _split(exit: Condition) -> tuple[Condition | None, Condition | None]:
    """The alternatives of an exit that any history answers, and those that read the position."""
    alternatives = exit.conditions if isinstance(exit, Some) else (exit,)
    settled = [one for one in alternatives if not reads(one).position]
    on_position = [one for one in alternatives if reads(one).position]
    return any_of(settled) if settled else None, any_of(on_position) if on_position else None


def _within(place: str, mode: str, texts: tuple[str, ...], scope: Scope) -> Condition:
    try:
        return combine(mode, texts, scope)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error
