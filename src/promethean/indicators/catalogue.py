"""The registry of indicators: causal array functions with a declared window, or with a state that continues."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ParamSpec, TypeAlias, TypeVar, get_type_hints

import numpy as np
from numpy.typing import NDArray

from promethean.domain.registry import Registry

P = ParamSpec("P")
R = TypeVar("R")


INPUTS = ("open_time_ns", "open", "high", "low", "close", "volume", "taker_buy_volume")
"""Columns that an indicator may take, by the name of its parameter; all float64 but the first, which is int64."""

State: TypeAlias = NDArray[np.float64]
"""What a path-dependent indicator remembers of the past, float64, of a fixed length."""


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator as the catalogue, the strategies and the tools know it.

    A parameter without a default is an input column (INPUTS), one with a default is a number or a word to choose.  The
    function gives one array, or a NamedTuple of arrays, all as long as its inputs.

    window: gives, for the indicator's parameters, how many trailing inputs decide its last output: older data changes
            it by less than 1e-12 relative.  None for a path-dependent indicator, which has `resume` instead.
    resume: takes the inputs, a state (None at the beginning) and the parameters by name; gives the output and the
            state after it.  Whole history or piece by piece, the output is the same to the last bit.
    """

    name: str
    family: str
    function: Callable[..., Any]
    window: Callable[..., int] | None
    resume: Callable[..., tuple[Any, State]] | None

    @property
    def description(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it takes, in the order of its parameters."""
        return tuple(name for name, value in self._parameters() if value.default is value.empty)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Its parameters with their defaults."""
        return {name: value.default for name, value in self._parameters() if value.default is not value.empty}

    @property
    def outputs(self) -> tuple[str, ...]:
        """The fields of what it gives, the main one first; none for a single array."""
        given = get_type_hints(self.function).get("return")
        return tuple(getattr(given, "_fields", ()))

    def _parameters(self) -> Iterable[tuple[str, inspect.Parameter]]:
        return _signature(self.function).parameters.items()


def _check_window(name: str, window: object, function: Callable[..., Any]) -> None:
    """A stranger's indicator is refused when it is registered, not when the first strategy reads it."""
    if window is None:
        return
    remedy = "give a function of the indicator's parameters, for example"
    if not callable(window):
        raise TypeError(
            f"the window of indicator {name} is {window!r}; {remedy} window=lambda: {window!r}, or None with a `resume`"
        )
    known = [each.name for each in _signature(function).parameters.values() if each.default is not each.empty]
    for asked in _signature(window).parameters:
        if asked not in known:
            raise TypeError(
                f"the window of indicator {name} takes {asked}, which is no parameter of it; {remedy} "
                f"window=lambda {known[0] if known else ''}: ...".replace("lambda :", "lambda:")
            )


@cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Read once: a sweep asks for it by the thousand."""
    return inspect.signature(function)


INDICATORS: Registry[Indicator] = Registry("indicator")


def indicator(
    name: str,
    *,
    window: Callable[..., int] | None = None,
    resume: Callable[..., tuple[Any, State]] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register an array function under `name`; its family is the folder that its module lies in, if it is in one.

    Exactly one of `window` and `resume` is given, as `Indicator` says.
    Raises TypeError for a window that is no function of the indicator's parameters.
    """
    assert (window is None) != (resume is None), f"indicator {name} needs a window or a way to resume"

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        _check_window(name, window, function)
        family = function.__module__.split(".")[-2:][0]
        INDICATORS.add(name, Indicator(name, family, function, window, resume))
        return function

    return decorate
