"""The weighted technical score, and the vote of the RSI alone (SPEC 7.1)."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from promethean.domain.candles import FloatArray, timeframe_ns
from promethean.domain.errors import ConfigError
from promethean.domain.instants import DAY_NS
from promethean.indicators.momentum.rsi import rsi_window
from promethean.indicators.smart_money.divergence import divergence
from promethean.indicators.smart_money.swing_points import swing_points
from promethean.indicators.trend.ema import ema_window
from promethean.indicators.trend.macd import macd_window
from promethean.indicators.volume.vwap import Vwap
from promethean.strategies.frame import Frame

SCORE_MAX = 14  # of all parts together
EQUAL = 1e-12  # of the price: what rounding leaves between two averages of a price that stands still
FAST, MEDIUM, SLOW, BASE = 9, 21, 50, 200
SWING, REACH = 5, 100  # candles on each side of a swing, and between two swings that are compared
PERIOD_MAX = 64  # of the RSI; its window and the longest divergence still fit into the candles that a view keeps
SPAN_MAX = 190  # slow and signal period of the MACD together, for the same reason

PARTS = {
    "MACD cross": 1,
    "histogram": 1,
    "VWAP": 1,
    "price / EMA9": 1,
    "price / EMA50": 1,
    "price / EMA200": 1,
    "EMA9 / EMA21 cross": 2,
    "EMA50 / EMA200 cross": 3,
    "RSI": 1,
    "divergence": 2,
}
"""What the score is made of, with the most that each part adds."""


class TechnicalSettings(Struct, frozen=True):
    """How the technical score is taken.

    score_min, score_strong: absolute scores from which it acts, and from which it is called strong, 1-14.
    rsi_period, oversold, overbought: of the RSI, whose extremes and divergences count.
    macd_fast, macd_slow, macd_signal: periods of the MACD.
    vwap_band: fraction of the VWAP around it that says nothing.
    event_candles: for how many candles, its own included, a cross or a divergence counts.
    Raises ConfigError naming value and limit.
    """

    score_min: int = 3
    score_strong: int = 5
    rsi_period: int = 14
    oversold: float = 30.0
    overbought: float = 70.0
    macd_fast: int = 12
    macd_slow: int = 26
    macd_signal: int = 9
    vwap_band: float = 0.001
    event_candles: int = 1

    def __post_init__(self) -> None:
        for name, low, high in (
            ("score_min", 1, SCORE_MAX),
            ("score_strong", 1, SCORE_MAX),
            ("rsi_period", 2, PERIOD_MAX),
            ("oversold", 0, 100),
            ("overbought", 0, 100),
            ("macd_fast", 1, self.macd_slow - 1),
            ("macd_slow", 2, SPAN_MAX - self.macd_signal),
            ("macd_signal", 1, SPAN_MAX - 2),
            ("vwap_band", 0, 0.5),
            ("event_candles", 1, 100),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value:g}; it lies between {low:g} and {high:g}")
        if not 0 < self.oversold < self.overbought < 100:
            raise ConfigError(
                f"oversold is {self.oversold:g} and overbought {self.overbought:g}; they rise between 0 and 100"
            )


AS_SPECIFIED = TechnicalSettings()


class TechnicalScore(Struct, frozen=True):
    """The score at every candle.

    score: float64, shape (n,), whole numbers -14..14, above zero for a buy; NaN while one of its parts is not known.
    parts: by the names of PARTS, each float64, shape (n,), NaN where not known; their sum is the score.
    rsi:   float64, shape (n,).
    """

    score: FloatArray
    parts: dict[str, FloatArray]
    rsi: FloatArray


def technical_window(settings: TechnicalSettings, timeframe: str) -> int:
    """Trailing candles that decide the last score: the slowest average, a session, or two swings and their RSI."""
    swings = REACH + 2 * SWING + 1
    session = DAY_NS // timeframe_ns(timeframe) + 1
    longest = max(
        ema_window(BASE),
        macd_window(settings.macd_slow, settings.macd_signal),
        rsi_window(settings.rsi_period) + swings,
        session,
    )
    return longest + settings.event_candles


def technical_score(frame: Frame, settings: TechnicalSettings = AS_SPECIFIED) -> TechnicalScore:
    """The weighted technical score at the close of every candle; nothing that comes after a candle counts there.

    Crosses and divergences are events: they count at their candle and as long as `event_candles` says.  The others say
    how things stand.  Session VWAP from candles.  A divergence lies between the closes of two swings of a side, at
    most 100 candles apart, and is known 5 candles after the second; none is 0, also before there are two swings.
    """
    candles, timeframe = frame.candles, frame.timeframe
    close = candles.close
    noise = EQUAL * np.abs(close)

    def average(period: int) -> FloatArray:
        return frame.indicator("ema", {"period": period}, timeframe)[0]

    periods = {"fast": settings.macd_fast, "slow": settings.macd_slow, "signal": settings.macd_signal}
    line, signal, histogram = frame.indicator("macd", periods, timeframe)
    (strength,) = frame.indicator("rsi", {"period": settings.rsi_period}, timeframe)
    distance = Vwap(*frame.indicator("vwap", {}, timeframe)).distance
    fast, medium, slow, base = (average(period) for period in (FAST, MEDIUM, SLOW, BASE))
    lasting = settings.event_candles
    extreme = np.where(strength < settings.oversold, 1.0, np.where(strength > settings.overbought, -1.0, 0.0))
    outside = np.where(np.abs(distance) >= settings.vwap_band, np.sign(distance), 0.0)
    found = (
        _lasting(_crosses(line - signal, noise), lasting),
        _sign(np.diff(histogram, prepend=np.nan), noise),
        np.where(np.isnan(distance), np.nan, outside),
        _sign(close - fast, noise),
        _sign(close - slow, noise),
        _sign(close - base, noise),
        _lasting(_crosses(fast - medium, noise), lasting),
        _lasting(_crosses(slow - base, noise), lasting),
        np.where(np.isnan(strength), np.nan, extreme),
        _lasting(_divergences(close, strength), lasting),
    )
    parts = {name: weight * values for (name, weight), values in zip(PARTS.items(), found, strict=True)}
    score: FloatArray = np.sum(list(parts.values()), axis=0)
    return TechnicalScore(score, parts, strength)


def score_confidence(score: FloatArray) -> FloatArray:
    """How sure a score is: min(1, 0.5 + |score| / 14), to six digits; NaN stays NaN."""
    # What people read; the noise of float sums is not part of it.
    confidence: FloatArray = np.round(np.minimum(1.0, 0.5 + np.abs(score) / SCORE_MAX), 6).astype(np.float64)
    return confidence


def rsi_confidence(rsi: FloatArray, oversold: float = 30.0, overbought: float = 70.0) -> FloatArray:
    """How sure the RSI alone is, to six digits: 0.6 at a level, 1 at the end of the scale; NaN between the levels.

    Source: SPEC 7.1: 0.6 + 0.4 x (30 - rsi) / 30 below 30, mirrored above 70.
    """
    depth = np.where(
        rsi < oversold,
        (oversold - rsi) / oversold,
        np.where(rsi > overbought, (rsi - overbought) / (100 - overbought), np.nan),
    )
    confidence: FloatArray = np.round(np.minimum(1.0, 0.6 + 0.4 * depth), 6).astype(np.float64)
    return confidence


def _sign(values: FloatArray, noise: FloatArray) -> FloatArray:
    """+1, -1, or 0 where a value is no more than rounding; NaN stays NaN."""
    signs: FloatArray = np.where(np.abs(values) <= noise, 0.0, np.sign(values))
    return signs


def _crosses(difference: FloatArray, noise: FloatArray) -> FloatArray:
    """+1 where a difference rises through zero, -1 where it falls through; a touch between is passed over.

    Returns: float64, shape (n,); NaN where the difference is not known, and at its first value.
    """
    side = _sign(difference, noise)
    known = ~np.isnan(side)
    # At every candle, the side before it: the last one that was not zero.
    decided = np.where(known & (side != 0), np.arange(len(side)), -1)
    last = np.maximum.accumulate(decided) if len(side) else decided
    before = np.concatenate(([-1], last[:-1]))[: len(side)]
    was = np.where(before >= 0, side[before], 0.0)
    crossed = np.where((side != 0) & (was != 0) & (side != was), side, 0.0)
    first_known = known & ~np.concatenate(([False], known[:-1]))[: len(side)]
    return np.where(known & ~first_known, crossed, np.nan)


def _lasting(events: FloatArray, candles: int) -> FloatArray:
    """The last event of the last `candles` candles, this one included; 0 for none, NaN stays NaN."""
    if candles == 1 or not len(events):
        return events
    places = np.arange(len(events))
    last = np.maximum.accumulate(np.where(np.nan_to_num(events) != 0, places, -candles))
    found = np.where(places - last < candles, events[np.maximum(last, 0)], 0.0)
    return np.where(np.isnan(events), np.nan, found)


def _divergences(close: FloatArray, oscillator: FloatArray) -> FloatArray:
    """+1 bullish, -1 bearish, 0 none: between two swings of the closes that are near enough to each other."""
    # One side at a time: a price that does not move has no swings.
    still = np.zeros(len(close))
    found = np.zeros(len(close))
    points = swing_points(close, close, SWING)
    for told, prices in (
        (divergence(close, still, oscillator, SWING), points.high),
        (divergence(still, close, oscillator, SWING), points.low),
    ):
        known = np.flatnonzero(~np.isnan(prices))
        near = known[1:][np.diff(known) <= REACH]
        found[near] += np.nan_to_num(told[near])
    return found
