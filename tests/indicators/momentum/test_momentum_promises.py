"""The indicators of the momentum family: how much of them a window decides, and what they say of real candles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tests.indicators.trend import promises
from tests.indicators.trend.promises import Case, Columns, Outputs, case, recorded


def of_percent(_: Outputs, __: Columns) -> float:
    return 1e-12 * 100


def rsi(period: int) -> Case:
    def motionless(columns: Columns) -> NDArray[np.bool_]:
        changed = np.diff(columns["close"], prepend=columns["close"][:1]) != 0
        return ~promises.lately(changed, 10 * period + 1)

    return case("rsi", warm_up={"rsi": period}, slack={"rsi": of_percent}, unknown={"rsi": motionless}, period=period)


def stochastic(k: int, smooth: int, d: int) -> Case:
    def flat(columns: Columns, averaged: int) -> NDArray[np.bool_]:
        return promises.lately(promises.highest(columns["high"], k) == promises.lowest(columns["low"], k), averaged)

    return case(
        "stochastic",
        warm_up={"k": k + smooth - 2, "d": k + smooth + d - 3},
        unknown={"k": lambda columns: flat(columns, smooth), "d": lambda columns: flat(columns, smooth + d - 1)},
        k=k,
        smooth=smooth,
        d=d,
    )


def cci(period: int) -> Case:
    def flat(columns: Columns) -> NDArray[np.bool_]:
        typical = (columns["high"] + columns["low"] + columns["close"]) / 3
        highest = promises.highest(typical, period)
        return highest - promises.lowest(typical, period) <= 1e-11 * highest

    return case("cci", warm_up={"cci": period - 1}, unknown={"cci": flat}, period=period)


CASES = [
    rsi(14),
    rsi(2),
    stochastic(14, 3, 3),
    stochastic(1, 1, 1),
    stochastic(5, 1, 3),
    stochastic(2, 4, 1),
    cci(20),
    cci(2),
    cci(600),
    *(case("roc", warm_up={"roc": period}, period=period) for period in (12, 1, 600)),
]


def test_real_candles_give_sane_values(shared: Path) -> None:
    for file, columns in recorded(shared):
        for each in CASES:
            outputs = promises.assert_shape(each, columns, file)
            for name, values in outputs.items():
                least, most = BOUNDS[name]
                most = min(most, each.parameters["period"] / 0.03) if name == "cci" else most
                known = values[~np.isnan(values)]
                assert ((known >= least) & (known <= most * (1 + 1e-6))).all(), f"{each} {name} {file}"


BOUNDS = {
    "rsi": (0.0, 100.0),
    "k": (0.0, 100.0),
    "d": (0.0, 100.0),
    "cci": (-np.inf, np.inf),  # no value is further from the mean than half the period times the mean deviation
    "roc": (-1.0, np.inf),
}
