"""The weighted technical score: part by part against a plain reading of the specification."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies.recorded import cut, invented, read

from promethean.domain.candles import KEPT, CandleSeries
from promethean.domain.errors import ConfigError
from promethean.strategies.frame import Frame
from promethean.strategies.sources.technical import (
    PARTS,
    PERIOD_MAX,
    SCORE_MAX,
    SPAN_MAX,
    TechnicalScore,
    TechnicalSettings,
    rsi_confidence,
    score_confidence,
    technical_score,
    technical_window,
)

REAL = Path("data", "ohlcv", "binance_spot_BTCUSDT_1m_2025-05_2025-07.parquet")
DAY = 1440
AS_SPECIFIED = TechnicalSettings()


def score_of(candles: CandleSeries, **settings: Any) -> TechnicalScore:
    return technical_score(Frame(candles, "1m"), TechnicalSettings(**settings))


def at_closes(closes: list[float], volume: float = 1.0) -> CandleSeries:
    """Minutes from midnight on in which nothing but the close happened."""
    values = np.array(closes)
    times = 1_704_067_200 * 10**9 + 60 * 10**9 * np.arange(len(closes), dtype=np.int64)
    return CandleSeries.from_columns(times, [values] * 4 + [np.full(len(closes), volume)], keep=len(closes))


# -- an independent reading of SPEC 7.1, one candle after the other ---------------------------------------------------


def plain_ema(values: list[float], period: int) -> list[float]:
    known: list[float] = []
    out = []
    for value in values:
        if math.isnan(value):
            out.append(math.nan)
            continue
        known.append(value)
        if len(known) < period:
            out.append(math.nan)
        elif len(known) == period:
            out.append(sum(known) / period)
        else:
            out.append(out[-1] + 2 / (period + 1) * (value - out[-1]))
    return out


def plain_rsi(closes: list[float], period: int) -> list[float]:
    out = [math.nan] * len(closes)
    changes = [b - a for a, b in itertools.pairwise(closes)]
    if len(changes) < period:
        return out
    up = sum(max(c, 0) for c in changes[:period]) / period
    down = sum(max(-c, 0) for c in changes[:period]) / period
    for place in range(period, len(closes)):
        if place > period:
            up = (up * (period - 1) + max(changes[place - 1], 0)) / period
            down = (down * (period - 1) + max(-changes[place - 1], 0)) / period
        out[place] = 100 * up / (up + down) if up + down else math.nan
    return out


def plain_sign(value: float, noise: float) -> float:
    return math.nan if math.isnan(value) else 0.0 if abs(value) <= noise else math.copysign(1.0, value)


def plain_cross(difference: list[float], closes: list[float]) -> list[float]:
    out, side, begun = [], 0.0, False
    for value, close in zip(difference, closes, strict=True):
        now = plain_sign(value, 1e-12 * close)
        if math.isnan(now):
            out.append(math.nan)
            continue
        out.append(now if begun and now and side and now != side else 0.0 if begun else math.nan)
        begun = True
        side = now or side
    return out


def plain_divergence(closes: list[float], rsi: list[float]) -> list[float]:
    out = [0.0] * len(closes)
    for sign in (1, -1):  # highs, then lows as highs of the mirrored price
        last: tuple[int, float, float] | None = None
        for known in range(10, len(closes)):
            at = known - 5
            around = [sign * closes[i] for i in range(at - 5, at + 6) if i != at]
            if any(sign * closes[at] <= other for other in around):
                continue
            if last is not None and at - last[0] <= 100:
                price, value = sign * (closes[at] - last[1]), sign * (rsi[at] - last[2])
                if price > 0 and value < 0:
                    out[known] -= sign
            last = at, closes[at], rsi[at]
    return out


def plain_score(candles: CandleSeries) -> dict[str, list[float]]:
    closes = candles.close.tolist()
    averages = {period: plain_ema(closes, period) for period in (9, 12, 21, 26, 50, 200)}
    line = [a - b for a, b in zip(averages[12], averages[26], strict=True)]
    signal = plain_ema(line, 9)
    histogram = [a - b for a, b in zip(line, signal, strict=True)]
    rsi = plain_rsi(closes, 14)
    out: dict[str, list[float]] = {name: [] for name in PARTS}
    day, traded, worth = -1, 0.0, 0.0
    for i, close in enumerate(closes):
        noise = 1e-12 * close
        if candles.open_time_ns[i] // (86_400 * 10**9) != day:
            day, traded, worth = candles.open_time_ns[i] // (86_400 * 10**9), 0.0, 0.0
        traded += candles.volume[i]
        worth += candles.volume[i] * (candles.high[i] + candles.low[i] + close) / 3
        away = close / (worth / traded) - 1
        out["VWAP"].append(0.0 if abs(away) < 0.001 else math.copysign(1.0, away))
        out["histogram"].append(plain_sign(histogram[i] - histogram[i - 1], noise) if i else math.nan)
        for period in (9, 50, 200):
            out[f"price / EMA{period}"].append(plain_sign(close - averages[period][i], noise))
        out["RSI"].append(math.nan if math.isnan(rsi[i]) else float(rsi[i] < 30) - float(rsi[i] > 70))
    for name, weight, one, other in (
        ("MACD cross", 1, line, signal),
        ("EMA9 / EMA21 cross", 2, averages[9], averages[21]),
        ("EMA50 / EMA200 cross", 3, averages[50], averages[200]),
    ):
        difference = [a - b for a, b in zip(one, other, strict=True)]
        out[name] = [weight * value for value in plain_cross(difference, closes)]
    out["divergence"] = [2 * value for value in plain_divergence(closes, rsi)]
    return out


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(200, 700))
def test_every_part_is_what_a_plain_reading_of_the_specification_gives(seed: int, count: int) -> None:
    candles = invented(seed, count)
    found, expected = score_of(candles), plain_score(candles)
    for name in PARTS:
        np.testing.assert_array_equal(found.parts[name], expected[name], err_msg=name)
    np.testing.assert_array_equal(found.score, np.sum([expected[name] for name in PARTS], axis=0))


def test_on_real_candles_every_part_is_what_a_plain_reading_gives_and_each_of_them_speaks(shared: Path) -> None:
    candles = cut(read(shared / REAL), 0, 20_000)  # begins at midnight
    found, expected = score_of(candles), plain_score(candles)
    for name, weight in PARTS.items():
        np.testing.assert_array_equal(found.parts[name], expected[name], err_msg=name)
        assert {-weight, weight} <= set(found.parts[name][200:].tolist()) <= {-weight, 0, weight}, name


# -- what must hold ---------------------------------------------------------------------------------------------------


def test_all_parts_together_are_fourteen() -> None:
    assert sum(PARTS.values()) == SCORE_MAX == 14


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(200, 600), st.integers(1, 30))
def test_what_comes_after_a_candle_does_not_count_there(seed: int, count: int, lasting: int) -> None:
    candles = invented(seed, count)
    whole = score_of(candles, event_candles=lasting)
    stop = count // 2 + seed % (count // 2)
    part = score_of(cut(candles, 0, stop), event_candles=lasting)
    np.testing.assert_array_equal(part.score, whole.score[:stop])


def test_a_trailing_window_gives_the_score_of_the_whole_history(shared: Path) -> None:
    candles = cut(read(shared / REAL), 0, 30_000)
    whole = score_of(candles).score
    window = technical_window(AS_SPECIFIED, "1m")
    for end in range(window, 30_000, 97):
        assert score_of(cut(candles, end - window, end)).score[-1] == whole[end - 1], end


@given(
    st.integers(2, PERIOD_MAX), st.integers(2, SPAN_MAX - 1), st.integers(1, 100), st.sampled_from(["1m", "1h", "1w"])
)
def test_its_window_always_fits_into_the_candles_that_a_view_keeps(
    period: int, slow: int, lasting: int, timeframe: str
) -> None:
    chosen = TechnicalSettings(
        rsi_period=period, macd_fast=1, macd_slow=slow, macd_signal=SPAN_MAX - slow, event_candles=lasting
    )
    assert technical_window(chosen, timeframe) <= KEPT


def test_a_score_is_not_known_before_all_of_its_parts_are() -> None:
    score = score_of(invented(7, 1000)).score
    # EMA200 has its first value at 199; a cross needs one before it.
    assert np.isnan(score[:200]).all()
    assert not np.isnan(score[200:]).any()
    mid_day = score_of(cut(invented(7, 3 * DAY), DAY // 2, 3 * DAY)).score
    assert np.isnan(mid_day[: DAY // 2]).all(), "the VWAP of half a session is none"
    assert not np.isnan(mid_day[DAY // 2 :]).any()


@pytest.mark.parametrize("count", [0, 1, 2, 5, 50])
def test_few_candles_have_no_score(count: int) -> None:
    score = score_of(cut(invented(1, 60), 0, count)).score
    assert len(score) == count
    assert np.isnan(score).all()


def test_a_market_that_stands_still_has_no_score() -> None:
    assert np.isnan(score_of(at_closes([100.0] * 600)).score).all()


def test_a_market_that_only_rises_scores_the_states_and_nothing_else() -> None:
    score = score_of(at_closes([100.0 * 1.001**number for number in range(700)]))
    parts = {name: values[-1] for name, values in score.parts.items() if values[-1]}
    # Five states for it, and an overbought RSI against it.
    assert parts == {
        "histogram": 1, "VWAP": 1, "price / EMA9": 1, "price / EMA50": 1, "price / EMA200": 1, "RSI": -1,
    }  # fmt: skip


def test_a_cross_counts_at_its_candle_and_as_long_as_asked() -> None:
    closes = [100.0 - 0.01 * number for number in range(400)] + [96.0 + 0.05 * number for number in range(200)]
    once = score_of(at_closes(closes)).parts["EMA9 / EMA21 cross"]
    (place,) = np.flatnonzero(np.nan_to_num(once))
    assert once[place] == 2
    longer = score_of(at_closes(closes), event_candles=4).parts["EMA9 / EMA21 cross"]
    assert np.flatnonzero(np.nan_to_num(longer)).tolist() == [place, place + 1, place + 2, place + 3]


@pytest.mark.parametrize(
    ("score", "confidence"),
    [(3, 0.714286), (-3, 0.714286), (5, 0.857143), (7, 1.0), (-14, 1.0), (0, 0.5)],
)
def test_the_confidence_of_a_score(score: float, confidence: float) -> None:
    assert score_confidence(np.array([score]))[0] == confidence


@pytest.mark.parametrize(
    ("rsi", "confidence"), [(0, 1.0), (15, 0.8), (29.999999999, 0.6), (100, 1.0), (85, 0.8), (70.000000001, 0.6)]
)
def test_the_rsi_alone_reaches_the_default_threshold_at_its_level(rsi: float, confidence: float) -> None:
    assert rsi_confidence(np.array([rsi]))[0] == confidence


def test_between_its_levels_the_rsi_says_nothing() -> None:
    assert np.isnan(rsi_confidence(np.array([30.0, 50.0, 70.0, math.nan]))).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score_min": 0}, "score_min is 0; it lies between 1 and 14"),
        ({"score_strong": 15}, "score_strong is 15; it lies between 1 and 14"),
        ({"rsi_period": 65}, "rsi_period is 65; it lies between 2 and 64"),
        ({"macd_fast": 26}, "macd_fast is 26; it lies between 1 and 25"),
        ({"macd_slow": 182}, "macd_slow is 182; it lies between 2 and 181"),
        ({"oversold": 70, "overbought": 70}, "oversold is 70 and overbought 70; they rise between 0 and 100"),
        ({"oversold": math.nan}, "oversold is nan"),
        ({"vwap_band": 0.6}, "vwap_band is 0.6; it lies between 0 and 0.5"),
        ({"event_candles": 0}, "event_candles is 0; it lies between 1 and 100"),
    ],
)
def test_settings_out_of_range_are_refused_with_value_and_limit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TechnicalSettings(**changes)
