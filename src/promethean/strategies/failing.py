"""What is said when a strategy's own code fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from promethean.domain.errors import StrategyError
from promethean.domain.events import MarketEvent
from promethean.domain.ids import StrategyId
from promethean.domain.instants import format_instant
from promethean.domain.market import MarketView
from promethean.domain.signals import Signal

if TYPE_CHECKING:
    from promethean.strategies.catalogue import Strategy


FAILURES = (Exception, SystemExit)
"""What a stranger's code may raise: anything, an exit as well; it is not the one to end the program."""


def failure(strategy: StrategyId, asked: Callable[..., Any], when: str, error: BaseException) -> StrategyError:
    """What a person needs to find the mistake: which strategy, when, what, and where in its file.

    asked: the method of the strategy that failed.
    """
    file = getattr(getattr(asked, "__code__", None), "co_filename", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f" (line {lines[-1]} of {file})" if lines else ""
    what = ": ".join(filter(None, (type(error).__name__, str(error))))
    return StrategyError(f"strategy {strategy} failed at {when}: {what}{where}")


class Asked:
    """A strategy that is asked at every event; a mistake of it is a StrategyError that names it and the instant."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self.id, self.instrument, self.timeframe = strategy.id, strategy.instrument, strategy.timeframe
        self.window = strategy.window

    def on_event(self, event: MarketEvent, view: MarketView) -> Sequence[Signal]:
        """The signals raised by this event.  Raises StrategyError where the strategy fails."""
        try:
            return self._strategy.on_event(event, view)
        except FAILURES as error:
            when = f"the event of {format_instant(event.at_ns)}"
            raise failure(self.id, self._strategy.on_event, when, error) from error

    def reading(self, view: MarketView) -> Mapping[str, float]:
        """The values it looks at now."""
        return self._strategy.reading(view)
