"""What class probabilities say, and when an opinion has turned."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promethean.domain.errors import ConfigError
from promethean.domain.market import Side
from promethean.strategies.arrays import CLOSES_LONG, CLOSES_SHORT
from promethean.strategies.sources.model import model_answer, reversal_flags

probabilities = st.one_of(st.sampled_from([0.0, 0.35, 0.64, 0.65, 0.66, 1.0, math.nan]), st.floats(0, 1))


@pytest.mark.parametrize(
    ("buy", "sell", "side"),
    [(0.65, 0.2, Side.BUY), (0.649, 0.2, None), (0.1, 0.65, Side.SELL), (0.35, 0.65, Side.SELL), (0.5, 0.5, None)],
)
def test_the_more_probable_class_counts_from_its_probability_on(buy: float, sell: float, side: Side | None) -> None:
    answer = model_answer(buy, sell, 7, "lstm")
    assert answer is not None
    assert (answer.side, answer.confidence, answer.at_ns) == (side, max(buy, sell) if side else 0.0, 7)
    assert answer.reason.startswith("lstm gives ")


@pytest.mark.parametrize(("buy", "sell"), [(math.nan, 0.5), (0.5, math.nan)])
def test_a_model_that_does_not_know_gives_no_answer(buy: float, sell: float) -> None:
    assert model_answer(buy, sell, 7) is None


@pytest.mark.parametrize(("buy", "sell"), [(-0.1, 0.5), (0.5, 1.1), (0.7, 0.7)])
def test_what_are_no_probabilities_is_refused(buy: float, sell: float) -> None:
    with pytest.raises(ValueError, match="are no probabilities of two classes"):
        model_answer(buy, sell, 7)
    with pytest.raises(ValueError, match="are no probabilities of two classes"):
        reversal_flags(np.array([0.1, buy]), np.array([0.1, sell]))


@pytest.mark.parametrize("value", [0.5, 0.0, 1.01, math.nan])
def test_a_probability_that_two_classes_could_have_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="min_confidence is"):
        model_answer(0.7, 0.1, 7, probability_min=value)
    with pytest.raises(ConfigError, match="min_confidence is"):
        reversal_flags(np.ones(1), np.zeros(1), value)


def test_two_candles_in_a_row_turn_an_opinion() -> None:
    sell = np.array([0.65, 0.2, 0.65, 0.65, 0.9, 0.64, np.nan, 0.7])
    buy = np.array([0.30, 0.8, 0.10, 0.10, 0.0, 0.30, 0.70, 0.2])
    assert reversal_flags(buy, sell).tolist() == [0, 0, 0, CLOSES_LONG, CLOSES_LONG, 0, 0, 0]
    assert reversal_flags(sell, buy).tolist() == [0, 0, 0, CLOSES_SHORT, CLOSES_SHORT, 0, 0, 0]


@pytest.mark.parametrize("candles", [1, 2, 3])
@given(st.lists(st.tuples(probabilities, probabilities), max_size=40))
def test_it_is_what_looking_back_from_each_candle_gives(candles: int, given: list[tuple[float, float]]) -> None:
    pairs = [(buy, min(sell, 1 - buy) if buy + sell > 1 else sell) for buy, sell in given]
    buy, sell = (np.array([pair[place] for pair in pairs], np.float64) for place in (0, 1))
    flags = reversal_flags(buy, sell, candles=candles)
    for at in range(len(pairs)):
        last = pairs[max(0, at - candles + 1) : at + 1]
        longs = len(last) == candles and all(pair[1] >= 0.65 for pair in last)
        shorts = len(last) == candles and all(pair[0] >= 0.65 for pair in last)
        if all(abs(value - 0.65) > 1e-9 or value == 0.65 for pair in last for value in pair):
            assert flags[at] == (CLOSES_LONG if longs else CLOSES_SHORT if shorts else 0)


def test_probabilities_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be read over 2 candles"):
        reversal_flags(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="cannot be read over 0 candles"):
        reversal_flags(np.zeros(3), np.zeros(3), candles=0)
