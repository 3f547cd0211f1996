"""technical_score: candles in, signals out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from tests.strategies.recorded import invented

from promethean.domain.candles import Candle, CandleSeries
from promethean.domain.errors import ConfigError
from promethean.domain.events import CandleClosed
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.domain.market import MarketView
from promethean.strategies.arrays import CLOSES_LONG, Prepared
from promethean.strategies.catalogue import STRATEGIES
from promethean.strategies.frame import Frame
from promethean.strategies.sources.technical import PARTS, technical_score
from promethean.strategies.technical_score import TechnicalScoreStrategy, read_settings


def scoring(*, can_short: bool = True, **parameters: Any) -> TechnicalScoreStrategy:
    return TechnicalScoreStrategy(
        id=StrategyId("s"),
        instrument=InstrumentId("binance:BTCUSDT"),
        timeframe="1m",
        parameters={name: value if isinstance(value, bool) else Decimal(value) for name, value in parameters.items()},
        can_short=can_short,
    )


FRAME = Frame(invented(3, 2000), "1m")


def candle(candles: CandleSeries, place: int) -> Candle:
    opened = int(candles.open_time_ns[place])
    values = [float(getattr(candles, name)[place]) for name in ("open", "high", "low", "close", "volume")]
    return Candle(InstrumentId("binance:BTCUSDT"), "1m", opened, opened + 60 * 10**9, *values)


scores = technical_score(FRAME).score


@pytest.mark.parametrize("least", [1, 3, 5, 14])
def test_it_acts_from_its_score_on(least: int) -> None:
    said = scoring(score_min=least, score_strong=14).say(FRAME)
    np.testing.assert_array_equal(said.side, np.where(scores >= least, 1, np.where(scores <= -least, -1, 0)))
    assert not said.leave.any()


def test_where_there_are_no_shorts_a_sell_closes_longs() -> None:
    said = scoring(can_short=False).say(FRAME)
    np.testing.assert_array_equal(said.side, np.where(scores >= 3, 1, 0))
    np.testing.assert_array_equal(said.leave, np.where(scores <= -3, CLOSES_LONG, 0))
    assert said.side.any()
    assert said.leave.any()


def test_it_says_what_the_score_is_made_of_and_when_it_is_strong() -> None:
    strategy = scoring()
    said = strategy.say(FRAME)
    for place in np.flatnonzero(said.side).tolist():
        reason = strategy.reason(said, place)
        assert reason.startswith("strong " if abs(scores[place]) >= 5 else "technical score of ")
        assert f"score of {scores[place]:+.0f}: " in reason
        parts = [int(part.rpartition(" ")[2]) for part in reason.partition(": ")[2].split(", ")]
        assert sum(parts) == scores[place]


def test_its_first_reading_is_the_score() -> None:
    assert list(scoring(rsi_period=9).say(FRAME).readings) == ["score", "RSI(9)"]


def test_a_signal_carries_the_parts_of_the_score() -> None:
    recorded = Prepared(scoring(), FRAME)
    place = int(recorded.spoken[0])
    closed = candle(FRAME.candles, place)
    (signal,) = recorded.on_event(CandleClosed(closed, closed.close_time_ns), MarketView())
    parts = {name: int(points) for name, points in signal.metadata.items() if name in PARTS}
    assert sum(parts.values()) == float(signal.metadata["score"]) == scores[place]
    assert 0 not in parts.values()


def test_a_part_that_is_not_known_is_not_told() -> None:
    """Beside other sources a signal comes at candles at which the score is not known yet, too."""
    strategy = scoring()
    said = strategy.say(FRAME)
    known = {name: ~np.isnan(points) for name, points in said.parts.items()}
    place = int(np.flatnonzero(known["price / EMA9"] & ~known["price / EMA200"])[-1])
    told = strategy.metadata(said, place)
    assert "price / EMA9" in told
    assert "price / EMA200" not in told


def test_it_is_registered_under_the_name_that_files_use() -> None:
    assert STRATEGIES.get("technical_score") is TechnicalScoreStrategy


def test_parameters_of_a_file_become_settings() -> None:
    settings = read_settings({"score_min": Decimal(4), "vwap_band_pct": Decimal("0.2"), "oversold": Decimal("25.5")})
    assert (settings.score_min, settings.vwap_band, settings.oversold) == (4, 0.002, 25.5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"score_mni": 3}, "unknown parameter of technical_score 'score_mni'; did you mean 'score_min'"),
        ({"score_min": True}, "parameters.score_min is True; write a number"),
        ({"score_min": "NaN"}, "parameters.score_min is NaN; write a number"),
        ({"score_min": "3.5"}, "parameters.score_min is 3.5; write a whole number"),
        ({"score_min": 15}, "parameters.score_min is 15; it lies between 1 and 14"),
        ({"vwap_band_pct": 60}, "parameters.vwap_band is 0.6; it lies between 0 and 0.5"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_refused(parameters: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        scoring(**parameters)
