"""When a strategy may enter: in some sessions of the day, on some days of the week (SPEC 7.6, 7.9)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from promethean.domain.candles import IntArray, timeframe_ns
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.instants import DAY_NS
from promethean.domain.sessions import HOUR_NS, MONDAY_NS, SESSIONS, WEEKDAYS
from promethean.strategies.arrays import CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT, ArrayStrategy, FlagArray, Said, told_by
from promethean.strategies.frame import Frame
from promethean.strategies.sections import Section

BoolArray = NDArray[np.bool_]


class Schedule(Struct, frozen=True):
    """When entries are made.

    sessions: names of SESSIONS; weekdays: names of WEEKDAYS.  An instant is inside when it belongs to one of each.
    """

    sessions: tuple[str, ...]
    weekdays: tuple[str, ...]

    def holds(self, at_ns: IntArray) -> BoolArray:
        """Whether each instant is inside, shape as `at_ns`."""
        hours = np.zeros(24, bool)
        for name in self.sessions:
            first, end = SESSIONS[name]
            hours[first:end] = True
        days = np.array([name in self.weekdays for name in WEEKDAYS])
        inside: BoolArray = hours[at_ns % DAY_NS // HOUR_NS] & days[(at_ns - MONDAY_NS) // DAY_NS % len(WEEKDAYS)]
        return inside

    def __str__(self) -> str:
        return f"sessions {', '.join(self.sessions)} on {', '.join(self.weekdays)}"


class Curtailed(Said, frozen=True, kw_only=True):
    """What a scheduled strategy says, with all that it would have said at any time."""

    heard: Said


class Scheduled:
    """A strategy whose entries are made inside a schedule alone, judged at the close of the candle that says them.

    Exits are made always.

    closes_opposite: an opposite entry closes what is held, so outside a BUY still closes a short and a SELL a long;
                     else an entry outside says nothing.

    Raises ConfigError where no candle of the timeframe ever closes inside.
    """

    def __init__(self, strategy: ArrayStrategy, schedule: Schedule, *, closes_opposite: bool = True) -> None:
        self.strategy, self.schedule, self.closes_opposite = strategy, schedule, closes_opposite
        self.id, self.instrument, self.timeframe = strategy.id, strategy.instrument, strategy.timeframe
        self.window = strategy.window
        length_ns = timeframe_ns(self.timeframe)
        closes = MONDAY_NS + np.arange(0, 7 * DAY_NS, length_ns)
        if not schedule.holds(closes).any():
            raise ConfigError(
                f"no candle of {self.timeframe} closes in the {schedule}; use a smaller timeframe or other sessions"
            )

    def say(self, frame: Frame) -> Said:
        """What the strategy says, without the entries that would come outside."""
        heard = self.strategy.say(frame)
        outside = self._outside(frame)
        side: FlagArray = np.where(outside, np.int8(0), heard.side).astype(np.int8)
        leave = heard.leave
        if self.closes_opposite:
            closes = np.where(heard.side > 0, np.int8(CLOSES_SHORT), np.int8(CLOSES_LONG))
            both = (heard.leave != 0) & (heard.leave != closes)
            turned = np.where(both, np.int8(CLOSES_ALL), closes)
            leave = np.where(outside & (heard.side != 0), turned, heard.leave).astype(np.int8)
        said = {name: getattr(heard, name) for name in Said.__struct_fields__}
        return Curtailed(**(said | {"side": side, "leave": leave}), heard=heard)

    def reason(self, said: Said, at: int) -> str:
        """Why, by the strategy; and that the schedule made an exit of an entry."""
        heard = _heard(said)
        reason = self.strategy.reason(heard, at)
        if heard.side[at] and not said.side[at]:
            return f"{reason}; outside the {self.schedule}, so nothing is opened"
        return reason

    def metadata(self, said: Said, at: int) -> Mapping[str, str]:
        """What the strategy has to tell."""
        return told_by(self.strategy, _heard(said), at)

    def _outside(self, frame: Frame) -> BoolArray:
        key = ("outside", self.schedule)
        if key not in frame.memo:
            frame.memo[key] = ~self.schedule.holds(frame.close_time_ns)
        outside: BoolArray = frame.memo[key]
        return outside


def _heard(said: Said) -> Said:
    return said.heard if isinstance(said, Curtailed) else said


def read_schedule(sections: Section) -> Schedule | None:
    """The section `schedule`, or None where there is none.  Raises ConfigError naming file, path, value and remedy."""
    if "schedule" not in sections.values:
        return None
    section = sections.section("schedule")
    section.only(("sessions", "weekdays"))
    if not section.values:
        raise sections.error("schedule", "is empty; write for example {sessions: [europe, us], weekdays: [mon, tue]}")
    return Schedule(
        _names(section, "session", tuple(SESSIONS)),
        _names(section, "weekday", WEEKDAYS),
    )


def _names(section: Section, kind: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names from a list, in the order of the day or the week; all of them where there is no list."""
    key = f"{kind}s"
    listed = section.values.get(key, list(known))
    if not isinstance(listed, list) or not listed:
        raise section.error(key, f"is {listed!r}; write a list, for example [{', '.join(known[:2])}]")
    for name in listed:
        if name not in known:
            raise section.error(key, f"names an {unknown_name(kind, str(name), known)}")
    return tuple(name for name in known if name in listed)
