"""The registry of indicators: causal array functions with a declared window."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from promethean.domain.registry import Registry

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator as the catalogue and the tools know it.

    window: gives, for the indicator's parameters, how many trailing inputs decide its last output: older data changes
            it by less than 1e-12 relative.
    """

    name: str
    family: str
    function: Callable[..., Any]
    window: Callable[..., int]

    @property
    def description(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


INDICATORS: Registry[Indicator] = Registry("indicator")


def indicator(name: str, *, window: Callable[..., int]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register an array function under `name`; its family is the folder that its module lies in."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        family = function.__module__.split(".")[-2]
        INDICATORS.add(name, Indicator(name, family, function, window))
        return function

    return decorate
