"""What a source answers when it is asked, and how long that counts (SPEC 5.5, 7.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct, field

from promethean.domain.candles import timeframe_ns
from promethean.domain.instants import NS_PER_S
from promethean.domain.market import Side
from promethean.domain.signals import SignalSource

_MINUTE_NS = 60 * NS_PER_S

MAX_AGE_NS: Mapping[SignalSource, int] = MappingProxyType(
    {
        SignalSource.ORDERBOOK: 5 * NS_PER_S,
        SignalSource.AGENT: 5 * _MINUTE_NS,
        SignalSource.CHART_VISION: 15 * _MINUTE_NS,
        SignalSource.MARKET_CONTEXT: 10 * _MINUTE_NS,
        SignalSource.NEWS: 60 * _MINUTE_NS,
    }
)
"""How old an answer may be when it is acted on; the others read candles, whose age is counted in intervals."""


class Answer(Struct, frozen=True):
    """What one source says about one instrument.

    side:       None is HOLD: it looked and has no view.  A source that could not look gives no answer at all.
    confidence: 0.0-1.0, finite; of a HOLD 0.
    reason:     one sentence for people, with the values.
    at_ns:      instant of what it looked at: the close of a candle, the receipt of a book.
    values:     what it looked at, by name.
    """

    source: SignalSource
    side: Side | None
    confidence: float
    reason: str
    at_ns: int
    values: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not (math.isfinite(self.confidence) and 0.0 <= self.confidence <= 1.0):
            raise ValueError(f"a confidence lies between 0 and 1, not {self.confidence}: {self.reason}")
        if self.side is None and self.confidence:
            raise ValueError(f"a HOLD has no confidence, not {self.confidence}: {self.reason}")


def max_age_ns(source: SignalSource, timeframe: str) -> int:
    """How old an answer may be: what SPEC 5.5 says of its data, or one and a half candles of this timeframe."""
    return MAX_AGE_NS.get(source, timeframe_ns(timeframe) * 3 // 2)


def is_fresh(answered_at_ns: int, now_ns: int, age_max_ns: int) -> bool:
    """Whether an answer still counts; one of exactly that age does, one from the future does not."""
    return 0 <= now_ns - answered_at_ns <= age_max_ns
