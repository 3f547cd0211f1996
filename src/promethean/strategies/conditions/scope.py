"""Which names a condition may use, and how a wrong one is answered."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from promethean.domain.errors import ConfigError, unknown_name
from promethean.strategies.conditions.tree import ARGUMENTS, POSITION

KEYWORDS = ("AND", "OR", "NOT")
_LATER = {"SPREAD": "order books", "FUNDING": "funding rates"}  # names of the language that need more than candles
_OF_MODELS = "_PREDICTION"
NAME = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)?"
"""What a name looks like: letters, digits and _, perhaps a field after a point."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The names around a condition; what is written with a capital letter is another name.

    series:     full names with one value a candle, a field included: RSI, RSI_1h, MACD_5m.histogram, PRICE, HOUR.
    parameters: names of the file's parameters.
    labels:     those of the series whose values are names, as REGIME.
    words:      the names that such values have, as trend_up: words of the language.
    position:   whether the names of POSITION may be read: in the conditions of an exit, not in those of an entry.

    Raises ConfigError for a name that cannot be written in a condition, that the language keeps for itself, or that is
    a series and a parameter.
    """

    series: frozenset[str]
    parameters: frozenset[str] = frozenset()
    position: bool = False
    labels: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in sorted(self.series | self.parameters):
            if re.fullmatch(NAME, name) is None:
                raise ConfigError(f"{name!r} cannot be written in a condition; use letters, digits and _")
            if name.upper() in KEYWORDS or name in ARGUMENTS or name in POSITION or name in self.words:
                raise ConfigError(f"{name!r} is a word of the condition language; rename the parameter or indicator")
            if name in self.series and name in self.parameters:
                raise ConfigError(f"parameter {name!r} has the name of a series; rename one of them")

    def unknown(self, name: str) -> str:
        """One sentence for a name that does not exist here, with the closest that do or with what it needs."""
        head = name.partition(".")[0]
        needs = _LATER.get(head, "a model" if head.endswith(_OF_MODELS) else None)
        if needs is not None:
            return f"{name} needs {needs}, which conditions do not read yet; remove it"
        known = {*self.series, *self.parameters, *self.words, *(POSITION if self.position else ())}
        return closest("name", name, known)


def closest(kind: str, name: str, known: Collection[str]) -> str:
    """One sentence for an unknown name; one that differs in capital letters only is the closest."""
    same = sorted(one for one in known if one.lower() == name.lower())
    if same:
        return f"unknown {kind} {name!r}; did you mean {', '.join(map(repr, same))}? Capital letters count"
    return unknown_name(kind, name, known)
