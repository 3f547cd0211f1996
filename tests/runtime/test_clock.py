"""The machine's clock."""

from __future__ import annotations

import asyncio
import time

from promethean.domain.instants import NS_PER_MS
from promethean.runtime.clock import SystemClock


def test_the_system_clock_shows_the_time_of_the_machine() -> None:
    before = time.time_ns()
    assert before <= SystemClock().now_ns() <= time.time_ns()


def test_a_sleep_ends_when_its_instant_has_come_and_not_before() -> None:
    clock = SystemClock()
    until_ns = clock.now_ns() + 5 * NS_PER_MS
    asyncio.run(clock.sleep_until_ns(until_ns))
    assert clock.now_ns() >= until_ns


def test_a_sleep_until_the_past_returns_at_once() -> None:
    asyncio.run(SystemClock().sleep_until_ns(0))
