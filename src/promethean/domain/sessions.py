"""The trading sessions of a day and the days of a week, UTC (SPEC 7.9)."""

from __future__ import annotations

from promethean.domain.instants import DAY_NS

HOUR_NS = DAY_NS // 24
SESSIONS = {"asia": (0, 8), "europe": (7, 16), "us": (13, 22)}
"""First hour and end of each session; they overlap, and two hours of a day belong to none."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONDAY_NS = 4 * DAY_NS  # the epoch was a Thursday


def sessions_at(at_ns: int) -> tuple[str, ...]:
    """The sessions that an instant belongs to; none between them."""
    hour = at_ns % DAY_NS // HOUR_NS
    return tuple(name for name, (first, end) in SESSIONS.items() if first <= hour < end)
