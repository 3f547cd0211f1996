"""Instants are integers: nanoseconds since the epoch, UTC.  `datetime` appears only where people read it."""

from __future__ import annotations

from datetime import UTC, datetime

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_S
DAY_NS = 86_400 * NS_PER_S


def day_of(instant_ns: int) -> int:
    """The UTC day an instant lies in, counted from 1970-01-01."""
    return instant_ns // DAY_NS


def to_datetime(instant_ns: int) -> datetime:
    """The instant for people and for TIMESTAMPTZ columns; microseconds at best."""
    return datetime.fromtimestamp(instant_ns // 1000 / 1_000_000, tz=UTC)


def format_instant(instant_ns: int) -> str:
    """`2025-05-20 00:14:00` in UTC."""
    return datetime.fromtimestamp(instant_ns // NS_PER_S, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
