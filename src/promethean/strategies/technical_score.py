"""The weighted technical score as a strategy (SPEC 7.1)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

import numpy as np
from msgspec import Struct

from promethean.domain.candles import FloatArray
from promethean.domain.errors import ConfigError, unknown_name
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.indicators.volume.vwap import OF_CANDLES
from promethean.strategies.arrays import CLOSES_LONG, Said
from promethean.strategies.catalogue import strategy
from promethean.strategies.frame import Frame
from promethean.strategies.sections import Section
from promethean.strategies.sources.technical import (
    TechnicalSettings,
    score_confidence,
    technical_score,
    technical_window,
)

TECHNICAL_SCORE = "technical_score"
SCORE = "score"
_BAND = "vwap_band_pct"
_WHOLE = ("score_min", "score_strong", "rsi_period", "macd_fast", "macd_slow", "macd_signal", "event_candles")
_LEVELS = ("oversold", "overbought", _BAND)


class ScoredSaid(Said, frozen=True):
    """What the technical score says.  parts: what the score is made of, as `TechnicalScore` has it."""

    parts: Mapping[str, FloatArray] = MappingProxyType({})


@strategy(TECHNICAL_SCORE)
class TechnicalScoreStrategy:
    """Buys at a high technical score; sells (futures) or closes longs (spot) at a low one.

    Parameters: score_min (3), score_strong (5), rsi_period (14), oversold (30), overbought (70), macd_fast (12),
    macd_slow (26), macd_signal (9), vwap_band_pct (0.1), event_candles (1: a cross counts at its own candle alone).
    """

    remarks = (OF_CANDLES,)

    def __init__(
        self,
        *,
        id: StrategyId,
        instrument: InstrumentId,
        timeframe: str,
        parameters: Mapping[str, Decimal | bool],
        can_short: bool,
    ) -> None:
        self.id = id
        self.instrument = instrument
        self.timeframe = timeframe
        self.settings = read_settings(parameters)
        self.window = technical_window(self.settings, timeframe)
        self._can_short = can_short

    def say(self, frame: Frame) -> ScoredSaid:
        """BUY from +score_min on; SELL, or CLOSE of longs where there are no shorts, from -score_min on."""
        found = technical_score(frame, self.settings)
        score = found.score
        buys, sells = score >= self.settings.score_min, score <= -self.settings.score_min
        nothing = np.zeros(len(score), np.int8)
        side = buys.astype(np.int8) - (sells.astype(np.int8) if self._can_short else nothing)
        leave = nothing if self._can_short else sells.astype(np.int8) * np.int8(CLOSES_LONG)
        readings = {SCORE: score, f"RSI({self.settings.rsi_period})": found.rsi}
        return ScoredSaid(side, leave, score_confidence(score), readings, parts=found.parts)

    def reason(self, said: Said, at: int) -> str:
        """The score and what it is made of."""
        score = said.readings[SCORE][at]
        parts = [f"{name} {points}" for name, points in self.metadata(said, at).items()]
        strength = "strong technical score" if abs(score) >= self.settings.score_strong else "technical score"
        return f"{strength} of {score:+.0f}: {', '.join(parts)}"

    def metadata(self, said: Said, at: int) -> Mapping[str, str]:
        """The parts of the score that are known and not zero."""
        assert isinstance(said, ScoredSaid), "what it said itself"
        return {name: f"{points[at]:+.0f}" for name, points in said.parts.items() if abs(points[at]) > 0}


def read_settings(parameters: Mapping[str, Decimal | bool]) -> TechnicalSettings:
    """The settings of the score from the parameters of a strategy file.

    Raises ConfigError for an unknown name, naming the closest, and for a value out of range.
    """
    values: dict[str, float] = {}
    for name, value in parameters.items():
        if name not in (*_WHOLE, *_LEVELS):
            raise ConfigError(unknown_name(f"parameter of {TECHNICAL_SCORE}", name, (*_WHOLE, *_LEVELS)))
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
            raise ConfigError(f"parameters.{name} is {value}; write a number")
        if name in _WHOLE and value != int(value):
            raise ConfigError(f"parameters.{name} is {value}; write a whole number")
        if name == _BAND:
            values["vwap_band"] = float(value / 100)
        else:
            values[name] = int(value) if name in _WHOLE else float(value)
    try:
        return TechnicalSettings(**values)  # type: ignore[arg-type]  # whole numbers where it takes them, see above
    except ConfigError as error:
        raise ConfigError(f"parameters.{error}") from error


class TechnicalSource(Struct, frozen=True):
    """The technical score as a further source beside the class of a strategy file.

    weight:     beside the 1 of the class.
    parameters: of the score.
    """

    weight: float
    parameters: Mapping[str, Decimal]


def read_technical(technical: Section, class_name: str) -> TechnicalSource | None:
    """The section `technical` of a class-based file; None where it is not there or switched off.

    Raises ConfigError for a value out of range, and beside the class that is the technical score itself.
    """
    technical.only(("enabled", "weight", "rsi", "macd"))
    weight = technical.number("weight", Decimal("0.01"), Decimal(1000))
    parameters: dict[str, Decimal] = {}
    for key, known in (("rsi", ("period",)), ("macd", ("fast", "slow", "signal"))):
        part = Section(technical.file, f"{technical.path}.{key}", technical.values.get(key, {}))
        part.only(known)
        for name in known:
            value = part.whole(name, 1, 1000)
            if value is not None:
                parameters[f"{key}_{name}"] = value
    try:
        read_settings(parameters)
    except ConfigError as error:
        place = str(error).removeprefix("parameters.").replace("_", ".", 1)
        raise ConfigError(f"{technical.file}: {technical.path}.{place}") from error
    if not technical.values or not technical.flag("enabled", True):
        return None
    if class_name == TECHNICAL_SCORE:
        raise technical.error(
            "enabled", f"is true, but the class {class_name} is that source; write its values under parameters"
        )
    return TechnicalSource(1.0 if weight is None else float(weight), parameters)
