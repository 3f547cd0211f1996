"""The indicators of the volatility family: how much of them a window decides, and what they say of real candles."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tests.indicators.trend import promises
from tests.indicators.trend.promises import Case, Columns, Outputs, case, recorded


def of_price(_: Outputs, columns: Columns) -> float:
    """Ranges are compared on the scale of the prices: they may be near zero."""
    return 1e-12 * float(np.median(columns["close"][-100:]))


def of_fraction(_: Outputs, __: Columns) -> float:
    return 1e-12


def of_channel(outputs: Outputs, columns: Columns) -> float:
    """A place in the channel is as exact as the prices it is computed from."""
    return of_price(outputs, columns) / float(outputs["upper"][-1] - outputs["lower"][-1])


def atr(period: int) -> Case:
    return case(
        "atr",
        warm_up={"atr": period, "atr_pct": period},
        slack={"atr": of_price, "atr_pct": of_fraction},
        period=period,
    )


def bollinger(period: int, deviations: float) -> Case:
    def flat(columns: Columns) -> NDArray[np.bool_]:
        close = columns["close"]
        equal: NDArray[np.bool_] = promises.highest(close, period) == promises.lowest(close, period)
        return equal

    names = ("middle", "upper", "lower", "width", "percent_b")
    return case(
        "bollinger",
        warm_up=dict.fromkeys(names, period - 1) | {"squeeze": period + 118},
        unknown={"percent_b": flat},
        period=period,
        deviations=deviations,
    )


def keltner(ema: int, atr: int, multiple: float) -> Case:
    late = max(ema - 1, atr)

    def motionless(columns: Columns) -> NDArray[np.bool_]:
        """For so long that the average true range fell to a ten-thousandth at most; the first candle has none."""
        moved = (columns["high"] > columns["low"]) | (np.diff(columns["close"], prepend=columns["close"][:1]) != 0)
        moved[:1] = False
        return ~promises.lately(moved, 1 if atr == 1 else int(math.log(1e-4) / math.log(1 - 1 / atr)))

    return case(
        "keltner",
        warm_up={"middle": ema - 1, "upper": late, "lower": late, "position": late},
        slack={"middle": of_price, "upper": of_price, "lower": of_price, "position": of_channel},
        unknown={"position": motionless},
        ema=ema,
        atr=atr,
        multiple=multiple,
    )


CASES = [
    atr(14),
    atr(1),
    atr(2),
    bollinger(20, 2),
    bollinger(1, 1),
    bollinger(2, 0.5),
    bollinger(600, 3.0),
    keltner(20, 10, 2),
    keltner(1, 1, 0.5),
    keltner(50, 3, 1.5),
]


def test_real_candles_give_sane_values(shared: Path) -> None:
    for file, columns in recorded(shared):
        for each in CASES:
            outputs = promises.assert_shape(each, columns, file)
            assert_sane(each, outputs, columns)


def assert_sane(each: Case, outputs: Outputs, columns: Columns) -> None:
    late = max(each.warm_up.values())
    known = {name: values[late:] for name, values in outputs.items()}
    match each.name:
        case "atr":
            before, high, low = columns["close"][:-1], columns["high"][1:], columns["low"][1:]
            widest = (np.maximum(high, before) - np.minimum(low, before)).max()
            assert ((known["atr"] >= 0) & (known["atr"] <= widest * (1 + 1e-9))).all()
            assert np.array_equal(known["atr_pct"], known["atr"] / columns["close"][late:])
        case "bollinger":
            assert (known["lower"] <= known["middle"]).all()
            assert (known["middle"] <= known["upper"]).all()
            # No value is further from the mean than sigma times the root of period - 1.
            furthest = math.sqrt(each.parameters["period"] - 1) / (2 * each.parameters["deviations"])
            assert (np.abs(known["percent_b"][~np.isnan(known["percent_b"])] - 0.5) <= furthest * (1 + 1e-6)).all()
            assert set(known["squeeze"]) <= {0.0, 1.0}
        case "keltner":
            assert (known["lower"] <= known["middle"]).all()
            assert (known["middle"] <= known["upper"]).all()
        case name:
            raise AssertionError(f"nothing is said about {name}")
