"""What a source says about an instrument."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct, field

from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.market import Side


class SignalType(enum.StrEnum):
    """What a source would do.  No view is the absence of a side, not a type."""

    BUY = "BUY"
    SELL = "SELL"
    CLOSE = "CLOSE"
    PARTIAL_CLOSE = "PARTIAL_CLOSE"


class SignalSource(enum.StrEnum):
    """Who speaks."""

    TECHNICAL = "TECHNICAL"
    ORDERBOOK = "ORDERBOOK"
    ML_MODEL = "ML_MODEL"
    RL_MODEL = "RL_MODEL"
    AGENT = "AGENT"
    CHART_VISION = "CHART_VISION"
    NEWS = "NEWS"
    MARKET_CONTEXT = "MARKET_CONTEXT"
    RISK = "RISK"
    MANUAL = "MANUAL"


class Signal(Struct, frozen=True):
    """One source's view of one instrument.

    confidence:       0.0-1.0, finite.
    reason:           one sentence for people, with the values.
    metadata:         values used, as text.
    close_percentage: share 0-1 of the original size; only for PARTIAL_CLOSE.
    closes:           the side of the positions that a CLOSE closes, BUY for longs; None: either.
    stop, targets:    prices that an entry brings along, quote units, finite and above zero, targets nearest first;
                      none: what the strategy file says.
    """

    type: SignalType
    source: SignalSource
    confidence: float
    reason: str
    instrument: InstrumentId
    timeframe: str
    at_ns: int
    strategy: StrategyId
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    close_percentage: float | None = None
    closes: Side | None = None
    stop: float | None = None
    targets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.confidence) and 0.0 <= self.confidence <= 1.0):
            raise ValueError(f"a confidence lies between 0 and 1, not {self.confidence}: {self.reason}")
        if (self.type is SignalType.PARTIAL_CLOSE) != (self.close_percentage is not None):
            raise ValueError(f"close_percentage belongs to PARTIAL_CLOSE and to nothing else: {self.type}")
        if self.close_percentage is not None and not 0.0 < self.close_percentage <= 1.0:
            raise ValueError(f"close_percentage is a share above 0 and up to 1, not {self.close_percentage}")
        if self.closes is not None and self.type is not SignalType.CLOSE:
            raise ValueError(f"a side is closed by CLOSE and by nothing else: {self.type}")
        prices = self.targets if self.stop is None else (self.stop, *self.targets)
        if prices and self.type not in (SignalType.BUY, SignalType.SELL):
            raise ValueError(f"stop and targets belong to an entry: {self.type}")
        for price in prices:
            if not (math.isfinite(price) and price > 0):
                raise ValueError(f"a stop or target is a price above zero, not {price}: {self.reason}")
