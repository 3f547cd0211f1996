"""The `parameters` of a strategy class, checked."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from promethean.domain.errors import ConfigError, unknown_name


class Parameters:
    """What a strategy file gives, over the defaults of its class.

    strategy: name of the class, for messages.
    Raises ConfigError for a name that the class does not know, with the closest one.
    """

    def __init__(
        self, strategy: str, given: Mapping[str, Decimal | bool], defaults: Mapping[str, Decimal | bool]
    ) -> None:
        for name in given:
            if name not in defaults:
                raise ConfigError(unknown_name(f"parameter of {strategy}", name, defaults))
        self._values = {**defaults, **given}

    def __getitem__(self, name: str) -> Decimal | bool:
        """The value as it was given."""
        return self._values[name]

    def whole(self, name: str, smallest: int, largest: int) -> int:
        """A whole number.  Raises ConfigError for another value and for one outside these limits, both allowed."""
        value = self._values[name]
        if not is_number(value) or value != int(value) or not smallest <= value <= largest:
            raise ConfigError(f"parameters.{name} is {value}; write a whole number from {smallest} to {largest}")
        return int(value)

    def number(self, name: str, smallest: str, largest: str) -> float:
        """A number.  Raises ConfigError for another value and for one outside these limits, both allowed."""
        value = self._values[name]
        if not is_number(value) or not Decimal(smallest) <= value <= Decimal(largest):
            raise ConfigError(f"parameters.{name} is {value}; write a number from {smallest} to {largest}")
        return float(value)

    def switch(self, name: str) -> bool:
        """True or false.  Raises ConfigError for anything else."""
        value = self._values[name]
        if not isinstance(value, bool):
            raise ConfigError(f"parameters.{name} is {value}; write true or false")
        return value


def is_number(value: object) -> bool:
    """Whether a parameter is a finite number; a switch is none."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool) and Decimal(value).is_finite()
