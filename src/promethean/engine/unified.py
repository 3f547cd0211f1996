"""The preset `unified`: what every kind of source says on one scale from 0 to 10, 5 being neutral (SPEC 7.3)."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from types import MappingProxyType

from msgspec import Struct

from promethean.domain.candles import timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.instants import NS_PER_S
from promethean.domain.market import Side
from promethean.engine.decide import EXACT, as_written
from promethean.strategies.sources.answer import is_fresh

_MINUTE_NS = 60 * NS_PER_S
NEUTRAL, SCORE_MAX = 5.0, 10.0
BUY_FROM, SELL_TO, CONFIDENCE_MIN = 6.5, 3.5, 0.55
INSUFFICIENT = "insufficient_sources"


class Voice(enum.StrEnum):
    """Who speaks in the preset."""

    TECHNICAL = "technical"
    CHART = "chart"
    RL = "rl"
    CREW = "crew"
    MARKET_CONTEXT = "market_context"
    NEWS = "news"


WEIGHTS: Mapping[Voice, float] = MappingProxyType(
    {
        Voice.TECHNICAL: 0.25,
        Voice.CHART: 0.30,
        Voice.RL: 0.15,
        Voice.CREW: 0.15,
        Voice.MARKET_CONTEXT: 0.10,
        Voice.NEWS: 0.05,
    }
)

_AGES_NS: Mapping[Voice, int] = MappingProxyType(
    {
        Voice.CHART: 15 * _MINUTE_NS,
        Voice.CREW: 5 * _MINUTE_NS,
        Voice.MARKET_CONTEXT: 10 * _MINUTE_NS,
        Voice.NEWS: 60 * _MINUTE_NS,
    }
)


class Regime(enum.StrEnum):
    """What the market context says of the whole market."""

    RISK_ON = "risk_on"
    RISK_OFF = "risk_off"
    NEUTRAL = "neutral"


class Opinion(Struct, frozen=True):
    """What one of them says.

    score:      0-10, 5 is neutral.
    confidence: 0.0-1.0.
    at_ns:      instant of what it looked at.
    """

    voice: Voice
    score: float
    confidence: float
    at_ns: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.score <= SCORE_MAX:
            raise ValueError(f"a score lies between 0 and 10, not {self.score}: {self.voice}")
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"a confidence lies between 0 and 1, not {self.confidence}: {self.voice}")


class Contribution(Struct, frozen=True):
    """One line of the panel.

    weight:       configured.
    weight_used:  after renormalisation over who is fresh; 0 for who is left out.
    age_ns:       None for who said nothing.
    contribution: weight used x score, points of the total.
    """

    voice: Voice
    weight: float
    weight_used: float
    score: float | None
    confidence: float | None
    age_ns: int | None
    contribution: float

    @property
    def is_left_out(self) -> bool:
        """Whether it is absent or stale."""
        return self.weight_used == 0.0


class Unified(Struct, frozen=True):
    """What all of them say.

    side:       None is HOLD; reason says why, for people.
    total:      0-10; None while too few of them are fresh.
    confidence: 0.0-1.0, the weighted mean.
    """

    side: Side | None
    total: float | None
    confidence: float
    reason: str
    contributions: tuple[Contribution, ...]


# ---------------------------------------------------------------- scores


def _scored(side: Side | None, buy: float, *more: float) -> float:
    """5 without a side, `buy` or its mirror image with one, moved by what else there is, kept within 0-10."""
    base = NEUTRAL if side is None else NEUTRAL + side.sign * (buy - NEUTRAL)
    # Nine digits: the noise of float sums is no part of a score.
    return round(min(SCORE_MAX, max(0.0, base + math.fsum(more))), 9)


def technical_points(
    side: Side | None, rsi: float, macd_histogram: float, oversold: float = 30.0, overbought: float = 70.0
) -> float:
    """7, 3 or 5; 1 more when the RSI is oversold and less when overbought, 0.5 more above the signal line, less below.

    rsi:            0-100.  macd_histogram: quote units.  NaN of either moves nothing.
    """
    extreme = 1.0 if rsi < oversold else -1.0 if rsi > overbought else 0.0
    momentum = 0.5 if macd_histogram > 0 else -0.5 if macd_histogram < 0 else 0.0
    return _scored(side, 7.0, extreme, momentum)


def chart_points(side: Side | None, sentiment: Side | None = None) -> float:
    """7.5, 2.5 or 5, and 1 more or less for a bullish or bearish sentiment of the chart."""
    return _scored(side, 7.5, sentiment.sign if sentiment is not None else 0.0)


def rl_points(side: Side | None, confidence: float) -> float:
    """8, 2 or 5, pulled to 5 by what its confidence lacks.  confidence: 0.0-1.0."""
    if not 0.0 <= confidence <= 1.0:
        raise ValueError(f"a confidence lies between 0 and 1, not {confidence}")
    return _scored(side, NEUTRAL + 3.0 * confidence)


def crew_points(side: Side | None, spike: Side | None = None) -> float:
    """7.5, 2.5 or 5, and 1 more or less for a spike that goes on up or down."""
    return _scored(side, 7.5, spike.sign if spike is not None else 0.0)


def market_context_points(regime: Regime, btc_correlation: float, btc_trend: Side | None) -> float:
    """6.5, 3.5 or 5, and 1 more or less with the trend of BTC where the correlation with it is above 0.7.

    btc_correlation: -1..1; NaN is none.  btc_trend: None where BTC goes nowhere.
    """
    side = {Regime.RISK_ON: Side.BUY, Regime.RISK_OFF: Side.SELL, Regime.NEUTRAL: None}[regime]
    follows = btc_trend.sign if btc_trend is not None and btc_correlation > 0.7 else 0.0
    return _scored(side, 6.5, follows)


def news_points(score: float) -> float:
    """(score + 1) x 5.  score: -1..1."""
    if not -1.0 <= score <= 1.0:
        raise ValueError(f"the score of news lies between -1 and 1, not {score}")
    return _scored(None, NEUTRAL, score * NEUTRAL)


# ---------------------------------------------------------------- total


def age_max_ns(voice: Voice, timeframe: str) -> int:
    """How old an opinion may be: two candles of the timeframe, or what the preset says."""
    return _AGES_NS.get(voice, 2 * timeframe_ns(timeframe))


def unified(
    opinions: Iterable[Opinion], now_ns: int, timeframe: str, weights: Mapping[Voice, float] = WEIGHTS
) -> Unified:
    """One view from the opinions of all configured voices.

    Of each voice the newest opinion counts unless it is too old; the weights are renormalised over who is fresh.  Below
    half of the configured weight: HOLD, `insufficient_sources`.  BUY from a total of 6.5 on, SELL down from 3.5, and
    both from a confidence of 0.55 on; else HOLD.

    weights: of the configured voices, above zero; an opinion of another voice does not count.
    Raises ConfigError for weights that are none.
    """
    if not weights or any(not 0 < weight < math.inf for weight in weights.values()):
        raise ConfigError(f"the weights of unified are above zero, unlike {dict(weights)}")
    newest: dict[Voice, Opinion] = {}
    for opinion in opinions:
        known = newest.get(opinion.voice)
        if opinion.at_ns <= now_ns and (known is None or opinion.at_ns >= known.at_ns):
            newest[opinion.voice] = opinion
    fresh = {
        voice: newest[voice]
        for voice in weights
        if voice in newest and is_fresh(newest[voice].at_ns, now_ns, age_max_ns(voice, timeframe))
    }
    with localcontext(EXACT):
        configured = sum((as_written(weight) for weight in weights.values()), Decimal(0))
        used = sum((as_written(weights[voice]) for voice in fresh), Decimal(0))
        lines = tuple(_line(voice, weights[voice], newest.get(voice), fresh, used, now_ns) for voice in weights)
        if 2 * used < configured or not used:
            return Unified(None, None, 0.0, INSUFFICIENT, lines)
        total, confidence = (
            sum((as_written(weights[voice]) * as_written(value) for voice, value in values.items()), Decimal(0)) / used
            for values in (
                {voice: opinion.score for voice, opinion in fresh.items()},
                {voice: opinion.confidence for voice, opinion in fresh.items()},
            )
        )
        side, reason = _decided(total, confidence)
    return Unified(side, float(total), float(confidence), reason, lines)


def _decided(total: Decimal, confidence: Decimal) -> tuple[Side | None, str]:
    if total >= as_written(BUY_FROM):
        side = Side.BUY
    elif total <= as_written(SELL_TO):
        side = Side.SELL
    else:
        return None, f"a total of {total:.2f} lies between {SELL_TO:g} and {BUY_FROM:g}"
    if confidence < as_written(CONFIDENCE_MIN):
        return (
            None,
            f"a total of {total:.2f} says {side}, but a confidence of {confidence:.3f} is below {CONFIDENCE_MIN:g}",
        )
    return side, f"a total of {total:.2f} says {side}, with a confidence of {confidence:.3f}"


def _line(
    voice: Voice, weight: float, said: Opinion | None, fresh: Mapping[Voice, Opinion], used: Decimal, now_ns: int
) -> Contribution:
    if said is None:
        return Contribution(voice, weight, 0.0, None, None, None, 0.0)
    share = as_written(weight) / used if voice in fresh else Decimal(0)
    points = float(share * as_written(said.score))
    return Contribution(voice, weight, float(share), said.score, said.confidence, now_ns - said.at_ns, points)
