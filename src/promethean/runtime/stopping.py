"""How a run is asked to stop: by a signal, or by somebody who looks on."""

from __future__ import annotations

import asyncio
import signal
from types import FrameType, TracebackType
from typing import Any, Self

from promethean.domain.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Before trading has begun a signal ends the start with `Stopped`; afterwards it asks for a clean stop.

    Enter it in the main thread: signals are answered from there on, until it is left.
    """

    def __init__(self) -> None:
        self.wanted = asyncio.Event()
        self._number: int | None = None
        self._task: asyncio.Task[Any] | None = None
        self._begun = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, asyncio.CancelledError) and self._number is not None:
            raise Stopped(self._number) from None

    def watch_over(self) -> None:
        """From now on a signal ends the current task instead of whatever line is running."""
        self._task = asyncio.current_task()

    async def begin(self) -> None:
        """Trading begins.  A signal that has come by now still ends the start."""
        if self._number is not None:
            self._follow()
            await asyncio.sleep(0)  # a cancelled task ends where it waits
        self._begun = True

    def ask(self) -> None:
        """As Ctrl-C.  Call it from the main thread."""
        self._on_signal(signal.SIGINT, None)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._task is None:
            raise Stopped(number)
        if not self._task.done():  # else it is ending already
            self._number = number
            self._task.get_loop().call_soon_threadsafe(self._follow)

    def _follow(self) -> None:
        assert self._task is not None, "a signal is followed by the task that it ends"
        if self._begun:
            self.wanted.set()
        elif not self._task.cancelling():
            self._task.cancel()
