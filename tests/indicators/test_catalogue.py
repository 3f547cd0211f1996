"""The registry of indicators: what the catalogue and the tools read about each of them."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

import promethean.indicators
from promethean.domain.registry import scan
from promethean.indicators.catalogue import INDICATORS, INPUTS, Indicator, indicator

scan(promethean.indicators)
ENTRIES = sorted(INDICATORS.entries().values(), key=lambda entry: entry.name)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_indicator_says_its_family_and_what_it_is(entry: Indicator) -> None:
    assert (
        entry.function.__module__ == f"promethean.indicators.{entry.family}.{entry.function.__module__.split('.')[-1]}"
    )
    assert entry.description.endswith(".")
    assert INDICATORS.get(entry.name) is entry


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_indicator_takes_columns_first_and_then_parameters(entry: Indicator) -> None:
    assert entry.inputs
    assert set(entry.inputs) <= set(INPUTS)
    assert list(inspect.signature(entry.function).parameters) == [*entry.inputs, *entry.parameters]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_indicator_declares_a_window_for_its_parameters_or_resumes(entry: Indicator) -> None:
    assert (entry.window is None) != (entry.resume is None)
    if entry.window is not None:
        declared = inspect.signature(entry.window).parameters
        assert {name: value.default for name, value in declared.items()}.items() <= entry.parameters.items()
        assert entry.window() >= 1


def test_registering_gives_the_function_back_unchanged() -> None:
    entry = INDICATORS.get("rsi")
    assert entry.family == "momentum"
    assert entry.description.startswith("Relative strength index")
    assert entry.function(np.arange(30.0))[-1] == 100.0


@pytest.mark.parametrize(
    ("window", "complaint"),
    [
        (2, "the window of indicator echo is 2; give a function of the indicator's parameters, for example"),
        (lambda length=3: length, "the window of indicator echo takes length, which is no parameter of it; give a"),
    ],
)
def test_a_window_that_is_no_function_of_the_parameters_is_refused_at_registration(window: Any, complaint: str) -> None:
    def echo(close: Any, period: int = 3) -> Any:
        return close

    with pytest.raises(TypeError, match=re.escape(complaint)):
        indicator("echo", window=window)(echo)
    assert "echo" not in INDICATORS
