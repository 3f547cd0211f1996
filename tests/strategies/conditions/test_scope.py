"""Which names conditions may use, and what is said about others."""

from __future__ import annotations

import pytest

from promethean.domain.errors import ConfigError
from promethean.strategies.conditions.scope import Scope, closest


@pytest.mark.parametrize("name", ["AND", "and", "Or", "abs", "crosses_above", "ENTRY_PRICE", "PNL_PCT", "BARS_HELD"])
def test_a_word_of_the_language_names_neither_a_parameter_nor_a_series(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' is a word of the condition language; rename"):
        Scope(frozenset(), frozenset([name]))
    with pytest.raises(ConfigError, match=f"'{name}' is a word of the condition language; rename"):
        Scope(frozenset([name]))


def test_a_parameter_does_not_share_its_name_with_a_series() -> None:
    with pytest.raises(ConfigError, match="parameter 'RSI' has the name of a series; rename one"):
        Scope(frozenset(["RSI"]), frozenset(["RSI"]))


@pytest.mark.parametrize("name", ["", "my rsi", "1h", "RSI.", "MACD.a.b", "\u03b1", "RSI\n"])
def test_a_name_that_no_condition_can_contain_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be written in a condition; use letters, digits and _"):
        Scope(frozenset([name]))


def test_an_unknown_name_is_answered_with_the_closest_of_every_kind() -> None:
    scope = Scope(frozenset(["RSI_1m", "PRICE"]), frozenset(["oversold"]), position=True)
    assert scope.unknown("RSI_5m") == "unknown name 'RSI_5m'; did you mean 'RSI_1m'?"
    assert scope.unknown("oversol") == "unknown name 'oversol'; did you mean 'oversold'?"
    assert scope.unknown("BARS_HOLD") == "unknown name 'BARS_HOLD'; did you mean 'BARS_HELD'?"


def test_a_position_is_not_offered_where_none_is_held() -> None:
    assert Scope(frozenset(["PRICE"])).unknown("BARS_HOLD") == "unknown name 'BARS_HOLD'; known: PRICE"


def test_a_name_that_differs_in_capital_letters_only_is_the_closest() -> None:
    said = "unknown name 'price'; did you mean 'PRICE'? Capital letters count"
    assert closest("name", "price", ["PRICE", "prices"]) == said


def test_a_name_that_a_value_may_have_is_a_word_of_the_language() -> None:
    words = frozenset(["trend_up"])
    with pytest.raises(ConfigError, match="'trend_up' is a word of the condition language; rename"):
        Scope(frozenset(), frozenset(["trend_up"]), words=words)
    assert Scope(frozenset(), words=words).unknown("trendup") == "unknown name 'trendup'; did you mean 'trend_up'?"
