"""The indicators of the trend family: what a window or a state decides, and what they say of real candles."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.indicators.trend import promises
from tests.indicators.trend.promises import DAY_NS, Case, Columns, Outputs, case, market, recorded

from promethean.domain.candles import FloatArray
from promethean.indicators.catalogue import INDICATORS
from promethean.indicators.trend.regime import REGIMES


def of_price(_: Outputs, columns: Columns) -> float:
    """Averages are compared on the scale of the prices: their differences may be near zero."""
    return 1e-12 * float(np.median(columns["close"][-100:]))


def of_ratio(_: Outputs, __: Columns) -> float:
    return 1e-12


def of_percent(_: Outputs, __: Columns) -> float:
    return 1e-12 * 100


def anywhere(columns: Columns) -> NDArray[np.bool_]:
    return np.ones(len(columns["close"]), bool)


def without_yesterday(columns: Columns) -> NDArray[np.bool_]:
    opens = columns["open_time_ns"]
    days = opens // DAY_NS
    partial = (days - 1 == days[:1]) & (opens[:1] % DAY_NS != 0)
    unknown: NDArray[np.bool_] = ~np.isin(days - 1, days) | partial
    return unknown


def true_range(columns: Columns) -> FloatArray:
    before = np.concatenate([columns["high"][:1], columns["close"][:-1]])
    ranges: FloatArray = np.maximum(columns["high"], before) - np.minimum(columns["low"], before)
    ranges[:1] = 0.0
    return ranges


def adx(period: int) -> Case:
    def motionless(columns: Columns) -> NDArray[np.bool_]:
        return ~promises.lately(true_range(columns) > 0, 10 * period + 1)

    names = ("adx", "plus_di", "minus_di")
    return case(
        "adx",
        warm_up=dict(zip(names, (2 * period - 1, period, period), strict=True)),
        slack=dict.fromkeys(names, of_percent),
        unknown=dict.fromkeys(names, motionless),
        period=period,
    )


def without_a_day(columns: Columns) -> NDArray[np.bool_]:
    opens = columns["open_time_ns"]
    unknown: NDArray[np.bool_] = opens - opens[:1] < DAY_NS
    return unknown


def regime(period: int, breadth: int, lookback: int) -> Case:
    return case(
        "regime",
        warm_up={"regime": max(period + lookback - 1, 2 * period, breadth, 20)},
        unknown={"regime": without_a_day},
        period=period, breadth=breadth, lookback=lookback,
    )  # fmt: skip


def ema_ribbon(fast: int, medium: int, slow: int, base: int) -> Case:
    last = base - 1
    return case(
        "ema_ribbon",
        warm_up={
            "alignment": last, "fast": fast - 1, "medium": medium - 1, "slow": slow - 1, "base": last, "spread": last,
        },
        slack=dict.fromkeys(("fast", "medium", "slow", "base"), of_price) | {"spread": of_ratio},
        fast=fast, medium=medium, slow=slow, base=base,
    )  # fmt: skip


def macd(fast: int, slow: int, signal: int) -> Case:
    late = slow + signal - 2
    return case(
        "macd",
        warm_up={"macd": slow - 1, "signal_line": late, "histogram": late},
        slack=dict.fromkeys(("macd", "signal_line", "histogram"), of_price),
        fast=fast,
        slow=slow,
        signal=signal,
    )


def ichimoku(tenkan: int, kijun: int, senkou: int, shift: int) -> Case:
    return case(
        "ichimoku",
        warm_up={
            "tenkan": tenkan - 1,
            "kijun": kijun - 1,
            "senkou_a": max(tenkan, kijun) - 1 + shift,
            "senkou_b": senkou - 1 + shift,
            "lagging": shift,
        },
        tenkan=tenkan,
        kijun=kijun,
        senkou=senkou,
        shift=shift,
    )


def pivot_points(kind: str) -> Case:
    names = INDICATORS.get("pivot_points").outputs
    return case(
        "pivot_points",
        warm_up=dict.fromkeys(names, 0),
        unknown=dict.fromkeys(names, without_yesterday),
        kind=kind,
    )


def fibonacci(lookback: int) -> Case:
    names = INDICATORS.get("fibonacci").outputs
    return case(
        "fibonacci", warm_up=dict.fromkeys(names, 10), unknown=dict.fromkeys(names, anywhere), lookback=lookback
    )


CASES = [
    *(case("sma", warm_up={"sma": period - 1}, period=period) for period in (20, 1, 2, 200, 700)),
    *(case("ema", warm_up={"ema": period - 1}, slack={"ema": of_price}, period=period) for period in (20, 1, 2, 200)),
    ema_ribbon(9, 21, 55, 200),
    ema_ribbon(1, 2, 3, 5),
    macd(12, 26, 9),
    macd(1, 2, 1),
    macd(3, 5, 40),
    adx(14),
    adx(2),
    adx(5),
    ichimoku(9, 26, 52, 26),
    ichimoku(1, 3, 2, 1),
    *(pivot_points(kind) for kind in ("classic", "fibonacci", "camarilla", "woodie")),
    fibonacci(100),
    fibonacci(11),
    fibonacci(37),
    regime(14, 50, 500),
    regime(1, 2, 2),
    regime(3, 100, 30),
]
CONTINUED = [
    case("supertrend", warm_up={"line": period, "direction": period}, period=period, multiple=multiple)
    for period, multiple in ((10, 3), (1, 0.5), (3, 1.5))
]

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("each", CONTINUED, ids=str)
@given(seeds, st.integers(0, 300), st.data())
def test_in_pieces_it_gives_the_same_as_in_one(each: Case, seed: int, length: int, data: Any) -> None:
    cuts = data.draw(st.lists(st.integers(0, length), max_size=5))
    promises.assert_resumes(each, market(seed, length), cuts)


@pytest.mark.parametrize("each", [adx(14), *CONTINUED], ids=str)
def test_a_compiled_loop_refuses_inputs_of_different_lengths(each: Case) -> None:
    columns = market(1, 300, restless=True)
    for name in each.entry.inputs:
        with pytest.raises(ValueError, match="high, low and close differ in length"):
            promises.run(each, columns | {name: columns[name][:-1]})


def test_real_candles_give_sane_values(shared: Path) -> None:
    for file, columns in recorded(shared):
        for each in CASES + CONTINUED:
            outputs = promises.assert_shape(each, columns, file)
            assert_sane(each, outputs, columns)


def assert_sane(each: Case, outputs: Outputs, columns: Columns) -> None:
    high, low, close = promises.prices(columns)
    rounding = 1e-12 * close.max()

    def between(values: FloatArray, least: FloatArray | float, most: FloatArray | float) -> None:
        known = ~np.isnan(values)
        assert (values >= least)[known].all(), str(each)
        assert (values <= most)[known].all(), str(each)

    match each.name:
        case "sma":
            period = each.parameters["period"]
            least, most = promises.lowest(close, period), promises.highest(close, period)
            between(outputs["sma"], least - rounding, most + rounding)
        case "ema":
            least, most = np.minimum.accumulate(close), np.maximum.accumulate(close)
            between(outputs["ema"], least - rounding, most + rounding)
        case "ema_ribbon":
            assert set(outputs["alignment"][~np.isnan(outputs["alignment"])]) <= {-1.0, 0.0, 1.0}
        case "macd":
            between(outputs["macd"] - outputs["signal_line"] - outputs["histogram"], 0.0, 0.0)
        case "regime":
            assert set(outputs["regime"][~np.isnan(outputs["regime"])]) <= set(range(len(REGIMES)))
        case "adx":
            for values in outputs.values():
                between(values, 0.0, 100.0)
        case "supertrend":
            known = ~np.isnan(outputs["line"])
            assert set(outputs["direction"][known]) <= {-1.0, 1.0}
            # At the close it may be on the wrong side for one candle: one much wider than the average.
            rising = outputs["direction"] > 0
            assert (outputs["line"] <= high)[known & rising].all()
            assert (outputs["line"] >= low)[known & ~rising].all()
        case "ichimoku":
            for name, period in (("tenkan", each.parameters["tenkan"]), ("kijun", each.parameters["kijun"])):
                between(outputs[name], promises.lowest(low, period), promises.highest(high, period))
        case "pivot_points":
            # Camarilla's levels lie around the close and not around the pivot.
            middle = [] if each.parameters["kind"] == "camarilla" else ["pivot"]
            levels = [outputs[name] for name in ("s3", "s2", "s1", *middle, "r1", "r2", "r3")]
            for below, above in pairwise(levels):
                between(below, -np.inf, above + rounding)
        case "fibonacci":
            between(outputs["swing_high"], outputs["swing_low"], promises.highest(high, 1).max())
            for name, values in outputs.items():
                if name.startswith("retracement"):
                    between(values, outputs["swing_low"], outputs["swing_high"])
        case name:
            raise AssertionError(f"nothing is said about {name}")
