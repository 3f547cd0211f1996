"""Signals cannot be built wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.signals import Signal, SignalSource, SignalType


def signal(**changes: Any) -> Signal:
    values: dict[str, Any] = {
        "type": SignalType.BUY,
        "source": SignalSource.TECHNICAL,
        "confidence": 0.75,
        "reason": "RSI(14) is 21.50, below 30",
        "instrument": InstrumentId("binance:BTCUSDT"),
        "timeframe": "1m",
        "at_ns": 1,
        "strategy": StrategyId("rsi-btc-1m"),
    }
    return Signal(**values | changes)


@given(st.floats(0.0, 1.0))
def test_a_confidence_lies_between_zero_and_one(confidence: float) -> None:
    assert signal(confidence=confidence).confidence == confidence


@pytest.mark.parametrize("confidence", [-1e-9, math.nextafter(1.0, 2.0), math.nan, math.inf, -math.inf])
def test_any_other_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="a confidence lies between 0 and 1"):
        signal(confidence=confidence)


@pytest.mark.parametrize("kind", [kind for kind in SignalType if kind is not SignalType.PARTIAL_CLOSE])
def test_a_close_percentage_belongs_to_a_partial_close_alone(kind: SignalType) -> None:
    with pytest.raises(ValueError, match="belongs to PARTIAL_CLOSE"):
        signal(type=kind, close_percentage=0.5)


def test_a_partial_close_says_how_much() -> None:
    assert signal(type=SignalType.PARTIAL_CLOSE, close_percentage=1.0).close_percentage == 1.0
    with pytest.raises(ValueError, match="belongs to PARTIAL_CLOSE"):
        signal(type=SignalType.PARTIAL_CLOSE)


@pytest.mark.parametrize("share", [0.0, -0.1, math.nextafter(1.0, 2.0), math.nan])
def test_a_share_to_close_is_above_zero_and_up_to_one(share: float) -> None:
    with pytest.raises(ValueError, match="close_percentage is a share"):
        signal(type=SignalType.PARTIAL_CLOSE, close_percentage=share)


def test_a_signal_is_a_fact_that_nobody_changes() -> None:
    made = signal()
    with pytest.raises(AttributeError, match="immutable"):
        made.confidence = 0.9  # type: ignore[misc]  # the point of the test
    with pytest.raises(TypeError):
        made.metadata["rsi"] = "1"  # type: ignore[index]  # the point of the test
