"""Where the shell gets its time from."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from promethean.domain.instants import NS_PER_S

LONGEST_SLEEP_S = 60.0


class Clock(Protocol):
    """Time for the shell; core code takes the time from the event instead.

    Guaranteed: `sleep_until_ns` returns once `now_ns()` has reached the instant, at once when it already has.
    """

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, UTC."""
        ...

    async def sleep_until_ns(self, instant_ns: int) -> None:
        """Wait until the clock shows `instant_ns` or later."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, UTC."""
        return time.time_ns()

    async def sleep_until_ns(self, instant_ns: int) -> None:
        """Wait until the machine's clock shows `instant_ns` or later."""
        # In pieces: the wall clock may be set, or stand still with the machine, while a long sleep is under way.
        while (left_ns := instant_ns - time.time_ns()) > 0:  # noqa: ASYNC110 - time itself is waited for, not a flag
            await asyncio.sleep(min(left_ns / NS_PER_S, LONGEST_SLEEP_S))
