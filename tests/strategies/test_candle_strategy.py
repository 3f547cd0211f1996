"""What a strategy inherits that is told candle by candle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from promethean.domain.candles import Candle
from promethean.domain.errors import ConfigError
from promethean.domain.ids import InstrumentId, StrategyId
from promethean.strategies.arrays import CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT
from promethean.strategies.candle_strategy import Answer, Answers, CandleStrategy, joined

D = Decimal
BTC = InstrumentId("binance:BTCUSDT")


class Counting(CandleStrategy):
    """Buys every so many candles."""

    parameters = ("every", "share", "eager")
    every: int = 3
    share: float = 0.5
    eager: bool = False

    def start(self) -> None:
        if self.every < 1:
            raise ConfigError(f"parameters.every is {self.every}; write 1 or more")
        self.count = 0

    def on_candle(self, candle: Candle, timeframe: str) -> Answers:
        self.count += 1
        return self.buy(f"candle {self.count}") if self.count % self.every == 0 else None


def make(
    kind: type[CandleStrategy] = Counting, timeframe: str = "1m", parameters: Mapping[str, Decimal | bool] | None = None
) -> Any:
    parameters = parameters or {}
    return kind(id=StrategyId("c"), instrument=BTC, timeframe=timeframe, parameters=parameters, can_short=False)


def test_parameters_are_attributes_with_the_types_of_their_defaults() -> None:
    assert (make().every, make().share, make().eager) == (3, 0.5, False)
    made = make(parameters={"every": D(7), "share": D("0.25"), "eager": True})
    assert (made.every, made.share, made.eager) == (7, 0.25, True)
    assert isinstance(made.every, int) and isinstance(made.share, float)
    assert make().every == 3, "a value belongs to the one it was given to"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"evry": D(3)}, r"unknown parameter of Counting 'evry'; did you mean 'every'\?"),
        ({"every": D("2.5")}, "parameters.every is 2.5; write a whole number"),
        ({"every": True}, "parameters.every is True; write a number"),
        ({"share": D("NaN")}, "parameters.share is NaN; write a number"),
        ({"eager": D(1)}, "parameters.eager is 1; write true or false"),
        ({"every": D(0)}, "parameters.every is 0; write 1 or more"),
    ],
)
def test_a_wrong_parameter_is_named(given: dict[str, Decimal | bool], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        make(parameters=given)


def test_a_larger_timeframe_that_cannot_be_built_is_refused() -> None:
    class Hourly(Counting):
        timeframes = ("1h",)

    assert make(Hourly, "5m").timeframes == ("1h",)
    with pytest.raises(ConfigError, match="is told candles of 1h, which cannot be built from those of 4h"):
        make(Hourly, "4h")


def test_each_answer_says_what_its_name_says() -> None:
    s = make()
    assert s.buy("up", 0.7, stop=9.0, targets=[11, 12]) == Answer(1, 0, 0.7, "up", 9.0, (11, 12))
    assert s.sell("down", targets=(9.0, 8.0)) == Answer(-1, 0, 1.0, "down", None, (9.0, 8.0))
    left = [answer.leave for answer in (s.close("x"), s.close_long("x"), s.close_short("x"))]
    assert left == [CLOSES_ALL, CLOSES_LONG, CLOSES_SHORT]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"confidence": 1.5}, "a confidence lies between 0 and 1, not 1.5"),
        ({"confidence": math.nan}, "a confidence lies between 0 and 1, not nan"),
        ({"stop": -1.0}, "a stop or target is a price above zero, not -1.0"),
        ({"targets": (math.inf,)}, "a stop or target is a price above zero, not inf"),
        ({"targets": (12.0, 11.0)}, "targets are given nearest first, not as 12.0, 11.0"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        make().buy("up", **given)


def test_what_is_said_at_one_candle_is_one_answer() -> None:
    s = make()
    assert joined(s.buy("up")) == s.buy("up")
    assert joined([s.close_short("out"), s.buy("in", stop=5.0)]) == Answer(1, CLOSES_SHORT, 1.0, "out; in", 5.0)
    assert joined((s.close_short("a"), s.close_long("b"))).leave == CLOSES_ALL
    assert joined(iter(())) == Answer(0, 0, 1.0, "")


def test_what_contradicts_itself_is_refused() -> None:
    s = make()
    with pytest.raises(ValueError, match="two entries are said at one candle"):
        joined([s.buy("up"), s.sell("down")])
    with pytest.raises(ValueError, match="one confidence"):
        joined([s.close("out", 0.9), s.buy("in", 0.3)])
    with pytest.raises(
        TypeError, match=r"on_candle gives what self\.buy\(\) and its siblings make, or None, not 'buy'"
    ):
        joined(["buy"])  # type: ignore[list-item]  # the point of the test
