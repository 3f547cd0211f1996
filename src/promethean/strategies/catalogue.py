"""What a strategy is, and the registry of strategy classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Protocol, TypeVar, runtime_checkable

from promethean.domain.events import CandleClosed, MarketEvent
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.market import MarketView
from promethean.domain.registry import Registry
from promethean.domain.signals import Signal
from promethean.strategies.arrays import ArrayStrategy
from promethean.strategies.candle_strategy import CandleStrategy
from promethean.strategies.held import Held


class Strategy(Protocol):
    """Reads the market, raises signals; has no clock, no venue and no mode.

    id, instrument, timeframe: whose it is, what it trades and on which candles it decides.
    window:                    trailing candles it needs to see.
    """

    id: StrategyId
    instrument: InstrumentId
    timeframe: str
    window: int

    def on_event(self, event: MarketEvent, view: MarketView) -> Sequence[Signal]:
        """Signals raised by this event; none when there is nothing to say.

        `view` holds what could be known at the event, the event included.  Same arguments, same answer.
        """
        ...

    def reading(self, view: MarketView) -> Mapping[str, float]:
        """The indicator values it looks at now, by name, for people; NaN while they are not known."""
        ...


@runtime_checkable
class LeavesPosition(Protocol):
    """A strategy with conditions on its open position.  reads_position: whether it has any."""

    @property
    def reads_position(self) -> bool:
        """False spares the question at every candle of a position."""
        ...

    def leaves(self, event: CandleClosed, view: MarketView, held: Held) -> Signal | None:
        """The CLOSE that they ask for at the close of a primary candle; None while they ask for none.

        held: the position at that close.  Asked at every such candle while one is held, unless it is left already.
        """
        ...


class StrategyClass(Protocol):
    """How a strategy is made from a strategy file: its id, its market and its `parameters`.

    Raises ConfigError for an unknown parameter, naming the closest, and for a value out of range.
    """

    def __call__(
        self,
        *,
        id: StrategyId,
        instrument: InstrumentId,
        timeframe: str,
        parameters: Mapping[str, Decimal | bool],
        can_short: bool,
    ) -> Strategy | ArrayStrategy | CandleStrategy:
        """The strategy."""
        ...


STRATEGIES: Registry[StrategyClass] = Registry("strategy")
C = TypeVar("C", bound=StrategyClass)


def strategy(name: str) -> Callable[[C], C]:
    """Register a strategy class under the name that strategy files use as `class`."""

    def decorate(made: C) -> C:
        STRATEGIES.add(name, made)
        return made

    return decorate
